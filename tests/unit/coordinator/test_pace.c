/* So many a second, by a clock that the test holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reencrypt/pace.h"

/* How many go within `ms`, taken `each` at a time, by a caller that waits exactly as long as it is told. */
static int64_t run(struct pace *p, int64_t from_ms, int64_t ms, int each)
{
    int64_t count = 0;
    for (int64_t now = from_ms; now < from_ms + ms;) {
        int64_t wait = pace_wait_ms(p, now);
        if (wait > ms)
            return count;
        now += wait;
        if (wait > 0)
            continue;
        pace_take(p, each);
        count += each;
    }
    return count;
}

static void the_rate_is_kept(void **state)
{
    (void)state;
    static const double rates[] = {1, 3, 250, 2000};
    static const int sizes[] = {1, 100};
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < 2; k++) {
            struct pace p = {.rate = -1};
            pace_set(&p, rates[i], 5000);
            int64_t seconds = sizes[k] == 100 ? 1000 : 20;
            int64_t count = run(&p, 5000, seconds * 1000, sizes[k]);
            double due = rates[i] * (double)seconds;
            assert_true((double)count <= due + rates[i] * PACE_BURST_S + sizes[k] + 1);
            assert_true((double)count >= due * 0.95 - sizes[k] - 1);
        }
}

static void none_and_no_limit(void **state)
{
    (void)state;
    struct pace p = {.rate = -1};
    assert_int_equal(pace_wait_ms(&p, 1), 0);
    pace_take(&p, 1000000);
    assert_int_equal(pace_wait_ms(&p, 1), 0);
    pace_set(&p, 0, 2);
    assert_true(pace_wait_ms(&p, 1000000) == INT64_MAX);
}

/* What was not used while nothing was to be done does not come in one burst. */
static void a_long_rest_is_no_credit(void **state)
{
    (void)state;
    struct pace p = {.rate = -1};
    pace_set(&p, 1000, 0);
    assert_true(run(&p, 3600000, 1, 1) <= 51);
    pace_set(&p, 10, 7200000);
    assert_true(run(&p, 7200000, 1000, 1) <= 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rate_is_kept),
        cmocka_unit_test(none_and_no_limit),
        cmocka_unit_test(a_long_rest_is_no_credit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
