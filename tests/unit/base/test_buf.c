#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/buf.h>

static void grows_up_to_its_maximum(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf b = BUF_INIT(1000);
    struct error err = ERROR_INIT;
    assert_string_equal(buf_str(&b), "");
    for (int i = 0; i < 100; i++)
        assert_int_equal(buf_addf(&b, &err, "%09d,", i), 0);
    assert_int_equal(b.len, 1000);
    assert_int_equal(buf_adds(&b, "x", &err), ERR_TOO_LARGE);
    assert_int_equal(b.len, 1000);
    assert_string_equal(b.data + 990, "000000099,");
}

static void holds_nuls(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf b = BUF_INIT(16);
    assert_int_equal(buf_add(&b, "a\0b", 3, NULL), 0);
    assert_int_equal(b.len, 3);
    assert_memory_equal(b.data, "a\0b", 4);
    buf_reset(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal(buf_str(&b), "");
}

static void refuses_all_or_nothing(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf b = BUF_INIT(4);
    assert_int_equal(buf_adds(&b, "abc", NULL), 0);
    assert_int_equal(buf_addf(&b, NULL, "%s", "de"), ERR_TOO_LARGE);
    assert_string_equal(buf_str(&b), "abc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_up_to_its_maximum),
        cmocka_unit_test(holds_nuls),
        cmocka_unit_test(refuses_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
