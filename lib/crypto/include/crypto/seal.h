/* What the cluster token protects in the state store.
 *
 * scrypt derives two keys from the token, once a process. Bundles (encryption configs) are sealed:
 * AES-256-GCM under a key that HKDF expands from the one with a random salt; the salt stands beside it, and
 * is part of the additional data together with cluster, generation and etcd key, so that a bundle can be
 * neither moved nor relabelled. Records (orders, reports, …) are signed: HMAC-SHA-256 under the other.
 *
 * Whoever can write the state store but has no token can delay and deny, but not make anything up. */
#ifndef CRYPTO_SEAL_H
#define CRYPTO_SEAL_H

#include <stddef.h>
#include <stdint.h>

#include <base/buf.h>
#include <base/cleanup.h>
#include <base/error.h>
#include <base/secret.h>

struct seal; /* the token, the keys derived from it, and a small cache of old bundles' keys; wiped on free */

#define SEAL_TOKEN_MIN 16 /* bytes, after white space at both ends is cut off */
#define SEAL_TOKEN_MAX 4096

/* Derives both keys (scrypt, N = 2^15, r = 8, p = 3, salt = SHA-256 of a fixed label and the cluster's
 * name: about 0.3 s and 32 MiB for a moment). ERR_INVALID for a token shorter than SEAL_TOKEN_MIN, longer
 * than SEAL_TOKEN_MAX, or with NULs or line breaks inside. Not thread-safe: one per thread, or a lock. */
int seal_new(const struct secret *token, const char *cluster, struct seal **ret,
             struct error *err) _must_check_;
void seal_free(struct seal *s);
DEFINE_CLEANUP(struct seal *, seal_free);

/* Signs a JSON object (its compact text) for the etcd key that it will stand under. Appends
 *   {"mac":"<64 hex>","body":<json>}
 * where mac = HMAC-SHA-256 over "secrets-encrypt record v1" 0x00 cluster 0x00 etcd_key 0x00 body. */
int seal_sign(struct seal *s, const char *etcd_key, const char *json, size_t json_len, struct buf *out,
              struct error *err) _must_check_;

/* Checks the exact bytes of a signed record (fixed layout, so that there is one reading only) and appends
 * the body. ERR_DENIED naming the etcd key when the layout or the MAC is wrong. */
int seal_verify(struct seal *s, const char *etcd_key, const void *value, size_t len, struct buf *body,
                struct error *err) _must_check_;

/* --- fingerprints of keys (what a server's report says of them) ---
 * HMAC-SHA-256 under a key of its own, cut to 64 bits. Whoever reads the state store without the token can
 * neither make nor check one: not even for a key that they know or guess. */
#define FINGERPRINT_SIZE 17 /* 16 hex digits and the NUL */

/* HMAC-SHA-256 under the key of signatures over "secrets-encrypt fingerprint key v1" 0x00 cluster 0x00: another
 * one in each cluster. Caller frees. */
int seal_fingerprint_key(struct seal *s, struct secret **ret, struct error *err) _must_check_;

/* Over "secrets-encrypt fingerprint v1" 0x00 provider 0x00 name 0x00 value. */
int fingerprint_make(const struct secret *fingerprint_key, const char *provider, const char *name,
                     const struct secret *value, char out[FINGERPRINT_SIZE], struct error *err) _must_check_;

/* Seals an encryption config. Appends a JSON object with members v (2), kdf ("hkdf"), salt, nonce, box
 * (base64 of ciphertext and tag). A new random salt and nonce at each call. The key is HKDF-Expand (SHA-256,
 * RFC 5869) of the second 32 bytes that seal_new derived, with info = "secrets-encrypt bundle v2" 0x00
 * cluster 0x00 salt. */
int seal_box(struct seal *s, const char *etcd_key, int64_t generation, const struct secret *plain,
             struct buf *out, struct error *err) _must_check_;

/* Opens one, also of version 1 (kdf "scrypt", with members n, r, p: a key derived from the token with the
 * box's own salt, 0.3 s for each new salt). ERR_DENIED: another cluster, key, generation, token, or changed
 * bytes. ERR_DENIED too, before any work is done, for parameters weaker than seal_box writes; ERR_INVALID for
 * ones that would take more than 256 MiB or 16 times the work, and for text that is no such object (or has
 * members besides). `len` over 3 MiB is ERR_TOO_LARGE. Caller frees *ret. */
int seal_unbox(struct seal *s, const char *etcd_key, int64_t generation, const char *json, size_t len,
               struct secret **ret, struct error *err) _must_check_;

#endif
