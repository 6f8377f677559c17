/* `status -o json`: K3s's members first, in its order and its layout, then ours. */
#include <report/status.h>

#include <report/exits.h>
#include <report/odd.h>
#include <report/records.h>

static void add_k3s(struct builder *b, struct json *root, const struct cluster_snapshot *s,
                    const struct key_table *keys)
{
    enum encryption_state state = status_encryption(s, keys);
    char why[CLUSTER_TEXT_MAX] = "";
    const char *active = "";
    struct json *inactive = build_new(b, true);
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->rows[i].active)
            active = keys->rows[i].name;
        else
            build_append(b, inactive, json_new_string(keys->rows[i].name));
    }
    build_string(b, root, "stage", stage_name(status_stage(s)));
    build_string(b, root, "activekey", active);
    if (state == ENCRYPTION_ON || state == ENCRYPTION_OFF)
        build_bool(b, root, "enable", state == ENCRYPTION_ON);
    if (state == ENCRYPTION_NO_FILE)
        *why = 0; /* nothing to compare: K3s says neither */
    else if (snapshot_hashes_match(s, why))
        build_bool(b, root, "hashmatch", true);
    else if (*why)
        build_string(b, root, "hasherror", why);
    if (inactive && json_count(inactive) > 0)
        build_node(b, root, "inactivekeys", inactive);
    else
        json_free(inactive);
}

static void add_order(struct builder *b, struct json *o, const struct snapshot_server *v)
{
    if (!v->has_order)
        return;
    struct json *order = build_new(b, false);
    bool seen = v->reports && v->report.order_id == v->order.id;
    build_int(b, order, "id", v->order.id);
    build_string(b, order, "kind", order_kind_name(v->order.kind));
    build_int(b, order, "generation", v->order.generation);
    build_string(b, order, "state", seen ? order_state_name(v->report.order_state) : "given");
    build_node(b, o, "order", order);
}

static struct json *server_node(struct builder *b, const struct cluster_snapshot *s,
                                const struct snapshot_server *v, const struct odd_server *odd)
{
    struct json *o = build_new(b, false);
    const struct cluster_report *r = &v->report;
    build_string(b, o, "name", v->name);
    build_bool(b, o, "reports", v->reports);
    if (v->reports) {
        build_string(b, o, "stage", stage_name(r->stage));
        build_string(b, o, "hash", r->hash);
        build_string(b, o, "configid", r->config_id);
        build_int(b, o, "generation", r->generation);
        build_int(b, o, "loadedgeneration", r->loaded_generation);
        build_bool(b, o, "ready", r->ready);
        build_int(b, o, "age", s->now_ms > r->time_ms ? s->now_ms - r->time_ms : 0);
        build_int(b, o, "restarts", r->restarts);
        build_string(b, o, "process", r->process);
        build_string(b, o, "driver", r->driver);
        build_string(b, o, "version", r->version);
    }
    add_order(b, o, v);
    build_string(b, o, "why", status_server_why(v));
    build_string(b, o, "odd", odd_name(odd->kind));
    build_string(b, o, "oddwhy", odd->why);
    return o;
}

static void add_servers(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    struct json *servers = build_new(b, true);
    _cleanup_free_ struct odd_verdict *odd = malloc(sizeof(*odd));
    if (!odd && b->rc == 0)
        b->rc = error_no_memory(b->err);
    if (odd)
        odd_find(s, odd);
    for (size_t i = 0; odd && i < s->servers_count; i++)
        build_append(b, servers, server_node(b, s, &s->servers[i], &odd->servers[i]));
    build_node(b, root, "servers", servers);
    build_string(b, root, "leader", s->leader);
}

static void add_operation(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    const struct cluster_operation *op = &s->rotation.op;
    if (!s->has_rotation || !*op->id)
        return;
    struct json *o = build_new(b, false);
    build_string(b, o, "id", op->id);
    build_string(b, o, "kind", operation_kind_name(op->kind));
    build_string(b, o, "state", operation_state_name(op->state));
    build_string(b, o, "phase", phase_name(op->phase));
    build_int(b, o, "target", op->target);
    build_int(b, o, "attempt", op->attempt);
    build_bool(b, o, "restart", op->restart);
    build_string(b, o, "requestedby", op->requested_by);
    build_int(b, o, "started", op->started_ms);
    build_int(b, o, "ended", op->ended_ms);
    build_string(b, o, "why", op->why);
    build_reasons(b, o, op);
    build_node(b, root, "operation", o);
}

