#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "internal.h"

static void addresses_become_targets(void **state)
{
    (void)state;
    static const struct {
        const char *address, *target;
    } rows[] = {
        {"10.0.0.1:2379", "ipv4:10.0.0.1:2379"},
        {"[::1]:2379", "ipv6:%5B::1%5D:2379"},
        {"[fd00::2]:1", "ipv6:%5Bfd00::2%5D:1"},
        {"etcd-1.example.com:65535", "dns:///etcd-1.example.com:65535"},
        {"localhost:2379", "dns:///localhost:2379"},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        _cleanup_(buf_freep) struct buf out = BUF_INIT(512);
        struct error err = ERROR_INIT;
        assert_int_equal(target_make(rows[i].address, &out, &err), 0);
        assert_string_equal(buf_str(&out), rows[i].target);
        assert_int_equal(rpc_address_check(rows[i].address, &err), 0);
        assert_int_equal(err.code, 0);
    }
}

static void malformed_addresses_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *address, *why;
    } rows[] = {
        {"host", "no port"},
        {"", "no port"},
        {":2379", "no host"},
        {"[]:2379", "no host"},
        {"host:", "no valid port"},
        {"host:0", "no valid port"},
        {"host:65536", "no valid port"},
        {"host:2379x", "no valid port"},
        {"host:-1", "no valid port"},
        {"::1:2379", "brackets"},
        {"[::1:2379", "malformed"},
        {"[zz:y]:2379", "no IPv6 address"},
        {"ho st:2379", "malformed"},
        {"a,b:2379", "malformed"},
        {"host/x:2379", "malformed"},
        {"user@host:2379", "malformed"},
        {"h%61:2379", "malformed"},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct error err = ERROR_INIT;
        if (rpc_address_check(rows[i].address, &err) != ERR_INVALID || !strstr(err.text, rows[i].why) ||
            !strstr(err.text, rows[i].address))
            fail_msg("%s: %s", rows[i].address, err.text);
    }
    char longest[400];
    memset(longest, 'a', sizeof(longest));
    memcpy(longest + sizeof(longest) - 6, ":2379", 6);
    struct error err = ERROR_INIT;
    assert_int_equal(rpc_address_check(longest, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "too long"));
}

static void a_socket_is_an_address_only_where_it_may_be(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    assert_int_equal(rpc_address_check("unix:/run/secrets-encrypt/api/socket", &err), ERR_INVALID);
    assert_int_equal(rpc_local_address_check("unix:/run/secrets-encrypt/api/socket", &err), 0);
    assert_int_equal(rpc_local_address_check("10.0.0.1:2379", &err), 0);
    static const char *const bad[] = {"unix:",          "unix:relative", "unix:///run/x",
                                      "unix://run/x?y", "unix:/a b",     "unix:/a%2",
                                      "unix:/a#b",      "UNIX:/a",       "unix-abstract:x"};
    for (size_t i = 0; i < array_len(bad); i++) {
        if (rpc_local_address_check(bad[i], &err) != ERR_INVALID || !strstr(err.text, bad[i]))
            fail_msg("%s: %s", bad[i], err.text);
    }
    char longest[200] = "unix:/";
    memset(longest + 6, 'a', 107);
    assert_int_equal(rpc_local_address_check(longest, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "longer than"));
    longest[6 + 106] = 0;
    assert_int_equal(rpc_local_address_check(longest, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_become_targets),
        cmocka_unit_test(malformed_addresses_are_named),
        cmocka_unit_test(a_socket_is_an_address_only_where_it_may_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
