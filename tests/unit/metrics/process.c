#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>

#include <base/clock.h>
#include <base/log.h>
#include <metrics/metrics.h>

static struct metrics_process now(void)
{
    struct metrics_process p;
    metrics_process_get(&p);
    return p;
}

static void test_calls_fall_into_buckets(void **state)
{
    (void)state;
    struct metrics_process a = now();
    metrics_etcd_call("Range", 0, 1000); /* a bound belongs to its own bucket */
    metrics_etcd_call("Range", 0, 1001);
    metrics_etcd_call("Range", ERR_TIMEOUT, 11000000); /* slower than all of them */
    metrics_etcd_call("Range", ERR_NOT_FOUND, 0);      /* an answer */
    metrics_etcd_call("Txn", ERR_CONFLICT, -5);        /* one too; and no clock goes back */
    metrics_etcd_call("NotYetInvented", ERR_UNAVAILABLE, 1);
    struct metrics_process b = now();
    assert_int_equal(b.calls[0].buckets[0] - a.calls[0].buckets[0], 2);
    assert_int_equal(b.calls[0].buckets[1] - a.calls[0].buckets[1], 1);
    assert_int_equal(b.calls[0].buckets[METRICS_BUCKETS - 1] - a.calls[0].buckets[METRICS_BUCKETS - 1], 1);
    assert_int_equal(b.calls[0].sum_us - a.calls[0].sum_us, 11002001);
    assert_int_equal(b.calls[0].failures - a.calls[0].failures, 1);
    assert_int_equal(b.calls[3].buckets[0], 1);
    assert_int_equal(b.calls[3].failures, 0);
    assert_int_equal(b.calls[13].buckets[0], 1);
    assert_int_equal(b.calls[13].failures, 1);
}

#define THREADS 4
#define EACH    20000

static void *count_much(void *arg)
{
    (void)arg;
    for (int i = 0; i < EACH; i++) {
        metrics_count(METRICS_TICKS);
        metrics_etcd_call("Put", 0, 7);
    }
    return NULL;
}

static void test_nothing_is_lost_between_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    uint64_t before = now().counters[METRICS_TICKS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_much, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct metrics_process p = now();
    assert_int_equal(p.counters[METRICS_TICKS] - before, THREADS * EACH);
    assert_int_equal(p.calls[1].buckets[0], THREADS * EACH);
    assert_int_equal(p.calls[1].sum_us, 7 * THREADS * EACH);
}

static void test_lines_that_are_written_are_counted(void **state)
{
    (void)state;
    log_open("test", "s1", LOG_LEVEL_INFO, LOG_LOGFMT);
    struct metrics_process a = now();
    log_event(LOG_LEVEL_WARNING, "one");
    log_event(LOG_LEVEL_DEBUG, "dropped");
    struct metrics_process b = now();
    assert_int_equal(b.log_lines[LOG_LEVEL_WARNING] - a.log_lines[LOG_LEVEL_WARNING], 1);
    assert_int_equal(b.log_lines[LOG_LEVEL_DEBUG], 0);
}

static void test_leader_and_store(void **state)
{
    (void)state;
    assert_int_equal(now().store, METRICS_STORE_UNKNOWN);
    metrics_store_answers(true);
    metrics_leads(true);
    assert_int_equal(now().store, METRICS_STORE_UP);
    assert_true(now().leader);
    metrics_store_answers(false);
    metrics_leads(false);
    assert_int_equal(now().store, METRICS_STORE_DOWN);
    assert_false(now().leader);
}

static void test_what_the_kernel_says(void **state)
{
    (void)state;
    struct metrics_process a = now();
    assert_in_range(a.started_ms, clock_wall_ms() - 60000, clock_wall_ms() + 1000);
    assert_in_range(a.resident_bytes, 100 * 1024, INT64_C(4) << 30);
    assert_true(a.cpu_ms >= 0);
    for (int i = 0; i < 2000; i++) /* changes() of it tells of a restart */
        assert_int_equal(now().started_ms, a.started_ms);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(now().open_fds, a.open_fds + 1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_fall_into_buckets),
        cmocka_unit_test(test_nothing_is_lost_between_threads),
        cmocka_unit_test(test_lines_that_are_written_are_counted),
        cmocka_unit_test(test_leader_and_store),
        cmocka_unit_test(test_what_the_kernel_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
