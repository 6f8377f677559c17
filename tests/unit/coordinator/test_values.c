#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include <base/text.h>

#include "proofs/values.h"

static struct job_options o;

static int setup(void **state)
{
    (void)state;
    memset(&o, 0, sizeof(o));
    o.keys[0] = (struct key_view){.name = "key:2", .provider = PROVIDER_AESCBC};
    o.keys[1] = (struct key_view){.name = "key", .provider = PROVIDER_AESCBC};
    o.keys_count = 2;
    return 0;
}

static void keep(enum provider provider, const char *name)
{
    o.keep[o.keep_count].provider = provider;
    text_copy(o.keep[o.keep_count].name, sizeof(o.keep[0].name), name);
    o.keep_count++;
}

static bool kept(const char *value, const char *want_text)
{
    struct etcd_kv kv = {.value = (uint8_t *)value, .value_len = strlen(value)};
    struct value_key k;
    char text[VALUES_KEY_TEXT];
    value_key(&o, &kv, &k);
    value_key_text(&k, text);
    assert_string_equal(text, want_text);
    return value_kept(&o, &k);
}

static void only_what_is_kept_may_stay(void **state)
{
    (void)state;
    keep(PROVIDER_AESCBC, "key:2");
    assert_true(kept("k8s:enc:aescbc:v1:key:2:body", "aescbc:key:2"));
    assert_false(kept("k8s:enc:aescbc:v1:key:body", "aescbc:key"));
    assert_false(kept("k8s:enc:aescbc:v1:key:22:body", "aescbc:key"));
    assert_false(kept("k8s:enc:aesgcm:v1:key:2:body", "aesgcm:key"));
    assert_false(kept("k8s:enc:secretbox:v1:nobody's:body", "secretbox:nobody's"));
    assert_false(kept("{\"kind\":\"Secret\"}", "plain"));
    assert_false(kept("", "plain"));
}

static void plain_values_stay_where_identity_is_kept(void **state)
{
    (void)state;
    keep(PROVIDER_IDENTITY, "");
    keep(PROVIDER_AESCBC, "key");
    assert_true(kept("{}", "plain"));
    assert_true(kept("k8s:enc:aescbc:v1:key:body", "aescbc:key"));
    assert_false(kept("k8s:enc:aescbc:v1:key:2:body", "aescbc:key:2"));
}

static void unknown_providers_and_nonsense_never_stay(void **state)
{
    (void)state;
    keep(PROVIDER_IDENTITY, "");
    keep(PROVIDER_AESCBC, "key");
    assert_false(kept("k8s:enc:rot13:v1:key:body", "an unknown provider"));
    assert_false(kept("k8s:enc:aescbc:v2:key:body", "an unknown provider"));
    assert_false(kept("k8s:enc:aescbc:v1:no-colon", "an unknown provider"));
    assert_false(kept("k8s:enc:aescbc:v1:a\x1b[31mb:body", "aescbc:a?[31mb"));
}

static void nothing_stays_where_nothing_is_kept(void **state)
{
    (void)state;
    assert_false(kept("{}", "plain"));
    assert_false(kept("k8s:enc:aescbc:v1:key:body", "aescbc:key"));
}

static void keep_reads_well(void **state)
{
    (void)state;
    char text[64], small[12];
    values_keep_text(&o, text, sizeof(text));
    assert_string_equal(text, "any key that stays");
    keep(PROVIDER_AESCBC, "key:2");
    keep(PROVIDER_IDENTITY, "");
    values_keep_text(&o, text, sizeof(text));
    assert_string_equal(text, "aescbc:key:2 or plain");
    values_keep_text(&o, small, sizeof(small));
    assert_string_equal(small, "aescbc:key:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(only_what_is_kept_may_stay, setup),
        cmocka_unit_test_setup(plain_values_stay_where_identity_is_kept, setup),
        cmocka_unit_test_setup(unknown_providers_and_nonsense_never_stay, setup),
        cmocka_unit_test_setup(nothing_stays_where_nothing_is_kept, setup),
        cmocka_unit_test_setup(keep_reads_well, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
