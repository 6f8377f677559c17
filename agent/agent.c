/* Opening an agent, its memory, and which orders it takes. */
#include <agent/agent.h>
#include <agent/k3s.h>

#include <stdarg.h>

#include <base/clock.h>
#include <base/log.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <crypto/crypto.h>

#include "job.h"

#define LOCK_MS 2000

void agent_note(char out[CLUSTER_TEXT_MAX], const char *format, ...)
{
    char text[CLUSTER_TEXT_MAX];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    memcpy(out, text, sizeof(text));
}

int agent_save(struct agent *a, struct error *err)
{
    struct error why = ERROR_INIT;
    int rc = state_lock(&a->dir, LOCK_MS, &why);
    if (rc == 0) {
        (void)state_refresh(&a->dir, &a->state);
        rc = state_save(&a->dir, &a->state, &why);
        state_unlock(&a->dir);
    }
    if (rc < 0 && !a->save_failed)
        log_event(LOG_LEVEL_ERROR, "state not saved", LOG_S("why", why.text));
    if (rc == 0 && a->save_failed)
        log_event(LOG_LEVEL_NOTICE, "state saved again");
    a->save_failed = rc < 0;
    return rc < 0 ? error_set(err, rc, "%s", why.text) : 0;
}

static void load_state(struct agent *a)
{
    const struct place place = {a->config->encryption_config, &a->dir, &a->finder};
    struct error err = ERROR_INIT;
    int rc = state_load(&a->dir, &a->state, &err);
    if (rc < 0) {
        state_init(&a->state);
        a->state.fresh = true;
        log_event(rc == ERR_NOT_FOUND ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
                  "starting without remembered state", LOG_S("why", err.text));
    }
    if (place_settle(&place, &a->state.file))
        log_event(LOG_LEVEL_NOTICE, "settled an interrupted write",
                  LOG_I("generation", a->state.file.written.generation));
}

static int64_t command_timeout_s(const struct agent *a)
{
    const struct cluster_order *o = &a->state.job.order;
    return a->state.job.step == STEP_CALLING ? driver_call_timeout_s(a->driver, a->config, o->call)
                                             : driver_timeout_s(a->driver, a->config);
}

/* A restart that an earlier run began is waited for, or repeated. */
static void resume(struct agent *a)
{
    struct job *j = &a->state.job;
    if (j->step == STEP_NONE || j->step == STEP_ENDED)
        return;
    log_event(LOG_LEVEL_NOTICE, "resuming an order", LOG_I("order", j->order.id),
              LOG_S("kind", order_kind_name(j->order.kind)), LOG_S("step", job_step_name(j->step)));
    a->work.deadline_ms = clock_mono_ms() + a->config->ready_timeout_s * 1000;
    /* One that waited for a reload is begun anew: how it ended is what counts, and that is not known of it.
     */
    if (!process_alive(a->finder.proc, &j->child) || strcmp(a->config->reload, "on") == 0)
        return;
    if (command_attach(&j->child, command_timeout_s(a), &a->work.command, NULL) == 0)
        a->work.restart = RESTART_RUNNING;
}

static int open_parts(struct agent *a, struct error *err)
{
    a->driver = driver_find(a->config->driver);
    if (!a->driver)
        return error_set(err, ERR_UNSUPPORTED, "%s: driver: '%s' is not one of this agent's", a->config->path,
                         a->config->driver);
    int rc = crypto_uuid(a->instance, err);
    if (rc == 0)
        rc = state_dir_open(&a->dir, a->config->state_dir, a->config->cluster, a->config->server, err);
    return rc < 0 ? rc : state_path(&a->dir, "restart-output", a->output, err);
}

/* Without an API server there is the server's own process alone, which RKE2's API server is not part of. */
static const char *program_of(const struct agent *a)
{
    if (k3s_etcd_only(a->config))
        return k3s_product(a->config)->driver;
    return a->driver ? a->driver->program : NULL;
}

int agent_open(struct agent *a, const struct config *config, const struct agent_ops *ops, struct error *err)
{
    memset(a, 0, sizeof(*a));
    a->dir.lock_fd = -1;
    a->config = config;
    a->ops = ops;
    int rc = open_parts(a, err);
    a->finder = (struct process_finder){
        .proc = "/proc",
        .config_path = config->encryption_config,
        .pid_file = config->pid_file,
        .program = program_of(a),
        .arguments = a->driver ? a->driver->arguments : NULL,
        .config = config,
    };
    process_boot(a->finder.proc, a->boot);
    if (rc == 0)
        rc = state_lock(&a->dir, LOCK_MS, err);
    if (rc < 0) {
        agent_close(a);
        return rc;
    }
    load_state(a);
    state_unlock(&a->dir);
    resume(a);
    return 0;
}

void agent_close(struct agent *a)
{
    secret_free(a->work.text);
    command_free(a->work.command);
    state_dir_close(&a->dir);
    memset(&a->work, 0, sizeof(a->work));
}

bool agent_busy(const struct agent *a)
{
    const struct job *j = &a->state.job;
    if (j->step == STEP_TAKEN)
        return j->order.kind != ORDER_SYNC;
    return j->step == STEP_CALLING || j->step == STEP_WAITING || j->step == STEP_UNDO || j->step == STEP_BACK;
}

