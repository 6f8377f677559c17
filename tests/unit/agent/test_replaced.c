/* Copies of what a repair wrote over: how they are named, and which are kept. */
#include "bench.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>

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

static int keep(struct bench *b, const char *text, struct error *err)
{
    const struct place place = {b->file, &b->agent.dir, &b->agent.finder};
    struct version v = {.generation = 0};
    struct file_seen seen;
    bench_write(b, text);
    assert_int_equal(place_look(b->file, &seen, NULL), 0);
    (void)text_copy(v.hash, sizeof(v.hash), seen.hash);
    return place_keep_copy(&place, &v, err);
}

static void touch(struct bench *b, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", b->state, name);
    assert_int_equal(file_write_atomic(path, "x", 1, 0600, NULL), 0);
}

static bool there(struct bench *b, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", b->state, name);
    return access(path, F_OK) == 0;
}

static void test_newest_five(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX], name[64];
    for (int i = 0; i < 7; i++) {
        snprintf(name, sizeof(name), "replaced-2025010%dT000000Z-0000000%d", i + 1, i);
        touch(b, name);
    }
    assert_int_equal(keep(b, "new", NULL), 0);
    assert_int_equal(copies(b, path), PLACE_REPLACED_KEPT);
    assert_false(there(b, "replaced-20250103T000000Z-00000002"));
    assert_true(there(b, "replaced-20250104T000000Z-00000003"));
    assert_true(there(b, "replaced-20250107T000000Z-00000006"));
}

/* The clock was set back since: the new copy stays all the same. */
static void test_clock_set_back(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX], name[64];
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof(name), "replaced-2999010%dT000000Z-0000000%d", i + 1, i);
        touch(b, name);
    }
    assert_int_equal(keep(b, "new", NULL), 0);
    assert_int_equal(keep(b, "new", NULL), 0); /* once is enough */
    assert_int_equal(copies(b, path), PLACE_REPLACED_KEPT);
    assert_false(there(b, "replaced-29990101T000000Z-00000000"));
    int mine = 0;
    DIR *d = opendir(b->state);
    for (struct dirent *e = NULL; d && (e = readdir(d));)
        mine += strncmp(e->d_name, "replaced-20", 11) == 0;
    closedir(d);
    assert_int_equal(mine, 1);
}

static void test_others_are_left(void **state)
{
    struct bench *b = *state;
    static const char *const others[] = {"replaced-by-hand", "replaced-20250101T000000Z-0000000g",
                                         "replaced-20250101T000000Z-000000000"};
    touch(b, ".replaced-20250101T000000Z-00000000.tmp"); /* a crash's */
    for (int i = 0; i < 8; i++)
        for (size_t k = 0; k < array_len(others); k++)
            touch(b, others[k]);
    assert_int_equal(keep(b, "new", NULL), 0);
    assert_false(there(b, ".replaced-20250101T000000Z-00000000.tmp"));
    for (size_t k = 0; k < array_len(others); k++)
        assert_true(there(b, others[k]));
}

static void test_changed_meanwhile(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    const struct place place = {b->file, &b->agent.dir, &b->agent.finder};
    struct version v = {.generation = 0};
    (void)text_copy(v.hash, sizeof(v.hash), b->hashes[3]);
    assert_int_equal(place_keep_copy(&place, &v, NULL), ERR_CONFLICT);
    assert_int_equal(copies(b, path), 0);
    assert_int_equal(unlink(b->file), 0);
    v.hash[0] = 0;
    assert_int_equal(place_keep_copy(&place, &v, NULL), 0);
}

/* No room: an error that says so, and nothing half-made is left. */
static void test_no_room(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    struct error err = ERROR_INIT;
    struct rlimit old, small;
    const struct place place = {b->file, &b->agent.dir, &b->agent.finder};
    struct version v = {.generation = 0};
    (void)text_copy(v.hash, sizeof(v.hash), b->hashes[1]); /* bench_open has written it */
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 10;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = place_keep_copy(&place, &v, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_true(rc < 0);
    assert_contains(err.text, "so it was left");
    assert_int_equal(copies(b, path), 0);
    assert_int_equal(place_keep_copy(&place, &v, NULL), 0);
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
        cmocka_unit_test_setup_teardown(test_newest_five, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clock_set_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_others_are_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changed_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
