#include "serving.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <base/clock.h>

struct peer {
    struct serving *serving;
    int serial;
    char key[16];
};

const struct rpc_method test_echo = {"/test.Test/Echo", &etcdserverpb__range_response__descriptor},
                        test_fail = {"/test.Test/Fail", &etcdserverpb__range_response__descriptor},
                        test_wait = {"/test.Test/Wait", &etcdserverpb__range_response__descriptor},
                        test_peer = {"/test.Test/Peer", &etcdserverpb__range_response__descriptor},
                        test_typed = {"/test.Test/Typed", &etcdserverpb__range_response__descriptor},
                        test_big = {"/test.Test/Big", &etcdserverpb__range_response__descriptor},
                        test_numbers = {"/test.Test/Numbers", &etcdserverpb__range_response__descriptor},
                        test_flood = {"/test.Test/Flood", &etcdserverpb__range_response__descriptor},
                        test_unknown = {"/test.Test/Unknown", &etcdserverpb__range_response__descriptor};

static void count(struct serving *s, int *counter)
{
    pthread_mutex_lock(&s->lock);
    ++*counter;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

int serving_count(struct serving *s, const int *counter)
{
    pthread_mutex_lock(&s->lock);
    int n = *counter;
    pthread_mutex_unlock(&s->lock);
    return n;
}

void serving_await(struct serving *s, const int *counter, int n)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_MS / 1000;
    pthread_mutex_lock(&s->lock);
    int waited = 0;
    while (*counter < n && waited == 0)
        waited = pthread_cond_clockwait(&s->changed, &s->lock, CLOCK_MONOTONIC, &until);
    int got = *counter;
    pthread_mutex_unlock(&s->lock);
    if (got < n)
        fail_msg("waited for %d, got %d", n, got);
}

/* --- handlers --- */

static const Etcdserverpb__RangeRequest *range_of(const ProtobufCMessage *request)
{
    return (const Etcdserverpb__RangeRequest *)request;
}

static int answer(int64_t number, ProtobufCMessage **ret)
{
    Etcdserverpb__RangeResponse *r = malloc(sizeof(*r));
    etcdserverpb__range_response__init(r);
    r->count = number;
    *ret = &r->base;
    return 0;
}

static int on_echo(void *arg, const struct rpc_incoming *c, const ProtobufCMessage *request,
                   ProtobufCMessage **ret, struct error *err)
{
    (void)arg;
    (void)c;
    (void)err;
    return answer(range_of(request)->limit, ret);
}

static int on_fail(void *arg, const struct rpc_incoming *c, const ProtobufCMessage *request,
                   ProtobufCMessage **ret, struct error *err)
{
    (void)arg;
    (void)c;
    (void)ret;
    const Etcdserverpb__RangeRequest *q = range_of(request);
    return error_set(err, (int)-q->limit, "%.*s", (int)q->key.len, (const char *)q->key.data);
}

static int on_wait(void *arg, const struct rpc_incoming *c, const ProtobufCMessage *request,
                   ProtobufCMessage **ret, struct error *err)
{
    (void)request;
    (void)ret;
    struct serving *s = arg;
    static const struct timespec step = {.tv_nsec = 2000000};
    pthread_mutex_lock(&s->lock);
    s->deadline_ms = c->deadline_ms;
    pthread_mutex_unlock(&s->lock);
    count(s, &s->entered);
    while (!rpc_incoming_canceled(c))
        nanosleep(&step, NULL);
    count(s, &s->left);
    return error_set(err, ERR_CANCELED, "nobody reads this");
}

static int on_peer(void *arg, const struct rpc_incoming *c, const ProtobufCMessage *request,
                   ProtobufCMessage **ret, struct error *err)
{
    (void)arg;
    (void)request;
    (void)err;
    return answer(((const struct peer *)c->peer)->serial, ret);
}

