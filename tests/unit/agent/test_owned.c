/* A server that makes its encryption config itself is asked for the next one; what it made is checked and
 * sealed. */
#include "owned_bench.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <time.h>

#include <base/clock.h>
#include <base/text.h>

#define K1    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define K2    "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="
#define KEY_1 "{\"name\":\"key1\",\"secret\":\"" K1 "\"}"
#define KEY_2 "{\"name\":\"aescbckey-2026-01-02T03:04:05Z\",\"secret\":\"" K2 "\"}"
#define CONFIG(keys)                                                                                         \
    "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"resources\":["    \
    "{\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"keys\":[" keys "]}},{\"identity\":{}}]}]}"

static const char prepared[] = CONFIG(KEY_1 "," KEY_2);

static void assert_nothing_sealed(struct bench *b)
{
    assert_int_equal(b->adoptions, 0);
    assert_int_equal(b->agent.state.file.written.generation, 0);
}

/* ---------- CALL ---------- */

static void test_call(void **state)
{
    struct bench *b = *state;
    char hash[CLUSTER_HASH_MAX];
    owned_hash(prepared, hash);
    bench_start_server(b);
    owned_put_next(STAGE_PREPARE, prepared);
    owned_put_call(MAKES RECORDS);
    owned_give_call(b, 1);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_DONE);
    assert_string_equal(b->seen, "none taken done");
    assert_int_equal(owned_lines("asked"), 1);
    assert_int_equal(b->adoptions, 1);
    assert_int_equal(b->adopted.generation, 2);
    assert_int_equal(b->adopted.stage, STAGE_PREPARE);
    assert_string_equal(b->adopted.hash, hash);
    assert_int_equal(strlen(b->adopted.config_id), CLUSTER_HASH_MAX - 1);
    assert_true(b->adopted.vector[0] != 0); /* made with the new key */
    struct cluster_report *r = bench_report(b);
    assert_int_equal(r->generation, 2);
    assert_int_equal(r->stage, STAGE_PREPARE);
    assert_string_equal(r->hash, hash);
    assert_int_equal(r->restarts, 0);
    assert_string_not_equal(r->loaded_hash, hash);
    /* Once is enough, also after a new start. */
    bench_crash(b);
    b->agent.driver = &owned_driver;
    bench_run_while(b, owned_yes, 100);
    assert_int_equal(owned_lines("asked"), 1);
    owned_assert_state(b, ORDER_DONE);
}

/* Killed while the server is asked: the command goes on, or is run once more, which changes nothing. */
static bool not_asked(struct bench *b)
{
    (void)b;
    return owned_lines("asked") == 0;
}

static void test_call_and_crash(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    owned_put_next(STAGE_PREPARE, prepared);
    owned_put_call("while [ ! -e go ]; do sleep 0.02; done\n" MAKES RECORDS);
    owned_give_call(b, 1);
    bench_run_while(b, not_asked, 5000);
    owned_assert_state(b, ORDER_TAKEN);
    assert_int_equal(b->agent.state.job.step, STEP_CALLING);
    bench_crash(b);
    b->agent.driver = &owned_driver;
    bench_run_while(b, owned_yes, 100);
    owned_assert_state(b, ORDER_TAKEN);
    assert_nothing_sealed(b);
    owned_put("go", "", 0600);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_DONE);
    assert_int_equal(b->adoptions, 1);
    assert_int_equal(owned_lines("asked"), 1);
}

/* A later order waits while the server is asked. */
static void test_busy(void **state)
{
    struct bench *b = *state;
    owned_put_next(STAGE_PREPARE, prepared);
    owned_put_call("while [ ! -e go ]; do sleep 0.02; done\n" MAKES RECORDS);
    owned_give_call(b, 1);
    bench_run_while(b, not_asked, 5000);
    owned_give_call(b, 2);
    bench_run_while(b, owned_yes, 100);
    assert_int_equal(b->agent.state.job.order.id, 1);
    owned_put("go", "", 0600);
    owned_give_call(b, 1);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_DONE);
}

