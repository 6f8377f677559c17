/* Long work on a thread of its own: rewriting every value, or counting them. It reads Kubernetes and the
 * datastore and never writes the state store: the coordinator's own thread publishes what it reports. */
#ifndef COORDINATOR_JOB_H
#define COORDINATOR_JOB_H

#include <stdatomic.h>
#include <stdbool.h>

#include <cluster/types.h>
#include <config/config.h>
#include <crypto/crypto.h>
#include <encryption/config.h>
#include <etcd/etcd.h>

enum job_kind { JOB_REWRITE, JOB_SCAN };

struct job_options {
    enum job_kind kind;
    const struct config *config;
    struct etcd *datastore;
    struct cluster_spec spec;
    char operation[CLUSTER_ID_MAX];
    struct key_view keys[ENCRYPTION_KEYS_MAX]; /* names borrowed from `names`, for reading prefixes */
    size_t keys_count;
    struct cluster_reencrypt so_far; /* the record to go on from */
};

struct job;

/* Starts the thread. Caller ends it with job_free. */
int job_start(const struct job_options *options, struct job **ret, struct error *err) _must_check_;

/* Readable once the job has ended. */
int job_fd(const struct job *j);
bool job_ended(struct job *j);
enum job_kind job_kind_of(const struct job *j);
const char *job_operation(const struct job *j);

/* A copy of the record as the job sees it now. */
void job_progress(struct job *j, struct cluster_reencrypt *ret);

/* Which servers may be asked at the moment (index in spec). */
void job_use(struct job *j, size_t server, bool usable);

/* Asks it to stop, waits for its end (at most about a request's deadline), frees. NULL is safe. */
void job_free(struct job *j);

/* --- what the work functions use --- */
bool job_canceled(struct job *j);
/* What to call, from another thread, when the job is asked to stop while it waits somewhere; NULL: nothing
 * (any more). Called at once when it is stopping already. */
void job_on_cancel(struct job *j, void (*cancel)(void *arg), void *arg);
const struct job_options *job_opts(const struct job *j);
bool job_usable(struct job *j, size_t server);
/* Changes the record under its lock: `change` gets the record and `arg`. */
void job_update(struct job *j, void (*change)(struct cluster_reencrypt *r, void *arg), void *arg);

int reencrypt_api_run(struct job *j, struct error *err) _must_check_;
int scan_run(struct job *j, struct error *err) _must_check_;

#endif
