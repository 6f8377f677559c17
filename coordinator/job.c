#include "job.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include <base/clock.h>
#include <base/text.h>

struct job {
    struct job_options options;
    char names[ENCRYPTION_KEYS_MAX][CLUSTER_KEY_NAME_MAX]; /* what options.keys borrow from */
    pthread_t thread;
    pthread_mutex_t lock;
    struct cluster_reencrypt record; /* under lock */
    void (*on_cancel)(void *arg);    /* under lock */
    void *on_cancel_arg;
    atomic_bool cancel;
    atomic_bool ended;
    atomic_bool usable[CLUSTER_SERVERS_MAX];
    int fd;
};

static void finish(struct job *j, int rc, const struct error *err)
{
    pthread_mutex_lock(&j->lock);
    j->record.updated_ms = clock_wall_ms();
    if (rc < 0) {
        j->record.state = REENCRYPT_FAILED;
        text_copy(j->record.why, sizeof(j->record.why), err->text);
    } else {
        j->record.state = REENCRYPT_ENDED;
    }
    pthread_mutex_unlock(&j->lock);
    atomic_store(&j->ended, true);
    eventfd_write(j->fd, 1);
}

static void *run(void *arg)
{
    struct job *j = arg;
    struct error err = ERROR_INIT;
    int rc = j->options.kind == JOB_REWRITE ? reencrypt_api_run(j, &err) : scan_run(j, &err);
    finish(j, rc, &err);
    return NULL;
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
    pthread_mutex_init(&j->lock, NULL);
    for (size_t i = 0; i < CLUSTER_SERVERS_MAX; i++)
        atomic_init(&j->usable[i], true);
    j->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return j;
}

static void job_release(struct job *j)
{
    if (j->fd >= 0)
        close(j->fd);
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
        return error_errno(err, e, "starting the re-encryption thread");
    }
    *ret = j;
    return 0;
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

void job_progress(struct job *j, struct cluster_reencrypt *ret)
{
    pthread_mutex_lock(&j->lock);
    *ret = j->record;
    pthread_mutex_unlock(&j->lock);
}

void job_use(struct job *j, size_t server, bool usable)
{
    if (server < CLUSTER_SERVERS_MAX)
        atomic_store(&j->usable[server], usable);
}

void job_free(struct job *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    atomic_store(&j->cancel, true);
    if (j->on_cancel)
        j->on_cancel(j->on_cancel_arg);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->thread, NULL);
    job_release(j);
}

bool job_canceled(struct job *j)
{
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
