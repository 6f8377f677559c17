/* Pausing and aborting, at every moment that an operation has. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>

#define MOMENTS_MAX 200

/* An operation, and what was done before it. */
struct way {
    const char *name;
    enum operation_kind before[3];
    size_t before_count;
    enum operation_kind kind;
    bool restart;
};

static const struct way ways[] = {
    {"rotate-keys", {0}, 0, OP_ROTATE_KEYS, true},
    {"prepare", {0}, 0, OP_PREPARE, true},
    {"rotate", {OP_PREPARE}, 1, OP_ROTATE, true},
    {"reencrypt", {OP_PREPARE, OP_ROTATE}, 2, OP_REENCRYPT, true},
    {"disable", {0}, 0, OP_DISABLE, true},
    {"enable", {OP_DISABLE}, 1, OP_ENABLE, true},
    {"restore-key", {OP_ROTATE_KEYS}, 1, OP_RESTORE_KEY, true},
    {"prepare by hand", {0}, 0, OP_PREPARE, false},
    {"rotate by hand", {OP_PREPARE}, 1, OP_ROTATE, false},
    {"reencrypt by hand", {OP_PREPARE, OP_ROTATE}, 2, OP_REENCRYPT, false},
};

static void begin(struct world *w, const struct way *way)
{
    world_init_adopted(w, 3);
    for (size_t i = 0; i < way->before_count; i++) {
        world_request(w, way->before[i], false, false, true);
        world_run(w);
        assert_int_equal(w->s->rotation.op.state, OP_STATE_FINISHED);
    }
    world_ask(w, way->kind, false, "", way->kind == OP_RESTORE_KEY ? "key" : "");
    w->s->requests[w->s->requests_count - 1].request.restart = way->restart;
    w->log_count = 0;
}

/* Every API server stores values all the time. */
static void all_write(struct world *w)
{
    for (size_t i = 0; i < w->s->servers_count; i++)
        world_write(w, i);
}

/* One decision, and what follows from it when it was to wait; by hand, the operator restarts a server when
 * nothing else moves. */
static void live(struct world *w)
{
    all_write(w);
    world_step(w);
    if (w->last.action != ACTION_WAIT || world_move(w) || w->s->rotation.op.restart)
        return;
    for (size_t i = 0; i < w->s->servers_count; i++)
        if (w->s->servers[i].has_order ||
            strcmp(w->s->servers[i].report.hash, w->s->servers[i].report.loaded_hash) != 0) {
            bool same = strcmp(w->s->servers[i].report.hash, w->s->servers[i].report.loaded_hash) == 0;
            if (same && w->s->servers[i].report.order_state == ORDER_DONE)
                continue;
            world_operator_restart(w, i);
            return;
        }
}

static bool unfinished(const struct world *w)
{
    return w->s->requests_count > 0 || w->s->rotation.op.state == OP_STATE_RUNNING;
}

static void live_to_the_end(struct world *w)
{
    for (int i = 0; i < 1000 && unfinished(w); i++)
        live(w);
    if (unfinished(w))
        fail_msg("it does not end: %s: %s", w->last.row, w->last.why);
}

/* Lives for `moments`, then asks. False: the operation had ended before. */
static bool ask_at(struct world *w, int moments, enum operation_kind kind, bool restart)
{
    for (int i = 0; i < moments; i++)
        live(w);
    if (!unfinished(w))
        return false;
    world_request(w, kind, false, false, restart);
    while (w->s->requests_count > 0)
        live(w);
    return true;
}

/* ---------- pause ---------- */

