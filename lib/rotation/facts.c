#include "facts.h"

#include <inttypes.h>
#include <stdarg.h>

#include <base/cleanup.h>
#include <base/text.h>

static const char *const names[FACT_COUNT] = {
    [FACT_SPEC_MISSING] = "spec_missing",
    [FACT_SPEC_DIFFERS] = "spec_differs",
    [FACT_PREFERRED_WAITS] = "preferred_waits",
    [FACT_REQUEST] = "request",
    [FACT_REQUEST_REFUSED] = "request_refused",
    [FACT_REQUEST_RESUMES] = "request_resumes",
    [FACT_UNADOPTED] = "unadopted",
    [FACT_ADOPTING] = "adopting",
    [FACT_RUNNING] = "running",
    [FACT_MANUAL] = "manual",
    [FACT_PHASE_ADOPT] = "phase_adopt",
    [FACT_PHASE_CONFIG] = "phase_config",
    [FACT_PHASE_REWRITE] = "phase_rewrite",
    [FACT_PHASE_VERIFY] = "phase_verify",
    [FACT_ISSUED] = "issued",
    [FACT_SILENT] = "silent",
    [FACT_STRANGER] = "stranger",
    [FACT_UNREADY] = "unready",
    [FACT_UNLOADED] = "unloaded",
    [FACT_DRIFT] = "drift",
    [FACT_ORDER_IN_FLIGHT] = "order_in_flight",
    [FACT_ORDER_FAILED] = "order_failed",
    [FACT_ORDER_OUTDATED] = "order_outdated",
    [FACT_NEXT] = "next",
    [FACT_ALL_AT_TARGET] = "all_at_target",
    [FACT_JOB_RUNNING] = "job_running",
    [FACT_JOB_ELSE] = "job_else",
    [FACT_JOB_FAILED] = "job_failed",
    [FACT_REWRITTEN] = "rewritten",
    [FACT_SCANNED] = "scanned",
    [FACT_CLEAN] = "clean",
    [FACT_PASSES_LEFT] = "passes_left",
};

const char *fact_name(enum fact f)
{
    return names[f];
}

static void set(struct facts *f, enum fact which, const char *format, ...) _printf_(3, 4);
static void set(struct facts *f, enum fact which, const char *format, ...)
{
    if (fact(f, which))
        return; /* the first server in restart order is the one that is named */
    va_list ap;
    va_start(ap, format);
    vsnprintf(f->text[which], CLUSTER_TEXT_MAX, format, ap);
    va_end(ap);
    f->bits |= FACT_BIT(which);
}

static void set_if(struct facts *f, enum fact which, bool value)
{
    if (value)
        f->bits |= FACT_BIT(which);
}

/* ---------- the operation's target ---------- */

static const struct snapshot_bundle *target_bundle(const struct cluster_snapshot *s)
{
    int64_t target = s->rotation.op.target;
    return target ? snapshot_bundle(s, target) : NULL;
}

static bool is_config_phase(enum phase p)
{
    return p != PHASE_REWRITE && p != PHASE_VERIFY && p != PHASE_DONE;
}

static bool loaded(const struct snapshot_server *v, const char *hash)
{
    return v->report.loaded_known && strcmp(v->report.loaded_hash, hash) == 0;
}

/* The hash that a server shall have when nothing is to be brought to it. */
static const char *settled_hash(const struct cluster_snapshot *s)
{
    return s->rotation.hash;
}

bool facts_at_target(const struct cluster_snapshot *s, const struct snapshot_server *v)
{
    const struct snapshot_bundle *b = target_bundle(s);
    return b && v->reports && v->report.ready && strcmp(v->report.hash, b->hash) == 0 &&
           v->report.stage == b->stage && loaded(v, b->hash);
}

/* ---------- orders ---------- */

static bool order_is_current(const struct cluster_snapshot *s, const struct snapshot_server *v)
{
    const struct cluster_operation *op = &s->rotation.op;
    return v->has_order && strcmp(v->order.operation, op->id) == 0 && v->order.generation == op->target;
}

