#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include <base/error.h>

static void sets_code_and_text(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    assert_int_equal(error_set(&err, ERR_TIMEOUT, "etcd %s", "s1"), ERR_TIMEOUT);
    assert_int_equal(err.code, ERR_TIMEOUT);
    assert_string_equal(err.text, "etcd s1");
    assert_int_equal(error_set(NULL, ERR_IO, "nobody listens"), ERR_IO);
}

static void stays_one_line(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    error_set(&err, ERR_INVALID, "a%cb%cc", '\n', 0x1b);
    assert_string_equal(err.text, "a?b?c");
}

static void prefixes_its_own_text(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    error_set(&err, ERR_DENIED, "no");
    assert_int_equal(error_prefix(&err, ERR_IO, "file %d", 7), ERR_DENIED);
    assert_string_equal(err.text, "file 7: no");
    assert_int_equal(error_set(&err, ERR_IO, "again: %s", err.text), ERR_IO);
    assert_string_equal(err.text, "again: file 7: no");
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    char big[4 * ERROR_TEXT_MAX];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    error_set(&err, ERR_INVALID, "%s", big);
    assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
    error_prefix(&err, ERR_INVALID, "%s", big);
    assert_true(strlen(err.text) < ERROR_TEXT_MAX);
}

static void errno_becomes_a_code(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    assert_int_equal(error_errno(&err, ENOENT, "/etc/x"), ERR_NOT_FOUND);
    assert_string_equal(err.text, "/etc/x: No such file or directory");
    assert_int_equal(error_errno(&err, EACCES, "x"), ERR_DENIED);
    assert_int_equal(error_errno(&err, ENOMEM, "x"), ERR_NO_MEMORY);
    assert_int_equal(error_errno(&err, ENOSPC, "x"), ERR_IO);
}

static void transient_codes(void **state)
{
    (void)state;
    assert_true(error_is_transient(ERR_UNAVAILABLE));
    assert_true(error_is_transient(ERR_CONFLICT));
    assert_false(error_is_transient(ERR_DENIED));
    assert_false(error_is_transient(0));
    assert_string_equal(error_code_name(ERR_COMPACTED), "compacted");
    assert_string_equal(error_code_name(0), "ok");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_code_and_text),    cmocka_unit_test(stays_one_line),
        cmocka_unit_test(prefixes_its_own_text), cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(errno_becomes_a_code),  cmocka_unit_test(transient_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
