/* One step of the order at work: view, decide, act, record. */
#include <base/clock.h>
#include <base/log.h>
#include <cluster/codec.h>

#include "job.h"

#define RETRY_BASE_MS 500
#define RETRY_MAX_MS  5000
#define CONFLICTS_MAX 5
#define REPEATS_MAX   2 /* restarts of a server that did not take up the first server's config */
/* An order that was read longer ago than this is read again before it is acted on: the machine may have
 * slept meanwhile. */
#define CONFIRMED_MS 10000

/* --- view --- */

/* A server that owns its config has taken up the file, and not yet that it is another stage's. */
static bool other_stage(const struct agent *a)
{
    return a->driver->own && a->state.job.order.kind == ORDER_FOLLOW &&
           (!a->seen.own.hash[0] || a->seen.own.stage != a->state.job.order.stage);
}

static enum file_view file_view(const struct agent *a)
{
    const struct job *j = &a->state.job;
    const char *hash = a->seen.file.hash;
    bool back = j->step == STEP_UNDO || j->step == STEP_BACK;
    if (back && hash[0] && strcmp(hash, a->state.file.previous.hash) == 0)
        return FILE_PREVIOUS;
    if (hash[0] && strcmp(hash, j->order.hash) == 0)
        return other_stage(a) ? FILE_KNOWN : FILE_TARGET;
    if (!a->seen.config_id[0])
        return FILE_BROKEN;
    if (!j->order.hash[0] && (j->order.kind == ORDER_RESTART || j->order.kind == ORDER_ADOPT))
        return FILE_TARGET; /* whichever it is */
    return agent_file_foreign(a) ? FILE_FOREIGN : FILE_KNOWN;
}

static enum loaded_view loaded_view(const struct agent *a)
{
    const struct job *j = &a->state.job;
    const struct loaded *l = &a->state.loaded;
    if (a->seen.process.count != PROCESS_ONE)
        return LOADED_UNKNOWN;
    if (j->order.kind == ORDER_RESTART)
        return mark_is_newer(&j->mark, &a->seen.process) ? LOADED_TARGET : LOADED_OTHER;
    if (!l->hash[0] || !process_same(&l->process, &a->seen.process.id))
        return LOADED_UNKNOWN;
    if (strcmp(l->hash, j->order.hash) == 0)
        return LOADED_TARGET;
    return strcmp(l->hash, a->state.file.previous.hash) == 0 ? LOADED_PREVIOUS : LOADED_OTHER;
}

static bool can_undo(const struct agent *a)
{
    const struct file_record *r = &a->state.file;
    const struct cluster_order *o = &a->state.job.order;
    return (o->kind == ORDER_APPLY || o->kind == ORDER_REPAIR) && r->previous.hash[0] &&
           strcmp(r->previous.hash, o->hash) != 0 && strcmp(r->written.hash, o->hash) == 0;
}

void agent_job_view(const struct agent *a, int64_t now_ms, struct job_view *ret)
{
    *ret = (struct job_view){
        .kind = a->state.job.order.kind,
        .step = a->state.job.step,
        .text = a->work.text_view,
        .file = file_view(a),
        .loaded = loaded_view(a),
        .restart = a->work.restart,
        .ready = a->seen.ready,
        .late = now_ms >= a->work.deadline_ms,
        .can_undo = can_undo(a),
        .again = a->work.repeated < REPEATS_MAX,
    };
}

/* --- record --- */

/* The cause, as far as it is known: the restart command's end, or what /readyz and the search for the process
 * said. */
static void describe(const struct agent *a, char out[CLUSTER_TEXT_MAX])
{
    const struct observation *o = &a->seen;
    if (a->work.restart == RESTART_FAILED)
        agent_note(out, ": %s", a->work.restart_why);
    else if (o->process.count != PROCESS_ONE)
        agent_note(out, " (%lld s): %s%s%s", (long long)a->config->ready_timeout_s, o->process.why,
                   o->ready_why[0] ? "; " : "", o->ready_why);
    else if (!o->ready)
        agent_note(out, " (%lld s): %s", (long long)a->config->ready_timeout_s, o->ready_why);
    else
        agent_note(out, " (%lld s): process %lld is not known to have loaded it",
                   (long long)a->config->ready_timeout_s, (long long)o->process.id.pid);
}

