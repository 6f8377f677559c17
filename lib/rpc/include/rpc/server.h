/* gRPC's server side. It does not listen: connections are given to it as sockets, each with whom it belongs
 * to. Inside, each connection is a gRPC server of its own, so a call's peer is known for certain: no fd
 * number is looked up. */
#ifndef RPC_SERVER_H
#define RPC_SERVER_H

#include <rpc/rpc.h>

struct rpc_server;
struct rpc_sink; /* where a streaming handler sends */

/* One call, valid while its handler runs. */
struct rpc_incoming {
    const void *peer;    /* as it was given to rpc_server_add */
    const char *method;  /* path */
    int64_t deadline_ms; /* clock_mono_ms */
    struct rpc_sink *sink;
};

/* Has the caller gone, or the deadline passed, or is the server being stopped? A handler that waits asks now
 * and then, and returns soon after: what it returns then reaches nobody. */
bool rpc_incoming_canceled(const struct rpc_incoming *c);

/* Unary: fills in *ret_reply (any message; `free_reply` of the method frees it, NULL:
 * protobuf_c_message_free_unpacked) or returns a code and err, which become the call's status (the text is
 * what the caller reads). Streaming: sends by rpc_sink_send and returns 0 at the end. Runs on one of the
 * server's threads, may block until its deadline. */
typedef int rpc_handler_fn(void *arg, const struct rpc_incoming *c, const ProtobufCMessage *request,
                           ProtobufCMessage **ret_reply, struct error *err);

struct rpc_server_method {
    const char *path;
    const ProtobufCMessageDescriptor *request;
    bool streams;
    rpc_handler_fn *handle;
    void (*free_reply)(ProtobufCMessage *reply); /* NULL: protobuf_c_message_free_unpacked */
};

/* What a connection may make gRPC keep. A message over max_message is put together before it is refused; one
 * over this ends its call (RESOURCE_EXHAUSTED) or its connection on the way. Nobody else's: so in the whole
 * it is this for each connection, whose number is for the caller of rpc_server_add to bound. */
#define RPC_SERVER_MEMORY(max_message) ((256u << 10) + 4 * (size_t)(max_message))

struct rpc_server_options {
    const struct rpc_server_method *methods; /* borrowed until the server is freed */
    size_t methods_count;
    void *arg;
    size_t max_message;     /* bytes received */
    size_t max_send;        /* bytes sent */
    size_t memory;          /* of what a connection has received, bytes; 0: RPC_SERVER_MEMORY(max_message) */
    int idle_ms;            /* a connection without a call is closed after it; 0: never */
    unsigned workers;       /* threads for unary calls */
    unsigned calls_max;     /* unary ones that arrive, wait, run or are being answered; beyond it
                               RESOURCE_EXHAUSTED at once */
    unsigned calls_of_peer; /* the same by the peer's key, so that nobody takes them all; 0: no limit */
    unsigned streams_max;   /* each has a thread while it runs */
    unsigned streams_of_peer; /* by the peer's key */
    int deadline_ms;          /* of calls that come without one, and at most; streams: only for their request
                                 to arrive and their end to be taken */
    int send_ms;              /* until a stream's message must have been taken */
    /* Both run on any thread, gRPC's own, too: they must not block, nor call this room. */
    const char *(*peer_key)(const void *peer); /* whose streams are counted together; NULL: everybody's */
    void (*free_peer)(void *peer);             /* may be NULL */
};

/* Starts gRPC, if nothing has yet: call it after any fork. ERR_INVALID: the options. */
int rpc_server_new(const struct rpc_server_options *options, struct rpc_server **ret,
                   struct error *err) _must_check_;
/* Stops: every call is cancelled, every connection closed; waits for the handlers, whose calls all tell that
 * they are cancelled. Should one not return within deadline_ms + send_ms + 10 s, the server is left behind as
 * it is, and what `arg` and `methods` point to must stay. Not to be called by a handler, nor while
 * rpc_server_add runs. */
void rpc_server_free(struct rpc_server *s);
DEFINE_CLEANUP(struct rpc_server *, rpc_server_free);

/* Serves a connection: a connected stream socket, which becomes non-blocking. Takes the fd and the peer
 * (freed by free_peer once the connection and its calls are over), also after a failure. It costs two
 * descriptors. Any thread. */
int rpc_server_add(struct rpc_server *s, int fd, void *peer, struct error *err) _must_check_;

/* Sends one message of a stream (the caller keeps it); returns once it was handed to the connection.
 * ERR_CANCELED: the caller is gone, or the server stops. ERR_TIMEOUT: the caller does not read; the stream
 * was ended and the caller told. ERR_TOO_LARGE: over max_send. Only by the stream's handler. */
int rpc_sink_send(struct rpc_sink *s, const ProtobufCMessage *message, struct error *err) _must_check_;

#endif
