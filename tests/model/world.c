#include "world.h"

#include <string.h>

#include "agent_model.h"
#include "coordinator.h"
#include "jobs.h"
#include "owned.h"

/* ---------- how steps are collected ---------- */

static struct step *begin(const struct model_state *s, struct steps *out, const char *what, size_t server)
{
    struct step *t = &out->v[out->count];
    t->next = *s;
    t->what = what;
    t->row = NULL;
    t->server = server == SIZE_MAX ? -1 : (int)server;
    t->fault = false;
    t->broken = NULL;
    return t;
}

static void keep(struct steps *out)
{
    if (out->count + 1 < STEPS_MAX)
        out->count++;
}

/* Reports follow at once where lag is not part of the scenario. */
static void settle_reports(struct model_state *s)
{
    if (model.scenario->faults_allowed & FAULT_LAG)
        return;
    for (size_t i = 0; i < model.scenario->servers; i++)
        if (s->servers[i].alive && !s->servers[i].report.silent)
            (void)agent_publishes(s, i);
}

static bool may(const struct model_state *s, unsigned fault)
{
    return (model.scenario->faults_allowed & fault) && s->busy.faults > 0;
}

static void keep_fault(struct steps *out)
{
    struct step *t = &out->v[out->count];
    t->fault = true;
    t->next.busy.faults--;
    settle_reports(&t->next);
    keep(out);
}

static void keep_normal(struct steps *out)
{
    settle_reports(&out->v[out->count].next);
    keep(out);
}

struct step *world_begin(const struct model_state *s, struct steps *out, const char *what, size_t server)
{
    return begin(s, out, what, server);
}

bool world_may(const struct model_state *s, unsigned fault)
{
    return may(s, fault);
}

void world_keep(const struct model_state *s, struct steps *out, bool fault)
{
    (void)s;
    if (fault)
        keep_fault(out);
    else
        keep_normal(out);
}

/* ---------- a machine ---------- */

/* A new API server process reads the file. */
static const char *process_starts(struct model_state *s, size_t i, bool yields, bool stale)
{
    struct model_server *m = &s->servers[i];
    m->since = m->order.kind == ORDER_RESTART && m->step == STEP_WAITING;
    if (model.scenario->owned)
        return owned_starts(s, i, yields, stale);
    m->bad = m->stopped = 0;
    m->known = 1;
    m->loaded = m->file;
    m->api = m->file.config ? API_STARTING : API_DOWN;
    return NULL;
}

enum ending { ENDS_WELL, ENDS_BAD, ENDS_FAILED, ENDS_STALE };

static void command_ends(const struct model_state *s, size_t i, enum ending ending, const char *what,
                         struct steps *out)
{
    struct step *t = begin(s, out, what, i);
    struct model_server *m = &t->next.servers[i];
    t->broken = process_starts(&t->next, i, true, ending == ENDS_STALE);
    m->bad = ending == ENDS_BAD;
    m->cmd = 0;
    if (m->alive && m->restart == RESTART_RUNNING)
        m->restart = ending == ENDS_FAILED ? RESTART_FAILED : RESTART_OK;
    if (ending != ENDS_WELL)
        keep_fault(out);
    else
        keep_normal(out);
}

static void command_steps(const struct model_state *s, size_t i, struct steps *out)
{
    if (!s->servers[i].cmd)
        return;
    command_ends(s, i, ENDS_WELL, "the API server starts", out);
    if (!may(s, FAULT_START))
        return;
    command_ends(s, i, ENDS_BAD, "the API server starts and will not come ready", out);
    command_ends(s, i, ENDS_FAILED, "the restart command fails, the API server starts", out);
    if (model.scenario->owned && !s->servers[i].newer &&
        s->servers[i].file.config != s->record.datastore.config)
        command_ends(s, i, ENDS_STALE, "the server comes back with its file from before", out);
}