static void at_rest(struct world *w, size_t from, const char *where, int moment)
{
    static const char *const acts[] = {"order", "issue", "prove", "rewrite", "phase", "halt"};
    for (size_t i = 0; i < array_len(acts); i++)
        if (world_did(w, from, acts[i]))
            fail_msg("%s, moment %d: %s while paused", where, moment, acts[i]);
    if (w->job && !rotation_phase_drops(w->job_phase))
        fail_msg("%s, moment %d: a job runs while paused", where, moment);
    assert_int_equal(w->s->rotation.op.state, OP_STATE_PAUSED);
    assert_string_equal(w->last.row, "paused");
    if (rotation_phase_drops(w->s->rotation.op.phase))
        assert_true(w->self.watching); /* what leaves the servers is watched all the same */
}

static void pause_at_every_moment(void **state)
{
    (void)state;
    for (size_t k = 0; k < array_len(ways); k++) {
        int moment = 0;
        for (; moment < MOMENTS_MAX; moment++) {
            struct world w;
            begin(&w, &ways[k]);
            bool asked = ask_at(&w, moment, OP_PAUSE, true);
            if (asked) {
                assert_string_equal(w.log[w.log_count - 1], "pause");
                size_t from = w.log_count;
                enum phase phase = w.s->rotation.op.phase;
                world_wait(&w, 3); /* a job is ended, not waited for */
                assert_true(!w.job || rotation_phase_drops(w.job_phase));
                for (int i = 0; i < 12; i++) {
                    world_step(&w);
                    world_move(&w);
                }
                at_rest(&w, from, ways[k].name, moment);
                assert_int_equal(w.s->rotation.op.phase, phase);
                world_request(&w, OP_RESUME, false, false, true);
                live_to_the_end(&w);
                assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
                assert_int_equal(w.s->rotation.op.kind, ways[k].kind);
            }
            world_free(&w);
            if (!asked)
                break;
        }
        assert_true(moment > 5 && moment < MOMENTS_MAX);
    }
}

/* The same command goes on as well; another one is told what to do. */
static void paused_is_named_and_goes_on_by_the_same_command(void **state)
{
    (void)state;
    struct world w;
    begin(&w, &ways[0]);
    world_until(&w, PHASE_PROMOTE, ACTION_ORDER);
    world_request(&w, OP_PAUSE, false, false, true);
    world_run(&w);
    world_request(&w, OP_PAUSE, false, false, true);
    world_step(&w);
    assert_string_equal(w.last.why, "rotate-keys is paused already");
    world_request(&w, OP_DISABLE, false, false, true);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REFUSE);
    assert_string_equal(w.last.why, "rotate-keys is paused (promote): resume or abort it first");
    world_request(&w, OP_RESUME, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_request(&w, OP_RESUME, false, false, true);
    world_step(&w);
    assert_string_equal(w.last.why, "nothing is paused or halted");
    world_request(&w, OP_PAUSE, false, false, true);
    world_step(&w);
    assert_string_equal(w.last.why, "no operation runs that could be paused");
    world_free(&w);
}