static bool order_answered(const struct snapshot_server *v)
{
    return v->reports && v->report.order_id == v->order.id &&
           (v->report.order_state == ORDER_DONE || v->report.order_state == ORDER_FAILED ||
            v->report.order_state == ORDER_REFUSED);
}

static const char *order_progress(const struct snapshot_server *v)
{
    return v->reports && v->report.order_id == v->order.id ? order_state_name(v->report.order_state)
                                                           : "not taken yet";
}

static void order_facts(const struct cluster_snapshot *s, const struct planner_self *self,
                        const struct snapshot_server *v, struct facts *f)
{
    if (!order_is_current(s, v))
        return;
    if (!order_answered(v)) {
        if (v->order.kind != ORDER_SYNC) /* that one waits for the operator, not for the agent */
            set(f, FACT_ORDER_IN_FLIGHT, "%s: order %" PRId64 " (%s generation %" PRId64 ") is %s%s%s",
                v->name, v->order.id, order_kind_name(v->order.kind), v->order.generation, order_progress(v),
                v->reports ? "" : "; its agent is silent at present: ", v->report_why);
        return;
    }
    if (v->report.order_state == ORDER_REFUSED && v->order.fence < self->fence)
        set(f, FACT_ORDER_OUTDATED, "%s: %s", v->name, v->report.order_why);
    else if (v->report.order_state != ORDER_DONE)
        set(f, FACT_ORDER_FAILED, "%s: %s", v->name, v->report.order_why);
}

/* ---------- servers ---------- */

/* In an adopt phase without its bundle: all files must be the first server's. */
static const char *allowed_hash(const struct cluster_snapshot *s, bool second)
{
    const struct snapshot_bundle *b = target_bundle(s);
    if (s->rotation.op.phase == PHASE_ADOPT && !b)
        return s->servers[0].report.hash;
    if (!second)
        return s->rotation.op.phase == PHASE_ADOPT ? b->hash : settled_hash(s);
    return b ? b->hash : settled_hash(s);
}

static bool hash_allowed(const struct cluster_snapshot *s, const struct snapshot_server *v, const char *hash)
{
    if (*hash && (strcmp(hash, allowed_hash(s, false)) == 0 || strcmp(hash, allowed_hash(s, true)) == 0))
        return true;
    /* --force: files that differ in layout alone may be adopted; APPLY makes them the same afterwards. */
    const struct cluster_operation *op = &s->rotation.op;
    return op->phase == PHASE_ADOPT && op->force && *v->report.config_id &&
           strcmp(v->report.config_id, s->servers[0].report.config_id) == 0;
}

static void server_facts(const struct cluster_snapshot *s, const struct snapshot_server *v, struct facts *f)
{
    const struct cluster_report *r = &v->report;
    if (!v->in_spec) {
        if (v->reports)
            set(f, FACT_STRANGER, "%s publishes but is not among the cluster's servers", v->name);
        return;
    }
    if (!v->reports) {
        set(f, FACT_SILENT, "%s: %s", v->name, v->report_why);
        return;
    }
    if (v->plain_keys_differ)
        set(f, FACT_SILENT, "%s: its stage and hash keys say something else than its signed report", v->name);
    if (!r->ready)
        set(f, FACT_UNREADY, "%s: %s", v->name, *r->ready_why ? r->ready_why : "not ready");
    if (!hash_allowed(s, v, r->hash))
        set(f, FACT_DRIFT, "%s: %s", v->name,
            *r->file_why ? r->file_why : "its encryption config is not one that was issued");
    if (!r->loaded_known)
        set(f, FACT_UNLOADED, "%s: %s", v->name,
            *r->process_why ? r->process_why : "what its API server loaded is not known");
    else if (!hash_allowed(s, v, r->loaded_hash))
        set(f, FACT_UNLOADED,
            "%s: its API server was started before its present encryption config was written, or with "
            "another one",
            v->name);
}

/* ---------- who is next ---------- */

