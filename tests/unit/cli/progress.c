#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <cli/progress.h>

#include "fixture.h"

static const struct progress_options wide = {100, false, NOW_MS, 3000};

static void expect_line(const struct cluster_snapshot *s, const struct progress_options *o,
                        const char *expected)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(8192);
    struct error err = ERROR_INIT;
    assert_int_equal(progress_line(s, o, &out, &err), 0);
    assert_string_equal(buf_str(&out), expected);
}

/* S1 done, S2 restarting, S3 waiting: the second step of four. */
static struct cluster_snapshot *rotating(int servers)
{
    struct cluster_snapshot *s = fixture_cluster(servers, "s");
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_PROMOTE, STAGE_ROTATE);
    fixture_at_target(s, 0);
    fixture_order(s, 0, ORDER_APPLY, ORDER_DONE);
    fixture_order(s, 1, ORDER_APPLY, ORDER_RESTARTING);
    s->servers[1].report.ready = false;
    text_copy(s->rotation.op.why, CLUSTER_TEXT_MAX, "a server is at work; one at a time");
    return s;
}

static struct cluster_snapshot *rewriting(void)
{
    struct cluster_snapshot *s = fixture_cluster(3, "s");
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_REWRITE, STAGE_ROTATE);
    s->has_reencrypt = true;
    s->reencrypt = (struct cluster_reencrypt){
        .state = REENCRYPT_RUNNING, .done = 1234, .total = 5000, .rate = 812, .updated_ms = NOW_MS - 100};
    text_copy(s->reencrypt.operation, CLUSTER_ID_MAX, "op-1");
    return s;
}

static void test_servers_line(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = rotating(3);
    expect_line(s, &wide, "[2/4] rotate       s1 ok  s2 restarting  s3 waiting   00:12");
}

static void test_reason_while_nobody_is_at_work(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = rotating(3);
    s->servers[1].reports = false;
    s->servers[1].has_order = false;
    text_copy(s->rotation.op.why, CLUSTER_TEXT_MAX, "a server is silent: s2\033[31m");
    expect_line(s, &wide,
                "[2/4] rotate       s1 ok  s2 silent  s3 waiting   00:12  a server is silent: s2?[31m");
    const struct progress_options narrow = {70, false, NOW_MS, 3000}, soon = {100, false, NOW_MS, 2999};
    expect_line(s, &narrow, "[2/4] rotate       s1 ok  s2 silent  s3 waiting   00:12  a server is ");
    expect_line(s, &soon, "[2/4] rotate       s1 ok  s2 silent  s3 waiting   00:12");
}

static void test_narrow_line_counts_servers(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = rotating(9);
    const struct progress_options o = {80, false, NOW_MS, 3000};
    expect_line(s, &o, "[2/4] rotate       1 ok  s2 restarting  7 waiting   00:12");
    const struct progress_options tiny = {20, false, NOW_MS, 3000};
    expect_line(s, &tiny, "[2/4] rotate       ");
    const struct progress_options none = {1, false, NOW_MS, 3000};
    expect_line(s, &none, "");
}

static void test_colors_add_no_width(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = rotating(3);
    const struct progress_options o = {60, true, NOW_MS, 3000};
    expect_line(s, &o,
                "[2/4] rotate       \033[32ms1 ok\033[0m\033[33m  s2 restarting\033[0m  s3 waiting   00:12");
}

static void test_bar(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = rewriting();
    const struct progress_options o = {80, false, NOW_MS, 3000};
    expect_line(s, &o, "[3/4] re-encrypting  [######...................]  1,234/5,000  812/s  0:04 left");
    const struct progress_options narrow = {60, false, NOW_MS, 3000};
    expect_line(s, &narrow, "[3/4] re-encrypting  1,234/5,000  812/s  0:04 left");
    s->reencrypt.done = 5000;
    expect_line(s, &o, "[3/4] re-encrypting  [#########################]  5,000/5,000  812/s  0:00 left");
    s->reencrypt.done = 6000; /* the total is the server's estimate */
    expect_line(s, &o, "[3/4] re-encrypting  [#########################]  6,000/6,000  812/s  0:00 left");
}

