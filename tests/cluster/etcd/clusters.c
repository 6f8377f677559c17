/* Endpoints of two etcd clusters in one list: nothing is read from, and nothing believed of, the one that is
 * not ours. Ours has two members here, the other one; a third is restored from nothing. */
#include "check.h"

#include <stdatomic.h>

#include <etcd/lease.h>
#include <etcd/maintenance.h>
#include <etcd/watch.h>

#define PAGED       30  /* keys that are read in pages */
#define FAR         400 /* the stranger's revision is beyond ours */
#define LEASE_TTL_S 15

static struct etcd_fixture *ours, *other;
static const char *endpoints[3];

static int setup(void **state)
{
    (void)state;
    if (etcd_fixture_start(&(struct etcd_fixture_options){.members = 2}, &ours) < 0 ||
        etcd_fixture_start(&(struct etcd_fixture_options){.members = 1}, &other) < 0)
        return -1;
    endpoints[0] = etcd_fixture_endpoint(ours, 0);
    endpoints[1] = etcd_fixture_endpoint(other, 0); /* in the middle: the turn comes to it early */
    endpoints[2] = etcd_fixture_endpoint(ours, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    etcd_fixture_free(ours);
    etcd_fixture_free(other);
    return 0;
}

static void await_up(const struct etcd_fixture *f)
{
    struct etcd *e = etcd_fixture_client(f);
    assert_non_null(e);
    struct etcd_range r = {0};
    for (int64_t end = clock_mono_ms() + 15000; etcd_snapshot(e, "/", 1000, 1000, &r, NULL) < 0; sleep_ms(20))
        assert_true(clock_mono_ms() < end);
    etcd_range_free(&r);
    etcd_close(e);
}

/* Every test begins with all members up. */
static int all_up(void **state)
{
    (void)state;
    await_up(ours);
    await_up(other);
    return 0;
}

static struct etcd *open_all(void)
{
    struct etcd_options o = {.endpoints = endpoints, .endpoints_count = 3};
    struct etcd *e = NULL;
    must(etcd_open(&o, &e, &err));
    return e;
}

/* How many keys the other cluster has. */
static size_t strange_keys(void)
{
    struct etcd *e = etcd_fixture_client(other);
    assert_non_null(e);
    struct etcd_range r;
    must(etcd_snapshot(e, "/clusters/", 100, CALL_MS, &r, &err));
    size_t count = r.count;
    etcd_range_free(&r);
    etcd_close(e);
    return count;
}

static void two_from_the_start(void **state)
{
    (void)state;
    _cleanup_(etcd_closep) struct etcd *e = open_all();
    struct etcd_range r;
    struct etcd_status a, b;
    int64_t lease;
    for (int i = 0; i < 6; i++) {
        must_fail(ERR_UNAVAILABLE, "belong to two etcd clusters",
                  etcd_put(e, "/clusters/start", "1", 1, 0, 2000, NULL, &err));
        must_fail(ERR_UNAVAILABLE, endpoints[0], etcd_get(e, "/clusters/start", 2000, &r, &err));
        must_fail(ERR_UNAVAILABLE, endpoints[1], etcd_snapshot(e, "/clusters/", 10, 2000, &r, &err));
        must_fail(ERR_UNAVAILABLE, "configuration", etcd_lease_grant(e, 60, 2000, &lease, &err));
    }
    assert_int_equal(strange_keys(), 0);
    must(etcd_member_status(e, 0, CALL_MS, &a, &err)); /* who looks for the mistake can ask each */
    must(etcd_member_status(e, 1, CALL_MS, &b, &err));
    assert_true(a.cluster && b.cluster && a.cluster != b.cluster);
}

/* Reads for a while; what is read is ours. True when a read was refused for the stranger's sake. */
static bool reads_ours_or_refuses(struct etcd *e, int times)
{
    bool refused = false;
    for (int i = 0; i < times; i++) {
        struct etcd_range r;
        struct error err = ERROR_INIT;
        int rc = etcd_get(e, "/clusters/k", 2000, &r, &err);
        if (rc == 0) {
            assert_string_equal((char *)r.kvs[0].value, "1");
            etcd_range_free(&r);
            continue;
        }
        if (rc != ERR_UNAVAILABLE && rc != ERR_TIMEOUT) /* which is right where ours is away */
            fail_msg("%s: %s", error_code_name(rc), err.text);
        refused = refused || (rc == ERR_UNAVAILABLE && strstr(err.text, "etcd cluster"));
    }
    return refused;
}

static void await_reads(struct etcd *e)
{
    struct etcd_range r;
    for (int64_t end = clock_mono_ms() + 10000; etcd_get(e, "/clusters/k", 2000, &r, NULL) < 0; sleep_ms(20))
        assert_true(clock_mono_ms() < end);
    etcd_range_free(&r);
}

static void a_stranger_comes_later(void **state)
{
    (void)state;
    etcd_fixture_kill(other, 0);
    _cleanup_(etcd_closep) struct etcd *e = open_all();
    must(etcd_put(e, "/clusters/k", "1", 1, 0, CALL_MS, NULL, &err));
    assert_false(reads_ours_or_refuses(e, 6));
    assert_int_equal(etcd_fixture_restart(other, 0), 0);
    await_up(other);
    bool refused = false;
    for (int64_t end = clock_mono_ms() + 15000; !refused && clock_mono_ms() < end;)
        refused = reads_ours_or_refuses(e, 3);
    assert_true(refused);
    etcd_fixture_kill(other, 0);
    await_reads(e);
    assert_false(reads_ours_or_refuses(e, 6));
    assert_int_equal(etcd_fixture_restart(other, 0), 0);
    await_up(other);
    assert_int_equal(strange_keys(), 0);
}

/* Watches go to the members in turn, too; one on the stranger would be silent for ever. */
static void watches_are_on_ours(void **state)
{
    (void)state;
    etcd_fixture_kill(other, 0);
    _cleanup_(etcd_closep) struct etcd *e = open_all();
    _cleanup_(etcd_closep) struct etcd *direct = etcd_fixture_client(ours);
    struct etcd_range now;
    struct etcd_watch *watches[3];
    must(etcd_put(e, "/clusters/w", "1", 1, 0, CALL_MS, NULL, &err));
    must(etcd_get(e, "/clusters/w", CALL_MS, &now, &err));
    assert_int_equal(etcd_fixture_restart(other, 0), 0);
    await_up(other);
    for (int i = 0; i < 3; i++)
        must(etcd_watch_new(e, "/clusters/w", now.revision + 1, &watches[i], &err));
    etcd_range_free(&now);
    must(etcd_put(direct, "/clusters/w", "2", 1, 0, CALL_MS, NULL, &err));
    for (int i = 0; i < 3; i++) {
        struct etcd_event ev;
        must(etcd_watch_next(watches[i], 15000, &ev, &err));
        assert_int_equal(ev.type, ETCD_EVENT_PUT);
        assert_string_equal((char *)ev.kv.value, "2");
        etcd_event_free(&ev);
        etcd_watch_free(watches[i]);
    }
}

/* Ours is away, and the stranger alone answers: it does not become ours. */
static void a_lone_stranger_is_not_taken(void **state)
{
    (void)state;
    etcd_fixture_kill(other, 0);
    _cleanup_(etcd_closep) struct etcd *e = open_all();
    must(etcd_put(e, "/clusters/k", "1", 1, 0, CALL_MS, NULL, &err));
    for (size_t i = 0; i < 2; i++)
        etcd_fixture_kill(ours, i);
    assert_int_equal(etcd_fixture_restart(other, 0), 0);
    await_up(other);
    bool refused = false;
    for (int64_t end = clock_mono_ms() + 4000; clock_mono_ms() < end;)
        refused = reads_ours_or_refuses(e, 1) || refused;
    assert_true(refused);
    struct etcd_range r;
    struct error err = ERROR_INIT;
    for (int64_t end = clock_mono_ms() + 10000; !strstr(err.text, "restored from a backup");)
        assert_true(clock_mono_ms() < end && etcd_get(e, "/clusters/k", 2000, &r, &err) < 0);
    etcd_fixture_kill(other, 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(etcd_fixture_restart(ours, i), 0);
    await_reads(e);
    assert_false(reads_ours_or_refuses(e, 6));
    assert_int_equal(etcd_fixture_restart(other, 0), 0);
}

/* Keys that both have, with a value that says whose they are. */
static void put_paged(struct etcd *e, const char *value, int times)
{
    for (int i = 0; i < times; i++) {
        char key[64];
        snprintf(key, sizeof(key), "/both/%03d", i % PAGED);
        must(etcd_put(e, key, value, strlen(value), 0, CALL_MS, NULL, &err));
    }
}

/* How many keys a whole pass has read, all of them ours; -1: it was refused. */
static int pass(struct etcd *e)
{
    struct etcd_pager_options o = {
        .prefix = "/both/", .page = 4, .readers = 2, .tries = 1, .deadline_ms = 2000};
    _cleanup_(etcd_pager_freep) struct etcd_pager *p = NULL;
    must(etcd_pager_new(e, &o, &p, &err));
    for (int count = 0;;) {
        struct etcd_range r;
        if (etcd_pager_next(p, &r, NULL) < 0)
            return -1;
        for (size_t i = 0; i < r.count; i++)
            assert_string_equal((char *)r.kvs[i].value, "ours");
        bool last = r.count == 0;
        count += (int)r.count;
        etcd_range_free(&r);
        if (last)
            return count;
    }
}

/* A list's pages are of one cluster, whatever member answers for each. */
static void pages_are_of_ours(void **state)
{
    (void)state;
    _cleanup_(etcd_closep) struct etcd *direct = etcd_fixture_client(ours);
    _cleanup_(etcd_closep) struct etcd *strange = etcd_fixture_client(other);
    put_paged(direct, "ours", PAGED);
    put_paged(strange, "strange", FAR);
    for (int i = 0; i < 3; i++) {
        etcd_fixture_kill(other, 0);
        _cleanup_(etcd_closep) struct etcd *e = open_all();
        assert_int_equal(pass(e), PAGED);
        assert_int_equal(etcd_fixture_restart(other, 0), 0);
        await_up(other);
        int count = PAGED;
        for (int64_t end = clock_mono_ms() + 15000; count == PAGED && clock_mono_ms() < end;)
            count = pass(e);
        assert_int_equal(count, -1);
    }
}

static int drop(void *arg, const void *data, size_t len, struct error *err)
{
    (void)arg, (void)data, (void)len, (void)err;
    return 0;
}

static size_t leader_of_ours(void)
{
    _cleanup_(etcd_closep) struct etcd *e = etcd_fixture_client(ours);
    for (size_t i = 0; i < 2; i++) {
        struct etcd_status s;
        must(etcd_member_status(e, i, CALL_MS, &s, &err));
        if (s.leader == s.member)
            return i;
    }
    fail_msg("nobody leads");
    return 0;
}

/* The stranger answers first, leads itself, and has gone far beyond the revision that is asked for. */
static void a_backup_is_of_ours(void **state)
{
    (void)state;
    const char *two[] = {etcd_fixture_endpoint(other, 0), etcd_fixture_endpoint(ours, leader_of_ours())};
    struct etcd_options o = {.endpoints = two, .endpoints_count = 2};
    struct etcd_snapshot_options s = {.write = drop, .choose_ms = 1000};
    int made = 0;
    for (int i = 0; i < 8; i++) {
        struct etcd *e = NULL;
        struct etcd_snapshot_result r;
        etcd_fixture_kill(other, 0);
        must(etcd_open(&o, &e, &err));
        for (int k = 0; k <= i % 2; k++) /* whose turn it is afterwards differs */
            must(etcd_put(e, "/clusters/k", "1", 1, 0, CALL_MS, NULL, &err));
        assert_int_equal(etcd_fixture_restart(other, 0), 0);
        await_up(other);
        if (etcd_datastore_snapshot(e, &s, &r, NULL) == 0) {
            assert_string_equal(r.url, two[1]);
            made++;
        }
        etcd_close(e);
    }
    assert_true(made > 0);
}

/* The stranger has no such lease, which says nothing of ours. */
static void a_lease_is_not_lost_by_a_stranger(void **state)
{
    (void)state;
    struct etcd_lease *lease = NULL;
    etcd_fixture_kill(other, 0);
    _cleanup_(etcd_closep) struct etcd *e = open_all();
    must(etcd_lease_new(e, LEASE_TTL_S, CALL_MS, &lease, &err));
    for (size_t i = 0; i < 2; i++)
        etcd_fixture_kill(ours, i);
    assert_int_equal(etcd_fixture_restart(other, 0), 0);
    await_up(other);
    while (etcd_lease_remaining_ms(lease) > LEASE_TTL_S * 1000 / 2) /* a keep-alive is due before */
        sleep_ms(20);
    assert_true(etcd_lease_alive(lease));
    etcd_fixture_kill(other, 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(etcd_fixture_restart(ours, i), 0);
    await_up(ours);
    etcd_lease_free(lease, true);
    assert_int_equal(etcd_fixture_restart(other, 0), 0);
}

static void done(void *arg, int code, int64_t revision, const struct error *err)
{
    (void)revision;
    (void)err;
    atomic_store((atomic_int *)arg, code == 0 ? 1 : code);
}

/* A restored cluster has another id. It is taken by those who worked with the one before, also where they do
 * not wait: the answer that tells of it is no success. */
static void a_restored_cluster_is_taken(void **state)
{
    (void)state;
    const char *args[] = {"--initial-cluster-token=one", NULL};
    struct etcd_fixture *f = NULL;
    struct etcd_range r;
    assert_int_equal(etcd_fixture_start(&(struct etcd_fixture_options){.members = 1, .extra_args = args}, &f),
                     0);
    struct etcd *e = etcd_fixture_client(f);
    must(etcd_put(e, "/clusters/k", "1", 1, 0, CALL_MS, NULL, &err));
    must(etcd_get(e, "/clusters/k", CALL_MS, &r, &err));
    uint64_t before = r.cluster;
    etcd_range_free(&r);

    etcd_fixture_kill(f, 0);
    etcd_fixture_wipe(f, 0);
    args[0] = "--initial-cluster-token=two";
    assert_int_equal(etcd_fixture_restart(f, 0), 0);
    await_up(f);
    atomic_int code = 0;
    struct etcd_txn *t = etcd_txn_new(e);
    etcd_txn_put(t, "/clusters/t", "1", 1, 0);
    must(etcd_txn_start(t, 5000, done, &code, &err));
    while (atomic_load(&code) == 0)
        sleep_ms(5);
    assert_int_equal(atomic_load(&code), ERR_UNAVAILABLE);
    etcd_txn_free(t);
    for (int64_t end = clock_mono_ms() + 10000; etcd_put(e, "/clusters/k", "2", 1, 0, 2000, NULL, NULL) < 0;)
        assert_true(clock_mono_ms() < end);
    must(etcd_get(e, "/clusters/k", CALL_MS, &r, &err));
    assert_true(r.cluster && r.cluster != before);
    etcd_range_free(&r);
    etcd_close(e);
    etcd_fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(two_from_the_start, all_up),
        cmocka_unit_test_setup(a_stranger_comes_later, all_up),
        cmocka_unit_test_setup(watches_are_on_ours, all_up),
        cmocka_unit_test_setup(a_lone_stranger_is_not_taken, all_up),
        cmocka_unit_test_setup(pages_are_of_ours, all_up),
        cmocka_unit_test_setup(a_backup_is_of_ours, all_up),
        cmocka_unit_test_setup(a_lease_is_not_lost_by_a_stranger, all_up),
        cmocka_unit_test(a_restored_cluster_is_taken),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
