/* Parse, emit, identify. */
#include "fixture.h"

#define YAML_HEAD "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"

static void k3s_text_is_kept_byte_for_byte(void **state)
{
    (void)state;
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(K3S);
    assert_emits(
        c,
        "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"resources\":[{"
        "\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"keys\":[{\"name\":\"aescbckey\","
        "\"secret\":\""
        "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=\"}]}},{\"identity\":{}}]}]}");
}

/* Unknown fields, kms settings, other entries, odd numbers: all that is not ours comes out as it came in. */
static void everything_unknown_is_kept(void **state)
{
    (void)state;
    static const char text[] =
        "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/"
        "v1\",\"metadata\":{\"note\":\"ours\"},"
        "\"future\":[1.50,9007199254740993,null],\"resources\":["
        "{\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"hint\":true,\"keys\":[{\"name\":\"k\","
        "\"secret\":\"" KA "\",\"created\":\"2021\"}]}},{\"identity\":{\"x\":{}}}],\"policy\":\"strict\"},"
        "{\"resources\":[\"configmaps\",\"*.apps\"],\"providers\":[" KMS
        ",{\"kms\":{\"apiVersion\":\"v2\",\"name\":\"b\"}}]}]}";
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(text);
    assert_emits(c, text);
    /* and through an operation on what is managed */
    _cleanup_(encryption_config_freep) struct encryption_config *next = NULL;
    _cleanup_(secret_freep) struct secret *key = secret_copy("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 32);
    struct error err = ERROR_INIT;
    assert_int_equal(encryption_append_key(c, secrets, PROVIDER_AESCBC, "n", key, &next, &err), 0);
    _cleanup_(secret_freep) struct secret *s = must_emit(next);
    static const char due[] =
        "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/"
        "v1\",\"metadata\":{\"note\":\"ours\"},"
        "\"future\":[1.50,9007199254740993,null],\"resources\":["
        "{\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"hint\":true,\"keys\":[{\"name\":\"k\","
        "\"secret\":\"" KA "\",\"created\":\"2021\"},{\"name\":\"n\",\"secret\":\"" KB
        "\"}]}},{\"identity\":{\"x\":{}}}],\"policy\":\"strict\"},"
        "{\"resources\":[\"configmaps\",\"*.apps\"],\"providers\":[" KMS
        ",{\"kms\":{\"apiVersion\":\"v2\",\"name\":\"b\"}}]}]}";
    assert_string_equal((char *)s->data, due);
    assert_emits(c, text); /* the old one is untouched */
}

static const char yaml[] = "# the cluster's keys\n" YAML_HEAD "  - resources: [secrets]   # only these\n"
                           "    providers:\n"
                           "      - secretbox:\n"
                           "          keys:\n"
                           "            # the current one\n"
                           "            - {name: 'secretboxkey-2021-12-10T22:54:38Z', secret: " KA "}\n"
                           "            - name: k:1\n"
                           "              secret: |\n"
                           "                YmJiYmJiYmJiYmJiYmJiYmJiYmJi\n"
                           "                YmJiYmJiYmJiYmI=\n"
                           "      - identity: {}\n";

static void yaml_with_comments(void **state)
{
    (void)state;
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(yaml);
    struct key_view keys[4];
    assert_int_equal(encryption_keys(c, secrets, keys, 4), 2);
    assert_string_equal(keys[0].name, "secretboxkey-2021-12-10T22:54:38Z");
    assert_string_equal(keys[1].name, "k:1");
    /* a key in a block of lines, as Go's base64 takes it */
    const struct secret *value = encryption_key_value(c, secrets, PROVIDER_SECRETBOX, "k:1");
    assert_int_equal(value->len, 32);
    assert_memory_equal(value->data, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 32);
}

static void yaml_is_written_as_yaml(void **state)
{
    (void)state;
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(yaml);
    _cleanup_(secret_freep) struct secret *s = must_emit(c);
    assert_memory_equal(s->data, "apiVersion: ", 12);
    _cleanup_(encryption_config_freep) struct encryption_config *again = must_parse((char *)s->data);
    assert_same_id(c, again, true);
    _cleanup_(secret_freep) struct secret *t = must_emit(again);
    assert_string_equal((char *)s->data, (char *)t->data);
}

static void layout_does_not_change_the_id(void **state)
{
    (void)state;
    static const char *same[] = {
        K3S,
        "\n\t " K3S "\n",
        "{\"resources\":[{\"providers\":[{\"aescbc\":{\"keys\":[{\"secret\":\"" KA
        "\",\"name\":\"aescbckey\"}]}},{\"identity\":{ } "
        "}],\n\"resources\":[\"secr\\u0065ts\"]}],\"apiVersion\":\"apiserver."
        "config.k8s.io/v1\",\"kind\":\"EncryptionConfiguration\"}",
        YAML_HEAD "- resources: [secrets]\n  providers:\n  - aescbc: {keys: [{name: aescbckey, secret: " KA
                  "}]}\n  - identity: {}\n",
        "# JSON in YAML\n" K3S,
    };
    _cleanup_(encryption_config_freep) struct encryption_config *first = must_parse(same[0]);
    for (size_t i = 1; i < array_len(same); i++) {
        _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(same[i]);
        assert_same_id(first, c, true);
    }
}

static void meaning_changes_the_id(void **state)
{
    (void)state;
    static const char *all[] = {
        K3S,
        ONE(CBC(KEY("aescbckey", KB)) "," IDENTITY),
        ONE(CBC(KEY("aescbckey2", KA)) "," IDENTITY),
        ONE(GCM(KEY("aescbckey", KA)) "," IDENTITY),
        ONE(CBC(KEY("aescbckey", KA))),
        ONE(IDENTITY "," CBC(KEY("aescbckey", KA))),
        ONE(CBC(KEY("aescbckey", KA) "," KEY("b", KB)) "," IDENTITY),
        ONE(CBC(KEY("b", KB) "," KEY("aescbckey", KA)) "," IDENTITY),
        HEAD ENTRY("\"configmaps\"", CBC(KEY("aescbckey", KA)) "," IDENTITY) TAIL,
        HEAD ENTRY("\"secrets\",\"configmaps\"", CBC(KEY("aescbckey", KA)) "," IDENTITY) TAIL,
        HEAD ENTRY(SECRETS, CBC(KEY("aescbckey", KA)) "," IDENTITY) "," ENTRY("\"configmaps\"", IDENTITY)
            TAIL,
    };
    for (size_t i = 0; i < array_len(all); i++)
        for (size_t k = 0; k < array_len(all); k++) {
            _cleanup_(encryption_config_freep) struct encryption_config *a = must_parse(all[i]),
                                                                        *b = must_parse(all[k]);
            assert_same_id(a, b, i == k);
        }
}

/* Computed apart from this program: sha256 of Python's json.dumps(…, sort_keys=True, separators=(",", ":")).
 */
static void the_id_is_the_documented_digest(void **state)
{
    (void)state;
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(K3S);
    char id[65];
    struct error err = ERROR_INIT;
    assert_int_equal(encryption_config_id(c, id, &err), 0);
    assert_string_equal(id, "918d295cd28b4c79bf8f6e65942b6ad0e0ddb8254d82a059a90cc1f01ac7fcd4");
}

static void the_most_keys(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    for (int n = ENCRYPTION_KEYS_MAX; n <= ENCRYPTION_KEYS_MAX + 1; n++) {
        _cleanup_(buf_freep) struct buf b = BUF_INIT(ENCRYPTION_CONFIG_MAX);
        assert_int_equal(
            buf_adds(&b, HEAD "{\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"keys\":[", &err),
            0);
        for (int i = 0; i < n; i++)
            assert_int_equal(
                buf_addf(&b, &err, "%s{\"name\":\"k%d\",\"secret\":\"" KA "\"}", i ? "," : "", i), 0);
        assert_int_equal(buf_adds(&b, "]}}]}" TAIL, &err), 0);
        struct encryption_config *c = NULL;
        int rc = encryption_config_parse(b.data, b.len, "test", &c, &err);
        assert_int_equal(rc, n > ENCRYPTION_KEYS_MAX ? ERR_INVALID : 0);
        if (rc == 0) { /* and one cannot be appended either */
            struct encryption_config *next = NULL;
            struct key_view keys[ENCRYPTION_KEYS_MAX];
            assert_int_equal(encryption_keys(c, secrets, keys, ENCRYPTION_KEYS_MAX), ENCRYPTION_KEYS_MAX);
            _cleanup_(secret_freep) struct secret *key = secret_copy("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 32);
            assert_int_equal(encryption_append_key(c, secrets, PROVIDER_AESCBC, "new", key, &next, &err),
                             ERR_INVALID);
            assert_null(next);
        }
        encryption_config_free(c);
    }
}

/* The same keys in many entries are few different ones. */
static void many_entries(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_(buf_freep) struct buf b = BUF_INIT(ENCRYPTION_CONFIG_MAX);
    assert_int_equal(buf_adds(&b, HEAD, &err), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(
            buf_addf(&b, &err,
                     "%s{\"resources\":[\"r%d\"],\"providers\":[" CBC(KEY("a", KA) "," KEY("b", KB)) "]}",
                     i ? "," : "", i),
            0);
    assert_int_equal(buf_adds(&b, TAIL, &err), 0);
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(b.data);
    static const char *const names[] = {"r0", "r50", "r99"};
    struct key_view keys[4];
    assert_int_equal(encryption_keys(c, (struct resource_set){names, 3}, keys, 4), 2);
}

static void free_of_null_is_safe(void **state)
{
    (void)state;
    encryption_config_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(k3s_text_is_kept_byte_for_byte),
        cmocka_unit_test(everything_unknown_is_kept),
        cmocka_unit_test(yaml_with_comments),
        cmocka_unit_test(yaml_is_written_as_yaml),
        cmocka_unit_test(layout_does_not_change_the_id),
        cmocka_unit_test(meaning_changes_the_id),
        cmocka_unit_test(the_id_is_the_documented_digest),
        cmocka_unit_test(the_most_keys),
        cmocka_unit_test(many_entries),
        cmocka_unit_test(free_of_null_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
