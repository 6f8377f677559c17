#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include <base/buf.h>
#include <cli/args.h>

static const struct command commands[] = {
    {.name = "status", .flags = FLAG_OUTPUT},
    {.name = "prepare", .flags = FLAG_FORCE | FLAG_NO_RESTART | FLAG_FOLLOW},
    {.name = "reencrypt", .flags = FLAG_FORCE | FLAG_SKIP | FLAG_NO_RESTART | FLAG_FOLLOW},
};

/* Those with arguments and of two words. */
static const struct command more[] = {
    {.name = "keys", .flags = FLAG_JSON},
    {.name = "keys restore", .operand = "NAME", .flags = FLAG_WAIT, .example = "x keys restore K"},
    {.name = "repair", .operand = "SERVER", .flags = FLAG_WAIT},
    {.name = "pause"},
    {.name = "diff", .operand = "[SERVER SERVER]", .flags = FLAG_JSON},
    {.name = "init", .flags = FLAG_INIT},
    {.name = "status", .flags = FLAG_OUTPUT | FLAG_CHECK | FLAG_WATCH},
    {.name = "prepare", .flags = FLAG_FORCE},
    {.name = "reencrypt", .flags = FLAG_ENGINE | FLAG_OFFLINE},
};

static const struct command maintenance[] = {
    {.name = "restart", .flags = FLAG_WAIT | FLAG_FOLLOW | FLAG_SERVERS | FLAG_REASON | FLAG_NOW},
    {.name = "lock", .flags = FLAG_REASON | FLAG_TTL | FLAG_RUN},
    {.name = "unlock", .flags = FLAG_FORCE},
};

#define WORDS_MAX 16

/* argv as the kernel gives it: writable words. */
struct line {
    char text[256];
    char *argv[WORDS_MAX];
    int argc;
};

static void make_line(struct line *l, const char *words)
{
    memset(l, 0, sizeof(*l));
    snprintf(l->text, sizeof(l->text), "secrets-encrypt %s", words);
    for (char *p = l->text; p && *p;) {
        l->argv[l->argc++] = p;
        p = strchr(p, ' ');
        if (p)
            *p++ = 0;
    }
}

static int parse(struct line *l, const char *words, struct args *a, const struct command **c,
                 struct error *err)
{
    make_line(l, words);
    return args_parse(l->argc, l->argv, commands, array_len(commands), a, c, err);
}

static void test_flags_before_and_after(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "--config /c -d /data -s https://x prepare -f --no-restart --no-wait --timeout 60",
        "prepare -f --no-restart --no-wait --timeout 60 --config /c -d /data -s https://x",
        "-f --no-restart prepare --config=/c --data-dir=/data --server=https://x --no-wait --timeout=60",
    };
    for (size_t i = 0; i < array_len(lines); i++) {
        struct line l;
        struct args a;
        const struct command *c = NULL;
        struct error err = ERROR_INIT;
        if (parse(&l, lines[i], &a, &c, &err) < 0)
            fail_msg("%s: %s", lines[i], err.text);
        assert_string_equal(c->name, "prepare");
        assert_string_equal(a.config, "/c");
        assert_string_equal(a.data_dir, "/data");
        assert_true(a.force && a.no_restart && a.no_wait && !a.skip && !a.help && !a.version);
        assert_int_equal(a.timeout_s, 60);
        assert_null(a.token);
        args_free(&a);
    }
}

static void test_output(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum output expected;
    } rows[] = {
        {"status", OUTPUT_TEXT},         {"status -o text", OUTPUT_TEXT},
        {"status -o json", OUTPUT_JSON}, {"status -oJSON", OUTPUT_JSON}, /* as K3s: any case */
        {"-o wide status", OUTPUT_WIDE}, {"status --output=wide", OUTPUT_WIDE},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct line l;
        struct args a;
        const struct command *c = NULL;
        struct error err = ERROR_INIT;
        assert_int_equal(parse(&l, rows[i].line, &a, &c, &err), 0);
        assert_int_equal(a.output, rows[i].expected);
        args_free(&a);
    }
}

static void test_skip_and_help(void **state)
{
    (void)state;
    struct line l;
    struct args a;
    const struct command *c = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(parse(&l, "reencrypt --force --skip", &a, &c, &err), 0);
    assert_true(a.force && a.skip);
    args_free(&a);
    assert_int_equal(parse(&l, "--help", &a, &c, &err), 0);
    assert_true(a.help);
    assert_null(c);
    args_free(&a);
    assert_int_equal(parse(&l, "status -h", &a, &c, &err), 0);
    assert_true(a.help);
    assert_string_equal(c->name, "status");
    args_free(&a);
    assert_int_equal(parse(&l, "--version", &a, &c, &err), 0);
    assert_true(a.version);
    args_free(&a);
}

