#include "serve.h"

#define STOP_MS 10000 /* what a handler that has seen its cancellation gets to return */

static int check(const struct rpc_server_options *o, struct error *err)
{
    const char *what = NULL;
    if (!o->methods_count)
        what = "a method";
    else if (!o->max_message || o->max_message > INT32_MAX || !o->max_send || o->max_send > INT32_MAX)
        what = "limits for its messages";
    else if (o->memory && o->memory < 2 * o->max_message)
        what = "memory for two messages a connection";
    else if (!o->workers || !o->calls_max)
        what = "workers, and calls for them";
    else if (o->deadline_ms <= 0 || o->send_ms <= 0)
        what = "deadlines";
    return what ? error_set(err, ERR_INVALID, "an RPC server needs %s", what) : 0;
}

static void destroy(struct rpc_server *s)
{
    watcher_close(s);
    pool_stop(&s->workers);
    pool_stop(&s->streamers);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    runtime_release();
    free(s);
}

int rpc_server_new(const struct rpc_server_options *options, struct rpc_server **ret, struct error *err)
{
    int rc = check(options, err);
    if (rc < 0)
        return rc;
    struct rpc_server *s = calloc(1, sizeof(*s));
    if (!s)
        return error_no_memory(err);
    rc = runtime_acquire(err);
    if (rc < 0) {
        free(s);
        return rc;
    }
    s->options = *options;
    if (!s->options.memory)
        s->options.memory = RPC_SERVER_MEMORY(options->max_message);
    s->epoll = s->wake = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    rc = pool_init(&s->workers, options->workers, err);
    if (rc == 0)
        rc = pool_init(&s->streamers, options->streams_max, err);
    if (rc == 0)
        rc = watcher_start(s, err);
    if (rc < 0) {
        destroy(s);
        return rc;
    }
    *ret = s;
    return 0;
}

/* All that runs is told; true once the last connection is gone, and with it its last call. */
static bool end_all(struct rpc_server *s)
{
    struct timespec until = wait_until((int64_t)s->options.deadline_ms + s->options.send_ms + STOP_MS);
    int waited = 0;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_mutex_unlock(&s->lock);
    watcher_stop(s);
    pthread_mutex_lock(&s->lock);
    for (struct connection *c = s->connections; c; c = c->next)
        connection_end_locked(c);
    while (s->connections_count && waited == 0)
        waited = pthread_cond_clockwait(&s->changed, &s->lock, CLOCK_MONOTONIC, &until);
    bool gone = s->connections_count == 0;
    pthread_mutex_unlock(&s->lock);
    return gone;
}

/* Freeing what a handler still uses would be worse than leaving it. */
void rpc_server_free(struct rpc_server *s)
{
    if (s && end_all(s))
        destroy(s);
}

int rpc_server_add(struct rpc_server *s, int fd, void *peer, struct error *err)
{
    return connection_start(s, fd, peer, err);
}
