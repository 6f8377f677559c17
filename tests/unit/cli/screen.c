#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cli/screen.h>

static void expect(const char *text, int rows, const char *wanted)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024), all = BUF_INIT(1024);
    struct error err = ERROR_INIT;
    assert_int_equal(buf_addf(&all, &err, "\033[?7l\033[H%s\033[J\033[?7h", wanted), 0);
    assert_int_equal(screen_draw(text, rows, &out, &err), 0);
    assert_string_equal(buf_str(&out), buf_str(&all));
}

#define ROW(text) text "\033[K\r\n"

static void what_fits_is_shown(void **state)
{
    (void)state;
    expect("", 24, "");
    expect("a\nb\n", 24, ROW("a") ROW("b"));
    expect("a\nb\n", 3, ROW("a") ROW("b"));
    expect("a\n\nb", 4, ROW("a") ROW("") ROW("b"));
}

static void what_does_not_fit_is_counted(void **state)
{
    (void)state;
    expect("a\nb\nc\n", 3, ROW("a") ROW("… 2 more lines: make the window higher, or leave --watch out"));
    expect("a\nb\nc\nd", 4,
           ROW("a") ROW("b") ROW("… 2 more lines: make the window higher, or leave --watch out"));
    for (int rows = -1; rows <= 2; rows++)
        expect("a\nb\n", rows, ROW("… 2 more lines: make the window higher, or leave --watch out"));
}

static void too_much_is_refused(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(20);
    struct error err = ERROR_INIT;
    assert_int_equal(screen_draw("0123456789\n0123456789\n", 24, &out, &err), ERR_TOO_LARGE);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_shown),
        cmocka_unit_test(what_does_not_fit_is_counted),
        cmocka_unit_test(too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
