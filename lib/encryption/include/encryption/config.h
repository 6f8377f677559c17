/* Kubernetes's EncryptionConfiguration (apiserver.config.k8s.io/v1): parse, emit, identify, and the
 * operations of a key rotation as pure functions from one config to the next.
 *
 * `resources` entries whose resources are all named as managed are rotated; every other entry is carried
 * over unchanged. Key names are data: they stand inside stored values, and may hold colons. */
#ifndef ENCRYPTION_CONFIG_H
#define ENCRYPTION_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/cleanup.h>
#include <base/error.h>
#include <base/secret.h>

#define ENCRYPTION_CONFIG_MAX   (1024 * 1024) /* bytes of a file */
#define ENCRYPTION_KEY_NAME_MAX 253           /* bytes of a key's name */
#define ENCRYPTION_KEYS_MAX     64            /* keys in all managed entries together */

enum provider { PROVIDER_IDENTITY, PROVIDER_AESCBC, PROVIDER_AESGCM, PROVIDER_SECRETBOX, PROVIDER_KMS };

/* "identity", "aescbc", "aesgcm", "secretbox", "kms" */
const char *provider_name(enum provider p);
/* What K3s's status prints: "AES-CBC", "AES-GCM", "XSalsa20-POLY1305"; "" for identity, "KMS". */
const char *provider_display(enum provider p);
int provider_parse(const char *name, enum provider *ret, struct error *err) _must_check_;

struct encryption_config;

/* Names of the managed resources ("secrets", "configmaps", "widgets.example.org"). Borrowed. */
struct resource_set {
    const char *const *names;
    size_t count;
};

/* Parses JSON or YAML (a document that starts with '{' is JSON). `what` names the source. Each of these is
 * ERR_INVALID (ERR_TOO_LARGE for the size) with one line that names `what`, the place (resources[1].
 * providers[0].aescbc.keys[2]) and what is wrong, never a key's value: empty, truncated, not UTF-8, over
 * ENCRYPTION_CONFIG_MAX, wrong shape, unknown kind or apiVersion, unknown provider, an entry without
 * resources or providers, a provider object with no or several members, a key without name or secret, a
 * secret that is not base64, a key of the wrong length (aescbc and aesgcm 16, 24 or 32 bytes, secretbox 32),
 * the same key name twice in one provider. Caller frees. */
int encryption_config_parse(const void *text, size_t len, const char *what, struct encryption_config **ret,
                            struct error *err) _must_check_;

void encryption_config_free(struct encryption_config *c);
DEFINE_CLEANUP(struct encryption_config *, encryption_config_free);

/* The text to write to disk, in the format (JSON compact, or YAML) that the config was parsed from.
 * Everything that this program does not manage keeps its meaning. Caller frees. */
int encryption_config_emit(const struct encryption_config *c, struct secret **ret,
                           struct error *err) _must_check_;

/* SHA-256 of the canonical form, hex: equal for two files that differ in layout alone (JSON or YAML, white
 * space, order of object members), different as soon as any resource, provider, key name, key or order
 * differs. */
int encryption_config_id(const struct encryption_config *c, char out[65], struct error *err) _must_check_;

/* Checks that `managed` can be rotated in this config: every managed resource stands in exactly one entry;
 * that entry names managed resources only; no wildcard entry ("*.*", "*.<group>") before it covers it (one
 * after it may: API servers take the first that fits); its first provider, and all others, are not kms, and
 * none of them stands twice in an entry (older API servers read with the first of a kind only); no
 * key's name is another one's up to a colon (API servers take values under "k:1" for such under "k"); a key
 * that stands in several managed entries has one value. ERR_UNSUPPORTED or ERR_NOT_FOUND with a clear text.
 */
int encryption_check_managed(const struct encryption_config *c, struct resource_set managed,
                             struct error *err) _must_check_;

/* One key of a managed entry. */
struct key_view {
    const char *name; /* borrowed from the config */
    enum provider provider;
    bool active;  /* new values are written under it (in one managed entry at least) */
    bool partial; /* not in every managed entry */
};

