/* While keys leave servers: every new write of a managed resource must stand under a key that stays. What
 * the scan saw at one revision, the watch goes on from. It lasts until it is stopped, or until it has seen a
 * value that would become unreadable.
 *
 * A stream that is believed to stand may be dead, and a lost one may have lost something. So everything is
 * read again whenever the streams have been established, before anybody is told that writes are watched, and
 * every so often after that. */
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include <base/clock.h>
#include <base/text.h>
#include <etcd/watch.h>

#include "values.h"

#define POLL_MS        250
#define PUBLISH_MS     1000
#define RESCAN_MS      10000 /* at least, between two readings of everything … */
#define RESCAN_TIMES   100   /* … and so many times as long as one takes: 1 % of the time at most */
#define BACKOFF_MS     500
#define BACKOFF_MAX_MS 10000

struct watcher {
    struct job *job;
    const struct job_options *o;
    struct etcd_watch *watches[CLUSTER_RESOURCES_MAX];
    int64_t brought[CLUSTER_RESOURCES_MAX]; /* by each stream: all up to this revision */
    size_t count;
    int64_t values;             /* looked at */
    int64_t read;               /* everything was read at this revision */
    int64_t published_ms;       /* clock_mono_ms; so all below */
    int64_t read_ms;            /* when the last good reading of everything began; 0: there was none */
    int64_t took_ms;            /* how long it took */
    int64_t not_before_ms;      /* after one that failed */
    unsigned failures;          /* in a row */
    int64_t lost;               /* events up to this revision may be missing; 0: none are */
    char why[CLUSTER_TEXT_MAX]; /* what it waits for; "" = nothing */
};

static int64_t seen(const struct watcher *v)
{
    int64_t least = v->count ? INT64_MAX : 0;
    for (size_t i = 0; i < v->count; i++)
        least = v->brought[i] < least ? v->brought[i] : least;
    return v->lost || v->read > least ? v->read : least;
}

static void publish(struct cluster_proof *p, void *arg)
{
    const struct watcher *v = arg;
    int64_t revision = seen(v);
    text_copy(p->method, sizeof(p->method), "watch");
    p->state = PROOF_RUNNING;
    p->revision = revision > p->revision ? revision : p->revision;
    p->values = v->values;
    text_copy(p->why, sizeof(p->why), v->why);
}

static int check(struct watcher *v, const char *resource, const struct etcd_kv *kv, struct error *err)
{
    struct value_key key;
    char text[VALUES_KEY_TEXT];
    value_key(v->o, kv, &key);
    v->values++;
    if (value_kept(v->o, &key))
        return 0;
    value_key_text(&key, text);
    /* A server that has lost the key already cannot list anything while this stands, nor come up: so the
     * value goes under the right key at once. Whoever wrote it may do so again: it is evidence all the same.
     */
    int64_t moved = 0;
    struct error why = ERROR_INIT;
    if (value_move(v->o, resource, kv, &moved, &why) == 0)
        return error_set(err, ERR_STATE,
                         "%.100s: %.200s was written under %.100s at revision %" PRId64
                         "; it was written anew at revision %" PRId64,
                         resource, kv->key, text, kv->mod_revision, moved);
    return error_set(err, ERR_STATE,
                     "%.100s: %.200s was written under %.100s at revision %" PRId64
                     "; it could not be written anew: %.100s",
                     resource, kv->key, text, kv->mod_revision, why.text);
}

/* ---------- reading everything ---------- */

static int check_kv(void *arg, const char *resource, const struct etcd_kv *kv, struct error *err)
{
    return check(arg, resource, kv, err);
}

static void on_again(void *arg)
{
    (void)arg; /* nothing is counted */
}

static int read_everything(struct watcher *v, struct error *err)
{
    struct values_reader r = {.job = v->job, .each = check_kv, .again = on_again, .arg = v};
    struct error why = ERROR_INIT;
    int64_t begin = clock_mono_ms(), revision = 0;
    int rc = values_each(&r, &revision, &why);
    if (rc == ERR_STATE || rc == ERR_CANCELED)
        return error_set(err, rc, "%s", why.text);
    if (rc == 0 && revision < v->lost)
        rc = error_set(&why, ERR_UNAVAILABLE, "the datastore is behind revision %" PRId64, v->lost);
    if (rc < 0) {
        snprintf(v->why, sizeof(v->why), "reading everything again: %.450s", why.text);
        v->not_before_ms = clock_mono_ms() + backoff_ms(v->failures++, BACKOFF_MS, BACKOFF_MAX_MS);
        v->read_ms = 0;
        return 0;
    }
    v->why[0] = 0;
    v->failures = 0;
    v->lost = 0;
    v->read = revision > v->read ? revision : v->read;
    v->read_ms = begin;
    v->took_ms = clock_mono_ms() - begin;
    return 0;
}

