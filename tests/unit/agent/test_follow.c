/* Servers that take over the config that the first one made: restarted until they have it, three times at
 * most. */
#include "owned_bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <base/clock.h>
#include <base/text.h>

static void test_follow(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    owned_put_next(STAGE_PREPARE, b->texts[2]);
    bench_script(b, MAKES RECORDS STARTS);
    owned_give_follow(b, 1);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_DONE);
    assert_string_equal(b->seen, "none taken restarting done");
    struct cluster_report *r = bench_report(b);
    assert_int_equal(r->restarts, 1);
    assert_int_equal(r->generation, 2);
    assert_int_equal(r->stage, STAGE_PREPARE);
    assert_string_equal(r->loaded_hash, b->hashes[2]);
    assert_int_equal(b->adoptions, 0);
    assert_int_equal(b->fetches, 0); /* it is handed on by the servers, not by us */
    /* told again: there is nothing to do */
    owned_give_follow(b, 2);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_DONE);
    assert_int_equal(bench_report(b)->restarts, 1);
}

/* The first start is too early, the second has it. */
static void test_follow_at_the_second_time(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    owned_put_next(STAGE_PREPARE, b->texts[2]);
    bench_script(b, "if [ -e times ]; then\n" MAKES RECORDS "fi\necho >>times\n" STARTS);
    owned_give_follow(b, 1);
    assert_true(bench_run(b, 20000));
    owned_assert_state(b, ORDER_DONE);
    assert_int_equal(bench_report(b)->restarts, 2);
    assert_string_equal(bench_report(b)->loaded_hash, b->hashes[2]);
}

/* It keeps its file, however often it is restarted: three times, and no more. */
static void test_follower_stays(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    bench_script(b, "echo >>times\nrestart");
    owned_give_follow(b, 1);
    assert_true(bench_run(b, 30000));
    owned_assert_state(b, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "keeps coming back with another encryption config");
    assert_int_equal(bench_report(b)->restarts, 3);
    assert_int_equal(owned_lines("times"), 3);
    bench_run_while(b, owned_yes, 100);
    assert_int_equal(owned_lines("times"), 3);
    char *text = bench_read(b->file);
    assert_string_equal(text, b->texts[1]);
    free(text);
}

/* It has the file, and says that it is at another stage: that is not what was ordered. */
static void test_other_stage(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    owned_put_next(STAGE_START, b->texts[2]);
    bench_script(b, MAKES RECORDS STARTS);
    owned_give_follow(b, 1);
    assert_true(bench_run(b, 30000));
    owned_assert_state(b, ORDER_FAILED);
    assert_int_equal(bench_report(b)->stage, STAGE_START);
    owned_put_next(STAGE_PREPARE, b->texts[2]);
    owned_give_follow(b, 2);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_DONE);
    assert_int_equal(bench_report(b)->stage, STAGE_PREPARE);
}

static void test_restart_fails(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    bench_script(b, "echo 'Job for k3s.service failed' >&2; exit 1");
    owned_give_follow(b, 1);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "Job for k3s.service failed");
    assert_int_equal(bench_report(b)->restarts,
                     3); /* the first may have met an election of its datastore's */
}

/* Its first start fails, and before that is told the service manager has started it again by itself. */
static void test_came_up_by_itself(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    owned_put_next(STAGE_PREPARE, b->texts[2]);
    bench_script(b, MAKES RECORDS STARTS "\necho 'Job for k3s.service failed' >&2; exit 1");
    owned_give_follow(b, 1);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_DONE);
    assert_int_equal(bench_report(b)->restarts, 1);
    assert_string_equal(bench_report(b)->loaded_hash, b->hashes[2]);
}

static void test_never_ready(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    owned_put_next(STAGE_PREPARE, b->texts[2]);
    bench_script(b, MAKES RECORDS STARTS);
    (void)text_copy(b->not_ready_hash, sizeof(b->not_ready_hash), b->hashes[2]);
    owned_give_follow(b, 1);
    assert_true(bench_run(b, 30000));
    owned_assert_state(b, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "did not come ready in time");
    assert_int_equal(bench_report(b)->restarts, 3);
}

/* A file that nobody issued is overwritten by its server: a copy is kept first. */
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

static void test_foreign_file_is_copied_first(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    struct stat st;
    bench_start_server(b);
    bench_write(b, b->texts[0]);
    owned_put_next(STAGE_PREPARE, b->texts[2]);
    bench_script(b, "ls state | grep -c replaced >times\n" MAKES RECORDS STARTS);
    owned_give_follow(b, 1);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_DONE);
    assert_int_equal(copies(b, path), 1);
    char *kept = bench_read(path);
    assert_string_equal(kept, b->texts[0]);
    free(kept);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    owned_path(path, "times");
    char *before = bench_read(path);
    assert_string_equal(before, "1\n"); /* it was there before the restart */
    free(before);
}

static void split_roles(struct bench *b, const char *role)
{
    static char k3s[] = "k3s", url[] = "http://127.0.0.1:1";
    static char name[8];
    (void)text_copy(name, sizeof(name), role);
    b->config.driver = k3s;
    b->config.servers_count = 1;
    (void)text_copy(b->config.servers[0].name, sizeof(b->config.servers[0].name), "s1");
    b->config.servers[0].api = url;
    b->config.servers[0].role = name;
    b->agent.finder.program = k3s; /* which writes the file while it starts */
    b->agent.finder.pid_file = b->pid;
}

