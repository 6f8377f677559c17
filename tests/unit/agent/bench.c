#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <crypto/crypto.h>

#define FLAG "--encryption-provider-config="

extern char **environ;

bool bench_is_server(int argc, char **argv)
{
    return argc > 1 &&
           strncmp(argv[1], "--encryption-provider-config", strlen("--encryption-provider-config")) == 0;
}

int bench_play_server(void)
{
    alarm(60); /* nothing is left behind, whatever happens to the test */
    for (;;)
        pause();
}

static void self(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    assert_true(n > 0);
    out[n] = 0;
}

/* --- the outside world --- */

static int ready(void *ctx, struct error *err)
{
    struct bench *b = ctx;
    struct file_seen seen;
    if (place_look(b->file, &seen, NULL) < 0 || !b->ready || strcmp(seen.hash, b->not_ready_hash) == 0)
        return error_set(err, ERR_UNAVAILABLE, "etcd check failed");
    return 0;
}

static void describe_bundle(const struct bench *b, int64_t generation, struct cluster_bundle *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->generation = generation;
    ret->stage = generation == 1 ? STAGE_START : generation == 2 ? STAGE_PREPARE : STAGE_ROTATE;
    (void)text_copy(ret->hash, sizeof(ret->hash), b->hashes[generation]);
    (void)text_copy(ret->config_id, sizeof(ret->config_id), b->hashes[generation]);
    (void)text_copy(ret->vector, sizeof(ret->vector), b->vectors[generation]);
}

static int refresh(void *ctx, struct known *known, struct error *err)
{
    struct bench *b = ctx;
    (void)err;
    b->refreshes++;
    for (int64_t g = 1; g < BENCH_TEXTS; g++) {
        struct cluster_bundle bundle;
        describe_bundle(b, g, &bundle);
        known_add(known, &bundle);
    }
    return 0;
}

static int fetch(void *ctx, int64_t generation, struct secret **ret, struct error *err)
{
    struct bench *b = ctx;
    b->fetches++;
    if (b->fetch_transient > 0) {
        b->fetch_transient--;
        return error_set(err, ERR_UNAVAILABLE, "state store away");
    }
    if (b->fetch_rc < 0)
        return error_set(err, b->fetch_rc, "bundle unusable");
    *ret = secret_copy(b->texts[generation], strlen(b->texts[generation]));
    return *ret ? 0 : error_no_memory(err);
}

static int adopt(void *ctx, const struct cluster_bundle *described, const struct secret *text,
                 struct cluster_bundle *ret, struct error *err)
{
    struct bench *b = ctx;
    (void)text;
    if (b->adopt_transient > 0) {
        b->adopt_transient--;
        return error_set(err, ERR_UNAVAILABLE, "state store away");
    }
    b->adoptions++;
    b->adopted = *described;
    *ret = *described;
    return 0;
}

/* --- the folder --- */

static void make_texts(struct bench *b)
{
    for (int i = 0; i < BENCH_TEXTS; i++) {
        char *text = NULL;
        int n = asprintf(&text,
                         "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/"
                         "v1\",\"resources\":"
                         "[{\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"keys\":[{\"name\":"
                         "\"key%d\",\"secret\":"
                         "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}]}},{\"identity\":{}}]}]}",
                         i);
        assert_true(n > 0);
        b->texts[i] = text;
        assert_int_equal(crypto_sha256_hex(text, (size_t)n, b->hashes[i], NULL), 0);
    }
}

