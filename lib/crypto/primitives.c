#include "primitives.h"

#include <base/secret_heap.h>
#include <base/text.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "openssl.h"

DEFINE_CLEANUP(EVP_MAC *, EVP_MAC_free);
DEFINE_CLEANUP(EVP_MAC_CTX *, EVP_MAC_CTX_free);
DEFINE_CLEANUP(EVP_KDF *, EVP_KDF_free);
DEFINE_CLEANUP(EVP_KDF_CTX *, EVP_KDF_CTX_free);

int crypto_sha256(const void *data, size_t len, uint8_t out[SHA256_SIZE], struct error *err)
{
    return EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1 ? 0
                                                                     : openssl_failed(err, "take a SHA-256");
}

int crypto_sha256_hex(const void *data, size_t len, char out[SHA256_HEX_SIZE], struct error *err)
{
    uint8_t digest[SHA256_SIZE];
    int rc = crypto_sha256(data, len, digest, err);
    if (rc == 0)
        text_hex(digest, sizeof(digest), out);
    return rc;
}

int crypto_hmac(const struct secret *key, const struct bytes *parts, size_t count, uint8_t out[SHA256_SIZE],
                struct error *err)
{
    _secret_heap_;
    _cleanup_(EVP_MAC_freep) EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    _cleanup_(EVP_MAC_CTX_freep) EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
                           OSSL_PARAM_construct_end()};
    bool good = ctx && EVP_MAC_init(ctx, key->data, key->len, params) == 1;
    for (size_t i = 0; good && i < count; i++)
        good = EVP_MAC_update(ctx, parts[i].data, parts[i].len) == 1;
    size_t len = 0;
    good = good && EVP_MAC_final(ctx, out, &len, SHA256_SIZE) == 1 && len == SHA256_SIZE;
    return good ? 0 : openssl_failed(err, "take an HMAC");
}

static int derive(const char *algorithm, const OSSL_PARAM *params, size_t len, struct secret **ret,
                  struct error *err)
{
    _cleanup_(secret_freep) struct secret *out = secret_new(len);
    if (!out)
        return error_no_memory(err);
    _secret_heap_;
    _cleanup_(EVP_KDF_freep) EVP_KDF *kdf = EVP_KDF_fetch(NULL, algorithm, NULL);
    _cleanup_(EVP_KDF_CTX_freep) EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    if (!ctx || EVP_KDF_derive(ctx, out->data, len, params) != 1) {
        char task[64];
        snprintf(task, sizeof(task), "derive a key with %s", algorithm);
        return openssl_failed(err, task);
    }
    out->len = len;
    *ret = take(out);
    return 0;
}

int crypto_scrypt(const struct secret *password, struct bytes salt, const struct scrypt_params *params,
                  size_t len, struct secret **ret, struct error *err)
{
    struct scrypt_params v = *params;
    uint64_t memory = 128 * v.r * (v.n + v.p + 2) + 1024 * 1024;
    OSSL_PARAM p[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, password->data, password->len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt.data, salt.len),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &v.n),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &v.r),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &v.p),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
        OSSL_PARAM_construct_end(),
    };
    return derive("scrypt", p, len, ret, err);
}

int crypto_hkdf_expand(const struct secret *key, struct bytes info, size_t len, struct secret **ret,
                       struct error *err)
{
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM p[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key->data, key->len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info.data, info.len),
        OSSL_PARAM_construct_end(),
    };
    return derive("HKDF", p, len, ret, err);
}