static void test_bar_names_trouble(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = rewriting();
    s->reencrypt.failed = 3;
    s->reencrypt.rate = 0;
    s->reencrypt.updated_ms = NOW_MS - 7000;
    expect_line(s, &wide,
                "[3/4] re-encrypting  [#######........................]  1,234/5,000  0/s  3 failed  no news "
                "for 7 s");
}

static void test_rewrite_before_its_record(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = rewriting();
    text_copy(s->reencrypt.operation, CLUSTER_ID_MAX, "an older one");
    expect_line(s, &wide, "[3/4] re-encrypting  starting   00:12");
    s->rotation.op.phase = PHASE_VERIFY;
    expect_line(s, &wide, "[3/4] verifying      counting the datastore's values by key   00:12");
}

/* The new key is there, and S2 has not read the canary yet. */
static struct cluster_snapshot *proving(void)
{
    struct cluster_snapshot *s = fixture_cluster(3, "s");
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_READABLE, STAGE_PREPARE);
    s->rotation.op.target = 0;
    s->rotation.op.step = 5;
    struct cluster_proof *p = fixture_proof(s, PHASE_READABLE, PROOF_RUNNING, "canary");
    fixture_server_proof(p, "s1", PROOF_MADE, "");
    fixture_server_proof(p, "s2", PROOF_RUNNING, "");
    return s;
}

static void test_proofs_name_what_they_prove(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = proving();
    const struct progress_options roomy = {140, false, NOW_MS, 3000};
    expect_line(
        s, &roomy,
        "[1/4] proving        that every server reads the new key  s1 ok  s2 waiting  s3 waiting   00:12");
    s->proofs.proofs[0].servers[1].state = PROOF_FAILED;
    s->servers[2].report.ready = false;
    text_copy(s->rotation.op.why, CLUSTER_TEXT_MAX, "s3 is not ready");
    expect_line(s, &roomy,
                "[1/4] proving        that every server reads the new key  s1 ok  s2 failed  s3 not ready   "
                "00:12  s3 is not ready");
    s->rotation.op.step = 9; /* entered again: the older proof counts no more */
    s->rotation.op.why[0] = 0;
    expect_line(s, &roomy,
                "[1/4] proving        that every server reads the new key  s1 waiting  s2 waiting  s3 not "
                "ready   00:12");
    s->rotation.op.phase = PHASE_OPENS;
    expect_line(s, &roomy,
                "[1/4] checking       that every stored value opens with the servers' keys   00:12");
}

static void test_snapshot_tells_its_size(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = proving();
    s->rotation.op.phase = PHASE_BACKUP;
    expect_line(s, &wide, "[1/4] saving         the datastore   00:12");
    s->proofs.proofs[0].phase = PHASE_BACKUP;
    s->proofs.proofs[0].values = 123LL * 1024 * 1024;
    expect_line(s, &wide, "[1/4] saving         the datastore (123 MiB)   00:12");
}

static void test_drop_tells_of_the_watch(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = rotating(3);
    s->rotation.op.phase = PHASE_DROP;
    struct cluster_proof *p = fixture_proof(s, PHASE_DROP, PROOF_RUNNING, "watch");
    expect_line(s, &wide, "[4/4] drop old key s1 ok  s2 restarting  s3 waiting  watching new writes   00:12");
    p->state = PROOF_FAILED;
    expect_line(s, &wide, "[4/4] drop old key s1 ok  s2 restarting  s3 waiting   00:12");
}

static void test_step_ends_with_its_own_word(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *before = proving(), *now = rotating(3);
    _cleanup_(buf_freep) struct buf out = BUF_INIT(8192);
    assert_true(progress_step_passed(before, now));
    assert_int_equal(progress_step_over(before, now, &wide, &out, NULL), 0);
    assert_string_equal(buf_str(&out), "[1/4] prepare      s1 ok  s2 ok  s3 ok   00:12");
}

