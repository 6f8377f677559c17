/* A datastore that nobody can look into: what is refused, what is left out, and what then has to be sure. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>

static void init(struct world *w, bool snapshots)
{
    world_init_adopted(w, 3);
    w->spec.not_raw = w->s->spec.not_raw = true;
    w->spec.snapshots = w->s->spec.snapshots = snapshots;
}

static struct cluster_request *ask(struct world *w, enum operation_kind kind, const char *engine,
                                   bool offline)
{
    world_request(w, kind, false, false, true);
    struct cluster_request *r = &w->s->requests[w->s->requests_count - 1].request;
    text_copy(r->engine, sizeof(r->engine), engine);
    r->offline = offline;
    return r;
}

static void must_refuse(struct world *w, const char *part)
{
    world_step(w);
    assert_int_equal(w->last.action, ACTION_REFUSE);
    if (!strstr(w->last.why, part))
        fail_msg("'%s' does not say '%s'", w->last.why, part);
}

static void script(struct world *w, enum phase phase, const char *server, const char *why)
{
    w->scripted.phase = phase;
    w->scripted.state = PROOF_FAILED;
    w->scripted.server = server;
    w->scripted.why = why;
    w->scripted.times = 1;
}

static void nothing_starts_before_somebody_thought_of_a_backup(void **state)
{
    (void)state;
    static const enum operation_kind kinds[] = {OP_PREPARE, OP_ROTATE_KEYS, OP_ENABLE, OP_DISABLE};
    for (size_t i = 0; i < array_len(kinds); i++) {
        struct world w;
        init(&w, true);
        ask(&w, kinds[i], "", false);
        must_refuse(&w, "snapshots.enabled: off");
        world_free(&w);
    }
    struct world w;
    world_init(&w, 3); /* what is there is adopted all the same */
    w.spec.not_raw = w.s->spec.not_raw = true;
    world_run(&w);
    assert_int_equal(w.s->rotation.generation, 1);
    world_free(&w);
}

static void the_datastores_own_engine_is_refused(void **state)
{
    (void)state;
    struct world w;
    init(&w, false);
    ask(&w, OP_ROTATE_KEYS, "datastore", false);
    must_refuse(&w, "--engine datastore is not possible");
    ask(&w, OP_ROTATE_KEYS, "datastore", true);
    must_refuse(&w, "--offline is not possible");
    ask(&w, OP_ROTATE_KEYS, "api", false);
    w.failed_rewrite = 1;
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    ask(&w, OP_ROTATE_KEYS, "datastore", false); /* asked again it would go on with that engine */
    must_refuse(&w, "--engine datastore is not possible");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    ask(&w, OP_ROTATE_KEYS, "", false);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* It halted with that engine, and the config says since that the datastore cannot be read. */
static void a_halted_one_does_not_go_on_with_that_engine(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    ask(&w, OP_ROTATE_KEYS, "datastore", false);
    w.failed_rewrite = 1;
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    w.spec.not_raw = true;
    w.spec.snapshots = false;
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_PUBLISH_SPEC);
    w.s->spec = w.spec;
    ask(&w, OP_RESUME, "", false);
    must_refuse(&w, "give its command again, without --engine");
    ask(&w, OP_ROTATE_KEYS, "", false);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_string_equal(w.s->rotation.op.engine, "");
    world_free(&w);
}

static void no_snapshot_and_no_watch(void **state)
{
    (void)state;
    struct world w;
    init(&w, false);
    ask(&w, OP_ROTATE_KEYS, "", false);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_false(world_did(&w, 0, "watch"));
    assert_false(world_did(&w, 0, "phase backup"));
    static const char *const phases[] = {"prove opens",   "phase readable", "phase written",
                                         "phase rewrite", "phase verify",   "phase final"};
    for (size_t i = 0; i < array_len(phases); i++)
        if (!world_did(&w, 0, phases[i]))
            fail_msg("missing: %s", phases[i]);
    world_free(&w);
}

/* One failure keeps the old key: there is no count that could say that it does not matter. */
static void one_failure_halts_and_names_it(void **state)
{
    (void)state;
    struct world w;
    init(&w, false);
    ask(&w, OP_ROTATE_KEYS, "", false);
    script(&w, PHASE_VERIFY, NULL,
           "1 of 7 objects could not be rewritten in the first pass: secrets/a/b: 422");
    world_run(&w);
    const struct cluster_operation *op = &w.s->rotation.op;
    assert_int_equal(op->state, OP_STATE_HALTED);
    assert_int_equal(op->phase, PHASE_VERIFY);
    assert_string_equal(op->row, "uncertain");
    assert_non_null(strstr(op->why, "secrets/a/b: 422"));
    assert_int_equal(op->passes, 1);
    assert_false(world_did(&w, 0, "phase drop"));
    size_t from = w.log_count;
    ask(&w, OP_ROTATE_KEYS, "", false);
    world_run(&w);
    assert_int_equal(op->state, OP_STATE_FINISHED);
    assert_true(world_did(&w, from, "phase verify"));
    world_free(&w);
}

static void a_list_that_fails_in_the_end_brings_the_key_back(void **state)
{
    (void)state;
    struct world w;
    init(&w, false);
    ask(&w, OP_ROTATE_KEYS, "", false);
    script(&w, PHASE_FINAL, "s2", "s2: listing every one of secrets: 500");
    world_until(&w, PHASE_FINAL, ACTION_PROVE);
    world_finish_job(&w);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_BRING_BACK);
    assert_string_equal(w.last.on, "s2");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_starts_before_somebody_thought_of_a_backup),
        cmocka_unit_test(the_datastores_own_engine_is_refused),
        cmocka_unit_test(a_halted_one_does_not_go_on_with_that_engine),
        cmocka_unit_test(no_snapshot_and_no_watch),
        cmocka_unit_test(one_failure_halts_and_names_it),
        cmocka_unit_test(a_list_that_fails_in_the_end_brings_the_key_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
