/* Steps that answer somebody's request: each in one transaction with what it asked for. */
#include "act.h"

#include <inttypes.h>

#include <api/call.h>
#include <base/log.h>
#include <base/text.h>

struct reply {
    enum answer answer;
    const char *operation; /* that it became, or is about; of LOCK and UNLOCK the lock's id */
    const char *why;       /* REFUSED; so is cause */
    enum cluster_cause cause;
};

static int put_answer(struct coordinator *c, struct etcd_txn *t, const struct cluster_request *request,
                      const struct reply *reply, struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    struct cluster_request r = *request;
    int64_t lease = 0;
    r.answer = reply->answer;
    r.cause = reply->cause;
    text_copy(r.operation, sizeof(r.operation), reply->operation);
    text_copy(r.why, sizeof(r.why), reply->why ? reply->why : "");
    /* The answer outlives the CLI's own lease only as long as anybody may still look for it. */
    int rc = etcd_lease_grant(store_etcd(c->store), api_answer_ttl_s(&r), STORE_DEADLINE_MS, &lease, err);
    if (rc == 0)
        rc = cluster_request_encode(&r, &body, err);
    if (rc == 0)
        rc = store_txn_put(c->store, t, CLUSTER_KEY_REQUEST, r.id, &body, lease, err);
    return rc;
}

/* The request must still be the one that was read, and unanswered. */
static int answer(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t, size_t i,
                  const struct reply *reply, struct error *err)
{
    const struct cluster_request *request = &s->requests[i].request;
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(path, store_cluster(c->store), CLUSTER_KEY_REQUEST, request->id);
    etcd_txn_if_mod(t, path, s->requests[i].mod);
    int rc = put_answer(c, t, request, reply, err);
    return rc < 0 ? rc : act_audit_answer(c, s, t, request, reply->answer, reply->why, err);
}

int act_refuse(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    const struct cluster_request *request = &s->requests[d->request].request;
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    const struct reply no = {ANSWER_REFUSED, "", d->why, d->cause};
    int rc = answer(c, s, t, d->request, &no, err);
    if (rc == 0)
        rc = act_schedule_refused(c, s, t, request, d->why, err);
    if (rc == 0)
        rc = etcd_txn_commit(t, STORE_DEADLINE_MS, NULL, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "request refused", LOG_S("request", request->id),
                  LOG_S("kind", operation_kind_name(request->kind)), LOG_S("by", request->by),
                  LOG_S("why", d->why));
    return rc;
}

/* The lock is as it was when this was decided: its lease may have ended, or somebody else wrote it. */
static void require_lock(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t)
{
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(path, store_cluster(c->store), CLUSTER_KEY_LOCK, NULL);
    etcd_txn_if_mod(t, path, s->lock_mod);
}

static int begin(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                 struct etcd_txn *t, const struct cluster_rotation *r, struct error *err)
{
    int rc = answer(c, s, t, d->request, &(struct reply){ANSWER_ACCEPTED, r->op.id, NULL, CAUSE_NONE}, err);
    if (rc < 0)
        return rc;
    require_lock(c, s, t);
    act_delete(c, t, CLUSTER_KEY_REENCRYPT, NULL);
    act_delete(c, t, CLUSTER_KEY_PROOFS, NULL);
    rc = act_commit(c, s, t, r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "operation started", LOG_S("operation", r->op.id),
                  LOG_S("kind", operation_kind_name(r->op.kind)), LOG_S("by", r->op.requested_by),
                  LOG_S("phase", phase_name(r->op.phase)), LOG_S("aborts", r->op.aborts));
    return rc;
}

int act_start(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    struct cluster_rotation r = s->rotation;
    char id[CLUSTER_ID_MAX];
    int rc = crypto_uuid(id, err);
    if (rc < 0)
        return rc;
    rotation_start(s, d, id, &r);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    return begin(c, s, d, t, &r, err);
}

/* All but what a server is at work on: that comes to its end first. */
static bool not_in_flight(const struct snapshot_server *v)
{
    return !v->has_order || v->order.kind == ORDER_SYNC || rotation_order_is_over(v) ||
           rotation_resume_drops_order(v);
}

int act_abort(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    struct cluster_rotation r = s->rotation;
    char id[CLUSTER_ID_MAX];
    int rc = crypto_uuid(id, err);
    if (rc < 0)
        return rc;
    rotation_abort(s, d, id, &r);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    act_delete_orders(c, s, t, not_in_flight);
    return begin(c, s, d, t, &r, err);
}

/* The request's answer and what it changed of the operation, in one. */
static int change(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                  const struct cluster_rotation *r, struct error *err)
{
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    int rc = answer(c, s, t, d->request, &(struct reply){ANSWER_ACCEPTED, r->op.id, NULL, CAUSE_NONE}, err);
    return rc < 0 ? rc : act_commit(c, s, t, r, err);
}

