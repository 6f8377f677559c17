#include "coordinator.h"

#include <string.h>

#include <base/text.h>

#include "expand.h"
#include "jobs.h"
#include "table.h"

/* ---------- the next config, as coordinator/issue.c makes it ---------- */

static uint8_t bundle(const struct model_state *s, unsigned gen)
{
    return gen < MODEL_GENERATIONS ? s->record.bundles[gen].config : 0;
}

static unsigned first_key(uint8_t config)
{
    for (unsigned k = 1; k <= MODEL_KEYS; k++)
        if (reads(config) & KEY_BIT(k))
            return k;
    return 0;
}

struct making {
    const struct model_state *s;
    uint8_t present;
    struct model_rotation *r;
};

static uint8_t make_append(struct making *m)
{
    unsigned key = m->s->record.keys + 1u;
    m->r->new_key = (uint8_t)key;
    m->r->new_keys++;
    return (uint8_t)(m->present | KEY_BIT(key));
}

static uint8_t make_promote(struct making *m)
{
    uint8_t next = CONFIG(m->r->new_key, reads(m->present));
    m->r->old_key = m->r->write_key;
    m->r->new_key = 0;
    return next;
}

static uint8_t make_drop(struct making *m)
{
    unsigned w = writes(m->present);
    m->r->old_key = 0;
    return CONFIG(w, KEY_BIT(w) | (reads(m->present) & PLAIN));
}

static uint8_t make_identity(struct making *m)
{
    return m->present | PLAIN;
}

static uint8_t make_switch(struct making *m)
{
    unsigned w = m->r->kind == OP_DISABLE ? 0 : first_key(m->present);
    return CONFIG(w, reads(m->present) | (w ? 0 : PLAIN));
}

static uint8_t make_restore(struct making *m)
{
    return m->present | KEY_BIT(m->r->key);
}

static uint8_t make_revert(struct making *m)
{
    uint8_t base = bundle(m->s, m->r->base);
    uint8_t all = reads(base) | reads(bundle(m->s, m->r->issued));
    if (m->r->old_key) {
        m->r->new_key = m->r->write_key;
        m->r->old_key = 0;
    }
    return base ? CONFIG(writes(base), all) : 0;
}

static uint8_t make_return(struct making *m)
{
    m->r->new_key = m->r->old_key = 0;
    return bundle(m->s, m->r->base);
}

static uint8_t make_bring_back(struct making *m)
{
    return bundle(m->s, m->r->from);
}

static const struct {
    enum phase phase;
    uint8_t (*make)(struct making *m);
} makers[] = {
    {PHASE_APPEND, make_append},     {PHASE_PROMOTE, make_promote}, {PHASE_DROP, make_drop},
    {PHASE_IDENTITY, make_identity}, {PHASE_SWITCH, make_switch},   {PHASE_RESTORE, make_restore},
    {PHASE_REVERT, make_revert},     {PHASE_RETURN, make_return},   {PHASE_BRING_BACK, make_bring_back},
};

static void describe(uint8_t config, struct model_rotation *r)
{
    r->keys = (uint8_t)__builtin_popcount(reads(config) & ~PLAIN);
    r->reads_plain = (reads(config) & PLAIN) != 0;
    r->write_key = (uint8_t)writes(config);
}

/* 0: it cannot be made. */
static uint8_t make(struct making *m)
{
    uint8_t next = 0;
    for (size_t i = 0; m->present && i < sizeof(makers) / sizeof(makers[0]); i++)
        if (makers[i].phase == (enum phase)m->r->phase)
            next = makers[i].make(m);
    if (next)
        describe(next, m->r);
    return next;
}

/* ---------- from a decision to a transaction ---------- */

struct draft {
    const struct model_state *s;
    const struct cluster_snapshot *snapshot;
    const struct planner_self *self;
    const struct decision *d;
    struct cluster_rotation r;
    struct model_pending *p;
};

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

