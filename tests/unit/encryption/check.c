/* Which configs may be rotated. */
#include "fixture.h"

static void assert_check(const char *text, struct resource_set managed, int code, const char *why)
{
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(text);
    struct error err = ERROR_INIT;
    int rc = encryption_check_managed(c, managed, &err);
    if (rc != code || !strstr(err.text, why))
        fail_msg("rc %d, '%s', not '%s', for\n%s", rc, err.text, why, text);
    assert_int_equal(encryption_check_managed(c, managed, NULL), code);
    static const char *values[] = {KA, KB, KC, KD};
    for (size_t i = 0; i < array_len(values); i++)
        assert_null(strstr(err.text, values[i]));
}

#define K CBC(KEY("k", KA))

static void good_configs(void **state)
{
    (void)state;
    static const char *texts[] = {
        K3S,
        ONE(IDENTITY "," K),
        ONE(IDENTITY),
        ONE(CBC(KEY("a", KA) "," KEY("b", KB)) "," GCM(KEY("a", KC)) "," BOX(KEY("a", KD)) "," IDENTITY),
        HEAD ENTRY("\"secrets\",\"secrets\"", K) TAIL,
        HEAD ENTRY("\"events\"", KMS) "," ENTRY(SECRETS, K) TAIL,            /* kms elsewhere */
        HEAD ENTRY("\"*.apps\"", K) "," ENTRY(SECRETS, K) TAIL,              /* another group's wildcard */
        HEAD ENTRY(SECRETS, K) "," ENTRY("\"*.*\"", CBC(KEY("w", KB))) TAIL, /* behind its own entry */
        HEAD ENTRY(SECRETS, K) "," ENTRY("\"*.apps\"", K) "," ENTRY("\"*.*\"", K)
            TAIL, /* Kubernetes's documentation */
        HEAD ENTRY("\"secretsx\",\"xsecrets\"", K) "," ENTRY(SECRETS, K) TAIL,
    };
    for (size_t i = 0; i < array_len(texts); i++)
        assert_check(texts[i], secrets, 0, "");
    assert_check(TWO(K, K), both, 0, "");
    assert_check(HEAD ENTRY("\"configmaps\",\"secrets\"", K) TAIL, both, 0, "");
    static const char *const crd[] = {"widgets.example.org"};
    assert_check(HEAD ENTRY("\"widgets.example.org\"", K) "," ENTRY("\"*.example.org\"", K) TAIL,
                 (struct resource_set){crd, 1}, 0, "");
}

static void missing_entries(void **state)
{
    (void)state;
    assert_check(K3S, both, ERR_NOT_FOUND, "configmaps stands in no entry");
    assert_check(HEAD ENTRY("\"secretsx\"", K) TAIL, secrets, ERR_NOT_FOUND, "secrets stands in no entry");
    assert_check(HEAD ENTRY("\"Secrets\"", K) TAIL, secrets, ERR_NOT_FOUND, "secrets stands in no entry");
    assert_check(HEAD ENTRY("\"*.apps\"", K) TAIL, secrets, ERR_NOT_FOUND, "secrets stands in no entry");
    assert_check(K3S, (struct resource_set){NULL, 0}, ERR_INVALID, "no managed resources");
}

static void wildcards(void **state)
{
    (void)state;
    assert_check(HEAD ENTRY("\"*.*\"", K) TAIL, secrets, ERR_UNSUPPORTED, "covered by a wildcard only");
    assert_check(HEAD ENTRY("\"*.\"", K) TAIL, secrets, ERR_UNSUPPORTED, "covered by a wildcard only");
    assert_check(HEAD ENTRY("\"*.*\"", K) "," ENTRY(SECRETS, K) TAIL, secrets, ERR_UNSUPPORTED,
                 "the wildcard *.* in resources[0] covers secrets before");
    assert_check(HEAD ENTRY("\"*.\"", K) "," ENTRY(SECRETS, K) TAIL, secrets, ERR_UNSUPPORTED,
                 "the wildcard *.");
    assert_check(HEAD ENTRY("\"secrets\",\"*.*\"", K) TAIL, secrets, ERR_UNSUPPORTED, "wildcard *.*");
    static const char *const crd[] = {"widgets.example.org"};
    assert_check(HEAD ENTRY("\"*.example.org\"", K) "," ENTRY("\"widgets.example.org\"", K) TAIL,
                 (struct resource_set){crd, 1}, ERR_UNSUPPORTED, "the wildcard *.example.org");
    static const char *const star[] = {"*.*"};
    assert_check(HEAD ENTRY("\"*.*\"", K) TAIL, (struct resource_set){star, 1}, ERR_UNSUPPORTED, "wildcard");
}

