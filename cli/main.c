/* secrets-encrypt: K3s's subcommands for any cluster of API servers. */
#include "commands.h"
#include "console.h"

#include <base/secret.h>
#include <crypto/crypto.h>

#define USAGE_MAX (16 * 1024)
#define TABLE_MAX (256 * 1024)

static const struct command *const table[] = {
    &command_status,    &command_prepare, &command_rotate, &command_reencrypt,    &command_rotate_keys,
    &command_enable,    &command_disable, &command_pause,  &command_throttle,     &command_resume,
    &command_restart,   &command_lock,    &command_unlock, &command_wait,         &command_abort,
    &command_repair,    &command_explain, &command_keys,   &command_keys_restore, &command_init,
    &command_preflight, &command_audit,   &command_diff,
};

static const char examples[] = "secrets-encrypt preflight\n"
                               "secrets-encrypt rotate-keys --dry-run\n"
                               "secrets-encrypt rotate-keys\n"
                               "secrets-encrypt status --check\n"
                               "secrets-encrypt COMMAND --help";

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

static int add_exits(struct buf *out, struct error *err)
{
    int rc = buf_adds(out, "\nexit codes:\n", err);
    for (size_t i = 0; i < exit_rows_count && rc == 0; i++)
        rc = buf_addf(out, err, "  %-3d  %s\n", exit_rows[i].code, exit_rows[i].meaning);
    return rc;
}

/* Command lines, one a line. */
static int add_examples(const char *lines, struct buf *out, struct error *err)
{
    int rc = buf_adds(out, strchr(lines, '\n') ? "\nexamples:\n" : "\nexample:\n", err);
    while (*lines && rc == 0) {
        size_t len = strcspn(lines, "\n");
        rc = buf_addf(out, err, "  %.*s\n", (int)len, lines);
        lines += len + (lines[len] == '\n');
    }
    return rc;
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
    if (rc == 0 && !c)
        rc = add_exits(&out, &err);
    if (rc == 0)
        rc = add_examples(c ? c->example : examples, &out, &err);
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

static int run(const struct args *args, const struct command *command)
{
    console_begin(args->output, args->quiet);
    if (args->version) {
        result("secrets-encrypt %s", SECRETS_ENCRYPT_VERSION);
        return EXIT_DONE;
    }
    if (args->help)
        return usage(command, stdout);
    return command ? command->run(args) : usage(NULL, stderr);
}

int main(int argc, char **argv)
{
    secret_guard_process(); /* `init` and `preflight` read encryption configs */
    (void)crypto_guard_memory();
    struct command commands[array_len(table)];
    for (size_t i = 0; i < array_len(table); i++)
        commands[i] = *table[i];
    if (argc == 2 && strcmp(argv[1], "--table") == 0)
        return print_table(commands, array_len(commands));
    struct args args;
    const struct command *command = NULL;
    struct error err = ERROR_INIT;
    console_begin(args_want_json(argc, argv) ? OUTPUT_JSON : OUTPUT_TEXT, false);
    int code = EXIT_DONE;
    if (args_parse(argc, argv, commands, array_len(commands), &args, &command, &err) < 0)
        code = end_with(EXIT_USAGE, "%s", err.text);
    else
        code = run(&args, command);
    args_free(&args);
    return console_end(code);
}
