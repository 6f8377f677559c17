/* Restarts that go wrong: the previous file comes back, and the reason is told. */
#include "bench.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>

static void assert_file(struct bench *b, int generation)
{
    char *text = bench_read(b->file);
    assert_string_equal(text, b->texts[generation]);
    free(text);
}

static void give(struct bench *b, int64_t id, enum order_kind kind, int64_t generation)
{
    b->order = bench_order(b, id, kind, generation);
    b->seen[0] = 0;
}

/* Generation 1 runs and is known to. */
static void start_with_1(struct bench *b)
{
    bench_start_server(b);
    give(b, 1, ORDER_APPLY, 1);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_int_equal(bench_report(b)->loaded_generation, 1);
    b->agent.state.restarts = 0;
}

static void assert_failed(struct bench *b, const char *why)
{
    assert_true(bench_run(b, 20000));
    struct cluster_report *r = bench_report(b);
    assert_int_equal(r->order_state, ORDER_FAILED);
    assert_contains(r->order_why, why);
}

static void test_not_ready(void **state)
{
    struct bench *b = *state;
    start_with_1(b);
    (void)text_copy(b->not_ready_hash, sizeof(b->not_ready_hash), b->hashes[2]);
    give(b, 2, ORDER_APPLY, 2);
    assert_failed(b, "etcd check failed");
    struct cluster_report *r = bench_report(b);
    assert_contains(r->order_why, "did not come ready in time (2 s)");
    assert_contains(r->order_why, "previous file is back");
    assert_string_equal(b->seen, "done taken restarting failed");
    assert_file(b, 1);
    assert_int_equal(r->restarts, 2);
    assert_int_equal(r->generation, 1);
    assert_int_equal(r->loaded_generation, 1);
    assert_true(r->ready);
    /* The same generation again, by a new order: this time it works. */
    b->not_ready_hash[0] = 0;
    give(b, 3, ORDER_APPLY, 2);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
}

/* The command fails without having touched the server: the file goes back, the server is left alone. */
static void test_command_fails(void **state)
{
    struct bench *b = *state;
    start_with_1(b);
    int64_t pid = b->agent.seen.process.id.pid;
    bench_script(b, "echo 'Unit kube-apiserver.service not found.' >&2; exit 5");
    give(b, 2, ORDER_APPLY, 2);
    assert_failed(b, "exit status 5: Unit kube-apiserver.service not found.");
    assert_file(b, 1);
    assert_int_equal(b->agent.seen.process.id.pid, pid);
    assert_int_equal(bench_report(b)->restarts, 1);
    assert_int_equal(bench_report(b)->loaded_generation, 1);
}

/* The command stops the server and fails; so it does on the way back. */
static void test_command_fails_twice(void **state)
{
    struct bench *b = *state;
    start_with_1(b);
    bench_script(b, "kill -9 $(cat pid); echo gone >&2; exit 6");
    give(b, 2, ORDER_APPLY, 2);
    assert_failed(b, "failed again");
    assert_contains(bench_report(b)->order_why, "exit status 6: gone; then: ");
    assert_contains(bench_report(b)->order_why, "by hand: exit status 6: gone");
    assert_file(b, 1);
    assert_int_equal(bench_report(b)->restarts, 2);
    /* Still watching: the operator brings it back. */
    bench_start_server(b);
    agent_observe(&b->agent, clock_mono_ms(), true);
    assert_int_equal(bench_report(b)->loaded_generation, 1);
}

static void test_command_not_there(void **state)
{
    struct bench *b = *state;
    start_with_1(b);
    b->config.exec_restart[0] = (char[]){"/no/such/restart"};
    give(b, 2, ORDER_APPLY, 2);
    assert_failed(b, "/no/such/restart");
    assert_file(b, 1);
    assert_int_equal(bench_report(b)->restarts, 0);
}

static void test_command_hangs(void **state)
{
    struct bench *b = *state;
    start_with_1(b);
    b->config.exec_timeout_s = 1;
    bench_script(b, "echo waiting for unit; sleep 30");
    give(b, 2, ORDER_APPLY, 2);
    assert_failed(b, "longer than 1 s and was ended: waiting for unit");
    assert_file(b, 1);
}

