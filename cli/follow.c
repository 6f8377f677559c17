#include "follow.h"

#include <base/clock.h>
#include <base/text.h>
#include <cli/events.h>
#include <cluster/codec.h>

#include "ask.h"
#include "console.h"
#include "dry_run.h"
#include "junit_file.h"
#include "look.h"

#define STRAY_MS     15000 /* until an operation whose record does not come, or is another's, is given up */
#define LINE_MAX_LEN 8192
#define RECENT_MS    (24 * 3600 * 1000LL) /* `wait` tells of an operation that ended so long ago */
#define RE_ATTACH    "`secrets-encrypt wait` follows it again"

struct follow {
    const struct operation_command *command;
    const struct args *args;
    struct session *session;
    struct follow_goal goal;
    struct console console;
    struct look look;
    struct cluster_snapshot *now, *before;
    struct progress_log log;
    struct junit junit;
    int64_t start_ms, deadline_ms; /* monotonic; deadline 0: none */
    int64_t moved_ms;              /* when a server's state or the phase changed last */
    enum operation_kind kind;      /* of the operation: not the command's where that is resume */
    bool paused_told;
};

/* With JSON: an event about the operation as a whole. */
static void tell_event(const struct follow *f, struct event e)
{
    _cleanup_(buf_freep) struct buf line = BUF_INIT(LINE_MAX_LEN);
    e.time_ms = clock_wall_ms();
    e.operation = f->goal.operation;
    e.kind = f->kind;
    if (console_json() && event_add(&e, &line, NULL) == 0)
        (void)result_events(&line);
}

static void show_live(struct follow *f)
{
    _cleanup_(buf_freep) struct buf line = BUF_INIT(LINE_MAX_LEN);
    _cleanup_(buf_freep) struct buf over = BUF_INIT(LINE_MAX_LEN);
    int64_t now = clock_mono_ms();
    if (progress_moved(f->before, f->now))
        f->moved_ms = now;
    struct progress_options o = {console_width(), f->console.color, f->now->now_ms, now - f->moved_ms};
    if (progress_step_passed(f->before, f->now) &&
        progress_step_over(f->before, f->now, &o, &over, NULL) == 0)
        console_keep(buf_str(&over));
    if (f->now->rotation.op.state == OP_STATE_RUNNING && progress_line(f->now, &o, &line, NULL) == 0)
        console_draw(buf_str(&line));
}

static void show_plain(struct follow *f)
{
    _cleanup_(buf_freep) struct buf lines = BUF_INIT(64 * 1024);
    if (progress_log_lines(&f->log, f->now, f->now->now_ms, &lines, NULL) == 0 && lines.len > 0)
        console_lines(&lines);
}

static void show_events(struct follow *f)
{
    _cleanup_(buf_freep) struct buf lines = BUF_INIT(1024 * 1024);
    if (events_add(&f->log, f->now, f->now->now_ms, &lines, NULL) == 0 && lines.len > 0)
        (void)result_events(&lines);
}

/* A snapshot that holds our operation: drawn, and remembered for the next difference. */
static void show(struct follow *f)
{
    junit_look(&f->junit, f->now, clock_wall_ms());
    if (console_json())
        show_events(f);
    else if (f->console.live)
        show_live(f);
    else if (!f->console.silent)
        show_plain(f);
    struct cluster_snapshot *spare = f->before;
    f->before = f->now;
    f->now = spare;
}

static const char *command_name(const struct follow *f)
{
    return operation_kind_name(f->kind);
}

static int halted(struct follow *f)
{
    const char *advice = f->kind == OP_ABORT ? "mend it and run `secrets-encrypt resume`"
                         : f->kind == OP_RESTART
                             ? "mend it and run `secrets-encrypt resume`, which goes on with "
                               "the servers that are left, or `abort`"
                             : "mend it and run the same command again: it goes on with the "
                               "same key";
    const struct cluster_operation *op = &f->now->rotation.op;
    console_draw("");
    junit_look(&f->junit, f->now, clock_wall_ms());
    tell_event(f,
               (struct event){
                   .name = "halted", .why = op->why, .on = op->on, .cause = cluster_cause_name(op->cause)});
    return end_with(EXIT_HALTED, "%s halted: %s; %s", command_name(f), op->why, advice);
}

