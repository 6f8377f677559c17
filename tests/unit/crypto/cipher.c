#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <crypto/crypto.h>

#include "vectors.h"

static struct error err = ERROR_INIT;

static const enum cipher all[] = {CIPHER_AESCBC, CIPHER_AESGCM, CIPHER_SECRETBOX};

#define GCM_PLAIN                                                                                            \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aed" \
    "f5aa0de65"                                                                                              \
    "7ba637b39"
#define GCM_AAD "feedfacedeadbeeffeedfacedeadbeefabaddad2"
#define CBC_IV  "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
#define KEY32   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define CBC_PLAIN                                                                                            \
    "61747461636b206174206461776e2c20616c6c2033207365727665727" /* "attack at dawn, all 3 servers" */        \
    "3"

/* body: nonce or IV first, as Kubernetes stores it. */
static const struct vector {
    const char *origin;
    enum cipher cipher;
    const char *key, *aad, *body, *plain;
} vectors[] = {
    {"openssl enc -aes-256-cbc", CIPHER_AESCBC, KEY32, "",
     CBC_IV "cd34aedecc8bc32dba5845887ce84ba25b1aa0c340657e57aa1face26d87740f", CBC_PLAIN},
    {"openssl enc -aes-192-cbc", CIPHER_AESCBC, "000102030405060708090a0b0c0d0e0f1011121314151617", "",
     CBC_IV "e940dfecef13d9f04dbd4dc263531e1ba559ed56be4c3dc6df2b16f3bbba2576", CBC_PLAIN},
    {"openssl enc -aes-128-cbc", CIPHER_AESCBC, "000102030405060708090a0b0c0d0e0f", "",
     CBC_IV "d1a72ed15559d0a5165ee606ed4ec1655b6f6cc0050ce17a8c2e4510047d5487", CBC_PLAIN},
    {"GCM specification, test case 4", CIPHER_AESGCM, "feffe9928665731c6d6a8f9467308308", GCM_AAD,
     "cafebabefacedbaddecaf888"
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b3"
     "96a0aac973d58"
     "e091"
     "5bc94fbc3221a5db94fae95ae7121a47",
     GCM_PLAIN},
    {"GCM specification, test case 10", CIPHER_AESGCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c",
     GCM_AAD,
     "cafebabefacedbaddecaf888"
     "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c7d773d00c144c525ac619d18c84a3f4718e2448"
     "b2fe324d9ccda"
     "2710"
     "2519498e80f1478f37ba55bd6d27618c",
     GCM_PLAIN},
    {"GCM specification, test case 16", CIPHER_AESGCM,
     "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", GCM_AAD,
     "cafebabefacedbaddecaf888"
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6"
     "393ba7a0abcc9"
     "f662"
     "76fc6ece0f4e1768cddf8853bb2d551b",
     GCM_PLAIN},
    {"GCM specification, test case 13", CIPHER_AESGCM,
     "0000000000000000000000000000000000000000000000000000000000000000", "",
     "000000000000000000000000"
     "530f8afbc74536b9a963b4f1c4cb738b",
     ""},
    {"NaCl's tests/secretbox", CIPHER_SECRETBOX,
     "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389", "",
     "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37"
     "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17"
     "c98dce87b4da7"
     "f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc"
     "0e9da99832b6"
     "1ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5",
     "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c0"
     "1233561f41db6"
     "6cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c609"
     "02e52f0a089b"
     "c76897040e082f937763848645e0705"},
};

static void known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(vectors); i++) {
        const struct vector *v = &vectors[i];
        _cleanup_(secret_freep) struct secret *key = from_hex(v->key), *aad = from_hex(v->aad),
                                              *body = from_hex(v->body), *plain = from_hex(v->plain),
                                              *out = NULL;
        int rc = crypto_decrypt(v->cipher, key, aad->data, aad->len, body->data, body->len, &out, &err);
        if (rc < 0)
            fail_msg("%s: %s", v->origin, err.text);
        assert_int_equal(secret_equal(out, plain), 1);
    }
}

static void round_trips(void **state)
{
    (void)state;
    static const size_t key_sizes[][3] = {{16, 24, 32}, {16, 24, 32}, {32, 32, 32}};
    static const size_t overhead[] = {16, 28, 40};
    for (size_t c = 0; c < array_len(all); c++)
        for (size_t n = 0; n < 70; n++) {
            _cleanup_(secret_freep) struct secret *key = NULL, *plain = NULL, *out = NULL;
            _cleanup_(buf_freep) struct buf body = BUF_INIT(1000);
            assert_int_equal(crypto_random_secret(key_sizes[c][n % 3], &key, &err), 0);
            assert_int_equal(crypto_random_secret(n, &plain, &err), 0);
            assert_int_equal(crypto_encrypt(all[c], key, "/k", 2, plain->data, n, &body, &err), 0);
            size_t due = all[c] == CIPHER_AESCBC ? overhead[c] + (n / 16 + 1) * 16 : overhead[c] + n;
            assert_int_equal(body.len, due);
            assert_int_equal(crypto_decrypt(all[c], key, "/k", 2, body.data, body.len, &out, &err), 0);
            assert_int_equal(secret_equal(plain, out), 1);
        }
}

