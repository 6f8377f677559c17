/* The only room that uses OpenSSL (and libsodium, for secretbox): randomness, digests, the ciphers of
 * Kubernetes's at-rest formats, and base64 of key material. */
#ifndef CRYPTO_CRYPTO_H
#define CRYPTO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/buf.h>
#include <base/cleanup.h>
#include <base/error.h>
#include <base/secret.h>

#define SHA256_SIZE     32
#define SHA256_HEX_SIZE 65 /* with the NUL */

/* Has OpenSSL keep key schedules and the like where secrets are kept (base/secret_heap.h). Before anything
 * else of OpenSSL, so at the very start of a program; false: it was too late, or is not possible. */
bool crypto_guard_memory(void);

int crypto_random(void *out, size_t len, struct error *err) _must_check_;
/* A secret of len random bytes; caller frees. */
int crypto_random_secret(size_t len, struct secret **ret, struct error *err) _must_check_;
/* A random (version 4) UUID as text; out needs 37. */
int crypto_uuid(char out[37], struct error *err) _must_check_;

int crypto_sha256(const void *data, size_t len, uint8_t out[SHA256_SIZE], struct error *err) _must_check_;
int crypto_sha256_hex(const void *data, size_t len, char out[SHA256_HEX_SIZE],
                      struct error *err) _must_check_;

/* SHA-256 of data that comes in pieces of any size. One thread at a time. */
struct sha256_stream;
/* The digest of nothing yet; caller frees. */
int sha256_stream_new(struct sha256_stream **ret, struct error *err) _must_check_;
void sha256_stream_free(struct sha256_stream *s);
DEFINE_CLEANUP(struct sha256_stream *, sha256_stream_free);
/* Adds the next `len` bytes; none (data may be NULL then) are fine. ERR_INTERNAL with OpenSSL's reason: the
 * stream is of no use any more. */
int sha256_stream_update(struct sha256_stream *s, const void *data, size_t len,
                         struct error *err) _must_check_;
/* The digest of what was added so far, raw or as lower-case hex; the stream stays as it is, and more can be
 * added afterwards. */
int sha256_stream_final(const struct sha256_stream *s, uint8_t out[SHA256_SIZE],
                        struct error *err) _must_check_;
int sha256_stream_final_hex(const struct sha256_stream *s, char out[SHA256_HEX_SIZE],
                            struct error *err) _must_check_;

/* Standard base64 (padded), strict: no white space, no missing padding, no stray bits. The decoded bytes
 * and the encoded text are key material, hence secrets; caller frees. Works in constant memory patterns
 * (EVP_Encode/DecodeBlock or better) and wipes temporaries. */
int crypto_base64_encode(const void *data, size_t len, struct secret **ret, struct error *err) _must_check_;
int crypto_base64_decode(const char *text, size_t len, struct secret **ret, struct error *err) _must_check_;

/* Ciphers of k8s:enc:…: bodies as Kubernetes writes them (lib/encryption knows the prefixes).
 *   aescbc     16-byte IV, AES-CBC with PKCS#7            key 16, 24 or 32
 *   aesgcm     12-byte nonce, ciphertext, 16-byte tag     key 16, 24 or 32; aad = the etcd key
 *   secretbox  24-byte nonce, XSalsa20-Poly1305 box       key 32; aad not used
 * A wrong key or a changed body is ERR_DENIED (for aescbc as far as the padding tells). */
enum cipher { CIPHER_AESCBC, CIPHER_AESGCM, CIPHER_SECRETBOX };
int crypto_encrypt(enum cipher cipher, const struct secret *key, const void *aad, size_t aad_len,
                   const void *plain, size_t plain_len, struct buf *out, struct error *err) _must_check_;
int crypto_decrypt(enum cipher cipher, const struct secret *key, const void *aad, size_t aad_len,
                   const void *body, size_t body_len, struct secret **ret, struct error *err) _must_check_;

/* The same with a key that is set up once and used for many values. The key is copied; the context is key
 * material: locked away and wiped as a secret is, as far as OpenSSL's own structures allow (it cleanses them
 * when they are freed). One thread at a time. Errors, limits and formats are those of
 * crypto_encrypt and crypto_decrypt. */
struct cipher_context;
int cipher_context_new(enum cipher cipher, const struct secret *key, struct cipher_context **ret,
                       struct error *err) _must_check_;
void cipher_context_free(struct cipher_context *c);
DEFINE_CLEANUP(struct cipher_context *, cipher_context_free);
int cipher_context_encrypt(struct cipher_context *c, const void *aad, size_t aad_len, const void *plain,
                           size_t plain_len, struct buf *out, struct error *err) _must_check_;
int cipher_context_decrypt(struct cipher_context *c, const void *aad, size_t aad_len, const void *body,
                           size_t body_len, struct secret **ret, struct error *err) _must_check_;

#endif
