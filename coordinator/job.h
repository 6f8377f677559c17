/* Long work on a thread of its own: rewriting every value, and making proofs. It reads and writes Kubernetes
 * and the datastore, never the state store: the coordinator's own thread publishes what it reports. */
#ifndef COORDINATOR_JOB_H
#define COORDINATOR_JOB_H

#include <stdatomic.h>
#include <stdbool.h>

#include <cluster/types.h>
#include <config/config.h>
#include <crypto/crypto.h>
#include <encryption/config.h>
#include <etcd/etcd.h>

#include "fence.h"

enum job_kind {
    JOB_REWRITE,  /* PHASE_REWRITE: every value */
    JOB_OPENS,    /* PHASE_OPENS: every stored value opens with the keys of `encryption` */
    JOB_BACKUP,   /* PHASE_BACKUP, PHASE_BACKUP_DROP */
    JOB_READABLE, /* PHASE_READABLE: proof 1d (canary), or the list of everything through every server */
    JOB_WRITTEN,  /* PHASE_WRITTEN: proof 2 */
    JOB_SCAN,     /* PHASE_VERIFY, PHASE_FINAL: proof 3 */
    JOB_WATCH, /* PHASE_DROP, PHASE_RETURN: goes on until it is stopped, or sees a value under a key that is
                  to go */
};

enum engine {
    ENGINE_API,       /* empty patches through the API servers; no content enters this process */
    ENGINE_DATASTORE, /* straight in etcd, one guarded object a transaction; offline: in batches */
};

struct job_key {
    enum provider provider; /* PROVIDER_IDENTITY: plain values; name is "" */
    char name[CLUSTER_KEY_NAME_MAX];
};

struct job_options {
    enum job_kind kind;
    const struct config *config;
    struct etcd *datastore;   /* NULL with spec.not_raw: nothing may touch it then */
    struct cluster_spec spec; /* servers: those that have an API server */
    char operation[CLUSTER_ID_MAX];
    int64_t step;
    int64_t leadership; /* its number, for the fence; 0: none is taken (benchmarks) */
    struct fence fence; /* the job's own: what it writes in the datastore is guarded with it */
    /* A config that has every key that may be met; taken over, freed by job_free. NULL for BACKUP. */
    struct encryption_config *encryption;
    struct key_view keys[ENCRYPTION_KEYS_MAX]; /* of `encryption`, names borrowed from it */
    size_t keys_count;
    struct job_key subject;                       /* READABLE, WRITTEN: the key that it is about */
    struct job_key keep[ENCRYPTION_KEYS_MAX + 1]; /* SCAN, WATCH: under any other key, a value is stale */
    size_t keep_count;
    int64_t from_revision;   /* WATCH: the first revision to look at */
    char snapshot_name[128]; /* BACKUP: file name */
    struct cluster_reencrypt
        so_far;            /* REWRITE: the record to go on from; SCAN: the record to add counts to */
    bool rewritten_before; /* SCAN, spec.not_raw, PHASE_VERIFY: so_far is of a first pass that has ended */
    struct cluster_proof proof; /* all but REWRITE: as begun (rotation_proof_begin) */
    enum engine engine;         /* REWRITE */
    bool offline;               /* REWRITE, ENGINE_DATASTORE: every API server is stopped */
    bool unpaced;               /* REWRITE: nobody's latency is looked at (benchmarks) */
};

struct job;

/* Starts the thread. Caller ends it with job_free. On failure options->encryption stays the caller's. */
int job_start(const struct job_options *options, struct job **ret, struct error *err) _must_check_;

/* Readable once the job has ended, or whether it watches has changed; until job_heard was called. */
int job_fd(const struct job *j);
void job_heard(struct job *j);
bool job_ended(struct job *j);
enum job_kind job_kind_of(const struct job *j);
const char *job_operation(const struct job *j);
int64_t job_step(const struct job *j);

/* Copies of the records as the job sees them now. A proof job that ends well leaves its proof MADE; ERR_STATE
 * is evidence against it: FAILED; whatever else stopped it: UNMADE, with the reason. */
void job_progress(struct job *j, struct cluster_reencrypt *ret);
void job_proof(struct job *j, struct cluster_proof *ret);
/* WATCH: it is connected to the datastore and has seen all up to some revision since it began. */
bool job_watching(struct job *j);

/* Which servers may be asked at the moment (index in spec). */
void job_use(struct job *j, size_t server, bool usable);

/* REWRITE: at most so many objects a second from now on; 0: no limit of its own. */
void job_limit(struct job *j, int64_t max_rate);

/* Asks it to stop, waits for its end (at most about a request's deadline), frees. NULL is safe. What it put
 * into the cluster (canaries) is taken out first. */
void job_free(struct job *j);

/* --- what the work functions use --- */
bool job_canceled(struct job *j);
/* What to call, from another thread, when the job is asked to stop while it waits somewhere; NULL: nothing
 * (any more). Called at once when it is stopping already. */
void job_on_cancel(struct job *j, void (*cancel)(void *arg), void *arg);
const struct job_options *job_opts(const struct job *j);
bool job_usable(struct job *j, size_t server);
/* Waits up to `ms`; true when the job is asked to stop (at once, then). */
bool job_wait(struct job *j, int64_t ms);
/* Set when the job is asked to stop, for calls that look at it themselves. */
const atomic_bool *job_cancel_flag(const struct job *j);
/* Changes a record under its lock: `change` gets the record and `arg`. */
void job_update(struct job *j, void (*change)(struct cluster_reencrypt *r, void *arg), void *arg);
void job_update_proof(struct job *j, void (*change)(struct cluster_proof *p, void *arg), void *arg);
int64_t job_max_rate(const struct job *j);
void job_set_watching(struct job *j, bool watching);

int reencrypt_api_run(struct job *j, struct error *err) _must_check_;
int reencrypt_datastore_run(struct job *j, struct error *err) _must_check_;
int scan_run(struct job *j, struct error *err) _must_check_;
int opens_run(struct job *j, struct error *err) _must_check_;
int backup_run(struct job *j, struct error *err) _must_check_;
int readable_run(struct job *j, struct error *err) _must_check_;
int written_run(struct job *j, struct error *err) _must_check_;
int watch_run(struct job *j, struct error *err) _must_check_;
/* With spec.not_raw: what stands in for OPENS and the last SCAN; for the one before the drop. */
int listed_run(struct job *j, struct error *err) _must_check_;
int twice_run(struct job *j, struct error *err) _must_check_;

#endif
