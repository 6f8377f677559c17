#include <sodium.h>

#include "ciphers.h"
#include "libsodium.h"

int secretbox_encrypt(struct cipher_context *c, struct bytes aad, struct bytes plain, uint8_t *out,
                      size_t *used, struct error *err)
{
    (void)aad;
    int rc = sodium_ready(err);
    if (rc == 0)
        rc = crypto_random(out, SECRETBOX_NONCE, err);
    if (rc < 0)
        return rc;
    if (crypto_secretbox_easy(out + SECRETBOX_NONCE, plain.data, plain.len, out, c->key->data) != 0)
        return error_set(err, ERR_INTERNAL, "libsodium refused to make a secretbox");
    *used = SECRETBOX_NONCE + SECRETBOX_MAC + plain.len;
    return 0;
}

int secretbox_decrypt(struct cipher_context *c, struct bytes aad, struct bytes body, struct secret *out,
                      struct error *err)
{
    (void)aad;
    int rc = sodium_ready(err);
    if (rc < 0)
        return rc;
    const uint8_t *nonce = body.data;
    if (crypto_secretbox_open_easy(out->data, nonce + SECRETBOX_NONCE, body.len - SECRETBOX_NONCE, nonce,
                                   c->key->data) != 0)
        return error_set(err, ERR_DENIED, "the value does not open with this key, or was changed");
    out->len = body.len - SECRETBOX_NONCE - SECRETBOX_MAC;
    return 0;
}

static const struct cipher_kind {
    const char *name;
    bool short_keys; /* 16 and 24 bytes besides 32 */
    size_t body_min;
    size_t overhead; /* at most so many bytes more than the plain text */
    encrypt_fn encrypt;
    decrypt_fn decrypt;
} kinds[] = {
    [CIPHER_AESCBC] = {"AES-CBC", true, AESCBC_IV_SIZE + 16, AESCBC_IV_SIZE + 16, aescbc_encrypt,
                       aescbc_decrypt},
    [CIPHER_AESGCM] = {"AES-GCM", true, AESGCM_NONCE + AESGCM_TAG, AESGCM_NONCE + AESGCM_TAG, aesgcm_encrypt,
                       aesgcm_decrypt},
    [CIPHER_SECRETBOX] = {"secretbox", false, SECRETBOX_NONCE + SECRETBOX_MAC,
                          SECRETBOX_NONCE + SECRETBOX_MAC, secretbox_encrypt, secretbox_decrypt},
};

static int check_key(const struct cipher_kind *k, const struct secret *key, struct error *err)
{
    if (key->len != 32 && !(k->short_keys && (key->len == 16 || key->len == 24)))
        return error_set(err, ERR_INVALID, "a key of %zu bytes is none for %s (%s)", key->len, k->name,
                         k->short_keys ? "16, 24 or 32" : "32");
    return 0;
}

static int check_lengths(size_t aad_len, size_t len, struct error *err)
{
    if (len > CIPHER_BYTES_MAX || aad_len > CIPHER_BYTES_MAX)
        return error_set(err, ERR_TOO_LARGE, "a value of more than %u bytes", CIPHER_BYTES_MAX);
    return 0;
}

int cipher_context_new(enum cipher cipher, const struct secret *key, struct cipher_context **ret,
                       struct error *err)
{
    int rc = check_key(&kinds[cipher], key, err);
    if (rc < 0)
        return rc;
    _cleanup_(cipher_context_freep) struct cipher_context *c = calloc(1, sizeof(*c));
    if (!c)
        return error_no_memory(err);
    c->kind = &kinds[cipher];
    c->key = secret_copy(key->data, key->len);
    if (!c->key)
        return error_no_memory(err);
    *ret = take(c);
    return 0;
}

void cipher_context_free(struct cipher_context *c)
{
    if (!c)
        return;
    aes_clear(c);
    secret_free(c->key);
    free(c);
}

int cipher_context_encrypt(struct cipher_context *c, const void *aad, size_t aad_len, const void *plain,
                           size_t plain_len, struct buf *out, struct error *err)
{
    int rc = check_lengths(aad_len, plain_len, err);
    if (rc < 0)
        return rc;
    rc = buf_reserve(out, plain_len + c->kind->overhead, err);
    if (rc < 0)
        return rc;
    size_t used = 0;
    rc = c->kind->encrypt(c, (struct bytes){aad, aad_len}, (struct bytes){plain, plain_len},
                          (uint8_t *)out->data + out->len, &used, err);
    if (rc == 0)
        out->len += used;
    out->data[out->len] = 0;
    return rc;
}

int cipher_context_decrypt(struct cipher_context *c, const void *aad, size_t aad_len, const void *body,
                           size_t body_len, struct secret **ret, struct error *err)
{
    int rc = check_lengths(aad_len, body_len, err);
    if (rc < 0)
        return rc;
    if (body_len < c->kind->body_min)
        return error_set(err, ERR_DENIED, "the value is cut short: %zu bytes are no %s value", body_len,
                         c->kind->name);
    _cleanup_(secret_freep) struct secret *out = secret_new(body_len);
    if (!out)
        return error_no_memory(err);
    rc = c->kind->decrypt(c, (struct bytes){aad, aad_len}, (struct bytes){body, body_len}, out, err);
    if (rc < 0)
        return rc;
    *ret = take(out);
    return 0;
}

int crypto_encrypt(enum cipher cipher, const struct secret *key, const void *aad, size_t aad_len,
                   const void *plain, size_t plain_len, struct buf *out, struct error *err)
{
    _cleanup_(cipher_context_freep) struct cipher_context *c = NULL;
    int rc = cipher_context_new(cipher, key, &c, err);
    return rc < 0 ? rc : cipher_context_encrypt(c, aad, aad_len, plain, plain_len, out, err);
}

int crypto_decrypt(enum cipher cipher, const struct secret *key, const void *aad, size_t aad_len,
                   const void *body, size_t body_len, struct secret **ret, struct error *err)
{
    _cleanup_(cipher_context_freep) struct cipher_context *c = NULL;
    int rc = cipher_context_new(cipher, key, &c, err);
    return rc < 0 ? rc : cipher_context_decrypt(c, aad, aad_len, body, body_len, ret, err);
}
