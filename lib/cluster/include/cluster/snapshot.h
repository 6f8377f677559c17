/* The whole shared state as one value: what the coordinator decides on and what status prints. */
#ifndef CLUSTER_SNAPSHOT_H
#define CLUSTER_SNAPSHOT_H

#include <cluster/codec.h>
#include <cluster/types.h>

struct snapshot_server {
    char name[CLUSTER_NAME_MAX];
    bool in_spec;
    bool reports;                      /* a report that lives (its lease does) and is authentic */
    bool plain_keys_differ;            /* stage/hash keys say something else than the signed report */
    char report_why[CLUSTER_TEXT_MAX]; /* why there is none: "silent", "forged …" */
    int64_t report_mod;                /* mod revision of its report */
    int64_t
        unchanged_ms; /* for how long the reader has seen that same revision; 0 when it does not keep count */
    struct cluster_report report;
    bool has_order;
    int64_t order_mod; /* mod revision of the order's key, 0: none */
    struct cluster_order order;
};

struct snapshot_bundle {
    int64_t generation;
    enum stage stage;
    char hash[CLUSTER_HASH_MAX];
    char config_id[CLUSTER_HASH_MAX];
    bool has_vector;
    int64_t created_ms;
    int64_t mod; /* mod revision of its key */
};

#define SNAPSHOT_ESCROW_MAX 256

#define SNAPSHOT_BUNDLES_MAX  1024 /* the newest; older ones are kept in the store, not in the snapshot */
#define SNAPSHOT_REQUESTS_MAX 16   /* the oldest unanswered ones */
#define SNAPSHOT_SERVERS_MAX  (2 * CLUSTER_SERVERS_MAX)

struct cluster_snapshot {
    int64_t revision; /* of the state store: everything below was read at it */
    int64_t now_ms;   /* wall clock of the reader */
    bool has_spec;
    int64_t spec_mod;
    struct cluster_spec spec;
    /* Servers of the spec in its order, then others that publish (in_spec false). */
    struct snapshot_server servers[SNAPSHOT_SERVERS_MAX];
    size_t servers_count;
    bool has_rotation;
    int64_t rotation_mod;
    struct cluster_rotation rotation;
    bool has_reencrypt;
    int64_t reencrypt_mod;
    struct cluster_reencrypt reencrypt;
    bool has_proofs;
    int64_t proofs_mod; /* mod revision of the record that `proofs` was read from; 0: it was not read */
    struct cluster_proofs proofs; /* of the operation in rotation.op; another one's are not taken over */
    bool has_keys;
    struct cluster_keys keys;
    /* One whose record cannot be read is a lock all the same, of a holder "?": it may be somebody's. */
    bool has_lock;
    int64_t lock_mod; /* 0: none */
    struct cluster_lock lock;
    int64_t drift_mod; /* 0: no record */
    struct cluster_drift drift;
    bool has_schedule;
    struct cluster_schedule schedule;
    struct {
        char provider[16];
        char name[CLUSTER_KEY_NAME_MAX];
        int64_t until_ms;
    } escrow[SNAPSHOT_ESCROW_MAX]; /* retired keys that are kept */
    size_t escrow_count;
    /* API servers that are alive by the datastore's own records and belong to no server of the spec: a text
     * that names them; "" = none. From the leader's record; the leader fills in what it has just seen. */
    char unknown_api[CLUSTER_TEXT_MAX];
    struct snapshot_bundle bundles[SNAPSHOT_BUNDLES_MAX]; /* rising */
    size_t bundles_count;
    struct {
        struct cluster_request request;
        int64_t mod;
        int64_t create;
        bool copied;                   /* somebody put it there a second time: it is refused */
    } requests[SNAPSHOT_REQUESTS_MAX]; /* unanswered, oldest first */
    size_t requests_count;
    char leader[CLUSTER_NAME_MAX]; /* "" = none */
    int64_t leader_fence;          /* create revision of its key */
    char candidates[CLUSTER_SERVERS_MAX][CLUSTER_NAME_MAX];
    size_t candidates_count;
};

/* A raw key-value of the state store, with the signature already checked by the caller: `body` is the
 * record's body for signed keys (NULL: the signature was wrong, `why` says how), the value itself for plain
 * ones. */
struct snapshot_input {
    const char *key;
    int kind;         /* as cluster_key_parse says of the key; 0: it is asked */
    const char *name; /* the same; looked at when kind is not 0 */
    const char *body;
    size_t len;
    const char *why;
    int64_t create_revision, mod_revision;
    bool copied; /* an unanswered request that does not stand where it was made (store_request_open) */
};

/* Builds a snapshot out of the key-values of CLUSTER_KEY_ALL's prefix. A record that is not authentic or
 * does not decode is an error for rotation, spec and bundles (ERR_DENIED, ERR_INVALID: nothing may be decided
 * on them); a server's bad report counts as none, with the reason; bad orders and requests are left out. */
int snapshot_build(const char *cluster, int64_t revision, int64_t now_ms, const struct snapshot_input *inputs,
                   size_t count, struct cluster_snapshot *ret, struct error *err) _must_check_;

/* Makes `s` one that snapshot_refresh may fill. Its memory need not be initialised: of the arrays, which have
 * room for the largest cluster, only what is counted is ever touched. */
void snapshot_clear(struct cluster_snapshot *s);

/* The same as snapshot_build, over a snapshot that was cleared or that this function filled from the same
 * cluster: server's reports and orders, spec, proofs and bundles that it decoded from the same mod revision
 * of the same key are kept, as those are the same bytes. So the caller may change of these only what it has
 * written to the store since (which gives the record another mod revision); the rest is free. After an error
 * `s` is cleared. */
int snapshot_refresh(const char *cluster, int64_t revision, int64_t now_ms,
                     const struct snapshot_input *inputs, size_t count, struct cluster_snapshot *s,
                     struct error *err) _must_check_;

const struct snapshot_server *snapshot_server(const struct cluster_snapshot *s,
                                              const char *name); /* or NULL */
const struct snapshot_bundle *snapshot_bundle(const struct cluster_snapshot *s,
                                              int64_t generation); /* or NULL */

/* The proof of a phase as it stands in the record, of whatever step; NULL: none. */
const struct cluster_proof *snapshot_proof(const struct cluster_snapshot *s, enum phase phase);

/* Has server i no API server? */
bool snapshot_etcd_only(const struct cluster_snapshot *s, size_t i);
/* The first server that has one: it is asked for the next config, and its file is the one to go by. */
size_t snapshot_first_api(const struct cluster_snapshot *s);

/* K3s's verdict over the servers of the spec, in order: true when all published "<stage>-<hash>" are equal;
 * else false with K3s's text: "hash does not match between s1 and s2" (the first pair that differs). A
 * silent server is a mismatch: "missing hash on s3". As in K3s, what a server without an API server has does
 * not count: it has no Node to publish it on. */
bool snapshot_hashes_match(const struct cluster_snapshot *s, char why[CLUSTER_TEXT_MAX]);

#endif
