#include "follow.h"

#include <etcd/watch.h>

#include <base/clock.h>
#include <base/text.h>

#include "console.h"
#include "request.h"

#define LOOK_MS      2000  /* for one read of the state store */
#define TURN_MS      1000  /* looks are at most so far apart … */
#define PAUSE_MS     100   /* … and at least so far, whatever the watch says */
#define STRAY_MS     15000 /* until an operation whose record does not come, or is another's, is given up */
#define EVENTS_MAX   4096  /* taken off the watch at once */
#define LINE_MAX_LEN 8192

struct follow {
    const struct operation_command *command;
    const struct args *args;
    struct session *session;
    struct follow_goal goal;
    struct console console;
    struct etcd_watch *watch; /* NULL: looks every TURN_MS instead */
    struct cluster_snapshot *now, *before;
    struct progress_log log;
    int64_t start_ms, deadline_ms; /* monotonic; deadline 0: none */
    int64_t leaderless_ms;         /* since when; 0: somebody leads */
    bool leaderless_told;
    int64_t moved_ms; /* when a server's state or the phase changed last */
    unsigned failures;
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

static void tell_leader(struct follow *f)
{
    int64_t now = clock_mono_ms();
    if (*f->now->leader) {
        if (f->leaderless_told)
            say("the coordinator on %s leads now", f->now->leader);
        f->leaderless_ms = 0;
        f->leaderless_told = false;
        return;
    }
    if (f->leaderless_ms == 0)
        f->leaderless_ms = now;
    if (!f->leaderless_told && now - f->leaderless_ms >= 3000) {
        say("no coordinator leads at the moment; waiting for the next one");
        f->leaderless_told = true;
    }
}

/* 0 also when the state store did not answer: f->failures tells. */
static int look(struct follow *f, struct error *err)
{
    struct error now = ERROR_INIT;
    int rc = store_snapshot(f->session->store, LOOK_MS, f->now, &now);
    if (rc < 0 && !error_is_transient(rc)) {
        if (err)
            *err = now;
        return rc;
    }
    if (rc < 0 && f->failures++ == 0)
        say("lost the state store: %s; the operation goes on without this command, which keeps trying",
            now.text);
    if (rc == 0 && f->failures > 0) {
        say("the state store answers again");
        f->failures = 0;
    }
    if (rc == 0)
        tell_leader(f);
    return 0;
}

static void drain(struct follow *f)
{
    for (int i = 0; f->watch && i < EVENTS_MAX; i++) {
        struct etcd_event event = {0};
        int rc = etcd_watch_next(f->watch, 0, &event, NULL);
        if (rc == ERR_TIMEOUT)
            return;
        if (rc < 0) { /* looking every TURN_MS does as well */
            etcd_watch_free(f->watch);
            f->watch = NULL;
            return;
        }
        etcd_event_free(&event);
    }
}

static void pause_turn(struct follow *f)
{
    if (f->failures > 0) {
        interrupt_wait(-1, backoff_ms(f->failures - 1, 200, 3000));
        return;
    }
    interrupt_wait(-1, PAUSE_MS);
    interrupt_wait(f->watch ? etcd_watch_fd(f->watch) : -1, TURN_MS - PAUSE_MS);
    drain(f);
}

static const char *command_name(const struct follow *f)
{
    return operation_kind_name(f->command->kind);
}

static int halted(struct follow *f)
{
    say("%s halted: %s; mend it and run the same command again: it goes on with the same key",
        command_name(f), f->now->rotation.op.why);
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

static int reached(struct follow *f)
{
    _cleanup_(buf_freep) struct buf summary = BUF_INIT(LINE_MAX_LEN);
    bool rewrote = f->command->kind == OP_REENCRYPT || f->command->kind == OP_ROTATE_KEYS;
    bool file_only = f->now->rotation.op.state != OP_STATE_FINISHED;
    show(f);
    console_draw("");
    if (rewrote && !f->console.live && progress_summary(f->before, &summary, NULL) == 0 && summary.len > 0)
        keep_or_say(f, &summary);
    result("%s", f->command->finished);
    if (file_only)
        say("now restart the API servers, %s first, each once the one before is ready; `secrets-encrypt "
            "status` shows when all match",
            f->before->spec.servers[0].name);
    return EXIT_DONE;
}

/* The exit code once there is nothing left to follow, else -1. */
static int judge(struct follow *f)
{
    if (f->failures > 0)
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
    case FOLLOW_RUNNING:
        break;
    }
    show(f);
    return -1;
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
        if (look(f, &err) < 0)
            return fail(&err);
        int code = judge(f);
        if (code < 0)
            code = stop_early(f);
        if (code >= 0)
            return code;
        pause_turn(f);
    }
}