/* Kubernetes 1.20 reads with the keys of both, later ones refuse the file. */
static void two_entries_of_one_resource(void **state)
{
    (void)state;
    assert_check(HEAD ENTRY(SECRETS, K) "," ENTRY("\"events\"", K) "," ENTRY(SECRETS, IDENTITY) TAIL, secrets,
                 ERR_UNSUPPORTED, "stands in resources[0] and resources[2]");
    assert_check(HEAD ENTRY(SECRETS, K) "," ENTRY("\"secrets.\"", K) TAIL, secrets, ERR_UNSUPPORTED,
                 "stands in resources[0] and resources[1]");
}

static void unmanaged_company(void **state)
{
    (void)state;
    assert_check(HEAD ENTRY("\"secrets\",\"events\"", K) TAIL, secrets, ERR_UNSUPPORTED,
                 "resources[0] also names events, which is not managed");
}

static void kms(void **state)
{
    (void)state;
    assert_check(ONE(KMS "," K), secrets, ERR_UNSUPPORTED, "resources[0]: a kms provider");
    assert_check(ONE(K "," KMS "," IDENTITY), secrets, ERR_UNSUPPORTED, "a kms provider");
    assert_check(TWO(K, K "," KMS), both, ERR_UNSUPPORTED, "resources[1]: a kms provider");
    assert_check(TWO(K, K "," KMS), secrets, 0, "");
}

static void providers_twice(void **state)
{
    (void)state;
    assert_check(ONE(CBC(KEY("b", KB)) "," IDENTITY "," K), secrets, ERR_UNSUPPORTED, "two aescbc providers");
    assert_check(ONE(IDENTITY "," K "," IDENTITY), secrets, ERR_UNSUPPORTED, "two identity providers");
}

/* "k:" begins both "k:<body>" and "k:1:<body>". */
static void names_that_api_servers_mix_up(void **state)
{
    (void)state;
    assert_check(ONE(CBC(KEY("k", KA) "," KEY("k:1", KB))), secrets, ERR_UNSUPPORTED,
                 "up to a colon (keys[0] and keys[1])");
    assert_check(ONE(CBC(KEY("k:1", KA) "," KEY("x", KC) "," KEY("k", KB))), secrets, ERR_UNSUPPORTED,
                 "up to a colon (keys[0] and keys[2])");
    assert_check(ONE(CBC(KEY("k", KA)) "," BOX(KEY("k:1", KB))), secrets, 0,
                 ""); /* told apart by the provider */
    assert_check(ONE(CBC(KEY("k", KA) "," KEY("k1", KB) "," KEY("k-1", KC))), secrets, 0, "");
    assert_check(
        ONE(CBC(KEY("aescbckey-2021-12-10T22:54:38Z", KA) "," KEY("aescbckey-2021-12-10T22:54:39Z", KB))),
        secrets, 0, "");
    assert_check(ONE(CBC(KEY("aescbckey", KA) "," KEY("aescbckey-2021-12-10T22:54:38Z", KB))), secrets, 0,
                 "");
}

static void one_name_and_two_values(void **state)
{
    (void)state;
    assert_check(TWO(CBC(KEY("k", KA)), CBC(KEY("j", KC) "," KEY("k", KB))), both, ERR_UNSUPPORTED,
                 "resources[1].providers[0].aescbc.keys[1] has the name of a key of another entry");
    assert_check(TWO(CBC(KEY("k", KA)), GCM(KEY("k", KB))), both, 0, "");
    assert_check(TWO(CBC(KEY("k", KA)), CBC(KEY("k", KB))), secrets, 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_configs),
        cmocka_unit_test(missing_entries),
        cmocka_unit_test(wildcards),
        cmocka_unit_test(two_entries_of_one_resource),
        cmocka_unit_test(unmanaged_company),
        cmocka_unit_test(kms),
        cmocka_unit_test(providers_twice),
        cmocka_unit_test(names_that_api_servers_mix_up),
        cmocka_unit_test(one_name_and_two_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
