/* Each row was compared with what go-yaml v2.4.0 reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "resolve.h"

static void words(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum scalar_kind due;
    } cases[] = {
        {"", SCALAR_NULL},         {"~", SCALAR_NULL},       {"null", SCALAR_NULL},
        {"nULL", SCALAR_STRING},   {"true", SCALAR_TRUE},    {"tRUE", SCALAR_STRING},
        {"yes", SCALAR_TRUE},      {"y", SCALAR_TRUE},       {"On", SCALAR_TRUE},
        {"False", SCALAR_FALSE},   {"n", SCALAR_FALSE},      {"NO", SCALAR_FALSE},
        {"off", SCALAR_FALSE},     {".nan", SCALAR_NO_JSON}, {"-.inf", SCALAR_NO_JSON},
        {"+.Inf", SCALAR_NO_JSON}, {"<<", SCALAR_MERGE},     {"nan", SCALAR_STRING},
        {"inf", SCALAR_STRING},    {"yess", SCALAR_STRING},  {"secrets", SCALAR_STRING},
        {" ", SCALAR_STRING},      {"*.*", SCALAR_STRING},
    };
    char number[SCALAR_NUMBER_MAX];
    for (size_t i = 0; i < array_len(cases); i++)
        assert_int_equal(scalar_resolve(cases[i].text, number), cases[i].due);
}

static void numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum scalar_kind kind;
        const char *due;
    } cases[] = {
        {"0", SCALAR_INT, "0"},
        {"-0", SCALAR_INT, "0"},
        {"+1", SCALAR_INT, "1"},
        {"-12", SCALAR_INT, "-12"},
        {"0777", SCALAR_INT, "511"},
        {"0o17", SCALAR_INT, "15"},
        {"0O7", SCALAR_INT, "7"},
        {"-0x10", SCALAR_INT, "-16"},
        {"0X1F", SCALAR_INT, "31"},
        {"0b101", SCALAR_INT, "5"},
        {"1_000", SCALAR_INT, "1000"},
        {"-_1", SCALAR_INT, "-1"},
        {"0_", SCALAR_INT, "0"},
        {"9223372036854775807", SCALAR_INT, "9223372036854775807"},
        {"-9223372036854775808", SCALAR_INT, "-9223372036854775808"},
        {"18446744073709551615", SCALAR_INT, "18446744073709551615"},
        {"18446744073709551616", SCALAR_FLOAT, "18446744073709551616"},
        {"-9223372036854775809", SCALAR_FLOAT, "-9223372036854775808"},
        {"+9223372036854775808", SCALAR_FLOAT, "9223372036854775808"},
        {"08", SCALAR_FLOAT, "8"},
        {"1.", SCALAR_FLOAT, "1"},
        {".5", SCALAR_FLOAT, "0.5"},
        {"-.5", SCALAR_FLOAT, "-0.5"},
        {"1.5e3", SCALAR_FLOAT, "1500"},
        {"1E-5", SCALAR_FLOAT, "1e-05"},
        {"0.30000000000000004", SCALAR_FLOAT, "0.30000000000000004"},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        char number[SCALAR_NUMBER_MAX] = "";
        if (scalar_resolve(cases[i].text, number) != cases[i].kind)
            fail_msg("%s is of another kind", cases[i].text);
        if (cases[i].kind == SCALAR_INT)
            assert_string_equal(number, cases[i].due);
        else
            assert_true(strtod(number, NULL) == strtod(cases[i].due, NULL));
    }
}

static void strings_that_look_like_numbers(void **state)
{
    (void)state;
    static const char *texts[] = {
        "-",  "+",    "++1",   "0x",   "0xg",      "0b2",   "0o8",    "1e",         "1e+",
        ".",  "..",   "1.2.3", "1:2",  "12:30:45", "1e999", "-1e999", "2021-12-10", "2021-12-10T22:54:38Z",
        "_1", "1abc", "0abc",  "+abc", "0x1.8p1",  "1,5",   "٣"};
    char number[SCALAR_NUMBER_MAX];
    for (size_t i = 0; i < array_len(texts); i++)
        if (scalar_resolve(texts[i], number) != SCALAR_STRING)
            fail_msg("%s is taken for a number", texts[i]);
}

static void long_digits_are_bounded(void **state)
{
    (void)state;
    char text[5000], number[SCALAR_NUMBER_MAX];
    memset(text, '9', sizeof(text));
    text[sizeof(text) - 1] = 0;
    assert_int_equal(scalar_resolve(text, number), SCALAR_STRING);
    text[300] = 0;
    assert_int_equal(scalar_resolve(text, number), SCALAR_FLOAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(numbers),
        cmocka_unit_test(strings_that_look_like_numbers),
        cmocka_unit_test(long_digits_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
