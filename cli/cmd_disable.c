#include "commands.h"
#include "follow.h"

static int run(const struct args *args)
{
    static const struct operation_command command = {
        .kind = OP_DISABLE,
        .without_wait = "disable started",
    };
    return operation_run(&command, args);
}

const struct command command_disable = {
    .name = "disable",
    .flags = FLAG_NO_RESTART | FLAG_FOLLOW | FLAG_NOW | FLAG_DRY_RUN | FLAG_JSON,
    .summary = "write plain from now on; the keys stay readable",
    .example = "secrets-encrypt disable\n"
               "secrets-encrypt reencrypt --force --skip",
    .help = "New values are written plain. Those that are encrypted stay readable, and are rewritten by "
            "reencrypt --force --skip.\n",
    .run = run,
};
