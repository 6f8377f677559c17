#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <base/clock.h>
#include <base/file.h>

struct run {
    struct bench bench;
    char output[PATH_MAX];
    struct error why;
    int64_t took_ms;
};

static enum command_state run(struct run *r, const char *script, int64_t timeout_s)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    struct command *c = NULL;
    memset(&r->why, 0, sizeof(r->why));
    int64_t begin = clock_mono_ms();
    assert_int_equal(command_start(argv, timeout_s, r->output, &c, &r->why), 0);
    enum command_state s;
    while ((s = command_poll(c, &r->why)) == COMMAND_RUNNING && clock_mono_ms() - begin < 20000)
        nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
    r->took_ms = clock_mono_ms() - begin;
    command_free(c);
    return s;
}

static void test_good(void **state)
{
    struct run *r = *state;
    assert_int_equal(run(r, "echo hello", 5), COMMAND_OK);
    char *text = bench_read(r->output);
    assert_string_equal(text, "hello\n");
    free(text);
}

static void test_exit_status(void **state)
{
    struct run *r = *state;
    assert_int_equal(run(r, "echo first; printf 'no \\033[31msuch unit  \\n\\n' >&2; exit 3", 5),
                     COMMAND_FAILED);
    assert_string_equal(r->why.text, "exit status 3: no ?[31msuch unit");
    assert_int_equal(run(r, "exit 4", 5), COMMAND_FAILED);
    assert_string_equal(r->why.text, "exit status 4");
    assert_int_equal(run(r, "kill -9 $$", 5), COMMAND_FAILED);
    assert_string_equal(r->why.text, "ended by signal 9");
}

static void test_not_there(void **state)
{
    struct run *r = *state;
    const char *argv[] = {"/no/such/program", NULL};
    const char *none[] = {NULL};
    struct command *c = NULL;
    assert_int_equal(command_start(argv, 5, r->output, &c, &r->why), ERR_NOT_FOUND);
    assert_contains(r->why.text, "/no/such/program");
    assert_int_equal(command_start(none, 5, r->output, &c, &r->why), ERR_INVALID);
    assert_null(c);
}

static void test_timeout(void **state)
{
    struct run *r = *state;
    assert_int_equal(run(r, "echo stopping unit; sleep 30", 1), COMMAND_FAILED);
    assert_contains(r->why.text, "longer than 1 s");
    assert_contains(r->why.text, "stopping unit");
    assert_in_range(r->took_ms, 1000, 4000);
}

static void test_timeout_kills_what_ignores_it(void **state)
{
    struct run *r = *state;
    assert_int_equal(run(r, "trap '' TERM; echo $$; while :; do sleep 0.2; done", 1), COMMAND_FAILED);
    assert_in_range(r->took_ms, 6000, 9000);
    char *text = bench_read(r->output);
    assert_int_equal(kill((pid_t)strtol(text, NULL, 10), 0), -1);
    free(text);
}

