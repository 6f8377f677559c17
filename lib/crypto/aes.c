#include <base/secret_heap.h>
#include <openssl/evp.h>

#include "ciphers.h"
#include "openssl.h"

static const EVP_CIPHER *cbc(size_t key_len)
{
    return key_len == 16 ? EVP_aes_128_cbc() : key_len == 24 ? EVP_aes_192_cbc() : EVP_aes_256_cbc();
}

static const EVP_CIPHER *gcm(size_t key_len)
{
    return key_len == 16 ? EVP_aes_128_gcm() : key_len == 24 ? EVP_aes_192_gcm() : EVP_aes_256_gcm();
}

void aes_clear(struct cipher_context *c)
{
    EVP_CIPHER_CTX_free(c->sealing); /* which cleanses the key schedule */
    EVP_CIPHER_CTX_free(c->opening);
    c->sealing = c->opening = NULL;
}

/* A context with its key; its IV is set for each value. NULL: OpenSSL failed. */
static EVP_CIPHER_CTX *prepared(EVP_CIPHER_CTX **ctx, const EVP_CIPHER *cipher, const struct secret *key,
                                bool seal)
{
    if (*ctx)
        return *ctx;
    _secret_heap_; /* for the key schedule */
    EVP_CIPHER_CTX *made = EVP_CIPHER_CTX_new();
    if (made && EVP_CipherInit_ex2(made, cipher, key->data, NULL, seal, NULL) != 1) {
        EVP_CIPHER_CTX_free(made);
        made = NULL;
    }
    *ctx = made;
    return made;
}

int aescbc_encrypt(struct cipher_context *c, struct bytes aad, struct bytes plain, uint8_t *out, size_t *used,
                   struct error *err)
{
    (void)aad;
    int rc = crypto_random(out, AESCBC_IV_SIZE, err);
    if (rc < 0)
        return rc;
    EVP_CIPHER_CTX *ctx = prepared(&c->sealing, cbc(c->key->len), c->key, true);
    uint8_t *text = out + AESCBC_IV_SIZE;
    int n = 0, last = 0;
    if (!ctx || EVP_EncryptInit_ex2(ctx, NULL, NULL, out, NULL) != 1 ||
        EVP_EncryptUpdate(ctx, text, &n, plain.data, (int)plain.len) != 1 ||
        EVP_EncryptFinal_ex(ctx, text + n, &last) != 1)
        return openssl_failed(err, "encrypt with AES-CBC");
    *used = AESCBC_IV_SIZE + (size_t)n + (size_t)last;
    return 0;
}

int aescbc_decrypt(struct cipher_context *c, struct bytes aad, struct bytes body, struct secret *out,
                   struct error *err)
{
    (void)aad;
    const uint8_t *iv = body.data;
    size_t text_len = body.len - AESCBC_IV_SIZE;
    if (text_len % 16 != 0)
        return error_set(err, ERR_DENIED, "the value is cut short or changed: no whole AES blocks");
    EVP_CIPHER_CTX *ctx = prepared(&c->opening, cbc(c->key->len), c->key, false);
    int n = 0, last = 0;
    if (!ctx || EVP_DecryptInit_ex2(ctx, NULL, NULL, iv, NULL) != 1 ||
        EVP_DecryptUpdate(ctx, out->data, &n, iv + AESCBC_IV_SIZE, (int)text_len) != 1)
        return openssl_failed(err, "decrypt with AES-CBC");
    if (EVP_DecryptFinal_ex(ctx, out->data + n, &last) != 1) {
        openssl_forget();
        return error_set(err, ERR_DENIED,
                         "the value does not open with this key, or was changed: bad padding");
    }
    out->len = (size_t)n + (size_t)last;
    return 0;
}

/* The nonce's length is GCM's default. */
static bool gcm_seal(EVP_CIPHER_CTX *ctx, struct bytes aad, struct bytes plain, uint8_t *out)
{
    int n = 0, last = 0, skip = 0;
    uint8_t *text = out + AESGCM_NONCE;
    return EVP_EncryptInit_ex2(ctx, NULL, NULL, out, NULL) == 1 &&
           (aad.len == 0 || EVP_EncryptUpdate(ctx, NULL, &skip, aad.data, (int)aad.len) == 1) &&
           (plain.len == 0 || EVP_EncryptUpdate(ctx, text, &n, plain.data, (int)plain.len) == 1) &&
           EVP_EncryptFinal_ex(ctx, text + n, &last) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AESGCM_TAG, text + plain.len) == 1;
}

int aesgcm_encrypt(struct cipher_context *c, struct bytes aad, struct bytes plain, uint8_t *out, size_t *used,
                   struct error *err)
{
    int rc = crypto_random(out, AESGCM_NONCE, err);
    if (rc < 0)
        return rc;
    EVP_CIPHER_CTX *ctx = prepared(&c->sealing, gcm(c->key->len), c->key, true);
    if (!ctx || !gcm_seal(ctx, aad, plain, out))
        return openssl_failed(err, "encrypt with AES-GCM");
    *used = AESGCM_NONCE + plain.len + AESGCM_TAG;
    return 0;
}

int aesgcm_decrypt(struct cipher_context *c, struct bytes aad, struct bytes body, struct secret *out,
                   struct error *err)
{
    const uint8_t *nonce = body.data;
    const uint8_t *text = nonce + AESGCM_NONCE;
    size_t len = body.len - AESGCM_NONCE - AESGCM_TAG;
    uint8_t tag[AESGCM_TAG];
    memcpy(tag, text + len, sizeof(tag));
    EVP_CIPHER_CTX *ctx = prepared(&c->opening, gcm(c->key->len), c->key, false);
    int n = 0, last = 0, skip = 0;
    if (!ctx || EVP_DecryptInit_ex2(ctx, NULL, NULL, nonce, NULL) != 1 ||
        (aad.len > 0 && EVP_DecryptUpdate(ctx, NULL, &skip, aad.data, (int)aad.len) != 1) ||
        (len > 0 && EVP_DecryptUpdate(ctx, out->data, &n, text, (int)len) != 1) ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AESGCM_TAG, tag) != 1)
        return openssl_failed(err, "decrypt with AES-GCM");
    if (EVP_DecryptFinal_ex(ctx, out->data + n, &last) != 1) {
        openssl_forget();
        return error_set(err, ERR_DENIED,
                         "the value does not open with this key under this etcd key, or was changed");
    }
    out->len = len;
    return 0;
}
