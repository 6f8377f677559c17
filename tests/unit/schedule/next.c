#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <schedule/next.h>

#define HOUR INT64_C(3600000)
#define DAY  (24 * HOUR)
#define BORN INT64_C(1795824000000) /* Sat 2026-11-28 00:00 UTC */

static struct windows nights, sundays, always;

static void add(struct windows *w, const char *days, const char *from, const char *to)
{
    struct window one;
    assert_int_equal(window_parse(days, from, to, "UTC", &one, NULL), 0);
    assert_int_equal(windows_add(w, &one, NULL), 0);
}

static int setup(void **state)
{
    (void)state;
    add(&nights, "daily", "02:00", "05:00");
    add(&sundays, "sun", "02:00", "05:00");
    add(&always, "daily", "00:00", "24:00");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    windows_clear(&nights);
    windows_clear(&sundays);
    windows_clear(&always);
    return 0;
}

static const struct schedule_rules days_90 = {.every_ms = 90 * DAY, .writes_max = 200000};

static struct schedule_key key_of(const char *provider, int64_t writes)
{
    return (struct schedule_key){"prod", provider, "key1", BORN, BORN, writes, 0, 0, 0};
}

static struct schedule_next next(const struct schedule_rules *rules, struct schedule_key k,
                                 const struct windows *w, int64_t not_before, int64_t now)
{
    struct schedule_next n;
    schedule_next(rules, &k, w, not_before, now, &n);
    return n;
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"", 0}, {"90d", 90 * DAY}, {"12w", 84 * DAY}, {"36h", 36 * HOUR}, {"3650d", 3650 * DAY}};
    static const char *const bad[] = {"0d",   "90",   "d",     "-1d",       "90m",
                                      "90 d", "90dd", "3651d", "99999999d", "1.5d"};
    for (size_t i = 0; i < array_len(good); i++) {
        int64_t ms = -1;
        assert_int_equal(schedule_duration_parse(good[i].text, &ms, NULL), 0);
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < array_len(bad); i++) {
        int64_t ms;
        struct error err = ERROR_INIT;
        assert_int_equal(schedule_duration_parse(bad[i], &ms, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, bad[i]));
    }
}

static void test_never(void **state)
{
    (void)state;
    const struct schedule_rules off = {.writes_max = 200000};
    assert_int_equal(next(&off, key_of("aesgcm", 900000), &nights, 0, BORN + 900 * DAY).at_ms, SCHEDULE_NONE);
}

static void test_by_age(void **state)
{
    (void)state;
    struct schedule_next n = next(&days_90, key_of("aescbc", -1), &nights, 0, BORN);
    assert_true(n.at_ms > BORN + 87 * DAY && n.at_ms <= BORN + 91 * DAY);
    int64_t of_day = (n.at_ms - BORN) % DAY;
    assert_true(of_day >= 2 * HOUR && of_day <= 3 * HOUR + HOUR / 2); /* the first half of the window */
    assert_string_equal(n.why, "every 90 days");
    /* The same whoever asks, and whenever, until it is due. */
    for (int64_t now = BORN; now < n.at_ms; now += 7 * HOUR)
        assert_int_equal(next(&days_90, key_of("aescbc", -1), &nights, 0, now).at_ms, n.at_ms);
    assert_true(next(&days_90, key_of("aescbc", -1), &nights, 0, n.at_ms + 1).at_ms <= n.at_ms + 1);
}

/* What was due and did not begin waits for the next window, not for another 90 days. */
static void test_overdue(void **state)
{
    (void)state;
    int64_t day = BORN + 200 * DAY;
    struct schedule_key k = key_of("aescbc", -1);
    struct schedule_next n = next(&days_90, k, &nights, 0, day + 12 * HOUR);
    assert_true(n.at_ms >= day + DAY + 2 * HOUR && n.at_ms <= day + DAY + 2 * HOUR + HOUR / 4);
    /* Within the window's first half it is now, later not any more. */
    assert_int_equal(next(&days_90, k, &nights, 0, day + 3 * HOUR).at_ms, day + 3 * HOUR);
    assert_true(next(&days_90, k, &nights, 0, day + 4 * HOUR).at_ms >= day + DAY + 2 * HOUR);
    /* Refused: an hour later at the soonest. */
    assert_true(next(&days_90, k, &always, day + 3 * HOUR, day + 2 * HOUR).at_ms == day + 3 * HOUR);
}