static void test_every_line_fits(void **state)
{
    (void)state;
    struct cluster_snapshot *all[] = {rotating(3), rotating(16), rewriting(), proving()};
    for (size_t i = 0; i < array_len(all); i++) {
        for (int width = 1; width < 200; width++) {
            const struct progress_options o = {width, false, NOW_MS, 3000};
            _cleanup_(buf_freep) struct buf out = BUF_INIT(8192);
            assert_int_equal(progress_line(all[i], &o, &out, NULL), 0);
            assert_true(out.len < (size_t)width);
        }
        free(all[i]);
    }
}

static void test_server_states(void **state)
{
    (void)state;
    static const struct {
        enum order_kind kind;
        enum order_state said;
        bool seen, at_target, loaded, ready, restart;
        const char *word;
    } rows[] = {
        {ORDER_APPLY, ORDER_NONE, false, false, false, true, true, "ordered"},
        {ORDER_APPLY, ORDER_TAKEN, true, false, false, true, true, "working"},
        {ORDER_APPLY, ORDER_RESTARTING, true, true, false, false, true, "restarting"},
        {ORDER_APPLY, ORDER_DONE, true, true, false, true, true, "starting"},
        {ORDER_APPLY, ORDER_DONE, true, true, true, true, true, "ok"},
        {ORDER_APPLY, ORDER_DONE, true, true, true, false, true, "starting"},
        {ORDER_APPLY, ORDER_FAILED, true, false, false, true, true, "failed"},
        {ORDER_APPLY, ORDER_REFUSED, true, false, false, true, true, "refused"},
        /* the operator restarts */
        {ORDER_WRITE, ORDER_DONE, true, true, false, true, false, "restart it"},
        {ORDER_WRITE, ORDER_DONE, true, true, true, true, false, "ok"},
        {ORDER_SYNC, ORDER_NONE, false, false, false, true, false, "restart it"},
        {ORDER_SYNC, ORDER_TAKEN, true, false, false, true, false, "restart it"},
        {ORDER_SYNC, ORDER_DONE, true, true, true, true, false, "ok"},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(1, "s");
        fixture_operation(s, OP_PREPARE, PHASE_APPEND, STAGE_PREPARE);
        s->rotation.op.restart = rows[i].restart;
        if (rows[i].at_target)
            fixture_at_target(s, 0);
        fixture_order(s, 0, rows[i].kind, rows[i].seen ? rows[i].said : ORDER_NONE);
        struct cluster_report *r = &s->servers[0].report;
        if (!rows[i].loaded) {
            r->loaded_generation = 1;
            text_copy(r->loaded_hash, sizeof(r->loaded_hash), OLD_HASH);
        }
        r->ready = rows[i].ready;
        const char *word = server_progress_word(server_progress(s, &s->servers[0]));
        if (strcmp(word, rows[i].word) != 0)
            fail_msg("row %zu: %s, not %s", i, word, rows[i].word);
    }
}

static void test_server_without_order(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(1, "s");
    fixture_operation(s, OP_PREPARE, PHASE_APPEND, STAGE_PREPARE);
    assert_string_equal(server_progress_word(server_progress(s, &s->servers[0])), "waiting");
    s->servers[0].report.ready = false;
    assert_string_equal(server_progress_word(server_progress(s, &s->servers[0])), "not ready");
    s->servers[0].reports = false;
    assert_string_equal(server_progress_word(server_progress(s, &s->servers[0])), "silent");
}

