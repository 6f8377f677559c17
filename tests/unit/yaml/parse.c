#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <yaml/yaml.h>

static void assert_reads(const char *text, const char *json)
{
    _cleanup_(json_freep) struct json *j = NULL;
    _cleanup_(buf_freep) struct buf b = BUF_INIT(100000);
    struct error err = ERROR_INIT;
    if (yaml_parse(text, strlen(text), "test", &j, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    assert_int_equal(json_print(j, &b, &err), 0);
    assert_string_equal(buf_str(&b), json);
}

static void must_refuse_bytes(const char *text, size_t len, const char *why)
{
    struct json *j = NULL;
    struct error err = ERROR_INIT;
    int rc = yaml_parse(text, len, "the source", &j, &err);
    if (rc != ERR_INVALID || !strstr(err.text, why) || strncmp(err.text, "the source: ", 12) != 0)
        fail_msg("%s: rc %d, text '%s', not '%s'", text, rc, err.text, why);
    assert_null(j);
    assert_null(strstr(err.text, "PLANTED"));
}

static void an_encryption_config(void **state)
{
    (void)state;
    assert_reads(
        "# which keys, and in which order\n"
        "---\n"
        "apiVersion: apiserver.config.k8s.io/v1\n"
        "kind: EncryptionConfiguration\n"
        "resources:\n"
        "  - resources:   # the rotated ones\n"
        "    - secrets\n"
        "    - '*.apps'\n"
        "    providers:\n"
        "    - aescbc:\n"
        "        keys:\n"
        "        - name: aescbckey-2021-12-10T22:54:38Z\n"
        "          secret: c2VjcmV0\n"
        "    - kms: {name: vault, endpoint: \"unix:///run/kms.sock\", cachesize: 100, timeout: 3s}\n"
        "    - identity: {}\n"
        "...\n",
        "{\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"kind\":\"EncryptionConfiguration\",\"resources\":[{"
        "\"resources\":[\"secrets\",\"*.apps\"],\"providers\":[{\"aescbc\":{\"keys\":[{\"name\":\"aescbckey-"
        "2021-12-10T22:54:38Z\",\"secret\":\"c2VjcmV0\"}]}},{\"kms\":{\"name\":\"vault\",\"endpoint\":\"unix:"
        "///"
        "run/kms.sock\",\"cachesize\":100,\"timeout\":\"3s\"}},{\"identity\":{}}]}]}");
}

static void scalars(void **state)
{
    (void)state;
    assert_reads("[yes, 'yes', \"yes\", 0x10, '0x10', 1.5, ~, null, '', 2021-12-10]",
                 "[true,\"yes\",\"yes\",16,\"0x10\",1.5,null,null,\"\",\"2021-12-10\"]");
    assert_reads("a:\nb: |\n  x\n  y\nc: >-\n  x\n  y\n", "{\"a\":null,\"b\":\"x\\ny\\n\",\"c\":\"x y\"}");
    assert_reads("\"\\u00e4\\t\\x41\\U0001F600\"", "\"\xc3\xa4\\tA\xf0\x9f\x98\x80\"");
    assert_reads("[18446744073709551615, 9007199254740993]", "[18446744073709551615,9007199254740993]");
}

static void documents(void **state)
{
    (void)state;
    assert_reads("", "null");
    assert_reads("# nothing\n", "null");
    assert_reads("---\n", "null");
    assert_reads("\xef\xbb\xbf"
                 "a: 1\n",
                 "{\"a\":1}");
    assert_reads("{\"json\":[1,{\"is\":\"yaml\"},true]}", "{\"json\":[1,{\"is\":\"yaml\"},true]}");
    assert_reads("- - - a\n", "[[[\"a\"]]]");
    assert_reads("? a\n: b\n", "{\"a\":\"b\"}");
}

static void keys_become_strings(void **state)
{
    (void)state;
    assert_reads("1: a\nyes: b\n0x10: c\n'2': d\n", "{\"1\":\"a\",\"true\":\"b\",\"16\":\"c\",\"2\":\"d\"}");
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"a: 1\n---\nb: 2\n", "more than one document"},
        {"a: &x PLANTED\n", "anchors and aliases"},
        {"a: &x {}\n", "anchors and aliases"},
        {"a: &x []\n", "anchors and aliases"},
        {"a: *x\n", "anchors and aliases"},
        {"a: &a [x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\n", "anchors and aliases"},
        {"a: !!str 1\n", "tags"},
        {"a: !!binary PLANTED\n", "tags"},
        {"a: ! x\n", "tags"},
        {"!foo {}\n", "tags"},
        {"<<: {a: 1}\n", "merge keys"},
        {"{a: 1}: b\n", "a key must be a scalar"},
        {"? [a]\n: b\n", "a key must be a scalar"},
        {"~: PLANTED\n", "a key must be a string"},
        {"1.5: x\n", "a key must be a string"},
        {".nan: x\n", "a key must be a string"},
        {"18446744073709551615: x\n", "out of range"},
        {"a: 1\na: 2\n", "one key twice"},
        {"a: 1\n'a': 2\n", "one key twice"},
        {"- x:\n    PLANTED: 1\n    PLANTED: 1\n", "one key twice"},
        {"1: a\n0x1: b\n", "one key twice"},
        {"a: .inf\n", "no numbers of JSON"},
        {"a: \"x\\0PLANTED\"\n", "a NUL in a string"},
        {"a: [PLANTED\n", "line"},
        {"a: 'PLANTED\n", "line"},
        {"a: b: PLANTED\n", "line"},
        {"a:\n\t- PLANTED\n", "line"},
        {"a: PLANTED\n b: 1\n", "line"},
        {"a: %PLANTED\n", "line"},
        {"@PLANTED\n", "line"},
        {"a: \xff\n", "not UTF-8"},
        {"a: \xed\xa0\x80\n", "not UTF-8"},
        {"a: \"\\ud800\"\n", "line"},
        {"a: \x01\n", "line"},
    };
    for (size_t i = 0; i < array_len(cases); i++)
        must_refuse_bytes(cases[i].text, strlen(cases[i].text), cases[i].why);
    must_refuse_bytes("a: b\0c\n", 7, "NUL");
    must_refuse_bytes("a\0:\0 \0b\0", 8, "NUL"); /* UTF-16 */
    must_refuse_bytes("\xff\xfe"
                      "a\0",
                      4, "not UTF-8"); /* with its mark */
}

