#include <etcd/watch.h>

#include "internal.h"

#include <errno.h>
#include <sys/eventfd.h>

#include <base/clock.h>

#define CREATE_MS      2000 /* how long a member may take to set the watch up */
#define IDLE_MS        60000
#define BEHIND_MS      2000 /* a member may lag that long before we conclude that the store was restored */
#define BACKOFF_MS     50
#define BACKOFF_MAX_MS 1000

struct etcd_watch {
    struct etcd *etcd;
    char key[ETCD_KEY_MAX + 1], end[ETCD_KEY_MAX + 1];
    size_t key_len, end_len;
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;
    bool connected;
    int64_t since; /* clock_mono_ms of the last change of `connected` */
    struct rpc_stream *stream;
    struct watch_queue queue;
    int64_t told; /* all up to this revision has gone into the queue */
    struct error last;
    /* the thread's own */
    int64_t next;         /* the first revision not yet seen; 0: from now on */
    bool lost_some;       /* events before `next` may be missing: say RESYNC once the revision is known */
    uint64_t cluster;     /* id of the cluster seen; 0: none yet */
    int64_t behind_since; /* clock_mono_ms; 0: the members are as far as we are */
    int64_t asked;        /* the revision that the stream's last asked-for progress named; 0: none did */
};

static void set_connected(struct etcd_watch *w, bool connected)
{
    pthread_mutex_lock(&w->lock);
    if (w->connected != connected) {
        w->connected = connected;
        w->since = clock_mono_ms();
        eventfd_write(w->fd, 1); /* who polls for events wants to know that, too */
    }
    pthread_mutex_unlock(&w->lock);
}

/* Readable while something is queued, or until the next look after the stream was established or lost. */
static void show_locked(struct etcd_watch *w, bool was_empty)
{
    eventfd_t ignored;
    bool empty = queue_empty(&w->queue);
    if (was_empty && !empty)
        eventfd_write(w->fd, 1);
    else if (empty)
        eventfd_read(w->fd, &ignored);
    if (!empty)
        pthread_cond_broadcast(&w->changed);
}

static void tell_resync(struct etcd_watch *w, int64_t revision)
{
    pthread_mutex_lock(&w->lock);
    bool was_empty = queue_empty(&w->queue);
    queue_resync(&w->queue, revision);
    w->told = revision; /* which may be lower than before: another store */
    show_locked(w, was_empty);
    pthread_mutex_unlock(&w->lock);
}

static void tell_progress(struct etcd_watch *w)
{
    pthread_mutex_lock(&w->lock);
    w->told = w->next - 1;
    pthread_mutex_unlock(&w->lock);
}

static void tell_event(struct etcd_watch *w, const Mvccpb__Event *from)
{
    struct etcd_event ev = {
        .type = from->type == MVCCPB__EVENT__EVENT_TYPE__DELETE ? ETCD_EVENT_DELETE : ETCD_EVENT_PUT,
        .revision = from->kv->mod_revision,
    };
    int rc = kv_copy(from->kv, &ev.kv);
    pthread_mutex_lock(&w->lock);
    bool was_empty = queue_empty(&w->queue);
    if (rc < 0)
        queue_resync(&w->queue, ev.revision);
    else
        queue_push(&w->queue, &ev);
    show_locked(w, was_empty);
    pthread_mutex_unlock(&w->lock);
}

/* The store's revision is one that we have already gone past. One member may lag; when all that we meet do,
 * for long, the store was restored from a backup, and what was seen before says nothing any more. */
static int on_behind(struct etcd_watch *w, struct error *err)
{
    int64_t now = clock_mono_ms();
    if (!w->behind_since)
        w->behind_since = now;
    if (now - w->behind_since < BEHIND_MS) {
        rpc_stream_distrust(w->stream);
        return error_set(err, ERR_UNAVAILABLE, "this member lags behind what was already seen");
    }
    w->behind_since = 0;
    w->next = 0;
    w->lost_some = true;
    return error_set(err, ERR_COMPACTED,
                     "the store is older than what was already seen: restored from a backup?");
}

static int on_created(struct etcd_watch *w, const Etcdserverpb__WatchResponse *r, struct error *err)
{
    int64_t now = revision_of(r->header);
    uint64_t cluster = r->header ? r->header->cluster_id : 0;
    if (now <= 0)
        return error_set(err, ERR_INVALID, "a watch answer without a revision");
    int rc = identity_check(w->etcd, &r->base, clock_mono_ms() + CREATE_MS, err);
    if (rc < 0) {
        rpc_stream_distrust(w->stream);
        return rc;
    }
    /* Another store under the same address (restored from a backup): its revisions say nothing of ours. */
    if (w->cluster && cluster != w->cluster) {
        w->next = 0;
        w->lost_some = true;
        w->cluster = cluster;
        return error_set(err, ERR_COMPACTED, "this is another etcd cluster than before");
    }
    w->cluster = cluster;
    if (w->next > revision_after(now))
        return on_behind(w, err);
    w->behind_since = 0;
    w->asked = 0;
    if (!w->next)
        w->next = revision_after(now);
    if (w->lost_some)
        tell_resync(w, w->next - 1);
    w->lost_some = false;
    set_connected(w, true);
    return 0;
}

