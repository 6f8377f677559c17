#include "document.h"

#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <report/explain.h>
#include <report/odd.h>
#include <report/records.h>
#include <report/status.h>
#include <report/words.h>
#include <rotation/rotation.h>

/* ---------- servers ---------- */

static void add_order(struct builder *b, struct json *o, const struct snapshot_server *v)
{
    if (!v->has_order)
        return;
    bool seen = v->reports && v->report.order_id == v->order.id;
    build_string(b, o, "order", order_kind_name(v->order.kind));
    build_string(b, o, "orderstate", seen ? order_state_name(v->report.order_state) : "given");
}

static void add_report(struct builder *b, struct json *o, const struct cluster_report *r)
{
    build_string(b, o, "stage", stage_name(r->stage));
    build_string(b, o, "hash", r->hash);
    build_int(b, o, "generation", r->generation);
    build_int(b, o, "loadedgeneration", r->loaded_generation);
    build_bool(b, o, "ready", r->ready);
    build_int(b, o, "time", r->time_ms);
    build_int(b, o, "restarts", r->restarts);
    build_string(b, o, "process", r->process);
}

static void add_odd(struct builder *b, struct json *o, const struct odd_server *odd)
{
    bool is_odd = odd->kind != ODD_NO && odd->kind != ODD_SILENT; /* who is silent is not compared */
    build_string(b, o, "odd", is_odd ? odd_name(odd->kind) : "");
    build_string(b, o, "oddwhy", is_odd ? odd->why : "");
}

static struct json *server_node(struct builder *b, const struct cluster_snapshot *s, size_t i,
                                const struct odd_server *odd)
{
    const struct snapshot_server *v = &s->servers[i];
    struct json *o = build_new(b, false);
    build_string(b, o, "name", v->name);
    build_bool(b, o, "inspec", v->in_spec);
    build_bool(b, o, "apiserver", !snapshot_etcd_only(s, i));
    build_bool(b, o, "reports", v->reports);
    if (v->reports)
        add_report(b, o, &v->report);
    add_order(b, o, v);
    add_odd(b, o, odd);
    build_string(b, o, "why", status_server_why(v));
    return o;
}

static void add_servers(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    _cleanup_free_ struct odd_verdict *verdict = calloc(1, sizeof(*verdict));
    if (!verdict) {
        b->rc = b->rc < 0 ? b->rc : error_no_memory(b->err);
        return;
    }
    odd_find(s, verdict);
    struct json *servers = build_new(b, true);
    for (size_t i = 0; i < s->servers_count; i++)
        build_append(b, servers, server_node(b, s, i, &verdict->servers[i]));
    build_node(b, root, "servers", servers);
}

/* ---------- the operation ---------- */

/* Phases that this operation does not run through, as far as its record still tells. */
static bool shown(const struct cluster_snapshot *s, enum phase phase)
{
    const struct cluster_operation *op = &s->rotation.op;
    bool saves = s->spec.snapshots && !s->spec.not_raw, returns = op->kind == OP_ABORT;
    if (phase == op->phase)
        return true;
    switch (phase) {
    case PHASE_ADOPT:
    case PHASE_IDENTITY:
        return false; /* needed before it began, and not known any more */
    case PHASE_BACKUP:
        return saves;
    case PHASE_BACKUP_DROP:
        return saves && !op->skip;
    case PHASE_DROP:
        return !op->skip;
    case PHASE_FINAL:
        return !op->skip && !returns;
    case PHASE_REVERT:
    case PHASE_REWRITE:
    case PHASE_WRITTEN:
        return !returns || s->rotation.promoted;
    default:
        return true;
    }
}

static const char *state_of(const struct cluster_operation *op, bool passed, bool present)
{
    if (op->state == OP_STATE_FINISHED || (!present && !passed))
        return "done";
    if (!present)
        return "next";
    return op->state == OP_STATE_HALTED ? "halted" : op->state == OP_STATE_PAUSED ? "paused" : "now";
}

static void add_phase(struct builder *b, struct json *timeline, const struct cluster_operation *op,
                      enum phase phase, const char *state)
{
    struct cluster_operation at = *op;
    int number = 0, count = 0;
    const char *word = "";
    struct json *o = build_new(b, false);
    at.phase = phase;
    rotation_step(&at, &number, &count, &word);
    build_string(b, o, "phase", phase_name(phase));
    build_string(b, o, "word", word);
    build_string(b, o, "state", state);
    build_string(b, o, "claim", phase_claim(op->kind, phase));
    build_append(b, timeline, o);
}

static void add_timeline(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    const struct cluster_operation *op = &s->rotation.op;
    struct json *timeline = build_new(b, true);
    bool passed = false, back = op->phase == PHASE_BRING_BACK; /* out of line: rewriting comes after it */
    for (const enum phase *p = rotation_plan(op->kind); *p != PHASE_DONE; p++) {
        if (!shown(s, *p))
            continue;
        if (back && *p == PHASE_REWRITE) {
            add_phase(b, timeline, op, op->phase, state_of(op, passed, true));
            passed = true;
        }
        add_phase(b, timeline, op, *p, state_of(op, passed, *p == op->phase));
        passed = passed || *p == op->phase;
    }
    build_node(b, root, "timeline", timeline);
}