static void test_drawn_from_the_names(void **state)
{
    (void)state;
    struct schedule_key a = key_of("aescbc", -1), b = a;
    int64_t first = next(&days_90, a, &always, 0, BORN).at_ms, least = first, most = first;
    for (char name[] = "key-a"; name[4] <= 'z'; name[4]++) {
        b.name = name;
        int64_t at = next(&days_90, b, &always, 0, BORN).at_ms;
        assert_true(at >= BORN + 87 * DAY && at <= BORN + 90 * DAY);
        least = at < least ? at : least;
        most = at > most ? at : most;
    }
    assert_true(most - least > DAY); /* they do spread */
    b = a;
    b.cluster = "staging";
    assert_int_not_equal(next(&days_90, b, &always, 0, BORN).at_ms, first);
    const struct schedule_rules daily = {.every_ms = DAY};
    assert_true(next(&daily, a, &always, 0, BORN).at_ms >= BORN + DAY - DAY / 20);
}

static void test_by_writes(void **state)
{
    (void)state;
    int64_t now = BORN + 10 * DAY;
    /* 100,000 in ten days: the limit is ten days off, far beyond the night after the next. */
    struct schedule_next n = next(&days_90, key_of("aesgcm", 100000), &nights, 0, now);
    assert_true(n.at_ms > BORN + 80 * DAY);
    /* 185,000: it is reached within a day, before the night after the next one. */
    n = next(&days_90, key_of("aesgcm", 185000), &nights, 0, now);
    assert_true(n.at_ms > now && n.at_ms < now + 3 * HOUR);
    assert_string_equal(n.why, "185000 values were written under key1, of 200000");
    struct schedule_key k = key_of("aesgcm", 185000);
    k.guessed = 1200;
    assert_string_equal(next(&days_90, k, &nights, 0, now).why,
                        "up to 185000 values were written under key1, of 200000; 183800 were seen");
    /* With windows on Sundays alone, 150,000 is too many already to wait for another week. */
    n = next(&days_90, key_of("aesgcm", 150000), &sundays, 0, now);
    assert_true(n.at_ms < now + 7 * DAY);
    /* What the rotation itself rewrote in its first hour says nothing of what comes. */
    struct schedule_key rewritten = key_of("aesgcm", 150000);
    rewritten.base = 149000;
    rewritten.base_ms = BORN + HOUR;
    assert_true(next(&days_90, rewritten, &sundays, 0, now).at_ms > BORN + 80 * DAY);
    rewritten.writes = 190000;
    assert_true(next(&days_90, rewritten, &sundays, 0, now).at_ms < now + 7 * DAY);
    /* Only aesgcm, only when it is known, only when there is a limit. */
    assert_true(next(&days_90, key_of("secretbox", 900000), &nights, 0, now).at_ms > BORN + 80 * DAY);
    assert_true(next(&days_90, key_of("aesgcm", -1), &nights, 0, now).at_ms > BORN + 80 * DAY);
    const struct schedule_rules no_limit = {.every_ms = 90 * DAY};
    assert_true(next(&no_limit, key_of("aesgcm", 900000), &nights, 0, now).at_ms > BORN + 80 * DAY);
    /* A bound that is far too high does not rotate twice in a night. */
    assert_true(next(&days_90, key_of("aesgcm", 900000), &always, 0, BORN + HOUR).at_ms >= BORN + DAY);
}

static void test_window_that_never_opens(void **state)
{
    (void)state;
    /* Too short for a start after it opened is none: every length has its first half. */
    struct windows minute = {0};
    add(&minute, "mon", "02:00", "02:01");
    struct schedule_next n = next(&days_90, key_of("aescbc", -1), &minute, 0, BORN);
    assert_true(n.at_ms < BORN + 98 * DAY);
    windows_clear(&minute);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_by_age),
        cmocka_unit_test(test_overdue),
        cmocka_unit_test(test_drawn_from_the_names),
        cmocka_unit_test(test_by_writes),
        cmocka_unit_test(test_window_that_never_opens),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
