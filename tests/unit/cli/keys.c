#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <report/keys.h>

#include "fixture.h"

/* One key in each state; another scan than the list counted them. */
static struct cluster_snapshot *keys(void)
{
    struct cluster_snapshot *s = fixture_cluster(1, "s");
    struct cluster_key_info *k = fixture_key(s, "aescbckey", KEY_RETIRED);
    k->created_ms = 0;
    k->writes = 77000;
    k->until_ms = NOW_MS + 90 * 86400000LL;
    k = fixture_key(s, "lost", KEY_RETIRED);
    k->writes = 1;
    k->until_ms = NOW_MS + 1000;
    fixture_key(s, "readable", KEY_READABLE)->since_ms = 0;
    k = fixture_key(s, "aescbckey-2023-11-13T22:15:00Z\033[31m", KEY_ACTIVE);
    k->since_revision = 8000;
    s->escrow_count = 1;
    s->escrow[0].until_ms = NOW_MS + 90 * 86400000LL;
    text_copy(s->escrow[0].provider, sizeof(s->escrow[0].provider), "aescbc");
    text_copy(s->escrow[0].name, CLUSTER_KEY_NAME_MAX, "aescbckey");
    s->has_reencrypt = true;
    s->reencrypt.scan_revision = 9000;
    s->reencrypt.keys_count = 2;
    text_copy(s->reencrypt.keys[0].provider, sizeof(s->reencrypt.keys[0].provider), "aescbc");
    text_copy(s->reencrypt.keys[0].name, CLUSTER_KEY_NAME_MAX, k->name);
    s->reencrypt.keys[0].values = 5000;
    text_copy(s->reencrypt.keys[1].provider, sizeof(s->reencrypt.keys[1].provider), "secretbox");
    text_copy(s->reencrypt.keys[1].name, CLUSTER_KEY_NAME_MAX, "readable"); /* another provider's */
    s->reencrypt.keys[1].values = 9;
    return s;
}

static void test_goldens(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t revision;
        bool json, empty;
    } rows[] = {
        {"keys/reachable.txt", 12345, false, false}, {"keys/reachable.json", 12345, true, false},
        {"keys/unreachable.txt", 0, false, false},   {"keys/unreachable.json", 0, true, false},
        {"keys/none.txt", 0, false, true},           {"keys/none.json", 0, true, true},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        _cleanup_free_ struct cluster_snapshot *s = rows[i].empty ? fixture_cluster(1, "s") : keys();
        _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
        struct error err = ERROR_INIT;
        int rc = rows[i].json ? render_keys_json(s, rows[i].revision, &out, &err)
                              : render_keys_text(s, rows[i].revision, &out, &err);
        if (rc < 0)
            fail_msg("%s: %s", rows[i].name, err.text);
        fixture_compare(rows[i].name, &out);
    }
}

static void test_writes(void **state)
{
    (void)state;
    static struct cluster_snapshot none, counted;
    counted.has_schedule = true;
    counted.schedule.writes_since = 100;
    counted.schedule.writes = 7;
    const struct cluster_snapshot *s = &none;
    struct cluster_key_info k = {.state = KEY_ACTIVE, .since_revision = 100, .writes = 5};
    assert_int_equal(key_writes(&counted, &k, 150), 7);
    assert_int_equal(key_writes(&counted, &k, 0), 7);
    assert_int_equal(key_writes(s, &k, 150), 50);
    assert_int_equal(key_writes(s, &k, 100), 0);
    assert_int_equal(key_writes(s, &k, 99), -1); /* another datastore, or an older copy of it */
    assert_int_equal(key_writes(s, &k, 0), -1);
    k.since_revision = 90; /* the count is of another time */
    assert_int_equal(key_writes(&counted, &k, 150), 60);
    k.since_revision = 0;
    assert_int_equal(key_writes(s, &k, 150), -1);
    k.state = KEY_READABLE;
    assert_int_equal(key_writes(s, &k, 150), 5);
    k.state = KEY_RETIRED;
    assert_int_equal(key_writes(s, &k, 0), 5);
}

static void test_values(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = keys();
    assert_int_equal(key_values(s, &s->keys.keys[3]), 5000);
    assert_int_equal(key_values(s, &s->keys.keys[2]), 0);
    s->reencrypt.scan_revision = 0;
    assert_int_equal(key_values(s, &s->keys.keys[3]), -1);
}

static void test_escrow(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = keys();
    assert_int_equal(key_escrow_until(s, &s->keys.keys[0]), NOW_MS + 90 * 86400000LL);
    assert_int_equal(key_escrow_until(s, &s->keys.keys[1]), 0);
    s->escrow_count = SNAPSHOT_ESCROW_MAX; /* not all of them are in the snapshot */
    assert_int_equal(key_escrow_until(s, &s->keys.keys[1]), NOW_MS + 1000);
}

static void test_full_list(void **state)
{
    (void)state;
    _cleanup_free_ struct cluster_snapshot *s = fixture_cluster(1, "s");
    while (s->keys.keys_count < CLUSTER_KEY_BOOK_MAX)
        fixture_key(s, "k", KEY_RETIRED);
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536), small = BUF_INIT(100);
    assert_int_equal(render_keys_text(s, 1, &out, NULL), 0);
    size_t lines = 0;
    for (const char *p = buf_str(&out); *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, CLUSTER_KEY_BOOK_MAX + 1);
    assert_int_equal(render_keys_text(s, 1, &small, NULL), ERR_TOO_LARGE);
    assert_int_equal(render_keys_json(s, 1, &small, NULL), ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens), cmocka_unit_test(test_writes),    cmocka_unit_test(test_values),
        cmocka_unit_test(test_escrow),  cmocka_unit_test(test_full_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
