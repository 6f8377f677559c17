#include "feed.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include <base/clock.h>
#include <base/text.h>
#include <crypto/crypto.h>
#include <etcd/watch.h>
#include <metrics/metrics.h>

#define LOOK_MS      3000 /* for one look */
#define EVERY_MS     1000 /* looks are at most so far apart … */
#define PAUSE_MS     50   /* … and at least so far */
#define STEPS_MAX    256  /* that are remembered */
#define STEPS_BYTES  (4 * 1024 * 1024)
#define EVENTS_MAX   4096 /* taken off the watch at once */
#define RECORDS_SIZE (14 * 1024 * 1024)

/* What one look found to be otherwise than the look before. */
struct step {
    int64_t revision;
    struct record **items, **deleted;
    size_t count, deleted_count, bytes;
};

struct feed {
    struct store *store;
    struct store_view *view;
    char id[37];
    int wake; /* eventfd */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* CLOCK_MONOTONIC: a look has ended, or `stopping` */
    bool stopping;
    uint64_t begun, ended; /* looks */
    int code;              /* of the last look, and its text */
    struct error why;
    struct feed_state *state; /* NULL: none yet */
    int64_t good_ms;          /* when a look last went well (monotonic) */
    struct step steps[STEPS_MAX];
    size_t first, count, bytes;
    int64_t base; /* the revision that the first step leads away from; 0: none */
};

/* ---------- what is shared ---------- */

