#include "job.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>

#include <base/clock.h>
#include <base/text.h>
#include <cluster/codec.h>

#define FENCE_TRIES 15

struct job {
    struct job_options options;
    char names[ENCRYPTION_KEYS_MAX][CLUSTER_KEY_NAME_MAX]; /* what options.keys borrow from */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stopping;
    struct cluster_reencrypt record; /* under lock */
    struct cluster_proof proof;      /* under lock */
    void (*on_cancel)(void *arg);    /* under lock */
    void *on_cancel_arg;
    atomic_bool cancel;
    atomic_bool ended;
    atomic_bool watching;
    atomic_bool usable[CLUSTER_SERVERS_MAX];
    _Atomic int64_t max_rate;
    int fd;
};

static int rewrite(struct job *j, struct error *err)
{
    static int (*const engines[])(struct job *, struct error *) = {
        [ENGINE_API] = reencrypt_api_run,
        [ENGINE_DATASTORE] = reencrypt_datastore_run,
    };
    return engines[j->options.engine](j, err);
}

/* A scan that cannot count: before the drop every object is rewritten once more. */
static int uncounted(struct job *j, struct error *err)
{
    return j->options.proof.phase == PHASE_VERIFY ? twice_run(j, err) : listed_run(j, err);
}

static int not_possible(struct job *j, struct error *err)
{
    (void)j;
    return error_set(err, ERR_STATE, "the datastore cannot be read raw (datastore.raw: off)");
}

/* What each kind does on the job's thread; and where nothing may touch the datastore. */
static int (*const works[])(struct job *j, struct error *err) = {
    [JOB_REWRITE] = rewrite,       [JOB_OPENS] = opens_run,     [JOB_BACKUP] = backup_run,
    [JOB_READABLE] = readable_run, [JOB_WRITTEN] = written_run, [JOB_SCAN] = scan_run,
    [JOB_WATCH] = watch_run,
};
static int (*const works_not_raw[])(struct job *j, struct error *err) = {
    [JOB_REWRITE] = reencrypt_api_run, [JOB_OPENS] = listed_run,    [JOB_BACKUP] = not_possible,
    [JOB_READABLE] = readable_run,     [JOB_WRITTEN] = written_run, [JOB_SCAN] = uncounted,
    [JOB_WATCH] = not_possible,
};

static void finish_rewrite(struct cluster_reencrypt *r, int rc, const struct error *err)
{
    r->updated_ms = clock_wall_ms();
    r->state = rc < 0 ? REENCRYPT_FAILED : REENCRYPT_ENDED;
    if (rc < 0)
        text_copy(r->why, sizeof(r->why), err->text);
}

/* A proof that was made keeps what its maker wrote into `why`. */
static void finish_proof(struct cluster_proof *p, int rc, const struct error *err)
{
    p->time_ms = clock_wall_ms();
    p->state = rc == 0 ? PROOF_MADE : rc == ERR_STATE ? PROOF_FAILED : PROOF_UNMADE;
    if (rc < 0)
        text_copy(p->why, sizeof(p->why), err->text);
}

static void finish(struct job *j, int rc, const struct error *err)
{
    atomic_store(&j->watching, false);
    pthread_mutex_lock(&j->lock);
    if (j->options.kind == JOB_REWRITE)
        finish_rewrite(&j->record, rc, err);
    else
        finish_proof(&j->proof, rc, err);
    pthread_mutex_unlock(&j->lock);
    atomic_store(&j->ended, true);
    eventfd_write(j->fd, 1);
}

/* Kinds that write values in the datastore themselves, or count them. */
static bool needs_fence(const struct job_options *o)
{
    return o->kind == JOB_SCAN || o->kind == JOB_WATCH ||
           (o->kind == JOB_REWRITE && o->engine == ENGINE_DATASTORE);
}

static int take_fence(struct job *j, struct error *err)
{
    struct job_options *o = &j->options;
    if (o->leadership == 0 || o->spec.not_raw || !needs_fence(o))
        return 0;
    for (unsigned i = 0;; i++) {
        int rc = fence_take(o->datastore, o->config, o->leadership, &o->fence, err);
        if (rc == 0 || !error_is_transient(rc) || i == FENCE_TRIES)
            return rc;
        if (job_wait(j, backoff_ms(i, 100, 2000)))
            return error_set(err, ERR_CANCELED, "it was stopped before it began");
    }
}

static void *run(void *arg)
{
    struct job *j = arg;
    struct error err = ERROR_INIT;
    int rc = take_fence(j, &err);
    if (rc == 0)
        rc = (j->options.spec.not_raw ? works_not_raw : works)[j->options.kind](j, &err);
    finish(j, rc, &err);
    return NULL;
}

static void cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