/* The record of our operation is not the one that stands there. Right after the answer that may be an older
 * one; later it has been followed by another, or something is wrong. */
static int astray(struct follow *f, enum follow_state state)
{
    const struct cluster_operation *op = &f->now->rotation.op;
    if (clock_mono_ms() - f->start_ms < STRAY_MS)
        return -1;
    if (state == FOLLOW_NOT_YET && op->state == OP_STATE_HALTED)
        return halted(f);
    if (state == FOLLOW_NOT_YET)
        return end_with(EXIT_ERROR,
                        "the coordinator took the request, but operation %s does not appear: look at the log "
                        "of %s",
                        f->goal.operation, *f->now->leader ? f->now->leader : "the coordinators");
    return end_with(EXIT_ERROR,
                    "operation %s is over and another one (%s) has followed; see `secrets-encrypt status -o "
                    "wide`",
                    f->goal.operation, operation_kind_name(op->kind));
}

/* An abort took the place of what is followed. */
static int aborted(struct follow *f)
{
    const struct cluster_operation *op = &f->now->rotation.op;
    console_draw("");
    tell_event(f, (struct event){.name = "aborted", .by = op->requested_by});
    return end_with(
        EXIT_ERROR, "%s was aborted%s%s: %s", command_name(f), *op->requested_by ? " by " : "",
        op->requested_by,
        op->ends ? "no further server restarts"
                 : "the servers go back to the config from before; `secrets-encrypt explain` shows it");
}

static int paused(struct follow *f)
{
    if (!f->paused_told) {
        console_draw("");
        tell_event(f, (struct event){.name = "paused"});
        say_more("%s is paused; waiting for `secrets-encrypt resume` or `abort` (^C leaves it paused)",
                 command_name(f));
    }
    f->paused_told = true;
    return -1;
}

static int running(struct follow *f)
{
    if (f->paused_told) {
        tell_event(f, (struct event){.name = "resumed"});
        say_more("%s goes on", command_name(f));
    }
    f->paused_told = false;
    show(f);
    return -1;
}

/* One without an API server before the others. */
static const char *restarts_first(const struct cluster_spec *spec)
{
    for (size_t i = 0; i < spec->servers_count; i++)
        if (spec->servers[i].role == ROLE_ETCD)
            return spec->servers[i].name;
    return spec->servers[0].name;
}

/* K3s's texts where it has one. */
static const char *finished_text(const struct follow *f)
{
    static const struct {
        enum operation_kind kind;
        const char *text;
    } texts[] = {
        {OP_PREPARE, "prepare completed successfully"},
        {OP_ROTATE, "rotate completed successfully"},
        {OP_REENCRYPT, "reencryption finished"},
        {OP_ROTATE_KEYS, "keys rotated, reencryption finished"},
        {OP_ENABLE, "secrets-encryption enabled"},
        {OP_DISABLE, "secrets-encryption disabled"},
        {OP_RESTORE_KEY, "the key is readable on every server"},
        {OP_RESTART, "servers restarted"},
        {OP_ABORT, "aborted: every server is back at the config from before"},
    };
    if (f->command && f->command->finished)
        return f->command->finished;
    for (size_t i = 0; i < array_len(texts); i++)
        if (texts[i].kind == f->kind)
            return texts[i].text;
    return NULL;
}

static void tell_summary(const struct follow *f)
{
    _cleanup_(buf_freep) struct buf summary = BUF_INIT(LINE_MAX_LEN);
    bool rewrote = f->kind == OP_REENCRYPT || f->kind == OP_ROTATE_KEYS;
    if (rewrote && !f->console.live && !f->console.silent &&
        progress_summary(f->before, &summary, NULL) == 0 && summary.len > 0)
        console_lines(&summary);
}

