/* secrets-encrypt: K3s's subcommands for any cluster of API servers. */
#include "commands.h"
#include "console.h"

#define USAGE_MAX (16 * 1024)
#define TABLE_MAX (256 * 1024)

static const struct command *const table[] = {
    &command_status,  &command_prepare, &command_rotate,       &command_reencrypt, &command_rotate_keys,
    &command_enable,  &command_disable, &command_pause,        &command_throttle,  &command_resume,
    &command_restart, &command_lock,    &command_unlock,       &command_abort,     &command_repair,
    &command_explain, &command_keys,    &command_keys_restore, &command_init,      &command_preflight,
};

static int add_commands(struct buf *out, struct error *err)
{
    int rc =
        buf_adds(out,
                 "usage: secrets-encrypt [FLAGS] COMMAND [FLAGS]\n\n"
                 "Rotates the keys with which Kubernetes API servers encrypt Secrets at rest.\n\ncommands:\n",
                 err);
    for (size_t i = 0; i < array_len(table) && rc == 0; i++)
        rc = buf_addf(out, err, "  %-12s  %s\n", table[i]->name, table[i]->summary);
    return rc == 0 ? buf_adds(out, "\nflags of every command:\n", err) : rc;
}

static int add_command(const struct command *c, struct buf *out, struct error *err)
{
    return buf_addf(out, err, "usage: secrets-encrypt %s%s%s [FLAGS]\n\n%s\nflags:\n", c->name,
                    c->operand ? " " : "", c->operand ? c->operand : "", c->help);
}

/* Help for one command, or (NULL) for all. */
static int usage(const struct command *c, FILE *to)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(USAGE_MAX);
    struct error err = ERROR_INIT;
    int rc = c ? add_command(c, &out, &err) : add_commands(&out, &err);
    if (rc == 0)
        rc = args_help(c ? c->flags : 0, &out, &err);
    if (rc == 0)
        rc = buf_addf(&out, &err, "\nexample:\n  %s\n", c ? c->example : "secrets-encrypt rotate-keys");
    if (rc < 0)
        return fail(&err);
    if (to == stdout)
        return result_text(&out) ? EXIT_DONE : EXIT_ERROR;
    fputs(buf_str(&out), to);
    return EXIT_USAGE;
}

/* `--table`, which is in no help: for the build (deploy/pages/). */
static int print_table(const struct command *commands, size_t count)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(TABLE_MAX);
    struct error err = ERROR_INIT;
    if (args_table(commands, count, &out, &err) < 0)
        return fail(&err);
    return result_text(&out) ? EXIT_DONE : EXIT_ERROR;
}

int main(int argc, char **argv)
{
    struct command commands[array_len(table)];
    for (size_t i = 0; i < array_len(table); i++)
        commands[i] = *table[i];
    if (argc == 2 && strcmp(argv[1], "--table") == 0)
        return print_table(commands, array_len(commands));
    struct args args;
    const struct command *command = NULL;
    struct error err = ERROR_INIT;
    int code = EXIT_DONE;
    if (args_parse(argc, argv, commands, array_len(commands), &args, &command, &err) < 0) {
        fail(&err);
        code = EXIT_USAGE;
    } else if (args.version) {
        result("secrets-encrypt %s", SECRETS_ENCRYPT_VERSION);
    } else if (args.help) {
        code = usage(command, stdout);
    } else if (!command) {
        code = usage(NULL, stderr);
    } else {
        code = command->run(&args);
    }
    args_free(&args);
    return code;
}
