#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>

static void names(void **state)
{
    (void)state;
    assert_true(text_is_name("s1", 63));
    assert_true(text_is_name("node-1.example.org", 63));
    assert_false(text_is_name("", 63));
    assert_false(text_is_name("-s1", 63));
    assert_false(text_is_name("a/b", 63));
    assert_false(text_is_name("a b", 63));
    assert_false(text_is_name("caf\xc3\xa9", 63));
    assert_true(text_is_name("abc", 3));
    assert_false(text_is_name("abcd", 3));
}

static void utf8(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        bool ok;
    } cases[] = {
        {"", 0, true},
        {"abc", 3, true},
        {"\xc3\xa9", 2, true},
        {"\xe2\x82\xac", 3, true},
        {"\xf0\x9f\x98\x80", 4, true},
        {"\xc3", 1, false},
        {"\x80", 1, false},
        {"\xc0\xaf", 2, false},
        {"\xed\xa0\x80", 3, false},
        {"\xf4\x90\x80\x80", 4, false},
        {"\xff", 1, false},
        {"a\0b", 3, true},
        {"\xe2\x82", 2, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(text_is_utf8(cases[i].bytes, cases[i].len), cases[i].ok);
}

/* A byte that is none, at each place of a text that is read by words of eight. */
static void utf8_anywhere(void **state)
{
    (void)state;
    for (size_t at = 0; at < 20; at++) {
        char text[] = "01234567890123456789";
        text[at] = '\xff';
        assert_false(text_is_utf8(text, 20));
        assert_true(text_is_utf8(text, at));
        assert_true(text_is_utf8(text + at + 1, 19 - at));
        memcpy(text + at, "\xc3\xa9", at < 19 ? 2 : 1);
        assert_int_equal(text_is_utf8(text, 20), at < 19);
    }
}

static void plain_runs(void **state)
{
    (void)state;
    char all[256];
    for (int c = 0; c < 256; c++)
        all[c] = (char)c;
    for (int c = 0; c < 256; c++)
        assert_int_equal(text_plain_run(all + c, 1), c >= ' ' && c < 0x7f && c != '"' && c != '\\');
    assert_int_equal(text_plain_run("a b\"c", 5), 3);
    assert_int_equal(text_plain_run("abc\"", 2), 2);
    assert_int_equal(text_plain_run("", 0), 0);
}

static void copies_and_hex(void **state)
{
    (void)state;
    char small[4], hex[9];
    assert_true(text_copy(small, sizeof(small), "abc"));
    assert_false(text_copy(small, sizeof(small), "abcd"));
    assert_string_equal(small, "abc");
    text_hex("\x00\x7f\xff\x10", 4, hex);
    assert_string_equal(hex, "007fff10");
}

static void integers(void **state)
{
    (void)state;
    int64_t n = -7;
    assert_int_equal(text_int("42", 0, 100, &n, NULL), 0);
    assert_int_equal(n, 42);
    static const char *const bad[] = {"", " 1", "1 ", "0x10", "1e3", "101", "-1", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(text_int(bad[i], 0, 100, &n, NULL), ERR_INVALID);
    assert_int_equal(n, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),      cmocka_unit_test(utf8),           cmocka_unit_test(utf8_anywhere),
        cmocka_unit_test(plain_runs), cmocka_unit_test(copies_and_hex), cmocka_unit_test(integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
