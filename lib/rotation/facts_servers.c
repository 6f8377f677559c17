/* Facts about the servers, their files and their orders. */
#include "facts.h"

#include <inttypes.h>

#include <base/text.h>
#include <rotation/transition.h>

const struct snapshot_bundle *facts_target(const struct cluster_snapshot *s)
{
    int64_t target = s->rotation.op.target;
    return target ? snapshot_bundle(s, target) : NULL;
}

static const struct snapshot_server *first_api(const struct cluster_snapshot *s)
{
    return &s->servers[snapshot_first_api(s)];
}

static bool loaded(const struct snapshot_server *v, const char *hash)
{
    return v->report.loaded_known && strcmp(v->report.loaded_hash, hash) == 0;
}

bool facts_at_target(const struct cluster_snapshot *s, const struct snapshot_server *v)
{
    const struct snapshot_bundle *b = facts_target(s);
    return b && v->reports && v->report.ready && strcmp(v->report.hash, b->hash) == 0 &&
           v->report.stage == b->stage && loaded(v, b->hash) &&
           (!b->has_vector || v->report.vector_generation == b->generation);
}

void facts_silence(const struct snapshot_server *v, const struct planner_self *self,
                   char why[CLUSTER_TEXT_MAX])
{
    why[0] = 0;
    if (!v->reports)
        text_copy(why, CLUSTER_TEXT_MAX, *v->report_why ? v->report_why : "its agent publishes nothing");
    else if (v->plain_keys_differ)
        text_copy(why, CLUSTER_TEXT_MAX, "its stage and hash keys say something else than its signed report");
    else if (self && self->stale_ms > 0 && v->unchanged_ms > self->stale_ms)
        snprintf(why, CLUSTER_TEXT_MAX,
                 "its agent has published nothing new for %" PRId64 " s: look at the agent's log there",
                 v->unchanged_ms / 1000);
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

bool facts_order_in_flight(const struct snapshot_server *v)
{
    /* A SYNC waits for the operator, not for the agent. */
    return v->in_spec && v->has_order && v->order.kind != ORDER_SYNC && !order_answered(v);
}

static const char *order_progress(const struct snapshot_server *v)
{
    return v->reports && v->report.order_id == v->order.id ? order_state_name(v->report.order_state)
                                                           : "not taken yet";
}

static void order_facts(const struct cluster_snapshot *s, const struct planner_self *self,
                        const struct snapshot_server *v, struct facts *f)
{
    if (facts_order_in_flight(v)) {
        int64_t age_s = (s->now_ms - v->order.given_ms) / 1000;
        facts_set(f, FACT_ORDER_IN_FLIGHT, v->name,
                  "%s: order %" PRId64 " (%s generation %" PRId64 ") is %s%s%s", v->name, v->order.id,
                  order_kind_name(v->order.kind), v->order.generation, order_progress(v),
                  v->reports ? "" : "; its agent is silent at present: ", v->reports ? "" : v->report_why);
        /* A wall clock that jumped makes an order look late or early: it is told, never acted on. */
        if (self->order_late_ms > 0 && age_s * 1000 > self->order_late_ms)
            facts_set(f, FACT_ORDER_LATE, v->name,
                      "%s: order %" PRId64 " is %s after %" PRId64 " s: look at its agent and API server%s%s",
                      v->name, v->order.id, order_progress(v), age_s, v->reports ? "" : "; ",
                      v->reports ? "" : v->report_why);
        return;
    }
    if (!order_is_current(s, v) || !order_answered(v) || !rotation_phase_is_config(s->rotation.op.phase))
        return;
    if (v->report.order_state == ORDER_REFUSED && v->order.fence < self->fence)
        facts_set(f, FACT_ORDER_OUTDATED, v->name, "%s: %s", v->name, v->report.order_why);
    else if (v->report.order_state != ORDER_DONE)
        facts_set(f, FACT_ORDER_FAILED, v->name, "%s: %s", v->name, v->report.order_why);
}

/* ---------- files ---------- */

/* The first server was asked for its next config, and no agent has sealed what it made: it may have it
 * already, also when the call said that it failed, and who was restarted since has it too. Whether it is what
 * it should be is looked at when the first one is asked again. */
static bool may_be_made(const struct cluster_snapshot *s, const struct snapshot_server *v, const char *hash)
{
    const struct cluster_operation *op = &s->rotation.op;
    bool asked = s->spec.owned && op->target && op->phase != PHASE_ADOPT && !facts_target(s);
    return asked && (v == first_api(s) || strcmp(hash, first_api(s)->report.hash) == 0);
}

/* What a server may have: the settled generation, the one that the phase brings, and the one that a phase
 * that was left had begun to bring. In an adopt phase without its bundle: the first server's file. */
bool facts_hash_allowed(const struct cluster_snapshot *s, const struct snapshot_server *v, const char *hash)
{
    const struct cluster_operation *op = &s->rotation.op;
    /* Servers that make their configs themselves cannot be given back the one from before. */
    const struct snapshot_bundle *b = facts_live(s) || s->spec.owned ? facts_target(s) : NULL;
    bool adopting = facts_live(s) && op->phase == PHASE_ADOPT;
    if (!*hash)
        return false;
    if (may_be_made(s, v, hash))
        return true;
    if (b && strcmp(hash, b->hash) == 0)
        return true;
    if (adopting && !b && strcmp(hash, first_api(s)->report.hash) == 0)
        return true;
    if (!adopting && (strcmp(hash, s->rotation.hash) == 0 || strcmp(hash, op->also) == 0))
        return true;
    /* --force: files that differ in layout alone may be adopted; APPLY makes them the same afterwards. */
    return adopting && op->force && *v->report.config_id &&
           strcmp(v->report.config_id, first_api(s)->report.config_id) == 0;
}

bool rotation_may_have(const struct cluster_snapshot *s, const struct snapshot_server *v, const char *hash)
{
    return facts_hash_allowed(s, v, hash);
}

/* An agent remembers on its own disk which generation it wrote. A store that has taken nothing over yet knows
 * of no config that would be right. */
bool rotation_is_newer(const struct cluster_snapshot *s, const struct snapshot_server *v)
{
    const struct cluster_rotation *r = &s->rotation;
    return v->reports && v->report.generation > r->issued && v->report.generation > r->op.target &&
           (r->generation == 0 || !facts_hash_allowed(s, v, v->report.hash));
}

void rotation_say_newer(const struct cluster_snapshot *s, const struct snapshot_server *v,
                        char out[CLUSTER_TEXT_MAX])
{
    if (s->rotation.generation == 0)
        snprintf(out, CLUSTER_TEXT_MAX,
                 "it has generation %" PRId64
                 ", and the state store knows of none: the state store has lost its records",
                 v->report.generation);
    else
        snprintf(out, CLUSTER_TEXT_MAX,
                 "it has generation %" PRId64 ", and the state store knows of none after %" PRId64
                 ": the state store was restored from an older backup, or put back",
                 v->report.generation, s->rotation.issued);
}

/* What to say of a file that a server may not have. */
static const char *drift(const struct cluster_snapshot *s, const struct snapshot_server *v,
                         char newer[CLUSTER_TEXT_MAX])
{
    const struct cluster_report *r = &v->report;
    if (rotation_is_newer(s, v)) {
        rotation_say_newer(s, v, newer);
        return newer;
    }
    if (facts_live(s) && s->rotation.op.phase == PHASE_ADOPT)
        return "its encryption config is another than the first server's: make them the same, then ask again";
    return *r->file_why ? r->file_why
                        : "its encryption config is not the one that it should have: run "
                          "`secrets-encrypt repair` for it";
}

static void file_facts(const struct cluster_snapshot *s, const struct snapshot_server *v, bool may_be_stopped,
                       struct facts *f)
{
    const struct cluster_report *r = &v->report;
    const struct snapshot_bundle *b = facts_live(s) ? facts_target(s) : NULL;
    char newer[CLUSTER_TEXT_MAX];
    if (!facts_hash_allowed(s, v, r->hash))
        facts_set(f, FACT_DRIFT, v->name, "%s: %s", v->name, drift(s, v, newer));
    if (!r->loaded_known && may_be_stopped)
        return; /* its next start is with the file that was looked at */
    if (!r->loaded_known)
        facts_set(f, FACT_UNLOADED, v->name, "%s: %s", v->name,
                  *r->process_why ? r->process_why : "what its API server loaded is not known");
    else if (!facts_hash_allowed(s, v, r->loaded_hash))
        facts_set(f, FACT_UNLOADED, v->name,
                  "%s: its API server was started before its present encryption config was written, or with "
                  "another "
                  "one",
                  v->name);
    if (b && b->has_vector && strcmp(r->hash, b->hash) == 0 && r->vector_generation != b->generation &&
        *r->vector_why)
        facts_set(f, FACT_SEALED, v->name, "%s: %s", v->name, r->vector_why);
}

/* A repair by policy that failed is not tried again by itself. */
static bool policy_failed(const struct snapshot_server *v)
{
    return v->has_order && strcmp(v->order.operation, POLICY) == 0 && order_answered(v) &&
           v->report.order_state != ORDER_DONE;
}

/* By policy: one server's file is wrong, what its API server runs with is right, and the others are well. */
static void repair_facts(const struct cluster_snapshot *s, const struct planner_self *self, struct facts *f)
{
    size_t wrong = SIZE_MAX;
    bool adopting = facts_live(s) && s->rotation.op.phase == PHASE_ADOPT;
    if (adopting || s->rotation.generation == 0)
        return;
    for (size_t i = 0; i < s->servers_count && s->servers[i].in_spec; i++) {
        const struct snapshot_server *v = &s->servers[i];
        char silence[CLUSTER_TEXT_MAX];
        facts_silence(v, self, silence);
        if (*silence || !v->report.ready || !v->report.loaded_known ||
            !facts_hash_allowed(s, v, v->report.loaded_hash))
            return;
        if (!facts_hash_allowed(s, v, v->report.hash)) {
            if (wrong != SIZE_MAX || policy_failed(v))
                return; /* several: somebody means something by it */
            wrong = i;
        }
    }
    if (wrong == SIZE_MAX)
        return;
    f->repair_server = wrong;
    facts_set(f, FACT_REPAIRABLE, s->servers[wrong].name, "%s", s->servers[wrong].name);
}

/* While values are rewritten offline no API server may run; until their count is proved none has to. */
static bool may_be_stopped(const struct cluster_snapshot *s)
{
    const struct cluster_operation *op = &s->rotation.op;
    bool phase = op->phase == PHASE_REWRITE || op->phase == PHASE_VERIFY || op->phase == PHASE_BACKUP_DROP;
    return facts_live(s) && op->offline && phase;
}

static void standing_facts(const struct cluster_snapshot *s, const struct snapshot_server *v, struct facts *f)
{
    if (s->rotation.op.phase == PHASE_REWRITE && (v->report.ready || v->report.loaded_known))
        facts_set(f, FACT_STANDING, v->name,
                  "%s: its API server still runs: stop it, on every server, and leave the agents running",
                  v->name);
}

static void server_facts(const struct cluster_snapshot *s, const struct planner_self *self,
                         const struct snapshot_server *v, struct facts *f)
{
    char silence[CLUSTER_TEXT_MAX];
    if (!v->in_spec) {
        if (v->reports)
            facts_set(f, FACT_STRANGER, v->name, "%s publishes but is not among the cluster's servers",
                      v->name);
        return;
    }
    order_facts(s, self, v, f);
    facts_silence(v, self, silence);
    if (*silence)
        facts_set(f, FACT_SILENT, v->name, "%s: %s", v->name, silence);
    if (!v->reports)
        return;
    bool stopped = may_be_stopped(s);
    if (stopped && !snapshot_etcd_only(s, (size_t)(v - s->servers)))
        standing_facts(s, v, f);
    if (!v->report.ready && !stopped)
        facts_set(f, FACT_UNREADY, v->name, "%s: %s", v->name,
                  *v->report.ready_why ? v->report.ready_why : "not ready");
    if (facts_live(s))
        file_facts(s, v, stopped, f);
}

void facts_of_servers(const struct cluster_snapshot *s, const struct planner_self *self, struct facts *f)
{
    for (size_t i = 0; i < s->servers_count; i++)
        server_facts(s, self, &s->servers[i], f);
    repair_facts(s, self, f);
}

/* ---------- who is next ---------- */

/* The kind of order that brings the target to a server. */
static enum order_kind kind_for(const struct cluster_snapshot *s, size_t i)
{
    const struct cluster_operation *op = &s->rotation.op;
    const struct snapshot_bundle *b = facts_target(s);
    if (op->phase == PHASE_RESTART)
        return ORDER_RESTART;
    if (op->phase == PHASE_ADOPT && !b)
        return ORDER_ADOPT;
    if (s->spec.owned)
        return b ? ORDER_FOLLOW : ORDER_CALL;
    /* A generation with the same file (only the stage is new) needs no restart. */
    if (b && loaded(&s->servers[i], b->hash) && strcmp(s->servers[i].report.hash, b->hash) == 0)
        return ORDER_WRITE;
    if (op->restart)
        return ORDER_APPLY;
    return i == snapshot_first_api(s) ? ORDER_WRITE : ORDER_SYNC;
}

/* Manual: S1's file is written first; then the others may take it up in any order, when the operator
 * restarts them. */
static bool manual_turn(const struct cluster_snapshot *s, size_t i)
{
    const struct snapshot_bundle *b = facts_target(s);
    return i == snapshot_first_api(s) || (b && strcmp(first_api(s)->report.hash, b->hash) == 0);
}

/* Its order was done, and undone since: somebody put another file there, or the API server was started with
 * another one. (A report says of order, file and process in one: it cannot be half of the truth.) */
static bool undone(const struct cluster_snapshot *s, const struct snapshot_server *v)
{
    const struct snapshot_bundle *b = facts_target(s);
    return b && v->reports && order_answered(v) && v->report.order_state == ORDER_DONE && v->report.ready &&
           (strcmp(v->report.hash, b->hash) != 0 ||
            ((v->order.kind == ORDER_APPLY || v->order.kind == ORDER_FOLLOW) && v->report.loaded_known &&
             !loaded(v, b->hash)));
}

bool facts_lost(const struct cluster_snapshot *s)
{
    const struct cluster_rotation *r = &s->rotation;
    const struct snapshot_bundle *b = facts_target(s);
    if (!s->spec.owned || r->op.phase == PHASE_ADOPT || !b || strcmp(b->hash, r->hash) == 0 ||
        s->servers_count == 0 || order_is_current(s, first_api(s)))
        return false;
    for (size_t i = 0; i < s->servers_count && s->servers[i].in_spec; i++) {
        const struct snapshot_server *v = &s->servers[i];
        bool follows = snapshot_etcd_only(s, i) && order_is_current(s, v); /* the first one that does */
        if (!v->reports || follows || strcmp(v->report.hash, r->hash) != 0 || !loaded(v, r->hash))
            return false;
    }
    return true;
}

/* It has its order for the phase, or has carried it out. A server that made the config itself is restarted
 * with another one. */
static bool has_order(const struct cluster_snapshot *s, const struct snapshot_server *v)
{
    if (!order_is_current(s, v))
        return false;
    bool answered = order_answered(v);
    bool made = v->order.kind == ORDER_CALL && s->rotation.op.restart;
    return !answered ||
           !(v->report.order_state == ORDER_REFUSED || (made && v->report.order_state == ORDER_DONE));
}

/* Manual, and the servers hand their config to one another: a restart is all that the others need. */
static bool needs_none(const struct cluster_snapshot *s, size_t i)
{
    return s->spec.owned && !s->rotation.op.restart && (i != snapshot_first_api(s) || facts_target(s));
}

/* What a server that has answered its order still lacks. */
static const char *lacks(const struct cluster_snapshot *s, const struct snapshot_server *v)
{
    const struct snapshot_bundle *b = facts_target(s);
    if (!b)
        return "its bundle is not there yet";
    if (!v->reports)
        return "it does not report";
    if (strcmp(v->report.hash, b->hash) != 0 || v->report.stage != b->stage)
        return "its report does not show the config yet";
    if (!loaded(v, b->hash))
        return "its API server is not known to run with it yet";
    if (!v->report.ready)
        return "its API server is not ready";
    return "its agent has not opened the test vector yet";
}

/* What server i lacks, and whether it is its turn. False: nobody after it is looked at. */
static bool look_at_next(const struct cluster_snapshot *s, size_t i, struct facts *f, bool *all)
{
    const struct cluster_operation *op = &s->rotation.op;
    const struct snapshot_server *v = &s->servers[i];
    if (facts_at_target(s, v))
        return true;
    if (order_is_current(s, v) && undone(s, v))
        facts_set(f, FACT_UNDONE, v->name,
                  "%s: its encryption config was changed back after order %" PRId64
                  " was done: find out by whom, then resume",
                  v->name, v->order.id);
    if (*all)
        snprintf(f->text[FACT_ALL_AT_TARGET], CLUSTER_TEXT_MAX, "%s: %s", v->name, lacks(s, v));
    *all = false;
    if (fact(f, FACT_NEXT))
        return true;
    bool has_it = has_order(s, v);
    if ((has_it && !op->restart) || needs_none(s, i))
        return true; /* it has its order: the operator's restart is what is missing */
    if (!op->restart && !manual_turn(s, i))
        return true;
    if (!has_it) {
        f->next_server = i;
        f->next_kind = kind_for(s, i);
        facts_set(f, FACT_NEXT, v->name, "%s", v->name);
    }
    return !op->restart; /* one at a time, in restart order */
}

/* A member of etcd followed, and is ready with the config from before: the datastore has no other, and what
 * was made stands on the server that made it alone. That one is restarted next: either it has it still, or
 * every server has the one from before, and another is asked for. */
static bool made_and_not_saved(const struct cluster_snapshot *s)
{
    bool found = false;
    for (size_t i = 0; !found && i < s->servers_count && i < s->spec.servers_count; i++) {
        const struct cluster_report *r = &s->servers[i].report;
        found = snapshot_etcd_only(s, i) && s->servers[i].reports && r->ready &&
                r->order_state == ORDER_FAILED && r->order_id > first_api(s)->report.order_id &&
                strcmp(r->hash, s->rotation.hash) == 0;
    }
    return found;
}

/* ---------- a restart ---------- */

bool rotation_restarts(const struct cluster_operation *op, const char *server)
{
    bool named = op->servers_count == 0;
    for (size_t i = 0; !named && i < op->servers_count; i++)
        named = strcmp(op->servers[i], server) == 0;
    return named;
}

size_t rotation_restart_at(const struct cluster_snapshot *s, int64_t done)
{
    bool etcd_only = true;
    for (int half = 0; half < 2; half++, etcd_only = !etcd_only)
        for (size_t i = 0; i < s->servers_count && s->servers[i].in_spec; i++)
            if (snapshot_etcd_only(s, i) == etcd_only &&
                rotation_restarts(&s->rotation.op, s->servers[i].name) && done-- == 0)
                return i;
    return SIZE_MAX;
}

int64_t rotation_restart_rank(const struct cluster_snapshot *s, size_t i)
{
    const struct cluster_operation *op = &s->rotation.op;
    int64_t before = 0;
    if (!s->servers[i].in_spec || !rotation_restarts(op, s->servers[i].name))
        return INT64_MAX;
    for (size_t k = 0; k < s->servers_count && s->servers[k].in_spec; k++) {
        bool first = snapshot_etcd_only(s, k) != snapshot_etcd_only(s, i) ? snapshot_etcd_only(s, k) : k < i;
        before += first && rotation_restarts(op, s->servers[k].name);
    }
    return before;
}

int64_t rotation_restarted(const struct cluster_snapshot *s)
{
    int64_t done = s->rotation.op.restarted;
    size_t i = rotation_restart_at(s, done);
    bool answered = i != SIZE_MAX && order_is_current(s, &s->servers[i]) && order_answered(&s->servers[i]);
    return done + (answered && s->servers[i].report.order_state == ORDER_DONE);
}

/* That every server is ready with what it had is for the rows that stand before the next order. */
static void restart_next(const struct cluster_snapshot *s, struct facts *f)
{
    size_t i = rotation_restart_at(s, rotation_restarted(s));
    facts_set_if(f, FACT_ALL_AT_TARGET, i == SIZE_MAX);
    if (i == SIZE_MAX)
        return;
    snprintf(f->text[FACT_ALL_AT_TARGET], CLUSTER_TEXT_MAX, "%s has not been restarted yet",
             s->servers[i].name);
    if (has_order(s, &s->servers[i]))
        return;
    f->next_server = i;
    f->next_kind = kind_for(s, i);
    facts_set(f, FACT_NEXT, s->servers[i].name, "%s", s->servers[i].name);
}

/* In the list's order; but servers without an API server last as long as the config is still to be made, and
 * first once it is there: they have to be restarted before those that they hand it to. */
void facts_of_next(const struct cluster_snapshot *s, struct facts *f)
{
    if (s->rotation.op.phase == PHASE_RESTART) {
        restart_next(s, f);
        return;
    }
    bool all = s->servers_count > 0, on = true, etcd_only = facts_target(s) && !made_and_not_saved(s);
    for (int half = 0; half < 2; half++, etcd_only = !etcd_only)
        for (size_t i = 0; on && i < s->servers_count && s->servers[i].in_spec; i++)
            if (snapshot_etcd_only(s, i) == etcd_only)
                on = look_at_next(s, i, f, &all);
    facts_set_if(f, FACT_ALL_AT_TARGET, all);
}
