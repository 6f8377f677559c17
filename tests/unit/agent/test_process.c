#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
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

/* ---------- a program that has the API server inside of it ---------- */

/* A process as /proc shows it; the arguments end with NUL each. */
static void show(const char *proc, int pid, const char *args, size_t len)
{
    char path[PATH_MAX], stat[256];
    snprintf(path, sizeof(path), "%s/%d", proc, pid);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/%d/cmdline", proc, pid);
    assert_int_equal(file_write_atomic(path, args, len, 0600, NULL), 0);
    snprintf(path, sizeof(path), "%s/%d/stat", proc, pid);
    int n = snprintf(stat, sizeof(stat), "%d (k3s-server) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n",
                     pid);
    assert_int_equal(file_write_atomic(path, stat, (size_t)n, 0600, NULL), 0);
}

static void hide(const char *proc, int pid)
{
    static const char *const names[] = {"/cmdline", "/stat", ""};
    char path[PATH_MAX];
    for (size_t i = 0; i < array_len(names); i++) {
        snprintf(path, sizeof(path), "%s/%d%s", proc, pid, names[i]);
        assert_int_equal(remove(path), 0);
    }
}

static struct process_found find_program(struct bench *b, const char *proc)
{
    struct process_finder f = {.proc = proc, .config_path = b->file, .program = "k3s"};
    struct process_found p;
    process_find(&f, &p);
    return p;
}

static void test_program(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *args;
        size_t len;
        bool found;
    } rows[] = {
#define ARGS(text) text, sizeof(text)
        {ARGS("/usr/local/bin/k3s\0server"), true},
        {ARGS("k3s\0server\0--cluster-init"), true},
        {ARGS("/usr/local/bin/k3s server"), true}, /* it has named itself */
        {ARGS("/usr/local/bin/k3s server\0\0\0"), true},
        {ARGS("/bin/sh\0/opt/bin/k3s\0server"), true},
        {ARGS("/usr/bin/python3\0-u\0/opt/k3s\0server"), true},
        {ARGS("/usr/local/bin/k3s\0agent"), false},
        {ARGS("/usr/local/bin/k3s agent"), false},
        {ARGS("/usr/local/bin/k3s\0secrets-encrypt\0status"), false},
        {ARGS("/usr/local/bin/k3s\0etcd-snapshot\0server"), false},
        {ARGS("/usr/local/bin/k3s"), false},
        {ARGS("/usr/local/bin/k3s-server\0server"), false},
        {ARGS("/usr/local/bin/my-k3s\0server"), false},
        {ARGS("/usr/local/bin/k3s servers"), false},
        {ARGS("vi\0notes\0of\0the\0k3s\0server"), false}, /* it stands too far behind */
        {ARGS("grep\0k3s server"), false},
        {ARGS("server\0k3s"), false},
        {ARGS(""), false},
        {"k3s\0serve", 9, false},
#undef ARGS
    };
    char proc[PATH_MAX];
    snprintf(proc, sizeof(proc), "%s/proc", b->dir);
    assert_int_equal(mkdir(proc, 0700), 0);
    for (size_t i = 0; i < array_len(rows); i++) {
        show(proc, 4321, rows[i].args, rows[i].len);
        struct process_found p = find_program(b, proc);
        hide(proc, 4321);
        if ((p.count == PROCESS_ONE) != rows[i].found)
            fail_msg("row %zu: '%s'", i, rows[i].args);
        if (rows[i].found)
            assert_int_equal(p.id.pid, 4321);
        else
            assert_string_equal(p.why, "no process runs: k3s");
    }
    assert_int_equal(rmdir(proc), 0);
}

static void test_program_several(void **state)
{
    struct bench *b = *state;
    static const char args[] = "/usr/local/bin/k3s\0server";
    char proc[PATH_MAX];
    snprintf(proc, sizeof(proc), "%s/proc", b->dir);
    assert_int_equal(mkdir(proc, 0700), 0);
    show(proc, 4321, args, sizeof(args));
    show(proc, 4322, args, sizeof(args));
    struct process_found p = find_program(b, proc);
    assert_int_equal(p.count, PROCESS_MANY);
    assert_int_equal(p.id.pid, 0);
    assert_string_equal(p.why, "several processes run: k3s");
    hide(proc, 4322);
    assert_int_equal(find_program(b, proc).id.pid, 4321);
    hide(proc, 4321);
    assert_int_equal(rmdir(proc), 0);
}

/* A real one; and a process that only reads the file is none. */
static void test_program_runs(void **state)
{
    struct bench *b = *state;
    char exe[PATH_MAX], link[PATH_MAX];
    pid_t reader = bench_start_server(b);
    assert_int_not_equal(find_program(b, "/proc").id.pid, reader);
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    assert_true(n > 0);
    exe[n] = 0;
    struct process_finder f = {.proc = "/proc", .config_path = b->file, .program = "bench-server-of-test"};
    struct process_found p;
    process_find(&f, &p);
    assert_int_equal(p.count, PROCESS_NONE);
    snprintf(link, sizeof(link), "/opt/bench-server-of-test");
    char *argv[] = {link, "server", "--encryption-provider-config", NULL};
    pid_t pid = 0;
    assert_int_equal(posix_spawn(&pid, exe, NULL, NULL, argv, environ), 0);
    bench_await_arguments(pid);
    process_find(&f, &p);
    end(pid);
    assert_int_equal(p.count, PROCESS_ONE);
    assert_int_equal(p.id.pid, pid);
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
    if (bench_is_server(argc, argv) || (argc > 1 && strcmp(argv[1], "server") == 0))
        return bench_play_server();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_path_in_next_argument, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_file_by_another_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_several, setup, teardown),
        cmocka_unit_test_setup_teardown(test_zombie_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pid_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_program, setup, teardown),
        cmocka_unit_test_setup_teardown(test_program_several, setup, teardown),
        cmocka_unit_test_setup_teardown(test_program_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_a_config, setup, teardown),
        cmocka_unit_test(test_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
