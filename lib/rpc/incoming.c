#include "serve.h"

#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include <base/clock.h>

bool incoming_alive(const struct rpc_sink *call)
{
    return !atomic_load(&call->gone);
}

/* After the deadline gRPC or the watcher ends the call, with the status that says so. */
static bool wanted(const struct rpc_sink *call)
{
    return incoming_alive(call) && clock_mono_ms() < call->deadline_ms;
}

bool rpc_incoming_canceled(const struct rpc_incoming *c)
{
    return !wanted(c->sink);
}

void incoming_cancel(struct rpc_sink *call, grpc_status_code code, const char *text)
{
    atomic_store(&call->gone, true);
    grpc_call_cancel_with_status(call->call, code, text, NULL);
}

/* --- its life --- */

static void forget(struct rpc_sink *call)
{
    struct rpc_server *s = call->connection->owner;
    pthread_mutex_lock(&s->lock);
    if (call->prev)
        call->prev->next = call->next;
    else
        s->calls = call->next;
    if (call->next)
        call->next->prev = call->prev;
    if (call->counted)
        call->method->streams ? s->streams_count-- : s->calls_count--;
    pthread_mutex_unlock(&s->lock);
}

void incoming_unref(struct rpc_sink *call)
{
    if (atomic_fetch_sub(&call->refs, 1) != 1)
        return;
    struct connection *c = call->connection;
    forget(call);
    grpc_call_unref(call->call);
    if (call->in)
        grpc_byte_buffer_destroy(call->in);
    if (call->out)
        grpc_byte_buffer_destroy(call->out);
    grpc_slice_unref(call->details);
    pthread_cond_destroy(&call->changed);
    pthread_mutex_destroy(&call->lock);
    free(call);
    connection_unref(c);
}

bool incoming_batch(struct rpc_sink *call, const grpc_op *ops, size_t count, struct tag *tag)
{
    atomic_fetch_add(&call->refs, 1);
    if (grpc_call_start_batch(call->call, ops, count, tag, NULL) == GRPC_CALL_OK)
        return true;
    incoming_cancel(call, GRPC_STATUS_INTERNAL, "gRPC does not accept a batch");
    incoming_unref(call);
    return false;
}

/* The call is over, whoever ended it. */
static void on_closed(struct tag *t, bool ok)
{
    (void)ok;
    struct rpc_sink *call = t->owner;
    atomic_store(&call->gone, true);
    incoming_unref(call);
}

static void on_end(struct tag *t, bool ok)
{
    (void)ok;
    incoming_unref(t->owner);
}

/* Sends the answer and the status. Once a call. */
static void finish(struct rpc_sink *call, int code, grpc_status_code status, const struct error *err)
{
    if (!incoming_alive(call))
        return;
    bool streams = call->method && call->method->streams;
    int64_t most =
        streams ? clock_mono_ms() + call->connection->owner->options.deadline_ms : call->deadline_ms;
    watcher_set_answering(call, most);
    grpc_op ops[3];
    memset(ops, 0, sizeof(ops));
    size_t n = 0;
    if (!call->started)
        ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (call->out) {
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = call->out;
    }
    grpc_op *end = &ops[n++];
    end->op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    end->data.send_status_from_server.status = status;
    if (code < 0) {
        call->details = grpc_slice_from_copied_string(err->text);
        call->trailer.key = grpc_slice_from_static_string(STATUS_TRAILER);
        call->trailer.value = grpc_slice_from_static_string(error_code_name(code));
        end->data.send_status_from_server.status_details = &call->details;
        end->data.send_status_from_server.trailing_metadata = &call->trailer;
        end->data.send_status_from_server.trailing_metadata_count = 1;
    }
    incoming_batch(call, ops, n, &call->end_tag);
}

static void fail(struct rpc_sink *call, const struct error *err)
{
    finish(call, err->code, status_of_error(err->code), err);
}

/* --- the handler, on a thread of a pool --- */

