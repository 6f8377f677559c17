/* A restart of every server, or of some, as an operation of its own. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>

static void ended(const struct world *w, enum operation_state state)
{
    const struct cluster_operation *op = &w->s->rotation.op;
    if (op->kind != OP_RESTART || op->state != state)
        fail_msg("%s is %s: %s: %s", operation_kind_name(op->kind), operation_state_name(op->state),
                 w->last.row, *op->why ? op->why : w->last.why);
}

static void restarted(const struct world *w, int s1, int s2, int s3)
{
    const int want[] = {s1, s2, s3};
    for (size_t i = 0; i < array_len(want); i++)
        assert_int_equal(w->restarts[i], want[i]);
}

/* Where a line of the log stands; fails the test when it does not. */
static size_t place_of(const struct world *w, const char *line)
{
    for (size_t i = 0; i < w->log_count; i++)
        if (strcmp(w->log[i], line) == 0)
            return i;
    fail_msg("not done: %s", line);
    return 0;
}

static void each_once_in_order(void **state)
{
    (void)state;
    for (size_t servers = 1; servers <= 3; servers++) {
        struct world w;
        world_init_adopted(&w, servers);
        struct cluster_rotation before = w.s->rotation;
        world_restart(&w, NULL);
        world_run(&w);
        ended(&w, OP_STATE_FINISHED);
        restarted(&w, 1, servers > 1, servers > 2);
        size_t last = 0;
        for (size_t i = 0; i < servers; i++) {
            char line[32];
            snprintf(line, sizeof(line), "order s%zu restart 1", i + 1);
            assert_true(place_of(&w, line) > last);
            last = place_of(&w, line);
            assert_false(w.s->servers[i].has_order);
        }
        const struct cluster_rotation *after = &w.s->rotation;
        assert_int_equal(after->generation, before.generation);
        assert_int_equal(after->issued, before.issued);
        assert_int_equal(after->stage, before.stage);
        assert_int_equal(after->base, before.base);
        assert_string_equal(after->hash, before.hash);
        assert_int_equal(after->op.restarted, servers);
        world_free(&w);
    }
}

static void servers_without_an_api_server_first(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    w.spec.servers[1].role = w.s->spec.servers[1].role = ROLE_ETCD;
    world_restart(&w, NULL);
    world_run(&w);
    ended(&w, OP_STATE_FINISHED);
    restarted(&w, 1, 1, 1);
    assert_true(place_of(&w, "order s2 restart 1") < place_of(&w, "order s1 restart 1"));
    assert_true(place_of(&w, "order s1 restart 1") < place_of(&w, "order s3 restart 1"));
    world_free(&w);
}

static void only_the_named(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    struct cluster_request *r = world_restart(&w, (const char *const[]){"s3", "s1", NULL});
    text_copy(r->reason, sizeof(r->reason), "new flags");
    r->restart = false; /* it is what was asked for */
    world_run(&w);
    ended(&w, OP_STATE_FINISHED);
    restarted(&w, 1, 0, 1);
    assert_true(place_of(&w, "order s1 restart 1") < place_of(&w, "order s3 restart 1"));
    assert_string_equal(w.s->rotation.op.reason, "new flags");
    world_free(&w);
}

/* Nobody gets an order while another is at work, silent or not ready: step by step. */
static void one_at_a_time(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_restart(&w, NULL);
    for (size_t i = 0; i < 3; i++) {
        world_until(&w, PHASE_RESTART, ACTION_ORDER);
        assert_int_equal(w.last.server, i);
        world_wait(&w, 3);
        assert_string_equal(w.last.row, "order-in-flight");
        world_obey(&w, i);
        w.s->servers[i].report.ready = false;
        world_wait(&w, 3);
        assert_string_equal(w.last.row, "unready");
        w.s->servers[i].report.ready = true;
        world_silence(&w, (i + 1) % 3);
        world_wait(&w, 3);
        assert_string_equal(w.last.row, "silent");
        w.s->servers[(i + 1) % 3].reports = true;
    }
    world_run(&w);
    ended(&w, OP_STATE_FINISHED);
    restarted(&w, 1, 1, 1);
    world_free(&w);
}

