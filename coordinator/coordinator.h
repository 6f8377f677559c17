/* The coordinator's parts, all on one thread except the job (job.h). */
#ifndef COORDINATOR_COORDINATOR_H
#define COORDINATOR_COORDINATOR_H

#include <base/log.h>
#include <config/config.h>
#include <etcd/etcd.h>
#include <etcd/lease.h>
#include <kube/kube.h>
#include <rotation/rotation.h>
#include <store/view.h>

#include "job.h"
#include "maintenance.h"
#include "writes.h"

#define STORE_DEADLINE_MS  3000
#define REWRITE_PASSES_MAX 3
#define PROOF_ATTEMPTS_MAX 30

/* For how long each server's report has been the same, by our own monotonic clock. */
struct freshness {
    struct {
        char server[CLUSTER_NAME_MAX];
        int64_t mod;
        int64_t since_ms;
    } seen[SNAPSHOT_SERVERS_MAX];
    size_t count;
};

struct coordinator {
    const struct config *config;
    struct store *store;
    struct store_view *view; /* of one term of leadership; NULL: none yet */
    struct etcd *datastore;  /* where the Kubernetes objects are; a client of its own. NULL: cannot be read */
    struct cluster_spec spec; /* from the config file */
    struct etcd_lease *lease;
    int64_t fence;     /* our leader key's create revision */
    struct job *job;   /* NULL: none */
    char last_row[48]; /* the last decision that was logged, so that each is logged once */
    char last_why[CLUSTER_TEXT_MAX];
    int64_t untaken_ms;  /* when that the present config is not taken over is next told; 0: it is */
    int64_t progress_ms; /* when progress was last written */
    struct freshness fresh;
    int64_t audit_last_ms; /* of the newest entry that was written */
    int64_t audit_ms;      /* when the audit trail was last pruned; 0: never */
    struct maintenance maintenance;
    int64_t schedule_ms;    /* when the schedule was last looked at; 0: never */
    struct writes *writes;  /* counts what is written under the active key; NULL: nothing does */
    int64_t writes_since;   /* the revision of the datastore at which that key began to write */
    bool writes_op;         /* an operation ran when the count was last kept */
    int64_t writes_kept_ms; /* when its count was last kept, or begun; 0: never */
    /* Why no server is to be touched now (rotation.h, planner_self.closed); "" = nothing holds it. */
    char closed[CLUSTER_TEXT_MAX];
    int64_t apis_ms; /* when the datastore's records of API servers were last read; 0: never */
    bool apis_known; /* they were read once at least: else the record stands as it is */
    char unknown_api[CLUSTER_TEXT_MAX];
    struct kube *apis_kube; /* without a datastore: where they are asked for; NULL: not open */
    size_t apis_server;     /* the one that is asked; the next one once it does not answer */
    bool apis_denied;       /* which was logged */
    struct log_dependency store_away, steps, denied, counting;
};

/* --- tick.c --- */
enum tick_result { TICK_IDLE, TICK_AGAIN, TICK_RESIGN, TICK_DEPOSED };
/* Observe, decide, take one fenced step. AGAIN: something was done, look again at once.
 * DEPOSED: the leader key is not ours any more. Errors are the
 * state store's or a lost guard; the caller looks again after a moment. */
int tick(struct coordinator *c, enum tick_result *ret, struct error *err) _must_check_;

/* --- act.c --- */
/* Takes the decided step; s->rotation is changed in place to what was written. ERR_CONFLICT: somebody else
 * wrote first, or we lead no more. */
int act(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
        struct error *err) _must_check_;
/* Writes what the operation waits for, when that has changed. */
int act_note(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
             struct error *err) _must_check_;
/* Writes which API servers are unknown, for status, when that is another text than the record has. */
int act_apis(struct coordinator *c, struct cluster_snapshot *s, const char *unknown,
             struct error *err) _must_check_;
/* Writes the job's progress (and its end) into the reencrypt record. */
int act_progress(struct coordinator *c, struct cluster_snapshot *s, struct error *err) _must_check_;

/* --- issue.c --- */
/* What a phase's next config is, and what goes with it into the state store. */
struct issued {
    struct cluster_bundle bundle;
    struct cluster_keys keys;                       /* the record of keys, brought up to date */
    struct cluster_escrow escrow[CLUSTER_KEYS_MAX]; /* keys that leave with it, sealed */
    size_t escrow_count;
};
void issued_free(struct issued *i); /* frees the contents and zeroes */

/* Makes the next config of r->op.phase out of generation `from`, sealed as generation `target`, and updates
 * the key names in *r. For PHASE_ADOPT: nothing (an agent seals it). */
int issue_bundle(struct coordinator *c, const struct cluster_snapshot *s, int64_t target,
                 struct cluster_rotation *r, struct issued *ret, struct error *err) _must_check_;
/* Keys that the servers will drop by themselves with the phase that begins (K3s: the last one), sealed. */
int issue_leaving(struct coordinator *c, const struct cluster_snapshot *s, struct issued *ret,
                  struct error *err) _must_check_;
/* Reads a generation that an agent sealed in this phase, and fills in what *r says of its keys, and the
 * record of keys. */
int issue_learn(struct coordinator *c, const struct cluster_snapshot *s, int64_t generation,
                struct cluster_rotation *r, struct cluster_keys *ret_keys, struct error *err) _must_check_;
/* Opens a generation's config. Caller frees. */
int issue_open(struct coordinator *c, int64_t generation, struct encryption_config **ret,
               struct error *err) _must_check_;

/* The datastore's revision now; 0: it did not tell, or is not to be asked. */
int64_t datastore_revision(struct coordinator *c);

/* --- act_writes.c --- */
/* Has the writes under the active key counted, where its number is limited, and keeps the count now and then.
 */
int act_writes(struct coordinator *c, struct cluster_snapshot *s, struct error *err) _must_check_;
/* How much was written under that key, up to which revision: what is counted now, or else what the record
 * has; false: no count of it is there, and *ret has what one would begin with. Only the fields that are about
 * it are filled in. */
bool writes_of(struct coordinator *c, const struct cluster_snapshot *s, const struct cluster_key_info *k,
               struct cluster_schedule *ret);

/* --- act_drift.c --- */
/* Tells, once, of each encryption config that somebody changed, and of each that is right again: in the log
 * and in the audit trail, with the record that knows what was told. */
int act_drift(struct coordinator *c, struct cluster_snapshot *s, struct error *err) _must_check_;

/* --- act_schedule.c --- */
/* Keeps the record of the rotation that comes by itself, and asks for it when it is due: as anybody else
 * does, by a request that the planner answers. */
int act_schedule(struct coordinator *c, struct cluster_snapshot *s, struct error *err) _must_check_;
/* The key that writes; NULL: none does. */
const struct cluster_key_info *active_key(const struct cluster_snapshot *s);

/* --- campaign.c --- */
/* What is told of a turn's or a campaign's end: once when it begins to fail, once when it goes well again. */
void tell_result(struct coordinator *c, int rc, const struct error *err);
/* Waits until this coordinator leads (0), or `stop_fd` is readable (ERR_CANCELED). Troubles with the state
 * store are logged and outlasted. On success c->lease and c->fence are set. */
int campaign(struct coordinator *c, int stop_fd, struct error *err) _must_check_;
/* Gives up the leadership (best effort) and the lease. */
void campaign_end(struct coordinator *c);

#endif
