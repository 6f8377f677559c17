#include "bench.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <base/file.h>
#include <base/text.h>

struct fixture {
    struct bench b;
    struct place place;
    struct version v[BENCH_TEXTS];
};

static int write_generation(struct fixture *f, int from, int to, struct error *err)
{
    struct secret *text = secret_copy(f->b.texts[to], strlen(f->b.texts[to]));
    int rc = place_write(&f->place, &f->b.agent.state, &f->v[from], true, &f->v[to], text, err);
    secret_free(text);
    return rc;
}

static void assert_file(struct fixture *f, int generation)
{
    char *text = bench_read(f->b.file);
    assert_string_equal(text, f->b.texts[generation]);
    free(text);
}

static struct file_record on_disk(struct fixture *f)
{
    struct agent_state s;
    assert_int_equal(state_load(&f->b.agent.dir, &s, NULL), 0);
    return s.file;
}

static void test_write(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    char previous[PATH_MAX];
    assert_int_equal(write_generation(f, 1, 2, NULL), 0);
    assert_file(f, 2);
    assert_int_equal(stat(f->b.file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    snprintf(previous, sizeof(previous), "%s/" PLACE_PREVIOUS, f->b.state);
    char *kept = bench_read(previous);
    assert_string_equal(kept, f->b.texts[1]);
    free(kept);
    assert_int_equal(stat(previous, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    struct file_record r = on_disk(f);
    assert_int_equal(r.written.generation, 2);
    assert_int_equal(r.written.stage, f->v[2].stage);
    assert_int_equal(r.previous.generation, 1);
    assert_string_equal(r.intent.hash, "");
    assert_int_equal(r.mark.kind, MARK_NONE);
    assert_true(r.written_ctime_us > 0);
}

static void test_mark_names_the_running_server(void **state)
{
    struct fixture *f = *state;
    pid_t pid = bench_start_server(&f->b);
    assert_int_equal(write_generation(f, 1, 2, NULL), 0);
    struct file_record r = on_disk(f);
    assert_int_equal(r.mark.kind, MARK_ONE);
    assert_int_equal(r.mark.process.pid, pid);
}

static void test_back(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(write_generation(f, 1, 2, NULL), 0);
    assert_int_equal(place_back(&f->place, &f->b.agent.state, NULL), 0);
    assert_file(f, 1);
    struct file_record r = on_disk(f);
    assert_int_equal(r.written.generation, 1);
    assert_string_equal(r.written.hash, f->v[1].hash);
}

static void test_back_refuses_another_file(void **state)
{
    struct fixture *f = *state;
    char previous[PATH_MAX];
    struct error err = ERROR_INIT;
    snprintf(previous, sizeof(previous), "%s/" PLACE_PREVIOUS, f->b.state);
    assert_int_equal(write_generation(f, 1, 2, NULL), 0);
    assert_int_equal(file_write_atomic(previous, "x", 1, 0600, NULL), 0);
    assert_int_equal(place_back(&f->place, &f->b.agent.state, &err), ERR_INVALID);
    assert_contains(err.text, "previous-config");
    assert_file(f, 2);
}

/* Somebody else wrote between the decision and the write. */
static void test_changed_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    bench_write(&f->b, f->b.texts[0]);
    assert_int_equal(write_generation(f, 1, 2, &err), ERR_CONFLICT);
    assert_contains(err.text, f->b.file);
    assert_file(f, 0);
}

static void test_missing_file(void **state)
{
    struct fixture *f = *state;
    struct file_seen seen;
    assert_int_equal(unlink(f->b.file), 0);
    assert_int_equal(place_look(f->b.file, &seen, NULL), 0);
    assert_string_equal(seen.hash, "");
    struct version none = {0};
    struct secret *text = secret_copy(f->b.texts[2], strlen(f->b.texts[2]));
    assert_int_equal(place_write(&f->place, &f->b.agent.state, &none, false, &f->v[2], text, NULL), 0);
    secret_free(text);
    assert_file(f, 2);
    assert_string_equal(on_disk(f).previous.hash, "");
}

static void test_link_is_followed(void **state)
{
    struct fixture *f = *state;
    char link[PATH_MAX];
    struct stat st;
    snprintf(link, sizeof(link), "%s/link.json", f->b.dir);
    assert_int_equal(symlink(f->b.file, link), 0);
    f->place.config_path = link;
    assert_int_equal(write_generation(f, 1, 2, NULL), 0);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_file(f, 2);
}

/* A full disk: the old file stays, whole, and the record says so. */
static void test_no_room(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    struct rlimit before, small;
    struct secret *large = secret_new(100000);
    memset(large->data, ' ', 100000);
    large->len = 100000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 50000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = place_write(&f->place, &f->b.agent.state, &f->v[1], true, &f->v[2], large, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    secret_free(large);
    assert_int_equal(rc, ERR_IO);
    assert_contains(err.text, "File too large");
    assert_file(f, 1);
    assert_string_equal(f->b.agent.state.file.written.hash, "");
    assert_string_equal(f->b.agent.state.file.intent.hash, "");
}

/* The record cannot be made first: nothing is written. */
static void test_no_record_no_write(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    struct rlimit before, small;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 600; /* enough for the config, not for the state */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = write_generation(f, 1, 2, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rc, ERR_IO);
    assert_contains(err.text, "nothing was written");
    assert_file(f, 1);
}

/* A crash between the rename and its record, and one before the rename. */
static void test_settle(void **state)
{
    struct fixture *f = *state;
    struct file_record r = {.written = f->v[1], .intent = f->v[2], .previous = f->v[1]};
    pid_t pid = bench_start_server(&f->b);
    assert_true(place_settle(&f->place, &r));
    assert_int_equal(r.written.generation, 1);
    assert_string_equal(r.intent.hash, "");
    assert_false(place_settle(&f->place, &r));
    r.intent = f->v[2];
    bench_write(&f->b, f->b.texts[2]);
    assert_true(place_settle(&f->place, &r));
    assert_int_equal(r.written.generation, 2);
    assert_int_equal(r.mark.process.pid, pid); /* may have read either */
    assert_int_equal(r.previous.generation, 1);
}

static void test_note(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(write_generation(f, 1, 2, NULL), 0);
    struct file_record r = f->b.agent.state.file;
    assert_false(place_note(&r, &f->v[2]));
    /* The same bytes issued again: mark and previous file stay. */
    struct version again = f->v[2];
    again.generation = 9;
    assert_true(place_note(&r, &again));
    assert_int_equal(r.written.generation, 9);
    assert_string_equal(r.previous.hash, f->v[1].hash);
    /* Another file that somebody else put there. */
    assert_true(place_note(&r, &f->v[3]));
    assert_int_equal(r.written.generation, 3);
    assert_string_equal(r.previous.hash, "");
    assert_int_equal(r.mark.kind, MARK_NEVER);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    bench_open(&f->b);
    f->place = (struct place){f->b.file, &f->b.agent.dir, &f->b.agent.finder};
    for (int i = 0; i < BENCH_TEXTS; i++) {
        f->v[i].generation = i;
        f->v[i].stage = i == 2 ? STAGE_PREPARE : STAGE_START;
        (void)text_copy(f->v[i].hash, sizeof(f->v[i].hash), f->b.hashes[i]);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bench_close(&f->b);
    free(f);
    return 0;
}

int main(int argc, char **argv)
{
    if (bench_is_server(argc, argv))
        return bench_play_server();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mark_names_the_running_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_back_refuses_another_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changed_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_link_is_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_record_no_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_settle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_note, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
