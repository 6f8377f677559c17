/* `status -o wide`: K3s's text, then what each server runs and what the coordinator is at. */
#include <report/status.h>

#include <inttypes.h>

#include <base/clock.h>
#include <report/explain.h>
#include <report/odd.h>
#include <report/table.h>
#include <report/words.h>

#define COLUMNS  15
#define CELL_MAX 48

static void number_text(int64_t n, char out[CELL_MAX])
{
    if (n > 0)
        snprintf(out, CELL_MAX, "%" PRId64, n);
    else
        snprintf(out, CELL_MAX, "-");
}

static void order_text(const struct snapshot_server *v, char out[CELL_MAX])
{
    bool seen = v->reports && v->report.order_id == v->order.id;
    snprintf(out, CELL_MAX, "%s", v->has_order ? order_kind_name(v->order.kind) : "-");
    if (!v->has_order)
        return;
    size_t len = strlen(out);
    snprintf(out + len, CELL_MAX - len, " %s", seen ? order_state_name(v->report.order_state) : "given");
}

/* Proof 1a: the keys of its file open the test vector of the generation that it has. */
static const char *vector_text(const struct cluster_snapshot *s, const struct snapshot_server *v)
{
    const struct snapshot_bundle *b = v->reports ? snapshot_bundle(s, v->report.generation) : NULL;
    if (!b || !b->has_vector)
        return "-";
    return v->report.vector_generation == b->generation ? "yes" : "no";
}

/* Its part of the operation's proof of that phase. */
static const char *proof_text(const struct cluster_snapshot *s, const struct snapshot_server *v,
                              enum phase phase)
{
    const struct cluster_proof *whole = snapshot_proof(s, phase);
    const struct cluster_server_proof *p = proof_of_server(whole, v->name);
    return p ? proof_word(whole, p->state) : "-";
}

struct server_texts {
    char hash[CELL_MAX], config[CELL_MAX], generation[CELL_MAX], loaded[CELL_MAX], age[CELL_MAX],
        order[CELL_MAX];
};

/* When its API server was last started: "pid 4711 since 2026-11-24T22:42:40Z". */
static const char *started_text(const struct snapshot_server *v)
{
    const char *since = v->reports ? strstr(v->report.process, " since ") : NULL;
    return since ? since + strlen(" since ") : "-";
}

static const char *odd_text(const struct odd_server *o)
{
    return o->kind == ODD_NO ? "-" : odd_name(o->kind);
}

static void add_server(const struct cluster_snapshot *s, const struct snapshot_server *v,
                       const struct odd_server *odd, struct server_texts *t, const char **cells)
{
    const struct cluster_report *r = &v->report;
    snprintf(t->hash, CELL_MAX, "%.12s", v->reports && *r->hash ? r->hash : "-");
    snprintf(t->config, CELL_MAX, "%.12s", v->reports && *r->config_id ? r->config_id : "-");
    number_text(v->reports ? r->generation : 0, t->generation);
    number_text(v->reports ? r->loaded_generation : 0, t->loaded);
    snprintf(t->age, CELL_MAX, "-");
    if (v->reports)
        format_age(s->now_ms - r->time_ms, t->age);
    order_text(v, t->order);
    const char *row[COLUMNS] = {v->name,
                                v->reports ? stage_name(r->stage) : "-",
                                t->hash,
                                t->config,
                                t->generation,
                                t->loaded,
                                !v->reports ? "-"
                                : r->ready  ? "yes"
                                            : "no",
                                t->age,
                                started_text(v),
                                t->order,
                                vector_text(s, v),
                                proof_text(s, v, PHASE_READABLE),
                                proof_text(s, v, PHASE_WRITTEN),
                                odd_text(odd),
                                status_server_why(v)};
    memcpy(cells, row, sizeof(row));
}

