#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <config/nearest.h>

static const char *const words[] = {"status",      "prepare", "rotate", "reencrypt",
                                    "rotate-keys", "enable",  "disable"};

static const char *near(const char *typed)
{
    return nearest_word(typed, words, sizeof(words) / sizeof(words[0]));
}

static void test_near(void **state)
{
    (void)state;
    assert_string_equal(near("statsu"), "status");
    assert_string_equal(near("prepar"), "prepare");
    assert_string_equal(near("rotatekeys"), "rotate-keys");
    assert_string_equal(near("re-encrypt"), "reencrypt");
    assert_string_equal(near("rotate"), "rotate");
    assert_string_equal(near("enabled"), "enable");
}

static void test_far(void **state)
{
    (void)state;
    assert_null(near(""));
    assert_null(near("restart-everything"));
    assert_null(near("xyz"));
    assert_null(nearest_word("status", words, 0));
}

static void test_long_input_is_bounded(void **state)
{
    (void)state;
    char typed[4096];
    memset(typed, 'a', sizeof(typed) - 1);
    typed[sizeof(typed) - 1] = 0;
    assert_null(near(typed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_near),
        cmocka_unit_test(test_far),
        cmocka_unit_test(test_long_input_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