/* The keys of the managed entries: each (provider, name) once, the active one first, then in file order.
 * Returns how many there are (at most ENCRYPTION_KEYS_MAX are filled in, and parse refuses more). */
size_t encryption_keys(const struct encryption_config *c, struct resource_set managed, struct key_view *out,
                       size_t max);

/* True when values are written encrypted in every managed entry (no identity first). */
bool encryption_enabled(const struct encryption_config *c, struct resource_set managed);

/* True when nothing at all is encrypted, managed or not, and no key stands there: an API server reads and
 * writes with it as it does without any. */
bool encryption_is_plain(const struct encryption_config *c);

/* True when every managed entry can read values under `name` of `provider` (for PROVIDER_IDENTITY: plain
 * ones). */
bool encryption_can_read(const struct encryption_config *c, struct resource_set managed,
                         enum provider provider, const char *name);
/* True when every managed entry writes under `name` of `provider`. */
bool encryption_writes_with(const struct encryption_config *c, struct resource_set managed,
                            enum provider provider, const char *name);

/* The value of a key of the managed entries, borrowed; NULL when none of them has it. */
const struct secret *encryption_key_value(const struct encryption_config *c, struct resource_set managed,
                                          enum provider provider, const char *name);

/* --- operations: a new config in *ret (caller frees), the old one untouched --- */

/* Makes a new key readable: appended last to the first provider of its kind in every managed entry; where
 * an entry has none of that kind, such a provider is put last, but before an identity that closes the list
 * (and does not open it: what writes stays as it is). ERR_CONFLICT when the name is taken in any provider of
 * a managed entry, or is one's up to a colon. ERR_INVALID for a name or a key that encryption_config_parse
 * would refuse. `key` is copied. */
int encryption_append_key(const struct encryption_config *c, struct resource_set managed,
                          enum provider provider, const char *name, const struct secret *key,
                          struct encryption_config **ret, struct error *err) _must_check_;

/* Writes with it: the provider goes first in every managed entry, and the key first in it. The order of
 * the others stays. ERR_NOT_FOUND unless every managed entry can read it. ERR_INVALID for
 * identity and kms. */
int encryption_promote_key(const struct encryption_config *c, struct resource_set managed,
                           enum provider provider, const char *name, struct encryption_config **ret,
                           struct error *err) _must_check_;

/* Removes a key; a provider left without keys goes too. ERR_STATE when it is the one that writes,
 * ERR_NOT_FOUND when no managed entry has it. */
int encryption_drop_key(const struct encryption_config *c, struct resource_set managed,
                        enum provider provider, const char *name, struct encryption_config **ret,
                        struct error *err) _must_check_;

/* Plain values become readable: identity last in every managed entry that has none. */
int encryption_append_identity(const struct encryption_config *c, struct resource_set managed,
                               struct encryption_config **ret, struct error *err) _must_check_;

/* disable: identity first in every managed entry (ERR_STATE unless each has one: append_identity first).
 * enable: identity last, so that the first key of the first provider writes again; ERR_NOT_FOUND when an
 * entry has no key at all. */
int encryption_disable(const struct encryption_config *c, struct resource_set managed,
                       struct encryption_config **ret, struct error *err) _must_check_;
int encryption_enable(const struct encryption_config *c, struct resource_set managed,
                      struct encryption_config **ret, struct error *err) _must_check_;

/* --- servers that make their config themselves --- */

/* The key that K3s means by "the last one": it appends after it, moves it to the front, drops it. The last of
 * the kind that stands first; where that kind has one key only, the last of all. ERR_STATE: there is none. */
int encryption_last_key(const struct encryption_config *c, struct resource_set managed, struct key_view *ret,
                        struct error *err) _must_check_;

/* Whether `after` is exactly what K3s makes of `before` when it is asked for `call` ("prepare": a new key
 * last; "rotate": the last key writes; "reencrypt": the last key is dropped; "enable", "disable"). ERR_STATE
 * with what is wrong, never with a key's value. */
int encryption_check_made(const struct encryption_config *before, const struct encryption_config *after,
                          struct resource_set managed, const char *call, struct error *err) _must_check_;

#endif
