/* A server that makes its encryption config itself: it is asked, what it made is checked and sealed, and
 * others take it over. The driver is this test's own; the server is a script. */
#include "bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include <agent/k3s.h>
#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <crypto/crypto.h>

#define K1    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define K2    "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="
#define KEY_1 "{\"name\":\"key1\",\"secret\":\"" K1 "\"}"
#define KEY_2 "{\"name\":\"aescbckey-2026-01-02T03:04:05Z\",\"secret\":\"" K2 "\"}"
#define CONFIG(keys)                                                                                         \
    "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"resources\":["    \
    "{\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"keys\":[" keys "]}},{\"identity\":{}}]}]}"

static const char prepared[] = CONFIG(KEY_1 "," KEY_2);

/* What the "server" does when it is asked: the next file in place, then its own record of it. */
#define MAKES   "cp next .next && mv .next encryption.json\n"
#define RECORDS "cp own-next .next && mv .next own\n"
/* Its API server starts well after that, as a real one does: so what it read is known. */
#define STARTS "sleep 0.3\nrestart"

/* ---------- the driver ---------- */

static struct bench *on; /* the bench of the test that runs */

static void at(char out[PATH_MAX], const char *name)
{
    assert_true(snprintf(out, PATH_MAX, "%s/%s", on->dir, name) < PATH_MAX);
}

static int restart(const struct config *c, struct driver_command *ret, struct error *err)
{
    return driver_exec.restart(c, ret, err);
}

static int call(const struct config *c, const char *what, struct driver_command *ret, struct error *err)
{
    static char program[PATH_MAX];
    if (!k3s_body(what, false))
        return error_set(err, ERR_UNSUPPORTED, "'%.16s' is no call", what);
    at(program, "call");
    ret->argv[0] = program;
    ret->argv[1] = what;
    ret->timeout_s = c->exec_timeout_s;
    return 0;
}

static int own(const struct config *c, struct driver_own *ret, struct error *err)
{
    (void)c;
    _cleanup_(buf_freep) struct buf text = BUF_INIT(4096);
    char path[PATH_MAX];
    at(path, "own");
    int rc = file_read(path, 4096, &text, err);
    return rc < 0 ? rc : k3s_own_parse(buf_str(&text), ret, err);
}

static const struct driver owned = {.name = "owned", .restart = restart, .call = call, .own = own};

/* ---------- the bench ---------- */

static void put(const char *name, const char *text, mode_t mode)
{
    char path[PATH_MAX];
    at(path, name);
    assert_int_equal(file_write_atomic(path, text, strlen(text), mode, NULL), 0);
}

static void hash_of(const char *text, char out[CLUSTER_HASH_MAX])
{
    assert_int_equal(crypto_sha256_hex(text, strlen(text), out, NULL), 0);
}

static void put_own(const char *name, enum stage stage, const char *text)
{
    char hash[CLUSTER_HASH_MAX], line[CLUSTER_HASH_MAX + 40];
    hash_of(text, hash);
    snprintf(line, sizeof(line), "%s-%s", stage_name(stage), hash);
    put(name, line, 0600);
}

/* The script that answers a call; `asked` gets a line each time. */
static void put_call(const char *body)
{
    char text[2048];
    int n = snprintf(text, sizeof(text), "#!/bin/sh\ncd '%s'\necho \"$1\" >>asked\n%s\n", on->dir, body);
    assert_true(n > 0 && n < (int)sizeof(text));
    put("call", text, 0700);
}

/* What the server is to have next, by its call or by its start. */
static void put_next(enum stage stage, const char *text)
{
    put("next", text, 0600);
    put_own("own-next", stage, text);
}

static void give_call(struct bench *b, int64_t id)
{
    b->order = bench_order(b, id, ORDER_CALL, 2);
    b->order.hash[0] = 0;
    b->order.from = 1;
    b->order.stage = STAGE_PREPARE;
    (void)text_copy(b->order.call, sizeof(b->order.call), "prepare");
    b->seen[0] = 0;
}

static void give_follow(struct bench *b, int64_t id)
{
    b->order = bench_order(b, id, ORDER_FOLLOW, 2);
    b->seen[0] = 0;
}

