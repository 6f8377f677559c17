#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/clock.h>
#include <cmocka.h>
#include <crypto/crypto.h>
#include <crypto/seal.h>
#include <json/json.h>

#define TOKEN "K10cafe::server:0123456789abcdef"
#define KEY   "/secrets-encrypt/prod/bundles/7"
#define PLAIN "{\"kind\":\"EncryptionConfiguration\"}"

static struct error err = ERROR_INIT;
static struct seal *prod;
static struct buf sealed = BUF_INIT(4 * 1024 * 1024); /* PLAIN under KEY, generation 7 */

static struct seal *must_new(const char *token, const char *cluster)
{
    _cleanup_(secret_freep) struct secret *t = secret_copy(token, strlen(token));
    struct seal *s = NULL;
    if (seal_new(t, cluster, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

static int box(struct buf *out)
{
    _cleanup_(secret_freep) struct secret *plain = secret_copy(PLAIN, strlen(PLAIN));
    return seal_box(prod, KEY, 7, plain, out, &err);
}

static int setup(void **state)
{
    (void)state;
    prod = must_new(TOKEN, "prod");
    return box(&sealed);
}

static int teardown(void **state)
{
    (void)state;
    seal_free(prod);
    buf_free(&sealed);
    return 0;
}

static int unbox(struct seal *s, const char *key, int64_t generation, const char *json)
{
    _cleanup_(secret_freep) struct secret *plain = NULL;
    struct error why = ERROR_INIT;
    int rc = seal_unbox(s, key, generation, json, strlen(json), &plain, &why);
    if (rc == 0)
        assert_string_equal((const char *)plain->data, PLAIN);
    else
        assert_non_null(strstr(why.text, key));
    return rc;
}

static void opens_what_it_sealed(void **state)
{
    (void)state;
    assert_null(strstr(sealed.data, "Encryption"));
    assert_int_equal(unbox(prod, KEY, 7, sealed.data), 0);
    _cleanup_(seal_freep) struct seal *other_process = must_new(TOKEN "\n", "prod");
    assert_int_equal(unbox(other_process, KEY, 7, sealed.data), 0);
}

/* A bundle as this program's first version wrote it: bundles outlive versions. */
#define FIRST                                                                                                \
    "{\"v\":1,\"kdf\":\"scrypt\",\"n\":32768,\"r\":8,\"p\":3,"                                               \
    "\"salt\":\"hvemuK59fhbrXos4pQmgPQ==\",\"nonce\":\"5GFF0lyxWv7OmeAk\",\"box\":"                          \
    "\"t9M3WV60CLNodlJRGHySbbilzHXvhsa40oYvTxnipwtwf+qfO7BfDJdjKCtDWPc5erM=\"}"

/* The same, sealed apart from this program with Python's hashlib.scrypt, hmac and AESGCM by the header's
 * text. */
#define SECOND                                                                                               \
    "{\"v\":2,\"kdf\":\"hkdf\",\"salt\":\"lOql1ooktlJ6mT0goCLO5w==\",\"nonce\":\"tQzNgEQXZLndm7ni\","        \
    "\"box\":\"6FlwQ2Qy9abNqiccM+RotH5uHLpYjBR4sqOuVWn9dwTfYi2M0cSLF5XN2DGSfVtZDlI=\"}"

static void opens_the_versions_on_record(void **state)
{
    (void)state;
    assert_int_equal(unbox(prod, KEY, 7, FIRST), 0);
    assert_int_equal(unbox(prod, KEY, 7, SECOND), 0);
}

static void has_the_documented_members(void **state)
{
    (void)state;
    _cleanup_(json_freep) struct json *j = NULL;
    assert_int_equal(json_parse(sealed.data, sealed.len, "box", &j, &err), 0);
    static const char *names[] = {"v", "kdf", "salt", "nonce", "box"};
    const struct json *m = json_first(j);
    for (size_t i = 0; i < array_len(names); i++, m = json_next(m))
        assert_string_equal(json_key(m), names[i]);
    assert_null(m);
    assert_int_equal(json_int(json_get(j, "v"), 0), 2);
    assert_string_equal(json_string(json_get(j, "kdf"), ""), "hkdf");
    assert_int_equal(strlen(json_string(json_get(j, "salt"), "")), 24);
    assert_int_equal(strlen(json_string(json_get(j, "nonce"), "")), 16);
}

static void salts_and_nonces_are_fresh(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf again = BUF_INIT(10000);
    _cleanup_(json_freep) struct json *a = NULL, *b = NULL;
    assert_int_equal(box(&again), 0);
    assert_int_equal(json_parse(sealed.data, sealed.len, "a", &a, &err), 0);
    assert_int_equal(json_parse(again.data, again.len, "b", &b, &err), 0);
    static const char *names[] = {"salt", "nonce", "box"};
    for (size_t i = 0; i < array_len(names); i++)
        assert_string_not_equal(json_string(json_get(a, names[i]), ""),
                                json_string(json_get(b, names[i]), ""));
}

static void cannot_be_moved_or_relabelled(void **state)
{
    (void)state;
    assert_int_equal(unbox(prod, KEY, 8, sealed.data), ERR_DENIED);
    assert_int_equal(unbox(prod, KEY, -7, sealed.data), ERR_DENIED);
    assert_int_equal(unbox(prod, "/secrets-encrypt/prod/bundles/8", 7, sealed.data), ERR_DENIED);
    _cleanup_(seal_freep) struct seal *cluster = must_new(TOKEN, "prod2"),
                                      *token = must_new(TOKEN "x", "prod");
    assert_int_equal(unbox(cluster, KEY, 7, sealed.data), ERR_DENIED);
    assert_int_equal(unbox(token, KEY, 7, sealed.data), ERR_DENIED);
}

/* A sealed text with one member replaced. */
static int unbox_with(const char *text_of_box, const char *member, const char *json_value)
{
    _cleanup_(json_freep) struct json *j = NULL;
    struct json *value = NULL;
    _cleanup_(buf_freep) struct buf text = BUF_INIT(4 * 1024 * 1024);
    assert_int_equal(json_parse(text_of_box, strlen(text_of_box), "box", &j, &err), 0);
    assert_int_equal(json_parse(json_value, strlen(json_value), "value", &value, &err), 0);
    assert_int_equal(json_set(j, member, value, &err), 0);
    assert_int_equal(json_print(j, &text, &err), 0);
    return unbox(prod, KEY, 7, text.data);
}

static void weaker_parameters_are_denied_before_any_work(void **state)
{
    (void)state;
    int64_t start = clock_mono_ms();
    static const struct {
        const char *member, *value;
    } cases[] = {{"n", "16384"}, {"n", "2"}, {"n", "1"}, {"n", "0"}, {"n", "-32768"}, {"r", "7"},
                 {"r", "1"},     {"r", "0"}, {"p", "2"}, {"p", "1"}, {"p", "0"},      {"p", "-3"}};
    for (int round = 0; round < 50; round++)
        for (size_t i = 0; i < array_len(cases); i++)
            assert_int_equal(unbox_with(FIRST, cases[i].member, cases[i].value), ERR_DENIED);
    assert_true(clock_mono_ms() - start < 5000); /* 600 derivations would take minutes */
}

static void greedy_parameters_are_refused_before_any_work(void **state)
{
    (void)state;
    int64_t start = clock_mono_ms();
    static const struct {
        const char *member, *value;
    } cases[] = {
        {"n", "524288"},     /* 512 MiB */
        {"n", "1073741824"}, /* 1 TiB */
        {"n", "2147483648"},
        {"n", "9007199254740992"},
        {"n", "32769"},
        {"n", "65535"},
        {"r", "65"}, /* over 256 MiB */
        {"r", "2147483647"},
        {"r", "4294967304"},
        {"p", "49"}, /* over 16 times the work */
        {"p", "2147483647"},
        {"p", "9007199254740992"},
        {"n", "18446744073709551615"},
        {"n", "32768.5"},
        {"n", "\"32768\""},
        {"n", "1e300"},
    };
    for (size_t i = 0; i < array_len(cases); i++)
        assert_int_equal(unbox_with(FIRST, cases[i].member, cases[i].value), ERR_INVALID);
    assert_true(clock_mono_ms() - start < 5000);
}

/* Stronger parameters are understood, and then do not fit what was sealed. */
static void stronger_parameters_do_not_open(void **state)
{
    (void)state;
    assert_int_equal(unbox_with(FIRST, "n", "65536"), ERR_DENIED);
    assert_int_equal(unbox_with(FIRST, "p", "4"), ERR_DENIED);
}

static void changed_members_do_not_open(void **state)
{
    (void)state;
    const char *boxes[] = {FIRST, sealed.data};
    static const struct {
        const char *member, *value;
    } shapes[] = {{"salt", "\"AAAA\""},
                  {"salt", "7"},
                  {"nonce", "\"AAAA\""},
                  {"box", "\"A\""},
                  {"box", "null"},
                  {"v", "3"},
                  {"v", "0"},
                  {"kdf", "\"pbkdf\""},
                  {"extra", "1"},
                  {"salt", "\"AAAAAAAAAAAAAAAAAAAAAA\""}};
    for (size_t b = 0; b < array_len(boxes); b++) {
        assert_int_equal(unbox_with(boxes[b], "salt", "\"AAAAAAAAAAAAAAAAAAAAAA==\""), ERR_DENIED);
        assert_int_equal(unbox_with(boxes[b], "nonce", "\"AAAAAAAAAAAAAAAA\""), ERR_DENIED);
        assert_int_equal(unbox_with(boxes[b], "box", "\"AAAAAAAAAAAAAAAAAAAAAA==\""), ERR_DENIED);
        assert_int_equal(unbox_with(boxes[b], "box", "\"\""), ERR_DENIED);
        for (size_t i = 0; i < array_len(shapes); i++)
            assert_int_equal(unbox_with(boxes[b], shapes[i].member, shapes[i].value), ERR_INVALID);
    }
    /* a box of one version is none of the other */
    assert_int_equal(unbox_with(FIRST, "v", "2"), ERR_INVALID);
    assert_int_equal(unbox_with(sealed.data, "v", "1"), ERR_INVALID);
    assert_int_equal(unbox_with(sealed.data, "kdf", "\"scrypt\""), ERR_INVALID);
    assert_int_equal(unbox_with(sealed.data, "n", "32768"), ERR_INVALID);
}

static void text_that_is_no_bundle_is_invalid(void **state)
{
    (void)state;
    static const char *texts[] = {"", "{}", "[]", "null", "{\"v\":1}", "x"};
    for (size_t i = 0; i < array_len(texts); i++)
        assert_int_equal(unbox(prod, KEY, 7, texts[i]), ERR_INVALID);
}

static void sizes_are_bounded(void **state)
{
    (void)state;
    size_t len = 3 * 1024 * 1024 + 1;
    _cleanup_(secret_freep) struct secret *big = secret_new(len);
    struct secret *plain = NULL;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(10 * 1024 * 1024);
    memset(big->data, ' ', len);
    assert_int_equal(seal_unbox(prod, KEY, 7, (char *)big->data, len, &plain, &err), ERR_TOO_LARGE);
    big->len = len;
    assert_int_equal(seal_box(prod, KEY, 7, big, &out, &err), ERR_TOO_LARGE);
    big->len = 2 * 1024 * 1024; /* what may be sealed can be opened */
    assert_int_equal(seal_box(prod, KEY, 7, big, &out, &err), 0);
    assert_int_equal(seal_unbox(prod, KEY, 7, out.data, out.len, &plain, &err), 0);
    assert_int_equal(secret_equal(big, plain), 1);
    secret_free(plain);
}

/* An old box's salt that was used of late costs no second derivation; the cache is small and forgets the
 * oldest. New boxes cost none at all. */
static void derivations_are_rare(void **state)
{
    (void)state;
    assert_int_equal(unbox(prod, KEY, 7, FIRST), 0);
    int64_t start = clock_mono_ms();
    _cleanup_(buf_freep) struct buf other = BUF_INIT(100000);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(unbox(prod, KEY, 7, FIRST), 0);
        buf_reset(&other);
        assert_int_equal(box(&other), 0);
        assert_int_equal(unbox(prod, KEY, 7, other.data), 0);
    }
    assert_true(clock_mono_ms() - start < 5000); /* 200 derivations would take a minute */
    for (int i = 0; i < 9; i++) { /* more salts than there are slots: each a derivation, and then no fit */
        char salt[32];
        snprintf(salt, sizeof(salt), "\"%dAAAAAAAAAAAAAAAAAAAAA==\"", i);
        assert_int_equal(unbox_with(FIRST, "salt", salt), ERR_DENIED);
    }
    assert_int_equal(unbox(prod, KEY, 7, FIRST), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_what_it_sealed),
        cmocka_unit_test(opens_the_versions_on_record),
        cmocka_unit_test(has_the_documented_members),
        cmocka_unit_test(salts_and_nonces_are_fresh),
        cmocka_unit_test(cannot_be_moved_or_relabelled),
        cmocka_unit_test(weaker_parameters_are_denied_before_any_work),
        cmocka_unit_test(greedy_parameters_are_refused_before_any_work),
        cmocka_unit_test(stronger_parameters_do_not_open),
        cmocka_unit_test(changed_members_do_not_open),
        cmocka_unit_test(text_that_is_no_bundle_is_invalid),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(derivations_are_rare),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
