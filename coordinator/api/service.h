/* The calls of the API: who may make them, and what they answer. */
#ifndef COORDINATOR_API_SERVICE_H
#define COORDINATOR_API_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>

#include <report/key_table.h>
#include <rpc/server.h>

#include "feed.h"
#include "trail.h"
#include "who.h"

#define API_WORKERS         6
#define API_WRITERS_MAX     4    /* that wait for the leader's answer: the other workers go on serving */
#define API_ANSWER_MS       3000 /* until a call returns without one, to be made again */
#define API_STORE_MS        3000
#define API_WRITES_A_MINUTE 60

struct service {
    const struct config *config;
    struct store *store;
    struct etcd *datastore; /* NULL: not to be read */
    struct feed *feed;
    struct trail *trail;
    struct limits *limits;
    atomic_uint writers;
    pthread_mutex_t lock; /* what follows */
    int64_t keys_of;      /* the generation whose keys `keys` has; 0: none */
    struct key_table keys;
};

/* All borrowed; `datastore` may be NULL. Caller frees. */
int service_new(const struct config *config, struct store *store, struct etcd *datastore, struct feed *feed,
                struct service **ret, struct error *err) _must_check_;
/* Whoever waits for the feed is sent away; then the server can be freed, and then the service. */
void service_stop(struct service *s);
void service_free(struct service *s); /* NULL is safe */

/* A refusal of somebody's is logged, and put into the trail as often as that takes them; `more`: that it
 * stands for beside itself. */
void service_tell_refusal(struct service *s, const struct who *w, const char *call, const char *what,
                          const char *text, uint64_t more);

/* For rpc_server_options; `arg` is the service, a peer is a struct who. */
const struct rpc_server_method *service_methods(size_t *ret_count);

/* --- write.c --- */
/* Makes the request, waits for its answer. The caller's role was checked. */
int service_write(struct service *s, const struct rpc_incoming *c, enum api_call call,
                  const Secretsencrypt__V1__WriteRequest *m, const struct cluster_request *asked,
                  ProtobufCMessage **ret, struct error *err) _must_check_;
int service_withdraw(struct service *s, const struct rpc_incoming *c,
                     const Secretsencrypt__V1__WriteRequest *m, ProtobufCMessage **ret,
                     struct error *err) _must_check_;

/* --- read.c --- */
int service_status(struct service *s, const struct rpc_incoming *c, ProtobufCMessage **ret,
                   struct error *err) _must_check_;
int service_watch(struct service *s, const struct rpc_incoming *c, const Secretsencrypt__V1__WatchRequest *m,
                  struct error *err) _must_check_;
int service_json(struct service *s, const struct rpc_incoming *c, enum api_call call, ProtobufCMessage **ret,
                 struct error *err) _must_check_;
int service_audit(struct service *s, const Secretsencrypt__V1__AuditRequest *m, ProtobufCMessage **ret,
                  struct error *err) _must_check_;

/* Every answer is one piece of memory after the other, all hung on the message that comes first. */
struct reply {
    union {
        ProtobufCMessage base;
        Secretsencrypt__V1__StatusReply status;
        Secretsencrypt__V1__JsonReply json;
        Secretsencrypt__V1__AuditReply audit;
        Secretsencrypt__V1__WriteReply write;
    } message;                /* first: it is what is handed out */
    struct arena *memory;     /* that it lives in, with all texts */
    struct feed_state *state; /* that it points into; NULL: none */
    void *messages;           /* more memory of it; NULL: none */
};
/* NULL when memory is out. */
struct reply *reply_new(void);
char *reply_text(struct reply *r, const char *text); /* a copy; NULL when memory is out */
void reply_free(ProtobufCMessage *message);

#endif
