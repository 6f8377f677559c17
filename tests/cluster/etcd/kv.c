#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

static struct etcd_fixture *fixture;
static struct etcd *client;

static int setup(void **state)
{
    (void)state;
    struct etcd_fixture_options o = {.members = 1};
    if (etcd_fixture_start(&o, &fixture) < 0)
        return -1;
    client = etcd_fixture_client(fixture);
    return client ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    etcd_close(client);
    etcd_fixture_free(fixture);
    return 0;
}

static void put_number(const char *key, int64_t n)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%lld", (long long)n);
    must(etcd_put(client, key, text, (size_t)len, 0, CALL_MS, NULL, &err));
}

static void put_get_delete(void **state)
{
    (void)state;
    const char bytes[] = "a\0b\xff";
    int64_t revision = 0, deleted = 0;
    must(etcd_put(client, "/kv/x", bytes, 4, 0, CALL_MS, &revision, &err));
    assert_true(revision > 1);
    struct etcd_range r;
    must(etcd_get(client, "/kv/x", CALL_MS, &r, &err));
    assert_int_equal(r.count, 1);
    assert_int_equal(r.kvs[0].value_len, 4);
    assert_memory_equal(r.kvs[0].value, bytes, 5);
    assert_string_equal(r.kvs[0].key, "/kv/x");
    assert_int_equal(r.kvs[0].mod_revision, revision);
    assert_int_equal(r.kvs[0].create_revision, revision);
    assert_int_equal(r.kvs[0].version, 1);
    assert_true(r.revision >= revision);
    etcd_range_free(&r);
    must(etcd_put(client, "/kv/x", "", 0, 0, CALL_MS, NULL, &err));
    must(etcd_get(client, "/kv/x", CALL_MS, &r, &err));
    assert_int_equal(r.kvs[0].value_len, 0);
    assert_int_equal(r.kvs[0].value[0], 0);
    assert_int_equal(r.kvs[0].version, 2);
    etcd_range_free(&r);
    must(etcd_delete(client, "/kv/x", false, CALL_MS, &deleted, &err));
    assert_int_equal(deleted, 1);
    must_fail(ERR_NOT_FOUND, "/kv/x", etcd_get(client, "/kv/x", 2000, &r, &err));
    must_fail(ERR_INVALID, "key", etcd_put(client, "", "v", 1, 0, 2000, NULL, &err));
}

static void list_ranges(void **state)
{
    (void)state;
    const char *keys[] = {"/list/a", "/list/b", "/list/c", "/list0", "/lisu"};
    for (size_t i = 0; i < 5; i++)
        put_number(keys[i], (int64_t)i);
    struct etcd_range r;
    struct etcd_range_options o = {.prefix = "/list/"};
    must(etcd_list(client, &o, CALL_MS, &r, &err));
    assert_int_equal(r.count, 3);
    assert_int_equal(r.total, 3);
    assert_false(r.more);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(r.kvs[i].key, keys[i]);
    etcd_range_free(&r);

    o = (struct etcd_range_options){.prefix = "/list/", .from = "/list/b", .limit = 1};
    must(etcd_list(client, &o, CALL_MS, &r, &err));
    assert_int_equal(r.count, 1);
    assert_string_equal(r.kvs[0].key, "/list/b");
    assert_true(r.more);
    etcd_range_free(&r);

    /* A cursor in front of the prefix does not widen it. */
    o = (struct etcd_range_options){
        .prefix = "/list/", .from = "/a", .count_only = true, .serializable = true};
    must(etcd_list(client, &o, CALL_MS, &r, &err));
    assert_int_equal(r.total, 3);
    assert_int_equal(r.count, 0);
    etcd_range_free(&r);

    o = (struct etcd_range_options){.prefix = "", .keys_only = true};
    must(etcd_list(client, &o, CALL_MS, &r, &err));
    assert_true(r.count >= 5);
    assert_int_equal(r.kvs[0].value_len, 0);
    etcd_range_free(&r);

    o = (struct etcd_range_options){.prefix = "/none/"};
    must(etcd_list(client, &o, CALL_MS, &r, &err));
    assert_int_equal(r.count, 0);
    etcd_range_free(&r);
}

static void old_revisions_until_compacted(void **state)
{
    (void)state;
    int64_t first = 0, second = 0;
    must(etcd_put(client, "/old/k", "1", 1, 0, CALL_MS, &first, &err));
    must(etcd_put(client, "/old/k", "2", 1, 0, CALL_MS, &second, &err));
    struct etcd_range r;
    struct etcd_range_options o = {.prefix = "/old/", .revision = first};
    must(etcd_list(client, &o, CALL_MS, &r, &err));
    assert_string_equal((char *)r.kvs[0].value, "1");
    etcd_range_free(&r);
    must(etcd_compact(client, second, CALL_MS, &err));
    must_fail(ERR_COMPACTED, "compacted", etcd_list(client, &o, 2000, &r, &err));
}

