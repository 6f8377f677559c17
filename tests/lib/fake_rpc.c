#include "fake_rpc.h"
#include "fake_message.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include <base/clock.h>
#include <base/text.h>

static void wait_ms(pthread_cond_t *changed, pthread_mutex_t *lock, int64_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += ms % 1000 * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    (void)pthread_cond_clockwait(changed, lock, CLOCK_MONOTONIC, &at);
}

static void *must_alloc(size_t size)
{
    void *p = calloc(1, size);
    if (!p)
        abort();
    return p;
}

/* ---------- calls that nobody waits for ---------- */

struct pending {
    struct pending *next;
    const struct rpc_method *method;
    ProtobufCMessage *request;
    int64_t until_ms;
    rpc_done_fn *on_done;
    void *arg;
};

/* A thread of its own answers them one after another, as gRPC's queue does. */
struct fake_runtime {
    struct rpc_channel *channel;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closing;
    struct pending *first, **last;
};

static void answer_pending(struct fake_runtime *r, struct pending *p, bool closing)
{
    struct error err = ERROR_INIT;
    ProtobufCMessage *reply = NULL;
    int64_t left = p->until_ms - clock_mono_ms();
    int rc = 0;
    if (closing)
        rc = error_set(&err, ERR_CANCELED, "the connection is being closed");
    else if (left <= 0)
        rc = error_set(&err, ERR_TIMEOUT, "no answer in time");
    else
        rc = rpc_call(r->channel, p->method, p->request, (int)left, &reply, &err);
    p->on_done(p->arg, rc, reply, rc < 0 ? &err : NULL);
    rpc_message_free(p->request);
    free(p);
}

