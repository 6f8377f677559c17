/* The observer of lib/etcd against a real etcd: every call counts once, also one that fails and one that
 * nobody waits for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include <metrics/metrics.h>

#include "etcd_fixture.h"

static struct etcd_fixture *fixture;

static struct metrics_process now(void)
{
    struct metrics_process p;
    metrics_process_get(&p);
    return p;
}

static uint64_t calls(const struct metrics_process *p, size_t call)
{
    uint64_t n = 0;
    for (size_t i = 0; i < METRICS_BUCKETS; i++)
        n += p->calls[call].buckets[i];
    return n;
}

#define RANGE 0
#define PUT   1
#define TXN   3

static void test_calls_are_counted(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_(etcd_closep) struct etcd *e = etcd_fixture_client(fixture);
    assert_non_null(e);
    struct metrics_process a = now();
    assert_int_equal(etcd_put(e, "k", "v", 1, 0, 5000, NULL, &err), 0);
    struct etcd_range range;
    assert_int_equal(etcd_get(e, "none", 5000, &range, &err), ERR_NOT_FOUND);
    struct metrics_process b = now();
    assert_int_equal(calls(&b, PUT) - calls(&a, PUT), 1);
    assert_int_equal(calls(&b, RANGE) - calls(&a, RANGE), 1);
    assert_true(b.calls[PUT].sum_us > a.calls[PUT].sum_us);
    assert_int_equal(b.calls[RANGE].failures, a.calls[RANGE].failures);
}

static void ended(void *arg, int code, int64_t revision, const struct error *err)
{
    (void)revision;
    (void)err;
    uint64_t one = 1;
    assert_int_equal(code, ERR_CONFLICT);
    assert_int_equal(write(*(int *)arg, &one, sizeof(one)), sizeof(one));
}

static void test_a_transaction_that_nobody_waits_for(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC);
    _cleanup_(etcd_closep) struct etcd *e = etcd_fixture_client(fixture);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(e);
    struct metrics_process a = now();
    etcd_txn_if_mod(t, "never", 12345);
    etcd_txn_put(t, "never", "v", 1, 0);
    assert_int_equal(etcd_txn_start(t, 5000, ended, &fd, &err), 0);
    assert_int_equal(poll(&(struct pollfd){fd, POLLIN, 0}, 1, 10000), 1);
    struct metrics_process b = now();
    assert_int_equal(calls(&b, TXN) - calls(&a, TXN), 1);
    assert_int_equal(b.calls[TXN].failures, a.calls[TXN].failures); /* refused is answered */
}

static void test_an_etcd_that_is_away_is_a_failure(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_(etcd_closep) struct etcd *e = etcd_fixture_client(fixture);
    etcd_fixture_pause(fixture, 0);
    struct metrics_process a = now();
    assert_true(etcd_put(e, "k", "v", 1, 0, 300, NULL, &err) < 0);
    struct metrics_process b = now();
    etcd_fixture_resume(fixture, 0);
    assert_int_equal(b.calls[PUT].failures - a.calls[PUT].failures, 1);
    assert_true(b.calls[PUT].sum_us - a.calls[PUT].sum_us > 250000);
}

static void test_nobody_is_told(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_(etcd_closep) struct etcd *e = etcd_fixture_client(fixture);
    etcd_observe(NULL);
    struct metrics_process a = now();
    assert_int_equal(etcd_put(e, "k", "v", 1, 0, 5000, NULL, &err), 0);
    struct metrics_process b = now();
    etcd_observe(metrics_etcd_call);
    assert_int_equal(calls(&b, PUT), calls(&a, PUT));
}

static int start(void **state)
{
    (void)state;
    etcd_observe(metrics_etcd_call);
    return etcd_fixture_start(&(struct etcd_fixture_options){.members = 1}, &fixture);
}

static int end(void **state)
{
    (void)state;
    etcd_fixture_free(fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_are_counted),
        cmocka_unit_test(test_a_transaction_that_nobody_waits_for),
        cmocka_unit_test(test_an_etcd_that_is_away_is_a_failure),
        cmocka_unit_test(test_nobody_is_told),
    };
    return cmocka_run_group_tests(tests, start, end);
}