static int unpack(struct rpc_sink *call, ProtobufCMessage **ret, struct error *err)
{
    const ProtobufCMessageDescriptor *type = call->method->request;
    int rc = message_unpack(type, call->in, ret, NULL);
    grpc_byte_buffer_destroy(take(call->in));
    if (rc == ERR_NO_MEMORY)
        return error_no_memory(err);
    return rc < 0 ? error_set(err, rc, "the request of %s is not a %s message", call->method->path,
                              type->short_name)
                  : 0;
}

static int pack(struct rpc_sink *call, ProtobufCMessage *reply, struct error *err)
{
    const struct rpc_server *s = call->connection->owner;
    if (!reply)
        return error_set(err, ERR_INTERNAL, "%s has no answer", call->method->path);
    int rc = message_pack(reply, s->options.max_send, &call->out, NULL);
    if (rc < 0)
        rc = error_set(err, rc, "the answer of %s is over the limit of %zu bytes", call->method->path,
                       s->options.max_send);
    return rc;
}

static void free_reply(const struct rpc_server_method *m, ProtobufCMessage *reply)
{
    if (!reply)
        return;
    if (m->free_reply)
        m->free_reply(reply);
    else
        protobuf_c_message_free_unpacked(reply, NULL);
}

static int handle(struct rpc_sink *call, struct error *err)
{
    const struct connection *c = call->connection;
    const struct rpc_server_method *m = call->method;
    struct rpc_incoming incoming = {
        .peer = c->peer, .method = m->path, .deadline_ms = call->deadline_ms, .sink = call};
    ProtobufCMessage *request = NULL, *reply = NULL;
    int rc = unpack(call, &request, err);
    if (rc < 0)
        return rc;
    rc = m->handle(c->owner->options.arg, &incoming, request, &reply, err);
    if (rc == 0 && !m->streams)
        rc = pack(call, reply, err);
    free_reply(m, reply);
    rpc_message_free(request);
    return rc;
}

static void run(struct job *j)
{
    struct rpc_sink *call = (struct rpc_sink *)j; /* its first member */
    struct error err = ERROR_INIT;
    int rc = wanted(call) ? handle(call, &err) : 0;
    if (wanted(call)) {
        err.code = rc;
        if (rc < 0)
            fail(call, &err);
        else
            finish(call, 0, GRPC_STATUS_OK, NULL);
    }
    incoming_unref(call);
}

/* --- its beginning, on the queue's thread --- */

static void on_read(struct tag *t, bool ok)
{
    struct rpc_sink *call = t->owner;
    struct rpc_server *s = call->connection->owner;
    struct error err = ERROR_INIT;
    if (!ok || !call->in) {
        error_set(&err, ERR_INVALID, "%s came without a request", call->method->path);
        fail(call, &err);
    } else {
        if (call->method->streams)
            watcher_set(call, FOREVER);
        atomic_fetch_add(&call->refs, 1);
        if (!pool_give(call->method->streams ? &s->streamers : &s->workers, &call->job)) {
            error_set(&err, ERR_NO_MEMORY, "the server cannot start a thread");
            fail(call, &err);
            incoming_unref(call);
        }
    }
    incoming_unref(call);
}

static const struct rpc_server_method *find_method(const struct rpc_server *s, grpc_slice path)
{
    for (size_t i = 0; i < s->options.methods_count; i++)
        if (grpc_slice_str_cmp(path, s->options.methods[i].path) == 0)
            return &s->options.methods[i];
    return NULL;
}

/* In milliseconds from now; FOREVER: none. */
static int64_t deadline_left(gpr_timespec deadline)
{
    if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0)
        return FOREVER;
    return gpr_time_to_millis(gpr_time_sub(deadline, gpr_now(deadline.clock_type)));
}

/* Its streams, or its unary calls. */
static unsigned count_of_locked(const struct rpc_server *s, const char *key, bool streams)
{
    unsigned n = 0;
    for (const struct rpc_sink *call = s->calls; call; call = call->next)
        n += call->counted && call->method->streams == streams && strcmp(call->peer_key, key) == 0;
    return n;
}

