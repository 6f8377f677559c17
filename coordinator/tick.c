/* One turn: observe, decide, take one step. */
#include "act.h"
#include "api_login.h"
#include "proofs/apiservers.h"

#include <base/clock.h>
#include <base/log.h>
#include <base/text.h>
#include <metrics/metrics.h>

#define PROGRESS_EVERY_MS 500
#define UNTAKEN_FIRST_MS  15000 /* servers that were just installed start one after the other */
#define UNTAKEN_EVERY_MS  300000

/* Server i of a spec in a snapshot, where it mostly stands at the same place; NULL: not there. */
static const struct snapshot_server *server_of_spec(const struct cluster_spec *spec,
                                                    const struct cluster_snapshot *s, size_t i)
{
    const char *name = spec->servers[i].name;
    bool here = i < s->servers_count && strcmp(s->servers[i].name, name) == 0;
    return here ? &s->servers[i] : snapshot_server(s, name);
}

/* The API servers that a job may ask: those whose agents say that they are ready; and how fast it may go. */
static void steer_job(struct coordinator *c, const struct cluster_snapshot *s)
{
    const struct cluster_spec *spec = &job_opts(c->job)->spec;
    for (size_t i = 0; i < spec->servers_count; i++) {
        const struct snapshot_server *v = server_of_spec(spec, s, i);
        job_use(c->job, i, v && v->reports && v->report.ready);
    }
    int64_t asked = s->rotation.op.max_rate;
    job_limit(c->job, asked >= 0 ? asked : c->config->reencrypt_max_rate);
}

static int tend_job(struct coordinator *c, struct cluster_snapshot *s, struct error *err)
{
    if (!c->job)
        return 0;
    steer_job(c, s);
    int64_t now = clock_mono_ms();
    if (!job_ended(c->job) && now - c->progress_ms < PROGRESS_EVERY_MS)
        return 0;
    c->progress_ms = now;
    return act_progress(c, s, err);
}

/* What the lines of this turn are about; `d` is NULL until it is decided. */
static void log_about(const struct cluster_snapshot *s, const struct decision *d)
{
    const struct cluster_operation *op = &s->rotation.op;
    bool runs = s->has_rotation && *op->id && op->state != OP_STATE_FINISHED;
    bool order = d && d->action == ACTION_ORDER && d->server < s->servers_count;
    log_context(LOG_OPERATION, runs ? op->id : NULL);
    log_context(LOG_STAGE, s->has_rotation ? stage_name(s->rotation.stage) : NULL);
    log_context(LOG_SERVER, order ? s->servers[d->server].name : d ? d->on : NULL);
    log_context(LOG_ROW, d ? d->row : NULL);
}

static void log_decision(struct coordinator *c, const struct cluster_snapshot *s, const struct decision *d)
{
    if (strcmp(c->last_row, d->row) == 0 && strcmp(c->last_why, d->why) == 0)
        return;
    text_copy(c->last_row, sizeof(c->last_row), d->row);
    text_copy(c->last_why, sizeof(c->last_why), d->why);
    bool running = s->rotation.op.state == OP_STATE_RUNNING && *s->rotation.op.id;
    log_event(running ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "decided", LOG_S("row", d->row),
              LOG_S("action", action_name(d->action)), LOG_S("why", d->why));
}

/* Nothing happens, and whoever has just installed us looks here for the reason. */
static void log_untaken(struct coordinator *c, const struct cluster_snapshot *s)
{
    char why[CLUSTER_TEXT_MAX];
    int64_t now = clock_mono_ms();
    if (!rotation_is_untaken(s, why) || !*why) {
        c->untaken_ms = 0;
        return;
    }
    if (c->untaken_ms == 0)
        c->untaken_ms = now + UNTAKEN_FIRST_MS;
    if (now < c->untaken_ms)
        return;
    c->untaken_ms = now + UNTAKEN_EVERY_MS;
    log_event(LOG_LEVEL_WARNING, "the servers' present config is not taken over", LOG_S("why", why));
}

/* ---------- what is observed besides the store ---------- */

#define APIS_EVERY_MS    2000
#define APIS_DEADLINE_MS 1500