static void api_steps(const struct model_state *s, size_t i, struct steps *out)
{
    const struct model_server *m = &s->servers[i];
    if (m->api == API_STARTING && !m->bad) {
        struct model_server *n = &begin(s, out, "the API server is ready", i)->next.servers[i];
        n->api = API_READY;
        n->ours = 0;
        n->known |= n->alive; /* it looked before */
        keep_normal(out);
    }
    if (m->api == API_DOWN && !m->cmd && !m->stopped && m->file.config && !m->newer) {
        struct step *t = begin(s, out, "the supervisor starts the API server", i);
        t->broken = process_starts(&t->next, i, false, false);
        keep_normal(out);
    }
    if (m->api != API_DOWN && may(s, FAULT_API)) {
        struct model_server *n = &begin(s, out, "the API server crashes", i)->next.servers[i];
        n->api = API_DOWN;
        n->bad = 0;
        owned_stops(n);
        memset(&n->loaded, 0, sizeof(n->loaded));
        keep_fault(out);
    }
}

/* An API server writes whatever its clients send it, whenever they do. */
static void write_step(const struct model_state *s, size_t i, struct steps *out)
{
    const struct model_server *m = &s->servers[i];
    uint8_t bit = KEY_BIT(writes(m->loaded.config));
    if (m->api != API_READY || ((s->busy.data & bit) && !(s->busy.clean & bit)))
        return;
    struct model_busy *b = &begin(s, out, "a client writes a value", i)->next.busy;
    b->data |= bit;
    b->clean &= (uint8_t)~bit;
    keep_normal(out);
}

static void late_step(const struct model_state *s, size_t i, struct steps *out)
{
    const struct model_server *m = &s->servers[i];
    bool waits = m->alive && (m->step == STEP_WAITING || m->step == STEP_BACK) &&
                 m->restart != RESTART_RUNNING && m->restart != RESTART_FAILED;
    uint8_t wanted = m->step == STEP_BACK ? m->previous.file.config : m->order.config;
    bool other = m->api == API_READY && (m->loaded.config != wanted || m->loaded.foreign || !m->known);
    bool never = m->bad || other || (m->api == API_DOWN && (!m->file.config || m->newer));
    if (!waits || m->late || (m->api == API_READY && !other) || (!never && !may(s, FAULT_SLOW)))
        return;
    begin(s, out, "the deadline passes", i)->next.servers[i].late = 1;
    if (never)
        keep_normal(out);
    else
        keep_fault(out);
}

static void edit(const struct model_state *s, size_t i, const char *what, struct config_file file,
                 struct steps *out)
{
    const struct model_server *m = &s->servers[i];
    if (m->file.config == file.config && m->file.foreign == file.foreign)
        return;
    struct step *t = begin(s, out, what, i);
    t->next.servers[i].file = file;
    t->next.servers[i].newer = model.scenario->owned && file.config;
    t->next.busy.edits--;
    keep_fault(out);
}

static void edit_steps(const struct model_state *s, size_t i, struct steps *out)
{
    const struct model_rotation *r = &s->record.rotation;
    uint8_t newest =
        s->record.bundles[r->target && s->record.bundles[r->target].config ? r->target : r->generation]
            .config;
    if (!s->busy.edits || !may(s, FAULT_EDIT))
        return;
    if (s->servers[i].file.config)
        edit(s, i, "somebody edits the file", (struct config_file){s->servers[i].file.config, 1}, out);
    edit(s, i, "somebody destroys the file", (struct config_file){0, 0}, out);
    edit(s, i, "somebody puts the first file back", (struct config_file){s->record.bundles[1].config, 0},
         out);
    edit(s, i, "somebody puts the newest file in place", (struct config_file){newest, 0}, out);
}

/* ---------- an agent ---------- */

static void agent_faults(const struct model_state *s, size_t i, struct steps *out)
{
    if (may(s, FAULT_AGENT)) {
        agent_dies(&begin(s, out, "the agent is killed", i)->next, i);
        keep_fault(out);
        if (agent_dies_in_write(&begin(s, out, "the agent is killed while it writes", i)->next, i))
            keep_fault(out);
    }
    if (may(s, FAULT_FORGET)) {
        agent_loses_state(&begin(s, out, "the agent is killed and its state folder lost", i)->next, i);
        keep_fault(out);
    }
    if (may(s, FAULT_LEASE) && !s->servers[i].report.silent) {
        begin(s, out, "the lease of the report expires", i)->next.servers[i].report.silent = 1;
        keep_fault(out);
    }
}

