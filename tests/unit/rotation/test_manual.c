/* The procedure by hand (--no-restart): the operator restarts the servers, and types the next step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>

#include "world.h"

static void manual_procedure(void **state)
{
    (void)state;
    struct world w;
    char why[CLUSTER_TEXT_MAX];
    world_init(&w, 3);
    static const enum operation_kind kinds[] = {OP_PREPARE, OP_ROTATE, OP_REENCRYPT};
    static const enum stage stages[] = {STAGE_PREPARE, STAGE_ROTATE, STAGE_REENCRYPT_FINISHED};
    for (size_t k = 0; k < array_len(kinds); k++) {
        world_request(&w, kinds[k], false, false, false);
        world_run(&w);
        assert_int_equal(w.s->rotation.op.state, OP_STATE_RUNNING);
        assert_int_equal(w.s->servers[0].report.stage, stages[k]);
        assert_false(snapshot_hashes_match(w.s, why));
        assert_string_equal(why, "hash does not match between s1 and s2");
        /* too early for the next step */
        world_request(&w, k == 0 ? OP_ROTATE : OP_REENCRYPT, false, false, false);
        world_step(&w);
        assert_int_equal(w.last.action, ACTION_REFUSE);
        assert_non_null(strstr(w.last.why, "hash does not match between s1 and s2"));
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(w.s->rotation.op.state, OP_STATE_RUNNING);
            world_operator_restart(&w, i);
            world_run(&w);
        }
        assert_true(snapshot_hashes_match(w.s, why));
        assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
        assert_int_equal(w.s->rotation.stage, stages[k]);
    }
    world_free(&w);
}

/* The status shows equal hashes before the last server is ready: the next step, typed at once, waits for it.
 */
static void next_step_waits_for_the_last_restart(void **state)
{
    (void)state;
    static const struct {
        enum operation_kind next;
        enum action then;
    } cases[] = {{OP_ROTATE, ACTION_START}, {OP_PREPARE, ACTION_REFUSE}};
    for (size_t k = 0; k < array_len(cases); k++) {
        struct world w;
        world_init(&w, 3);
        world_request(&w, OP_PREPARE, false, false, false);
        world_run(&w);
        for (size_t i = 0; i < 3; i++)
            world_operator_restart(&w, i);
        w.s->servers[2].report.ready = false;
        world_request(&w, cases[k].next, false, false, false);
        world_run(&w);
        assert_string_equal(w.last.row, "unready");
        assert_int_equal(w.s->requests_count, 1);
        w.s->servers[2].report.ready = true;
        while (w.s->rotation.op.state == OP_STATE_RUNNING && w.s->requests_count == 1) {
            world_step(&w);
            world_move(&w);
        }
        assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
        world_step(&w);
        assert_int_equal(w.last.action, cases[k].then);
        if (cases[k].then == ACTION_REFUSE)
            assert_string_equal(w.last.why, "incorrect stage: prepare found on node s1");
        world_free(&w);
    }
}

/* One server: its file has the new hash before it is restarted, and is equal to itself. */
static void next_step_before_the_only_restart(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_request(&w, OP_PREPARE, false, false, false);
    world_run(&w);
    world_request(&w, OP_ROTATE, false, false, false);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REFUSE);
    assert_non_null(strstr(w.last.why, "restart"));
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manual_procedure),
        cmocka_unit_test(next_step_waits_for_the_last_restart),
        cmocka_unit_test(next_step_before_the_only_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
