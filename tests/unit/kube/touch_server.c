#include "touch_server.h"

#include "fake_api.h"
#include "test.h"

static struct touch_server servers[3];

static int begin(void **state)
{
    (void)state;
    memset(servers, 0, sizeof(servers));
    for (size_t i = 0; i < array_len(servers); i++) {
        atomic_init(&servers[i].usable, true);
        adapt_init(&servers[i].adapt, 4, 16);
    }
    return 0;
}

static int picked(int avoid, size_t turn, int64_t now)
{
    struct touch_server *s = touch_server_pick(servers, array_len(servers), avoid, turn, now);

    return s ? (int)(s - servers) : -1;
}

static void test_pick_fewest_in_flight(void **state)
{
    (void)state;
    servers[0].in_flight = 2;
    servers[1].in_flight = 1;
    servers[2].in_flight = 3;
    assert_int_equal(picked(-1, 0, 0), 1);
    servers[1].in_flight = 4; /* at its limit */
    assert_int_equal(picked(-1, 0, 0), 0);
    servers[0].in_flight = servers[2].in_flight = 4;
    assert_int_equal(picked(-1, 0, 0), -1);
}

static void test_pick_takes_turns(void **state)
{
    (void)state;
    assert_int_equal(picked(-1, 0, 0), 0);
    assert_int_equal(picked(-1, 1, 0), 1);
    assert_int_equal(picked(-1, 5, 0), 2);
}

static void test_pick_avoids(void **state)
{
    (void)state;
    servers[1].in_flight = servers[2].in_flight = 3;
    assert_int_equal(picked(0, 0, 0), 1);
    servers[1].in_flight = servers[2].in_flight = 4;
    assert_int_equal(picked(0, 0, 0), -1); /* waits for another one */
    atomic_store(&servers[1].usable, false);
    servers[2].trouble = TROUBLE_DOWN;
    assert_int_equal(picked(0, 0, 0), 0); /* there is no other one */
}

static void test_pick_only_usable(void **state)
{
    (void)state;
    atomic_store(&servers[0].usable, false);
    servers[1].paused_until_ms = 1000;
    assert_int_equal(picked(-1, 0, 999), 2);
    servers[2].in_flight = 2;
    assert_int_equal(picked(-1, 0, 1000), 1);
}

/* Retry-After holds for that server alone. */
static void test_refusal_pauses_and_halves(void **state)
{
    (void)state;
    touch_server_refused(&servers[0], 7000, 10000);
    assert_int_equal(servers[0].adapt.limit, 2);
    assert_false(touch_server_open(&servers[0], 16999));
    assert_true(touch_server_open(&servers[0], 17000));
    assert_true(touch_server_healthy(&servers[1], 10000));
    touch_server_refused(&servers[0], 1000, 10000); /* does not shorten the wait */
    assert_false(touch_server_open(&servers[0], 16999));
}

static void test_unreachable_is_probed_one_at_a_time(void **state)
{
    (void)state;
    touch_server_failed(&servers[0], true, 0, 1000);
    assert_false(touch_server_open(&servers[0], 1000));
    assert_true(touch_server_open(&servers[0], 1000 + 200));
    assert_false(touch_server_healthy(&servers[0], 1000 + 200));
    atomic_store(&servers[1].usable, false);
    atomic_store(&servers[2].usable, false);
    assert_int_equal(picked(-1, 0, 1200), 0);
    servers[0].in_flight = 1;
    assert_int_equal(picked(-1, 0, 1200), -1);
    touch_server_answered(&servers[0], 5, true, 1300);
    assert_int_equal(picked(-1, 0, 1300), 0);
    assert_true(touch_server_healthy(&servers[0], 1300));
}

/* Many requests that fail with one connection are one failure. */
static void test_failures_together_count_once(void **state)
{
    (void)state;
    for (int i = 0; i < 64; i++)
        touch_server_failed(&servers[0], true, 0, 1000);
    assert_int_equal(servers[0].trouble, TROUBLE_DOWN);
    assert_true(touch_server_open(&servers[0], 1200));
}

static void test_single_failures_do_not_pause(void **state)
{
    (void)state;
    touch_server_failed(&servers[0], false, 0, 1000);
    touch_server_failed(&servers[0], false, 0, 1000);
    assert_true(touch_server_open(&servers[0], 1000));
    assert_int_equal(servers[0].adapt.limit, 2);
    touch_server_failed(&servers[0], false, 0, 1000);
    assert_false(touch_server_open(&servers[0], 1000));
    begin(NULL);
    touch_server_failed(&servers[0], false, 3000, 1000); /* 503 with Retry-After */
    assert_false(touch_server_open(&servers[0], 3999));
}

static void nothing(void *arg, const struct fake_request *q, struct fake_reply *a)
{
    (void)arg, (void)q, (void)a;
}

static void test_renew_once_a_second(void **state)
{
    struct fake_api *f = fake_start(nothing, NULL);
    struct kube_options o = fake_options(f);
    struct touch_server *s = &servers[0];
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(session_init(&s->session, &o, &e), e);
    fake_write(f, "token", "two");
    touch_server_renew(s, 5000);
    assert_has((char *)s->session.bearer->header->data, "two");
    fake_write(f, "token", "three");
    touch_server_renew(s, 5999);
    assert_has((char *)s->session.bearer->header->data, "two");
    touch_server_renew(s, 6000);
    assert_has((char *)s->session.bearer->header->data, "three");
    session_clear(&s->session);
    fake_stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_pick_fewest_in_flight, begin),
        cmocka_unit_test_setup(test_pick_takes_turns, begin),
        cmocka_unit_test_setup(test_pick_avoids, begin),
        cmocka_unit_test_setup(test_pick_only_usable, begin),
        cmocka_unit_test_setup(test_refusal_pauses_and_halves, begin),
        cmocka_unit_test_setup(test_unreachable_is_probed_one_at_a_time, begin),
        cmocka_unit_test_setup(test_failures_together_count_once, begin),
        cmocka_unit_test_setup(test_single_failures_do_not_pause, begin),
        cmocka_unit_test_setup(test_renew_once_a_second, begin),
    };

    return cmocka_run_group_tests_name("kube touch server", tests, NULL, NULL);
}
