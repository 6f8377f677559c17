/* One server's file is put right. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>

static void drift(struct world *w, size_t i)
{
    struct cluster_report *r = &w->s->servers[i].report;
    text_copy(r->hash, sizeof(r->hash), "by-hand");
    text_copy(r->config_id, sizeof(r->config_id), "by-hand");
    r->generation = r->vector_generation = 0;
}

static void break_file(struct world *w, size_t i)
{
    struct cluster_report *r = &w->s->servers[i].report;
    r->hash[0] = r->config_id[0] = 0;
    r->generation = r->vector_generation = 0;
    text_copy(r->file_why, sizeof(r->file_why), "/etc/kubernetes/enc/config.json: no such file");
}

static void load_foreign(struct world *w, size_t i)
{
    drift(w, i);
    text_copy(w->s->servers[i].report.loaded_hash, CLUSTER_HASH_MAX, "by-hand");
}

static void crash(struct world *w, size_t i)
{
    break_file(w, i);
    w->s->servers[i].report.loaded_known = false;
    w->s->servers[i].report.loaded_hash[0] = 0;
    w->s->servers[i].report.ready = false;
}

static void (*const harms[])(struct world *w, size_t i) = {drift, break_file, crash};

/* Asks for a repair of s2 and sees the order; `generation` is the settled one. */
static void repaired(struct world *w, int64_t generation)
{
    world_ask(w, OP_REPAIR, false, "s2", "");
    world_step(w);
    if (w->last.action != ACTION_REPAIR)
        fail_msg("not repaired: %s: %s", w->last.row, w->last.why);
    const struct snapshot_server *s2 = &w->s->servers[1];
    const struct snapshot_bundle *b = snapshot_bundle(w->s, generation);
    assert_true(s2->has_order);
    assert_int_equal(s2->order.kind, ORDER_REPAIR);
    assert_int_equal(s2->order.generation, generation);
    assert_int_equal(s2->order.fence, w->self.fence);
    assert_int_equal(s2->order.stage, b->stage);
    assert_string_equal(s2->order.hash, b->hash);
    assert_int_equal(w->s->requests_count, 0);
    size_t from = w->log_count;
    world_wait(w, 4);
    assert_int_equal(w->log_count, from); /* it is in flight: it blocks everything else */
    world_obey(w, 1);
    assert_string_equal(s2->report.hash, b->hash);
}

static void repair_when_idle(void **state)
{
    (void)state;
    for (size_t h = 0; h < array_len(harms); h++) {
        struct world w;
        world_init_adopted(&w, 3);
        harms[h](&w, 1);
        world_request(&w, OP_ROTATE_KEYS, false, false, true);
        world_step(&w);
        assert_int_equal(w.last.action, ACTION_REFUSE);
        repaired(&w, 1);
        world_request(&w, OP_ROTATE_KEYS, false, false, true);
        world_run(&w);
        assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
        assert_int_equal(w.s->rotation.op.kind, OP_ROTATE_KEYS);
        world_free(&w);
    }
}

/* In the middle of every config phase, before and after the server had its turn. */
static void repair_while_an_operation_runs(void **state)
{
    (void)state;
    static const enum phase phases[] = {PHASE_APPEND, PHASE_PROMOTE, PHASE_DROP};
    for (size_t p = 0; p < array_len(phases); p++)
        for (size_t turn = 0; turn < 3; turn++)
            for (size_t h = 0; h < array_len(harms); h++) {
                struct world w;
                world_init_adopted(&w, 3);
                world_request(&w, OP_ROTATE_KEYS, false, false, true);
                for (size_t i = 0; i <= turn; i++) {
                    world_until(&w, phases[p], ACTION_ORDER);
                    world_obey(&w, i);
                }
                harms[h](&w, 1);
                world_run(&w);
                assert_string_equal(w.last.on, "s2");
                assert_int_equal(w.last.action, ACTION_WAIT);
                if (h != 2)
                    assert_string_equal(w.last.row, "drift");
                repaired(&w, w.s->rotation.generation);
                world_run(&w);
                assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
                assert_true(world_all_have(&w, w.s->rotation.hash));
                world_free(&w);
            }
}

/* A restart that failed halted the operation, and left s2 without a file. */
static void repair_of_a_halted_operation(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_PROMOTE, ACTION_ORDER);
    world_obey(&w, 0);
    world_until(&w, PHASE_PROMOTE, ACTION_ORDER);
    world_fail(&w, 1, "did not come back");
    crash(&w, 1);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    char why[CLUSTER_TEXT_MAX];
    memcpy(why, w.s->rotation.op.why, sizeof(why));
    repaired(&w, 2);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    assert_string_equal(w.s->rotation.op.why, why); /* why it halted is not overwritten */
    world_request(&w, OP_RESUME, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* While it is paused, too; the pause stays. */
static void repair_in_a_pause(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_READABLE, ACTION_PROVE);
    world_request(&w, OP_PAUSE, false, false, true);
    world_run(&w);
    drift(&w, 1);
    repaired(&w, 2);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_PAUSED);
    world_free(&w);
}

