#include "daemon_bench.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <crypto/crypto.h>
#include <encryption/config.h>
#include <encryption/envelope.h>
#include <real.h>

#define FLAG    "--encryption-provider-config="
#define CALL_MS 3000

extern char **environ;

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
}

/* --- the API server --- */

void daemon_start_server(struct daemon_bench *b)
{
    char flag[256], port[16], text[16];
    snprintf(flag, sizeof(flag), FLAG "%s", b->file);
    snprintf(port, sizeof(port), "%d", b->port);
    char *argv[] = {"python3", "-B", SERVER_PROGRAM, flag, port, b->cert, b->key, NULL};
    pid_t pid = 0;
    assert_int_equal(posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ), 0);
    snprintf(text, sizeof(text), "%d\n", (int)pid);
    daemon_write(b->pid, text);
}

void daemon_stop_server(struct daemon_bench *b)
{
    struct buf t = BUF_INIT(64);
    if (file_read(b->pid, 32, &t, NULL) == 0) {
        pid_t pid = (pid_t)strtol(buf_str(&t), NULL, 10);
        if (pid > 1)
            kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        unlink(b->pid);
    }
    buf_free(&t);
}

/* --- the folder --- */

void daemon_write(const char *path, const char *text)
{
    assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
}

void daemon_script(struct daemon_bench *b, const char *body)
{
    char *text = NULL;
    int n = asprintf(&text,
                     "#!/bin/sh\ncd '%s'\nagent() {\n  '" AGENT_PROGRAM
                     "' --config '%s' \"$@\"\n}\nrestart() {\n  kill -9 $(cat pid) 2>/dev/null\n"
                     "  python3 -B '" SERVER_PROGRAM "' '" FLAG "%s' %d %s %s & echo $! >pid\n}\n%s\n",
                     b->dir, b->config_path[0], b->file, b->port, b->cert, b->key, body);
    assert_true(n > 0);
    assert_int_equal(file_write_atomic(b->script, text, (size_t)n, 0700, NULL), 0);
    free(text);
}

static char *generation_text(int64_t generation)
{
    char *text = NULL;
    int n = asprintf(
        &text,
        "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"resources\":"
        "[{\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"keys\":[{\"name\":\"key%d\",\"secret\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}]}},{\"identity\":{}}]}]}",
        (int)generation);
    assert_true(n > 0);
    return text;
}

static void write_config(struct daemon_bench *b, int i)
{
    char text[2048];
    snprintf(text, sizeof(text),
             "cluster: demo\nserver: s1\nservers:\n  - {name: s1, api: \"https://127.0.0.1:%d\"}\n"
             "kubernetes: {ca_file: %s}\ntoken_file: %s\nstate_dir: %s\nstate_store:\n  endpoints: "
             "[\"%s\"]\nencryption_config: %s\n"
             "driver: exec\nexec:\n  restart: [\"%s\"]\n  timeout: 20\nready_timeout: 10\nlease_ttl: 5\n",
             b->port, b->cert, b->token, b->state[i], etcd_fixture_endpoint(b->etcd, 0), b->file, b->script);
    daemon_write(b->config_path[i], text);
}

