#include "commands.h"
#include "follow.h"

const struct command command_wait = {
    .name = "wait",
    .operand = "[OPERATION]",
    .flags = FLAG_TIMEOUT | FLAG_JSON,
    .summary = "follow the operation that runs, or tell how the last one ended",
    .example = "secrets-encrypt wait\n"
               "secrets-encrypt wait --timeout 600 -o json",
    .help = "Follows an operation that this or another command began, with the same output and exit codes, "
            "as after ^C, a lost\n"
            "connection, or --no-wait. Where none runs: how the last one ended, if that was within 24 hours. "
            "With an id: that\n"
            "operation and no other.\n",
    .run = operation_wait,
};
