#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "internal.h"

static void endpoints_with_and_without_a_scheme(void **state)
{
    (void)state;
    static const struct {
        const char *text, *address;
        enum scheme scheme;
    } rows[] = {
        {"http://127.0.0.1:2379", "127.0.0.1:2379", SCHEME_PLAIN},
        {"https://etcd-1:2379", "etcd-1:2379", SCHEME_TLS},
        {"https://[fd00::1]:2379/", "[fd00::1]:2379", SCHEME_TLS},
        {"10.0.0.1:2379", "10.0.0.1:2379", SCHEME_NONE},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct endpoint e;
        struct error err = ERROR_INIT;
        if (endpoint_parse(rows[i].text, &e, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(e.address, rows[i].address);
        assert_int_equal(e.scheme, rows[i].scheme);
    }
}

static void malformed_endpoints_are_named(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",          "https://",         "http:///",       "127.0.0.1",           "https://host",
        "ftp://h:1", "unix:///run/etcd", "http://h:99999", "http://h:1/v3",       "http://u:p@h:1",
        "::1:2379",  "http://a:1,b:2",   "http://[::1]",   "https://https://h:1", "http://h:1//",
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct endpoint e;
        struct error err = ERROR_INIT;
        if (endpoint_parse(rows[i], &e, &err) != ERR_INVALID || !strstr(err.text, rows[i]))
            fail_msg("\"%s\": %s", rows[i], err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_with_and_without_a_scheme),
        cmocka_unit_test(malformed_endpoints_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