/* ---------- events ---------- */

/* Events were lost (compacted away, or too many to hold): what they wrote still stands, or was written over
 * since. One revision may have several events: it is complete when the next one is seen. */
static int take_event(struct watcher *v, size_t i, const struct etcd_event *ev, struct error *err)
{
    if (ev->type == ETCD_EVENT_RESYNC) {
        v->lost = ev->revision > v->lost ? ev->revision : v->lost;
        v->lost = v->lost ? v->lost : 1;
    }
    if (ev->revision - 1 > v->brought[i])
        v->brought[i] = ev->revision - 1;
    return ev->type == ETCD_EVENT_PUT ? check(v, v->o->spec.resources[i], &ev->kv, err) : 0;
}

static int take_events(struct watcher *v, struct error *err)
{
    for (size_t i = 0; i < v->count; i++) {
        int rc = 0;
        while (rc == 0 && !job_canceled(v->job)) {
            struct etcd_event ev = {0};
            if (etcd_watch_next(v->watches[i], 0, &ev, NULL) < 0)
                break; /* none just now */
            rc = take_event(v, i, &ev, err);
            etcd_event_free(&ev);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void wait_for_events(struct watcher *v)
{
    struct pollfd fds[CLUSTER_RESOURCES_MAX];
    for (size_t i = 0; i < v->count; i++)
        fds[i] = (struct pollfd){.fd = etcd_watch_fd(v->watches[i]), .events = POLLIN};
    (void)poll(fds, v->count, POLL_MS);
}

/* ---------- state ---------- */

/* True when every stream stands; *ret_ms: since when. */
static bool is_connected(struct watcher *v, int64_t *ret_ms)
{
    *ret_ms = 0;
    for (size_t i = 0; i < v->count; i++) {
        int64_t since = 0;
        struct error last = ERROR_INIT;
        bool connected = etcd_watch_connected(v->watches[i], &since);
        int64_t begin = clock_mono_ms() - since;
        *ret_ms = begin > *ret_ms ? begin : *ret_ms;
        if (connected)
            continue;
        etcd_watch_error(v->watches[i], &last);
        snprintf(v->why, sizeof(v->why), "new writes of %.100s cannot be watched: %.350s",
                 v->o->spec.resources[i], last.code ? last.text : "connecting");
        return false;
    }
    return true;
}

static bool is_read(const struct watcher *v, int64_t connected_ms)
{
    return v->read_ms > connected_ms && !v->lost;
}

static bool is_due(const struct watcher *v, int64_t connected_ms)
{
    int64_t now = clock_mono_ms(), pause = v->took_ms * RESCAN_TIMES;
    if (now < v->not_before_ms)
        return false;
    return !is_read(v, connected_ms) || now - v->read_ms >= (pause > RESCAN_MS ? pause : RESCAN_MS);
}

static int look(struct watcher *v, struct error *err)
{
    int64_t connected_ms = 0;
    int rc = take_events(v, err);
    bool connected = is_connected(v, &connected_ms);
    if (rc == 0 && connected && is_due(v, connected_ms)) {
        job_set_watching(v->job, false); /* it may take long where the datastore is in trouble */
        while (clock_mono_ms() <= connected_ms && !job_wait(v->job, 1))
            ; /* the clock, too, has to say that it was read after the stream stood */
        rc = read_everything(v, err);
    }
    if (rc < 0)
        return rc;
    job_set_watching(v->job, connected && is_read(v, connected_ms));
    if (clock_mono_ms() - v->published_ms >= PUBLISH_MS) {
        v->published_ms = clock_mono_ms();
        job_update_proof(v->job, publish, v);
    }
    return 0;
}

static int open_watches(struct watcher *v, struct error *err)
{
    for (size_t i = 0; i < v->o->spec.resources_count; i++) {
        char prefix[VALUES_PREFIX_MAX];
        values_prefix(v->o, v->o->spec.resources[i], prefix);
        int rc = etcd_watch_new(v->o->datastore, prefix, v->o->from_revision, &v->watches[i], err);
        if (rc < 0)
            return rc;
        v->brought[i] = v->o->from_revision - 1;
        v->count++;
    }
    return 0;
}

int watch_run(struct job *j, struct error *err)
{
    struct watcher v = {.job = j, .o = job_opts(j)};
    int rc = open_watches(&v, err);
    job_update_proof(j, publish, &v);
    while (rc == 0) {
        wait_for_events(&v);
        rc = job_canceled(j) ? error_set(err, ERR_CANCELED, "the watch was stopped") : look(&v, err);
    }
    job_set_watching(j, false);
    for (size_t i = 0; i < v.count; i++)
        etcd_watch_free(v.watches[i]);
    return rc;
}