/* An order of an earlier phase says nothing about this one. */
/* Every file is the target's all along: what counts is whose turn was. */
static void test_restart(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(4, "s");
    fixture_operation(s, OP_RESTART, PHASE_RESTART, STAGE_START);
    for (int i = 0; i < 4; i++)
        fixture_at_target(s, i);
    s->rotation.op.restarted = 1;
    fixture_order(s, 1, ORDER_RESTART, ORDER_RESTARTING);
    s->servers[1].report.ready = false;
    s->servers[3].report.ready = false;
    expect_line(s, &wide, "[1/1] restart      s1 ok  s2 restarting  s3 waiting  s4 not ready   00:12");
    fixture_order(s, 1, ORDER_RESTART, ORDER_DONE);
    s->servers[1].report.ready = true;
    s->rotation.op.servers_count = 2; /* the others are none of its business */
    text_copy(s->rotation.op.servers[0], CLUSTER_NAME_MAX, "s3");
    text_copy(s->rotation.op.servers[1], CLUSTER_NAME_MAX, "s2");
    s->rotation.op.restarted = 0;
    expect_line(s, &wide, "[1/1] restart      s2 ok  s3 waiting   00:12");
    fixture_order(s, 1, ORDER_RESTART, ORDER_FAILED);
    expect_line(s, &wide, "[1/1] restart      s2 failed  s3 waiting   00:12");
}

static void test_older_orders_do_not_count(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(1, "s");
    fixture_operation(s, OP_PREPARE, PHASE_APPEND, STAGE_PREPARE);
    fixture_order(s, 0, ORDER_APPLY, ORDER_FAILED);
    s->servers[0].order.generation = 1;
    assert_string_equal(server_progress_word(server_progress(s, &s->servers[0])), "waiting");
}

static void test_moves(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *a = rotating(3), *b = rotating(3);
    b->servers[2].report.time_ms += 1000;
    assert_false(progress_moved(a, b));
    b->servers[1].report.order_state = ORDER_FAILED;
    assert_true(progress_moved(a, b));
    _cleanup_free_ struct cluster_snapshot *c = rewriting();
    assert_true(progress_moved(a, c));
}

static void test_steps_that_are_over(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *before = rotating(3), *now = rewriting();
    _cleanup_(buf_freep) struct buf out = BUF_INIT(8192);
    assert_false(progress_step_passed(before, before));
    assert_true(progress_step_passed(before, now));
    assert_int_equal(progress_step_over(before, now, &wide, &out, NULL), 0);
    assert_string_equal(buf_str(&out), "[2/4] rotate       s1 ok  s2 ok  s3 ok   00:12");

    /* verify and a second pass belong to the same step */
    _cleanup_free_ struct cluster_snapshot *verify = rewriting(), *drop = rewriting();
    verify->rotation.op.phase = PHASE_VERIFY;
    assert_false(progress_step_passed(now, verify));
    assert_false(progress_step_passed(verify, now));
    drop->rotation.op.phase = PHASE_DROP;
    drop->reencrypt.state = REENCRYPT_ENDED;
    drop->reencrypt.done = 5000;
    drop->reencrypt.started_ms = NOW_MS - 9000;
    drop->reencrypt.ended_ms = NOW_MS - 3000;
    drop->reencrypt.scan_revision = 77;
    drop->reencrypt.scan_values = 5000;
    assert_true(progress_step_passed(verify, drop));
    buf_reset(&out);
    assert_int_equal(progress_step_over(verify, drop, &wide, &out, NULL), 0);
    assert_string_equal(buf_str(&out), "[3/4] re-encrypted 5,000 objects in 0:06, 0 left under another "
                                       "key   00:12");

    _cleanup_free_ struct cluster_snapshot *done = rewriting();
    done->rotation.op.phase = PHASE_DONE;
    done->rotation.op.state = OP_STATE_FINISHED;
    assert_true(progress_step_passed(drop, done));
    text_copy(done->rotation.op.id, CLUSTER_ID_MAX, "op-2");
    assert_false(progress_step_passed(drop, done));
}

static void expect_log(struct progress_log *log, const struct cluster_snapshot *s, int64_t now_ms,
                       const char *expected)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(8192);
    assert_int_equal(progress_log_lines(log, s, now_ms, &out, NULL), 0);
    assert_string_equal(buf_str(&out), expected);
}

