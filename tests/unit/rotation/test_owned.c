/* Servers that make their encryption configs themselves (K3s, RKE2): the first one is asked for the next
 * config, the others take it over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>

#include "owned_world.h"

/* ---------- who is next ---------- */

static void called_then_followed(void **state)
{
    (void)state;
    static const char *const append[] = {"issue 2 append",    "order s1 call 2",   "order s1 follow 2",
                                         "order s2 follow 2", "order s3 follow 2", "phase readable"};
    static const char *const promote[] = {"issue 3 promote",   "order s1 call 3",   "order s1 follow 3",
                                          "order s2 follow 3", "order s3 follow 3", "phase written"};
    static const char *const drop[] = {"issue 4 drop",      "order s1 call 4",   "order s1 follow 4",
                                       "order s2 follow 4", "order s3 follow 4", "phase final"};
    struct world w;
    owned_open(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_int_equal(w.s->rotation.stage, STAGE_REENCRYPT_FINISHED);
    owned_assert_log(&w, append, array_len(append));
    owned_assert_log(&w, promote, array_len(promote));
    owned_assert_log(&w, drop, array_len(drop));
    assert_true(world_all_have(&w, w.s->rotation.hash));
    assert_string_equal(w.s->rotation.write_key, "key-2");
    assert_int_equal(w.s->rotation.keys, 1);
    assert_int_equal(w.s->escrow_count, 1);
    assert_string_equal(w.s->escrow[0].name, "key");
    world_free(&w);
}

static void calls_by_phase(void **state)
{
    (void)state;
    static const struct {
        enum phase phase;
        const char *call;
        enum stage stage;
        int64_t from;
    } cases[] = {{PHASE_APPEND, "prepare", STAGE_PREPARE, 1},
                 {PHASE_PROMOTE, "rotate", STAGE_ROTATE, 2},
                 {PHASE_DROP, "reencrypt", STAGE_REENCRYPT_FINISHED, 3}};
    struct world w;
    owned_open(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    for (size_t i = 0; i < array_len(cases); i++) {
        world_until(&w, cases[i].phase, ACTION_ORDER);
        const struct cluster_order *o = &owned_server(&w, 0)->order;
        assert_int_equal(o->kind, ORDER_CALL);
        assert_string_equal(o->call, cases[i].call);
        assert_string_equal(o->hash, "");
        assert_int_equal(o->stage, cases[i].stage);
        assert_int_equal(o->from, cases[i].from);
        assert_int_equal(o->generation, cases[i].from + 1);
        assert_false(owned_server(&w, 1)->has_order);
        /* it alone is at work, and nothing is known of what it makes */
        assert_null(snapshot_bundle(w.s, o->generation));
        world_wait(&w, 3);
        assert_int_equal(world_in_flight(&w), 1);
        world_obey(&w, 0);
        world_until(&w, cases[i].phase, ACTION_ORDER);
        assert_int_equal(o->kind, ORDER_FOLLOW);
        assert_string_equal(o->call, "");
        assert_string_equal(o->hash, snapshot_bundle(w.s, o->generation)->hash);
    }
    world_free(&w);
}

static void disabled_and_enabled(void **state)
{
    (void)state;
    static const struct {
        enum operation_kind kind;
        const char *call;
        bool encrypts;
    } cases[] = {{OP_DISABLE, "disable", false}, {OP_ENABLE, "enable", true}};
    struct world w;
    owned_open(&w, 3);
    for (size_t i = 0; i < array_len(cases); i++) {
        world_request(&w, cases[i].kind, false, false, true);
        world_until(&w, PHASE_SWITCH, ACTION_ORDER);
        assert_int_equal(owned_server(&w, 0)->order.kind, ORDER_CALL);
        assert_string_equal(owned_server(&w, 0)->order.call, cases[i].call);
        world_run(&w);
        assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
        assert_int_equal(w.s->rotation.write_key[0] != 0, cases[i].encrypts);
        assert_true(world_all_have(&w, w.s->rotation.hash));
    }
    world_free(&w);
}

/* ---------- by hand ---------- */

/* One call a step, and no other order: the operator restarts the servers, whichever first. */
static void by_hand(void **state)
{
    (void)state;
    static const enum operation_kind kinds[] = {OP_PREPARE, OP_ROTATE, OP_REENCRYPT};
    static const size_t turns[][3] = {{0, 1, 2}, {2, 0, 1}, {1, 2, 0}};
    struct world w;
    owned_open(&w, 3);
    for (size_t k = 0; k < array_len(kinds); k++) {
        size_t calls = 0;
        w.log_count = 0;
        world_request(&w, kinds[k], false, false, false);
        world_run(&w);
        assert_int_equal(w.s->rotation.op.state, OP_STATE_RUNNING);
        for (size_t i = 0; i < 3; i++) {
            world_operator_restart(&w, turns[k][i]);
            if (i < 2) {
                world_run(&w);
                assert_int_equal(w.s->rotation.op.state, OP_STATE_RUNNING);
                assert_string_equal(w.last.row, "manual");
            }
        }
        world_run(&w);
        assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
        for (size_t i = 0; i < w.log_count; i++) {
            bool order = strncmp(w.log[i], "order ", 6) == 0;
            calls += order;
            if (order)
                assert_int_equal(strncmp(w.log[i], "order s1 call", 13), 0);
        }
        assert_int_equal(calls, 1);
    }
    assert_int_equal(w.s->rotation.stage, STAGE_REENCRYPT_FINISHED);
    world_free(&w);
}

/* ---------- asked, and not sealed ---------- */

static void until_called(struct world *w, enum phase phase)
{
    world_request(w, OP_ROTATE_KEYS, false, false, true);
    world_until(w, phase, ACTION_ORDER);
    assert_int_equal(owned_server(w, 0)->order.kind, ORDER_CALL);
}

/* The call fails, and what it was about stands there all the same: it is asked for again, not called drift.
 */
static void failed_but_made(void **state)
{
    (void)state;
    for (int others = 0; others < 2; others++) {
        struct world w;
        owned_open(&w, 3);
        until_called(&w, PHASE_APPEND);
        int64_t target = owned_server(&w, 0)->order.generation;
        owned_set_file(&w, 0, "made");
        world_wait(&w, 2);
        assert_string_equal(w.last.row, "order-in-flight");
        if (others) { /* was started anew in that moment, and took over what the datastore has */
            owned_set_file(&w, 2, "made");
            owned_set_loaded(&w, 2, "made");
        }
        world_fail(&w, 0, "the server did not make its next config: it took too long");
        world_step(&w);
        assert_string_equal(w.last.row, "order-failed");
        assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
        world_ask(&w, OP_RESUME, false, "", "");
        world_step(&w);
        world_step(&w);
        assert_string_equal(w.last.row, "order");
        assert_int_equal(owned_server(&w, 0)->order.kind, ORDER_CALL);
        assert_int_equal(owned_server(&w, 0)->order.generation, target);
        world_free(&w);
    }
}

/* What is neither the config from before nor what the first server has is somebody's. */
static void another_file_is_drift(void **state)
{
    (void)state;
    struct world w;
    owned_open(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_APPEND, ACTION_ISSUE);
    assert_int_equal(w.s->rotation.op.target, 2);
    assert_string_equal(w.s->rotation.op.target_hash, "");
    assert_null(snapshot_bundle(w.s, 2));
    owned_set_file(&w, 1, "by-hand");
    world_wait(&w, 3);
    assert_string_equal(w.last.row, "drift");
    assert_string_equal(w.last.on, "s2");
    assert_int_equal(world_in_flight(&w), 0);
    owned_set_file(&w, 1, w.s->rotation.hash);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_ORDER);
    assert_int_equal(owned_server(&w, 0)->order.kind, ORDER_CALL);
    world_free(&w);
}

/* Sealed, but never handed to the datastore: every server has the config from before again. */
static void lost_and_made_anew(void **state)
{
    (void)state;
    struct world w;
    owned_open(&w, 3);
    until_called(&w, PHASE_APPEND);
    char before[CLUSTER_HASH_MAX];
    memcpy(before, w.s->rotation.hash, sizeof(before));
    world_obey(&w, 0);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    assert_int_equal(owned_server(&w, 0)->order.kind, ORDER_FOLLOW);
    owned_set_file(&w, 0, before);
    owned_server(&w, 0)->report.stage = STAGE_START;
    owned_server(&w, 0)->report.generation = 1;
    world_fail(&w, 0, "the server keeps coming back with another encryption config than the first server's");
    world_step(&w);
    assert_string_equal(w.last.row, "order-failed"); /* a person looks at it first */
    world_ask(&w, OP_RESUME, false, "", "");
    world_step(&w);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_ISSUE);
    assert_int_equal(w.s->rotation.op.target, 3);
    world_step(&w);
    assert_int_equal(owned_server(&w, 0)->order.kind, ORDER_CALL);
    assert_int_equal(owned_server(&w, 0)->order.generation, 3);
    assert_int_equal(owned_server(&w, 0)->order.from, 1);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_int_equal(w.s->rotation.keys, 1);
    world_free(&w);
}

