#include "drafts.h"

#include <string.h>

#include <base/text.h>

#include "expand.h"
#include "making.h"
#include "owned.h"

static uint8_t orders_where(const struct draft *t, bool (*over)(const struct snapshot_server *v))
{
    uint8_t set = 0;
    for (size_t i = 0; i < t->snapshot->servers_count; i++)
        if (t->snapshot->servers[i].has_order && over(&t->snapshot->servers[i]))
            set |= (uint8_t)(1u << i);
    return set;
}

static bool any_order(const struct snapshot_server *v)
{
    (void)v;
    return true;
}

/* As act_request.c: all but what a server is at work on. */
static bool not_in_flight(const struct snapshot_server *v)
{
    return v->order.kind == ORDER_SYNC || rotation_order_is_over(v) || rotation_resume_drops_order(v);
}

static void put_record(struct draft *t)
{
    t->p->puts = 1;
    t->p->steps = t->r.op.step != STEP_NOW;
    rotation_pack(&t->r, &t->s->record.rotation, &t->p->rotation);
}

static void draft_refuse(struct draft *t)
{
    t->p->answers = 1;
}

static void begun(struct draft *t)
{
    t->p->answers = t->d->action != ACTION_ADOPT;
    t->p->clears = 1;
    put_record(t);
    t->p->rotation.new_keys = 0;
}

static void draft_start(struct draft *t)
{
    rotation_start(t->snapshot, t->d, "new", &t->r);
    begun(t);
}

static void draft_adopt(struct draft *t)
{
    rotation_adopt(t->snapshot, t->d, "new", &t->r);
    begun(t);
}

static void draft_abort(struct draft *t)
{
    rotation_abort(t->snapshot, t->d, "new", &t->r);
    t->p->deletes = orders_where(t, not_in_flight);
    begun(t);
}

static void draft_resume(struct draft *t)
{
    rotation_resume(t->snapshot, t->d, &t->r);
    t->p->answers = 1;
    t->p->deletes = orders_where(t, rotation_resume_drops_order);
    put_record(t);
}

static void draft_pause(struct draft *t)
{
    rotation_pause(t->snapshot, t->d, &t->r);
    t->p->answers = 1;
    put_record(t);
}

static void draft_throttle(struct draft *t)
{
    rotation_throttle(t->snapshot, t->d, &t->r);
    t->p->answers = 1;
    put_record(t);
    struct model_rotation before = t->s->record.rotation;
    before.throttled = t->p->rotation.throttled;
    t->p->overdone = t->p->steps || memcmp(&before, &t->p->rotation, sizeof(before)) != 0;
}

static void draft_answer(struct draft *t)
{
    t->p->answers = 1;
}

/* As DESIGN has it, said once more: what may go on at any hour. */
static bool at_any_hour(const struct draft *t)
{
    const struct cluster_operation *op = &t->snapshot->rotation.op;
    bool back = op->kind == OP_ABORT || op->kind == OP_ADOPT || op->phase == PHASE_BRING_BACK;
    return back || (rotation_phase_drops(op->phase) && op->target);
}

/* I3 as the planner could see it: another server was not well, or still at work. */
static bool others_are_well(const struct draft *t)
{
    for (size_t i = 0; i < t->snapshot->servers_count; i++) {
        const struct snapshot_server *v = &t->snapshot->servers[i];
        bool answered = v->report.order_id == v->order.id && v->report.order_state >= ORDER_DONE;
        if (i == t->d->server)
            continue;
        if (!v->reports || !v->report.ready || (v->has_order && !answered))
            return false;
    }
    return true;
}

/* I1 and I2 as the planner could see them: whatever a server is told to write with, every other one can read
 * by its file and by what it has loaded. */
static bool others_read_it(const struct draft *t, uint8_t config)
{
    uint8_t key = KEY_BIT(writes(config));
    for (size_t i = 0; config && i < t->snapshot->servers_count; i++) {
        const struct model_server *m = &t->s->servers[i];
        bool file = (reads(m->report.file.config) & key) != 0;
        bool loaded = !m->report.known || (reads(m->report.loaded.config) & key);
        if (i != t->d->server && (!file || !loaded))
            return false;
    }
    return true;
}