static void agent_steps(const struct model_state *s, size_t i, struct steps *out)
{
    const char *broken = NULL;
    struct step *t;
    if (!s->servers[i].alive) {
        t = begin(s, out, "the agent starts again", i);
        (void)agent_starts(&t->next, i);
        keep_normal(out);
        if (!s->servers[i].report.silent && (model.scenario->faults_allowed & FAULT_LAG)) {
            begin(s, out, "the dead agent's report expires", i)->next.servers[i].report.silent = 1;
            keep_normal(out);
        }
        return;
    }
    if (agent_reads_order(&begin(s, out, "the agent reads its order", i)->next, i))
        keep_normal(out);
    t = begin(s, out, "the agent acts", i);
    if (agent_acts(&t->next, i, &t->row, &broken)) {
        t->broken = broken;
        keep_normal(out);
    }
    if (agent_forgets_previous(&begin(s, out, "the agent forgets the previous file", i)->next, i))
        keep_normal(out);
    if (agent_publishes(&begin(s, out, "the agent publishes", i)->next, i))
        keep_normal(out);
    agent_faults(s, i, out);
}

/* One after the other, as the runbook says. */
static void operator_step(const struct model_state *s, size_t i, struct steps *out)
{
    const char *broken = NULL;
    if (!model.scenario->manual)
        return;
    for (size_t k = 0; k < model.scenario->servers; k++)
        if (s->servers[k].api != API_READY)
            return;
    struct step *t = begin(s, out, "the operator restarts the API server", i);
    if (!agent_operator_restarts(&t->next, i, &broken))
        return;
    t->broken = broken;
    keep_normal(out);
}

/* Values are to be rewritten while none runs. */
static bool is_standing(const struct model_state *s)
{
    const struct model_rotation *r = &s->record.rotation;
    return r->has_op && r->offline && r->state == OP_STATE_RUNNING && r->phase == PHASE_REWRITE;
}

/* As `status` tells the operator; or too early. */
static void standing_steps(const struct model_state *s, size_t i, struct steps *out)
{
    const struct model_server *m = &s->servers[i];
    if (is_standing(s) && !m->stopped && !m->cmd) {
        struct model_server *n = &begin(s, out, "the operator stops the API server", i)->next.servers[i];
        n->api = API_DOWN;
        n->stopped = 1;
        n->bad = n->ours = 0;
        memset(&n->loaded, 0, sizeof(n->loaded));
        keep_normal(out);
    }
    if (!m->stopped || !m->file.config)
        return;
    if (is_standing(s) && !may(s, FAULT_API))
        return;
    struct step *t = begin(s, out, "the operator starts the API server", i);
    t->broken = process_starts(&t->next, i, false, false);
    if (is_standing(s))
        keep_fault(out);
    else
        keep_normal(out);
}

static void server_steps(const struct model_state *s, size_t i, struct steps *out)
{
    agent_steps(s, i, out);
    command_steps(s, i, out);
    api_steps(s, i, out);
    write_step(s, i, out);
    late_step(s, i, out);
    edit_steps(s, i, out);
    operator_step(s, i, out);
    standing_steps(s, i, out);
    owned_steps(s, i, out);
}

/* ---------- coordinators ---------- */

static void leader_steps(const struct model_state *s, size_t c, struct steps *out)
{
    struct step *t;
    struct model_pending p;
    const char *row = NULL;
    if (s->pending[c].valid) {
        t = begin(s, out, "the coordinator acts at last", SIZE_MAX);
        t->broken = coordinator_act(&t->next, c);
        keep_normal(out);
        return;
    }
    if (coordinator_may_publish(s, c)) {
        coordinator_publish(&begin(s, out, "the coordinator records its job's result", SIZE_MAX)->next, c);
        keep_normal(out);
        return;
    }
    if (!coordinator_decide(s, c, &p, &row))
        return;
    t = begin(s, out, "the coordinator", SIZE_MAX);
    t->row = row;
    t->next.pending[c] = p;
    t->broken = coordinator_act(&t->next, c);
    keep_normal(out);
    if (!may(s, FAULT_STALL))
        return;
    t = begin(s, out, "the coordinator decides and is held up", SIZE_MAX);
    t->row = row;
    t->next.pending[c] = p;
    keep_fault(out);
}

