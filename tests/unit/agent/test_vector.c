/* Proof 1a: the keys of the file open the vector of its generation. */
#include "bench.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <crypto/crypto.h>
#include <encryption/config.h>
#include <encryption/envelope.h>

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

/* The vector of generation g under the keys of text k, for the bundle's place of generation `at`. */
static void seal(struct bench *b, int g, int k, int at, const char *plain)
{
    struct encryption_config *c = NULL;
    struct secret *text = NULL;
    struct buf stored = BUF_INIT(4096);
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_bundle_path(path, "demo", at);
    assert_int_equal(encryption_config_parse(b->texts[k], strlen(b->texts[k]), "text", &c, NULL), 0);
    assert_int_equal(envelope_encrypt(c, "secrets", path, plain, strlen(plain), &stored, NULL), 0);
    assert_int_equal(crypto_base64_encode(stored.data, stored.len, &text, NULL), 0);
    assert_true(text->len < CLUSTER_VECTOR_MAX);
    memcpy(b->vectors[g], text->data, text->len);
    b->vectors[g][text->len] = 0;
    secret_free(text);
    buf_free(&stored);
    encryption_config_free(c);
}

static void look(struct bench *b)
{
    assert_int_equal(b->ops.refresh(b->ops.ctx, &b->agent.known, NULL), 0);
    agent_observe(&b->agent, clock_mono_ms(), false);
}

static void test_opens(void **state)
{
    struct bench *b = *state;
    seal(b, 1, 1, 1, CLUSTER_VECTOR_TEXT);
    agent_observe(&b->agent, clock_mono_ms(), false);
    assert_int_equal(bench_report(b)->vector_generation, 0); /* no bundle was read yet */
    look(b);
    assert_int_equal(bench_report(b)->vector_generation, 1);
    assert_string_equal(bench_report(b)->vector_why, "");
    /* Another file: the proof of the one before says nothing of it. */
    bench_write(b, b->texts[2]);
    look(b);
    assert_int_equal(bench_report(b)->generation, 2);
    assert_int_equal(bench_report(b)->vector_generation, 0);
    assert_string_equal(bench_report(b)->vector_why, ""); /* it has none */
    bench_write(b, b->texts[1]);
    look(b);
    assert_int_equal(bench_report(b)->vector_generation, 1);
}

static void test_does_not_open(void **state)
{
    struct bench *b = *state;
    seal(b, 1, 2, 1, CLUSTER_VECTOR_TEXT); /* under key2, which the file does not have */
    seal(b, 2, 2, 2, "another text");
    (void)text_copy(b->vectors[3], CLUSTER_VECTOR_MAX, "no base64");
    for (int g = 1; g <= 3; g++) {
        bench_write(b, b->texts[g]);
        look(b);
        assert_int_equal(bench_report(b)->generation, g);
        assert_int_equal(bench_report(b)->vector_generation, 0);
        assert_contains(bench_report(b)->vector_why, "do not open the test vector of generation");
        assert_null(strstr(bench_report(b)->vector_why, "AAAA"));
    }
}

/* Once a file and generation: a vector that is broken afterwards is not looked at. */
static void test_once(void **state)
{
    struct bench *b = *state;
    seal(b, 1, 1, 1, CLUSTER_VECTOR_TEXT);
    look(b);
    seal(b, 1, 2, 1, CLUSTER_VECTOR_TEXT);
    look(b);
    assert_int_equal(bench_report(b)->vector_generation, 1);
    bench_crash(b);
    look(b);
    assert_int_equal(bench_report(b)->vector_generation, 0);
    assert_string_not_equal(bench_report(b)->vector_why, "");
}

/* An order's file is proved as soon as it stands there, without a word more. */
static void test_after_an_order(void **state)
{
    struct bench *b = *state;
    seal(b, 2, 2, 2, CLUSTER_VECTOR_TEXT);
    bench_start_server(b);
    give(b, 1, ORDER_APPLY, 2);
    assert_true(bench_run(b, 10000));
    look(b);
    assert_int_equal(bench_report(b)->vector_generation, 2);
    assert_file(b, b->texts[2]);
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
        cmocka_unit_test_setup_teardown(test_opens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_does_not_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_after_an_order, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
