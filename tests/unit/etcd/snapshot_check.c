#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "internal.h"

#include <base/text.h>
#include <crypto/crypto.h>

#define CONTENT 1024
#define SIZE    (CONTENT + SHA256_SIZE)

static uint8_t snapshot[SIZE];
static char whole_hex[ETCD_SHA256_HEX];

static void sum(const uint8_t *data, size_t len, uint8_t out[SHA256_SIZE])
{
    assert_int_equal(crypto_sha256(data, len, out, NULL), 0);
}

static int setup(void **state)
{
    (void)state;
    uint8_t whole[SHA256_SIZE];
    for (size_t i = 0; i < CONTENT; i++)
        snapshot[i] = (uint8_t)(i * 131 + (i >> 8));
    sum(snapshot, CONTENT, snapshot + CONTENT);
    sum(snapshot, SIZE, whole);
    text_hex(whole, sizeof(whole), whole_hex);
    return 0;
}

static int verdict(const uint8_t *data, size_t first, size_t second, struct error *err)
{
    struct snapshot_digest d;
    char hex[ETCD_SHA256_HEX];
    assert_int_equal(digest_begin(&d, NULL), 0);
    assert_int_equal(digest_add(&d, data, first, NULL), 0);
    assert_int_equal(digest_add(&d, data + first, second, NULL), 0);
    int rc = digest_end(&d, hex, err);
    digest_clear(&d);
    if (rc == 0)
        assert_string_equal(hex, whole_hex);
    return rc;
}

static void whole_at_every_split(void **state)
{
    (void)state;
    for (size_t cut = 0; cut <= SIZE; cut++)
        assert_int_equal(verdict(snapshot, cut, SIZE - cut, NULL), 0);
    /* byte by byte, and in pieces of every small size */
    for (size_t step = 1; step < 70; step++) {
        struct snapshot_digest d;
        char hex[ETCD_SHA256_HEX];
        assert_int_equal(digest_begin(&d, NULL), 0);
        for (size_t at = 0; at < SIZE; at += step)
            assert_int_equal(digest_add(&d, snapshot + at, SIZE - at < step ? SIZE - at : step, NULL), 0);
        assert_int_equal(digest_end(&d, hex, NULL), 0);
        digest_clear(&d);
        assert_string_equal(hex, whole_hex);
    }
}

static void cut_short_at_every_byte(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    for (size_t len = 0; len < SIZE; len++)
        assert_int_equal(verdict(snapshot, len / 2, len - len / 2, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "is missing"));
    /* Of the right size by chance: the sum is not its own. */
    assert_int_equal(verdict(snapshot, 512, 32, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "damaged"));
}

static void one_wrong_bit_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZE; i++) {
        snapshot[i] ^= 0x10;
        assert_int_equal(verdict(snapshot, SIZE / 3, SIZE - SIZE / 3, NULL), ERR_INVALID);
        snapshot[i] ^= 0x10;
    }
}

static void nothing_but_a_checksum_is_no_snapshot(void **state)
{
    (void)state;
    uint8_t only[SHA256_SIZE];
    sum(snapshot, 0, only);
    assert_int_equal(verdict(only, 16, 16, NULL), ERR_INVALID);
}

/* --- the stream's answers --- */

struct answer {
    uint64_t remaining;
    size_t len;
};

/* The last row has len 0; the caller clears *in. Returns the first error, or whether it is complete. */
static int take_in(const struct answer *rows, struct snapshot_intake *in, struct error *err)
{
    size_t at = 0;
    assert_int_equal(intake_begin(in, NULL), 0);
    for (; rows->len; rows++) {
        int rc =
            intake_add(in, rows->remaining, snapshot + (at <= SIZE - rows->len ? at : 0), rows->len, err);
        if (rc < 0)
            return rc;
        at += rows->len;
    }
    return intake_complete(in);
}

static void answers_that_add_up(void **state)
{
    (void)state;
    static const struct answer rows[][6] = {
        {{512, 512}, {0, 512}, {0, 32}},
        {{0, 1024}, {0, 32}},
        {{1000, 24}, {999, 1}, {0, 999}, {0, 31}, {0, 1}},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct snapshot_intake in;
        char hex[ETCD_SHA256_HEX];
        assert_int_equal(take_in(rows[i], &in, NULL), 1);
        assert_int_equal(in.content, CONTENT);
        assert_int_equal(digest_end(&in.digest, hex, NULL), 0);
        intake_clear(&in);
        assert_string_equal(hex, whole_hex);
    }
}

static void answers_that_stop_are_not_complete(void **state)
{
    (void)state;
    static const struct answer rows[][6] = {
        {{0, 0}}, {{512, 512}}, {{512, 512}, {0, 512}}, {{0, 1024}, {0, 31}}};
    for (size_t i = 0; i < array_len(rows); i++) {
        struct snapshot_intake in;
        assert_int_equal(take_in(rows[i], &in, NULL), 0);
        intake_clear(&in);
    }
}

static void answers_that_do_not_add_up(void **state)
{
    (void)state;
    static const struct answer rows[][6] = {
        {{UINT64_MAX, 512}},             /* an absurd size */
        {{512, 512}, {512, 512}},        /* more than announced */
        {{512, 512}, {1, 510}},          /* a byte went missing */
        {{512, 512}, {0, 511}},          /* the end is early */
        {{512, 512}, {0, 512}, {0, 33}}, /* more than a checksum */
        {{512, 512}, {0, 512}, {1, 32}}, /* begins again */
        {{512, 256}, {512, 256}},        /* stands still */
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct snapshot_intake in;
        struct error err = ERROR_INIT;
        assert_int_equal(take_in(rows[i], &in, &err), ERR_INVALID);
        intake_clear(&in);
        assert_int_equal(err.code, ERR_INVALID);
    }
}

/* --- files --- */

static void a_file_is_verified(void **state)
{
    (void)state;
    char path[] = "/tmp/snapshot-check-XXXXXX";
    int fd = mkstemp(path);
    struct etcd_snapshot_file file;
    struct error err = ERROR_INIT;
    atomic_bool cancel = true;
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write(fd, snapshot, SIZE), SIZE);
    assert_int_equal(etcd_snapshot_verify(fd, "the file", NULL, &file, NULL), 0);
    assert_int_equal(file.size, SIZE);
    assert_string_equal(file.sha256, whole_hex);
    assert_int_equal(etcd_snapshot_verify(fd, "the file", &cancel, &file, &err), ERR_CANCELED);
    assert_int_equal(ftruncate(fd, SIZE - 512), 0);
    assert_int_equal(etcd_snapshot_verify(fd, "the file", NULL, &file, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "the file: "));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_at_every_split),       cmocka_unit_test(cut_short_at_every_byte),
        cmocka_unit_test(one_wrong_bit_anywhere),     cmocka_unit_test(nothing_but_a_checksum_is_no_snapshot),
        cmocka_unit_test(answers_that_add_up),        cmocka_unit_test(answers_that_stop_are_not_complete),
        cmocka_unit_test(answers_that_do_not_add_up), cmocka_unit_test(a_file_is_verified),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
