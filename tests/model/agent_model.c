#include "agent_model.h"

#include <string.h>

#include "owned.h"

static bool same_file(struct config_file a, struct config_file b)
{
    return a.config == b.config && a.foreign == b.foreign;
}

static struct config_file issued(uint8_t config)
{
    return (struct config_file){config, 0};
}

/* Which version the present file is, as known_version() finds it. */
static struct model_version present(const struct model_state *s, size_t i)
{
    const struct model_server *m = &s->servers[i];
    struct model_version v = {.stage = m->stage, .file = m->file};
    if (!m->file.config)
        return v;
    if (same_file(m->written.file, m->file))
        return m->written;
    for (unsigned g = MODEL_GENERATIONS; !m->file.foreign && g-- > 1;)
        if (s->record.bundles[g].config == m->file.config)
            return (struct model_version){(uint8_t)g, s->record.bundles[g].stage, m->file};
    return v;
}

static bool any_issued(const struct model_state *s, size_t i)
{
    bool any = s->servers[i].written.file.config != 0;
    for (unsigned g = 1; g < MODEL_GENERATIONS; g++)
        any |= s->record.bundles[g].config != 0;
    return any;
}

/* ---------- orders ---------- */

static bool same_order(const struct model_order *a, const struct model_order *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static enum relation compare(unsigned a, unsigned b)
{
    return a < b ? LOWER : a > b ? HIGHER : EQUAL;
}

static void take_order(struct model_server *m, const struct model_order *o)
{
    m->order = *o;
    m->step = STEP_TAKEN;
    m->state = ORDER_TAKEN;
    m->refused = 0;
    m->text = TEXT_NONE;
    m->restart = RESTART_NONE;
    m->late = m->again = 0;
}

static void withdraw(struct model_server *m)
{
    m->refused = 0;
    if (m->step != STEP_TAKEN)
        return;
    m->text = TEXT_NONE;
    m->restart = RESTART_NONE;
    m->late = 0;
    m->step = STEP_ENDED;
    m->state = ORDER_FAILED;
}

bool agent_reads_order(struct model_state *s, size_t i)
{
    struct model_server *m = &s->servers[i];
    const struct model_server before = *m;
    const struct model_order *o = &m->given;
    if (m->fresh) {
        m->fresh = 0;
        m->forgotten = o->id;
    }
    if (!o->id) {
        withdraw(m);
        return memcmp(&before, m, sizeof(*m)) != 0;
    }
    const struct model_version now = present(s, i);
    const struct order_view view = {
        .fence = compare(o->fence, m->fence),
        .id = compare(o->id, m->order.id),
        .same = same_order(o, &m->order),
        .generation = compare(o->gen, now.gen ? now.gen : m->written.gen),
        .kind = (enum order_kind)o->kind,
        .forgotten = o->id <= m->forgotten,
        .busy = m->step == STEP_CALLING || m->step == STEP_WAITING || m->step == STEP_UNDO ||
                m->step == STEP_BACK,
    };
    const struct verdict_row *row = decide_order(&view);
    if (o->fence > m->fence)
        m->fence = o->fence;
    if (row->verdict == VERDICT_SAME)
        m->refused = 0;
    if (row->verdict == VERDICT_REFUSE)
        m->refused = o->id;
    if (row->verdict == VERDICT_TAKE)
        take_order(m, o);
    return memcmp(&before, m, sizeof(*m)) != 0;
}

/* ---------- the view of the order at work ---------- */

/* A server that owns its config has the file, and does not say that it is at that stage. */
static bool other_stage(const struct model_server *m)
{
    return model.scenario->owned && m->order.kind == ORDER_FOLLOW && m->own_stage != m->order.stage;
}

static enum file_view file_view(const struct model_state *s, size_t i)
{
    const struct model_server *m = &s->servers[i];
    bool back = m->step == STEP_UNDO || m->step == STEP_BACK;
    if (back && m->file.config && same_file(m->file, m->previous.file))
        return FILE_PREVIOUS;
    if (m->file.config && m->order.config && same_file(m->file, issued(m->order.config)))
        return other_stage(m) ? FILE_KNOWN : FILE_TARGET;
    if (!m->file.config)
        return FILE_BROKEN;
    if (!m->order.config && (m->order.kind == ORDER_RESTART || m->order.kind == ORDER_ADOPT))
        return FILE_TARGET;
    return any_issued(s, i) && present(s, i).gen == 0 ? FILE_FOREIGN : FILE_KNOWN;
}

static enum loaded_view loaded_view(const struct model_server *m)
{
    if (m->order.kind == ORDER_RESTART && m->api != API_DOWN)
        return m->since ? LOADED_TARGET : LOADED_OTHER;
    if (m->api == API_DOWN || !m->known)
        return LOADED_UNKNOWN;
    if (same_file(m->loaded, issued(m->order.config)))
        return LOADED_TARGET;
    return same_file(m->loaded, m->previous.file) ? LOADED_PREVIOUS : LOADED_OTHER;
}

static bool can_undo(const struct model_server *m)
{
    const struct config_file target = issued(m->order.config);
    bool restarts = m->order.kind == ORDER_APPLY || m->order.kind == ORDER_REPAIR;
    return restarts && m->previous.file.config && !same_file(m->previous.file, target) &&
           same_file(m->written.file, target);
}

#define REPEATS_MAX 2 /* as agent/step.c */

/* The mutation: a server that came back is taken to have what the first server has. */
static void take_for_granted(const struct model_server *m, struct job_view *v)
{
    if (!(model.mutations & MUTATE_BLIND_DONE) || m->order.kind != ORDER_FOLLOW || m->restart != RESTART_OK ||
        m->api != API_READY)
        return;
    v->file = FILE_TARGET;
    v->loaded = LOADED_TARGET;
}

static const struct job_row *decide(const struct model_state *s, size_t i)
{
    const struct model_server *m = &s->servers[i];
    struct job_view view = {
        .kind = (enum order_kind)m->order.kind,
        .step = (enum job_step)m->step,
        .text = (enum text_view)m->text,
        .file = file_view(s, i),
        .loaded = loaded_view(m),
        .restart = (enum restart_view)m->restart,
        .ready = m->api == API_READY,
        .late = m->late,
        .can_undo = can_undo(m),
        .again = m->again < REPEATS_MAX,
    };
    take_for_granted(m, &view);
    return decide_job(&view);
}

static bool writes_file(const struct model_order *o)
{
    return o->kind != ORDER_ADOPT && o->kind != ORDER_RESTART && o->kind != ORDER_CALL;
}

/* The file has the hash that was ordered, whoever wrote it: then it is that generation. As place_note(). */
static void note_file(struct model_state *s, size_t i)
{
    struct model_server *m = &s->servers[i];
    const struct model_version target = {m->order.gen, m->order.stage, issued(m->order.config)};
    if (m->step != STEP_TAKEN || !writes_file(&m->order) || file_view(s, i) != FILE_TARGET)
        return;
    if (!same_file(m->written.file, target.file))
        memset(&m->previous, 0, sizeof(m->previous));
    m->written = target;
}

/* ---------- acts ---------- */

static void enter(struct model_server *m, enum job_step step, enum order_state state)
{
    if (m->step != step) {
        m->restart = RESTART_NONE;
        m->late = 0;
    }
    if (step == STEP_ENDED)
        m->text = TEXT_NONE;
    if (m->step != step)
        m->since = 0; /* the mark is taken as the waiting begins */
    m->step = (uint8_t)step;
    m->state = (uint8_t)state;
}

static void end(struct model_server *m, enum order_state state)
{
    enter(m, STEP_ENDED, state);
}

static void keep_previous(struct model_state *s, size_t i)
{
    struct model_server *m = &s->servers[i];
    const struct model_version now = present(s, i);
    bool worth = m->file.config && (m->order.kind != ORDER_REPAIR || now.gen ||
                                    (m->loaded.config && same_file(m->loaded, m->file)));
    memset(&m->previous, 0, sizeof(m->previous));
    if (worth && !(model.mutations & MUTATE_NO_PREVIOUS))
        m->previous = now;
}

/* I2: a key that may have written leaves a file only after a scan that found none under it, and is kept.
 * Where somebody unknown writes under it, the order may be on its way already: then the watch brings it back.
 */
const char *agent_check_leaving(const struct model_state *s, struct config_file from, uint8_t to)
{
    uint8_t leaving = reads(from.config) & (uint8_t)~reads(to) & s->record.wrote;
    bool others_write = (model.scenario->faults_allowed & (FAULT_ROGUE | FAULT_EDIT)) != 0;
    if (leaving & ~(others_write ? s->busy.counted : s->busy.clean))
        return "I2: a key left a server without proof 3";
    if (leaving & ~PLAIN & ~s->record.escrow)
        return "I2: a key left a server and is not in escrow";
    return NULL;
}

static const char *act_write(struct model_state *s, size_t i)
{
    struct model_server *m = &s->servers[i];
    const char *broken = agent_check_leaving(s, m->file, m->order.config);
    if (m->file.foreign && m->order.kind != ORDER_REPAIR)
        broken = "I2: a file that nobody issued was written over: it may hold the only copy of a key";
    if (s->record.bundles[m->order.gen].config != m->order.config)
        broken = "I5: a file was written whose generation is not in the state store";
    keep_previous(s, i);
    m->file = issued(m->order.config);
    m->written = (struct model_version){m->order.gen, m->order.stage, m->file};
    return broken;
}

static void act_put_back(struct model_server *m)
{
    m->file = m->previous.file;
    m->written = m->previous;
}

static void act_restart(struct model_server *m)
{
    bool follows = m->order.kind == ORDER_FOLLOW;
    struct config_file want = m->step == STEP_BACK ? m->previous.file : issued(m->order.config);
    if (!follows && want.config && !same_file(m->file, want)) {
        m->restart = RESTART_FAILED;
        return;
    }
    m->api = API_DOWN;
    memset(&m->loaded, 0, sizeof(m->loaded));
    owned_stops(m);
    m->bad = 0;
    m->cmd = m->ours = 1;
    m->restart = RESTART_RUNNING;
    m->late = 0;
}

static void act_adopt(struct model_state *s, size_t i, const struct job_row *row)
{
    struct model_server *m = &s->servers[i];
    uint8_t config = m->file.config;
    uint8_t *bundle = &s->record.bundles[m->order.gen].config;
    if (m->file.foreign || (*bundle && *bundle != config)) {
        end(m, ORDER_REFUSED);
        return;
    }
    if (!*bundle) {
        *bundle = config;
        s->record.bundles[m->order.gen].stage = m->order.stage;
        s->record.wrote |= KEY_BIT(writes(config));
    }
    const struct model_version v = {m->order.gen, s->record.bundles[m->order.gen].stage, m->file};
    if (!same_file(m->written.file, v.file))
        memset(&m->previous, 0, sizeof(m->previous));
    m->written = v;
    end(m, row->state);
}

/* As apply_seal(): what the server made is exactly what it was asked for, or it is not sealed. */
static const char *act_seal(struct model_state *s, size_t i, const struct job_row *row)
{
    struct model_server *m = &s->servers[i];
    uint8_t config = m->file.config, before = s->record.bundles[m->order.from].config;
    uint8_t *bundle = &s->record.bundles[m->order.gen].config;
    bool lags = m->own != config;
    bool asked_for = owned_is_made(before, config, m->order.call) || (model.mutations & MUTATE_SEAL_ANY);
    if (lags && m->making)
        return NULL; /* tried again in a moment */
    if (lags || m->file.foreign || !asked_for || (*bundle && *bundle != config)) {
        end(m, ORDER_FAILED);
        return NULL;
    }
    *bundle = config;
    s->record.bundles[m->order.gen].stage = m->own_stage;
    s->record.wrote |= KEY_BIT(writes(config));
    m->written = (struct model_version){m->order.gen, m->own_stage, m->file};
    memset(&m->previous, 0, sizeof(m->previous));
    end(m, row->state);
    return NULL;
}

/* I5: what a server takes over by our doing was checked and sealed (the first server made it itself). */
static const char *check_sealed(const struct model_state *s, size_t i)
{
    const struct model_server *m = &s->servers[i];
    if (i == 0 || m->order.kind != ORDER_FOLLOW || m->file.config == s->record.datastore.config)
        return NULL;
    for (unsigned g = 1; g < MODEL_GENERATIONS; g++)
        if (s->record.bundles[g].config == s->record.datastore.config)
            return NULL;
    return "I5: a server was restarted into a config that nobody has sealed";
}

static const char *act_done(struct model_state *s, size_t i, const struct job_row *row)
{
    struct model_server *m = &s->servers[i];
    const struct config_file target = issued(m->order.config);
    bool follows = m->order.kind == ORDER_FOLLOW;
    bool has_it = same_file(m->file, target) && same_file(m->loaded, target);
    bool restarts = m->order.kind == ORDER_RESTART, since = m->since && m->api == API_READY;
    if (restarts && m->order.op == OP_NOW)
        m->renewed = 1;
    if (follows)
        m->written = (struct model_version){m->order.gen, m->order.stage, target};
    enter(m, row->next, row->state);
    if (!(model.mutations & MUTATE_LATE_FORGET)) /* who has said so has no older file to go back to */
        (void)agent_forgets_previous(s, i);
    if (restarts && !since)
        return "done: a server said that it was restarted, and its process is older than the order";
    return follows && !has_it ? "done: a server said that it had followed, and has another config" : NULL;
}

static const char *act(struct model_state *s, size_t i, const struct job_row *row)
{
    struct model_server *m = &s->servers[i];
    switch (row->action) {
    case ACT_WAIT:
        return NULL;
    case ACT_FETCH:
        m->text = s->record.bundles[m->order.gen].config == m->order.config ? TEXT_HAVE : TEXT_BAD;
        return NULL;
    case ACT_WRITE:
        return act_write(s, i);
    case ACT_PUT_BACK:
        act_put_back(m);
        return NULL;
    case ACT_RESTART: {
        const char *broken = check_sealed(s, i);
        act_restart(m);
        return broken;
    }
    case ACT_ADOPT:
        act_adopt(s, i, row);
        return NULL;
    case ACT_DONE:
        return act_done(s, i, row);
    case ACT_CALL:
        m->call = 1;
        m->asked = 0;
        m->restart = RESTART_RUNNING;
        return NULL;
    case ACT_SEAL:
        return act_seal(s, i, row);
    case ACT_AGAIN:
        m->again++;
        m->restart = RESTART_NONE;
        return NULL;
    case ACT_BEGIN:
    case ACT_UNDO:
    case ACT_BACK:
    case ACT_FAIL:
    case ACT_REFUSE:
        enter(m, row->next, row->state);
        return NULL;
    }
    return NULL;
}

bool agent_acts(struct model_state *s, size_t i, const char **ret_row, const char **ret_broken)
{
    const struct model_server before = s->servers[i];
    note_file(s, i);
    const struct job_row *row = decide(s, i);
    *ret_broken = act(s, i, row);
    if (row->action == ACT_FETCH) { /* nothing outside the agent's memory changed: at once to the next */
        row = decide(s, i);
        *ret_broken = act(s, i, row);
    }
    *ret_row = row->id;
    return memcmp(&before, &s->servers[i], sizeof(before)) != 0;
}

bool agent_forgets_previous(struct model_state *s, size_t i)
{
    struct model_server *m = &s->servers[i];
    bool at_work = m->step != STEP_ENDED && m->step != STEP_NONE;
    if (at_work || !m->previous.file.config || m->api != API_READY || !m->known ||
        !same_file(m->loaded, m->file))
        return false;
    memset(&m->previous, 0, sizeof(m->previous));
    return true;
}

bool agent_publishes(struct model_state *s, size_t i)
{
    struct model_server *m = &s->servers[i];
    const struct model_server before = *m;
    const struct model_version now = present(s, i);
    if (m->fresh)
        return false; /* the orders are looked at first */
    memset(&m->report, 0, sizeof(m->report));
    m->stage = now.stage;
    m->report.stage = model.scenario->owned ? m->own_stage : now.stage;
    m->report.gen = now.gen;
    m->report.file = m->file;
    m->report.known = m->known && m->api != API_DOWN;
    if (m->report.known)
        m->report.loaded = m->loaded;
    m->report.ready = m->api == API_READY && !(model.scenario->owned && owned_differs(m));
    m->report.order_id = m->refused ? m->refused : m->order.id;
    m->report.order_state = m->refused ? ORDER_REFUSED : m->step == STEP_NONE ? ORDER_NONE : m->state;
    return memcmp(&before, m, sizeof(before)) != 0;
}

/* ---------- its life ---------- */

bool agent_starts(struct model_state *s, size_t i)
{
    struct model_server *m = &s->servers[i];
    if (m->alive)
        return false;
    m->alive = 1;
    m->text = TEXT_NONE;
    m->late = m->refused = m->again = 0;
    m->restart = (m->step == STEP_CALLING ? m->call : m->cmd) && m->step != STEP_NONE && m->step != STEP_ENDED
                     ? RESTART_RUNNING
                     : RESTART_NONE;
    return true;
}

void agent_dies(struct model_state *s, size_t i)
{
    struct model_server *m = &s->servers[i];
    m->alive = m->late = m->refused = m->again = 0;
    m->text = TEXT_NONE;
    m->restart = RESTART_NONE;
}

void agent_loses_state(struct model_state *s, size_t i)
{
    struct model_server *m = &s->servers[i];
    agent_dies(s, i);
    m->fence = m->stage = m->known = m->forgotten = 0;
    m->fresh = 1;
    m->step = STEP_NONE;
    m->state = ORDER_NONE;
    memset(&m->order, 0, sizeof(m->order));
    memset(&m->written, 0, sizeof(m->written));
    memset(&m->previous, 0, sizeof(m->previous));
}

bool agent_dies_in_write(struct model_state *s, size_t i)
{
    struct model_server *m = &s->servers[i];
    note_file(s, i);
    const struct job_row *row = decide(s, i);
    if (row->action == ACT_FETCH) {
        m->text = TEXT_HAVE;
        row = decide(s, i);
    }
    if (row->action != ACT_WRITE)
        return false;
    keep_previous(s, i);
    agent_dies(s, i);
    return true;
}

/* Servers that own their config hand it to one another: a restart is all that is needed. */
static bool operator_restarts_owned(const struct model_state *s, struct model_server *m)
{
    bool same = same_file(m->loaded, m->file) && m->file.config == s->record.datastore.config &&
                m->own_stage == s->record.datastore.stage;
    if (m->api != API_READY || same || m->making)
        return false;
    owned_stops(m);
    m->api = API_DOWN;
    memset(&m->loaded, 0, sizeof(m->loaded));
    return true;
}

bool agent_operator_restarts(struct model_state *s, size_t i, const char **ret_broken)
{
    struct model_server *m = &s->servers[i];
    if (model.scenario->owned)
        return operator_restarts_owned(s, m);
    bool sync = m->order.kind == ORDER_SYNC && m->step == STEP_TAKEN && file_view(s, i) == FILE_KNOWN;
    if (m->api != API_READY || (!sync && same_file(m->loaded, m->file)))
        return false;
    *ret_broken = sync ? act_write(s, i) : NULL;
    m->api = API_DOWN;
    memset(&m->loaded, 0, sizeof(m->loaded));
    return true;
}
