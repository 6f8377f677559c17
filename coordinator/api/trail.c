#include "trail.h"

#include <pthread.h>

#include <base/clock.h>
#include <base/log.h>
#include <base/text.h>

#define QUEUE_MAX  256
#define WRITE_MS   2000
#define TRIES_MAX  5
#define GIVE_UP_MS 2000 /* for what is left when the program stops */
#define RETRY_MIN  200
#define RETRY_MAX  2000

struct trail {
    struct store *store;
    const char *server;
    pthread_t thread;
    bool started, stopping;
    int64_t stop_ms;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct cluster_audit queue[QUEUE_MAX];
    size_t first, count;
    unsigned left_out;
};

/* Waits while there is nothing to write. False: it is time to stop, and nothing is left. */
static bool take_one(struct trail *t, struct cluster_audit *out)
{
    pthread_mutex_lock(&t->lock);
    while (t->count == 0 && !t->stopping)
        pthread_cond_wait(&t->changed, &t->lock);
    bool there = t->count > 0 && !(t->stopping && clock_mono_ms() >= t->stop_ms);
    if (there) {
        *out = t->queue[t->first];
        t->first = (t->first + 1) % QUEUE_MAX;
        t->count--;
    }
    if (there && t->left_out > 0) {
        size_t used = strlen(out->why);
        snprintf(out->why + used, sizeof(out->why) - used, "%s%u more were left out", used ? "; " : "",
                 t->left_out);
        t->left_out = 0;
    }
    pthread_mutex_unlock(&t->lock);
    return there;
}

static bool stopping(struct trail *t)
{
    pthread_mutex_lock(&t->lock);
    bool is = t->stopping;
    pthread_mutex_unlock(&t->lock);
    return is;
}

/* Until `ms` are over or the trail is to stop. */
static void rest(struct trail *t, int64_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += ms % 1000 * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&t->lock);
    while (!t->stopping && pthread_cond_timedwait(&t->changed, &t->lock, &at) == 0)
        ;
    pthread_mutex_unlock(&t->lock);
}

static void write_one(struct trail *t, const struct cluster_audit *entry)
{
    struct error err = ERROR_INIT;
    for (unsigned i = 0; i < TRIES_MAX; i++) {
        int rc = store_audit_add(t->store, entry, WRITE_MS, &err);
        if (rc == 0)
            return;
        if (!error_is_transient(rc) || stopping(t))
            break;
        rest(t, backoff_ms(i, RETRY_MIN, RETRY_MAX));
    }
    log_event(LOG_LEVEL_WARNING, "an entry of the audit trail was not written", LOG_S("who", entry->who),
              LOG_S("call", entry->call), LOG_S("what", entry->what), LOG_S("result", entry->result),
              LOG_S("why", err.text));
}

static void *run(void *arg)
{
    struct trail *t = arg;
    struct cluster_audit entry;
    while (take_one(t, &entry))
        write_one(t, &entry);
    return NULL;
}

int trail_new(struct store *store, const char *server, struct trail **ret, struct error *err)
{
    pthread_condattr_t monotonic;
    struct trail *t = calloc(1, sizeof(*t));
    if (!t)
        return error_no_memory(err);
    t->store = store;
    t->server = server;
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&t->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int failed = pthread_create(&t->thread, NULL, run, t);
    t->started = failed == 0;
    if (failed) {
        trail_free(t);
        return error_errno(err, failed, "starting the writer of the audit trail");
    }
    *ret = t;
    return 0;
}

void trail_free(struct trail *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    t->stop_ms = clock_mono_ms() + GIVE_UP_MS;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    if (t->started)
        pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static void queue(struct trail *t, const struct cluster_audit *entry)
{
    pthread_mutex_lock(&t->lock);
    if (t->count == QUEUE_MAX || t->stopping)
        t->left_out++;
    else
        t->queue[(t->first + t->count++) % QUEUE_MAX] = *entry;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

void trail_log(const struct who *who, const char *call, const char *what, const char *result, const char *why)
{
    log_event(LOG_LEVEL_NOTICE, "api", LOG_S("call", call), LOG_S("what", what), LOG_S("who", who->identity),
              LOG_S("role", api_role_name(who->role)), LOG_S("from", who->from), LOG_S("result", result),
              LOG_S("why", why));
}

void trail_add(struct trail *t, const struct who *who, const char *call, const char *what, const char *result,
               const char *why)
{
    struct cluster_audit entry = {.time_ms = clock_wall_ms()};
    text_copy(entry.server, sizeof(entry.server), t->server);
    text_copy(entry.who, sizeof(entry.who), who->identity);
    text_copy(entry.role, sizeof(entry.role), api_role_name(who->role));
    text_copy(entry.from, sizeof(entry.from), who->from);
    text_copy(entry.call, sizeof(entry.call), call);
    text_copy(entry.what, sizeof(entry.what), what);
    text_copy(entry.result, sizeof(entry.result), result);
    text_copy(entry.why, sizeof(entry.why), why);
    trail_log(who, call, what, result, why);
    queue(t, &entry);
}
