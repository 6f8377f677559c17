#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <json/json.h>

static struct json *must_parse(const char *text)
{
    struct json *j = NULL;
    struct error err = ERROR_INIT;
    if (json_parse(text, strlen(text), "test", &j, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return j;
}

static void must_refuse_bytes(const char *text, size_t len, const char *why)
{
    struct json *j = NULL;
    struct error err = ERROR_INIT;
    int rc = json_parse(text, len, "the source", &j, &err);
    if (rc != ERR_INVALID || !strstr(err.text, why) || strncmp(err.text, "the source: ", 12) != 0)
        fail_msg("%s: rc %d, text '%s', not '%s'", text, rc, err.text, why);
    assert_null(j);
}

static void reads_every_type(void **state)
{
    (void)state;
    _cleanup_(json_freep) struct json *j = must_parse(
        " {\"n\":null,\"t\":true,\"f\":false,\"i\":-12,\"d\":0.5,\"s\":\"x\",\"a\":[1,[],{}],\"o\":{}} \n");
    assert_int_equal(json_type(j), JSON_OBJECT);
    assert_int_equal(json_type(json_get(j, "n")), JSON_NULL);
    assert_true(json_bool(json_get(j, "t"), false));
    assert_false(json_bool(json_get(j, "f"), true));
    assert_int_equal(json_int(json_get(j, "i"), 0), -12);
    assert_int_equal(json_type(json_get(j, "d")), JSON_NUMBER);
    assert_string_equal(json_string(json_get(j, "s"), ""), "x");
    assert_int_equal(json_count(json_get(j, "a")), 3);
    assert_int_equal(json_count(json_get(j, "o")), 0);
}

static void reads_scalars_alone(void **state)
{
    (void)state;
    static const char *texts[] = {"null", "true", "0", "-0", "1e3", "\"\"", "[]", "{}", "\t[ 1 , 2 ]\r\n"};
    for (size_t i = 0; i < array_len(texts); i++)
        json_free(must_parse(texts[i]));
}

static void decodes_escapes(void **state)
{
    (void)state;
    _cleanup_(json_freep) struct json *j =
        must_parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e4\\u20AC\\ud83d\\ude00 \xc3\xa4\"");
    assert_string_equal(json_string(j, ""), "\"\\/\b\f\n\r\tA\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 \xc3\xa4");
}

static void refuses_bad_syntax(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "ends too early"},
        {"   ", "ends too early"},
        {"{", "ends too early"},
        {"{\"a\"", "ends too early"},
        {"{\"a\":", "ends too early"},
        {"{\"a\":1", "ends too early"},
        {"{\"a\":1,", "ends too early"},
        {"[1,", "ends too early"},
        {"\"abc", "ends too early"},
        {"\"abc\\", "ends too early"},
        {"{\"a\":1,}", "member's name"},
        {"{a:1}", "member's name"},
        {"{1:1}", "member's name"},
        {"{\"a\" 1}", "':' is due"},
        {"{\"a\":1 \"b\":2}", "',' or '}' is due"},
        {"[1 2]", "',' or ']' is due"},
        {"[1,]", "a value is due"},
        {"[1}", "',' or ']' is due"},
        {"tru", "a value is due"},
        {"nul", "a value is due"},
        {"True", "a value is due"},
        {"NaN", "a value is due"},
        {"'a'", "a value is due"},
        {"1 2", "more text after"},
        {"{}x", "more text after"},
        {"{} {}", "more text after"},
        {"01", "malformed number"},
        {"-", "malformed number"},
        {"1.", "malformed number"},
        {".5", "a value is due"},
        {"+1", "a value is due"},
        {"1e", "malformed number"},
        {"1e+", "malformed number"},
        {"0x10", "more text after"},
        {"1e999", "a number out of range"},
        {"\"\\x\"", "unknown escape"},
        {"\"\\u12g4\"", "four hex digits"},
        {"\"\\u0000\"", "\\u0000"},
        {"\"\\ud800\"", "surrogate"},
        {"\"\\ud800\\u0041\"", "surrogate"},
        {"\"\\udc00\"", "surrogate"},
        {"\"a\nb\"", "control character"},
        {"\"\xff\"", "not UTF-8"},
        {"\"\xc0\x80\"", "not UTF-8"},
        {"\"\xed\xa0\x80\"", "not UTF-8"},
        {"\"\xe2\x82\"", "not UTF-8"},
        {"\"\xf4\x90\x80\x80\"", "not UTF-8"},
        {"\xef\xbb\xbf{}", "a value is due"},
        {"\xa0", "a value is due"},
        {"// no\n1", "a value is due"},
    };
    for (size_t i = 0; i < array_len(cases); i++)
        must_refuse_bytes(cases[i].text, strlen(cases[i].text), cases[i].why);
}

