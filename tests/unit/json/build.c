#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <json/json.h>

static struct error err = ERROR_INIT;

static struct json *must_parse(const char *text)
{
    struct json *j = NULL;
    if (json_parse(text, strlen(text), "test", &j, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return j;
}

static void assert_text(const struct json *j, const char *due)
{
    _cleanup_(buf_freep) struct buf b = BUF_INIT(10000);
    assert_int_equal(json_print(j, &b, &err), 0);
    assert_string_equal(buf_str(&b), due);
    _cleanup_(json_freep) struct json *again = must_parse(buf_str(&b)); /* every tree reads back */
    assert_true(json_equal(j, again));
}

static void builds(void **state)
{
    (void)state;
    _cleanup_(json_freep) struct json *j = json_new_object();
    struct json *list = json_new_array();
    assert_int_equal(json_append(list, json_new_string("x"), &err), 0);
    assert_int_equal(json_append(list, json_new_null(), &err), 0);
    assert_int_equal(json_set_string(j, "s", "a\"b", &err), 0);
    assert_int_equal(json_set_int(j, "i", -5, &err), 0);
    assert_int_equal(json_set_int(j, "max", INT64_MAX, &err), 0);
    assert_int_equal(json_set_bool(j, "b", true, &err), 0);
    assert_int_equal(json_set(j, "l", list, &err), 0);
    assert_text(j, "{\"s\":\"a\\\"b\",\"i\":-5,\"max\":9223372036854775807,\"b\":true,\"l\":[\"x\",null]}");
}

static void set_replaces_in_place(void **state)
{
    (void)state;
    _cleanup_(json_freep) struct json *j = must_parse("{\"a\":1,\"b\":{\"x\":2},\"c\":3}");
    assert_int_equal(json_set_string(j, "b", "new", &err), 0);
    assert_int_equal(json_set_int(j, "a", 9, &err), 0);
    assert_int_equal(json_set_bool(j, "c", false, &err), 0);
    assert_int_equal(json_set_bool(j, "d", false, &err), 0);
    assert_text(j, "{\"a\":9,\"b\":\"new\",\"c\":false,\"d\":false}");
    _cleanup_(json_freep) struct json *one = must_parse("{\"a\":1}");
    assert_int_equal(json_set_int(one, "a", 2, &err), 0);
    assert_int_equal(json_set_int(one, "b", 3, &err), 0);
    assert_text(one, "{\"a\":2,\"b\":3}");
}

static void null_values_are_no_memory(void **state)
{
    (void)state;
    _cleanup_(json_freep) struct json *j = must_parse("{\"a\":1}");
    assert_int_equal(json_set(j, "a", NULL, &err), ERR_NO_MEMORY);
    assert_int_equal(json_set(j, "b", NULL, &err), ERR_NO_MEMORY);
    assert_int_equal(json_append(j, NULL, &err), ERR_NO_MEMORY);
    assert_int_equal(json_insert(j, 0, NULL, &err), ERR_NO_MEMORY);
    assert_text(j, "{\"a\":1}");
}

static void edits_arrays(void **state)
{
    (void)state;
    _cleanup_(json_freep) struct json *j = must_parse("[\"b\",\"d\"]");
    assert_int_equal(json_insert(j, 0, json_new_string("a"), &err), 0);
    assert_int_equal(json_insert(j, 2, json_new_string("c"), &err), 0);
    assert_int_equal(json_insert(j, 4, json_new_string("e"), &err), 0);
    assert_int_equal(json_insert(j, 99, json_new_string("f"), &err), 0);
    assert_text(j, "[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"]");
    struct json *last = json_detach(j, json_element(j, 5));
    assert_int_equal(json_insert(j, 0, last, &err), 0);
    json_remove(j, json_element(j, 1));
    assert_int_equal(json_append(j, json_new_string("z"), &err), 0);
    assert_text(j, "[\"f\",\"b\",\"c\",\"d\",\"e\",\"z\"]");
    assert_null(json_element(j, 6));
    _cleanup_(json_freep) struct json *empty = must_parse("[]");
    assert_int_equal(json_insert(empty, 0, json_new_null(), &err), 0);
    json_remove(empty, json_element(empty, 0));
    assert_int_equal(json_append(empty, json_new_null(), &err), 0);
    assert_text(empty, "[null]");
}

/* A member that becomes an element has no name any more, and the other way round. */
static void moves_between_kinds(void **state)
{
    (void)state;
    _cleanup_(json_freep) struct json *j = must_parse("{\"from\":{\"m\":1,\"n\":2},\"to\":[]}");
    struct json *from = json_member(j, "from"), *to = json_member(j, "to");
    assert_int_equal(json_append(to, json_detach(from, json_member(from, "m")), &err), 0);
    assert_null(json_key(json_first(to)));
    assert_text(j, "{\"from\":{\"n\":2},\"to\":[1]}");
    assert_int_equal(json_set(from, "back", json_detach(to, json_element(to, 0)), &err), 0);
    assert_text(j, "{\"from\":{\"n\":2,\"back\":1},\"to\":[]}");
}

static void copies_deeply(void **state)
{
    (void)state;
    _cleanup_(json_freep) struct json *j = must_parse("{\"a\":{\"n\":9007199254740993,\"l\":[\"x\"]}}");
    _cleanup_(json_freep) struct json *copy = json_copy(json_get(j, "a"));
    assert_null(json_key(copy));
    assert_int_equal(json_set_int(json_member(j, "a"), "n", 1, &err), 0);
    assert_text(copy, "{\"n\":9007199254740993,\"l\":[\"x\"]}");
}

static void repairs_text_that_is_not_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *due;
    } cases[] = {
        {"plain", "\"plain\""},
        {"\xff", "\"\xef\xbf\xbd\""},
        {"a\xc3(b", "\"a\xef\xbf\xbd(b\""},
        {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xc3\xa4\xed\xa0\x80\xf0\x9f\x98\x80",
         "\"\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x98\x80\""},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        _cleanup_(json_freep) struct json *j = json_new_string(cases[i].bytes);
        assert_text(j, cases[i].due);
    }
}

static void adds_and_finds_twins(void **state)
{
    (void)state;
    bool no_memory = true;
    _cleanup_(json_freep) struct json *j = must_parse("{\"a\":1,\"b\":2}");
    assert_true(json_unique(j, &no_memory));
    assert_false(no_memory);
    assert_int_equal(json_add(j, "a", json_new_null(), &err), 0);
    assert_false(json_unique(j, &no_memory));
    assert_false(no_memory);
}

static void free_of_null_is_safe(void **state)
{
    (void)state;
    json_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds),
        cmocka_unit_test(set_replaces_in_place),
        cmocka_unit_test(null_values_are_no_memory),
        cmocka_unit_test(edits_arrays),
        cmocka_unit_test(moves_between_kinds),
        cmocka_unit_test(copies_deeply),
        cmocka_unit_test(repairs_text_that_is_not_utf8),
        cmocka_unit_test(adds_and_finds_twins),
        cmocka_unit_test(free_of_null_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