static void make_config(struct bench *b)
{
    struct config *c = &b->config;
    c->path = (char[]){""};
    static char exec[] = "exec", empty[] = "", config_path[] = "config.yaml", off[] = "off",
                secrets[] = "secrets";
    c->path = config_path;
    (void)text_copy(c->cluster, sizeof(c->cluster), "demo");
    (void)text_copy(c->server, sizeof(c->server), "s1");
    c->encryption_config = b->file;
    c->state_dir = b->state;
    c->driver = exec;
    c->exec_restart[0] = b->script;
    c->exec_restart_count = 1;
    c->exec_timeout_s = 10;
    c->service_timeout_s = 10;
    c->pid_file = empty;
    c->reload = off;
    c->ready_timeout_s = 2;
    c->lease_ttl_s = 10;
    c->resources[0] = secrets;
    c->resources_count = 1;
}

void bench_write(struct bench *b, const char *text)
{
    assert_int_equal(file_write_atomic(b->file, text, strlen(text), 0600, NULL), 0);
}

char *bench_read(const char *path)
{
    struct buf t = BUF_INIT(1 << 20);
    struct error err = ERROR_INIT;
    if (file_read(path, 1 << 20, &t, &err) < 0)
        fail_msg("%s", err.text);
    return t.data ? t.data : calloc(1, 1);
}

void bench_open(struct bench *b)
{
    memset(b, 0, sizeof(*b));
    (void)text_copy(b->dir, sizeof(b->dir), "/tmp/agent-bench-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    snprintf(b->file, sizeof(b->file), "%s/encryption.json", b->dir);
    snprintf(b->pid, sizeof(b->pid), "%s/pid", b->dir);
    snprintf(b->script, sizeof(b->script), "%s/restart", b->dir);
    snprintf(b->state, sizeof(b->state), "%s/state", b->dir);
    make_texts(b);
    make_config(b);
    bench_script(b, "restart");
    bench_write(b, b->texts[1]);
    b->ready = true;
    b->offer = true;
    b->ops = (struct agent_ops){b, ready, refresh, fetch, adopt, NULL};
    assert_int_equal(agent_open(&b->agent, &b->config, &b->ops, NULL), 0);
    agent_withdraw(&b->agent); /* the first look at the orders: there is none */
}

static void remove_copies(const char *state)
{
    DIR *d = opendir(state);
    for (struct dirent *e = NULL; d && (e = readdir(d));)
        if (strncmp(e->d_name, PLACE_REPLACED, strlen(PLACE_REPLACED)) == 0)
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
}

static void remove_folder(const char *dir)
{
    static const char *const names[] = {"encryption.json",
                                        ".encryption.json.tmp",
                                        "pid",
                                        "restart",
                                        "mark",
                                        "link.json",
                                        "state/agent.json",
                                        "state/.agent.json.tmp",
                                        "state/previous-config",
                                        "state/.previous-config.tmp",
                                        "state/lock",
                                        "state/restart-output",
                                        "output",
                                        "call",
                                        "asked",
                                        "next",
                                        ".next",
                                        "own",
                                        "own-next",
                                        "go",
                                        "times"};
    char path[PATH_MAX];
    for (size_t i = 0; i < array_len(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/state", dir);
    remove_copies(path);
    rmdir(path);
    assert_int_equal(rmdir(dir), 0);
}

void bench_close(struct bench *b)
{
    bench_stop_server(b);
    if (b->agent.work.command)
        kill((pid_t)-command_id(b->agent.work.command).pid, SIGKILL);
    agent_close(&b->agent);
    for (int i = 0; i < BENCH_TEXTS; i++)
        free(b->texts[i]);
    remove_folder(b->dir);
}

void bench_crash(struct bench *b)
{
    agent_close(&b->agent);
    assert_int_equal(agent_open(&b->agent, &b->config, &b->ops, NULL), 0);
}

/* --- the server --- */

void bench_await_arguments(pid_t pid)
{
    char path[64], c;
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    for (int i = 0; i < 1000; i++) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, &c, 1) : -1;
        if (fd >= 0)
            close(fd);
        if (n == 1)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    }
    fail_msg("process %d shows no arguments", (int)pid);
}

pid_t bench_start_server(struct bench *b)
{
    char exe[PATH_MAX], flag[PATH_MAX + 64], text[32];
    self(exe);
    snprintf(flag, sizeof(flag), FLAG "%s", b->file);
    char *argv[] = {exe, flag, NULL};
    pid_t pid = 0;
    assert_int_equal(posix_spawn(&pid, exe, NULL, NULL, argv, environ), 0);
    bench_await_arguments(pid);
    snprintf(text, sizeof(text), "%d\n", (int)pid);
    assert_int_equal(file_write_atomic(b->pid, text, strlen(text), 0600, NULL), 0);
    return pid;
}

void bench_stop_server(struct bench *b)
{
    struct buf t = BUF_INIT(64);
    if (file_read(b->pid, 32, &t, NULL) == 0) {
        pid_t pid = (pid_t)strtol(buf_str(&t), NULL, 10);
        if (pid > 1) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0); /* our child; one of the script's is not ours to wait for */
        }
        unlink(b->pid);
    }
    buf_free(&t);
}

