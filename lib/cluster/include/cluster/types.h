/* The shared state: what stands in the state store, as C types. Sizes are those of the wire too: a text
 * that is longer is refused when it is read.
 *
 *   /secrets-encrypt/<cluster>/spec                    struct cluster_spec      signed, by the leader
 *   /secrets-encrypt/<cluster>/servers/<name>/stage    "<stage>"                plain, by the agent, leased
 *   /secrets-encrypt/<cluster>/servers/<name>/hash     "<stage>-<sha256>"       plain, by the agent, leased
 *   /secrets-encrypt/<cluster>/servers/<name>/report   struct cluster_report    signed, by the agent, leased
 *   /secrets-encrypt/<cluster>/servers/<name>/checks   struct cluster_checks    signed, by the agent, leased
 *   /secrets-encrypt/<cluster>/orders/<name>           struct cluster_order     signed, by the leader
 *   /secrets-encrypt/<cluster>/rotation                struct cluster_rotation  signed, by the leader
 *   /secrets-encrypt/<cluster>/bundles/<generation>    struct cluster_bundle    signed, config sealed inside
 *   /secrets-encrypt/<cluster>/reencrypt               struct cluster_reencrypt signed, by the leader
 *   /secrets-encrypt/<cluster>/proofs                  struct cluster_proofs    signed, by the leader
 *   /secrets-encrypt/<cluster>/keys                    struct cluster_keys      signed, by the leader
 *   /secrets-encrypt/<cluster>/escrow/<provider>-<sha256 of the name>
 *                                                      struct cluster_escrow    signed, key sealed inside
 *   /secrets-encrypt/<cluster>/apis                    struct cluster_apis      signed, by the leader
 *   /secrets-encrypt/<cluster>/requests/<id>           struct cluster_request   signed, by who asks, leased
 *   /secrets-encrypt/<cluster>/leader/holder           server's name            election, leased
 *   /secrets-encrypt/<cluster>/leader/candidates/<name>  time                   presence, leased
 *   /secrets-encrypt/<cluster>/lock                    struct cluster_lock      signed, by the leader, leased
 *   /secrets-encrypt/<cluster>/schedule                struct cluster_schedule  signed, by the leader
 *   /secrets-encrypt/<cluster>/drift                   struct cluster_drift     signed, by the leader
 *   /secrets-encrypt/<cluster>/~audit/<time>-<hex>     struct cluster_audit     signed, never changed
 *
 * "Signed" values are {"mac":"…","body":{…}} (crypto/seal.h). Times are wall-clock milliseconds. */
#ifndef CLUSTER_TYPES_H
#define CLUSTER_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLUSTER_SERVERS_MAX   1024
#define CLUSTER_RESOURCES_MAX 32
#define CLUSTER_NAME_MAX      64  /* cluster and server names, with the NUL */
#define CLUSTER_KEY_NAME_MAX  256 /* names of encryption keys */
#define CLUSTER_TEXT_MAX      512 /* reasons */
#define CLUSTER_HASH_MAX      65
#define CLUSTER_ID_MAX        40
#define CLUSTER_URL_MAX       256
#define CLUSTER_FAILURES_MAX  20
#define CLUSTER_CURSOR_MAX    1025 /* a key of the datastore, with the NUL */
#define CLUSTER_KEYS_MAX      64
#define CLUSTER_VECTOR_TEXT   "secrets-encrypt test vector"
#define CLUSTER_VECTOR_MAX    1024
#define CLUSTER_PROOFS_MAX    12  /* there are nine phases that have one */
#define CLUSTER_KEY_BOOK_MAX  256 /* keys that are remembered by name */
#define CLUSTER_CHECKS_MAX    32
#define CLUSTER_CHECK_NAME    32
#define CLUSTER_REMEDY_MAX    384
#define CLUSTER_SUBSET_MAX    64 /* servers that a request may name */
#define CLUSTER_REASON_MAX    (CLUSTER_TEXT_MAX / 2)
#define CLUSTER_ROLE_MAX      16  /* "viewer", "operator", "admin" */
#define CLUSTER_WHO_MAX       256 /* a certificate's subject, or user@host */
#define CLUSTER_LEASE_MAX     17  /* a lease's id, hex: JSON's numbers are too small for it */
#define CLUSTER_AUDIT_MAX     10000
#define CLUSTER_LAYOUT_MAX    8192 /* as encryption/layout.h writes it */
#define CLUSTER_DRIFTS_MAX    64   /* servers whose file somebody changed, that are remembered */

