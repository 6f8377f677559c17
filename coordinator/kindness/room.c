#include "room.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include <etcd/maintenance.h>

#define EVERY_S 5
#define CALL_MS 2000

void room_ask(struct etcd *datastore, struct room_state *ret)
{
    struct etcd_alarm_list alarms = {0};
    struct room_state r = {.bytes = -1, .in_use = -1};

    for (size_t i = 0; i < etcd_endpoint_count(datastore); i++) {
        struct etcd_status s = {0};

        if (etcd_member_status(datastore, i, CALL_MS, &s, NULL) < 0)
            continue;
        r.bytes = s.db_size > r.bytes ? s.db_size : r.bytes;
        r.in_use = s.db_size_in_use > r.in_use ? s.db_size_in_use : r.in_use;
    }
    if (etcd_alarms(datastore, CALL_MS, &alarms, NULL) == 0)
        for (size_t i = 0; i < alarms.count; i++)
            r.alarm = r.alarm || alarms.alarms[i].type == ETCD_ALARM_NOSPACE;
    *ret = r;
}

struct room_watch {
    struct etcd *datastore;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stopping;
    bool stop;               /* under lock */
    struct room_state state; /* under lock */
};

/* Waits for the next time; false when it is to end. */
static bool next_time(struct room_watch *w)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += EVERY_S;
    pthread_mutex_lock(&w->lock);
    while (!w->stop && pthread_cond_timedwait(&w->stopping, &w->lock, &until) != ETIMEDOUT)
        ;
    bool go_on = !w->stop;
    pthread_mutex_unlock(&w->lock);
    return go_on;
}

static void *run(void *arg)
{
    struct room_watch *w = arg;
    while (next_time(w)) {
        struct room_state s;
        room_ask(w->datastore, &s);
        pthread_mutex_lock(&w->lock);
        w->state = s;
        pthread_mutex_unlock(&w->lock);
    }
    return NULL;
}

static void release(struct room_watch *w)
{
    pthread_cond_destroy(&w->stopping);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

int room_watch_start(struct etcd *datastore, const struct room_state *first, struct room_watch **ret,
                     struct error *err)
{
    struct room_watch *w = calloc(1, sizeof(*w));
    pthread_condattr_t attr;
    if (!w)
        return error_no_memory(err);
    w->datastore = datastore;
    w->state = *first;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->stopping, &attr);
    pthread_condattr_destroy(&attr);
    int e = pthread_create(&w->thread, NULL, run, w);
    if (e != 0) {
        release(w);
        return error_errno(err, e, "starting the thread that asks for the datastore's size");
    }
    *ret = w;
    return 0;
}

void room_watch_free(struct room_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->stopping);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    release(w);
}

void room_watch_get(struct room_watch *w, struct room_state *ret)
{
    pthread_mutex_lock(&w->lock);
    *ret = w->state;
    pthread_mutex_unlock(&w->lock);
}
