#include "act.h"

#include <inttypes.h>

#include <base/clock.h>
#include <base/log.h>
#include <base/text.h>

/* ---------- fenced transactions ---------- */

struct etcd_txn *act_fenced(struct coordinator *c, const struct cluster_snapshot *s)
{
    char path[CLUSTER_KEY_PATH_MAX];
    struct etcd_txn *t = etcd_txn_new(store_etcd(c->store));
    cluster_key_path(path, store_cluster(c->store), CLUSTER_KEY_LEADER, NULL);
    etcd_txn_if_create(t, path, c->fence);
    cluster_key_path(path, store_cluster(c->store), CLUSTER_KEY_ROTATION, NULL);
    etcd_txn_if_mod(t, path, s->rotation_mod);
    return t;
}

void act_delete(struct coordinator *c, struct etcd_txn *t, enum cluster_key key, const char *name)
{
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(path, store_cluster(c->store), key, name);
    etcd_txn_delete(t, path);
}

int act_commit(struct coordinator *c, struct cluster_snapshot *s, struct etcd_txn *t,
               const struct cluster_rotation *r, struct error *err)
{
    int64_t revision = 0;
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    int rc = cluster_rotation_encode(r, &body, err);
    if (rc == 0)
        rc = store_txn_put(c->store, t, CLUSTER_KEY_ROTATION, NULL, &body, 0, err);
    if (rc == 0)
        rc = act_audit_change(c, s, t, r, err);
    if (rc == 0)
        rc = etcd_txn_commit(t, STORE_DEADLINE_MS, &revision, err);
    if (rc < 0)
        return rc;
    s->rotation = *r;
    s->has_rotation = true;
    s->rotation_mod = revision;
    return 0;
}

void act_delete_orders(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                       bool (*over)(const struct snapshot_server *v))
{
    for (size_t i = 0; i < s->servers_count; i++)
        if (s->servers[i].order_mod > 0 && over(&s->servers[i]))
            act_delete(c, t, CLUSTER_KEY_ORDER, s->servers[i].name);
}

int act_put_order(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t, size_t server,
                  const struct cluster_order *o, struct error *err)
{
    const struct snapshot_server *v = &s->servers[server];
    char path[CLUSTER_KEY_PATH_MAX];
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    cluster_key_path(path, store_cluster(c->store), CLUSTER_KEY_ORDER, v->name);
    etcd_txn_if_mod(t, path, v->order_mod);
    for (size_t i = 0; i < s->servers_count; i++)
        if (i != server && s->servers[i].order_mod > 0 && rotation_order_is_over(&s->servers[i]))
            act_delete(c, t, CLUSTER_KEY_ORDER, s->servers[i].name);
    int rc = cluster_order_encode(o, &body, err);
    return rc < 0 ? rc : store_txn_put(c->store, t, CLUSTER_KEY_ORDER, v->name, &body, 0, err);
}

/* ---------- steps without a file of their own ---------- */

static int act_publish_spec(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                            struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    cluster_key_path(path, store_cluster(c->store), CLUSTER_KEY_SPEC, NULL);
    etcd_txn_if_mod(t, path, s->spec_mod);
    int rc = cluster_spec_encode(&c->spec, &body, err);
    if (rc == 0)
        rc = store_txn_put(c->store, t, CLUSTER_KEY_SPEC, NULL, &body, 0, err);
    if (rc == 0)
        rc = etcd_txn_commit(t, STORE_DEADLINE_MS, NULL, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "servers' list published", LOG_I("servers", c->spec.servers_count),
                  LOG_S("why", d->why));
    return rc;
}

int act_halt(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    struct cluster_rotation r = s->rotation;
    rotation_halt(s, d, &r);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    act_delete_orders(c, s, t, rotation_order_is_over);
    int rc = act_commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_ERROR, "operation halted", LOG_S("operation", r.op.id),
                  LOG_S("phase", phase_name(r.op.phase)), LOG_S("row", d->row), LOG_S("why", d->why));
    return rc;
}

static int act_adopt(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                     struct error *err)
{
    struct cluster_rotation r = s->rotation;
    char id[CLUSTER_ID_MAX];
    int rc = crypto_uuid(id, err);
    if (rc < 0)
        return rc;
    rotation_adopt(s, d, id, &r);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    rc = act_commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "adopting the present encryption config", LOG_S("operation", id));
    return rc;
}

static int act_order(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                     struct error *err)
{
    struct cluster_rotation r = s->rotation;
    struct cluster_order o;
    rotation_order(s, d, c->fence, &r, &o);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    int rc = act_put_order(c, s, t, d->server, &o, err);
    if (rc == 0)
        rc = act_commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "order given", LOG_S("operation", r.op.id),
                  LOG_S("server", s->servers[d->server].name), LOG_I("order", o.id),
                  LOG_S("kind", order_kind_name(o.kind)), LOG_I("generation", o.generation));
    return rc;
}

/* ---------- dispatch ---------- */

int act_note(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    struct cluster_rotation r = s->rotation;
    if (!rotation_note(s, d, &r))
        return 0;
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    return act_commit(c, s, t, &r, err);
}

int act_apis(struct coordinator *c, struct cluster_snapshot *s, const char *unknown, struct error *err)
{
    struct cluster_apis apis = {.time_ms = s->now_ms};
    if (strcmp(s->unknown_api, unknown) == 0)
        return 0;
    text_copy(apis.unknown, sizeof(apis.unknown), unknown);
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    int rc = cluster_apis_encode(&apis, &body, err);
    if (rc == 0)
        rc = store_txn_put(c->store, t, CLUSTER_KEY_APIS, NULL, &body, 0, err);
    if (rc == 0)
        rc = etcd_txn_commit(t, STORE_DEADLINE_MS, NULL, err);
    if (rc < 0)
        return rc;
    text_copy(s->unknown_api, sizeof(s->unknown_api), unknown);
    log_event(*unknown ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE,
              *unknown ? "unknown API server" : "no unknown API server any more", LOG_S("why", unknown));
    return 0;
}

static const struct {
    enum action action;
    act_fn *act;
} acts[] = {
    {ACTION_PUBLISH_SPEC, act_publish_spec},
    {ACTION_ADOPT, act_adopt},
    {ACTION_REFUSE, act_refuse},
    {ACTION_START, act_start},
    {ACTION_RESUME, act_resume},
    {ACTION_PAUSE, act_pause},
    {ACTION_ABORT, act_abort},
    {ACTION_THROTTLE, act_throttle},
    {ACTION_REPAIR, act_repair},
    {ACTION_ISSUE, act_issue},
    {ACTION_ORDER, act_order},
    {ACTION_NEXT_PHASE, act_next_phase},
    {ACTION_REWRITE, act_rewrite},
    {ACTION_PROVE, act_prove},
    {ACTION_WATCH, act_watch},
    {ACTION_STOP_JOB, act_stop_job},
    {ACTION_REWRITE_AGAIN, act_rewrite_again},
    {ACTION_BRING_BACK, act_bring_back},
    {ACTION_PRUNE, act_prune},
    {ACTION_LOCK, act_lock},
    {ACTION_UNLOCK, act_unlock},
    {ACTION_HALT, act_halt},
};

int act(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    for (size_t i = 0; i < array_len(acts); i++)
        if (acts[i].action == d->action)
            return acts[i].act(c, s, d, err);
    return error_set(err, ERR_INTERNAL, "no way to %s", action_name(d->action));
}