static size_t lines(const char *name)
{
    char path[PATH_MAX];
    size_t n = 0;
    at(path, name);
    if (access(path, F_OK) != 0)
        return 0;
    char *text = bench_read(path);
    for (const char *p = text; (p = strchr(p, '\n')); p++)
        n++;
    free(text);
    return n;
}

static bool yes(struct bench *b)
{
    (void)b;
    return true;
}

static void assert_state(struct bench *b, enum order_state due)
{
    const struct cluster_report *r = bench_report(b);
    if (r->order_state != due)
        fail_msg("%s: %s", order_state_name(r->order_state), r->order_why);
}

static void assert_nothing_sealed(struct bench *b)
{
    assert_int_equal(b->adoptions, 0);
    assert_int_equal(b->agent.state.file.written.generation, 0);
}

/* ---------- CALL ---------- */

static void test_call(void **state)
{
    struct bench *b = *state;
    char hash[CLUSTER_HASH_MAX];
    hash_of(prepared, hash);
    bench_start_server(b);
    put_next(STAGE_PREPARE, prepared);
    put_call(MAKES RECORDS);
    give_call(b, 1);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_DONE);
    assert_string_equal(b->seen, "none taken done");
    assert_int_equal(lines("asked"), 1);
    assert_int_equal(b->adoptions, 1);
    assert_int_equal(b->adopted.generation, 2);
    assert_int_equal(b->adopted.stage, STAGE_PREPARE);
    assert_string_equal(b->adopted.hash, hash);
    assert_int_equal(strlen(b->adopted.config_id), CLUSTER_HASH_MAX - 1);
    assert_true(b->adopted.vector[0] != 0); /* made with the new key */
    struct cluster_report *r = bench_report(b);
    assert_int_equal(r->generation, 2);
    assert_int_equal(r->stage, STAGE_PREPARE);
    assert_string_equal(r->hash, hash);
    assert_int_equal(r->restarts, 0);
    assert_string_not_equal(r->loaded_hash, hash);
    /* Once is enough, also after a new start. */
    bench_crash(b);
    b->agent.driver = &owned;
    bench_run_while(b, yes, 100);
    assert_int_equal(lines("asked"), 1);
    assert_state(b, ORDER_DONE);
}

/* Killed while the server is asked: the command goes on, or is run once more, which changes nothing. */
static bool not_asked(struct bench *b)
{
    (void)b;
    return lines("asked") == 0;
}

static void test_call_and_crash(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    put_next(STAGE_PREPARE, prepared);
    put_call("while [ ! -e go ]; do sleep 0.02; done\n" MAKES RECORDS);
    give_call(b, 1);
    bench_run_while(b, not_asked, 5000);
    assert_state(b, ORDER_TAKEN);
    assert_int_equal(b->agent.state.job.step, STEP_CALLING);
    bench_crash(b);
    b->agent.driver = &owned;
    bench_run_while(b, yes, 100);
    assert_state(b, ORDER_TAKEN);
    assert_nothing_sealed(b);
    put("go", "", 0600);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_DONE);
    assert_int_equal(b->adoptions, 1);
    assert_int_equal(lines("asked"), 1);
}

/* A later order waits while the server is asked. */
static void test_busy(void **state)
{
    struct bench *b = *state;
    put_next(STAGE_PREPARE, prepared);
    put_call("while [ ! -e go ]; do sleep 0.02; done\n" MAKES RECORDS);
    give_call(b, 1);
    bench_run_while(b, not_asked, 5000);
    give_call(b, 2);
    bench_run_while(b, yes, 100);
    assert_int_equal(b->agent.state.job.order.id, 1);
    put("go", "", 0600);
    give_call(b, 1);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_DONE);
}

static void test_call_fails(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    put_call("echo 's1: the supervisor answers 400: no' >&2; exit 1");
    give_call(b, 1);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "did not make its next config");
    assert_contains(bench_report(b)->order_why, "answers 400: no");
    assert_nothing_sealed(b);
    /* given anew, it is asked anew */
    put_next(STAGE_PREPARE, prepared);
    put_call(MAKES RECORDS);
    give_call(b, 2);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_DONE);
    assert_int_equal(lines("asked"), 2);
}