/* K3s's stages, in the order of a rotation. */
enum stage {
    STAGE_START,
    STAGE_PREPARE,
    STAGE_ROTATE,
    STAGE_REENCRYPT_REQUEST,
    STAGE_REENCRYPT_ACTIVE,
    STAGE_REENCRYPT_FINISHED
};

/* K3s and RKE2 with split roles. */
enum server_role {
    ROLE_ALL,
    ROLE_ETCD, /* no API server: it is restarted first, and asked for nothing; `api` is its supervisor */
    ROLE_CONTROL_PLANE,
};

struct cluster_spec_server {
    char name[CLUSTER_NAME_MAX];
    char api[CLUSTER_URL_MAX];
    enum server_role role;
};
struct cluster_spec {
    struct cluster_spec_server servers[CLUSTER_SERVERS_MAX]; /* in restart order */
    size_t servers_count;
    char resources[CLUSTER_RESOURCES_MAX][CLUSTER_KEY_NAME_MAX];
    size_t resources_count;
    /* policy */
    bool snapshots;      /* the datastore is saved before values are rewritten and before a key is dropped */
    bool canaries;       /* proof 1 by canary objects; else by listing everything through every server */
    bool auto_repair;    /* a file that somebody changed is put right without being asked */
    int64_t escrow_days; /* how long retired keys are kept, sealed */
    /* The servers make their encryption config and hand it to one another themselves (K3s, RKE2): they are
     * asked for the next one, and sealed is what they made of it. */
    bool owned;
    /* The datastore cannot be read raw (an SQL database): what its values stand under is known by nobody. */
    bool not_raw;
};

/* --- what the coordinator asks of one agent --- */
enum order_kind {
    ORDER_ADOPT,   /* seal the present file as generation `generation` (1) */
    ORDER_APPLY,   /* write the generation's file, restart, wait until ready */
    ORDER_WRITE,   /* write the generation's file; the restart is the operator's (--no-restart, S1) */
    ORDER_SYNC,    /* write it when the operator restarts this server (`secrets-encrypt-agent sync`) */
    ORDER_RESTART, /* restart and wait until ready; the file stays */
    ORDER_REPAIR,  /* as APPLY, over whatever stands there: a copy of that is kept */
    /* Servers that own their config: */
    ORDER_CALL,   /* ask this server for `call`, check what it makes of generation `from`, seal that */
    ORDER_FOLLOW, /* restart, and wait until it has the generation's file, by its own means, and is ready */
};
struct cluster_order {
    int64_t id; /* rises with each order ever given to this cluster */
    enum order_kind kind;
    char operation[CLUSTER_ID_MAX];
    int64_t generation;
    int64_t from;                /* CALL: the generation that it has */
    char call[16];               /* CALL: "prepare", "rotate", "reencrypt", "enable" or "disable" */
    char hash[CLUSTER_HASH_MAX]; /* that the file shall have afterwards; "" for ADOPT and CALL */
    enum stage stage;            /* to publish with it */
    int64_t fence;               /* create revision of the leader key when it was given */
    int64_t given_ms;
};