/* What the order is to bring to the server. */
static uint8_t brings(const struct draft *t)
{
    const struct model_order *o = &t->p->order;
    return o->call ? owned_next(making_bundle(t->s, o->from), o->call, t->s->record.keys + 1u) : o->config;
}

static void put_order(struct draft *t, const struct cluster_order *o)
{
    bool restarts = o->kind == ORDER_APPLY || o->kind == ORDER_REPAIR || o->kind == ORDER_RESTART ||
                    o->kind == ORDER_FOLLOW;
    t->p->stranger = t->d->action == ACTION_ORDER && t->snapshot->unknown_api[0];
    t->p->unwell = restarts && !others_are_well(t);
    t->p->unwatched = rotation_phase_drops(t->snapshot->rotation.op.phase) && t->d->action == ACTION_ORDER &&
                      !model.scenario->not_raw &&
                      !(t->self->watching && t->s->busy.proof.state == PROOF_RUNNING);
    t->p->held = t->self->closed && t->d->action == ACTION_ORDER && !at_any_hour(t);
    t->p->server = (uint8_t)t->d->server;
    t->p->deletes = orders_where(t, rotation_order_is_over);
    order_pack(o, &t->p->order);
    t->p->blind = t->d->action == ACTION_ORDER && !others_read_it(t, brings(t));
    t->p->futile = o->kind == ORDER_FOLLOW && making_bundle(t->s, t->s->record.rotation.target) &&
                   o->generation != t->s->record.rotation.target;
    t->p->unsealed = o->kind == ORDER_FOLLOW && !t->p->order.config;
    put_record(t);
}

static void draft_order(struct draft *t)
{
    struct cluster_order o;
    rotation_order(t->snapshot, t->d, t->self->fence, &t->r, &o);
    put_order(t, &o);
}

static void draft_repair(struct draft *t)
{
    struct cluster_order o;
    bool asked = t->d->request != SIZE_MAX;
    rotation_repair(t->snapshot, t->d, t->self->fence, asked ? "request" : "policy", &t->r, &o);
    t->p->answers = asked;
    put_order(t, &o);
}

static void draft_halt(struct draft *t)
{
    rotation_halt(t->snapshot, t->d, &t->r);
    t->p->deletes = orders_where(t, rotation_order_is_over);
    put_record(t);
}

static void draft_issue(struct draft *t)
{
    struct model_pending *p = t->p;
    struct config_file file = {0, 0};
    int64_t target = t->r.issued + 1;
    uint8_t stage = (uint8_t)rotation_phase_stage(t->r.op.phase, &t->r);
    rotation_pack(&t->r, &t->s->record.rotation, &p->rotation);
    bool made_there = rotation_made_by_servers(t->snapshot, t->r.op.phase);
    struct making m = {t->s, making_bundle(t->s, p->rotation.generation), &p->rotation};
    if (made_there && target < MODEL_GENERATIONS) {
        unsigned last = owned_last_key(m.present);
        bool leaves = rotation_phase_drops(t->r.op.phase) && last && !(model.mutations & MUTATE_NO_ESCROW);
        p->escrow = leaves ? KEY_BIT(last) : 0;
    } else {
        file.config = made_there ? 0 : making_next(&m);
        if (made_there || !file.config || target >= MODEL_GENERATIONS || p->rotation.new_key > MODEL_KEYS) {
            p->action = ACTION_HALT;
            draft_halt(t);
            return;
        }
        p->config = file.config;
        p->stage = stage;
        if (rotation_phase_drops(t->r.op.phase))
            p->escrow = (uint8_t)(reads(m.present) & ~reads(file.config));
        if (model.mutations & MUTATE_NO_ESCROW)
            p->escrow = 0;
    }
    p->held = t->self->closed && !at_any_hour(t);
    const struct model_rotation made = p->rotation;
    rotation_issued(t->d, target, file_hash(file), &t->r);
    put_record(t);
    p->rotation.write_key = made.write_key;
    p->rotation.new_key = made.new_key;
    p->rotation.old_key = made.old_key;
    p->rotation.reads_plain = made.reads_plain;
    p->rotation.keys = made.keys;
    p->rotation.new_keys = made.new_keys;
}