/* It was done, and said that it failed: the file is nobody's until the server was asked once more. */
static void test_call_done_but_failed(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    put_next(STAGE_PREPARE, prepared);
    put_call(MAKES RECORDS "echo 'took too long' >&2; exit 1");
    give_call(b, 1);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_FAILED);
    assert_nothing_sealed(b);
    put_call("");
    give_call(b, 2);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_DONE);
    assert_int_equal(b->adoptions, 1);
    assert_int_equal(bench_report(b)->generation, 2);
}

/* Whatever else it made is not sealed, and no other server is told to have it. */
static void test_seal_is_refused(void **state)
{
    struct bench *b = *state;
    static const char *const others[] = {
        CONFIG(KEY_2),           /* another key went */
        CONFIG(KEY_2 "," KEY_1), /* it writes already */
        CONFIG(KEY_1),           /* nothing came */
    };
    bench_start_server(b);
    for (size_t i = 0; i < array_len(others); i++) {
        put_next(STAGE_PREPARE, others[i]);
        put_call(MAKES RECORDS);
        give_call(b, (int64_t)i + 1);
        assert_true(bench_run(b, 10000));
        assert_state(b, ORDER_FAILED);
        assert_contains(bench_report(b)->order_why, "was not sealed, and no other server has it");
        assert_contains(bench_report(b)->order_why, "is not 'prepare'");
        assert_null(strstr(bench_report(b)->order_why, K2));
        assert_nothing_sealed(b);
    }
}

static void test_broken_file_is_not_sealed(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    put_next(STAGE_PREPARE, "{\"kind\":\"EncryptionConfig");
    put_call(MAKES RECORDS);
    give_call(b, 1);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "missing or unusable");
    assert_nothing_sealed(b);
}

/* Its own record follows the file a moment later: only then is it sealed. Should it not, it is told. */
static void test_record_lags(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    put_next(STAGE_PREPARE, prepared);
    put_call(MAKES);
    give_call(b, 1);
    bench_run_while(b, yes, 700);
    assert_state(b, ORDER_TAKEN);
    assert_contains(bench_report(b)->order_why, "lags behind");
    assert_nothing_sealed(b);
    put_own("own", STAGE_PREPARE, prepared);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_DONE);
    assert_int_equal(b->adoptions, 1);
}

static void test_record_never_follows(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    put_next(STAGE_PREPARE, prepared);
    put_call(MAKES);
    give_call(b, 1);
    assert_true(bench_run(b, 20000));
    assert_state(b, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "lags behind");
    assert_nothing_sealed(b);
}

static void test_store_is_away(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    put_next(STAGE_PREPARE, prepared);
    put_call(MAKES RECORDS);
    b->fetch_transient = 1;
    b->adopt_transient = 1;
    give_call(b, 1);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_DONE);
    assert_int_equal(lines("asked"), 1);
    assert_int_equal(b->adoptions, 1);
}

/* The coordinator's config names another driver than this server's. */
static void test_no_call_with_this_driver(void **state)
{
    struct bench *b = *state;
    b->agent.driver = &driver_exec;
    put_call(MAKES);
    give_call(b, 1);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "no server makes its encryption config itself");
    assert_int_equal(lines("asked"), 0);
    assert_nothing_sealed(b);
}

/* In the middle of a rotation of its own, nothing is taken over. */
static void test_adopt(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    put_own("own", STAGE_ROTATE, b->texts[1]);
    b->order = bench_order(b, 1, ORDER_ADOPT, 1);
    assert_true(bench_run(b, 5000));
    assert_state(b, ORDER_REFUSED);
    assert_contains(bench_report(b)->order_why, "in the middle of a rotation (rotate)");
    assert_nothing_sealed(b);
    put_own("own", STAGE_REENCRYPT_FINISHED, b->texts[1]);
    b->order = bench_order(b, 2, ORDER_ADOPT, 1);
    assert_true(bench_run(b, 5000));
    assert_state(b, ORDER_DONE);
    assert_int_equal(b->adopted.stage, STAGE_REENCRYPT_FINISHED);
    assert_int_equal(bench_report(b)->stage, STAGE_REENCRYPT_FINISHED);
}

