/* secrets-encrypt-agent [--config FILE] [sync|check] */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/stat.h>

#include <agent/command.h>
#include <base/log.h>
#include <base/secret.h>
#include <crypto/crypto.h>

#include "commands.h"
#include "loop.h"

#define NAME "secrets-encrypt-agent"

static const char help[] =
    "Usage: " NAME " [--config FILE] [COMMAND]\n"
    "\n"
    "The agent of one server: publishes what its API server runs with, and obeys the coordinator's orders.\n"
    "Without a command it runs in the foreground until SIGTERM.\n"
    "\n"
    "Commands:\n"
    "  sync    write the file of a pending order, just before the API server starts (ExecStartPre=-); at "
    "most 10 s\n"
    "  check   check the config, the token and the encryption config: \"ok\", or the first thing that is "
    "wrong\n"
    "\n"
    "Options:\n"
    "  --config FILE   default: $SECRETS_ENCRYPT_CONFIG, else " CONFIG_DEFAULT_PATH "\n"
    "  --version       print the version\n"
    "  --help          print this\n";

struct arguments {
    const char *config;
    command_main *command; /* NULL: the daemon */
    const char *word;      /* the command's argument, or NULL */
    int exit_code;         /* >= 0: nothing to run */
};

/* Some are not in the help: the agent runs them itself. */
static const struct {
    const char *name;
    command_main *run;
    bool takes_word;
} commands[] = {
    {"sync", sync_main, false},
    {"check", check_main, false},
    {"service-restart", service_restart_main, false},
    {"k3s-call", k3s_call_main, true},
    {"k3s-restart", k3s_restart_main, false},
    {"await-reload", await_reload_main, false},
    {"pod-restart", pod_restart_main, false},
};

int complain(const struct error *err)
{
    fprintf(stderr, NAME ": %s\n", err->text);
    return 1;
}

static int usage(const char *what, const char *word)
{
    fprintf(stderr, NAME ": %s '%s': see " NAME " --help\n", what, word);
    return 2;
}

static int parse_command(int argc, char **argv, struct arguments *a)
{
    if (optind >= argc)
        return -1;
    size_t i = 0;
    while (i < array_len(commands) && strcmp(commands[i].name, argv[optind]) != 0)
        i++;
    if (i == array_len(commands))
        return usage("unknown command", argv[optind]);
    a->command = commands[i].run;
    int last = optind + 1;
    if (commands[i].takes_word && last < argc)
        a->word = argv[last++];
    return last < argc ? usage("unexpected argument", argv[last]) : -1;
}

static void parse(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *env = getenv("SECRETS_ENCRYPT_CONFIG");
    *a = (struct arguments){env && *env ? env : CONFIG_DEFAULT_PATH, NULL, NULL, -1};
    opterr = 0;
    int c;
    while (a->exit_code < 0 && (c = getopt_long(argc, argv, ":c:h", options, NULL)) != -1) {
        if (c == 'c')
            a->config = optarg;
        else if (c == 'V')
            a->exit_code = puts(NAME " " SECRETS_ENCRYPT_VERSION) < 0;
        else if (c == 'h')
            a->exit_code = fputs(help, stdout) < 0;
        else
            a->exit_code = usage(c == ':' ? "a value is missing after" : "unknown option", argv[optind - 1]);
    }
    if (a->exit_code < 0)
        a->exit_code = parse_command(argc, argv, a);
}

/* Key material passes through this process: no core, no debugger of the same user, private files. */
static void harden(void)
{
    secret_guard_process();
    (void)crypto_guard_memory();
    command_set_umask(umask(077));
}

/* Descriptors 0 to 2 are open, so that no file of ours becomes one of them. */
static void fill_standard(void)
{
    int fd = 0;
    while (fd >= 0 && fd <= 2)
        fd = open("/dev/null", O_RDWR);
    if (fd > 2)
        close(fd);
}

/* Before the first thread: all of them inherit it. */
static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    for (size_t i = 0; i < array_len(signals); i++)
        sigaddset(&set, signals[i]);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

static int run(const struct arguments *a)
{
    struct error err = ERROR_INIT;
    _cleanup_(config_freep) struct config *config = NULL;
    if (config_load(a->config, CONFIG_FOR_AGENT, &config, &err) < 0)
        return complain(&err);
    int level = log_level_parse(config->log_level);
    /* The one-shot commands speak for themselves. */
    log_open("agent", config->server,
             a->command  ? LOG_LEVEL_ERROR
             : level < 0 ? LOG_LEVEL_INFO
                         : (enum log_level)level,
             (enum log_format)log_format_parse(config->log_format));
    log_context(LOG_SERVER, config->server);
    if (*config->old)
        log_event(LOG_LEVEL_WARNING, "old names in the configuration", LOG_S("file", config->path),
                  LOG_S("why", config->old));
    if (a->command)
        return a->command(config, a->word);
    block_signals();
    int rc = loop_run(config, &err);
    if (rc < 0)
        log_event(LOG_LEVEL_ERROR, "ended", LOG_S("why", err.text));
    return rc < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct arguments a;
    fill_standard();
    parse(argc, argv, &a);
    if (a.exit_code >= 0)
        return a.exit_code;
    harden();
    return run(&a);
}
