#include "facts.h"

#include <stdarg.h>

#include <base/cleanup.h>
#include <base/text.h>

static const char *const names[FACT_COUNT] = {
    [FACT_SPEC_MISSING] = "spec_missing",
    [FACT_SPEC_DIFFERS] = "spec_differs",
    [FACT_PREFERRED_WAITS] = "preferred_waits",
    [FACT_UNKNOWN_API] = "unknown_api",
    [FACT_PRUNABLE] = "prunable",
    [FACT_REQUEST] = "request",
    [FACT_REQUEST_REFUSED] = "request_refused",
    [FACT_REQUEST_RESUMES] = "request_resumes",
    [FACT_REQUEST_PAUSES] = "request_pauses",
    [FACT_REQUEST_ABORTS] = "request_aborts",
    [FACT_REQUEST_REPAIRS] = "request_repairs",
    [FACT_REQUEST_THROTTLES] = "request_throttles",
    [FACT_REQUEST_LOCKS] = "request_locks",
    [FACT_REQUEST_UNLOCKS] = "request_unlocks",
    [FACT_LOCKED] = "locked",
    [FACT_UNADOPTED] = "unadopted",
    [FACT_ADOPTING] = "adopting",
    [FACT_LIVE] = "live",
    [FACT_PAUSED] = "paused",
    [FACT_MANUAL] = "manual",
    [FACT_PHASE_ADOPT] = "phase_adopt",
    [FACT_PHASE_CONFIG] = "phase_config",
    [FACT_PHASE_PROOF] = "phase_proof",
    [FACT_PHASE_DROPS] = "phase_drops",
    [FACT_PHASE_REWRITE] = "phase_rewrite",
    [FACT_PHASE_VERIFY] = "phase_verify",
    [FACT_PHASE_FINAL] = "phase_final",
    [FACT_ISSUED] = "issued",
    [FACT_CLOSED] = "closed",
    [FACT_SILENT] = "silent",
    [FACT_STRANGER] = "stranger",
    [FACT_UNREADY] = "unready",
    [FACT_STANDING] = "standing",
    [FACT_UNLOADED] = "unloaded",
    [FACT_DRIFT] = "drift",
    [FACT_SEALED] = "sealed",
    [FACT_REPAIRABLE] = "repairable",
    [FACT_AUTO_REPAIR] = "auto_repair",
    [FACT_OWNED] = "owned",
    [FACT_NOT_RAW] = "not_raw",
    [FACT_ORDER_IN_FLIGHT] = "order_in_flight",
    [FACT_ORDER_LATE] = "order_late",
    [FACT_ORDER_FAILED] = "order_failed",
    [FACT_UNDONE] = "undone",
    [FACT_ORDER_OUTDATED] = "order_outdated",
    [FACT_NEXT] = "next",
    [FACT_ALL_AT_TARGET] = "all_at_target",
    [FACT_JOB_RUNNING] = "job_running",
    [FACT_JOB_ELSE] = "job_else",
    [FACT_JOB_FAILED] = "job_failed",
    [FACT_REWRITTEN] = "rewritten",
    [FACT_PROVED] = "proved",
    [FACT_DISPROVED] = "disproved",
    [FACT_ATTEMPTS_LEFT] = "attempts_left",
    [FACT_RETRY_SOON] = "retry_soon",
    [FACT_WATCHING] = "watching",
    [FACT_PASSES_LEFT] = "passes_left",
    [FACT_PASS_BEGUN] = "pass_begun",
};

const char *fact_name(enum fact f)
{
    return names[f];
}

void facts_set(struct facts *f, enum fact which, const char *on, const char *format, ...)
{
    if (fact(f, which))
        return;
    va_list ap;
    va_start(ap, format);
    vsnprintf(f->text[which], CLUSTER_TEXT_MAX, format, ap);
    va_end(ap);
    f->on[which] = on;
    f->bits |= FACT_BIT(which);
}

void facts_set_if(struct facts *f, enum fact which, bool value)
{
    if (value)
        f->bits |= FACT_BIT(which);
}

bool facts_live(const struct cluster_snapshot *s)
{
    const struct cluster_operation *op = &s->rotation.op;
    return s->has_rotation && *op->id && (op->state == OP_STATE_RUNNING || op->state == OP_STATE_PAUSED);
}

/* ---------- cluster ---------- */

static bool same_server(const struct cluster_spec_server *a, const struct cluster_spec_server *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->api, b->api) == 0 && a->role == b->role;
}