/* One server is asked at a look, so that a look has one deadline. */
static int ask_an_api(struct coordinator *c, char why[CLUSTER_TEXT_MAX], struct error *err)
{
    while (c->spec.servers[c->apis_server].role == ROLE_ETCD) /* not all are: config_check */
        c->apis_server = (c->apis_server + 1) % c->spec.servers_count;
    struct kube_options login = api_login_at(c->config, &c->spec, c->apis_server);
    int rc = c->apis_kube ? 0 : kube_open(&login, &c->apis_kube, err);
    if (rc == 0)
        rc = apiservers_unknown_api(c->apis_kube, c->config, APIS_DEADLINE_MS, why, err);
    if (rc == 0)
        return 0;
    kube_close(take(c->apis_kube));
    c->apis_server = (c->apis_server + 1) % c->spec.servers_count;
    return rc;
}

static int ask_for_apis(struct coordinator *c, char why[CLUSTER_TEXT_MAX])
{
    struct error err = ERROR_INIT;
    if (!c->spec.not_raw)
        return apiservers_unknown(c->datastore, c->config, APIS_DEADLINE_MS, why, NULL);
    int rc = ask_an_api(c, why, &err);
    if (rc == ERR_DENIED && !c->apis_denied)
        log_event(LOG_LEVEL_WARNING, "API servers that nobody listed would not be seen",
                  LOG_S("why", err.text));
    c->apis_denied = rc == ERR_DENIED;
    return rc;
}

/* The API servers that are alive by the datastore's own records. What cannot be read now stays as it was. */
static int look_for_unknown_apis(struct coordinator *c, struct cluster_snapshot *s, struct error *err)
{
    int64_t now = clock_mono_ms();
    if (c->apis_ms == 0 || now - c->apis_ms >= APIS_EVERY_MS) {
        char why[CLUSTER_TEXT_MAX] = "";
        c->apis_ms = now;
        if (ask_for_apis(c, why) == 0) {
            text_copy(c->unknown_api, sizeof(c->unknown_api), why);
            c->apis_known = true;
        }
    }
    return c->apis_known ? act_apis(c, s, c->unknown_api, err) : 0;
}

/* The servers stand as they stood at the last look. */
static bool same_servers(const struct freshness *f, const struct cluster_snapshot *s)
{
    bool same = f->count == s->servers_count;
    for (size_t i = 0; same && i < f->count; i++)
        same = strcmp(f->seen[i].server, s->servers[i].name) == 0;
    return same;
}

/* Takes the servers over in the snapshot's order, those that were seen before with what is known of them. */
static int reorder(struct freshness *f, const struct cluster_snapshot *s, int64_t now, struct error *err)
{
    _cleanup_free_ struct freshness *old = malloc(sizeof(*old));
    if (!old)
        return error_no_memory(err);
    old->count = f->count;
    memcpy(old->seen, f->seen, f->count * sizeof(f->seen[0]));
    f->count = s->servers_count;
    for (size_t i = 0; i < f->count; i++) {
        f->seen[i].mod = s->servers[i].report_mod;
        f->seen[i].since_ms = now;
        text_copy(f->seen[i].server, sizeof(f->seen[i].server), s->servers[i].name);
        for (size_t k = 0; k < old->count; k++)
            if (strcmp(old->seen[k].server, f->seen[i].server) == 0)
                f->seen[i] = old->seen[k];
    }
    return 0;
}

static int measure_freshness(struct freshness *f, struct cluster_snapshot *s, struct error *err)
{
    int64_t now = clock_mono_ms();
    int rc = same_servers(f, s) ? 0 : reorder(f, s, now, err);
    for (size_t i = 0; rc == 0 && i < s->servers_count; i++) {
        struct snapshot_server *v = &s->servers[i];
        if (f->seen[i].mod != v->report_mod)
            f->seen[i].since_ms = now;
        f->seen[i].mod = v->report_mod;
        v->unchanged_ms = now - f->seen[i].since_ms;
    }
    return rc;
}

/* Agents publish at least twice a lease. */
static int64_t stale_ms(const struct config *config)
{
    return (2 * config->lease_ttl_s + 5) * 1000;
}

