/* One idempotency key of one caller in one cluster is one request, whichever coordinator is asked. */
#include <api/call.h>

#include <string.h>

#include <base/text.h>
#include <crypto/crypto.h>

#define PARTS_MAX 2048
#define VERSION   14 /* where a UUID's text has its version */

bool api_key_valid(const char *key)
{
    size_t n = 0;
    while (key[n] >= 0x20 && key[n] < 0x7f)
        n++;
    return n > 0 && !key[n] && n <= API_KEY_MAX;
}

int api_request_id(const char *cluster, const char *identity, const char *key, char out[CLUSTER_ID_MAX],
                   struct error *err)
{
    const char *const parts[] = {"secrets-encrypt request", cluster, identity, key};
    char hex[2 * 16 + 1];
    uint8_t digest[SHA256_SIZE];
    _cleanup_(buf_freep) struct buf text = BUF_INIT(PARTS_MAX);
    int rc = 0;
    for (size_t i = 0; i < array_len(parts) && rc == 0; i++)
        rc = buf_add(&text, parts[i], strlen(parts[i]) + 1, err); /* the NUL keeps them apart */
    if (rc == 0)
        rc = crypto_sha256(text.data, text.len, digest, err);
    if (rc < 0)
        return rc;
    digest[6] = (uint8_t)(0x80 | (digest[6] & 0x0f)); /* version 8: of the maker's own making */
    digest[8] = (uint8_t)(0x80 | (digest[8] & 0x3f));
    text_hex(digest, 16, hex);
    snprintf(out, CLUSTER_ID_MAX, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
    return 0;
}

bool api_id_is_keyed(const char *id)
{
    return strlen(id) == 36 && id[VERSION] == '8';
}

int64_t api_answer_ttl_s(const struct cluster_request *r)
{
    bool operation = r->kind < OP_PAUSE && r->answer != ANSWER_REFUSED;
    return operation && api_id_is_keyed(r->id) ? API_ANSWER_TTL_S : API_DONE_TTL_S;
}

bool api_request_is_spent(const struct cluster_request *r, int64_t now_ms)
{
    return r->answer == ANSWER_REFUSED && now_ms - r->time_ms >= API_REFUSAL_MS;
}