/* A file that is changed meanwhile holds it, wherever that is. */
static void drift_holds_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        world_init_adopted(&w, 3);
        world_restart(&w, NULL);
        world_until(&w, PHASE_RESTART, ACTION_ORDER);
        world_obey(&w, 0);
        char was[CLUSTER_HASH_MAX];
        memcpy(was, w.s->servers[i].report.hash, sizeof(was));
        text_copy(w.s->servers[i].report.hash, CLUSTER_HASH_MAX, "by-hand");
        world_run(&w);
        assert_string_equal(w.last.row, "drift");
        memcpy(w.s->servers[i].report.hash, was, sizeof(was));
        world_run(&w);
        ended(&w, OP_STATE_FINISHED);
        restarted(&w, 1, 1, 1);
        world_free(&w);
    }
}

static void halts_and_goes_on_with_the_rest(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_restart(&w, NULL);
    world_until(&w, PHASE_RESTART, ACTION_ORDER);
    world_obey(&w, 0);
    world_until(&w, PHASE_RESTART, ACTION_ORDER);
    world_fail(&w, 1, "the API server did not come ready in time");
    w.s->servers[1].report.ready = false;
    world_run(&w);
    ended(&w, OP_STATE_HALTED);
    assert_int_equal(w.s->rotation.op.cause, CAUSE_SERVER);
    assert_int_equal(w.s->rotation.op.restarted, 1);
    world_request(&w, OP_RESUME, false, false, true);
    world_run(&w);
    assert_string_equal(w.last.row, "unready"); /* it is mended first */
    assert_int_equal(w.s->rotation.op.cause, CAUSE_NONE);
    w.s->servers[1].report.ready = true;
    world_run(&w);
    ended(&w, OP_STATE_FINISHED);
    restarted(&w, 1, 1, 1);
    world_free(&w);
}

/* The last server's answer was there, and its order went with the halt: it counts. */
static void a_halt_keeps_what_is_done(void **state)
{
    (void)state;
    struct world w;
    struct decision d = {.action = ACTION_HALT, .row = "test", .cause = CAUSE_SERVER};
    world_init_adopted(&w, 2);
    world_restart(&w, NULL);
    world_until(&w, PHASE_RESTART, ACTION_ORDER);
    struct cluster_rotation r = w.s->rotation;
    rotation_halt(w.s, &d, &r);
    assert_int_equal(r.op.restarted, 0);
    world_obey(&w, 0);
    rotation_halt(w.s, &d, &r);
    assert_int_equal(r.op.restarted, 1);
    world_free(&w);
}

/* A repair deletes orders that were answered: whose restart was done is not restarted again. */
static void a_repair_between(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_restart(&w, NULL);
    world_until(&w, PHASE_RESTART, ACTION_ORDER);
    world_obey(&w, 0);
    text_copy(w.s->servers[2].report.hash, CLUSTER_HASH_MAX, "by-hand");
    world_ask(&w, OP_REPAIR, false, "s3", "");
    world_run(&w);
    ended(&w, OP_STATE_FINISHED);
    restarted(&w, 1, 1, 1);
    assert_true(world_did(&w, 0, "order s3 repair 1"));
    world_free(&w);
}