/* The same text twice gives different bytes: the nonce is new each time. */
static void nonces_are_fresh(void **state)
{
    (void)state;
    _cleanup_(secret_freep) struct secret *key = from_hex(KEY32);
    static const size_t nonce[] = {16, 12, 24};
    for (size_t c = 0; c < array_len(all); c++) {
        _cleanup_(buf_freep) struct buf a = BUF_INIT(1000), b = BUF_INIT(1000);
        assert_int_equal(crypto_encrypt(all[c], key, NULL, 0, "text", 4, &a, &err), 0);
        assert_int_equal(crypto_encrypt(all[c], key, NULL, 0, "text", 4, &b, &err), 0);
        assert_memory_not_equal(a.data, b.data, nonce[c]);
        assert_memory_not_equal(a.data + nonce[c], b.data + nonce[c], 4);
    }
}

/* Every single changed bit, and every shortened body, is noticed by the two authenticated ciphers. */
static void changes_are_denied(void **state)
{
    (void)state;
    _cleanup_(secret_freep) struct secret *key = from_hex(KEY32);
    for (size_t c = 1; c < array_len(all); c++) {
        _cleanup_(buf_freep) struct buf body = BUF_INIT(1000);
        assert_int_equal(crypto_encrypt(all[c], key, "/k", 2, "some text", 9, &body, &err), 0);
        struct secret *out = NULL;
        for (size_t bit = 0; bit < body.len * 8; bit++) {
            body.data[bit / 8] ^= (char)(1 << bit % 8);
            assert_int_equal(crypto_decrypt(all[c], key, "/k", 2, body.data, body.len, &out, &err),
                             ERR_DENIED);
            body.data[bit / 8] ^= (char)(1 << bit % 8);
        }
        for (size_t n = 0; n < body.len; n++)
            assert_int_equal(crypto_decrypt(all[c], key, "/k", 2, body.data, n, &out, &err), ERR_DENIED);
        assert_null(out);
    }
}

static void gcm_is_bound_to_its_etcd_key(void **state)
{
    (void)state;
    _cleanup_(secret_freep) struct secret *key = from_hex(KEY32);
    _cleanup_(buf_freep) struct buf body = BUF_INIT(1000);
    struct secret *out = NULL;
    assert_int_equal(crypto_encrypt(CIPHER_AESGCM, key, "/a", 2, "text", 4, &body, &err), 0);
    assert_int_equal(crypto_decrypt(CIPHER_AESGCM, key, "/b", 2, body.data, body.len, &out, &err),
                     ERR_DENIED);
    assert_int_equal(crypto_decrypt(CIPHER_AESGCM, key, NULL, 0, body.data, body.len, &out, &err),
                     ERR_DENIED);
    assert_null(out);
}

static void wrong_keys_are_denied(void **state)
{
    (void)state;
    _cleanup_(secret_freep) struct secret *key = from_hex(KEY32);
    for (size_t c = 0; c < array_len(all); c++) {
        _cleanup_(buf_freep) struct buf body = BUF_INIT(1000);
        assert_int_equal(crypto_encrypt(all[c], key, NULL, 0, "some text", 9, &body, &err), 0);
        int denied = 0;
        for (int i = 0; i < 64; i++) {
            _cleanup_(secret_freep) struct secret *other = NULL, *out = NULL;
            assert_int_equal(crypto_random_secret(32, &other, &err), 0);
            denied += crypto_decrypt(all[c], other, NULL, 0, body.data, body.len, &out, &err) == ERR_DENIED;
        }
        /* AES-CBC has no tag: about one wrong key in 256 happens on a good padding. */
        assert_in_range(denied, all[c] == CIPHER_AESCBC ? 56 : 64, 64);
    }
}

static void cbc_needs_whole_blocks(void **state)
{
    (void)state;
    _cleanup_(secret_freep) struct secret *key = from_hex(KEY32);
    uint8_t body[64] = {0};
    struct secret *out = NULL;
    for (size_t n = 0; n < sizeof(body); n++)
        if (n < 32 || n % 16 != 0)
            assert_int_equal(crypto_decrypt(CIPHER_AESCBC, key, NULL, 0, body, n, &out, &err), ERR_DENIED);
    assert_null(out);
}

static void key_sizes_are_checked(void **state)
{
    (void)state;
    for (size_t c = 0; c < array_len(all); c++)
        for (size_t n = 0; n <= 64; n++) {
            _cleanup_(secret_freep) struct secret *key = NULL, *out = NULL;
            _cleanup_(buf_freep) struct buf body = BUF_INIT(1000);
            assert_int_equal(crypto_random_secret(n, &key, &err), 0);
            bool good = n == 32 || (all[c] != CIPHER_SECRETBOX && (n == 16 || n == 24));
            assert_int_equal(crypto_encrypt(all[c], key, NULL, 0, "x", 1, &body, &err),
                             good ? 0 : ERR_INVALID);
            if (!good)
                assert_int_equal(crypto_decrypt(all[c], key, NULL, 0, "x", 1, &out, &err), ERR_INVALID);
        }
}

static void a_full_buffer_is_too_large(void **state)
{
    (void)state;
    _cleanup_(secret_freep) struct secret *key = from_hex(KEY32);
    _cleanup_(buf_freep) struct buf body = BUF_INIT(10);
    assert_int_equal(crypto_encrypt(CIPHER_AESGCM, key, NULL, 0, "x", 1, &body, &err), ERR_TOO_LARGE);
    assert_int_equal(body.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(nonces_are_fresh),
        cmocka_unit_test(changes_are_denied),
        cmocka_unit_test(gcm_is_bound_to_its_etcd_key),
        cmocka_unit_test(wrong_keys_are_denied),
        cmocka_unit_test(cbc_needs_whole_blocks),
        cmocka_unit_test(key_sizes_are_checked),
        cmocka_unit_test(a_full_buffer_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
