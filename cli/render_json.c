/* `status -o json`: K3s's members first, in its order and its layout, then ours. */
#include <cli/status.h>

#include <json/json.h>

#define DEPTH_MAX 16

/* Remembers the first failure, so that a row of members reads as a list. */
struct builder {
    int rc;
    struct error *err;
};

static void set_string(struct builder *b, struct json *o, const char *key, const char *value)
{
    if (b->rc == 0)
        b->rc = json_set_string(o, key, value, b->err);
}

static void set_int(struct builder *b, struct json *o, const char *key, int64_t value)
{
    if (b->rc == 0)
        b->rc = json_set_int(o, key, value, b->err);
}

static void set_bool(struct builder *b, struct json *o, const char *key, bool value)
{
    if (b->rc == 0)
        b->rc = json_set_bool(o, key, value, b->err);
}

static void set_node(struct builder *b, struct json *o, const char *key, struct json *value)
{
    if (b->rc == 0)
        b->rc = json_set(o, key, value, b->err);
    else
        json_free(value);
}

static void append(struct builder *b, struct json *array, struct json *value)
{
    if (b->rc == 0)
        b->rc = json_append(array, value, b->err);
    else
        json_free(value);
}

static struct json *new_node(struct builder *b, bool array)
{
    struct json *node = b->rc < 0 ? NULL : array ? json_new_array() : json_new_object();
    if (!node && b->rc == 0)
        b->rc = error_no_memory(b->err);
    return node;
}

static void add_k3s(struct builder *b, struct json *root, const struct cluster_snapshot *s,
                    const struct key_table *keys)
{
    enum encryption_state state = status_encryption(s, keys);
    char why[CLUSTER_TEXT_MAX] = "";
    const char *active = "";
    struct json *inactive = new_node(b, true);
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->rows[i].active)
            active = keys->rows[i].name;
        else
            append(b, inactive, json_new_string(keys->rows[i].name));
    }
    set_string(b, root, "stage", stage_name(status_stage(s)));
    set_string(b, root, "activekey", active);
    if (state == ENCRYPTION_ON || state == ENCRYPTION_OFF)
        set_bool(b, root, "enable", state == ENCRYPTION_ON);
    if (state == ENCRYPTION_NO_FILE)
        *why = 0; /* nothing to compare: K3s says neither */
    else if (snapshot_hashes_match(s, why))
        set_bool(b, root, "hashmatch", true);
    else if (*why)
        set_string(b, root, "hasherror", why);
    if (inactive && json_count(inactive) > 0)
        set_node(b, root, "inactivekeys", inactive);
    else
        json_free(inactive);
}

static void add_order(struct builder *b, struct json *o, const struct snapshot_server *v)
{
    if (!v->has_order)
        return;
    struct json *order = new_node(b, false);
    bool seen = v->reports && v->report.order_id == v->order.id;
    set_int(b, order, "id", v->order.id);
    set_string(b, order, "kind", order_kind_name(v->order.kind));
    set_int(b, order, "generation", v->order.generation);
    set_string(b, order, "state", seen ? order_state_name(v->report.order_state) : "given");
    set_node(b, o, "order", order);
}

static struct json *server_node(struct builder *b, const struct cluster_snapshot *s,
                                const struct snapshot_server *v)
{
    struct json *o = new_node(b, false);
    const struct cluster_report *r = &v->report;
    set_string(b, o, "name", v->name);
    set_bool(b, o, "reports", v->reports);
    if (v->reports) {
        set_string(b, o, "stage", stage_name(r->stage));
        set_string(b, o, "hash", r->hash);
        set_int(b, o, "generation", r->generation);
        set_int(b, o, "loadedgeneration", r->loaded_generation);
        set_bool(b, o, "ready", r->ready);
        set_int(b, o, "age", s->now_ms > r->time_ms ? s->now_ms - r->time_ms : 0);
        set_int(b, o, "restarts", r->restarts);
        set_string(b, o, "driver", r->driver);
        set_string(b, o, "version", r->version);
    }
    add_order(b, o, v);
    set_string(b, o, "why", status_server_why(v));
    return o;
}

static void add_servers(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    struct json *servers = new_node(b, true);
    for (size_t i = 0; i < s->servers_count; i++)
        append(b, servers, server_node(b, s, &s->servers[i]));
    set_node(b, root, "servers", servers);
    set_string(b, root, "leader", s->leader);
}

