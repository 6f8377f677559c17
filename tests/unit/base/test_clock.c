#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/clock.h>

static void formats(void **state)
{
    (void)state;
    char out[CLOCK_TEXT_MAX];
    clock_format(1639176878000, out);
    assert_string_equal(out, "2021-12-10T22:54:38Z");
    clock_format(0, out);
    assert_string_equal(out, "1970-01-01T00:00:00Z");
}

static void backs_off_within_bounds(void **state)
{
    (void)state;
    int64_t low = INT64_MAX, high = 0;
    for (int i = 0; i < 200; i++) {
        int64_t w = backoff_ms(2, 100, 10000);
        assert_true(w >= 200 && w <= 400);
        low = w < low ? w : low;
        high = w > high ? w : high;
        assert_true(backoff_ms(60, 100, 1000) <= 1000);
        assert_true(backoff_ms(0, 100, 1000) >= 50);
    }
    assert_true(high > low); /* jitter */
}

static void monotonic(void **state)
{
    (void)state;
    int64_t a = clock_mono_ms();
    assert_true(clock_mono_ms() >= a);
    assert_true(clock_wall_ms() > 1600000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats),
        cmocka_unit_test(backs_off_within_bounds),
        cmocka_unit_test(monotonic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