static int reached(struct follow *f)
{
    bool file_only = f->now->rotation.op.state != OP_STATE_FINISHED;
    const char *text = finished_text(f);
    show(f);
    console_draw("");
    tell_summary(f);
    tell_event(f, (struct event){.name = "finished"});
    if (text)
        result("%s", text);
    else
        result("%s finished", command_name(f));
    if (file_only)
        say_more("now restart the API servers, %s first, each once the one before is ready; `secrets-encrypt "
                 "status` shows when all match",
                 restarts_first(&f->before->spec));
    return EXIT_DONE;
}

/* The exit code once there is nothing left to follow, else -1. */
static int judge(struct follow *f)
{
    if (f->look.failures > 0)
        return -1;
    enum follow_state state = follow_state(f->now, &f->goal);
    switch (state) {
    case FOLLOW_REACHED:
        return reached(f);
    case FOLLOW_HALTED:
        return halted(f);
    case FOLLOW_OVERTAKEN:
    case FOLLOW_NOT_YET:
        return astray(f, state);
    case FOLLOW_ABORTED:
        return aborted(f);
    case FOLLOW_PAUSED:
        return paused(f);
    case FOLLOW_RUNNING:
        break;
    }
    return running(f);
}

static int stop_early(struct follow *f)
{
    bool late = f->deadline_ms > 0 && clock_mono_ms() >= f->deadline_ms;
    if (!interrupted() && !late)
        return -1;
    console_draw("");
    tell_event(f, (struct event){.name = "detached",
                                 .why = exit_cause(interrupted() ? EXIT_INTERRUPTED : EXIT_TIMEOUT)});
    if (interrupted())
        return end_with(EXIT_INTERRUPTED, "interrupted: %s goes on; " RE_ATTACH, command_name(f));
    return end_with(EXIT_TIMEOUT, "%s is not finished within --timeout %lld: it goes on; " RE_ATTACH,
                    command_name(f), (long long)f->args->timeout_s);
}

static int follow_loop(struct follow *f)
{
    for (;;) {
        struct error err = ERROR_INIT;
        if (look_now(&f->look, f->now, &err) < 0)
            return fail(&err);
        int code = judge(f);
        if (code < 0)
            code = stop_early(f);
        if (code >= 0)
            return code;
        look_pause(&f->look);
    }
}

static int follow(struct follow *f)
{
    f->now = calloc(1, sizeof(*f->now));
    f->before = calloc(1, sizeof(*f->before));
    int code = EXIT_ERROR;
    if (!f->now || !f->before) {
        code = end_with(EXIT_ERROR, "out of memory");
    } else {
        look_open(&f->look, f->session);
        console_open(&f->console);
        f->start_ms = clock_mono_ms();
        code = follow_loop(f);
        look_close(&f->look);
    }
    console_draw("");
    free(f->now);
    free(f->before);
    return code;
}

/* The request is accepted: what is printed now, and whether there is anything to follow. */
static int after_acceptance(struct follow *f)
{
    const struct operation_command *c = f->command;
    tell_event(f, (struct event){.name = "accepted"});
    if (c->taken)
        result("%s", c->taken);
    if (c->taken_ends && f->args->no_restart)
        return EXIT_DONE;
    if (c->waits_if_asked ? f->args->wait : !f->args->no_wait)
        return follow(f);
    if (c->without_wait)
        result("%s", c->without_wait);
    else if (c->kind == OP_RESUME)
        result("%s resumed", command_name(f));
    return EXIT_DONE;
}