/* The API server runs, is ready, and with a file that this order knows. */
static bool settled(const struct agent *a)
{
    enum loaded_view l = loaded_view(a);
    return a->seen.ready && (l == LOADED_TARGET || l == LOADED_PREVIOUS);
}

/* Why an order ends badly, in one line: the first cause, then what became of the way back. */
static void end_why(struct agent *a, const struct job_row *row, const char *because)
{
    struct job *j = &a->state.job;
    char cause[CLUSTER_TEXT_MAX] = "";
    if (because)
        agent_note(cause, ": %s", because);
    else if (a->work.restart == RESTART_FAILED || (a->work.restart == RESTART_OK && !settled(a)))
        describe(a, cause);
    else if (row->action == ACT_REFUSE && a->seen.file_error[0])
        agent_note(cause, ": %s", a->seen.file_error);
    if (j->undo_why[0])
        agent_note(j->why, "%.240s; then: %s%s", j->undo_why, row->why, cause);
    else
        agent_note(j->why, "%s%s", row->why, cause);
}

static void log_end(const struct agent *a)
{
    const struct job *j = &a->state.job;
    enum log_level level = j->state == ORDER_DONE ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERROR;
    log_event(level, "order ended", LOG_I("order", j->order.id),
              LOG_S("kind", order_kind_name(j->order.kind)), LOG_S("state", order_state_name(j->state)),
              LOG_S("why", j->why));
}

static void enter(struct agent *a, enum job_step step, enum order_state state)
{
    struct job *j = &a->state.job;
    bool moves = j->step != step;
    j->step = step;
    j->state = state;
    if (moves && step != STEP_ENDED) {
        a->work.restart = RESTART_NONE;
        a->work.deadline_ms = clock_mono_ms() + a->config->ready_timeout_s * 1000;
    }
    if (step == STEP_ENDED) {
        secret_free(take(a->work.text));
        a->want_order = true;
        log_end(a);
    }
}

/* The API server is ready with the ordered file: from here on no failure of a later order may bring back the
 * file from before, which may write with a key that is proved gone by then. So nobody reads DONE before it is
 * forgotten.
 */
static void forget_way_back(struct agent *a)
{
    if (a->seen.ready && a->state.job.order.kind != ORDER_RESTART && loaded_view(a) == LOADED_TARGET)
        apply_forget(a);
}

static void note_followed(struct agent *a)
{
    const struct version target = apply_target(a);
    if (a->state.job.order.kind == ORDER_FOLLOW)
        (void)place_note(&a->state.file, &target);
}

static void finish(struct agent *a, const struct job_row *row, enum order_state state, const char *because)
{
    struct job *j = &a->state.job;
    if (state == ORDER_DONE) {
        forget_way_back(a);
        note_followed(a);
        j->why[0] = 0;
    } else {
        end_why(a, row, because);
    }
    enter(a, STEP_ENDED, state);
    (void)!agent_save(a, NULL); /* logged there; the report is published all the same */
}

/* --- act --- */

static bool hold(struct agent *a, const struct error *err)
{
    struct job *j = &a->state.job;
    a->work.retry_ms = clock_mono_ms() + backoff_ms(a->work.retries++, RETRY_BASE_MS, RETRY_MAX_MS);
    if (strcmp(j->why, err->text) != 0)
        log_event(LOG_LEVEL_WARNING, "order waits", LOG_I("order", j->order.id), LOG_S("why", err->text));
    agent_note(j->why, "%s", err->text);
    a->want_order = true;
    return true;
}

static void moved_on(struct agent *a)
{
    a->work.retries = 0;
    a->work.retry_ms = 0;
    if (a->state.job.step == STEP_TAKEN)
        a->state.job.why[0] = 0;
}

static bool act_fetch(struct agent *a, const struct job_row *row)
{
    (void)row;
    struct error err = ERROR_INIT;
    int rc = apply_fetch(a, &err);
    if (rc < 0 && error_is_transient(rc))
        return hold(a, &err);
    a->work.text_view = rc < 0 ? TEXT_BAD : TEXT_HAVE;
    agent_note(a->work.text_why, "%s", err.text);
    moved_on(a);
    return true;
}

