/* What the files of this room share. Everything that gRPC hands back comes through the completion queue's
 * one thread as a tag: a pointer to a struct tag, whose first member is the function to run. */
#ifndef RPC_INTERNAL_H
#define RPC_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>

#include <base/buf.h>
#include <rpc/rpc.h>

struct tag {
    void (*fn)(struct tag *t, bool ok);
    void *owner;
};

/* One call or stream that a channel has in flight, so that closing can cancel it and wait for its end. */
struct flight {
    struct flight *prev, *next;
    grpc_call *call; /* set while it may be cancelled; guarded by the channel's lock */
};

/* One address, with a gRPC channel of its own. gRPC's own list of several addresses would go on sending every
 * n-th call to a member that hangs, until its keep-alive finds out; here a member that has not answered is
 * left out at once. */
struct address {
    struct tag watch; /* armed all the time: tells every change of the connection */
    struct rpc_channel *owner;
    grpc_channel *channel;
    grpc_connectivity_state state;
    int64_t distrusted_until; /* clock_mono_ms; others are preferred until then */
};

struct rpc_channel {
    size_t max_message;
    bool tls, has_certificate;
    atomic_bool answered;          /* a server of ours has answered at least once */
    atomic_uint silent_handshakes; /* connections closed without a word before any answer */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a connection's state, or the last flight or watch has ended */
    struct flight *flights;
    unsigned watches;
    bool closing;
    size_t next; /* where to begin looking for the next call's address */
    size_t count;
    struct address addresses[];
};

/* --- runtime.c: gRPC itself, started by the first channel and stopped by the last --- */
int runtime_acquire(struct error *err) _must_check_;
void runtime_release(void);
grpc_completion_queue *runtime_queue(void); /* between acquire and release */
bool runtime_on_queue_thread(void);

/* --- channel.c --- */
/* The address for the next call: connected and trusted, if there is one, in turn. `which`: RPC_ANY or an
 * index. */
struct address *address_pick(struct rpc_channel *c, int which);
/* Waits until there is something better than "still connecting", or all have failed. */
void address_wait(struct rpc_channel *c, int64_t ms);
void address_note(struct address *a, int code);
int flight_begin(struct rpc_channel *c, struct flight *f, struct error *err) _must_check_;
void flight_set_call(struct rpc_channel *c, struct flight *f, grpc_call *call);
/* The flight's call must have been unref'd; *c may be gone when this returns. */
void flight_end(struct rpc_channel *c, struct flight *f);

/* --- target.c --- */
/* Whether it begins with "unix:". */
bool target_is_local(const char *address);
/* The same for such an address: ERR_INVALID where the path cannot be a socket's. */
int target_make_local(const char *address, struct buf *out, struct error *err) _must_check_;
/* The gRPC target of one address, appended to `out`. A name stays a name: it is resolved again after
 * failures. */
int target_make(const char *address, struct buf *out, struct error *err) _must_check_;
/* Splits "host:port" or "[v6]:port"; host without brackets. ERR_INVALID naming the address. */
int target_split(const char *address, char *host, size_t host_size, char *port, size_t port_size,
                 struct error *err) _must_check_;

/* --- pem.c --- */
/* ERR_INVALID unless `pem` holds a whole block whose label ends in `label` ("CERTIFICATE", "PRIVATE KEY").
 * gRPC reports a damaged one only when it connects, and then as if the server were away. */
int pem_check(const char *pem, const char *label, const char *what, struct error *err) _must_check_;

/* --- message.c --- */
int message_pack(const ProtobufCMessage *message, size_t max, grpc_byte_buffer **ret,
                 struct error *err) _must_check_;
int message_unpack(const ProtobufCMessageDescriptor *type, grpc_byte_buffer *bytes, ProtobufCMessage **ret,
                   struct error *err) _must_check_;

/* --- status.c --- */
struct status {
    grpc_status_code code;
    const char *text; /* may be NULL */
    int named;        /* the ERR_* that a server of ours gave it, or 0 */
};
#define STATUS_TRAILER "secrets-encrypt-error"
/* What such a server's call ends with for an ERR_*; which one the trailers name. */
grpc_status_code status_of_error(int code);
int status_named(const grpc_metadata_array *trailing);
/* What a finished call's status means; also notes on the channel whether a server answered. 0 for OK. */
int status_convert(struct rpc_channel *c, const struct status *s, int deadline_ms, struct error *err);
/* The same as a pure function; *ret_silent: the connection was closed without a reason. */
int status_explain(const struct status *s, int deadline_ms, bool *ret_silent, struct error *err);

/* --- unary.c --- */
int unary_call(struct rpc_channel *c, int which, const struct rpc_method *method,
               const ProtobufCMessage *request, int deadline_ms, ProtobufCMessage **ret_reply,
               struct error *err) _must_check_;
gpr_timespec deadline_after(int64_t ms);
/* now + ms on CLOCK_MONOTONIC, for pthread_cond_clockwait. */
struct timespec wait_until(int64_t ms);

#endif
