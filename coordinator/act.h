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
act_fn act_refuse, act_start, act_resume, act_pause, act_abort, act_throttle, act_repair, act_lock,
    act_unlock;

/* --- act_schedule.c --- */
/* Writes the record; the snapshot then has it. */
int act_put_schedule(struct coordinator *c, struct cluster_snapshot *s, const struct cluster_schedule *record,
                     struct error *err);
/* The request was the schedule's own: its record says why it was refused. */
int act_schedule_refused(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                         const struct cluster_request *request, const char *why, struct error *err);

/* --- act_audit.c: the audit trail's entries, in the transaction with what they tell of --- */
/* What changes of the operation: started, its phase, halted, finished, aborted. */
int act_audit_change(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                     const struct cluster_rotation *r, struct error *err);
/* A request's answer. One with a role came by the API, which tells of it itself and knows from where. */
int act_audit_answer(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                     const struct cluster_request *request, enum answer answer, const char *why,
                     struct error *err);
/* A server's file was changed by somebody ("noticed"), or is right again ("gone"). */
int act_audit_drift(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                    const char *server, const char *result, const char *what, struct error *err);
/* Removes old entries, now and then. Troubles are logged: nothing waits for it. */
void act_audit_prune(struct coordinator *c, const struct cluster_snapshot *s);

/* --- act_job.c --- */
act_fn act_prove, act_watch, act_rewrite, act_rewrite_again, act_stop_job;
int act_put_proof(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                  const struct cluster_proof *proof, struct error *err);

/* --- act_issue.c --- */
act_fn act_issue, act_next_phase, act_bring_back, act_prune;
int act_put_keys(struct coordinator *c, struct etcd_txn *t, const struct cluster_keys *keys,
                 struct error *err);

#endif
