#include <base/clock.h>
#include <base/text.h>
#include <cli/events.h>
#include <cli/progress.h>
#include <config/nearest.h>

#include "ask.h"
#include "commands.h"
#include "console.h"
#include "junit_file.h"
#include "look.h"

struct repair {
    const struct args *args;
    struct session session;
    struct look look;
    struct repair_goal goal;
    struct cluster_snapshot *now;
    char told[CLUSTER_TEXT_MAX]; /* what was said last */
    int64_t deadline_ms;
    struct junit junit;
};

static void tell_event(const struct repair *r, const char *name, const char *why)
{
    _cleanup_(buf_freep) struct buf line = BUF_INIT(8192);
    const struct event e = {.name = name,
                            .time_ms = clock_wall_ms(),
                            .operation = r->goal.request,
                            .kind = OP_REPAIR,
                            .why = why,
                            .on = r->goal.server};
    if (console_json() && event_add(&e, &line, NULL) == 0)
        (void)result_events(&line);
}

/* A server that is none of the cluster's is refused here, with the nearest name. */
static int check_server(const struct session *s, const char *name, struct error *err)
{
    const char *names[SNAPSHOT_SERVERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < s->snapshot->servers_count && count < array_len(names); i++)
        if (s->snapshot->servers[i].in_spec)
            names[count++] = s->snapshot->servers[i].name;
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return 0;
    const char *near = nearest_word(name, names, count);
    if (near)
        return error_set(err, ERR_INVALID, "%.64s is none of the cluster's servers; did you mean %s?", name,
                         near);
    return error_set(err, ERR_INVALID,
                     "%.64s is none of the cluster's servers: see `secrets-encrypt status -o "
                     "wide`",
                     name);
}

static int judge(struct repair *r)
{
    char why[CLUSTER_TEXT_MAX];
    if (r->look.failures > 0)
        return -1;
    switch (repair_state(r->now, &r->goal, why)) {
    case REPAIR_REACHED:
        tell_event(r, "finished", NULL);
        result("%s repaired", r->goal.server);
        return EXIT_DONE;
    case REPAIR_FAILED:
        return end_with(EXIT_ERROR, "the repair of %s failed: %s", r->goal.server, why);
    case REPAIR_OVERTAKEN:
        return end_with(EXIT_ERROR, "the repair of %s has no end that could be seen: %s", r->goal.server,
                        why);
    case REPAIR_RUNNING:
        break;
    }
    if (strcmp(why, r->told) != 0) {
        tell_event(r, "waiting", why);
        say_more("%s: %s", r->goal.server, why);
    }
    memcpy(r->told, why, sizeof(r->told));
    return -1;
}

static int stop_early(const struct repair *r)
{
    bool late = r->deadline_ms > 0 && clock_mono_ms() >= r->deadline_ms;
    if (!interrupted() && !late)
        return -1;
    tell_event(r, "detached", exit_cause(interrupted() ? EXIT_INTERRUPTED : EXIT_TIMEOUT));
    if (interrupted())
        return end_with(EXIT_INTERRUPTED,
                        "interrupted: the repair of %s goes on; `secrets-encrypt status -o wide` shows it",
                        r->goal.server);
    return end_with(
        EXIT_TIMEOUT,
        "%s is not repaired within --timeout %lld: the repair goes on; `secrets-encrypt status -o "
        "wide` shows it",
        r->goal.server, (long long)r->args->timeout_s);
}

static int follow_repair(struct repair *r)
{
    int code = -1;
    r->now = calloc(1, sizeof(*r->now));
    if (!r->now)
        return end_with(EXIT_ERROR, "out of memory");
    look_open(&r->look, &r->session);
    while (code < 0) {
        struct error err = ERROR_INIT;
        code = look_now(&r->look, r->now, &err) < 0 ? fail(&err) : judge(r);
        if (code < 0)
            code = stop_early(r);
        if (code < 0)
            look_pause(&r->look);
    }
    look_close(&r->look);
    free(r->now);
    return code;
}

static int repair(struct repair *r)
{
    struct request request;
    struct error err = ERROR_INIT;
    if (check_server(&r->session, r->args->operand, &err) < 0)
        return fail(&err);
    int code = ask(&r->session, OP_REPAIR, r->args, r->deadline_ms, &request);
    if (code >= 0)
        return code;
    text_copy(r->goal.server, sizeof(r->goal.server), r->args->operand);
    text_copy(r->goal.request, sizeof(r->goal.request), request.id);
    junit_accepted(&r->junit, request.id, OP_REPAIR, clock_wall_ms());
    console_operation(request.id);
    tell_event(r, "accepted", NULL);
    if (r->args->wait)
        return follow_repair(r);
    result("repair of %s started", r->goal.server);
    return EXIT_DONE;
}

static int run(const struct args *args)
{
    struct error err = ERROR_INIT;
    _cleanup_free_ struct repair *r = calloc(1, sizeof(*r));
    if (!r)
        return end_with(EXIT_ERROR, "out of memory");
    r->args = args;
    r->deadline_ms = ask_deadline(args);
    if (junit_file_begin(&r->junit, args->junit, OP_REPAIR, true, &err) < 0)
        return fail(&err);
    int code = session_open(args, &r->session, &err) < 0 ? fail(&err) : repair(r);
    session_close(&r->session);
    return junit_file_end(&r->junit, args->junit, code);
}

const struct command command_repair = {
    .name = "repair",
    .operand = "SERVER",
    .flags = FLAG_FORCE | FLAG_WAIT | FLAG_JSON,
    .summary = "put one server's encryption config right",
    .example = "secrets-encrypt repair s2 --wait",
    .help =
        "Writes the config that the cluster settled on over whatever stands on that server (a torn, "
        "truncated or hand-edited\n"
        "file; its agent keeps a copy), and restarts its API server. Refused while another server is not "
        "ready. --force:\n"
        "also where the API server runs with a config that was not issued here and may have stored values "
        "under its keys.\n",
    .run = run,
};