/* --- what one agent observed --- */
enum order_state {
    ORDER_NONE,       /* no order seen yet, or the last one is older than this agent's memory */
    ORDER_TAKEN,      /* accepted, at work */
    ORDER_RESTARTING, /* the file is written, the restart runs, or the server is waited for */
    ORDER_DONE,
    ORDER_FAILED,  /* given up; the previous file is back where that was possible. `order_why` */
    ORDER_REFUSED, /* stale, forged or impossible; nothing was touched. `order_why` */
};
struct cluster_report {
    char server[CLUSTER_NAME_MAX];
    int64_t time_ms;
    char version[32]; /* of the agent */
    char driver[16];
    char instance[CLUSTER_ID_MAX]; /* random, new at each start of the agent */

    enum stage stage;
    char hash[CLUSTER_HASH_MAX];      /* of the raw file now; "" when there is none */
    char config_id[CLUSTER_HASH_MAX]; /* of its canonical form; "" when it does not parse */
    char file_why[CLUSTER_TEXT_MAX];  /* why it cannot be read or parsed, or why it is drifted; "" = fine */
    int64_t generation; /* of the file: the one whose hash it has; 0 = none that was issued here */

    bool loaded_known;                  /* the API server's process was found */
    int64_t loaded_generation;          /* started after that generation was written; 0 = unknown */
    char loaded_hash[CLUSTER_HASH_MAX]; /* of the file that it was started with; "" = unknown */
    char process[64];                   /* "pid 4711 since 2026-11-24T22:42:40Z", for people */
    char process_why[CLUSTER_TEXT_MAX]; /* why it was not found */

    bool ready;
    char ready_why[CLUSTER_TEXT_MAX]; /* when not */

    int64_t order_id; /* the last order that was looked at */
    enum order_state order_state;
    char order_why[CLUSTER_TEXT_MAX];
    int64_t restarts; /* done by this agent on order, ever (kept in its state folder) */

    /* Proof 1a: the generation (of the present file) whose test vector the keys in the file open; 0: none. */
    int64_t vector_generation;
    char vector_why[CLUSTER_TEXT_MAX]; /* why the present generation's was not opened */

    /* What stands in the file, keys by their fingerprints (encryption/layout.h); "" = not known (older agents
     * say nothing of it), `layout_why`. */
    char layout[CLUSTER_LAYOUT_MAX];
    char layout_why[CLUSTER_TEXT_MAX / 2];
};

/* --- what one agent found when it looked whether a rotation would go through on its server --- */
enum check_result { CHECK_OK, CHECK_WARN, CHECK_FAIL };
struct cluster_check {
    char name[CLUSTER_CHECK_NAME]; /* "encryption-config" */
    enum check_result result;
    char text[CLUSTER_TEXT_MAX];     /* what was seen */
    char remedy[CLUSTER_REMEDY_MAX]; /* WARN, FAIL: what to do */
};
struct cluster_checks {
    char server[CLUSTER_NAME_MAX];
    int64_t time_ms; /* when the round ended */
    struct cluster_check checks[CLUSTER_CHECKS_MAX];
    size_t checks_count;
};

/* --- the operation --- */
enum operation_kind {
    OP_PREPARE,
    OP_ROTATE,
    OP_REENCRYPT,
    OP_ROTATE_KEYS,
    OP_ENABLE,
    OP_DISABLE,
    OP_ADOPT,       /* the coordinator's own: take the servers' present config over as generation 1 */
    OP_ABORT,       /* back to the config from before the rotation */
    OP_RESTORE_KEY, /* a retired key becomes readable again */
    OP_RESTART,     /* every server, or those that were named, restarts; no config changes */
    /* Requests that are no operations of their own: */
    OP_PAUSE,
    OP_RESUME,
    OP_REPAIR,   /* one server's file is put right */
    OP_THROTTLE, /* another ceiling for the rewrite */
    OP_LOCK,     /* nothing starts until it is given back */
    OP_UNLOCK,
};
enum operation_state { OP_STATE_RUNNING, OP_STATE_FINISHED, OP_STATE_HALTED, OP_STATE_PAUSED };

