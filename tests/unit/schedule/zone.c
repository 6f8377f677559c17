#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <base/file.h>
#include <schedule/zone.h>

#define BERLIN_2026_MARCH   INT64_C(1774746000) /* 2026-03-29 01:00 UTC: 02:00 becomes 03:00 */
#define BERLIN_2026_OCTOBER INT64_C(1792890000) /* 2026-10-25 01:00 UTC: 03:00 becomes 02:00 */

static struct zone *load(const char *name)
{
    struct zone *z = NULL;
    struct error err = ERROR_INIT;
    if (zone_load(name, &z, &err) < 0)
        fail_msg("%s", err.text);
    return z;
}

static void test_summer_time(void **state)
{
    (void)state;
    _cleanup_(zone_freep) struct zone *z = load("Europe/Berlin");
    assert_int_equal(zone_offset(z, BERLIN_2026_MARCH - 1), 3600);
    assert_int_equal(zone_offset(z, BERLIN_2026_MARCH), 7200);
    assert_int_equal(zone_offset(z, BERLIN_2026_OCTOBER - 1), 7200);
    assert_int_equal(zone_offset(z, BERLIN_2026_OCTOBER), 3600);
    /* 02:30, which there is not: the end of the gap. */
    assert_int_equal(zone_instant(z, BERLIN_2026_MARCH + 3600 + 1800), BERLIN_2026_MARCH);
    /* 02:30, which there is twice: the first. */
    assert_int_equal(zone_instant(z, BERLIN_2026_OCTOBER + 3600 + 1800), BERLIN_2026_OCTOBER - 1800);
    assert_int_equal(zone_instant(z, BERLIN_2026_OCTOBER + 2 * 3600), BERLIN_2026_OCTOBER + 3600);
}

static void test_utc_needs_no_file(void **state)
{
    (void)state;
    _cleanup_(zone_freep) struct zone *z = load("UTC");
    assert_int_equal(zone_offset(z, 0), 0);
    assert_int_equal(zone_instant(z, 12345), 12345);
    assert_int_equal(zone_offset(z, INT64_MAX), 0);
    assert_true(zone_instant(z, INT64_MIN) < 0);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        "/etc/passwd",  "../../../etc/passwd", "Europe/../../x",
                                      "Europe/", "Europe//Rome", "Europe/.hidden",      "a b",
                                      ".",       "Europe/Rome\n"};
    for (size_t i = 0; i < array_len(bad); i++) {
        struct zone *z = NULL;
        struct error err = ERROR_INIT;
        assert_false(zone_name_is_valid(bad[i]));
        assert_int_equal(zone_load(bad[i], &z, &err), ERR_INVALID);
        assert_null(z);
    }
    assert_true(zone_name_is_valid("America/Argentina/Buenos_Aires"));
    assert_true(zone_name_is_valid("Etc/GMT+12"));
    struct zone *z = NULL;
    assert_int_equal(zone_load("Europe/Berlinn", &z, NULL), ERR_NOT_FOUND);
    assert_true(zone_load("Europe", &z, NULL) < 0); /* a folder */
    assert_int_equal(zone_load("zone1970.tab", &z, NULL), ERR_INVALID);
}

static void test_list_of_names(void **state)
{
    (void)state;
    char **names = NULL;
    size_t count = 0, found = 0;
    assert_int_equal(zone_names(&names, &count, NULL), 0);
    assert_true(count > 250);
    for (size_t i = 0; i < count; i++) {
        found += strcmp(names[i], "Europe/Berlin") == 0;
        assert_true(zone_name_is_valid(names[i]));
    }
    assert_int_equal(found, 1);
    zone_names_free(names, count);
}

static void expect_bad(const char *data, size_t len, const char *part)
{
    struct zone *z = NULL;
    struct error err = ERROR_INIT;
    assert_true(zone_parse("x", data, len, &z, &err) < 0);
    assert_null(z);
    if (!strstr(err.text, part))
        fail_msg("'%s' is not in: %s", part, err.text);
}

/* A whole file without changes: version 2, one type, this rule. */
static size_t make(char out[256], const char *rule)
{
    static const char head[] = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" /* magic, version, 15 of nothing */
                               "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"    /* isut, isstd, leap, times */
                               "\0\0\0\1\0\0\0\4";                   /* types, chars */
    static const char body[] = "\0\0\0\0\0\0UTC"; /* offset 0, no summer, name 0; its NUL */
    size_t at = 0;
    for (int i = 0; i < 2; i++) {
        memcpy(out + at, head, 44);
        memcpy(out + at + 44, body, 10);
        at += 54;
    }
    at += (size_t)snprintf(out + at, 256 - at, "\n%s\n", rule);
    return at;
}

