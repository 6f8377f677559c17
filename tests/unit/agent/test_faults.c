/* What disks, hands and crashes leave behind: each is named at once, and nothing blocks or is lost. */
#include "bench.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>
#include <sys/resource.h>

static void assert_file(struct bench *b, const char *want)
{
    char *text = bench_read(b->file);
    assert_string_equal(text, want);
    free(text);
}

static void give(struct bench *b, int64_t id, enum order_kind kind, int64_t generation)
{
    b->order = bench_order(b, id, kind, generation);
    b->seen[0] = 0;
}

/* Generation `g` was ordered, and the API server runs with it. */
static void settle(struct bench *b, int64_t id, int64_t g)
{
    give(b, id, ORDER_APPLY, g);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
}

static void look(struct bench *b)
{
    int64_t begin = clock_mono_ms();
    agent_observe(&b->agent, begin, false);
    assert_true(clock_mono_ms() - begin < 2000);
}

static void state_file(struct bench *b, const char *name, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", b->state, name);
}

static void test_named_within_one_look(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    settle(b, 1, 2);
    char *torn = strdup(b->texts[2]);
    torn[strlen(torn) / 2] = 0;
    const char *const texts[] = {torn, "", b->texts[0]};
    for (size_t i = 0; i < array_len(texts); i++) {
        bench_write(b, texts[i]);
        look(b);
        assert_contains(bench_report(b)->file_why, b->file);
        assert_contains(bench_report(b)->file_why, "the API server still runs with generation 2");
        assert_contains(bench_report(b)->file_why, "run secrets-encrypt repair s1");
    }
    free(torn);
    assert_int_equal(unlink(b->file), 0);
    look(b);
    assert_contains(bench_report(b)->file_why, "No such file");
    assert_contains(bench_report(b)->file_why, "run secrets-encrypt repair s1");
    bench_stop_server(b);
    /* The script's server is not our child: it is gone once its parent has taken note. */
    int64_t until = clock_mono_ms() + 5000;
    do
        agent_observe(&b->agent, clock_mono_ms(), true);
    while (b->agent.seen.process.count != PROCESS_NONE && clock_mono_ms() < until);
    assert_contains(bench_report(b)->file_why, "is not known");
    bench_write(b, b->texts[2]);
    look(b);
    assert_string_equal(bench_report(b)->file_why, "");
}

static void check_odd(struct bench *b, const char *why)
{
    look(b);
    assert_string_equal(bench_report(b)->hash, "");
    assert_string_equal(bench_report(b)->config_id, "");
    assert_contains(bench_report(b)->file_why, why);
    assert_contains(bench_report(b)->file_why, "repair s1");
}

/* Whatever stands there instead of the file: looked at without waiting for it. */
static void test_no_regular_file(void **state)
{
    struct bench *b = *state;
    char other[PATH_MAX];
    bench_start_server(b);
    settle(b, 1, 2);
    assert_int_equal(unlink(b->file), 0);
    assert_int_equal(mkfifo(b->file, 0600), 0);
    check_odd(b, "not a regular file");
    give(b, 2, ORDER_APPLY, 3);
    assert_true(bench_run(b, 20000));
    assert_int_equal(bench_report(b)->order_state, ORDER_FAILED);
    assert_int_equal(unlink(b->file), 0);
    assert_int_equal(symlink(b->file, b->file), 0);
    check_odd(b, "symbolic links");
    assert_int_equal(unlink(b->file), 0);
    assert_int_equal(symlink("/dev/zero", b->file), 0);
    check_odd(b, "not a regular file");
    assert_int_equal(unlink(b->file), 0);
    bench_write(b, b->texts[2]);
    assert_int_equal(truncate(b->file, (off_t)PLACE_PRESENT_MAX + 1), 0);
    check_odd(b, "at most");
    assert_int_equal(unlink(b->file), 0);
    /* A link to a file is as good as the file. */
    snprintf(other, sizeof(other), "%s/link.json", b->dir);
    assert_int_equal(file_write_atomic(other, b->texts[2], strlen(b->texts[2]), 0600, NULL), 0);
    assert_int_equal(symlink(other, b->file), 0);
    look(b);
    assert_string_equal(bench_report(b)->file_why, "");
    assert_int_equal(bench_report(b)->generation, 2);
}

