/* The program over a real etcd, with the test in the coordinator's place: what it asks for, and what it makes
 * of the answers and of the records that follow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>
#include <store/store.h>

#include "etcd_fixture.h"

#define DEADLINE_MS 5000
#define WAIT_MS     20000
#define TOKEN       "a token of this very cluster"
#define HASH        "1111111111111111111111111111111111111111111111111111111111111111"
#define OTHER_HASH  "2222222222222222222222222222222222222222222222222222222222222222"
#define OUTPUT_MAX  65536
#define WORDS_MAX   12

extern char **environ;

static struct etcd_fixture *fixture;
static struct store *store;
static struct cluster_snapshot *seen;
static char config_path_text[256];
static pid_t running; /* the program, while it runs: it ends with the test, however that ends */

/* --- the program --- */

struct program {
    pid_t pid;
    int code;
    char out[256], err[256];
    struct buf out_text, err_text;
};

/* Also the one of a test that failed. */
static void end_running(void)
{
    if (running <= 0)
        return;
    kill(running, SIGKILL);
    waitpid(running, NULL, 0);
    running = 0;
}

static void start(struct program *p, const char *first, ...)
{
    end_running();
    char *argv[WORDS_MAX + 2] = {(char *)"secrets-encrypt"};
    posix_spawn_file_actions_t actions;
    va_list ap;
    size_t n = 1;
    va_start(ap, first);
    for (const char *word = first; word && n <= WORDS_MAX; word = va_arg(ap, const char *))
        argv[n++] = (char *)word;
    va_end(ap);
    *p = (struct program){.out_text = BUF_INIT(OUTPUT_MAX), .err_text = BUF_INIT(OUTPUT_MAX)};
    text_copy(p->out, sizeof(p->out), etcd_fixture_path(fixture, "out"));
    text_copy(p->err, sizeof(p->err), etcd_fixture_path(fixture, "err"));
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(
        posix_spawn_file_actions_addopen(&actions, 1, p->out, O_WRONLY | O_CREAT | O_TRUNC, 0600), 0);
    assert_int_equal(
        posix_spawn_file_actions_addopen(&actions, 2, p->err, O_WRONLY | O_CREAT | O_TRUNC, 0600), 0);
    assert_int_equal(posix_spawn(&p->pid, SECRETS_ENCRYPT_PROGRAM, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    running = p->pid;
}

static void finish(struct program *p)
{
    int status = 0;
    int64_t end = clock_mono_ms() + WAIT_MS;
    while (waitpid(p->pid, &status, WNOHANG) == 0) {
        if (clock_mono_ms() > end) {
            kill(p->pid, SIGKILL);
            end = INT64_MAX;
        }
        usleep(20000);
    }
    running = 0;
    p->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    assert_int_equal(file_read(p->out, OUTPUT_MAX, &p->out_text, NULL), 0);
    assert_int_equal(file_read(p->err, OUTPUT_MAX, &p->err_text, NULL), 0);
}

static void expect(struct program *p, int code, const char *out, const char *err)
{
    finish(p);
    if (p->code != code || strcmp(buf_str(&p->out_text), out) != 0 || !strstr(buf_str(&p->err_text), err))
        fail_msg("exit %d\nstdout: %s\nstderr: %s", p->code, buf_str(&p->out_text), buf_str(&p->err_text));
    buf_free(&p->out_text);
    buf_free(&p->err_text);
}

/* Until the file holds the text. */
static void wait_line(const char *file, const char *text)
{
    int64_t end = clock_mono_ms() + WAIT_MS;
    for (;;) {
        _cleanup_(buf_freep) struct buf told = BUF_INIT(OUTPUT_MAX);
        assert_int_equal(file_read(file, OUTPUT_MAX, &told, NULL), 0);
        if (strstr(buf_str(&told), text))
            return;
        if (clock_mono_ms() > end)
            fail_msg("it does not say '%s': %s", text, buf_str(&told));
        usleep(20000);
    }
}

static void wait_told(const struct program *p, const char *text)
{
    wait_line(p->err, text);
}

/* --- the coordinator's part --- */

static void put(enum cluster_key key, const char *name, const struct buf *body)
{
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(store_etcd(store));
    assert_int_equal(store_txn_put(store, t, key, name, body, 0, NULL), 0);
    assert_int_equal(etcd_txn_commit(t, DEADLINE_MS, NULL, NULL), 0);
}

#define PUT(type, key, name, value)                                                                          \
    do {                                                                                                     \
        _cleanup_(buf_freep) struct buf put_body = BUF_INIT(1024 * 1024);                                    \
        struct error put_err = ERROR_INIT;                                                                   \
        if (cluster_##type##_encode(value, &put_body, &put_err) < 0)                                         \
            fail_msg("%s", put_err.text);                                                                    \
        put(key, name, &put_body);                                                                           \
    } while (0)

static struct cluster_request await_request(void)
{
    int64_t end = clock_mono_ms() + WAIT_MS;
    do {
        assert_int_equal(store_snapshot(store, DEADLINE_MS, seen, NULL), 0);
        if (seen->requests_count > 0)
            return seen->requests[0].request;
        usleep(20000);
    } while (clock_mono_ms() < end);
    fail_msg("no request came");
    return (struct cluster_request){0};
}

static void refuse(struct cluster_request r, enum cluster_cause cause, const char *why)
{
    r.answer = ANSWER_REFUSED;
    r.cause = cause;
    text_copy(r.why, sizeof(r.why), why);
    PUT(request, CLUSTER_KEY_REQUEST, r.id, &r);
}

static void answer(struct cluster_request r, enum answer a, const char *operation, const char *why)
{
    r.answer = a;
    text_copy(r.operation, sizeof(r.operation), operation);
    text_copy(r.why, sizeof(r.why), why);
    PUT(request, CLUSTER_KEY_REQUEST, r.id, &r);
}

static struct cluster_rotation rotation_of(const char *id, enum operation_kind kind,
                                           enum operation_state state)
{
    struct cluster_rotation r = {.generation = 1, .issued = 1};
    text_copy(r.hash, sizeof(r.hash), HASH);
    text_copy(r.op.id, sizeof(r.op.id), id);
    text_copy(r.op.requested_by, sizeof(r.op.requested_by), "root@s1");
    r.op.kind = kind;
    r.op.state = state;
    r.op.phase = state == OP_STATE_FINISHED ? PHASE_DONE : PHASE_APPEND;
    r.op.attempt = 1;
    r.op.started_ms = clock_wall_ms();
    return r;
}

static void put_rotation(const char *id, enum operation_kind kind, enum operation_state state)
{
    struct cluster_rotation r = rotation_of(id, kind, state);
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
}

static void put_report(const char *hash, int64_t order, enum order_state state, const char *why)
{
    struct cluster_report r = {.order_id = order,
                               .order_state = state,
                               .ready = true,
                               .loaded_known = true,
                               .generation = 1,
                               .time_ms = clock_wall_ms()};
    text_copy(r.server, sizeof(r.server), "s2");
    text_copy(r.hash, sizeof(r.hash), hash);
    text_copy(r.loaded_hash, sizeof(r.loaded_hash), hash);
    text_copy(r.order_why, sizeof(r.order_why), why);
    PUT(report, CLUSTER_KEY_REPORT, "s2", &r);
}

static void put_order(int64_t id, const char *operation)
{
    struct cluster_order o = {.id = id, .kind = ORDER_REPAIR, .generation = 1};
    text_copy(o.operation, sizeof(o.operation), operation);
    text_copy(o.hash, sizeof(o.hash), HASH);
    PUT(order, CLUSTER_KEY_ORDER, "s2", &o);
}

/* --- the tests --- */

static void test_pause_keeps_whose_the_restarts_are(void **state)
{
    (void)state;
    struct program p;
    struct cluster_rotation r = rotation_of("op-1", OP_ROTATE, OP_STATE_RUNNING);
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r); /* restart is false: --no-restart */
    start(&p, "pause", NULL);
    struct cluster_request q = await_request();
    assert_int_equal(q.kind, OP_PAUSE);
    assert_false(q.restart);
    answer(q, ANSWER_ACCEPTED, "op-1", "");
    expect(&p, 0, "rotate paused\n", "`secrets-encrypt resume` lets it go on");
}

static void test_resume_follows_when_asked(void **state)
{
    (void)state;
    struct program p;
    put_rotation("op-1", OP_ROTATE, OP_STATE_PAUSED);
    start(&p, "resume", NULL);
    struct cluster_request q = await_request();
    assert_int_equal(q.kind, OP_RESUME);
    answer(q, ANSWER_RESUMED, "op-1", "");
    expect(&p, 0, "rotate resumed\n", "");

    put_rotation("op-1", OP_ROTATE, OP_STATE_PAUSED);
    start(&p, "resume", "--wait", NULL);
    q = await_request();
    put_rotation("op-1", OP_ROTATE, OP_STATE_RUNNING);
    answer(q, ANSWER_RESUMED, "op-1", "");
    wait_told(&p, "begins");
    put_rotation("op-1", OP_ROTATE, OP_STATE_FINISHED);
    expect(&p, 0, "rotate completed successfully\n", "");
}

static void test_refusal(void **state)
{
    (void)state;
    struct program p;
    start(&p, "keys", "restore", "aescbckey:gone", NULL);
    struct cluster_request q = await_request();
    assert_int_equal(q.kind, OP_RESTORE_KEY);
    assert_string_equal(q.key, "aescbckey:gone");
    refuse(q, CAUSE_GATE, "aescbckey:gone is not in escrow");
    expect(&p, 5, "", "secrets-encrypt: aescbckey:gone is not in escrow\n");
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
        start(&p, "prepare", "-o", "json", NULL);
        refuse(await_request(), cases[i].cause, "no");
        expect(&p, cases[i].code, line, "secrets-encrypt: no\n");
    }
}

static void test_follower_says_paused_and_waits(void **state)
{
    (void)state;
    struct program p;
    put_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    start(&p, "rotate-keys", NULL);
    answer(await_request(), ANSWER_ACCEPTED, "op-1", "");
    wait_told(&p, "begins");
    put_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_PAUSED);
    wait_told(&p, "rotate-keys is paused");
    put_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    wait_told(&p, "rotate-keys goes on");
    put_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_FINISHED);
    expect(&p, 0, "keys rotated, reencryption finished\n", "");
}

