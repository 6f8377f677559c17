#include "check.h"

#include <poll.h>

#include <etcd/lease.h>

#define TTL_S  5
#define TTL_MS (TTL_S * 1000)

static struct etcd_fixture *fixture;
static struct etcd *client; /* of all members but the one that is paused */

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

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void plain_grant_and_revoke(void **state)
{
    (void)state;
    int64_t id = 0;
    must(etcd_lease_grant(client, 60, CALL_MS, &id, &err));
    assert_true(id != 0);
    must(etcd_put(client, "/lease/plain", "1", 1, id, CALL_MS, NULL, &err));
    struct etcd_range r;
    must(etcd_get(client, "/lease/plain", CALL_MS, &r, &err));
    assert_int_equal(r.kvs[0].lease, id);
    etcd_range_free(&r);
    must(etcd_lease_revoke(client, id, CALL_MS, &err));
    assert_int_equal(value_of(client, "/lease/plain"), -1);
    must_fail(ERR_NOT_FOUND, "lease not found", etcd_lease_revoke(client, id, 2000, &err));
    must_fail(ERR_NOT_FOUND, "lease not found",
              etcd_put(client, "/lease/plain", "1", 1, id, 2000, NULL, &err));
    struct etcd_lease *l = NULL;
    must_fail(ERR_INVALID, "5 to 3600", etcd_lease_new(client, 4, 2000, &l, &err));
}

/* In one test, because each needs longer than a TTL: one lease lives on, one is revoked by somebody else, one
 * is given back by its owner. */
static void kept_alive_revoked_given_back(void **state)
{
    (void)state;
    struct etcd_lease *kept = NULL, *revoked = NULL, *given = NULL;
    must(etcd_lease_new(client, TTL_S, CALL_MS, &kept, &err));
    must(etcd_lease_new(client, TTL_S, CALL_MS, &revoked, &err));
    must(etcd_lease_new(client, TTL_S, CALL_MS, &given, &err));
    must(etcd_put(client, "/lease/kept", "1", 1, etcd_lease_id(kept), CALL_MS, NULL, &err));
    must(etcd_put(client, "/lease/given", "1", 1, etcd_lease_id(given), CALL_MS, NULL, &err));
    assert_true(etcd_lease_alive(kept));
    assert_true(etcd_lease_remaining_ms(kept) <= TTL_MS);

    must(etcd_lease_revoke(client, etcd_lease_id(revoked), CALL_MS, &err));
    int64_t before = clock_mono_ms();
    while (etcd_lease_alive(revoked) && clock_mono_ms() - before < TTL_MS)
        sleep_ms(20);
    assert_true(clock_mono_ms() - before <
                TTL_MS - 500); /* told by the next keep-alive, not by running out */
    assert_true(readable(etcd_lease_fd(revoked)));
    assert_int_equal(etcd_lease_remaining_ms(revoked), 0);

    etcd_lease_free(given, true);
    assert_int_equal(value_of(client, "/lease/given"), -1);

    sleep_ms(TTL_MS + 700);
    assert_true(etcd_lease_alive(kept));
    assert_true(etcd_lease_remaining_ms(kept) > TTL_MS / 2);
    assert_false(readable(etcd_lease_fd(kept)));
    assert_int_equal(value_of(client, "/lease/kept"), 1);

    before = clock_mono_ms();
    etcd_lease_free(kept, false);
    assert_true(clock_mono_ms() - before < 500);
    assert_int_equal(value_of(client, "/lease/kept"), 1);
    etcd_lease_free(revoked, true);
}

/* The owner sees only a hung member, the others go on: the lease must be dead for its owner before its key
 * can be taken by anybody else. An owner that knows all members loses nothing by one that hangs. */
static void dead_for_the_owner_first(void **state)
{
    (void)state;
    int leader = etcd_fixture_leader(fixture, 5000);
    assert_true(leader >= 0);
    size_t hung = ((size_t)leader + 1) % 3;
    struct etcd_options o = etcd_fixture_options_one(fixture, hung);
    struct etcd *owner = NULL;
    struct etcd_lease *l = NULL;
    must(etcd_open(&o, &owner, &err));
    must(etcd_lease_new(owner, TTL_S, CALL_MS, &l, &err));
    must(etcd_put(owner, "/lease/owned", "1", 1, etcd_lease_id(l), CALL_MS, NULL, &err));
    struct etcd_lease *others[3] = {NULL};
    for (int i = 0; i < 3; i++)
        must(etcd_lease_new(client, TTL_S, CALL_MS, &others[i], &err));
    sleep_ms(2500); /* at least one keep-alive */
    assert_true(etcd_lease_alive(l));

    etcd_fixture_pause(fixture, hung);
    int64_t paused = clock_mono_ms(), alive = paused;
    bool gone = false;
    while (!gone && clock_mono_ms() - paused < 4 * TTL_MS) {
        gone = value_of(client, "/lease/owned") < 0;
        int64_t now = clock_mono_ms();
        bool is = etcd_lease_alive(l);
        assert_false(gone && is);
        alive = is ? now : alive;
        sleep_ms(20);
    }
    for (int i = 0; i < 3; i++) {
        assert_true(etcd_lease_alive(others[i]));
        etcd_lease_free(others[i], i == 0);
    }
    etcd_fixture_resume(fixture, hung);
    assert_true(gone && clock_mono_ms() - paused > 3000);
    assert_true(alive - paused <= TTL_MS);
    assert_true(readable(etcd_lease_fd(l)));
    sleep_ms(300);
    assert_false(etcd_lease_alive(l)); /* and it stays dead */
    etcd_lease_free(l, false);
    etcd_close(owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_grant_and_revoke),
        cmocka_unit_test(kept_alive_revoked_given_back),
        cmocka_unit_test(dead_for_the_owner_first),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
