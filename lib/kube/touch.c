/* The toucher, and the loop that keeps its requests in flight. */
#include <string.h>

#include <base/clock.h>

#include "touch_internal.h"

#define IN_FLIGHT_CEILING 256
#define REPLY_MAX         (64 * 1024) /* of an error's text; the rest is dropped */
#define POLL_MAX_MS       250         /* other threads change rate and servers meanwhile */
#define LATER_MS          5           /* until the next object is asked for again */

/* --- making one --- */

static int check_options(const struct kube_touch_options *o, struct error *err)
{
    if (o->servers_count < 1 || !o->servers)
        return error_set(err, ERR_INVALID, "touching objects needs one API server at least");
    if (o->in_flight_max < 1 || o->in_flight_max > IN_FLIGHT_CEILING)
        return error_set(err, ERR_INVALID, "requests in flight must be 1 to %d, not %d", IN_FLIGHT_CEILING,
                         o->in_flight_max);
    if (o->request_deadline_ms < 1 || o->attempts_max < 1)
        return error_set(err, ERR_INVALID,
                         "touching objects needs a deadline above 0 ms and one attempt at least");
    return 0;
}

static int make_servers(struct kube_toucher *t, const struct kube_touch_options *o, struct error *err)
{
    int start = (int)((ADAPT_START + o->servers_count - 1) / o->servers_count);

    t->servers = calloc(o->servers_count, sizeof(*t->servers));
    if (!t->servers)
        return error_no_memory(err);
    for (; t->servers_count < o->servers_count; t->servers_count++) {
        struct touch_server *s = &t->servers[t->servers_count];
        int rc = session_init(&s->session, &o->servers[t->servers_count], err);

        if (rc < 0)
            return rc;
        atomic_init(&s->usable, true);
        adapt_init(&s->adapt, start, o->in_flight_max);
    }
    return 0;
}

static int make_slots(struct kube_toucher *t, int count, struct error *err)
{
    t->multi = curl_multi_init();
    t->slots = calloc((size_t)count, sizeof(*t->slots));
    if (!t->multi || !t->slots)
        return error_no_memory(err);
    for (; t->slots_count < count; t->slots_count++) {
        struct slot *slot = &t->slots[t->slots_count];

        slot->body = (struct sink){.max = REPLY_MAX, .drop_rest = true};
        slot->easy = curl_easy_init();
        if (!slot->easy)
            return error_no_memory(err);
    }
    if (curl_multi_setopt(t->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX) != CURLM_OK)
        return error_set(err, ERR_INTERNAL, "libcurl cannot multiplex requests");
    return 0;
}

static void publish_allowed(struct kube_toucher *t)
{
    int sum = 0;

    for (size_t i = 0; i < t->servers_count; i++)
        sum += atomic_load(&t->servers[i].usable) ? t->servers[i].adapt.limit : 0;
    atomic_store(&t->allowed, sum < t->slots_count ? sum : t->slots_count);
}

int kube_toucher_new(const struct kube_touch_options *options, struct kube_toucher **ret, struct error *err)
{
    _cleanup_(kube_toucher_freep) struct kube_toucher *t = NULL;
    int rc = check_options(options, err);

    if (rc < 0)
        return rc;
    t = calloc(1, sizeof(*t));
    if (!t)
        return error_no_memory(err);
    t->request_deadline_ms = options->request_deadline_ms;
    t->attempts_max = options->attempts_max;
    t->patience_ms = TOUCH_PATIENCE_MS;
    atomic_init(&t->rate, options->max_rate);
    rc = make_servers(t, options, err); /* first: it starts libcurl */
    if (rc == 0)
        rc = make_slots(t, options->in_flight_max, err);
    if (rc < 0)
        return rc;
    publish_allowed(t);
    *ret = take(t);
    return 0;
}

void kube_toucher_free(struct kube_toucher *t)
{
    if (!t)
        return;
    for (int i = 0; i < t->slots_count; i++) {
        curl_easy_cleanup(t->slots[i].easy);
        bearer_unref(t->slots[i].bearer);
        sink_free(&t->slots[i].body);
    }
    if (t->multi)
        curl_multi_cleanup(t->multi);
    for (size_t i = 0; i < t->servers_count; i++)
        session_clear(&t->servers[i].session);
    free(t->slots);
    free(t->servers);
    free(t);
}