/* As issue_learn(): what the record says of a config that servers made, or had. */
static void learn(struct draft *t, enum phase completed)
{
    static const char *const names[] = {"", "k1", "k2", "k3", "k4"};
    struct model_rotation learned = {0};
    unsigned newest = MODEL_KEYS;
    uint8_t config = making_bundle(t->s, (unsigned)t->r.generation);
    char before[sizeof(t->r.write_key)];
    memcpy(before, t->r.write_key, sizeof(before));
    making_describe(config, &learned);
    t->r.keys = learned.keys;
    t->r.reads_plain = learned.reads_plain;
    text_copy(t->r.write_key, sizeof(t->r.write_key), names[learned.write_key]);
    t->r.new_key[0] = t->r.old_key[0] = 0;
    while (newest > 0 && !(reads(config) & KEY_BIT(newest)))
        newest--;
    if (completed == PHASE_APPEND)
        text_copy(t->r.new_key, sizeof(t->r.new_key), names[newest]);
    if (completed == PHASE_PROMOTE)
        memcpy(t->r.old_key, before, sizeof(t->r.old_key));
}

static void draft_next_phase(struct draft *t)
{
    enum phase completed = t->snapshot->rotation.op.phase;
    if (!rotation_settle(t->snapshot, &t->r)) {
        t->p->valid = 0;
        return;
    }
    bool learns = rotation_made_by_servers(t->snapshot, completed);
    if (learns)
        learn(t, completed);
    rotation_advance(t->snapshot, t->d, &t->r);
    if (rotation_phase_is_config(completed))
        t->p->deletes = orders_where(t, any_order);
    put_record(t);
    t->p->rotation.new_keys += learns && completed == PHASE_APPEND;
}

static void draft_bring_back(struct draft *t)
{
    rotation_bring_back(t->snapshot, t->d, &t->r);
    t->p->deletes = orders_where(t, any_order);
    put_record(t);
}

static void draft_rewrite(struct draft *t)
{
    rotation_rewrite(t->d, &t->r);
    t->p->starts = 1;
    for (size_t i = 0; t->r.op.offline && i < t->snapshot->servers_count; i++)
        t->p->attended |= t->snapshot->servers[i].report.ready;
    put_record(t);
}

static void draft_rewrite_again(struct draft *t)
{
    rotation_rewrite_again(t->d, &t->r);
    put_record(t);
}

static void draft_prove(struct draft *t)
{
    t->p->starts = t->p->proves = 1;
}

static void draft_stop_job(struct draft *t)
{
    (void)t;
}

static void (*const drafts[])(struct draft *t) = {
    [ACTION_ADOPT] = draft_adopt,
    [ACTION_REFUSE] = draft_refuse,
    [ACTION_START] = draft_start,
    [ACTION_RESUME] = draft_resume,
    [ACTION_PAUSE] = draft_pause,
    [ACTION_ABORT] = draft_abort,
    [ACTION_THROTTLE] = draft_throttle,
    [ACTION_REPAIR] = draft_repair,
    [ACTION_ISSUE] = draft_issue,
    [ACTION_ORDER] = draft_order,
    [ACTION_NEXT_PHASE] = draft_next_phase,
    [ACTION_REWRITE] = draft_rewrite,
    [ACTION_PROVE] = draft_prove,
    [ACTION_WATCH] = draft_prove,
    [ACTION_STOP_JOB] = draft_stop_job,
    [ACTION_BRING_BACK] = draft_bring_back,
    [ACTION_REWRITE_AGAIN] = draft_rewrite_again,
    [ACTION_HALT] = draft_halt,
    [ACTION_LOCK] = draft_answer,
    [ACTION_UNLOCK] = draft_answer,
};

bool draft(struct draft *t)
{
    if ((size_t)t->d->action >= sizeof(drafts) / sizeof(drafts[0]) || !drafts[t->d->action])
        return false;
    memset(t->p, 0, sizeof(*t->p));
    t->p->valid = t->p->term = t->p->fresh = 1;
    t->p->action = (uint8_t)t->d->action;
    t->p->locked = t->s->busy.lock;
    drafts[t->d->action](t);
    return t->p->valid;
}