/* A value under the key that is going ends a pause in the drop: the key comes back at once. */
static void stale_value_ends_a_pause(void **state)
{
    (void)state;
    struct world w;
    begin(&w, &ways[0]);
    world_until(&w, PHASE_DROP, ACTION_ORDER);
    world_request(&w, OP_PAUSE, false, false, true);
    world_step(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_PAUSED);
    w.blind_is_ok = true;
    world_write_under(&w, 1);
    world_wait(&w, 3);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_PAUSED); /* the order in flight comes first */
    world_obey(&w, 0);
    world_step(&w);
    assert_string_equal(w.last.row, "brought-back");
    assert_int_equal(w.s->rotation.op.state, OP_STATE_RUNNING);
    assert_int_equal(w.s->rotation.op.phase, PHASE_BRING_BACK);
    world_until(&w, PHASE_REWRITE, ACTION_REWRITE);
    w.blind_is_ok = false; /* from here on everybody reads it */
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* Nothing was issued yet: nothing is in danger, so the pause stays, and the value is rewritten after it. */
static void stale_value_before_the_drop_keeps_the_pause(void **state)
{
    (void)state;
    struct world w;
    begin(&w, &ways[0]);
    world_until(&w, PHASE_DROP, ACTION_WATCH);
    world_request(&w, OP_PAUSE, false, false, true);
    world_step(&w);
    world_finish_job(&w);
    world_write_under(&w, 1);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_PAUSED);
    assert_int_equal(w.s->rotation.op.phase, PHASE_REWRITE);
    assert_false(world_did(&w, 0, "issue 4"));
    world_request(&w, OP_RESUME, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* ---------- abort ---------- */

/* After an abort, or its refusal: where everybody is. */
static void check_end(struct world *w, const char *base, enum stage stage, const char *where, int moment)
{
    const struct cluster_rotation *r = &w->s->rotation;
    live_to_the_end(w);
    if (r->op.state != OP_STATE_FINISHED)
        fail_msg("%s, moment %d: ended halted: %s", where, moment, r->op.why);
    if (r->op.kind == OP_ABORT) {
        if (!world_all_have(w, base))
            fail_msg("%s, moment %d: s1 has %s, s2 %s, s3 %s; wanted %s", where, moment,
                     w->s->servers[0].report.hash, w->s->servers[1].report.hash, w->s->servers[2].report.hash,
                     base);
        if (r->stage != stage)
            fail_msg("%s, moment %d: stage %s", where, moment, stage_name(r->stage));
        for (size_t i = 0; i < w->s->servers_count; i++)
            assert_int_equal(w->s->servers[i].report.stage, stage);
        assert_int_equal(r->base, 0);
        assert_false(r->promoted);
        assert_string_equal(r->new_key, "");
        assert_string_equal(r->old_key, "");
    }
    assert_int_equal(world_in_flight(w), 0);
}

static void abort_at_every_moment(const struct way *way, bool restart)
{
    int moment = 0, done = 0, refused = 0;
    char refusal[96];
    snprintf(refusal, sizeof(refusal), "refuse %s is past the point of no return",
             operation_kind_name(way->kind));
    for (; moment < MOMENTS_MAX; moment++) {
        struct world w;
        begin(&w, way);
        char base[CLUSTER_HASH_MAX];
        enum stage stage = w.s->rotation.base ? w.s->rotation.base_stage : w.s->rotation.stage;
        int64_t generation = w.s->rotation.base ? w.s->rotation.base : w.s->rotation.generation;
        memcpy(base, snapshot_bundle(w.s, generation)->hash, sizeof(base));
        size_t from = w.log_count;
        bool asked = ask_at(&w, moment, OP_ABORT, restart);
        if (asked && world_did(&w, from, "refuse"))
            assert_true(world_did(&w, from, refusal));
        if (asked) {
            done += w.s->rotation.op.kind == OP_ABORT;
            refused += w.s->rotation.op.kind != OP_ABORT;
            check_end(&w, base, stage, way->name, moment);
        }
        world_free(&w);
        if (!asked)
            break;
    }
    bool drops = way->kind == OP_ROTATE_KEYS || way->kind == OP_REENCRYPT;
    assert_true(moment < MOMENTS_MAX);
    assert_true(done > 5);
    if (drops != (refused > 0))
        fail_msg("%s: %d aborts were refused", way->name, refused);
}

static void abort_leads_back_from_every_moment(void **state)
{
    (void)state;
    for (size_t k = 0; k < array_len(ways); k++)
        abort_at_every_moment(&ways[k], true);
}

static void abort_by_hand(void **state)
{
    (void)state;
    for (size_t k = 0; k < array_len(ways); k++)
        abort_at_every_moment(&ways[k], false);
}

/* An abort in the middle of an order: that order comes to its end first, then everybody goes back. */
static void abort_waits_for_the_order_in_flight(void **state)
{
    (void)state;
    struct world w;
    begin(&w, &ways[0]);
    world_until(&w, PHASE_PROMOTE, ACTION_ORDER);
    world_obey(&w, 0);
    world_until(&w, PHASE_PROMOTE, ACTION_ORDER);
    assert_int_equal(w.last.server, 1);
    world_request(&w, OP_ABORT, false, false, true);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_ABORT);
    char aborted[CLUSTER_ID_MAX];
    memcpy(aborted, w.s->rotation.op.aborts, sizeof(aborted));
    assert_true(aborted[0] != 0);
    size_t from = w.log_count;
    world_wait(&w, 5);
    assert_string_equal(w.last.row, "order-in-flight");
    assert_string_equal(w.last.on, "s2");
    assert_int_equal(w.log_count, from);
    assert_true(w.s->servers[1].has_order);
    assert_false(w.s->servers[0].has_order); /* the answered one went with the abort */
    world_obey(&w, 1);
    live_to_the_end(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_string_equal(w.s->rotation.op.aborts, aborted);
    assert_true(world_all_have(&w, "hash-0"));
    assert_int_equal(w.s->rotation.stage, STAGE_START);
    /* the way back rewrote what the new key had written, and proved it, before that key left */
    static const char *const want[] = {"issue 4 revert", "prove written",  "rewrite",
                                       "prove verify",   "issue 5 return", "prove final"};
    for (size_t i = 0; i < array_len(want); i++)
        assert_true(world_did(&w, from, want[i]));
    assert_int_equal(w.s->escrow_count, 1); /* the new key: kept, sealed, as any other that leaves */
    /* and a new rotation begins at once, with another key */
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    live_to_the_end(&w);
    assert_string_equal(w.s->rotation.write_key, "key-6");
    world_free(&w);
}

/* Before anything was adopted there is nothing to go back to: it ends at once. The order that is out still
 * blocks what comes next. */
static void abort_of_an_adoption_that_an_operation_began_with(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    world_step(&w);
    w.s->servers[2].report.ready = false; /* the coordinator's own attempt fails */
    world_until(&w, PHASE_ADOPT, ACTION_WAIT);
    w.s->servers[2].report.ready = true;
    world_until(&w, PHASE_ADOPT, ACTION_ORDER);
    world_fail(&w, 0, "kms is not managed here");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_ADOPT, ACTION_ORDER);
    world_request(&w, OP_ABORT, false, false, true);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_ABORT);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_int_equal(w.s->rotation.stage, STAGE_START);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_wait(&w, 5);
    assert_int_equal(w.last.action, ACTION_WAIT);
    assert_non_null(strstr(w.last.why, "s1"));
    assert_int_equal(w.s->requests_count, 1);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.kind, OP_ROTATE_KEYS);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* An abort while a server is away goes no further than that server allows, and then goes on. */
