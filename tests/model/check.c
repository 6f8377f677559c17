/* The invariants of the design, against one state. I2 (a key leaves), I4 (a deposed coordinator) and I5
 * (durable first, the same key) are about steps and are asked where the step is taken: agent_model.c,
 * coordinator.c. */
#include <stdio.h>
#include <string.h>

#include <base/text.h>
#include <cluster/codec.h>

#include "owned.h"

/* I1: every running API server reads every stored value. Where somebody unknown writes under the old key
 * while it is being dropped, no program can prevent the harm, only end it: then it is asked of finished
 * operations. */
static const char *check_readable(const struct model_state *s)
{
    const struct model_rotation *r = &s->record.rotation;
    bool rogue = (model.scenario->faults_allowed & FAULT_ROGUE) != 0;
    if (model.scenario->faults_allowed & FAULT_EDIT)
        return NULL; /* a hand that puts an old file in place can do any harm; what is ordered after it counts
                      */
    if (rogue && !(r->has_op && r->state == OP_STATE_FINISHED))
        return NULL;
    for (size_t i = 0; i < model.scenario->servers; i++) {
        const struct model_server *m = &s->servers[i];
        if (m->api != API_DOWN && (s->busy.data & ~reads(m->loaded.config)))
            return "I1: a running API server cannot read a stored value";
    }
    return NULL;
}

static const char *check_one_down(const struct model_state *s)
{
    size_t down = 0;
    for (size_t i = 0; i < model.scenario->servers; i++)
        down += s->servers[i].ours && s->servers[i].api != API_READY;
    return down > 1 ? "I3: two servers are down by our doing" : NULL;
}

/* I5: no file without its generation in the state store. */
static const char *check_durable(const struct model_state *s)
{
    for (size_t i = 0; i < model.scenario->servers; i++) {
        const struct model_server *m = &s->servers[i];
        const struct model_version *w = &m->written;
        if (w->gen && s->record.bundles[w->gen].config != w->file.config)
            return "I5: a server has a file whose generation is not in the state store";
    }
    return NULL;
}

/* An operation ends in its new state or in the one from before, on every server alike. */
static const char *check_end(const struct model_state *s)
{
    const struct model_rotation *r = &s->record.rotation;
    bool hands = (model.scenario->faults_allowed & (FAULT_EDIT | FAULT_FORGET)) != 0;
    if (!r->has_op || r->state != OP_STATE_FINISHED || hands)
        return NULL;
    if (r->kind == OP_ROTATE_KEYS && !r->skip) {
        uint8_t newest = s->record.keys, config = s->record.bundles[r->generation].config;
        if (r->new_keys != 1 || writes(config) != newest || (reads(config) & ~(KEY_BIT(newest) | PLAIN)))
            return "end: rotate-keys is finished and the new key is not the only one";
        if (s->busy.data & ~KEY_BIT(newest))
            return "end: rotate-keys is finished and values are left under another key";
    }
    for (size_t i = 0; r->kind == OP_RESTART && i < model.scenario->servers; i++)
        if (!s->servers[i].renewed && (!model.scenario->named || (model.scenario->named >> i & 1u)))
            return "end: restart is finished and a server was not restarted";
    if (r->kind == OP_ABORT && !r->ends && s->record.way_back && r->config != s->record.way_back)
        return "end: abort is finished and the config is not the one from before";
    for (size_t i = 0; i < model.scenario->servers; i++) {
        const struct model_server *m = &s->servers[i];
        bool at_work = m->step == STEP_TAKEN || m->step == STEP_CALLING || m->step == STEP_WAITING ||
                       m->step == STEP_UNDO || m->step == STEP_BACK;
        if (!at_work && m->file.config != r->config)
            return "end: an operation is finished and a server has another file";
    }
    return NULL;
}

const char *world_check(const struct model_state *s)
{
    static const char *(*const checks[])(const struct model_state *) = {check_readable, check_one_down,
                                                                        check_durable, check_end};
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        const char *broken = checks[i](s);
        if (broken)
            return broken;
    }
    return NULL;
}

/* By our doing, for good. One failed restart is always made good: the previous file is put back. */
static bool left_down(const struct model_state *s)
{
    for (size_t i = 0; i < model.scenario->servers; i++)
        if (s->servers[i].ours && s->servers[i].api != API_READY)
            return true;
    return false;
}

/* A server that does not come back from a restart has no other file to come back with: a person mends it. */
static bool only_restarts(void)
{
    return model.scenario->first == OP_RESTART || (model.scenario->asks >> OP_RESTART & 1u);
}

/* It waits for the window, as it may for ever where that stays shut. */
static bool held(const struct model_state *s)
{
    const struct model_rotation *r = &s->record.rotation;
    bool drops = (r->phase == PHASE_DROP || r->phase == PHASE_RETURN) && r->target;
    return s->busy.closed && r->kind != OP_ABORT && r->kind != OP_ADOPT && r->phase != PHASE_BRING_BACK &&
           !drops && rotation_phase_is_config((enum phase)r->phase);
}