static void test_follower_of_what_was_aborted(void **state)
{
    (void)state;
    struct program p;
    put_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    start(&p, "rotate-keys", NULL);
    answer(await_request(), ANSWER_ACCEPTED, "op-1", "");
    wait_told(&p, "begins");
    struct cluster_rotation r = rotation_of("op-2", OP_ABORT, OP_STATE_RUNNING);
    text_copy(r.op.aborts, sizeof(r.op.aborts), "op-1");
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
    expect(&p, 1, "", "rotate-keys was aborted by root@s1: ");
}

static void test_abort(void **state)
{
    (void)state;
    struct program p;
    put_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_HALTED);
    start(&p, "abort", NULL);
    struct cluster_request q = await_request();
    assert_int_equal(q.kind, OP_ABORT);
    assert_true(q.restart);
    answer(q, ANSWER_ACCEPTED, "op-2", "");
    expect(&p, 0, "abort started\n", "");

    start(&p, "abort", "--wait", NULL);
    q = await_request();
    put_rotation("op-3", OP_ABORT, OP_STATE_RUNNING);
    answer(q, ANSWER_ACCEPTED, "op-3", "");
    wait_told(&p, "begins");
    put_rotation("op-3", OP_ABORT, OP_STATE_FINISHED);
    expect(&p, 0, "aborted: every server is back at the config from before\n", "");

    put_rotation("op-4", OP_ABORT, OP_STATE_RUNNING);
    start(&p, "abort", "--wait", "--timeout", "2", NULL);
    answer(await_request(), ANSWER_ACCEPTED, "op-4", "");
    expect(&p, 6, "", "abort is not finished within --timeout 2");
}

