#include "commands.h"
#include "follow.h"

static int run(const struct args *args)
{
    static const struct operation_command command = {
        .kind = OP_ROTATE,
        .without_wait = "rotate started",
    };
    return operation_run(&command, args);
}

const struct command command_rotate = {
    .name = "rotate",
    .flags = FLAG_FORCE | FLAG_NO_RESTART | FLAG_FOLLOW | FLAG_NOW | FLAG_DRY_RUN | FLAG_JSON,
    .summary = "write with the new key",
    .example = "secrets-encrypt rotate\n"
               "secrets-encrypt rotate --no-wait",
    .help =
        "Moves the key that prepare added to the front, so that every server writes with it, and restarts "
        "the servers\n"
        "one after the other. --no-restart writes the first server's file and leaves the restarts to you.\n",
    .run = run,
};
