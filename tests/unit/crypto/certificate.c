#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <crypto/certificate.h>

/* Made for this test: two certificates (O=system:masters, CN=admin, of 2020; CN=b, until 2099), their keys,
 * and the CA that signed them. */
static const char a_crt[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBITCByQIBATAKBggqhkjOPQQDAjASMRAwDgYDVQQDDAd0ZXN0IGNhMB4XDTIw\n"
    "MDEwMTAwMDAwMFoXDTIxMDEwMTAwMDAwMFowKTEOMAwGA1UEAwwFYWRtaW4xFzAV\n"
    "BgNVBAoMDnN5c3RlbTptYXN0ZXJzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"
    "80TY2fSWX9peMmONMc+fHu5cw4/6RwL4p/aD47UaL/PhlcbkPBW+UvXIzpnF44m9\n"
    "Mt33exjGgAkM6fVjMA+dmTAKBggqhkjOPQQDAgNHADBEAiBpMTgTMRXV8vuV1kpC\n"
    "V8VspUPO/HAbJZwGCQcPhnHLPgIgNqXzjjyvK8nkDwceoG0gCJu2a//naV644R43\n"
    "bQEkEDs=\n"
    "-----END CERTIFICATE-----\n";

static const char b_crt[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBBzCBrgIBAjAKBggqhkjOPQQDAjASMRAwDgYDVQQDDAd0ZXN0IGNhMCAXDTIw\n"
    "MDEwMTAwMDAwMFoYDzIwOTkwMTAxMDAwMDAwWjAMMQowCAYDVQQDDAFiMFkwEwYH\n"
    "KoZIzj0CAQYIKoZIzj0DAQcDQgAEOQptkBn7D0DxaMbgisdCTzF3jZCrB7E57HWd\n"
    "O2d6ADc0EamRvT/Mb7s14E+3kAzlstpgzR+jXkvmV55xviddrzAKBggqhkjOPQQD\n"
    "AgNIADBFAiEAu7PK3FiWdAWN2hXGVNPqLRamMLL2HVasa/Qxllz+A+MCID1LvIep\n"
    "/3wEe0nGUMyHym8RxL71gMBdM2HLDy2qJ0UA\n"
    "-----END CERTIFICATE-----\n";

static const char ca_crt[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBejCCASGgAwIBAgIUUEjR+fo1GpDjAu8pGABhcelsDI8wCgYIKoZIzj0EAwIw\n"
    "EjEQMA4GA1UEAwwHdGVzdCBjYTAgFw0yNjExMjcyMTA1MTRaGA8yMTI2MTEwMzIx\n"
    "MDUxNFowEjEQMA4GA1UEAwwHdGVzdCBjYTBZMBMGByqGSM49AgEGCCqGSM49AwEH\n"
    "A0IABCpyQu63oG8zMp9XtbXdsecs6iOlNaN+9q4TS/6aclFeqB9ZdnAwYgTDePoP\n"
    "X9TVPXxk2dyfHT3A+Fqw00B9wrWjUzBRMB0GA1UdDgQWBBT75APDmjLCtvjjbdMm\n"
    "CA8hDeXsGDAfBgNVHSMEGDAWgBT75APDmjLCtvjjbdMmCA8hDeXsGDAPBgNVHRMB\n"
    "Af8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIC775Qf5ZMdHYdZKCw2ni5utZKZK\n"
    "HK2aWpkOgaqKDUaTAiAp+hF/gvwRHxs+7fIATRZmjLKUIqWVD5sC6P0+XNOzxA==\n"
    "-----END CERTIFICATE-----\n";

static const char a_key[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEII425TZkXCeqI7QVnhE3azKiuADEBgc/0SIeNJGshJgBoAoGCCqGSM49\n"
    "AwEHoUQDQgAE80TY2fSWX9peMmONMc+fHu5cw4/6RwL4p/aD47UaL/PhlcbkPBW+\n"
    "UvXIzpnF44m9Mt33exjGgAkM6fVjMA+dmQ==\n"
    "-----END EC PRIVATE KEY-----\n";

static const char b_key[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEILS9ttX0FMiTXiyDfWgHnPH0mWJwFj14eGYw2MmrIaunoAoGCCqGSM49\n"
    "AwEHoUQDQgAEOQptkBn7D0DxaMbgisdCTzF3jZCrB7E57HWdO2d6ADc0EamRvT/M\n"
    "b7s14E+3kAzlstpgzR+jXkvmV55xviddrw==\n"
    "-----END EC PRIVATE KEY-----\n";

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
    assert_non_null(strstr(c.subject, "O = system:masters"));
    assert_non_null(strstr(c.subject, "CN = admin"));
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
