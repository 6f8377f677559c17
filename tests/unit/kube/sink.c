#include "sink.h"

#include "test.h"

static void test_grows_up_to_its_maximum(void **state)
{
    char piece[3000];
    struct sink s = {.max = 10000};

    (void)state;
    memset(piece, 'x', sizeof(piece));
    assert_string_equal(sink_text(&s), "");
    for (int i = 0; i < 3; i++)
        assert_int_equal(sink_write(piece, 1, sizeof(piece), &s), sizeof(piece));
    assert_int_equal(s.len, 9000);
    assert_int_equal(strlen(sink_text(&s)), 9000);
    assert_int_equal(sink_write(piece, 1, 1000, &s), 1000);
    assert_true(sink_write(piece, 1, 1, &s) != 1);
    assert_true(s.overflow);
    assert_int_equal(s.len, 10000);
    sink_free(&s);
    assert_null(s.data);
}

static void test_drops_the_rest(void **state)
{
    struct sink s = {.max = 4, .drop_rest = true};

    (void)state;
    assert_int_equal(sink_write("abcdef", 1, 6, &s), 6);
    assert_int_equal(sink_write("ghi", 1, 3, &s), 3);
    assert_string_equal(sink_text(&s), "abcd");
    assert_true(s.overflow);
    sink_free(&s);
}

static void test_wipes_on_reset(void **state)
{
    struct sink s = {.max = 100};

    (void)state;
    assert_int_equal(sink_write("content", 1, 7, &s), 7);
    sink_reset(&s);
    assert_int_equal(s.len, 0);
    for (size_t i = 0; i < s.cap; i++)
        assert_int_equal(s.data[i], 0);
    sink_free(&s);
    sink_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_up_to_its_maximum),
        cmocka_unit_test(test_drops_the_rest),
        cmocka_unit_test(test_wipes_on_reset),
    };

    return cmocka_run_group_tests_name("kube sink", tests, NULL, NULL);
}