/* A coordinator that does not lead any more does not know it yet. */
static void deposed_steps(const struct model_state *s, size_t c, struct steps *out)
{
    struct step *t;
    if (s->pending[c].valid) {
        t = begin(s, out, "the deposed coordinator acts", SIZE_MAX);
        t->broken = coordinator_act(&t->next, c);
        keep_normal(out);
    }
    if (!s->pending[c].valid && s->busy.job[c].state == JOB_NONE)
        return;
    t = begin(s, out, "the deposed coordinator notices", SIZE_MAX);
    memset(&t->next.pending[c], 0, sizeof(t->next.pending[c]));
    memset(&t->next.busy.job[c], 0, sizeof(t->next.busy.job[c]));
    keep_normal(out);
}

static void leader_changes(const struct model_state *s, struct steps *out)
{
    if (!may(s, FAULT_LEADER))
        return;
    struct model_state *n = &begin(s, out, "the leadership changes", SIZE_MAX)->next;
    size_t was = n->busy.leader;
    n->pending[was].term = 0;
    n->busy.leader = (uint8_t)!was;
    n->busy.fence++;
    memset(&n->pending[!was], 0, sizeof(n->pending[0]));
    memset(&n->busy.job[!was], 0, sizeof(n->busy.job[0]));
    keep_fault(out);
}

/* ---------- people ---------- */

static void ask(const struct model_state *s, enum operation_kind kind, size_t server, struct steps *out)
{
    static const char *const asks[] = {
        [OP_PREPARE] = "somebody asks for prepare",
        [OP_ROTATE] = "somebody asks for rotate",
        [OP_REENCRYPT] = "somebody asks for reencrypt",
        [OP_ROTATE_KEYS] = "somebody asks for rotate-keys",
        [OP_ENABLE] = "somebody asks for enable",
        [OP_DISABLE] = "somebody asks for disable",
        [OP_ADOPT] = "",
        [OP_ABORT] = "somebody asks for abort",
        [OP_RESTORE_KEY] = "somebody asks for keys restore",
        [OP_PAUSE] = "somebody asks for pause",
        [OP_RESUME] = "somebody asks for resume",
        [OP_REPAIR] = "somebody asks for repair",
        [OP_THROTTLE] = "somebody asks for throttle",
        [OP_RESTART] = "somebody asks for restart",
        [OP_LOCK] = "somebody asks for the lock",
        [OP_UNLOCK] = "the lock is to be given back",
    };
    struct step *t = begin(s, out, asks[kind], kind == OP_REPAIR ? server : SIZE_MAX);
    t->next.busy.request = (uint8_t)(kind + 1);
    t->next.busy.request_server = (uint8_t)server;
    t->next.busy.requests--;
    t->fault = true;
    keep(out);
}

static void people_steps(const struct model_state *s, struct steps *out)
{
    if (model.scenario->resumes && !s->busy.request && s->record.rotation.has_op &&
        s->record.rotation.state == OP_STATE_HALTED) {
        begin(s, out, "somebody mends what halted it and asks for resume", SIZE_MAX)->next.busy.request =
            OP_RESUME + 1;
        keep_normal(out);
    }
    if (s->busy.request || !s->busy.requests)
        return;
    for (int kind = 0; kind <= OP_UNLOCK; kind++)
        if (model.scenario->asks >> kind & 1u) {
            if (kind != OP_REPAIR)
                ask(s, (enum operation_kind)kind, 0, out);
            for (size_t i = 0; kind == OP_REPAIR && i < model.scenario->servers; i++)
                ask(s, OP_REPAIR, i, out);
        }
}

static void rogue_step(const struct model_state *s, struct steps *out)
{
    uint8_t old = KEY_BIT(1);
    bool dropping = s->record.rotation.phase == PHASE_DROP || s->record.rotation.phase == PHASE_FINAL ||
                    s->record.rotation.phase == PHASE_VERIFY;
    /* After the last scan nobody is there to see it. */
    bool counted = s->record.rotation.phase == PHASE_FINAL &&
                   (s->busy.job[s->busy.leader].state == JOB_ENDED || s->busy.proof.state == PROOF_MADE);
    if (!s->busy.rogue || !dropping || counted || s->record.rotation.state != OP_STATE_RUNNING)
        return;
    struct model_busy *b =
        &begin(s, out, "somebody unknown writes a value under the old key", SIZE_MAX)->next.busy;
    b->data |= old;
    b->clean &= (uint8_t)~old;
    b->rogue--;
    out->v[out->count].fault = true;
    keep(out);
}