static void test_plain_lines_tell_changes_once(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = rotating(3);
    struct progress_log log = {0};
    expect_log(&log, s, NOW_MS,
               "00:12 [2/4] rotate: begins\n00:12 [2/4] rotate: s1 ok\n00:12 [2/4] rotate: s2 restarting\n");
    expect_log(&log, s, NOW_MS + 1000, "");
    fixture_at_target(s, 1);
    s->servers[1].report.ready = true;
    expect_log(&log, s, NOW_MS + 2000, "00:14 [2/4] rotate: s2 ok\n");
    s->rotation.op.phase = PHASE_DROP;
    s->rotation.op.target = 3;
    memset(s->rotation.op.target_hash, '3', 64);
    expect_log(&log, s, NOW_MS + 3000, "00:15 [4/4] drop old key: begins\n");
    s->rotation.op.phase = PHASE_DONE;
    s->rotation.op.state = OP_STATE_FINISHED;
    expect_log(&log, s, NOW_MS + 4000, "");
}

static void test_plain_lines_of_a_rewrite_are_rare(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = rewriting();
    struct progress_log log = {0};
    expect_log(&log, s, NOW_MS,
               "00:12 [3/4] reencrypt: begins\n00:12 [3/4] reencrypt: 1,234/5,000, 812/s, 0:04 left\n");
    s->reencrypt.done = 2000;
    expect_log(&log, s, NOW_MS + 1999, "");
    expect_log(&log, s, NOW_MS + 2000, "00:14 [3/4] reencrypt: 2,000/5,000, 812/s, 0:03 left\n");
    expect_log(&log, s, NOW_MS + 4500, ""); /* no change */
}

static void test_plain_lines_tell_what_it_waits_for(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = rotating(3);
    struct progress_log log = {0};
    expect_log(&log, s, NOW_MS,
               "00:12 [2/4] rotate: begins\n00:12 [2/4] rotate: s1 ok\n00:12 [2/4] rotate: s2 restarting\n");
    s->servers[1].reports = false;
    text_copy(s->rotation.op.why, CLUSTER_TEXT_MAX, "a server is silent: s2");
    expect_log(&log, s, NOW_MS + 5000, "00:17 [2/4] rotate: s2 silent\n");
    expect_log(&log, s, NOW_MS + 10000, "00:22 [2/4] rotate: a server is silent: s2\n");
    expect_log(&log, s, NOW_MS + 30000, "");
}

static void test_plain_lines_of_proofs(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = proving();
    struct progress_log log = {0};
    expect_log(&log, s, NOW_MS,
               "00:12 [1/4] prove readable: proving that every server reads the new key\n"
               "00:12 [1/4] prove readable: s1 ok\n");
    s->proofs.proofs[0].state = PROOF_UNMADE;
    text_copy(s->proofs.proofs[0].why, CLUSTER_TEXT_MAX, "s2: connection refused");
    expect_log(&log, s, NOW_MS + 1000,
               "00:13 [1/4] prove readable: the proof could not be made: s2: connection refused\n");
    expect_log(&log, s, NOW_MS + 2000, "");
    s->proofs.proofs[0].state = PROOF_FAILED;
    s->proofs.proofs[0].servers[1].state = PROOF_FAILED;
    expect_log(&log, s, NOW_MS + 3000,
               "00:15 [1/4] prove readable: s2 failed\n"
               "00:15 [1/4] prove readable: the proof failed: s2: connection refused\n");
    s->rotation.op.phase = PHASE_VERIFY; /* no servers there */
    expect_log(&log, s, NOW_MS + 4000, "00:16 [3/4] verify: counting the datastore's values by key\n");
}

static void test_summary(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = rewriting();
    _cleanup_(buf_freep) struct buf out = BUF_INIT(8192);
    s->reencrypt.done = 5000;
    s->reencrypt.started_ms = NOW_MS - 9000;
    s->reencrypt.ended_ms = NOW_MS - 3000;
    assert_int_equal(progress_summary(s, &out, NULL), 0);
    assert_string_equal(buf_str(&out), "re-encrypted 5,000 objects in 0:06\n");
    buf_reset(&out);
    s->has_reencrypt = false;
    assert_int_equal(progress_summary(s, &out, NULL), 0);
    assert_string_equal(buf_str(&out), "");
}

