/* libsodium's base64 uses no tables, so that key material does not show in the cache. */
#include <crypto/crypto.h>
#include <sodium.h>

#include "libsodium.h"

#define DATA_MAX (64u * 1024 * 1024)

int crypto_base64_encode(const void *data, size_t len, struct secret **ret, struct error *err)
{
    int rc = sodium_ready(err);
    if (rc < 0)
        return rc;
    if (len > DATA_MAX)
        return error_set(err, ERR_TOO_LARGE, "more than %u bytes to encode as base64", DATA_MAX);
    size_t size = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL); /* with the NUL */
    struct secret *out = secret_new(size);
    if (!out)
        return error_no_memory(err);
    sodium_bin2base64((char *)out->data, size, data, len, sodium_base64_VARIANT_ORIGINAL);
    out->len = size - 1;
    *ret = out;
    return 0;
}

int crypto_base64_decode(const char *text, size_t len, struct secret **ret, struct error *err)
{
    int rc = sodium_ready(err);
    if (rc < 0)
        return rc;
    if (len > DATA_MAX)
        return error_set(err, ERR_TOO_LARGE, "more than %u bytes of base64", DATA_MAX);
    _cleanup_(secret_freep) struct secret *out = secret_new(len / 4 * 3 + 3);
    if (!out)
        return error_no_memory(err);
    const char *end = text;
    size_t used = 0;
    if (len % 4 != 0 ||
        sodium_base642bin(out->data, out->cap, text, len, NULL, &used, &end,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        end != text + len)
        return error_set(err, ERR_INVALID, "not base64 (standard alphabet, padded, without spaces)");
    out->len = used;
    *ret = take(out);
    return 0;
}