/* As long as one server has what was made, it is not lost. */
static void not_lost_while_one_has_it(void **state)
{
    (void)state;
    struct world w;
    owned_open(&w, 3);
    until_called(&w, PHASE_APPEND);
    char before[CLUSTER_HASH_MAX];
    memcpy(before, w.s->rotation.hash, sizeof(before));
    world_obey(&w, 0);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    const struct snapshot_bundle *b = snapshot_bundle(w.s, 2);
    owned_set_file(&w, 0, before);
    owned_set_file(&w, 2, b->hash);
    owned_set_loaded(&w, 2, b->hash);
    world_fail(&w, 0, "it did not come ready");
    world_step(&w);
    world_ask(&w, OP_RESUME, false, "", "");
    world_step(&w);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_ORDER);
    assert_int_equal(owned_server(&w, 0)->order.kind, ORDER_FOLLOW);
    assert_int_equal(owned_server(&w, 0)->order.generation, 2);
    world_free(&w);
}

/* ---------- no way back ---------- */

static void asked_and_refused(struct world *w, enum operation_kind kind, const char *key, const char *why)
{
    world_ask(w, kind, false, "", key);
    world_step(w);
    assert_int_equal(w->last.action, ACTION_REFUSE);
    if (!strstr(w->last.why, why))
        fail_msg("'%s' does not say '%s'", w->last.why, why);
}