/* The kind of order that brings the target to a server. */
static enum order_kind kind_for(const struct cluster_snapshot *s, size_t i)
{
    const struct cluster_operation *op = &s->rotation.op;
    const struct snapshot_bundle *b = target_bundle(s);
    if (op->phase == PHASE_ADOPT && !b)
        return ORDER_ADOPT;
    /* A generation with the same file (only the stage is new) needs no restart. */
    if (b && loaded(&s->servers[i], b->hash) && strcmp(s->servers[i].report.hash, b->hash) == 0)
        return ORDER_WRITE;
    if (op->restart)
        return ORDER_APPLY;
    return i == 0 ? ORDER_WRITE : ORDER_SYNC;
}

/* Manual: S1's file is written first; then the others may take it up in any order, when the operator
 * restarts them. */
static bool manual_turn(const struct cluster_snapshot *s, size_t i)
{
    const struct snapshot_bundle *b = target_bundle(s);
    return i == 0 || (b && strcmp(s->servers[0].report.hash, b->hash) == 0);
}

static void next_facts(const struct cluster_snapshot *s, struct facts *f)
{
    const struct cluster_operation *op = &s->rotation.op;
    bool all = true;
    for (size_t i = 0; i < s->servers_count && s->servers[i].in_spec; i++) {
        const struct snapshot_server *v = &s->servers[i];
        if (facts_at_target(s, v))
            continue;
        all = false;
        if (fact(f, FACT_NEXT))
            continue;
        bool has_it =
            order_is_current(s, v) && !(order_answered(v) && v->report.order_state == ORDER_REFUSED);
        if (has_it && !op->restart)
            continue; /* it has its order: the operator's restart is what is missing */
        if (!op->restart && !manual_turn(s, i))
            continue;
        if (!has_it) {
            f->next_server = i;
            f->next_kind = kind_for(s, i);
            set(f, FACT_NEXT, "%s", v->name);
        }
        if (op->restart)
            break; /* one at a time, in restart order */
    }
    for (size_t i = 0; all && i < s->servers_count; i++)
        all = !s->servers[i].in_spec || facts_at_target(s, &s->servers[i]);
    set_if(f, FACT_ALL_AT_TARGET, all && s->servers_count > 0);
}

/* ---------- jobs ---------- */

static void job_facts(const struct cluster_snapshot *s, const struct planner_self *self, struct facts *f)
{
    const struct cluster_operation *op = &s->rotation.op;
    const struct cluster_reencrypt *r = &s->reencrypt;
    bool ours = s->has_reencrypt && strcmp(r->operation, op->id) == 0;
    bool running = self->job_running && strcmp(self->job_operation, op->id) == 0;
    set_if(f, FACT_JOB_RUNNING, running);
    set_if(f, FACT_JOB_ELSE, self->job_running && !running);
    if (ours && r->state == REENCRYPT_FAILED)
        set(f, FACT_JOB_FAILED, "%s", r->why);
    set_if(f, FACT_REWRITTEN, ours && r->state == REENCRYPT_ENDED);
    if (ours && r->state == REENCRYPT_ENDED && r->scan_revision > 0) {
        set_if(f, FACT_SCANNED, true);
        if (r->scan_stale == 0)
            set(f, FACT_CLEAN, "%" PRId64 " values at revision %" PRId64, r->scan_values, r->scan_revision);
        else
            snprintf(f->text[FACT_SCANNED], CLUSTER_TEXT_MAX,
                     "%" PRId64 " of %" PRId64 " values at revision %" PRId64
                     " are not under the write key%s%s%s%s",
                     r->scan_stale, r->scan_values, r->scan_revision,
                     r->failures_count ? "; first failure: " : "",
                     r->failures_count ? r->failures[0].object : "", r->failures_count ? ": " : "",
                     r->failures_count ? r->failures[0].why : "");
    }
    set_if(f, FACT_PASSES_LEFT, op->passes < self->passes_max);
}

/* ---------- cluster ---------- */