/* The steps of operations; which an operation runs through is lib/rotation's table. */
enum phase {
    PHASE_ADOPT,       /* the present config becomes generation 1 */
    PHASE_OPENS,       /* every stored value opens with the present config's keys */
    PHASE_BACKUP,      /* the datastore is saved */
    PHASE_APPEND,      /* the new key readable everywhere        -> stage prepare */
    PHASE_READABLE,    /* proof 1 for the key that is to write next */
    PHASE_PROMOTE,     /* the new key written with everywhere    -> stage rotate */
    PHASE_WRITTEN,     /* proof 2: every server writes with it */
    PHASE_REWRITE,     /* every value rewritten                  -> stage reencrypt_active */
    PHASE_VERIFY,      /* proof 3: a scan of the datastore finds none under a key that is to go */
    PHASE_BACKUP_DROP, /* the datastore is saved once more */
    PHASE_DROP,        /* the old key leaves every server        -> stage reencrypt_finished */
    PHASE_FINAL,       /* one more scan */
    PHASE_IDENTITY,    /* plain values readable everywhere (before a disable, where they are not yet) */
    PHASE_SWITCH,      /* enable / disable: another provider writes */
    PHASE_RESTORE,     /* a retired key readable everywhere */
    PHASE_REVERT,      /* abort: the old key writes again, the new one stays readable */
    PHASE_RETURN,      /* abort: the config from before; the new key leaves every server */
    PHASE_BRING_BACK,  /* a value under a dropped key was seen: that key becomes readable again everywhere */
    PHASE_RESTART,     /* every server restarts with the config that it has */
    PHASE_DONE,
};

/* Why a request was refused or an operation halted, for programs: texts are for people. */
enum cluster_cause {
    CAUSE_NONE,
    CAUSE_MISMATCH, /* servers' configs are not the same, or not the expected ones */
    CAUSE_SERVER,   /* a server is silent, not ready, or did not come back */
    CAUSE_GATE,     /* any other precondition */
    CAUSE_DENIED,   /* whoever asked may not */
};

struct cluster_operation {
    char id[CLUSTER_ID_MAX]; /* "" = there has been none */
    enum operation_kind kind;
    enum operation_state state;
    bool force, skip, restart;
    bool now; /* not held by maintenance windows */
    enum phase phase;
    int64_t step;   /* rises with each phase that is entered: what belongs to another entry is outdated */
    int64_t from;   /* generation that every server had when the phase began */
    int64_t target; /* generation that the phase brings to every server; 0: not issued yet, or none */
    char target_hash[CLUSTER_HASH_MAX];
    int64_t before;              /* generation that every server had before keys were dropped; 0: none were */
    bool touched;                /* a config was issued or values were rewritten in it */
    char also[CLUSTER_HASH_MAX]; /* that a server may have as well: the target of the phase that was left */
    char key[CLUSTER_KEY_NAME_MAX]; /* RESTORE_KEY: which */
    char key_provider[16];
    char aborts[CLUSTER_ID_MAX]; /* ABORT: the operation that it ended; "" = none ran */
    bool ends;                   /* ABORT: there is nothing to take back (a restart): it only ends that one */
    /* RESTART */
    char servers[CLUSTER_SUBSET_MAX][CLUSTER_NAME_MAX]; /* which; none: every server */
    size_t servers_count;
    int64_t restarted; /* how many are done, in restart order; the one after may be as well by its order */
    int64_t list;      /* mod revision of the spec that this order is of */
    char reason[CLUSTER_REASON_MAX]; /* as whoever asked gave it, for people */
    /* How values are rewritten: "datastore", else through the API. */
    char engine[16];
    bool offline;     /* datastore: every API server is stopped meanwhile, by the operator */
    int64_t max_rate; /* objects a second at most; 0: no limit, -1: as each coordinator's config says */
    char requested_by[CLUSTER_NAME_MAX];
    char role[CLUSTER_ROLE_MAX]; /* of whoever asked; "" = by the cluster's token */
    int64_t started_ms, phase_ms, ended_ms;
    enum stage stage_before;    /* of the cluster when it was accepted */
    int64_t passes;             /* how often every value was touched so far */
    int64_t attempt;            /* 1, and one more for each time a halted operation is asked for again */
    char why[CLUSTER_TEXT_MAX]; /* halted: the reason; running: what it waits for; finished: "" */
    enum cluster_cause cause;   /* halted */
    char row[48];               /* id of the planner's row that decided last */
    int64_t row_ms;             /* since when it decides */
    char on[CLUSTER_NAME_MAX];  /* the server that it is about; "" = none in particular */
};

