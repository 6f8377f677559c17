/* Names of the state store's keys, and the JSON of its values. Decoders refuse (ERR_INVALID, naming what)
 * unknown enum words, texts that are too long, negative counts, and members of the wrong type; unknown
 * members are ignored, so that a newer peer can add some. */
#ifndef CLUSTER_CODEC_H
#define CLUSTER_CODEC_H

#include <base/buf.h>
#include <base/error.h>
#include <cluster/types.h>

/* --- words --- (NULL or -1 for what is unknown) */
const char *stage_name(enum stage s); /* "reencrypt_active" */
int stage_parse(const char *word);
/* "", "etcd", "control-plane"; -1: none of them. */
int server_role_parse(const char *word);
const char *order_kind_name(enum order_kind k);
const char *order_state_name(enum order_state s);
const char *operation_kind_name(enum operation_kind k); /* "rotate-keys" */
int operation_kind_parse(const char *word);
const char *operation_state_name(enum operation_state s);
const char *phase_name(enum phase p);
const char *proof_state_name(enum proof_state s);
const char *key_state_name(enum key_state s);
const char *check_result_name(enum check_result r);   /* "ok", "warn", "fail" */
const char *cluster_cause_name(enum cluster_cause c); /* "mismatch" */

/* A lease's id as text, and back: 0 for what is none. */
void cluster_lease_format(int64_t lease, char out[CLUSTER_LEASE_MAX]);
int64_t cluster_lease_parse(const char *text);

/* --- keys --- */
#define CLUSTER_KEY_PATH_MAX 256
enum cluster_key {
    CLUSTER_KEY_ALL, /* the prefix of all of them */
    CLUSTER_KEY_SPEC,
    CLUSTER_KEY_STAGE, /* name = server */
    CLUSTER_KEY_HASH,
    CLUSTER_KEY_REPORT,
    CLUSTER_KEY_ORDER,
    CLUSTER_KEY_ROTATION,
    CLUSTER_KEY_BUNDLE, /* name = generation, 20 digits */
    CLUSTER_KEY_REENCRYPT,
    CLUSTER_KEY_PROOFS,
    CLUSTER_KEY_KEYS,
    CLUSTER_KEY_APIS,
    CLUSTER_KEY_ESCROW,  /* name = cluster_escrow_name */
    CLUSTER_KEY_REQUEST, /* name = id */
    CLUSTER_KEY_LEADER,
    CLUSTER_KEY_CANDIDATE,
    CLUSTER_KEY_CHECKS, /* name = server; not part of a snapshot */
    CLUSTER_KEY_LOCK,
    CLUSTER_KEY_SCHEDULE,
    CLUSTER_KEY_DRIFT,
    CLUSTER_KEY_AUDIT, /* name = "<time ms, 13 digits>-<8 hex>"; behind CLUSTER_KEY_LIVE_END */
};
/* Behind the prefix of all keys: where those end that are looked at as a whole. History stands after it, and
 * never weighs on a look. */
#define CLUSTER_KEY_LIVE_END "~"
/* Writes the key's path; name may be NULL where the key has none (or "" for the prefix of a group). */
void cluster_key_path(char out[CLUSTER_KEY_PATH_MAX], const char *cluster, enum cluster_key key,
                      const char *name);
void cluster_bundle_path(char out[CLUSTER_KEY_PATH_MAX], const char *cluster, int64_t generation);
/* The reverse: which key it is, and its name part (borrowed, "" when none); -1 for a key that is none of
 * ours. */
int cluster_key_parse(const char *path, const char *cluster, const char **ret_name);

/* The name part of a retired key's etcd key: "<provider>-" and the SHA-256 of its name, hex, as key names may
 * hold any character. */
#define CLUSTER_ESCROW_NAME_MAX 96

/* --- values: the body of the signed record --- */
int cluster_spec_encode(const struct cluster_spec *v, struct buf *out, struct error *err) _must_check_;
int cluster_spec_decode(const char *json, size_t len, struct cluster_spec *ret,
                        struct error *err) _must_check_;