static bool same_policy(const struct cluster_spec *a, const struct cluster_spec *b)
{
    return a->snapshots == b->snapshots && a->canaries == b->canaries && a->auto_repair == b->auto_repair &&
           a->escrow_days == b->escrow_days && a->owned == b->owned && a->not_raw == b->not_raw;
}

static bool same_spec(const struct cluster_spec *a, const struct cluster_spec *b)
{
    if (a->servers_count != b->servers_count || a->resources_count != b->resources_count)
        return false;
    for (size_t i = 0; i < a->servers_count; i++)
        if (!same_server(&a->servers[i], &b->servers[i]))
            return false;
    for (size_t i = 0; i < a->resources_count; i++)
        if (strcmp(a->resources[i], b->resources[i]) != 0)
            return false;
    return same_policy(a, b);
}

/* The server's place among the first `count` of the spec; `count`: it is none of them. */
static size_t rank(const struct cluster_spec *spec, size_t count, const char *name)
{
    size_t i = 0;
    while (i < count && strcmp(spec->servers[i].name, name) != 0)
        i++;
    return i;
}

#define CLOCKS_AGREE_MS (10 * 60 * 1000)

bool rotation_clocks_agree(const struct cluster_snapshot *s)
{
    for (size_t i = 0; i < s->servers_count; i++) {
        const struct snapshot_server *v = &s->servers[i];
        int64_t apart = v->report.time_ms - s->now_ms;
        if (v->in_spec && (!v->reports || apart > CLOCKS_AGREE_MS || apart < -CLOCKS_AGREE_MS))
            return false;
    }
    return s->servers_count > 0;
}

static bool prunable(const struct cluster_snapshot *s)
{
    bool over = false;
    for (size_t i = 0; i < s->escrow_count; i++)
        over |= rotation_escrow_is_over(s, i);
    for (size_t i = 0; i < s->bundles_count; i++)
        over |= rotation_bundle_is_over(s, i);
    return over && rotation_clocks_agree(s);
}

static void cluster_facts(const struct cluster_snapshot *s, const struct planner_self *self, struct facts *f)
{
    facts_set_if(f, FACT_SPEC_MISSING, !s->has_spec);
    if (s->has_spec && !same_spec(&s->spec, self->spec))
        facts_set(
            f, FACT_SPEC_DIFFERS, self->server,
            "the config file on %s lists other servers, resources or policies than the cluster runs with",
            self->server);
    /* Mostly the first server leads, and nobody comes before it. */
    size_t ours = rank(self->spec, self->spec->servers_count, self->server);
    for (size_t i = 0; ours > 0 && i < s->candidates_count; i++)
        if (rank(self->spec, ours, s->candidates[i]) < ours)
            facts_set(f, FACT_PREFERRED_WAITS, NULL, "%s", s->candidates[i]);
    if (*s->unknown_api)
        facts_set(f, FACT_UNKNOWN_API, NULL, "%s", s->unknown_api);
    facts_set_if(f, FACT_PRUNABLE, prunable(s));
    facts_set_if(f, FACT_AUTO_REPAIR, s->spec.auto_repair);
    facts_set_if(f, FACT_OWNED, s->spec.owned);
    facts_set_if(f, FACT_NOT_RAW, s->spec.not_raw);
    facts_set_if(f, FACT_LOCKED, s->has_lock);
}

/* Whoever writes the state store may put back what somebody once asked for, signature and all. */
static enum cluster_cause refuse_copy(char why[CLUSTER_TEXT_MAX])
{
    text_copy(
        why, CLUSTER_TEXT_MAX,
        "it is a copy of a request that was made before, or was made by a release before this one: find out "
        "who else can write the state store");
    return CAUSE_DENIED;
}

static void request_facts(const struct cluster_snapshot *s, struct facts *f)
{
    static const struct {
        enum operation_kind kind;
        enum fact fact;
    } asks[] = {{OP_PAUSE, FACT_REQUEST_PAUSES},   {OP_ABORT, FACT_REQUEST_ABORTS},
                {OP_REPAIR, FACT_REQUEST_REPAIRS}, {OP_THROTTLE, FACT_REQUEST_THROTTLES},
                {OP_LOCK, FACT_REQUEST_LOCKS},     {OP_UNLOCK, FACT_REQUEST_UNLOCKS}};
    if (s->requests_count == 0)
        return;
    const struct cluster_request *r = &s->requests[0].request;
    bool resumes = false;
    f->refused = s->requests[0].copied ? refuse_copy(f->text[FACT_REQUEST_REFUSED])
                                       : rotation_gate(s, r, &resumes, f->text[FACT_REQUEST_REFUSED]);
    facts_set_if(f, FACT_REQUEST, true);
    facts_set_if(f, FACT_REQUEST_RESUMES, resumes);
    facts_set_if(f, FACT_REQUEST_REFUSED, f->text[FACT_REQUEST_REFUSED][0] != 0);
    for (size_t i = 0; i < array_len(asks); i++)
        facts_set_if(f, asks[i].fact, r->kind == asks[i].kind);
    if (r->kind != OP_REPAIR)
        return;
    for (size_t i = 0; i < s->servers_count; i++)
        if (strcmp(s->servers[i].name, r->server) == 0)
            f->repair_server = i;
}

