#include "serve.h"

void sink_on_sent(struct tag *t, bool ok)
{
    struct rpc_sink *call = t->owner;
    pthread_mutex_lock(&call->lock);
    grpc_byte_buffer_destroy(take(call->out));
    call->sending = false;
    call->send_ok = ok;
    pthread_cond_broadcast(&call->changed);
    pthread_mutex_unlock(&call->lock);
    incoming_unref(call);
}

static bool start(struct rpc_sink *call)
{
    grpc_op ops[2];
    memset(ops, 0, sizeof(ops));
    size_t n = 0;
    if (!call->started)
        ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[n].op = GRPC_OP_SEND_MESSAGE;
    ops[n++].data.send_message.send_message = call->out;
    call->started = true;
    call->sending = true;
    return incoming_batch(call, ops, n, &call->sent_tag);
}

/* gRPC gives the batch back when the caller has gone, too, so that only a caller who does not read is waited
 * for. */
static bool sent_in_time(struct rpc_sink *call, int ms)
{
    struct timespec until = wait_until(ms);
    pthread_mutex_lock(&call->lock);
    int waited = 0;
    while (call->sending && waited == 0)
        waited = pthread_cond_clockwait(&call->changed, &call->lock, CLOCK_MONOTONIC, &until);
    bool back = !call->sending;
    pthread_mutex_unlock(&call->lock);
    return back;
}

static void cut_if_stalled(struct rpc_sink *call)
{
    struct rpc_server *s = call->connection->owner;
    pthread_mutex_lock(&s->lock);
    connection_cut_stalled_locked(call->connection);
    pthread_mutex_unlock(&s->lock);
}

int rpc_sink_send(struct rpc_sink *call, const ProtobufCMessage *message, struct error *err)
{
    const struct rpc_server_options *o = &call->connection->owner->options;
    if (!call->method->streams)
        return error_set(err, ERR_INTERNAL, "%s has one answer, which its handler returns",
                         call->method->path);
    if (!incoming_alive(call))
        return error_set(err, ERR_CANCELED, "the caller of %s has gone", call->method->path);
    int rc = message_pack(message, o->max_send, &call->out, NULL);
    if (rc < 0)
        return error_set(err, rc, "a message of %s is over the limit of %zu bytes", call->method->path,
                         o->max_send);
    if (!start(call))
        return error_set(err, ERR_INTERNAL, "gRPC does not accept a message of %s", call->method->path);
    if (!sent_in_time(call, o->send_ms)) {
        struct error why = ERROR_INIT;
        error_set(&why, ERR_TIMEOUT, "the stream was ended: nothing was read for %d ms", o->send_ms);
        incoming_cancel(call, GRPC_STATUS_RESOURCE_EXHAUSTED, why.text);
        cut_if_stalled(call);
        return error_set(err, ERR_TIMEOUT, "the caller of %s has not read for %d ms", call->method->path,
                         o->send_ms);
    }
    if (!call->send_ok)
        return error_set(err, ERR_CANCELED, "the caller of %s has gone", call->method->path);
    return 0;
}
