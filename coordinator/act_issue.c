/* Steps that bring a new config: made, settled, brought back; and retired keys whose time is over. */
#include "act.h"

#include <inttypes.h>

#include <base/log.h>
#include <base/text.h>

#define PRUNE_MAX 50 /* keys a transaction */

int act_put_keys(struct coordinator *c, struct etcd_txn *t, const struct cluster_keys *keys,
                 struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    int rc = cluster_keys_encode(keys, &body, err);
    return rc < 0 ? rc : store_txn_put(c->store, t, CLUSTER_KEY_KEYS, NULL, &body, 0, err);
}

/* A config that cannot be made will not come right by itself: the operation halts with the reason. */
static int issue_failed(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, int rc,
                        struct error *err)
{
    if (error_is_transient(rc) && rc != ERR_CONFLICT)
        return rc;
    struct decision halt = *d;
    text_copy(halt.why, sizeof(halt.why), err->text);
    return act_halt(c, s, &halt, err);
}

/* The bundle, the keys that leave with it and what is known of all keys: with the record, or not at all. (A
 * config that the servers make has no bundle yet.) */
static int put_issued(struct coordinator *c, struct etcd_txn *t, const struct issued *i, struct error *err)
{
    bool made = i->bundle.generation > 0;
    int rc = made ? store_txn_bundle(c->store, t, &i->bundle, err) : 0;
    if (rc == 0 && made)
        rc = act_put_keys(c, t, &i->keys, err);
    for (size_t k = 0; rc == 0 && k < i->escrow_count; k++)
        rc = store_txn_escrow(c->store, t, &i->escrow[k], err);
    return rc;
}

static int issue(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                 struct issued *made, struct error *err)
{
    struct cluster_rotation r = s->rotation;
    int64_t target = r.issued + 1;
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    int rc = 0;
    struct error why = ERROR_INIT;
    if (!rotation_made_by_servers(s, r.op.phase))
        rc = issue_bundle(c, s, target, &r, made, &why);
    else if (rotation_phase_drops(r.op.phase))
        rc = issue_leaving(c, s, made, &why);
    if (rc < 0) {
        if (err)
            *err = why;
        return issue_failed(c, s, d, rc, &why);
    }
    rc = put_issued(c, t, made, err);
    rotation_issued(d, target, made->bundle.hash, &r);
    if (rc == 0)
        rc = act_commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "generation issued", LOG_S("operation", r.op.id),
                  LOG_I("generation", target), LOG_S("phase", phase_name(r.op.phase)),
                  LOG_S("hash", made->bundle.hash), LOG_S("write_key", r.write_key),
                  LOG_S("new_key", r.new_key), LOG_I("into_escrow", made->escrow_count));
    return rc;
}

int act_issue(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    _cleanup_free_ struct issued *made = calloc(1, sizeof(*made));
    if (!made)
        return error_no_memory(err);
    int rc = issue(c, s, d, made, err);
    issued_free(made);
    return rc;
}

static bool any_order(const struct snapshot_server *v)
{
    (void)v;
    return true;
}

int act_next_phase(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                   struct error *err)
{
    enum phase completed = s->rotation.op.phase;
    struct cluster_rotation r = s->rotation;
    struct cluster_keys keys;
    if (!rotation_settle(s, &r))
        return error_set(err, ERR_INTERNAL, "generation %" PRId64 " is gone from the state store",
                         r.op.target);
    bool learns = rotation_made_by_servers(s, completed);
    int rc = learns ? issue_learn(c, s, r.generation, &r, &keys, err) : 0;
    if (rc < 0)
        return rc;
    rotation_advance(s, d, &r);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    if (rotation_phase_is_config(completed))
        act_delete_orders(c, s, t, any_order);
    if (learns)
        rc = act_put_keys(c, t, &keys, err);
    if (rc == 0)
        rc = act_commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, r.op.phase == PHASE_DONE ? "operation finished" : "phase complete",
                  LOG_S("operation", r.op.id), LOG_S("completed", phase_name(completed)),
                  LOG_S("next", phase_name(r.op.phase)), LOG_S("stage", stage_name(r.stage)),
                  LOG_I("generation", r.generation), LOG_S("why", d->why));
    return rc;
}

int act_bring_back(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                   struct error *err)
{
    struct cluster_rotation r = s->rotation;
    rotation_bring_back(s, d, &r);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    act_delete_orders(c, s, t, any_order); /* none is in flight: the row says so */
    int rc = act_commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_ERROR, "bringing a key back", LOG_S("operation", r.op.id),
                  LOG_I("from_generation", r.op.from), LOG_S("why", d->why));
    return rc;
}

/* ---------- pruning ---------- */

static void forget_key(struct cluster_keys *k, const char *provider, const char *name)
{
    for (size_t i = 0; i < k->keys_count; i++)
        if (k->keys[i].state == KEY_RETIRED && strcmp(k->keys[i].provider, provider) == 0 &&
            strcmp(k->keys[i].name, name) == 0) {
            memmove(k->keys + i, k->keys + i + 1, (k->keys_count - i - 1) * sizeof(k->keys[0]));
            k->keys_count--;
            return;
        }
}

int act_prune(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    struct cluster_rotation r = s->rotation;
    struct cluster_keys keys = s->keys;
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    int rc = 0;
    size_t count = 0;
    for (size_t i = 0; rc == 0 && i < s->escrow_count && count < PRUNE_MAX; i++)
        if (rotation_escrow_is_over(s, i)) {
            rc = store_txn_escrow_delete(c->store, t, s->escrow[i].provider, s->escrow[i].name, err);
            forget_key(&keys, s->escrow[i].provider, s->escrow[i].name);
            count++;
        }
    for (size_t i = 0; i < s->bundles_count && count < PRUNE_MAX; i++)
        if (rotation_bundle_is_over(s, i)) {
            char path[CLUSTER_KEY_PATH_MAX];
            cluster_bundle_path(path, store_cluster(c->store), s->bundles[i].generation);
            etcd_txn_delete(t, path);
            count++;
        }
    if (rc == 0 && s->has_keys)
        rc = act_put_keys(c, t, &keys, err);
    if (rc == 0)
        rc = act_commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "pruned", LOG_I("records", count), LOG_S("why", d->why));
    return rc;
}
