#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <report/table.h>

static void test_columns(void **state)
{
    (void)state;
    static const char *const cells[] = {
        "A", "Head", "Last", " *", "x", "y", "", "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4", ""};
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024), trimmed = BUF_INIT(1024);
    struct error err = ERROR_INIT;
    assert_int_equal(table_render(cells, 3, 3, false, &out, &err), 0);
    assert_string_equal(buf_str(&out), "A   Head   Last\n"
                                       " *  x      y\n"
                                       "    \xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4  \n");
    assert_int_equal(table_render(cells, 3, 3, true, &trimmed, &err), 0);
    assert_string_equal(buf_str(&trimmed), "A   Head   Last\n"
                                           " *  x      y\n"
                                           "    \xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4\n");
}

static void test_no_control_characters(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024);
    assert_int_equal(buf_adds(&out,
                              "a\033[2Jb\tc\x7f\xc2\x9b"
                              "d\xc2\xa0"
                              "e\n",
                              NULL),
                     0);
    make_printable(&out);
    assert_string_equal(buf_str(&out), "a?[2Jb?c???d\xc2\xa0"
                                       "e\n");
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        int64_t n;
        const char *count, *duration, *clock;
    } rows[] = {
        {0, "0", "0:00", "00:00"},          {999, "999", "0:00", "00:00"},
        {1000, "1,000", "0:01", "00:01"},   {1234567, "1,234,567", "20:34", "20:34"},
        {65000, "65,000", "1:05", "01:05"}, {3723000, "3,723,000", "1:02:03", "1:02:03"},
        {-5, "0", "0:00", "00:00"},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        char count[COUNT_TEXT_MAX], duration[DURATION_TEXT_MAX], clock[DURATION_TEXT_MAX];
        format_count(rows[i].n, count);
        format_duration(rows[i].n, duration);
        format_clock(rows[i].n, clock);
        assert_string_equal(count, rows[i].count);
        assert_string_equal(duration, rows[i].duration);
        assert_string_equal(clock, rows[i].clock);
    }
}

static void test_ages(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *expected;
    } rows[] = {
        {-5, "0s"},      {119999, "119s"},   {120000, "2m"},    {7199999, "119m"},
        {7200000, "2h"}, {172799999, "47h"}, {172800000, "2d"}, {90 * 86400000LL, "90d"},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        char out[AGE_TEXT_MAX];
        format_age(rows[i].ms, out);
        assert_string_equal(out, rows[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ages),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_no_control_characters),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
