/* Events and results as JSON lines, and the same run as JUnit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <cli/events.h>
#include <cli/junit.h>
#include <report/exits.h>

#include "fixture.h"

static void look(struct progress_log *log, struct junit *j, const struct cluster_snapshot *s, int64_t now_ms,
                 struct buf *out)
{
    struct error err = ERROR_INIT;
    if (events_add(log, s, now_ms, out, &err) < 0)
        fail_msg("%s", err.text);
    junit_look(j, s, now_ms);
}

static void add_event(const char *name, const char *why, struct buf *out)
{
    const struct event e = {.name = name,
                            .time_ms = NOW_MS + 9000,
                            .operation = "op-1",
                            .kind = OP_ROTATE_KEYS,
                            .why = why,
                            .on = "s2",
                            .cause = strcmp(name, "halted") == 0 ? "server" : NULL,
                            .by = "root@s1"};
    struct error err = ERROR_INIT;
    assert_int_equal(event_add(&e, out, &err), 0);
}

/* Through some phases, with one that comes and goes between two looks. */
static void run(struct cluster_snapshot *s, struct junit *j, struct buf *out)
{
    _cleanup_free_ struct progress_log *log = calloc(1, sizeof(*log));
    junit_begin(j, OP_ROTATE_KEYS, true, NOW_MS - 500);
    junit_accepted(j, "op-1", OP_ROTATE_KEYS, NOW_MS);
    s->spec.snapshots = true;
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_OPENS, STAGE_PREPARE);
    look(log, j, s, NOW_MS, out);
    s->rotation.op.phase = PHASE_APPEND; /* the backup was too quick to be seen */
    fixture_order(s, 0, ORDER_APPLY, ORDER_RESTARTING);
    look(log, j, s, NOW_MS + 1500, out);
    fixture_at_target(s, 0);
    fixture_order(s, 0, ORDER_APPLY, ORDER_DONE);
    fixture_order(s, 1, ORDER_APPLY, ORDER_FAILED);
    s->servers[2].reports = false;
    look(log, j, s, NOW_MS + 3000, out);
    fixture_order(s, 1, ORDER_APPLY, ORDER_DONE);
    text_copy(s->rotation.op.why, CLUSTER_TEXT_MAX, "a server is silent: s3 \"\033[31m\"");
    text_copy(s->rotation.op.on, CLUSTER_NAME_MAX, "s3");
    look(log, j, s, NOW_MS + 30000, out);
}

static void test_events(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(3, "s");
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
    _cleanup_free_ struct progress_log *log = calloc(1, sizeof(*log));
    struct error err = ERROR_INIT;
    struct junit j;
    add_event("accepted", NULL, &out);
    run(s, &j, &out);
    struct cluster_proof *p = fixture_proof(s, PHASE_READABLE, PROOF_UNMADE, "canary");
    text_copy(p->why, sizeof(p->why), "s3 does not answer");
    s->rotation.op.phase = PHASE_READABLE;
    look(log, &j, s, NOW_MS + 31000, &out);
    s->rotation.op.phase = PHASE_REWRITE;
    s->has_reencrypt = true;
    s->reencrypt = (struct cluster_reencrypt){
        .state = REENCRYPT_RUNNING, .done = 1234, .total = 5000, .rate = 812, .updated_ms = NOW_MS};
    text_copy(s->reencrypt.operation, CLUSTER_ID_MAX, "op-1");
    look(log, &j, s, NOW_MS + 40000, &out);
    static const char *const names[] = {"paused", "resumed", "halted", "finished", "aborted", "detached"};
    for (size_t i = 0; i < array_len(names); i++)
        add_event(names[i], "a reason", &out);
    assert_int_equal(render_result(EXIT_HALTED, "rotate-keys halted: \"x\"\n", "op-1", &out, &err), 0);
    assert_int_equal(render_result(EXIT_UNREACHABLE, "nobody answers", "", &out, &err), 0);
    fixture_compare("events/rotation.jsonl", &out);
}

static void render(const struct junit *j, int code, const char *message, struct buf *out)
{
    struct error err = ERROR_INIT;
    if (junit_render(j, code, message, NOW_MS + 60000, out, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_junit(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(3, "s");
    _cleanup_(buf_freep) struct buf events = BUF_INIT(65536);
    _cleanup_(buf_freep) struct buf halted = BUF_INIT(65536);
    _cleanup_(buf_freep) struct buf finished = BUF_INIT(65536);
    struct junit j;
    run(s, &j, &events);
    render(&j, EXIT_HALTED, "halted: <s3> & \"s2\" 'x' \033[31m \xff\xfe \xe2\x80\xa6 \xef\xbf\xbf\n",
           &halted);
    fixture_compare("junit/halted.xml", &halted);
    s->rotation.op.phase = PHASE_DONE;
    s->rotation.op.state = OP_STATE_FINISHED;
    s->rotation.op.before = 1;
    junit_look(&j, s, NOW_MS + 50000);
    render(&j, EXIT_DONE, "keys rotated, reencryption finished", &finished);
    fixture_compare("junit/finished.xml", &finished);
}

static void test_junit_without_phases(void **state)
{
    (void)state;
    struct junit j;
    _cleanup_(buf_freep) struct buf refused = BUF_INIT(65536);
    _cleanup_(buf_freep) struct buf told = BUF_INIT(65536);
    junit_begin(&j, OP_PREPARE, true, NOW_MS);
    render(&j, EXIT_SERVER, "s2 is not ready", &refused);
    fixture_compare("junit/refused.xml", &refused);
    junit_begin(&j, OP_PREPARE, false, NOW_MS);
    render(&j, EXIT_DONE, "", &told);
    assert_non_null(strstr(buf_str(&told), "tests=\"1\" failures=\"0\""));
}

/* However often a phase is entered: bounded, and what is under way at the end is the one that failed. */
static void test_junit_is_bounded(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(1, "s");
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
    struct junit j;
    fixture_operation(s, OP_REENCRYPT, PHASE_REWRITE, STAGE_ROTATE);
    junit_begin(&j, OP_REENCRYPT, false, NOW_MS);
    for (int i = 0; i < 200; i++) {
        s->rotation.op.phase = i % 2 ? PHASE_VERIFY : PHASE_REWRITE;
        junit_look(&j, s, NOW_MS + i);
    }
    assert_int_equal(j.cases_count, JUNIT_CASES_MAX);
    render(&j, EXIT_TIMEOUT, "late", &out);
    assert_non_null(strstr(buf_str(&out), "failures=\"1\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_junit),
        cmocka_unit_test(test_junit_without_phases),
        cmocka_unit_test(test_junit_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
