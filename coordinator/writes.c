#include "writes.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include <base/cleanup.h>
#include <base/log.h>

#include "resource_prefix.h"

#define PREFIX_MAX (3 * CLUSTER_KEY_NAME_MAX)
#define LOOK_MS    5000 /* progress of what is quiet is no event */

struct writes {
    struct etcd_watch *watches[CLUSTER_RESOURCES_MAX];
    size_t watches_count;
    int stop_fd;
    bool running;
    pthread_t thread;
    pthread_mutex_t lock;
    struct writes_count count;
};

static void take_events(struct writes *w, size_t i)
{
    struct etcd_event ev = {0};
    while (etcd_watch_next(w->watches[i], 0, &ev, NULL) == 0) {
        int64_t guessed = w->count.guessed; /* none but this thread writes it */
        pthread_mutex_lock(&w->lock);
        writes_count_event(&w->count, i, &ev);
        pthread_mutex_unlock(&w->lock);
        if (w->count.guessed > guessed)
            log_event(LOG_LEVEL_INFO, "writes were not seen: their revisions are counted",
                      LOG_I("revisions", w->count.guessed - guessed), LOG_I("to", ev.revision));
        etcd_event_free(&ev);
    }
    int64_t revision = etcd_watch_progress(w->watches[i]);
    pthread_mutex_lock(&w->lock);
    writes_count_seen(&w->count, i, revision);
    pthread_mutex_unlock(&w->lock);
}

static void *run(void *arg)
{
    struct writes *w = arg;
    struct pollfd fds[CLUSTER_RESOURCES_MAX + 1] = {{.fd = w->stop_fd, .events = POLLIN}};
    for (size_t i = 0; i < w->watches_count; i++)
        fds[i + 1] = (struct pollfd){.fd = etcd_watch_fd(w->watches[i]), .events = POLLIN};
    while (!(fds[0].revents & POLLIN)) {
        for (size_t i = 0; i < w->watches_count; i++)
            take_events(w, i);
        (void)poll(fds, w->watches_count + 1, LOOK_MS);
    }
    return NULL;
}

static int open_watches(struct writes *w, struct etcd *datastore, const struct config *config, int64_t to,
                        struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < config->resources_count && i < CLUSTER_RESOURCES_MAX; i++) {
        char prefix[PREFIX_MAX];
        resource_prefix(config->datastore_prefix, config->resources[i], prefix, sizeof(prefix));
        rc = etcd_watch_new(datastore, prefix, to + 1, &w->watches[i], err);
        w->watches_count += rc == 0;
    }
    return rc;
}

int writes_start(struct etcd *datastore, const struct config *config, int64_t counted, int64_t guessed,
                 int64_t to, struct writes **ret, struct error *err)
{
    struct writes *w = calloc(1, sizeof(*w));
    if (!w)
        return error_no_memory(err);
    pthread_mutex_init(&w->lock, NULL);
    w->stop_fd = eventfd(0, EFD_CLOEXEC);
    int rc = w->stop_fd < 0 ? error_errno(err, errno, "eventfd") : 0;
    if (rc == 0)
        rc = open_watches(w, datastore, config, to, err);
    writes_count_begin(&w->count, w->watches_count, counted, guessed, to);
    int e = rc == 0 ? pthread_create(&w->thread, NULL, run, w) : 0;
    if (e)
        rc = error_errno(err, e, "cannot start a thread");
    w->running = rc == 0;
    if (rc < 0)
        writes_free(w);
    else
        *ret = w;
    return rc;
}

void writes_read(struct writes *w, struct writes_count *ret)
{
    pthread_mutex_lock(&w->lock);
    *ret = w->count;
    pthread_mutex_unlock(&w->lock);
}

void writes_free(struct writes *w)
{
    if (!w)
        return;
    if (w->running) {
        eventfd_write(w->stop_fd, 1);
        pthread_join(w->thread, NULL);
    }
    for (size_t i = 0; i < w->watches_count; i++)
        etcd_watch_free(w->watches[i]);
    if (w->stop_fd >= 0)
        close(w->stop_fd);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
