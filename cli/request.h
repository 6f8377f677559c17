/* A request to the coordinator: put into the state store, answered in the same key. */
#ifndef CLI_REQUEST_H
#define CLI_REQUEST_H

#include "session.h"

struct request {
    char id[CLUSTER_ID_MAX];
    int64_t lease, mod;
    struct cluster_request asked;  /* through the API: to be sent again until it is answered */
    struct cluster_request answer; /* filled in by request_await */
};

/* Fills in what `args` ask for, with an id of its own. */
int request_make(struct session *s, enum operation_kind kind, const struct args *args,
                 struct cluster_request *ret, struct error *err) _must_check_;
/* Signs and stores the request, under a lease of REQUEST_LEASE_S seconds. */
int request_put(struct session *s, const struct cluster_request *v, struct request *ret,
                struct error *err) _must_check_;
/* Both. Signs and stores the request, under a lease of REQUEST_LEASE_S seconds. */
int request_send(struct session *s, enum operation_kind kind, const struct args *args, struct request *ret,
                 struct error *err) _must_check_;

/* Waits for the answer (ACCEPTED, RESUMED or REFUSED in r->answer). Where none comes the request is taken
 * back: no coordinator leads for 15 s, or the one that leads says nothing for 60 s, ERR_UNAVAILABLE;
 * `deadline_mono_ms` (0: none), ERR_TIMEOUT; an interrupt, ERR_CANCELED. The text says whether it could be.
 */
int request_await(struct session *s, struct request *r, int64_t deadline_mono_ms,
                  struct error *err) _must_check_;

#endif
