/* Stands in for lib/rpc's channels, calls and streams, without gRPC: whoever links it answers. What is above
 * that room, its threads too, then runs as ever, and ThreadSanitizer sees every lock (it does not see
 * gRPC's). */
#ifndef TEST_FAKE_RPC_H
#define TEST_FAKE_RPC_H

#include <rpc/rpc.h>

#define FAKE_ADDRESSES_MAX 8

struct rpc_channel {
    char addresses[FAKE_ADDRESSES_MAX][64];
    size_t count, max_message;
    struct fake_runtime
        *runtime; /* where calls that nobody waits for are answered; NULL: by who starts them */
};

/* --- what the test answers with; from any thread, and from many at once --- */

/* One call, or one attempt of it; an answer over c->max_message is ERR_TOO_LARGE. *ret is the caller's: made
 * by fake_rpc_copy (fake_message.h). */
int fake_answer(struct rpc_channel *c, int which, const struct rpc_method *method,
                const ProtobufCMessage *request, int deadline_ms, ProtobufCMessage **ret, struct error *err);
/* A stream was opened; it was sent something; nothing of it is left to be received; it is about to be freed.
 */
int fake_stream_opened(struct rpc_stream *s, struct error *err);
void fake_stream_sent(struct rpc_stream *s, const ProtobufCMessage *message);
void fake_stream_idle(struct rpc_stream *s);
void fake_stream_closed(struct rpc_stream *s);

/* --- what it answers by --- */

struct rpc_channel *fake_stream_channel(const struct rpc_stream *s);
const struct rpc_method *fake_stream_method(const struct rpc_stream *s);
/* To be received next; the message is the stream's from now on. */
void fake_stream_push(struct rpc_stream *s, ProtobufCMessage *message);
/* Behind all that was pushed it ends like this. */
void fake_stream_end(struct rpc_stream *s, int code, const char *why);

#endif
