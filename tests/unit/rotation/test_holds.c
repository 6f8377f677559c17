/* What holds operations from outside: the lock of other maintenance, windows and alerts. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>

#define CLOSED "outside the maintenance window until Sat 02:00 Europe/Berlin"

static void refused(struct world *w, const char *why)
{
    world_step(w);
    assert_int_equal(w->last.action, ACTION_REFUSE);
    assert_int_equal(w->last.cause, CAUSE_GATE);
    if (!strstr(w->last.why, why))
        fail_msg("refused with '%s', not '%s'", w->last.why, why);
}

static void lock(struct world *w)
{
    struct cluster_request *r = world_lock(w, OP_LOCK, "ops@jump");
    text_copy(r->reason, sizeof(r->reason), "kernel update");
    world_step(w);
    assert_int_equal(w->last.action, ACTION_LOCK);
    assert_true(w->s->has_lock);
}

static void nothing_starts_beside_the_lock(void **state)
{
    (void)state;
    static const enum operation_kind kinds[] = {OP_PREPARE, OP_ROTATE_KEYS, OP_DISABLE, OP_RESTART, OP_LOCK};
    struct world w;
    world_init_adopted(&w, 3);
    lock(&w);
    for (size_t i = 0; i < array_len(kinds); i++) {
        world_lock(&w, kinds[i], "somebody@host");
        refused(&w, "ops@jump holds the cluster's lock: kernel update");
    }
    world_lock(&w, OP_UNLOCK, "somebody@host");
    refused(&w, "ops@jump holds the lock, not somebody@host");
    world_lock(&w, OP_UNLOCK, "ops@jump");
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.kind, OP_ROTATE_KEYS);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

static void who_may_unlock(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 1);
    world_lock(&w, OP_UNLOCK, "ops@jump");
    refused(&w, "nobody holds");
    lock(&w);
    struct cluster_request *r = world_lock(&w, OP_UNLOCK, "ops@jump"); /* the holder, of another lock */
    text_copy(r->lock, sizeof(r->lock), "r-other");
    refused(&w, "not r-other");
    r = world_lock(&w, OP_UNLOCK, "somebody@host"); /* by its id */
    memcpy(r->lock, w.s->lock.id, sizeof(r->lock));
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_UNLOCK);
    lock(&w);
    world_lock(&w, OP_UNLOCK, "somebody@host")->force = true;
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_UNLOCK);
    world_free(&w);
}

static void no_lock_beside_an_operation(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_lock(&w, OP_LOCK, "ops@jump")->lease[0] = 0;
    refused(&w, "a lock needs a lease");
    world_restart(&w, NULL);
    world_until(&w, PHASE_RESTART, ACTION_ORDER);
    world_lock(&w, OP_LOCK, "ops@jump");
    refused(&w, "restart is still running");
    world_request(&w, OP_PAUSE, false, false, true);
    world_run(&w);
    world_lock(&w, OP_LOCK, "ops@jump");
    refused(&w, "restart is paused");
    world_free(&w);
}

/* A repair, which restarts a server, comes to its end first. */
static void the_lock_waits_for_an_order(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    text_copy(w.s->servers[1].report.hash, CLUSTER_HASH_MAX, "by-hand");
    world_ask(&w, OP_REPAIR, false, "s2", "");
    world_step(&w);
    world_lock(&w, OP_LOCK, "ops@jump");
    world_wait(&w, 3);
    assert_false(w.s->has_lock);
    world_obey(&w, 1);
    world_step(&w);
    assert_true(w.s->has_lock);
    world_free(&w);
}

/* Nothing that was halted goes on beside it, no file is put right by policy; what a person asks for is done.
 */
static void what_the_lock_holds(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    w.spec.auto_repair = w.s->spec.auto_repair = true;
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    world_fail(&w, 0, "did not come back");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    lock(&w);
    world_request(&w, OP_RESUME, false, false, true);
    refused(&w, "ops@jump holds");
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    refused(&w, "ops@jump holds");
    text_copy(w.s->servers[2].report.hash, CLUSTER_HASH_MAX, "by-hand");
    size_t from = w.log_count;
    world_wait(&w, 3);
    assert_int_equal(w.log_count, from);
    world_ask(&w, OP_REPAIR, false, "s3", "");
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REPAIR);
    world_run(&w);
    world_request(&w, OP_ABORT, false, false, true);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_ABORT);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

