#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node.h"

static void span_follows_the_grammar(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t due;
    } cases[] = {
        {"0", 1},   {"-0", 2},  {"10", 2}, {"1.5", 3}, {"1e5", 3}, {"1E+5", 4}, {"1.25e-10,", 8},
        {"12]", 2}, {"", 0},    {"-", 0},  {"01", 0},  {"-01", 0}, {"1.", 0},   {"1.e5", 0},
        {"1e", 0},  {"1e+", 0}, {".5", 0}, {"+1", 0},  {"0x1", 1}, {"--1", 0},  {"1.2.3", 3},
    };
    for (size_t i = 0; i < array_len(cases); i++)
        assert_int_equal(number_span(cases[i].text, strlen(cases[i].text)), cases[i].due);
}

static void formats_the_shortest_text(void **state)
{
    (void)state;
    static const struct {
        double d;
        const char *due;
    } cases[] = {
        {0, "0"},
        {-1, "-1"},
        {1e15, "1000000000000000"},
        {9007199254740991.0, "9007199254740991"},
        {0.1, "0.1"},
        {0.5, "0.5"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e300, "1e+300"},
        {2e-7, "2e-07"},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        char out[NUMBER_TEXT_MAX];
        number_format(cases[i].d, out);
        assert_string_equal(out, cases[i].due);
    }
}

/* Every double that is printed reads back as itself. */
static void formats_every_double_faithfully(void **state)
{
    (void)state;
    uint64_t bits = 0x9e3779b97f4a7c15;
    for (int i = 0; i < 20000; i++) {
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        double d;
        memcpy(&d, &bits, sizeof(d));
        if (d != d || d - d != 0)
            continue;
        char out[NUMBER_TEXT_MAX];
        number_format(d, out);
        assert_true(strtod(out, NULL) == d);
    }
}

static void literals_have_a_limit(void **state)
{
    (void)state;
    char text[JSON_NUMBER_MAX + 1];
    memset(text, '1', sizeof(text));
    struct error err = ERROR_INIT;
    cJSON *n = NULL;
    assert_int_equal(number_from_literal(text, sizeof(text), &n, &err), ERR_INVALID);
    assert_int_equal(number_from_literal("1e400", 5, &n, &err), ERR_INVALID);
    assert_null(n);
}

static void new_number_takes_literals_only(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct json *j = NULL;
    assert_int_equal(json_new_number("12x", &j, &err), ERR_INVALID);
    assert_int_equal(json_new_number("", &j, &err), ERR_INVALID);
    assert_int_equal(json_new_number("18446744073709551615", &j, &err), 0);
    char out[NUMBER_TEXT_MAX];
    assert_string_equal(number_text(node_of(j), out), "18446744073709551615");
    json_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(span_follows_the_grammar),        cmocka_unit_test(formats_the_shortest_text),
        cmocka_unit_test(formats_every_double_faithfully), cmocka_unit_test(literals_have_a_limit),
        cmocka_unit_test(new_number_takes_literals_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
