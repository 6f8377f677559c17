/* What a report says of a config: all that two of them are compared by, and nothing that tells of a key. */
#include "fixture.h"

#include <crypto/seal.h>
#include <encryption/layout.h>

static struct secret *key_one, *key_two;

static int setup(void **state)
{
    (void)state;
    key_one = secret_copy("0123456789abcdef0123456789abcdef", 32);
    key_two = secret_copy("0123456789abcdef0123456789abcdeg", 32);
    return key_one && key_two ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    secret_free(key_one);
    secret_free(key_two);
    return 0;
}

static int write_of(const char *text, const struct secret *key, char out[LAYOUT_TEXT_MAX], struct error *err)
{
    _cleanup_(encryption_config_freep) struct encryption_config *c = must_parse(text);
    return layout_write(c, key, out, err);
}

static void must_write(const char *text, const struct secret *key, char out[LAYOUT_TEXT_MAX])
{
    struct error err = ERROR_INIT;
    if (write_of(text, key, out, &err) < 0)
        fail_msg("%s", err.text);
}

/* The fingerprint was computed apart from this program, with Python's hmac. */
static void says_all(void **state)
{
    (void)state;
    static const char config[] =
        HEAD ENTRY(SECRETS ",\"configmaps\"", CBC(KEY("a:b", KA) "," KEY("k 2", KB)) "," IDENTITY) "," ENTRY(
            "\"*.*\"", "{\"kms\":{\"apiVersion\":\"v2\",\"name\":\"vault\",\"endpoint\":\"unix:///k.sock\"}}")
            TAIL;
    char out[LAYOUT_TEXT_MAX];
    must_write(config, key_one, out);
    assert_string_equal(
        out,
        "e\nr secrets\nr configmaps\np aescbc\nk 56f790a2c4a8bed7 a:b\nk 1b44b8c328b502e7 k 2\np identity\n"
        "e\nr *.*\np kms\nn vault\nv v2\nu unix:///k.sock\n");
}

static void same_for_the_same_config(void **state)
{
    (void)state;
    char json[LAYOUT_TEXT_MAX], yaml[LAYOUT_TEXT_MAX], other[LAYOUT_TEXT_MAX];
    must_write(K3S, key_one, json);
    must_write("kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n"
               "- resources: [secrets]\n  providers:\n  - aescbc:\n      keys:\n      - name: aescbckey\n"
               "        secret: " KA "\n  - identity: {}\n",
               key_one, yaml);
    assert_string_equal(json, yaml);
    must_write(K3S, key_two, other); /* another cluster */
    assert_string_not_equal(json, other);
}

/* A fingerprint is one of provider, name and key together. */
static void differs_in_each_part(void **state)
{
    (void)state;
    static const char *const configs[] = {ONE(CBC(KEY("k", KA))), ONE(CBC(KEY("k", KB))),
                                          ONE(CBC(KEY("l", KA))), ONE(GCM(KEY("k", KA)))};
    char seen[4][17];
    for (size_t i = 0; i < 4; i++) {
        char out[LAYOUT_TEXT_MAX];
        must_write(configs[i], key_one, out);
        const char *at = strstr(out, "\nk ");
        assert_non_null(at);
        snprintf(seen[i], sizeof(seen[i]), "%.16s", at + 3);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(seen[i], seen[k]);
    }
}

static void reads_what_was_written(void **state)
{
    (void)state;
    char out[LAYOUT_TEXT_MAX];
    struct error err = ERROR_INIT;
    struct layout *l = malloc(sizeof(*l));
    must_write(TWO(CBC(KEY("a", KA) "," KEY("b c", KB)) "," KMS, IDENTITY), key_one, out);
    assert_int_equal(layout_read(out, l, &err), 0);
    assert_int_equal(l->items_count, 2);
    assert_string_equal(l->resources[l->items[1].resources], "configmaps");
    assert_int_equal(l->items[0].providers_count, 2);
    const struct layout_provider *p = &l->providers[l->items[0].providers];
    assert_int_equal(p->kind, PROVIDER_AESCBC);
    assert_int_equal(p->keys_count, 2);
    assert_string_equal(l->keys[p->keys + 1].name, "b c");
    assert_int_equal(strlen(l->keys[p->keys + 1].fingerprint), 16);
    assert_int_equal(p[1].kind, PROVIDER_KMS);
    assert_string_equal(p[1].kms_name, "vault");
    assert_string_equal(p[1].kms_version, "");
    free(l);
}

