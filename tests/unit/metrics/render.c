#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <base/file.h>
#include <base/text.h>

#include "situations.h"

static void render(const struct cluster_snapshot *s, const struct metrics_process *p, struct buf *out)
{
    struct error err = ERROR_INIT;
    if (metrics_render(s, p, out, &err) < 0)
        fail_msg("%s", err.text);
}

static void assert_says(const struct buf *out, const char *line)
{
    if (!strstr(buf_str(out), line))
        fail_msg("not said: %s\n%.4000s", line, buf_str(out));
}

static void assert_silent(const struct buf *out, const char *text)
{
    if (strstr(buf_str(out), text))
        fail_msg("said: %s", text);
}

static void test_goldens(void **state)
{
    (void)state;
    for (size_t i = 0; i < situations_count; i++) {
        _cleanup_free_ struct cluster_snapshot *s = NULL;
        _cleanup_(buf_freep) struct buf out = BUF_INIT(METRICS_MAX_BYTES);
        struct metrics_process p;
        char name[64];
        situation_make(&situations[i], &s, &p);
        render(s, &p, &out);
        snprintf(name, sizeof(name), "metrics/%s.txt", situations[i].name);
        fixture_compare(name, &out);
    }
}

static void test_without_snapshot_the_process_alone(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(METRICS_MAX_BYTES);
    struct metrics_process p = {.store = METRICS_STORE_DOWN};
    render(NULL, &p, &out);
    assert_says(&out, "\nsecrets_encrypt_etcd_up 0\n");
    assert_says(&out, "\nsecrets_encrypt_leader 0\n");
    assert_silent(&out, "secrets_encrypt_server");
    assert_string_equal(buf_str(&out) + out.len - 6, "# EOF\n");
}

static void page_of(const struct cluster_snapshot *s, struct buf *out)
{
    struct metrics_process p = {0};
    buf_reset(out);
    render(s, &p, out);
}

static struct cluster_snapshot *healthy(int servers)
{
    struct cluster_snapshot *s = fixture_cluster(servers, "s");
    text_copy(s->rotation.hash, CLUSTER_HASH_MAX, OLD_HASH);
    return s;
}

/* During a rotation the servers differ, and none of them is odd as long as each has what was issued. */
static void test_a_rotation_makes_nobody_odd(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = healthy(3);
    _cleanup_(buf_freep) struct buf out = BUF_INIT(METRICS_MAX_BYTES);
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_APPEND, STAGE_PREPARE);
    fixture_at_target(s, 0);
    page_of(s, &out);
    assert_says(&out, "\nsecrets_encrypt_hash_mismatch 1\n");
    assert_silent(&out, "secrets_encrypt_server_odd{server=\"s1\"} 1");
    assert_silent(&out, "secrets_encrypt_server_odd{server=\"s2\"} 1");
    assert_silent(&out, "secrets_encrypt_drift{server=\"s1\"} 1");
    memset(s->servers[2].report.hash, '4', CLUSTER_HASH_MAX - 1);
    page_of(s, &out);
    assert_says(&out, "\nsecrets_encrypt_drift{server=\"s3\"} 1\n");
    assert_says(&out, "\nsecrets_encrypt_drift{server=\"s1\"} 0\n");
}

/* Nothing was adopted yet: the odd one is who differs from most. */
static void test_before_adoption_the_minority_is_odd(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = healthy(3);
    _cleanup_(buf_freep) struct buf out = BUF_INIT(METRICS_MAX_BYTES);
    s->has_rotation = false;
    text_copy(s->servers[0].report.hash, CLUSTER_HASH_MAX, NEW_HASH);
    page_of(s, &out);
    assert_says(&out, "\nsecrets_encrypt_server_odd{server=\"s1\"} 1\n");
    assert_says(&out, "\nsecrets_encrypt_server_odd{server=\"s2\"} 0\n");
    assert_says(&out, "\nsecrets_encrypt_drift{server=\"s1\"} 0\n");
    /* Two that differ: nobody can say which. */
    s->spec.servers_count = s->servers_count = 2;
    page_of(s, &out);
    assert_says(&out, "\nsecrets_encrypt_hash_mismatch 1\n");
    assert_says(&out, "\nsecrets_encrypt_server_odd{server=\"s1\"} 0\n");
    assert_says(&out, "\nsecrets_encrypt_server_odd{server=\"s2\"} 0\n");
}