/* What outlives an operation, and the operation that runs or ran last. */
struct cluster_rotation {
    enum stage stage;
    int64_t generation; /* the newest that every server is known to have loaded; 0: nothing adopted yet */
    char hash[CLUSTER_HASH_MAX];          /* of its file */
    int64_t issued;                       /* the newest generation ever issued */
    int64_t next_order;                   /* id for the next order */
    char write_key[CLUSTER_KEY_NAME_MAX]; /* that the newest issued config writes with; "" = plain */
    char write_provider[16];
    char new_key[CLUSTER_KEY_NAME_MAX]; /* appended by prepare and not yet promoted; "" = none */
    char new_provider[16];
    char old_key[CLUSTER_KEY_NAME_MAX]; /* that wrote before the last rotate and is still readable; "" = none
                                         */
    char old_provider[16];
    bool reads_plain; /* the newest issued config reads plain values (identity is among its providers) */
    int64_t keys;     /* keys in its managed entries */
    /* The way back: the generation from before the rotation under way; 0: there is none. */
    int64_t base;
    enum stage base_stage;
    bool promoted; /* a config that writes otherwise than base was issued since */
    struct cluster_operation op;
};

struct cluster_bundle {
    int64_t generation;
    enum stage stage;
    char hash[CLUSTER_HASH_MAX];
    char config_id[CLUSTER_HASH_MAX];
    int64_t created_ms;
    /* Proof 1a: a fixed text in stored form (envelope.h) under the key that this generation brings or writes
     * with, base64; its additional data is the bundle's etcd key. "" = it has none. */
    char vector[CLUSTER_VECTOR_MAX];
    char *box; /* the sealed config: a JSON object's text. Owned; freed by cluster_bundle_free */
    size_t box_len;
};
void cluster_bundle_free(struct cluster_bundle *b); /* frees the contents and zeroes */

/* --- progress of re-encryption --- */
struct cluster_failure {
    char object[CLUSTER_TEXT_MAX / 2]; /* "secrets/default/name" */
    char why[CLUSTER_TEXT_MAX / 2];
};
struct cluster_key_count {
    char provider[16];
    char name[CLUSTER_KEY_NAME_MAX]; /* "" for plain values */
    int64_t values;
};
struct cluster_reencrypt {
    char operation[CLUSTER_ID_MAX];
    int64_t step;    /* of the operation, when it began */
    char engine[16]; /* "api", "datastore" or "offline" */
    enum { REENCRYPT_IDLE, REENCRYPT_RUNNING, REENCRYPT_ENDED, REENCRYPT_FAILED } state;
    int64_t started_ms, updated_ms, ended_ms;
    int64_t done, total, gone, failed; /* objects; total grows while pages are listed (server's estimate) */
    int64_t rate;                      /* objects per second, over the last few seconds */
    int64_t limit;                     /* objects per second that it may do now; 0: none, -1: unlimited */
    char held_by[CLUSTER_TEXT_MAX];    /* what keeps it from going faster; "" = nothing */
    /* datastore engine: everything up to this key of this resource is done; "" = nothing yet */
    char cursor_resource[CLUSTER_KEY_NAME_MAX];
    char cursor[CLUSTER_CURSOR_MAX];
    struct cluster_failure failures[CLUSTER_FAILURES_MAX];
    size_t failures_count;
    char why[CLUSTER_TEXT_MAX]; /* FAILED */
    /* the scan that followed */
    int64_t scan_revision, scan_values, scan_stale, scan_plain; /* revision 0: not made yet */
    int64_t scan_ms;
    struct cluster_key_count keys[CLUSTER_KEYS_MAX];
    size_t keys_count;
};

