/* Exit codes: the table, what leads to which, and that the document says the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/file.h>
#include <base/text.h>
#include <report/exits.h>
#include <report/status.h>

#include "fixture.h"

static void test_codes_are_those_agreed(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *cause;
    } agreed[] = {
        {0, "done"},    {1, "error"},  {2, "usage"},  {3, "mismatch"},    {4, "server"},        {5, "gate"},
        {6, "timeout"}, {7, "halted"}, {8, "denied"}, {9, "unreachable"}, {130, "interrupted"},
    };
    assert_int_equal(exit_rows_count, array_len(agreed));
    for (size_t i = 0; i < array_len(agreed); i++) {
        assert_int_equal(exit_rows[i].code, agreed[i].code);
        assert_string_equal(exit_cause(agreed[i].code), agreed[i].cause);
    }
    assert_string_equal(exit_cause(77), "error");
}

static void test_what_leads_to_which(void **state)
{
    (void)state;
    static const struct {
        int err, code;
    } errors[] = {
        {ERR_DENIED, 8},     {ERR_UNAVAILABLE, 9}, {ERR_TIMEOUT, 9},
        {ERR_CANCELED, 130}, {ERR_INVALID, 1},     {ERR_IO, 1},
    };
    for (size_t i = 0; i < array_len(errors); i++)
        assert_int_equal(exit_of_error(&(struct error){.code = errors[i].err}), errors[i].code);
    assert_int_equal(exit_of_cause(CAUSE_MISMATCH), 3);
    assert_int_equal(exit_of_cause(CAUSE_SERVER), 4);
    assert_int_equal(exit_of_cause(CAUSE_GATE), 5);
    assert_int_equal(exit_of_cause(CAUSE_DENIED), 8);
    assert_int_equal(exit_of_cause(CAUSE_NONE), 1);
}

static void test_the_document(void **state)
{
    (void)state;
    char line[512];
    struct error err = ERROR_INIT;
    _cleanup_(buf_freep) struct buf text = BUF_INIT(1024 * 1024);
    if (file_read(TEST_SOURCE_DIR "/../docs/cli.md", 1024 * 1024, &text, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < exit_rows_count; i++) {
        const struct exit_row *r = &exit_rows[i];
        snprintf(line, sizeof(line), "\n| %d | `%s` | %s |\n", r->code, r->cause, r->meaning);
        if (!strstr(buf_str(&text), line))
            fail_msg("docs/cli.md lacks:%s", line);
    }
}

static void expect_verdict(const struct cluster_snapshot *s, int code, const char *text)
{
    char why[CLUSTER_TEXT_MAX];
    assert_int_equal(status_check(s, 60000, why), code);
    if (*text ? !strstr(why, text) : *why)
        fail_msg("'%s' instead of '%s'", why, text);
}

static void test_status_check(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(3, "s");
    expect_verdict(s, 0, "");
    text_copy(s->unknown_api, sizeof(s->unknown_api), "10.0.0.9:6443 is nobody's");
    expect_verdict(s, 5, "nobody's");
    s->unknown_api[0] = 0;
    s->has_lock = true;
    text_copy(s->lock.holder, sizeof(s->lock.holder), "ann@s1");
    expect_verdict(s, 5, "locked by ann@s1");
    s->leader[0] = 0;
    expect_verdict(s, 9, "no coordinator leads");
    text_copy(s->servers[2].report.loaded_hash, CLUSTER_HASH_MAX, NEW_HASH);
    expect_verdict(s, 3, "s3: its API server runs with another config");
    text_copy(s->servers[2].report.hash, CLUSTER_HASH_MAX, NEW_HASH);
    expect_verdict(s, 3, "hash does not match between s1 and s3; s3: formatting only: ");
    s->servers[1].report.ready = false;
    text_copy(s->servers[1].report.ready_why, CLUSTER_TEXT_MAX, "readyz: 500");
    expect_verdict(s, 4, "s2 is not ready: readyz: 500");
    s->servers[1].report.ready = true;
    s->servers[1].report.time_ms = NOW_MS - 60001;
    expect_verdict(s, 4, "s2: its last report is 60 s old");
    s->servers[0].reports = false;
    expect_verdict(s, 4, "s1: silent");
    fixture_operation(s, OP_ROTATE, PHASE_PROMOTE, STAGE_ROTATE);
    s->rotation.op.state = OP_STATE_HALTED;
    text_copy(s->rotation.op.why, CLUSTER_TEXT_MAX, "s2 went away");
    expect_verdict(s, 7, "rotate is halted: s2 went away");
}

/* Files that are all the same, and none that was issued. */
static void test_check_of_drift(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(2, "s");
    for (int i = 0; i < 2; i++) {
        fixture_foreign(s, i, "");
        text_copy(s->servers[i].report.loaded_hash, CLUSTER_HASH_MAX, FOREIGN_HASH);
    }
    expect_verdict(s, 3, "s1: it is another file than as issued; no server has that one");
    expect_verdict(s, 3, "; s2: it is");
}

/* Put back to the generation before, everywhere, and loaded: alike, and not what they should have. */
static void test_check_of_an_older_generation(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(2, "s");
    s->bundles_count = 2;
    s->bundles[1].generation = s->rotation.generation = s->rotation.issued = 2;
    text_copy(s->bundles[1].hash, CLUSTER_HASH_MAX, NEW_HASH);
    text_copy(s->rotation.hash, CLUSTER_HASH_MAX, NEW_HASH);
    expect_verdict(s, 3, "s1: it is another file than as issued; no server has that one");
}

static void test_the_verdict_as_json(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(1, "s");
    _cleanup_free_ struct key_table *keys = calloc(1, sizeof(*keys));
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
    struct error err = ERROR_INIT;
    const struct status_verdict v = {EXIT_GATE, "locked"};
    s->has_lock = true;
    text_copy(s->lock.holder, sizeof(s->lock.holder), "ann@s1");
    assert_int_equal(render_status_checked(s, keys, &v, &out, &err), 0);
    fixture_compare("status/checked.json", &out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes_are_those_agreed), cmocka_unit_test(test_what_leads_to_which),
        cmocka_unit_test(test_the_document),           cmocka_unit_test(test_status_check),
        cmocka_unit_test(test_check_of_drift),         cmocka_unit_test(test_check_of_an_older_generation),
        cmocka_unit_test(test_the_verdict_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
