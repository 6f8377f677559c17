#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <schedule/window.h>

#define SAT_0000_BERLIN INT64_C(1795820400000) /* Sat 2026-11-28 00:00 Europe/Berlin */
#define HOUR            INT64_C(3600000)

static void add(struct windows *w, const char *days, const char *from, const char *to, const char *zone)
{
    struct window one;
    struct error err = ERROR_INIT;
    if (window_parse(days, from, to, zone, &one, &err) < 0 || windows_add(w, &one, &err) < 0)
        fail_msg("%s", err.text);
}

static void expect(const struct windows *w, int64_t now, bool open, int64_t opens, int64_t closes)
{
    struct window_times t = window_next(w, now);
    assert_int_equal(t.open, open);
    assert_int_equal(window_is_open(w, now), open);
    assert_int_equal(t.opens_ms, opens);
    assert_int_equal(t.closes_ms, closes);
}

static void test_none_is_always_open(void **state)
{
    (void)state;
    struct windows w = {0};
    expect(&w, 5000, true, 5000, WINDOW_NEVER);
}

static void test_one(void **state)
{
    (void)state;
    struct windows w = {0};
    const int64_t day = SAT_0000_BERLIN;
    add(&w, "sat", "02:00", "05:00", "Europe/Berlin");
    expect(&w, day, false, day + 2 * HOUR, day + 5 * HOUR);
    expect(&w, day + 2 * HOUR - 1, false, day + 2 * HOUR, day + 5 * HOUR);
    expect(&w, day + 2 * HOUR, true, day + 2 * HOUR, day + 5 * HOUR);
    expect(&w, day + 5 * HOUR - 1, true, day + 2 * HOUR, day + 5 * HOUR);
    expect(&w, day + 5 * HOUR, false, day + (7 * 24 + 2) * HOUR, day + (7 * 24 + 5) * HOUR);
    windows_clear(&w);
}

static void test_over_midnight(void **state)
{
    (void)state;
    struct windows w = {0};
    const int64_t day = SAT_0000_BERLIN;
    add(&w, "fri", "23:00", "03:00", "Europe/Berlin");
    expect(&w, day + HOUR, true, day - HOUR, day + 3 * HOUR);
    expect(&w, day + 3 * HOUR, false, day + (7 * 24 - 1) * HOUR, day + (7 * 24 + 3) * HOUR);
    windows_clear(&w);
}

static void test_windows_that_touch_are_one(void **state)
{
    (void)state;
    struct windows w = {0};
    const int64_t day = SAT_0000_BERLIN;
    add(&w, "sat", "02:00", "05:00", "Europe/Berlin");
    add(&w, "Saturday", "03:00", "06:00", "UTC"); /* 04:00 to 07:00 in Berlin */
    add(&w, "sat", "07:00", "08:00", "Europe/Berlin");
    expect(&w, day, false, day + 2 * HOUR, day + 8 * HOUR);
    expect(&w, day + 6 * HOUR, true, day + 2 * HOUR, day + 8 * HOUR);
    windows_clear(&w);
}

static void test_always_and_nearly(void **state)
{
    (void)state;
    struct windows w = {0}, week = {0};
    add(&w, "daily", "00:00", "24:00", "Europe/Berlin");
    assert_int_equal(window_next(&w, SAT_0000_BERLIN).closes_ms, WINDOW_NEVER);
    assert_true(window_is_open(&w, SAT_0000_BERLIN));
    add(&week, "mon,tue,wed,thu,fri,sun", "00:00", "24:00", "Europe/Berlin");
    expect(&week, SAT_0000_BERLIN - HOUR, true, SAT_0000_BERLIN - 6 * 24 * HOUR, SAT_0000_BERLIN);
    windows_clear(&w);
    windows_clear(&week);
}

#define MARCH   INT64_C(1774746000000) /* Sun 2026-03-29 03:00 Europe/Berlin, which follows 02:00 */
#define OCTOBER INT64_C(1792890000000) /* Sun 2026-10-25 02:00 Europe/Berlin for the second time */

static void test_hour_that_is_left_out(void **state)
{
    (void)state;
    struct windows w = {0}, within = {0};
    add(&w, "sun", "02:30", "04:00", "Europe/Berlin");
    expect(&w, MARCH - 1, false, MARCH, MARCH + HOUR);
    add(&within, "sun", "02:10", "02:50", "Europe/Berlin"); /* not on that day at all */
    expect(&within, MARCH - 1, false, MARCH + (7 * 24 - 1) * HOUR + HOUR / 6,
           MARCH + (7 * 24 - 1) * HOUR + 5 * HOUR / 6);
    windows_clear(&w);
    windows_clear(&within);
}

static void test_hour_that_comes_twice(void **state)
{
    (void)state;
    struct windows w = {0};
    add(&w, "sun", "02:15", "02:45", "Europe/Berlin");
    expect(&w, OCTOBER - HOUR, false, OCTOBER - 3 * HOUR / 4, OCTOBER - HOUR / 4);
    assert_false(window_is_open(&w, OCTOBER + HOUR / 2)); /* 02:30 again */
    windows_clear(&w);
}

static void expect_text(const char *days, const char *from, const char *to, const char *zone,
                        const char *text)
{
    struct window one;
    struct error err = ERROR_INIT;
    assert_int_equal(window_parse(days, from, to, zone, &one, &err), ERR_INVALID);
    if (strncmp(err.text, text, strlen(text)) != 0)
        fail_msg("'%s' does not begin: %s", text, err.text);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    expect_text("", "02:00", "03:00", "UTC", "days: ''");
    expect_text("mon,,tue", "02:00", "03:00", "UTC", "days: ''");
    expect_text("mon,", "02:00", "03:00", "UTC", "days: ''");
    expect_text("mon,funday", "02:00", "03:00", "UTC", "days: 'funday'");
    expect_text("mo", "02:00", "03:00", "UTC", "days: 'mo'");
    expect_text("daily", "2:00", "03:00", "UTC", "from: '2:00'");
    expect_text("daily", "24:00", "03:00", "UTC", "from: ");
    expect_text("daily", "02:60", "03:00", "UTC", "from: ");
    expect_text("daily", "02:00", "24:01", "UTC", "to: ");
    expect_text("daily", "02:00", "02:00", "UTC", "to: the same");
    expect_text("daily", "02:00", "03:00", "../x", "time_zone: ");
}

static void test_text(void **state)
{
    (void)state;
    struct windows w = {0};
    char text[WINDOW_TEXT_MAX];
    const int64_t day = SAT_0000_BERLIN;
    add(&w, "sat", "02:00", "05:00", "Europe/Berlin");
    window_text(&w, 0, day + 2 * HOUR, day, text);
    assert_string_equal(text, "Sat 02:00 Europe/Berlin");
    window_text(&w, 0, day + 90 * 24 * HOUR + 2 * HOUR + 13 * HOUR / 60, day, text);
    assert_string_equal(text, "2027-02-26 02:13 Europe/Berlin");
    window_text(&w, 5, day, day + 1, text);
    assert_string_equal(text, "2026-11-27 23:00 UTC");
    windows_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none_is_always_open),
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_over_midnight),
        cmocka_unit_test(test_windows_that_touch_are_one),
        cmocka_unit_test(test_always_and_nearly),
        cmocka_unit_test(test_hour_that_is_left_out),
        cmocka_unit_test(test_hour_that_comes_twice),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
