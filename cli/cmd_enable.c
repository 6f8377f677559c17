#include "commands.h"
#include "follow.h"

static int run(const struct args *args)
{
    static const struct operation_command command = {
        .kind = OP_ENABLE,
        .without_wait = "enable started",
        .finished = "secrets-encryption enabled",
    };
    return operation_run(&command, args);
}

const struct command command_enable = {
    .name = "enable",
    .flags = FLAG_NO_RESTART | FLAG_FOLLOW,
    .summary = "write encrypted again",
    .example = "secrets-encrypt enable",
    .help = "New values are encrypted again. Those written plain meanwhile are encrypted by reencrypt "
            "--force --skip.\n",
    .run = run,
};
