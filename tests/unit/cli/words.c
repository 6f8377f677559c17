#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <report/words.h>
#include <rotation/rotation.h>

#include "fixture.h"

/* Every phase has words, those of the proofs a verb that fits its column. */
static void test_every_phase(void **state)
{
    (void)state;
    for (int p = PHASE_ADOPT; p <= PHASE_DONE; p++)
        for (int kind = OP_PREPARE; kind <= OP_RESTORE_KEY; kind++) {
            enum phase phase = (enum phase)p;
            char object[PHASE_TEXT_MAX];
            assert_true(*phase_claim((enum operation_kind)kind, phase));
            phase_object((enum operation_kind)kind, phase, object);
            assert_true(*object && strlen(object) < 64);
            assert_int_equal(phase_verb(phase) != NULL, rotation_phase_is_proof(phase));
            if (phase_verb(phase))
                assert_true(strlen(phase_verb(phase)) <= 13);
        }
    assert_string_equal(phase_claim(OP_ROTATE_KEYS, (enum phase)99), "?");
    assert_null(phase_verb((enum phase)99));
}

static void test_the_key_that_it_is_about(void **state)
{
    (void)state;
    char object[PHASE_TEXT_MAX];
    phase_object(OP_ROTATE_KEYS, PHASE_WRITTEN, object);
    assert_string_equal(object, "that every server writes with the new key");
    phase_object(OP_ABORT, PHASE_WRITTEN, object);
    assert_string_equal(object, "that every server writes with the old key");
    phase_object(OP_DISABLE, PHASE_WRITTEN, object);
    assert_string_equal(object, "that every server writes plain values");
    phase_object(OP_RESTORE_KEY, PHASE_READABLE, object);
    assert_string_equal(object, "that every server reads the restored key");
}

static void test_proof_of_the_present_entry(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(1, "s");
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_READABLE, STAGE_PREPARE);
    s->rotation.op.step = 4;
    assert_null(proof_of_phase(s));
    struct cluster_proof *p = fixture_proof(s, PHASE_READABLE, PROOF_MADE, "canary");
    fixture_server_proof(p, "s1", PROOF_MADE, "");
    assert_ptr_equal(proof_of_phase(s), p);
    assert_ptr_equal(proof_of_server(p, "s1"), &p->servers[0]);
    assert_null(proof_of_server(p, "s2"));
    assert_null(proof_of_server(NULL, "s1"));
    s->rotation.op.step = 9; /* entered again */
    assert_null(proof_of_phase(s));
}

static void test_trouble(void **state)
{
    (void)state;
    static const struct {
        enum phase phase;
        enum proof_state state;
        const char *method, *why, *expected;
    } rows[] = {
        {PHASE_READABLE, PROOF_MADE, "canary", "", ""},
        {PHASE_READABLE, PROOF_RUNNING, "list", "", ""},
        {PHASE_VERIFY, PROOF_MADE, "scan", "", ""},
        {PHASE_READABLE, PROOF_MADE, "list", "canaries are off",
         "Proof not made by canary: readable (list): canaries are off\n"},
        {PHASE_WRITTEN, PROOF_MADE, "list", "", "Proof not made by canary: written (list)\n"},
        {PHASE_OPENS, PROOF_MADE, "decrypt", "", ""},
        {PHASE_OPENS, PROOF_MADE, "list", "not raw", "Proof not made by decrypting: opens (list): not raw\n"},
        {PHASE_WRITTEN, PROOF_MADE, "read", "not raw", "Proof not made by canary: written (read): not raw\n"},
        {PHASE_VERIFY, PROOF_MADE, "list", "not raw", "Proof not made by scan: verify (list): not raw\n"},
        {PHASE_FINAL, PROOF_MADE, "list", "not raw", "Proof not made by scan: final (list): not raw\n"},
        {PHASE_FINAL, PROOF_RUNNING, "list", "", ""},
        {PHASE_READABLE, PROOF_UNMADE, "canary", "s2 is not ready",
         "Proof not made: readable (canary): s2 is not ready\n"},
        {PHASE_VERIFY, PROOF_FAILED, "scan", "3 of 500 values",
         "Proof failed: verify (scan): 3 of 500 values\n"},
        {PHASE_BACKUP, PROOF_UNMADE, "", "", "Proof not made: backup (no method): no reason is given\n"},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct cluster_proof p = {.phase = rows[i].phase, .state = rows[i].state};
        _cleanup_(buf_freep) struct buf out = BUF_INIT(1024);
        text_copy(p.method, sizeof(p.method), rows[i].method);
        text_copy(p.why, sizeof(p.why), rows[i].why);
        assert_int_equal(proof_trouble(&p, &out, NULL), 0);
        assert_string_equal(buf_str(&out), rows[i].expected);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    char out[SIZE_TEXT_MAX];
    format_size(0, out);
    assert_string_equal(out, "1 MiB");
    format_size(123LL * 1024 * 1024 + 5, out);
    assert_string_equal(out, "123 MiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_phase),
        cmocka_unit_test(test_the_key_that_it_is_about),
        cmocka_unit_test(test_proof_of_the_present_entry),
        cmocka_unit_test(test_trouble),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