static int follow(struct follow *f)
{
    char prefix[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(prefix, store_cluster(f->session->store), CLUSTER_KEY_ALL, NULL);
    f->now = calloc(1, sizeof(*f->now));
    f->before = calloc(1, sizeof(*f->before));
    int code = EXIT_ERROR;
    if (!f->now || !f->before) {
        say("out of memory");
    } else {
        if (etcd_watch_new(store_etcd(f->session->store), prefix, 0, &f->watch, NULL) < 0)
            f->watch = NULL;
        console_open(&f->console);
        f->start_ms = clock_mono_ms();
        code = follow_loop(f);
        etcd_watch_free(f->watch);
    }
    console_draw("");
    free(f->now);
    free(f->before);
    return code;
}

static int exit_of(const struct error *err)
{
    fail(err);
    return err->code == ERR_CANCELED  ? EXIT_INTERRUPTED
           : err->code == ERR_TIMEOUT ? EXIT_TIMEOUT
                                      : EXIT_ERROR;
}

/* The request is accepted: what is printed now, and whether there is anything to follow. */
static int after_acceptance(struct follow *f)
{
    const struct operation_command *c = f->command;
    if (c->taken)
        result("%s", c->taken);
    if (c->taken_ends && f->args->no_restart)
        return EXIT_DONE;
    if (!f->args->no_wait)
        return follow(f);
    if (c->without_wait)
        result("%s", c->without_wait);
    return EXIT_DONE;
}

static int ask(struct follow *f)
{
    struct request r;
    struct error err = ERROR_INIT;
    const struct cluster_operation *op = &f->session->snapshot->rotation.op;
    char halted_id[CLUSTER_ID_MAX] = "";
    int64_t attempt = 0;
    if (f->session->snapshot->has_rotation && op->state == OP_STATE_HALTED) {
        memcpy(halted_id, op->id, sizeof(halted_id));
        attempt = op->attempt;
    }
    if (interrupt_catch(&err) < 0 || request_send(f->session, f->command->kind, f->args, &r, &err) < 0)
        return fail(&err);
    if (request_await(f->session, &r, f->deadline_ms, &err) < 0)
        return exit_of(&err);
    if (r.answer.answer == ANSWER_REFUSED) {
        say("%s", *r.answer.why ? r.answer.why : "refused without a reason");
        return EXIT_ERROR;
    }
    text_copy(f->goal.operation, sizeof(f->goal.operation), r.answer.operation);
    f->goal.file_only = f->args->no_restart && f->command->kind != OP_ROTATE_KEYS;
    f->goal.attempt_before = strcmp(halted_id, r.answer.operation) == 0 ? attempt : 0;
    if (r.answer.answer == ANSWER_RESUMED)
        say("the halted %s goes on, with the same key", operation_kind_name(f->command->kind));
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
    f->args = args;
    f->session = &session;
    f->deadline_ms = args->timeout_s > 0 ? clock_mono_ms() + args->timeout_s * 1000 : 0;
    int code = session_open(args, &session, &err) < 0 ? fail(&err) : ask(f);
    session_close(&session);
    return code;
}
