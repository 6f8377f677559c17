#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>

#include <agent/command_run.h>
#include <base/clock.h>

static int run(const char *script, int64_t ms, struct buf *out, struct command_result *result,
               struct error *err)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    return command_run(argv, clock_mono_ms() + ms, out, result, err);
}

static void test_output_and_status(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024);
    struct command_result result = {0};
    struct error err = ERROR_INIT;
    assert_int_equal(run("echo one; echo two >&2; exit 32", 10000, &out, &result, &err), 0);
    assert_string_equal(buf_str(&out), "one\ntwo\n");
    assert_int_equal(result.code, 32);
    buf_reset(&out);
    assert_int_equal(run("kill -9 $$", 10000, &out, &result, &err), 0);
    assert_int_equal(result.code, -1);
    assert_int_equal(result.signal, SIGKILL);
}

static void test_only_the_end_is_kept(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(10);
    struct command_result result = {0};
    struct error err = ERROR_INIT;
    assert_int_equal(
        run("i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done", 20000, &out, &result, &err), 0);
    assert_string_equal(buf_str(&out), "line 4999\n");
}

static void test_deadline(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024);
    struct command_result result = {0};
    struct error err = ERROR_INIT;
    int64_t begin = clock_mono_ms();
    assert_int_equal(run("echo waiting; sleep 100 & wait", 300, &out, &result, &err), ERR_TIMEOUT);
    assert_true(clock_mono_ms() - begin < 5000);
    assert_string_equal(buf_str(&out), "waiting\n");
}

static void test_no_such_program(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024);
    const char *argv[] = {"no-such-program-here", NULL};
    struct command_result result = {0};
    struct error err = ERROR_INIT;
    assert_int_equal(command_run(argv, clock_mono_ms() + 1000, &out, &result, &err), ERR_NOT_FOUND);
}

/* What it leaves behind holds our descriptor: it is not waited for, and its writes do not end it. */
static void test_a_daemon_goes_on(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(4096);
    struct command_result result = {0};
    struct error err = ERROR_INIT;
    int64_t begin = clock_mono_ms();
    assert_int_equal(
        run("(while :; do echo more; sleep 0.05; done) & echo pid $!", 10000, &out, &result, &err), 0);
    assert_true(clock_mono_ms() - begin < 5000);
    const char *at = strstr(buf_str(&out), "pid ");
    assert_non_null(at);
    int64_t pid = strtoll(at + 4, NULL, 10);
    assert_true(pid > 1);
    assert_int_equal(process_wait_end(pid, clock_mono_ms() + 500, &err), ERR_TIMEOUT);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    int rc = process_wait_end(pid, clock_mono_ms() + 10000, &err);
    assert_true(rc == 0 || rc == ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_and_status), cmocka_unit_test(test_only_the_end_is_kept),
        cmocka_unit_test(test_deadline),          cmocka_unit_test(test_no_such_program),
        cmocka_unit_test(test_a_daemon_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