static void a_refused_guard_writes_nothing(void **state)
{
    (void)state;
    int64_t revision = 0;
    _cleanup_(etcd_txn_freep) struct etcd_txn *make = etcd_txn_new(client);
    etcd_txn_if_create(make, "/txn/a", 0);
    etcd_txn_put(make, "/txn/a", "1", 1, 0);
    etcd_txn_put(make, "/txn/b", "1", 1, 0);
    must(etcd_txn_commit(make, CALL_MS, &revision, &err));
    must_fail(ERR_INTERNAL, "one use", etcd_txn_commit(make, 2000, NULL, &err));

    _cleanup_(etcd_txn_freep) struct etcd_txn *again = etcd_txn_new(client);
    etcd_txn_if_create(again, "/txn/a", 0);
    etcd_txn_put(again, "/txn/b", "2", 1, 0);
    must_fail(ERR_CONFLICT, "/txn/b", etcd_txn_commit(again, 2000, NULL, &err));
    assert_int_equal(value_of(client, "/txn/b"), 1);

    /* One of two guards is enough to refuse. */
    _cleanup_(etcd_txn_freep) struct etcd_txn *half = etcd_txn_new(client);
    etcd_txn_if_mod(half, "/txn/a", revision);
    etcd_txn_if_mod(half, "/txn/b", revision - 1);
    etcd_txn_put(half, "/txn/b", "3", 1, 0);
    must_fail(ERR_CONFLICT, "guard", etcd_txn_commit(half, 2000, NULL, &err));
    assert_int_equal(value_of(client, "/txn/b"), 1);

    _cleanup_(etcd_txn_freep) struct etcd_txn *good = etcd_txn_new(client);
    etcd_txn_if_mod(good, "/txn/a", revision);
    etcd_txn_if_create(good, "/txn/b", revision);
    etcd_txn_if_lease(good, "/txn/b", 0);
    etcd_txn_put(good, "/txn/b", "4", 1, 0);
    etcd_txn_delete(good, "/txn/a");
    must(etcd_txn_commit(good, CALL_MS, NULL, &err));
    assert_int_equal(value_of(client, "/txn/b"), 4);
    assert_int_equal(value_of(client, "/txn/a"), -1);
    must_fail(ERR_NO_MEMORY, "memory", etcd_txn_commit(NULL, 2000, NULL, &err));
}

static void limits(void **state)
{
    (void)state;
    char *big = calloc(1, 3000000);
    must(etcd_put(client, "/big/ok", big, 1500000, 0, CALL_MS, NULL, &err));
    must_fail(ERR_TOO_LARGE, "/big/x", etcd_put(client, "/big/x", big, 2000000, 0, 5000, NULL, &err));
    must_fail(ERR_TOO_LARGE, "larger than max",
              etcd_put(client, "/big/x", big, 3000000, 0, 5000, NULL, &err));
    free(big);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(client);
    _cleanup_(etcd_txn_freep) struct etcd_txn *full = etcd_txn_new(client);
    for (int i = 0; i <= ETCD_TXN_OPS_MAX; i++) {
        char key[32];
        snprintf(key, sizeof(key), "/many/%d", i);
        etcd_txn_put(t, key, "v", 1, 0);
        if (i < ETCD_TXN_OPS_MAX) {
            etcd_txn_if_create(full, key, 0);
            etcd_txn_put(full, key, "v", 1, 0);
        }
    }
    must_fail(ERR_TOO_LARGE, "too many operations", etcd_txn_commit(t, 2000, NULL, &err));
    assert_int_equal(value_of(client, "/many/0"), -1);
    must(etcd_txn_commit(full, CALL_MS, NULL, &err));
}

/* 40 MiB of values do not fit into one answer: a page with fewer keys comes instead, and the snapshot is
 * whole. */
static void large_values_come_in_smaller_pages(void **state)
{
    (void)state;
    char *value = calloc(1, 1u << 20);
    for (int i = 0; i < 40; i++) {
        char key[32];
        snprintf(key, sizeof(key), "/large/%02d", i);
        must(etcd_put(client, key, value, 1u << 20, 0, CALL_MS, NULL, &err));
    }
    free(value);
    struct etcd_range r;
    struct etcd_range_options o = {.prefix = "/large/", .limit = 40};
    must(etcd_list(client, &o, 10000, &r, &err));
    assert_true(r.count < 40 && r.count >= 10);
    assert_true(r.more);
    etcd_range_free(&r);
    must(etcd_snapshot(client, "/large/", 100, 10000, &r, &err));
    assert_int_equal(r.count, 40);
    assert_string_equal(r.kvs[39].key, "/large/39");
    etcd_range_free(&r);
    must(etcd_delete(client, "/large/", true, CALL_MS, NULL, &err));
}

