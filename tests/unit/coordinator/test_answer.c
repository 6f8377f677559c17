#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "proofs/answer.h"

static void every_status_has_its_verdict(void **state)
{
    (void)state;
    static const struct {
        long status;
        const char *message;
        enum verdict want;
    } cases[] = {
        {200, "", VERDICT_YES},
        {201, "", VERDICT_YES},
        {301, "", VERDICT_EVIDENCE},
        {400, "", VERDICT_EVIDENCE},
        {401, "", VERDICT_DENIED},
        {403, "", VERDICT_DENIED},
        {404, "", VERDICT_MISSING},
        {408, "", VERDICT_LATER},
        {409, "", VERDICT_TAKEN},
        {410, "", VERDICT_EXPIRED},
        {422, "", VERDICT_EVIDENCE},
        {429, "", VERDICT_LATER},
        {500, "", VERDICT_EVIDENCE},
        {500, "500: Internal error occurred: no matching key was found for the provided AES transformer",
         VERDICT_EVIDENCE},
        {500, "500: Internal error occurred: invalid padding on input", VERDICT_EVIDENCE},
        {500, "500: Internal error occurred: no matching prefix found", VERDICT_EVIDENCE},
        {500, "500: etcdserver: leader changed", VERDICT_LATER},
        {500, "500: rpc error: code = Unavailable desc = transport is closing", VERDICT_LATER},
        {500, "500: context deadline exceeded", VERDICT_LATER},
        {501, "", VERDICT_EVIDENCE},
        {502, "", VERDICT_LATER},
        {503, "", VERDICT_LATER},
        {504, "", VERDICT_LATER},
        {0, "", VERDICT_EVIDENCE},
    };
    for (size_t i = 0; i < array_len(cases); i++)
        if (answer_verdict(cases[i].status, cases[i].message) != cases[i].want)
            fail_msg("%ld '%s': %d", cases[i].status, cases[i].message,
                     (int)answer_verdict(cases[i].status, cases[i].message));
}

static void text_of(const char *reply, long status, char out[ANSWER_TEXT_MAX])
{
    _cleanup_(buf_freep) struct buf b = BUF_INIT(64 * 1024);
    assert_int_equal(buf_adds(&b, reply, NULL), 0);
    answer_text(status, &b, out);
}

static void the_answer_is_one_bounded_line(void **state)
{
    (void)state;
    char out[ANSWER_TEXT_MAX], big[4096];
    text_of("{\"kind\":\"Status\",\"message\":\"Internal error\\noccurred: no key\"}", 500, out);
    assert_string_equal(out, "500: Internal error occurred: no key");
    text_of("", 503, out);
    assert_string_equal(out, "503");
    text_of("upstream\r\nis gone", 502, out);
    assert_string_equal(out, "502: upstream  is gone");
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    text_of(big, 500, out);
    assert_true(strlen(out) < ANSWER_TEXT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_verdict),
        cmocka_unit_test(the_answer_is_one_bounded_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
