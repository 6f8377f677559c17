#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/cleanup.h>

#include "reencrypt/names.h"

static void names_from_keys(void **state)
{
    (void)state;
    struct kube_object o;
    assert_int_equal(names_parse("default/db", true, &o, NULL), 0);
    assert_string_equal(o.namespace, "default");
    assert_string_equal(o.name, "db");
    assert_int_equal(names_parse("system:node:s1", false, &o, NULL), 0);
    assert_string_equal(o.namespace, "");
    assert_string_equal(o.name, "system:node:s1");
}

static void what_is_no_name_is_refused(void **state)
{
    (void)state;
    char long_name[2 * KUBE_NAME_MAX + 4];
    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = 0;
    const struct {
        const char *rest;
        bool namespaced;
    } cases[] = {
        {"db", true}, {"/db", true}, {"default/", true},    {"a/b/c", true},
        {"", true},   {"", false},   {"default/db", false}, {long_name, false},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        struct kube_object o;
        struct error err = ERROR_INIT;
        assert_int_equal(names_parse(cases[i].rest, cases[i].namespaced, &o, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, "datastore.prefix"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_from_keys),
                                       cmocka_unit_test(what_is_no_name_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
