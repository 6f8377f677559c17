/* The program as it is installed: exit codes, and one line on stderr that names what is wrong. Nothing here
 * needs a state store that answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <base/buf.h>
#include <base/clock.h>
#include <base/file.h>

#include <real.h>

#define OUTPUT_MAX 65536
#define WORDS_MAX  12

extern char **environ;

static char folder[] = "/tmp/cli-test-XXXXXX";

struct run {
    int code;
    struct buf out, err;
    int64_t took_ms;
};

static void run_free(struct run *r)
{
    buf_free(&r->out);
    buf_free(&r->err);
}

/* Runs the program with stdout and stderr in files of the folder. */
static void run(struct run *r, const char *first, ...)
{
    char out[64], err[64];
    char *argv[WORDS_MAX + 2] = {(char *)"secrets-encrypt"};
    va_list ap;
    va_start(ap, first);
    size_t n = 1;
    for (const char *word = first; word && n <= WORDS_MAX; word = va_arg(ap, const char *))
        argv[n++] = (char *)word;
    va_end(ap);
    snprintf(out, sizeof(out), "%s/out", folder);
    snprintf(err, sizeof(err), "%s/err", folder);
    posix_spawn_file_actions_t actions;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600),
                     0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, 2, err, O_WRONLY | O_CREAT | O_TRUNC, 0600),
                     0);
    pid_t pid = -1;
    int status = 0;
    int64_t start = clock_mono_ms();
    assert_int_equal(posix_spawn(&pid, SECRETS_ENCRYPT_PROGRAM, &actions, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    posix_spawn_file_actions_destroy(&actions);
    *r = (struct run){WIFEXITED(status) ? WEXITSTATUS(status) : -1, BUF_INIT(OUTPUT_MAX),
                      BUF_INIT(OUTPUT_MAX), clock_mono_ms() - start};
    assert_int_equal(file_read(out, OUTPUT_MAX, &r->out, NULL), 0);
    assert_int_equal(file_read(err, OUTPUT_MAX, &r->err, NULL), 0);
    assert_int_equal(unlink(out), 0);
    assert_int_equal(unlink(err), 0);
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    struct error err = ERROR_INIT;
    if (file_write_atomic(path_of(name), text, strlen(text), 0600, &err) < 0)
        fail_msg("%s", err.text);
}

/* One line, beginning with the program's name, and nothing on stdout. */
static void expect_refusal(const struct run *r, int code, const char *expected)
{
    const char *text = buf_str(&r->err);
    if (r->code != code || strstr(text, expected) == NULL)
        fail_msg("exit %d, %s", r->code, text);
    assert_memory_equal(text, "secrets-encrypt: ", 17);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    assert_int_equal(r->out.len, 0);
}

static void write_config(int port)
{
    char text[512];
    snprintf(text, sizeof(text),
             "cluster: demo\nservers: [{name: s1, api: 'https://127.0.0.1:6443'}]\ntoken_file: %s/token\n"
             "state_store: {endpoints: ['http://127.0.0.1:%d']}\n",
             folder, port);
    write_file("c.yaml", text);
    setenv("SECRETS_ENCRYPT_CONFIG", path_of("c.yaml"), 1);
}

static void test_usage(void **state)
{
    (void)state;
    struct run r;
    run(&r, NULL);
    assert_int_equal(r.code, 2);
    assert_non_null(strstr(buf_str(&r.err), "usage: secrets-encrypt"));
    assert_int_equal(r.out.len, 0);
    run_free(&r);

    run(&r, "--version", NULL);
    assert_int_equal(r.code, 0);
    assert_string_equal(buf_str(&r.out), "secrets-encrypt " SECRETS_ENCRYPT_VERSION "\n");
    run_free(&r);

    run(&r, "statsu", NULL);
    expect_refusal(&r, 2, "secrets-encrypt: unknown command 'statsu'; did you mean status?\n");
    run_free(&r);

    run(&r, "prepare", "--forec", NULL);
    expect_refusal(&r, 2, "secrets-encrypt: unknown flag --forec; did you mean --force?\n");
    run_free(&r);
}

static void test_help_of_every_command(void **state)
{
    (void)state;
    static const char *const commands[] = {"status", "prepare", "rotate", "reencrypt", "rotate-keys",
                                           "enable", "disable", "pause",  "resume",    "abort",
                                           "repair", "explain", "keys"};
    struct run all;
    run(&all, "--help", NULL);
    assert_int_equal(all.code, 0);
    for (size_t i = 0; i < array_len(commands); i++) {
        char line[64];
        struct run r;
        snprintf(line, sizeof(line), "\n  %-12s  ", commands[i]);
        assert_non_null(strstr(buf_str(&all.out), line));
        run(&r, commands[i], "--help", NULL);
        assert_int_equal(r.code, 0);
        snprintf(line, sizeof(line), "\n  secrets-encrypt %s", commands[i]);
        assert_non_null(strstr(buf_str(&r.out), line));
        run_free(&r);
    }
    assert_non_null(strstr(buf_str(&all.out), "\n  keys restore  "));
    run_free(&all);
    struct run r;
    run(&r, "keys", "restore", "--help", NULL);
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(buf_str(&r.out), "usage: secrets-encrypt keys restore NAME [FLAGS]\n"));
    run_free(&r);
    run(&r, "repair", NULL);
    expect_refusal(&r, 2, "secrets-encrypt: repair needs SERVER, as in `secrets-encrypt repair s2 --wait`\n");
    run_free(&r);
}

