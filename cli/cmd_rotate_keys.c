#include "commands.h"
#include "follow.h"

static int run(const struct args *args)
{
    static const struct operation_command command = {
        .kind = OP_ROTATE_KEYS,
        .without_wait = "rotation started",
    };
    return operation_run(&command, args);
}

const struct command command_rotate_keys = {
    .name = "rotate-keys",
    .flags = FLAG_NO_RESTART | FLAG_FOLLOW | FLAG_ENGINE | FLAG_NOW | FLAG_DRY_RUN | FLAG_JSON,
    .summary = "prepare, rotate and reencrypt in one",
    .example = "secrets-encrypt rotate-keys\n"
               "secrets-encrypt rotate-keys --dry-run\n"
               "secrets-encrypt rotate-keys --timeout 3600 --junit rotation.xml -o json",
    .help = "Does a whole rotation: a new key on every server, every server writing with it, every value "
            "rewritten, the old key\n"
            "gone. Interrupting it (^C) leaves it going; running it again after a halt goes on with the same "
            "key.\n",
    .run = run,
};
