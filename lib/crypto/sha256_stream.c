#include <crypto/crypto.h>

#include <base/text.h>
#include <openssl/evp.h>

#include "openssl.h"

DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free);

struct sha256_stream {
    EVP_MD_CTX *ctx;
};

int sha256_stream_new(struct sha256_stream **ret, struct error *err)
{
    _cleanup_(sha256_stream_freep) struct sha256_stream *s = calloc(1, sizeof(*s));
    if (!s)
        return error_no_memory(err);
    s->ctx = EVP_MD_CTX_new();
    if (!s->ctx || EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) != 1)
        return openssl_failed(err, "begin a SHA-256");
    *ret = take(s);
    return 0;
}

void sha256_stream_free(struct sha256_stream *s)
{
    if (!s)
        return;
    EVP_MD_CTX_free(s->ctx);
    free(s);
}

int sha256_stream_update(struct sha256_stream *s, const void *data, size_t len, struct error *err)
{
    return len == 0 || EVP_DigestUpdate(s->ctx, data, len) == 1 ? 0
                                                                : openssl_failed(err, "go on with a SHA-256");
}

/* A copy is ended, so that the stream can go on. */
int sha256_stream_final(const struct sha256_stream *s, uint8_t out[SHA256_SIZE], struct error *err)
{
    _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *end = EVP_MD_CTX_new();
    bool good = end && EVP_MD_CTX_copy_ex(end, s->ctx) == 1 && EVP_DigestFinal_ex(end, out, NULL) == 1;
    return good ? 0 : openssl_failed(err, "end a SHA-256");
}

int sha256_stream_final_hex(const struct sha256_stream *s, char out[SHA256_HEX_SIZE], struct error *err)
{
    uint8_t digest[SHA256_SIZE];
    int rc = sha256_stream_final(s, digest, err);
    if (rc == 0)
        text_hex(digest, sizeof(digest), out);
    return rc;
}