static bool same_spec(const struct cluster_spec *a, const struct cluster_spec *b)
{
    if (a->servers_count != b->servers_count || a->resources_count != b->resources_count)
        return false;
    for (size_t i = 0; i < a->servers_count; i++)
        if (strcmp(a->servers[i].name, b->servers[i].name) != 0 ||
            strcmp(a->servers[i].api, b->servers[i].api) != 0)
            return false;
    for (size_t i = 0; i < a->resources_count; i++)
        if (strcmp(a->resources[i], b->resources[i]) != 0)
            return false;
    return true;
}

static int rank(const struct cluster_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->servers_count; i++)
        if (strcmp(spec->servers[i].name, name) == 0)
            return (int)i;
    return CLUSTER_SERVERS_MAX;
}

static void cluster_facts(const struct cluster_snapshot *s, const struct planner_self *self, struct facts *f)
{
    set_if(f, FACT_SPEC_MISSING, !s->has_spec);
    if (s->has_spec && !same_spec(&s->spec, self->spec))
        set(f, FACT_SPEC_DIFFERS,
            "the config file on %s lists other servers or resources than the cluster runs with",
            self->server);
    for (size_t i = 0; i < s->candidates_count; i++)
        if (rank(self->spec, s->candidates[i]) < rank(self->spec, self->server))
            set(f, FACT_PREFERRED_WAITS, "%s", s->candidates[i]);
}

static void request_facts(const struct cluster_snapshot *s, struct facts *f)
{
    if (s->requests_count == 0)
        return;
    bool resumes = false;
    f->request = 0;
    rotation_gate(s, &s->requests[0].request, &resumes, f->text[FACT_REQUEST_REFUSED]);
    set_if(f, FACT_REQUEST, true);
    set_if(f, FACT_REQUEST_RESUMES, resumes);
    set_if(f, FACT_REQUEST_REFUSED, f->text[FACT_REQUEST_REFUSED][0] != 0);
}

/* Asked of the gate as if somebody had requested it: same conditions, same texts. */
static void adopt_facts(const struct cluster_snapshot *s, struct facts *f)
{
    static const struct cluster_request adopt = {.kind = OP_ADOPT};
    bool resumes = false;
    char why[CLUSTER_TEXT_MAX];
    if (s->rotation.generation > 0 || *s->rotation.op.id)
        return; /* adopted, or tried before: the next operation begins with it */
    rotation_gate(s, &adopt, &resumes, why);
    set_if(f, FACT_UNADOPTED, !*why);
}

static void operation_facts(const struct cluster_snapshot *s, const struct planner_self *self,
                            struct facts *f)
{
    const struct cluster_operation *op = &s->rotation.op;
    set_if(f, FACT_RUNNING, true);
    set_if(f, FACT_ADOPTING, op->kind == OP_ADOPT);
    set_if(f, FACT_MANUAL, !op->restart);
    set_if(f, FACT_PHASE_ADOPT, op->phase == PHASE_ADOPT);
    set_if(f, FACT_PHASE_CONFIG, is_config_phase(op->phase));
    set_if(f, FACT_PHASE_REWRITE, op->phase == PHASE_REWRITE);
    set_if(f, FACT_PHASE_VERIFY, op->phase == PHASE_VERIFY);
    set_if(f, FACT_ISSUED, op->target != 0 && (op->phase == PHASE_ADOPT || target_bundle(s)));
    for (size_t i = 0; i < s->servers_count; i++) {
        server_facts(s, &s->servers[i], f);
        if (is_config_phase(op->phase) && s->servers[i].in_spec)
            order_facts(s, self, &s->servers[i], f);
    }
    if (is_config_phase(op->phase) && fact(f, FACT_ISSUED))
        next_facts(s, f);
    if (!is_config_phase(op->phase))
        job_facts(s, self, f);
}

void facts_compute(const struct cluster_snapshot *s, const struct planner_self *self, struct facts *ret)
{
    memset(ret, 0, sizeof(*ret));
    cluster_facts(s, self, ret);
    request_facts(s, ret);
    if (s->has_rotation && *s->rotation.op.id && s->rotation.op.state == OP_STATE_RUNNING)
        operation_facts(s, self, ret);
    else
        adopt_facts(s, ret);
}
