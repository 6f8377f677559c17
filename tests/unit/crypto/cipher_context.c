/* One key for many values: whatever went through a context before, each value is as by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <crypto/crypto.h>

#define TEXT_MAX 4096

static struct error err = ERROR_INIT;

static const struct kind {
    enum cipher cipher;
    size_t key_size, nonce;
} kinds[] = {
    {CIPHER_AESCBC, 16, 16}, {CIPHER_AESCBC, 24, 16}, {CIPHER_AESCBC, 32, 16},    {CIPHER_AESGCM, 16, 12},
    {CIPHER_AESGCM, 24, 12}, {CIPHER_AESGCM, 32, 12}, {CIPHER_SECRETBOX, 32, 24},
};

/* Around AES's block, and around what fits into libsodium's and OpenSSL's own steps. */
static const size_t sizes[] = {0,  1,  2,  15, 16,  17,  31,  32,   33,
                               48, 63, 64, 65, 255, 256, 257, 1000, TEXT_MAX};

static struct secret *random_secret(size_t len)
{
    struct secret *s = NULL;
    assert_int_equal(crypto_random_secret(len, &s, &err), 0);
    return s;
}

static struct cipher_context *context(const struct kind *k, const struct secret *key)
{
    struct cipher_context *c = NULL;
    if (cipher_context_new(k->cipher, key, &c, &err) < 0)
        fail_msg("%s", err.text);
    return c;
}

/* Of a length that is different for each value, as etcd keys are. */
static size_t aad_of(size_t n, char out[128])
{
    return (size_t)snprintf(out, 128, "/registry/secrets/ns-%zu/%.*s", n, (int)(n % 40),
                            "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
}

static size_t body_size(const struct kind *k, size_t n)
{
    return k->cipher == CIPHER_AESCBC ? 16 + (n / 16 + 1) * 16 : k->nonce + n + 16;
}

/* ---------- as the functions for one value ---------- */

static void both_open_what_the_other_sealed(const struct kind *k, struct cipher_context *c,
                                            const struct secret *key, const struct secret *plain,
                                            const char *aad, size_t aad_len)
{
    _cleanup_(buf_freep) struct buf many = BUF_INIT(2 * TEXT_MAX), one = BUF_INIT(2 * TEXT_MAX);
    _cleanup_(secret_freep) struct secret *a = NULL, *b = NULL, *own = NULL;
    assert_int_equal(cipher_context_encrypt(c, aad, aad_len, plain->data, plain->len, &many, &err), 0);
    assert_int_equal(crypto_encrypt(k->cipher, key, aad, aad_len, plain->data, plain->len, &one, &err), 0);
    assert_int_equal(many.len, body_size(k, plain->len));
    assert_int_equal(one.len, many.len);
    assert_int_equal(crypto_decrypt(k->cipher, key, aad, aad_len, many.data, many.len, &a, &err), 0);
    assert_int_equal(cipher_context_decrypt(c, aad, aad_len, one.data, one.len, &b, &err), 0);
    assert_int_equal(cipher_context_decrypt(c, aad, aad_len, many.data, many.len, &own, &err), 0);
    assert_int_equal(secret_equal(a, plain), 1);
    assert_int_equal(secret_equal(b, plain), 1);
    assert_int_equal(secret_equal(own, plain), 1);
}

static void many_values_are_as_each_by_itself(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(kinds); i++) {
        _cleanup_(secret_freep) struct secret *key = random_secret(kinds[i].key_size);
        _cleanup_(cipher_context_freep) struct cipher_context *c = context(&kinds[i], key);
        for (size_t n = 0; n < 10 * array_len(sizes); n++) {
            /* Long after short and short after long. */
            _cleanup_(secret_freep) struct secret *plain = random_secret(sizes[n * 7 % array_len(sizes)]);
            char aad[128];
            size_t aad_len = n % 5 ? aad_of(n, aad) : 0; /* 0: none at all */
            both_open_what_the_other_sealed(&kinds[i], c, key, plain, aad_len ? aad : NULL, aad_len);
        }
    }
}