static struct job *job_alloc(const struct job_options *options)
{
    struct job *j = calloc(1, sizeof(*j));
    if (!j)
        return NULL;
    j->options = *options;
    for (size_t i = 0; i < options->keys_count; i++) {
        text_copy(j->names[i], sizeof(j->names[i]), options->keys[i].name);
        j->options.keys[i].name = j->names[i];
    }
    j->record = options->so_far;
    cluster_proof_copy(&options->proof, &j->proof);
    j->proof.state = PROOF_RUNNING;
    j->proof.time_ms = clock_wall_ms();
    atomic_init(&j->max_rate, options->config ? options->config->reencrypt_max_rate : 0);
    pthread_mutex_init(&j->lock, NULL);
    cond_init(&j->stopping);
    for (size_t i = 0; i < CLUSTER_SERVERS_MAX; i++)
        atomic_init(&j->usable[i], true);
    j->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return j;
}

static void job_release(struct job *j)
{
    if (j->fd >= 0)
        close(j->fd);
    pthread_cond_destroy(&j->stopping);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

int job_start(const struct job_options *options, struct job **ret, struct error *err)
{
    struct job *j = job_alloc(options);
    if (!j)
        return error_no_memory(err);
    int e = j->fd < 0 ? errno : pthread_create(&j->thread, NULL, run, j);
    if (e != 0) {
        job_release(j);
        return error_errno(err, e, "starting a job's thread");
    }
    *ret = j;
    return 0;
}

void job_free(struct job *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    atomic_store(&j->cancel, true);
    if (j->on_cancel)
        j->on_cancel(j->on_cancel_arg);
    pthread_cond_broadcast(&j->stopping);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->thread, NULL);
    encryption_config_free(j->options.encryption);
    job_release(j);
}

/* ---------- asked by the owner ---------- */

void job_heard(struct job *j)
{
    eventfd_t ignored;
    eventfd_read(j->fd, &ignored);
}

int job_fd(const struct job *j)
{
    return j->fd;
}

bool job_ended(struct job *j)
{
    return atomic_load(&j->ended);
}

enum job_kind job_kind_of(const struct job *j)
{
    return j->options.kind;
}

const char *job_operation(const struct job *j)
{
    return j->options.operation;
}

int64_t job_step(const struct job *j)
{
    return j->options.step;
}

void job_progress(struct job *j, struct cluster_reencrypt *ret)
{
    pthread_mutex_lock(&j->lock);
    *ret = j->record;
    pthread_mutex_unlock(&j->lock);
}

void job_proof(struct job *j, struct cluster_proof *ret)
{
    pthread_mutex_lock(&j->lock);
    cluster_proof_copy(&j->proof, ret);
    pthread_mutex_unlock(&j->lock);
}

bool job_watching(struct job *j)
{
    return atomic_load(&j->watching);
}

void job_use(struct job *j, size_t server, bool usable)
{
    if (server < CLUSTER_SERVERS_MAX)
        atomic_store(&j->usable[server], usable);
}

void job_limit(struct job *j, int64_t max_rate)
{
    atomic_store(&j->max_rate, max_rate);
}

/* ---------- asked by the work ---------- */

int64_t job_max_rate(const struct job *j)
{
    return atomic_load(&j->max_rate);
}

bool job_canceled(struct job *j)
{
    return atomic_load(&j->cancel);
}

const atomic_bool *job_cancel_flag(const struct job *j)
{
    return &j->cancel;
}

bool job_wait(struct job *j, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&j->lock);
    while (!atomic_load(&j->cancel) && pthread_cond_timedwait(&j->stopping, &j->lock, &until) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&j->lock);
    return atomic_load(&j->cancel);
}

void job_on_cancel(struct job *j, void (*cancel)(void *arg), void *arg)
{
    pthread_mutex_lock(&j->lock);
    j->on_cancel = cancel;
    j->on_cancel_arg = arg;
    if (cancel && atomic_load(&j->cancel))
        cancel(arg);
    pthread_mutex_unlock(&j->lock);
}

const struct job_options *job_opts(const struct job *j)
{
    return &j->options;
}

bool job_usable(struct job *j, size_t server)
{
    return atomic_load(&j->usable[server]);
}

void job_update(struct job *j, void (*change)(struct cluster_reencrypt *r, void *arg), void *arg)
{
    pthread_mutex_lock(&j->lock);
    change(&j->record, arg);
    j->record.updated_ms = clock_wall_ms();
    pthread_mutex_unlock(&j->lock);
}

void job_update_proof(struct job *j, void (*change)(struct cluster_proof *p, void *arg), void *arg)
{
    pthread_mutex_lock(&j->lock);
    change(&j->proof, arg);
    j->proof.time_ms = clock_wall_ms();
    pthread_mutex_unlock(&j->lock);
}

void job_set_watching(struct job *j, bool watching)
{
    if (atomic_exchange(&j->watching, watching) != watching)
        eventfd_write(j->fd, 1);
}
