#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <crypto/seal.h>

#define TOKEN "K10cafe::server:0123456789abcdef"
#define KEY   "/secrets-encrypt/prod/orders/s1"

static struct error err = ERROR_INIT;
static struct seal *prod; /* made once: it takes scrypt's time */

static struct seal *must_new(const char *token, const char *cluster)
{
    _cleanup_(secret_freep) struct secret *t = secret_copy(token, strlen(token));
    struct seal *s = NULL;
    if (seal_new(t, cluster, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

static int setup(void **state)
{
    (void)state;
    prod = must_new(TOKEN, "prod");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    seal_free(prod);
    return 0;
}

/* Computed apart from this program with Python's hashlib.scrypt and hmac. */
#define MAC       "5819b1ad4a094fb0280c42a283b8a15a1e30dafb10ba4b315034da33d25356f7"
#define UPPER_MAC "5819B1AD4A094FB0280C42A283B8A15A1E30DAFB10BA4B315034DA33D25356F7"
#define HEAD      "{\"mac\":\""
#define MIDDLE    "\",\"body\":"
static const char record[] = HEAD MAC MIDDLE "{\"a\":1}}";

static int verify(struct seal *s, const char *key, const char *value, size_t len)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(10000);
    struct error why = ERROR_INIT;
    int rc = seal_verify(s, key, value, len, &body, &why);
    if (rc == 0)
        assert_string_equal(buf_str(&body), "{\"a\":1}");
    else
        assert_int_equal(body.len, 0);
    if (rc == ERR_DENIED)
        assert_non_null(strstr(why.text, key));
    return rc;
}

static void signs_as_documented(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(10000);
    assert_int_equal(seal_sign(prod, KEY, "{\"a\":1}", 7, &out, &err), 0);
    assert_string_equal(buf_str(&out), record);
    assert_int_equal(verify(prod, KEY, record, strlen(record)), 0);
}

static void every_changed_byte_is_denied(void **state)
{
    (void)state;
    char copy[sizeof(record)];
    for (size_t i = 0; i < sizeof(record) - 1; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(copy, record, sizeof(record));
            copy[i] ^= (char)(1 << bit);
            assert_int_equal(verify(prod, KEY, copy, sizeof(record) - 1), ERR_DENIED);
        }
}

/* One record, one spelling: neither a shorter, longer, spaced, upper-case nor reordered one is taken. */
static void other_layouts_are_denied(void **state)
{
    (void)state;
    for (size_t n = 0; n < strlen(record); n++)
        assert_int_equal(verify(prod, KEY, record, n), ERR_DENIED);
    static const char *texts[] = {
        HEAD MAC MIDDLE "{\"a\":1}}\n",
        HEAD MAC MIDDLE "{\"a\":1} }",
        HEAD MAC MIDDLE " {\"a\":1}}",
        HEAD MAC MIDDLE "{\"a\":1}}}",
        HEAD MAC MIDDLE "{\"a\":1},\"body\":{}}",
        HEAD UPPER_MAC MIDDLE "{\"a\":1}}",
        "{\"body\":{\"a\":1},\"mac\":\"" MAC "\"}",
        " " HEAD MAC MIDDLE "{\"a\":1}}",
        "{\"a\":1}",
        "{}",
    };
    for (size_t i = 0; i < array_len(texts); i++)
        assert_int_equal(verify(prod, KEY, texts[i], strlen(texts[i])), ERR_DENIED);
}

static void records_cannot_be_moved(void **state)
{
    (void)state;
    assert_int_equal(verify(prod, "/secrets-encrypt/prod/orders/s2", record, strlen(record)), ERR_DENIED);
    assert_int_equal(verify(prod, KEY "/", record, strlen(record)), ERR_DENIED);
    assert_int_equal(verify(prod, "", record, strlen(record)), ERR_DENIED);
}

static void other_clusters_and_tokens_are_denied(void **state)
{
    (void)state;
    _cleanup_(seal_freep) struct seal *cluster = must_new(TOKEN, "prod2"),
                                      *token = must_new(TOKEN "x", "prod");
    assert_int_equal(verify(cluster, KEY, record, strlen(record)), ERR_DENIED);
    assert_int_equal(verify(token, KEY, record, strlen(record)), ERR_DENIED);
}

static void white_space_around_a_token_does_not_count(void **state)
{
    (void)state;
    _cleanup_(seal_freep) struct seal *s = must_new("\t " TOKEN " \r\n", "prod");
    assert_int_equal(verify(s, KEY, record, strlen(record)), 0);
}

static void assert_token(const char *token, size_t len, const char *why)
{
    _cleanup_(secret_freep) struct secret *t = secret_copy(token, len);
    struct seal *s = NULL;
    struct error e = ERROR_INIT;
    assert_int_equal(seal_new(t, "prod", &s, &e), ERR_INVALID);
    assert_null(s);
    assert_non_null(strstr(e.text, why));
    assert_null(strstr(e.text, "token-"));
}

static void bad_tokens_are_refused(void **state)
{
    (void)state;
    assert_token("", 0, "0 bytes");
    assert_token("\n \n", 3, "0 bytes");
    assert_token("token-123456789", 15, "15 bytes");
    assert_token("  token-123456789  ", 19, "15 bytes");
    assert_token("token-1234\n56789abcdef", 22, "line break");
    assert_token("token-1234\r56789abcdef", 22, "line break");
    assert_token("token-1234\0"
                 "56789abcdef",
                 22, "NUL");
    char big[SEAL_TOKEN_MAX + 1];
    memset(big, 'x', sizeof(big));
    assert_token(big, sizeof(big), "4097 bytes");
}

static void only_objects_are_signed(void **state)
{
    (void)state;
    static const char *texts[] = {
        "", "1", "[1]", "\"x\"", "{\"a\":1", "{\"a\":1}x", " {\"a\":1}", "{\"a\":1} ", "{\"a\":1,\"a\":2}"};
    for (size_t i = 0; i < array_len(texts); i++) {
        _cleanup_(buf_freep) struct buf out = BUF_INIT(10000);
        assert_int_equal(seal_sign(prod, KEY, texts[i], strlen(texts[i]), &out, &err), ERR_INVALID);
        assert_int_equal(out.len, 0);
    }
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(80);
    assert_int_equal(buf_adds(&out, "old", &err), 0);
    assert_int_equal(seal_sign(prod, KEY, "{\"a\":1}", 7, &out, &err), ERR_TOO_LARGE);
    assert_string_equal(buf_str(&out), "old");
}

/* Cut from the key that signs, and another one for each cluster and token. */
static void fingerprints_are_of_one_cluster(void **state)
{
    (void)state;
    _cleanup_(seal_freep) struct seal *test = must_new(TOKEN, "test"), *again = must_new(TOKEN, "prod"),
                                      *other = must_new(TOKEN "x", "prod");
    struct seal *const seals[] = {prod, again, test, other};
    char out[4][FINGERPRINT_SIZE];
    _cleanup_(secret_freep) struct secret *value = secret_copy("0123456789abcdef", 16);
    for (size_t i = 0; i < array_len(seals); i++) {
        _cleanup_(secret_freep) struct secret *key = NULL;
        assert_int_equal(seal_fingerprint_key(seals[i], &key, &err), 0);
        assert_int_equal(key->len, 32);
        assert_int_equal(fingerprint_make(key, "aescbc", "k", value, out[i], &err), 0);
        assert_int_equal(strlen(out[i]), 16);
    }
    assert_string_equal(out[0], out[1]);
    assert_string_not_equal(out[0], out[2]);
    assert_string_not_equal(out[0], out[3]);
    assert_string_not_equal(out[2], out[3]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_as_documented),
        cmocka_unit_test(every_changed_byte_is_denied),
        cmocka_unit_test(other_layouts_are_denied),
        cmocka_unit_test(records_cannot_be_moved),
        cmocka_unit_test(other_clusters_and_tokens_are_denied),
        cmocka_unit_test(white_space_around_a_token_does_not_count),
        cmocka_unit_test(bad_tokens_are_refused),
        cmocka_unit_test(only_objects_are_signed),
        cmocka_unit_test(a_full_buffer_is_left_as_it_was),
        cmocka_unit_test(fingerprints_are_of_one_cluster),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
