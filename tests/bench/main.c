/* secrets_bench: see bench.h and docs/performance.md. */
#include "bench.h"

#include <getopt.h>
#include <signal.h>

#include <base/file.h>
#include <base/text.h>
#include <store/store.h>

static volatile sig_atomic_t stopped;

static const struct {
    const char *name;
    int (*run)(struct bench *b, struct error *err);
    const char *help;
} commands[] = {
    {"fill", bench_fill, "puts Secrets straight into the datastore, under the first key"},
    {"check", bench_check,
     "reads and opens every one of them, and compares; counts those under the first key"},
    {"txns", bench_txns, "writes all of them under the first key in a bare loop of ready-made transactions"},
    {"job", bench_job, "runs a coordinator's job (--kind rewrite or scan) to its end, or for --seconds"},
    {"hammer", bench_hammer, "sends ready-made empty patches over --connections times --streams"},
    {"peer", bench_peer, "lists and updates as other tools do: --page, --workers, --rate"},
    {"probe", bench_probe, "measures what API servers' clients feel, until SIGTERM or for --seconds"},
    {"follow", bench_follow, "prints the state store's changes with their times, until SIGTERM"},
    {"planner", bench_planner, "a coordinator's look and decision over --count simulated servers"},
};

/* Flags whose value is a number. */
static const struct {
    const char *name;
    size_t offset;
    int64_t preset;
} numbers[] = {
    {"first", offsetof(struct bench, first), 0},     {"count", offsetof(struct bench, count), 0},
    {"size", offsetof(struct bench, size), 1024},    {"batch", offsetof(struct bench, batch), 1},
    {"window", offsetof(struct bench, window), 4},   {"seconds", offsetof(struct bench, seconds), 0},
    {"page", offsetof(struct bench, page), 500},     {"connections", offsetof(struct bench, connections), 1},
    {"streams", offsetof(struct bench, streams), 1}, {"workers", offsetof(struct bench, workers), 1},
    {"rate", offsetof(struct bench, rate), 0},
};
static const struct {
    const char *name;
    size_t offset;
} texts[] = {
    {"config", offsetof(struct bench, config_path)}, {"encryption", offsetof(struct bench, encryption_path)},
    {"seed", offsetof(struct bench, seed)},          {"engine", offsetof(struct bench, engine)},
    {"kind", offsetof(struct bench, kind)},
};
static const struct {
    const char *name;
    size_t offset;
} switches[] = {
    {"offline", offsetof(struct bench, offline)},
    {"paced", offsetof(struct bench, paced)},
};

#define MEMBER(b, type, offset) ((type *)((char *)(b) + (offset)))

static int set_flag(struct bench *b, const char *name, const char *value, struct error *err)
{
    for (size_t i = 0; i < array_len(numbers); i++)
        if (strcmp(name, numbers[i].name) == 0)
            return text_int(value, 0, INT64_MAX, MEMBER(b, int64_t, numbers[i].offset), err);
    for (size_t i = 0; i < array_len(texts); i++)
        if (strcmp(name, texts[i].name) == 0) {
            *MEMBER(b, const char *, texts[i].offset) = value;
            return 0;
        }
    for (size_t i = 0; i < array_len(switches); i++)
        if (strcmp(name, switches[i].name) == 0)
            *MEMBER(b, bool, switches[i].offset) = true;
    return 0;
}

static int parse(struct bench *b, int argc, char **argv, struct error *err)
{
    struct option options[array_len(numbers) + array_len(texts) + array_len(switches) + 1] = {0};
    size_t n = 0;
    for (size_t i = 0; i < array_len(numbers); i++) {
        options[n++] = (struct option){numbers[i].name, required_argument, NULL, 'v'};
        *MEMBER(b, int64_t, numbers[i].offset) = numbers[i].preset;
    }
    for (size_t i = 0; i < array_len(texts); i++)
        options[n++] = (struct option){texts[i].name, required_argument, NULL, 'v'};
    for (size_t i = 0; i < array_len(switches); i++)
        options[n++] = (struct option){switches[i].name, no_argument, NULL, 'v'};
    int index = 0, o;
    while ((o = getopt_long(argc, argv, "", options, &index)) != -1) {
        int rc = o == 'v' ? set_flag(b, options[index].name, optarg, err)
                          : error_set(err, ERR_INVALID, "unknown flag");
        if (rc < 0)
            return rc;
    }
    return b->config_path ? 0 : error_set(err, ERR_INVALID, "--config is missing");
}

static int load_encryption(struct bench *b, struct error *err)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    if (!b->encryption_path)
        return 0;
    int rc = file_read_secret(b->encryption_path, ENCRYPTION_CONFIG_MAX, &text, err);
    return rc < 0 ? rc
                  : encryption_config_parse(text->data, text->len, b->encryption_path, &b->encryption, err);
}

static int open_all(struct bench *b, struct error *err)
{
    int rc = config_load(b->config_path, CONFIG_FOR_COORDINATOR, &b->config, err);
    if (rc == 0)
        rc = load_encryption(b, err);
    return rc == 0 ? store_etcd_open(&b->config->datastore, &b->datastore, err) : rc;
}

static void close_all(struct bench *b)
{
    etcd_close(b->datastore);
    encryption_config_free(b->encryption);
    config_free(b->config);
}

static void on_signal(int number)
{
    stopped = number;
}

bool bench_stopped(void)
{
    return stopped != 0;
}

struct kube_options bench_login(const struct bench *b, size_t server)
{
    const struct config *c = b->config;
    return (struct kube_options){
        .server = c->servers[server].name,
        .url = c->servers[server].api,
        .ca_file = c->kube_ca_file,
        .token_file = c->kube_token_file,
    };
}

static int usage(void)
{
    fprintf(stderr, "usage: secrets_bench COMMAND --config FILE [flags]; see tests/bench/run.sh\n");
    for (size_t i = 0; i < array_len(commands); i++)
        fprintf(stderr, "  %-8s %s\n", commands[i].name, commands[i].help);
    return 2;
}

int main(int argc, char **argv)
{
    struct bench b = {.seed = "bench", .engine = "api", .kind = "rewrite"};
    struct error err = ERROR_INIT;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; argc > 1 && i < array_len(commands); i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        int rc = parse(&b, argc - 1, argv + 1, &err);
        if (rc == 0)
            rc = open_all(&b, &err);
        if (rc == 0)
            rc = commands[i].run(&b, &err);
        if (rc < 0)
            fprintf(stderr, "secrets_bench %s: %s\n", argv[1], err.text);
        close_all(&b);
        return rc < 0;
    }
    return usage();
}