static void test_throttle(void **state)
{
    (void)state;
    struct program p;
    put_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    start(&p, "throttle", "1500", NULL);
    struct cluster_request q = await_request();
    assert_int_equal(q.kind, OP_THROTTLE);
    assert_int_equal(q.max_rate, 1500);
    answer(q, ANSWER_ACCEPTED, "op-1", "");
    expect(&p, 0, "values are rewritten at 1,500 a second at most\n", "");
    start(&p, "throttle", "fast", NULL);
    expect(&p, 2, "", "'fast' is not a whole number");
}

static void test_engine(void **state)
{
    (void)state;
    struct program p;
    put_rotation("op-1", OP_ROTATE, OP_STATE_FINISHED);
    start(&p, "reencrypt", "--engine", "datastore", "--offline", "--max-rate", "9", "--no-wait", NULL);
    struct cluster_request q = await_request();
    assert_string_equal(q.engine, "datastore");
    assert_true(q.offline);
    assert_int_equal(q.max_rate, 9);
    refuse(q, CAUSE_SERVER, "not now");
    expect(&p, 4, "", "not now");
}

static void test_repair(void **state)
{
    (void)state;
    struct program p;
    put_rotation("op-1", OP_ROTATE, OP_STATE_FINISHED);
    put_report(OTHER_HASH, 0, ORDER_NONE, "");
    start(&p, "repair", "s2", "--wait", NULL);
    struct cluster_request q = await_request();
    assert_int_equal(q.kind, OP_REPAIR);
    assert_string_equal(q.server, "s2");
    put_order(7, q.id);
    answer(q, ANSWER_ACCEPTED, "", "");
    wait_told(&p, "s2: the order is given");
    put_report(OTHER_HASH, 7, ORDER_TAKEN, "");
    wait_told(&p, "s2: at work");
    put_report(HASH, 7, ORDER_DONE, "");
    expect(&p, 0, "s2 repaired\n", "");

    put_report(OTHER_HASH, 7, ORDER_DONE, "");
    start(&p, "repair", "s2", "--wait", NULL);
    q = await_request();
    put_order(8, q.id);
    answer(q, ANSWER_ACCEPTED, "", "");
    wait_told(&p, "s2: the order is given");
    put_report(OTHER_HASH, 8, ORDER_FAILED, "not ready within 180 s");
    expect(&p, 1, "", "secrets-encrypt: the repair of s2 failed: not ready within 180 s\n");

    start(&p, "repair", "s22", NULL);
    expect(&p, 1, "", "s22 is none of the cluster's servers; did you mean s2?\n");
}