/* Settled and every file is an issued one, but one server is a generation behind. */
static void test_a_server_that_is_behind_is_odd(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = healthy(3);
    _cleanup_(buf_freep) struct buf out = BUF_INIT(METRICS_MAX_BYTES);
    text_copy(s->servers[1].report.hash, CLUSTER_HASH_MAX, NEW_HASH);
    page_of(s, &out);
    assert_says(&out, "\nsecrets_encrypt_server_odd{server=\"s2\"} 1\n");
    assert_says(&out, "\nsecrets_encrypt_drift{server=\"s2\"} 1\n");
    assert_says(&out, "\nsecrets_encrypt_server_odd{server=\"s3\"} 0\n");
}

static size_t times(const struct buf *out, const char *text)
{
    size_t n = 0;
    for (const char *p = buf_str(out); (p = strstr(p, text)); p++)
        n++;
    return n;
}

/* What differs is a series each; a name that is there twice is one, and a file of another cluster few. */
static void test_differences_are_series_and_few(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = healthy(3);
    _cleanup_(buf_freep) struct buf out = BUF_INIT(METRICS_MAX_BYTES);
    _cleanup_(buf_freep) struct buf layout = BUF_INIT(CLUSTER_LAYOUT_MAX);
    page_of(s, &out);
    assert_int_equal(times(&out, "server_difference_info"), 0);
    for (int i = 0; i < 3; i++)
        fixture_layout(s, i, "e\nr secrets\np aescbc\nk 0000000000000001 a\np identity\n");
    assert_int_equal(buf_adds(&layout, "e\nr secrets\np aescbc\n", NULL), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(buf_addf(&layout, NULL, "k 00000000000000%02d k%d\n", 10 + i, i / 2), 0);
    assert_int_equal(buf_adds(&layout, "p identity\n", NULL), 0);
    fixture_foreign(s, 1, buf_str(&layout));
    page_of(s, &out);
    assert_int_equal(times(&out, "server_difference_info{server=\"s2\""), 8);
    assert_int_equal(times(&out, "server_difference_info"), 8);
    assert_int_equal(
        times(&out, "difference=\"key-extra\",of=\"\",provider=\"aescbc\",key=\"k0\",place=\"1\"} 1"), 1);
}

static void test_labels_are_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *name, *shown;
    } cases[] = {
        {"plain-key_1", "plain-key_1"},
        {"a\"b", "a\\\"b"},
        {"a\\b", "a\\\\\\\\b"},         /* two backslashes, each escaped */
        {"a\nb", "a\\\\x0ab"},          /* one backslash, escaped */
        {"a\\x0ab", "a\\\\\\\\x0ab"},   /* … which the name that looks like it does not become */
        {"\xff\xfe", "\\\\xff\\\\xfe"}, /* no UTF-8 */
        {"\xc3\xa4\xe2\x82\xac", "\xc3\xa4\xe2\x82\xac"},
        {"\xe2\x82", "\\\\xe2\\\\x82"}, /* cut short */
        {"\xed\xa0\x80", "\\\\xed\\\\xa0\\\\x80"},
        {"", ""},
    };
    _cleanup_free_ struct cluster_snapshot *s = healthy(1);
    _cleanup_(buf_freep) struct buf out = BUF_INIT(METRICS_MAX_BYTES);
    struct cluster_key_info *k = fixture_key(s, "x", KEY_ACTIVE);
    for (size_t i = 0; i < array_len(cases); i++) {
        char line[256];
        text_copy(k->name, sizeof(k->name), cases[i].name);
        page_of(s, &out);
        snprintf(line, sizeof(line),
                 "secrets_encrypt_key_info{provider=\"%s\",key=\"%s\",state=\"active\"} 1\n", k->provider,
                 cases[i].shown);
        assert_says(&out, line);
    }
}

static void test_checks_are_counted(void **state)
{
    (void)state;
    struct metrics_preflight got;
    _cleanup_free_ struct cluster_checks *checks = calloc(1, sizeof(*checks));
    text_copy(checks->server, sizeof(checks->server), "s1");
    checks->time_ms = NOW_MS;
    checks->checks_count = 4;
    checks->checks[1].result = CHECK_WARN;
    checks->checks[3].result = CHECK_FAIL;
    checks->checks[4].result = CHECK_FAIL; /* behind the count */
    metrics_preflight_set(checks, &got);
    assert_string_equal(got.server, "s1");
    assert_int_equal(got.time_ms, NOW_MS);
    assert_int_equal(got.results[CHECK_OK], 2);
    assert_int_equal(got.results[CHECK_WARN], 1);
    assert_int_equal(got.results[CHECK_FAIL], 1);
}

