#include "serve.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <base/clock.h>

#define EVENTS_MAX 64

/* Returns when the next one is due. A call's cancellation comes back through the queue, never from here. */
static int64_t cancel_late_locked(struct rpc_server *s, int64_t now)
{
    int64_t next = FOREVER;
    for (struct rpc_sink *call = s->calls; call; call = call->next) {
        if (call->ends_ms > now) {
            next = call->ends_ms < next ? call->ends_ms : next;
            continue;
        }
        struct error err = ERROR_INIT;
        error_set(&err, ERR_TIMEOUT, "not done within %d ms, the most that this server gives",
                  s->options.deadline_ms);
        call->ends_ms = FOREVER;
        incoming_cancel(call, GRPC_STATUS_DEADLINE_EXCEEDED, err.text);
        if (call->answering)
            connection_cut_stalled_locked(call->connection);
    }
    return next;
}

static int timeout_until(int64_t next, int64_t now)
{
    if (next == FOREVER)
        return -1;
    int64_t ms = next - now;
    return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

/* gRPC shuts a socket down before it closes it, so its end shows here whoever ended it. While this thread
 * runs nobody else ends a connection, so what an event points to is still there. gRPC may still have the
 * socket open, so that closing ours would not stop its events. */
static void see_end(struct rpc_server *s, struct connection *c)
{
    pthread_mutex_lock(&s->lock);
    epoll_ctl(s->epoll, EPOLL_CTL_DEL, c->watched, NULL);
    connection_end_locked(c);
    pthread_mutex_unlock(&s->lock);
}

static void empty_wake(struct rpc_server *s)
{
    uint64_t count;
    ssize_t n = read(s->wake, &count, sizeof(count));
    (void)n; /* empty already: just as well */
}

static void *watch(void *arg)
{
    struct rpc_server *s = arg;
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        pthread_mutex_lock(&s->lock);
        int64_t now = clock_mono_ms();
        s->wakes_ms = cancel_late_locked(s, now);
        int timeout = timeout_until(s->wakes_ms, now);
        bool stopping = s->stopping;
        pthread_mutex_unlock(&s->lock);
        if (stopping)
            return NULL;
        int n = epoll_wait(s->epoll, events, EVENTS_MAX, timeout);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                see_end(s, events[i].data.ptr);
            else
                empty_wake(s);
        }
    }
}

static void wake(struct rpc_server *s)
{
    uint64_t one = 1;
    ssize_t n = write(s->wake, &one, sizeof(one));
    (void)n; /* full: it is awake */
}

int watcher_start(struct rpc_server *s, struct error *err)
{
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN};
    if (s->epoll < 0 || s->wake < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->wake, &e) < 0)
        return error_errno(err, errno, "cannot watch connections");
    int rc = thread_start(&s->watcher, watch, s, err);
    s->watching = rc == 0;
    return rc;
}

void watcher_stop(struct rpc_server *s)
{
    if (!s->watching)
        return;
    s->watching = false;
    wake(s);
    pthread_join(s->watcher, NULL);
}

void watcher_close(struct rpc_server *s)
{
    closep(&s->wake);
    closep(&s->epoll);
}

int watcher_add(struct rpc_server *s, struct connection *c, struct error *err)
{
    /* Input belongs to gRPC: only the end is of interest. */
    struct epoll_event e = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->watched, &e) < 0)
        return error_errno(err, errno, "cannot watch a connection");
    return 0;
}

static void set(struct rpc_sink *call, int64_t ends_ms, bool answering)
{
    struct rpc_server *s = call->connection->owner;
    pthread_mutex_lock(&s->lock);
    call->ends_ms = ends_ms;
    call->answering = answering;
    bool sooner = ends_ms < s->wakes_ms;
    pthread_mutex_unlock(&s->lock);
    if (sooner)
        wake(s);
}

void watcher_set(struct rpc_sink *call, int64_t ends_ms)
{
    set(call, ends_ms, false);
}

void watcher_set_answering(struct rpc_sink *call, int64_t ends_ms)
{
    set(call, ends_ms, true);
}
