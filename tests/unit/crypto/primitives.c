#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "primitives.h"
#include "vectors.h"

static struct error err = ERROR_INIT;

/* FIPS 180-4's examples. */
static void sha256(void **state)
{
    (void)state;
    char hex[SHA256_HEX_SIZE];
    assert_int_equal(crypto_sha256_hex("", 0, hex, &err), 0);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(crypto_sha256_hex("abc", 3, hex, &err), 0);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void assert_hex(const uint8_t *data, const char *due)
{
    _cleanup_(secret_freep) struct secret *s = from_hex(due);
    assert_memory_equal(data, s->data, s->len);
}

/* RFC 4231, cases 1, 2 and 6 (a key longer than a block). */
static void hmac(void **state)
{
    (void)state;
    static const struct {
        const char *key, *text, *due;
    } cases[] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "Hi There",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"4a656665", "what do ya want for nothing?",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        _cleanup_(secret_freep) struct secret *key = from_hex(cases[i].key);
        uint8_t out[SHA256_SIZE];
        size_t half = strlen(cases[i].text) / 2;
        const struct bytes parts[] = {{cases[i].text, half},
                                      {cases[i].text + half, strlen(cases[i].text) - half}};
        assert_int_equal(crypto_hmac(key, parts, 2, out, &err), 0);
        assert_hex(out, cases[i].due);
    }
    _cleanup_(secret_freep) struct secret *key = secret_new(131);
    memset(key->data, 0xaa, 131);
    key->len = 131;
    const char *text = "Test Using Larger Than Block-Size Key - Hash Key First";
    uint8_t out[SHA256_SIZE];
    assert_int_equal(crypto_hmac(key, &(struct bytes){text, strlen(text)}, 1, out, &err), 0);
    assert_hex(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* RFC 7914, section 12. */
static void scrypt(void **state)
{
    (void)state;
    static const struct {
        const char *password, *salt;
        struct scrypt_params params;
        const char *due;
    } cases[] = {
        {"",
         "",
         {16, 1, 1},
         "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442fcd0069ded0948f8326a753a0fc81f17e8d"
         "3e0fb2e0d3628"
         "cf35e20c38d18906"},
        {"password",
         "NaCl",
         {1024, 8, 16},
         "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac72"
         "7afb94a83ee6d"
         "8360cbdfa2cc0640"},
        {"pleaseletmein",
         "SodiumChloride",
         {16384, 8, 1},
         "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61"
         "e85dc0d651e40"
         "dfcf017b45575887"},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        _cleanup_(secret_freep) struct secret *password =
            secret_copy(cases[i].password, strlen(cases[i].password));
        _cleanup_(secret_freep) struct secret *out = NULL;
        struct bytes salt = {cases[i].salt, strlen(cases[i].salt)};
        assert_int_equal(crypto_scrypt(password, salt, &cases[i].params, 64, &out, &err), 0);
        assert_int_equal(out->len, 64);
        assert_hex(out->data, cases[i].due);
    }
}

/* RFC 5869, A.1 and A.3: the expansion from the extracted key. */
static void hkdf_expand(void **state)
{
    (void)state;
    static const struct {
        const char *prk, *info, *okm;
    } cases[] = {
        {"077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5", "f0f1f2f3f4f5f6f7f8f9",
         "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
        {"19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04", "",
         "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        _cleanup_(secret_freep) struct secret *key = from_hex(cases[i].prk), *info = from_hex(cases[i].info);
        _cleanup_(secret_freep) struct secret *out = NULL;
        assert_int_equal(crypto_hkdf_expand(key, (struct bytes){info->data, info->len}, 42, &out, &err), 0);
        _cleanup_(secret_freep) struct secret *due = from_hex(cases[i].okm);
        assert_int_equal(secret_equal(out, due), 1);
    }
}

static void scrypt_refuses_bad_parameters(void **state)
{
    (void)state;
    _cleanup_(secret_freep) struct secret *password = secret_copy("password", 8);
    struct secret *out = NULL;
    struct error why = ERROR_INIT;
    struct scrypt_params params = {1000, 8, 1}; /* no power of two */
    assert_int_equal(crypto_scrypt(password, (struct bytes){"NaCl", 4}, &params, 32, &out, &why),
                     ERR_INTERNAL);
    assert_null(out);
    assert_non_null(strstr(why.text, "scrypt"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256),
        cmocka_unit_test(hmac),
        cmocka_unit_test(scrypt),
        cmocka_unit_test(hkdf_expand),
        cmocka_unit_test(scrypt_refuses_bad_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
