/* The program as it is shipped: its lease, its orders, its signals. */
#include "daemon_bench.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>

static void assert_file(struct daemon_bench *b, int generation)
{
    struct buf t = BUF_INIT(65536);
    char key[16];
    snprintf(key, sizeof(key), "key%d", generation);
    assert_int_equal(file_read(b->file, 65536, &t, NULL), 0);
    assert_non_null(strstr(buf_str(&t), key));
    buf_free(&t);
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' does not contain '%s'", text, part);
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static void test_publishes_and_stops(void **state)
{
    struct daemon_bench *b = *state;
    daemon_start_server(b);
    daemon_start(b, 0);
    daemon_await_report(b, 10000);
    const struct snapshot_server *s = daemon_published(b);
    assert_string_equal(s->report.hash, b->hashes[1]);
    assert_int_equal(s->report.order_state, ORDER_NONE);
    /* Renewed well within the lease, and past its first end. */
    int64_t first = s->report.time_ms;
    pause_ms(6000);
    s = daemon_published(b);
    assert_non_null(s);
    assert_true(s->report.time_ms >= first + 2000);
    /* A stop takes the report away at once. */
    assert_int_equal(daemon_stop(b, 0, SIGTERM), 0);
    assert_null(daemon_published(b));
    struct stat st;
    assert_int_equal(stat(b->state[0], &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void test_orders(void **state)
{
    struct daemon_bench *b = *state;
    daemon_start_server(b);
    daemon_start(b, 0);
    daemon_await_report(b, 10000);
    daemon_await(b, daemon_order(b, ORDER_ADOPT, 1), ORDER_DONE, 10000);
    assert_int_equal(daemon_published(b)->report.generation, 1);
    daemon_await(b, daemon_order(b, ORDER_ADOPT, 1), ORDER_DONE,
                 10000); /* it is there already, with this file */
    daemon_issue(b, 2, STAGE_PREPARE);
    int64_t begin = clock_mono_ms();
    daemon_await(b, daemon_order(b, ORDER_APPLY, 2), ORDER_DONE, 10000);
    print_message("apply took %d ms\n", (int)(clock_mono_ms() - begin));
    const struct cluster_report *r = &daemon_published(b)->report;
    assert_int_equal(r->generation, 2);
    assert_int_equal(r->loaded_generation, 2);
    assert_int_equal(r->stage, STAGE_PREPARE);
    assert_int_equal(r->restarts, 1);
    daemon_await(b, daemon_order(b, ORDER_RESTART, 2), ORDER_DONE, 10000);
    assert_int_equal(daemon_published(b)->report.restarts, 2);
    daemon_await(b, daemon_order(b, ORDER_APPLY, 3), ORDER_REFUSED, 10000); /* no such bundle */
    /* One that nobody signed is not even answered. */
    int64_t refused = daemon_published(b)->report.order_id;
    char path[CLUSTER_KEY_PATH_MAX];
    static const char forged[] = "{\"mac\":\"00\",\"body\":{\"id\":99}}";
    cluster_key_path(path, "demo", CLUSTER_KEY_ORDER, "s1");
    assert_int_equal(etcd_put(store_etcd(b->store), path, forged, sizeof(forged) - 1, 0, 3000, NULL, NULL),
                     0);
    daemon_await_log(b, 0, "order is not authentic", 5000);
    assert_int_equal(daemon_published(b)->report.order_id, refused);
}

/* `sync` before the operator's restart; and from within the restart command, where it has nothing to do. */
static void test_sync(void **state)
{
    struct daemon_bench *b = *state;
    char out[1024];
    daemon_start_server(b);
    daemon_start(b, 0);
    daemon_await_report(b, 10000);
    assert_int_equal(daemon_run(b, b->config_path[0], "sync", out, sizeof(out)), 0);
    assert_has(out, "no order");
    daemon_await(b, daemon_order(b, ORDER_ADOPT, 1), ORDER_DONE, 10000);
    daemon_issue(b, 2, STAGE_PREPARE);
    int64_t id = daemon_order(b, ORDER_SYNC, 2);
    daemon_await(b, id, ORDER_TAKEN, 10000);
    assert_file(b, 1);
    daemon_stop_server(b);
    assert_int_equal(daemon_run(b, b->config_path[0], "sync", out, sizeof(out)), 0);
    assert_has(out, "wrote generation 2");
    assert_file(b, 2);
    assert_int_equal(daemon_run(b, b->config_path[0], "sync", out, sizeof(out)), 0);
    assert_has(out, "in place");
    daemon_start_server(b);
    daemon_await(b, id, ORDER_DONE, 10000);
    assert_int_equal(daemon_published(b)->report.loaded_generation, 2);
    assert_int_equal(daemon_published(b)->report.stage, STAGE_PREPARE);
    daemon_issue(b, 3, STAGE_ROTATE);
    daemon_script(b, "agent sync >sync-out 2>&1 || exit 9\nrestart");
    daemon_await(b, daemon_order(b, ORDER_APPLY, 3), ORDER_DONE, 15000);
    assert_file(b, 3);
    struct buf t = BUF_INIT(1024);
    snprintf(out, sizeof(out), "%s/sync-out", b->dir);
    assert_int_equal(file_read(out, 1024, &t, NULL), 0);
    assert_has(buf_str(&t), "in place");
    buf_free(&t);
}

static void await_vector(struct daemon_bench *b, int64_t generation)
{
    int64_t end = clock_mono_ms() + 5000;
    const struct snapshot_server *s = NULL;
    do {
        pause_ms(20);
        s = daemon_published(b);
    } while (s && s->report.vector_generation != generation && clock_mono_ms() < end);
    assert_non_null(s);
    assert_string_equal(s->report.vector_why, "");
    assert_int_equal(s->report.vector_generation, generation);
}

/* Proof 1a is published soon after the file is there; a repair brings it back, and so does `sync`. */
static void test_vector_and_repair(void **state)
{
    struct daemon_bench *b = *state;
    char out[1024], before[64];
    daemon_start_server(b);
    daemon_start(b, 0);
    daemon_await_report(b, 10000);
    daemon_await(b, daemon_order(b, ORDER_ADOPT, 1), ORDER_DONE, 10000);
    daemon_issue(b, 2, STAGE_PREPARE);
    daemon_await(b, daemon_order(b, ORDER_APPLY, 2), ORDER_DONE, 10000);
    await_vector(b, 2);
    daemon_write(b->file, "{\"kind\":");
    int64_t end = clock_mono_ms() + 5000;
    while (!daemon_published(b)->report.file_why[0] && clock_mono_ms() < end)
        pause_ms(20);
    assert_has(daemon_published(b)->report.file_why,
               "still runs with generation 2; run secrets-encrypt repair s1");
    (void)text_copy(before, sizeof(before), daemon_published(b)->report.process);
    daemon_await(b, daemon_order(b, ORDER_REPAIR, 2), ORDER_DONE, 10000);
    await_vector(b, 2);
    assert_string_equal(daemon_published(b)->report.process, before);
    /* The agent is stopped: the operator's `sync` does it, over a file that nobody issued. */
    assert_int_equal(daemon_stop(b, 0, SIGTERM), 0);
    struct buf t = BUF_INIT(65536);
    assert_int_equal(file_read(b->file, 65536, &t, NULL), 0);
    for (char *c = t.data; (c = strstr(c, "key2")); c++)
        c[3] = '9';
    daemon_write(b->file, t.data);
    buf_free(&t);
    (void)daemon_order(b, ORDER_APPLY, 2);
    assert_int_equal(daemon_run(b, b->config_path[0], "sync", out, sizeof(out)), 1);
    assert_has(out, "changed by somebody else");
    int64_t id = daemon_order(b, ORDER_REPAIR, 2);
    assert_int_equal(daemon_run(b, b->config_path[0], "sync", out, sizeof(out)), 0);
    assert_has(out, "wrote generation 2");
    assert_file(b, 2);
    int copies = 0;
    DIR *d = opendir(b->state[0]);
    for (struct dirent *e = NULL; d && (e = readdir(d));)
        copies += strncmp(e->d_name, "replaced-", 9) == 0;
    closedir(d);
    assert_int_equal(copies, 2);
    daemon_start(b, 0);
    daemon_await(b, id, ORDER_DONE, 10000);
}

/* A restart that fails runs `sync` as well: the file that was put back stays. */
static void test_sync_after_failure(void **state)
{
    struct daemon_bench *b = *state;
    char out[1024];
    daemon_start_server(b);
    daemon_start(b, 0);
    daemon_await_report(b, 10000);
    daemon_await(b, daemon_order(b, ORDER_ADOPT, 1), ORDER_DONE, 10000);
    daemon_issue(b, 2, STAGE_PREPARE);
    daemon_script(b, "agent sync\necho no such unit\nexit 3");
    daemon_await(b, daemon_order(b, ORDER_APPLY, 2), ORDER_FAILED, 15000);
    assert_has(daemon_published(b)->report.order_why, "exit status 3: no such unit");
    assert_file(b, 1);
    assert_int_equal(daemon_run(b, b->config_path[0], "sync", out, sizeof(out)), 0);
    assert_has(out, "ended");
    assert_file(b, 1);
}

/* A cloned machine. */
static void test_rival(void **state)
{
    struct daemon_bench *b = *state;
    char instance[CLUSTER_ID_MAX];
    daemon_start_server(b);
    daemon_start(b, 0);
    daemon_await_report(b, 10000);
    (void)text_copy(instance, sizeof(instance), daemon_published(b)->report.instance);
    daemon_start(b, 1);
    daemon_await_log(b, 1, "another agent publishes as s1", 15000);
    assert_string_equal(daemon_published(b)->report.instance, instance);
    /* It takes no order. */
    daemon_await(b, daemon_order(b, ORDER_ADOPT, 1), ORDER_DONE, 10000);
    assert_string_equal(daemon_published(b)->report.instance, instance);
    assert_int_equal(daemon_stop(b, 1, SIGTERM), 0);
    assert_non_null(daemon_published(b));
}

static void stop_during_restart(struct daemon_bench *b, int signal_number, int status)
{
    daemon_start_server(b);
    daemon_start(b, 0);
    daemon_await_report(b, 10000);
    daemon_await(b, daemon_order(b, ORDER_ADOPT, 1), ORDER_DONE, 10000);
    daemon_issue(b, 2, STAGE_PREPARE);
    int64_t id = daemon_order(b, ORDER_APPLY, 2);
    daemon_await_log(b, 0, "restart started", 10000);
    assert_int_equal(daemon_stop(b, 0, signal_number), status);
    daemon_start(b, 0);
    daemon_await(b, id, ORDER_DONE, 20000);
    assert_int_equal(daemon_published(b)->report.loaded_generation, 2);
    char path[128];
    struct buf t = BUF_INIT(64);
    snprintf(path, sizeof(path), "%s/runs", b->dir);
    assert_int_equal(file_read(path, 64, &t, NULL), 0);
    assert_string_equal(buf_str(&t), "x\n"); /* not restarted a second time */
    buf_free(&t);
}

/* Killed while the restart runs; the next start finishes the order. */
static void test_killed_during_restart(void **state)
{
    struct daemon_bench *b = *state;
    daemon_script(b, "echo x >>runs\nsleep 1\nrestart");
    stop_during_restart(b, SIGKILL, -SIGKILL);
}

/* Stopped while the restart runs, which takes longer than the stop waits. */
static void test_stopped_during_restart(void **state)
{
    struct daemon_bench *b = *state;
    daemon_script(b, "echo x >>runs\nsleep 7\nrestart");
    stop_during_restart(b, SIGTERM, 0);
}

/* The published list of servers does not have this one: it runs and reports, and says so. */
static void test_not_in_spec(void **state)
{
    struct daemon_bench *b = *state;
    struct cluster_spec *spec = calloc(1, sizeof(*spec));
    struct buf body = BUF_INIT(65536);
    spec->servers_count = spec->resources_count = 1;
    (void)text_copy(spec->servers[0].name, CLUSTER_NAME_MAX, "s7");
    (void)text_copy(spec->servers[0].api, CLUSTER_URL_MAX, "https://127.0.0.1:1");
    (void)text_copy(spec->resources[0], CLUSTER_KEY_NAME_MAX, "secrets");
    struct etcd_txn *txn = etcd_txn_new(store_etcd(b->store));
    assert_int_equal(cluster_spec_encode(spec, &body, NULL), 0);
    assert_int_equal(store_txn_put(b->store, txn, CLUSTER_KEY_SPEC, NULL, &body, 0, NULL), 0);
    assert_int_equal(etcd_txn_commit(txn, 3000, NULL, NULL), 0);
    etcd_txn_free(txn);
    buf_free(&body);
    free(spec);
    daemon_start(b, 0);
    daemon_await_log(b, 0, "this server is not among the cluster's servers", 10000);
    assert_non_null(daemon_published(b));
}

/* The state store dies in the middle of a restart (one server: it often lives on the same machine). */
static void test_state_store_away(void **state)
{
    struct daemon_bench *b = *state;
    daemon_start_server(b);
    daemon_start(b, 0);
    daemon_await_report(b, 10000);
    daemon_await(b, daemon_order(b, ORDER_ADOPT, 1), ORDER_DONE, 10000);
    daemon_issue(b, 2, STAGE_PREPARE);
    daemon_script(b, "sleep 0.5\nrestart");
    int64_t id = daemon_order(b, ORDER_APPLY, 2);
    daemon_await_log(b, 0, "restart started", 10000);
    etcd_fixture_kill(b->etcd, 0);
    daemon_await_log(b, 0, "msg=\"order ended\" order=2 kind=apply state=done", 20000);
    daemon_await_log(b, 0, "state store away", 10000);
    assert_int_equal(etcd_fixture_restart(b->etcd, 0), 0);
    daemon_await(b, id, ORDER_DONE, 20000);
    daemon_await_log(b, 0, "state store back", 1000);
}

static void test_bad_start(void **state)
{
    struct daemon_bench *b = *state;
    char out[1024], path[128];
    snprintf(path, sizeof(path), "%s/none.yaml", b->dir);
    assert_int_equal(daemon_run(b, path, NULL, out, sizeof(out)), 1);
    assert_has(out, "none.yaml");
    assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
    daemon_write(b->token, "short");
    assert_int_equal(daemon_run(b, b->config_path[0], NULL, out, sizeof(out)), 1);
    assert_has(out, "level=error");
    assert_has(out, "msg=ended");
    assert_has(out, b->token);
    assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
    daemon_write(b->token, "a-token-of-the-test-cluster-1234567890\n");
    /* One daemon a folder. */
    daemon_start(b, 0);
    daemon_await_log(b, 0, "started", 10000);
    assert_int_equal(daemon_run(b, b->config_path[0], NULL, out, sizeof(out)), 1);
    assert_has(out, "another agent runs");
    assert_int_equal(daemon_run(b, b->config_path[0], "explode", out, sizeof(out)), 2);
}

static void test_check(void **state)
{
    struct daemon_bench *b = *state;
    char out[1024];
    assert_int_equal(daemon_run(b, b->config_path[0], "check", out, sizeof(out)), 0);
    assert_string_equal(out, "ok\n");
    static const char *const bad[] = {"", "{", "\xff", "[]", "{\"kind\":\"EncryptionConfiguration\"}"};
    for (size_t i = 0; i < array_len(bad); i++) {
        daemon_write(b->file, bad[i]);
        assert_int_equal(daemon_run(b, b->config_path[0], "check", out, sizeof(out)), 1);
        assert_has(out, b->file);
        assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
    }
    unlink(b->file);
    assert_int_equal(daemon_run(b, b->config_path[0], "check", out, sizeof(out)), 1);
    assert_has(out, b->file);
    /* The daemon starts all the same, and says so where everybody sees it. */
    daemon_start(b, 0);
    const struct snapshot_server *s = NULL;
    int64_t end = clock_mono_ms() + 10000;
    while (!(s = daemon_published(b)) && clock_mono_ms() < end)
        pause_ms(20);
    assert_non_null(s);
    assert_has(s->report.file_why, b->file);
    assert_string_equal(s->report.hash, "");
}

static int setup(void **state)
{
    struct daemon_bench *b = malloc(sizeof(*b));
    daemon_open(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    daemon_close(*state);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_publishes_and_stops, setup, teardown),
        cmocka_unit_test_setup_teardown(test_orders, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vector_and_repair, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sync_after_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rival, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_during_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stopped_during_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_in_spec, setup, teardown),
        cmocka_unit_test_setup_teardown(test_state_store_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
