#include <base/text.h>
#include <json/json.h>

#include "seal_internal.h"

#define RECORD_LABEL "secrets-encrypt record v1" /* its NUL is signed too, as are those after the names */
#define MAC_LABEL    "secrets-encrypt mac key v1"

/* The layout of a signed record, byte for byte. */
#define RECORD_HEAD     "{\"mac\":\""
#define RECORD_MIDDLE   "\",\"body\":"
#define RECORD_TAIL     "}"
#define RECORD_MAC_SIZE (2 * SHA256_SIZE)
#define RECORD_BODY_AT  (sizeof(RECORD_HEAD) - 1 + RECORD_MAC_SIZE + sizeof(RECORD_MIDDLE) - 1)

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The token without white space at its ends (files end in a line break). */
static int trim(const struct secret *token, struct secret **ret, struct error *err)
{
    size_t from = 0, to = token->len;
    while (from < to && is_space(token->data[from]))
        from++;
    while (to > from && is_space(token->data[to - 1]))
        to--;
    size_t len = to - from;
    if (len < SEAL_TOKEN_MIN || len > SEAL_TOKEN_MAX)
        return error_set(err, ERR_INVALID, "the cluster token has %zu bytes; %d to %d are due", len,
                         SEAL_TOKEN_MIN, SEAL_TOKEN_MAX);
    for (size_t i = from; i < to; i++)
        if (token->data[i] == 0 || token->data[i] == '\n' || token->data[i] == '\r')
            return error_set(err, ERR_INVALID,
                             "the cluster token has a line break or a NUL inside; it must be one line");
    *ret = secret_copy(token->data + from, len);
    return *ret ? 0 : error_no_memory(err);
}

/* One derivation for both keys. The first 32 bytes do not depend on how many follow (scrypt ends in PBKDF2).
 */
static int derive_keys(struct seal *s, struct error *err)
{
    _cleanup_(buf_freep) struct buf label = BUF_INIT(64 * 1024);
    _cleanup_(secret_freep) struct secret *both = NULL;
    uint8_t salt[SHA256_SIZE];
    int rc = buf_add(&label, MAC_LABEL, sizeof(MAC_LABEL), err);
    if (rc == 0)
        rc = buf_adds(&label, s->cluster, err);
    if (rc == 0)
        rc = crypto_sha256(label.data, label.len, salt, err);
    if (rc < 0)
        return rc;
    struct scrypt_params params = {SEAL_SCRYPT_N, SEAL_SCRYPT_R, SEAL_SCRYPT_P};
    rc = crypto_scrypt(s->token, (struct bytes){salt, sizeof(salt)}, &params, (size_t)2 * SEAL_KEY_SIZE,
                       &both, err);
    if (rc < 0)
        return rc;
    s->mac_key = secret_copy(both->data, SEAL_KEY_SIZE);
    s->box_root = secret_copy(both->data + SEAL_KEY_SIZE, SEAL_KEY_SIZE);
    return s->mac_key && s->box_root ? 0 : error_no_memory(err);
}

int seal_new(const struct secret *token, const char *cluster, struct seal **ret, struct error *err)
{
    _cleanup_(seal_freep) struct seal *s = calloc(1, sizeof(*s));
    if (!s)
        return error_no_memory(err);
    s->cluster = strdup(cluster);
    if (!s->cluster)
        return error_no_memory(err);
    int rc = trim(token, &s->token, err);
    if (rc == 0)
        rc = derive_keys(s, err);
    if (rc < 0)
        return rc;
    *ret = take(s);
    return 0;
}

void seal_free(struct seal *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < SEAL_CACHE_SLOTS; i++)
        secret_free(s->cache[i].key);
    secret_free(s->mac_key);
    secret_free(s->box_root);
    secret_free(s->token);
    free(s->cluster);
    free(s);
}

static int record_mac(struct seal *s, const char *etcd_key, const void *body, size_t len,
                      char out[SHA256_HEX_SIZE], struct error *err)
{
    const struct bytes parts[] = {
        {RECORD_LABEL, sizeof(RECORD_LABEL)},
        {s->cluster, strlen(s->cluster) + 1},
        {etcd_key, strlen(etcd_key) + 1},
        {body, len},
    };
    uint8_t mac[SHA256_SIZE];
    int rc = crypto_hmac(s->mac_key, parts, array_len(parts), mac, err);
    if (rc == 0)
        text_hex(mac, sizeof(mac), out);
    return rc;
}

/* Only what reads back as one object is ever signed, so that a record has one meaning for every reader. */
static int check_body(const char *etcd_key, const char *json, size_t len, struct error *err)
{
    _cleanup_(json_freep) struct json *body = NULL;
    int rc = json_parse(json, len, etcd_key, &body, err);
    if (rc < 0)
        return rc;
    if (json_type(body) != JSON_OBJECT || json[0] != '{' || json[len - 1] != '}')
        return error_set(err, ERR_INVALID, "%s: only a compact JSON object can be signed", etcd_key);
    return 0;
}

int seal_sign(struct seal *s, const char *etcd_key, const char *json, size_t json_len, struct buf *out,
              struct error *err)
{
    char mac[SHA256_HEX_SIZE];
    int rc = check_body(etcd_key, json, json_len, err);
    if (rc == 0)
        rc = record_mac(s, etcd_key, json, json_len, mac, err);
    size_t before = out->len;
    if (rc == 0)
        rc = buf_addf(out, err, RECORD_HEAD "%s" RECORD_MIDDLE, mac);
    if (rc == 0)
        rc = buf_add(out, json, json_len, err);
    if (rc == 0)
        rc = buf_adds(out, RECORD_TAIL, err);
    if (rc < 0 && out->data) {
        out->len = before;
        out->data[before] = 0;
    }
    return rc;
}

static int denied(const char *etcd_key, const char *why, struct error *err)
{
    return error_set(
        err, ERR_DENIED,
        "%s: %s; check that every server has the same cluster token and cluster name, and who else can "
        "write the state store",
        etcd_key, why);
}

static bool has_layout(const char *text, size_t len)
{
    return len > RECORD_BODY_AT && memcmp(text, RECORD_HEAD, sizeof(RECORD_HEAD) - 1) == 0 &&
           memcmp(text + RECORD_BODY_AT - (sizeof(RECORD_MIDDLE) - 1), RECORD_MIDDLE,
                  sizeof(RECORD_MIDDLE) - 1) == 0 &&
           text[len - 1] == '}';
}

int seal_verify(struct seal *s, const char *etcd_key, const void *value, size_t len, struct buf *body,
                struct error *err)
{
    const char *text = value;
    if (!has_layout(text, len))
        return denied(etcd_key, "this is no signed record", err);
    size_t body_len = len - RECORD_BODY_AT - 1;
    char mac[SHA256_HEX_SIZE];
    int rc = record_mac(s, etcd_key, text + RECORD_BODY_AT, body_len, mac, err);
    if (rc < 0)
        return rc;
    if (!mem_equal_ct(mac, text + sizeof(RECORD_HEAD) - 1, RECORD_MAC_SIZE))
        return denied(etcd_key, "the record's signature is wrong", err);
    return buf_add(body, text + RECORD_BODY_AT, body_len, err);
}
