#include <report/table.h>

#include "ask.h"
#include "commands.h"
#include "console.h"

static void told(int64_t rate)
{
    char text[COUNT_TEXT_MAX];
    format_count(rate, text);
    if (rate > 0)
        result("values are rewritten at %s a second at most", text);
    else
        result("values are rewritten as fast as nobody notices");
}

static int run(const struct args *args)
{
    struct session session;
    struct request request;
    struct error err = ERROR_INIT;
    int64_t rate = 0;
    if (args_rate(args->operand, &rate, &err) < 0) {
        return end_with(EXIT_USAGE, "%s", err.text);
    }
    if (session_open(args, &session, &err) < 0) {
        session_close(&session);
        return fail(&err);
    }
    int code = ask(&session, OP_THROTTLE, args, 0, &request);
    session_close(&session);
    if (code >= 0)
        return code;
    console_operation(request.answer.operation);
    told(rate);
    return EXIT_DONE;
}

const struct command command_throttle = {
    .name = "throttle",
    .operand = "N",
    .flags = FLAG_JSON,
    .summary = "rewrite at most N values a second from now on",
    .example = "secrets-encrypt throttle 500\n"
               "secrets-encrypt throttle 0",
    .help =
        "Changes the ceiling of the operation that runs, at once and for the rest of it; 0 takes the ceiling "
        "away. Below\n"
        "it the coordinator goes only as fast as no API server, and no client's watch, feels: `status -o "
        "wide` "
        "says what\n"
        "holds it back.\n",
    .run = run,
};