/* --- wait --- */

static void test_wait_attaches(void **state)
{
    (void)state;
    struct program p;
    put_rotation("op-7", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    start(&p, "wait", NULL);
    wait_told(&p, "begins");
    put_rotation("op-7", OP_ROTATE_KEYS, OP_STATE_FINISHED);
    expect(&p, 0, "keys rotated, reencryption finished\n", "");

    start(&p, "wait", "op-8", NULL); /* another one's success is not its own */
    expect(&p, 1, "", "operation op-8 is not the one that runs or ran last");

    put_rotation("op-9", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    start(&p, "wait", "op-9", "--timeout", "1", NULL);
    expect(&p, 6, "", "rotate-keys is not finished within --timeout 1: it goes on; `secrets-encrypt wait`");
}

static void test_wait_tells_how_it_ended(void **state)
{
    (void)state;
    struct program p;
    struct cluster_rotation r = rotation_of("op-1", OP_PREPARE, OP_STATE_FINISHED);
    r.op.ended_ms = clock_wall_ms() - 23 * 3600 * 1000LL;
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
    start(&p, "wait", NULL);
    expect(&p, 0, "prepare completed successfully\n", "");
    r.op.ended_ms -= 2 * 3600 * 1000LL;
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
    start(&p, "wait", NULL);
    expect(&p, 1, "", "no operation runs, and none has ended within the last 24 hours\n");

    r = rotation_of("op-2", OP_ROTATE_KEYS, OP_STATE_HALTED);
    text_copy(r.op.why, sizeof(r.op.why), "s2 went away");
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
    start(&p, "wait", NULL);
    expect(&p, 7, "", "rotate-keys halted: s2 went away; ");

    r = rotation_of("op-3", OP_ABORT, OP_STATE_FINISHED);
    r.op.ended_ms = clock_wall_ms();
    text_copy(r.op.aborts, sizeof(r.op.aborts), "op-2");
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
    start(&p, "wait", "op-2", NULL);
    expect(&p, 1, "", "operation op-2 was aborted by root@s1: ");
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
    put_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    start(&p, "rotate-keys", "-o", "json", "--junit", file, NULL);
    answer(await_request(), ANSWER_ACCEPTED, "op-1", "");
    wait_line(p.out, "\"phase\"");
    put_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_PAUSED);
    wait_line(p.out, "\"paused\"");
    put_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    wait_line(p.out, "\"resumed\"");
    struct cluster_rotation r = rotation_of("op-1", OP_ROTATE_KEYS, OP_STATE_HALTED);
    text_copy(r.op.why, sizeof(r.op.why), "s2 <away>");
    r.op.cause = CAUSE_SERVER;
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
    finish(&p);
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
    put_rotation("op-1", OP_ROTATE_KEYS, OP_STATE_RUNNING);
    start(&p, "wait", "--junit", file, "-o", "json", NULL);
    wait_line(p.out, "\"phase\"");
    assert_int_equal(store_snapshot(store, DEADLINE_MS, seen, NULL), 0);
    int64_t mod = seen->rotation_mod;
    assert_int_equal(kill(p.pid, SIGINT), 0);
    finish(&p);
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
    put_rotation("op-1", OP_ROTATE, OP_STATE_RUNNING);
    start(&p, "rotate", "--quiet", NULL);
    answer(await_request(), ANSWER_ACCEPTED, "op-1", "");
    put_rotation("op-1", OP_ROTATE, OP_STATE_FINISHED);
    finish(&p);
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
    put_rotation("op-1", OP_ROTATE, OP_STATE_HALTED);
    int64_t before = etcd_revision();
    for (size_t i = 0; i < array_len(commands); i++) {
        struct program p;
        start(&p, commands[i], "--dry-run", "-o", "json", NULL);
        finish(&p);
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
    put_rotation("op-1", OP_ROTATE, OP_STATE_HALTED);
    start(&p, "status", "--check", "-o", "json", NULL);
    finish(&p);
    assert_int_equal(p.code, 7);
    assert_non_null(
        strstr(buf_str(&p.out_text), "\"check\": {\n\t\t\"exit\": 7,\n\t\t\"cause\": \"halted\""));
    buf_free(&p.out_text);
    buf_free(&p.err_text);
    put_rotation("op-1", OP_ROTATE, OP_STATE_FINISHED);
    start(&p, "status", "--check", NULL); /* s1 has no agent here */
    finish(&p);
    assert_int_equal(p.code, 4);
    assert_non_null(strstr(buf_str(&p.err_text), "secrets-encrypt: s1: "));
    buf_free(&p.out_text);
    buf_free(&p.err_text);
    start(&p, "status", NULL);
    finish(&p);
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
    start(&p, "keys", NULL);
    expect(&p, 0,
           "Name  Provider  State   Age      Since    Writes  Values       Escrow until\n"
           "k1    aescbc    active  unknown  unknown  1       not counted\n",
           "");
}

static void test_explain_and_status_of_a_halt(void **state)
{
    (void)state;
    struct program p;
    struct cluster_rotation r = rotation_of("op-1", OP_ROTATE_KEYS, OP_STATE_HALTED);
    text_copy(r.op.why, sizeof(r.op.why), "s2 went away");
    PUT(rotation, CLUSTER_KEY_ROTATION, NULL, &r);
    start(&p, "explain", NULL);
    finish(&p);
    assert_int_equal(p.code, 0);
    assert_non_null(strstr(buf_str(&p.out_text), "\nHalted because: s2 went away\n"));
    buf_free(&p.out_text);
    buf_free(&p.err_text);
    start(&p, "status", NULL);
    finish(&p);
    assert_int_equal(p.code, 0);
    assert_null(strstr(buf_str(&p.out_text), "halted")); /* K3s's text */
    assert_non_null(strstr(buf_str(&p.err_text), "rotate-keys is halted: s2 went away; "));
    buf_free(&p.out_text);
    buf_free(&p.err_text);
}

/* --- */

static void write_config(void)
{
    char text[1024], token[256];
    text_copy(token, sizeof(token), etcd_fixture_path(fixture, "token"));
    text_copy(config_path_text, sizeof(config_path_text), etcd_fixture_path(fixture, "c.yaml"));
    snprintf(text, sizeof(text),
             "cluster: demo\nservers: [{name: s1, api: 'https://127.0.0.1:1'}, {name: s2, api: "
             "'https://127.0.0.1:2'}]\ntoken_file: %s\nstate_store: {endpoints: ['%s']}\n",
             token, etcd_fixture_endpoint(fixture, 0));
    assert_int_equal(file_write_atomic(token, TOKEN, strlen(TOKEN), 0600, NULL), 0);
    assert_int_equal(file_write_atomic(config_path_text, text, strlen(text), 0600, NULL), 0);
    setenv("SECRETS_ENCRYPT_CONFIG", config_path_text, 1);
}

static int set_up(void **state)
{
    (void)state;
    struct etcd_fixture_options options = {.members = 1};
    if (etcd_fixture_start(&options, &fixture) < 0)
        return -1;
    write_config();
    struct error err = ERROR_INIT;
    struct config *config = NULL;
    seen = calloc(1, sizeof(*seen));
    if (!seen || config_load(config_path_text, CONFIG_FOR_CLI, &config, &err) < 0 ||
        store_open(config, &store, &err) < 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    config_free(config);
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(path, "demo", CLUSTER_KEY_LEADER, NULL);
    return etcd_put(store_etcd(store), path, "s1", 2, 0, DEADLINE_MS, NULL, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    end_running();
    store_free(store);
    free(seen);
    etcd_fixture_free(fixture);
    return 0;
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
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