/* What an API server loaded that nobody issued may have written values: not without --force. */
static void foreign_config_needs_force(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    load_foreign(&w, 1);
    world_ask(&w, OP_REPAIR, false, "s2", "");
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REFUSE);
    assert_non_null(strstr(w.last.why, "s2's API server runs with a config that was not issued here"));
    assert_non_null(strstr(w.last.why, "--force"));
    world_ask(&w, OP_REPAIR, true, "s2", "");
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REPAIR);
    world_run(&w);
    assert_true(world_all_have(&w, "hash-0"));
    world_free(&w);
}

static void refused(struct world *w, const char *server, const char *why)
{
    world_ask(w, OP_REPAIR, false, server, "");
    world_step(w);
    assert_int_equal(w->last.action, ACTION_REFUSE);
    if (!strstr(w->last.why, why))
        fail_msg("refused with: %s", w->last.why);
}

static void repair_is_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    w.s->servers[0].report.ready = false;
    refused(&w, "s2", "no config was issued yet");
    world_free(&w);

    world_init_adopted(&w, 3);
    refused(&w, "s9", "'s9' is not among the cluster's servers");
    refused(&w, "s2", "s2 needs no repair");
    drift(&w, 1);
    w.s->servers[2].report.ready = false;
    refused(&w, "s2", "s3 is not ready: one server at a time");
    w.s->servers[2].report.ready = true;
    world_silence(&w, 2);
    refused(&w, "s2", "s3: silent");
    w.s->servers[2].reports = true;
    world_silence(&w, 1);
    refused(&w, "s2", "its agent has to run to be told");
    w.s->servers[1].reports = true;
    w.s->servers[2].unchanged_ms = w.self.stale_ms + 1; /* hangs: its API server may be down */
    world_ask(&w, OP_REPAIR, false, "s2", "");
    world_step(&w);
    assert_true(w.last.action == ACTION_REFUSE || w.last.action == ACTION_WAIT);
    assert_non_null(strstr(w.last.why, "s3"));
    assert_false(w.s->servers[1].has_order);
    world_free(&w);

    world_init_adopted(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    drift(&w, 1);
    refused(&w, "s2", "s1 is at work on an order");
    assert_true(w.s->servers[0].has_order);
    world_free(&w);
}

/* An order that a repair gives is nobody's business but its own: when it fails, the operation is not halted
 * by it, and goes on once the server is well. */
static void failed_repair_halts_nothing(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    world_obey(&w, 0);
    drift(&w, 1);
    world_ask(&w, OP_REPAIR, false, "s2", "");
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REPAIR);
    world_fail(&w, 1, "no space left on device");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_RUNNING);
    assert_string_equal(w.last.row, "drift");
    repaired(&w, 1);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* ---------- by policy ---------- */

static void init_policy(struct world *w)
{
    world_init_adopted(w, 3);
    w->spec.auto_repair = w->s->spec.auto_repair = true;
}

static void policy_repairs_one_server(void **state)
{
    (void)state;
    struct world w;
    init_policy(&w);
    drift(&w, 2);
    world_step(&w);
    assert_string_equal(w.last.row, "repair-auto");
    assert_string_equal(w.last.on, "s3");
    assert_int_equal(w.last.server, 2);
    assert_int_equal(w.last.request, SIZE_MAX);
    assert_string_equal(w.s->servers[2].order.operation, "policy");
    world_run(&w);
    assert_true(world_all_have(&w, "hash-0"));
    /* and while an operation runs */
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_PROMOTE, ACTION_ORDER);
    break_file(&w, 2);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_true(world_did(&w, 0, "order s3 repair 2"));
    world_free(&w);
}

/* The request that stands in the queue is not answered by a repair that nobody asked for. */
static void policy_does_not_answer_a_request(void **state)
{
    (void)state;
    struct world w;
    init_policy(&w);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    drift(&w, 2);
    world_obey(&w, 0);
    world_request(&w, OP_DISABLE, false, false, true);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REFUSE);
    world_step(&w);
    assert_string_equal(w.last.row, "repair-auto");
    world_free(&w);
}

static void policy_leaves_alone(void **state)
{
    (void)state;
    for (int c = 0; c < 6; c++) {
        struct world w;
        init_policy(&w);
        if (c != 5)
            drift(&w, 2);
        if (c == 0)
            drift(&w, 1); /* several: somebody means something by it */
        if (c == 1)
            load_foreign(&w, 2); /* values may stand under its keys */
        if (c == 2)
            w.s->servers[1].report.ready = false;
        if (c == 3)
            world_silence(&w, 0);
        if (c == 4)
            w.spec.auto_repair = w.s->spec.auto_repair = false;
        size_t from = w.log_count;
        world_run(&w);
        if (w.log_count != from)
            fail_msg("case %d: %s", c, w.log[from]);
        world_free(&w);
    }
}

/* A repair that cannot succeed is not tried at every turn. */
static void policy_does_not_repeat_itself_without_end(void **state)
{
    (void)state;
    struct world w;
    init_policy(&w);
    drift(&w, 2);
    int repairs = 0;
    for (int i = 0; i < 200; i++) {
        world_step(&w);
        if (w.last.action != ACTION_REPAIR)
            continue;
        repairs++;
        world_refuse(&w, 2, "the sealed file is unusable");
    }
    if (repairs > 20)
        fail_msg("%d repairs in 20 seconds", repairs);
    world_free(&w);
}