static void test_call_fails(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    owned_put_call("echo 's1: the supervisor answers 400: no' >&2; exit 1");
    owned_give_call(b, 1);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "did not make its next config");
    assert_contains(bench_report(b)->order_why, "answers 400: no");
    assert_nothing_sealed(b);
    /* given anew, it is asked anew */
    owned_put_next(STAGE_PREPARE, prepared);
    owned_put_call(MAKES RECORDS);
    owned_give_call(b, 2);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_DONE);
    assert_int_equal(owned_lines("asked"), 2);
}

/* It was done, and said that it failed: the file is nobody's until the server was asked once more. */
static void test_call_done_but_failed(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    owned_put_next(STAGE_PREPARE, prepared);
    owned_put_call(MAKES RECORDS "echo 'took too long' >&2; exit 1");
    owned_give_call(b, 1);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_FAILED);
    assert_nothing_sealed(b);
    owned_put_call("");
    owned_give_call(b, 2);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_DONE);
    assert_int_equal(b->adoptions, 1);
    assert_int_equal(bench_report(b)->generation, 2);
}

/* Whatever else it made is not sealed, and no other server is told to have it. */
static void test_seal_is_refused(void **state)
{
    struct bench *b = *state;
    static const char *const others[] = {
        CONFIG(KEY_2),           /* another key went */
        CONFIG(KEY_2 "," KEY_1), /* it writes already */
        CONFIG(KEY_1),           /* nothing came */
    };
    bench_start_server(b);
    for (size_t i = 0; i < array_len(others); i++) {
        owned_put_next(STAGE_PREPARE, others[i]);
        owned_put_call(MAKES RECORDS);
        owned_give_call(b, (int64_t)i + 1);
        assert_true(bench_run(b, 10000));
        owned_assert_state(b, ORDER_FAILED);
        assert_contains(bench_report(b)->order_why, "was not sealed, and no other server has it");
        assert_contains(bench_report(b)->order_why, "is not 'prepare'");
        assert_null(strstr(bench_report(b)->order_why, K2));
        assert_nothing_sealed(b);
    }
}

static void test_broken_file_is_not_sealed(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    owned_put_next(STAGE_PREPARE, "{\"kind\":\"EncryptionConfig");
    owned_put_call(MAKES RECORDS);
    owned_give_call(b, 1);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "missing or unusable");
    assert_nothing_sealed(b);
}

/* Its own record follows the file a moment later: only then is it sealed. Should it not, it is told. */
static void test_record_lags(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    owned_put_next(STAGE_PREPARE, prepared);
    owned_put_call(MAKES);
    owned_give_call(b, 1);
    bench_run_while(b, owned_yes, 700);
    owned_assert_state(b, ORDER_TAKEN);
    assert_contains(bench_report(b)->order_why, "lags behind");
    assert_nothing_sealed(b);
    owned_put_record("own", STAGE_PREPARE, prepared);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_DONE);
    assert_int_equal(b->adoptions, 1);
}

static void test_record_never_follows(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    owned_put_next(STAGE_PREPARE, prepared);
    owned_put_call(MAKES);
    owned_give_call(b, 1);
    assert_true(bench_run(b, 20000));
    owned_assert_state(b, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "lags behind");
    assert_nothing_sealed(b);
}

static void test_store_is_away(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    owned_put_next(STAGE_PREPARE, prepared);
    owned_put_call(MAKES RECORDS);
    b->fetch_transient = 1;
    b->adopt_transient = 1;
    owned_give_call(b, 1);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_DONE);
    assert_int_equal(owned_lines("asked"), 1);
    assert_int_equal(b->adoptions, 1);
}

/* The coordinator's config names another driver than this server's. */
static void test_no_call_with_this_driver(void **state)
{
    struct bench *b = *state;
    b->agent.driver = &driver_exec;
    owned_put_call(MAKES);
    owned_give_call(b, 1);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "no server makes its encryption config itself");
    assert_int_equal(owned_lines("asked"), 0);
    assert_nothing_sealed(b);
}