static void test_bad_use(void **state)
{
    (void)state;
    static const struct {
        const char *line, *expected;
    } rows[] = {
        {"statsu", "unknown command 'statsu'; did you mean status?"},
        {"destroy", "unknown command 'destroy'; see --help"},
        {"prepare --forse", "unknown flag --forse; did you mean --force?"},
        {"prepare --banana", "unknown flag --banana; see --help"},
        {"prepare -x", "unknown flag -x; see --help"},
        {"prepare --force=yes", "--force takes no value"},
        {"prepare --timeout", "--timeout needs a value (SECONDS)"},
        {"prepare -d", "--data-dir needs a value (DIR)"},
        {"prepare --timeout soon", "--timeout: 'soon' is not a whole number"},
        {"prepare --timeout 0", "--timeout: 0 is not within 1 and 604800"},
        {"status -o yaml", "--output yaml: not one of text, json, wide"},
        {"status now", "status takes no argument 'now'"},
        {"status --force", "--force is not a flag of status, but of prepare, reencrypt"},
        {"prepare --skip", "--skip is not a flag of prepare, but of reencrypt"},
        {"prepare -o json", "--output is not a flag of prepare, but of status"},
        {"--tokn=SECRET status", "unknown flag --tokn; did you mean --token?"},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct line l;
        struct args a;
        const struct command *c = NULL;
        struct error err = ERROR_INIT;
        int rc = parse(&l, rows[i].line, &a, &c, &err);
        if (rc != ERR_INVALID || strcmp(err.text, rows[i].expected) != 0)
            fail_msg("%s: %d %s", rows[i].line, rc, err.text);
        args_free(&a);
    }
}

static int parse_more(struct line *l, const char *words, struct args *a, const struct command **c,
                      struct error *err)
{
    make_line(l, words);
    return args_parse(l->argc, l->argv, more, array_len(more), a, c, err);
}

static void test_engine(void **state)
{
    (void)state;
    static const struct {
        const char *line, *engine, *error;
        bool offline;
        int64_t rate;
    } rows[] = {
        {"reencrypt", NULL, NULL, false, -1},
        {"reencrypt --engine api --max-rate 0", "api", NULL, false, 0},
        {"reencrypt --engine=datastore --offline --max-rate=250", "datastore", NULL, true, 250},
        {"reencrypt --engine etcd", NULL, "--engine etcd: not one of api, datastore", false, 0},
        {"reencrypt --offline", NULL, "--offline needs --engine datastore", false, 0},
        {"reencrypt --engine api --offline", NULL, "--offline needs --engine datastore", false, 0},
        {"reencrypt --max-rate fast", NULL, "--max-rate: 'fast' is not a whole number", false, 0},
        {"reencrypt --max-rate -1", NULL, "--max-rate: -1 is not within 0 and 1000000000", false, 0},
        {"keys --engine api", NULL, "--engine is not a flag of keys, but of reencrypt", false, 0},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct line l;
        struct args a;
        const struct command *c = NULL;
        struct error err = ERROR_INIT;
        int rc = parse_more(&l, rows[i].line, &a, &c, &err);
        if (rows[i].error) {
            assert_int_equal(rc, ERR_INVALID);
            assert_string_equal(err.text, rows[i].error);
            continue;
        }
        assert_int_equal(rc, 0);
        assert_int_equal(a.engine != NULL, rows[i].engine != NULL);
        if (a.engine)
            assert_string_equal(a.engine, rows[i].engine);
        assert_int_equal(a.offline, rows[i].offline);
        assert_int_equal(a.max_rate, rows[i].rate);
        args_free(&a);
    }
}

