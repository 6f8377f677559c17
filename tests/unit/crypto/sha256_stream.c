#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <crypto/crypto.h>

static struct sha256_stream *begin(void)
{
    struct sha256_stream *s = NULL;
    assert_int_equal(sha256_stream_new(&s, NULL), 0);
    return s;
}

static void add(struct sha256_stream *s, const void *data, size_t len)
{
    assert_int_equal(sha256_stream_update(s, data, len, NULL), 0);
}

/* From FIPS 180-4's own examples. */
static void known_digests(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        _cleanup_(sha256_stream_freep) struct sha256_stream *s = begin();
        char hex[SHA256_HEX_SIZE];
        add(s, rows[i].text, strlen(rows[i].text));
        assert_int_equal(sha256_stream_final_hex(s, hex, NULL), 0);
        assert_string_equal(hex, rows[i].hex);
    }
}

static void a_million_letters(void **state)
{
    (void)state;
    _cleanup_(sha256_stream_freep) struct sha256_stream *s = begin();
    char text[1000], hex[SHA256_HEX_SIZE];
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < 1000; i++)
        add(s, text, sizeof(text));
    assert_int_equal(sha256_stream_final_hex(s, hex, NULL), 0);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Every length around the block's and the padding's edges, in two pieces cut everywhere, against the digest
 * of one piece; asking in between changes nothing. */
static void pieces_of_any_size(void **state)
{
    (void)state;
    uint8_t data[140], whole[SHA256_SIZE], first[SHA256_SIZE], out[SHA256_SIZE];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + 1);
    for (size_t len = 0; len <= sizeof(data); len++) {
        assert_int_equal(crypto_sha256(data, len, whole, NULL), 0);
        for (size_t cut = 0; cut <= len; cut++) {
            _cleanup_(sha256_stream_freep) struct sha256_stream *s = begin();
            add(s, data, cut);
            assert_int_equal(crypto_sha256(data, cut, first, NULL), 0);
            assert_int_equal(sha256_stream_final(s, out, NULL), 0);
            assert_memory_equal(out, first, sizeof(out));
            add(s, data + cut, len - cut);
            assert_int_equal(sha256_stream_final(s, out, NULL), 0);
            assert_memory_equal(out, whole, sizeof(out));
        }
    }
}

static void nothing_is_a_piece_too(void **state)
{
    (void)state;
    _cleanup_(sha256_stream_freep) struct sha256_stream *s = begin();
    char hex[SHA256_HEX_SIZE];
    add(s, NULL, 0);
    add(s, "abc", 3);
    add(s, NULL, 0);
    assert_int_equal(sha256_stream_final_hex(s, hex, NULL), 0);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_stream_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_digests),
        cmocka_unit_test(a_million_letters),
        cmocka_unit_test(pieces_of_any_size),
        cmocka_unit_test(nothing_is_a_piece_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
