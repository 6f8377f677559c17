/* Questions about the keys of a config. */
#include "fixture.h"

static void assert_keys(const char *text, struct resource_set managed, const char *due)
{
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(text);
    struct key_view keys[ENCRYPTION_KEYS_MAX];
    size_t n = encryption_keys(c, managed, keys, ENCRYPTION_KEYS_MAX);
    char got[1024] = "";
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(got + len, sizeof(got) - len, "%s%s/%s%s%s", i ? " " : "",
                                provider_name(keys[i].provider), keys[i].name, keys[i].active ? "*" : "",
                                keys[i].partial ? "?" : "");
    assert_string_equal(got, due);
    assert_int_equal(encryption_keys(c, managed, NULL, 0), n);
    struct key_view one[1];
    assert_int_equal(encryption_keys(c, managed, one, 1), n);
    if (n)
        assert_string_equal(one[0].name, keys[0].name);
}

static void lists(void **state)
{
    (void)state;
    assert_keys(K3S, secrets, "aescbc/aescbckey*");
    assert_keys(ONE(IDENTITY), secrets, "");
    assert_keys(ONE(IDENTITY "," CBC(KEY("b", KB) "," KEY("a", KA))), secrets, "aescbc/b aescbc/a");
    assert_keys(ONE(GCM(KEY("k", KB) "," KEY("k:1", KA)) "," CBC(KEY("k", KC)) "," BOX(KEY("z", KA))),
                secrets, "aesgcm/k* aesgcm/k:1 aescbc/k secretbox/z");
    assert_keys(TWO(CBC(KEY("a", KA) "," KEY("b", KB)), CBC(KEY("a", KA) "," KEY("c", KC))), both,
                "aescbc/a* aescbc/b? aescbc/c?");
    assert_keys(TWO(CBC(KEY("a", KA) "," KEY("b", KB)), CBC(KEY("b", KB) "," KEY("a", KA))), both,
                "aescbc/a* aescbc/b*");
    assert_keys(TWO(CBC(KEY("a", KA)), CBC(KEY("b", KB))), secrets, "aescbc/a*");
    assert_keys(TWO(IDENTITY, CBC(KEY("b", KB))), both, "aescbc/b*?");
    assert_keys(ONE(KMS "," CBC(KEY("b", KB))), secrets, "aescbc/b");
    static const char *const none[] = {"events"};
    assert_keys(K3S, (struct resource_set){none, 1}, "");
}

static void reads_and_writes(void **state)
{
    (void)state;
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(
        TWO(CBC(KEY("a", KA) "," KEY("k:1", KB)) "," IDENTITY, CBC(KEY("a", KA)) "," BOX(KEY("x", KC))));
    assert_true(encryption_can_read(c, both, PROVIDER_AESCBC, "a"));
    assert_false(encryption_can_read(c, both, PROVIDER_AESCBC, "k:1"));
    assert_true(encryption_can_read(c, secrets, PROVIDER_AESCBC, "k:1"));
    assert_false(encryption_can_read(c, secrets, PROVIDER_AESCBC, "k"));
    assert_false(encryption_can_read(c, secrets, PROVIDER_AESGCM, "a"));
    assert_false(encryption_can_read(c, both, PROVIDER_IDENTITY, NULL));
    assert_true(encryption_can_read(c, secrets, PROVIDER_IDENTITY, NULL));
    assert_true(encryption_can_read(c, secrets, PROVIDER_IDENTITY, "ignored"));
    assert_false(encryption_can_read(c, secrets, PROVIDER_KMS, "vault"));
    assert_true(encryption_writes_with(c, both, PROVIDER_AESCBC, "a"));
    assert_false(encryption_writes_with(c, both, PROVIDER_AESCBC, "k:1"));
    assert_false(encryption_writes_with(c, secrets, PROVIDER_IDENTITY, NULL));
    assert_true(encryption_enabled(c, both));
    static const char *const none[] = {"events"};
    struct resource_set events = {none, 1};
    assert_false(encryption_can_read(c, events, PROVIDER_AESCBC, "a"));
    assert_false(encryption_writes_with(c, events, PROVIDER_AESCBC, "a"));
    assert_false(encryption_enabled(c, events));
}

static void disabled(void **state)
{
    (void)state;
    _cleanup_(encryption_config_freep) struct encryption_config *c =
        must_parse(TWO(CBC(KEY("a", KA)), IDENTITY "," CBC(KEY("a", KA))));
    assert_true(encryption_enabled(c, secrets));
    assert_false(encryption_enabled(c, both));
    assert_false(encryption_writes_with(c, both, PROVIDER_AESCBC, "a"));
    assert_false(encryption_writes_with(c, both, PROVIDER_IDENTITY, NULL));
}

static void values(void **state)
{
    (void)state;
    _cleanup_(encryption_config_freep) struct encryption_config *c =
        must_parse(TWO(CBC(KEY("a", K16)), GCM(KEY("a", KB)) "," CBC(KEY("c", KC))));
    assert_int_equal(encryption_key_value(c, both, PROVIDER_AESCBC, "a")->len, 16);
    assert_int_equal(encryption_key_value(c, both, PROVIDER_AESGCM, "a")->data[0], 'b');
    assert_int_equal(encryption_key_value(c, both, PROVIDER_AESCBC, "c")->data[31], 'c');
    assert_null(encryption_key_value(c, secrets, PROVIDER_AESCBC, "c"));
    assert_null(encryption_key_value(c, both, PROVIDER_SECRETBOX, "a"));
    assert_null(encryption_key_value(c, both, PROVIDER_IDENTITY, "a"));
}

static void plain(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool plain;
    } rows[] = {{ONE(IDENTITY), true},
                {TWO(IDENTITY, IDENTITY), true},
                {K3S, false},
                {ONE(IDENTITY "," CBC(KEY("b", KB))), false},
                {TWO(IDENTITY, CBC(KEY("b", KB))), false},
                {ONE(KMS), false}};
    for (size_t i = 0; i < array_len(rows); i++) {
        _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(rows[i].text);
        assert_int_equal(encryption_is_plain(c), rows[i].plain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),    cmocka_unit_test(lists),  cmocka_unit_test(reads_and_writes),
        cmocka_unit_test(disabled), cmocka_unit_test(values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