static int add_table(const struct cluster_snapshot *s, const struct odd_verdict *odd, struct buf *out,
                     struct error *err)
{
    static const char *const head[COLUMNS] = {"Server", "Stage",    "Hash",    "Config",  "Generation",
                                              "Loaded", "Ready",    "Age",     "Started", "Order",
                                              "Vector", "Readable", "Written", "Odd",     "Why"};
    size_t count = s->servers_count;
    _cleanup_free_ const char **cells = calloc((count + 1) * COLUMNS, sizeof(*cells));
    _cleanup_free_ struct server_texts *texts = calloc(count + 1, sizeof(*texts));
    if (!texts || !cells)
        return error_no_memory(err);
    memcpy(cells, head, sizeof(head));
    for (size_t i = 0; i < count; i++)
        add_server(s, &s->servers[i], &odd->servers[i], &texts[i], cells + (i + 1) * COLUMNS);
    return table_render(cells, count + 1, COLUMNS, true, out, err);
}

static void drifted_since(const struct cluster_snapshot *s, const char *server, char since[CLOCK_TEXT_MAX])
{
    since[0] = 0;
    for (size_t i = 0; i < s->drift.servers_count; i++)
        if (strcmp(s->drift.servers[i].server, server) == 0)
            clock_format(s->drift.servers[i].since_ms, since);
}

/* A line for each server that has another file than it should. */
static int add_odd(const struct cluster_snapshot *s, const struct odd_verdict *odd, struct buf *out,
                   struct error *err)
{
    char since[CLOCK_TEXT_MAX];
    int rc = odd->odd ? buf_adds(out, "\nOdd ones out:\n", err) : 0;
    for (size_t i = 0; rc == 0 && i < s->servers_count; i++) {
        const struct odd_server *o = &odd->servers[i];
        if (o->kind == ODD_NO || o->kind == ODD_SILENT)
            continue;
        drifted_since(s, s->servers[i].name, since);
        rc = buf_addf(out, err, "  %s: %s", s->servers[i].name, o->why);
        if (rc == 0 && o->kind == ODD_DRIFT)
            rc = buf_addf(out, err, " (changed by somebody else%s%s)", *since ? ", seen at " : "", since);
        else if (rc == 0 && *since)
            rc = buf_addf(out, err, " (seen at %s)", since);
        if (rc == 0)
            rc = buf_adds(out, "\n", err);
    }
    return rc;
}

static int add_servers(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    _cleanup_free_ struct odd_verdict *odd = malloc(sizeof(*odd));
    if (!odd)
        return error_no_memory(err);
    odd_find(s, odd);
    int rc = add_table(s, odd, out, err);
    return rc == 0 ? add_odd(s, odd, out, err) : rc;
}

static int add_leader(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    int rc = buf_addf(out, err, "\nCoordinator: %s", *s->leader ? s->leader : "none leads");
    for (size_t i = 0; i < s->candidates_count && rc == 0; i++)
        if (strcmp(s->candidates[i], s->leader) != 0)
            rc = buf_addf(out, err, ", %s stands by", s->candidates[i]);
    return rc == 0 ? buf_adds(out, "\n", err) : rc;
}

static int add_operation(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    const struct cluster_operation *op = &s->rotation.op;
    if (!s->has_rotation || !*op->id)
        return buf_adds(out, "Operation: none yet\n", err);
    char since[CLOCK_TEXT_MAX];
    bool finished = op->state == OP_STATE_FINISHED;
    bool ended = op->state != OP_STATE_RUNNING && op->ended_ms > 0;
    clock_format(ended ? op->ended_ms : op->started_ms, since);
    int rc = buf_addf(out, err, "Operation: %s %s", operation_kind_name(op->kind),
                      operation_state_name(op->state));
    if (rc == 0 && !finished)
        rc = buf_addf(out, err, " in phase %s", phase_name(op->phase));
    if (rc == 0)
        rc = buf_addf(out, err, "%s%s", ended ? " at " : " since ", since);
    if (rc == 0 && *op->requested_by)
        rc = buf_addf(out, err, ", asked for by %s", op->requested_by);
    if (rc == 0 && *op->why)
        rc = buf_addf(out, err, ": %s", op->why);
    return rc == 0 ? buf_adds(out, "\n", err) : rc;
}