/* ---------- FOLLOW ---------- */

static void test_follow(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    put_next(STAGE_PREPARE, b->texts[2]);
    bench_script(b, MAKES RECORDS STARTS);
    give_follow(b, 1);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_DONE);
    assert_string_equal(b->seen, "none taken restarting done");
    struct cluster_report *r = bench_report(b);
    assert_int_equal(r->restarts, 1);
    assert_int_equal(r->generation, 2);
    assert_int_equal(r->stage, STAGE_PREPARE);
    assert_string_equal(r->loaded_hash, b->hashes[2]);
    assert_int_equal(b->adoptions, 0);
    assert_int_equal(b->fetches, 0); /* it is handed on by the servers, not by us */
    /* told again: there is nothing to do */
    give_follow(b, 2);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_DONE);
    assert_int_equal(bench_report(b)->restarts, 1);
}

/* The first start is too early, the second has it. */
static void test_follow_at_the_second_time(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    put_next(STAGE_PREPARE, b->texts[2]);
    bench_script(b, "if [ -e times ]; then\n" MAKES RECORDS "fi\necho >>times\n" STARTS);
    give_follow(b, 1);
    assert_true(bench_run(b, 20000));
    assert_state(b, ORDER_DONE);
    assert_int_equal(bench_report(b)->restarts, 2);
    assert_string_equal(bench_report(b)->loaded_hash, b->hashes[2]);
}

/* It keeps its file, however often it is restarted: three times, and no more. */
static void test_follower_stays(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    bench_script(b, "echo >>times\nrestart");
    give_follow(b, 1);
    assert_true(bench_run(b, 30000));
    assert_state(b, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "keeps coming back with another encryption config");
    assert_int_equal(bench_report(b)->restarts, 3);
    assert_int_equal(lines("times"), 3);
    bench_run_while(b, yes, 100);
    assert_int_equal(lines("times"), 3);
    char *text = bench_read(b->file);
    assert_string_equal(text, b->texts[1]);
    free(text);
}

/* It has the file, and says that it is at another stage: that is not what was ordered. */
static void test_other_stage(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    put_next(STAGE_START, b->texts[2]);
    bench_script(b, MAKES RECORDS STARTS);
    give_follow(b, 1);
    assert_true(bench_run(b, 30000));
    assert_state(b, ORDER_FAILED);
    assert_int_equal(bench_report(b)->stage, STAGE_START);
    put_next(STAGE_PREPARE, b->texts[2]);
    give_follow(b, 2);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_DONE);
    assert_int_equal(bench_report(b)->stage, STAGE_PREPARE);
}

static void test_restart_fails(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    bench_script(b, "echo 'Job for k3s.service failed' >&2; exit 1");
    give_follow(b, 1);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "Job for k3s.service failed");
    assert_int_equal(bench_report(b)->restarts, 1);
}

static void test_never_ready(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    put_next(STAGE_PREPARE, b->texts[2]);
    bench_script(b, MAKES RECORDS STARTS);
    (void)text_copy(b->not_ready_hash, sizeof(b->not_ready_hash), b->hashes[2]);
    give_follow(b, 1);
    assert_true(bench_run(b, 30000));
    assert_state(b, ORDER_FAILED);
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
    put_next(STAGE_PREPARE, b->texts[2]);
    bench_script(b, "ls state | grep -c replaced >times\n" MAKES RECORDS STARTS);
    give_follow(b, 1);
    assert_true(bench_run(b, 10000));
    assert_state(b, ORDER_DONE);
    assert_int_equal(copies(b, path), 1);
    char *kept = bench_read(path);
    assert_string_equal(kept, b->texts[0]);
    free(kept);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    at(path, "times");
    char *before = bench_read(path);
    assert_string_equal(before, "1\n"); /* it was there before the restart */
    free(before);
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
    give_follow(b, 1);
    agent_offer(&b->agent, &b->order);
    at(path, "state/lock");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    bool ended = bench_run(b, 20000);
    close(fd);
    assert_true(ended);
    assert_state(b, ORDER_FAILED);
    assert_contains(bench_report(b)->order_why, "nothing was touched");
    assert_contains(bench_report(b)->order_why, "no copy of it could be kept");
    assert_int_equal(lines("times"), 0);
    assert_int_equal(copies(b, path), 0);
}