static int admit_locked(struct rpc_server *s, struct rpc_sink *call, struct error *err)
{
    const struct rpc_server_options *o = &s->options;
    if (!call->method->streams) {
        if (s->calls_count >= o->calls_max)
            return error_set(err, ERR_UNAVAILABLE, "the server is busy with %u calls; try again",
                             o->calls_max);
        if (o->calls_of_peer && count_of_locked(s, call->peer_key, false) >= o->calls_of_peer)
            return error_set(err, ERR_UNAVAILABLE, "there are %u calls of yours already; try again",
                             o->calls_of_peer);
        s->calls_count++;
    } else {
        if (s->streams_count >= o->streams_max)
            return error_set(err, ERR_UNAVAILABLE, "the server has %u streams already; try again later",
                             o->streams_max);
        if (count_of_locked(s, call->peer_key, true) >= o->streams_of_peer)
            return error_set(err, ERR_UNAVAILABLE, "there are %u streams of yours already; end one of them",
                             o->streams_of_peer);
        s->streams_count++;
    }
    call->counted = true;
    return 0;
}

static int enter(struct rpc_sink *call, struct error *err)
{
    struct rpc_server *s = call->connection->owner;
    pthread_mutex_lock(&s->lock);
    call->next = s->calls;
    if (call->next)
        call->next->prev = call;
    s->calls = call;
    int rc = call->method ? admit_locked(s, call, err) : 0;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static struct rpc_sink *incoming_new(struct connection *c)
{
    struct rpc_sink *call = calloc(1, sizeof(*call));
    if (!call)
        return NULL;
    call->job.run = run;
    call->read_tag = (struct tag){on_read, call};
    call->closed_tag = (struct tag){on_closed, call};
    call->sent_tag = (struct tag){sink_on_sent, call};
    call->end_tag = (struct tag){on_end, call};
    call->connection = c;
    call->call = take(c->call);
    call->refs = 1;
    call->details = grpc_empty_slice();
    call->ends_ms = FOREVER;
    pthread_mutex_init(&call->lock, NULL);
    pthread_cond_init(&call->changed, NULL);
    const struct rpc_server *s = c->owner;
    call->method = find_method(s, c->details.method);
    call->peer_key = s->options.peer_key ? s->options.peer_key(c->peer) : "";
    return call;
}

/* Also a refused call has its end: a caller that never takes the refusal must not keep it. */
static void set_deadlines(struct rpc_sink *call, gpr_timespec deadline)
{
    int64_t now = clock_mono_ms(), left = deadline_left(deadline);
    int64_t most = call->connection->owner->options.deadline_ms;
    bool streams = call->method && call->method->streams;
    if (!streams && left > most)
        left = most;
    call->deadline_ms = left == FOREVER ? FOREVER : now + left;
    watcher_set(call, now + most);
}

static void unknown_method(const struct connection *c, struct error *err)
{
    char *path = grpc_slice_to_c_string(c->details.method);
    error_set(err, ERR_UNSUPPORTED, "this server has no method %.200s", path);
    gpr_free(path);
}

void incoming_begin(struct connection *c)
{
    struct rpc_sink *call = incoming_new(c);
    if (!call) {
        grpc_call *lost = take(c->call);
        grpc_call_cancel_with_status(lost, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory", NULL);
        grpc_call_unref(lost);
        return;
    }
    atomic_fetch_add(&c->refs, 1);
    struct error err = ERROR_INIT;
    int rc = enter(call, &err);
    set_deadlines(call, c->details.deadline);
    grpc_op op;
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    op.data.recv_close_on_server.cancelled = &call->gone_value;
    incoming_batch(call, &op, 1, &call->closed_tag);
    if (rc < 0) {
        finish(call, rc, GRPC_STATUS_RESOURCE_EXHAUSTED, &err);
    } else if (!call->method) {
        unknown_method(c, &err);
        fail(call, &err);
    } else {
        memset(&op, 0, sizeof(op));
        op.op = GRPC_OP_RECV_MESSAGE;
        op.data.recv_message.recv_message = &call->in;
        incoming_batch(call, &op, 1, &call->read_tag);
    }
    incoming_unref(call);
}
