#include "commands.h"
#include "follow.h"

static int run(const struct args *args)
{
    static const struct operation_command command = {.kind = OP_RESUME, .waits_if_asked = true};
    return operation_run(&command, args);
}

const struct command command_resume = {
    .name = "resume",
    .flags = FLAG_WAIT | FLAG_NOW | FLAG_JSON,
    .summary = "let a paused or halted operation go on",
    .example = "secrets-encrypt resume --wait",
    .help =
        "Goes on where the operation was paused or halted, with the same key. After a halt, running the "
        "operation's own\n"
        "command again does the same. One that waits for its maintenance window: pause, then resume --now.\n",
    .run = run,
};
