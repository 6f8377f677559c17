/* Leadership: one key, created under a lease by whoever finds it absent. The key's create revision is the
 * fence: every write of a leader compares it (etcd_txn_if_create), so a deposed one cannot write. */
#ifndef ETCD_ELECTION_H
#define ETCD_ELECTION_H

#include <etcd/etcd.h>
#include <etcd/lease.h>

/* Tries once: creates `key` with `value` under the lease if it is absent. 0: we lead, *ret_fence is the
 * key's create revision (also when the key is already there under this very lease: an earlier try whose
 * answer was lost). ERR_CONFLICT: somebody else leads. */
int etcd_election_try(struct etcd *e, const char *key, const char *value, int64_t lease, int deadline_ms,
                      int64_t *ret_fence, struct error *err) _must_check_;

/* Waits (watching the key) until it is absent, or timeout_ms passed: ERR_TIMEOUT. */
int etcd_election_wait(struct etcd *e, const char *key, int timeout_ms, struct error *err) _must_check_;

/* Gives the leadership up: deletes the key if it is still the one with this fence. */
int etcd_election_resign(struct etcd *e, const char *key, int64_t fence, int deadline_ms,
                         struct error *err) _must_check_;

#endif
