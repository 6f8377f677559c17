/* What the files of the server's side share (server.c, connection.c, incoming.c, sink.c, pool.c). */
#ifndef RPC_SERVE_H
#define RPC_SERVE_H

#include <rpc/server.h>

#include "internal.h"

#define FOREVER INT64_MAX

/* --- pool.c: threads that are started when they are first needed, and stay --- */
struct job {
    struct job *next;
    void (*run)(struct job *j);
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t given;
    struct job *first, **last;
    size_t waiting;
    unsigned idle, count, max;
    bool stopping;
    pthread_t *threads;
};

int pool_init(struct pool *p, unsigned max, struct error *err) _must_check_;
/* The job runs as soon as a thread is free. False when there is no thread and none can be started. */
bool pool_give(struct pool *p, struct job *j);
/* Waits for the threads; nothing is given any more. Safe after a failed pool_init. */
void pool_stop(struct pool *p);
/* A joinable thread with every signal blocked: signals belong to the program. */
int thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg, struct error *err) _must_check_;

/* One connection has a gRPC server of its own, so that a call's peer is known by what it came from, and its
 * end is told by gRPC itself. (One server for all leaves only grpc_call_get_peer's "fd:N", and N comes
 * again.) */
struct connection {
    struct tag request_tag, over_tag;
    struct connection *prev, *next;
    struct rpc_server *owner;
    grpc_server *grpc;
    void *peer;
    int watched;      /* the same socket once more, to see its end; the watcher's */
    bool ending;      /* guarded by the owner's lock */
    atomic_uint refs; /* gRPC's two tags, and one for each call */
    grpc_call *call;  /* the next one, as gRPC fills it in */
    grpc_call_details details;
    grpc_metadata_array metadata;
};

/* One call. Batches and the handler hold it; the last of them ends it. */
struct rpc_sink {
    struct job job;
    struct tag read_tag, closed_tag, sent_tag, end_tag;
    struct rpc_sink *prev, *next;
    struct connection *connection;
    const struct rpc_server_method *method;
    const char *peer_key;
    grpc_call *call;
    atomic_uint refs;
    atomic_bool gone;    /* the caller left, or the call was cancelled */
    int gone_value;      /* gRPC's */
    bool answering;      /* only its answer has yet to be taken; guarded by the server's lock */
    bool counted;        /* among the server's calls or streams */
    int64_t deadline_ms; /* the handler's */
    int64_t ends_ms;     /* when the watcher cancels it; guarded by the server's lock */
    grpc_byte_buffer *in, *out;
    /* sending */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool sending, send_ok, started;
    grpc_slice details;
    grpc_metadata trailer;
};

struct rpc_server {
    struct rpc_server_options options;
    struct pool workers, streamers;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a connection has ended */
    struct connection *connections;
    struct rpc_sink *calls;
    unsigned calls_count, streams_count;
    unsigned connections_count; /* also those that are off the list, but not yet gone */
    bool stopping;
    int epoll, wake;
    int64_t wakes_ms; /* until when the watcher sleeps */
    bool watching;
    pthread_t watcher;
};

/* --- connection.c --- */
/* Takes fd and peer in any case. */
int connection_start(struct rpc_server *s, int fd, void *peer, struct error *err) _must_check_;
/* No more calls; cancels those that run and closes the socket. The owner's lock is held. Only by the watcher,
 * or when it does not run, or does not know the connection. */
void connection_end_locked(struct connection *c);
/* For a call whose answer was not taken in time: ends its connection when the peer reads nothing at all. */
void connection_cut_stalled_locked(struct connection *c);
void connection_unref(struct connection *c);

/* --- watcher.c: one thread sees connections end and deadlines pass --- */
int watcher_start(struct rpc_server *s, struct error *err) _must_check_;
void watcher_stop(struct rpc_server *s); /* before connections are ended by another thread */
void watcher_close(struct rpc_server *s);
int watcher_add(struct rpc_server *s, struct connection *c, struct error *err) _must_check_;
/* The call is to be cancelled at this time (FOREVER: never). */
void watcher_set(struct rpc_sink *call, int64_t ends_ms);
void watcher_set_answering(struct rpc_sink *call, int64_t ends_ms);

/* --- incoming.c --- */
/* A call has come: takes c->call. Runs on the queue's thread. */
void incoming_begin(struct connection *c);
void incoming_cancel(struct rpc_sink *call, grpc_status_code code, const char *text);
void incoming_unref(struct rpc_sink *call);
/* Starts a batch that holds the call until its tag is back. */
bool incoming_batch(struct rpc_sink *call, const grpc_op *ops, size_t count, struct tag *tag);
/* False once the call is of no use to anybody. */
bool incoming_alive(const struct rpc_sink *call);

/* --- sink.c --- */
void sink_on_sent(struct tag *t, bool ok);

#endif
