#include <rotation/transition.h>

#include <base/cleanup.h>
#include <base/text.h>

#include "facts.h"

static void remember(struct cluster_rotation *r, const struct decision *d)
{
    struct cluster_operation *op = &r->op;
    if (strcmp(op->row, d->row) != 0 || strcmp(op->on, d->on) != 0)
        op->row_ms = d->now_ms;
    text_copy(op->row, sizeof(op->row), d->row);
    text_copy(op->why, sizeof(op->why), d->why);
    text_copy(op->on, sizeof(op->on), d->on);
}

/* There is no way back any more, or none is needed. */
static void forget_base(struct cluster_rotation *r)
{
    r->base = 0;
    r->promoted = false;
}

static void finish(struct cluster_rotation *r, int64_t now_ms)
{
    struct cluster_operation *op = &r->op;
    bool back_without_config = op->kind == OP_ABORT && op->before == 0;
    op->state = OP_STATE_FINISHED;
    op->ended_ms = now_ms;
    op->why[0] = op->on[0] = 0;
    if (op->kind == OP_ABORT && op->ends)
        return;
    if ((op->kind == OP_REENCRYPT && op->skip) || back_without_config)
        r->stage = op->stage_before;
    if (op->kind == OP_ENABLE || op->kind == OP_DISABLE || op->kind == OP_RESTORE_KEY || op->kind == OP_ABORT)
        forget_base(r);
}

static void enter(struct cluster_rotation *r, enum phase phase, int64_t now_ms)
{
    struct cluster_operation *op = &r->op;
    bool brought_back = op->phase == PHASE_BRING_BACK;
    op->phase = phase;
    op->phase_ms = now_ms;
    op->step++;
    op->from = r->generation;
    op->target = 0;
    op->target_hash[0] = 0;
    if (phase == PHASE_RESTART) { /* with what they have: nothing is issued */
        op->target = r->generation;
        memcpy(op->target_hash, r->hash, sizeof(op->target_hash));
    }
    if (phase == PHASE_REWRITE) {
        r->stage = STAGE_REENCRYPT_REQUEST;
        if (!brought_back)
            op->passes = 0;
    }
    if (phase == PHASE_DONE)
        finish(r, now_ms);
}

/* How values are rewritten is as whoever asked last wants it; a rate that was not said stays. */
static void take_engine(struct cluster_operation *op, const struct cluster_request *request)
{
    text_copy(op->engine, sizeof(op->engine), request->engine);
    op->offline = request->offline;
    if (request->max_rate >= 0)
        op->max_rate = request->max_rate;
}

static void take_servers(struct cluster_operation *op, const struct cluster_request *request)
{
    op->servers_count = request->servers_count;
    for (size_t i = 0; i < request->servers_count && i < CLUSTER_SUBSET_MAX; i++)
        text_copy(op->servers[i], sizeof(op->servers[i]), request->servers[i]);
}

static void begin(const struct cluster_snapshot *s, const struct decision *d, const char *id,
                  const struct cluster_request *request, struct cluster_rotation *r)
{
    struct cluster_operation *op = &r->op;
    memset(op, 0, sizeof(*op));
    op->max_rate = -1;
    text_copy(op->id, sizeof(op->id), id);
    op->kind = request->kind;
    op->state = OP_STATE_RUNNING;
    op->force = request->force;
    op->skip = request->skip;
    op->restart = request->restart || request->kind == OP_RESTART;
    op->now = request->now;
    op->list = s->spec_mod;
    take_servers(op, request);
    text_copy(op->reason, sizeof(op->reason), request->reason);
    text_copy(op->role, sizeof(op->role), request->role);
    take_engine(op, request);
    op->started_ms = s->now_ms;
    op->attempt = 1;
    op->stage_before = r->stage;
    text_copy(op->key, sizeof(op->key), request->key);
    for (size_t i = 0; i < s->escrow_count; i++)
        if (strcmp(s->escrow[i].name, op->key) == 0)
            text_copy(op->key_provider, sizeof(op->key_provider), s->escrow[i].provider);
    text_copy(op->requested_by, sizeof(op->requested_by), request->by);
    remember(r, d);
}

void rotation_start(const struct cluster_snapshot *s, const struct decision *d, const char *id,
                    struct cluster_rotation *r)
{
    begin(s, d, id, &s->requests[d->request].request, r);
    enter(r, rotation_first_phase(s, &r->op), s->now_ms);
}

void rotation_adopt(const struct cluster_snapshot *s, const struct decision *d, const char *id,
                    struct cluster_rotation *r)
{
    static const struct cluster_request request = {
        .kind = OP_ADOPT, .restart = true, .max_rate = -1, .by = "the coordinator"};
    begin(s, d, id, &request, r);
    enter(r, rotation_first_phase(s, &r->op), s->now_ms);
}

