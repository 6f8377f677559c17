#include "internal.h"

#include <time.h>

#include <grpc/support/alloc.h>

#define QUEUE_MESSAGES 64
#define QUEUE_BYTES    (16u << 20)
#define SENDING_MAX    256
#define METADATA_MAX   8

struct received {
    struct received *next;
    ProtobufCMessage *message;
    size_t bytes;
};

struct outgoing {
    struct outgoing *next;
    grpc_byte_buffer *bytes;
};

/* Two lifetimes meet here: the caller's handle and gRPC's batches. Freed when both have let go; the call
 * itself ends when the last batch is back. */
struct rpc_stream {
    struct tag status_tag, start_tag, receive_tag, send_tag, close_tag;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct rpc_channel *channel;
    struct address *address;
    struct flight flight;
    grpc_call *call; /* NULL once ended */
    unsigned refs;   /* the handle, and one for all batches */
    unsigned batches;
    bool canceled, ended, receiving, no_more;
    bool closing, closed; /* the sending side: to be closed once all is sent; closed */

    const ProtobufCMessageDescriptor *type;
    struct received *first, **last;
    size_t queued, queued_bytes;
    struct outgoing *out_first, **out_last;
    size_t out_count;
    grpc_byte_buffer *in;

    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
    int code; /* why it ended; valid once ended, or when an answer was malformed */
    struct error err;
};

static void free_outgoing(struct rpc_stream *s)
{
    while (s->out_first) {
        struct outgoing *o = s->out_first;
        s->out_first = o->next;
        grpc_byte_buffer_destroy(o->bytes);
        free(o);
    }
    s->out_last = &s->out_first;
    s->out_count = 0;
}

