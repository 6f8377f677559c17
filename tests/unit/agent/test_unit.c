/* What the drivers systemd and openrc make of what the service managers say. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

#include <agent/openrc_words.h>
#include <agent/unit.h>
#include <base/cleanup.h>
#include <base/text.h>

#include "../../../agent/service/systemd.h"

#define UNIT      "kube-apiserver.service"
#define LAST_LINE 400 /* of a command's output, as the agent shows it */

/* A unit that was up before its restart. */
static const struct unit_state before = {.load_state = "loaded",
                                         .active_state = "active",
                                         .sub_state = "running",
                                         .result = "success",
                                         .type = "simple",
                                         .main_pid = 100,
                                         .condition = 1,
                                         .left_us = 1000,
                                         .main_us = 999,
                                         .limit_burst = 5};

struct row {
    const char *job;
    struct unit_state after; /* what is 0 is filled in where no row means it; -1 stands for 0 */
    int code;
    const char *text[3]; /* all of them are in the line */
};

static const struct row rows[] = {
    {"done", {.active_state = "active", .sub_state = "running", .main_pid = 101}, 0, {0}},
    {"", {.active_state = "active", .sub_state = "running", .main_pid = 101}, 0, {0}},
    {"done", {.active_state = "reloading", .sub_state = "reload", .main_pid = 101}, 0, {0}},
    {"done", {.active_state = "active", .sub_state = "exited", .type = "oneshot"}, 0, {0}},

    {"failed",
     {.active_state = "failed",
      .sub_state = "failed",
      .result = "exit-code",
      .main_code = CLD_EXITED,
      .main_status = 1},
     ERR_IO,
     {"failed (failed), Result=exit-code: code=exited, status=1/FAILURE",
      "journalctl -u kube-apiserver -n 20"}},
    {"failed",
     {.active_state = "failed",
      .sub_state = "failed",
      .result = "exit-code",
      .main_code = CLD_EXITED,
      .main_status = 77},
     ERR_IO,
     {"code=exited, status=77;"}},
    {"done",
     {.active_state = "failed",
      .sub_state = "failed",
      .result = "exit-code",
      .main_code = CLD_EXITED,
      .main_status = 203},
     ERR_IO,
     {"status=203/EXEC"}},
    {"failed",
     {.active_state = "failed",
      .sub_state = "failed",
      .result = "signal",
      .main_code = CLD_KILLED,
      .main_status = SIGSEGV},
     ERR_IO,
     {"Result=signal", "code=killed, status=11/SEGV"}},
    {"failed",
     {.active_state = "failed",
      .sub_state = "failed",
      .result = "core-dump",
      .main_code = CLD_DUMPED,
      .main_status = SIGABRT},
     ERR_IO,
     {"Result=core-dump", "code=dumped, status=6/ABRT"}},
    {"failed",
     {.active_state = "failed",
      .sub_state = "failed",
      .result = "timeout",
      .main_code = CLD_KILLED,
      .main_status = SIGTERM},
     ERR_IO,
     {"Result=timeout", "TimeoutStartSec", "raise the limit"}},
    {"failed",
     {.active_state = "failed", .sub_state = "failed", .result = "watchdog"},
     ERR_IO,
     {"WatchdogSec"}},
    {"failed",
     {.active_state = "failed", .sub_state = "failed", .result = "oom-kill"},
     ERR_IO,
     {"lack of memory"}},
    {"failed", {.active_state = "failed", .sub_state = "failed", .result = "protocol"}, ERR_IO, {"READY=1"}},
    {"failed",
     {.active_state = "failed", .sub_state = "failed", .result = "resources", .left_us = 1000},
     ERR_IO,
     {"Result=resources"}},
    {"done",
     {.active_state = "activating",
      .sub_state = "auto-restart",
      .result = "exit-code",
      .main_code = CLD_EXITED,
      .main_status = 1,
      .restarts = 3},
     ERR_IO,
     {"activating (auto-restart), Result=exit-code", "started again 3 times"}},
    {"failed",
     {.active_state = "failed",
      .sub_state = "failed",
      .result = "exit-code",
      .main_code = CLD_EXITED,
      .main_us = 999},
     ERR_IO,
     {"Result=exit-code: its main process was not started (ExecStartPre"}},
    {"failed",
     {.active_state = "failed",
      .sub_state = "failed",
      .result = "exit-code",
      .main_code = CLD_EXITED,
      .main_us = -1},
     ERR_IO,
     {"Result=exit-code: its main process was not started (ExecStartPre"}},
    {"failed",
     {.active_state = "activating", .sub_state = "auto-restart", .result = "timeout", .restarts = 1},
     ERR_IO,
     {"activating (auto-restart), Result=timeout", "started again 1 time;"}},
    {"failed",
     {.active_state = "active", .sub_state = "running", .main_pid = 105, .restarts = 1},
     ERR_IO,
     {"its start failed and systemd started it again", "NRestarts=1"}},
    {"done",
     {.active_state = "inactive", .sub_state = "dead", .result = "success", .main_code = CLD_EXITED},
     ERR_IO,
     {"inactive (dead), Result=success: code=exited, status=0/SUCCESS"}},
    {"done",
     {.active_state = "inactive", .sub_state = "dead", .result = "success", .condition = -1},
     ERR_STATE,
     {"not started", "Condition"}},

    {"failed",
     {.active_state = "failed", .sub_state = "failed", .result = "start-limit-hit"},
     ERR_STATE,
     {"start-limit-hit: start request repeated too quickly (StartLimitBurst=5)",
      "`systemctl reset-failed kube-apiserver`"}},
    /* Used up by its own restarts: Result has the older word, but this start never began. */
    {"failed",
     {.active_state = "failed", .sub_state = "failed", .result = "exit-code", .left_us = 1000},
     ERR_STATE,
     {"start-limit-hit"}},

    {"dependency",
     {.active_state = "inactive", .sub_state = "dead"},
     ERR_STATE,
     {"job dependency", "requires failed"}},
    {"canceled", {.active_state = "inactive", .sub_state = "dead"}, ERR_CANCELED, {"job canceled"}},
    {"timeout",
     {.active_state = "inactive", .sub_state = "dead"},
     ERR_TIMEOUT,
     {"job timeout", "JobTimeoutSec"}},
    {"skipped", {.active_state = "inactive", .sub_state = "dead"}, ERR_STATE, {"job skipped"}},
    {"assert", {.active_state = "inactive", .sub_state = "dead"}, ERR_STATE, {"job assert"}},
    {"canceled",
     {.active_state = "active", .sub_state = "running", .main_pid = 100},
     ERR_CANCELED,
     {"job canceled"}},

    {"failed",
     {.load_state = "masked",
      .load_error = "Unit kube-apiserver.service is masked.",
      .active_state = "inactive"},
     ERR_STATE,
     {"masked: Unit kube-apiserver.service is masked; `systemctl unmask kube-apiserver`"}},
};

