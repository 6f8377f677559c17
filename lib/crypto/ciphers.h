/* The three ciphers behind crypto_encrypt and crypto_decrypt. Lengths are checked there: plain and body are
 * at most CIPHER_BYTES_MAX, the key has a size that the cipher takes, the body its overhead at least. */
#ifndef CRYPTO_CIPHERS_H
#define CRYPTO_CIPHERS_H

#include "primitives.h"

#define CIPHER_BYTES_MAX (64u * 1024 * 1024)

#define AESCBC_IV_SIZE  16
#define AESGCM_NONCE    12
#define AESGCM_TAG      16
#define SECRETBOX_NONCE 24
#define SECRETBOX_MAC   16

/* A cipher with its key. OpenSSL's contexts are set up when they are first needed, and take a fresh IV for
 * each value afterwards. */
struct evp_cipher_ctx_st;
struct cipher_context {
    const struct cipher_kind *kind;
    struct secret *key;
    struct evp_cipher_ctx_st *sealing, *opening; /* AES; NULL: not needed so far */
};

/* out has room for plain.len plus the cipher's overhead; *used tells how much of it was filled. */
typedef int (*encrypt_fn)(struct cipher_context *c, struct bytes aad, struct bytes plain, uint8_t *out,
                          size_t *used, struct error *err);
/* out has room for body.len bytes; out->len is set. What was not authentic is ERR_DENIED. */
typedef int (*decrypt_fn)(struct cipher_context *c, struct bytes aad, struct bytes body, struct secret *out,
                          struct error *err);

int aescbc_encrypt(struct cipher_context *c, struct bytes aad, struct bytes plain, uint8_t *out, size_t *used,
                   struct error *err) _must_check_;
int aescbc_decrypt(struct cipher_context *c, struct bytes aad, struct bytes body, struct secret *out,
                   struct error *err) _must_check_;
int aesgcm_encrypt(struct cipher_context *c, struct bytes aad, struct bytes plain, uint8_t *out, size_t *used,
                   struct error *err) _must_check_;
int aesgcm_decrypt(struct cipher_context *c, struct bytes aad, struct bytes body, struct secret *out,
                   struct error *err) _must_check_;
int secretbox_encrypt(struct cipher_context *c, struct bytes aad, struct bytes plain, uint8_t *out,
                      size_t *used, struct error *err) _must_check_;
int secretbox_decrypt(struct cipher_context *c, struct bytes aad, struct bytes body, struct secret *out,
                      struct error *err) _must_check_;

/* Frees what AES set up. */
void aes_clear(struct cipher_context *c);

#endif