/* It ends; what a rotation has half done stays as it is. */
static void abort_ends_it(void **state)
{
    (void)state;
    for (int halted = 0; halted < 2; halted++) {
        struct world w;
        world_init_adopted(&w, 3);
        world_request(&w, OP_PREPARE, false, false, true);
        world_run(&w);
        struct cluster_rotation before = w.s->rotation;
        assert_true(before.base > 0);
        world_restart(&w, NULL);
        world_until(&w, PHASE_RESTART, ACTION_ORDER);
        char id[CLUSTER_ID_MAX];
        memcpy(id, w.s->rotation.op.id, sizeof(id));
        if (halted) {
            world_fail(&w, 0, "did not come back");
            world_run(&w);
            ended(&w, OP_STATE_HALTED);
        }
        world_request(&w, OP_ABORT, false, false, true);
        world_run(&w);
        const struct cluster_rotation *r = &w.s->rotation;
        assert_int_equal(r->op.kind, OP_ABORT);
        assert_int_equal(r->op.state, OP_STATE_FINISHED);
        assert_string_equal(r->op.aborts, id);
        assert_int_equal(r->generation, before.generation);
        assert_int_equal(r->stage, before.stage);
        assert_int_equal(r->base, before.base);
        assert_string_equal(r->new_key, before.new_key);
        assert_int_equal(w.restarts[1], 0);
        world_request(&w, OP_ROTATE, false, false, true); /* the rotation goes on */
        world_run(&w);
        assert_int_equal(r->op.kind, OP_ROTATE);
        assert_int_equal(r->op.state, OP_STATE_FINISHED);
        world_free(&w);
    }
}

/* At every stage between the steps of a rotation, which goes on afterwards. */
static void between_the_steps_of_a_rotation(void **state)
{
    (void)state;
    static const enum operation_kind kinds[] = {OP_PREPARE, OP_ROTATE, OP_REENCRYPT};
    struct world w;
    world_init_adopted(&w, 3);
    for (size_t k = 0; k < array_len(kinds); k++) {
        world_request(&w, kinds[k], false, false, true);
        world_run(&w);
        assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
        assert_int_equal(w.s->rotation.op.kind, kinds[k]);
        world_restart(&w, NULL);
        world_run(&w);
        ended(&w, OP_STATE_FINISHED);
        restarted(&w, 1, 1, 1);
    }
    assert_int_equal(w.s->rotation.stage, STAGE_REENCRYPT_FINISHED);
    world_free(&w);
}

static void a_new_leader_goes_on(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_restart(&w, NULL);
    world_until(&w, PHASE_RESTART, ACTION_ORDER);
    world_obey(&w, 0);
    world_until(&w, PHASE_RESTART, ACTION_ORDER);
    world_new_leader(&w);
    world_refuse(&w, 1, "it was given by a coordinator that has been replaced since");
    world_step(&w);
    assert_string_equal(w.last.row, "order-outdated");
    assert_int_equal(w.s->servers[1].order.kind, ORDER_RESTART);
    world_run(&w);
    ended(&w, OP_STATE_FINISHED);
    restarted(&w, 1, 1, 1);
    world_free(&w);
}

static void paused_and_resumed(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_restart(&w, NULL);
    world_until(&w, PHASE_RESTART, ACTION_ORDER);
    world_request(&w, OP_PAUSE, false, false, true);
    world_run(&w);
    restarted(&w, 1, 0, 0);
    ended(&w, OP_STATE_PAUSED);
    world_request(&w, OP_RESUME, false, false, true);
    world_run(&w);
    ended(&w, OP_STATE_FINISHED);
    restarted(&w, 1, 1, 1);
    world_free(&w);
}

/* ---------- refusals ---------- */

static void refused(struct world *w, enum cluster_cause cause, const char *why)
{
    world_step(w);
    assert_int_equal(w->last.action, ACTION_REFUSE);
    assert_int_equal(w->last.cause, cause);
    if (!strstr(w->last.why, why))
        fail_msg("refused with '%s', not '%s'", w->last.why, why);
}

static void beside_another_operation(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    world_restart(&w, NULL);
    refused(&w, CAUSE_GATE, "rotate-keys is still running");
    world_fail(&w, 0, "did not come back");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    world_restart(&w, NULL);
    refused(&w, CAUSE_GATE, "rotate-keys is halted");
    world_free(&w);

    world_init_adopted(&w, 3);
    world_restart(&w, NULL);
    world_until(&w, PHASE_RESTART, ACTION_ORDER);
    world_request(&w, OP_ROTATE_KEYS, true, false, true);
    refused(&w, CAUSE_GATE, "restart is still running");
    world_restart(&w, NULL);
    refused(&w, CAUSE_GATE, "restart is still running");
    world_free(&w);
}