static void abort_is_refused_once_it_was_asked(void **state)
{
    (void)state;
    static const enum phase phases[] = {PHASE_APPEND, PHASE_PROMOTE, PHASE_DROP};
    struct world w;
    owned_open(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_OPENS, ACTION_PROVE); /* nothing was asked for yet */
    world_ask(&w, OP_ABORT, false, "", "");
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_ABORT);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_true(world_all_have(&w, "hash-0"));
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    for (size_t i = 0; i < array_len(phases); i++) {
        world_until(&w, phases[i], ACTION_ORDER);
        asked_and_refused(&w, OP_ABORT, "", "know no way back");
    }
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

static void no_key_is_put_back(void **state)
{
    (void)state;
    struct world w;
    owned_open(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->escrow_count, 1);
    asked_and_refused(&w, OP_RESTORE_KEY, "key", "cannot be put");
    world_free(&w);
}

/* A value under the key that goes: nothing can be brought back, a person writes the object anew. */
static void left_behind(void **state)
{
    (void)state;
    struct world w;
    owned_open(&w, 3);
    w.blind_is_ok = true;
    until_called(&w, PHASE_DROP);
    world_obey(&w, 0);
    world_write_under(&w, 1);
    world_step(&w);
    assert_string_equal(w.last.row, "left-behind");
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    assert_int_equal(w.s->rotation.op.phase, PHASE_DROP);
    w.values &= ~UINT64_C(2);
    world_ask(&w, OP_RESUME, false, "", "");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_false(world_did(&w, 0, "bring back"));
    world_free(&w);
}

