/* Repair orders: over whatever stands there, of which a copy is kept. */
#include "bench.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>

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

/* How many copies there are; the last one's path in `path`. */
static int copies(struct bench *b, char path[PATH_MAX])
{
    int n = 0;
    DIR *d = opendir(b->state);
    for (struct dirent *e = NULL; d && (e = readdir(d));)
        if (strncmp(e->d_name, PLACE_REPLACED, strlen(PLACE_REPLACED)) == 0) {
            n++;
            assert_true(snprintf(path, PATH_MAX, "%s/%s", b->state, e->d_name) < PATH_MAX);
        }
    if (d)
        closedir(d);
    return n;
}

static const char broken[] = "{\"kind\":\"EncryptionConfig";

/* Edited while the API server goes on with what it loaded: no restart is needed. */
static void test_edited(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    struct stat st;
    bench_start_server(b);
    settle(b, 1, 2);
    bench_write(b, b->texts[0]);
    give(b, 2, ORDER_REPAIR, 2);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_int_equal(bench_report(b)->restarts, 1); /* that of the order before */
    assert_string_equal(bench_report(b)->file_why, "");
    assert_int_equal(bench_report(b)->loaded_generation, 2);
    assert_file(b, b->texts[2]);
    assert_int_equal(copies(b, path), 1);
    char *kept = bench_read(path);
    assert_string_equal(kept, b->texts[0]);
    free(kept);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_contains(path, "Z-");
    assert_memory_equal(strrchr(path, '-') + 1, b->hashes[0], 8);
}

static void test_broken_and_missing(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    bench_start_server(b);
    settle(b, 1, 2);
    bench_write(b, broken);
    give(b, 2, ORDER_REPAIR, 2);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_int_equal(copies(b, path), 1);
    assert_int_equal(unlink(b->file), 0);
    give(b, 3, ORDER_REPAIR, 2);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_int_equal(copies(b, path), 1); /* there was nothing to keep */
    assert_file(b, b->texts[2]);
}

/* The API server was restarted with the edited file: it has to be restarted again. */
static void test_edited_and_loaded(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    bench_start_server(b);
    settle(b, 1, 2);
    bench_write(b, b->texts[0]);
    agent_observe(&b->agent, clock_mono_ms(), true);
    bench_stop_server(b);
    bench_start_server(b);
    give(b, 2, ORDER_REPAIR, 2);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_int_equal(bench_report(b)->restarts, 2);
    assert_int_equal(bench_report(b)->loaded_generation, 2);
    assert_int_equal(copies(b, path), 1);
}

static void test_nothing_to_repair(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    bench_start_server(b);
    settle(b, 1, 2);
    int fetches = b->fetches;
    give(b, 2, ORDER_REPAIR, 2);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_int_equal(bench_report(b)->restarts, 1);
    assert_int_equal(b->fetches, fetches);
    assert_int_equal(copies(b, path), 0);
}

/* Back to the generation that the cluster has settled on: a known file, so nothing else is kept. */
static void test_older_generation(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    bench_start_server(b);
    settle(b, 1, 2);
    settle(b, 2, 3);
    give(b, 3, ORDER_APPLY, 2);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_REFUSED);
    give(b, 4, ORDER_REPAIR, 2);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_int_equal(bench_report(b)->generation, 2);
    assert_int_equal(copies(b, path), 0);
}

/* A file that the API server never loaded must not be what it is started with when the repair fails. */
static void test_never_loaded_is_not_put_back(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    bench_start_server(b);
    settle(b, 1, 2);
    bench_write(b, b->texts[0]);
    bench_script(b, "echo no such unit; exit 5");
    give(b, 2, ORDER_REPAIR, 3);
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "no such unit");
    assert_file(b, b->texts[3]);
    assert_int_equal(copies(b, path), 1);
}

/* The one that it did run with is. */
static void test_loaded_is_put_back(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    bench_start_server(b);
    settle(b, 1, 2);
    bench_write(b, b->texts[0]);
    agent_observe(&b->agent, clock_mono_ms(), true);
    bench_stop_server(b);
    bench_start_server(b);
    (void)text_copy(b->not_ready_hash, sizeof(b->not_ready_hash), b->hashes[2]);
    give(b, 2, ORDER_REPAIR, 2);
    assert_true(bench_run(b, 20000));
    assert_int_equal(bench_report(b)->order_state, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "the previous file is back and the API server is ready");
    assert_file(b, b->texts[0]);
    assert_int_equal(copies(b, path), 1);
}

/* No room for the copy: then nothing is written over either. */
static void test_no_copy_no_write(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    bench_start_server(b);
    settle(b, 1, 2);
    assert_int_equal(unlink(b->file), 0);
    assert_int_equal(mkfifo(b->file, 0600), 0);
    give(b, 2, ORDER_REPAIR, 2);
    assert_true(bench_run(b, 20000));
    assert_int_equal(bench_report(b)->order_state, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "not a regular file");
    assert_contains(bench_report(b)->order_why, "move it away and ask again");
    assert_int_equal(copies(b, path), 0);
    assert_int_equal(unlink(b->file), 0);
}

/* Killed behind the copy: it is not made twice. */
static void test_crash_behind_the_copy(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    bench_start_server(b);
    settle(b, 1, 2);
    bench_write(b, b->texts[0]);
    agent_observe(&b->agent, clock_mono_ms(), true);
    const struct version present = agent_present(&b->agent);
    const struct place place = {b->file, &b->agent.dir, &b->agent.finder};
    assert_int_equal(place_keep_copy(&place, &present, NULL), 0);
    give(b, 2, ORDER_REPAIR, 2);
    bench_crash(b);
    nanosleep(&(struct timespec){.tv_sec = 1}, NULL); /* another second: another name */
    assert_true(bench_run(b, 10000));
    assert_int_equal(bench_report(b)->order_state, ORDER_DONE);
    assert_int_equal(copies(b, path), 1);
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
        cmocka_unit_test_setup_teardown(test_edited, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_and_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_edited_and_loaded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_to_repair, setup, teardown),
        cmocka_unit_test_setup_teardown(test_older_generation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_never_loaded_is_not_put_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loaded_is_put_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_copy_no_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_behind_the_copy, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