/* In the middle of a rotation of its own, nothing is taken over. */
static void test_adopt(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    owned_put_record("own", STAGE_ROTATE, b->texts[1]);
    b->order = bench_order(b, 1, ORDER_ADOPT, 1);
    assert_true(bench_run(b, 5000));
    owned_assert_state(b, ORDER_REFUSED);
    assert_contains(bench_report(b)->order_why, "in the middle of a rotation (rotate)");
    assert_nothing_sealed(b);
    owned_put_record("own", STAGE_REENCRYPT_FINISHED, b->texts[1]);
    b->order = bench_order(b, 2, ORDER_ADOPT, 1);
    assert_true(bench_run(b, 5000));
    owned_assert_state(b, ORDER_DONE);
    assert_int_equal(b->adopted.stage, STAGE_REENCRYPT_FINISHED);
    assert_int_equal(bench_report(b)->stage, STAGE_REENCRYPT_FINISHED);
}

/* ---------- what is known of its process ---------- */

static void *end_server(void *arg)
{
    struct bench *b = arg;
    char path[PATH_MAX];
    owned_path(path, "state/lock");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return NULL;
    owned_put("go", "", 0600);
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 300 * 1000 * 1000}, NULL);
    bench_stop_server(b);
    close(fd);
    return b;
}

/* The server ends between the look at its process and the look at its new file: it has not read that one.
 * (Should it end before both, there is nothing to see, and the test passes all the same.) */
static void test_ended_between_two_looks(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    pthread_t thread;
    void *ended = NULL;
    bench_start_server(b);
    agent_observe(&b->agent, clock_mono_ms(), true);
    agent_observe(&b->agent, clock_mono_ms(), true);
    bench_write(b, b->texts[2]);
    assert_int_equal(pthread_create(&thread, NULL, end_server, b), 0);
    owned_path(path, "go");
    while (access(path, F_OK) != 0) /* it has the lock, which the look at a new file waits for */
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    agent_observe(&b->agent, clock_mono_ms(), true);
    assert_int_equal(pthread_join(thread, &ended), 0);
    assert_non_null(ended);
    assert_string_not_equal(b->agent.state.loaded.hash, b->hashes[2]);
    assert_string_equal(bench_report(b)->hash, b->hashes[2]);
}

/* ---------- what it says of itself ---------- */

static void test_report(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    bench_run_while(b, owned_yes, 50);
    assert_true(bench_report(b)->ready);
    assert_int_equal(bench_report(b)->stage, STAGE_START);
    owned_put_record("own", STAGE_ROTATE, b->texts[1]);
    bench_run_while(b, owned_yes, 50);
    assert_int_equal(bench_report(b)->stage, STAGE_ROTATE);
    /* it disagrees with itself: not at once, only when that lasts */
    owned_put_record("own", STAGE_ROTATE, b->texts[3]);
    bench_run_while(b, owned_yes, 50);
    assert_true(bench_report(b)->ready);
    b->agent.seen.own_differs_ms -= 6000;
    assert_false(bench_report(b)->ready);
    assert_contains(bench_report(b)->ready_why, "own record means another encryption config");
    owned_put_record("own", STAGE_ROTATE, b->texts[1]);
    bench_run_while(b, owned_yes, 50);
    assert_true(bench_report(b)->ready);
    assert_string_equal(bench_report(b)->ready_why, "");
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, owned_setup, owned_teardown)

int main(int argc, char **argv)
{
    if (bench_is_server(argc, argv))
        return bench_play_server();
    const struct CMUnitTest tests[] = {
        TEST(test_call),
        TEST(test_call_and_crash),
        TEST(test_busy),
        TEST(test_call_fails),
        TEST(test_call_done_but_failed),
        TEST(test_seal_is_refused),
        TEST(test_broken_file_is_not_sealed),
        TEST(test_record_lags),
        TEST(test_record_never_follows),
        TEST(test_store_is_away),
        TEST(test_no_call_with_this_driver),
        TEST(test_adopt),
        TEST(test_ended_between_two_looks),
        TEST(test_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
