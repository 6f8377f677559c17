/* A lease that is kept alive by a thread of its own, whatever the owner is busy with. */
#ifndef ETCD_LEASE_H
#define ETCD_LEASE_H

#include <etcd/etcd.h>

struct etcd_lease;

/* Grants a lease of ttl_s seconds (5 to 3600) and keeps it alive at a third of that. */
int etcd_lease_new(struct etcd *e, int64_t ttl_s, int deadline_ms, struct etcd_lease **ret,
                   struct error *err) _must_check_;

int64_t etcd_lease_id(const struct etcd_lease *l);

/* False for good once the lease is known to be gone, or when no keep-alive has been answered for ttl_s
 * seconds counted from the SENDING of the last answered one (so that we stop before etcd does). */
bool etcd_lease_alive(struct etcd_lease *l);

/* Milliseconds, by our own monotonic clock, that the lease is still certain to live; 0 when not alive. */
int64_t etcd_lease_remaining_ms(struct etcd_lease *l);

/* A descriptor that becomes readable when the lease is lost (for poll). Owned by the lease. */
int etcd_lease_fd(const struct etcd_lease *l);

/* Stops the thread; revoke: also revokes the lease (best effort, 1 s), so that its keys go at once. */
void etcd_lease_free(struct etcd_lease *l, bool revoke);

/* A plain grant without keep-alive (keys that shall vanish by themselves), for 1 s to 7 days. */
int etcd_lease_grant(struct etcd *e, int64_t ttl_s, int deadline_ms, int64_t *ret_id,
                     struct error *err) _must_check_;
int etcd_lease_revoke(struct etcd *e, int64_t id, int deadline_ms, struct error *err) _must_check_;

#endif