static int on_canceled(struct etcd_watch *w, const Etcdserverpb__WatchResponse *r, struct error *err)
{
    if (r->compact_revision) {
        w->next = 0;
        w->lost_some = true;
        return error_set(err, ERR_COMPACTED, "the revision to watch from has been compacted");
    }
    return error_set(err, ERR_UNAVAILABLE, "the server ended the watch: %.300s",
                     *r->cancel_reason ? r->cancel_reason : "no reason given");
}

/* Progress that was asked for. Members before 3.4.25 and 3.5.8 may say it before they have sent what they
 * have: what they said the time before counts, a while ago on the same stream. */
static void on_asked(struct etcd_watch *w, int64_t revision)
{
    if (w->asked >= w->next)
        w->next = revision_after(w->asked);
    w->asked = revision;
}

/* All events of one revision come in one answer, so `next` moves on at its end only. */
static int on_answer(struct etcd_watch *w, const Etcdserverpb__WatchResponse *r, bool created,
                     struct error *err)
{
    if (r->canceled)
        return on_canceled(w, r, err);
    if (r->created != !created) /* what comes before may be of any store, and says nothing of ours */
        return error_set(err, ERR_INVALID, "%s",
                         created ? "the watch was set up twice" : "an answer before the watch was set up");
    if (r->created)
        return on_created(w, r, err);
    if (r->watch_id < 0 && !r->n_events) {
        on_asked(w, revision_of(r->header));
        return 0;
    }
    int64_t last = r->n_events ? 0 : revision_of(r->header);
    for (size_t i = 0; i < r->n_events; i++) {
        const Mvccpb__Event *ev = r->events[i];
        if (!ev->kv || ev->kv->mod_revision < w->next)
            continue;
        tell_event(w, ev);
        last = ev->kv->mod_revision > last ? ev->kv->mod_revision : last;
    }
    if (last >= w->next)
        w->next = revision_after(last);
    return 0;
}

static int send_create(struct etcd_watch *w, struct rpc_stream *s, struct error *err)
{
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    create.key = bytes_of(w->key, w->key_len);
    create.range_end = bytes_of(w->end, w->end_len);
    create.start_revision = w->next;
    create.progress_notify = true; /* keeps `next` ahead of compactions while the keys are quiet */
    Etcdserverpb__WatchRequest q = ETCDSERVERPB__WATCH_REQUEST__INIT;
    q.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    q.create_request = &create;
    return rpc_stream_send(s, &q.base, err);
}

/* How far is the store? Keeps `next` ahead of compactions where nobody else makes the members tell in time:
 * by themselves they do so every ten minutes, and Kubernetes compacts every five. */
static int send_progress(struct rpc_stream *s, struct error *err)
{
    Etcdserverpb__WatchProgressRequest progress = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    Etcdserverpb__WatchRequest q = ETCDSERVERPB__WATCH_REQUEST__INIT;
    q.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    q.progress_request = &progress;
    return rpc_stream_send(s, &q.base, err);
}

/* Runs until the stream ends; *ret_created: it had been established. */
static int session(struct etcd_watch *w, struct rpc_stream *s, bool *ret_created, struct error *err)
{
    int rc = send_create(w, s, err);
    while (rc == 0) {
        _reply_ Etcdserverpb__WatchResponse *r = NULL;
        rc = rpc_stream_receive(s, *ret_created ? IDLE_MS : CREATE_MS, (ProtobufCMessage **)&r, err);
        if (rc == ERR_TIMEOUT && *ret_created) {
            rc = send_progress(s, err); /* quiet; a dead connection is gRPC's keep-alive's to notice */
            continue;
        }
        if (rc == ERR_TIMEOUT)
            rpc_stream_distrust(s);
        if (rc == 0)
            rc = on_answer(w, r, *ret_created, err);
        if (rc == 0)
            tell_progress(w);
        if (rc == 0 && r->created)
            *ret_created = true;
    }
    return rc;
}

static bool set_stream(struct etcd_watch *w, struct rpc_stream *stream)
{
    pthread_mutex_lock(&w->lock);
    struct rpc_stream *old = w->stream;
    w->stream = stream;
    bool go_on = !w->stop;
    pthread_mutex_unlock(&w->lock);
    rpc_stream_free(old);
    return go_on;
}

static int open_and_run(struct etcd_watch *w, bool *ret_created, struct error *err)
{
    /* A member cut off from the others ends the stream instead of staying silent. */
    static const char *const metadata[] = {"hasleader", "true", NULL};
    struct rpc_stream *s;
    int rc = rpc_stream_open(w->etcd->channel, method_rpc(METHOD_WATCH), metadata, &s, err);
    if (rc < 0)
        return rc;
    rc = set_stream(w, s) ? session(w, s, ret_created, err) : ERR_CANCELED;
    set_stream(w, NULL);
    return rc;
}

