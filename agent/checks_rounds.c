#include "checks_rounds.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include <agent/checks.h>
#include <base/clock.h>
#include <base/log.h>
#include <base/text.h>
#include <cluster/codec.h>

#include "checks_remote.h"

#define EVERY_S    300
#define TROUBLE_S  30
#define RETRY_MS   3000
#define STOP_S     10
#define RECORD_MAX (128 * 1024)

struct checks {
    const struct config *config;
    const struct driver *driver;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_bool stop;
    bool now;                   /* under lock: a round is asked for */
    uint64_t rounds;            /* under lock */
    struct cluster_checks last; /* under lock */
    /* of the loop's thread */
    uint64_t published;
    int64_t lease;
    int64_t retry_ms;
    struct log_dependency put;
};

static enum check_result worst(const struct cluster_checks *k)
{
    enum check_result w = CHECK_OK;
    for (size_t i = 0; i < k->checks_count; i++)
        w = k->checks[i].result > w ? k->checks[i].result : w;
    return w;
}

/* A failure is logged when it begins. */
static void tell(const struct cluster_checks *before, const struct cluster_checks *now)
{
    for (size_t i = 0; i < now->checks_count; i++) {
        const struct cluster_check *k = &now->checks[i];
        bool known = false;
        for (size_t j = 0; j < before->checks_count; j++)
            known |= before->checks[j].result == CHECK_FAIL && strcmp(before->checks[j].name, k->name) == 0;
        if (k->result == CHECK_FAIL && !known)
            log_event(LOG_LEVEL_WARNING, "a check failed", LOG_S("check", k->name), LOG_S("why", k->text),
                      LOG_S("remedy", k->remedy));
    }
}

static void round_once(struct checks *c, struct cluster_checks *k)
{
    memset(k, 0, sizeof(*k));
    (void)text_copy(k->server, sizeof(k->server), c->config->server);
    checks_local(c->config, c->driver, "/proc", clock_wall_ms(), k);
    if (!atomic_load(&c->stop))
        checks_remote(c->config, &c->stop, k);
    k->time_ms = clock_wall_ms();
}

/* Until it is due again, somebody asks, or we are stopped. Under the lock. */
static void wait_for_next(struct checks *c, int seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    while (!atomic_load(&c->stop) && !c->now &&
           pthread_cond_timedwait(&c->wake, &c->lock, &until) != ETIMEDOUT)
        ;
    c->now = false;
}

static void *run(void *arg)
{
    struct checks *c = arg;
    struct cluster_checks *k = calloc(1, sizeof(*k));
    while (k && !atomic_load(&c->stop)) {
        round_once(c, k);
        pthread_mutex_lock(&c->lock);
        if (!atomic_load(&c->stop)) {
            tell(&c->last, k);
            c->last = *k;
            c->rounds++;
            wait_for_next(c, worst(k) == CHECK_FAIL ? TROUBLE_S : EVERY_S);
        }
        pthread_mutex_unlock(&c->lock);
    }
    free(k);
    return NULL;
}

static void release(struct checks *c)
{
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

int checks_start(const struct config *config, const struct driver *driver, struct checks **ret,
                 struct error *err)
{
    struct checks *c = calloc(1, sizeof(*c));
    pthread_condattr_t attr;
    if (!c)
        return error_no_memory(err);
    c->config = config;
    c->driver = driver;
    c->put = LOG_DEPENDENCY("checks not published", "checks are published again");
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    int problem = pthread_create(&c->thread, NULL, run, c);
    if (problem) {
        release(c);
        return error_errno(err, problem, "starting the checks");
    }
    *ret = c;
    return 0;
}

void checks_now(struct checks *c)
{
    pthread_mutex_lock(&c->lock);
    c->now = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

void checks_stop(struct checks *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    atomic_store(&c->stop, true);
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += STOP_S;
    if (pthread_clockjoin_np(c->thread, NULL, CLOCK_MONOTONIC, &until) != 0) {
        /* A disk that hangs: what the thread uses stays, the process is about to end. */
        log_event(LOG_LEVEL_WARNING, "the checks hang and are left behind");
        return;
    }
    release(c);
}

void checks_publish(struct checks *c, struct publisher *p, int64_t now_ms)
{
    int64_t lease = publisher_ours(p) ? etcd_lease_id(p->lease) : 0;
    if (!lease || now_ms < c->retry_ms)
        return;
    _cleanup_(buf_freep) struct buf body = BUF_INIT(RECORD_MAX);
    struct error err = ERROR_INIT;
    pthread_mutex_lock(&c->lock);
    uint64_t rounds = c->rounds;
    int rc = 0;
    bool due = rounds > 0 && (rounds != c->published || lease != c->lease);
    if (due)
        rc = cluster_checks_encode(&c->last, &body, &err);
    pthread_mutex_unlock(&c->lock);
    if (!due)
        return;
    if (rc == 0)
        rc = publisher_put(p, CLUSTER_KEY_CHECKS, &body, &err);
    if (!error_is_transient(rc)) /* what is transient, the report's own writes tell too */
        log_dependency(&c->put, rc == 0, err.text);
    if (rc == 0) {
        c->published = rounds;
        c->lease = lease;
        return;
    }
    c->retry_ms = now_ms + RETRY_MS;
}
