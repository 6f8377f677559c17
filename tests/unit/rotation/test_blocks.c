/* What holds an operation up, what does not, and what people are told of it. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>

#define UNKNOWN "an API server at 10.0.0.9 is alive in the datastore's records: add it to servers"
#define DAY_MS  (INT64_C(24) * 3600 * 1000)

static void init_rotating(struct world *w)
{
    world_init_adopted(w, 3);
    world_request(w, OP_ROTATE_KEYS, false, false, true);
}

/* Steps a few times with everything else standing still: nothing was done. */
static void nothing_happens(struct world *w, const char *row)
{
    size_t from = w->log_count;
    world_wait(w, 5);
    if (w->log_count != from)
        fail_msg("%s, although %s", w->log[from], row);
    assert_string_equal(w->last.row, row);
}

/* ---------- servers that nobody told us about ---------- */

static void unknown_api_server_blocks_a_start(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    text_copy(w.s->unknown_api, CLUSTER_TEXT_MAX, UNKNOWN);
    for (int force = 0; force < 2; force++) {
        world_request(&w, OP_ROTATE_KEYS, force, false, true);
        world_step(&w);
        assert_int_equal(w.last.action, ACTION_REFUSE);
        assert_string_equal(w.last.why, UNKNOWN);
    }
    world_step(&w);
    assert_string_equal(w.last.row, "idle-unknown");
    assert_non_null(strstr(w.last.why, "10.0.0.9"));
    world_free(&w);
    /* nor is anything adopted */
    world_init(&w, 3);
    text_copy(w.s->unknown_api, CLUSTER_TEXT_MAX, UNKNOWN);
    world_run(&w);
    assert_int_equal(w.log_count, 0);
    world_free(&w);
}

static void unknown_api_server_blocks_the_next_order(void **state)
{
    (void)state;
    static const enum phase phases[] = {PHASE_APPEND, PHASE_PROMOTE, PHASE_DROP};
    for (size_t p = 0; p < array_len(phases); p++)
        for (int issued = 0; issued < 2; issued++) {
            struct world w;
            init_rotating(&w);
            if (issued) {
                world_until(&w, phases[p], ACTION_ORDER);
                world_obey(&w, 0); /* what is under way comes to its end */
            } else {
                while (w.s->rotation.op.phase != phases[p]) {
                    if (w.last.action == ACTION_WAIT)
                        world_move(&w);
                    world_step(&w);
                }
            }
            text_copy(w.s->unknown_api, CLUSTER_TEXT_MAX, UNKNOWN);
            size_t from = w.log_count;
            for (int i = 0; i < 8; i++) {
                world_step(&w);
                world_move(&w);
            }
            assert_false(world_did(&w, from, "order"));
            assert_false(world_did(&w, from, "issue"));
            assert_string_equal(w.last.row, "unknown-api");
            assert_non_null(strstr(w.s->rotation.op.why, "10.0.0.9"));
            w.s->unknown_api[0] = 0;
            world_run(&w);
            assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
            world_free(&w);
        }
}

/* ---------- silence ---------- */

static void stale_report_is_silence(void **state)
{
    (void)state;
    for (int c = 0; c < 2; c++) {
        struct world w;
        init_rotating(&w);
        world_until(&w, PHASE_APPEND, ACTION_ORDER);
        world_obey(&w, 0);
        if (c == 0)
            w.s->servers[2].unchanged_ms = w.self.stale_ms + 1;
        else
            w.s->servers[2].plain_keys_differ = true;
        nothing_happens(&w, "silent");
        assert_string_equal(w.last.on, "s3");
        assert_non_null(strstr(w.last.why, c == 0 ? "s3: its agent has published nothing new for 65 s"
                                                  : "s3: its stage and hash keys say something else"));
        w.s->servers[2].unchanged_ms = w.self.stale_ms;
        w.s->servers[2].plain_keys_differ = false;
        world_step(&w);
        assert_int_equal(w.last.action, ACTION_ORDER);
        world_free(&w);
    }
}

/* Silent without a reason is silent all the same. */
static void silence_needs_no_reason(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    world_obey(&w, 0);
    w.s->servers[2].reports = false;
    nothing_happens(&w, "silent");
    world_free(&w);
}