static Etcdserverpb__RangeResponse *big_new(size_t bytes)
{
    Etcdserverpb__RangeResponse *r = malloc(sizeof(*r));
    etcdserverpb__range_response__init(r);
    r->kvs = malloc(sizeof(r->kvs[0]));
    r->kvs[0] = malloc(sizeof(*r->kvs[0]));
    r->n_kvs = 1;
    mvccpb__key_value__init(r->kvs[0]);
    r->kvs[0]->value.data = calloc(1, bytes);
    r->kvs[0]->value.len = bytes;
    return r;
}

static int on_big(void *arg, const struct rpc_incoming *c, const ProtobufCMessage *request,
                  ProtobufCMessage **ret, struct error *err)
{
    (void)arg;
    (void)c;
    (void)err;
    *ret = &big_new((size_t)range_of(request)->limit)->base;
    return 0;
}

static int on_numbers(void *arg, const struct rpc_incoming *c, const ProtobufCMessage *request,
                      ProtobufCMessage **ret, struct error *err)
{
    (void)arg;
    (void)ret;
    const Etcdserverpb__RangeRequest *q = range_of(request);
    for (int64_t i = 0; i < q->limit; i++) {
        Etcdserverpb__RangeResponse r = ETCDSERVERPB__RANGE_RESPONSE__INIT;
        r.count = i;
        int rc = rpc_sink_send(c->sink, &r.base, err);
        if (rc < 0)
            return rc;
    }
    return q->key.len ? error_set(err, ERR_STATE, "%.*s", (int)q->key.len, (const char *)q->key.data) : 0;
}

static int on_flood(void *arg, const struct rpc_incoming *c, const ProtobufCMessage *request,
                    ProtobufCMessage **ret, struct error *err)
{
    (void)ret;
    struct serving *s = arg;
    Etcdserverpb__RangeResponse *r = big_new((size_t)range_of(request)->limit);
    count(s, &s->entered);
    int rc;
    while ((rc = rpc_sink_send(c->sink, &r->base, err)) == 0)
        count(s, &s->sent);
    protobuf_c_message_free_unpacked(&r->base, NULL);
    pthread_mutex_lock(&s->lock);
    s->last_rc = rc;
    pthread_mutex_unlock(&s->lock);
    count(s, &s->left);
    return rc;
}

static const struct rpc_server_method methods[] = {
    {"/test.Test/Echo", &etcdserverpb__range_request__descriptor, false, on_echo, NULL},
    {"/test.Test/Fail", &etcdserverpb__range_request__descriptor, false, on_fail, NULL},
    {"/test.Test/Wait", &etcdserverpb__range_request__descriptor, false, on_wait, NULL},
    {"/test.Test/Peer", &etcdserverpb__range_request__descriptor, false, on_peer, NULL},
    {"/test.Test/Typed", &etcdserverpb__lease_grant_request__descriptor, false, on_echo, NULL},
    {"/test.Test/Big", &etcdserverpb__range_request__descriptor, false, on_big, NULL},
    {"/test.Test/Numbers", &etcdserverpb__range_request__descriptor, true, on_numbers, NULL},
    {"/test.Test/Flood", &etcdserverpb__range_request__descriptor, true, on_flood, NULL},
};

/* --- the server and its connections --- */

static const char *key_of(const void *peer)
{
    return ((const struct peer *)peer)->key;
}

static void free_peer(void *peer)
{
    struct serving *s = ((struct peer *)peer)->serving;
    free(peer);
    count(s, &s->freed);
}

struct rpc_server_options serving_options(void)
{
    return (struct rpc_server_options){
        .methods = methods,
        .methods_count = array_len(methods),
        .max_message = 64u << 10,
        .max_send = 1u << 20,
        .workers = 4,
        .calls_max = 64,
        .streams_max = 8,
        .streams_of_peer = 8,
        .deadline_ms = 20000,
        .send_ms = 5000,
        .peer_key = key_of,
        .free_peer = free_peer,
    };
}