/* A restart with its way back, and something on top. */
static int64_t order_late_ms(const struct config *config)
{
    return (config->exec_timeout_s + 2 * config->ready_timeout_s + 30) * 1000;
}

static int decide(struct coordinator *c, struct cluster_snapshot *s, enum tick_result *ret, struct error *err)
{
    struct planner_self self = {
        .server = c->config->server,
        .fence = c->fence,
        .spec = &c->spec,
        .job_running = c->job != NULL,
        .job_operation = c->job ? job_operation(c->job) : "",
        .job_step = c->job ? job_step(c->job) : 0,
        .watching = c->job && job_watching(c->job),
        .passes_max = REWRITE_PASSES_MAX,
        .attempts_max = PROOF_ATTEMPTS_MAX,
        .stale_ms = stale_ms(c->config),
        .order_late_ms = order_late_ms(c->config),
        .closed = c->closed,
    };
    struct decision d;
    rotation_decide(s, &self, &d);
    log_about(s, &d);
    log_decision(c, s, &d);
    log_untaken(c, s);
    if (d.action == ACTION_RESIGN) {
        *ret = TICK_RESIGN;
        return 0;
    }
    if (d.action == ACTION_WAIT) {
        *ret = TICK_IDLE;
        return act_note(c, s, &d, err);
    }
    *ret = TICK_AGAIN;
    return act(c, s, &d, err);
}

/* What changed since the last look is read; see store/view.h for what may be changed in *ret_s. */
static int look(struct coordinator *c, struct cluster_snapshot **ret_s, struct error *err)
{
    int rc = c->view ? 0 : store_view_new(c->store, &c->view, err);
    if (rc == 0)
        rc = store_view_look(c->view, STORE_DEADLINE_MS, ret_s, err);
    metrics_store_answers(rc != ERR_UNAVAILABLE && rc != ERR_TIMEOUT);
    return rc;
}

/* An operation that the answer could hold (facts.c). Nobody is asked for the others' sake: an answer can be
 * long in coming. */
static bool may_be_closed(const struct cluster_snapshot *s)
{
    const struct cluster_operation *op = &s->rotation.op;
    bool runs = s->has_rotation && *op->id && op->state == OP_STATE_RUNNING;
    bool dropping = rotation_phase_drops(op->phase) && op->target > 0;
    return runs && rotation_phase_is_config(op->phase) && op->kind != OP_ABORT && op->kind != OP_ADOPT &&
           op->phase != PHASE_BRING_BACK && !dropping;
}

static void look_whether_open(struct coordinator *c, const struct cluster_snapshot *s)
{
    c->closed[0] = 0;
    if (may_be_closed(s))
        maintenance_closed(&c->maintenance, c->config, s->rotation.op.now, s->now_ms, c->closed);
}

static int work(struct coordinator *c, struct cluster_snapshot *s, enum tick_result *ret, struct error *err)
{
    int rc = measure_freshness(&c->fresh, s, err);
    if (rc == 0)
        rc = look_for_unknown_apis(c, s, err);
    if (rc == 0)
        rc = act_drift(c, s, err);
    if (rc == 0)
        rc = tend_job(c, s, err);
    if (rc == 0)
        act_audit_prune(c, s);
    if (rc == 0)
        rc = act_writes(c, s, err);
    if (rc == 0)
        rc = act_schedule(c, s, err);
    if (rc == 0)
        look_whether_open(c, s);
    return rc < 0 ? rc : decide(c, s, ret, err);
}

int tick(struct coordinator *c, enum tick_result *ret, struct error *err)
{
    struct cluster_snapshot *s = NULL;
    int rc = look(c, &s, err);
    if (secret_lock_failed())
        log_event(
            LOG_LEVEL_WARNING, "keys may be swapped to disk",
            LOG_S("why", "memory cannot be locked: raise the limit (LimitMEMLOCK=, ulimit -l) to 64 MiB"));
    if (rc < 0)
        return rc;
    log_about(s, NULL);
    if (s->leader_fence != c->fence) {
        *ret = TICK_DEPOSED; /* the fence is in every write too; this is to stop early */
        return 0;
    }
    rc = work(c, s, ret, err);
    if (rc < 0)
        store_view_forget(c->view); /* half a step: what it left in the snapshot is not looked into */
    return rc;
}