/* --- orders --- */

static bool same_order(const struct cluster_order *a, const struct cluster_order *b)
{
    return a->id == b->id && a->kind == b->kind && a->generation == b->generation && a->stage == b->stage &&
           a->fence == b->fence && a->given_ms == b->given_ms && a->from == b->from &&
           strcmp(a->call, b->call) == 0 && strcmp(a->hash, b->hash) == 0 &&
           strcmp(a->operation, b->operation) == 0;
}

static enum relation compare(int64_t a, int64_t b)
{
    return a < b ? LOWER : a > b ? HIGHER : EQUAL;
}

void agent_order_view(const struct agent_state *s, const struct version *present,
                      const struct cluster_order *o, struct order_view *ret)
{
    const struct job *j = &s->job;
    /* A file that was changed by hand does not make this server forget how far it was. */
    int64_t have = present->generation ? present->generation : s->file.written.generation;
    *ret = (struct order_view){
        .fence = compare(o->fence, s->fence),
        .id = compare(o->id, j->order.id),
        .same = same_order(o, &j->order),
        .generation = compare(o->generation, have),
        .kind = o->kind,
        .forgotten = o->id <= s->forgotten,
        .busy = j->step == STEP_CALLING || j->step == STEP_WAITING || j->step == STEP_UNDO ||
                j->step == STEP_BACK,
    };
}

static void work_reset(struct agent *a)
{
    secret_free(a->work.text);
    command_free(a->work.command);
    memset(&a->work, 0, sizeof(a->work));
}

static void refuse(struct agent *a, int64_t id, const char *why)
{
    if (a->refused.id != id || strcmp(a->refused.why, why) != 0)
        log_event(LOG_LEVEL_WARNING, "order refused", LOG_I("order", id), LOG_S("why", why));
    a->refused.id = id;
    agent_note(a->refused.why, "%s", why);
}

static void take_order(struct agent *a, const struct cluster_order *o)
{
    struct error err = ERROR_INIT;
    work_reset(a);
    memset(&a->state.job, 0, sizeof(a->state.job));
    a->state.job.order = *o;
    a->state.job.step = STEP_TAKEN;
    a->state.job.state = ORDER_TAKEN;
    a->refused.id = 0;
    a->work.confirmed_ms = clock_mono_ms();
    log_event(LOG_LEVEL_INFO, "order taken", LOG_I("order", o->id), LOG_S("kind", order_kind_name(o->kind)),
              LOG_I("generation", o->generation), LOG_S("operation", o->operation));
    if (agent_save(a, &err) == 0)
        return;
    a->state.job.step = STEP_ENDED;
    a->state.job.state = ORDER_FAILED;
    agent_note(a->state.job.why, "nothing was touched: the order could not be recorded: %s", err.text);
}

/* The first look at the orders with a new memory: what stands there is not known to be undone. */
static void first_look(struct agent *a, int64_t id)
{
    if (!a->state.fresh)
        return;
    a->state.fresh = false;
    a->state.forgotten = id;
    (void)!agent_save(a, NULL); /* logged there; an unsaved one is as new at the next start */
}

void agent_look_failed(struct agent *a)
{
    first_look(a, 0); /* not authentic: nobody can have carried it out */
}

void agent_offer(struct agent *a, const struct cluster_order *o)
{
    first_look(a, o->id);
    struct version present = agent_present(a);
    struct order_view view;
    agent_order_view(&a->state, &present, o, &view);
    const struct verdict_row *row = decide_order(&view);
    log_context(LOG_OPERATION, o->operation);
    log_context(LOG_ROW, row->id);
    if (o->fence > a->state.fence) {
        a->state.fence = o->fence;
        if (row->verdict != VERDICT_TAKE)
            (void)!agent_save(a, NULL); /* logged there */
    }
    a->want_order = false; /* one that has to wait is read again when the one at work has ended */
    switch (row->verdict) {
    case VERDICT_SAME:
        a->refused.id = 0;
        a->work.confirmed_ms = clock_mono_ms();
        break;
    case VERDICT_LATER:
        break;
    case VERDICT_REFUSE:
        refuse(a, o->id, row->why);
        break;
    case VERDICT_TAKE:
        take_order(a, o);
        break;
    }
    log_context(LOG_ROW, NULL);
}

void agent_offer_unknown(struct agent *a, int64_t id, const char *why)
{
    first_look(a, id);
    a->want_order = false;
    refuse(a, id, why);
}

void agent_withdraw(struct agent *a)
{
    struct job *j = &a->state.job;
    first_look(a, 0);
    a->want_order = false;
    a->refused.id = 0;
    if (j->step != STEP_TAKEN)
        return;
    work_reset(a);
    j->step = STEP_ENDED;
    j->state = ORDER_FAILED;
    agent_note(j->why, "the order was withdrawn before anything was done");
    log_event(LOG_LEVEL_NOTICE, "order withdrawn", LOG_I("order", j->order.id));
    (void)!agent_save(a, NULL); /* logged there */
}
