#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <grpc/compression.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>

#define ARGS_MAX 24

static const struct {
    const char *key;
    int value;
} fixed_args[] = {
    {GRPC_ARG_MAX_CONCURRENT_STREAMS, 16},
    {GRPC_ARG_MAX_METADATA_SIZE, 8192},
    /* A dead client is found, and one that pings all the time is let go. Ours ping every 7 s. */
    {GRPC_ARG_KEEPALIVE_TIME_MS, 30000},
    {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000},
    {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
    {GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0},
    {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000},
    {GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2},
    /* A message counts as sent when the caller's window has taken it, not when gRPC has put it aside. */
    {GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, 0},
    /* A small message must not become a large one here. */
    {GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE},
    {GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0},
    {GRPC_ARG_ENABLE_CHANNELZ, 0},
};

static grpc_arg arg_int(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

/* gRPC 1.51 puts a whole message together before it finds it too large: only a quota ends that earlier, and
 * then it ends whichever call it meets. So each connection has its own, and nobody pays for another's
 * message. */
static grpc_resource_quota *make_quota(size_t bytes)
{
    grpc_resource_quota *quota = grpc_resource_quota_create(NULL);
    grpc_resource_quota_resize(quota, bytes);
    return quota;
}

static grpc_server *make_server(const struct rpc_server *s)
{
    grpc_resource_quota *quota = make_quota(s->options.memory);
    grpc_arg list[ARGS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < array_len(fixed_args); i++)
        list[count++] = arg_int(fixed_args[i].key, fixed_args[i].value);
    list[count++] = arg_int(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)s->options.max_message);
    if (s->options.idle_ms > 0)
        list[count++] = arg_int(GRPC_ARG_MAX_CONNECTION_IDLE_MS, s->options.idle_ms);
    list[count++] = (grpc_arg){.type = GRPC_ARG_POINTER,
                               .key = (char *)GRPC_ARG_RESOURCE_QUOTA,
                               .value.pointer = {.p = quota, .vtable = grpc_resource_quota_arg_vtable()}};
    grpc_channel_args args = {.num_args = count, .args = list};
    grpc_server *grpc = grpc_server_create(&args, NULL);
    grpc_resource_quota_unref(quota);
    grpc_server_register_completion_queue(grpc, runtime_queue(), NULL);
    grpc_server_start(grpc);
    return grpc;
}

static void forget(struct connection *c)
{
    struct rpc_server *s = c->owner;
    pthread_mutex_lock(&s->lock);
    if (c->prev)
        c->prev->next = c->next;
    else
        s->connections = c->next;
    if (c->next)
        c->next->prev = c->prev;
    pthread_mutex_unlock(&s->lock);
}

void connection_unref(struct connection *c)
{
    if (atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    struct rpc_server *s = c->owner;
    forget(c);
    grpc_server_destroy(c->grpc);
    grpc_call_details_destroy(&c->details);
    grpc_metadata_array_destroy(&c->metadata);
    if (s->options.free_peer)
        s->options.free_peer(c->peer);
    free(c);
    pthread_mutex_lock(&s->lock);
    s->connections_count--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void connection_end_locked(struct connection *c)
{
    if (c->ending)
        return;
    c->ending = true;
    grpc_server_shutdown_and_notify(c->grpc, runtime_queue(), &c->over_tag);
    grpc_server_cancel_all_calls(c->grpc);
    /* gRPC closes the connection only when what it is writing has been written: with a peer that reads
     * nothing, never. */
    shutdown(c->watched, SHUT_RDWR);
    closep(&c->watched);
    c->watched = -1;
}

void connection_cut_stalled_locked(struct connection *c)
{
    struct pollfd p = {.fd = c->watched, .events = POLLOUT};
    if (!c->ending && poll(&p, 1, 0) == 0)
        shutdown(c->watched, SHUT_RDWR); /* the watcher sees it */
}

/* False: gRPC will not come back with it. */
static bool request_next(struct connection *c)
{
    return grpc_server_request_call(c->grpc, &c->call, &c->details, &c->metadata, runtime_queue(),
                                    runtime_queue(), &c->request_tag) == GRPC_CALL_OK;
}

/* What a call came with must be given back before the next is asked for. */
static void on_request(struct tag *t, bool ok)
{
    struct connection *c = t->owner;
    if (!ok) {
        connection_unref(c);
        return;
    }
    incoming_begin(c);
    grpc_call_details_destroy(&c->details);
    grpc_metadata_array_destroy(&c->metadata);
    grpc_call_details_init(&c->details);
    grpc_metadata_array_init(&c->metadata);
    if (!request_next(c))
        connection_unref(c);
}

static void on_over(struct tag *t, bool ok)
{
    (void)ok;
    connection_unref(t->owner);
}

static struct connection *connection_new(struct rpc_server *s, int watched, void *peer)
{
    struct connection *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->request_tag = (struct tag){on_request, c};
    c->over_tag = (struct tag){on_over, c};
    c->owner = s;
    c->peer = peer;
    c->watched = watched;
    c->refs = 2;
    c->grpc = make_server(s);
    grpc_call_details_init(&c->details);
    grpc_metadata_array_init(&c->metadata);
    return c;
}

static void serve(struct connection *c, int fd)
{
    grpc_server_credentials *creds = grpc_insecure_server_credentials_create();
    grpc_server_add_channel_from_fd(c->grpc, fd, creds);
    grpc_server_credentials_release(creds);
    if (!request_next(c))
        atomic_fetch_sub(&c->refs, 1); /* not the last: the other is the connection's end */
}

/* Everything that can fail comes before gRPC has the socket. */
int connection_start(struct rpc_server *s, int fd, void *peer, struct error *err)
{
    int rc = 0;
    int watched = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int flags = fcntl(fd, F_GETFL);
    if (watched < 0 || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        rc = error_errno(err, errno, "cannot take a connection");
    struct connection *c = rc == 0 ? connection_new(s, watched, peer) : NULL;
    if (!c) {
        closep(&watched);
        close(fd);
        if (s->options.free_peer)
            s->options.free_peer(peer);
        return rc < 0 ? rc : error_no_memory(err);
    }
    pthread_mutex_lock(&s->lock);
    s->connections_count++;
    c->next = s->connections;
    if (c->next)
        c->next->prev = c;
    s->connections = c;
    bool stopping = s->stopping;
    serve(c, fd);
    if (stopping)
        rc = error_set(err, ERR_CANCELED, "the server is being stopped");
    else
        rc = watcher_add(s, c, err);
    if (rc < 0)
        connection_end_locked(c);
    pthread_mutex_unlock(&s->lock);
    return rc;
}