static void make_paths(struct daemon_bench *b)
{
    (void)text_copy(b->dir, sizeof(b->dir), "/tmp/agent-daemon-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    snprintf(b->file, sizeof(b->file), "%s/encryption.json", b->dir);
    snprintf(b->pid, sizeof(b->pid), "%s/pid", b->dir);
    snprintf(b->script, sizeof(b->script), "%s/restart", b->dir);
    snprintf(b->cert, sizeof(b->cert), "%s/cert.pem", b->dir);
    snprintf(b->key, sizeof(b->key), "%s/key.pem", b->dir);
    snprintf(b->token, sizeof(b->token), "%s/token", b->dir);
    for (int i = 0; i < DAEMON_AGENTS; i++) {
        snprintf(b->config_path[i], sizeof(b->config_path[i]), "%s/config%d.yaml", b->dir, i);
        snprintf(b->state[i], sizeof(b->state[i]), "%s/state%d", b->dir, i);
        snprintf(b->log[i], sizeof(b->log[i]), "%s/log%d", b->dir, i);
    }
}

static void run(const char *const *argv)
{
    pid_t pid = 0;
    int status = -1;
    if (posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv, environ) == 0)
        waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

static void make_certificate(struct daemon_bench *b)
{
    const char *argv[] = {"openssl",
                          "req",
                          "-x509",
                          "-newkey",
                          "ec",
                          "-pkeyopt",
                          "ec_paramgen_curve:prime256v1",
                          "-nodes",
                          "-subj",
                          "/CN=apiserver",
                          "-addext",
                          "subjectAltName=IP:127.0.0.1",
                          "-days",
                          "2",
                          "-keyout",
                          b->key,
                          "-out",
                          b->cert,
                          "-batch",
                          NULL};
    run(argv);
}

void daemon_open(struct daemon_bench *b)
{
    struct error err = ERROR_INIT;
    memset(b, 0, sizeof(*b));
    make_paths(b);
    make_certificate(b);
    assert_int_equal(etcd_fixture_start(&(struct etcd_fixture_options){.members = 1}, &b->etcd), 0);
    b->port = port_hold(&b->hold); /* for the API server of the moment */
    b->next_order = 1;
    daemon_write(b->token, "a-token-of-the-test-cluster-1234567890\n");
    for (int64_t g = 0; g < DAEMON_TEXTS; g++) {
        char *text = generation_text(g);
        assert_int_equal(crypto_sha256_hex(text, strlen(text), b->hashes[g], NULL), 0);
        if (g == 1)
            daemon_write(b->file, text);
        free(text);
    }
    daemon_script(b, "restart");
    for (int i = 0; i < DAEMON_AGENTS; i++)
        write_config(b, i);
    if (config_load(b->config_path[0], CONFIG_FOR_AGENT, &b->config, &err) < 0 ||
        store_open(b->config, &b->store, &err) < 0)
        fail_msg("%s", err.text);
    b->snapshot = malloc(sizeof(*b->snapshot));
    assert_non_null(b->snapshot);
}

void daemon_close(struct daemon_bench *b)
{
    for (int i = 0; i < DAEMON_AGENTS; i++)
        if (b->agents[i])
            daemon_stop(b, i, SIGKILL);
    daemon_stop_server(b);
    store_free(b->store);
    config_free(b->config);
    etcd_fixture_free(b->etcd);
    close(b->hold);
    free(b->snapshot);
    const char *argv[] = {"rm", "-rf", "--", b->dir, NULL};
    run(argv);
}

/* --- the agent --- */

static pid_t spawn(const char *config, const char *command, const char *output)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    execl(AGENT_PROGRAM, AGENT_PROGRAM, "--config", config, command, (char *)NULL);
    _exit(127);
}

void daemon_start(struct daemon_bench *b, int agent)
{
    assert_int_equal(b->agents[agent], 0);
    b->agents[agent] = spawn(b->config_path[agent], NULL, b->log[agent]);
}