static void stranger_blocks_the_next_step(void **state)
{
    (void)state;
    for (int proof = 0; proof < 2; proof++) {
        struct world w;
        init_rotating(&w);
        world_until(&w, proof ? PHASE_READABLE : PHASE_APPEND, proof ? ACTION_PROVE : ACTION_ORDER);
        if (proof)
            world_new_leader(&w);
        else
            world_obey(&w, 0);
        struct snapshot_server *s4 = &w.s->servers[w.s->servers_count++];
        *s4 = w.s->servers[0];
        s4->in_spec = s4->has_order = false;
        text_copy(s4->name, sizeof(s4->name), "s4");
        nothing_happens(&w, "stranger");
        assert_string_equal(w.last.on, "s4");
        s4->reports = false;
        w.s->servers_count--;
        world_run(&w);
        assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
        world_free(&w);
    }
}

/* By hand: the operator may be restarting a server just now. That holds up no file, only what is done with
 * all servers. */
static void unloaded_server_by_hand(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_request(&w, OP_PREPARE, false, false, false);
    world_until(&w, PHASE_OPENS, ACTION_PROVE);
    world_new_leader(&w);
    w.s->servers[2].report.loaded_known = false;
    nothing_happens(&w, "unloaded-manual");
    assert_string_equal(w.last.on, "s3");
    w.s->servers[2].report.loaded_known = true;
    world_until(&w, PHASE_APPEND, ACTION_ISSUE);
    w.s->servers[2].report.loaded_known = false;
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_ORDER);
    assert_string_equal(w.log[w.log_count - 1], "order s1 write 2");
    world_run(&w);
    assert_string_equal(w.last.row, "manual");
    assert_int_equal(w.s->rotation.op.phase, PHASE_APPEND);
    world_free(&w);
}

/* ---------- late orders ---------- */

static void late_order_is_named_and_nothing_else(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    nothing_happens(&w, "order-in-flight");
    w.s->now_ms += w.self.order_late_ms + 1000;
    nothing_happens(&w, "order-late");
    assert_string_equal(w.last.on, "s1");
    assert_non_null(strstr(w.last.why, "s1: order 2 is not taken yet after 402 s"));
    assert_int_equal(w.s->rotation.op.state, OP_STATE_RUNNING);
    w.s->now_ms -= DAY_MS; /* before it was given, by this clock */
    nothing_happens(&w, "order-in-flight");
    w.s->now_ms += 400 * DAY_MS;
    nothing_happens(&w, "order-late");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* ---------- agents that forget, leaders that change ---------- */

static void agent_that_lost_its_memory_does_nothing_twice(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    world_until(&w, PHASE_PROMOTE, ACTION_ORDER);
    world_obey(&w, 0);
    world_until(&w, PHASE_PROMOTE, ACTION_ORDER);
    assert_int_equal(w.last.server, 1);
    struct snapshot_server *s1 = &w.s->servers[0];
    assert_false(s1->has_order); /* answered, so deleted together with s2's */
    s1->report.order_id = 0;
    s1->report.order_state = ORDER_NONE;
    size_t from = w.log_count;
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_string_equal(w.log[from], "order s3 apply 3");
    assert_string_equal(w.log[from + 1], "phase written");
    world_free(&w);
}

/* With its order still there it carries it out once more: the same file, so no harm, and no standstill. */
static void agent_that_forgot_the_order_at_hand(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    world_until(&w, PHASE_PROMOTE, ACTION_ORDER);
    world_obey(&w, 0);
    w.s->servers[0].report.order_id = 0;
    w.s->servers[0].report.order_state = ORDER_NONE;
    nothing_happens(&w, "order-in-flight");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* Nor an order that it failed at, while another server is at work. */
static void agent_that_lost_its_memory_after_a_failure(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    world_fail(&w, 0, "did not come back");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    text_copy(w.s->servers[1].report.hash, CLUSTER_HASH_MAX, "by-hand");
    world_ask(&w, OP_REPAIR, false, "s2", "");
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REPAIR);
    w.s->servers[0].report.order_id = 0;
    w.s->servers[0].report.order_state = ORDER_NONE;
    assert_int_equal(world_in_flight(&w), 1);
    world_run(&w);
    world_request(&w, OP_RESUME, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

static void order_of_an_earlier_leader_is_given_again(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    int64_t id = w.s->servers[0].order.id;
    world_new_leader(&w);
    nothing_happens(&w, "order-in-flight");
    world_refuse(&w, 0, "it was given by a coordinator that has been replaced since");
    world_step(&w);
    assert_string_equal(w.last.row, "order-outdated");
    assert_int_equal(w.last.action, ACTION_ORDER);
    assert_int_equal(w.last.server, 0);
    assert_true(w.s->servers[0].order.id > id);
    assert_int_equal(w.s->servers[0].order.fence, w.self.fence);
    /* the same answer to an order of our own is a fault */
    world_refuse(&w, 0, "it was given by a coordinator that has been replaced since");
    world_run(&w);
    assert_string_equal(w.s->rotation.op.row, "order-failed");
    world_free(&w);
}

/* At each step another coordinator: nothing is done twice, nothing is left out. */
static void leader_changes_at_every_step(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    for (int i = 0; i < 500 && (w.s->requests_count || w.s->rotation.op.state == OP_STATE_RUNNING); i++) {
        world_step(&w);
        if (w.last.action == ACTION_WAIT)
            world_move(&w);
        else if (w.last.action != ACTION_PROVE && w.last.action != ACTION_REWRITE &&
                 w.last.action != ACTION_WATCH)
            world_new_leader(&w);
    }
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_int_equal(w.s->rotation.issued, 4);
    assert_int_equal(w.s->rotation.next_order, 10);
    world_free(&w);
}

/* A job comes to its end before the leadership is handed over. */
static void job_keeps_the_leadership(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    w.self.server = "s2";
    world_until(&w, PHASE_REWRITE, ACTION_REWRITE);
    text_copy(w.s->candidates[0], CLUSTER_NAME_MAX, "s1");
    w.s->candidates_count = 1;
    world_step(&w);
    assert_string_equal(w.last.row, "job-running");
    w.s->rotation.op.state = OP_STATE_HALTED; /* its operation is over: it is ended first */
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_STOP_JOB);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_RESIGN);
    world_free(&w);
}

static void servers_list_is_published_first(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    w.s->has_spec = false;
    world_step(&w);
    assert_string_equal(w.last.row, "spec-missing");
    assert_int_equal(w.last.action, ACTION_PUBLISH_SPEC);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_ADOPT);
    world_free(&w);
}

