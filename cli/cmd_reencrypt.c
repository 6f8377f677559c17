#include "commands.h"
#include "follow.h"

static int run(const struct args *args)
{
    static const struct operation_command command = {
        .kind = OP_REENCRYPT,
        .taken = "reencryption started",
        .taken_ends = true,
    };
    return operation_run(&command, args);
}

const struct command command_reencrypt = {
    .name = "reencrypt",
    .flags = FLAG_FORCE | FLAG_SKIP | FLAG_NO_RESTART | FLAG_FOLLOW | FLAG_ENGINE | FLAG_OFFLINE | FLAG_NOW |
             FLAG_DRY_RUN | FLAG_JSON,
    .summary = "rewrite every value, then drop the old key",
    .example = "secrets-encrypt reencrypt\n"
               "secrets-encrypt reencrypt --force --skip\n"
               "secrets-encrypt reencrypt --engine datastore --max-rate 500",
    .help = "Rewrites every value under the key that writes now. The old key is dropped only once the "
            "datastore holds no\n"
            "value under it. --skip keeps it (after enable or disable: reencrypt --force --skip). With "
            "--no-restart the command\n"
            "returns once the coordinator has begun, and the restarts that follow are yours.\n",
    .run = run,
};