void rotation_abort(const struct cluster_snapshot *s, const struct decision *d, const char *id,
                    struct cluster_rotation *r)
{
    const struct cluster_operation was = s->rotation.op;
    bool unfinished = *was.id && was.state != OP_STATE_FINISHED;
    const struct snapshot_bundle *b =
        unfinished && was.target && was.phase != PHASE_ADOPT ? snapshot_bundle(s, was.target) : NULL;
    begin(s, d, id, &s->requests[d->request].request, r);
    r->op.touched = true; /* what it ends has begun: it is to come to its end */
    if (unfinished) {
        memcpy(r->op.aborts, was.id, sizeof(r->op.aborts));
        memcpy(r->op.also, b ? b->hash : was.also, sizeof(r->op.also));
        r->op.stage_before = was.stage_before;
        r->op.ends = was.kind == OP_RESTART;
    }
    enter(r, rotation_first_phase(s, &r->op), s->now_ms);
}

void rotation_pause(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r)
{
    (void)s;
    r->op.state = OP_STATE_PAUSED;
    remember(r, d);
}

void rotation_throttle(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r)
{
    r->op.max_rate = s->requests[d->request].request.max_rate;
}

static void resume_halted(const struct cluster_snapshot *s, struct cluster_rotation *r)
{
    struct cluster_operation *op = &r->op;
    bool before_drop = rotation_phase_drops(op->phase) && op->target == 0;
    bool rewriting = op->phase == PHASE_REWRITE || op->phase == PHASE_VERIFY || before_drop;
    bool watched = s->spec.owned && rotation_phase_drops(op->phase); /* the watch begins anew */
    bool job = !rotation_phase_is_config(op->phase) || before_drop || watched;
    op->attempt++;
    op->ended_ms = 0;
    op->cause = CAUSE_NONE;
    op->phase_ms = s->now_ms;
    if (job)
        op->step++; /* what was recorded for the step before is outdated */
    if (rewriting) {
        op->phase = PHASE_REWRITE;
        op->passes = 0;
        r->stage = STAGE_REENCRYPT_REQUEST;
    }
}

void rotation_resume(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r)
{
    const struct cluster_request *request = &s->requests[d->request].request;
    if (r->op.state == OP_STATE_HALTED)
        resume_halted(s, r);
    r->op.state = OP_STATE_RUNNING;
    if (request->now)
        r->op.now = true;
    if (request->kind == r->op.kind)
        r->op.restart = request->restart;
    if (request->kind == r->op.kind)
        take_engine(&r->op, request);
    remember(r, d);
}

bool rotation_resume_drops_order(const struct snapshot_server *v)
{
    return v->has_order && v->report.order_id == v->order.id &&
           (v->report.order_state == ORDER_FAILED || v->report.order_state == ORDER_REFUSED);
}

bool rotation_order_is_over(const struct snapshot_server *v)
{
    return v->has_order && v->reports && v->report.order_id == v->order.id &&
           (v->report.order_state == ORDER_DONE || v->report.order_state == ORDER_FAILED ||
            v->report.order_state == ORDER_REFUSED);
}

/* Whose orders are deleted now is counted: their answers are gone with them. */
static void count_restarted(const struct cluster_snapshot *s, struct cluster_rotation *r)
{
    if (facts_live(s) && r->op.phase == PHASE_RESTART)
        r->op.restarted = rotation_restarted(s);
}

void rotation_halt(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r)
{
    remember(r, d);
    count_restarted(s, r);
    r->op.cause = d->cause;
    r->op.state = OP_STATE_HALTED;
    r->op.ended_ms = s->now_ms;
}

bool rotation_note(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r)
{
    const struct cluster_operation *op = &s->rotation.op;
    bool live = op->state == OP_STATE_RUNNING || op->state == OP_STATE_PAUSED;
    if (!s->has_rotation || !*op->id || !live ||
        (strcmp(op->row, d->row) == 0 && strcmp(op->why, d->why) == 0))
        return false;
    remember(r, d);
    return true;
}

void rotation_proof_begin(const struct cluster_snapshot *s, struct cluster_proof *ret)
{
    const struct cluster_operation *op = &s->rotation.op;
    const struct cluster_proof *p = snapshot_proof(s, op->phase);
    bool again = p && p->step == op->step;
    memset(ret, 0, sizeof(*ret));
    ret->phase = op->phase;
    ret->step = op->step;
    ret->state = PROOF_RUNNING;
    ret->generation = s->rotation.generation;
    ret->attempts = again ? p->attempts + 1 : 1;
    ret->time_ms = s->now_ms;
    if (again && rotation_phase_drops(op->phase))
        ret->revision = p->revision; /* a watch goes on where the one before came to */
}

/* Phases that begin a way which `abort` can go back. */
static bool opens_way(enum phase p)
{
    return p == PHASE_APPEND || p == PHASE_PROMOTE || p == PHASE_IDENTITY || p == PHASE_SWITCH ||
           p == PHASE_RESTORE;
}

void rotation_issued(const struct decision *d, int64_t target, const char *hash, struct cluster_rotation *r)
{
    enum phase phase = r->op.phase;
    if (opens_way(phase) && r->base == 0) {
        r->base = r->generation;
        r->base_stage = r->stage;
    }
    if (phase == PHASE_PROMOTE || phase == PHASE_SWITCH)
        r->promoted = true;
    r->op.touched |= phase != PHASE_ADOPT;
    r->op.target = r->issued = target;
    text_copy(r->op.target_hash, sizeof(r->op.target_hash), hash);
    /* As K3s: the stage is reached with its first server. That of the drop is not, until every server has it.
     */
    if (phase == PHASE_APPEND || phase == PHASE_PROMOTE)
        r->stage = rotation_phase_stage(phase, r);
    remember(r, d);
}