/* The state store was put back to before the last rotation: what it would bring back lacks the newest key.
 * And what is refused must not lead there either. */
static void not_from_a_store_of_before(void **state)
{
    (void)state;
    static const enum operation_kind kinds[] = {OP_REPAIR, OP_ROTATE_KEYS, OP_ROTATE, OP_RESTART};
    for (int n = 0; n < 8; n++) {
        int force = n % 2;
        struct world w;
        world_init_adopted(&w, 3);
        for (size_t i = 0; i < 3; i++) {
            load_foreign(&w, i);
            w.s->servers[i].report.generation = 4;
        }
        world_ask(&w, kinds[n / 2], force, n < 2 ? "s2" : "", "");
        world_step(&w);
        assert_int_equal(w.last.action, ACTION_REFUSE);
        assert_non_null(strstr(w.last.why, "s1: it has generation 4"));
        assert_null(strstr(w.last.why, "put generation"));
        assert_non_null(strstr(w.last.why, "older backup"));
        assert_null(strstr(w.last.why, "--force"));
        assert_false(w.s->servers[1].has_order);
        world_free(&w);
    }
}

/* The datastore was restored with the state store: no API server comes up before it has the keys of before.
 */
static void repair_where_nobody_is_ready(void **state)
{
    (void)state;
    for (int n = 0; n < 4; n++) {
        bool force = n & 1, ready = n & 2; /* of the one that is to be repaired */
        struct world w;
        world_init_adopted(&w, 3);
        for (size_t i = 0; i < 3; i++) {
            load_foreign(&w, i);
            w.s->servers[i].report.ready = i == 1 && ready;
        }
        world_ask(&w, OP_REPAIR, force, "s2", "");
        world_step(&w);
        assert_int_equal(w.last.action, force && !ready ? ACTION_REPAIR : ACTION_REFUSE);
        if (!force || ready)
            assert_non_null(strstr(w.last.why, "one server at a time"));
        world_free(&w);
    }
}

/* The state store has lost its records, and the servers are in any stage: the files are not taken over by
 * themselves, and nobody is ordered anything. One server that remembers is enough. */
static void not_from_a_store_that_was_lost(void **state)
{
    (void)state;
    static const enum operation_kind kinds[] = {OP_ADOPT,   OP_REPAIR, OP_ROTATE_KEYS,
                                                OP_PREPARE, OP_ROTATE, OP_RESTART};
    for (size_t n = 0; n < array_len(kinds) * 2; n++) {
        struct world w;
        world_init(&w, 3);
        w.s->servers[2].report.generation = 4;
        bool asked = kinds[n / 2] != OP_ADOPT; /* that is nobody's to ask for */
        if (asked)
            world_ask(&w, kinds[n / 2], n % 2, kinds[n / 2] == OP_REPAIR ? "s3" : "", "");
        world_step(&w);
        if (asked) {
            assert_int_equal(w.last.action, ACTION_REFUSE);
            assert_non_null(strstr(w.last.why, "The state store was lost"));
        }
        world_run(&w);
        assert_int_equal(w.s->rotation.generation, 0);
        assert_string_equal(w.s->rotation.op.id, "");
        for (size_t i = 0; i < 3; i++)
            assert_false(w.s->servers[i].has_order);
        w.s->servers[2].report.generation = 0; /* its agent was made to forget, as the runbook says */
        world_run(&w);
        assert_int_equal(w.s->rotation.generation, 1);
        world_free(&w);
    }
}

/* In the middle of an operation: what is said leads to no repair. */
static void a_store_of_before_is_told(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_PROMOTE, ACTION_ORDER);
    for (size_t i = 0; i < 3; i++) {
        load_foreign(&w, i);
        w.s->servers[i].report.generation = 9;
    }
    world_run(&w);
    assert_string_equal(w.last.row, "drift");
    assert_non_null(strstr(w.last.why, "older backup"));
    assert_null(strstr(w.last.why, "`secrets-encrypt repair`"));
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repair_when_idle),
        cmocka_unit_test(repair_while_an_operation_runs),
        cmocka_unit_test(repair_of_a_halted_operation),
        cmocka_unit_test(repair_in_a_pause),
        cmocka_unit_test(foreign_config_needs_force),
        cmocka_unit_test(repair_is_refused),
        cmocka_unit_test(not_from_a_store_of_before),
        cmocka_unit_test(not_from_a_store_that_was_lost),
        cmocka_unit_test(repair_where_nobody_is_ready),
        cmocka_unit_test(a_store_of_before_is_told),
        cmocka_unit_test(failed_repair_halts_nothing),
        cmocka_unit_test(policy_repairs_one_server),
        cmocka_unit_test(policy_does_not_answer_a_request),
        cmocka_unit_test(policy_leaves_alone),
        cmocka_unit_test(policy_does_not_repeat_itself_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