int act_throttle(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                 struct error *err)
{
    struct cluster_rotation r = s->rotation;
    rotation_throttle(s, d, &r);
    int rc = change(c, s, d, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "rate changed", LOG_S("operation", r.op.id),
                  LOG_S("by", s->requests[d->request].request.by), LOG_I("max_rate", r.op.max_rate));
    return rc;
}

int act_pause(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    struct cluster_rotation r = s->rotation;
    rotation_pause(s, d, &r);
    int rc = change(c, s, d, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "operation paused", LOG_S("operation", r.op.id),
                  LOG_S("by", s->requests[d->request].request.by), LOG_S("phase", phase_name(r.op.phase)));
    return rc;
}

int act_resume(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    struct cluster_rotation r = s->rotation;
    rotation_resume(s, d, &r);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    int rc = answer(c, s, t, d->request, &(struct reply){ANSWER_RESUMED, r.op.id, NULL, CAUSE_NONE}, err);
    if (rc < 0)
        return rc;
    require_lock(c, s, t);
    act_delete_orders(c, s, t, rotation_resume_drops_order);
    rc = act_commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "operation resumed", LOG_S("operation", r.op.id),
                  LOG_I("attempt", r.op.attempt), LOG_S("phase", phase_name(r.op.phase)));
    return rc;
}

int act_repair(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    bool asked = d->request != SIZE_MAX;
    const char *by = asked ? s->requests[d->request].request.id : POLICY;
    struct cluster_rotation r = s->rotation;
    struct cluster_order o;
    rotation_repair(s, d, c->fence, by, &r, &o);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    int rc =
        asked ? answer(c, s, t, d->request, &(struct reply){ANSWER_ACCEPTED, by, NULL, CAUSE_NONE}, err) : 0;
    if (rc == 0)
        rc = act_put_order(c, s, t, d->server, &o, err);
    if (rc == 0)
        rc = act_commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "repair ordered", LOG_S("server", s->servers[d->server].name),
                  LOG_I("order", o.id), LOG_I("generation", o.generation),
                  LOG_S("by", asked ? s->requests[d->request].request.by : by));
    return rc;
}

/* ---------- the lock ---------- */

static int put_lock(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                    const struct cluster_request *request, struct error *err)
{
    struct cluster_lock l = {.since_ms = s->now_ms, .ttl_s = request->ttl_s};
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    text_copy(l.id, sizeof(l.id), request->id);
    text_copy(l.lease, sizeof(l.lease), request->lease);
    text_copy(l.holder, sizeof(l.holder), request->by);
    text_copy(l.reason, sizeof(l.reason), request->reason);
    int rc = cluster_lock_encode(&l, &body, err);
    return rc < 0
               ? rc
               : store_txn_put(c->store, t, CLUSTER_KEY_LOCK, NULL, &body, cluster_lease_parse(l.lease), err);
}

/* Whoever asked is gone meanwhile, and its lease with it. */
static int refuse_leaseless(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                            struct error *err)
{
    struct decision no = *d;
    no.cause = CAUSE_GATE;
    text_copy(no.why, sizeof(no.why), "the lease that the lock was to have has ended: ask again");
    return act_refuse(c, s, &no, err);
}

int act_lock(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    const struct cluster_request *request = &s->requests[d->request].request;
    const struct reply yes = {ANSWER_ACCEPTED, request->id, NULL, CAUSE_NONE};
    struct error why = ERROR_INIT;
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    require_lock(c, s, t); /* none: the row says so */
    int rc = answer(c, s, t, d->request, &yes, &why);
    if (rc == 0)
        rc = put_lock(c, s, t, request, &why);
    if (rc == 0)
        rc = etcd_txn_commit(t, STORE_DEADLINE_MS, NULL, &why);
    if (rc == ERR_NOT_FOUND)
        return refuse_leaseless(c, s, d, err);
    if (rc < 0) {
        if (err)
            *err = why;
        return rc;
    }
    log_event(LOG_LEVEL_NOTICE, "lock taken", LOG_S("lock", request->id), LOG_S("by", request->by),
              LOG_I("ttl_s", request->ttl_s), LOG_S("reason", request->reason));
    return 0;
}

int act_unlock(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    const struct cluster_request *request = &s->requests[d->request].request;
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    require_lock(c, s, t);
    act_delete(c, t, CLUSTER_KEY_LOCK, NULL);
    int rc = answer(c, s, t, d->request, &(struct reply){ANSWER_ACCEPTED, s->lock.id, NULL, CAUSE_NONE}, err);
    if (rc == 0)
        rc = etcd_txn_commit(t, STORE_DEADLINE_MS, NULL, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "lock given back", LOG_S("lock", s->lock.id),
                  LOG_S("holder", s->lock.holder), LOG_S("by", request->by));
    return rc;
}