static void a_context_outlives_its_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(kinds); i++) {
        struct secret *key = random_secret(kinds[i].key_size);
        _cleanup_(secret_freep) struct secret *kept = secret_copy(key->data, key->len), *out = NULL;
        _cleanup_(cipher_context_freep) struct cipher_context *c = context(&kinds[i], key);
        _cleanup_(buf_freep) struct buf body = BUF_INIT(100);
        memset(key->data, 0x5a, key->len); /* before the cipher's own set-up, which is at the first value */
        secret_free(key);
        assert_int_equal(cipher_context_encrypt(c, "/k", 2, "text", 4, &body, &err), 0);
        assert_int_equal(crypto_decrypt(kinds[i].cipher, kept, "/k", 2, body.data, body.len, &out, &err), 0);
        assert_int_equal(out->len, 4);
        assert_memory_equal(out->data, "text", 4);
    }
}

static void the_same_text_twice_gives_different_bytes(void **state)
{
    (void)state;
    enum { TIMES = 64, TEXT = 32 };
    static const char text[TEXT] = "the same thirty-two bytes, twice";
    for (size_t i = 0; i < array_len(kinds); i++) {
        _cleanup_(secret_freep) struct secret *key = random_secret(kinds[i].key_size);
        _cleanup_(cipher_context_freep) struct cipher_context *c = context(&kinds[i], key);
        _cleanup_(buf_freep) struct buf all = BUF_INIT(TIMES * 128);
        size_t size = body_size(&kinds[i], TEXT), nonce = kinds[i].nonce;
        for (size_t n = 0; n < TIMES; n++)
            assert_int_equal(cipher_context_encrypt(c, NULL, 0, text, TEXT, &all, &err), 0);
        assert_int_equal(all.len, TIMES * size);
        for (size_t a = 0; a < TIMES; a++)
            for (size_t b = a + 1; b < TIMES; b++) {
                const char *x = all.data + a * size, *y = all.data + b * size;
                assert_memory_not_equal(x, y, nonce);
                assert_memory_not_equal(x + nonce, y + nonce, TEXT);
            }
    }
}

/* ---------- what does not open ---------- */

/* Still opens and seals as ever. */
static void still_works(const struct kind *k, struct cipher_context *c, const struct secret *key)
{
    _cleanup_(secret_freep) struct secret *plain = random_secret(21);
    both_open_what_the_other_sealed(k, c, key, plain, "/k", 2);
}

static void a_wrong_key_is_denied_and_leaves_the_context_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(kinds); i++) {
        const struct kind *k = &kinds[i];
        _cleanup_(secret_freep) struct secret *key = random_secret(k->key_size);
        _cleanup_(cipher_context_freep) struct cipher_context *c = context(k, key);
        int denied = 0;
        for (int n = 0; n < 64; n++) {
            _cleanup_(secret_freep) struct secret *other = random_secret(k->key_size), *out = NULL;
            _cleanup_(buf_freep) struct buf body = BUF_INIT(100);
            assert_int_equal(crypto_encrypt(k->cipher, other, "/k", 2, "some text", 9, &body, &err), 0);
            int rc = cipher_context_decrypt(c, "/k", 2, body.data, body.len, &out, &err);
            denied += rc == ERR_DENIED;
            assert_true(rc == 0 || (rc == ERR_DENIED && !out));
            still_works(k, c, key);
        }
        /* AES-CBC has no tag: about one wrong key in 256 happens on a good padding. */
        assert_in_range(denied, k->cipher == CIPHER_AESCBC ? 56 : 64, 64);
    }
}

/* Bodies that a context must refuse: `n` tells how it is damaged. False: there is no such damage. */
static bool damage(const struct kind *k, struct buf *body, size_t n)
{
    if (n < 3 && k->cipher == CIPHER_AESCBC) {           /* no tag: what padding can tell */
        body->data[body->len - 17] ^= (char)(0x80 >> n); /* the padding's last byte: no length any more */
        return true;
    }
    switch (n) {
    case 0: /* the nonce */
        body->data[0] ^= 1;
        return true;
    case 1: /* the text */
        body->data[body->len / 2] ^= 0x10;
        return true;
    case 2: /* the tag of GCM */
        body->data[body->len - 1] ^= (char)0x80;
        return true;
    case 3:
        body->len -= 1;
        return true;
    case 4:
        body->len = k->nonce;
        return true;
    case 5:
        body->len = 0;
        return true;
    default:
        return false;
    }
}

