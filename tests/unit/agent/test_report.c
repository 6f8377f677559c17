#include "bench.h"

#include <sys/stat.h>
#include <time.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>
#include <cluster/codec.h>

static void observe(struct bench *b)
{
    agent_observe(&b->agent, clock_mono_ms(), true);
}

static void test_fresh(void **state)
{
    struct bench *b = *state;
    observe(b);
    struct cluster_report *r = bench_report(b);
    assert_string_equal(r->server, "s1");
    assert_string_equal(r->driver, "exec");
    assert_string_equal(r->version, SECRETS_ENCRYPT_VERSION);
    assert_int_equal(strlen(r->instance), 36);
    assert_int_equal(r->time_ms, 1);
    assert_int_equal(r->stage, STAGE_START);
    assert_string_equal(r->hash, b->hashes[1]);
    assert_int_equal(strlen(r->config_id), 64);
    assert_string_equal(r->file_why, "");
    assert_int_equal(r->generation, 0);
    assert_false(r->loaded_known);
    assert_contains(r->process_why, "no process");
    assert_int_equal(r->order_state, ORDER_NONE);
    struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_report_encode(r, &json, NULL), 0);
    struct cluster_report back;
    assert_int_equal(cluster_report_decode(json.data, json.len, &back, NULL), 0);
    buf_free(&json);
}

static void test_bad_files(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "encryption.json"},
        {"{\"kind\":\"EncryptionConfiguration\"", "encryption.json"},
        {"\xff\xfe", "encryption.json"},
        {"[]", "encryption.json"},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        bench_write(b, cases[i].text);
        observe(b);
        struct cluster_report *r = bench_report(b);
        assert_int_equal(strlen(r->hash), 64);
        assert_string_equal(r->config_id, "");
        assert_contains(r->file_why, cases[i].why);
    }
    assert_int_equal(unlink(b->file), 0);
    observe(b);
    assert_string_equal(bench_report(b)->hash, "");
    assert_contains(bench_report(b)->file_why, "No such file");
    char *large = malloc((1 << 20) + 2);
    memset(large, ' ', (1 << 20) + 1);
    large[(1 << 20) + 1] = 0;
    bench_write(b, large);
    free(large);
    observe(b);
    assert_int_equal(strlen(bench_report(b)->hash), 64);
    assert_contains(bench_report(b)->file_why, "encryption.json");
    assert_int_equal(unlink(b->file), 0);
    assert_int_equal(mkdir(b->file, 0700), 0);
    observe(b);
    assert_string_equal(bench_report(b)->hash, "");
    assert_contains(bench_report(b)->file_why, "not a regular file");
    assert_int_equal(rmdir(b->file), 0);
    bench_write(b, b->texts[1]);
    observe(b);
    assert_string_equal(bench_report(b)->file_why, "");
}

/* What stands in the file is said by fingerprints, where there is a key for these; of a file that does not
 * parse, or is gone, nothing is left over. */
static void test_layout(void **state)
{
    struct bench *b = *state;
    observe(b);
    assert_string_equal(bench_report(b)->layout, "");
    b->ops.fingerprint_key = secret_copy("0123456789abcdef0123456789abcdef", 32);
    observe(b);
    assert_string_equal(bench_report(b)->layout, ""); /* the same file is not read again */
    bench_write(b, b->texts[2]);
    observe(b);
    char *two = strdup(bench_report(b)->layout);
    assert_int_equal(strncmp(two, "e\nr secrets\np aescbc\nk ", 23), 0);
    bench_write(b, b->texts[1]);
    observe(b);
    assert_string_not_equal(bench_report(b)->layout, two);
    bench_write(b, "garbage");
    observe(b);
    assert_string_equal(bench_report(b)->layout, "");
    bench_write(b, b->texts[2]);
    observe(b);
    assert_string_equal(bench_report(b)->layout, two);
    assert_int_equal(unlink(b->file), 0);
    observe(b);
    assert_string_equal(bench_report(b)->layout, "");
    free(two);
    secret_free((struct secret *)(uintptr_t)b->ops.fingerprint_key);
    b->ops.fingerprint_key = NULL;
}

static void test_process(void **state)
{
    struct bench *b = *state;
    pid_t pid = bench_start_server(b);
    observe(b);
    struct cluster_report *r = bench_report(b);
    char want[32];
    snprintf(want, sizeof(want), "pid %d since 2", (int)pid);
    assert_contains(r->process, want);
    assert_true(r->loaded_known);
    assert_string_equal(r->process_why, "");
    /* The file was made right before: which one the server read cannot be told. */
    assert_string_equal(r->loaded_hash, "");
    assert_int_equal(r->loaded_generation, 0);
}

static void test_started_long_after_the_file(void **state)
{
    struct bench *b = *state;
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 100 * 1000 * 1000}, NULL);
    bench_start_server(b);
    observe(b);
    assert_string_equal(bench_report(b)->loaded_hash, b->hashes[1]);
    /* Remembered with the process, across an edit and a start of ours. */
    bench_write(b, b->texts[2]);
    observe(b);
    bench_crash(b);
    observe(b);
    assert_string_equal(bench_report(b)->hash, b->hashes[2]);
    assert_string_equal(bench_report(b)->loaded_hash, b->hashes[1]);
}

static void test_generations_by_hash(void **state)
{
    struct bench *b = *state;
    observe(b);
    assert_false(agent_file_foreign(&b->agent)); /* nothing was ever issued */
    b->ops.refresh(b, &b->agent.known, NULL);
    assert_int_equal(bench_report(b)->generation, 1);
    bench_write(b, b->texts[2]);
    observe(b);
    assert_int_equal(bench_report(b)->generation, 2);
    assert_int_equal(bench_report(b)->stage, STAGE_PREPARE);
    assert_false(agent_file_foreign(&b->agent));
    bench_write(b, b->texts[0]);
    observe(b);
    assert_int_equal(bench_report(b)->generation, 0);
    assert_true(agent_file_foreign(&b->agent));
    /* Another layout of a known one is not foreign. */
    (void)text_copy(b->agent.known.bundles[2].config_id, CLUSTER_HASH_MAX, b->agent.seen.config_id);
    assert_false(agent_file_foreign(&b->agent));
}

static void test_readiness(void **state)
{
    struct bench *b = *state;
    b->ready = false;
    observe(b);
    assert_false(bench_report(b)->ready);
    assert_string_equal(bench_report(b)->ready_why, "etcd check failed");
    b->ready = true;
    observe(b);
    assert_true(bench_report(b)->ready);
    assert_string_equal(bench_report(b)->ready_why, "");
    /* A new process is asked at once, not when its time comes. */
    b->ready = false;
    bench_start_server(b);
    b->agent.seen.process_next_ms = 0;
    agent_observe(&b->agent, clock_mono_ms(), false);
    assert_false(bench_report(b)->ready);
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
    if (bench_is_server(argc, argv))
        return bench_play_server();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fresh, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_layout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_started_long_after_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_generations_by_hash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_readiness, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
