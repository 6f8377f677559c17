/* The controller of a rewrite's rate, as sequences of turns a second apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include <base/error.h>

#include "kindness/controller.h"

#define MIB (INT64_C(1024) * 1024)

static struct controller c;
static struct signals s;
static int64_t now;

#define assert_rate(want)                                                                                    \
    do {                                                                                                     \
        if (c.rate < (want)-0.01 || c.rate > (want) + 0.01)                                                  \
            fail_msg("the rate is %.2f instead of %.2f (%s)", c.rate, (double)(want), c.why);                \
    } while (0)
#define assert_why(part)                                                                                     \
    do {                                                                                                     \
        if (!strstr(c.why, (part)))                                                                          \
            fail_msg("\"%s\" does not contain \"%s\"", c.why, (part));                                       \
    } while (0)

/* Two servers, all well, and an engine that could go faster. */
static void all_well(void)
{
    static const char *const names[] = {"s1", "s2"};
    s = (struct signals){.servers_count = 2,
                         .own_ms = 12,
                         .own_idle_ms = 8,
                         .db_bytes = 200 * MIB,
                         .db_in_use = 100 * MIB,
                         .quota_bytes = 2048 * MIB,
                         .saturated = true};
    for (size_t i = 0; i < 2; i++)
        s.servers[i] = (struct felt){.server = names[i],
                                     .lag_ms = 10,
                                     .get_ms = 8,
                                     .list_ms = 9,
                                     .idle_get_ms = 6,
                                     .idle_list_ms = 40};
}

static void begin(double max_rate)
{
    struct controller_options o = {.start = 250, .max_rate = max_rate};
    now = 100000;
    controller_init(&c, &o, now);
    all_well();
}

static void turn(void)
{
    now += 1000;
    double rate = controller_turn(&c, &s, now);
    assert_true(rate >= c.rate && rate <= c.rate); /* it returns what it holds */
}

static void turns(int count)
{
    while (count-- > 0)
        turn();
}

static void rises_by_a_quarter_every_two_seconds_until_it_is_felt(void **state)
{
    (void)state;
    begin(0);
    assert_rate(250);
    turn();
    assert_rate(250);
    turn();
    assert_rate(312.5);
    turn();
    assert_rate(312.5);
    turn();
    assert_rate(390.625);
    assert_string_equal(c.why, "");
    s.servers[0].lag_ms = 300;
    turn();
    assert_rate(195.3125);
    all_well();
    turns(2);
    assert_rate(214.84375); /* by a tenth from here on */
    turns(2);
    assert_rate(236.328125);
}

static void begins_slowly(void **state)
{
    (void)state;
    begin(0);
    struct controller_options o = {0};
    controller_init(&c, &o, now);
    assert_rate(100);
    turns(8);
    assert_rate(244.140625);
}

static void an_engine_with_time_to_spare_proves_nothing(void **state)
{
    (void)state;
    begin(0);
    s.saturated = false;
    turns(10);
    assert_rate(250);
}

static void a_sign_halves_at_once_and_then_once_in_two_seconds(void **state)
{
    (void)state;
    begin(0);
    s.servers[1].lag_ms = 312;
    turn();
    assert_rate(125);
    assert_string_equal(c.why, "s2: watch lag 312 ms (at most 250)");
    turn();
    assert_rate(125);
    turn();
    assert_rate(62.5);
    turns(20);
    assert_rate(10); /* never below */
    all_well();
    turn();
    assert_rate(10);
    assert_why("s2: watch lag"); /* still what holds it back */
    turn();
    assert_rate(11);
    assert_string_equal(c.why, "");
}

/* A rise just before does not shield from the halving. */
static void halves_right_after_a_rise(void **state)
{
    (void)state;
    begin(0);
    turns(2);
    assert_rate(312.5);
    s.servers[0].lag_ms = 251;
    turn();
    assert_rate(156.25);
}

struct sign {
    const char *why;
    void (*set)(void);
    bool pauses;
};

static void get_slow(void)
{
    s.servers[0].get_ms = 21;
}
static void list_slow(void)
{
    s.servers[1].list_ms = 81;
}
static void list_hangs(void)
{
    s.servers[1].list_ms = 1001;
}
static void errors(void)
{
    s.servers[0].errors = 1;
}
static void refused(void)
{
    s.refused = 0.21;
}
static void own_slow(void)
{
    s.own_ms = 33;
}
static void lag_bad(void)
{
    s.servers[0].lag_ms = 1001;
}
static void closed(void)
{
    s.servers[1].closed = 1;
}
static void full(void)
{
    s.db_in_use = 1229 * MIB;
}
static void alarm_raised(void)
{
    s.alarm = true;
}

