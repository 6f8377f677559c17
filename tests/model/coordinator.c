#include "coordinator.h"

#include <string.h>

#include "drafts.h"
#include "expand.h"
#include "jobs.h"
#include "making.h"
#include "table.h"

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
    t.s = s;
    t.snapshot = snapshot;
    t.self = &self;
    t.d = &d;
    t.r = snapshot->rotation;
    t.p = ret;
    return draft(&t);
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
        v->renewed = 0;
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

/* What the lock forbids, and forbids it beside. */
static const char *check_lock(const struct model_state *s, const struct model_pending *p)
{
    const struct model_rotation *r = &s->record.rotation;
    bool live = r->has_op && (r->state == OP_STATE_RUNNING || r->state == OP_STATE_PAUSED);
    bool begins = p->action == ACTION_START || (p->action == ACTION_RESUME && r->state == OP_STATE_HALTED);
    if (begins && s->busy.lock)
        return "lock: an operation began while somebody held the lock";
    return p->action == ACTION_LOCK && live ? "lock: it was taken while an operation ran" : NULL;
}

static const char *apply(struct model_state *s, size_t c, const struct model_pending *p)
{
    const char *broken = check_lock(s, p);
    bool paused = s->record.rotation.has_op && s->record.rotation.state == OP_STATE_PAUSED;
    if (p->action == ACTION_ISSUE && p->config)
        broken = put_bundle(s, p);
    else if (p->action == ACTION_ISSUE)
        s->record.escrow |= p->escrow;
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
    if (p->action == ACTION_LOCK || p->action == ACTION_UNLOCK)
        s->busy.lock = p->action == ACTION_LOCK;
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
    if (p->futile)
        broken = "repair: a server was told to take up a config that the others have left";
    if (p->unsealed)
        broken = "I5: a server was told to follow before the config was sealed";
    if (p->action == ACTION_ABORT && model.scenario->owned &&
        s->record.datastore.config != s->record.way_back)
        broken = "abort: servers that know no way back were told to go back";
    if (p->attended)
        broken = "offline: a rewrite began while an API server was known to run";
    if (p->held)
        broken = "closed: a server was touched";
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
    bool compares = p.action == ACTION_START || p.action == ACTION_ABORT || p.action == ACTION_RESUME ||
                    p.action == ACTION_LOCK || p.action == ACTION_UNLOCK;
    if (compares && p.locked != s->busy.lock)
        return NULL;
    const char *broken = apply(s, c, &p);
    return p.term ? broken : "I4: a coordinator that was deposed wrote";
}

/* ---------- jobs ---------- */

uint8_t coordinator_keep(const struct model_state *s)
{
    const struct model_rotation *r = &s->record.rotation;
    bool back = r->kind == OP_ABORT;
    uint8_t config = making_bundle(s, back && r->base ? r->base : r->generation);
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
    unsigned first = making_first_key(making_bundle(s, r->generation));
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