/* What K3s calls the step that brings the phase's config. */
static const char *call_for(const struct cluster_operation *op)
{
    static const struct {
        enum phase phase;
        const char *call;
    } calls[] = {{PHASE_APPEND, "prepare"}, {PHASE_PROMOTE, "rotate"}, {PHASE_DROP, "reencrypt"}};
    for (size_t i = 0; i < array_len(calls); i++)
        if (calls[i].phase == op->phase)
            return calls[i].call;
    return op->kind == OP_DISABLE ? "disable" : "enable";
}

void rotation_order(const struct cluster_snapshot *s, const struct decision *d, int64_t fence,
                    struct cluster_rotation *r, struct cluster_order *ret)
{
    const struct snapshot_bundle *b = snapshot_bundle(s, d->generation);
    r->next_order++;
    *ret = (struct cluster_order){
        .id = r->next_order,
        .kind = d->order_kind,
        .generation = d->generation,
        .stage = b ? b->stage : rotation_phase_stage(r->op.phase, r),
        .fence = fence,
        .given_ms = s->now_ms,
    };
    text_copy(ret->operation, sizeof(ret->operation), r->op.id);
    text_copy(ret->hash, sizeof(ret->hash), b ? b->hash : r->op.phase == PHASE_RESTART ? r->hash : "");
    count_restarted(s, r);
    if (ret->kind == ORDER_CALL) {
        ret->from = r->op.from;
        text_copy(ret->call, sizeof(ret->call), call_for(&r->op));
    }
    remember(r, d);
}

void rotation_repair(const struct cluster_snapshot *s, const struct decision *d, int64_t fence,
                     const char *by, struct cluster_rotation *r, struct cluster_order *ret)
{
    /* While a key is being brought back, the settled config is the one that lacks it. */
    int64_t generation = facts_live(s) && r->op.phase == PHASE_BRING_BACK ? r->op.from : r->generation;
    if (s->spec.owned && facts_target(s))
        generation = r->op.target; /* the only one that they have to hand to one another */
    const struct snapshot_bundle *b = snapshot_bundle(s, generation);
    r->next_order++;
    *ret = (struct cluster_order){
        .id = r->next_order,
        .kind = s->spec.owned ? ORDER_FOLLOW : ORDER_REPAIR,
        .generation = generation,
        .stage = b ? b->stage : r->stage,
        .fence = fence,
        .given_ms = s->now_ms,
    };
    text_copy(ret->operation, sizeof(ret->operation), by);
    memcpy(ret->hash, b ? b->hash : r->hash, sizeof(ret->hash));
    count_restarted(s, r);
    if (r->op.state == OP_STATE_RUNNING)
        remember(r, d);
}

bool rotation_settle(const struct cluster_snapshot *s, struct cluster_rotation *r)
{
    if (!r->op.target || r->op.phase == PHASE_RESTART)
        return true;
    const struct snapshot_bundle *b = snapshot_bundle(s, r->op.target);
    if (!b)
        return false;
    if (rotation_phase_drops(r->op.phase)) {
        r->op.before = r->generation;
        forget_base(r);
    }
    r->generation = b->generation;
    r->stage = b->stage;
    memcpy(r->hash, b->hash, sizeof(r->hash));
    r->op.also[0] = 0;
    return true;
}

void rotation_advance(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r)
{
    enum phase next = rotation_next_phase(s, r);
    count_restarted(s, r);
    remember(r, d);
    enter(r, next, s->now_ms);
}

void rotation_bring_back(const struct cluster_snapshot *s, const struct decision *d,
                         struct cluster_rotation *r)
{
    struct cluster_operation *op = &r->op;
    const struct snapshot_bundle *b = op->target ? snapshot_bundle(s, op->target) : NULL;
    /* The config from before the drop: the settled one while the drop is under way, else the one before. */
    int64_t from = op->phase == PHASE_FINAL ? op->before : r->generation;
    enter(r, PHASE_BRING_BACK, s->now_ms);
    op->from = from;
    op->state = OP_STATE_RUNNING;
    if (b)
        memcpy(op->also, b->hash, sizeof(op->also));
    remember(r, d);
}

void rotation_rewrite(const struct decision *d, struct cluster_rotation *r)
{
    /* A successor that begins a broken pass anew does not use one up: only scans that found something do. */
    if (r->stage != STAGE_REENCRYPT_ACTIVE)
        r->op.passes++;
    r->stage = STAGE_REENCRYPT_ACTIVE;
    r->op.touched = true;
    remember(r, d);
}

void rotation_rewrite_again(const struct decision *d, struct cluster_rotation *r)
{
    int64_t passes = r->op.passes;
    enter(r, PHASE_REWRITE, d->now_ms);
    r->op.passes = passes;
    remember(r, d);
}