static int add_counts(const struct cluster_reencrypt *r, struct buf *out, struct error *err)
{
    char values[COUNT_TEXT_MAX], stale[COUNT_TEXT_MAX], plain[COUNT_TEXT_MAX];
    if (r->scan_revision == 0)
        return 0;
    format_count(r->scan_values, values);
    format_count(r->scan_stale, stale);
    format_count(r->scan_plain, plain);
    int rc =
        buf_addf(out, err, "Datastore: %s values at revision %" PRId64 ", %s under another key, %s plain\n",
                 values, r->scan_revision, stale, plain);
    for (size_t i = 0; i < r->keys_count && rc == 0; i++) {
        format_count(r->keys[i].values, values);
        rc = buf_addf(out, err, "  %s under %s%s%s\n", values, r->keys[i].provider,
                      *r->keys[i].name ? " " : "", r->keys[i].name);
    }
    return rc;
}

static int add_reencrypt(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    static const char *const states[] = {"idle", "running", "ended", "failed"};
    const struct cluster_reencrypt *r = &s->reencrypt;
    char done[COUNT_TEXT_MAX], total[COUNT_TEXT_MAX], rate[COUNT_TEXT_MAX];
    if (!s->has_reencrypt || r->state == REENCRYPT_IDLE)
        return 0;
    bool datastore = *r->engine && strcmp(r->engine, "api") != 0;
    format_count(r->done, done);
    format_count(r->total, total);
    format_count(r->rate, rate);
    int rc =
        buf_addf(out, err, "Re-encryption%s%s%s: %s, %s of %s objects, %" PRId64 " gone, %" PRId64 " failed",
                 datastore ? " (" : "", datastore ? r->engine : "", datastore ? ")" : "", states[r->state],
                 done, total, r->gone, r->failed);
    if (rc == 0 && r->state == REENCRYPT_RUNNING)
        rc = buf_addf(out, err, ", %s/s%s%s", rate, *r->held_by ? ", held back by " : "", r->held_by);
    if (rc == 0 && *r->why)
        rc = buf_addf(out, err, ": %s", r->why);
    if (rc == 0)
        rc = buf_adds(out, "\n", err);
    for (size_t i = 0; i < r->failures_count && rc == 0; i++)
        rc = buf_addf(out, err, "  %s: %s\n", r->failures[i].object, r->failures[i].why);
    return rc == 0 ? add_counts(r, out, err) : rc;
}

/* While an operation runs, that may be the one. */
static int add_next_rotation(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    const struct cluster_schedule *n = &s->schedule;
    bool runs = s->has_rotation && *s->rotation.op.id && s->rotation.op.state == OP_STATE_RUNNING;
    if (!s->has_schedule || n->next_ms <= 0 || runs)
        return 0;
    return buf_addf(out, err, "Next rotation: %s (%s)%s%s\n", n->when, n->why,
                    *n->held ? ", was not begun: " : "", n->held);
}

static int add_lock(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    const struct cluster_lock *l = &s->lock;
    char since[CLOCK_TEXT_MAX];
    if (!s->has_lock)
        return 0;
    clock_format(l->since_ms, since);
    return buf_addf(out, err, "Locked by %s since %s%s%s: nothing starts until it is given back\n", l->holder,
                    since, *l->reason ? ", " : "", l->reason);
}

int render_status_wide(const struct cluster_snapshot *s, const struct key_table *keys, struct buf *out,
                       struct error *err)
{
    int rc = render_status_text(s, keys, out, err);
    if (rc == 0 && status_encryption(s, keys) == ENCRYPTION_NO_FILE)
        rc = buf_adds(out, "\n", err);
    if (rc == 0)
        rc = add_servers(s, out, err);
    if (rc == 0)
        rc = add_leader(s, out, err);
    if (rc == 0)
        rc = add_operation(s, out, err);
    if (rc == 0)
        rc = add_next_rotation(s, out, err);
    if (rc == 0)
        rc = add_lock(s, out, err);
    if (rc == 0)
        rc = add_reencrypt(s, out, err);
    if (rc == 0 && *s->unknown_api)
        rc = buf_addf(out, err, "Unknown API server: %s\n", s->unknown_api);
    if (rc == 0 && s->has_proofs && s->proofs.proofs_count > 0)
        rc = buf_adds(out, "\n", err);
    if (rc == 0)
        rc = render_proofs(s, out, err);
    make_printable(out);
    return rc;
}