/* --- proofs --- */
enum proof_state {
    PROOF_NONE,
    PROOF_RUNNING, /* being made; for a watch: nothing was seen so far */
    PROOF_MADE,
    PROOF_FAILED, /* there is evidence against it: `why` */
    PROOF_UNMADE, /* it could not be tried to its end (a server was away): tried again */
};
struct cluster_server_proof {
    char server[CLUSTER_NAME_MAX];
    enum proof_state state;
    int64_t time_ms;
    char why[CLUSTER_TEXT_MAX / 2]; /* FAILED, UNMADE */
};
struct cluster_proof {
    enum phase phase; /* that it belongs to; for DROP and RETURN: the watch over new writes */
    int64_t step;     /* of the operation: a proof of an earlier entry of the phase does not count */
    enum proof_state state;
    char method[24];    /* "canary", "list", "scan", "watch", "snapshot" */
    int64_t generation; /* of the config that it is about */
    int64_t revision;   /* of the datastore: at which it was made; for a watch: up to which it has seen */
    int64_t values;     /* looked at */
    int64_t attempts;   /* how often it was begun in this step */
    int64_t time_ms;
    char why[CLUSTER_TEXT_MAX]; /* FAILED, UNMADE; MADE: what to know of it ("snapshot in …") */
    struct cluster_server_proof servers[CLUSTER_SERVERS_MAX];
    size_t servers_count;
};
struct cluster_proofs {
    char operation[CLUSTER_ID_MAX];
    struct cluster_proof proofs[CLUSTER_PROOFS_MAX]; /* one a phase */
    size_t proofs_count;
};

/* --- API servers, by the datastore's own records --- */
struct cluster_apis {
    char unknown[CLUSTER_TEXT_MAX]; /* names those that belong to no server of the spec; "" = none */
    int64_t time_ms;                /* since when it says so */
};

/* --- keys: names and dates, no material --- */
enum key_state { KEY_READABLE, KEY_ACTIVE, KEY_RETIRED };
struct cluster_key_info {
    char provider[16];
    char name[CLUSTER_KEY_NAME_MAX];
    enum key_state state;
    int64_t generation;     /* the first that had it */
    int64_t created_ms;     /* 0: it is older than this program's knowledge */
    int64_t since_ms;       /* in this state */
    int64_t since_revision; /* ACTIVE: of the datastore, when it began to write; 0: unknown */
    int64_t writes;         /* no longer ACTIVE: an upper bound of what was written under it */
    int64_t until_ms;       /* RETIRED: when its escrow ends */
};
struct cluster_keys {
    struct cluster_key_info keys[CLUSTER_KEY_BOOK_MAX];
    size_t keys_count;
};
/* A retired key. The box is a sealed JSON object, as a bundle's, of generation `generation`. */
struct cluster_escrow {
    char provider[16];
    char name[CLUSTER_KEY_NAME_MAX];
    int64_t generation; /* the last that had it */
    int64_t retired_ms, until_ms;
    char *box; /* owned; freed by cluster_escrow_free */
    size_t box_len;
};
void cluster_escrow_free(struct cluster_escrow *e); /* frees the contents and zeroes */

