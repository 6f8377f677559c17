/* Every kind of bad input: refused, with its place, and without a word of a key. */
#include "fixture.h"

/* A key that is planted in the bad files, as text and as it would be cut or decoded. */
#define BARE  "UExBTlRFRFBMQU5URURQTEFOVEVEUExBTlRFRFBMQU4x" /* without '=' at its end */
#define PLANT "UExBTlRFRFBMQU5URURQTEFOVEVEUExBTlRFRFBMQU4="

static void assert_refused(const void *text, size_t len, int code, const char *why)
{
    struct encryption_config *c = NULL;
    struct error err = ERROR_INIT;
    int rc = encryption_config_parse(text, len, "/etc/config", &c, &err);
    if (rc != code || !strstr(err.text, why))
        fail_msg("rc %d, '%s', not '%s', for\n%.*s", rc, err.text, why, (int)len, (const char *)text);
    assert_null(c);
    assert_int_equal(err.code, code);
    assert_int_equal(strncmp(err.text, "/etc/config: ", 13), 0);
    for (size_t cut = 8; cut <= strlen(PLANT); cut += 4) { /* no piece of it either */
        char piece[64];
        snprintf(piece, sizeof(piece), "%.8s", &PLANT[cut - 8]);
        assert_null(strstr(err.text, piece));
    }
    assert_null(strstr(err.text, "PLANTED"));
    assert_int_equal(encryption_config_parse(text, len, "/etc/config", &c, NULL), code);
}