static void test_config_file(void **state)
{
    (void)state;
    struct run r;
    run(&r, "status", "--config", "/nowhere/c.yaml", NULL);
    expect_refusal(&r, 1, "secrets-encrypt: /nowhere/c.yaml: No such file or directory\n");
    run_free(&r);

    write_file("c.yaml", "");
    run(&r, "prepare", "--config", path_of("c.yaml"), NULL);
    expect_refusal(&r, 1, "c.yaml: empty; it needs at least cluster, servers and state_store\n");
    run_free(&r);

    write_file("c.yaml", "cluster: demo\nserverz: []\n");
    run(&r, "status", "--config", path_of("c.yaml"), NULL);
    expect_refusal(&r, 1, "c.yaml: serverz: unknown field; did you mean server?\n");
    run_free(&r);
    assert_int_equal(unlink(path_of("c.yaml")), 0);
}

static void test_token(void **state)
{
    (void)state;
    struct run r;
    int nobody = -1; /* no one listens there */
    write_config(port_hold(&nobody));
    run(&r, "status", NULL);
    expect_refusal(&r, 1, "/token: No such file or directory\n");
    run_free(&r);

    write_file("token", "short\n");
    run(&r, "status", NULL);
    expect_refusal(&r, 1, "/token: the cluster token has 5 bytes");
    run_free(&r);

    /* --data-dir: K3s's place, where the file is there; else token_file */
    run(&r, "status", "-d", folder, NULL);
    expect_refusal(&r, 1, "/token: the cluster token has 5 bytes");
    run_free(&r);
    assert_int_equal(mkdir(path_of("server"), 0700), 0);
    write_file("server/token", "tiny\n");
    run(&r, "-d", folder, "status", NULL);
    expect_refusal(&r, 1, "/server/token: the cluster token has 4 bytes");
    run_free(&r);

    /* --token goes before both, is warned about, and does not show */
    run(&r, "status", "-d", folder, "-t", "abc", NULL);
    assert_int_equal(r.code, 1);
    assert_non_null(strstr(buf_str(&r.err), "secrets-encrypt: warning: a token on the command line"));
    assert_non_null(strstr(buf_str(&r.err), "(--token): the cluster token has 3 bytes"));
    assert_null(strstr(buf_str(&r.err), "abc"));
    run_free(&r);

    assert_int_equal(unlink(path_of("server/token")), 0);
    assert_int_equal(rmdir(path_of("server")), 0);
    assert_int_equal(unlink(path_of("token")), 0);
    close(nobody);
    assert_int_equal(unlink(path_of("c.yaml")), 0);
}

/* Nobody listens: an error that names the endpoint, in bounded time, for reading and for asking. */
static void test_state_store_away(void **state)
{
    (void)state;
    static const char *const commands[] = {"status", "rotate-keys", "pause", "explain", "keys"};
    char endpoint[64];
    int nobody = -1, port = port_hold(&nobody); /* no one listens */
    write_config(port);
    write_file("token", "0123456789abcdef0123456789abcdef\n");
    snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", port);
    for (size_t i = 0; i < array_len(commands); i++) {
        struct run r;
        run(&r, commands[i], NULL);
        expect_refusal(&r, 9, endpoint);
        assert_true(r.took_ms < 15000);
        run_free(&r);
    }
    assert_int_equal(unlink(path_of("token")), 0);
    close(nobody);
    assert_int_equal(unlink(path_of("c.yaml")), 0);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_help_of_every_command),
        cmocka_unit_test(test_config_file),
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_state_store_away),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