static void stream_destroy(struct rpc_stream *s)
{
    free_outgoing(s);
    while (s->first) {
        struct received *r = s->first;
        s->first = r->next;
        rpc_message_free(r->message);
        free(r);
    }
    if (s->in)
        grpc_byte_buffer_destroy(s->in);
    grpc_slice_unref(s->details);
    grpc_metadata_array_destroy(&s->initial);
    grpc_metadata_array_destroy(&s->trailing);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void stream_unref(struct rpc_stream *s)
{
    pthread_mutex_lock(&s->lock);
    bool last = --s->refs == 0;
    pthread_mutex_unlock(&s->lock);
    if (last)
        stream_destroy(s);
}

/* Below, "locked" functions expect s->lock to be held. gRPC never calls back on the calling thread (results
 * come through the queue), so its functions may be called under the lock. */
static void cancel_locked(struct rpc_stream *s)
{
    if (s->call)
        grpc_call_cancel(s->call, NULL);
}

static void fail_locked(struct rpc_stream *s, int code, const struct error *err)
{
    if (s->code < 0)
        return;
    s->code = code;
    s->err = *err;
    cancel_locked(s);
}

static bool batch_locked(struct rpc_stream *s, const grpc_op *ops, size_t count, struct tag *tag)
{
    if (grpc_call_start_batch(s->call, ops, count, tag, NULL) != GRPC_CALL_OK) {
        struct error err = ERROR_INIT;
        fail_locked(s, error_set(&err, ERR_INTERNAL, "gRPC does not accept a batch"), &err);
        return false;
    }
    s->batches++;
    return true;
}

static void receive_more_locked(struct rpc_stream *s)
{
    if (s->receiving || s->no_more || s->ended || s->queued >= QUEUE_MESSAGES ||
        s->queued_bytes >= QUEUE_BYTES)
        return;
    grpc_op op;
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &s->in;
    s->receiving = batch_locked(s, &op, 1, &s->receive_tag);
}

static void close_send_locked(struct rpc_stream *s)
{
    if (!s->closing || s->closed)
        return;
    grpc_op op;
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    s->closed = batch_locked(s, &op, 1, &s->close_tag);
}

static void send_more_locked(struct rpc_stream *s)
{
    if (!s->out_first) {
        close_send_locked(s);
        return;
    }
    grpc_op op;
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_SEND_MESSAGE;
    op.data.send_message.send_message = s->out_first->bytes;
    if (!batch_locked(s, &op, 1, &s->send_tag))
        free_outgoing(s);
}

/* Ends a tag's turn; unlocks. The last batch back ends the stream. */
static void batch_done(struct rpc_stream *s)
{
    bool last = --s->batches == 0;
    grpc_call *call = NULL;
    if (last) {
        s->ended = true;
        call = take(s->call);
    }
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    struct rpc_channel *c = s->channel;
    flight_set_call(c, &s->flight, NULL);
    grpc_call_unref(call);
    flight_end(c, &s->flight);
    stream_unref(s);
}

/* Of the batches that only have to be over: the start's and the close's. */
static void on_over(struct tag *t, bool ok)
{
    (void)ok;
    struct rpc_stream *s = t->owner;
    pthread_mutex_lock(&s->lock);
    batch_done(s);
}

static void on_status(struct tag *t, bool ok)
{
    (void)ok;
    struct rpc_stream *s = t->owner;
    char *text = grpc_slice_to_c_string(s->details);
    struct status status = {.code = s->status, .text = text, .named = status_named(&s->trailing)};
    struct error err = ERROR_INIT;
    int rc = status_convert(s->channel, &status, 0, &err);
    if (rc == 0)
        rc = error_set(&err, ERR_UNAVAILABLE, "the server ended the stream");
    gpr_free(text);
    address_note(s->address, s->canceled ? ERR_CANCELED : rc);
    pthread_mutex_lock(&s->lock);
    fail_locked(s, rc, &err);
    batch_done(s);
}

static void on_sent(struct tag *t, bool ok)
{
    struct rpc_stream *s = t->owner;
    pthread_mutex_lock(&s->lock);
    struct outgoing *o = s->out_first;
    s->out_first = o->next;
    if (!s->out_first)
        s->out_last = &s->out_first;
    s->out_count--;
    grpc_byte_buffer_destroy(o->bytes);
    free(o);
    if (ok)
        send_more_locked(s);
    else
        free_outgoing(s);
    batch_done(s);
}

static struct received *unpack(struct rpc_stream *s, grpc_byte_buffer *bytes, int *ret_code,
                               struct error *err)
{
    struct received *r = calloc(1, sizeof(*r));
    if (!r) {
        *ret_code = error_no_memory(err);
        return NULL;
    }
    r->bytes = grpc_byte_buffer_length(bytes);
    *ret_code = message_unpack(s->type, bytes, &r->message, err);
    if (*ret_code == 0)
        return r;
    free(r);
    return NULL;
}

static void on_received(struct tag *t, bool ok)
{
    struct rpc_stream *s = t->owner;
    struct error err = ERROR_INIT;
    int rc = 0;
    grpc_byte_buffer *bytes = take(s->in);
    struct received *r = ok && bytes ? unpack(s, bytes, &rc, &err) : NULL;
    if (bytes)
        grpc_byte_buffer_destroy(bytes);

    pthread_mutex_lock(&s->lock);
    s->receiving = false;
    if (r) {
        atomic_store(&s->channel->answered, true);
        address_note(s->address, 0);
        *s->last = r;
        s->last = &r->next;
        s->queued++;
        s->queued_bytes += r->bytes;
    } else {
        s->no_more = true;
        if (rc < 0)
            fail_locked(s, rc, &err);
    }
    receive_more_locked(s);
    batch_done(s);
}

static void start_batches_locked(struct rpc_stream *s, grpc_metadata *metadata, size_t count)
{
    grpc_op ops[2];
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[0].data.recv_status_on_client.trailing_metadata = &s->trailing;
    ops[0].data.recv_status_on_client.status = &s->status;
    ops[0].data.recv_status_on_client.status_details = &s->details;
    if (!batch_locked(s, ops, 1, &s->status_tag))
        return;
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].data.send_initial_metadata.count = count;
    ops[0].data.send_initial_metadata.metadata = metadata;
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &s->initial;
    if (batch_locked(s, ops, 2, &s->start_tag))
        receive_more_locked(s);
}

static struct rpc_stream *stream_new(struct rpc_channel *c, const struct rpc_method *method)
{
    struct rpc_stream *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->status_tag = (struct tag){on_status, s};
    s->start_tag = (struct tag){on_over, s};
    s->receive_tag = (struct tag){on_received, s};
    s->send_tag = (struct tag){on_sent, s};
    s->close_tag = (struct tag){on_over, s};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->channel = c;
    s->type = method->reply;
    s->last = &s->first;
    s->out_last = &s->out_first;
    s->details = grpc_empty_slice();
    grpc_metadata_array_init(&s->initial);
    grpc_metadata_array_init(&s->trailing);
    return s;
}