static bool act_write(struct agent *a, const struct job_row *row)
{
    struct error err = ERROR_INIT;
    int rc = apply_write(a, &err);
    agent_observe(a, clock_mono_ms(), true);
    if (rc == 0 && file_view(a) == FILE_TARGET) {
        moved_on(a);
        return true;
    }
    if (rc == 0)
        rc = error_set(&err, ERR_STATE, "it was changed by somebody else right after");
    if (error_is_transient(rc) && a->work.retries < CONFLICTS_MAX)
        return hold(a, &err);
    if (file_view(a) == FILE_TARGET && can_undo(a)) {
        agent_note(a->state.job.undo_why, "writing the file failed: %s", err.text);
        enter(a, STEP_UNDO, ORDER_RESTARTING);
        (void)!agent_save(a, NULL); /* logged there; the way back must go on */
        return true;
    }
    finish(a,
           &(struct job_row){row->id, row->action, STEP_ENDED, ORDER_FAILED, "the file could not be written"},
           ORDER_FAILED, err.text);
    return true;
}

static bool act_begin(struct agent *a, const struct job_row *row)
{
    struct job *j = &a->state.job;
    struct error err = ERROR_INIT;
    struct process_found found;
    if (j->order.kind == ORDER_FOLLOW && agent_file_foreign(a) && apply_keep_copy(a, &err) < 0) {
        finish(a,
               &(struct job_row){
                   row->id, row->action, STEP_ENDED, ORDER_FAILED,
                   "nothing was touched: the present file may hold a key that nothing else holds, and "
                   "no copy of it could be kept"},
               ORDER_FAILED, err.text);
        return true;
    }
    process_find(&a->finder, &found);
    mark_take(&j->mark, &found, a->boot, clock_mono_ms());
    j->why[0] = 0;
    enter(a, row->next, row->state);
    if (agent_save(a, &err) < 0 && j->order.kind == ORDER_RESTART)
        finish(a, &(struct job_row){row->id, row->action, STEP_ENDED, ORDER_FAILED, "nothing was touched"},
               ORDER_FAILED, err.text);
    return true;
}

/* After the record of it, so that who reads the line knows that a crash does not repeat the restart. */
static void restart_started(struct agent *a)
{
    const struct job *j = &a->state.job;
    (void)!agent_save(a, NULL); /* logged there: after a crash the restart would be repeated */
    log_event(LOG_LEVEL_NOTICE, "restart started", LOG_I("order", j->order.id),
              LOG_S("driver", a->driver->name), LOG_I("pid", j->child.pid));
}

static bool act_restart(struct agent *a, const struct job_row *row)
{
    (void)row;
    struct error err = ERROR_INIT;
    int rc = apply_restart(a, &err);
    a->work.restart = rc < 0 ? RESTART_FAILED : RESTART_RUNNING;
    if (rc < 0)
        agent_note(a->work.restart_why, "%s", err.text);
    else
        restart_started(a);
    if (rc == ERR_CONFLICT)
        agent_observe(a, clock_mono_ms(), true); /* then the table sees the changed file */
    return true;
}

static bool act_call(struct agent *a, const struct job_row *row)
{
    (void)row;
    struct job *j = &a->state.job;
    struct error err = ERROR_INIT;
    int rc = driver_call(a->driver, a->config, j->order.call, a->output, &a->work.command, &err);
    a->work.restart = rc < 0 ? RESTART_FAILED : RESTART_RUNNING;
    if (rc < 0) {
        agent_note(a->work.restart_why, "%s", err.text);
        return true;
    }
    j->child = command_id(a->work.command);
    (void)!agent_save(a,
                      NULL); /* logged there: after a crash the call would be repeated, which does no harm */
    log_event(LOG_LEVEL_NOTICE, "server asked", LOG_I("order", j->order.id), LOG_S("for", j->order.call),
              LOG_I("pid", j->child.pid));
    return true;
}

