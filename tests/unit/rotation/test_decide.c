#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>

#include "world.h"

static void expect_log(struct world *w, const char *const *want)
{
    size_t i = 0;
    for (; want[i]; i++) {
        if (i >= w->log_count)
            fail_msg("missing step %zu: %s (stopped at row %s: %s)", i, want[i], w->last.row, w->last.why);
        assert_string_equal(w->log[i], want[i]);
    }
    if (w->log_count > i)
        fail_msg("one step too many: %s", w->log[i]);
}

static void rotate_keys_on_three(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_run(&w);
    static const char *const want[] = {"adopt",
                                       "issue 1 adopt",
                                       "order s1 adopt 1",
                                       "phase done", /* of its own accord */
                                       "start rotate-keys opens",
                                       "prove opens", /* is every value readable now? */
                                       "phase backup",
                                       "prove backup", /* saved before anything is touched */
                                       "phase append",
                                       "issue 2 append",
                                       "order s1 apply 2",
                                       "order s2 apply 2",
                                       "order s3 apply 2",
                                       "phase readable",
                                       "prove readable", /* proof 1 */
                                       "phase promote",
                                       "issue 3 promote",
                                       "order s1 apply 3",
                                       "order s2 apply 3",
                                       "order s3 apply 3",
                                       "phase written",
                                       "prove written", /* proof 2 */
                                       "phase rewrite",
                                       "rewrite",
                                       "phase verify",
                                       "prove verify", /* proof 3 */
                                       "phase backup_drop",
                                       "prove backup_drop", /* saved before a key goes */
                                       "phase drop",
                                       "watch",
                                       "issue 4 drop",
                                       "order s1 apply 4",
                                       "order s2 apply 4",
                                       "order s3 apply 4",
                                       "phase final",
                                       "stop job",
                                       "prove final",
                                       "phase done",
                                       NULL};
    expect_log(&w, want);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_int_equal(w.s->rotation.stage, STAGE_REENCRYPT_FINISHED);
    assert_int_equal(w.s->rotation.generation, 4);
    assert_int_equal(w.s->rotation.base, 0);
    for (size_t i = 0; i < 3; i++)
        assert_false(w.s->servers[i].has_order); /* orders are deleted with their phase */
    assert_int_equal(w.s->escrow_count, 1);
    assert_string_equal(w.s->escrow[0].name, "key");
    /* and once more: nothing is adopted the second time */
    w.log_count = 0;
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_run(&w);
    assert_string_equal(w.log[0], "start rotate-keys opens");
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* At every moment of a rotation of 1 to 5 servers: one order in flight at most, and none while a server is
 * silent or unready. */
static void one_at_a_time(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 5; n++) {
        struct world w;
        world_init(&w, n);
        world_request(&w, OP_ROTATE_KEYS, false, false, true);
        for (int i = 0; i < 400 && w.s->rotation.op.state != OP_STATE_FINISHED; i++) {
            world_step(&w);
            size_t in_flight = world_in_flight(&w), which = 0;
            for (size_t k = 0; k < n; k++)
                if (w.s->servers[k].has_order && w.s->servers[k].report.order_id != w.s->servers[k].order.id)
                    which = k;
            assert_true(in_flight <= 1);
            if (w.job && !w.self.watching)
                world_finish_job(&w);
            if (in_flight && i % 3 == 0)
                world_obey(&w, which);
        }
        assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
        world_free(&w);
    }
}

/* The record shows every stage of a rotation, in K3s's order. */
static void stages_in_order(void **state)
{
    (void)state;
    struct world w;
    enum stage seen[16];
    size_t count = 0;
    world_init(&w, 3);
    world_run(&w);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    for (int i = 0; i < 200; i++) {
        if (count == 0 || seen[count - 1] != w.s->rotation.stage) {
            assert_true(count < array_len(seen));
            seen[count++] = w.s->rotation.stage;
        }
        world_step(&w);
        if (w.last.action == ACTION_WAIT && w.job && !w.self.watching)
            world_finish_job(&w);
        for (size_t k = 0; k < 3; k++)
            world_obey(&w, k);
    }
    assert_int_equal(count, STAGE_REENCRYPT_FINISHED + 1);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(seen[i], i);
    world_free(&w);
}