static void assert_line(const struct error *err, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count && words[i]; i++)
        if (!strstr(err->text, words[i]))
            fail_msg("no '%s' in: %s", words[i], err->text);
    if (strlen(err->text) > LAST_LINE)
        fail_msg("longer than what is shown: %s", err->text);
}

static void test_judge(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct error err = ERROR_INIT;
        struct unit_state after = rows[i].after;
        if (!after.load_state[0])
            memcpy(after.load_state, "loaded", sizeof("loaded"));
        after.left_us = after.left_us ? after.left_us : 2000;
        after.main_us = after.main_us < 0 ? 0 : after.main_us ? after.main_us : 1999;
        after.condition = after.condition < 0 ? 0 : 1;
        after.limit_burst = 5;
        int rc = unit_judge(UNIT, rows[i].job, &before, &after, &err);
        if (rc != rows[i].code)
            fail_msg("row %zu: %d and not %d: %s", i, rc, rows[i].code, err.text);
        assert_line(&err, rows[i].text, array_len(rows[i].text));
    }
}

static void test_judge_load(void **state)
{
    (void)state;
    static const struct {
        struct unit_state u;
        int code;
        const char *text[2];
    } loads[] = {
        {{.load_state = "loaded"}, 0, {0}},
        {{.load_state = "merged"}, 0, {0}},
        {{.load_state = "masked"},
         ERR_STATE,
         {UNIT ": masked: it is masked; `systemctl unmask kube-apiserver`"}},
        {{.load_state = "not-found"},
         ERR_NOT_FOUND,
         {UNIT ": not-found: not found; set service.unit", "(now: kube-apiserver)"}},
        {{.load_state = "bad-setting", .load_error = "Unit x has a bad unit file setting."},
         ERR_INVALID,
         {"bad unit file setting; `systemd-analyze verify " UNIT "`"}},
        {{.load_state = "error"}, ERR_INVALID, {"failed to load"}},
        {{.load_state = "loaded", .no_start = 1}, ERR_STATE, {"RefuseManualStart=yes"}},
        {{.load_state = "loaded", .no_stop = 1}, ERR_STATE, {"RefuseManualStop=yes"}},
    };
    for (size_t i = 0; i < array_len(loads); i++) {
        struct error err = ERROR_INIT;
        assert_int_equal(unit_judge_load(UNIT, &loads[i].u, &err), loads[i].code);
        assert_line(&err, loads[i].text, array_len(loads[i].text));
    }
}

