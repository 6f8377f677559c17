#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/text.h>
#include <cli/init_record.h>

#include "commands.h"
#include "console.h"
#include "init.h"

#define ANSWER_MS (10 * 60 * 1000)

/* --- where --- */

static int choose_paths(const struct args *args, char config[PATH_MAX], char folder[PATH_MAX],
                        struct error *err)
{
    const char *root = args->root ? args->root : "";
    size_t root_len = strlen(root);
    int len = args->file ? snprintf(config, PATH_MAX, "%s", args->file)
                         : snprintf(config, PATH_MAX, "%s%s", root, CONFIG_DEFAULT_PATH);
    if (len >= PATH_MAX)
        return error_set(err, ERR_INVALID, "--output: the path is too long");
    bool inside = root_len > 0 && strncmp(config, root, root_len) == 0 && config[root_len] == '/';
    if (config[0] != '/')
        return error_set(err, ERR_INVALID,
                         "--output %.200s: not a path from the root (the configuration names files "
                         "beside it)",
                         config);
    if (root_len > 0 && !inside)
        return error_set(err, ERR_INVALID, "--output %.200s: is not under --root", config);
    (void)text_copy(folder, PATH_MAX, config + root_len);
    *strrchr(folder, '/') = 0;
    return 0;
}

static int check_free(const struct args *args, const char *config, struct error *err)
{
    struct stat st;
    if (lstat(config, &st) == 0 && !args->force)
        return error_set(err, ERR_CONFLICT,
                         "%s is there already; with --force it is replaced, and a copy is kept", config);
    return 0;
}

/* --- what --- */

static int look(const struct args *args, const char *folder, struct discover_facts *f, struct error *err)
{
    char hostname[256] = "";
    (void)!gethostname(hostname, sizeof(hostname) - 1); /* "": the file says what to fill in */
    struct discover_options o = {args->root ? args->root : "", folder, args->cluster, hostname};
    if (args->cluster && !text_is_name(args->cluster, CONFIG_NAME_MAX - 1))
        return error_set(err, ERR_INVALID, "--cluster %.80s: a name of letters, figures, '.', '_' and '-'",
                         args->cluster);
    int rc = discover_find(&o, f, err);
    if (rc == 0)
        init_ask(f, o.root);
    return rc;
}

static bool ask_user(const char *config)
{
    char answer[16] = "";
    struct pollfd fd = {STDIN_FILENO, POLLIN, 0};
    fprintf(stderr, "Write this to %s? [y/N] ", config);
    fflush(stderr);
    if (poll(&fd, 1, ANSWER_MS) <= 0 || !fgets(answer, sizeof(answer), stdin))
        return false;
    return answer[0] == 'y' || answer[0] == 'Y';
}

/* The programs' own opinion of the file. */
static void tell_missing(const struct buf *text, const char *config, size_t missing)
{
    struct error err = ERROR_INIT;
    struct config *c = NULL;
    static const enum config_role roles[] = {CONFIG_FOR_AGENT, CONFIG_FOR_COORDINATOR, CONFIG_FOR_CLI};
    int rc = 0;
    for (size_t i = 0; i < array_len(roles) && rc == 0; i++) {
        rc = config_parse(buf_str(text), text->len, config, roles[i], &c, &err);
        config_free(c);
        c = NULL;
    }
    if (missing > 0)
        say_more("%zu line%s in it begin%s with FILL IN: say there what could not be found", missing,
                 missing == 1 ? "" : "s", missing == 1 ? "s" : "");
    else if (rc < 0)
        say("it is not complete: %s", err.text);
    else
        say_more("look over `servers`, start the agents and the coordinators, then run `secrets-encrypt "
                 "preflight`");
}

static int agree_and_write(const struct args *args, const struct init_target *t,
                           const struct discover_facts *f, const struct buf *text, size_t missing,
                           struct error *err)
{
    bool terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    if (!args->yes && !terminal)
        return end_with(EXIT_USAGE,
                        "nothing was written: there is no terminal to ask at; with --yes it is written to %s",
                        t->config);
    if (!args->yes && !ask_user(t->config))
        return end_with(EXIT_ERROR, "nothing was written");
    if (init_write(t, f, text, err) < 0)
        return fail(err);
    tell_missing(text, t->config, missing);
    return EXIT_DONE;
}

/* With JSON: what was found, and whether it was written. */
static bool show_record(const struct init_target *t, const struct buf *text, size_t missing, int code)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(4 * CONFIG_FILE_MAX);
    struct error err = ERROR_INIT;
    const struct init_record r = {t->config, buf_str(text), missing, code, console_message()};
    if (render_init_json(&r, &out, &err) < 0)
        return fail(&err) == EXIT_DONE;
    return result_text(&out);
}

static int run_with(const struct args *args, struct discover_facts *f, struct error *err)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(CONFIG_FILE_MAX);
    char config[PATH_MAX], folder[PATH_MAX];
    struct init_target t = {config, args->root ? args->root : "", "", args->force};
    size_t missing = 0;
    int rc = choose_paths(args, config, folder, err);
    if (rc == 0)
        rc = check_free(args, config, err);
    if (rc == 0)
        rc = look(args, folder, f, err);
    if (rc == 0 && snprintf(t.token, sizeof(t.token), "%s/token", folder) >= (int)sizeof(t.token))
        rc = error_set(err, ERR_INVALID, "--output: the path is too long");
    if (rc == 0)
        rc = discover_render(f, t.token, &text, &missing, err);
    if (rc < 0)
        return fail(err);
    if (!console_json() && !result_text(&text))
        return EXIT_ERROR;
    int code = agree_and_write(args, &t, f, &text, missing, err);
    return console_json() && !show_record(&t, &text, missing, code) ? EXIT_ERROR : code;
}

static int run(const struct args *args)
{
    struct error err = ERROR_INIT;
    struct discover_facts *f = calloc(1, sizeof(*f)); /* too large for a stack */
    if (!f) {
        error_no_memory(&err);
        return fail(&err);
    }
    int code = run_with(args, f, &err);
    discover_free(f);
    free(f);
    return code;
}

const struct command command_init = {
    .name = "init",
    .flags = FLAG_INIT,
    .summary = "write this server's configuration by looking at the server",
    .example = "secrets-encrypt init --cluster production\n"
               "secrets-encrypt init --yes -o json",
    .help =
        "Looks for K3s, RKE2, kubeadm, or a kube-apiserver that runs as a service, and asks its etcd for the "
        "other servers;\n"
        "shows the configuration, and writes it once you agree, with a cluster token beside it where there "
        "is "
        "none. What it\n"
        "cannot find is left as a comment that begins with FILL IN.\n",
    .run = run,
};