bool world_at_rest(const struct model_state *s)
{
    const struct model_rotation *r = &s->record.rotation;
    bool running = r->has_op && r->state == OP_STATE_RUNNING;
    /* A server that owns its config has no other file to be given back: the halt names it. */
    bool one_fault = model.scenario->faults == 1 && !model.scenario->owned && !only_restarts();
    if (running && model.scenario->shut && held(s))
        return !s->busy.request;
    if (model.scenario->resumes && r->has_op && r->state == OP_STATE_HALTED)
        return false;
    return !running && !s->busy.request && !(one_fault && left_down(s));
}

/* A file that somebody changed, an agent that lost its memory of what its API server runs with, an API server
 * that will not come up. */
static bool mended_by_hand(const struct model_state *s, const struct model_server *m)
{
    const struct model_rotation *r = &s->record.rotation;
    uint8_t target = s->record.bundles[r->target].config;
    const struct config_file *f = &m->file, *l = &m->loaded;
    bool edits = (model.scenario->faults_allowed & FAULT_EDIT) != 0;
    bool expected = f->config == r->config || (target && f->config == target) || f->config == r->also;
    bool changed = !f->config || f->foreign || !expected;
    bool other = m->api == API_READY && (l->config != f->config || l->foreign != f->foreign);
    bool unknown = m->api == API_READY && !m->known;
    bool dead =
        (m->bad && (model.scenario->faults > 1 || only_restarts())) || (m->newer && m->api == API_DOWN);
    bool disagrees = model.scenario->owned && owned_differs(m);
    return (edits && (changed || other || disagrees)) || unknown || dead;
}

/* The planner waits, names the server, and a person (or the policy) mends it. */
bool world_needs_person(const struct model_state *s)
{
    for (size_t i = 0; i < model.scenario->servers; i++) {
        const struct model_server *m = &s->servers[i];
        bool idle = m->alive && (m->step == STEP_NONE || m->step == STEP_ENDED);
        bool looked = !m->given.id || m->given.id == m->order.id || m->refused;
        if (idle && looked && mended_by_hand(s, m))
            return true;
    }
    return false;
}

/* ---------- for people ---------- */

static void add(char *out, size_t size, const char *text)
{
    size_t len = strlen(out);
    text_copy(out + len, size - len, text);
}

static void describe_config(struct config_file f, char out[24])
{
    static const char *const names[] = {"plain", "k1", "k2", "k3", "k4"};
    out[0] = 0;
    if (!f.config) {
        add(out, 24, "-");
        return;
    }
    add(out, 24, names[writes(f.config)]);
    for (unsigned k = 0; k <= MODEL_KEYS; k++)
        if ((reads(f.config) & KEY_BIT(k)) && k != writes(f.config)) {
            add(out, 24, ",");
            add(out, 24, names[k]);
        }
    if (f.foreign)
        add(out, 24, "+edit");
}

static void describe_server(const struct model_server *m, size_t i, char *out, size_t size)
{
    static const char *const apis[] = {"down", "starting", "ready"};
    char file[24], loaded[24], text[160];
    describe_config(m->file, file);
    describe_config(m->loaded, loaded);
    snprintf(text, sizeof(text), "  s%zu: file %s, API server %s with %s, agent %s %s order %u (told %s %u)",
             i + 1, file, apis[m->api], loaded, m->alive ? "up" : "dead",
             job_step_name((enum job_step)m->step), m->order.id,
             m->report.silent ? "nothing" : order_state_name((enum order_state)m->report.order_state),
             m->report.order_id);
    add(out, size, text);
    add(out, size, "\n");
}

void world_describe(const struct model_state *s, char *out, size_t size)
{
    static const char *const states[] = {"running", "finished", "halted", "paused"};
    const struct model_rotation *r = &s->record.rotation;
    char text[160];
    out[0] = 0;
    if (r->has_op) {
        snprintf(text, sizeof(text), "  %s %s in %s, generation %u, target %u; values under",
                 operation_kind_name((enum operation_kind)r->kind), states[r->state],
                 phase_name((enum phase)r->phase), r->generation, r->target);
        add(out, size, text);
    } else {
        add(out, size, "  no operation; values under");
    }
    for (unsigned k = 0; k <= MODEL_KEYS; k++)
        if (s->busy.data & KEY_BIT(k)) {
            snprintf(text, sizeof(text), k ? " k%u" : " plain", k);
            add(out, size, text);
        }
    add(out, size, "\n");
    for (size_t i = 0; i < model.scenario->servers; i++)
        describe_server(&s->servers[i], i, out, size);
}