static void refuses_nuls(void **state)
{
    (void)state;
    must_refuse_bytes("\"a\0b\"", 5, "NUL");
    must_refuse_bytes("1\0", 2, "more text after");
    must_refuse_bytes("\0", 1, "a value is due");
    must_refuse_bytes("{\"a\0\":1}", 8, "NUL");
}

static void refuses_twins(void **state)
{
    (void)state;
    static const char *texts[] = {
        "{\"a\":1,\"a\":1}",
        "{\"a\":1,\"b\":2,\"\\u0061\":3}",
        "[{\"x\":{\"k\":1,\"l\":{},\"k\":2}}]",
        "{\"\":1,\"\":2}",
    };
    for (size_t i = 0; i < array_len(texts); i++)
        must_refuse_bytes(texts[i], strlen(texts[i]), "two members of one name");
    json_free(must_parse("{\"a\":1,\"A\":2,\"b\":{\"a\":1}}"));
}

static void tells_line_and_column(void **state)
{
    (void)state;
    must_refuse_bytes("{\n  \"a\": 1,\n  \"b\": ?\n}", 23, "line 3, column 8");
    must_refuse_bytes("x", 1, "line 1, column 1");
}

static void never_repeats_the_text(void **state)
{
    (void)state;
    static const char *texts[] = {"{\"k\":\"PLANTED\"", "[\"PLANTED\" PLANTED]", "PLANTED",
                                  "{\"PLANTED\":1,\"PLANTED\":2}", "\"PLANTED\\x\""};
    for (size_t i = 0; i < array_len(texts); i++) {
        struct json *j = NULL;
        struct error err = ERROR_INIT;
        assert_int_equal(json_parse(texts[i], strlen(texts[i]), "f", &j, &err), ERR_INVALID);
        assert_null(strstr(err.text, "PLANT"));
    }
}

static void bounds_the_depth(void **state)
{
    (void)state;
    char text[200];
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    text[128] = 0;
    json_free(must_parse(text));
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    must_refuse_bytes(text, 130, "nested more than 64 deep");
}

/* A hostile depth ends at level 65, not in the stack's end. */
static void a_huge_depth_is_cheap(void **state)
{
    (void)state;
    size_t len = 20 * 1024 * 1024;
    _cleanup_free_ char *text = malloc(len);
    assert_non_null(text);
    struct error err = ERROR_INIT;
    struct json *j = NULL;
    memset(text, '[', len);
    assert_int_equal(json_parse(text, len, "f", &j, &err), ERR_INVALID);
    for (size_t i = 0; i + 5 <= len; i += 5)
        memcpy(text + i, "{\"a\":", 5);
    assert_int_equal(json_parse(text, len, "f", &j, &err), ERR_INVALID);
}

/* 200,000 members: a check of every pair for twins would not end in the test's time. */
static void a_wide_object_is_cheap(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_(buf_freep) struct buf b = BUF_INIT(8 * 1024 * 1024);
    assert_int_equal(buf_adds(&b, "{\"x\":0", &err), 0);
    for (int i = 0; i < 200000; i++)
        assert_int_equal(buf_addf(&b, &err, ",\"%d\":1", i), 0);
    assert_int_equal(buf_adds(&b, "}", &err), 0);
    _cleanup_(json_freep) struct json *j = must_parse(b.data);
    assert_int_equal(json_count(j), 200001);
}

static void works_without_error(void **state)
{
    (void)state;
    struct json *j = NULL;
    assert_int_equal(json_parse("{", 1, "f", &j, NULL), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_type),       cmocka_unit_test(reads_scalars_alone),
        cmocka_unit_test(decodes_escapes),        cmocka_unit_test(refuses_bad_syntax),
        cmocka_unit_test(refuses_nuls),           cmocka_unit_test(refuses_twins),
        cmocka_unit_test(tells_line_and_column),  cmocka_unit_test(never_repeats_the_text),
        cmocka_unit_test(bounds_the_depth),       cmocka_unit_test(a_huge_depth_is_cheap),
        cmocka_unit_test(a_wide_object_is_cheap), cmocka_unit_test(works_without_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
