#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

#include <etcd/election.h>

#define KEY "/election/leader"

static struct etcd_fixture *fixture;
static struct etcd *clients[2];
static struct etcd_lease *leases[2];

static int setup(void **state)
{
    (void)state;
    struct etcd_fixture_options o = {.members = 1};
    if (etcd_fixture_start(&o, &fixture) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        clients[i] = etcd_fixture_client(fixture);
        if (!clients[i] || etcd_lease_new(clients[i], 10, CALL_MS, &leases[i], NULL) < 0)
            return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        etcd_lease_free(leases[i], true);
        etcd_close(clients[i]);
    }
    etcd_fixture_free(fixture);
    return 0;
}

static int campaign(int who, int64_t *ret_fence, struct error *err)
{
    return etcd_election_try(clients[who], KEY, who ? "b" : "a", etcd_lease_id(leases[who]), CALL_MS,
                             ret_fence, err);
}

/* A leader's write, as the coordinator does it. */
static int fenced_write(int who, int64_t fence, struct error *err)
{
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(clients[who]);
    etcd_txn_if_create(t, KEY, fence);
    etcd_txn_put(t, "/election/state", who ? "b" : "a", 1, 0);
    return etcd_txn_commit(t, CALL_MS, NULL, err);
}

struct waiting {
    pthread_t thread;
    int rc;
    int64_t took;
};

static void *wait_for_absence(void *arg)
{
    struct waiting *w = arg;
    int64_t before = clock_mono_ms();
    w->rc = etcd_election_wait(clients[1], KEY, 10000, NULL);
    w->took = clock_mono_ms() - before;
    return NULL;
}

static void one_leads_and_the_fence_holds(void **state)
{
    (void)state;
    int64_t fence_a = 0, fence_b = 0, again = 0;
    must(etcd_election_wait(clients[1], KEY, CALL_MS, &err)); /* nobody leads */
    must(campaign(0, &fence_a, &err));
    assert_true(fence_a > 0);
    must_fail(ERR_CONFLICT, KEY, campaign(1, &fence_b, &err));
    assert_int_equal(fence_b, 0);
    /* A try whose answer was lost. */
    must(campaign(0, &again, &err));
    assert_int_equal(again, fence_a);
    must(fenced_write(0, fence_a, &err));
    must_fail(ERR_CONFLICT, "guard", fenced_write(1, fence_a - 1, &err));
    /* A key that only starts like ours is none of our business. */
    must(etcd_put(clients[0], KEY "2", "x", 1, 0, CALL_MS, NULL, &err));
    must(etcd_delete(clients[0], KEY "2", false, CALL_MS, NULL, &err));
    must_fail(ERR_TIMEOUT, "was not given up within 300 ms", etcd_election_wait(clients[1], KEY, 300, &err));

    struct waiting w = {.rc = -1};
    assert_int_equal(pthread_create(&w.thread, NULL, wait_for_absence, &w), 0);
    sleep_ms(300);
    must(etcd_election_resign(clients[0], KEY, fence_a, CALL_MS, &err));
    pthread_join(w.thread, NULL);
    assert_int_equal(w.rc, 0);
    assert_true(w.took >= 290 && w.took < 2500); /* by the watch, not by the next look */

    must(campaign(1, &fence_b, &err));
    assert_true(fence_b > fence_a);
    must_fail(ERR_CONFLICT, "guard", fenced_write(0, fence_a, &err));
    must(fenced_write(1, fence_b, &err));
    /* The deposed one cannot take the leadership away by resigning late. */
    must(etcd_election_resign(clients[0], KEY, fence_a, CALL_MS, &err));
    must(fenced_write(1, fence_b, &err));
    must(etcd_election_resign(clients[1], KEY, fence_b, CALL_MS, &err));
}

static void the_lease_ends_the_leadership(void **state)
{
    (void)state;
    int64_t fence_a = 0, fence_b = 0, id = 0;
    must(etcd_lease_grant(clients[0], 60, CALL_MS, &id, &err));
    must(etcd_election_try(clients[0], KEY, "a", id, CALL_MS, &fence_a, &err));
    struct waiting w = {.rc = -1};
    assert_int_equal(pthread_create(&w.thread, NULL, wait_for_absence, &w), 0);
    sleep_ms(200);
    must(etcd_lease_revoke(clients[0], id, CALL_MS, &err));
    pthread_join(w.thread, NULL);
    assert_int_equal(w.rc, 0);
    must_fail(ERR_CONFLICT, "guard", fenced_write(0, fence_a, &err));
    must_fail(ERR_NOT_FOUND, "lease not found",
              etcd_election_try(clients[0], KEY, "a", id, 2000, &fence_a, &err));
    must(campaign(1, &fence_b, &err));
    must(etcd_election_resign(clients[1], KEY, fence_b, CALL_MS, &err));
}

struct rival {
    pthread_t thread;
    int who;
    int led;
    int errors;
};

static atomic_int leading;

static void *compete(void *arg)
{
    struct rival *r = arg;
    for (int64_t end = clock_mono_ms() + 2000; clock_mono_ms() < end;) {
        int64_t fence;
        if (campaign(r->who, &fence, NULL) < 0) {
            (void)!etcd_election_wait(clients[r->who], KEY, 500, NULL);
            continue;
        }
        r->errors += atomic_fetch_add(&leading, 1) != 0;
        r->errors += fenced_write(r->who, fence, NULL) < 0;
        sleep_ms(2);
        atomic_fetch_sub(&leading, 1);
        r->led++;
        r->errors += etcd_election_resign(clients[r->who], KEY, fence, CALL_MS, NULL) < 0;
        sleep_ms(3);
    }
    return NULL;
}

static void never_two_at_once(void **state)
{
    (void)state;
    struct rival rivals[2] = {{.who = 0}, {.who = 1}};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&rivals[i].thread, NULL, compete, &rivals[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(rivals[i].thread, NULL);
        assert_int_equal(rivals[i].errors, 0);
        assert_true(rivals[i].led > 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_leads_and_the_fence_holds),
        cmocka_unit_test(the_lease_ends_the_leadership),
        cmocka_unit_test(never_two_at_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
