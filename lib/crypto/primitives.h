/* Digests, MACs and key derivation that the room's own files build on. */
#ifndef CRYPTO_PRIMITIVES_H
#define CRYPTO_PRIMITIVES_H

#include <crypto/crypto.h>
#include <stdbool.h>

struct bytes {
    const void *data;
    size_t len;
};

struct scrypt_params {
    uint64_t n; /* a power of two */
    uint32_t r;
    uint32_t p;
};

/* HMAC-SHA-256 over the parts, one after the other. */
int crypto_hmac(const struct secret *key, const struct bytes *parts, size_t count, uint8_t out[SHA256_SIZE],
                struct error *err) _must_check_;

/* A new secret of `len` bytes; caller frees. Takes 128 * n * r bytes of memory for its time. */
int crypto_scrypt(const struct secret *password, struct bytes salt, const struct scrypt_params *params,
                  size_t len, struct secret **ret, struct error *err) _must_check_;

/* HKDF-Expand with SHA-256 (RFC 5869) from a key that is uniformly random already: a new secret of `len`
 * bytes, at most 255 * 32; caller frees. */
int crypto_hkdf_expand(const struct secret *key, struct bytes info, size_t len, struct secret **ret,
                       struct error *err) _must_check_;

#endif