void kube_toucher_set_rate(struct kube_toucher *t, double max_rate)
{
    atomic_store(&t->rate, max_rate);
}

void kube_toucher_use(struct kube_toucher *t, size_t server, bool usable)
{
    if (server < t->servers_count)
        atomic_store(&t->servers[server].usable, usable);
}

void kube_toucher_cancel(struct kube_toucher *t)
{
    atomic_store(&t->canceled, true);
    (void)curl_multi_wakeup(t->multi);
}

void kube_toucher_set_patience(struct kube_toucher *t, int patience_ms)
{
    t->patience_ms = patience_ms;
}

int kube_toucher_in_flight(const struct kube_toucher *t)
{
    return atomic_load(&t->allowed);
}

/* --- starting --- */

static void sooner(struct run *r, int64_t in_ms)
{
    if (in_ms < r->start_in_ms)
        r->start_in_ms = in_ms > 0 ? in_ms : 1;
}

/* Looks whether there is a new object. */
static bool look_ahead(struct run *r)
{
    if (r->has_ahead || r->ended)
        return r->has_ahead;
    int rc = r->work->next(r->work->arg, &r->ahead, &r->failure);
    r->has_ahead = rc == KUBE_NEXT_OBJECT;
    r->ended = rc == KUBE_NEXT_END;
    if (rc == KUBE_NEXT_LATER)
        sooner(r, LATER_MS);
    else if (rc < 0)
        r->failure.code = rc;
    return r->has_ahead;
}

/* The next object: one that waited long enough, else a new one. Waiting ones bound how many new ones begin.
 */
static bool next_work(struct run *r, int64_t now_ms, struct work *ret, size_t *ret_waiting)
{
    for (size_t i = 0; i < r->waiting_count; i++) {
        if (r->waiting[i].not_before_ms <= now_ms) {
            *ret = r->waiting[i];
            *ret_waiting = i;
            return true;
        }
        sooner(r, r->waiting[i].not_before_ms - now_ms);
    }
    if (r->waiting_count + (size_t)r->in_flight >= r->waiting_max || !look_ahead(r))
        return false;
    *ret = (struct work){.object = r->ahead, .avoid = -1};
    *ret_waiting = SIZE_MAX;
    return true;
}

/* When a server that is paused opens again. */
static void wait_for_servers(struct run *r, int64_t now_ms)
{
    for (size_t i = 0; i < r->t->servers_count; i++) {
        if (r->t->servers[i].paused_until_ms > now_ms)
            sooner(r, r->t->servers[i].paused_until_ms - now_ms);
    }
}

/* Starts one request. False when none can be started now. */
static bool start_one(struct run *r, int64_t now_ms)
{
    struct kube_toucher *t = r->t;
    struct touch_server *s;
    struct error e = ERROR_INIT;
    struct work w;
    size_t waiting;
    int rc;

    if (r->in_flight >= t->slots_count || !next_work(r, now_ms, &w, &waiting))
        return false;
    s = touch_server_pick(t->servers, t->servers_count, w.avoid, t->turn++, now_ms);
    if (!s) {
        wait_for_servers(r, now_ms);
        return false;
    }
    if (!bucket_take(&t->bucket, now_ms)) {
        sooner(r, bucket_wait_ms(&t->bucket, now_ms));
        return false;
    }
    if (waiting == SIZE_MAX)
        r->has_ahead = false;
    else
        r->waiting[waiting] = r->waiting[--r->waiting_count];
    rc = slot_start(r, slot_find(t, s), s, &w, &e);
    if (rc == ERR_INVALID)
        result_report(r, &w, KUBE_TOUCH_FAILED, e.text);
    else if (rc < 0)
        r->failure = e;
    return rc == 0 || rc == ERR_INVALID;
}

/* --- the loop --- */

/* Takes what came in; true when something did. */
static bool collect(struct run *r)
{
    bool any = false;
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(r->t->multi, &left))) {
        struct slot *slot = NULL;
        CURLcode code = msg->data.result;

        if (msg->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
        slot_stop(r, slot);
        result_take(r, slot, code);
        slot_release(slot);
        any = true;
    }
    return any;
}

static void take_settings(struct run *r, int64_t now_ms)
{
    struct kube_toucher *t = r->t;
    double rate = atomic_load(&t->rate);

    if (rate != t->rate_set || !t->bucket.started) {
        bucket_set(&t->bucket, rate, now_ms);
        t->rate_set = rate;
    }
    for (size_t i = 0; i < t->servers_count; i++) {
        if (touch_server_healthy(&t->servers[i], now_ms))
            r->used_ms = now_ms;
    }
    publish_allowed(t);
}