void feed_state_unref(struct feed_state *s)
{
    if (!s || __atomic_sub_fetch(&s->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    records_free(&s->records);
    free(s);
}

static struct feed_state *state_ref(struct feed_state *s)
{
    __atomic_add_fetch(&s->references, 1, __ATOMIC_RELAXED);
    return s;
}

static void unref_all(struct record **items, size_t count)
{
    for (size_t i = 0; items && i < count; i++)
        record_unref(items[i]);
    free(items);
}

static struct record **ref_all(struct record *const *items, size_t count)
{
    struct record **copy = calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = record_ref(items[i]);
    return copy;
}

static void step_free(struct step *s)
{
    unref_all(s->items, s->count);
    unref_all(s->deleted, s->deleted_count);
    memset(s, 0, sizeof(*s));
}

void feed_step_free(struct feed_step *s)
{
    unref_all(s->items, s->count);
    unref_all(s->deleted, s->deleted_count);
    memset(s, 0, sizeof(*s));
}

/* ---------- steps ---------- */

static void drop_first_step(struct feed *f)
{
    struct step *s = &f->steps[f->first];
    f->base = s->revision;
    f->bytes -= s->bytes;
    step_free(s);
    f->first = (f->first + 1) % STEPS_MAX;
    f->count--;
}

/* The step is the feed's from now on. */
static void remember(struct feed *f, struct step *s)
{
    while (f->count > 0 && (f->count == STEPS_MAX || f->bytes + s->bytes > STEPS_BYTES))
        drop_first_step(f);
    f->steps[(f->first + f->count++) % STEPS_MAX] = *s;
    f->bytes += s->bytes;
    memset(s, 0, sizeof(*s));
}

static void forget_steps(struct feed *f)
{
    while (f->count > 0)
        drop_first_step(f);
}

/* ---------- one look ---------- */

/* The old record where it is the same value. */
static int record_of(const struct records *old, const struct snapshot_input *in, struct record **ret,
                     bool *ret_new, struct error *err)
{
    struct record *before = records_find(old, in->key);
    *ret_new = !before || before->mod_revision != in->mod_revision ||
               before->create_revision != in->create_revision || !before->value != !in->body;
    if (*ret_new)
        return record_new(in, ret, err);
    *ret = record_ref(before);
    return 0;
}

static int add_items(const struct records *old, const struct snapshot_input *in, size_t count,
                     struct records *now, struct step *step, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        struct record *r = NULL;
        bool is_new = false;
        if (!record_travels(in[i].kind))
            continue;
        rc = record_of(old, &in[i], &r, &is_new, err);
        if (rc < 0)
            break;
        now->items[now->count++] = r;
        now->bytes += strlen(r->key) + r->len + 64;
        if (is_new) {
            step->items[step->count++] = record_ref(r);
            step->bytes += strlen(r->key) + r->len + 64;
        }
        if (now->bytes > RECORDS_SIZE)
            rc = error_set(err, ERR_TOO_LARGE, "the cluster's records take more than %d bytes", RECORDS_SIZE);
    }
    return rc;
}

static void add_deleted(const struct records *old, const struct records *now, struct step *step)
{
    for (size_t i = 0; i < old->count; i++)
        if (!records_find(now, old->items[i]->key)) {
            step->deleted[step->deleted_count++] = record_ref(old->items[i]);
            step->bytes += strlen(old->items[i]->key) + 64;
        }
}

static int compare(const struct records *old, const struct snapshot_input *in, size_t count,
                   struct records *now, struct step *step, struct error *err)
{
    now->items = calloc(count + 1, sizeof(*now->items));
    step->items = calloc(count + 1, sizeof(*step->items));
    step->deleted = calloc(old->count + 1, sizeof(*step->deleted));
    if (!now->items || !step->items || !step->deleted)
        return error_no_memory(err);
    int rc = add_items(old, in, count, now, step, err);
    if (rc == 0)
        add_deleted(old, now, step);
    return rc;
}

/* What was found becomes the state, under the lock. A store whose revision went back is another one. */
static void publish(struct feed *f, struct feed_state *now, struct step *step)
{
    bool back = f->state && now->revision < f->state->revision;
    bool changed = step->count > 0 || step->deleted_count > 0;
    step->revision = now->revision;
    if (back || !f->state) {
        forget_steps(f);
        f->base = now->revision;
    } else if (changed) {
        remember(f, step);
    }
    feed_state_unref(f->state);
    f->state = now;
}

static int look(struct feed *f, struct error *err)
{
    static const struct records none = {0};
    struct cluster_snapshot *snapshot = NULL;
    struct step step = {0};
    int rc = store_view_look(f->view, LOOK_MS, &snapshot, err);
    metrics_store_answers(rc != ERR_UNAVAILABLE && rc != ERR_TIMEOUT);
    if (rc < 0)
        return rc;
    _cleanup_(feed_state_unrefp) struct feed_state *now = calloc(1, sizeof(*now));
    if (!now)
        return error_no_memory(err);
    size_t count = 0;
    const struct snapshot_input *in = store_view_records(f->view, &count);
    now->references = 1;
    now->revision = snapshot->revision;
    now->time_ms = clock_wall_ms();
    /* `state` is replaced by this thread alone. */
    feed_checks_read(f->state ? &f->state->checks : NULL, in, count, &now->checks);
    rc = compare(f->state ? &f->state->records : &none, in, count, &now->records, &step, err);
    if (rc == 0) {
        pthread_mutex_lock(&f->lock);
        publish(f, take(now), &step);
        pthread_mutex_unlock(&f->lock);
    }
    step_free(&step);
    return rc;
}

static bool look_once(struct feed *f)
{
    struct error err = ERROR_INIT;
    pthread_mutex_lock(&f->lock);
    uint64_t number = ++f->begun;
    bool go_on = !f->stopping;
    pthread_mutex_unlock(&f->lock);
    if (!go_on)
        return false;
    int rc = look(f, &err);
    pthread_mutex_lock(&f->lock);
    f->ended = number;
    f->code = rc;
    f->why = err;
    f->good_ms = rc == 0 ? clock_mono_ms() : f->good_ms;
    go_on = !f->stopping;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    return go_on;
}

/* ---------- the thread ---------- */

static void drain(struct etcd_watch **w)
{
    for (int i = 0; *w && i < EVENTS_MAX; i++) {
        struct etcd_event event = {0};
        int rc = etcd_watch_next(*w, 0, &event, NULL);
        if (rc == ERR_TIMEOUT)
            return;
        if (rc < 0) { /* looking every EVERY_MS does as well, until the next try */
            etcd_watch_free(*w);
            *w = NULL;
            return;
        }
        etcd_event_free(&event);
    }
}

static void wait_for_change(struct feed *f, struct etcd_watch **w)
{
    struct pollfd first = {f->wake, POLLIN, 0};
    (void)poll(&first, 1, PAUSE_MS);
    struct pollfd fds[] = {{f->wake, POLLIN, 0}, {*w ? etcd_watch_fd(*w) : -1, POLLIN, 0}};
    (void)poll(fds, array_len(fds), EVERY_MS - PAUSE_MS);
    eventfd_t value;
    (void)eventfd_read(f->wake, &value);
    drain(w);
}

static void *run(void *arg)
{
    struct feed *f = arg;
    struct etcd_watch *w = NULL;
    char prefix[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(prefix, store_cluster(f->store), CLUSTER_KEY_ALL, NULL);
    while (look_once(f)) {
        if (!w && etcd_watch_new(store_etcd(f->store), prefix, 0, &w, NULL) < 0)
            w = NULL;
        wait_for_change(f, &w);
    }
    etcd_watch_free(w);
    return NULL;
}

static int set_up(struct feed *f, struct error *err)
{
    pthread_condattr_t monotonic;
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&f->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    f->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (f->wake < 0)
        return error_errno(err, errno, "eventfd");
    int rc = crypto_uuid(f->id, err);
    return rc == 0 ? store_view_new(f->store, &f->view, err) : rc;
}

int feed_new(struct store *store, struct feed **ret, struct error *err)
{
    struct feed *f = calloc(1, sizeof(*f));
    if (!f)
        return error_no_memory(err);
    f->store = store;
    int rc = set_up(f, err);
    if (rc == 0) {
        int failed = pthread_create(&f->thread, NULL, run, f);
        f->started = failed == 0;
        rc = failed ? error_errno(err, failed, "starting the API's reader") : 0;
    }
    if (rc < 0)
        feed_free(f);
    else
        *ret = f;
    return rc;
}

void feed_stop(struct feed *f)
{
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    (void)eventfd_write(f->wake, 1);
}

void feed_free(struct feed *f)
{
    if (!f)
        return;
    feed_stop(f);
    if (f->started)
        pthread_join(f->thread, NULL);
    forget_steps(f);
    feed_state_unref(f->state);
    store_view_free(f->view);
    if (f->wake >= 0)
        close(f->wake);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

const char *feed_id(const struct feed *f)
{
    return f->id;
}

/* ---------- callers ---------- */

/* Until clock_mono_ms() reaches `until`; the lock is held. False: the time is over, or the feed stops. */
static bool wait_changed(struct feed *f, int64_t until)
{
    int64_t left = until - clock_mono_ms();
    struct timespec at;
    if (left <= 0 || f->stopping)
        return false;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += left / 1000;
    at.tv_nsec += left % 1000 * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    (void)pthread_cond_timedwait(&f->changed, &f->lock, &at);
    return !f->stopping;
}

/* The look that is under way may have read before the caller asked: the one after it counts. */
int feed_fresh(struct feed *f, int64_t deadline_ms, struct feed_state **ret, struct error *err)
{
    pthread_mutex_lock(&f->lock);
    uint64_t wanted = f->begun + 1;
    (void)eventfd_write(f->wake, 1);
    bool go_on = !f->stopping;
    while (f->ended < wanted && go_on)
        go_on = wait_changed(f, deadline_ms);
    int rc = 0;
    if (f->stopping)
        rc = error_set(err, ERR_UNAVAILABLE, "this coordinator stops");
    else if (f->ended < wanted)
        rc = error_set(err, ERR_UNAVAILABLE, "the state store has not answered this coordinator%s%s",
                       f->code < 0 ? ": " : "", f->code < 0 ? f->why.text : "");
    else if (f->code < 0)
        rc = error_set(err, error_is_transient(f->code) ? ERR_UNAVAILABLE : f->code, "%s", f->why.text);
    else
        *ret = state_ref(f->state);
    pthread_mutex_unlock(&f->lock);
    return rc;
}

int feed_peek(struct feed *f, struct feed_state **ret, int64_t *ret_age_ms, int *ret_code, struct error *why,
              struct error *err)
{
    int rc = 0;
    pthread_mutex_lock(&f->lock);
    if (f->state) {
        *ret = state_ref(f->state);
        *ret_age_ms = clock_mono_ms() - f->good_ms;
        *ret_code = f->code;
        *why = f->why;
    } else {
        rc = error_set(err, ERR_UNAVAILABLE, "the state store has not answered this coordinator yet%s%s",
                       f->code < 0 ? ": " : "", f->code < 0 ? f->why.text : "");
    }
    pthread_mutex_unlock(&f->lock);
    return rc;
}

static int give_whole(struct feed *f, struct feed_step *ret, struct error *err)
{
    ret->whole = true;
    ret->count = f->state->records.count;
    ret->items = ref_all(f->state->records.items, ret->count);
    if (!ret->items)
        ret->count = 0;
    return ret->items ? 0 : error_no_memory(err);
}

static int give_step(const struct step *s, struct feed_step *ret, struct error *err)
{
    ret->revision = s->revision;
    ret->items = ref_all(s->items, s->count);
    ret->deleted = ref_all(s->deleted, s->deleted_count);
    ret->count = ret->items ? s->count : 0;
    ret->deleted_count = ret->deleted ? s->deleted_count : 0;
    return ret->items && ret->deleted ? 0 : error_no_memory(err);
}

/* 1: there is something for who is at `revision`, and it is in *ret. The lock is held. */
static int find_next(struct feed *f, int64_t revision, struct feed_step *ret, struct error *err)
{
    int rc = 0;
    if (!f->state)
        return 0;
    ret->revision = f->state->revision;
    ret->time_ms = clock_wall_ms();
    if (revision < f->base || revision > f->state->revision || revision == 0) {
        rc = give_whole(f, ret, err);
        return rc < 0 ? rc : 1;
    }
    for (size_t i = 0; i < f->count; i++) {
        const struct step *s = &f->steps[(f->first + i) % STEPS_MAX];
        if (s->revision > revision) {
            rc = give_step(s, ret, err);
            return rc < 0 ? rc : 1;
        }
    }
    return 0;
}

int feed_next(struct feed *f, int64_t revision, int64_t timeout_ms, struct feed_step *ret, struct error *err)
{
    int64_t until = clock_mono_ms() + timeout_ms;
    memset(ret, 0, sizeof(*ret));
    ret->revision = revision;
    pthread_mutex_lock(&f->lock);
    int rc = find_next(f, revision, ret, err);
    while (rc == 0 && wait_changed(f, until))
        rc = find_next(f, revision, ret, err);
    ret->stale = rc == 0 && f->code < 0;
    if (rc == 0 && ret->stale)
        ret->revision = revision; /* what it is now is not known */
    if (f->stopping && rc >= 0)
        rc = error_set(err, ERR_UNAVAILABLE, "this coordinator stops");
    pthread_mutex_unlock(&f->lock);
    if (rc < 0)
        feed_step_free(ret);
    return rc < 0 ? rc : 0;
}

void feed_wait(struct feed *f, uint64_t *look, int64_t timeout_ms)
{
    int64_t until = clock_mono_ms() + timeout_ms;
    pthread_mutex_lock(&f->lock);
    while (f->ended <= *look && wait_changed(f, until))
        ;
    *look = f->ended;
    pthread_mutex_unlock(&f->lock);
}
