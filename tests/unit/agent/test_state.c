#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include <agent/state.h>
#include <base/clock.h>
#include <base/file.h>

struct fixture {
    char root[64], path[128], json[192];
    struct state_dir dir;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->root, sizeof(f->root), "/tmp/agent-state-XXXXXX");
    assert_non_null(mkdtemp(f->root));
    snprintf(f->path, sizeof(f->path), "%s/a/b", f->root);
    snprintf(f->json, sizeof(f->json), "%s/agent.json", f->path);
    assert_int_equal(state_dir_open(&f->dir, f->path, "demo", "s1", NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char path[256];
    state_dir_close(&f->dir);
    static const char *const names[] = {"a/b/agent.json", "a/b/.agent.json.tmp", "a/b/lock"};
    for (size_t i = 0; i < array_len(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->root, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/a/b", f->root);
    rmdir(path);
    snprintf(path, sizeof(path), "%s/a", f->root);
    rmdir(path);
    assert_int_equal(rmdir(f->root), 0);
    free(f);
    return 0;
}

static struct agent_state sample(void)
{
    struct agent_state s;
    state_init(&s);
    s.fence = 77;
    s.restarts = 4;
    s.stage = STAGE_ROTATE;
    s.job.step = STEP_BACK;
    s.job.state = ORDER_RESTARTING;
    s.job.order = (struct cluster_order){.id = 9,
                                         .kind = ORDER_APPLY,
                                         .operation = "op",
                                         .generation = 3,
                                         .hash = "abc",
                                         .stage = STAGE_ROTATE,
                                         .fence = 77,
                                         .given_ms = 1764000000000,
                                         .from = 2,
                                         .call = "prepare"};
    snprintf(s.job.undo_why, sizeof(s.job.undo_why), "exit status 3: \"quoted\" text");
    s.job.mark = (struct mark){MARK_ONE, true, "boot", 1234567, {42, 99, "boot"}};
    s.job.child = (struct process_id){43, 100, "boot"};
    s.file.written = (struct version){3, "abc", STAGE_ROTATE};
    s.file.written_ms = 1764000000001;
    s.file.written_ctime_us = 1764000000001002;
    s.file.mark = s.job.mark;
    s.file.mark.kind = MARK_MANY;
    s.file.intent = (struct version){4, "def", STAGE_PREPARE};
    s.file.previous = (struct version){2, "aaa", STAGE_PREPARE};
    s.loaded = (struct loaded){{42, 99, "boot"}, "aaa", 2};
    s.seen = (struct sighting){"abc", 5, 6, {MARK_NONE, false, "boot", 9, {0}}};
    return s;
}

static void test_round_trip(void **state)
{
    struct fixture *f = *state;
    struct agent_state s = sample(), back;
    assert_int_equal(state_save(&f->dir, &s, NULL), 0);
    assert_int_equal(s.seq, 1);
    memset(&back, 0, sizeof(back));
    assert_int_equal(state_load(&f->dir, &back, NULL), 0);
    assert_string_equal(back.job.order.hash, "abc");
    assert_int_equal(back.seq, 1);
    assert_int_equal(back.fence, 77);
    assert_int_equal(back.restarts, 4);
    assert_int_equal(back.stage, STAGE_ROTATE);
    assert_int_equal(back.job.step, STEP_BACK);
    assert_int_equal(back.job.state, ORDER_RESTARTING);
    assert_int_equal(back.job.order.id, 9);
    assert_int_equal(back.job.order.given_ms, 1764000000000);
    assert_int_equal(back.job.order.from, 2);
    assert_string_equal(back.job.order.call, "prepare");
    assert_string_equal(back.job.undo_why, s.job.undo_why);
    assert_int_equal(back.job.mark.kind, MARK_ONE);
    assert_true(back.job.mark.by_pid_file);
    assert_int_equal(back.job.mark.boot_ms, 1234567);
    assert_true(process_same(&back.job.mark.process, &s.job.mark.process));
    assert_true(process_same(&back.job.child, &s.job.child));
    assert_int_equal(back.file.mark.kind, MARK_MANY);
    assert_int_equal(back.file.written_ctime_us, 1764000000001002);
    assert_int_equal(back.file.intent.generation, 4);
    assert_string_equal(back.file.previous.hash, "aaa");
    assert_string_equal(back.loaded.hash, "aaa");
    assert_int_equal(back.loaded.generation, 2);
    assert_string_equal(back.seen.hash, "abc");
    assert_int_equal(back.seen.since_ms, 5);
    assert_int_equal(back.seen.ctime_us, 6);
    assert_int_equal(back.seen.mark.kind, MARK_NONE);
}

static void test_private(void **state)
{
    struct fixture *f = *state;
    struct agent_state s = sample();
    struct stat st;
    assert_int_equal(state_save(&f->dir, &s, NULL), 0);
    assert_int_equal(stat(f->json, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void test_missing(void **state)
{
    struct fixture *f = *state;
    struct agent_state s;
    assert_int_equal(state_load(&f->dir, &s, NULL), ERR_NOT_FOUND);
}

/* Cut anywhere, it is damaged and never half believed. */
static void test_torn(void **state)
{
    struct fixture *f = *state;
    struct agent_state s = sample(), back = {.fence = 1};
    struct buf text = BUF_INIT(65536);
    assert_int_equal(state_save(&f->dir, &s, NULL), 0);
    assert_int_equal(file_read(f->json, 65536, &text, NULL), 0);
    for (size_t len = 0; len < text.len; len += 7) {
        assert_int_equal(file_write_atomic(f->json, text.data, len, 0600, NULL), 0);
        assert_int_equal(state_load(&f->dir, &back, NULL), ERR_INVALID);
        assert_int_equal(back.fence, 1);
    }
    buf_free(&text);
}

static void put(struct fixture *f, const char *from, const char *to)
{
    struct buf text = BUF_INIT(65536);
    char *at, *out = NULL;
    assert_int_equal(file_read(f->json, 65536, &text, NULL), 0);
    at = strstr(text.data, from);
    assert_non_null(at);
    int n = asprintf(&out, "%.*s%s%s", (int)(at - text.data), text.data, to, at + strlen(from));
    assert_true(n > 0);
    assert_int_equal(file_write_atomic(f->json, out, (size_t)n, 0600, NULL), 0);
    free(out);
    buf_free(&text);
}

static void test_corrupt(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *from, *to, *what;
    } cases[] = {
        {"\"fence\":77", "\"fence\":\"77\"", "fence"},
        {"\"restarts\":4", "\"restart\":4", "restarts"},
        {"\"rotate\"", "\"rotated\"", "rotated"},
        {"\"version\":1", "\"version\":2", "version"},
        {"\"s1\"", "\"s2\"", "another server"},
        {"\"demo\"", "\"other\"", "another cluster"},
        {"\"many\"", "\"lots\"", "lots"},
        {"\"from\":2", "\"from\":\"2\"", "from"},
        {"\"prepare\"}", "\"prepare-and-much-more\"}", "call"},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        struct agent_state s = sample();
        struct error err = ERROR_INIT;
        assert_int_equal(state_save(&f->dir, &s, NULL), 0);
        put(f, cases[i].from, cases[i].to);
        assert_int_equal(state_load(&f->dir, &s, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, "agent.json"));
        assert_non_null(strstr(err.text, cases[i].what));
    }
}

/* Written before there were calls. */
static void test_earlier(void **state)
{
    struct fixture *f = *state;
    struct agent_state s = sample(), back;
    assert_int_equal(state_save(&f->dir, &s, NULL), 0);
    put(f, ",\"from\":2,\"call\":\"prepare\"", "");
    assert_int_equal(state_load(&f->dir, &back, NULL), 0);
    assert_int_equal(back.job.order.id, 9);
    assert_int_equal(back.job.order.from, 0);
    assert_string_equal(back.job.order.call, "");
}

/* Only the file's record crosses over from the other process, and only from a newer save. */
static void test_refresh(void **state)
{
    struct fixture *f = *state;
    struct agent_state daemon = sample(), sync;
    assert_int_equal(state_save(&f->dir, &daemon, NULL), 0);
    assert_false(state_refresh(&f->dir, &daemon));
    assert_int_equal(state_load(&f->dir, &sync, NULL), 0);
    sync.file.written.generation = 8;
    sync.fence = 1;
    assert_int_equal(state_save(&f->dir, &sync, NULL), 0);
    assert_true(state_refresh(&f->dir, &daemon));
    assert_int_equal(daemon.file.written.generation, 8);
    assert_int_equal(daemon.fence, 77);
    assert_int_equal(daemon.seq, 2);
}

static void test_failed_save_keeps_seq(void **state)
{
    struct fixture *f = *state;
    struct agent_state s = sample();
    struct state_dir gone = f->dir;
    snprintf(gone.path, sizeof(gone.path), "%s/none", f->root);
    assert_int_not_equal(state_save(&gone, &s, NULL), 0);
    assert_int_equal(s.seq, 0);
}

static void test_lock(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(state_lock(&f->dir, 1000, NULL), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct state_dir other;
        struct error err = ERROR_INIT;
        int rc = state_dir_open(&other, f->path, "demo", "s1", NULL);
        int64_t before = clock_mono_ms();
        rc = rc < 0 ? rc : state_lock(&other, 100, &err);
        _exit(rc == ERR_TIMEOUT && clock_mono_ms() - before >= 100 && strstr(err.text, "lock") ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    state_unlock(&f->dir);
    struct state_dir other;
    assert_int_equal(state_dir_open(&other, f->path, "demo", "s1", NULL), 0);
    assert_int_equal(state_lock(&other, 100, NULL), 0);
    state_dir_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_private, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_corrupt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_earlier, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refresh, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_save_keeps_seq, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