static void add_operation(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    const struct cluster_operation *op = &s->rotation.op;
    int number = 0, count = 0;
    const char *word = "";
    char doing[PHASE_TEXT_MAX] = "";
    if (!s->has_rotation || !*op->id)
        return;
    struct json *o = build_new(b, false);
    rotation_step(op, &number, &count, &word);
    if (explain_under_way(s) && phase_verb(op->phase))
        operation_doing(s, doing);
    else if (explain_under_way(s))
        snprintf(doing, sizeof(doing), "until %s", phase_claim(op->kind, op->phase));
    build_string(b, o, "id", op->id);
    build_string(b, o, "kind", operation_kind_name(op->kind));
    build_string(b, o, "state", operation_state_name(op->state));
    build_string(b, o, "phase", phase_name(op->phase));
    build_string(b, o, "doing", doing);
    build_string(b, o, "until", phase_claim(op->kind, op->phase));
    build_int(b, o, "step", number);
    build_int(b, o, "steps", count);
    build_int(b, o, "attempt", op->attempt);
    build_string(b, o, "requestedby", op->requested_by);
    build_int(b, o, "started", op->started_ms);
    build_int(b, o, "ended", op->ended_ms);
    build_int(b, o, "phasesince", op->phase_ms);
    build_string(b, o, "row", op->row);
    build_int(b, o, "rowsince", op->row_ms);
    build_string(b, o, "on", op->on);
    build_string(b, o, "why", op->why);
    build_reasons(b, o, op);
    add_timeline(b, o, s);
    build_node(b, root, "operation", o);
}

/* ---------- re-encryption ---------- */

static void add_reencrypt(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    static const char *const states[] = {"idle", "running", "ended", "failed"};
    const struct cluster_reencrypt *r = &s->reencrypt;
    if (!s->has_reencrypt)
        return;
    struct json *o = build_new(b, false);
    bool running = r->state == REENCRYPT_RUNNING;
    int64_t remaining = r->total > r->done ? r->total - r->done : 0;
    build_string(b, o, "operation", r->operation);
    build_string(b, o, "state", states[r->state]);
    build_string(b, o, "engine", r->engine);
    build_int(b, o, "done", r->done);
    build_int(b, o, "total", r->total);
    build_int(b, o, "failed", r->failed);
    build_int(b, o, "rate", r->rate);
    if (running && r->rate > 0)
        build_int(b, o, "left", remaining * 1000 / r->rate);
    build_int(b, o, "limit", r->limit);
    build_int(b, o, "updated", r->updated_ms);
    build_string(b, o, "heldby", r->held_by);
    build_string(b, o, "why", r->why);
    if (r->scan_revision > 0) {
        build_int(b, o, "scanvalues", r->scan_values);
        build_int(b, o, "scanstale", r->scan_stale);
        build_int(b, o, "scanplain", r->scan_plain);
    }
    build_node(b, root, "reencrypt", o);
}

/* ---------- the rest ---------- */

static struct json *audit_node(struct builder *b, const struct store_audit_entry *e)
{
    struct json *o = build_new(b, false);
    build_string(b, o, "name", e->name);
    build_bool(b, o, "authentic", e->authentic);
    if (e->authentic) {
        build_int(b, o, "time", e->entry.time_ms);
        build_string(b, o, "who", e->entry.who);
        build_string(b, o, "call", e->entry.call);
        build_string(b, o, "what", e->entry.what);
        build_string(b, o, "result", e->entry.result);
    }
    build_string(b, o, "why", e->entry.why);
    return o;
}

static void add_audit(struct builder *b, struct json *root, const struct document_input *in)
{
    struct json *audit = build_new(b, true);
    for (size_t i = 0; i < in->audit_count && i < DOCUMENT_AUDIT_MAX; i++)
        build_append(b, audit, audit_node(b, &in->audit[i]));
    build_node(b, root, "audit", audit);
    build_string(b, root, "auditwhy", in->audit_why);
}

static void add_cluster(struct builder *b, struct json *root, const struct document_input *in)
{
    const struct cluster_snapshot *s = in->snapshot;
    char why[CLUSTER_TEXT_MAX] = "";
    bool match = snapshot_hashes_match(s, why);
    build_string(b, root, "cluster", in->cluster);
    build_string(b, root, "server", in->server);
    build_string(b, root, "version", SECRETS_ENCRYPT_VERSION);
    build_int(b, root, "revision", s->revision);
    build_int(b, root, "time", s->now_ms);
    build_string(b, root, "stale", in->stale_why);
    build_string(b, root, "stage", stage_name(status_stage(s)));
    build_bool(b, root, "match", match);
    build_string(b, root, "mismatch", match ? "" : why);
    build_string(b, root, "leader", s->leader);
    build_string(b, root, "unknown", s->unknown_api);
    build_bool(b, root, "underway", explain_under_way(s));
    if (!explain_under_way(s)) {
        explain_block(s, why);
        build_string(b, root, "blocked", why);
    }
}

static void add_plans(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    if (s->has_lock) {
        struct json *lock = build_new(b, false);
        build_string(b, lock, "holder", s->lock.holder);
        build_string(b, lock, "reason", s->lock.reason);
        build_int(b, lock, "since", s->lock.since_ms);
        build_node(b, root, "lock", lock);
    }
    if (s->has_schedule && s->schedule.next_ms > 0) {
        struct json *next = build_new(b, false);
        build_int(b, next, "time", s->schedule.next_ms);
        build_string(b, next, "when", s->schedule.when);
        build_string(b, next, "reason", s->schedule.why);
        build_string(b, next, "held", s->schedule.held);
        build_node(b, root, "nextrotation", next);
    }
}

int document_render(const struct document_input *in, struct buf *out, struct error *err)
{
    struct builder b = {0, err};
    _cleanup_(json_freep) struct json *root = build_new(&b, false);
    build_head(&b, root, "page");
    add_cluster(&b, root, in);
    add_servers(&b, root, in->snapshot);
    add_operation(&b, root, in->snapshot);
    add_reencrypt(&b, root, in->snapshot);
    build_keys(&b, root, in->snapshot, 0);
    add_plans(&b, root, in->snapshot);
    add_audit(&b, root, in);
    return build_line(&b, root, out);
}