static void test_refusal(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    assert_int_equal(
        unit_judge_refusal(UNIT, "org.freedesktop.systemd1.UnitMasked", "Unit x is masked.", &err),
        ERR_STATE);
    assert_string_equal(err.text,
                        UNIT ": systemd refuses the restart: Unit x is masked; `systemctl unmask` it, or set "
                             "service.unit to another one");
    assert_int_equal(unit_judge_refusal(UNIT, "org.freedesktop.DBus.Error.AccessDenied", "no", &err),
                     ERR_DENIED);
    assert_int_equal(unit_judge_refusal(UNIT, "org.example.New", "something new", &err), ERR_IO);
    assert_string_equal(err.text, UNIT ": systemd refuses the restart: something new");
    assert_int_equal(unit_judge_refusal(UNIT, "org.example.New", "", &err), ERR_IO);
    assert_string_equal(err.text, UNIT ": systemd refuses the restart: org.example.New");
}

static void test_steady(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct unit_state now = before;
    assert_int_equal(unit_judge_steady(UNIT, &before, &now, &err), 0);
    now.main_pid = 101;
    now.restarts = 1;
    assert_int_equal(unit_judge_steady(UNIT, &before, &now, &err), ERR_IO);
    assert_string_equal(err.text,
                        UNIT ": its main process 100 ended at once and systemd started it again "
                             "(NRestarts=1); `journalctl -u kube-apiserver -n 20` has its last words");
    memcpy(now.active_state, "failed", sizeof("failed"));
    assert_int_equal(unit_judge_steady(UNIT, &before, &now, &err), ERR_IO);
    assert_non_null(strstr(err.text, "failed (running)"));
    assert_true(unit_needs_watching(&before));
    assert_false(unit_needs_watching(&(struct unit_state){.type = "notify", .main_pid = 100}));
    assert_false(unit_needs_watching(&(struct unit_state){.type = "simple"}));
}

static void test_late(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    const struct unit_state now = {.active_state = "deactivating", .sub_state = "stop-sigterm"};
    assert_int_equal(unit_judge_late(UNIT, &now, 300, &err), ERR_TIMEOUT);
    assert_non_null(strstr(err.text, "still deactivating (stop-sigterm) after 300 s (service.timeout)"));
}