/* The why holds one bounded line, whatever was written. */
static void test_output_bound(void **state)
{
    struct run *r = *state;
    assert_int_equal(run(r, "head -c 100000 /dev/zero | tr '\\0' x; exit 1", 5), COMMAND_FAILED);
    assert_true(strlen(r->why.text) < 500);
    struct stat st;
    assert_int_equal(run(r, "head -c 300000 /dev/zero", 5), COMMAND_OK);
    command_trim(r->output);
    assert_int_equal(stat(r->output, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(run(r, "echo small", 5), COMMAND_OK);
    command_trim(r->output);
    assert_int_equal(stat(r->output, &st), 0);
    assert_int_equal(st.st_size, 6);
}

/* A server that the command leaves behind keeps our output: it neither holds the command up nor dies by
 * what it writes later. */
static void test_daemon_keeps_output(void **state)
{
    struct run *r = *state;
    assert_int_equal(run(r, "(sleep 0.3; echo later; echo alive >&2) & echo started", 10), COMMAND_OK);
    assert_true(r->took_ms < 290);
    char *text = NULL;
    for (int i = 0; i < 100 && (!text || !strstr(text, "alive")); i++) {
        free(text);
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
        text = bench_read(r->output);
    }
    assert_string_equal(text, "started\nlater\nalive\n");
    free(text);
}

/* Nothing of ours reaches the command but its output file. */
static void test_surroundings(void **state)
{
    struct run *r = *state;
    int leak = open("/dev/null", O_RDONLY);
    assert_true(leak > 2);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    setenv("SECRETS_ENCRYPT_TOKEN", "must-not-be-seen", 1);
    umask(077);
    command_set_umask(022);
    char script[256];
    snprintf(script, sizeof(script),
             "env | sed 's/=.*//' | sort | tr '\\n' ' '; umask; [ -e /proc/$$/fd/%d ] && echo LEAK; "
             "grep SigBlk /proc/self/status; readlink /proc/$$/fd/0",
             leak);
    assert_int_equal(run(r, script, 5), COMMAND_OK);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    unsetenv("SECRETS_ENCRYPT_TOKEN");
    assert_int_equal(umask(022), 077); /* ours is as it was */
    close(leak);
    char *text = bench_read(r->output);
    assert_null(strstr(text, "SECRETS"));
    assert_contains(text, "HOME");
    assert_contains(text, "PATH");
    assert_contains(text, "0022");
    assert_contains(text, "0000000000000000");
    assert_contains(text, "/dev/null");
    assert_null(strstr(text, "LEAK"));
    free(text);
    struct stat st;
    assert_int_equal(stat(r->output, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_own_group(void **state)
{
    struct run *r = *state;
    const char *argv[] = {"sleep", "20", NULL};
    struct command *c = NULL;
    assert_int_equal(command_start(argv, 5, r->output, &c, NULL), 0);
    pid_t pid = (pid_t)command_id(c).pid;
    assert_int_equal(getpgid(pid), pid);
    kill(pid, SIGKILL);
    while (command_poll(c, &r->why) == COMMAND_RUNNING)
        nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    command_free(c);
}

/* An earlier run's command is waited for by its identity. */
static void test_attach(void **state)
{
    struct run *r = *state;
    pid_t pid = fork();
    if (pid == 0) {
        nanosleep(&(struct timespec){.tv_nsec = 200 * 1000 * 1000}, NULL);
        _exit(7);
    }
    struct process_id id;
    struct command *c = NULL;
    assert_int_equal(process_identify("/proc", pid, &id, NULL), 0);
    assert_int_equal(command_attach(&id, 5, &c, NULL), 0);
    assert_int_equal(command_poll(c, &r->why), COMMAND_RUNNING);
    int64_t end = clock_mono_ms() + 5000;
    while (command_poll(c, &r->why) == COMMAND_RUNNING && clock_mono_ms() < end)
        nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
    assert_int_equal(command_poll(c, &r->why), COMMAND_OK);
    command_free(c);
    waitpid(pid, NULL, 0);
}

static void test_driver(void **state)
{
    struct run *r = *state;
    struct error err = ERROR_INIT;
    const struct driver *d = driver_find("exec");
    struct config *c = &r->bench.config;
    assert_ptr_equal(d, &driver_exec);
    assert_null(driver_find("magic"));
    assert_int_equal(d->check(c, &err), 0);
    c->exec_restart[0] = (char[]){"/no/such/restart"};
    assert_int_equal(d->check(c, &err), ERR_NOT_FOUND);
    assert_contains(err.text, "/no/such/restart");
    assert_contains(err.text, "exec.restart");
    c->exec_restart_count = 0;
    assert_int_equal(d->check(c, &err), ERR_INVALID);
}

static int setup(void **state)
{
    struct run *r = calloc(1, sizeof(*r));
    bench_open(&r->bench);
    snprintf(r->output, sizeof(r->output), "%s/output", r->bench.dir);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct run *r = *state;
    bench_close(&r->bench);
    free(r);
    return 0;
}

int main(int argc, char **argv)
{
    if (bench_is_server(argc, argv))
        return bench_play_server();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exit_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timeout_kills_what_ignores_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_output_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_daemon_keeps_output, setup, teardown),
        cmocka_unit_test_setup_teardown(test_surroundings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_group, setup, teardown),
        cmocka_unit_test_setup_teardown(test_attach, setup, teardown),
        cmocka_unit_test_setup_teardown(test_driver, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