/* A series that is there twice makes Prometheus complain about the page. */
static void test_no_key_twice(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = healthy(1);
    _cleanup_(buf_freep) struct buf out = BUF_INIT(METRICS_MAX_BYTES);
    fixture_key(s, "same", KEY_ACTIVE);
    fixture_key(s, "same", KEY_READABLE);
    page_of(s, &out);
    assert_says(&out, "key=\"same\",state=\"active\"");
    assert_silent(&out, "key=\"same\",state=\"readable\"");
}

/* Anybody who can write the state store can put names next to the servers' own. */
static void test_names_that_are_not_authentic_make_no_series(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = healthy(1);
    _cleanup_(buf_freep) struct buf out = BUF_INIT(METRICS_MAX_BYTES);
    for (size_t i = 1; i < SNAPSHOT_SERVERS_MAX; i++)
        snprintf(s->servers[i].name, CLUSTER_NAME_MAX, "made-up-%zu", i);
    s->servers_count = SNAPSHOT_SERVERS_MAX;
    page_of(s, &out);
    assert_silent(&out, "made-up");
    assert_says(&out, "\nsecrets_encrypt_servers_unlisted 2047\n");
}

static void test_the_process_clock_ages_an_old_snapshot(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = healthy(1);
    _cleanup_(buf_freep) struct buf out = BUF_INIT(METRICS_MAX_BYTES);
    struct metrics_process p = {.now_ms = NOW_MS + 31500};
    render(s, &p, &out);
    assert_says(&out, "\nsecrets_encrypt_server_report_age_seconds{server=\"s1\"} 32.500\n");
    /* A server's clock that goes ahead of ours makes no age below 0. */
    p.now_ms = NOW_MS - 60000;
    buf_reset(&out);
    render(s, &p, &out);
    assert_says(&out, "\nsecrets_encrypt_server_report_age_seconds{server=\"s1\"} 0\n");
}

/* What was true a minute ago must not silence an alert. */
static void test_a_stale_snapshot_is_told_no_more(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = healthy(1);
    _cleanup_(buf_freep) struct buf out = BUF_INIT(METRICS_MAX_BYTES);
    struct metrics_process p = {.now_ms = NOW_MS + METRICS_STALE_MS};
    render(s, &p, &out);
    assert_says(&out, "\nsecrets_encrypt_server_ready{server=\"s1\"} 1\n");
    p.now_ms++;
    buf_reset(&out);
    render(s, &p, &out);
    assert_silent(&out, "secrets_encrypt_server");
    assert_says(&out, "\nsecrets_encrypt_snapshot_timestamp_seconds 1700000100\n");
}

static int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts); /* a busy machine is no reason to fail */
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void test_a_large_cluster_is_bounded(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = situation_large(1000);
    _cleanup_(buf_freep) struct buf out = BUF_INIT(METRICS_MAX_BYTES);
    int64_t best = INT64_MAX;
    for (int i = 0; i < 5; i++) {
        int64_t begun = now_us();
        page_of(s, &out);
        best = now_us() - begun < best ? now_us() - begun : best;
    }
    print_message("1000 servers, %zu bytes: %lld us\n", out.len, (long long)best);
    assert_true(out.len < METRICS_MAX_BYTES / 4);
    assert_true(text_is_utf8(out.data, out.len));
}

static void test_no_room_is_an_error(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = healthy(3);
    struct metrics_process p = {0};
    struct error err = ERROR_INIT;
    for (size_t max = 0; max < 3000; max += 97) {
        _cleanup_(buf_freep) struct buf out = BUF_INIT(max);
        assert_int_equal(metrics_render(s, &p, &out, &err), ERR_TOO_LARGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),
        cmocka_unit_test(test_without_snapshot_the_process_alone),
        cmocka_unit_test(test_a_rotation_makes_nobody_odd),
        cmocka_unit_test(test_before_adoption_the_minority_is_odd),
        cmocka_unit_test(test_a_server_that_is_behind_is_odd),
        cmocka_unit_test(test_differences_are_series_and_few),
        cmocka_unit_test(test_labels_are_escaped),
        cmocka_unit_test(test_checks_are_counted),
        cmocka_unit_test(test_no_key_twice),
        cmocka_unit_test(test_names_that_are_not_authentic_make_no_series),
        cmocka_unit_test(test_the_process_clock_ages_an_old_snapshot),
        cmocka_unit_test(test_a_stale_snapshot_is_told_no_more),
        cmocka_unit_test(test_a_large_cluster_is_bounded),
        cmocka_unit_test(test_no_room_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