static void test_parse(void **state)
{
    (void)state;
    struct unit_state u = {.main_pid = 7};
    unit_parse(
        &u, "Type=simple\nMainPID=4242\nResult=success\nNRestarts=2\nExecMainCode=1\nExecMainStatus=203\n"
            "LoadState=masked\nLoadError=org.freedesktop.systemd1.UnitMasked \"Unit x.service is masked.\"\n"
            "ActiveState=active\nSubState=running\nConditionResult=yes\nRefuseManualStop=no\n"
            "InactiveExitTimestampMonotonic=123456789012\nStartLimitBurst=5\nUnknown=1\n=\nno equals sign");
    assert_string_equal(u.type, "simple");
    assert_int_equal(u.main_pid, 4242);
    assert_int_equal(u.restarts, 2);
    assert_int_equal(u.main_code, CLD_EXITED);
    assert_int_equal(u.main_status, 203);
    assert_string_equal(u.load_state, "masked");
    assert_string_equal(u.load_error, "Unit x.service is masked.");
    assert_string_equal(u.active_state, "active");
    assert_int_equal(u.condition, 1);
    assert_int_equal(u.no_stop, 0);
    assert_int_equal(u.left_us, 123456789012);
    unit_parse(&u, "");
    assert_int_equal(u.main_pid, 0);
    unit_parse(&u, "MainPID=many\nLoadError= \"\nLoadError=x\nSubState=\n");
    assert_int_equal(u.main_pid, 0);
    assert_string_equal(u.load_error, "");
}

/* The list for `systemctl show` is the table's. */
static void test_properties(void **state)
{
    (void)state;
    char name[64];
    int count = 0;
    for (const char *p = unit_properties(); *p; count++) {
        size_t len = strcspn(p, ",");
        assert_true(len > 0 && len < sizeof(name));
        memcpy(name, p, len);
        name[len] = 0;
        assert_int_not_equal(unit_type(name), 0);
        p += len + (p[len] == ',');
    }
    assert_int_equal(count, 17);
    assert_int_equal(unit_type("Description"), 0);
}

static void test_names(void **state)
{
    (void)state;
    char out[SERVICE_UNIT_MAX + 1], name[300];
    struct error err = ERROR_INIT;
    assert_int_equal(unit_name("kube-apiserver", out, &err), 0);
    assert_string_equal(out, UNIT);
    assert_int_equal(unit_name(UNIT, out, &err), 0);
    assert_string_equal(out, UNIT);
    assert_int_equal(unit_name("api@s1:2\\x2d", out, &err), 0);
    assert_string_equal(out, "api@s1:2\\x2d.service");
    static const char *const bad[] = {"", "-H", ".", "..", "a/b", "../x", "a b", "kube*", "a\n", "k\xc3\xa9"};
    for (size_t i = 0; i < array_len(bad); i++)
        assert_int_equal(unit_name(bad[i], out, &err), ERR_INVALID);
    memset(name, 'x', sizeof(name));
    name[247] = 0;
    assert_int_equal(unit_name(name, out, &err), 0);
    assert_int_equal(strlen(out), SERVICE_UNIT_MAX);
    name[247] = 'x';
    name[248] = 0;
    assert_int_equal(unit_name(name, out, &err), ERR_INVALID);
}

static void test_openrc_words(void **state)
{
    (void)state;
    char out[64];
    openrc_words("", out, sizeof(out));
    assert_string_equal(out, "");
    openrc_words(" * Stopping api ...\n [ ok ]\n * Starting api ...\n\n * no such etcd\n   [ !! ]\n"
                 " * ERROR: api failed to start\n",
                 out, sizeof(out));
    assert_string_equal(out, "no such etcd / ERROR: api failed to start");
    openrc_words("one\ntwo\n * three [ !! ]\nfour", out, sizeof(out));
    assert_string_equal(out, "two / three / four");
    openrc_words("one\na line that is much longer than there is room for in the text that it goes to\n", out,
                 20);
    assert_string_equal(out, "one / a line that i");
}