static void unknown_step(const struct model_state *s, struct steps *out)
{
    if (s->busy.unknown) {
        begin(s, out, "the API server in no list is gone", SIZE_MAX)->next.busy.unknown = 0;
        keep_normal(out);
    } else if (may(s, FAULT_UNKNOWN)) {
        begin(s, out, "an API server that is in no list comes alive", SIZE_MAX)->next.busy.unknown = 1;
        keep_fault(out);
    }
}

/* Neither has to happen for anything to end; opening may be what is waited for. */
static void outside_steps(const struct model_state *s, struct steps *out)
{
    struct step *t;
    if (s->busy.lock) {
        t = begin(s, out, "the lock's holder dies, and its lease ends", SIZE_MAX);
        t->next.busy.lock = 0;
        t->fault = true;
        keep(out);
    }
    if (!model.scenario->windows || (s->busy.closed && model.scenario->shut))
        return;
    t = begin(s, out, s->busy.closed ? "the window opens" : "the window ends", SIZE_MAX);
    t->next.busy.closed = !s->busy.closed;
    t->fault = !s->busy.closed;
    keep(out);
}

/* ---------- all of them ---------- */

void world_successors(const struct model_state *s, struct steps *out)
{
    out->count = 0;
    for (size_t i = 0; i < model.scenario->servers; i++)
        server_steps(s, i, out);
    leader_steps(s, s->busy.leader, out);
    deposed_steps(s, !s->busy.leader, out);
    for (size_t c = 0; c < 2; c++)
        job_steps(s, c, out);
    leader_changes(s, out);
    people_steps(s, out);
    rogue_step(s, out);
    unknown_step(s, out);
    outside_steps(s, out);
}

void world_init(struct model_state *ret)
{
    const struct scenario *sc = model.scenario;
    uint8_t config = sc->plain ? CONFIG(0, PLAIN | KEY_BIT(1))
                               : CONFIG(1, KEY_BIT(1) | (sc->plain_values || sc->owned ? PLAIN : 0));
    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < sc->servers; i++) {
        struct model_server *m = &ret->servers[i];
        m->file = m->loaded = (struct config_file){config, 0};
        m->api = API_READY;
        m->own = sc->owned ? config : 0;
        m->own_stage = STAGE_START;
        m->alive = m->known = 1;
        if (!sc->unadopted)
            m->written = (struct model_version){1, STAGE_START, m->file};
    }
    struct model_record *r = &ret->record;
    r->keys = 1;
    if (sc->owned) {
        r->datastore.config = config;
        r->datastore.stage = STAGE_START;
    }
    r->wrote = KEY_BIT(writes(config)) | (sc->plain_values ? PLAIN : 0);
    if (!sc->unadopted) {
        r->bundles[1].config = config;
        r->rotation = (struct model_rotation){.generation = 1,
                                              .config = config,
                                              .issued = 1,
                                              .write_key = (uint8_t)writes(config),
                                              .reads_plain = (reads(config) & PLAIN) != 0,
                                              .keys = 1,
                                              .has_op = 1,
                                              .kind = OP_ADOPT,
                                              .state = OP_STATE_FINISHED,
                                              .phase = PHASE_DONE};
    }
    struct model_busy *b = &ret->busy;
    b->data = KEY_BIT(writes(config)) | (sc->plain_values ? PLAIN : 0);
    b->fence = 1;
    b->faults = sc->faults;
    b->requests = sc->requests;
    b->rogue = (sc->faults_allowed & FAULT_ROGUE) ? 1 : 0;
    b->edits = (sc->faults_allowed & FAULT_EDIT) ? sc->faults : 0;
    b->request = (uint8_t)(sc->first + 1);
    for (size_t i = 0; i < sc->servers; i++)
        (void)agent_publishes(ret, i);
}
