/* What the files of this room share: the client, the table of calls, and what is handy around messages. */
#ifndef ETCD_INTERNAL_H
#define ETCD_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include <etcd_rpc.pb-c.h>

#include <base/buf.h>
#include <base/secret.h>
#include <etcd/etcd.h>
#include <etcd/maintenance.h>
#include <etcd/watch.h>
#include <rpc/rpc.h>

#define PEM_MAX (1u << 20)
#define MESSAGE_MAX                                                                                          \
    (32u << 20) /* the largest answer taken; etcd_list asks again for half the keys past it                  \
                 */

/* --- endpoint.c --- */
enum scheme { SCHEME_NONE, SCHEME_PLAIN, SCHEME_TLS };
struct endpoint {
    enum scheme scheme;
    char address[300]; /* host:port, as rpc takes it */
    char url[320];     /* with the scheme in use, for error texts */
};
int endpoint_parse(const char *text, struct endpoint *ret, struct error *err) _must_check_;

/* --- identity.c --- */
struct identity {
    _Atomic uint64_t cluster; /* id of the etcd cluster that we talk to; 0: nobody has said it yet */
    atomic_bool doubtful;     /* something else has answered since: all are asked before the next call */
    pthread_mutex_t lock;     /* of what follows */
    pthread_cond_t asked;
    bool asking;        /* a thread asks all of them */
    int64_t asked_at;   /* clock_mono_ms; 0: never */
    struct error found; /* what was wrong then */
};
void identity_init(struct identity *id);
void identity_free(struct identity *id);
/* Before a call: at the first one of several endpoints, and in doubt, they are asked (within 1 s, and until
 * `until`, clock_mono_ms). ERR_UNAVAILABLE: they are of two clusters, or no longer of the one that is known.
 */
int identity_before(struct etcd *e, int64_t until, struct error *err) _must_check_;
/* The same of an answer. */
int identity_check(struct etcd *e, const ProtobufCMessage *reply, int64_t until,
                   struct error *err) _must_check_;
/* Without waiting: true, and an error, for an answer of another cluster than the known one. */
bool identity_is_other(struct etcd *e, const ProtobufCMessage *reply, struct error *err);

/* --- client.c --- */
struct etcd {
    struct rpc_channel *channel;
    char *name; /* the endpoints, as one text */
    struct endpoint endpoints[ETCD_ENDPOINT_MAX];
    size_t count;
    bool tls;
    char *ca_file, *cert_file, *key_file, *server_name; /* for client_open_one */
    atomic_size_t snapshot_next;                        /* the endpoint that the next snapshot tries first */
    struct identity identity;
};
/* A client of one of e's endpoints over a connection of its own, for answers of up to max_message bytes. */
int client_open_one(const struct etcd *e, size_t endpoint, size_t max_message, struct etcd **ret,
                    struct error *err) _must_check_;
/* A thread with all signals blocked: they belong to the program. */
int etcd_thread_start(pthread_t *thread, void *(*run)(void *), void *arg, struct error *err) _must_check_;

/* --- method.c --- */
enum method {
    METHOD_RANGE,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_TXN,
    METHOD_COMPACT,
    METHOD_LEASE_GRANT,
    METHOD_LEASE_REVOKE,
    METHOD_LEASE_KEEP_ALIVE,
    METHOD_LEASE_TTL,
    METHOD_WATCH,
    METHOD_MEMBER_LIST,
    METHOD_STATUS,
    METHOD_ALARM,
    METHOD_DEFRAGMENT,
    METHOD_SNAPSHOT,
};
const struct rpc_method *method_rpc(enum method m);

/* One call; reads are repeated within the deadline, writes never. The error gets the client's name in front
 * and "(what key)" behind; key may be NULL. */
int etcd_call(struct etcd *e, enum method m, const void *request, int deadline_ms, const char *what,
              const char *key, void *ret_reply, struct error *err) _must_check_;
/* The same of one endpoint, for calls that are repeated. */
int etcd_call_at(struct etcd *e, int which, enum method m, const void *request, int deadline_ms,
                 const char *what, const char *key, void *ret_reply, struct error *err) _must_check_;
/* When a call began, for observe_end; 0 when nobody is told. */
int64_t observe_begin(void);
void observe_end(enum method m, int code, int64_t begun_us);
/* Wraps an error that came from rpc in the same way; returns code. */
int etcd_fail(const char *name, int code, struct error *err, const char *what, const char *key);

/* An error of a local variable, handed out: *err stays untouched when a later attempt succeeds. */
static inline int pass_on(struct error *err, const struct error *from)
{
    if (err)
        *err = *from;
    return from->code;
}

