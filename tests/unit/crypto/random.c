#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <crypto/crypto.h>
#include <ctype.h>

static void random_bytes_differ(void **state)
{
    (void)state;
    uint8_t a[32] = {0}, b[32] = {0}, zero[32] = {0};
    struct error err = ERROR_INIT;
    assert_int_equal(crypto_random(a, sizeof(a), &err), 0);
    assert_int_equal(crypto_random(b, sizeof(b), &err), 0);
    assert_memory_not_equal(a, b, sizeof(a));
    assert_memory_not_equal(a, zero, sizeof(a));
}

static void secrets_are_filled(void **state)
{
    (void)state;
    _cleanup_(secret_freep) struct secret *a = NULL, *b = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(crypto_random_secret(32, &a, &err), 0);
    assert_int_equal(crypto_random_secret(32, &b, &err), 0);
    assert_int_equal(a->len, 32);
    assert_int_equal(secret_equal(a, b), 0);
}

static void uuids_are_version_4(void **state)
{
    (void)state;
    char seen[2][37];
    struct error err = ERROR_INIT;
    for (int i = 0; i < 200; i++) {
        char *u = seen[i % 2];
        assert_int_equal(crypto_uuid(u, &err), 0);
        assert_int_equal(strlen(u), 36);
        for (int k = 0; k < 36; k++)
            assert_true(k == 8 || k == 13 || k == 18 || k == 23
                            ? u[k] == '-'
                            : isxdigit((unsigned char)u[k]) && !isupper((unsigned char)u[k]));
        assert_int_equal(u[14], '4');
        assert_non_null(strchr("89ab", u[19]));
        if (i > 0)
            assert_string_not_equal(seen[0], seen[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(secrets_are_filled),
        cmocka_unit_test(uuids_are_version_4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
