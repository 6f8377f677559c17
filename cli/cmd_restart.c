#include "commands.h"
#include "follow.h"

static int run(const struct args *args)
{
    static const struct operation_command command = {
        .kind = OP_RESTART,
        .waits_if_asked = true,
        .without_wait = "restart started",
    };
    return operation_run(&command, args);
}

const struct command command_restart = {
    .name = "restart",
    .flags = FLAG_WAIT | FLAG_SERVERS | FLAG_REASON | FLAG_NOW | FLAG_DRY_RUN | FLAG_JSON,
    .summary = "restart the API servers, one after the other",
    .example = "secrets-encrypt restart --dry-run\n"
               "secrets-encrypt restart --server s2 --server s3 --reason 'new flags' --wait",
    .help =
        "Restarts every server (or each --server) in restart order, one at a time: the next one only when "
        "the one before is\n"
        "ready again with the config that it had. Refused beside a rotation, while somebody holds the "
        "lock, and while a server\n"
        "is silent, not ready or has another config than it should. A server that does not come back "
        "halts it: `resume` goes\n"
        "on with the servers that are left, `abort` ends it.\n",
    .run = run,
};