/* What is asked for while the present config is taken over waits, and is answered then. */
static void requests_wait_for_the_adoption(void **state)
{
    (void)state;
    static const enum operation_kind kinds[] = {OP_PAUSE, OP_ABORT, OP_REPAIR, OP_RESUME, OP_PREPARE};
    for (size_t k = 0; k < array_len(kinds); k++) {
        struct world w;
        world_init(&w, 3);
        world_until(&w, PHASE_ADOPT, ACTION_ORDER);
        world_ask(&w, kinds[k], false, "s2", "");
        world_wait(&w, 3);
        assert_string_equal(w.last.row, "order-in-flight");
        assert_int_equal(w.s->rotation.op.kind, OP_ADOPT);
        world_run(&w);
        assert_int_equal(w.s->requests_count, 0);
        assert_int_equal(w.s->rotation.generation, kinds[k] == OP_PREPARE ? 2 : 1);
        world_free(&w);
    }
}

/* ---------- what is kept, and for how long ---------- */

static void keys_and_bundles_are_kept_for_their_time(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    world_run(&w);
    assert_int_equal(w.s->escrow_count, 1);
    assert_int_equal(w.s->bundles_count, 4);
    w.s->now_ms += 89 * DAY_MS;
    nothing_happens(&w, "idle");
    w.s->now_ms += 2 * DAY_MS;
    w.skew_ms[1] = -2 * DAY_MS; /* whose clock is right? nothing is removed for good */
    nothing_happens(&w, "idle");
    w.skew_ms[1] = 11 * 60 * 1000;
    nothing_happens(&w, "idle");
    w.skew_ms[1] = 9 * 60 * 1000;
    world_silence(&w, 2);
    nothing_happens(&w, "idle");
    w.s->servers[2].reports = true;
    world_step(&w);
    assert_string_equal(w.last.row, "prune");
    assert_int_equal(w.s->escrow_count, 0);
    assert_int_equal(w.s->bundles_count, 2);
    assert_int_equal(w.s->bundles[0].generation, 3); /* from before the last drop */
    assert_int_equal(w.s->bundles[1].generation, 4); /* the one that the servers run with */
    nothing_happens(&w, "idle");
    world_free(&w);
}

