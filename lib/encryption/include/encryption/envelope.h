/* Values at rest: `k8s:enc:<provider>:v1:<key name>:<body>`, or a plain object. Source: Kubernetes
 * apiserver pkg/server/options/encryptionconfig and pkg/storage/value. */
#ifndef ENCRYPTION_ENVELOPE_H
#define ENCRYPTION_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>

#include <base/buf.h>
#include <base/error.h>
#include <base/secret.h>
#include <encryption/config.h>

struct envelope {
    enum provider provider; /* PROVIDER_IDENTITY: a plain value */
    const char *key_name;   /* borrowed from the value, not NUL-terminated; NULL for plain values */
    size_t key_name_len;
    const uint8_t *body; /* borrowed from the value */
    size_t body_len;
};

/* Reads a stored value's prefix. Key names may hold colons: among the `names` given (of that provider) the
 * longest that matches `<name>:` wins; when none matches, the name is what stands before the first colon.
 * ERR_INVALID: "k8s:enc:" with an unknown provider or version, or no colon. Never copies the body. */
int envelope_read(const void *value, size_t len, const struct key_view *names, size_t names_count,
                  struct envelope *ret, struct error *err) _must_check_;

/* Decrypts a stored value with the keys of the entry of `resource`, as that config's API server would, in
 * provider order. ERR_NOT_FOUND when no key of that name is there, ERR_DENIED when the body does not open.
 * etcd_key is the additional data of aesgcm. Plain values are copied. Caller frees. */
int envelope_decrypt(const struct encryption_config *c, const char *resource, const char *etcd_key,
                     const void *value, size_t len, struct secret **ret, struct error *err) _must_check_;

/* Appends the stored form of `plain` under the entry's write key (its first provider's first key; the
 * object itself when that is identity). */
int envelope_encrypt(const struct encryption_config *c, const char *resource, const char *etcd_key,
                     const void *plain, size_t plain_len, struct buf *out, struct error *err) _must_check_;

/* As envelope_encrypt under one named key (for test vectors and canaries). */
int envelope_encrypt_with(const struct encryption_config *c, const char *resource, enum provider provider,
                          const char *key_name, const char *etcd_key, const void *plain, size_t plain_len,
                          struct buf *out, struct error *err) _must_check_;

/* envelope_decrypt and envelope_encrypt for many values of one resource: each key is set up once, when it is
 * first needed. The config must outlive it. One thread at a time. */
struct envelope_codec;
/* ERR_NOT_FOUND when no entry is for the resource. Caller frees. */
int envelope_codec_new(const struct encryption_config *c, const char *resource, struct envelope_codec **ret,
                       struct error *err) _must_check_;
void envelope_codec_free(struct envelope_codec *k);
DEFINE_CLEANUP(struct envelope_codec *, envelope_codec_free);
int envelope_codec_decrypt(struct envelope_codec *k, const char *etcd_key, const void *value, size_t len,
                           struct secret **ret, struct error *err) _must_check_;
int envelope_codec_encrypt(struct envelope_codec *k, const char *etcd_key, const void *plain,
                           size_t plain_len, struct buf *out, struct error *err) _must_check_;

#endif
