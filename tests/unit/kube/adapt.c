#include "adapt.h"

#include "test.h"

static void answers(struct adapt *a, int count, double ms, bool full, int64_t now)
{
    for (int i = 0; i < count; i++)
        adapt_answer(a, ms, full, now);
}

static void test_start_is_bounded(void **state)
{
    struct adapt a;

    (void)state;
    adapt_init(&a, ADAPT_START, 32);
    assert_int_equal(a.limit, 4);
    adapt_init(&a, ADAPT_START, 2);
    assert_int_equal(a.limit, 2);
    adapt_init(&a, 0, 0);
    assert_int_equal(a.limit, 1);
}

static void test_grows_by_one_a_round(void **state)
{
    struct adapt a;

    (void)state;
    adapt_init(&a, 4, 6);
    answers(&a, 3, 5, true, 0);
    assert_int_equal(a.limit, 4);
    answers(&a, 1, 5, true, 0);
    assert_int_equal(a.limit, 5);
    answers(&a, 4, 5, true, 0);
    assert_int_equal(a.limit, 5);
    answers(&a, 1, 5, true, 0);
    assert_int_equal(a.limit, 6);
    answers(&a, 100, 5, true, 0);
    assert_int_equal(a.limit, 6);
}

static void test_does_not_grow_unused(void **state)
{
    struct adapt a;

    (void)state;
    adapt_init(&a, 4, 32);
    answers(&a, 1000, 5, false, 0);
    assert_int_equal(a.limit, 4);
}

static void test_trouble_halves_once_in_a_while(void **state)
{
    struct adapt a;

    (void)state;
    adapt_init(&a, 16, 32);
    adapt_trouble(&a, 1000);
    assert_int_equal(a.limit, 8);
    for (int i = 0; i < 20; i++)
        adapt_trouble(&a, 1000 + ADAPT_HALVE_EVERY_MS - 1);
    assert_int_equal(a.limit, 8);
    adapt_trouble(&a, 1000 + ADAPT_HALVE_EVERY_MS);
    assert_int_equal(a.limit, 4);
    for (int i = 2; i < 20; i++)
        adapt_trouble(&a, 1000 + i * ADAPT_HALVE_EVERY_MS);
    assert_int_equal(a.limit, 1);
    answers(&a, 1, 5, true, 100000);
    assert_int_equal(a.limit, 2);
}

static void test_trouble_at_time_zero_counts(void **state)
{
    struct adapt a;

    (void)state;
    adapt_init(&a, 16, 32);
    adapt_trouble(&a, 0);
    assert_int_equal(a.limit, 8);
}

static void test_latency_far_above_its_floor_halves(void **state)
{
    struct adapt a;

    (void)state;
    adapt_init(&a, 16, 16);
    answers(&a, 50, 20, true, 0);
    assert_int_equal(a.limit, 16);
    answers(&a, 50, 70, true, 100); /* above 50 ms, below 4 times the floor */
    assert_int_equal(a.limit, 16);
    answers(&a, 50, 200, true, 200);
    assert_int_equal(a.limit, 8);
    answers(&a, 50, 200, true, 800);
    assert_int_equal(a.limit, 4);
}

static void test_small_latencies_never_halve(void **state)
{
    struct adapt a;

    (void)state;
    adapt_init(&a, 16, 16);
    answers(&a, 50, 0.5, true, 0);
    answers(&a, 200, 45, true, 100); /* 90 times the floor, but below 50 ms */
    assert_int_equal(a.limit, 16);
}

/* A server that has become slow for good is not throttled for ever. */
static void test_floor_is_forgotten(void **state)
{
    struct adapt a;
    int64_t now = 0;

    (void)state;
    adapt_init(&a, 16, 16);
    answers(&a, 50, 10, true, 0);
    for (; now < 4 * ADAPT_FLOOR_MS; now += 100)
        answers(&a, 1, 200, true, now);
    assert_true(a.limit > 1);
    for (; now < 8 * ADAPT_FLOOR_MS; now += 100)
        answers(&a, 1, 200, true, now);
    assert_int_equal(a.limit, 16);
}

static void test_bucket_without_limit(void **state)
{
    struct bucket b = {0};

    (void)state;
    bucket_set(&b, 0, 0);
    for (int i = 0; i < 1000; i++)
        assert_true(bucket_take(&b, 0));
    assert_int_equal(bucket_wait_ms(&b, 0), 0);
    bucket_set(&b, -5, 0);
    assert_true(bucket_take(&b, 0));
    bucket_set(&b, 0.0 / 0.0, 0);
    assert_true(bucket_take(&b, 0));
}

static int take_for(struct bucket *b, int64_t from, int64_t to)
{
    int taken = 0;

    for (int64_t now = from; now < to; now++) {
        while (bucket_take(b, now))
            taken++;
    }
    return taken;
}

static void test_bucket_rate(void **state)
{
    struct bucket b = {0};

    (void)state;
    bucket_set(&b, 100, 5000);
    assert_in_range(take_for(&b, 5000, 15000), 990, 1006);
    bucket_set(&b, 10, 15000);
    assert_in_range(take_for(&b, 15000, 25000), 95, 106);
    /* an idle hour gives a burst of 50 ms' worth, no more */
    bucket_set(&b, 100, 25000);
    assert_in_range(take_for(&b, 3625000, 3625001), 1, 5);
}

static void test_bucket_wait(void **state)
{
    struct bucket b = {0};
    int64_t wait;

    (void)state;
    bucket_set(&b, 10, 0);
    assert_true(bucket_take(&b, 0));
    assert_false(bucket_take(&b, 0));
    wait = bucket_wait_ms(&b, 0);
    assert_in_range(wait, 100, 102);
    assert_true(bucket_take(&b, wait));
    bucket_set(&b, 0.000001, wait); /* counts as BUCKET_RATE_MIN */
    assert_true(bucket_wait_ms(&b, wait) <= 10001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_is_bounded),
        cmocka_unit_test(test_grows_by_one_a_round),
        cmocka_unit_test(test_does_not_grow_unused),
        cmocka_unit_test(test_trouble_halves_once_in_a_while),
        cmocka_unit_test(test_trouble_at_time_zero_counts),
        cmocka_unit_test(test_latency_far_above_its_floor_halves),
        cmocka_unit_test(test_small_latencies_never_halve),
        cmocka_unit_test(test_floor_is_forgotten),
        cmocka_unit_test(test_bucket_without_limit),
        cmocka_unit_test(test_bucket_rate),
        cmocka_unit_test(test_bucket_wait),
    };

    return cmocka_run_group_tests_name("kube adapt", tests, NULL, NULL);
}
