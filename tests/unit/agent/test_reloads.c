/* An API server that takes its file up by itself: it is waited for, and not restarted. The command that waits
 * is this test program, as the agent would run itself. */
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <base/file.h>
#include <base/text.h>

#define ANSWER "/tmp/agent-reloads-%d" /* of the test's process: "" = loaded, else why not */

static char on[] = "on";

static void answer_path(pid_t of, char out[64])
{
    snprintf(out, 64, ANSWER, (int)of);
}

static int wait_as_command(void)
{
    char path[64];
    struct buf text = BUF_INIT(256);
    answer_path(getppid(), path);
    if (file_read(path, 256, &text, NULL) < 0)
        return 1;
    fputs(buf_str(&text), stderr);
    int rc = text.len > 0;
    buf_free(&text);
    return rc;
}

static void will_say(const char *why)
{
    char path[64];
    answer_path(getpid(), path);
    assert_int_equal(file_write_atomic(path, why, strlen(why), 0600, NULL), 0);
}

static void give(struct bench *b, int64_t id, enum order_kind kind, int64_t generation)
{
    b->order = bench_order(b, id, kind, generation);
    assert_true(bench_run(b, 15000));
}

static void begin(struct bench *b)
{
    bench_start_server(b);
    give(b, 1, ORDER_APPLY, 1);
    assert_int_equal(bench_report(b)->loaded_generation, 1);
    b->agent.state.restarts = 0;
    b->config.reload = on;
}

static void a_reload_takes_the_place_of_a_restart(void **state)
{
    struct bench *b = *state;
    begin(b);
    int64_t pid = b->agent.seen.process.id.pid;
    will_say("");
    give(b, 2, ORDER_APPLY, 2);
    struct cluster_report *r = bench_report(b);
    assert_int_equal(r->order_state, ORDER_DONE);
    assert_int_equal(r->generation, 2);
    assert_int_equal(r->loaded_generation, 2);
    assert_string_equal(r->loaded_hash, b->hashes[2]);
    assert_int_equal(r->restarts, 0);
    assert_int_equal(b->agent.seen.process.id.pid, pid);
    give(b, 3, ORDER_RESTART, 2); /* what is to be restarted as such is */
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_int_equal(bench_report(b)->restarts, 1);
    assert_int_not_equal(b->agent.seen.process.id.pid, pid);
}

/* Nothing is believed to be loaded, and the previous file comes back. */
static void a_file_that_is_refused_goes_back(void **state)
{
    struct bench *b = *state;
    begin(b);
    will_say("the API server refuses the new encryption config\n");
    give(b, 2, ORDER_APPLY, 2);
    struct cluster_report *r = bench_report(b);
    assert_int_equal(r->order_state, ORDER_FAILED);
    assert_contains(r->order_why, "refuses the new encryption config");
    assert_int_equal(r->generation, 1);
    assert_int_equal(r->loaded_generation, 1);
    assert_int_equal(r->restarts, 0);
}

/* It loads what somebody puts there, too. */
static void a_file_changed_by_hand_leaves_open_what_is_loaded(void **state)
{
    struct bench *b = *state;
    begin(b);
    bench_write(b, b->texts[0]);
    agent_observe(&b->agent, 0, true);
    assert_string_equal(bench_report(b)->loaded_hash, "");
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    bench_open(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    char path[64];
    answer_path(getpid(), path);
    (void)unlink(path);
    bench_close(*state);
    free(*state);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[3], "await-reload") == 0)
        return wait_as_command();
    if (bench_is_server(argc, argv))
        return bench_play_server();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_reload_takes_the_place_of_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_refused_goes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_changed_by_hand_leaves_open_what_is_loaded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
