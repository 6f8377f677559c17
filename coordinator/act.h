/* Between the files that take decided steps. Every write is a transaction that compares the create revision
 * of our leader key and the mod revision of the rotation record that was read: a deposed coordinator writes
 * nothing, and every step can be repeated. */
#ifndef COORDINATOR_ACT_H
#define COORDINATOR_ACT_H

#include "coordinator.h"

#include <rotation/transition.h>

typedef int act_fn(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                   struct error *err);

/* --- act.c --- */
struct etcd_txn *act_fenced(struct coordinator *c, const struct cluster_snapshot *s);
/* Puts the rotation record and commits; the snapshot then holds what was written. */
int act_commit(struct coordinator *c, struct cluster_snapshot *s, struct etcd_txn *t,
               const struct cluster_rotation *r, struct error *err);
void act_delete(struct coordinator *c, struct etcd_txn *t, enum cluster_key key, const char *name);
/* Deletes the orders for which `over` holds. */
void act_delete_orders(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                       bool (*over)(const struct snapshot_server *v));
int act_put_order(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t, size_t server,
                  const struct cluster_order *o, struct error *err);
act_fn act_halt;

/* --- act_request.c --- */
act_fn act_refuse, act_start, act_resume, act_pause, act_abort, act_throttle, act_repair;

/* --- act_job.c --- */
act_fn act_prove, act_watch, act_rewrite, act_rewrite_again, act_stop_job;
int act_put_proof(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                  const struct cluster_proof *proof, struct error *err);

/* --- act_issue.c --- */
act_fn act_issue, act_next_phase, act_bring_back, act_prune;
int act_put_keys(struct coordinator *c, struct etcd_txn *t, const struct cluster_keys *keys,
                 struct error *err);

#endif