static int no_server(const struct run *r, struct error *err)
{
    const struct kube_toucher *t = r->t;
    const char *last = "all are excluded as not ready";

    for (size_t i = 0; i < t->servers_count; i++) {
        if (atomic_load(&t->servers[i].usable) && t->servers[i].last.code)
            last = t->servers[i].last.text;
    }
    return error_set(err, ERR_UNAVAILABLE,
                     "no API server could be used for %d s to touch %s; the last word: %s",
                     t->patience_ms / 1000, r->resource->name, last);
}

static bool unfinished(const struct run *r)
{
    return !r->ended || r->has_ahead || r->in_flight > 0 || r->waiting_count > 0;
}

/* One turn. 0 to go on. */
static int turn(struct run *r, struct error *err)
{
    int64_t now_ms = clock_mono_ms();
    CURLMcode c;
    int running;

    if (atomic_load(&r->t->canceled) || (r->work->on_turn && !r->work->on_turn(r->work->arg)))
        r->stopped = true;
    if (r->stopped)
        return error_set(err, ERR_CANCELED, "touching %s was stopped", r->resource->name);
    take_settings(r, now_ms);
    if (now_ms - r->used_ms >= r->t->patience_ms)
        return no_server(r, err);
    r->start_in_ms = POLL_MAX_MS;
    while (!r->stopped && start_one(r, now_ms))
        ;
    if (r->failure.code)
        return error_set(err, r->failure.code, "%s", r->failure.text);
    c = curl_multi_perform(r->t->multi, &running);
    if (c == CURLM_OK && !collect(r) && !r->stopped && unfinished(r))
        c = curl_multi_poll(r->t->multi, NULL, 0, (int)r->start_in_ms, NULL);
    if (c != CURLM_OK)
        return error_set(err, c == CURLM_OUT_OF_MEMORY ? ERR_NO_MEMORY : ERR_INTERNAL, "touching %s: %s",
                         r->resource->name, curl_multi_strerror(c));
    return 0;
}

/* Lets go of what is still in flight: a patch that arrives all the same does no harm. */
static void abandon(struct run *r)
{
    for (int i = 0; i < r->t->slots_count; i++) {
        struct slot *slot = &r->t->slots[i];

        if (!slot->busy)
            continue;
        slot_stop(r, slot);
        slot_release(slot);
    }
}

int kube_touch_all(struct kube_toucher *t, const struct kube_resource *r, const struct kube_touch_work *work,
                   struct error *err)
{
    struct run run = {.t = t, .resource = r, .work = work};
    int rc = 0;

    run.waiting_max = 2 * (size_t)t->slots_count;
    run.waiting = calloc(run.waiting_max, sizeof(*run.waiting));
    if (!run.waiting)
        return error_no_memory(err);
    run.used_ms = clock_mono_ms();
    while (rc == 0 && unfinished(&run))
        rc = turn(&run, err);
    if (rc == 0 && run.stopped)
        rc = error_set(err, ERR_CANCELED, "touching %s was stopped", r->name);
    abandon(&run);
    publish_allowed(t);
    free(run.waiting);
    return rc;
}

struct array {
    const struct kube_object *objects;
    size_t count, next;
    kube_touch_fn *on_result;
    void *arg;
};

static int array_next(void *arg, struct kube_object *ret, struct error *err)
{
    struct array *a = arg;

    (void)err;
    if (a->next == a->count)
        return KUBE_NEXT_END;
    *ret = a->objects[a->next++];
    return KUBE_NEXT_OBJECT;
}

static bool array_result(void *arg, const struct kube_object *object, enum kube_touch_result result,
                         const char *why)
{
    struct array *a = arg;

    return a->on_result(a->arg, object, result, why);
}

int kube_touch(struct kube_toucher *t, const struct kube_resource *r, const struct kube_object *objects,
               size_t count, kube_touch_fn *on_result, void *arg, struct error *err)
{
    struct array a = {.objects = objects, .count = count, .on_result = on_result, .arg = arg};
    struct kube_touch_work work = {.next = array_next, .on_result = array_result, .arg = &a};

    return kube_touch_all(t, r, &work, err);
}