static void abort_waits_for_a_silent_server(void **state)
{
    (void)state;
    struct world w;
    begin(&w, &ways[0]);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    world_obey(&w, 0);
    world_silence(&w, 2);
    world_request(&w, OP_ABORT, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.kind, OP_ABORT);
    assert_string_equal(w.last.row, "silent");
    assert_string_equal(w.last.on, "s3");
    w.s->servers[2].reports = true;
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_true(world_all_have(&w, "hash-0"));
    world_free(&w);
}

/* An order that failed halted the operation; the way back from there. */
static void abort_of_a_halted_operation(void **state)
{
    (void)state;
    static const enum phase phases[] = {PHASE_APPEND, PHASE_PROMOTE};
    for (size_t p = 0; p < array_len(phases); p++)
        for (size_t bad = 0; bad < 3; bad++) {
            struct world w;
            begin(&w, &ways[0]);
            for (;;) {
                world_until(&w, phases[p], ACTION_ORDER);
                if (w.last.server == bad)
                    break;
                world_obey(&w, w.last.server);
            }
            world_fail(&w, bad, "did not come back");
            world_run(&w);
            assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
            world_request(&w, OP_ABORT, false, false, true);
            live_to_the_end(&w);
            assert_int_equal(w.s->rotation.op.kind, OP_ABORT);
            assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
            assert_true(world_all_have(&w, "hash-0"));
            world_free(&w);
        }
}