static void final_left(void **state)
{
    (void)state;
    struct world w;
    owned_open(&w, 3);
    w.blind_is_ok = true;
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_FINAL, ACTION_PROVE);
    world_write_under(&w, 1);
    world_finish_job(&w);
    world_step(&w);
    assert_string_equal(w.last.row, "final-left");
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    w.values &= ~UINT64_C(2);
    world_ask(&w, OP_RESUME, false, "", "");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_false(world_did(&w, 0, "bring back"));
    world_free(&w);
}

/* ---------- repairs ---------- */

static void repair_is_a_restart(void **state)
{
    (void)state;
    struct world w;
    owned_open(&w, 3);
    owned_set_file(&w, 1, "by-hand");
    world_ask(&w, OP_REPAIR, false, "s2", "");
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REPAIR);
    const struct cluster_order *o = &owned_server(&w, 1)->order;
    assert_int_equal(o->kind, ORDER_FOLLOW);
    assert_int_equal(o->generation, 1);
    assert_string_equal(o->hash, w.s->rotation.hash);
    world_obey(&w, 1);
    assert_true(world_all_have(&w, w.s->rotation.hash));
    world_free(&w);
}

/* In the middle of a phase the servers have only its config to hand to one another. */
static void repair_in_a_phase(void **state)
{
    (void)state;
    struct world w;
    owned_open(&w, 3);
    until_called(&w, PHASE_APPEND);
    world_obey(&w, 0);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    world_obey(&w, 0);
    owned_set_file(&w, 2, "by-hand");
    world_ask(&w, OP_REPAIR, false, "s3", "");
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REPAIR);
    assert_int_equal(owned_server(&w, 2)->order.kind, ORDER_FOLLOW);
    assert_int_equal(owned_server(&w, 2)->order.generation, 2);
    assert_string_equal(owned_server(&w, 2)->order.hash, snapshot_bundle(w.s, 2)->hash);
    assert_int_equal(owned_server(&w, 2)->order.stage, STAGE_PREPARE);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* Halted after a call: what the first server has is no damage, and policy does not restart it. */
static void policy_leaves_a_call_alone(void **state)
{
    (void)state;
    for (int sealed = 0; sealed < 2; sealed++) {
        struct world w;
        owned_open(&w, 3);
        w.spec.auto_repair = w.s->spec.auto_repair = true;
        until_called(&w, PHASE_APPEND);
        if (sealed) {
            world_obey(&w, 0);
            world_until(&w, PHASE_APPEND, ACTION_ORDER);
        } else {
            owned_set_file(&w, 0, "made");
        }
        world_fail(&w, 0, "it failed");
        world_step(&w);
        assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
        world_wait(&w, 3);
        assert_string_equal(w.last.row, "idle");
        assert_false(owned_server(&w, 0)->has_order);
        world_free(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(called_then_followed),
        cmocka_unit_test(calls_by_phase),
        cmocka_unit_test(disabled_and_enabled),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(failed_but_made),
        cmocka_unit_test(another_file_is_drift),
        cmocka_unit_test(lost_and_made_anew),
        cmocka_unit_test(not_lost_while_one_has_it),
        cmocka_unit_test(abort_is_refused_once_it_was_asked),
        cmocka_unit_test(no_key_is_put_back),
        cmocka_unit_test(left_behind),
        cmocka_unit_test(final_left),
        cmocka_unit_test(repair_is_a_restart),
        cmocka_unit_test(repair_in_a_phase),
        cmocka_unit_test(policy_leaves_a_call_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