static void add_operation(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    const struct cluster_operation *op = &s->rotation.op;
    if (!s->has_rotation || !*op->id)
        return;
    struct json *o = new_node(b, false);
    set_string(b, o, "id", op->id);
    set_string(b, o, "kind", operation_kind_name(op->kind));
    set_string(b, o, "state", operation_state_name(op->state));
    set_string(b, o, "phase", phase_name(op->phase));
    set_int(b, o, "target", op->target);
    set_int(b, o, "attempt", op->attempt);
    set_bool(b, o, "restart", op->restart);
    set_string(b, o, "requestedby", op->requested_by);
    set_int(b, o, "started", op->started_ms);
    set_int(b, o, "ended", op->ended_ms);
    set_string(b, o, "why", op->why);
    set_node(b, root, "operation", o);
}

static struct json *counts_node(struct builder *b, const struct cluster_reencrypt *r)
{
    struct json *keys = new_node(b, true);
    for (size_t i = 0; i < r->keys_count; i++) {
        struct json *o = new_node(b, false);
        set_string(b, o, "provider", r->keys[i].provider);
        set_string(b, o, "name", r->keys[i].name);
        set_int(b, o, "values", r->keys[i].values);
        append(b, keys, o);
    }
    return keys;
}

static void add_scan(struct builder *b, struct json *o, const struct cluster_reencrypt *r)
{
    if (r->scan_revision == 0)
        return;
    struct json *scan = new_node(b, false);
    set_int(b, scan, "revision", r->scan_revision);
    set_int(b, scan, "values", r->scan_values);
    set_int(b, scan, "stale", r->scan_stale);
    set_int(b, scan, "plain", r->scan_plain);
    set_node(b, scan, "keys", counts_node(b, r));
    set_node(b, o, "scan", scan);
}

static void add_reencrypt(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    static const char *const states[] = {"idle", "running", "ended", "failed"};
    const struct cluster_reencrypt *r = &s->reencrypt;
    if (!s->has_reencrypt)
        return;
    struct json *o = new_node(b, false);
    set_string(b, o, "operation", r->operation);
    set_string(b, o, "state", states[r->state]);
    set_int(b, o, "done", r->done);
    set_int(b, o, "total", r->total);
    set_int(b, o, "gone", r->gone);
    set_int(b, o, "failed", r->failed);
    set_int(b, o, "rate", r->rate);
    set_string(b, o, "why", r->why);
    struct json *failures = new_node(b, true);
    for (size_t i = 0; i < r->failures_count; i++) {
        struct json *f = new_node(b, false);
        set_string(b, f, "object", r->failures[i].object);
        set_string(b, f, "why", r->failures[i].why);
        append(b, failures, f);
    }
    set_node(b, o, "failures", failures);
    add_scan(b, o, r);
    set_node(b, root, "reencrypt", o);
}

static int indent(struct buf *out, size_t depth, struct error *err)
{
    int rc = buf_adds(out, "\n", err);
    for (size_t i = 0; i < depth && rc == 0; i++)
        rc = buf_adds(out, "\t", err);
    return rc;
}

static int add_name(struct buf *out, const char *name, struct error *err)
{
    _cleanup_(json_freep) struct json *text = json_new_string(name);
    if (!text)
        return error_no_memory(err);
    int rc = json_print(text, out, err);
    return rc == 0 ? buf_adds(out, ": ", err) : rc;
}

/* K3s's layout: tabs, and a line for each member and element. */
static int pretty(const struct json *node, size_t depth, struct buf *out, struct error *err)
{
    bool object = json_type(node) == JSON_OBJECT;
    if (depth >= DEPTH_MAX || (!object && json_type(node) != JSON_ARRAY) || json_count(node) == 0)
        return json_print(node, out, err);
    int rc = buf_adds(out, object ? "{" : "[", err);
    for (const struct json *child = json_first(node); child && rc == 0; child = json_next(child)) {
        rc = indent(out, depth + 1, err);
        if (rc == 0 && object)
            rc = add_name(out, json_key(child), err);
        if (rc == 0)
            rc = pretty(child, depth + 1, out, err);
        if (rc == 0 && json_next(child))
            rc = buf_adds(out, ",", err);
    }
    if (rc == 0)
        rc = indent(out, depth, err);
    return rc == 0 ? buf_adds(out, object ? "}" : "]", err) : rc;
}

int render_status_json(const struct cluster_snapshot *s, const struct key_table *keys, struct buf *out,
                       struct error *err)
{
    struct builder b = {0, err};
    _cleanup_(json_freep) struct json *root = new_node(&b, false);
    add_k3s(&b, root, s, keys);
    add_servers(&b, root, s);
    add_operation(&b, root, s);
    add_reencrypt(&b, root, s);
    if (b.rc == 0)
        b.rc = pretty(root, 0, out, err);
    return b.rc == 0 ? buf_adds(out, "\n", err) : b.rc;
}