static bool act_seal(struct agent *a, const struct job_row *row)
{
    struct error err = ERROR_INIT;
    agent_observe(a, clock_mono_ms(), true);
    int rc = apply_seal(a, &err);
    if (rc < 0 && error_is_transient(rc) && (rc != ERR_CONFLICT || clock_mono_ms() < a->work.deadline_ms))
        return hold(a, &err);
    if (rc < 0)
        finish(a,
               &(struct job_row){row->id, row->action, STEP_ENDED, ORDER_FAILED,
                                 "what the server made was not sealed, and no other server has it"},
               ORDER_FAILED, err.text);
    else
        finish(a, row, row->state, NULL);
    return true;
}

static bool act_again(struct agent *a, const struct job_row *row)
{
    a->work.repeated++;
    a->work.restart = RESTART_NONE;
    log_event(LOG_LEVEL_WARNING, "restarting once more", LOG_I("order", a->state.job.order.id),
              LOG_I("attempt", a->work.repeated + 1), LOG_S("why", row->why));
    return true;
}

static bool act_adopt(struct agent *a, const struct job_row *row)
{
    struct error err = ERROR_INIT;
    int rc = apply_adopt(a, &err);
    if (rc < 0 && error_is_transient(rc) && rc != ERR_CONFLICT)
        return hold(a, &err);
    if (rc < 0)
        finish(
            a,
            &(struct job_row){row->id, row->action, STEP_ENDED, ORDER_REFUSED, "the file cannot be adopted"},
            ORDER_REFUSED, err.text);
    else
        finish(a, row, row->state, NULL);
    return true;
}

static bool act_undo(struct agent *a, const struct job_row *row)
{
    char cause[CLUSTER_TEXT_MAX] = "";
    describe(a, cause);
    agent_note(a->state.job.undo_why, "%s%s", row->why, cause);
    log_event(LOG_LEVEL_ERROR, "giving up on the new file", LOG_I("order", a->state.job.order.id),
              LOG_S("why", a->state.job.undo_why));
    enter(a, row->next, row->state);
    (void)!agent_save(a, NULL); /* logged there; the way back must go on */
    return true;
}

static bool act_put_back(struct agent *a, const struct job_row *row)
{
    struct error err = ERROR_INIT;
    int rc = apply_put_back(a, &err);
    agent_observe(a, clock_mono_ms(), true);
    if (rc == ERR_TIMEOUT && a->work.retries < CONFLICTS_MAX)
        return hold(a, &err); /* `sync` holds the lock */
    if (rc < 0)
        finish(a,
               &(struct job_row){row->id, row->action, STEP_ENDED, ORDER_FAILED,
                                 "putting the previous file back failed too"},
               ORDER_FAILED, err.text);
    return true;
}

static bool act_back(struct agent *a, const struct job_row *row)
{
    moved_on(a);
    enter(a, row->next, row->state);
    (void)!agent_save(a, NULL); /* logged there; the way back must go on */
    return true;
}

static bool act_end(struct agent *a, const struct job_row *row)
{
    bool bad_text = row->action == ACT_REFUSE && a->work.text_view == TEXT_BAD;
    finish(a, row, row->state, bad_text ? a->work.text_why : NULL);
    return true;
}

static bool act_wait(struct agent *a, const struct job_row *row)
{
    (void)a;
    (void)row;
    return false;
}

static bool (*const acts[])(struct agent *, const struct job_row *) = {
    [ACT_WAIT] = act_wait,   [ACT_FETCH] = act_fetch,       [ACT_WRITE] = act_write,
    [ACT_BEGIN] = act_begin, [ACT_RESTART] = act_restart,   [ACT_ADOPT] = act_adopt,
    [ACT_UNDO] = act_undo,   [ACT_PUT_BACK] = act_put_back, [ACT_BACK] = act_back,
    [ACT_CALL] = act_call,   [ACT_SEAL] = act_seal,         [ACT_AGAIN] = act_again,
    [ACT_DONE] = act_end,    [ACT_FAIL] = act_end,          [ACT_REFUSE] = act_end,
};

/* --- the step --- */