/* Ready at the first look, with a file that is younger than the process: with an API server nobody knows what
 * it read; without one nothing read it, and the file that stands there then is the one that counts. */
static void test_without_an_api_server(void **state)
{
    struct bench *b = *state;
    static const char *const roles[] = {"", "etcd"};
    for (size_t i = 0; i < array_len(roles); i++) {
        split_roles(b, roles[i]);
        bench_write(b, b->texts[1]);
        bench_start_server(b);
        bench_write(b, b->texts[2]);
        agent_observe(&b->agent, clock_mono_ms(), true);
        assert_string_equal(bench_report(b)->loaded_hash, i == 1 ? b->hashes[2] : "");
        bench_write(b, b->texts[3]);
        agent_observe(&b->agent, clock_mono_ms(), true);
        assert_string_equal(bench_report(b)->loaded_hash, i == 1 ? b->hashes[2] : "");
        bench_stop_server(b);
    }
}

/* The file comes right behind a look at the server, which is ready before the next one is due. */
static void test_file_and_ready_between_two_looks(void **state)
{
    struct bench *b = *state;
    split_roles(b, "");
    b->ready = false;
    bench_start_server(b);
    agent_observe(&b->agent, clock_mono_ms(), true);
    bench_write(b, b->texts[2]);
    agent_observe(&b->agent, clock_mono_ms(), false);
    b->ready = true;
    agent_observe(&b->agent, clock_mono_ms() + 60000, false);
    assert_true(bench_report(b)->ready);
    assert_string_equal(bench_report(b)->loaded_hash, b->hashes[2]);
}

/* Restarted once: it writes the file after its process was there, and is ready after that. */
static void test_follow_without_an_api_server(void **state)
{
    struct bench *b = *state;
    split_roles(b, "etcd");
    bench_start_server(b);
    agent_observe(&b->agent, clock_mono_ms(), true);
    assert_string_equal(bench_report(b)->loaded_hash, b->hashes[1]);
    owned_put_next(STAGE_PREPARE, b->texts[2]);
    bench_script(b, "restart\nsleep 0.3\n" MAKES RECORDS);
    (void)text_copy(b->not_ready_hash, sizeof(b->not_ready_hash), b->hashes[1]);
    owned_give_follow(b, 1);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_DONE);
    assert_int_equal(bench_report(b)->restarts, 1);
    assert_string_equal(bench_report(b)->loaded_hash, b->hashes[2]);
}

static pid_t first_server;

/* Asked while the next server starts, it answers when that has written its file and is ready. */
static int ready_when_started(void *ctx, struct error *err)
{
    struct bench *b = ctx;
    const struct process_found *p = &b->agent.seen.process;
    (void)err;
    if (p->count == PROCESS_ONE && p->id.pid != first_server &&
        strcmp(b->agent.seen.file.hash, b->hashes[1]) == 0) {
        bench_write(b, b->texts[2]);
        owned_put_record("own", STAGE_PREPARE, b->texts[2]);
    }
    return 0;
}

/* The file is looked at before the answer to whether it is ready: that takes seconds while it starts, and the
 * answer is of the time when the start is over. */
static void test_started_while_it_is_asked(void **state)
{
    struct bench *b = *state;
    split_roles(b, "etcd");
    first_server = bench_start_server(b);
    agent_observe(&b->agent, clock_mono_ms(), true);
    assert_string_equal(bench_report(b)->loaded_hash, b->hashes[1]);
    b->ops.ready = ready_when_started;
    bench_script(b, "restart\nsleep 0.3\n");
    owned_give_follow(b, 1);
    assert_true(bench_run(b, 10000));
    owned_assert_state(b, ORDER_DONE);
    assert_int_equal(bench_report(b)->restarts, 1);
    assert_string_equal(bench_report(b)->loaded_hash, b->hashes[2]);
}

/* `sync` holds the folder: no copy can be kept, so that nothing is restarted. */
static void test_no_copy_no_restart(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    bench_start_server(b);
    bench_write(b, b->texts[0]);
    bench_script(b, "echo >>times\nrestart");
    agent_observe(&b->agent, clock_mono_ms(), true);
    owned_give_follow(b, 1);
    agent_offer(&b->agent, &b->order);
    owned_path(path, "state/lock");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    bool ended = bench_run(b, 20000);
    close(fd);
    assert_true(ended);
    owned_assert_state(b, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "nothing was touched");
    assert_contains(bench_report(b)->order_why, "no copy of it could be kept");
    assert_int_equal(owned_lines("times"), 0);
    assert_int_equal(copies(b, path), 0);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, owned_setup, owned_teardown)

int main(int argc, char **argv)
{
    if (bench_is_server(argc, argv))
        return bench_play_server();
    const struct CMUnitTest tests[] = {
        TEST(test_follow),
        TEST(test_follow_at_the_second_time),
        TEST(test_follower_stays),
        TEST(test_other_stage),
        TEST(test_restart_fails),
        TEST(test_came_up_by_itself),
        TEST(test_never_ready),
        TEST(test_foreign_file_is_copied_first),
        TEST(test_no_copy_no_restart),
        TEST(test_without_an_api_server),
        TEST(test_file_and_ready_between_two_looks),
        TEST(test_follow_without_an_api_server),
        TEST(test_started_while_it_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