static int reap(pid_t pid)
{
    int status = 0;
    int64_t end = clock_mono_ms() + 20000;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (clock_mono_ms() > end)
            kill(pid, SIGKILL);
        nap();
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int daemon_stop(struct daemon_bench *b, int agent, int signal_number)
{
    pid_t pid = b->agents[agent];
    b->agents[agent] = 0;
    kill(pid, signal_number);
    return reap(pid);
}

int daemon_run(struct daemon_bench *b, const char *config, const char *command, char *out, size_t size)
{
    char path[160];
    struct buf t = BUF_INIT(65536);
    snprintf(path, sizeof(path), "%s/out", b->dir);
    unlink(path);
    int status = reap(spawn(config, command, path));
    assert_int_equal(file_read(path, 65536, &t, NULL), 0);
    (void)text_copy(out, size, buf_str(&t));
    buf_free(&t);
    return status;
}

/* --- the state store --- */

/* The generation's test vector, under its own key. */
static void fill_vector(struct cluster_bundle *bundle, const char *text)
{
    static const char plain[] = CLUSTER_VECTOR_TEXT;
    struct encryption_config *c = NULL;
    struct secret *base64 = NULL;
    struct buf stored = BUF_INIT(4096);
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_bundle_path(path, "demo", bundle->generation);
    assert_int_equal(encryption_config_parse(text, strlen(text), "text", &c, NULL), 0);
    assert_int_equal(envelope_encrypt(c, "secrets", path, plain, strlen(plain), &stored, NULL), 0);
    assert_int_equal(crypto_base64_encode(stored.data, stored.len, &base64, NULL), 0);
    assert_true(base64->len < sizeof(bundle->vector));
    memcpy(bundle->vector, base64->data, base64->len);
    bundle->vector[base64->len] = 0;
    secret_free(base64);
    buf_free(&stored);
    encryption_config_free(c);
}

void daemon_issue(struct daemon_bench *b, int64_t generation, enum stage stage)
{
    struct error err = ERROR_INIT;
    struct cluster_bundle bundle;
    char *text = generation_text(generation);
    struct secret *s = secret_copy(text, strlen(text));
    struct etcd_txn *txn = etcd_txn_new(store_etcd(b->store));
    if (store_bundle_seal(b->store, generation, stage, s, b->hashes[generation], &bundle, &err) < 0)
        fail_msg("%s", err.text);
    fill_vector(&bundle, text);
    if (store_txn_bundle(b->store, txn, &bundle, &err) < 0 || etcd_txn_commit(txn, CALL_MS, NULL, &err) < 0)
        fail_msg("%s", err.text);
    etcd_txn_free(txn);
    cluster_bundle_free(&bundle);
    secret_free(s);
    free(text);
}

int64_t daemon_order(struct daemon_bench *b, enum order_kind kind, int64_t generation)
{
    static const enum stage stages[] = {STAGE_START, STAGE_START, STAGE_PREPARE, STAGE_ROTATE};
    struct error err = ERROR_INIT;
    struct cluster_order o = {
        .id = b->next_order++, .kind = kind, .operation = "op", .generation = generation, .fence = 5};
    o.stage = stages[generation];
    if (kind != ORDER_ADOPT)
        (void)text_copy(o.hash, sizeof(o.hash), b->hashes[generation]);
    struct buf body = BUF_INIT(65536);
    struct etcd_txn *txn = etcd_txn_new(store_etcd(b->store));
    if (cluster_order_encode(&o, &body, &err) < 0 ||
        store_txn_put(b->store, txn, CLUSTER_KEY_ORDER, "s1", &body, 0, &err) < 0 ||
        etcd_txn_commit(txn, CALL_MS, NULL, &err) < 0)
        fail_msg("%s", err.text);
    etcd_txn_free(txn);
    buf_free(&body);
    return o.id;
}

const struct snapshot_server *daemon_published(struct daemon_bench *b)
{
    if (store_snapshot(b->store, CALL_MS, b->snapshot, NULL) < 0)
        return NULL;
    const struct snapshot_server *s = snapshot_server(b->snapshot, "s1");
    return s && s->reports ? s : NULL;
}

static void show_log(struct daemon_bench *b)
{
    for (int i = 0; i < DAEMON_AGENTS; i++) {
        struct buf t = BUF_INIT(1 << 20);
        if (file_read(b->log[i], 1 << 20, &t, NULL) == 0)
            print_error("--- log of agent %d\n%s", i, buf_str(&t));
        buf_free(&t);
    }
}

void daemon_await(struct daemon_bench *b, int64_t id, enum order_state state, int ms)
{
    int64_t end = clock_mono_ms() + ms;
    const struct snapshot_server *s = NULL;
    do {
        s = daemon_published(b);
        if (s && s->report.order_id == id && s->report.order_state == state)
            return;
        nap();
    } while (clock_mono_ms() < end);
    show_log(b);
    fail_msg("order %d: %s %s", (int)id, s ? order_state_name(s->report.order_state) : "no report",
             s ? s->report.order_why : "");
}

void daemon_await_report(struct daemon_bench *b, int ms)
{
    int64_t end = clock_mono_ms() + ms;
    do {
        const struct snapshot_server *s = daemon_published(b);
        if (s && s->report.ready && s->report.loaded_known && !s->plain_keys_differ)
            return;
        nap();
    } while (clock_mono_ms() < end);
    show_log(b);
    const struct snapshot_server *s = daemon_published(b);
    fail_msg("no good report: %s", s ? s->report.ready_why : "none");
}

void daemon_await_log(struct daemon_bench *b, int agent, const char *text, int ms)
{
    int64_t end = clock_mono_ms() + ms;
    do {
        struct buf t = BUF_INIT(1 << 20);
        bool found = file_read(b->log[agent], 1 << 20, &t, NULL) == 0 && strstr(buf_str(&t), text);
        buf_free(&t);
        if (found)
            return;
        nap();
    } while (clock_mono_ms() < end);
    show_log(b);
    fail_msg("agent %d never logged '%s'", agent, text);
}