static const struct {
    const char *text, *why;
} cases[] = {
    /* not a document */
    {"", "empty"},
    {" \n\t\r\n", "empty"},
    {"{", "line 1, column 2"},
    {"{\"kind\":\"" PLANT, "line 1"},
    {"kind: [" PLANT, "line"},
    {"# only a comment\n", "no object"},
    {"[]", "no object"},
    {"42", "no object"},
    {PLANT, "no object"},
    {"- " PLANT "\n", "no object"},
    {"{\"kind\":\"\xff" PLANT "\"}", "UTF-8"},
    {"kind: \xff" PLANT "\n", "UTF-8"},
    {"kind: &a " PLANT "\nx: *a\n", "anchors"},
    {"kind: a\nkind: " PLANT "\n", "twice"},
    {"{\"kind\":\"a\",\"kind\":\"" PLANT "\"}", "two members"},
    /* kind and apiVersion */
    {"{}", "kind is missing"},
    {"{\"kind\":7}", "kind is missing or no string"},
    {"{\"kind\":\"EncryptionConfig\",\"apiVersion\":\"v1\"}", "kind is \"EncryptionConfig\""},
    {"{\"kind\":\"" PLANT PLANT "\"}", "kind is a text of 88 bytes"},
    {"{\"kind\":\"" PLANT "\"}", "kind is a text of 44 bytes"},
    {"{\"kind\":\"" BARE "\"}", "kind is a text of 44 bytes"},
    {"{\"kind\":\"EncryptionConfiguration\"}", "apiVersion is missing"},
    {"{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"v1\"}",
     "apiVersion is \"v1\"; only apiserver.config.k8s.io/v1"},
    {"{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"a b\\n\"}", "apiVersion is a text of 4 bytes"},
    {"kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1beta1\n",
     "apiVersion is \"apiserver.config.k8s.io/v1beta1\""},
    /* resources */
    {"{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\"}",
     "resources is missing"},
    {HEAD TAIL, "resources is missing, empty"},
    {HEAD "7" TAIL, "resources[0]: must be an object"},
    {HEAD "null" TAIL, "resources[0]: must be an object"},
    {HEAD ENTRY("", IDENTITY) TAIL, "resources[0]: resources is missing, empty"},
    {HEAD "{\"providers\":[" IDENTITY "]}" TAIL, "resources[0]: resources is missing"},
    {HEAD "{\"resources\":\"secrets\",\"providers\":[" IDENTITY "]}" TAIL,
     "resources[0]: resources is missing, empty or no list"},
    {HEAD ENTRY("\"\"", IDENTITY) TAIL, "resources[0]: resources[0] is empty"},
    {HEAD ENTRY("\"a\",7", IDENTITY) TAIL, "resources[0]: resources[1] is empty or no string"},
    {HEAD ENTRY(SECRETS, "") TAIL, "resources[0]: providers is missing, empty"},
    {HEAD "{\"resources\":[\"secrets\"]}" TAIL, "resources[0]: providers is missing"},
    {HEAD "{\"resources\":[\"secrets\"],\"providers\":{}}" TAIL,
     "resources[0]: providers is missing, empty or no list"},
    {HEAD ENTRY(SECRETS, IDENTITY) "," ENTRY("", IDENTITY) TAIL, "resources[1]: resources is missing, empty"},
    /* providers */
    {ONE("7"), "resources[0].providers[0]: a provider must be an object"},
    {ONE("\"aescbc\""), "resources[0].providers[0]: a provider must be an object"},
    {ONE("{}"), "resources[0].providers[0]: a provider must be an object with one member"},
    {ONE("{\"identity\":{},\"aescbc\":{}}"),
     "resources[0].providers[0]: a provider must be an object with one member"},
    {ONE(IDENTITY ",{\"aes\":{}}"), "resources[0].providers[1]: unknown provider \"aes\""},
    {ONE("{\"AESCBC\":{}}"), "unknown provider \"AESCBC\""},
    {ONE("{\"" PLANT "\":{}}"), "unknown provider a text of 44 bytes"},
    {ONE("{\"" BARE "\":{}}"), "unknown provider a text of 44 bytes"},
    {ONE("{\"identity\":null}"), "resources[0].providers[0].identity: must be an object"},
    {ONE("{\"kms\":7}"), "resources[0].providers[0].kms: must be an object"},
    {ONE("{\"aescbc\":[]}"), "resources[0].providers[0].aescbc: must be an object"},
    {ONE("{\"aescbc\":{}}"), "resources[0].providers[0].aescbc: keys is missing"},
    {ONE(CBC("")), "resources[0].providers[0].aescbc: keys is missing, empty"},
    {ONE("{\"aescbc\":{\"keys\":{}}}"), "keys is missing, empty or no list"},
    /* keys */
    {ONE(CBC("7")), "resources[0].providers[0].aescbc.keys[0]: name is missing"},
    {ONE(CBC("{\"secret\":\"" PLANT "\"}")), "aescbc.keys[0]: name is missing"},
    {ONE(CBC("{\"name\":7,\"secret\":\"" PLANT "\"}")), "aescbc.keys[0]: name is missing"},
    {ONE(CBC(KEY("", PLANT))), "aescbc.keys[0]: name is missing, empty"},
    {ONE(CBC(KEY("a\\u0007", PLANT))), "aescbc.keys[0]: name has control characters"},
    {ONE(CBC("{\"name\":\"a\"}")), "aescbc.keys[0]: secret is missing"},
    {ONE(CBC("{\"name\":\"a\",\"secret\":{\"x\":\"" PLANT "\"}}")),
     "aescbc.keys[0]: secret is missing, empty or no string"},
    {ONE(CBC("{\"name\":\"a\",\"secret\":\"\"}")), "aescbc.keys[0]: secret is missing, empty"},
    {ONE(CBC(KEY("a", "*" PLANT))), "aescbc.keys[0]: secret is not base64"},
    {ONE(CBC(KEY("a", PLANT "="))), "aescbc.keys[0]: secret is not base64"},
    {ONE(CBC(KEY("a", PLANT " "))), "aescbc.keys[0]: secret is not base64"},
    {ONE(CBC(KEY("a", KA) "," KEY("b", "not base64 " PLANT))), "aescbc.keys[1]: secret is not base64"},
    {ONE(CBC(KEY("a", K20))), "aescbc.keys[0]: the key has 20 bytes; aescbc takes 16, 24 or 32"},
    {ONE(GCM(KEY("a", K20))), "aesgcm.keys[0]: the key has 20 bytes; aesgcm takes 16, 24 or 32"},
    {ONE(BOX(KEY("a", K16))), "secretbox.keys[0]: the key has 16 bytes; secretbox takes 32"},
    {ONE(BOX(KEY("a", K24))), "secretbox.keys[0]: the key has 24 bytes; secretbox takes 32"},
    {ONE(CBC(KEY("a", "UExBTlRFRA=="))), "the key has 7 bytes"},
    {ONE(CBC(KEY("a", KA) "," KEY("b", KB) "," KEY("a", PLANT))), "aescbc.keys[2]: the same name as keys[0]"},
    {ONE(CBC(KEY(PLANT, KA) "," KEY(PLANT, KB))), "aescbc.keys[1]: the same name as keys[0]"},
    {HEAD ENTRY(SECRETS, IDENTITY) "," ENTRY("\"x\"", IDENTITY "," CBC(KEY("a", KA)) "," BOX(KEY("b", K16)))
         TAIL,
     "resources[1].providers[2].secretbox.keys[0]: the key has 16 bytes"},
};

