#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <yaml/yaml.h>

static struct error err = ERROR_INIT;

static struct json *must_parse(const char *json)
{
    struct json *j = NULL;
    if (json_parse(json, strlen(json), "test", &j, &err) < 0)
        fail_msg("%s: %s", json, err.text);
    return j;
}

/* Emits, reads back, and compares the trees. */
static struct secret *emit(const struct json *j)
{
    struct secret *s = NULL;
    assert_int_equal(yaml_emit(j, &s, &err), 0);
    _cleanup_(json_freep) struct json *back = NULL;
    if (yaml_parse((char *)s->data, s->len, "emitted", &back, &err) < 0)
        fail_msg("%s: %s", (char *)s->data, err.text);
    if (!json_equal(j, back))
        fail_msg("read back as something else:\n%s", (char *)s->data);
    return s;
}

static void assert_emits(const char *json, const char *yaml)
{
    _cleanup_(json_freep) struct json *j = must_parse(json);
    _cleanup_(secret_freep) struct secret *s = emit(j);
    assert_string_equal((char *)s->data, yaml);
}

static void an_encryption_config(void **state)
{
    (void)state;
    assert_emits(
        "{\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"kind\":\"EncryptionConfiguration\",\"resources\":[{"
        "\"resources\":[\"secrets\",\"*.apps\"],\"providers\":[{\"aescbc\":{\"keys\":[{\"name\":\"aescbckey-"
        "2021-"
        "12-10T22:54:38Z\",\"secret\":\"c2VjcmV0\"},{\"name\":\"k:1\",\"secret\":\"+abc/"
        "w==\"}]}},{\"identity\":{}"
        "}]}]}",
        "apiVersion: apiserver.config.k8s.io/v1\n"
        "kind: EncryptionConfiguration\n"
        "resources:\n"
        "  - resources:\n"
        "      - secrets\n"
        "      - \"*.apps\"\n"
        "    providers:\n"
        "      - aescbc:\n"
        "          keys:\n"
        "            - name: aescbckey-2021-12-10T22:54:38Z\n"
        "              secret: c2VjcmV0\n"
        "            - name: k:1\n"
        "              secret: \"+abc/w==\"\n"
        "      - identity: {}\n");
}

static void quotes_what_reads_as_something_else(void **state)
{
    (void)state;
    static const char *texts[] = {"",
                                  " ",
                                  "yes",
                                  "No",
                                  "y",
                                  "null",
                                  "~",
                                  "true",
                                  "1",
                                  "1.5",
                                  "0x10",
                                  "0777",
                                  ".inf",
                                  "1e5",
                                  "-",
                                  "- a",
                                  "?",
                                  "a: b",
                                  "a:",
                                  ":a",
                                  "#a",
                                  "a #b",
                                  "&a",
                                  "*a",
                                  "!a",
                                  "|",
                                  ">",
                                  "%a",
                                  "@a",
                                  "`a",
                                  "[a]",
                                  "{a}",
                                  ",",
                                  "'a'",
                                  "\"a\"",
                                  "a\nb",
                                  "\n",
                                  "a\\b",
                                  "\t",
                                  " a",
                                  "a ",
                                  "<<",
                                  "=",
                                  "---",
                                  "...",
                                  "\x7f",
                                  "\x01",
                                  "\x1b",
                                  "\r",
                                  "2021-12-10",
                                  "\xc2\x85",
                                  "\xe2\x80\xa8",
                                  "\xe2\x80\xa9",
                                  "\xef\xbb\xbf",
                                  "\xef\xbf\xbe",
                                  "\xef\xbf\xbf",
                                  "\xc2\xa0",
                                  "\xc3\xa4",
                                  "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < array_len(texts); i++) {
        _cleanup_(json_freep) struct json *j = json_new_object(), *alone = json_new_string(texts[i]);
        assert_int_equal(json_set_string(j, "v", texts[i], &err), 0);
        assert_int_equal(json_set_string(j, texts[i], "as a key", &err), 0);
        _cleanup_(secret_freep) struct secret *a = emit(j);
        assert_int_equal(a->data[3], '"');
        secret_free(emit(alone));
    }
}

static void leaves_plain_what_is_plain(void **state)
{
    (void)state;
    assert_emits(
        "[\"secrets\",\"deployments.apps\",\"aGVsbG8=\",\"unix:///run/kms.sock\",\"/registry/"
        "secrets\",\"k-1_2\"]",
        "- secrets\n- deployments.apps\n- aGVsbG8=\n- unix:///run/kms.sock\n- /registry/secrets\n- k-1_2\n");
}

static void nests(void **state)
{
    (void)state;
    assert_emits("[[[1,2],[]],{\"a\":{\"b\":[{\"c\":null}]}},[{\"d\":true,\"e\":{}}]]",
                 "- - - 1\n    - 2\n  - []\n- a:\n    b:\n      - c: null\n- - d: true\n    e: {}\n");
    assert_emits("{}", "{}\n");
    assert_emits("[]", "[]\n");
    assert_emits("null", "null\n");
    assert_emits("-1.5", "-1.5\n");
}

static void numbers_keep_their_digits(void **state)
{
    (void)state;
    assert_emits("[9007199254740993,18446744073709551615,0.1,1e+300]",
                 "- 9007199254740993\n- 18446744073709551615\n- 0.1\n- 1e+300\n");
}

/* A reader looks 1024 characters ahead for a key's end. */
static void long_keys(void **state)
{
    (void)state;
    char key[3000];
    memset(key, '\x01', sizeof(key));
    for (size_t len = 120; len < sizeof(key); len += 97) {
        key[len] = 0;
        _cleanup_(json_freep) struct json *j = must_parse("{\"first\":{}}");
        assert_int_equal(json_set_string(json_member(j, "first"), key, "v", &err), 0);
        assert_int_equal(json_set(j, key, json_copy(j), &err), 0);
        secret_free(emit(j));
        key[len] = '\x01';
    }
}

static void a_built_depth_is_bounded(void **state)
{
    (void)state;
    struct json *j = json_new_null();
    for (int i = 0; i < 500; i++) {
        struct json *outer = json_new_array();
        assert_int_equal(json_append(outer, j, &err), 0);
        j = outer;
    }
    struct secret *s = NULL;
    assert_int_equal(yaml_emit(j, &s, &err), ERR_INTERNAL);
    assert_null(s);
    json_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_encryption_config),       cmocka_unit_test(quotes_what_reads_as_something_else),
        cmocka_unit_test(leaves_plain_what_is_plain), cmocka_unit_test(nests),
        cmocka_unit_test(numbers_keep_their_digits),  cmocka_unit_test(long_keys),
        cmocka_unit_test(a_built_depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