void bench_script(struct bench *b, const char *body)
{
    char exe[PATH_MAX], *text = NULL;
    self(exe);
    int n = asprintf(&text,
                     "#!/bin/sh\ncd '%s'\nrestart() {\n  kill -9 $(cat pid) 2>/dev/null\n"
                     "  '%s' '" FLAG "%s' & echo $! >pid\n}\n%s\n",
                     b->dir, exe, b->file, body);
    assert_true(n > 0);
    assert_int_equal(file_write_atomic(b->script, text, (size_t)n, 0700, NULL), 0);
    free(text);
}

/* --- running --- */

struct cluster_order bench_order(const struct bench *b, int64_t id, enum order_kind kind, int64_t generation)
{
    struct cluster_order o = {.id = id, .kind = kind, .generation = generation, .fence = 10, .given_ms = 1};
    struct cluster_bundle bundle;
    describe_bundle(b, generation, &bundle);
    if (kind != ORDER_ADOPT)
        (void)text_copy(o.hash, sizeof(o.hash), bundle.hash);
    o.stage = bundle.stage;
    (void)text_copy(o.operation, sizeof(o.operation), "op");
    return o;
}

static void record(struct bench *b)
{
    struct cluster_report *r = bench_report(b);
    const char *word = order_state_name(r->order_state);
    size_t len = strlen(b->seen), word_len = strlen(word);
    if (len >= word_len && strcmp(b->seen + len - word_len, word) == 0)
        return;
    snprintf(b->seen + len, sizeof(b->seen) - len, "%s%s", len ? " " : "", word);
}

static void turn(struct bench *b)
{
    int64_t now = clock_mono_ms();
    agent_observe(&b->agent, now, false);
    record(b);
    if (b->offer && b->order.id)
        agent_offer(&b->agent, &b->order);
    record(b);
    for (int i = 0; i < 50 && agent_step(&b->agent, clock_mono_ms()); i++)
        record(b);
    record(b);
    nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
}

void bench_run_while(struct bench *b, bool (*going)(struct bench *b), int ms)
{
    int64_t end = clock_mono_ms() + ms;
    do
        turn(b);
    while (going(b) && clock_mono_ms() < end);
}

static bool unanswered(struct bench *b)
{
    struct cluster_report *r = bench_report(b);
    return r->order_id != b->order.id || r->order_state == ORDER_TAKEN ||
           r->order_state == ORDER_RESTARTING || r->order_state == ORDER_NONE;
}

bool bench_run(struct bench *b, int ms)
{
    bench_run_while(b, unanswered, ms);
    return !unanswered(b);
}

struct cluster_report *bench_report(struct bench *b)
{
    static struct cluster_report r;
    agent_report(&b->agent, 1, &r);
    return &r;
}

void bench_contains(const char *text, const char *part, const char *file, int line)
{
    if (strstr(text, part))
        return;
    print_error("'%s' does not contain '%s'\n", text, part);
    _fail(file, line);
}