/* The command succeeds but no server is there afterwards, nor on the way back. */
static void test_server_stays_away(void **state)
{
    struct bench *b = *state;
    start_with_1(b);
    b->config.ready_timeout_s = 1;
    bench_script(b, "kill -9 $(cat pid) 2>/dev/null; true"); /* the second time there is none */
    give(b, 2, ORDER_APPLY, 2);
    assert_failed(b, "no process has the argument");
    assert_contains(bench_report(b)->order_why, "did not come ready with it either");
    assert_file(b, 1);
}

/* The command does nothing: a server that was not restarted never counts as restarted. */
static void test_command_does_nothing(void **state)
{
    struct bench *b = *state;
    start_with_1(b);
    int64_t pid = b->agent.seen.process.id.pid;
    b->config.ready_timeout_s = 1;
    bench_script(b, "true");
    give(b, 2, ORDER_APPLY, 2);
    assert_failed(b, "is not known to have loaded it");
    assert_file(b, 1);
    assert_int_equal(b->agent.seen.process.id.pid, pid);
    assert_int_equal(bench_report(b)->loaded_generation, 1);
}

static void test_put_back_fails(void **state)
{
    struct bench *b = *state;
    start_with_1(b);
    b->config.ready_timeout_s = 1;
    bench_script(b, "echo tampered >state/previous-config; exit 7");
    give(b, 2, ORDER_APPLY, 2);
    assert_failed(b, "exit status 7");
    assert_contains(bench_report(b)->order_why, "putting the previous file back failed too: ");
    assert_contains(bench_report(b)->order_why, "previous-config is not the file that was kept");
    assert_file(b, 2);
}

/* Somebody edits the file while the server restarts: their file is left alone. */
static void test_edited_meanwhile(void **state)
{
    struct bench *b = *state;
    start_with_1(b);
    char body[256];
    snprintf(body, sizeof(body), "printf '%%s' '{\"edited\":1}' >encryption.json; restart");
    bench_script(b, body);
    give(b, 2, ORDER_APPLY, 2);
    assert_failed(b, "changed by somebody else meanwhile");
    char *text = bench_read(b->file);
    assert_string_equal(text, "{\"edited\":1}");
    free(text);
}

static void test_restart_fails(void **state)
{
    struct bench *b = *state;
    start_with_1(b);
    bench_script(b, "exit 8");
    give(b, 2, ORDER_RESTART, 1);
    assert_failed(b, "exit status 8");
    assert_file(b, 1);
    b->config.ready_timeout_s = 1;
    bench_script(b, "true");
    give(b, 3, ORDER_RESTART, 1);
    assert_failed(b, "did not come ready in time (1 s)");
    assert_int_equal(bench_report(b)->restarts, 2);
}

/* Killed on the way back: it is gone on with. */
static bool not_back(struct bench *b)
{
    return b->agent.state.job.step != STEP_BACK;
}

static void test_crash_on_the_way_back(void **state)
{
    struct bench *b = *state;
    start_with_1(b);
    b->config.ready_timeout_s = 1;
    (void)text_copy(b->not_ready_hash, sizeof(b->not_ready_hash), b->hashes[2]);
    give(b, 2, ORDER_APPLY, 2);
    bench_run_while(b, not_back, 10000);
    bench_crash(b);
    assert_failed(b, "etcd check failed");
    assert_file(b, 1);
    assert_true(bench_report(b)->ready);
    assert_int_equal(bench_report(b)->loaded_generation, 1);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
}

/* No room for the new file: nothing is restarted, the old file is whole. */
static void test_no_room(void **state)
{
    struct bench *b = *state;
    start_with_1(b);
    struct rlimit before, small;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 100; /* not even the state */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    give(b, 2, ORDER_APPLY, 2);
    bool ended = bench_run(b, 5000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(ended);
    assert_int_equal(bench_report(b)->order_state, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "File too large");
    assert_contains(bench_report(b)->order_why, "nothing was touched");
    assert_file(b, 1);
    assert_int_equal(bench_report(b)->restarts, 0);
}

static int setup(void **state)
{
    struct bench *b = malloc(sizeof(*b));
    bench_open(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    bench_close(*state);
    free(*state);
    return 0;
}

int main(int argc, char **argv)
{
    if (bench_is_server(argc, argv))
        return bench_play_server();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_not_ready, setup, teardown),
        cmocka_unit_test_setup_teardown(test_command_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_command_fails_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_command_not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_command_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server_stays_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_command_does_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_back_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_edited_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_on_the_way_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