int rpc_stream_open(struct rpc_channel *c, const struct rpc_method *method, const char *const *metadata,
                    struct rpc_stream **ret, struct error *err)
{
    grpc_metadata list[METADATA_MAX];
    memset(list, 0, sizeof(list));
    size_t count = 0;
    for (; metadata && metadata[2 * count]; count++) {
        if (count == METADATA_MAX)
            return error_set(err, ERR_INVALID, "more than %d metadata pairs", METADATA_MAX);
        list[count].key = grpc_slice_from_static_string(metadata[2 * count]);
        list[count].value = grpc_slice_from_static_string(metadata[2 * count + 1]);
    }
    struct rpc_stream *s = stream_new(c, method);
    if (!s)
        return error_no_memory(err);
    int rc = flight_begin(c, &s->flight, err);
    if (rc < 0) {
        stream_destroy(s);
        return rc;
    }
    s->address = address_pick(c, RPC_ANY);
    s->call = grpc_channel_create_call(s->address->channel, NULL, GRPC_PROPAGATE_DEFAULTS, runtime_queue(),
                                       grpc_slice_from_static_string(method->path), NULL,
                                       gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    flight_set_call(c, &s->flight, s->call);
    pthread_mutex_lock(&s->lock);
    s->refs = 2;
    s->batches = 1; /* ours, until all have been started: none of them can end the stream meanwhile */
    start_batches_locked(s, list, count);
    batch_done(s);
    *ret = s;
    return 0;
}

int rpc_stream_send(struct rpc_stream *s, const ProtobufCMessage *message, struct error *err)
{
    struct outgoing *o = calloc(1, sizeof(*o));
    if (!o)
        return error_no_memory(err);
    int rc = message_pack(message, s->channel->max_message, &o->bytes, err);
    if (rc < 0) {
        free(o);
        return rc;
    }
    pthread_mutex_lock(&s->lock);
    if (s->canceled || s->ended || s->code < 0)
        rc =
            error_set(err, ERR_UNAVAILABLE, "the stream has ended%s%s", s->code < 0 ? ": " : "", s->err.text);
    else if (s->closing)
        rc = error_set(err, ERR_UNAVAILABLE, "the stream was closed for sending");
    else if (s->out_count >= SENDING_MAX)
        rc = error_set(err, ERR_UNAVAILABLE, "%d messages already wait to be sent", SENDING_MAX);
    if (rc == 0) {
        bool first = !s->out_first;
        *s->out_last = o;
        s->out_last = &o->next;
        s->out_count++;
        if (first)
            send_more_locked(s);
    }
    pthread_mutex_unlock(&s->lock);
    if (rc < 0) {
        grpc_byte_buffer_destroy(o->bytes);
        free(o);
    }
    return rc;
}

void rpc_stream_close_send(struct rpc_stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    if (!s->canceled && !s->ended && s->code == 0 && !s->out_first)
        close_send_locked(s);
    pthread_mutex_unlock(&s->lock);
}

static ProtobufCMessage *pop_locked(struct rpc_stream *s)
{
    struct received *r = s->first;
    s->first = r->next;
    if (!s->first)
        s->last = &s->first;
    s->queued--;
    s->queued_bytes -= r->bytes;
    ProtobufCMessage *message = r->message;
    free(r);
    return message;
}

int rpc_stream_receive(struct rpc_stream *s, int timeout_ms, ProtobufCMessage **ret, struct error *err)
{
    struct timespec until = wait_until(timeout_ms);
    pthread_mutex_lock(&s->lock);
    int waited = 0;
    while (!s->canceled && !s->first && !s->ended && waited == 0)
        waited = pthread_cond_clockwait(&s->changed, &s->lock, CLOCK_MONOTONIC, &until);
    int rc = 0;
    if (s->canceled) {
        rc = error_set(err, ERR_CANCELED, "the stream was cancelled");
    } else if (s->first) {
        *ret = pop_locked(s);
        receive_more_locked(s);
    } else if (s->ended) {
        rc = s->code;
        if (err)
            *err = s->err;
    } else {
        rc = error_set(err, ERR_TIMEOUT, "nothing received within %d ms", timeout_ms);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

void rpc_stream_distrust(struct rpc_stream *s)
{
    address_note(s->address, ERR_TIMEOUT);
}

void rpc_stream_cancel(struct rpc_stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->canceled = true;
    cancel_locked(s);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void rpc_stream_free(struct rpc_stream *s)
{
    if (!s)
        return;
    rpc_stream_cancel(s);
    stream_unref(s);
}