static void nothing_is_adopted_beside_the_lock(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    w.s->has_lock = true;
    world_run(&w);
    assert_int_equal(w.s->rotation.generation, 0);
    w.s->has_lock = false;
    world_run(&w);
    assert_int_equal(w.s->rotation.generation, 1);
    world_free(&w);
}

/* ---------- closed ---------- */

/* The step that it comes to while it is closed, and that it goes on once it is open. world_step looks that
 * nobody is touched meanwhile. */
static void held(struct world *w, const char *row)
{
    w->self.closed = CLOSED;
    world_run(w);
    if (strcmp(w->last.row, row) != 0)
        fail_msg("held by %s (%s), not %s", w->last.row, w->last.why, row);
    assert_non_null(strstr(w->last.why, CLOSED));
    assert_string_equal(w->s->rotation.op.row, row);
    w->self.closed = "";
}

static void no_server_is_touched(void **state)
{
    (void)state;
    static const enum phase phases[] = {PHASE_APPEND, PHASE_PROMOTE, PHASE_DROP};
    struct world w;
    world_init_adopted(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    for (size_t p = 0; p < array_len(phases); p++) {
        bool drop = phases[p] == PHASE_DROP;
        held(&w, "closed-issue");
        assert_int_equal(w.s->rotation.op.phase, phases[p]);
        world_until(&w, phases[p], ACTION_ISSUE);
        if (!drop)
            held(&w, "closed");
        world_until(&w, phases[p], ACTION_ORDER);
        world_obey(&w, 0);
        if (!drop)
            held(&w, "closed");
        w.self.closed = drop ? CLOSED : ""; /* a drop that has begun goes on */
        world_until(&w, phases[p], ACTION_ORDER);
        world_obey(&w, 1);
        world_until(&w, phases[p], ACTION_ORDER);
        world_obey(&w, 2);
        w.self.closed = "";
        world_step(&w); /* so that it is closed in the phase that follows */
    }
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

static void a_restart_is_held_between_servers(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_restart(&w, NULL);
    for (size_t i = 0; i < 3; i++) {
        held(&w, "closed");
        world_until(&w, PHASE_RESTART, ACTION_ORDER);
        world_obey(&w, i);
    }
    w.self.closed = CLOSED; /* every server is done: there is nothing to hold */
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

static void what_leads_back_is_never_held(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_PROMOTE, ACTION_ORDER);
    world_obey(&w, 0);
    w.self.closed = CLOSED;
    world_request(&w, OP_ABORT, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.kind, OP_ABORT);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    text_copy(w.s->servers[1].report.hash, CLUSTER_HASH_MAX, "by-hand");
    world_ask(&w, OP_REPAIR, false, "s2", "");
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REPAIR);
    world_free(&w);

    world_init(&w, 3);
    w.self.closed = CLOSED;
    world_run(&w);
    assert_int_equal(w.s->rotation.generation, 1); /* adopting looks, and touches nobody */
    world_free(&w);
}

/* A value under a key that leaves: the key comes back at whatever hour. */
static void a_key_is_brought_back_at_any_hour(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    w.blind_is_ok = true;
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_DROP, ACTION_ORDER);
    world_obey(&w, 0);
    w.self.closed = CLOSED;
    world_write_under(&w, 1);
    world_run(&w);
    assert_true(world_did(&w, 0, "bring back"));
    assert_int_equal(world_unreadable(&w), SIZE_MAX);
    assert_string_equal(w.last.row, "closed-issue"); /* the next drop waits for its hour */
    w.self.closed = NULL;
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_starts_beside_the_lock),
        cmocka_unit_test(who_may_unlock),
        cmocka_unit_test(no_lock_beside_an_operation),
        cmocka_unit_test(the_lock_waits_for_an_order),
        cmocka_unit_test(what_the_lock_holds),
        cmocka_unit_test(nothing_is_adopted_beside_the_lock),
        cmocka_unit_test(no_server_is_touched),
        cmocka_unit_test(a_restart_is_held_between_servers),
        cmocka_unit_test(what_leads_back_is_never_held),
        cmocka_unit_test(a_key_is_brought_back_at_any_hour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
