#include "check.h"

#include <etcd/watch.h>
#include <real.h>

static struct etcd_fixture *fixture;
static struct etcd *client;
static struct etcd_watch *watches[3]; /* one on each member */

static int setup(void **state)
{
    (void)state;
    struct etcd_fixture_options o = {.members = 3};
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

/* Milliseconds until a write goes through again, each try with a deadline of 1 s. */
static int64_t time_to_write(int64_t value)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%lld", (long long)value);
    int64_t before = clock_mono_ms();
    while (etcd_put(client, "/failover/k", text, (size_t)len, 0, 1000, NULL, NULL) < 0) {
        if (clock_mono_ms() - before > 15000)
            fail_msg("no write within 15 s");
        sleep_ms(20);
    }
    return clock_mono_ms() - before;
}

static void wait_members(size_t healthy)
{
    for (int64_t end = clock_mono_ms() + 15000;; sleep_ms(50)) {
        size_t up = 0;
        for (size_t i = 0; i < 3; i++) {
            struct etcd_status s;
            up += etcd_member_status(client, i, 300, &s, NULL) == 0 && s.leader;
        }
        if (up >= healthy)
            return;
        assert_true(clock_mono_ms() < end);
    }
}

static void the_leader_is_killed(void **state)
{
    (void)state;
    time_to_write(1);
    int leader = etcd_fixture_leader(fixture, 5000);
    assert_true(leader >= 0);
    etcd_fixture_kill(fixture, (size_t)leader);
    /* A read needs no patience from its caller: it is repeated until its deadline. */
    struct etcd_range r;
    must(etcd_get(client, "/failover/k", 8000, &r, &err));
    etcd_range_free(&r);
    assert_true(time_to_write(2) < 6000);
    assert_int_equal(value_of(client, "/failover/k"), 2);
    struct etcd_status s;
    must_fail(ERR_UNAVAILABLE, etcd_fixture_endpoint(fixture, (size_t)leader),
              etcd_member_status(client, (size_t)leader, 500, &s, &err));
    assert_int_equal(etcd_fixture_restart(fixture, (size_t)leader), 0);
    wait_members(3);
}

static void a_member_hangs(void **state)
{
    (void)state;
    int leader = etcd_fixture_leader(fixture, 5000);
    assert_true(leader >= 0);
    size_t hung = ((size_t)leader + 1) % 3;
    time_to_write(3);
    struct etcd_range now;
    must(etcd_get(client, "/failover/k", CALL_MS, &now, &err));
    for (int i = 0; i < 3; i++) /* not "from now": a member's own now may lag behind that write */
        must(etcd_watch_new(client, "/failover/k", now.revision + 1, &watches[i], &err));
    etcd_range_free(&now);
    for (int i = 0; i < 3; i++)
        while (!etcd_watch_connected(watches[i], NULL))
            sleep_ms(10);
    etcd_fixture_pause(fixture, hung);
    /* Every third call meets the hung member first. */
    for (int i = 0; i < 6; i++) {
        int64_t before = clock_mono_ms();
        struct etcd_range r;
        must(etcd_get(client, "/failover/k", CALL_MS, &r, &err));
        etcd_range_free(&r);
        assert_true(clock_mono_ms() - before < 2900);
    }
    struct etcd_status s;
    must_fail(ERR_TIMEOUT, "no answer within 300 ms", etcd_member_status(client, hung, 300, &s, &err));
    time_to_write(4);
    /* The watch on it is silent, not closed: the channel's keep-alive finds out. */
    for (int i = 0; i < 3; i++) {
        struct etcd_event ev;
        must(etcd_watch_next(watches[i], 15000, &ev, &err));
        assert_string_equal((char *)ev.kv.value, "4");
        etcd_event_free(&ev);
    }
    etcd_fixture_resume(fixture, hung);
    wait_members(3);
}

/* What a test that failed has left: nobody stands still for the next one, no watch outlives its client. */
static int end_of_test(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        etcd_fixture_resume(fixture, i);
        etcd_watch_free(watches[i]);
        watches[i] = NULL;
    }
    return 0;
}

static void the_leader_hangs(void **state)
{
    (void)state;
    int leader = etcd_fixture_leader(fixture, 5000);
    assert_true(leader >= 0);
    time_to_write(5);
    etcd_fixture_pause(fixture, (size_t)leader);
    assert_true(time_to_write(6) < 8000);
    assert_int_equal(value_of(client, "/failover/k"), 6);
    etcd_fixture_resume(fixture, (size_t)leader);
    wait_members(3);
}

static void nobody_is_there(void **state)
{
    (void)state;
    char endpoint[2][64];
    const char *endpoints[2] = {endpoint[0], endpoint[1]};
    int holds[2];
    for (int i = 0; i < 2; i++)
        snprintf(endpoint[i], sizeof(endpoint[i]), "http://127.0.0.1:%d", port_hold(&holds[i]));
    struct etcd_options o = {.endpoints = endpoints, .endpoints_count = 2};
    struct etcd *e = NULL;
    struct etcd_range r;
    must(etcd_open(&o, &e, &err));
    int64_t before = clock_mono_ms();
    must_fail(ERR_UNAVAILABLE, "Connection refused", etcd_put(e, "/k", "v", 1, 0, 1000, NULL, &err));
    must_fail(ERR_UNAVAILABLE, endpoints[1], etcd_get(e, "/k", 1000, &r, &err));
    must_fail(ERR_UNAVAILABLE, "Connection refused", etcd_snapshot(e, "/k", 10, 1000, &r, &err));
    assert_true(clock_mono_ms() - before < 3300);
    /* Asked nobody: a call after its deadline is refused, not sent. */
    must_fail(ERR_TIMEOUT, "no answer within 0 ms", etcd_get(e, "/k", 0, &r, &err));
    etcd_close(e);
    for (int i = 0; i < 2; i++)
        close(holds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_there),
        cmocka_unit_test_teardown(the_leader_is_killed, end_of_test),
        cmocka_unit_test_teardown(a_member_hangs, end_of_test),
        cmocka_unit_test_teardown(the_leader_hangs, end_of_test),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
