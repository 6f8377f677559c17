/* The audit trail over a real etcd: added, listed from the newest, pruned, and no part of a look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <store/audit.h>
#include <store/view.h>

#include "etcd_fixture.h"

#define DEADLINE_MS 5000
#define DAY_MS      (24 * 3600 * INT64_C(1000))
#define NOW_MS      INT64_C(1700000000000)
#define P           "/secrets-encrypt/demo/"

struct bench {
    struct etcd_fixture *fixture;
    struct store *store;
    int64_t fence; /* create revision of the leader key */
};

static int set_up(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    struct etcd_fixture_options options = {.members = 1};
    static char empty[] = "";
    struct config config = {.token_file = empty, .path = empty};
    *state = b;
    if (etcd_fixture_start(&options, &b->fixture) != 0)
        return -1;
    text_copy(config.cluster, sizeof(config.cluster), "demo");
    config.state_store = (struct config_etcd){
        .endpoints_count = 1, .ca_file = empty, .cert_file = empty, .key_file = empty, .server_name = empty};
    config.state_store.endpoints[0] = (char *)etcd_fixture_endpoint(b->fixture, 0);
    _cleanup_(secret_freep) struct secret *token = secret_copy("a token of this cluster", 23);
    assert_int_equal(store_open_with_token(&config, token, &b->store, NULL), 0);
    assert_int_equal(
        etcd_put(store_etcd(b->store), P "leader/holder", "s1", 2, 0, DEADLINE_MS, &b->fence, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    store_free(b->store);
    etcd_fixture_free(b->fixture);
    free(b);
    return 0;
}

static void add(struct bench *b, int64_t time_ms, const char *what)
{
    struct cluster_audit a = {.time_ms = time_ms, .who = "CN=ci", .role = "operator", .result = "accepted"};
    text_copy(a.what, sizeof(a.what), what);
    assert_int_equal(store_audit_add(b->store, &a, DEADLINE_MS, NULL), 0);
}

static void newest_first_page_by_page(void **state)
{
    struct bench *b = *state;
    struct store_audit_entry page[4];
    struct error err = ERROR_INIT;
    size_t count = 0;
    char what[16];
    for (int i = 0; i < 7; i++) {
        snprintf(what, sizeof(what), "w%d", i);
        add(b, NOW_MS + i, what);
    }
    assert_int_equal(store_audit_list(b->store, 4, NULL, DEADLINE_MS, page, &count, &err), 0);
    assert_int_equal(count, 4);
    for (size_t i = 0; i < 4; i++) {
        snprintf(what, sizeof(what), "w%zu", 6 - i);
        assert_true(page[i].authentic);
        assert_string_equal(page[i].entry.what, what);
        assert_int_equal(page[i].entry.time_ms, NOW_MS + 6 - (int64_t)i);
    }
    char last[STORE_AUDIT_NAME_MAX];
    memcpy(last, page[3].name, sizeof(last));
    assert_int_equal(store_audit_list(b->store, 4, last, DEADLINE_MS, page, &count, &err), 0);
    assert_int_equal(count, 3);
    assert_string_equal(page[0].entry.what, "w2");
    assert_string_equal(page[2].entry.what, "w0");
    assert_int_equal(store_audit_list(b->store, 0, NULL, DEADLINE_MS, page, &count, &err), ERR_INVALID);
    assert_int_equal(
        store_audit_list(b->store, STORE_AUDIT_PAGE_MAX + 1, NULL, DEADLINE_MS, page, &count, &err),
        ERR_INVALID);
}

/* Somebody without the token writes one, or changes one. */
static void forged_entries_are_told(void **state)
{
    struct bench *b = *state;
    struct store_audit_entry page[2];
    size_t count = 0;
    static const char forged[] = "{\"mac\":\"00\",\"body\":{\"what\":\"nothing\"}}";
    assert_int_equal(etcd_put(store_etcd(b->store), P "~audit/1800000000000-00000000", forged,
                              sizeof(forged) - 1, 0, DEADLINE_MS, NULL, NULL),
                     0);
    assert_int_equal(store_audit_list(b->store, 2, NULL, DEADLINE_MS, page, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_false(page[0].authentic);
    assert_string_equal(page[0].name, "1800000000000-00000000");
    assert_string_equal(page[0].entry.what, "");
    assert_non_null(strstr(page[0].entry.why, "not to be trusted"));
    assert_true(page[1].authentic);
    assert_int_equal(
        etcd_delete(store_etcd(b->store), P "~audit/1800000000000-00000000", false, DEADLINE_MS, NULL, NULL),
        0);
}

/* However long the history: a look reads none of it, and sees none of it come and go. */
static void a_look_does_not_read_it(void **state)
{
    struct bench *b = *state;
    struct store_view_counts first, now;
    struct cluster_snapshot *s = NULL;
    _cleanup_(store_view_freep) struct store_view *view = NULL;
    assert_int_equal(store_view_new(b->store, &view, NULL), 0);
    assert_int_equal(store_view_look(view, DEADLINE_MS, &s, NULL), 0);
    assert_string_equal(s->leader, "s1");
    store_view_count(view, &first);
    assert_int_equal(first.verified, 0);
    for (int i = 0; i < 20; i++) {
        add(b, NOW_MS + 100 + i, "noise");
        assert_int_equal(store_view_look(view, DEADLINE_MS, &s, NULL), 0);
    }
    store_view_count(view, &now);
    assert_int_equal(now.whole, first.whole);
    assert_int_equal(now.verified, 0);
    struct cluster_snapshot *all = malloc(sizeof(*all));
    assert_non_null(all);
    assert_int_equal(store_snapshot(b->store, DEADLINE_MS, all, NULL), 0);
    assert_string_equal(all->leader, "s1");
    free(all);
}

static int64_t entries(struct bench *b)
{
    struct etcd_range_options o = {.prefix = P "~audit/", .count_only = true};
    _cleanup_(etcd_range_free) struct etcd_range r = {0};
    assert_int_equal(etcd_list(store_etcd(b->store), &o, DEADLINE_MS, &r, NULL), 0);
    return r.total;
}

static void old_entries_go_while_we_lead(void **state)
{
    struct bench *b = *state;
    struct store_audit_entry page[1];
    size_t removed = 0, count = 0;
    int64_t late = NOW_MS + STORE_AUDIT_DAYS * DAY_MS + 3; /* the first three are too old then */
    int64_t before = entries(b);
    assert_int_equal(store_audit_prune(b->store, NOW_MS, b->fence, DEADLINE_MS, &removed, NULL), 0);
    assert_int_equal(removed, 0);
    assert_int_equal(store_audit_prune(b->store, 0, b->fence, DEADLINE_MS, &removed, NULL), 0);
    assert_int_equal(removed, 0); /* whatever their age */
    assert_int_equal(store_audit_prune(b->store, late, b->fence + 1, DEADLINE_MS, &removed, NULL),
                     ERR_CONFLICT);
    assert_int_equal(entries(b), before);
    assert_int_equal(store_audit_prune(b->store, late, b->fence, DEADLINE_MS, &removed, NULL), 0);
    assert_int_equal(removed, 3);
    assert_int_equal(entries(b), before - 3);
    assert_int_equal(store_audit_list(b->store, 1, "1700000000004", DEADLINE_MS, page, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_string_equal(page[0].entry.what, "w3"); /* the oldest that is left */
}

/* Unsigned ones will do: they count, and go, all the same. */
static void there_are_never_many_more_than_the_limit(void **state)
{
    struct bench *b = *state;
    size_t removed = 0;
    char key[CLUSTER_KEY_PATH_MAX];
    int64_t missing = CLUSTER_AUDIT_MAX + 150 - entries(b);
    for (int64_t i = 0; i < missing;) {
        _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(store_etcd(b->store));
        for (int k = 0; k < ETCD_TXN_OPS_MAX && i < missing; k++, i++) {
            snprintf(key, sizeof(key), P "~audit/%013lld-00000000", (long long)(NOW_MS + 1000 + i));
            etcd_txn_put(t, key, "x", 1, 0);
        }
        assert_int_equal(etcd_txn_commit(t, DEADLINE_MS, NULL, NULL), 0);
    }
    assert_int_equal(store_audit_prune(b->store, NOW_MS, b->fence, DEADLINE_MS, &removed, NULL), 0);
    assert_int_equal(removed, 100);
    assert_int_equal(store_audit_prune(b->store, NOW_MS, b->fence, DEADLINE_MS, &removed, NULL), 0);
    assert_int_equal(removed, 50);
    assert_int_equal(store_audit_prune(b->store, NOW_MS, b->fence, DEADLINE_MS, &removed, NULL), 0);
    assert_int_equal(removed, 0);
    assert_int_equal(entries(b), CLUSTER_AUDIT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_first_page_by_page),
        cmocka_unit_test(forged_entries_are_told),
        cmocka_unit_test(a_look_does_not_read_it),
        cmocka_unit_test(old_entries_go_while_we_lead),
        cmocka_unit_test(there_are_never_many_more_than_the_limit),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