/* ---------- what is known of its process ---------- */

static void *end_server(void *arg)
{
    struct bench *b = arg;
    char path[PATH_MAX];
    at(path, "state/lock");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return NULL;
    put("go", "", 0600);
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 300 * 1000 * 1000}, NULL);
    bench_stop_server(b);
    close(fd);
    return b;
}

/* The server ends between the look at its process and the look at its new file: it has not read that one.
 * (Should it end before both, there is nothing to see, and the test passes all the same.) */
static void test_ended_between_two_looks(void **state)
{
    struct bench *b = *state;
    char path[PATH_MAX];
    pthread_t thread;
    void *ended = NULL;
    bench_start_server(b);
    agent_observe(&b->agent, clock_mono_ms(), true);
    agent_observe(&b->agent, clock_mono_ms(), true);
    bench_write(b, b->texts[2]);
    assert_int_equal(pthread_create(&thread, NULL, end_server, b), 0);
    at(path, "go");
    while (access(path, F_OK) != 0) /* it has the lock, which the look at a new file waits for */
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    agent_observe(&b->agent, clock_mono_ms(), true);
    assert_int_equal(pthread_join(thread, &ended), 0);
    assert_non_null(ended);
    assert_string_not_equal(b->agent.state.loaded.hash, b->hashes[2]);
    assert_string_equal(bench_report(b)->hash, b->hashes[2]);
}

/* ---------- what it says of itself ---------- */

static void test_report(void **state)
{
    struct bench *b = *state;
    bench_start_server(b);
    bench_run_while(b, yes, 50);
    assert_true(bench_report(b)->ready);
    assert_int_equal(bench_report(b)->stage, STAGE_START);
    put_own("own", STAGE_ROTATE, b->texts[1]);
    bench_run_while(b, yes, 50);
    assert_int_equal(bench_report(b)->stage, STAGE_ROTATE);
    /* it disagrees with itself: not at once, only when that lasts */
    put_own("own", STAGE_ROTATE, b->texts[3]);
    bench_run_while(b, yes, 50);
    assert_true(bench_report(b)->ready);
    b->agent.seen.own_differs_ms -= 6000;
    assert_false(bench_report(b)->ready);
    assert_contains(bench_report(b)->ready_why, "own record means another encryption config");
    put_own("own", STAGE_ROTATE, b->texts[1]);
    bench_run_while(b, yes, 50);
    assert_true(bench_report(b)->ready);
    assert_string_equal(bench_report(b)->ready_why, "");
}

static int setup(void **state)
{
    struct bench *b = malloc(sizeof(*b));
    bench_open(b);
    on = b;
    b->agent.driver = &owned;
    put_own("own", STAGE_START, b->texts[1]);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    bench_close(*state);
    free(*state);
    return 0;
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(int argc, char **argv)
{
    if (bench_is_server(argc, argv))
        return bench_play_server();
    const struct CMUnitTest tests[] = {
        TEST(test_call),
        TEST(test_call_and_crash),
        TEST(test_busy),
        TEST(test_call_fails),
        TEST(test_call_done_but_failed),
        TEST(test_seal_is_refused),
        TEST(test_broken_file_is_not_sealed),
        TEST(test_record_lags),
        TEST(test_record_never_follows),
        TEST(test_store_is_away),
        TEST(test_no_call_with_this_driver),
        TEST(test_adopt),
        TEST(test_follow),
        TEST(test_follow_at_the_second_time),
        TEST(test_follower_stays),
        TEST(test_other_stage),
        TEST(test_restart_fails),
        TEST(test_never_ready),
        TEST(test_foreign_file_is_copied_first),
        TEST(test_no_copy_no_restart),
        TEST(test_ended_between_two_looks),
        TEST(test_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
