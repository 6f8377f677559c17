#include "commands.h"
#include "follow.h"

static int run(const struct args *args)
{
    static const struct operation_command command = {
        .kind = OP_RESTORE_KEY,
        .waits_if_asked = true,
        .without_wait = "restore started",
    };
    return operation_run(&command, args);
}

const struct command command_keys_restore = {
    .name = "keys restore",
    .operand = "NAME",
    .flags = FLAG_WAIT | FLAG_NOW | FLAG_JSON,
    .summary = "make a retired key readable again on every server",
    .example = "secrets-encrypt keys restore aescbckey-2026-11-24T22:42:40Z --wait",
    .help =
        "Takes a retired key out of escrow (for values of an etcd backup from before a rotation, say) and "
        "brings it to\n"
        "every server, one after the other. It reads, it does not write. `secrets-encrypt keys` lists what "
        "is in escrow.\n",
    .run = run,
};