static void blocked_by_a_server(void **state)
{
    (void)state;
    static const struct {
        const char *row;
        void (*harm)(struct snapshot_server *v);
    } cases[] = {{"silent", NULL}, {"unready", NULL}, {"drift", NULL}, {"unloaded", NULL}};
    for (size_t c = 0; c < array_len(cases); c++) {
        struct world w;
        world_init(&w, 3);
        world_request(&w, OP_ROTATE_KEYS, false, false, true);
        world_until(&w, PHASE_APPEND, ACTION_ORDER);
        world_obey(&w, 0);
        struct snapshot_server *s3 = &w.s->servers[2];
        if (c == 0)
            world_silence(&w, 2);
        if (c == 1)
            s3->report.ready = false;
        if (c == 2)
            text_copy(s3->report.hash, sizeof(s3->report.hash), "by-hand");
        if (c == 3)
            s3->report.loaded_known = false;
        size_t before = w.log_count;
        for (int i = 0; i < 5; i++)
            world_step(&w);
        assert_string_equal(w.last.row, cases[c].row);
        assert_non_null(strstr(w.last.why, "s3"));
        assert_int_equal(w.log_count, before); /* s2 got nothing either */
        world_free(&w);
    }
}

/* While an agent is away with its order, nobody else gets one, and the reason says so. */
static void silent_with_an_order_blocks_and_is_named(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    world_request(&w, OP_PREPARE, false, false, true);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    world_silence(&w, 0);
    for (int i = 0; i < 5; i++)
        world_step(&w);
    assert_string_equal(w.last.row, "order-in-flight");
    assert_non_null(strstr(w.last.why, "s1"));
    assert_non_null(strstr(w.last.why, "its agent is silent at present: silent"));
    assert_false(w.s->servers[1].has_order);
    world_free(&w);
}

static void failed_order_halts_and_resumes_with_the_same_generation(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    world_obey(&w, 0);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    assert_int_equal(w.last.server, 1);
    world_fail(&w, 1, "did not come back");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    assert_non_null(strstr(w.s->rotation.op.why, "s2: did not come back"));
    assert_false(w.s->servers[2].has_order);
    char key[CLUSTER_KEY_NAME_MAX];
    memcpy(key, w.s->rotation.new_key, sizeof(key));
    int64_t issued = w.s->rotation.issued;
    /* another operation is refused, the same one resumes */
    world_request(&w, OP_DISABLE, false, false, true);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REFUSE);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_RESUME);
    assert_string_equal(w.s->rotation.new_key, key);
    assert_int_equal(w.s->rotation.issued, issued);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_string_equal(w.s->rotation.write_key, key);
    world_free(&w);
}

