#include "commands.h"
#include "follow.h"

static int run(const struct args *args)
{
    static const struct operation_command command = {
        .kind = OP_ABORT,
        .waits_if_asked = true,
        .without_wait = "abort started",
    };
    return operation_run(&command, args);
}

const struct command command_abort = {
    .name = "abort",
    .flags = FLAG_WAIT | FLAG_DRY_RUN | FLAG_JSON,
    .summary = "go back to the config from before the rotation",
    .example = "secrets-encrypt abort --wait\n"
               "secrets-encrypt abort --dry-run",
    .help = "Ends the operation that runs, is paused or halted, and leads back: the old key writes again, "
            "values that were\n"
            "rewritten are rewritten back and counted, then the new key goes. Refused once the old key has "
            "begun to leave the\n"
            "servers (the point of no return): `explain` shows which side of it the operation is on.\n",
    .run = run,
};
