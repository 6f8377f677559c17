#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "internal.h"

#define BODY "MIIBszCCAVmgAwIBAgIUQ2F0Y2ggbWU=\n"

static void whole_blocks_pass(void **state)
{
    (void)state;
    static const struct {
        const char *pem, *label;
    } rows[] = {
        {"-----BEGIN CERTIFICATE-----\n" BODY "-----END CERTIFICATE-----\n", "CERTIFICATE"},
        {"text before\n-----BEGIN CERTIFICATE-----\r\nQUJD\r\n-----END CERTIFICATE-----", "CERTIFICATE"},
        {"-----BEGIN PRIVATE KEY-----\n" BODY "-----END PRIVATE KEY-----\n", "PRIVATE KEY"},
        {"-----BEGIN EC PARAMETERS-----\nQUJD\n-----END EC PARAMETERS-----\n"
         "-----BEGIN EC PRIVATE KEY-----\n" BODY "-----END EC PRIVATE KEY-----\n",
         "PRIVATE KEY"},
        {"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n" BODY "-----END RSA PRIVATE KEY-----\n",
         "PRIVATE KEY"},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct error err = ERROR_INIT;
        if (pem_check(rows[i].pem, rows[i].label, "x", &err) < 0)
            fail_msg("%zu: %s", i, err.text);
    }
}

static void others_are_refused_without_showing_them(void **state)
{
    (void)state;
    static const struct {
        const char *pem, *why;
    } rows[] = {
        {"", "holds no PEM block"},
        {"SECRETSECRET", "holds no PEM block"},
        {"-----BEGIN CERTIFICATE-----\n" BODY "-----END CERTIFICATE-----\n", "holds no PEM block"},
        {"-----BEGIN PRIVATE KEY-----\n" BODY, "cut off"},
        {"-----BEGIN PRIVATE KEY-----", "cut off"},
        {"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "empty"},
        {"-----BEGIN PRIVATE KEY-----\nSECRET!SECRET\n-----END PRIVATE KEY-----\n", "not base64"},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct error err = ERROR_INIT;
        if (pem_check(rows[i].pem, "PRIVATE KEY", "the key", &err) != ERR_INVALID ||
            !strstr(err.text, rows[i].why))
            fail_msg("%zu: %s", i, err.text);
        assert_non_null(strstr(err.text, "the key"));
        assert_null(strstr(err.text, "SECRET"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_blocks_pass),
        cmocka_unit_test(others_are_refused_without_showing_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