static void pause_unless_stopped(struct etcd_watch *w, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms, now;
    pthread_mutex_lock(&w->lock);
    while (!w->stop && (now = clock_mono_ms()) < until)
        cond_wait_ms(&w->changed, &w->lock, until - now);
    pthread_mutex_unlock(&w->lock);
}

/* Why it is no longer connected is there before it is seen not to be. */
static bool note_failure(struct etcd_watch *w, int rc, struct error *err)
{
    etcd_fail(w->etcd->name, rc, err, "watch", w->key);
    pthread_mutex_lock(&w->lock);
    w->last = *err;
    bool go_on = !w->stop;
    pthread_mutex_unlock(&w->lock);
    return go_on;
}

static void *run(void *arg)
{
    struct etcd_watch *w = arg;
    unsigned failures = 0;
    for (;;) {
        bool created = false;
        struct error err = ERROR_INIT;
        int rc = open_and_run(w, &created, &err);
        bool go_on = note_failure(w, rc, &err);
        set_connected(w, false);
        if (!go_on)
            return NULL;
        failures = created ? 0 : failures + 1;
        if (rc != ERR_COMPACTED || failures > 3)
            pause_unless_stopped(w, backoff_ms(failures, BACKOFF_MS, BACKOFF_MAX_MS));
    }
}

static void watch_destroy(struct etcd_watch *w)
{
    queue_clear(&w->queue);
    if (w->fd >= 0)
        close(w->fd);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

int watch_open(struct etcd *e, const char *key, size_t key_len, const char *end, size_t end_len,
               int64_t revision, struct etcd_watch **ret, struct error *err)
{
    struct etcd_watch *w = calloc(1, sizeof(*w));
    if (!w)
        return error_no_memory(err);
    w->etcd = e;
    w->next = revision;
    w->told = revision > 0 ? revision - 1 : 0;
    w->since = clock_mono_ms();
    memcpy(w->key, key, key_len);
    memcpy(w->end, end, end_len);
    w->key_len = key_len;
    w->end_len = end_len;
    queue_init(&w->queue);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = w->fd < 0 ? error_errno(err, errno, "eventfd") : etcd_thread_start(&w->thread, run, w, err);
    if (rc < 0)
        watch_destroy(w);
    else
        *ret = w;
    return rc;
}

int etcd_watch_new(struct etcd *e, const char *prefix, int64_t revision, struct etcd_watch **ret,
                   struct error *err)
{
    size_t len = strlen(prefix);
    if (len > ETCD_KEY_MAX || revision < 0)
        return error_set(err, ERR_INVALID, "etcd %.300s: a prefix of over %d bytes, or a negative revision",
                         e->name, ETCD_KEY_MAX);
    char end[ETCD_KEY_MAX + 1];
    size_t end_len = prefix_end(prefix, len, end);
    return watch_open(e, len ? prefix : "", len ? len : 1, end, end_len, revision, ret, err);
}

int etcd_watch_next(struct etcd_watch *w, int timeout_ms, struct etcd_event *ret, struct error *err)
{
    int64_t until = clock_mono_ms() + timeout_ms, now;
    pthread_mutex_lock(&w->lock);
    while (queue_empty(&w->queue) && (now = clock_mono_ms()) < until)
        cond_wait_ms(&w->changed, &w->lock, until - now);
    bool was_empty = queue_empty(&w->queue);
    bool got = queue_pop(&w->queue, ret);
    show_locked(w, was_empty);
    pthread_mutex_unlock(&w->lock);
    if (got)
        return 0;
    return error_set(err, ERR_TIMEOUT, "etcd %.300s: no event within %d ms (watch %.150s)", w->etcd->name,
                     timeout_ms, w->key);
}

int64_t etcd_watch_progress(struct etcd_watch *w)
{
    pthread_mutex_lock(&w->lock);
    int64_t revision = w->queue.resync ? 0 : w->queue.first ? w->queue.first->event.revision - 1 : w->told;
    pthread_mutex_unlock(&w->lock);
    return revision;
}

int etcd_watch_fd(const struct etcd_watch *w)
{
    return w->fd;
}

bool etcd_watch_connected(struct etcd_watch *w, int64_t *ret_since_ms)
{
    pthread_mutex_lock(&w->lock);
    bool connected = w->connected;
    if (ret_since_ms)
        *ret_since_ms = clock_mono_ms() - w->since;
    pthread_mutex_unlock(&w->lock);
    return connected;
}

void etcd_watch_error(struct etcd_watch *w, struct error *ret)
{
    pthread_mutex_lock(&w->lock);
    *ret = w->last;
    pthread_mutex_unlock(&w->lock);
}

void etcd_watch_free(struct etcd_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    if (w->stream)
        rpc_stream_cancel(w->stream);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    watch_destroy(w);
}