int cluster_report_encode(const struct cluster_report *v, struct buf *out, struct error *err) _must_check_;
int cluster_report_decode(const char *json, size_t len, struct cluster_report *ret,
                          struct error *err) _must_check_;
int cluster_checks_encode(const struct cluster_checks *v, struct buf *out, struct error *err) _must_check_;
int cluster_checks_decode(const char *json, size_t len, struct cluster_checks *ret,
                          struct error *err) _must_check_;
int cluster_order_encode(const struct cluster_order *v, struct buf *out, struct error *err) _must_check_;
int cluster_order_decode(const char *json, size_t len, struct cluster_order *ret,
                         struct error *err) _must_check_;
int cluster_rotation_encode(const struct cluster_rotation *v, struct buf *out,
                            struct error *err) _must_check_;
int cluster_rotation_decode(const char *json, size_t len, struct cluster_rotation *ret,
                            struct error *err) _must_check_;
int cluster_bundle_encode(const struct cluster_bundle *v, struct buf *out, struct error *err) _must_check_;
int cluster_bundle_decode(const char *json, size_t len, struct cluster_bundle *ret,
                          struct error *err) _must_check_;
int cluster_reencrypt_encode(const struct cluster_reencrypt *v, struct buf *out,
                             struct error *err) _must_check_;
int cluster_reencrypt_decode(const char *json, size_t len, struct cluster_reencrypt *ret,
                             struct error *err) _must_check_;
int cluster_request_encode(const struct cluster_request *v, struct buf *out, struct error *err) _must_check_;
int cluster_request_decode(const char *json, size_t len, struct cluster_request *ret,
                           struct error *err) _must_check_;
int cluster_proofs_encode(const struct cluster_proofs *v, struct buf *out, struct error *err) _must_check_;
int cluster_proofs_decode(const char *json, size_t len, struct cluster_proofs *ret,
                          struct error *err) _must_check_;
/* Copies without the room for servers that there are not; *to need not be initialised, and what stands behind
 * the counts of its lists means nothing afterwards. */
void cluster_spec_copy(const struct cluster_spec *from, struct cluster_spec *to);
void cluster_proof_copy(const struct cluster_proof *from, struct cluster_proof *to);
void cluster_proofs_copy(const struct cluster_proofs *from, struct cluster_proofs *to);
int cluster_apis_encode(const struct cluster_apis *v, struct buf *out, struct error *err) _must_check_;
int cluster_apis_decode(const char *json, size_t len, struct cluster_apis *ret,
                        struct error *err) _must_check_;
int cluster_keys_encode(const struct cluster_keys *v, struct buf *out, struct error *err) _must_check_;
int cluster_keys_decode(const char *json, size_t len, struct cluster_keys *ret,
                        struct error *err) _must_check_;
int cluster_lock_encode(const struct cluster_lock *v, struct buf *out, struct error *err) _must_check_;
int cluster_lock_decode(const char *json, size_t len, struct cluster_lock *ret,
                        struct error *err) _must_check_;
int cluster_schedule_encode(const struct cluster_schedule *v, struct buf *out,
                            struct error *err) _must_check_;
int cluster_schedule_decode(const char *json, size_t len, struct cluster_schedule *ret,
                            struct error *err) _must_check_;
int cluster_drift_encode(const struct cluster_drift *v, struct buf *out, struct error *err) _must_check_;
int cluster_drift_decode(const char *json, size_t len, struct cluster_drift *ret,
                         struct error *err) _must_check_;
int cluster_audit_encode(const struct cluster_audit *v, struct buf *out, struct error *err) _must_check_;
int cluster_audit_decode(const char *json, size_t len, struct cluster_audit *ret,
                         struct error *err) _must_check_;
int cluster_escrow_encode(const struct cluster_escrow *v, struct buf *out, struct error *err) _must_check_;
int cluster_escrow_decode(const char *json, size_t len, struct cluster_escrow *ret,
                          struct error *err) _must_check_;

#endif