static const struct sign signs[] = {
    {"s1: GET 21 ms (at most 20)", get_slow, false}, /* 2 x 10: 6 ms idle is noise */
    {"s2: LIST 81 ms (at most 80)", list_slow, false},
    {"s1: 1 request failed or was refused", errors, false},
    {"21 % of the writes were refused", refused, false},
    {"writes take 33 ms (at most 32)", own_slow, false},
    {"s2: LIST 1001 ms", list_hangs, true},
    {"s1: watch lag 1001 ms", lag_bad, true},
    {"s2: closed 1 watch", closed, true},
    {"1229 MiB in use of a quota of 2048", full, true},
    {"NOSPACE", alarm_raised, true},
};

static void each_sign_is_named_and_does_its_part(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        begin(0);
        signs[i].set();
        turn();
        assert_rate(signs[i].pauses ? 0 : 125);
        assert_why(signs[i].why);
    }
}

static void at_the_mark_is_still_well(void **state)
{
    (void)state;
    begin(0);
    s.servers[0].lag_ms = 250;
    s.servers[0].get_ms = 20;
    s.servers[0].list_ms = 80;
    s.refused = 0.2;
    s.own_ms = 32;
    s.db_in_use = 1228 * MIB;
    turns(2);
    assert_rate(312.5);
}

static void the_worst_sign_is_told(void **state)
{
    (void)state;
    begin(0);
    s.servers[0].get_ms = 500; /* ten times the mark, but it does not pause */
    s.servers[1].lag_ms = 1100;
    turn();
    assert_rate(0);
    assert_why("s2: watch lag 1100 ms");
    begin(0);
    s.servers[0].lag_ms = 300;
    s.servers[1].get_ms = 200;
    turn();
    assert_why("s2: GET 200 ms");
}

static void a_pause_ends_after_five_seconds_of_which_three_are_quiet(void **state)
{
    (void)state;
    begin(0);
    s.servers[0].closed = 1;
    turn();
    assert_rate(0);
    all_well();
    turns(4);
    assert_rate(0);
    assert_why("s1: closed 1 watch");
    turn();
    assert_rate(62.5); /* a quarter */
    turns(2);
    assert_rate(68.75);
}

static void a_pause_goes_on_while_there_are_signs(void **state)
{
    (void)state;
    begin(0);
    s.servers[0].lag_ms = 2000;
    turns(60);
    assert_rate(0);
    all_well();
    turns(2);
    assert_rate(0);
    turn();
    assert_rate(62.5);
}

/* Slow, but no worse: it must not stand for ever. */
static void a_pause_ends_at_the_floor_when_only_small_signs_are_left(void **state)
{
    (void)state;
    begin(0);
    s.servers[0].closed = 1;
    turn();
    all_well();
    s.servers[0].errors = 3;
    turns(29);
    assert_rate(0);
    assert_why("s1: closed 1 watch");
    turn();
    assert_rate(10);
    turn();
    assert_why("s1: 3 requests failed or were refused");
    turns(5);
    assert_rate(10);
}

static void a_full_datastore_is_waited_for_until_there_is_room_well_below(void **state)
{
    (void)state;
    begin(0);
    s.db_in_use = 1300 * MIB;
    turn();
    assert_rate(0);
    s.db_in_use = 1100 * MIB; /* under the mark, not yet under that of the end */
    turns(40);
    assert_rate(0);
    s.db_in_use = 1000 * MIB;
    turns(3);
    assert_rate(62.5);
    s.db_in_use = 1100 * MIB;
    turn();
    assert_rate(62.5);
}

static void a_ceiling_is_kept(void **state)
{
    (void)state;
    begin(260);
    turns(10);
    assert_rate(260);
    controller_limit(&c, 40);
    assert_rate(40);
    turns(10);
    assert_rate(40);
    controller_limit(&c, 0);
    turns(2);
    assert_rate(50);
    begin(100);
    assert_rate(100);
    begin(5); /* below the floor: the operator's word counts */
    s.servers[0].lag_ms = 300;
    turns(4);
    assert_rate(5);
}

static void an_unmeasured_server_keeps_it_low(void **state)
{
    (void)state;
    begin(0);
    s.servers[1].lag_ms = -1;
    s.servers[1].unmeasured = "403 Forbidden";
    turns(20);
    assert_rate(250);
    assert_string_equal(c.why, "s2: not measured: 403 Forbidden (at most 250 a second)");
    all_well();
    turns(20);
    assert_true(c.rate > 400);
    s.servers[0].get_ms = -1; /* lost on the way */
    turn();
    assert_rate(250);
    s.servers[1].lag_ms = 300;
    turns(2);
    assert_rate(125);
    s.servers[1].lag_ms = 10;
    turns(40);
    assert_rate(250); /* back up, no further */
    s.servers_count = 0;
    turns(20);
    assert_rate(250);
}