static void refuses_what_is_none(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "e",
        "\n",
        "r secrets\n",
        "e \n e\n",
        "e\np nonsense\n",
        "e\np aescbc\nk 0123456789abcde a\n",
        "e\np aescbc\nk 0123456789abcdefa\n",
        "e\np aescbc\nk 0123456789abcdef \n",
        "e\np aescbc\nk 0123456789ABCDEF a\n",
        "e\np identity\nk 0123456789abcdef a\n",
        "e\np aescbc\nn vault\n",
        "e\np kms\nn a\nn b\n",
        "e\np identity\nr late\n",
        "e\nx what\n",
        "e\nr secrets",
        "e\nr\n",
    };
    struct layout *l = malloc(sizeof(*l));
    for (size_t i = 0; i < array_len(cases); i++) {
        struct error err = ERROR_INIT;
        assert_int_equal(layout_read(cases[i], l, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, "layout"));
    }
    char many[4 * LAYOUT_LINES_MAX + 8] = "";
    for (size_t i = 0; i < LAYOUT_ITEMS_MAX + 1; i++)
        memcpy(many + 2 * i, "e\n", 3);
    assert_int_equal(layout_read(many, l, NULL), ERR_INVALID);
    for (size_t i = 0; i < LAYOUT_LINES_MAX; i++)
        memcpy(many + 2 + 4 * i, "r a\n", 5);
    assert_int_equal(layout_read(many, l, NULL), ERR_INVALID);
    many[4 * LAYOUT_LINES_MAX - 2] = 0; /* one line less: as many as there may be */
    assert_int_equal(layout_read(many, l, NULL), 0);
    free(l);
}

static void too_long(void **state)
{
    (void)state;
    char *config = malloc(64 * 1024), out[LAYOUT_TEXT_MAX] = "x";
    size_t used = (size_t)snprintf(config, 1024, "%s", HEAD);
    for (int i = 0; i < LAYOUT_ITEMS_MAX + 1; i++)
        used += (size_t)snprintf(config + used, 1024,
                                 "%s{\"resources\":[\"r%d\"],\"providers\":[" IDENTITY "]}", i ? "," : "", i);
    snprintf(config + used, 16, "%s", TAIL);
    struct error err = ERROR_INIT;
    assert_int_equal(write_of(config, key_one, out, &err), ERR_TOO_LARGE);
    assert_string_equal(out, "");
    assert_non_null(strstr(err.text, "too long"));

    used = (size_t)snprintf(config, 1024, "%s{\"resources\":[", HEAD);
    for (int i = 0; i < 100; i++)
        used += (size_t)snprintf(config + used, 1024, "%s\"%0100d.example.org\"", i ? "," : "", i);
    snprintf(config + used, 64, "],\"providers\":[" IDENTITY "]}" TAIL);
    assert_int_equal(write_of(config, key_one, out, &err), ERR_TOO_LARGE);
    assert_string_equal(out, "");
    assert_int_equal(write_of(ONE(IDENTITY "," KMS), key_one, out, &err), 0);
    assert_int_equal(
        write_of("{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/"
                 "v1\",\"resources\":[" ENTRY("\"a\\nb\"", IDENTITY) "]}",
                 key_one, out, &err),
        ERR_UNSUPPORTED);
    free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_all),
        cmocka_unit_test(same_for_the_same_config),
        cmocka_unit_test(differs_in_each_part),
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(refuses_what_is_none),
        cmocka_unit_test(too_long),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
