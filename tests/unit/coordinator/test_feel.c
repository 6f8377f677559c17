/* From single answers and events to a turn's figures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kindness/feel.h"

static struct feel f;

#define assert_ms(value, want)                                                                               \
    do {                                                                                                     \
        double ms_ = (value);                                                                                \
        if (ms_ < (want)-0.01 || ms_ > (want) + 0.01)                                                        \
            fail_msg("%s is %.2f instead of %.2f", #value, ms_, (double)(want));                             \
    } while (0)

static struct felt turn(size_t server, bool watching, double now_ms)
{
    struct felt r;
    feel_turn(&f, server, "s1", watching, now_ms, &r);
    return r;
}

static void the_second_slowest_of_the_last_answers_counts(void **state)
{
    (void)state;
    feel_init(&f);
    assert_ms(turn(0, true, 0).get_ms, -1);
    feel_answer(&f, 0, FEEL_GET, 300); /* the very first: nothing to compare it with */
    feel_answer(&f, 0, FEEL_GET, 5);
    assert_ms(turn(0, true, 0).get_ms, 5);
    feel_answer(&f, 0, FEEL_GET, 6);
    assert_ms(turn(0, true, 0).get_ms, 6); /* one slow answer is chance */
    feel_answer(&f, 0, FEEL_GET, 7);
    assert_ms(turn(0, true, 0).get_ms, 7);
    feel_answer(&f, 0, FEEL_GET, 200);
    assert_ms(turn(0, true, 0).get_ms, 200); /* two are not */
    assert_ms(turn(0, true, 0).list_ms, -1);
    for (int i = 0; i < FEEL_LAST - 2; i++)
        feel_answer(&f, 0, FEEL_GET, i % 6);
    assert_ms(turn(0, true, 0).get_ms, 7); /* the first one is too long ago by now */
    feel_answer(&f, 0, FEEL_GET, 0);
    assert_ms(turn(0, true, 0).get_ms, 5);
    feel_eased(&f); /* fewer writes: from now on it counts anew */
    assert_ms(turn(0, true, 0).get_ms, 0);
    feel_eased(&f);
    assert_ms(turn(0, true, 0).get_ms, 0); /* no answer yet, and not "not measured" */
    assert_ms(turn(0, true, 0).list_ms, -1);
    feel_answer(&f, 0, FEEL_GET, 9);
    feel_answer(&f, 0, FEEL_GET, 500);
    assert_ms(turn(0, true, 0).get_ms, 9);
    feel_unknown(&f, 0, FEEL_GET);
    assert_ms(turn(0, true, 0).get_ms, -1);
}

static void lag_runs_from_the_answer_to_the_event(void **state)
{
    (void)state;
    feel_init(&f);
    feel_seen(&f, 0, 7, true, 1000); /* the state at the beginning */
    feel_seen(&f, 1, 7, true, 1000);
    feel_touched(&f, 8, 2000);
    feel_seen(&f, 0, 8, false, 2030);
    assert_ms(turn(0, true, 2400).lag_ms, 30);
    assert_ms(turn(1, true, 2400).lag_ms, 400); /* still on its way */
    assert_ms(turn(1, true, 3400).lag_ms, 1400);
    feel_seen(&f, 1, 8, false, 3500);
    assert_ms(turn(1, true, 3600).lag_ms, 1500);
    assert_ms(turn(1, true, 3600).lag_ms, 0); /* each turn anew */
    feel_seen(&f, 0, 9, false, 3700);         /* before its answer: no lag at all */
    feel_touched(&f, 9, 3710);
    assert_ms(turn(0, true, 3900).lag_ms, 0);
}

static void the_longest_of_several_counts(void **state)
{
    (void)state;
    feel_init(&f);
    feel_seen(&f, 0, 1, true, 0);
    feel_touched(&f, 2, 100);
    feel_touched(&f, 3, 600);
    feel_seen(&f, 0, 3, false, 700); /* 2's event came with it */
    assert_ms(turn(0, true, 800).lag_ms, 600);
}

static void without_a_watch_or_touches_lag_is_unknown(void **state)
{
    (void)state;
    feel_init(&f);
    feel_seen(&f, 0, 1, true, 0);
    assert_ms(turn(0, true, 10).lag_ms, -1); /* nobody touched it */
    feel_touched(&f, 2, 100);
    assert_ms(turn(1, true, 200).lag_ms, -1);  /* no event ever came */
    assert_ms(turn(0, false, 200).lag_ms, -1); /* no watch stands */
    feel_seen(&f, 0, 2, false, 110);
    assert_ms(turn(0, true, 200).lag_ms, 10);
    assert_ms(turn(0, true, 9000).lag_ms, -1); /* touches fail since */
}

static void a_watch_that_was_lost_begins_anew(void **state)
{
    (void)state;
    feel_init(&f);
    feel_seen(&f, 0, 1, true, 0);
    feel_touched(&f, 2, 100);
    feel_watch_lost(&f, 0);
    feel_touched(&f, 3, 600);
    feel_seen(&f, 0, 2, false, 3000); /* missed ones that come with the new watch are no lag */
    feel_seen(&f, 0, 3, false, 3000);
    assert_ms(turn(0, true, 3000).lag_ms, 0);
    feel_touched(&f, 4, 3500);
    feel_seen(&f, 0, 4, false, 3550);
    assert_ms(turn(0, true, 3600).lag_ms, 50);
}

static void idle_is_the_longest_and_outlasts_a_servers_absence(void **state)
{
    (void)state;
    feel_init(&f);
    feel_idle(&f, 0, FEEL_LIST, 4);
    feel_idle(&f, 0, FEEL_LIST, 9);
    feel_idle(&f, 0, FEEL_LIST, 5);
    feel_answer(&f, 0, FEEL_LIST, 3);
    f.servers[0].closed = 2;
    feel_forget(&f, 0);
    struct felt r = turn(0, true, 0);
    assert_ms(r.idle_list_ms, 9);
    assert_ms(r.idle_get_ms, -1);
    assert_ms(r.list_ms, -1);
    assert_int_equal(r.closed, 0);
    f.servers[0].errors = 2;
    assert_int_equal(turn(0, true, 0).errors, 2);
    assert_int_equal(turn(0, true, 0).errors, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_slowest_of_the_last_answers_counts),
        cmocka_unit_test(lag_runs_from_the_answer_to_the_event),
        cmocka_unit_test(the_longest_of_several_counts),
        cmocka_unit_test(without_a_watch_or_touches_lag_is_unknown),
        cmocka_unit_test(a_watch_that_was_lost_begins_anew),
        cmocka_unit_test(idle_is_the_longest_and_outlasts_a_servers_absence),
    };
    return cmocka_run_group_tests_name("what the probes felt", tests, NULL, NULL);
}