static inline void reply_freep(void *p)
{
    ProtobufCMessage **m = p;
    rpc_message_free(*m);
}
#define _reply_ _cleanup_(reply_freep)

static inline ProtobufCBinaryData bytes_of(const void *data, size_t len)
{
    return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)data};
}

static inline int64_t revision_of(const Etcdserverpb__ResponseHeader *h)
{
    return h ? h->revision : 0;
}

/* Only what is no etcd says that it is at the last one there can be. */
static inline int64_t revision_after(int64_t revision)
{
    return revision < INT64_MAX ? revision + 1 : INT64_MAX;
}

/* --- range.c --- */
int key_check(const struct etcd *e, const char *key, struct error *err) _must_check_;
/* The end of the range of all keys that start with `prefix`, in `out` (as long as prefix, at least 1).
 * Returns its length. An empty prefix gives "\0": everything. */
size_t prefix_end(const char *prefix, size_t len, char *out);
int kv_copy(const Mvccpb__KeyValue *from, struct etcd_kv *ret) _must_check_;
void kv_free(struct etcd_kv *kv);

/* --- watch_queue.c: what a watch has received and nobody has taken yet --- */
#define QUEUE_EVENTS 4096
#define QUEUE_BYTES  (16u << 20)
struct queued_event {
    struct queued_event *next;
    struct etcd_event event;
};
struct watch_queue {
    struct queued_event *first, **last;
    size_t count, bytes;
    bool resync;      /* to be told before anything that is queued */
    int64_t resynced; /* events up to this revision are covered by a RESYNC */
};
void queue_init(struct watch_queue *q);
void queue_clear(struct watch_queue *q);
bool queue_empty(const struct watch_queue *q);
/* Drops what is queued: the owner has to read everything again, at `revision` or later. */
void queue_resync(struct watch_queue *q, int64_t revision);
/* Takes *ev over. Over the limits, or out of memory, everything is dropped for a RESYNC. */
void queue_push(struct watch_queue *q, struct etcd_event *ev);
/* False when empty. */
bool queue_pop(struct watch_queue *q, struct etcd_event *ret);

/* --- watch.c --- */
/* etcd_watch_new for any range; an empty end means the one key. */
int watch_open(struct etcd *e, const char *key, size_t key_len, const char *end, size_t end_len,
               int64_t revision, struct etcd_watch **ret, struct error *err) _must_check_;

/* --- snapshot_check.c --- */
struct sha256_stream; /* crypto/crypto.h */

/* A snapshot's bytes in pieces of any size. */
struct snapshot_digest {
    struct sha256_stream *content; /* of all but the last 32 bytes */
    uint64_t size;
    uint8_t tail[ETCD_SNAPSHOT_SHA];
    size_t tail_len;
};
/* Caller ends it with digest_clear. */
int digest_begin(struct snapshot_digest *d, struct error *err) _must_check_;
int digest_add(struct snapshot_digest *d, const void *data, size_t len, struct error *err) _must_check_;
/* ERR_INVALID unless the last 32 bytes are the SHA-256 of the others; `hex` is that of all. Once: nothing is
 * to be added or asked after it. */
int digest_end(struct snapshot_digest *d, char hex[ETCD_SHA256_HEX], struct error *err) _must_check_;
void digest_clear(struct snapshot_digest *d); /* a zeroed one too */

/* The stream's answers: each says how many bytes are to come, and that has to add up. */
struct snapshot_intake {
    struct snapshot_digest digest;
    uint64_t content;   /* bytes in all, without the SHA-256 */
    uint64_t remaining; /* of them */
    bool begun, content_done;
};
/* Caller ends it with intake_clear. */
int intake_begin(struct snapshot_intake *in, struct error *err) _must_check_;
void intake_clear(struct snapshot_intake *in); /* a zeroed one too */
/* ERR_INVALID: no snapshot's stream goes on like that. */
int intake_add(struct snapshot_intake *in, uint64_t remaining, const void *data, size_t len,
               struct error *err) _must_check_;
/* All that was announced is there, and a SHA-256. */
bool intake_complete(const struct snapshot_intake *in);

/* --- waiting, on the monotonic clock --- */
static inline void cond_wait_ms(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t ms)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    int64_t ns = ts.tv_nsec + (ms > 0 ? ms % 1000 : 0) * 1000000;
    ts.tv_sec += (ms > 0 ? ms / 1000 : 0) + ns / 1000000000;
    ts.tv_nsec = ns % 1000000000;
    pthread_cond_clockwait(cond, lock, CLOCK_MONOTONIC, &ts);
}

#endif
