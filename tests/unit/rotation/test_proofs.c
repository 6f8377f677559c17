/* Proofs, the watch over new writes, and the way back that they open. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>

static void init_rotating(struct world *w)
{
    world_init_adopted(w, 3);
    world_request(w, OP_ROTATE_KEYS, false, false, true);
}

static void script(struct world *w, enum phase phase, enum proof_state state, const char *server,
                   const char *why, int times)
{
    w->scripted.phase = phase;
    w->scripted.state = state;
    w->scripted.server = server;
    w->scripted.why = why;
    w->scripted.times = times;
}

static void expect_steps(struct world *w, size_t from, const char *const *want)
{
    size_t i = 0;
    for (; want[i]; i++) {
        if (from + i >= w->log_count)
            fail_msg("missing: %s (stopped at %s: %s)", want[i], w->last.row, w->last.why);
        assert_string_equal(w->log[from + i], want[i]);
    }
    if (from + i < w->log_count)
        fail_msg("too much: %s", w->log[from + i]);
}

/* ---------- evidence against a proof ---------- */

/* What each proof holds up when it fails: nothing behind it happens, and the next try is a new one. */
static void failed_proof_halts_before_anything_is_issued(void **state)
{
    (void)state;
    static const struct {
        enum phase phase;
        const char *never; /* what must not have happened */
    } cases[] = {
        {PHASE_OPENS, "issue 2"},   {PHASE_BACKUP, "issue 2"},      {PHASE_READABLE, "issue 3"},
        {PHASE_WRITTEN, "rewrite"}, {PHASE_BACKUP_DROP, "issue 4"},
    };
    for (size_t c = 0; c < array_len(cases); c++) {
        struct world w;
        init_rotating(&w);
        script(&w, cases[c].phase, PROOF_FAILED, "s2", "s2 answered 500 to the canary", 1);
        world_run(&w);
        const struct cluster_operation *op = &w.s->rotation.op;
        assert_int_equal(op->state, OP_STATE_HALTED);
        assert_int_equal(op->phase, cases[c].phase);
        assert_string_equal(op->row, "disproved");
        assert_string_equal(op->on, "s2");
        assert_non_null(strstr(op->why, "s2 answered 500 to the canary"));
        assert_false(world_did(&w, 0, cases[c].never));
        int64_t step = op->step;
        size_t from = w.log_count;
        world_request(&w, OP_RESUME, false, false, true);
        world_step(&w);
        assert_int_equal(w.last.action, ACTION_RESUME);
        assert_int_equal(op->step, step + 1); /* what was found before does not count any more */
        world_step(&w);
        assert_int_equal(w.last.action, ACTION_PROVE);
        assert_int_equal(snapshot_proof(w.s, cases[c].phase)->attempts, 1);
        world_run(&w);
        assert_int_equal(op->state, OP_STATE_FINISHED);
        assert_true(world_did(&w, from, cases[c].never));
        world_free(&w);
    }
}

/* ---------- proofs that could not be made ---------- */

static void unmade_proof_is_tried_again_after_a_growing_pause(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    script(&w, PHASE_READABLE, PROOF_UNMADE, NULL, "s3 was away", 25);
    int64_t last = 0, pause = 0;
    for (int i = 0; i < 25; i++) {
        world_until(&w, PHASE_READABLE, ACTION_PROVE);
        assert_int_equal(snapshot_proof(w.s, PHASE_READABLE)->attempts, i + 1);
        int64_t now = w.s->now_ms;
        if (i > 0) {
            assert_true(now - last >= (i < 20 ? i * 500 : 10000)); /* grows, up to 10 s */
            assert_true(now - last < 13000);
            if (i == 20)
                assert_true(now - last > pause);
            if (i == 1)
                pause = now - last;
        }
        last = now;
        world_finish_job(&w);
        world_step(&w);
        assert_string_equal(w.last.row, "retry");
        assert_non_null(strstr(w.last.why, "s3 was away"));
    }
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* A clock that was set back does not make it wait for ever. */
static void unmade_proof_and_a_clock_set_back(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    script(&w, PHASE_READABLE, PROOF_UNMADE, NULL, "s3 was away", 1);
    world_until(&w, PHASE_READABLE, ACTION_PROVE);
    world_finish_job(&w);
    w.s->now_ms -= 3600 * 1000;
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_PROVE);
    world_free(&w);
}