/* A way back is never removed, and nothing is removed while an operation runs. */
static void ways_back_are_kept(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_request(&w, OP_PREPARE, false, false, true);
    world_run(&w);
    world_request(&w, OP_ROTATE, false, false, true);
    world_run(&w);
    w.s->now_ms += 1000 * DAY_MS;
    world_step(&w);
    assert_string_equal(w.last.row, "prune");
    assert_non_null(snapshot_bundle(w.s, 1)); /* base */
    assert_non_null(snapshot_bundle(w.s, 3));
    world_request(&w, OP_REENCRYPT, false, false, true);
    world_until(&w, PHASE_DROP, ACTION_ORDER);
    w.s->now_ms += 1000 * DAY_MS;
    nothing_happens(&w, "order-late");
    assert_non_null(snapshot_bundle(w.s, 3));
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

static void restore_key_is_refused_or_brings_it_back(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    world_run(&w);
    world_ask(&w, OP_RESTORE_KEY, false, "", "lost");
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REFUSE);
    assert_string_equal(w.last.why, "no retired key 'lost' is kept: `secrets-encrypt keys` lists them");
    w.s->escrow[1] = w.s->escrow[0];
    w.s->escrow_count = 2;
    world_ask(&w, OP_RESTORE_KEY, false, "", "key");
    world_step(&w);
    assert_string_equal(w.last.why, "several retired keys have the name 'key', of different providers");
    w.s->escrow_count = 1;
    size_t from = w.log_count;
    world_ask(&w, OP_RESTORE_KEY, false, "", "key");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_string_equal(w.s->rotation.op.key_provider, "aescbc");
    assert_true(world_did(&w, from, "issue 5 restore"));
    assert_true(world_did(&w, from, "prove readable"));
    assert_string_equal(w.s->rotation.write_key, "key-2"); /* it reads, it does not write */
    assert_int_equal(w.s->rotation.keys, 2);
    assert_int_equal(w.s->rotation.stage, STAGE_REENCRYPT_FINISHED);
    world_write_under(&w, 1);
    world_step(&w); /* everybody reads it */
    world_free(&w);
}

/* ---------- what people are told ---------- */

static void the_record_says_since_when_and_on_which_server(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    world_step(&w);
    const struct cluster_operation *op = &w.s->rotation.op;
    assert_string_equal(op->row, "order-in-flight");
    assert_string_equal(op->on, "s1");
    int64_t since = op->row_ms;
    assert_int_equal(since, w.s->now_ms);
    world_wait(&w, 10);
    assert_int_equal(op->row_ms, since); /* not since the last look */
    w.s->servers[0].report.order_id = w.s->servers[0].order.id;
    w.s->servers[0].report.order_state = ORDER_RESTARTING; /* another text, the same row and server */
    world_wait(&w, 2);
    assert_non_null(strstr(op->why, "is restarting"));
    assert_int_equal(op->row_ms, since);
    world_obey(&w, 0);
    world_silence(&w, 2);
    world_wait(&w, 3);
    assert_string_equal(op->row, "silent");
    assert_string_equal(op->on, "s3");
    assert_true(op->row_ms > since);
    struct cluster_rotation r = w.s->rotation;
    assert_false(rotation_note(w.s, &w.last, &r)); /* it says so already: nothing is to be written */
    w.s->servers[2].reports = true;
    world_run(&w);
    assert_string_equal(op->why, "");
    assert_string_equal(op->on, "");
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_api_server_blocks_a_start),
        cmocka_unit_test(unknown_api_server_blocks_the_next_order),
        cmocka_unit_test(stale_report_is_silence),
        cmocka_unit_test(silence_needs_no_reason),
        cmocka_unit_test(stranger_blocks_the_next_step),
        cmocka_unit_test(unloaded_server_by_hand),
        cmocka_unit_test(late_order_is_named_and_nothing_else),
        cmocka_unit_test(agent_that_lost_its_memory_does_nothing_twice),
        cmocka_unit_test(agent_that_forgot_the_order_at_hand),
        cmocka_unit_test(agent_that_lost_its_memory_after_a_failure),
        cmocka_unit_test(order_of_an_earlier_leader_is_given_again),
        cmocka_unit_test(leader_changes_at_every_step),
        cmocka_unit_test(job_keeps_the_leadership),
        cmocka_unit_test(servers_list_is_published_first),
        cmocka_unit_test(requests_wait_for_the_adoption),
        cmocka_unit_test(keys_and_bundles_are_kept_for_their_time),
        cmocka_unit_test(ways_back_are_kept),
        cmocka_unit_test(restore_key_is_refused_or_brings_it_back),
        cmocka_unit_test(the_record_says_since_when_and_on_which_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
