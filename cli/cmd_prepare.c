#include "commands.h"
#include "follow.h"

static int run(const struct args *args)
{
    static const struct operation_command command = {
        .kind = OP_PREPARE,
        .without_wait = "prepare started",
    };
    return operation_run(&command, args);
}

const struct command command_prepare = {
    .name = "prepare",
    .flags = FLAG_FORCE | FLAG_NO_RESTART | FLAG_FOLLOW | FLAG_NOW | FLAG_DRY_RUN | FLAG_JSON,
    .summary = "add a new key, readable on every server",
    .example = "secrets-encrypt prepare\n"
               "secrets-encrypt prepare --dry-run",
    .help = "Adds a new key behind the present one and restarts the servers one after the other, so that "
            "each of them can\n"
            "read with it before any writes with it. --no-restart writes the first server's file and leaves "
            "the restarts to you.\n",
    .run = run,
};