static void bad_files_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(cases); i++)
        assert_refused(cases[i].text, strlen(cases[i].text), ERR_INVALID, cases[i].why);
}

static void truncated_files_are_refused(void **state)
{
    (void)state;
    static const char text[] = ONE(CBC(KEY("aescbckey", PLANT)) "," IDENTITY);
    for (size_t n = 0; n < strlen(text); n++)
        assert_refused(text, n, ERR_INVALID, n ? "line 1" : "empty");
}

static void binary_is_refused(void **state)
{
    (void)state;
    assert_refused("{\"kind\":\"a\0b\"}", 14, ERR_INVALID, "NUL");
    assert_refused("kind: a\0b\n", 10, ERR_INVALID, "NUL");
    assert_refused("\0\0\0\0", 4, ERR_INVALID, "NUL");
    assert_refused("\xff\xfe{\0}\0", 6, ERR_INVALID, "UTF-8");
}

static void long_names_are_refused(void **state)
{
    (void)state;
    for (int n = ENCRYPTION_KEY_NAME_MAX; n <= ENCRYPTION_KEY_NAME_MAX + 1; n++) {
        char name[300], text[1024];
        memset(name, 'n', sizeof(name));
        name[n] = 0;
        snprintf(text, sizeof(text),
                 HEAD "{\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"keys\":[{\"name\":\"%s\","
                      "\"secret\":\"" KA "\"}]}}]}" TAIL,
                 name);
        if (n > ENCRYPTION_KEY_NAME_MAX)
            assert_refused(text, strlen(text), ERR_INVALID, "more than 253 bytes");
        else
            encryption_config_free(must_parse(text));
    }
}

static void large_files_are_too_large(void **state)
{
    (void)state;
    size_t len = ENCRYPTION_CONFIG_MAX + 1;
    _cleanup_free_ char *text = malloc(len);
    assert_non_null(text);
    memset(text, ' ', len);
    memcpy(text, K3S, strlen(K3S));
    assert_refused(text, len, ERR_TOO_LARGE, "more than 1048576 bytes");
    struct encryption_config *c = NULL;
    assert_int_equal(encryption_config_parse(text, len - 1, "t", &c, NULL), 0);
    encryption_config_free(c);
}

static void many_key_instances_are_refused(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    _cleanup_(buf_freep) struct buf b = BUF_INIT(ENCRYPTION_CONFIG_MAX);
    assert_int_equal(buf_adds(&b, HEAD, &err), 0);
    for (int i = 0; i < 1100; i++)
        assert_int_equal(buf_addf(&b, &err,
                                  "%s{\"resources\":[\"r%d\"],\"providers\":[" CBC(KEY("a", KA)) "]}",
                                  i ? "," : "", i),
                         0);
    assert_int_equal(buf_adds(&b, TAIL, &err), 0);
    assert_refused(b.data, b.len, ERR_INVALID, "more than 1024 keys");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_files_are_refused),     cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(binary_is_refused),         cmocka_unit_test(long_names_are_refused),
        cmocka_unit_test(large_files_are_too_large), cmocka_unit_test(many_key_instances_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