static void poll_command(struct agent *a)
{
    if (!a->work.command)
        return;
    struct error why = ERROR_INIT;
    enum command_state s = command_poll(a->work.command, &why);
    if (s == COMMAND_RUNNING)
        return;
    command_free(take(a->work.command));
    a->work.restart = s == COMMAND_OK ? RESTART_OK : RESTART_FAILED;
    agent_note(a->work.restart_why, "%s", why.text);
    a->work.deadline_ms = clock_mono_ms() + a->config->ready_timeout_s * 1000;
    memset(&a->state.job.child, 0, sizeof(a->state.job.child));
    log_event(s == COMMAND_OK ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "restart command ended",
              LOG_I("order", a->state.job.order.id), LOG_S("why", a->work.restart_why));
    agent_observe(a, clock_mono_ms(), true);
    if (s == COMMAND_OK && apply_reloads(a))
        apply_reloaded(a);
    (void)!agent_save(a, NULL); /* logged there */
}

static bool brings_file(const struct cluster_order *o)
{
    return o->kind != ORDER_ADOPT && o->kind != ORDER_RESTART && o->kind != ORDER_CALL;
}

/* The file has the hash that was ordered, whoever wrote it: then it is that generation. */
static void note_file(struct agent *a)
{
    const struct cluster_order *o = &a->state.job.order;
    const struct version target = apply_target(a);
    if (a->state.job.step != STEP_TAKEN || !brings_file(o) || file_view(a) != FILE_TARGET ||
        !place_note(&a->state.file, &target))
        return;
    (void)!agent_save(a, NULL); /* logged there */
}

/* No order is at work, and the API server runs with the present file and is ready: the file before it is not
 * needed for a way back any more, and the keys that only it holds are to go. */
static void forget_previous(struct agent *a)
{
    const struct loaded *l = &a->state.loaded;
    enum job_step step = a->state.job.step;
    bool at_work = step != STEP_ENDED && step != STEP_NONE;
    if (at_work || !a->state.file.previous.hash[0] || !a->seen.ready || !l->hash[0] ||
        strcmp(l->hash, a->seen.file.hash) != 0 || !process_same(&l->process, &a->seen.process.id))
        return;
    apply_forget(a);
    (void)!agent_save(a, NULL); /* logged there */
}

/* A file that nobody issued is only believed to be one after the bundles were read again; and while none is
 * known at all (the state folder is new), nothing is written over before they were read. */
static bool refresh_first(struct agent *a, const struct job_view *v, bool *ret_held)
{
    *ret_held = false;
    bool blind = a->known.count == 0 && brings_file(&a->state.job.order);
    blind |= v->kind == ORDER_FOLLOW; /* its generation was sealed a moment ago */
    if (v->step != STEP_TAKEN || a->work.refreshed || (v->file != FILE_FOREIGN && !blind))
        return false;
    struct error err = ERROR_INIT;
    int rc = a->ops->refresh(a->ops->ctx, &a->known, &err);
    *ret_held = rc < 0;
    if (rc < 0)
        return hold(a, &err);
    a->work.refreshed = true;
    return true;
}

static bool must_confirm(const struct agent *a, enum job_action action, int64_t now_ms)
{
    bool acts_on_it = a->state.job.step == STEP_TAKEN && action != ACT_WAIT && action != ACT_DONE;
    return acts_on_it && (!a->work.confirmed_ms || now_ms - a->work.confirmed_ms > CONFIRMED_MS);
}

/* What the lines of this turn are about, until another row is tried. */
static void log_about(const struct agent *a)
{
    const struct job *j = &a->state.job;
    bool at_work = j->step != STEP_NONE && j->step != STEP_ENDED;
    log_context(LOG_OPERATION, at_work ? j->order.operation : NULL);
    log_context(LOG_STAGE, stage_name(at_work ? j->order.stage : a->state.stage));
    log_context(LOG_ROW, NULL);
}

bool agent_step(struct agent *a, int64_t now_ms)
{
    struct job_view view;
    bool held = false;
    log_about(a);
    poll_command(a);
    note_file(a);
    forget_previous(a);
    if (now_ms < a->work.retry_ms)
        return false;
    agent_job_view(a, now_ms, &view);
    if (refresh_first(a, &view, &held))
        return !held;
    const struct job_row *row = decide_job(&view);
    if (must_confirm(a, row->action, now_ms)) {
        a->want_order = true;
        return false;
    }
    log_context(LOG_ROW, row->id);
    bool moved = acts[row->action](a, row);
    log_about(a);
    return moved;
}
