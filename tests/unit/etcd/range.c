#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "internal.h"

static void the_end_of_a_prefix(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *end;
        size_t end_len;
    } rows[] = {
        {"/a/", "/a0", 3}, {"a", "b", 1},         {"a\xff", "b", 1},
        {"", "\0", 1},     {"\xff\xff", "\0", 1}, {"a\xff\x01", "a\xff\x02", 3},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        char out[8];
        assert_int_equal(prefix_end(rows[i].prefix, strlen(rows[i].prefix), out), rows[i].end_len);
        assert_memory_equal(out, rows[i].end, rows[i].end_len);
    }
}

static void copies_end_in_a_nul(void **state)
{
    (void)state;
    Mvccpb__KeyValue from = MVCCPB__KEY_VALUE__INIT;
    from.key = bytes_of("a\0b", 3);
    from.mod_revision = 7;
    from.create_revision = 5;
    from.version = 2;
    from.lease = 9;
    struct etcd_kv kv;
    assert_int_equal(kv_copy(&from, &kv), 0);
    assert_int_equal(kv.key_len, 3);
    assert_memory_equal(kv.key, "a\0b\0", 4);
    assert_int_equal(kv.value_len, 0);
    assert_non_null(kv.value);
    assert_int_equal(kv.value[0], 0);
    assert_int_equal(kv.mod_revision, 7);
    assert_int_equal(kv.create_revision, 5);
    assert_int_equal(kv.version, 2);
    assert_int_equal(kv.lease, 9);
    kv_free(&kv);
    assert_null(kv.key);
    struct etcd_range r = {0};
    etcd_range_free(&r);
    etcd_range_free(NULL);
}

static void keys_have_a_length(void **state)
{
    (void)state;
    struct etcd e = {.name = (char *)"http://x:1"};
    struct error err = ERROR_INIT;
    char key[ETCD_KEY_MAX + 2];
    memset(key, 'k', sizeof(key));
    key[ETCD_KEY_MAX + 1] = 0;
    assert_int_equal(key_check(&e, key, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "http://x:1"));
    key[ETCD_KEY_MAX] = 0;
    assert_int_equal(key_check(&e, key, &err), 0);
    assert_int_equal(key_check(&e, "", &err), ERR_INVALID);
    assert_int_equal(key_check(&e, NULL, &err), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_of_a_prefix),
        cmocka_unit_test(copies_end_in_a_nul),
        cmocka_unit_test(keys_have_a_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
