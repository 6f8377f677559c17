#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <crypto/certificate.h>

#include "certificates.h"

static struct secret *key_of(const char *text)
{
    struct secret *s = secret_copy(text, strlen(text));
    assert_non_null(s);
    return s;
}

static void reads_name_and_dates(void **state)
{
    (void)state;
    struct certificate c;
    assert_int_equal(certificate_read(a_crt, strlen(a_crt), "a", &c, NULL), 0);
    assert_non_null(strstr(c.subject, "O=system:masters"));
    assert_non_null(strstr(c.subject, "CN=admin"));
    assert_int_equal(c.from_ms, INT64_C(1577836800000));
    assert_int_equal(c.until_ms, INT64_C(1609459200000));
    assert_false(c.is_ca);
    assert_int_equal(certificate_read(ca_crt, strlen(ca_crt), "ca", &c, NULL), 0);
    assert_true(c.is_ca);
}

static void a_bundle_ends_with_its_first(void **state)
{
    (void)state;
    char both[sizeof(a_crt) + sizeof(b_crt) + 16];
    struct certificate c;
    snprintf(both, sizeof(both), "# first\n%s\n%s", b_crt, a_crt);
    assert_int_equal(certificate_read_first_to_end(both, strlen(both), "both", &c, NULL), 0);
    assert_int_equal(c.until_ms, INT64_C(1609459200000));
}

static void keys_fit_or_not(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_(secret_freep) struct secret *a = key_of(a_key), *b = key_of(b_key), *not = key_of("a key\n");
    assert_int_equal(certificate_check_key(a_crt, strlen(a_crt), a, "a.crt", &err), 0);
    assert_int_equal(certificate_check_key(a_crt, strlen(a_crt), b, "a.crt", &err), ERR_DENIED);
    assert_string_equal(err.text, "a.crt: the private key belongs to another certificate");
    assert_int_equal(certificate_check_key(a_crt, strlen(a_crt), not, "a.crt", &err), ERR_INVALID);
}

static void what_is_none(void **state)
{
    (void)state;
    struct certificate c;
    struct error err = ERROR_INIT;
    assert_int_equal(certificate_read("", 0, "x.crt", &c, &err), ERR_INVALID);
    assert_string_equal(err.text, "x.crt: holds no certificate in PEM form");
    assert_int_equal(certificate_read(a_key, strlen(a_key), "x", &c, &err), ERR_INVALID);
    assert_int_equal(certificate_read(a_crt, strlen(a_crt) / 2, "x", &c, &err), ERR_INVALID);
    assert_int_equal(certificate_read_first_to_end("\n", 1, "x", &c, &err), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_name_and_dates),
        cmocka_unit_test(a_bundle_ends_with_its_first),
        cmocka_unit_test(keys_fit_or_not),
        cmocka_unit_test(what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