static void a_damaged_value_is_denied_and_leaves_the_context_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(kinds); i++) {
        const struct kind *k = &kinds[i];
        _cleanup_(secret_freep) struct secret *key = random_secret(k->key_size), *plain = random_secret(47);
        _cleanup_(cipher_context_freep) struct cipher_context *c = context(k, key);
        size_t n = 0;
        for (bool more = true; more; n++) {
            _cleanup_(buf_freep) struct buf body = BUF_INIT(1000);
            struct secret *out = NULL;
            assert_int_equal(cipher_context_encrypt(c, "/k", 2, plain->data, plain->len, &body, &err), 0);
            more = damage(k, &body, n);
            if (!more)
                break;
            assert_int_equal(cipher_context_decrypt(c, "/k", 2, body.data, body.len, &out, &err), ERR_DENIED);
            assert_null(out);
            still_works(k, c, key);
        }
        assert_int_equal(n, 6);
    }
}

static void gcm_alone_is_bound_to_its_etcd_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(kinds); i++) {
        _cleanup_(secret_freep) struct secret *key = random_secret(kinds[i].key_size), *there = NULL,
                                              *none = NULL;
        _cleanup_(cipher_context_freep) struct cipher_context *c = context(&kinds[i], key);
        _cleanup_(buf_freep) struct buf body = BUF_INIT(100);
        int due = kinds[i].cipher == CIPHER_AESGCM ? ERR_DENIED : 0;
        assert_int_equal(cipher_context_encrypt(c, "/a", 2, "text", 4, &body, &err), 0);
        assert_int_equal(cipher_context_decrypt(c, "/b", 2, body.data, body.len, &there, &err), due);
        assert_int_equal(cipher_context_decrypt(c, NULL, 0, body.data, body.len, &none, &err), due);
        still_works(&kinds[i], c, key);
    }
}

static void a_key_of_no_size_of_the_cipher_is_refused(void **state)
{
    (void)state;
    static const enum cipher all[] = {CIPHER_AESCBC, CIPHER_AESGCM, CIPHER_SECRETBOX};
    for (size_t i = 0; i < array_len(all); i++)
        for (size_t n = 0; n <= 64; n++) {
            _cleanup_(secret_freep) struct secret *key = random_secret(n);
            struct cipher_context *c = NULL;
            bool good = false;
            for (size_t k = 0; k < array_len(kinds); k++)
                good = good || (kinds[k].cipher == all[i] && kinds[k].key_size == n);
            assert_int_equal(cipher_context_new(all[i], key, &c, &err), good ? 0 : ERR_INVALID);
            assert_int_equal(c != NULL, good);
            cipher_context_free(c);
        }
    cipher_context_free(NULL);
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(kinds); i++) {
        _cleanup_(secret_freep) struct secret *key = random_secret(kinds[i].key_size);
        _cleanup_(cipher_context_freep) struct cipher_context *c = context(&kinds[i], key);
        _cleanup_(buf_freep) struct buf body = BUF_INIT(20);
        assert_int_equal(buf_adds(&body, "old", &err), 0);
        assert_int_equal(cipher_context_encrypt(c, NULL, 0, "x", 1, &body, &err), ERR_TOO_LARGE);
        assert_string_equal(buf_str(&body), "old");
        still_works(&kinds[i], c, key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_values_are_as_each_by_itself),
        cmocka_unit_test(a_context_outlives_its_key),
        cmocka_unit_test(the_same_text_twice_gives_different_bytes),
        cmocka_unit_test(a_wrong_key_is_denied_and_leaves_the_context_good),
        cmocka_unit_test(a_damaged_value_is_denied_and_leaves_the_context_good),
        cmocka_unit_test(gcm_alone_is_bound_to_its_etcd_key),
        cmocka_unit_test(a_key_of_no_size_of_the_cipher_is_refused),
        cmocka_unit_test(a_full_buffer_is_left_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
