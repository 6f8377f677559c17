#include "requests_bench.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct etcd_fixture *fixture;
struct store *store;
struct cluster_snapshot *seen;
char config_path_text[256];
pid_t running; /* the program, while it runs: it ends with the test, however that ends */

/* --- the program --- */

/* Also the one of a test that failed. */
void cli_end(void)
{
    if (running <= 0)
        return;
    kill(running, SIGKILL);
    waitpid(running, NULL, 0);
    running = 0;
}

void cli_start(struct program *p, const char *first, ...)
{
    cli_end();
    char *argv[WORDS_MAX + 2] = {(char *)"secrets-encrypt"};
    posix_spawn_file_actions_t actions;
    va_list ap;
    size_t n = 1;
    va_start(ap, first);
    for (const char *word = first; word && n <= WORDS_MAX; word = va_arg(ap, const char *))
        argv[n++] = (char *)word;
    va_end(ap);
    *p = (struct program){.out_text = BUF_INIT(OUTPUT_MAX), .err_text = BUF_INIT(OUTPUT_MAX)};
    text_copy(p->out, sizeof(p->out), etcd_fixture_path(fixture, "out"));
    text_copy(p->err, sizeof(p->err), etcd_fixture_path(fixture, "err"));
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(
        posix_spawn_file_actions_addopen(&actions, 1, p->out, O_WRONLY | O_CREAT | O_TRUNC, 0600), 0);
    assert_int_equal(
        posix_spawn_file_actions_addopen(&actions, 2, p->err, O_WRONLY | O_CREAT | O_TRUNC, 0600), 0);
    assert_int_equal(posix_spawn(&p->pid, SECRETS_ENCRYPT_PROGRAM, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    running = p->pid;
}

void cli_finish(struct program *p)
{
    int status = 0;
    int64_t end = clock_mono_ms() + WAIT_MS;
    while (waitpid(p->pid, &status, WNOHANG) == 0) {
        if (clock_mono_ms() > end) {
            kill(p->pid, SIGKILL);
            end = INT64_MAX;
        }
        usleep(20000);
    }
    running = 0;
    p->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    assert_int_equal(file_read(p->out, OUTPUT_MAX, &p->out_text, NULL), 0);
    assert_int_equal(file_read(p->err, OUTPUT_MAX, &p->err_text, NULL), 0);
}

void cli_expect(struct program *p, int code, const char *out, const char *err)
{
    cli_finish(p);
    if (p->code != code || strcmp(buf_str(&p->out_text), out) != 0 || !strstr(buf_str(&p->err_text), err))
        fail_msg("exit %d\nstdout: %s\nstderr: %s", p->code, buf_str(&p->out_text), buf_str(&p->err_text));
    buf_free(&p->out_text);
    buf_free(&p->err_text);
}

/* Until the file holds the text. */
void cli_wait_line(const char *file, const char *text)
{
    int64_t end = clock_mono_ms() + WAIT_MS;
    for (;;) {
        _cleanup_(buf_freep) struct buf told = BUF_INIT(OUTPUT_MAX);
        assert_int_equal(file_read(file, OUTPUT_MAX, &told, NULL), 0);
        if (strstr(buf_str(&told), text))
            return;
        if (clock_mono_ms() > end)
            fail_msg("it does not say '%s': %s", text, buf_str(&told));
        usleep(20000);
    }
}

void cli_wait_told(const struct program *p, const char *text)
{
    cli_wait_line(p->err, text);
}

/* --- the coordinator's part --- */

void play_put(enum cluster_key key, const char *name, const struct buf *body)
{
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(store_etcd(store));
    assert_int_equal(store_txn_put(store, t, key, name, body, 0, NULL), 0);
    assert_int_equal(etcd_txn_commit(t, DEADLINE_MS, NULL, NULL), 0);
}

struct cluster_request play_await(void)
{
    int64_t end = clock_mono_ms() + WAIT_MS;
    do {
        assert_int_equal(store_snapshot(store, DEADLINE_MS, seen, NULL), 0);
        if (seen->requests_count > 0)
            return seen->requests[0].request;
        usleep(20000);
    } while (clock_mono_ms() < end);
    fail_msg("no request came");
    return (struct cluster_request){0};
}

void play_refuse(struct cluster_request r, enum cluster_cause cause, const char *why)
{
    r.answer = ANSWER_REFUSED;
    r.cause = cause;
    text_copy(r.why, sizeof(r.why), why);
    PUT(request, CLUSTER_KEY_REQUEST, r.id, &r);
}

void play_answer(struct cluster_request r, enum answer a, const char *operation, const char *why)
{
    r.answer = a;
    text_copy(r.operation, sizeof(r.operation), operation);
    text_copy(r.why, sizeof(r.why), why);
    PUT(request, CLUSTER_KEY_REQUEST, r.id, &r);
}

struct cluster_rotation play_rotation_of(const char *id, enum operation_kind kind, enum operation_state state)
{
    struct cluster_rotation r = {.generation = 1, .issued = 1};
    text_copy(r.hash, sizeof(r.hash), HASH);
    text_copy(r.op.id, sizeof(r.op.id), id);
    text_copy(r.op.requested_by, sizeof(r.op.requested_by), "root@s1");
    r.op.kind = kind;
    r.op.state = state;
    r.op.phase = state == OP_STATE_FINISHED ? PHASE_DONE : PHASE_APPEND;
    r.op.attempt = 1;
    r.op.started_ms = clock_wall_ms();
    return r;
}

void play_rotation(const char *id, enum operation_kind kind, enum operation_state state)
{
    struct cluster_rotation r = play_rotation_of(id, kind, state);
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
}

void play_report(const char *hash, int64_t order, enum order_state state, const char *why)
{
    struct cluster_report r = {.order_id = order,
                               .order_state = state,
                               .ready = true,
                               .loaded_known = true,
                               .generation = 1,
                               .time_ms = clock_wall_ms()};
    text_copy(r.server, sizeof(r.server), "s2");
    text_copy(r.hash, sizeof(r.hash), hash);
    text_copy(r.loaded_hash, sizeof(r.loaded_hash), hash);
    text_copy(r.order_why, sizeof(r.order_why), why);
    PUT(report, CLUSTER_KEY_REPORT, "s2", &r);
}

void play_order(int64_t id, const char *operation)
{
    struct cluster_order o = {.id = id, .kind = ORDER_REPAIR, .generation = 1};
    text_copy(o.operation, sizeof(o.operation), operation);
    text_copy(o.hash, sizeof(o.hash), HASH);
    PUT(order, CLUSTER_KEY_ORDER, "s2", &o);
}

/* --- the bench --- */

static void write_config(void)
{
    char text[1024], token[256];
    text_copy(token, sizeof(token), etcd_fixture_path(fixture, "token"));
    text_copy(config_path_text, sizeof(config_path_text), etcd_fixture_path(fixture, "c.yaml"));
    snprintf(text, sizeof(text),
             "cluster: demo\nservers: [{name: s1, api: 'https://127.0.0.1:1'}, {name: s2, api: "
             "'https://127.0.0.1:2'}]\ntoken_file: %s\nstate_store: {endpoints: ['%s']}\n",
             token, etcd_fixture_endpoint(fixture, 0));
    assert_int_equal(file_write_atomic(token, TOKEN, strlen(TOKEN), 0600, NULL), 0);
    assert_int_equal(file_write_atomic(config_path_text, text, strlen(text), 0600, NULL), 0);
    setenv("SECRETS_ENCRYPT_CONFIG", config_path_text, 1);
}

int bench_set_up(void **state)
{
    (void)state;
    struct etcd_fixture_options options = {.members = 1};
    if (etcd_fixture_start(&options, &fixture) < 0)
        return -1;
    write_config();
    struct error err = ERROR_INIT;
    struct config *config = NULL;
    seen = calloc(1, sizeof(*seen));
    if (!seen || config_load(config_path_text, CONFIG_FOR_CLI, &config, &err) < 0 ||
        store_open(config, &store, &err) < 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    config_free(config);
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(path, "demo", CLUSTER_KEY_LEADER, NULL);
    return etcd_put(store_etcd(store), path, "s1", 2, 0, DEADLINE_MS, NULL, NULL);
}

int bench_tear_down(void **state)
{
    (void)state;
    cli_end();
    store_free(store);
    free(seen);
    etcd_fixture_free(fixture);
    return 0;
}