static void stale_values_keep_the_old_key(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    w.stale_scans = 99;
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    assert_string_equal(w.s->rotation.op.row, "stale");
    assert_int_equal(w.s->rotation.op.passes, 3);
    assert_int_equal(w.s->rotation.generation, 3); /* both keys still on every server */
    w.stale_scans = 0;
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* Coordinators that die in the middle of a rewrite do not use the passes up. */
static void broken_passes_do_not_count(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    w.stale_scans = 2;
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    for (int pass = 1; pass <= 3; pass++)
        for (int deaths = 0; deaths < 5; deaths++) {
            world_until(&w, PHASE_REWRITE, ACTION_REWRITE);
            assert_int_equal(w.s->rotation.op.passes, pass);
            if (deaths < 4)
                world_new_leader(&w); /* its job went with it */
        }
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

static void wrong_order_of_commands(void **state)
{
    (void)state;
    static const struct {
        enum stage at;
        enum operation_kind kind;
        bool force;
        const char *why; /* NULL: accepted */
    } cases[] = {
        {STAGE_START, OP_ROTATE, false, "incorrect stage: start found on node s1"},
        {STAGE_START, OP_REENCRYPT, false, "incorrect stage: start found on node s1"},
        {STAGE_PREPARE, OP_PREPARE, false, "incorrect stage: prepare found on node s1"},
        {STAGE_PREPARE, OP_ROTATE_KEYS, false, "incorrect stage: prepare found on node s1"},
        {STAGE_ROTATE, OP_ROTATE_KEYS, false, "incorrect stage: rotate found on node s1"},
        {STAGE_ROTATE, OP_DISABLE, false, "incorrect stage: rotate found on node s1"},
        {STAGE_START, OP_ROTATE, true, "no key is prepared: run prepare first"},
        {STAGE_START, OP_REENCRYPT, true, NULL},
        {STAGE_REENCRYPT_FINISHED, OP_PREPARE, false, NULL},
        {STAGE_REENCRYPT_FINISHED, OP_ROTATE_KEYS, false, NULL},
        {STAGE_ROTATE, OP_REENCRYPT, false, NULL},
        {STAGE_PREPARE, OP_PREPARE, true, NULL},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        struct world w;
        world_init(&w, 3);
        struct cluster_rotation *r = &w.s->rotation;
        w.s->has_rotation = true;
        r->stage = cases[i].at;
        r->generation = r->issued = 5;
        r->keys = 1;
        text_copy(r->write_key, sizeof(r->write_key), "key");
        text_copy(r->hash, sizeof(r->hash), "hash-0");
        for (size_t k = 0; k < 3; k++)
            w.s->servers[k].report.stage = cases[i].at;
        world_request(&w, cases[i].kind, cases[i].force, false, true);
        world_step(&w);
        if (cases[i].why) {
            assert_int_equal(w.last.action, ACTION_REFUSE);
            assert_string_equal(w.last.why, cases[i].why);
        } else {
            assert_int_equal(w.last.action, ACTION_START);
        }
        world_free(&w);
    }
}

static void nothing_starts_while_a_server_is_away(void **state)
{
    (void)state;
    for (int c = 0; c < 5; c++)
        for (int force = 0; force < 2; force++) {
            struct world w;
            world_init(&w, 3);
            struct snapshot_server *s2 = &w.s->servers[1];
            const char *want = "s2";
            if (c == 0)
                s2->reports = false;
            if (c == 1)
                s2->report.ready = false;
            if (c == 2)
                s2->report.loaded_known = false;
            if (c == 3)
                text_copy(s2->report.loaded_hash, sizeof(s2->report.loaded_hash), "older");
            if (c == 4) {
                text_copy(s2->report.hash, sizeof(s2->report.hash), "other");
                text_copy(s2->report.loaded_hash, sizeof(s2->report.loaded_hash), "other");
                text_copy(s2->report.config_id, sizeof(s2->report.config_id), "other keys");
                want = "hash does not match between s1 and s2";
            }
            world_request(&w, OP_PREPARE, force, false, true);
            world_step(&w);
            assert_int_equal(w.last.action, ACTION_REFUSE);
            assert_non_null(strstr(w.last.why, want));
            assert_false(*w.s->rotation.op.id);
            world_free(&w);
        }
}

/* --force: files that differ in layout alone are adopted, and made alike. */
static void force_adopts_other_layout(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    text_copy(w.s->servers[1].report.hash, CLUSTER_HASH_MAX, "layout");
    text_copy(w.s->servers[1].report.loaded_hash, CLUSTER_HASH_MAX, "layout");
    world_request(&w, OP_PREPARE, false, false, true);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REFUSE);
    world_request(&w, OP_PREPARE, true, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_string_equal(w.s->servers[1].report.hash, w.s->servers[0].report.hash);
    world_free(&w);
}

static void disable_and_enable(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    world_request(&w, OP_DISABLE, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_string_equal(w.s->rotation.write_key, "");
    assert_int_equal(w.s->rotation.stage, STAGE_START);
    world_request(&w, OP_PREPARE, false, false, true);
    world_step(&w);
    assert_string_equal(w.last.why, "encryption is disabled: run enable first");
    world_request(&w, OP_REENCRYPT, true, true, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_int_equal(w.s->rotation.stage, STAGE_START);
    world_request(&w, OP_ENABLE, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_string_equal(w.s->rotation.write_key, "key");
    /* once more changes nothing */
    w.log_count = 0;
    world_request(&w, OP_ENABLE, false, false, true);
    world_run(&w);
    static const char *const want[] = {"start enable opens", "prove opens", "phase written",
                                       "prove written",      "phase done",  NULL};
    expect_log(&w, want);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* The present config is adopted without being asked for; a request that comes meanwhile waits for it. One
 * that cannot be adopted is tried once, and again with the next operation. */
static void adopts_by_itself(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    w.s->servers[2].report.ready = false;
    world_run(&w);
    assert_int_equal(w.log_count, 0);
    w.s->servers[2].report.ready = true;
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_ADOPT);
    world_request(&w, OP_PREPARE, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.kind, OP_PREPARE);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_int_equal(w.s->rotation.generation, 2);
    world_free(&w);

    world_init(&w, 3);
    while (w.last.action != ACTION_ORDER)
        world_step(&w);
    world_fail(&w, 0, "kms is not managed here");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_START);
    assert_int_equal(w.s->rotation.op.phase, PHASE_ADOPT);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

static void second_request_is_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    world_run(&w);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_START);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REFUSE);
    assert_non_null(strstr(w.last.why, "still running"));
    world_free(&w);
}

static void preferred_coordinator_takes_over_between_orders(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    w.self.server = "s2";
    world_request(&w, OP_PREPARE, false, false, true);
    while (!(w.last.row && w.last.action == ACTION_ORDER))
        world_step(&w);
    text_copy(w.s->candidates[0], CLUSTER_NAME_MAX, "s3");
    text_copy(w.s->candidates[1], CLUSTER_NAME_MAX, "s1");
    w.s->candidates_count = 2;
    world_step(&w);
    assert_string_equal(w.last.row, "order-in-flight");
    world_obey(&w, 0);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_RESIGN);
    world_free(&w);
}

static void spec_changes_only_between_operations(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    world_request(&w, OP_PREPARE, false, false, true);
    world_step(&w);
    w.spec.servers_count = 2;
    world_step(&w);
    assert_string_equal(w.last.row, "spec-differs-busy");
    w.s->rotation.op.state = OP_STATE_FINISHED;
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_PUBLISH_SPEC);
    world_free(&w);
}

