/* The program over a real etcd, with the test in the coordinator's place: what it asks for, and what it makes
 * of the answers and of the records that follow. */
#include "requests_bench.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the tests --- */

static void test_pause_keeps_whose_the_restarts_are(void **state)
{
    (void)state;
    struct program p;
    struct cluster_rotation r = play_rotation_of("op-1", OP_ROTATE, OP_STATE_RUNNING);
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r); /* restart is false: --no-restart */
    cli_start(&p, "pause", NULL);
    struct cluster_request q = play_await();
    assert_int_equal(q.kind, OP_PAUSE);
    assert_false(q.restart);
    play_answer(q, ANSWER_ACCEPTED, "op-1", "");
    cli_expect(&p, 0, "rotate paused\n", "`secrets-encrypt resume` lets it go on");
}

static void test_resume_follows_when_asked(void **state)
{
    (void)state;
    struct program p;
    play_rotation("op-1", OP_ROTATE, OP_STATE_PAUSED);
    cli_start(&p, "resume", NULL);
    struct cluster_request q = play_await();
    assert_int_equal(q.kind, OP_RESUME);
    play_answer(q, ANSWER_RESUMED, "op-1", "");
    cli_expect(&p, 0, "rotate resumed\n", "");

    play_rotation("op-1", OP_ROTATE, OP_STATE_PAUSED);
    cli_start(&p, "resume", "--wait", NULL);
    q = play_await();
    play_rotation("op-1", OP_ROTATE, OP_STATE_RUNNING);
    play_answer(q, ANSWER_RESUMED, "op-1", "");
    cli_wait_told(&p, "begins");
    play_rotation("op-1", OP_ROTATE, OP_STATE_FINISHED);
    cli_expect(&p, 0, "rotate completed successfully\n", "");
}

static void test_refusal(void **state)
{
    (void)state;
    struct program p;
    cli_start(&p, "keys", "restore", "aescbckey:gone", NULL);
    struct cluster_request q = play_await();
    assert_int_equal(q.kind, OP_RESTORE_KEY);
    assert_string_equal(q.key, "aescbckey:gone");
    play_refuse(q, CAUSE_GATE, "aescbckey:gone is not in escrow");
    cli_expect(&p, 5, "", "secrets-encrypt: aescbckey:gone is not in escrow\n");
}

static void test_code_of_each_refusal(void **state)
{
    (void)state;
    static const struct {
        enum cluster_cause cause;
        int code;
        const char *word;
    } cases[] = {{CAUSE_MISMATCH, 3, "mismatch"},
                 {CAUSE_SERVER, 4, "server"},
                 {CAUSE_GATE, 5, "gate"},
                 {CAUSE_DENIED, 8, "denied"}};
    for (size_t i = 0; i < array_len(cases); i++) {
        struct program p;
        char line[256];
        snprintf(line, sizeof(line),
                 "{\"schema\":\"secrets-encrypt/v1\",\"kind\":\"result\",\"exit\":%d,\"cause\":\"%s\","
                 "\"message\":\"no\"}\n",
                 cases[i].code, cases[i].word);
        cli_start(&p, "prepare", "-o", "json", NULL);
        play_refuse(play_await(), cases[i].cause, "no");
        cli_expect(&p, cases[i].code, line, "secrets-encrypt: no\n");
    }
}

static void test_follower_says_paused_and_waits(void **state)
{
    (void)state;
    struct program p;
    play_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    cli_start(&p, "rotate-keys", NULL);
    play_answer(play_await(), ANSWER_ACCEPTED, "op-1", "");
    cli_wait_told(&p, "begins");
    play_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_PAUSED);
    cli_wait_told(&p, "rotate-keys is paused");
    play_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    cli_wait_told(&p, "rotate-keys goes on");
    play_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_FINISHED);
    cli_expect(&p, 0, "keys rotated, reencryption finished\n", "");
}

static void test_follower_of_what_was_aborted(void **state)
{
    (void)state;
    struct program p;
    play_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    cli_start(&p, "rotate-keys", NULL);
    play_answer(play_await(), ANSWER_ACCEPTED, "op-1", "");
    cli_wait_told(&p, "begins");
    struct cluster_rotation r = play_rotation_of("op-2", OP_ABORT, OP_STATE_RUNNING);
    text_copy(r.op.aborts, sizeof(r.op.aborts), "op-1");
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
    cli_expect(&p, 1, "", "rotate-keys was aborted by root@s1: ");
}

