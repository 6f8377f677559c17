/* Publishing the report under a lease. Contract: the report's key is created when it is absent and replaced
 * while it is under our own lease; another agent's is never overwritten. */
#ifndef AGENT_PUBLISH_H
#define AGENT_PUBLISH_H

#include <base/buf.h>
#include <etcd/lease.h>

#include "remote.h"

struct publisher {
    struct remote *remote;
    struct etcd_lease *lease;
    bool ours;         /* our report stands in the state store, under our lease */
    struct buf last;   /* what it said, without its time */
    int64_t last_ms;   /* when it was written */
    int64_t retry_ms;  /* after a conflict */
    int64_t rival_mod; /* mod revision of the report in our way */
    bool rival_told, rest_told;
    struct log_dependency leases, reports; /* as the state store gives and takes them */
};

void publisher_init(struct publisher *p, struct remote *remote);

/* Publishes what is due: a changed report at once, an unchanged one every half lease. */
void publisher_tick(struct publisher *p, const struct agent *a, int64_t now_ms);

/* Writes another record of this server under the same lease, while our report stands under it: ERR_CONFLICT
 * where it does not. */
int publisher_put(struct publisher *p, enum cluster_key key, const struct buf *body,
                  struct error *err) _must_check_;

/* True while our report stands: orders given to this name are ours. */
bool publisher_ours(struct publisher *p);

/* Readable when the lease is lost; -1 without one. */
int publisher_fd(const struct publisher *p);

/* Revokes the lease, so that the report goes at once. */
void publisher_close(struct publisher *p);

#endif
