#include "ask.h"
#include "commands.h"
#include "console.h"

static int run(const struct args *args)
{
    struct session session;
    struct request request;
    struct error err = ERROR_INIT;
    if (session_open(args, &session, &err) < 0) {
        session_close(&session);
        return fail(&err);
    }
    int code = ask(&session, OP_PAUSE, args, 0, &request);
    const struct cluster_snapshot *s = session.snapshot;
    if (code < 0) {
        console_operation(request.answer.operation);
        bool known = s->has_rotation && *s->rotation.op.id;
        result("%s paused", known ? operation_kind_name(s->rotation.op.kind) : "operation");
        say_more("`secrets-encrypt resume` lets it go on, `secrets-encrypt abort` leads back");
        code = EXIT_DONE;
    }
    session_close(&session);
    return code;
}

const struct command command_pause = {
    .name = "pause",
    .flags = FLAG_JSON,
    .summary = "begin no further step of the operation that runs",
    .example = "secrets-encrypt pause",
    .help = "No further order is given and no further value is rewritten until `resume`. A server that is at "
            "work finishes\n"
            "what it was told; keys and values stay as they are, and every server reads every value.\n",
    .run = run,
};