static void test_openrc_judge(void **state)
{
    (void)state;
    static const struct {
        int restart, status, code;
        const char *text;
    } cases[] = {
        {0, 0, 0, ""},
        {1, 3, ERR_IO,
         "api: stopped after rc-service restart: WORDS; mend the cause, then `rc-service api start`"},
        {0, 32, ERR_IO, "api: crashed"},
        {0, 8, ERR_TIMEOUT, "api: starting"},
        {0, 4, ERR_TIMEOUT, "api: stopping"},
        {0, 16, ERR_STATE, "api: inactive"},
        {1, 0, ERR_IO, "api: rc-service restart failed (exit status 1), it is started: WORDS"},
        {1, 99, ERR_IO, "api: rc-service restart ended with 1, status with 99: WORDS"},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        struct error err = ERROR_INIT;
        assert_int_equal(openrc_judge("api", cases[i].restart, cases[i].status, "WORDS", &err),
                         cases[i].code);
        assert_line(&err, &cases[i].text, 1);
    }
}

/* ---------- two ways to systemd ---------- */

static struct {
    int restarts[2], looks[2];
    int bus_ends_after; /* looks; then the bus is away */
} calls;

static int way_open(void **ret, struct error *err)
{
    (void)err;
    *ret = NULL;
    return 0;
}

static void way_close(void *ctx)
{
    (void)ctx;
}

static int look_by(size_t way, struct unit_state *ret, struct error *err)
{
    if (way == 0 && calls.looks[way] >= calls.bus_ends_after)
        return error_set(err, ERR_UNAVAILABLE, "D-Bus: gone");
    calls.looks[way]++;
    *ret = before;
    (void)text_copy(ret->type, sizeof(ret->type), "notify");
    ret->main_pid = 100 + calls.restarts[0] + calls.restarts[1];
    return 0;
}

static int look_0(void *ctx, const char *unit, struct unit_state *ret, struct error *err)
{
    (void)ctx;
    (void)unit;
    return look_by(0, ret, err);
}

static int look_1(void *ctx, const char *unit, struct unit_state *ret, struct error *err)
{
    (void)ctx;
    (void)unit;
    return look_by(1, ret, err);
}

static int restart_0(void *ctx, const char *unit, int64_t deadline_ms, char job[UNIT_WORD_MAX],
                     struct error *err)
{
    (void)ctx;
    (void)unit;
    (void)deadline_ms;
    (void)err;
    calls.restarts[0]++;
    (void)text_copy(job, UNIT_WORD_MAX, "done");
    return 0;
}

static int restart_1(void *ctx, const char *unit, int64_t deadline_ms, char job[UNIT_WORD_MAX],
                     struct error *err)
{
    (void)ctx;
    (void)unit;
    (void)deadline_ms;
    (void)err;
    calls.restarts[1]++;
    (void)text_copy(job, UNIT_WORD_MAX, "done");
    return 0;
}

/* D-Bus goes away before the restart, or right after it: once is restarted, whichever way. */
static void test_one_restart_by_two_ways(void **state)
{
    (void)state;
    static const struct systemd_way bus = {way_open, way_close, look_0, restart_0, NULL};
    static const struct systemd_way ctl = {way_open, way_close, look_1, restart_1, NULL};
    static const struct systemd_way *const ways[] = {&bus, &ctl};
    for (int n = 0; n < 3; n++) {
        struct error err = ERROR_INIT;
        memset(&calls, 0, sizeof(calls));
        calls.bus_ends_after = n;
        if (systemd_restart_by(ways, 2, UNIT, 10, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(calls.restarts[0], n > 0);
        assert_int_equal(calls.restarts[1], n == 0);
        assert_int_equal(calls.looks[1], n == 0 ? 2 : n == 1 ? 1 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_restart_by_two_ways),
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_judge_load),
        cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_steady),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_openrc_words),
        cmocka_unit_test(test_openrc_judge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
