#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <crypto/crypto.h>

static struct error err = ERROR_INIT;

/* RFC 4648, section 10, and the two last characters of the alphabet. */
static void known_answers(void **state)
{
    (void)state;
    static const struct {
        const char *data, *text;
    } cases[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/"},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        _cleanup_(secret_freep) struct secret *text = NULL, *data = NULL;
        assert_int_equal(crypto_base64_encode(cases[i].data, strlen(cases[i].data), &text, &err), 0);
        assert_int_equal(text->len, strlen(cases[i].text));
        assert_string_equal((const char *)text->data, cases[i].text);
        assert_int_equal(crypto_base64_decode(cases[i].text, strlen(cases[i].text), &data, &err), 0);
        assert_int_equal(data->len, strlen(cases[i].data));
        assert_memory_equal(data->data, cases[i].data, data->len);
    }
}

static void refuses_what_is_not_strict(void **state)
{
    (void)state;
    static const char *texts[] = {"Zg",    "Zg=",      "Zg===", "Z",        "=",          "====",  "Zm9v\n",
                                  " Zm9v", "Zm 9",     "Zm8_",  "Zm8-",     "Zh==",       "Zm9=",  "Zg==Zg==",
                                  "Zm9v=", "Zm9vA===", "Zg=a",  "Zm9v====", "\xc3\xa4==", "Zg==\n"};
    for (size_t i = 0; i < array_len(texts); i++) {
        struct secret *data = NULL;
        struct error why = ERROR_INIT;
        if (crypto_base64_decode(texts[i], strlen(texts[i]), &data, &why) != ERR_INVALID)
            fail_msg("'%s' was taken", texts[i]);
        assert_null(data);
        assert_null(strstr(why.text, "Zm"));
    }
    struct secret *data = NULL;
    assert_int_equal(crypto_base64_decode("Zg=\0", 4, &data, &err), ERR_INVALID);
}

static void every_length_comes_back(void **state)
{
    (void)state;
    for (size_t n = 0; n < 100; n++) {
        _cleanup_(secret_freep) struct secret *data = NULL, *text = NULL, *back = NULL;
        assert_int_equal(crypto_random_secret(n, &data, &err), 0);
        assert_int_equal(crypto_base64_encode(data->data, n, &text, &err), 0);
        assert_int_equal(text->len, (n + 2) / 3 * 4);
        assert_int_equal(crypto_base64_decode((const char *)text->data, text->len, &back, &err), 0);
        assert_int_equal(secret_equal(data, back), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(refuses_what_is_not_strict),
        cmocka_unit_test(every_length_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