static void silence_one(struct world *w)
{
    world_silence(w, 1);
}

static void unready_one(struct world *w)
{
    w->s->servers[2].report.ready = false;
}

static void change_one(struct world *w)
{
    text_copy(w->s->servers[1].report.hash, CLUSTER_HASH_MAX, "by-hand");
}

static void change_all(struct world *w)
{
    for (size_t i = 0; i < 3; i++) {
        text_copy(w->s->servers[i].report.hash, CLUSTER_HASH_MAX, "by-hand");
        text_copy(w->s->servers[i].report.loaded_hash, CLUSTER_HASH_MAX, "by-hand");
    }
}

static void load_another(struct world *w)
{
    text_copy(w->s->servers[0].report.loaded_hash, CLUSTER_HASH_MAX, "another");
}

static void find_an_api(struct world *w)
{
    text_copy(w->s->unknown_api, CLUSTER_TEXT_MAX, "an API server at 10.0.0.9 is in no list");
}

static void what_blocks_it(void **state)
{
    (void)state;
    static const struct {
        void (*harm)(struct world *w);
        enum cluster_cause cause;
        const char *why;
    } cases[] = {
        {silence_one, CAUSE_SERVER, "s2: silent"},
        {unready_one, CAUSE_SERVER, "s3 is not ready"},
        {change_one, CAUSE_MISMATCH, "hash does not match between s1 and s2"},
        {change_all, CAUSE_MISMATCH, "not the one that it should have"},
        {load_another, CAUSE_MISMATCH, "not known to have loaded"},
        {find_an_api, CAUSE_GATE, "10.0.0.9"},
    };
    for (size_t i = 0; i < array_len(cases); i++)
        for (int force = 0; force < 2; force++) {
            struct world w;
            world_init_adopted(&w, 3);
            cases[i].harm(&w);
            world_restart(&w, NULL)->force = force;
            refused(&w, cases[i].cause, cases[i].why);
            world_free(&w);
        }
}

static void who_is_nobody(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_restart(&w, (const char *const[]){"s1", "s9", NULL});
    refused(&w, CAUSE_GATE, "'s9' is not among the cluster's servers");
    w.s->rotation.generation = 0;
    world_restart(&w, NULL);
    refused(&w, CAUSE_GATE, "not taken over yet");
    world_free(&w);
}

static void the_list_changed(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_restart(&w, NULL);
    world_until(&w, PHASE_RESTART, ACTION_ORDER);
    world_fail(&w, 0, "did not come back");
    world_run(&w);
    w.s->spec_mod++;
    world_request(&w, OP_RESUME, false, false, true);
    refused(&w, CAUSE_GATE, "the list of servers changed");
    world_request(&w, OP_ABORT, false, false, true);
    world_run(&w);
    world_restart(&w, NULL);
    world_run(&w);
    ended(&w, OP_STATE_FINISHED);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_once_in_order),
        cmocka_unit_test(servers_without_an_api_server_first),
        cmocka_unit_test(only_the_named),
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(drift_holds_it),
        cmocka_unit_test(halts_and_goes_on_with_the_rest),
        cmocka_unit_test(a_halt_keeps_what_is_done),
        cmocka_unit_test(a_repair_between),
        cmocka_unit_test(abort_ends_it),
        cmocka_unit_test(between_the_steps_of_a_rotation),
        cmocka_unit_test(a_new_leader_goes_on),
        cmocka_unit_test(paused_and_resumed),
        cmocka_unit_test(beside_another_operation),
        cmocka_unit_test(what_blocks_it),
        cmocka_unit_test(who_is_nobody),
        cmocka_unit_test(the_list_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