static int start(struct follow *f)
{
    struct request r;
    const struct cluster_snapshot *s = f->session->snapshot;
    const struct cluster_operation *op = &s->rotation.op;
    bool halted_before = s->has_rotation && op->state == OP_STATE_HALTED;
    struct cluster_operation before = *op; /* the snapshot is read anew while the answer is waited for */
    int code = ask(f->session, f->command->kind, f->args, f->deadline_ms, &r);
    if (code >= 0)
        return code;
    text_copy(f->goal.operation, sizeof(f->goal.operation), r.answer.operation);
    console_operation(f->goal.operation);
    bool same = strcmp(before.id, r.answer.operation) == 0;
    f->kind = f->command->kind == OP_RESUME && same ? before.kind : f->command->kind;
    f->goal.file_only = f->args->no_restart && f->kind != OP_ROTATE_KEYS;
    f->goal.attempt_before = halted_before && same ? before.attempt : 0;
    junit_accepted(&f->junit, f->goal.operation, f->kind, clock_wall_ms());
    if (r.answer.answer == ANSWER_RESUMED && f->command->kind != OP_RESUME)
        say_more("the %s %s goes on, with the same key",
                 before.state == OP_STATE_PAUSED && same ? "paused" : "halted", command_name(f));
    return after_acceptance(f);
}

/* Everything around `run`: the session, and the file of --junit. */
static int run_with(const struct operation_command *c, const struct args *args, enum operation_kind kind,
                    int (*run)(struct follow *f))
{
    struct session session;
    struct error err = ERROR_INIT;
    _cleanup_free_ struct follow *f = calloc(1, sizeof(*f));
    if (!f)
        return end_with(EXIT_ERROR, "out of memory");
    f->command = c;
    f->kind = kind;
    f->args = args;
    f->session = &session;
    f->deadline_ms = ask_deadline(args);
    if (junit_file_begin(&f->junit, args->junit, kind, c != NULL, &err) < 0)
        return fail(&err);
    int code = session_open(args, &session, &err) < 0 ? fail(&err) : run(f);
    session_close(&session);
    return junit_file_end(&f->junit, args->junit, code);
}

int operation_run(const struct operation_command *c, const struct args *args)
{
    return args->dry_run ? dry_run(c->kind, args) : run_with(c, args, c->kind, start);
}

/* --- wait --- */

/* Whether there is anything to follow, or to tell. */
static int check_recent(const struct follow *f, const char *id)
{
    const struct cluster_snapshot *s = f->session->snapshot;
    const struct cluster_operation *op = &s->rotation.op;
    bool known = s->has_rotation && *op->id;
    bool ended = op->state == OP_STATE_FINISHED && s->now_ms - op->ended_ms > RECENT_MS;
    if (id && known && strcmp(op->aborts, id) == 0)
        return end_with(EXIT_ERROR,
                        "operation %.40s was aborted%s%s: `secrets-encrypt wait` follows the abort", id,
                        *op->requested_by ? " by " : "", op->requested_by);
    if (id && (!known || strcmp(op->id, id) != 0))
        return end_with(EXIT_ERROR,
                        "operation %.40s is not the one that runs or ran last: its end is not known", id);
    if (!id && (!known || ended))
        return end_with(EXIT_ERROR, "no operation runs, and none has ended within the last 24 hours");
    return -1;
}

static int attach(struct follow *f)
{
    const struct cluster_operation *op = &f->session->snapshot->rotation.op;
    struct error err = ERROR_INIT;
    int code = interrupt_catch(&err) < 0 ? fail(&err) : check_recent(f, f->args->operand);
    if (code >= 0)
        return code;
    text_copy(f->goal.operation, sizeof(f->goal.operation), op->id);
    console_operation(f->goal.operation);
    f->kind = op->kind;
    junit_accepted(&f->junit, f->goal.operation, f->kind, clock_wall_ms());
    if (op->state != OP_STATE_FINISHED)
        tell_event(f, (struct event){.name = "attached"});
    return follow(f);
}

int operation_wait(const struct args *args)
{
    return run_with(NULL, args, OP_ROTATE_KEYS, attach);
}