static void test_follow(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(3, "s");
    struct follow_goal g = {.operation = "op-1"};
    assert_int_equal(follow_state(s, &g), FOLLOW_NOT_YET);
    fixture_operation(s, OP_PREPARE, PHASE_APPEND, STAGE_PREPARE);
    assert_int_equal(follow_state(s, &g), FOLLOW_RUNNING);
    s->rotation.op.state = OP_STATE_HALTED;
    assert_int_equal(follow_state(s, &g), FOLLOW_HALTED);
    g.attempt_before = 1; /* asked for again: the halt is the one of before */
    assert_int_equal(follow_state(s, &g), FOLLOW_NOT_YET);
    s->rotation.op.attempt = 2;
    assert_int_equal(follow_state(s, &g), FOLLOW_HALTED);
    s->rotation.op.state = OP_STATE_PAUSED;
    assert_int_equal(follow_state(s, &g), FOLLOW_PAUSED);
    s->rotation.op.state = OP_STATE_FINISHED;
    assert_int_equal(follow_state(s, &g), FOLLOW_REACHED);
    text_copy(s->rotation.op.id, CLUSTER_ID_MAX, "op-2");
    assert_int_equal(follow_state(s, &g), FOLLOW_OVERTAKEN);
    s->rotation.op.kind = OP_ABORT; /* of another operation, or of none */
    assert_int_equal(follow_state(s, &g), FOLLOW_OVERTAKEN);
    text_copy(s->rotation.op.aborts, CLUSTER_ID_MAX, "op-0");
    assert_int_equal(follow_state(s, &g), FOLLOW_OVERTAKEN);
    text_copy(s->rotation.op.aborts, CLUSTER_ID_MAX, "op-1");
    assert_int_equal(follow_state(s, &g), FOLLOW_ABORTED);
}

/* --no-restart: S1's file is written and its new stage published, whatever S2 and S3 run. */
static void test_follow_to_the_file(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(3, "s");
    struct follow_goal g = {.operation = "op-1", .file_only = true};
    fixture_operation(s, OP_PREPARE, PHASE_APPEND, STAGE_PREPARE);
    s->rotation.op.restart = false;
    assert_int_equal(follow_state(s, &g), FOLLOW_RUNNING);
    fixture_at_target(s, 0);
    s->servers[0].report.loaded_generation = 1;
    s->servers[0].report.stage = STAGE_START; /* the file is there, the stage not yet */
    assert_int_equal(follow_state(s, &g), FOLLOW_RUNNING);
    s->servers[0].report.stage = STAGE_PREPARE;
    assert_int_equal(follow_state(s, &g), FOLLOW_REACHED);
    g.file_only = false;
    assert_int_equal(follow_state(s, &g), FOLLOW_RUNNING);
    g.file_only = true;
    s->rotation.op.phase = PHASE_ADOPT; /* its target stands on S1 from the start */
    assert_int_equal(follow_state(s, &g), FOLLOW_RUNNING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_servers_line),
        cmocka_unit_test(test_reason_while_nobody_is_at_work),
        cmocka_unit_test(test_narrow_line_counts_servers),
        cmocka_unit_test(test_colors_add_no_width),
        cmocka_unit_test(test_bar),
        cmocka_unit_test(test_bar_names_trouble),
        cmocka_unit_test(test_rewrite_before_its_record),
        cmocka_unit_test(test_proofs_name_what_they_prove),
        cmocka_unit_test(test_snapshot_tells_its_size),
        cmocka_unit_test(test_drop_tells_of_the_watch),
        cmocka_unit_test(test_step_ends_with_its_own_word),
        cmocka_unit_test(test_every_line_fits),
        cmocka_unit_test(test_server_states),
        cmocka_unit_test(test_server_without_order),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_older_orders_do_not_count),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_steps_that_are_over),
        cmocka_unit_test(test_plain_lines_tell_changes_once),
        cmocka_unit_test(test_plain_lines_of_a_rewrite_are_rare),
        cmocka_unit_test(test_plain_lines_tell_what_it_waits_for),
        cmocka_unit_test(test_plain_lines_of_proofs),
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_follow),
        cmocka_unit_test(test_follow_to_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
