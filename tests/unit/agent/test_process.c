#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>

#include <base/clock.h>
#include <base/file.h>

extern char **environ;

static struct process_found find(struct bench *b, const char *pid_file)
{
    struct process_finder f = {.proc = "/proc", .config_path = b->file, .pid_file = pid_file};
    struct process_found p;
    process_find(&f, &p);
    return p;
}

static pid_t start(const char *first, const char *second)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    assert_true(n > 0);
    exe[n] = 0;
    char *argv[] = {exe, (char *)first, (char *)second, NULL};
    pid_t pid = 0;
    assert_int_equal(posix_spawn(&pid, exe, NULL, NULL, argv, environ), 0);
    bench_await_arguments(pid);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void test_found(void **state)
{
    struct bench *b = *state;
    struct process_found p = find(b, "");
    assert_int_equal(p.count, PROCESS_NONE);
    assert_contains(p.why, b->file);
    assert_contains(p.why, "pid_file");
    int64_t before = clock_wall_ms();
    pid_t pid = bench_start_server(b);
    p = find(b, "");
    assert_int_equal(p.count, PROCESS_ONE);
    assert_int_equal(p.id.pid, pid);
    assert_string_equal(p.why, "");
    assert_true(p.started_wall_ms >= before - 50 && p.started_wall_ms <= clock_wall_ms() + 50);
    assert_true(process_alive("/proc", &p.id));
    bench_stop_server(b);
    assert_false(process_alive("/proc", &p.id));
    assert_int_equal(find(b, "").count, PROCESS_NONE);
}

static void test_path_in_next_argument(void **state)
{
    struct bench *b = *state;
    pid_t pid = start("--encryption-provider-config", b->file);
    assert_int_equal(find(b, "").id.pid, pid);
    end(pid);
}

static void test_same_file_by_another_name(void **state)
{
    struct bench *b = *state;
    char link[PATH_MAX], flag[PATH_MAX + 64];
    snprintf(link, sizeof(link), "%s/link.json", b->dir);
    assert_int_equal(symlink(b->file, link), 0);
    snprintf(flag, sizeof(flag), "--encryption-provider-config=%s", link);
    pid_t pid = start(flag, NULL);
    assert_int_equal(find(b, "").id.pid, pid);
    end(pid);
}

static void test_other_file(void **state)
{
    struct bench *b = *state;
    pid_t one = start("--encryption-provider-config=/etc/hostname", NULL);
    pid_t two = start("--encryption-provider-config-automatic-reload=true", b->file);
    assert_int_equal(find(b, "").count, PROCESS_NONE);
    end(one);
    end(two);
}

static void test_several(void **state)
{
    struct bench *b = *state;
    pid_t one = bench_start_server(b);
    pid_t two = start("--encryption-provider-config", b->file);
    struct process_found p = find(b, "");
    char text[32];
    assert_int_equal(p.count, PROCESS_MANY);
    snprintf(text, sizeof(text), "%d", (int)one);
    assert_contains(p.why, text);
    snprintf(text, sizeof(text), "%d", (int)two);
    assert_contains(p.why, text);
    assert_int_equal(p.id.pid, 0);
    end(two);
    assert_int_equal(find(b, "").id.pid, one);
}

static void test_zombie_is_none(void **state)
{
    struct bench *b = *state;
    pid_t pid = start("--encryption-provider-config", b->file);
    struct process_id id;
    kill(pid, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(process_identify("/proc", pid, &id, NULL), ERR_NOT_FOUND);
    assert_int_equal(find(b, "").count, PROCESS_NONE);
    waitpid(pid, NULL, 0);
}

static void test_pid_file(void **state)
{
    struct bench *b = *state;
    struct process_found p = find(b, b->pid);
    assert_int_equal(p.count, PROCESS_NONE);
    assert_contains(p.why, b->pid);
    pid_t pid = bench_start_server(b);
    p = find(b, b->pid);
    assert_int_equal(p.count, PROCESS_ONE);
    assert_true(p.by_pid_file);
    assert_int_equal(p.id.pid, pid);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(find(b, b->pid).count, PROCESS_NONE);
    static const char *const bad[] = {"", "\n", "abc\n", "-4\n", "0\n", "99999999999999999999\n"};
    for (size_t i = 0; i < array_len(bad); i++) {
        assert_int_equal(file_write_atomic(b->pid, bad[i], strlen(bad[i]), 0600, NULL), 0);
        p = find(b, b->pid);
        assert_int_equal(p.count, PROCESS_NONE);
        assert_contains(p.why, "process id");
    }
    unlink(b->pid);
}

/* By this word the child knows that it plays a server; the flag it is not. */
#define KNOWN "--encryption-provider-config-is-not-here"

static int known_arguments(const struct config *c, struct buf *out, struct error *err)
{
    (void)c;
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    assert_true(n > 0);
    exe[n] = 0;
    int rc = buf_add(out, exe, strlen(exe) + 1, err);
    return rc < 0 ? rc : buf_add(out, KNOWN, sizeof(KNOWN), err);
}

/* An API server without an encryption config is known by all its arguments, and comes second to one that has
 * it. */
static void test_without_a_config(void **state)
{
    struct bench *b = *state;
    struct process_finder f = {.proc = "/proc", .config_path = b->file, .arguments = known_arguments};
    struct process_found p;
    pid_t other = start(KNOWN, "--and-this");
    process_find(&f, &p);
    assert_int_equal(p.count, PROCESS_NONE);
    assert_contains(p.why, b->file);
    assert_contains(p.why, "the API server does not run");
    pid_t plain = start(KNOWN, NULL);
    process_find(&f, &p);
    assert_int_equal(p.count, PROCESS_ONE);
    assert_int_equal(p.id.pid, plain);
    assert_true(p.plain);
    pid_t twin = start(KNOWN, NULL);
    process_find(&f, &p);
    assert_int_equal(p.count, PROCESS_MANY);
    assert_false(p.plain);
    end(twin);
    pid_t server = bench_start_server(b);
    process_find(&f, &p);
    assert_int_equal(p.id.pid, server);
    assert_false(p.plain);
    end(plain);
    end(other);
}

static void test_same(void **state)
{
    (void)state;
    struct process_id a = {7, 100, "boot"}, later = {7, 101, "boot"}, reboot = {7, 100, "other"}, none = {0};
    assert_true(process_same(&a, &a));
    assert_false(process_same(&a, &later));
    assert_false(process_same(&a, &reboot));
    assert_false(process_same(&none, &none));
}

static int setup(void **state)
{
    struct bench *b = malloc(sizeof(*b));
    bench_open(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    bench_close(*state);
    free(*state);
    return 0;
}

int main(int argc, char **argv)
{
    if (bench_is_server(argc, argv))
        return bench_play_server();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_path_in_next_argument, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_file_by_another_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_several, setup, teardown),
        cmocka_unit_test_setup_teardown(test_zombie_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pid_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_a_config, setup, teardown),
        cmocka_unit_test(test_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