/* Nobody is left without an answer meanwhile, and a restart that is aborted is out of the way at once. */
static void requests_are_answered_while_the_spec_differs(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_restart(&w, NULL);
    world_step(&w);
    w.spec.servers_count = 2;
    world_ask(&w, OP_PREPARE, false, NULL, NULL);
    world_step(&w);
    assert_string_equal(w.last.row, "request-refused");
    world_step(&w);
    assert_string_equal(w.last.row, "spec-differs-busy");
    world_ask(&w, OP_PAUSE, false, NULL, NULL);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_PAUSE);
    world_ask(&w, OP_ABORT, false, NULL, NULL);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_ABORT);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_PUBLISH_SPEC);
    world_free(&w);
}

static void stranger_blocks(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    struct snapshot_server *s4 = &w.s->servers[w.s->servers_count++];
    *s4 = w.s->servers[0];
    s4->in_spec = false;
    text_copy(s4->name, sizeof(s4->name), "s4");
    world_request(&w, OP_ROTATE_KEYS, false, false, true);
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REFUSE);
    assert_non_null(strstr(w.last.why, "s4 publishes but is not among"));
    world_free(&w);
}

/* The committed copy of the table: a changed row must be seen in review. */
static void table_matches_its_committed_text(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf now = BUF_INIT(65536);
    char committed[65536];
    assert_int_equal(rotation_table_dump(&now, NULL), 0);
    FILE *f = fopen(TEST_SOURCE_DIR "/golden/planner.txt", "re");
    assert_non_null(f);
    size_t n = fread(committed, 1, sizeof(committed) - 1, f);
    fclose(f);
    committed[n] = 0;
    if (strcmp(buf_str(&now), committed) != 0) {
        print_message("%s", buf_str(&now));
        fail_msg("tests/golden/planner.txt is not the table: commit the text above");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotate_keys_on_three),
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(stages_in_order),
        cmocka_unit_test(blocked_by_a_server),
        cmocka_unit_test(silent_with_an_order_blocks_and_is_named),
        cmocka_unit_test(failed_order_halts_and_resumes_with_the_same_generation),
        cmocka_unit_test(stale_values_keep_the_old_key),
        cmocka_unit_test(broken_passes_do_not_count),
        cmocka_unit_test(wrong_order_of_commands),
        cmocka_unit_test(nothing_starts_while_a_server_is_away),
        cmocka_unit_test(force_adopts_other_layout),
        cmocka_unit_test(disable_and_enable),
        cmocka_unit_test(adopts_by_itself),
        cmocka_unit_test(second_request_is_refused),
        cmocka_unit_test(preferred_coordinator_takes_over_between_orders),
        cmocka_unit_test(spec_changes_only_between_operations),
        cmocka_unit_test(requests_are_answered_while_the_spec_differs),
        cmocka_unit_test(stranger_blocks),
        cmocka_unit_test(table_matches_its_committed_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