static void test_rules_at_the_end(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "UTC0",
                                       "CET-1CEST,M3.5.0,M10.5.0/3",
                                       "<+0330>-3:30",
                                       "IST-1GMT0,M10.5.0,M3.5.0/1",
                                       "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
                                       "EST5EDT,0/0,J365/25",
                                       "AAA-12:30:30BBB,J60,300/-167"};
    static const char *const bad[] = {"C-1",
                                      "CET",
                                      "CET-1CEST",
                                      "CET-1CEST,M3.5.0",
                                      "CET-1CEST,M13.5.0,M10.5.0",
                                      "CET-1CEST,M3.6.0,M10.5.0",
                                      "CET-25",
                                      "<CET-1",
                                      "CET-1CEST,M3.5.0,M10.5.0/168",
                                      "CET-1CEST,M3.5.0,M10.5.0x",
                                      "CET-1CEST,J0,5",
                                      "CET-1CEST,1,366",
                                      "CET--1",
                                      "CET-1:60",
                                      "CET-1CEST,M3.5.7,M10.5.0"};
    char file[256];
    for (size_t i = 0; i < array_len(good); i++) {
        _cleanup_(zone_freep) struct zone *z = NULL;
        struct error err = ERROR_INIT;
        if (zone_parse("x", file, make(file, good[i]), &z, &err) < 0)
            fail_msg("%s: %s", good[i], err.text);
    }
    for (size_t i = 0; i < array_len(bad); i++)
        expect_bad(file, make(file, bad[i]), "rule");
}

/* Summer time all the year round, as RFC 8536 has it. */
static void test_summer_without_end(void **state)
{
    (void)state;
    char file[256];
    _cleanup_(zone_freep) struct zone *z = NULL;
    assert_int_equal(zone_parse("x", file, make(file, "EST5EDT,0/0,J365/25"), &z, NULL), 0);
    for (int64_t at = 1700000000; at < 1800000000; at += 3600)
        assert_int_equal(zone_offset(z, at), -4 * 3600);
}

/* J60 is 1 March in every year, 59 is the day before it in leap years. */
static void test_days_of_the_year(void **state)
{
    (void)state;
    const int64_t march_2028 = INT64_C(1835481600), march_2027 = INT64_C(1803859200);
    char file[256];
    _cleanup_(zone_freep) struct zone *j = NULL, *d = NULL;
    assert_int_equal(zone_parse("x", file, make(file, "AAA0BBB,J60/0,J300/0"), &j, NULL), 0);
    assert_int_equal(zone_offset(j, march_2028 - 1), 0);
    assert_int_equal(zone_offset(j, march_2028), 3600);
    assert_int_equal(zone_offset(j, march_2027 - 1), 0);
    assert_int_equal(zone_offset(j, march_2027), 3600);
    assert_int_equal(zone_parse("x", file, make(file, "AAA0BBB,59/0,300/0"), &d, NULL), 0);
    assert_int_equal(zone_offset(d, march_2028 - 86400 - 1), 0);
    assert_int_equal(zone_offset(d, march_2028 - 86400), 3600);
    assert_int_equal(zone_offset(d, march_2027 - 1), 0);
    assert_int_equal(zone_offset(d, march_2027), 3600);
}

static void test_files_that_are_none(void **state)
{
    (void)state;
    char file[256];
    size_t len = make(file, "UTC0");
    expect_bad("", 0, "not a time zone");
    expect_bad("TZif", 4, "not a time zone");
    for (size_t cut = 1; cut < len; cut++) {
        struct zone *z = NULL;
        assert_true(zone_parse("x", file, len - cut, &z, NULL) < 0);
    }
    file[4] = 0;
    expect_bad(file, len, "version 1");
    len = make(file, "UTC0");
    file[54 + 28 + 3] = 1; /* a leap second, which is not there either */
    expect_bad(file, len, "");
    len = make(file, "UTC0");
    file[54 + 32] = 0x7f; /* changes without end */
    expect_bad(file, len, "counts more");
    len = make(file, "UTC0");
    file[54 + 44] = 0x70; /* the offset */
    expect_bad(file, len, "more than a day");
}

static void test_leap_seconds_are_refused(void **state)
{
    (void)state;
    struct zone *z = NULL;
    struct error err = ERROR_INIT;
    if (zone_load("right/Europe/Berlin", &z, &err) == ERR_NOT_FOUND)
        skip();
    assert_int_equal(err.code, ERR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_summer_time),
        cmocka_unit_test(test_utc_needs_no_file),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_list_of_names),
        cmocka_unit_test(test_rules_at_the_end),
        cmocka_unit_test(test_summer_without_end),
        cmocka_unit_test(test_days_of_the_year),
        cmocka_unit_test(test_files_that_are_none),
        cmocka_unit_test(test_leap_seconds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