static void test_state_is_no_regular_file(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    state_file(b, "agent.json", path);
    bench_start_server(b);
    settle(b, 1, 2);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    bench_crash(b);
    agent_withdraw(&b->agent); /* the coordinator has deleted the order that was done */
    settle(b, 2, 3);
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
}

/* The state folder is gone, and the order was done but still stands there: it is refused, since nobody knows;
 * the API server is not restarted for it again. The next one is taken. */
static void test_lost_state_of_a_done_order(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    static const enum order_kind kinds[] = {ORDER_APPLY, ORDER_REPAIR};
    bench_script(b, "sleep 0.4\nrestart");
    bench_start_server(b);
    for (size_t i = 0; i < array_len(kinds); i++) {
        give(b, 1 + (int64_t)i, kinds[i], 2 + (int64_t)i);
        assert_true(bench_run(b, 10000));
        assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
        state_file(b, "agent.json", path);
        assert_int_equal(unlink(path), 0);
        bench_crash(b);
        assert_true(bench_run(b, 10000));
        assert_int_equal(bench_report(b)->order_state, ORDER_REFUSED);
        assert_non_null(strstr(bench_report(b)->order_why, "lost its memory"));
        assert_int_equal(bench_report(b)->restarts, 0);
        assert_string_not_equal(bench_report(b)->loaded_hash, "");
    }
}

/* Without its memory an agent knows no generation: it reads them before it writes over anything. */
static void test_lost_state_and_a_foreign_file(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    bench_start_server(b);
    settle(b, 1, 2);
    bench_write(b, b->texts[0]);
    state_file(b, "agent.json", path);
    assert_int_equal(unlink(path), 0);
    bench_crash(b);
    assert_int_equal(b->agent.known.count, 0);
    agent_withdraw(&b->agent);
    give(b, 2, ORDER_APPLY, 3);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_REFUSED);
    assert_file(b, b->texts[0]);
}

/* Another machine's state, of another boot: its processes are nobody here. */
static void test_state_of_another_boot(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    settle(b, 1, 2);
    struct agent_state *s = &b->agent.state;
    (void)text_copy(s->loaded.process.boot, PROCESS_BOOT_MAX, "another");
    (void)text_copy(s->seen.mark.boot, PROCESS_BOOT_MAX, "another");
    (void)text_copy(s->file.mark.boot, PROCESS_BOOT_MAX, "another");
    s->seen.ctime_us -= 1000 * 1000;
    s->file.written_ctime_us -= 1000 * 1000;
    assert_int_equal(agent_save(&b->agent, NULL), 0);
    bench_crash(b);
    look(b);
    assert_string_equal(bench_report(b)->loaded_hash,
                        ""); /* it started right after the file changed: not sure */
    assert_int_equal(bench_report(b)->generation, 2);
}

/* No room for anything: the order fails in words, the file stays, and with room it goes on. */
static void test_no_room_for_the_record(void **state)
{
    struct bench *b = *state;
    struct rlimit old, none = {0, RLIM_INFINITY};
    bench_start_server(b);
    settle(b, 1, 2);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    none.rlim_max = old.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    give(b, 2, ORDER_APPLY, 3);
    bool ended = bench_run(b, 10000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_true(ended);
    assert_int_equal(bench_report(b)->order_state, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "nothing was touched");
    assert_file(b, b->texts[2]);
    assert_int_equal(bench_report(b)->restarts, 1);
    settle(b, 3, 3);
}

static int setup(void **state)
{
    struct bench *b = malloc(sizeof(*b));
    assert_non_null(b);
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
        cmocka_unit_test_setup_teardown(test_named_within_one_look, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_regular_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_state_is_no_regular_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_state_of_a_done_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_state_and_a_foreign_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_state_of_another_boot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room_for_the_record, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
