#include "fixture.h"

static void names(void **state)
{
    (void)state;
    static const struct {
        enum provider p;
        const char *name, *display;
    } cases[] = {
        {PROVIDER_IDENTITY, "identity", ""},    {PROVIDER_AESCBC, "aescbc", "AES-CBC"},
        {PROVIDER_AESGCM, "aesgcm", "AES-GCM"}, {PROVIDER_SECRETBOX, "secretbox", "XSalsa20-POLY1305"},
        {PROVIDER_KMS, "kms", "KMS"},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        enum provider p;
        struct error err = ERROR_INIT;
        assert_string_equal(provider_name(cases[i].p), cases[i].name);
        assert_string_equal(provider_display(cases[i].p), cases[i].display);
        assert_int_equal(provider_parse(cases[i].name, &p, &err), 0);
        assert_int_equal(p, cases[i].p);
    }
}

static void unknown_names(void **state)
{
    (void)state;
    static const char *texts[] = {"", "aes", "AESCBC", "aescbc ", "aescbcx"};
    for (size_t i = 0; i < array_len(texts); i++) {
        enum provider p = PROVIDER_KMS;
        struct error err = ERROR_INIT;
        assert_int_equal(provider_parse(texts[i], &p, &err), ERR_INVALID);
        assert_int_equal(p, PROVIDER_KMS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(unknown_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