/* Asked of the gate as if somebody had requested it: same conditions, same texts. */
bool rotation_is_untaken(const struct cluster_snapshot *s, char why[CLUSTER_TEXT_MAX])
{
    static const struct cluster_request adopt = {.kind = OP_ADOPT};
    bool resumes = false;
    why[0] = 0;
    if (s->rotation.generation > 0 || *s->rotation.op.id)
        return false; /* adopted, or tried before: the next operation begins with it */
    (void)rotation_gate(s, &adopt, &resumes, why);
    return true;
}

static void adopt_facts(const struct cluster_snapshot *s, struct facts *f)
{
    char why[CLUSTER_TEXT_MAX];
    facts_set_if(f, FACT_UNADOPTED, rotation_is_untaken(s, why) && !*why);
}

/* What leads back, what only looks, and a drop that has begun are never held: half of each is worse than the
 * wrong hour. */
static bool may_be_held(const struct facts *f, const struct cluster_operation *op)
{
    bool dropping = fact(f, FACT_PHASE_DROPS) && fact(f, FACT_ISSUED);
    return op->kind != OP_ABORT && op->kind != OP_ADOPT && op->phase != PHASE_BRING_BACK && !dropping;
}

static void operation_facts(const struct cluster_snapshot *s, const struct planner_self *self,
                            struct facts *f)
{
    const struct cluster_operation *op = &s->rotation.op;
    bool config = rotation_phase_is_config(op->phase);
    facts_set_if(f, FACT_LIVE, true);
    facts_set_if(f, FACT_PAUSED, op->state == OP_STATE_PAUSED);
    facts_set_if(f, FACT_ADOPTING, op->kind == OP_ADOPT);
    facts_set_if(f, FACT_MANUAL, !op->restart);
    facts_set_if(f, FACT_PHASE_ADOPT, op->phase == PHASE_ADOPT);
    facts_set_if(f, FACT_PHASE_CONFIG, config);
    facts_set_if(f, FACT_PHASE_PROOF, rotation_phase_is_proof(op->phase));
    facts_set_if(f, FACT_PHASE_DROPS, rotation_phase_drops(op->phase));
    facts_set_if(f, FACT_PHASE_REWRITE, op->phase == PHASE_REWRITE);
    facts_set_if(f, FACT_PHASE_VERIFY, op->phase == PHASE_VERIFY);
    facts_set_if(f, FACT_PHASE_FINAL, op->phase == PHASE_FINAL);
    bool had = rotation_made_by_servers(s, op->phase) || op->phase == PHASE_RESTART || facts_target(s);
    facts_set_if(f, FACT_ISSUED, op->target != 0 && had && !(config && facts_lost(s)));
    if (self->closed && *self->closed && may_be_held(f, op))
        facts_set(f, FACT_CLOSED, NULL, "%s", self->closed);
    if (config && fact(f, FACT_ISSUED))
        facts_of_next(s, f);
    facts_of_jobs(s, self, f);
}

void facts_compute(const struct cluster_snapshot *s, const struct planner_self *self, struct facts *ret)
{
    ret->bits = 0;
    for (size_t i = 0; i < FACT_COUNT; i++) {
        ret->text[i][0] = 0;
        ret->on[i] = NULL;
    }
    ret->next_server = ret->repair_server = 0;
    ret->next_kind = ORDER_APPLY;
    ret->refused = CAUSE_NONE;
    facts_of_servers(s, self, ret);
    cluster_facts(s, self, ret);
    request_facts(s, ret);
    if (facts_live(s))
        operation_facts(s, self, ret);
    else
        adopt_facts(s, ret);
    if (!facts_live(s))
        facts_set_if(ret, FACT_JOB_ELSE, self->job_running);
}