static void unknown_figures_are_no_signs(void **state)
{
    (void)state;
    begin(0);
    s.own_ms = s.own_idle_ms = -1;
    s.db_bytes = s.db_in_use = -1;
    s.servers[0].idle_get_ms = s.servers[0].idle_list_ms = -1;
    turns(2);
    assert_rate(312.5);
    s.db_in_use = 5000 * MIB;
    s.quota_bytes = 0;
    turns(2);
    assert_rate(390.625);
}

/* ---------- a machine with slow minutes of its own ---------- */

/* Its answers take three times the idle ones, at whatever rate. */
static void slowness_that_is_not_ours_does_not_hold_it_at_the_floor(void **state)
{
    (void)state;
    begin(0);
    s.servers[0].list_ms = 40;
    s.servers[0].idle_list_ms = 15;
    turns(12);
    assert_rate(10);
    assert_why("s1: LIST 40 ms (at most 30)");
    turns(60);
    assert_true(c.rate > 50); /* 40 ms is what it takes when nobody writes: up to 80 it is not felt */
    assert_string_equal(c.why, "");
    s.servers[0].list_ms = 81;
    turn();
    assert_why("s1: LIST 81 ms (at most");
}

/* A server that somebody else overloads is not pushed further. */
static void the_idle_time_does_not_rise_without_end(void **state)
{
    (void)state;
    begin(0);
    s.servers[0].list_ms = 900;
    s.servers[0].idle_list_ms = 15;
    turns(200);
    assert_rate(10);
    assert_why("s1: LIST 900 ms (at most 90)");
}

/* ---------- room ---------- */

static double room(int64_t values, int64_t bytes, int64_t used, int64_t quota)
{
    double rate = -1;
    struct error e = ERROR_INIT;
    int rc = controller_room(values, bytes, used, quota, &rate, &e);
    assert_int_equal(rc, e.code);
    return rc < 0 ? -2 : rate;
}

static void a_pass_that_fits_whole_is_not_held_back(void **state)
{
    (void)state;
    assert_true(room(10000, 10000 * 1000, 100 * MIB, 2048 * MIB) == 0);
    assert_true(room(0, 0, 2000 * MIB, 2048 * MIB) == 0);             /* nothing to write */
    assert_true(room(INT64_C(1) << 30, INT64_C(1) << 40, 0, 0) == 0); /* no quota is known */
}

static void history_until_compaction_fits_into_half_the_quota(void **state)
{
    (void)state;
    /* 1000 B a value: 1600 B of history each; 924 MiB of room for 600 s */
    double rate = room(1000000, INT64_C(1000000000), 100 * MIB, 2048 * MIB);
    double want = 924.0 * 1024 * 1024 / (600 * 1600);
    assert_true(rate > want - 0.01 && rate < want + 0.01);
    assert_true(100.0 * 1024 * 1024 + rate * KINDNESS_HISTORY_S * 1600 <= 1024.0 * 1024 * 1024 + 1);
}

static void no_room_at_any_pace_is_refused(void **state)
{
    (void)state;
    struct error e = ERROR_INIT;
    double rate = 7;
    assert_int_equal(controller_room(1000, 1000 * 1000, 1100 * MIB, 2048 * MIB, &rate, &e), ERR_STATE);
    assert_true(rate > 6 && rate < 8); /* untouched */
    assert_non_null(strstr(e.text, "1100 MiB are in use"));
    assert_non_null(strstr(e.text, "datastore.quota"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rises_by_a_quarter_every_two_seconds_until_it_is_felt),
        cmocka_unit_test(begins_slowly),
        cmocka_unit_test(an_engine_with_time_to_spare_proves_nothing),
        cmocka_unit_test(a_sign_halves_at_once_and_then_once_in_two_seconds),
        cmocka_unit_test(halves_right_after_a_rise),
        cmocka_unit_test(each_sign_is_named_and_does_its_part),
        cmocka_unit_test(at_the_mark_is_still_well),
        cmocka_unit_test(the_worst_sign_is_told),
        cmocka_unit_test(a_pause_ends_after_five_seconds_of_which_three_are_quiet),
        cmocka_unit_test(a_pause_goes_on_while_there_are_signs),
        cmocka_unit_test(a_pause_ends_at_the_floor_when_only_small_signs_are_left),
        cmocka_unit_test(a_full_datastore_is_waited_for_until_there_is_room_well_below),
        cmocka_unit_test(a_ceiling_is_kept),
        cmocka_unit_test(an_unmeasured_server_keeps_it_low),
        cmocka_unit_test(unknown_figures_are_no_signs),
        cmocka_unit_test(slowness_that_is_not_ours_does_not_hold_it_at_the_floor),
        cmocka_unit_test(the_idle_time_does_not_rise_without_end),
        cmocka_unit_test(a_pass_that_fits_whole_is_not_held_back),
        cmocka_unit_test(history_until_compaction_fits_into_half_the_quota),
        cmocka_unit_test(no_room_at_any_pace_is_refused),
    };
    return cmocka_run_group_tests_name("the pace's controller", tests, NULL, NULL);
}
