/* gRPC over its C core: the only room that includes <grpc/…>. One completion-queue thread a process, one
 * generic path for unary calls and one for streams; which RPC it is, is data. Messages are protobuf-c's. */
#ifndef RPC_RPC_H
#define RPC_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include <base/arena.h>
#include <base/cleanup.h>
#include <base/error.h>

struct rpc_channel;

#define RPC_ANY (-1) /* any of the channel's addresses */

/* Whether `address` has the form "host:port" or "[ipv6]:port": ERR_INVALID naming it and what is wrong. */
int rpc_address_check(const char *address, struct error *err) _must_check_;

/* The same, or "unix:/path". */
int rpc_local_address_check(const char *address, struct error *err) _must_check_;

struct rpc_channel_options {
    const char *const *addresses; /* "10.0.0.1:2379", "[::1]:2379" or "name:2379" */
    size_t addresses_count;
    bool local; /* "unix:/path" is an address, too */
    bool tls;
    const char *ca_pem; /* contents, not paths; NULL: the system's (ca), none (cert, key) */
    const char *cert_pem;
    const char *key_pem;
    const char *ca_name; /* what error texts call them, a file's path, say; NULL: "the CA" and so on */
    const char *cert_name;
    const char *key_name;
    const char *server_name; /* checked against the certificate; NULL: the first address's host, of all */
    bool own_names;          /* without server_name: each address's own host */
    size_t max_message;      /* largest message accepted, bytes */
};

/* Every address gets a connection that is kept up. Calls go over the connected ones in turn; one that has not
 * answered is left out for 10 s, or until it answers, as long as there is another. */
/* The first channel starts gRPC and its thread; call it after any fork. Caller closes. */
int rpc_channel_open(const struct rpc_channel_options *options, struct rpc_channel **ret,
                     struct error *err) _must_check_;
/* Cancels what is in flight and waits for its end (each on_done still runs). Streams must be freed before.
 * The last one stops gRPC: close all before exit(), which otherwise pulls OpenSSL from under gRPC's threads.
 */
void rpc_channel_close(struct rpc_channel *c);
DEFINE_CLEANUP(struct rpc_channel *, rpc_channel_close);

/* Every connection was ended right after the TLS handshake, more than once, and none has ever answered: what
 * is there does not accept our certificate, most likely (TLS 1.3 tells too late for gRPC to pass it on). */
bool rpc_channel_refused(const struct rpc_channel *c);

/* Has any address ever answered? */
bool rpc_channel_answered(const struct rpc_channel *c);

struct rpc_method {
    const char *path; /* "/etcdserverpb.KV/Range" */
    const ProtobufCMessageDescriptor *reply;
};

/* Frees a message that this room unpacked, with all that is in it. NULL is safe. */
void rpc_message_free(ProtobufCMessage *message);
/* What such a message lives in: whoever frees (or joins) that has freed (or moved) the message. */
struct arena *rpc_message_arena(ProtobufCMessage *message);

/* One unary call. *ret_reply is freed by the caller with rpc_message_free; each of its `bytes` has a NUL
 * behind it. The gRPC status
 * becomes a code (table in status.c): 1 CANCELED, 4 TIMEOUT, 14 UNAVAILABLE, 3 INVALID, 8 TOO_LARGE or
 * UNAVAILABLE, 5 NOT_FOUND, 7 and 16 DENIED, 11 COMPACTED where the text says so, … with its text. A server
 * of ours (rpc/server.h) names the code: the error is the one that its handler returned. */
int rpc_call(struct rpc_channel *c, const struct rpc_method *method, const ProtobufCMessage *request,
             int deadline_ms, ProtobufCMessage **ret_reply, struct error *err) _must_check_;

/* rpc_call for a request that can be repeated without harm (a read): while there is no connection or no
 * answer, and within deadline_ms as a whole, it is asked again: of another address, if `which` is RPC_ANY,
 * else of the address with that index in the options. A wrong certificate and the like fail at once. The
 * error is that of the last attempt. */
int rpc_call_repeat(struct rpc_channel *c, int which, const struct rpc_method *method,
                    const ProtobufCMessage *request, int deadline_ms, ProtobufCMessage **ret_reply,
                    struct error *err) _must_check_;

/* The same without waiting: on_done runs on the completion-queue thread (must not block, must not call
 * rpc_call); code 0 and a reply that on_done owns, or a code and err. ERR_* at once when it could not start
 * (then on_done is not called). */
typedef void rpc_done_fn(void *arg, int code, ProtobufCMessage *reply, const struct error *err);
int rpc_call_start(struct rpc_channel *c, const struct rpc_method *method, const ProtobufCMessage *request,
                   int deadline_ms, rpc_done_fn *on_done, void *arg, struct error *err) _must_check_;

/* A bidirectional stream with a bounded queue of received messages (backpressure: nothing is read off the
 * wire while it is full). Metadata: NULL-terminated list of key, value pairs, or NULL. */
struct rpc_stream;
int rpc_stream_open(struct rpc_channel *c, const struct rpc_method *method, const char *const *metadata,
                    struct rpc_stream **ret, struct error *err) _must_check_;
/* Sends (queued; one in flight). ERR_UNAVAILABLE once the stream has ended, or after rpc_stream_close_send.
 */
int rpc_stream_send(struct rpc_stream *s, const ProtobufCMessage *message, struct error *err) _must_check_;
/* Nothing more will be sent: the peer is told so, after the messages that are queued. A method that takes one
 * request and streams its answers needs it. Receiving goes on; on a stream that has ended it does nothing. */
void rpc_stream_close_send(struct rpc_stream *s);
/* Next message: waits up to timeout_ms, then ERR_TIMEOUT. The stream's end is its status's code (a clean
 * end is ERR_UNAVAILABLE). Caller frees *ret with rpc_message_free. */
int rpc_stream_receive(struct rpc_stream *s, int timeout_ms, ProtobufCMessage **ret,
                       struct error *err) _must_check_;
/* The peer has not answered in time: new calls and streams prefer other addresses for a while. */
void rpc_stream_distrust(struct rpc_stream *s);
/* Makes a waiting receive return ERR_CANCELED; from any thread. */
void rpc_stream_cancel(struct rpc_stream *s);
void rpc_stream_free(struct rpc_stream *s); /* cancels if need be; never blocks for long */
DEFINE_CLEANUP(struct rpc_stream *, rpc_stream_free);

#endif