static void test_abort(void **state)
{
    (void)state;
    struct program p;
    play_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_HALTED);
    cli_start(&p, "abort", NULL);
    struct cluster_request q = play_await();
    assert_int_equal(q.kind, OP_ABORT);
    assert_true(q.restart);
    play_answer(q, ANSWER_ACCEPTED, "op-2", "");
    cli_expect(&p, 0, "abort started\n", "");

    cli_start(&p, "abort", "--wait", NULL);
    q = play_await();
    play_rotation("op-3", OP_ABORT, OP_STATE_RUNNING);
    play_answer(q, ANSWER_ACCEPTED, "op-3", "");
    cli_wait_told(&p, "begins");
    play_rotation("op-3", OP_ABORT, OP_STATE_FINISHED);
    cli_expect(&p, 0, "aborted: every server is back at the config from before\n", "");

    play_rotation("op-4", OP_ABORT, OP_STATE_RUNNING);
    cli_start(&p, "abort", "--wait", "--timeout", "2", NULL);
    play_answer(play_await(), ANSWER_ACCEPTED, "op-4", "");
    cli_expect(&p, 6, "", "abort is not finished within --timeout 2");
}

static void test_throttle(void **state)
{
    (void)state;
    struct program p;
    play_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    cli_start(&p, "throttle", "1500", NULL);
    struct cluster_request q = play_await();
    assert_int_equal(q.kind, OP_THROTTLE);
    assert_int_equal(q.max_rate, 1500);
    play_answer(q, ANSWER_ACCEPTED, "op-1", "");
    cli_expect(&p, 0, "values are rewritten at 1,500 a second at most\n", "");
    cli_start(&p, "throttle", "fast", NULL);
    cli_expect(&p, 2, "", "'fast' is not a whole number");
}

static void test_engine(void **state)
{
    (void)state;
    struct program p;
    play_rotation("op-1", OP_ROTATE, OP_STATE_FINISHED);
    cli_start(&p, "reencrypt", "--engine", "datastore", "--offline", "--max-rate", "9", "--no-wait", NULL);
    struct cluster_request q = play_await();
    assert_string_equal(q.engine, "datastore");
    assert_true(q.offline);
    assert_int_equal(q.max_rate, 9);
    play_refuse(q, CAUSE_SERVER, "not now");
    cli_expect(&p, 4, "", "not now");
}

static void test_repair(void **state)
{
    (void)state;
    struct program p;
    play_rotation("op-1", OP_ROTATE, OP_STATE_FINISHED);
    play_report(OTHER_HASH, 0, ORDER_NONE, "");
    cli_start(&p, "repair", "s2", "--wait", NULL);
    struct cluster_request q = play_await();
    assert_int_equal(q.kind, OP_REPAIR);
    assert_string_equal(q.server, "s2");
    play_order(7, q.id);
    play_answer(q, ANSWER_ACCEPTED, "", "");
    cli_wait_told(&p, "s2: the order is given");
    play_report(OTHER_HASH, 7, ORDER_TAKEN, "");
    cli_wait_told(&p, "s2: at work");
    play_report(HASH, 7, ORDER_DONE, "");
    cli_expect(&p, 0, "s2 repaired\n", "");

    play_report(OTHER_HASH, 7, ORDER_DONE, "");
    cli_start(&p, "repair", "s2", "--wait", NULL);
    q = play_await();
    play_order(8, q.id);
    play_answer(q, ANSWER_ACCEPTED, "", "");
    cli_wait_told(&p, "s2: the order is given");
    play_report(OTHER_HASH, 8, ORDER_FAILED, "not ready within 180 s");
    cli_expect(&p, 1, "", "secrets-encrypt: the repair of s2 failed: not ready within 180 s\n");

    cli_start(&p, "repair", "s22", NULL);
    cli_expect(&p, 1, "", "s22 is none of the cluster's servers; did you mean s2?\n");
}

/* --- wait --- */