static void test_operands(void **state)
{
    (void)state;
    static const struct {
        const char *line, *command, *operand;
        bool wait;
        int timeout_s;
    } rows[] = {
        {"keys", "keys", NULL, false, 0},
        {"keys restore a:b", "keys restore", "a:b", false, 0},
        {"--wait keys restore --timeout 9 a:b", "keys restore", "a:b", true, 9},
        {"repair s2 --wait", "repair", "s2", true, 0},
        {"repair --wait s2", "repair", "s2", true, 0},
        {"repair -- -s2", "repair", "-s2", false, 0},
        {"repair --help", "repair", NULL, false, 0},
        {"pause", "pause", NULL, false, 0},
        {"diff", "diff", NULL, false, 0},
        {"diff s1 s2", "diff", "s1", false, 0},
        {"diff s1 --help", "diff", "s1", false, 0},
        {"status -o wide --watch", "status", NULL, false, 0},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct line l;
        struct args a;
        const struct command *c = NULL;
        struct error err = ERROR_INIT;
        if (parse_more(&l, rows[i].line, &a, &c, &err) < 0)
            fail_msg("%s: %s", rows[i].line, err.text);
        assert_string_equal(c->name, rows[i].command);
        assert_int_equal(a.operand != NULL, rows[i].operand != NULL);
        if (a.operand)
            assert_string_equal(a.operand, rows[i].operand);
        assert_int_equal(a.operand2 != NULL, strcmp(rows[i].line, "diff s1 s2") == 0);
        assert_int_equal(a.watch, strstr(rows[i].line, "--watch") != NULL);
        assert_int_equal(a.wait, rows[i].wait);
        assert_int_equal(a.timeout_s, rows[i].timeout_s);
        args_free(&a);
    }
}

static void test_bad_operands(void **state)
{
    (void)state;
    static const struct {
        const char *line, *expected;
    } rows[] = {
        {"repair", "repair needs SERVER, as in `repair`"},
        {"keys restore", "keys restore needs NAME, as in `x keys restore K`"},
        {"keys restor a", "keys takes no argument 'restor'; did you mean keys restore?"},
        {"keys banana", "keys takes no argument 'banana'"},
        {"repair s1 s2", "repair takes no argument 's2'"},
        {"keys restore a b", "keys restore takes no argument 'b'"},
        {"diff s1", "diff needs two servers or none"},
        {"diff s1 s2 s3", "diff takes no argument 's3'"},
        {"diff --watch", "--watch is not a flag of diff, but of status"},
        {"status --watch -o json", "--watch and --output json exclude one another"},
        {"status --watch --check", "--watch and --check exclude one another"},
        {"pause now", "pause takes no argument 'now'"},
        {"restore a", "unknown command 'restore'; see --help"},
        {"pause --wait", "--wait is not a flag of pause, but of keys restore, repair"},
        {"pause --timeout 5", "--timeout is not a flag of pause, but of keys restore, repair"},
        {"keys -o wide", "--output wide: keys knows text and json"},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct line l;
        struct args a;
        const struct command *c = NULL;
        struct error err = ERROR_INIT;
        int rc = parse_more(&l, rows[i].line, &a, &c, &err);
        if (rc != ERR_INVALID || strcmp(err.text, rows[i].expected) != 0)
            fail_msg("%s: %d %s", rows[i].line, rc, err.text);
        args_free(&a);
    }
}

/* The token must not stay where /proc/self/cmdline shows it, whatever else is wrong with the line. */
static void test_restart_and_lock(void **state)
{
    (void)state;
    struct args a;
    struct line l;
    const struct command *c = NULL;
    struct error err = ERROR_INIT;
    make_line(&l, "restart --server s1 -s s2 --reason flags --now --wait");
    assert_int_equal(args_parse(l.argc, l.argv, maintenance, array_len(maintenance), &a, &c, &err), 0);
    assert_int_equal(a.servers_count, 2);
    assert_string_equal(a.servers[1], "s2");
    assert_string_equal(a.reason, "flags");
    assert_true(a.now && a.wait && !a.run);
    make_line(&l, "lock --ttl 30 -- sh -c true -- --help");
    assert_int_equal(args_parse(l.argc, l.argv, maintenance, array_len(maintenance), &a, &c, &err), 0);
    assert_int_equal(a.ttl_s, 30);
    assert_string_equal(a.run[0], "sh");
    assert_string_equal(a.run[3], "--");
    assert_string_equal(a.run[4], "--help");
    assert_null(a.run[5]);
    assert_false(a.help);
    make_line(&l, "lock --"); /* nothing to run: a lock that ends by itself */
    assert_int_equal(args_parse(l.argc, l.argv, maintenance, array_len(maintenance), &a, &c, &err), 0);
    assert_null(a.run);
    static const struct {
        const char *line, *says;
    } bad[] = {
        {"lock --ttl 4", "--ttl"},
        {"lock --ttl x", "--ttl"},
        {"unlock --now", "--now is not a flag of unlock, but of restart"},
        {"restart --ttl 10", "--ttl is not a flag of restart, but of lock"},
        {"unlock -- sh", "takes no argument 'sh'"},
    };
    for (size_t i = 0; i < array_len(bad); i++) {
        make_line(&l, bad[i].line);
        int rc = args_parse(l.argc, l.argv, maintenance, array_len(maintenance), &a, &c, &err);
        assert_int_equal(rc, ERR_INVALID);
        if (!strstr(err.text, bad[i].says))
            fail_msg("%s: %s", bad[i].line, err.text);
    }
}