/* By hand: SYNC orders that wait for the operator are taken back, and the way back is walked by hand too. */
static void abort_takes_back_what_waits_for_the_operator(void **state)
{
    (void)state;
    struct world w;
    begin(&w, &ways[7]);
    world_run(&w);
    assert_true(w.s->servers[1].has_order && w.s->servers[1].order.kind == ORDER_SYNC);
    world_operator_restart(&w, 0);
    world_operator_restart(&w, 1);
    assert_true(w.s->servers[2].has_order);
    world_request(&w, OP_ABORT, false, false, false);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_ABORT);
    for (size_t i = 0; i < 3; i++)
        assert_false(w.s->servers[i].has_order);
    world_operator_restart(&w, 2); /* finds nothing to take up */
    assert_string_equal(w.s->servers[2].report.hash, "hash-0");
    live_to_the_end(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_true(world_all_have(&w, "hash-0"));
    world_free(&w);
}

/* ---------- what is said about it ---------- */

static void abort_texts(void **state)
{
    (void)state;
    struct world w;
    char why[CLUSTER_TEXT_MAX];
    world_init(&w, 3);
    assert_false(rotation_can_abort(w.s, why));
    assert_string_equal(why, "nothing to abort: no operation runs, and no rotation is half done");
    world_step(&w);
    assert_false(rotation_can_abort(w.s, why));
    assert_string_equal(why, "the servers' present config is being adopted: there is nothing to go back to");
    world_run(&w);
    world_request(&w, OP_PREPARE, false, false, true);
    world_run(&w);
    assert_true(rotation_can_abort(w.s, why)); /* no operation runs, but a rotation is half done */
    assert_string_equal(why, "");
    world_request(&w, OP_ROTATE, false, false, true);
    world_run(&w);
    world_request(&w, OP_REENCRYPT, false, false, true);
    world_until(&w, PHASE_DROP, ACTION_WATCH);
    assert_true(rotation_can_abort(w.s, why)); /* nothing was issued that lacks the old key */
    world_until(&w, PHASE_DROP, ACTION_ISSUE);
    assert_false(rotation_can_abort(w.s, why));
    assert_string_equal(why, "reencrypt is past the point of no return: the old key is leaving the servers. "
                             "Let it finish (resume, if it is halted); to be rid of the new key, rotate "
                             "again afterwards");
    world_until(&w, PHASE_FINAL, ACTION_PROVE);
    assert_false(rotation_can_abort(w.s, why));
    world_run(&w);
    assert_false(rotation_can_abort(w.s, why));
    assert_string_equal(why, "nothing to abort: no operation runs, and no rotation is half done");
    world_request(&w, OP_PREPARE, false, false, true);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    world_request(&w, OP_ABORT, false, false, true);
    world_request(&w, OP_ABORT, false, false, true);
    world_wait(&w, 2);
    assert_int_equal(w.last.action, ACTION_REFUSE);
    assert_string_equal(w.last.why, "an abort is under way already");
    world_fail(&w, 0, "no space left on device");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state,
                     OP_STATE_FINISHED); /* s1 has its file from before: nothing to do */
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pause_at_every_moment),
        cmocka_unit_test(paused_is_named_and_goes_on_by_the_same_command),
        cmocka_unit_test(stale_value_ends_a_pause),
        cmocka_unit_test(stale_value_before_the_drop_keeps_the_pause),
        cmocka_unit_test(abort_leads_back_from_every_moment),
        cmocka_unit_test(abort_by_hand),
        cmocka_unit_test(abort_waits_for_the_order_in_flight),
        cmocka_unit_test(abort_of_an_adoption_that_an_operation_began_with),
        cmocka_unit_test(abort_waits_for_a_silent_server),
        cmocka_unit_test(abort_of_a_halted_operation),
        cmocka_unit_test(abort_takes_back_what_waits_for_the_operator),
        cmocka_unit_test(abort_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
