#include <crypto/crypto.h>
#include <limits.h>
#include <openssl/rand.h>

#include "openssl.h"

int crypto_random(void *out, size_t len, struct error *err)
{
    if (len > INT_MAX)
        return error_set(err, ERR_TOO_LARGE, "more than %d random bytes at once", INT_MAX);
    return RAND_priv_bytes(out, (int)len) == 1 ? 0 : openssl_failed(err, "make random bytes");
}

int crypto_random_secret(size_t len, struct secret **ret, struct error *err)
{
    _cleanup_(secret_freep) struct secret *s = secret_new(len);
    if (!s)
        return error_no_memory(err);
    int rc = crypto_random(s->data, len, err);
    if (rc < 0)
        return rc;
    s->len = len;
    *ret = take(s);
    return 0;
}

int crypto_uuid(char out[37], struct error *err)
{
    uint8_t b[16];
    int rc = crypto_random(b, sizeof(b), err);
    if (rc < 0)
        return rc;
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4: random */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80); /* variant of RFC 9562 */
    snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    return 0;
}