static void add(struct serving *s, int fd)
{
    struct peer *p = calloc(1, sizeof(*p));
    pthread_mutex_lock(&s->lock);
    p->serving = s;
    p->serial = ++s->accepted;
    snprintf(p->key, sizeof(p->key), "%d", s->keys_apart ? p->serial : 0);
    if (fd < (int)array_len(s->fds)) {
        s->fd_again += s->fds[fd];
        s->fds[fd] = true;
    }
    s->last_fd = fd;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    struct error err = ERROR_INIT;
    if (rpc_server_add(s->server, fd, p, &err) < 0)
        fprintf(stderr, "rpc_server_add: %s\n", err.text);
}

static void *accept_all(void *arg)
{
    struct serving *s = arg;
    for (int fd; (fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;)
        add(s, fd);
    return NULL;
}

void serving_start(struct serving *s, const struct rpc_server_options *options)
{
    memset(s, 0, sizeof(*s));
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    struct rpc_server_options o = options ? *options : serving_options();
    o.arg = s;
    struct error err = ERROR_INIT;
    if (rpc_server_new(&o, &s->server, &err) < 0)
        fail_msg("%s", err.text);
    snprintf(s->folder, sizeof(s->folder), "/tmp/test-rpc-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    snprintf(s->address, sizeof(s->address), "unix:%s/socket", s->folder);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/socket", s->folder);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->listener >= 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(s->listener, 256), 0);
    assert_int_equal(pthread_create(&s->acceptor, NULL, accept_all, s), 0);
}

static void remove_folder(struct serving *s)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/socket", s->folder);
    unlink(path);
    for (int n = 0; n < 1000; n++) {
        snprintf(path, sizeof(path), "%s/%d", s->folder, n);
        if (unlink(path) < 0 && n > 0)
            break;
    }
    assert_int_equal(rmdir(s->folder), 0);
}

void serving_stop(struct serving *s)
{
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->acceptor, NULL);
    close(s->listener);
    rpc_server_free(s->server);
    assert_int_equal(s->freed, s->accepted);
    remove_folder(s);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
}

int serving_pair(struct serving *s)
{
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    add(s, fd[0]);
    return fd[1];
}

void serving_name(struct serving *s, int n, char out[96])
{
    snprintf(out, 96, "unix:%s/%d", s->folder, n);
    if (symlink("socket", out + strlen("unix:")) < 0)
        assert_int_equal(errno, EEXIST);
}

/* --- the client --- */

struct rpc_channel *client_open(const char *address, size_t max_message)
{
    struct rpc_channel_options o = {
        .addresses = &address, .addresses_count = 1, .local = true, .max_message = max_message};
    struct rpc_channel *c = NULL;
    struct error err = ERROR_INIT;
    if (rpc_channel_open(&o, &c, &err) < 0)
        fail_msg("%s", err.text);
    return c;
}

static Etcdserverpb__RangeRequest make_request(int64_t limit, const char *key)
{
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    q.limit = limit;
    q.key.data = (uint8_t *)key;
    q.key.len = key ? strlen(key) : 0;
    return q;
}

int client_call(struct rpc_channel *c, const struct rpc_method *m, int64_t limit, const char *key,
                int deadline_ms, int64_t *ret, struct error *err)
{
    Etcdserverpb__RangeRequest q = make_request(limit, key);
    ProtobufCMessage *reply = NULL;
    int rc = rpc_call(c, m, &q.base, deadline_ms, &reply, err);
    if (rc == 0 && ret)
        *ret = ((Etcdserverpb__RangeResponse *)reply)->count;
    rpc_message_free(reply);
    return rc;
}

struct rpc_stream *client_stream(struct rpc_channel *c, const struct rpc_method *m, int64_t limit,
                                 const char *key)
{
    Etcdserverpb__RangeRequest q = make_request(limit, key);
    struct rpc_stream *s = NULL;
    struct error err = ERROR_INIT;
    if (rpc_stream_open(c, m, NULL, &s, &err) < 0 || rpc_stream_send(s, &q.base, &err) < 0)
        fail_msg("%s", err.text);
    rpc_stream_close_send(s);
    return s;
}