struct writer {
    atomic_bool stop;
    int64_t rounds;
    int failures;
};

/* Writes the same number to the first and the last key of the prefix, always in one transaction. */
static void *write_both_ends(void *arg)
{
    struct writer *w = arg;
    while (!atomic_load(&w->stop)) {
        char text[32];
        int len = snprintf(text, sizeof(text), "%lld", (long long)++w->rounds);
        struct etcd_txn *t = etcd_txn_new(client);
        etcd_txn_put(t, "/snap/0000", text, (size_t)len, 0);
        etcd_txn_put(t, "/snap/1299", text, (size_t)len, 0);
        w->failures += etcd_txn_commit(t, CALL_MS, NULL, NULL) < 0;
        etcd_txn_free(t);
    }
    return NULL;
}

static void a_snapshot_is_of_one_moment(void **state)
{
    (void)state;
    for (int i = 0; i < 1300; i++) {
        char key[32];
        snprintf(key, sizeof(key), "/snap/%04d", i);
        put_number(key, 0);
    }
    struct writer w = {.stop = false};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_both_ends, &w), 0);
    int64_t last = -1;
    int moved = 0;
    for (int round = 0; round < 20; round++) {
        struct etcd_range r;
        must(etcd_snapshot(client, "/snap/", 2000, CALL_MS, &r, &err));
        assert_int_equal(r.count, 1300);
        assert_int_equal(r.total, 1300);
        assert_false(r.more);
        assert_string_equal((char *)r.kvs[0].value, (char *)r.kvs[1299].value);
        for (size_t i = 0; i < r.count; i++) {
            assert_true(r.kvs[i].mod_revision <= r.revision);
            if (i)
                assert_true(strcmp(r.kvs[i - 1].key, r.kvs[i].key) < 0);
        }
        int64_t n = strtoll((char *)r.kvs[0].value, NULL, 10);
        moved += n != last;
        last = n;
        etcd_range_free(&r);
    }
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    assert_true(moved > 5); /* it was being written meanwhile */
    assert_int_equal(w.failures, 0);
    struct etcd_range r;
    must_fail(ERR_TOO_LARGE, "1300 keys under /snap/", etcd_snapshot(client, "/snap/", 1299, 5000, &r, &err));
}

static void *many_calls(void *arg)
{
    int *failures = arg;
    for (int i = 0; i < 50; i++) {
        char key[32];
        snprintf(key, sizeof(key), "/threads/%p", (void *)failures);
        *failures += etcd_put(client, key, &i, sizeof(i), 0, 5000, NULL, NULL) < 0;
        struct etcd_range r = {0};
        *failures += etcd_get(client, key, 5000, &r, NULL) < 0 || memcmp(r.kvs[0].value, &i, sizeof(i)) != 0;
        etcd_range_free(&r);
    }
    return NULL;
}

static void threads_share_a_client(void **state)
{
    (void)state;
    pthread_t threads[16];
    int failures[16] = {0};
    for (int i = 0; i < 16; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many_calls, &failures[i]), 0);
    for (int i = 0; i < 16; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(failures[i], 0);
    }
}

static void health(void **state)
{
    (void)state;
    struct etcd_members m;
    must(etcd_member_list(client, CALL_MS, &m, &err));
    assert_int_equal(m.count, 1);
    assert_string_equal(m.members[0].name, "m0");
    assert_string_equal(m.members[0].client_url, etcd_fixture_endpoint(fixture, 0));
    assert_false(m.members[0].learner);
    struct etcd_status s;
    must(etcd_member_status(client, 0, CALL_MS, &s, &err));
    assert_int_equal(s.leader, m.members[0].id);
    assert_int_equal(s.member, m.members[0].id);
    assert_true(s.version[0] == '3');
    assert_true(s.db_size > 0 && s.db_size_in_use > 0 && s.raft_index > 0 && s.raft_applied_index > 0);
    assert_true(s.revision > 1 && s.raft_term > 0);
    must_fail(ERR_INVALID, "endpoint 1", etcd_member_status(client, 1, 2000, &s, &err));
    assert_string_equal(etcd_name(client), etcd_fixture_endpoint(fixture, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_get_delete),
        cmocka_unit_test(list_ranges),
        cmocka_unit_test(old_revisions_until_compacted),
        cmocka_unit_test(a_refused_guard_writes_nothing),
        cmocka_unit_test(limits),
        cmocka_unit_test(large_values_come_in_smaller_pages),
        cmocka_unit_test(a_snapshot_is_of_one_moment),
        cmocka_unit_test(threads_share_a_client),
        cmocka_unit_test(health),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