static void test_token_leaves_argv(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool good;
    } rows[] = {
        {"-t SECRET0123456789 status", true},           {"status --token SECRET0123456789", true},
        {"status --token=SECRET0123456789", true},      {"status -tSECRET0123456789", true},
        {"--banana -t SECRET0123456789 status", false}, {"--banana --token=SECRET0123456789 status", false},
        {"-t SECRET0123456789 statsu", false},          {"-t OTHER -t SECRET0123456789 status", true},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct line l;
        struct args a;
        const struct command *c = NULL;
        struct error err = ERROR_INIT;
        int rc = parse(&l, rows[i].line, &a, &c, &err);
        assert_int_equal(rc == 0, rows[i].good);
        if (rows[i].good) {
            assert_int_equal(a.token->len, 16);
            assert_memory_equal(a.token->data, "SECRET0123456789", 16);
        }
        for (size_t k = 0; k + 6 <= sizeof(l.text); k++)
            assert_memory_not_equal(l.text + k, "SECRET", 6);
        args_free(&a);
        assert_null(a.token);
    }
}

static void test_help_lists_the_flags_of_a_command(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(8192);
    struct error err = ERROR_INIT;
    assert_int_equal(args_help(FLAG_SKIP, &out, &err), 0);
    assert_non_null(strstr(buf_str(&out), "      --skip"));
    assert_non_null(strstr(buf_str(&out), "  -t, --token VALUE "));
    assert_non_null(strstr(buf_str(&out), "  -s, --server URL "));
    assert_null(strstr(buf_str(&out), "--output"));
    assert_null(strstr(buf_str(&out), "--timeout"));
}

/* One name, two meanings: the command decides, wherever the flag stands. */
static void test_flags_with_two_meanings(void **state)
{
    (void)state;
    struct line l;
    struct args a;
    const struct command *c = NULL;
    struct error err = ERROR_INIT;
    static const char *const lines[] = {"init -o wide --cluster c --root /r --yes --force",
                                        "--root=/r -fo wide --cluster=c --yes init"};
    for (size_t i = 0; i < array_len(lines); i++) {
        make_line(&l, lines[i]);
        assert_int_equal(args_parse(l.argc, l.argv, more, array_len(more), &a, &c, &err), 0);
        assert_string_equal(a.file, "wide");
        assert_int_equal(a.output, OUTPUT_TEXT);
        assert_string_equal(a.cluster, "c");
        assert_string_equal(a.root, "/r");
        assert_true(a.yes && a.force);
    }
    make_line(&l, "status -o wide");
    assert_int_equal(args_parse(l.argc, l.argv, more, array_len(more), &a, &c, &err), 0);
    assert_int_equal(a.output, OUTPUT_WIDE);
    static const char *const refused[][2] = {
        {"status --yes", "--yes is not a flag of status, but of init"},
        {"pause -f", "--force is not a flag of pause, but of init, prepare"},
        {"pause -o json", "--output is not a flag of pause, but of keys, diff, init, status"},
        {"init --offline --engine datastore", "--engine is not a flag of init, but of reencrypt"},
        {"-o yaml", "--output yaml: not one of text, json, wide"},
    };
    for (size_t i = 0; i < array_len(refused); i++) {
        make_line(&l, refused[i][0]);
        assert_int_equal(args_parse(l.argc, l.argv, more, array_len(more), &a, &c, &err), ERR_INVALID);
        assert_string_equal(err.text, refused[i][1]);
    }
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
    assert_int_equal(args_help(FLAG_INIT, &out, NULL), 0);
    assert_non_null(strstr(buf_str(&out), "--output FILE"));
    assert_null(strstr(buf_str(&out), "--output FORMAT"));
    assert_null(strstr(buf_str(&out), "keep Secrets readable"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags_before_and_after),
        cmocka_unit_test(test_output),
        cmocka_unit_test(test_flags_with_two_meanings),
        cmocka_unit_test(test_skip_and_help),
        cmocka_unit_test(test_bad_use),
        cmocka_unit_test(test_engine),
        cmocka_unit_test(test_operands),
        cmocka_unit_test(test_bad_operands),
        cmocka_unit_test(test_restart_and_lock),
        cmocka_unit_test(test_token_leaves_argv),
        cmocka_unit_test(test_help_lists_the_flags_of_a_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
