#include <rotation/transition.h>

#include <base/text.h>

static void remember(struct cluster_rotation *r, const struct decision *d)
{
    text_copy(r->op.row, sizeof(r->op.row), d->row);
    text_copy(r->op.why, sizeof(r->op.why), d->why);
}

static void finish(struct cluster_rotation *r, int64_t now_ms)
{
    struct cluster_operation *op = &r->op;
    op->state = OP_STATE_FINISHED;
    op->ended_ms = now_ms;
    op->why[0] = 0;
    if (op->kind == OP_REENCRYPT && op->skip)
        r->stage = op->stage_before;
}

static void enter(struct cluster_rotation *r, enum phase phase, int64_t now_ms)
{
    struct cluster_operation *op = &r->op;
    op->phase = phase;
    op->phase_ms = now_ms;
    op->from = r->generation;
    op->target = 0;
    op->target_hash[0] = 0;
    if (phase == PHASE_REWRITE) {
        r->stage = STAGE_REENCRYPT_REQUEST;
        op->passes = 0;
    }
    if (phase == PHASE_DONE)
        finish(r, now_ms);
}

static void begin(const struct cluster_snapshot *s, const struct decision *d, const char *id,
                  const struct cluster_request *request, struct cluster_rotation *r)
{
    struct cluster_operation *op = &r->op;
    memset(op, 0, sizeof(*op));
    text_copy(op->id, sizeof(op->id), id);
    op->kind = request->kind;
    op->state = OP_STATE_RUNNING;
    op->force = request->force;
    op->skip = request->skip;
    op->restart = request->restart;
    op->started_ms = s->now_ms;
    op->attempt = 1;
    op->stage_before = r->stage;
    text_copy(op->requested_by, sizeof(op->requested_by), request->by);
    remember(r, d);
    enter(r, rotation_first_phase(s, op), s->now_ms);
}

void rotation_start(const struct cluster_snapshot *s, const struct decision *d, const char *id,
                    struct cluster_rotation *r)
{
    begin(s, d, id, &s->requests[d->request].request, r);
}

void rotation_adopt(const struct cluster_snapshot *s, const struct decision *d, const char *id,
                    struct cluster_rotation *r)
{
    static const struct cluster_request request = {
        .kind = OP_ADOPT, .restart = true, .by = "the coordinator"};
    begin(s, d, id, &request, r);
}

void rotation_resume(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r,
                     bool *ret_drop_progress)
{
    struct cluster_operation *op = &r->op;
    op->state = OP_STATE_RUNNING;
    op->attempt++;
    op->ended_ms = 0;
    op->restart = s->requests[d->request].request.restart;
    op->phase_ms = s->now_ms;
    *ret_drop_progress = op->phase == PHASE_REWRITE || op->phase == PHASE_VERIFY;
    if (*ret_drop_progress) {
        op->phase = PHASE_REWRITE;
        op->passes = 0;
        r->stage = STAGE_REENCRYPT_REQUEST;
    }
    remember(r, d);
}

bool rotation_resume_drops_order(const struct snapshot_server *v)
{
    return v->has_order && v->report.order_id == v->order.id &&
           (v->report.order_state == ORDER_FAILED || v->report.order_state == ORDER_REFUSED);
}

void rotation_halt(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r)
{
    remember(r, d);
    r->op.state = OP_STATE_HALTED;
    r->op.ended_ms = s->now_ms;
}

bool rotation_note(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r)
{
    const struct cluster_operation *op = &s->rotation.op;
    if (!s->has_rotation || !*op->id || op->state != OP_STATE_RUNNING ||
        (strcmp(op->row, d->row) == 0 && strcmp(op->why, d->why) == 0))
        return false;
    remember(r, d);
    return true;
}

void rotation_issued(const struct decision *d, int64_t target, const char *hash, struct cluster_rotation *r)
{
    r->op.target = r->issued = target;
    text_copy(r->op.target_hash, sizeof(r->op.target_hash), hash);
    /* As K3s: the stage is reached with its first server. That of the drop is not, until every server has it.
     */
    if (r->op.phase == PHASE_APPEND || r->op.phase == PHASE_PROMOTE)
        r->stage = rotation_phase_stage(r->op.phase, r);
    remember(r, d);
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
    text_copy(ret->hash, sizeof(ret->hash), b ? b->hash : "");
    remember(r, d);
}

bool rotation_settle(const struct cluster_snapshot *s, struct cluster_rotation *r)
{
    if (!r->op.target)
        return true;
    const struct snapshot_bundle *b = snapshot_bundle(s, r->op.target);
    if (!b)
        return false;
    r->generation = b->generation;
    r->stage = b->stage;
    memcpy(r->hash, b->hash, sizeof(r->hash));
    return true;
}

void rotation_advance(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r)
{
    enum phase next = rotation_next_phase(s, r);
    remember(r, d);
    enter(r, next, s->now_ms);
}

void rotation_rewrite(const struct decision *d, struct cluster_rotation *r)
{
    /* A successor that begins a broken pass anew does not use one up: only scans that found something do. */
    if (r->stage != STAGE_REENCRYPT_ACTIVE)
        r->op.passes++;
    r->stage = STAGE_REENCRYPT_ACTIVE;
    remember(r, d);
}

void rotation_rewrite_again(const struct decision *d, struct cluster_rotation *r)
{
    r->op.phase = PHASE_REWRITE;
    r->stage = STAGE_REENCRYPT_REQUEST;
    remember(r, d);
}
