/* Fingerprints of keys: two servers can be compared by them, and nobody without the token can make or check
 * one. */
#include <base/text.h>

#include "seal_internal.h"

#define KEY_LABEL   "secrets-encrypt fingerprint key v1" /* the NULs are part of what is signed */
#define VALUE_LABEL "secrets-encrypt fingerprint v1"

int seal_fingerprint_key(struct seal *s, struct secret **ret, struct error *err)
{
    const struct bytes parts[] = {
        {KEY_LABEL, sizeof(KEY_LABEL)},
        {s->cluster, strlen(s->cluster) + 1},
    };
    _cleanup_(secret_freep) struct secret *key = secret_new(SHA256_SIZE);
    if (!key)
        return error_no_memory(err);
    int rc = crypto_hmac(s->mac_key, parts, array_len(parts), key->data, err);
    if (rc < 0)
        return rc;
    key->len = SHA256_SIZE;
    *ret = take(key);
    return 0;
}

int fingerprint_make(const struct secret *fingerprint_key, const char *provider, const char *name,
                     const struct secret *value, char out[FINGERPRINT_SIZE], struct error *err)
{
    const struct bytes parts[] = {
        {VALUE_LABEL, sizeof(VALUE_LABEL)},
        {provider, strlen(provider) + 1},
        {name, strlen(name) + 1},
        {value->data, value->len},
    };
    uint8_t mac[SHA256_SIZE];
    int rc = crypto_hmac(fingerprint_key, parts, array_len(parts), mac, err);
    if (rc == 0)
        text_hex(mac, (FINGERPRINT_SIZE - 1) / 2, out);
    explicit_bzero(mac, sizeof(mac));
    return rc;
}