static void *run(void *arg)
{
    struct fake_runtime *r = arg;
    pthread_mutex_lock(&r->lock);
    while (r->first || !r->closing) {
        struct pending *p = r->first;
        if (!p) {
            pthread_cond_wait(&r->changed, &r->lock);
            continue;
        }
        r->first = p->next;
        r->last = r->first ? r->last : &r->first;
        bool closing = r->closing;
        pthread_mutex_unlock(&r->lock);
        answer_pending(r, p, closing);
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static int answer_now(const struct rpc_method *method, const ProtobufCMessage *request, int deadline_ms,
                      rpc_done_fn *on_done, void *arg)
{
    struct error err = ERROR_INIT;
    ProtobufCMessage *reply = NULL;
    int rc = rpc_call(NULL, method, request, deadline_ms, &reply, &err);
    on_done(arg, rc, reply, rc < 0 ? &err : NULL);
    return 0;
}

int rpc_call_start(struct rpc_channel *c, const struct rpc_method *method, const ProtobufCMessage *request,
                   int deadline_ms, rpc_done_fn *on_done, void *arg, struct error *err)
{
    if (!c || !c->runtime)
        return answer_now(method, request, deadline_ms, on_done, arg);
    struct fake_runtime *r = c->runtime;
    struct pending *p = must_alloc(sizeof(*p));
    *p = (struct pending){NULL, method, NULL, clock_mono_ms() + deadline_ms, on_done, arg};
    int rc = fake_rpc_copy(request, &p->request, err);
    if (rc < 0) {
        free(p);
        return rc;
    }
    pthread_mutex_lock(&r->lock);
    *r->last = p;
    r->last = &p->next;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return 0;
}

/* ---------- channels ---------- */

int rpc_channel_open(const struct rpc_channel_options *options, struct rpc_channel **ret, struct error *err)
{
    struct rpc_channel *c = must_alloc(sizeof(*c));
    struct fake_runtime *r = must_alloc(sizeof(*r));
    c->count = options->addresses_count;
    c->max_message = options->max_message;
    for (size_t i = 0; i < c->count && i < FAKE_ADDRESSES_MAX; i++)
        text_copy(c->addresses[i], sizeof(c->addresses[i]), options->addresses[i]);
    c->runtime = r;
    r->channel = c;
    r->last = &r->first;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    if (c->count > FAKE_ADDRESSES_MAX || pthread_create(&r->thread, NULL, run, r) != 0) {
        free(r);
        free(c);
        return error_set(err, ERR_INTERNAL, "more addresses or threads than a test takes");
    }
    *ret = c;
    return 0;
}

void rpc_channel_close(struct rpc_channel *c)
{
    if (!c)
        return;
    struct fake_runtime *r = c->runtime;
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
    free(c);
}

bool rpc_channel_refused(const struct rpc_channel *c)
{
    (void)c;
    return false;
}

bool rpc_channel_answered(const struct rpc_channel *c)
{
    (void)c;
    return true;
}

/* ---------- calls ---------- */

int rpc_call(struct rpc_channel *c, const struct rpc_method *method, const ProtobufCMessage *request,
             int deadline_ms, ProtobufCMessage **ret_reply, struct error *err)
{
    return fake_answer(c, RPC_ANY, method, request, deadline_ms, ret_reply, err);
}

int rpc_call_repeat(struct rpc_channel *c, int which, const struct rpc_method *method,
                    const ProtobufCMessage *request, int deadline_ms, ProtobufCMessage **ret_reply,
                    struct error *err)
{
    int64_t until = clock_mono_ms() + deadline_ms;
    struct error last = ERROR_INIT;
    for (unsigned attempt = 0;; attempt++) {
        int rc = fake_answer(c, which, method, request, (int)(until - clock_mono_ms()), ret_reply, &last);
        if (rc == 0)
            return 0;
        int64_t wait = c ? backoff_ms(attempt, 50, 500) : INT64_MAX;
        if (!c || rc != ERR_UNAVAILABLE || wait >= until - clock_mono_ms()) {
            if (err)
                *err = last;
            return rc;
        }
        clock_nap_ms(wait);
    }
}

/* ---------- streams ---------- */

struct item {
    struct item *next;
    ProtobufCMessage *message;
};

struct rpc_stream {
    struct rpc_channel *channel;
    const struct rpc_method *method;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct item *first, **last;
    bool canceled, ended;
    struct error end;
};

struct rpc_channel *fake_stream_channel(const struct rpc_stream *s)
{
    return s->channel;
}

const struct rpc_method *fake_stream_method(const struct rpc_stream *s)
{
    return s->method;
}

void fake_stream_push(struct rpc_stream *s, ProtobufCMessage *message)
{
    struct item *i = must_alloc(sizeof(*i));
    i->message = message;
    pthread_mutex_lock(&s->lock);
    *s->last = i;
    s->last = &i->next;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void fake_stream_end(struct rpc_stream *s, int code, const char *why)
{
    pthread_mutex_lock(&s->lock);
    if (!s->ended)
        (void)error_set(&s->end, code, "%s", why);
    s->ended = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

int rpc_stream_open(struct rpc_channel *c, const struct rpc_method *method, const char *const *metadata,
                    struct rpc_stream **ret, struct error *err)
{
    struct rpc_stream *s = must_alloc(sizeof(*s));
    (void)metadata;
    s->channel = c;
    s->method = method;
    s->last = &s->first;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    int rc = fake_stream_opened(s, err);
    if (rc < 0)
        rpc_stream_free(s);
    else
        *ret = s;
    return rc;
}

int rpc_stream_send(struct rpc_stream *s, const ProtobufCMessage *message, struct error *err)
{
    pthread_mutex_lock(&s->lock);
    bool over =
        s->canceled || (s->ended && !s->first); /* as the room's; what came before the end is read first */
    pthread_mutex_unlock(&s->lock);
    if (over)
        return error_set(err, ERR_UNAVAILABLE, "the stream has ended");
    fake_stream_sent(s, message);
    return 0;
}

static bool has_news(const struct rpc_stream *s)
{
    return s->first || s->canceled || s->ended;
}

static void await_news(struct rpc_stream *s, int timeout_ms)
{
    int64_t until = clock_mono_ms() + timeout_ms, left;
    bool idle = !has_news(s);
    if (idle) {
        pthread_mutex_unlock(&s->lock);
        fake_stream_idle(s);
        pthread_mutex_lock(&s->lock);
    }
    while (!has_news(s) && (left = until - clock_mono_ms()) > 0)
        wait_ms(&s->changed, &s->lock, left);
}

static ProtobufCMessage *pop(struct rpc_stream *s)
{
    struct item *i = s->first;
    ProtobufCMessage *message = i->message;
    s->first = i->next;
    s->last = s->first ? s->last : &s->first;
    free(i);
    return message;
}

int rpc_stream_receive(struct rpc_stream *s, int timeout_ms, ProtobufCMessage **ret, struct error *err)
{
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    await_news(s, timeout_ms);
    if (s->canceled)
        rc = error_set(err, ERR_CANCELED, "canceled");
    else if (s->first)
        *ret = pop(s);
    else if (s->ended)
        rc = error_set(err, s->end.code, "%s", s->end.text);
    else
        rc = error_set(err, ERR_TIMEOUT, "no message within %d ms", timeout_ms);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

void rpc_stream_cancel(struct rpc_stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->canceled = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void rpc_stream_free(struct rpc_stream *s)
{
    if (!s)
        return;
    fake_stream_closed(s);
    while (s->first)
        rpc_message_free(pop(s));
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void rpc_stream_close_send(struct rpc_stream *s)
{
    (void)s;
}

void rpc_stream_distrust(struct rpc_stream *s)
{
    (void)s;
}
