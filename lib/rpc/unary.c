#include "internal.h"

#include <time.h>

#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

/* The reply as it came, which the callee owns: for those who unpack it on a thread of their own. */
typedef void raw_done_fn(void *arg, int code, grpc_byte_buffer *reply, const struct error *err);

/* Everything that one call needs until its single batch is back. */
struct unary {
    struct tag tag;
    struct flight flight;
    struct rpc_channel *channel;
    struct address *address;
    grpc_call *call;
    grpc_byte_buffer *request, *reply;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
    const ProtobufCMessageDescriptor *type;
    int deadline_ms;
    rpc_done_fn *on_done;
    raw_done_fn *on_raw; /* instead of on_done */
    void *arg;
};

gpr_timespec deadline_after(int64_t ms)
{
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
}

struct timespec wait_until(int64_t ms)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    int64_t ns = ts.tv_nsec + (ms > 0 ? ms % 1000 : 0) * 1000000;
    ts.tv_sec += (ms > 0 ? ms / 1000 : 0) + ns / 1000000000;
    ts.tv_nsec = ns % 1000000000;
    return ts;
}

static void unary_free(struct unary *u)
{
    if (u->call)
        grpc_call_unref(u->call);
    if (u->request)
        grpc_byte_buffer_destroy(u->request);
    if (u->reply)
        grpc_byte_buffer_destroy(u->reply);
    grpc_slice_unref(u->details);
    grpc_metadata_array_destroy(&u->initial);
    grpc_metadata_array_destroy(&u->trailing);
    free(u);
}

/* Runs on the queue's thread. With the status in the batch, `ok` is always true: only the status counts. */
static void unary_done(struct tag *t, bool ok)
{
    (void)ok;
    struct unary *u = t->owner;
    struct rpc_channel *c = u->channel;
    struct error err = ERROR_INIT;
    ProtobufCMessage *reply = NULL;
    char *text = grpc_slice_to_c_string(u->details);
    struct status s = {.code = u->status, .text = text, .named = status_named(&u->trailing)};
    int rc = status_convert(c, &s, u->deadline_ms, &err);
    gpr_free(text);
    if (rc == 0 && !u->on_raw)
        rc = message_unpack(u->type, u->reply, &reply, &err);
    address_note(u->address, rc);
    flight_set_call(c, &u->flight, NULL);
    if (u->on_raw)
        u->on_raw(u->arg, rc, rc < 0 ? NULL : take(u->reply), rc < 0 ? &err : NULL);
    else
        u->on_done(u->arg, rc, reply, rc < 0 ? &err : NULL);
    grpc_call_unref(take(u->call));
    flight_end(c, &u->flight);
    unary_free(u);
}

static grpc_call_error start_batch(struct unary *u)
{
    grpc_op ops[6];
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = u->request;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &u->initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &u->reply;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &u->trailing;
    ops[5].data.recv_status_on_client.status = &u->status;
    ops[5].data.recv_status_on_client.status_details = &u->details;
    return grpc_call_start_batch(u->call, ops, array_len(ops), &u->tag, NULL);
}

static int begin(struct rpc_channel *c, int which, const struct rpc_method *method,
                 const ProtobufCMessage *request, int deadline_ms, rpc_done_fn *on_done, raw_done_fn *on_raw,
                 void *arg, struct error *err)
{
    struct unary *u = calloc(1, sizeof(*u));
    if (!u)
        return error_no_memory(err);
    u->tag = (struct tag){unary_done, u};
    u->channel = c;
    u->type = method->reply;
    u->deadline_ms = deadline_ms;
    u->on_done = on_done;
    u->on_raw = on_raw;
    u->arg = arg;
    u->details = grpc_empty_slice();
    grpc_metadata_array_init(&u->initial);
    grpc_metadata_array_init(&u->trailing);
    int rc = message_pack(request, c->max_message, &u->request, err);
    if (rc == 0)
        rc = flight_begin(c, &u->flight, err);
    if (rc < 0) {
        unary_free(u);
        return rc;
    }
    u->address = address_pick(c, which);
    u->call = grpc_channel_create_call(u->address->channel, NULL, GRPC_PROPAGATE_DEFAULTS, runtime_queue(),
                                       grpc_slice_from_static_string(method->path), NULL,
                                       deadline_after(deadline_ms), NULL);
    flight_set_call(c, &u->flight, u->call);
    grpc_call_error started = start_batch(u);
    if (started == GRPC_CALL_OK)
        return 0;
    flight_set_call(c, &u->flight, NULL);
    grpc_call_unref(take(u->call));
    flight_end(c, &u->flight);
    unary_free(u);
    return error_set(err, ERR_INTERNAL, "gRPC does not accept the call: %s",
                     grpc_call_error_to_string(started));
}

int rpc_call_start(struct rpc_channel *c, const struct rpc_method *method, const ProtobufCMessage *request,
                   int deadline_ms, rpc_done_fn *on_done, void *arg, struct error *err)
{
    return begin(c, RPC_ANY, method, request, deadline_ms, on_done, NULL, arg, err);
}

/* The blocking form waits on the stack of its caller. */
struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    bool done;
    int code;
    grpc_byte_buffer *reply;
    struct error err;
};

static void wake(void *arg, int code, grpc_byte_buffer *reply, const struct error *err)
{
    struct waiter *w = arg;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    w->code = code;
    w->reply = reply;
    if (err)
        w->err = *err;
    pthread_cond_signal(&w->ready);
    pthread_mutex_unlock(&w->lock);
}

int unary_call(struct rpc_channel *c, int which, const struct rpc_method *method,
               const ProtobufCMessage *request, int deadline_ms, ProtobufCMessage **ret_reply,
               struct error *err)
{
    if (runtime_on_queue_thread())
        return error_set(err, ERR_INTERNAL, "a blocking call on the gRPC thread would wait for itself");
    struct waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .ready = PTHREAD_COND_INITIALIZER};
    if (which < 0)
        address_wait(c, deadline_ms);
    int rc = begin(c, which, method, request, deadline_ms, NULL, wake, &w, err);
    if (rc < 0)
        return rc;
    /* gRPC completes every call at its deadline, so this wait is bounded by it. */
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.ready, &w.lock);
    pthread_mutex_unlock(&w.lock);
    if (w.code < 0) {
        if (err)
            *err = w.err;
        return w.code;
    }
    /* Here and not on gRPC's thread: a page of megabytes would hold up every other answer. */
    rc = message_unpack(method->reply, w.reply, ret_reply, err);
    if (w.reply)
        grpc_byte_buffer_destroy(w.reply);
    return rc;
}

int rpc_call(struct rpc_channel *c, const struct rpc_method *method, const ProtobufCMessage *request,
             int deadline_ms, ProtobufCMessage **ret_reply, struct error *err)
{
    return unary_call(c, RPC_ANY, method, request, deadline_ms, ret_reply, err);
}