static void unmade_proof_halts_in_the_end(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    script(&w, PHASE_READABLE, PROOF_UNMADE, NULL, "s3 was away", 1000);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    assert_string_equal(w.s->rotation.op.row, "unproved");
    assert_non_null(strstr(w.s->rotation.op.why, "30 attempts, last: s3 was away"));
    assert_int_equal(w.scripted.times, 1000 - 30);
    assert_false(world_did(&w, 0, "issue 3"));
    w.scripted.times = 0;
    world_request(&w, OP_RESUME, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* Also for a coordinator that dies each time: its successor sees how often it was tried. */
static void attempts_outlive_their_coordinators(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    int tries = 0;
    for (int i = 0; i < 500 && w.s->rotation.op.state != OP_STATE_HALTED; i++) {
        world_step(&w);
        if (w.last.action == ACTION_PROVE && w.s->rotation.op.phase == PHASE_WRITTEN) {
            tries++;
            world_new_leader(&w);
        } else if (w.last.action == ACTION_WAIT) {
            world_move(&w);
        }
    }
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    assert_int_equal(tries, 30);
    world_free(&w);
}

/* A proof begins only while every server is well. */
static void no_proof_while_a_server_is_away(void **state)
{
    (void)state;
    static const enum phase phases[] = {PHASE_OPENS, PHASE_READABLE, PHASE_WRITTEN, PHASE_VERIFY};
    for (size_t p = 0; p < array_len(phases); p++) {
        struct world w;
        init_rotating(&w);
        script(&w, phases[p], PROOF_UNMADE, NULL, "s3 was away", 1);
        world_until(&w, phases[p], ACTION_PROVE);
        world_finish_job(&w);
        world_silence(&w, 2);
        w.s->now_ms += 60000;
        size_t from = w.log_count;
        world_wait(&w, 5);
        assert_string_equal(w.last.row, "silent");
        assert_string_equal(w.last.on, "s3");
        assert_int_equal(w.log_count, from);
        world_free(&w);
    }
}

/* ---------- rewriting ---------- */

static void failed_rewrite_halts_and_begins_anew(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    w.failed_rewrite = 1;
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    assert_string_equal(w.s->rotation.op.row, "job-failed");
    assert_non_null(strstr(w.s->rotation.op.why, "no API server answers"));
    world_request(&w, OP_RESUME, false, false, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* Why the old key stays names an object that could not be rewritten. */
static void stale_scan_names_what_could_not_be_rewritten(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    w.stale_scans = 99;
    for (int i = 0; i < 3; i++) {
        world_until(&w, PHASE_VERIFY, ACTION_PROVE);
        w.s->reencrypt.failures_count = 1;
        text_copy(w.s->reencrypt.failures[0].object, sizeof(w.s->reencrypt.failures[0].object),
                  "secrets/default/big");
        text_copy(w.s->reencrypt.failures[0].why, sizeof(w.s->reencrypt.failures[0].why),
                  "a webhook said no");
    }
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
    assert_string_equal(w.s->rotation.op.row, "stale");
    assert_non_null(
        strstr(w.s->rotation.op.why, "could not be rewritten: secrets/default/big: a webhook said no"));
    assert_false(world_did(&w, 0, "issue 4"));
    world_free(&w);
}

/* Each pass is proved by a scan of its own: the one before does not count. */
static void each_pass_has_its_own_scan(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    w.stale_scans = 1;
    world_until(&w, PHASE_VERIFY, ACTION_PROVE);
    size_t from = w.log_count;
    world_until(&w, PHASE_BACKUP_DROP, ACTION_PROVE);
    static const char *const want[] = {
        "rewrite again",     "rewrite", "phase verify", "prove verify", "phase backup_drop",
        "prove backup_drop", NULL};
    expect_steps(&w, from, want);
    world_free(&w);
}

/* ---------- while a key leaves ---------- */

static void nothing_leaves_unwatched(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    world_until(&w, PHASE_DROP, ACTION_WATCH);
    size_t from = w.log_count;
    world_wait(&w, 10);
    assert_string_equal(w.last.row, "unwatched");
    assert_int_equal(w.log_count, from);
    world_until(&w, PHASE_DROP, ACTION_ISSUE); /* now it sees */
    world_until(&w, PHASE_DROP, ACTION_ORDER);
    world_obey(&w, 0);
    w.self.watching = false; /* it lost its connection */
    from = w.log_count;
    world_wait(&w, 10);
    assert_string_equal(w.last.row, "unwatched");
    assert_int_equal(w.log_count, from);
    /* another leader: it begins its own first, where the one before came to */
    world_new_leader(&w);
    struct cluster_proof *p = &w.s->proofs.proofs[w.s->proofs.proofs_count - 1];
    assert_int_equal(p->phase, PHASE_DROP);
    p->revision = 4711;
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_WATCH);
    assert_int_equal(p->revision, 4711);
    assert_int_equal(p->state, PROOF_RUNNING);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* A watch that cannot be held is begun again, after a pause that grows, however often that is. */
static void lost_watch_is_begun_again_after_a_pause(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    for (int i = 0; i < 40; i++) {
        world_until(&w, PHASE_DROP, ACTION_WATCH);
        w.job = w.self.job_running = w.self.watching = false;
        struct cluster_proof *p = &w.s->proofs.proofs[w.s->proofs.proofs_count - 1];
        assert_int_equal(p->phase, PHASE_DROP);
        assert_int_equal(p->attempts, i + 1);
        p->state = PROOF_UNMADE;
        p->time_ms = w.s->now_ms;
        text_copy(p->why, sizeof(p->why), "the datastore does not answer");
        world_step(&w);
        assert_int_equal(w.last.action, ACTION_WAIT);
        w.s->now_ms += 11000;
    }
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* A server that is being repaired just then is waited for; what the scan found is not forgotten. */
static void stale_last_scan_waits_for_a_repair(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    script(&w, PHASE_FINAL, PROOF_FAILED, NULL, "1 value under key", 1);
    world_until(&w, PHASE_FINAL, ACTION_PROVE);
    text_copy(w.s->servers[1].report.hash, CLUSTER_HASH_MAX, "by-hand");
    world_ask(&w, OP_REPAIR, false, "s2", "");
    world_step(&w);
    assert_int_equal(w.last.action, ACTION_REPAIR);
    world_finish_job(&w);
    world_wait(&w, 5);
    assert_int_equal(w.last.action, ACTION_WAIT);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_RUNNING);
    assert_true(w.s->servers[1].has_order);
    world_obey(&w, 1);
    world_step(&w);
    assert_string_equal(w.last.row, "final-stale");
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

/* A write under the old key before the new config was issued: rewritten, and nothing else. */
static void stale_write_before_the_drop(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    world_until(&w, PHASE_DROP, ACTION_WATCH);
    size_t from = w.log_count;
    world_write_under(&w, 1); /* before the watch sees anything: it looks back to the scan */
    world_run(&w);
    static const char *const want[] = {"rewrite again",
                                       "rewrite",
                                       "phase verify",
                                       "prove verify",
                                       "phase backup_drop",
                                       "prove backup_drop",
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
    expect_steps(&w, from, want);
    world_free(&w);
}

/* And after: the key comes back to every server, is rewritten away from, and leaves again. */
static void stale_write_during_the_drop(void **state)
{
    (void)state;
    for (size_t done = 0; done < 3; done++) {
        struct world w;
        init_rotating(&w);
        for (size_t i = 0; i <= done; i++) {
            world_until(&w, PHASE_DROP, ACTION_ORDER);
            world_obey(&w, i);
        }
        size_t from = w.log_count;
        w.blind_is_ok = true;
        world_write_under(&w, 1);
        world_until(&w, PHASE_REWRITE, ACTION_REWRITE);
        w.blind_is_ok = false; /* from here on everybody reads it again */
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(w.s->servers[i].report.vector_generation, 5);
        world_run(&w);
        assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
        assert_string_equal(w.log[from], "bring back");
        assert_string_equal(w.log[from + 1], "issue 5 bring_back");
        assert_true(world_did(&w, from, "order s1 apply 5"));
        assert_true(world_did(&w, from, "prove verify"));
        assert_true(world_did(&w, from, "issue 6 drop"));
        assert_int_equal(w.s->rotation.stage, STAGE_REENCRYPT_FINISHED);
        assert_string_equal(w.s->servers[2].report.hash, snapshot_bundle(w.s, 4)->hash);
        world_free(&w);
    }
}

static void stale_write_found_by_the_last_scan(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    world_until(&w, PHASE_FINAL, ACTION_PROVE);
    size_t from = w.log_count;
    w.blind_is_ok = true;
    world_write_under(&w, 1);
    world_step(&w);
    world_finish_job(&w);
    world_step(&w);
    assert_string_equal(w.last.row, "final-stale");
    assert_int_equal(w.s->rotation.op.from, 3); /* the config that reads both */
    world_until(&w, PHASE_REWRITE, ACTION_REWRITE);
    w.blind_is_ok = false;
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    static const char *const want[] = {"bring back",
                                       "issue 5 bring_back",
                                       "order s1 apply 5",
                                       "order s2 apply 5",
                                       "order s3 apply 5",
                                       "phase rewrite",
                                       "rewrite",
                                       "phase verify",
                                       "prove verify",
                                       "phase backup_drop",
                                       "prove backup_drop",
                                       "phase drop",
                                       "watch",
                                       "issue 6 drop",
                                       "order s1 apply 6",
                                       "order s2 apply 6",
                                       "order s3 apply 6",
                                       "phase final",
                                       "stop job",
                                       "prove final",
                                       "phase done",
                                       NULL};
    expect_steps(&w, from, want);
    world_free(&w);
}

/* The last scan is made even when a server is away: what it may find cannot wait. */
static void last_scan_does_not_wait_for_a_server(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    world_until(&w, PHASE_DROP, ACTION_ORDER);
    while (w.s->rotation.op.phase == PHASE_DROP) {
        if (w.last.action == ACTION_WAIT)
            world_move(&w);
        world_step(&w);
    }
    world_silence(&w, 2);
    world_wait(&w, 2);
    assert_int_equal(w.last.action, ACTION_PROVE);
    assert_string_equal(w.last.row, "final");
    world_free(&w);
}

/* Somebody who never stops writing under the old key: an end, with both keys on every server. */
static void endless_stale_writer(void **state)
{
    (void)state;
    static const struct {
        enum phase phase;
        enum action action;
        const char *row;
    } moments[] = {{PHASE_DROP, ACTION_WATCH, "drop-refused"},
                   {PHASE_DROP, ACTION_ORDER, "passes"},
                   {PHASE_FINAL, ACTION_PROVE, "passes"}};
    for (size_t m = 0; m < array_len(moments); m++) {
        struct world w;
        init_rotating(&w);
        w.blind_is_ok = true;
        for (int i = 0; i < 1000 && w.s->rotation.op.state != OP_STATE_HALTED; i++) {
            world_step(&w);
            bool now = w.s->rotation.op.phase == moments[m].phase && w.last.action == moments[m].action;
            if (now)
                world_write_under(&w, 1);
            if (w.last.action == ACTION_WAIT)
                world_move(&w);
        }
        assert_int_equal(w.s->rotation.op.state, OP_STATE_HALTED);
        assert_string_equal(w.s->rotation.op.row, moments[m].row);
        assert_true(w.steps < 300);
        assert_int_equal(world_unreadable(&w), SIZE_MAX);
        for (size_t i = 0; i < 3; i++)
            assert_string_equal(w.s->servers[i].report.loaded_hash, snapshot_bundle(w.s, 3)->hash);
        /* he stopped: it ends well */
        world_request(&w, OP_RESUME, false, false, true);
        world_run(&w);
        if (w.s->rotation.op.state != OP_STATE_FINISHED)
            fail_msg("%s: not over after a resume: %s: %s", moments[m].row, w.last.row, w.s->rotation.op.why);
        world_free(&w);
    }
}

/* ---------- policies ---------- */

static void without_snapshots(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    w.spec.snapshots = w.s->spec.snapshots = false;
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_false(world_did(&w, 0, "phase backup"));
    world_free(&w);
}

static void skip_rewrites_and_drops_nothing(void **state)
{
    (void)state;
    struct world w;
    world_init_adopted(&w, 3);
    world_request(&w, OP_PREPARE, false, false, true);
    world_run(&w);
    world_request(&w, OP_ROTATE, false, false, true);
    world_run(&w);
    world_request(&w, OP_REENCRYPT, false, true, true);
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    assert_true(world_did(&w, 0, "prove verify"));
    assert_false(world_did(&w, 0, "phase drop"));
    assert_int_equal(w.s->rotation.stage, STAGE_ROTATE);
    assert_int_equal(w.s->rotation.base, 1); /* there is still a way back */
    world_free(&w);
}

/* ---------- proof 1a ---------- */

static void test_vector_must_open(void **state)
{
    (void)state;
    struct world w;
    init_rotating(&w);
    world_until(&w, PHASE_APPEND, ACTION_ORDER);
    world_obey(&w, 0);
    struct cluster_report *s1 = &w.s->servers[0].report;
    s1->vector_generation = 0;
    size_t from = w.log_count;
    world_wait(&w, 3);
    assert_string_equal(w.last.row, "config-settling"); /* not looked at yet: no fault */
    assert_non_null(strstr(w.last.why, "s1: its agent has not opened the test vector yet"));
    text_copy(s1->vector_why, sizeof(s1->vector_why), "the test vector does not open with key-2");
    world_wait(&w, 3);
    assert_string_equal(w.last.row, "sealed");
    assert_string_equal(w.last.on, "s1");
    assert_non_null(strstr(w.last.why, "the test vector does not open with key-2"));
    assert_int_equal(w.log_count, from); /* s2 gets nothing */
    s1->vector_generation = 2;
    world_run(&w);
    assert_int_equal(w.s->rotation.op.state, OP_STATE_FINISHED);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed_proof_halts_before_anything_is_issued),
        cmocka_unit_test(unmade_proof_is_tried_again_after_a_growing_pause),
        cmocka_unit_test(unmade_proof_and_a_clock_set_back),
        cmocka_unit_test(unmade_proof_halts_in_the_end),
        cmocka_unit_test(attempts_outlive_their_coordinators),
        cmocka_unit_test(no_proof_while_a_server_is_away),
        cmocka_unit_test(failed_rewrite_halts_and_begins_anew),
        cmocka_unit_test(stale_scan_names_what_could_not_be_rewritten),
        cmocka_unit_test(each_pass_has_its_own_scan),
        cmocka_unit_test(nothing_leaves_unwatched),
        cmocka_unit_test(lost_watch_is_begun_again_after_a_pause),
        cmocka_unit_test(stale_last_scan_waits_for_a_repair),
        cmocka_unit_test(stale_write_before_the_drop),
        cmocka_unit_test(stale_write_during_the_drop),
        cmocka_unit_test(stale_write_found_by_the_last_scan),
        cmocka_unit_test(last_scan_does_not_wait_for_a_server),
        cmocka_unit_test(endless_stale_writer),
        cmocka_unit_test(without_snapshots),
        cmocka_unit_test(skip_rewrites_and_drops_nothing),
        cmocka_unit_test(test_vector_must_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