static void put_order(struct draft *t, const struct cluster_order *o)
{
    bool restarts = o->kind == ORDER_APPLY || o->kind == ORDER_REPAIR || o->kind == ORDER_RESTART;
    t->p->stranger = t->d->action == ACTION_ORDER && t->snapshot->unknown_api[0];
    t->p->unwell = restarts && !others_are_well(t);
    t->p->unwatched = rotation_phase_drops(t->snapshot->rotation.op.phase) && t->d->action == ACTION_ORDER &&
                      !model.scenario->not_raw &&
                      !(t->self->watching && t->s->busy.proof.state == PROOF_RUNNING);
    t->p->server = (uint8_t)t->d->server;
    t->p->deletes = orders_where(t, rotation_order_is_over);
    order_pack(o, &t->p->order);
    t->p->blind = t->d->action == ACTION_ORDER && !others_read_it(t, t->p->order.config);
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
    struct making m = {t->s, bundle(t->s, p->rotation.generation), &p->rotation};
    if (t->r.op.phase != PHASE_ADOPT) {
        file.config = make(&m);
        if (!file.config || target >= MODEL_GENERATIONS || p->rotation.new_key > MODEL_KEYS) {
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

static void draft_next_phase(struct draft *t)
{
    enum phase completed = t->snapshot->rotation.op.phase;
    if (!rotation_settle(t->snapshot, &t->r)) {
        t->p->valid = 0;
        return;
    }
    if (completed == PHASE_ADOPT) {
        uint8_t config = bundle(t->s, (unsigned)t->r.generation);
        struct model_rotation learned = {0};
        static const char *const names[] = {"", "k1", "k2", "k3", "k4"};
        describe(config, &learned);
        t->r.keys = learned.keys;
        t->r.reads_plain = learned.reads_plain;
        text_copy(t->r.write_key, sizeof(t->r.write_key), names[learned.write_key]);
        t->r.new_key[0] = t->r.old_key[0] = 0;
    }
    rotation_advance(t->snapshot, t->d, &t->r);
    if (rotation_phase_is_config(completed))
        t->p->deletes = orders_where(t, any_order);
    put_record(t);
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
};

/* ---------- which rows decided, ever ---------- */

static unsigned char used[128];

static void count_row(const char *id)
{
    for (size_t i = 0; i < rotation_rows_count && i < sizeof(used); i++)
        if (rotation_rows[i].id == id)
            used[i] = 1;
}

bool coordinator_row_used(size_t i)
{
    return used[i] != 0;
}

bool coordinator_decide(const struct model_state *s, size_t c, struct model_pending *ret,
                        const char **ret_row)
{
    struct planner_self self;
    static struct decision d;
    static struct draft t;
    struct cluster_snapshot *snapshot = expand(s, c, &self);
    rotation_decide(snapshot, &self, &d);
    *ret_row = d.row;
    count_row(d.row);
    memset(ret, 0, sizeof(*ret));
    if ((size_t)d.action >= sizeof(drafts) / sizeof(drafts[0]) || !drafts[d.action])
        return false;
    ret->valid = ret->term = ret->fresh = 1;
    ret->action = (uint8_t)d.action;
    t.s = s;
    t.snapshot = snapshot;
    t.self = &self;
    t.d = &d;
    t.r = snapshot->rotation;
    t.p = ret;
    drafts[d.action](&t);
    return ret->valid;
}

/* ---------- the transaction ---------- */

/* Whatever belonged to the step before does not any more. */
static void new_step(struct model_state *s)
{
    struct model_busy *b = &s->busy;
    if (b->proof.state == PROOF_MADE && (model.mutations & MUTATE_OLD_PROOF))
        b->made |= 1u << b->proof.phase;
    memset(&b->proof, 0, sizeof(b->proof));
    b->rewritten_now = 0;
    if (!(model.mutations & MUTATE_OLD_PROOF))
        b->rewritten = RE_NONE;
    b->job[0].now = b->job[1].now = 0;
}

static void new_operation(struct model_state *s)
{
    for (size_t i = 0; i < model.scenario->servers; i++) {
        struct model_server *v = &s->servers[i];
        if (v->given.op == OP_NOW)
            v->given.op = OP_OLD;
        if (v->order.op == OP_NOW)
            v->order.op = OP_OLD;
    }
    new_step(s);
    s->busy.made = 0;
    s->busy.rewritten = RE_NONE;
}

static void delete_orders(struct model_state *s, uint8_t set, size_t but)
{
    for (size_t i = 0; i < model.scenario->servers; i++)
        if ((set >> i & 1u) && i != but)
            memset(&s->servers[i].given, 0, sizeof(s->servers[i].given));
}

static void begin_proof(struct model_state *s)
{
    struct model_busy *b = &s->busy;
    b->proof.attempts =
        b->proof.state && b->proof.phase == s->record.rotation.phase ? (uint8_t)(b->proof.attempts + 1) : 1;
    if (b->proof.attempts > model.scenario->attempts)
        b->proof.attempts = model.scenario->attempts; /* a watch may be begun any number of times */
    b->proof.state = PROOF_RUNNING;
    b->proof.phase = s->record.rotation.phase;
}

static const char *put_bundle(struct model_state *s, const struct model_pending *p)
{
    struct model_record *r = &s->record;
    unsigned gen = p->rotation.target;
    const char *broken = NULL;
    if (p->rotation.new_keys > 1)
        broken = "I5: the operation made a second key";
    if (r->bundles[gen].config && r->bundles[gen].config != p->config)
        broken = "I5: a generation was issued twice";
    if (p->rotation.new_keys != s->record.rotation.new_keys)
        r->keys++;
    r->bundles[gen].config = p->config;
    r->bundles[gen].stage = p->stage;
    r->escrow |= p->escrow;
    r->wrote |= KEY_BIT(writes(p->config));
    return broken;
}

static const char *apply(struct model_state *s, size_t c, const struct model_pending *p)
{
    const char *broken = NULL;
    bool paused = s->record.rotation.has_op && s->record.rotation.state == OP_STATE_PAUSED;
    if (p->action == ACTION_ISSUE && p->config)
        broken = put_bundle(s, p);
    delete_orders(s, p->deletes, p->order.id ? p->server : SIZE_MAX);
    if (p->answers)
        s->busy.request = s->busy.request_server = 0;
    if (p->action == ACTION_START && !s->record.rotation.base)
        s->record.way_back = s->record.rotation.config;
    if (p->clears)
        new_operation(s);
    else if (p->puts && p->steps)
        new_step(s);
    if (p->action == ACTION_REWRITE_AGAIN)
        s->busy.rewritten = RE_NONE;
    if (p->action == ACTION_REWRITE)
        s->busy.counted = 0;
    if (p->puts) {
        s->record.rotation = p->rotation;
        s->pending[!c].fresh = 0;
    }
    if (p->order.id)
        s->servers[p->server].given = p->order;
    if (p->proves)
        begin_proof(s);
    if (p->starts)
        jobs_start(s, c);
    if (p->unwell)
        broken = "I3: a restart was ordered while another server was not ready, or still at work";
    if (p->blind)
        broken = "I1: a key was ordered to write that another server is not known to read";
    if (p->action != ACTION_STOP_JOB && paused && (p->steps || p->starts || p->order.id) && !p->answers &&
        p->action != ACTION_WATCH && p->action != ACTION_BRING_BACK)
        broken = "pause: a step was taken while paused";
    if (p->stranger)
        broken = "I1: a step was taken while an API server that nobody told us about is alive";
    if (p->attended)
        broken = "offline: a rewrite began while an API server was known to run";
    if (p->overdone)
        broken = "throttle: more than the rate was changed";
    if (p->unwatched)
        broken = "I2: a key was ordered to leave while nobody watched new writes";
    return broken;
}

const char *coordinator_act(struct model_state *s, size_t c)
{
    const struct model_pending p = s->pending[c];
    memset(&s->pending[c], 0, sizeof(s->pending[c]));
    if (p.action == ACTION_STOP_JOB) {
        memset(&s->busy.job[c], 0, sizeof(s->busy.job[c])); /* its own thread: nothing is written */
        return NULL;
    }
    if (!p.term && !(model.mutations & MUTATE_NO_FENCE))
        return NULL;
    if (!p.fresh)
        return NULL;
    const char *broken = apply(s, c, &p);
    return p.term ? broken : "I4: a coordinator that was deposed wrote";
}

/* ---------- jobs ---------- */

uint8_t coordinator_keep(const struct model_state *s)
{
    const struct model_rotation *r = &s->record.rotation;
    bool back = r->kind == OP_ABORT;
    uint8_t config = bundle(s, back && r->base ? r->base : r->generation);
    return back ? reads(config) : KEY_BIT(writes(config));
}

uint8_t coordinator_subject(const struct model_state *s)
{
    const struct model_rotation *r = &s->record.rotation;
    if (r->phase == PHASE_WRITTEN)
        return KEY_BIT(r->write_key);
    if (r->kind == OP_RESTORE_KEY)
        return KEY_BIT(r->key);
    if (r->new_key)
        return KEY_BIT(r->new_key);
    unsigned first = first_key(bundle(s, r->generation));
    return KEY_BIT(first);
}

bool coordinator_may_publish(const struct model_state *s, size_t c)
{
    const struct model_job *j = &s->busy.job[c];
    const struct model_rotation *r = &s->record.rotation;
    bool live = r->has_op && (r->state == OP_STATE_RUNNING || r->state == OP_STATE_PAUSED);
    return live && j->state == JOB_ENDED && j->now;
}

void coordinator_publish(struct model_state *s, size_t c)
{
    struct model_job *j = &s->busy.job[c];
    struct model_busy *b = &s->busy;
    if (j->phase == PHASE_REWRITE) {
        b->rewritten = j->result;
        b->rewritten_now = 1;
    } else {
        b->proof.phase = j->phase;
        b->proof.state = j->result;
        if (!b->proof.attempts)
            b->proof.attempts = 1;
    }
    memset(j, 0, sizeof(*j));
}