/* --- what an operator asks for --- */
enum answer { ANSWER_NONE, ANSWER_ACCEPTED, ANSWER_RESUMED, ANSWER_REFUSED };
struct cluster_request {
    char id[CLUSTER_ID_MAX];
    enum operation_kind kind;
    bool force, skip, restart;
    bool now;                      /* not held by maintenance windows; alerts hold it all the same */
    char server[CLUSTER_NAME_MAX]; /* REPAIR */
    char servers[CLUSTER_SUBSET_MAX][CLUSTER_NAME_MAX]; /* RESTART: which; none: every server */
    size_t servers_count;
    char reason[CLUSTER_REASON_MAX]; /* for people */
    char key[CLUSTER_KEY_NAME_MAX];  /* RESTORE_KEY */
    char engine[16];                 /* "" or "api", "datastore": of its rewrite */
    bool offline;
    int64_t max_rate; /* of its rewrite, THROTTLE: objects a second; 0: no limit, -1: not said */
    /* LOCK: a lease that whoever asks has granted and keeps alive, for ttl_s at a time: the lock is gone when
     * its holder is. */
    char lease[CLUSTER_LEASE_MAX];
    int64_t ttl_s;
    char lock[CLUSTER_ID_MAX];   /* UNLOCK: the lock's id; "": whichever `by` holds, any of them with force */
    char by[CLUSTER_NAME_MAX];   /* user@host or a certificate's subject, for people */
    char role[CLUSTER_ROLE_MAX]; /* of a caller with one; "" = by the cluster's token */
    int64_t time_ms;
    int64_t created;          /* create revision of its own key: a copy that is put there later has another */
    enum answer answer;       /* by the leader */
    enum cluster_cause cause; /* REFUSED */
    char operation[CLUSTER_ID_MAX]; /* the operation that it became, or that was resumed */
    char why[CLUSTER_TEXT_MAX];     /* REFUSED */
};

/* --- other maintenance: while it stands nothing starts --- */
struct cluster_lock {
    char id[CLUSTER_ID_MAX]; /* of the request that took it */
    char holder[CLUSTER_NAME_MAX];
    char reason[CLUSTER_REASON_MAX];
    int64_t since_ms;
    char lease[CLUSTER_LEASE_MAX];
    int64_t ttl_s; /* it is gone ttl_s after its lease was last kept alive */
};

/* --- the rotation that comes by itself --- */
#define CLUSTER_SCHEDULE "schedule" /* who asks for it: cluster_request.by */
struct cluster_schedule {
    int64_t next_ms;                 /* 0: none will come */
    char when[CLUSTER_NAME_MAX * 2]; /* the same by the window's clock, for people */
    char why[CLUSTER_REASON_MAX];    /* "every 90 days" */
    int64_t asked_ms;                /* when it was last asked for, or refused before that */
    char held[CLUSTER_TEXT_MAX];     /* it is due: why it does not begin, or why it was refused at asked_ms */
    /* What was written under the key that began to write at revision `writes_since` of the datastore, for the
     * key's own limit. 0 = nothing is counted. */
    int64_t writes_since;
    int64_t writes;         /* values; revisions where nobody saw what they wrote … */
    int64_t writes_guessed; /* … which are so many of them */
    int64_t writes_to;      /* all up to this revision is in it */
    /* How many there were when an operation last ran: what that rewrote says nothing of the pace. */
    int64_t writes_base, writes_base_ms;
};

/* --- files that somebody changed: what the audit trail has of them is told once --- */
struct cluster_drifted {
    char server[CLUSTER_NAME_MAX];
    char hash[CLUSTER_HASH_MAX]; /* of the file as it was told; "" = it is gone */
    int64_t since_ms, told_ms;   /* when it was first told, and last: another file is told again */
    char what[CLUSTER_TEXT_MAX]; /* what differs */
};
struct cluster_drift {
    struct cluster_drifted servers[CLUSTER_DRIFTS_MAX];
    size_t servers_count;
};

/* --- who did what: one record each, which nothing changes --- */
struct cluster_audit {
    int64_t time_ms;
    char server[CLUSTER_NAME_MAX]; /* whose coordinator wrote it */
    char who[CLUSTER_WHO_MAX];
    char role[CLUSTER_ROLE_MAX];
    char from[CLUSTER_WHO_MAX / 2]; /* "10.1.2.3:51234", "unix", "state store" */
    char call[32];                  /* "Start", "operation" */
    char what[CLUSTER_TEXT_MAX];
    char result[16]; /* "accepted", "refused", "started", "phase", "halted", "finished", "aborted", "noticed", "gone" */
    char why[CLUSTER_TEXT_MAX];
};

#endif
