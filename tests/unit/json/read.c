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

static void getters_fall_back(void **state)
{
    (void)state;
    _cleanup_(json_freep) struct json *j = must_parse("{\"s\":\"x\",\"i\":7,\"d\":1.5,\"b\":true,\"a\":[]}");
    assert_null(json_get(j, "none"));
    assert_null(json_get(j, "S"));
    assert_null(json_get(NULL, "s"));
    assert_null(json_get(json_get(j, "a"), "s"));
    assert_null(json_get(json_get(j, "s"), "s"));
    assert_string_equal(json_string(NULL, "fallback"), "fallback");
    assert_string_equal(json_string(json_get(j, "i"), "fallback"), "fallback");
    assert_int_equal(json_int(json_get(j, "s"), 5), 5);
    assert_int_equal(json_int(json_get(j, "d"), 5), 5);
    assert_int_equal(json_int(NULL, 5), 5);
    assert_true(json_bool(json_get(j, "i"), true));
    assert_false(json_bool(NULL, false));
}

static void whole_numbers_have_a_range(void **state)
{
    (void)state;
    _cleanup_(json_freep) struct json *j =
        must_parse("[9007199254740992,-9007199254740992,9007199254740993,1e300,1e3,2.0]");
    static const int64_t due[] = {INT64_C(9007199254740992), INT64_C(-9007199254740992), -1, -1, 1000, 2};
    const struct json *e = json_first(j);
    for (size_t i = 0; i < array_len(due); i++, e = json_next(e))
        assert_int_equal(json_int(e, -1), due[i]);
    assert_null(e);
}

static void iterates(void **state)
{
    (void)state;
    _cleanup_(json_freep) struct json *j = must_parse("{\"b\":[10,20],\"a\":1}");
    const struct json *m = json_first(j);
    assert_string_equal(json_key(m), "b");
    const struct json *e = json_first(m);
    assert_null(json_key(e));
    assert_int_equal(json_int(json_next(e), 0), 20);
    assert_null(json_next(json_next(e)));
    m = json_next(m);
    assert_string_equal(json_key(m), "a");
    assert_null(json_next(m));
    assert_null(json_key(j));
    assert_null(json_first(m));
    assert_null(json_next(j));
    assert_null(json_first(NULL));
    assert_int_equal(json_count(NULL), 0);
}

static void needs_name_the_member(void **state)
{
    (void)state;
    _cleanup_(json_freep) struct json *j = must_parse("{\"s\":\"four\",\"i\":7,\"d\":1.5,\"b\":true}");
    char out[5] = "old";
    int64_t n = 0;
    bool b = false;
    struct error err = ERROR_INIT;
    assert_int_equal(json_need_string(j, "s", out, sizeof(out), &err), 0);
    assert_string_equal(out, "four");
    assert_int_equal(json_need_string(j, "s", out, 4, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "\"s\""));
    assert_null(strstr(err.text, "four"));
    assert_int_equal(json_need_string(j, "none", out, sizeof(out), &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "\"none\""));
    assert_int_equal(json_need_string(j, "i", out, sizeof(out), &err), ERR_INVALID);
    assert_int_equal(json_need_int(j, "i", &n, &err), 0);
    assert_int_equal(n, 7);
    assert_int_equal(json_need_int(j, "d", &n, &err), ERR_INVALID);
    assert_int_equal(json_need_int(j, "s", &n, &err), ERR_INVALID);
    assert_int_equal(n, 7);
    assert_int_equal(json_need_bool(j, "b", &b, &err), 0);
    assert_true(b);
    assert_int_equal(json_need_bool(j, "i", &b, &err), ERR_INVALID);
}

static bool same(const char *a, const char *b)
{
    _cleanup_(json_freep) struct json *x = must_parse(a), *y = must_parse(b);
    assert_int_equal(json_equal(x, y), json_equal(y, x));
    return json_equal(x, y);
}

static void equality(void **state)
{
    (void)state;
    assert_true(same("{\"a\":1,\"b\":[1,2]}", "{ \"b\" : [1, 2.0], \"a\": 1 }"));
    assert_true(same("{\"a\":1,\"b\":2,\"c\":3}", "{\"c\":3,\"a\":1,\"b\":2}"));
    assert_false(same("[1,2]", "[2,1]"));
    assert_false(same("[1,2]", "[1,2,3]"));
    assert_false(same("{\"a\":1}", "{\"b\":1}"));
    assert_false(same("{\"a\":1}", "{\"a\":2}"));
    assert_false(same("{\"a\":1}", "{\"a\":1,\"b\":1}"));
    assert_false(same("[]", "{}"));
    assert_false(same("true", "false"));
    assert_false(same("null", "false"));
    assert_false(same("\"1\"", "1"));
    assert_true(same("null", "null"));
    assert_false(same("9007199254740992", "9007199254740993"));
    assert_false(same("90071992547409930", "90071992547409931"));
    assert_true(same("18446744073709551615", "18446744073709551615"));
    assert_true(json_equal(NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(getters_fall_back), cmocka_unit_test(whole_numbers_have_a_range),
        cmocka_unit_test(iterates),          cmocka_unit_test(needs_name_the_member),
        cmocka_unit_test(equality),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