static struct json *counts_node(struct builder *b, const struct cluster_reencrypt *r)
{
    struct json *keys = build_new(b, true);
    for (size_t i = 0; i < r->keys_count; i++) {
        struct json *o = build_new(b, false);
        build_string(b, o, "provider", r->keys[i].provider);
        build_string(b, o, "name", r->keys[i].name);
        build_int(b, o, "values", r->keys[i].values);
        build_append(b, keys, o);
    }
    return keys;
}

static void add_scan(struct builder *b, struct json *o, const struct cluster_reencrypt *r)
{
    if (r->scan_revision == 0)
        return;
    struct json *scan = build_new(b, false);
    build_int(b, scan, "revision", r->scan_revision);
    build_int(b, scan, "values", r->scan_values);
    build_int(b, scan, "stale", r->scan_stale);
    build_int(b, scan, "plain", r->scan_plain);
    build_node(b, scan, "keys", counts_node(b, r));
    build_node(b, o, "scan", scan);
}

static void add_reencrypt(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    static const char *const states[] = {"idle", "running", "ended", "failed"};
    const struct cluster_reencrypt *r = &s->reencrypt;
    if (!s->has_reencrypt)
        return;
    struct json *o = build_new(b, false);
    build_string(b, o, "operation", r->operation);
    build_string(b, o, "state", states[r->state]);
    build_int(b, o, "done", r->done);
    build_int(b, o, "total", r->total);
    build_int(b, o, "gone", r->gone);
    build_int(b, o, "failed", r->failed);
    build_int(b, o, "rate", r->rate);
    build_int(b, o, "limit", r->limit);
    build_string(b, o, "engine", r->engine);
    build_string(b, o, "held_by", r->held_by);
    build_string(b, o, "why", r->why);
    struct json *failures = build_new(b, true);
    for (size_t i = 0; i < r->failures_count; i++) {
        struct json *f = build_new(b, false);
        build_string(b, f, "object", r->failures[i].object);
        build_string(b, f, "why", r->failures[i].why);
        build_append(b, failures, f);
    }
    build_node(b, o, "failures", failures);
    add_scan(b, o, r);
    build_node(b, root, "reencrypt", o);
}

static void add_next_rotation(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    const struct cluster_schedule *n = &s->schedule;
    if (!s->has_schedule || n->next_ms <= 0)
        return;
    struct json *o = build_new(b, false);
    build_int(b, o, "time", n->next_ms);
    build_string(b, o, "when", n->when);
    build_string(b, o, "reason", n->why);
    build_string(b, o, "why", n->held);
    build_node(b, root, "next_rotation", o);
}

static void add_verdict(struct builder *b, struct json *root, const struct status_verdict *v)
{
    if (!v || v->code < 0)
        return;
    struct json *o = build_new(b, false);
    build_int(b, o, "exit", v->code);
    build_string(b, o, "cause", exit_cause(v->code));
    build_string(b, o, "message", v->why);
    build_node(b, root, "check", o);
}

static void add_lock(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    if (!s->has_lock)
        return;
    struct json *o = build_new(b, false);
    build_string(b, o, "id", s->lock.id);
    build_string(b, o, "holder", s->lock.holder);
    build_string(b, o, "reason", s->lock.reason);
    build_int(b, o, "since", s->lock.since_ms);
    build_int(b, o, "ttl", s->lock.ttl_s);
    build_node(b, root, "lock", o);
}

int render_status_checked(const struct cluster_snapshot *s, const struct key_table *keys,
                          const struct status_verdict *verdict, struct buf *out, struct error *err)
{
    struct builder b = {0, err};
    _cleanup_(json_freep) struct json *root = build_new(&b, false);
    add_k3s(&b, root, s, keys);
    build_head(&b, root, "status");
    add_servers(&b, root, s);
    add_operation(&b, root, s);
    add_next_rotation(&b, root, s);
    add_reencrypt(&b, root, s);
    build_proofs(&b, root, s);
    build_keys(&b, root, s, 0);
    build_string(&b, root, "unknown", s->unknown_api);
    add_lock(&b, root, s);
    add_verdict(&b, root, verdict);
    return build_print(&b, root, out);
}

int render_status_json(const struct cluster_snapshot *s, const struct key_table *keys, struct buf *out,
                       struct error *err)
{
    return render_status_checked(s, keys, NULL, out, err);
}