static void tells_line_and_column(void **state)
{
    (void)state;
    must_refuse_bytes("a: 1\nb:\n  c: *x\n", 16, "line 3, column 6");
    must_refuse_bytes("a: 1\nb: 2\na: 3\n", 15, "line 4");
}

static void bounds_the_depth(void **state)
{
    (void)state;
    char text[400];
    for (int open = 64; open <= 65; open++) {
        memset(text, '[', (size_t)open);
        memset(text + open, ']', (size_t)open);
        text[2 * open] = 0;
        struct json *j = NULL;
        struct error err = ERROR_INIT;
        assert_int_equal(yaml_parse(text, strlen(text), "t", &j, &err), open == 64 ? 0 : ERR_INVALID);
        json_free(j);
    }
    must_refuse_bytes(text, strlen(text), "nested more than 64 deep");
    size_t len = 1024 * 1024;
    _cleanup_free_ char *big = malloc(len + 1);
    memset(big, '[', len);
    big[len] = 0;
    must_refuse_bytes(big, len, "nested more than 64 deep");
    for (size_t i = 0; i + 1 < len; i += 2)
        memcpy(big + i, "- ", 2);
    must_refuse_bytes(big, len, "nested more than 64 deep");
}

static void a_wide_mapping_is_cheap(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_(buf_freep) struct buf b = BUF_INIT(4 * 1024 * 1024);
    for (int i = 0; i < 50000; i++)
        assert_int_equal(buf_addf(&b, &err, "k%d: 1\n", i), 0);
    _cleanup_(json_freep) struct json *j = NULL;
    assert_int_equal(yaml_parse(b.data, b.len, "t", &j, &err), 0);
    assert_int_equal(json_count(j), 50000);
}

/* A program that uses the room frees libyaml's memory by the room's function, not by libyaml's own. */
static void libyaml_takes_our_allocator(void **state)
{
    (void)state;
    static const char *const functions[] = {"yaml_malloc", "yaml_realloc", "yaml_free", "yaml_strdup"};
    Dl_info here, there;
    assert_int_not_equal(dladdr((void *)(uintptr_t)libyaml_takes_our_allocator, &here), 0);
    for (size_t i = 0; i < array_len(functions); i++) {
        void *f = dlsym(RTLD_DEFAULT, functions[i]);
        assert_non_null(f);
        assert_int_not_equal(dladdr(f, &there), 0);
        assert_ptr_equal(there.dli_fbase, here.dli_fbase);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_encryption_config),
        cmocka_unit_test(scalars),
        cmocka_unit_test(documents),
        cmocka_unit_test(keys_become_strings),
        cmocka_unit_test(refuses),
        cmocka_unit_test(tells_line_and_column),
        cmocka_unit_test(bounds_the_depth),
        cmocka_unit_test(a_wide_mapping_is_cheap),
        cmocka_unit_test(libyaml_takes_our_allocator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