static void test_wait_attaches(void **state)
{
    (void)state;
    struct program p;
    play_rotation("op-7", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    cli_start(&p, "wait", NULL);
    cli_wait_told(&p, "begins");
    play_rotation("op-7", OP_ROTATE_KEYS, OP_STATE_FINISHED);
    cli_expect(&p, 0, "keys rotated, reencryption finished\n", "");

    cli_start(&p, "wait", "op-8", NULL); /* another one's success is not its own */
    cli_expect(&p, 1, "", "operation op-8 is not the one that runs or ran last");

    play_rotation("op-9", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    cli_start(&p, "wait", "op-9", "--timeout", "1", NULL);
    cli_expect(&p, 6, "",
               "rotate-keys is not finished within --timeout 1: it goes on; `secrets-encrypt wait`");
}

static void test_wait_tells_how_it_ended(void **state)
{
    (void)state;
    struct program p;
    struct cluster_rotation r = play_rotation_of("op-1", OP_PREPARE, OP_STATE_FINISHED);
    r.op.ended_ms = clock_wall_ms() - 23 * 3600 * 1000LL;
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
    cli_start(&p, "wait", NULL);
    cli_expect(&p, 0, "prepare completed successfully\n", "");
    r.op.ended_ms -= 2 * 3600 * 1000LL;
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
    cli_start(&p, "wait", NULL);
    cli_expect(&p, 1, "", "no operation runs, and none has ended within the last 24 hours\n");

    r = play_rotation_of("op-2", OP_ROTATE_KEYS, OP_STATE_HALTED);
    text_copy(r.op.why, sizeof(r.op.why), "s2 went away");
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
    cli_start(&p, "wait", NULL);
    cli_expect(&p, 7, "", "rotate-keys halted: s2 went away; ");

    r = play_rotation_of("op-3", OP_ABORT, OP_STATE_FINISHED);
    r.op.ended_ms = clock_wall_ms();
    text_copy(r.op.aborts, sizeof(r.op.aborts), "op-2");
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
    cli_start(&p, "wait", "op-2", NULL);
    cli_expect(&p, 1, "", "operation op-2 was aborted by root@s1: ");
}

/* --- what programs read --- */

static void expect_in_order(const char *text, const char *const *words, size_t count)
{
    const char *at = text;
    for (size_t i = 0; i < count; i++) {
        at = strstr(at, words[i]);
        if (!at)
            fail_msg("'%s' is not there, or not in its place:\n%s", words[i], text);
    }
}

static void test_events_and_junit_of_a_halt(void **state)
{
    (void)state;
    struct program p;
    char file[256];
    static const char *const events[] = {
        "\"event\":\"accepted\"}\n",
        "\"event\":\"phase\",\"phase\":\"append\"",
        "\"event\":\"paused\"}\n",
        "\"event\":\"resumed\"}\n",
        "\"event\":\"halted\",\"why\":\"s2 <away>\",\"cause\":\"server\"}\n",
        "\"kind\":\"result\",\"exit\":7,\"cause\":\"halted\",\"message\":\"rotate-keys halted: s2 <away>; ",
        "\"operation\":\"op-1\"}\n"};
    static const char *const cases[] = {
        "tests=\"9\"",
        "failures=\"1\"",
        "name=\"request: ",
        "name=\"append: ",
        "<failure type=\"halted\" message=\"rotate-keys halted: s2 &lt;away&gt;; ",
        "name=\"readable: ",
        "<skipped/>",
        "</testsuites>\n"};
    text_copy(file, sizeof(file), etcd_fixture_path(fixture, "junit.xml"));
    play_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    cli_start(&p, "rotate-keys", "-o", "json", "--junit", file, NULL);
    play_answer(play_await(), ANSWER_ACCEPTED, "op-1", "");
    cli_wait_line(p.out, "\"phase\"");
    play_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_PAUSED);
    cli_wait_line(p.out, "\"paused\"");
    play_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    cli_wait_line(p.out, "\"resumed\"");
    struct cluster_rotation r = play_rotation_of("op-1", OP_ROTATE_KEYS, OP_STATE_HALTED);
    text_copy(r.op.why, sizeof(r.op.why), "s2 <away>");
    r.op.cause = CAUSE_SERVER;
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
    cli_finish(&p);
    assert_int_equal(p.code, 7);
    expect_in_order(buf_str(&p.out_text), events, array_len(events));
    buf_free(&p.out_text);
    buf_free(&p.err_text);
    _cleanup_(buf_freep) struct buf xml = BUF_INIT(OUTPUT_MAX);
    assert_int_equal(file_read(file, OUTPUT_MAX, &xml, NULL), 0);
    expect_in_order(buf_str(&xml), cases, array_len(cases));
    assert_int_equal(unlink(file), 0);
}

/* ^C detaches: the record stays as it is, and the file says what became of the command. */
static void test_interrupt_detaches(void **state)
{
    (void)state;
    struct program p;
    char file[256];
    text_copy(file, sizeof(file), etcd_fixture_path(fixture, "junit.xml"));
    play_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    cli_start(&p, "wait", "--junit", file, "-o", "json", NULL);
    cli_wait_line(p.out, "\"phase\"");
    assert_int_equal(store_snapshot(store, DEADLINE_MS, seen, NULL), 0);
    int64_t mod = seen->rotation_mod;
    assert_int_equal(kill(p.pid, SIGINT), 0);
    cli_finish(&p);
    assert_int_equal(p.code, 130);
    assert_non_null(strstr(buf_str(&p.out_text), "\"event\":\"detached\",\"why\":\"interrupted\"}\n"));
    assert_non_null(
        strstr(buf_str(&p.err_text), "rotate-keys goes on; `secrets-encrypt wait` follows it again\n"));
    buf_free(&p.out_text);
    buf_free(&p.err_text);
    assert_int_equal(store_snapshot(store, DEADLINE_MS, seen, NULL), 0);
    assert_int_equal(seen->rotation_mod, mod);
    assert_int_equal(seen->requests_count, 0);
    _cleanup_(buf_freep) struct buf xml = BUF_INIT(OUTPUT_MAX);
    assert_int_equal(file_read(file, OUTPUT_MAX, &xml, NULL), 0);
    assert_non_null(
        strstr(buf_str(&xml), "<failure type=\"interrupted\" message=\"interrupted: rotate-keys goes on"));
    assert_int_equal(unlink(file), 0);
}

static void test_quiet(void **state)
{
    (void)state;
    struct program p;
    play_rotation("op-1", OP_ROTATE, OP_STATE_RUNNING);
    cli_start(&p, "rotate", "--quiet", NULL);
    play_answer(play_await(), ANSWER_ACCEPTED, "op-1", "");
    play_rotation("op-1", OP_ROTATE, OP_STATE_FINISHED);
    cli_finish(&p);
    assert_int_equal(p.code, 0);
    assert_string_equal(buf_str(&p.out_text), "rotate completed successfully\n");
    assert_string_equal(buf_str(&p.err_text), "");
    buf_free(&p.out_text);
    buf_free(&p.err_text);
}

static int64_t etcd_revision(void)
{
    struct etcd_range range = {0};
    const struct etcd_range_options nothing = {.prefix = "/nothing/", .count_only = true};
    assert_int_equal(etcd_list(store_etcd(store), &nothing, DEADLINE_MS, &range, NULL), 0);
    int64_t revision = range.revision;
    etcd_range_free(&range);
    return revision;
}

static void test_dry_run_writes_nothing(void **state)
{
    (void)state;
    static const char *const commands[] = {"prepare", "rotate",  "reencrypt", "rotate-keys",
                                           "enable",  "disable", "restart",   "abort"};
    play_rotation("op-1", OP_ROTATE, OP_STATE_HALTED);
    int64_t before = etcd_revision();
    for (size_t i = 0; i < array_len(commands); i++) {
        struct program p;
        cli_start(&p, commands[i], "--dry-run", "-o", "json", NULL);
        cli_finish(&p);
        if (p.code != 5 && p.code != 4 && p.code != 0)
            fail_msg("%s: exit %d: %s", commands[i], p.code, buf_str(&p.err_text));
        assert_non_null(strstr(buf_str(&p.out_text), "\"kind\": \"plan\""));
        buf_free(&p.out_text);
        buf_free(&p.err_text);
    }
    assert_int_equal(etcd_revision(), before);
}

static void test_status_check(void **state)
{
    (void)state;
    struct program p;
    play_rotation("op-1", OP_ROTATE, OP_STATE_HALTED);
    cli_start(&p, "status", "--check", "-o", "json", NULL);
    cli_finish(&p);
    assert_int_equal(p.code, 7);
    assert_non_null(
        strstr(buf_str(&p.out_text), "\"check\": {\n\t\t\"exit\": 7,\n\t\t\"cause\": \"halted\""));
    buf_free(&p.out_text);
    buf_free(&p.err_text);
    play_rotation("op-1", OP_ROTATE, OP_STATE_FINISHED);
    cli_start(&p, "status", "--check", NULL); /* s1 has no agent here */
    cli_finish(&p);
    assert_int_equal(p.code, 4);
    assert_non_null(strstr(buf_str(&p.err_text), "secrets-encrypt: s1: "));
    buf_free(&p.out_text);
    buf_free(&p.err_text);
    cli_start(&p, "status", NULL);
    cli_finish(&p);
    assert_int_equal(p.code, 0);
    buf_free(&p.out_text);
    buf_free(&p.err_text);
}

/* The datastore is this very etcd: what was written since the key began to write is counted. */
static void test_keys_reads_the_datastore(void **state)
{
    (void)state;
    struct program p;
    int64_t revision = 0;
    struct cluster_keys keys = {.keys_count = 1};
    keys.keys[0].state = KEY_ACTIVE;
    text_copy(keys.keys[0].provider, sizeof(keys.keys[0].provider), "aescbc");
    text_copy(keys.keys[0].name, sizeof(keys.keys[0].name), "k1");
    assert_int_equal(etcd_put(store_etcd(store), "/registry/x", "1", 1, 0, DEADLINE_MS, &revision, NULL), 0);
    keys.keys[0].since_revision = revision;
    PUT(keys, CLUSTER_KEY_KEYS, NULL, &keys); /* one more revision */
    cli_start(&p, "keys", NULL);
    cli_expect(&p, 0,
               "Name  Provider  State   Age      Since    Writes  Values       Escrow until\n"
               "k1    aescbc    active  unknown  unknown  1       not counted\n",
               "");
}

static void test_explain_and_status_of_a_halt(void **state)
{
    (void)state;
    struct program p;
    struct cluster_rotation r = play_rotation_of("op-1", OP_ROTATE_KEYS, OP_STATE_HALTED);
    text_copy(r.op.why, sizeof(r.op.why), "s2 went away");
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
    cli_start(&p, "explain", NULL);
    cli_finish(&p);
    assert_int_equal(p.code, 0);
    assert_non_null(strstr(buf_str(&p.out_text), "\nHalted because: s2 went away\n"));
    buf_free(&p.out_text);
    buf_free(&p.err_text);
    cli_start(&p, "status", NULL);
    cli_finish(&p);
    assert_int_equal(p.code, 0);
    assert_null(strstr(buf_str(&p.out_text), "halted")); /* K3s's text */
    assert_non_null(strstr(buf_str(&p.err_text), "rotate-keys is halted: s2 went away; "));
    buf_free(&p.out_text);
    buf_free(&p.err_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pause_keeps_whose_the_restarts_are),
        cmocka_unit_test(test_resume_follows_when_asked),
        cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_follower_says_paused_and_waits),
        cmocka_unit_test(test_follower_of_what_was_aborted),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_throttle),
        cmocka_unit_test(test_engine),
        cmocka_unit_test(test_repair),
        cmocka_unit_test(test_code_of_each_refusal),
        cmocka_unit_test(test_wait_attaches),
        cmocka_unit_test(test_wait_tells_how_it_ended),
        cmocka_unit_test(test_events_and_junit_of_a_halt),
        cmocka_unit_test(test_interrupt_detaches),
        cmocka_unit_test(test_quiet),
        cmocka_unit_test(test_dry_run_writes_nothing),
        cmocka_unit_test(test_status_check),
        cmocka_unit_test(test_keys_reads_the_datastore),
        cmocka_unit_test(test_explain_and_status_of_a_halt),
    };
    return cmocka_run_group_tests(tests, bench_set_up, bench_tear_down);
}
