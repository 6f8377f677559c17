#include "commands.h"
#include "follow.h"

static int run(const struct args *args)
{
    static const struct operation_command command = {
        .kind = OP_ENABLE,
        .without_wait = "enable started",
    };
    return operation_run(&command, args);
}

const struct command command_enable = {
    .name = "enable",
    .flags = FLAG_NO_RESTART | FLAG_FOLLOW | FLAG_NOW | FLAG_DRY_RUN | FLAG_JSON,
    .summary = "write encrypted again",
    .example = "secrets-encrypt enable\n"
               "secrets-encrypt reencrypt --force --skip",
    .help = "New values are encrypted again. Those written plain meanwhile are encrypted by reencrypt "
            "--force --skip.\n",
    .run = run,
};
