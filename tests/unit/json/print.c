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

static void assert_prints(const char *text, const char *due)
{
    _cleanup_(json_freep) struct json *j = must_parse(text);
    _cleanup_(buf_freep) struct buf b = BUF_INIT(10000);
    struct error err = ERROR_INIT;
    assert_int_equal(json_print(j, &b, &err), 0);
    assert_string_equal(buf_str(&b), due);
    _cleanup_(secret_freep) struct secret *s = NULL;
    assert_int_equal(json_print_secret(j, &s, &err), 0);
    assert_int_equal(s->len, strlen(due));
    assert_string_equal((const char *)s->data, due);
}

/* Documents that must come out as they went in, byte for byte. */
static void keeps_documents(void **state)
{
    (void)state;
    static const char *texts[] = {
        "{}",
        "[]",
        "null",
        "{\"z\":1,\"a\":[true,false,null,{}],\"\":\"\"}",
        "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\x7f \xc3\xa4\xf0\x9f\x98\x80/\"",
        "[0,-1,2147483648,4294967296,9007199254740991,9007199254740992,-9007199254740991]",
        "[9007199254740993,18446744073709551615,123456789012345678901234567890]",
        "[0.1,1.5,-2.25,1e+300,1.0,-0,1E5,0.30000000000000004,3.141592653589793238462643383279]",
        "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/"
        "v1\",\"resources\":[{\"resources\":"
        "[\"secrets\"],\"providers\":[{\"aescbc\":{\"keys\":[{\"name\":\"aescbckey\",\"secret\":\"c2VjcmV0\"}"
        "]}},"
        "{\"identity\":{}}]}]}",
    };
    for (size_t i = 0; i < array_len(texts); i++)
        assert_prints(texts[i], texts[i]);
}

static void drops_layout_only(void **state)
{
    (void)state;
    assert_prints(" { \"a\" : [ 1 , 2 ] , \"b\" : \"\\u0041\\/\" } ", "{\"a\":[1,2],\"b\":\"A/\"}");
}

static void appends(void **state)
{
    (void)state;
    _cleanup_(json_freep) struct json *j = must_parse("{\"a\":{\"b\":[1]}}");
    _cleanup_(buf_freep) struct buf b = BUF_INIT(100);
    struct error err = ERROR_INIT;
    assert_int_equal(buf_adds(&b, "x=", &err), 0);
    assert_int_equal(json_print(json_get(j, "a"), &b, &err), 0);
    assert_string_equal(buf_str(&b), "x={\"b\":[1]}");
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
    (void)state;
    _cleanup_(json_freep) struct json *j = must_parse("[1,2,3,4,5,6,7,8,9]");
    _cleanup_(buf_freep) struct buf b = BUF_INIT(10);
    struct error err = ERROR_INIT;
    assert_int_equal(buf_adds(&b, "x=", &err), 0);
    assert_int_equal(json_print(j, &b, &err), ERR_TOO_LARGE);
    assert_string_equal(buf_str(&b), "x=");
    assert_int_equal(b.len, 2);
}

static void assert_canonical(const char *text, const char *due)
{
    _cleanup_(json_freep) struct json *j = must_parse(text);
    _cleanup_(secret_freep) struct secret *s = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(json_print_canonical(j, &s, &err), 0);
    assert_string_equal((const char *)s->data, due);
}

static void canonical_form(void **state)
{
    (void)state;
    assert_canonical("{\"b\":[{\"z\":1,\"y\":2},3],\"a\":{\"d\":null,\"c\":true}}",
                     "{\"a\":{\"c\":true,\"d\":null},\"b\":[{\"y\":2,\"z\":1},3]}");
    assert_canonical("[1.0,1e2,100]", "[1,100,100]");
    assert_canonical("[9007199254740993]", "[9007199254740993]");
}

/* What a program nests without end is refused; parsed text cannot get there. */
static void a_built_depth_is_bounded(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct json *j = json_new_array();
    for (int i = 0; i < 500; i++) {
        struct json *outer = json_new_array();
        assert_int_equal(json_append(outer, j, &err), 0);
        j = outer;
    }
    _cleanup_(buf_freep) struct buf b = BUF_INIT(10000);
    assert_int_equal(json_print(j, &b, &err), ERR_INTERNAL);
    assert_string_equal(buf_str(&b), "");
    json_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_documents), cmocka_unit_test(drops_layout_only),
        cmocka_unit_test(appends),         cmocka_unit_test(a_full_buffer_is_left_as_it_was),
        cmocka_unit_test(canonical_form),  cmocka_unit_test(a_built_depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
