#include "follow.h"

#include <base/clock.h>
#include <base/text.h>

#include "ask.h"
#include "console.h"
#include "look.h"

#define STRAY_MS     15000 /* until an operation whose record does not come, or is another's, is given up */
#define LINE_MAX_LEN 8192

struct follow {
    const struct operation_command *command;
    const struct args *args;
    struct session *session;
    struct follow_goal goal;
    struct console console;
    struct look look;
    struct cluster_snapshot *now, *before;
    struct progress_log log;
    int64_t start_ms, deadline_ms; /* monotonic; deadline 0: none */
    int64_t moved_ms;              /* when a server's state or the phase changed last */
    enum operation_kind kind;      /* of the operation: not the command's where that is resume */
    bool paused_told;
};

static void keep_or_say(struct follow *f, const struct buf *line)
{
    if (f->console.live)
        console_keep(buf_str(line));
    else
        console_lines(line);
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

/* A snapshot that holds our operation: drawn, and remembered for the next difference. */
static void show(struct follow *f)
{
    if (f->console.live)
        show_live(f);
    else
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
    console_draw("");
    say("%s halted: %s; %s", command_name(f), f->now->rotation.op.why, advice);
    return EXIT_ERROR;
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
        say("the coordinator took the request, but operation %s does not appear: look at the log of %s",
            f->goal.operation, *f->now->leader ? f->now->leader : "the coordinators");
    else
        say("operation %s is over and another one (%s) has followed; see `secrets-encrypt status -o wide`",
            f->goal.operation, operation_kind_name(op->kind));
    return EXIT_ERROR;
}

/* An abort took the place of what is followed. */
static int aborted(struct follow *f)
{
    const struct cluster_operation *op = &f->now->rotation.op;
    console_draw("");
    say("%s was aborted%s%s: %s", command_name(f), *op->requested_by ? " by " : "", op->requested_by,
        op->ends ? "no further server restarts"
                 : "the servers go back to the config from before; `secrets-encrypt explain` shows it");
    return EXIT_ERROR;
}

static int paused(struct follow *f)
{
    if (!f->paused_told) {
        console_draw("");
        say("%s is paused; waiting for `secrets-encrypt resume` or `abort` (^C leaves it paused)",
            command_name(f));
    }
    f->paused_told = true;
    return -1;
}

static int running(struct follow *f)
{
    if (f->paused_told)
        say("%s goes on", command_name(f));
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

static int reached(struct follow *f)
{
    _cleanup_(buf_freep) struct buf summary = BUF_INIT(LINE_MAX_LEN);
    bool rewrote = f->kind == OP_REENCRYPT || f->kind == OP_ROTATE_KEYS;
    bool file_only = f->now->rotation.op.state != OP_STATE_FINISHED;
    show(f);
    console_draw("");
    if (rewrote && !f->console.live && progress_summary(f->before, &summary, NULL) == 0 && summary.len > 0)
        keep_or_say(f, &summary);
    if (f->command->finished)
        result("%s", f->command->finished);
    else
        result("%s finished", command_name(f));
    if (file_only)
        say("now restart the API servers, %s first, each once the one before is ready; `secrets-encrypt "
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
    if (interrupted()) {
        console_draw("");
        say("interrupted: %s goes on; `secrets-encrypt status -o wide` shows it", command_name(f));
        return EXIT_INTERRUPTED;
    }
    if (f->deadline_ms > 0 && clock_mono_ms() >= f->deadline_ms) {
        console_draw("");
        say("%s is not finished within --timeout %lld: it goes on; `secrets-encrypt status -o wide` shows it",
            command_name(f), (long long)f->args->timeout_s);
        return EXIT_TIMEOUT;
    }
    return -1;
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
        say("out of memory");
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
    bool same = strcmp(before.id, r.answer.operation) == 0;
    f->kind = f->command->kind == OP_RESUME && same ? before.kind : f->command->kind;
    f->goal.file_only = f->args->no_restart && f->kind != OP_ROTATE_KEYS;
    f->goal.attempt_before = halted_before && same ? before.attempt : 0;
    if (r.answer.answer == ANSWER_RESUMED && f->command->kind != OP_RESUME)
        say("the %s %s goes on, with the same key",
            before.state == OP_STATE_PAUSED && same ? "paused" : "halted", command_name(f));
    return after_acceptance(f);
}

int operation_run(const struct operation_command *c, const struct args *args)
{
    struct session session;
    struct error err = ERROR_INIT;
    _cleanup_free_ struct follow *f = calloc(1, sizeof(*f));
    if (!f) {
        say("out of memory");
        return EXIT_ERROR;
    }
    f->command = c;
    f->kind = c->kind;
    f->args = args;
    f->session = &session;
    f->deadline_ms = ask_deadline(args);
    int code = session_open(args, &session, &err) < 0 ? fail(&err) : start(f);
    session_close(&session);
    return code;
}
