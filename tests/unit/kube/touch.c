/* The toucher's loop: several servers, limits, and its ends. */
#include "touch_tools.h"

#include <pthread.h>
#include <time.h>

struct script {
    int delay_ms;
    unsigned refuse_after; /* 429 from this request on, 0: never */
};

static void play(void *arg, const struct fake_request *q, struct fake_reply *a)
{
    const struct script *s = arg;

    a->delay_ms = s->delay_ms;
    if (s->refuse_after && q->number >= s->refuse_after)
        a->status = 429;
}

static void test_options(void **state)
{
    struct kube_options s = {.server = "s1", .url = "https://127.0.0.1:1"};
    struct kube_touch_options good = {
        .servers = &s, .servers_count = 1, .in_flight_max = 256, .request_deadline_ms = 1, .attempts_max = 1};
    struct kube_touch_options o;
    struct kube_toucher *t = NULL;
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(kube_toucher_new(&good, &t, &e), e);
    assert_int_equal(kube_toucher_in_flight(t), 4);
    kube_toucher_free(t);
    kube_toucher_free(NULL);
    t = NULL;
    o = good, o.in_flight_max = 0;
    assert_int_equal(kube_toucher_new(&o, &t, &e), ERR_INVALID);
    o = good, o.in_flight_max = 257;
    assert_int_equal(kube_toucher_new(&o, &t, &e), ERR_INVALID);
    o = good, o.servers_count = 0;
    assert_int_equal(kube_toucher_new(&o, &t, &e), ERR_INVALID);
    o = good, o.attempts_max = 0;
    assert_int_equal(kube_toucher_new(&o, &t, &e), ERR_INVALID);
    o = good, o.request_deadline_ms = 0;
    assert_int_equal(kube_toucher_new(&o, &t, &e), ERR_INVALID);
    s.url = "http://127.0.0.1:1";
    assert_int_equal(kube_toucher_new(&good, &t, &e), ERR_INVALID);
    assert_null(t);
}

static void once_each(const struct tally *t, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(t->seen[i], 1);
}

static void test_spreads_over_servers(void **state)
{
    struct script s = {.delay_ms = 2};
    struct fake_api *f[] = {fake_start(play, &s), fake_start(play, &s), fake_start(play, &s)};
    struct kube_options o[] = {fake_options(f[0]), fake_options(f[1]), fake_options(f[2])};
    struct kube_toucher *t = toucher(o, 3, 12);
    struct tally tally = {0};
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(touch_all(t, 300, &tally, &e), e);
    assert_int_equal(tally.touched, 300);
    once_each(&tally, 300);
    for (int i = 0; i < 3; i++)
        assert_in_range(fake_requests(f[i]), 50, 150);
    kube_toucher_use(t, 1, false);
    tally = (struct tally){0};
    assert_ok(touch_all(t, 100, &tally, &e), e);
    assert_int_equal(tally.touched, 100);
    assert_true(fake_requests(f[1]) <= 150);
    assert_int_equal(fake_requests(f[0]) + fake_requests(f[1]) + fake_requests(f[2]), 400);
    kube_toucher_free(t);
    for (int i = 0; i < 3; i++)
        fake_stop(f[i]);
}

/* One server is away from the start, another one goes in the middle. */

static void break_off(void *arg, const struct fake_request *q, struct fake_reply *a)
{
    (void)arg;
    a->drop = q->number > 20;
}

static void test_survives_lost_servers(void **state)
{
    struct script s = {.delay_ms = 1};
    struct fake_api *good = fake_start(play, &s), *bad = fake_start(break_off, NULL);
    struct kube_options o[] = {fake_options(good), fake_options(bad), fake_options(good)};
    struct kube_toucher *t;
    struct tally tally = {0};
    struct error e = ERROR_INIT;

    (void)state;
    o[2].url = "https://127.0.0.1:1";
    t = toucher(o, 3, 16);
    assert_ok(touch_all(t, 400, &tally, &e), e);
    assert_int_equal(tally.touched, 400);
    once_each(&tally, 400);
    kube_toucher_free(t);
    fake_stop(good);
    fake_stop(bad);
}

static void test_in_flight_grows_and_halves(void **state)
{
    struct script s = {.delay_ms = 3};
    struct fake_api *f = fake_start(play, &s);
    struct kube_options o = fake_options(f);
    struct kube_toucher *t = toucher(&o, 1, 12);
    struct tally tally = {0};
    struct error e = ERROR_INIT;
    int grown;

    (void)state;
    tally.watched = t;
    assert_ok(touch_all(t, 300, &tally, &e), e);
    assert_in_range(tally.in_flight, 8, 12);
    grown = kube_toucher_in_flight(t);
    assert_true(fake_connections(f) <= 14); /* HTTP/1.1: one each; never more than were in flight */
    s.refuse_after = 301;
    tally = (struct tally){.stop_at = 1};
    kube_toucher_set_patience(t, 300);
    (void)!touch_all(t, 1, &tally, &e);
    assert_int_equal(kube_toucher_in_flight(t), grown > 1 ? grown / 2 : 1);
    kube_toucher_free(t);
    fake_stop(f);
}

static void test_rate(void **state)
{
    struct script s = {0};
    struct fake_api *f = fake_start(play, &s);
    struct kube_options o = fake_options(f);
    struct kube_toucher *t = toucher(&o, 1, 8);
    struct tally tally = {0};
    struct error e = ERROR_INIT;
    int64_t began = clock_mono_ms();

    (void)state;
    kube_toucher_set_rate(t, 50);
    assert_ok(touch_all(t, 50, &tally, &e), e);
    assert_in_range(clock_mono_ms() - began, 900, 2500);
    kube_toucher_set_rate(t, 0);
    began = clock_mono_ms();
    assert_ok(touch_all(t, 50, &tally, &e), e);
    assert_true(clock_mono_ms() - began < 900);
    kube_toucher_free(t);
    fake_stop(f);
}

static void test_callback_stops(void **state)
{
    struct script s = {.delay_ms = 20};
    struct fake_api *f = fake_start(play, &s);
    struct kube_options o = fake_options(f);
    struct kube_toucher *t = toucher(&o, 1, 8);
    struct tally tally = {.stop_at = 10};
    struct error e = ERROR_INIT;

    (void)state;
    assert_int_equal(touch_all(t, 500, &tally, &e), ERR_CANCELED);
    assert_int_equal(tally.total, 10);
    tally = (struct tally){.stop_at = 5}; /* even with the last one */
    assert_int_equal(touch_all(t, 5, &tally, &e), ERR_CANCELED);
    tally = (struct tally){0};
    assert_ok(touch_all(t, 20, &tally, &e), e);
    assert_int_equal(tally.touched, 20);
    kube_toucher_free(t);
    fake_stop(f);
}

static void test_no_server(void **state)
{
    struct script s = {0};
    struct fake_api *f = fake_start(play, &s);
    struct kube_options o = fake_options(f);
    struct kube_toucher *t = toucher(&o, 1, 8);
    struct tally tally = {0};
    struct error e = ERROR_INIT;
    int64_t began = clock_mono_ms();

    (void)state;
    kube_toucher_set_patience(t, 1000);
    kube_toucher_use(t, 0, false);
    assert_int_equal(touch_all(t, 20, &tally, &e), ERR_UNAVAILABLE);
    assert_in_range(clock_mono_ms() - began, 950, 2000);
    assert_has(e.text, "excluded");
    assert_int_equal(tally.total, 0);
    kube_toucher_use(t, 0, true);
    assert_ok(touch_all(t, 20, &tally, &e), e);
    kube_toucher_free(t);

    o.url = "https://127.0.0.1:1";
    t = toucher(&o, 1, 8);
    kube_toucher_set_patience(t, 2000);
    began = clock_mono_ms();
    tally = (struct tally){0};
    assert_int_equal(touch_all(t, 1, &tally, &e), ERR_UNAVAILABLE);
    assert_in_range(clock_mono_ms() - began, 1950, 4000);
    assert_has(e.text, "s1 (https://127.0.0.1:1)");
    assert_int_equal(tally.failed, 0); /* not the objects' fault */
    kube_toucher_free(t);
    fake_stop(f);
}

static void test_wrong_ca(void **state)
{
    struct script s = {0};
    struct fake_api *f = fake_start(play, &s), *other = fake_start(play, &s);
    struct kube_options o = fake_options(f);
    struct kube_toucher *t;
    struct tally tally = {0};
    struct error e = ERROR_INIT;

    (void)state;
    o.ca_file = fake_options(other).ca_file;
    t = toucher(&o, 1, 8);
    kube_toucher_set_patience(t, 500);
    assert_int_equal(touch_all(t, 5, &tally, &e), ERR_UNAVAILABLE);
    assert_has(e.text, "certificate");
    assert_int_equal(fake_requests(f), 0);
    kube_toucher_free(t);
    fake_stop(f);
    fake_stop(other);
}

static void *cancel_soon(void *t)
{
    nanosleep(&(struct timespec){0, 300 * 1000000L}, NULL);
    kube_toucher_cancel(t);
    return NULL;
}

static void test_cancel_from_another_thread(void **state)
{
    struct kube_options o = {.server = "s1", .url = "https://127.0.0.1:1"};
    struct kube_toucher *t = toucher(&o, 1, 8);
    struct tally tally = {0};
    struct error e = ERROR_INIT;
    int64_t began = clock_mono_ms();
    pthread_t thread;

    (void)state;
    kube_toucher_use(t, 0, false);
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, t), 0);
    assert_int_equal(touch_all(t, 5, &tally, &e), ERR_CANCELED);
    assert_in_range(clock_mono_ms() - began, 250, 1000);
    pthread_join(thread, NULL);
    assert_int_equal(touch_all(t, 5, &tally, &e), ERR_CANCELED);
    kube_toucher_free(t);
}

static void test_nothing_to_do(void **state)
{
    struct kube_options o = {.server = "s1", .url = "https://127.0.0.1:1"};
    struct kube_toucher *t = toucher(&o, 1, 8);
    struct tally tally = {0};
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(kube_touch(t, &secrets, NULL, 0, tally_add, &tally, &e), e);
    kube_toucher_free(t);
}

/* ---------- objects that come one after the other ---------- */

struct source {
    int laters; /* so often "later" before each object */
    int later, given, count;
    int fails_at; /* before this object; -1: never */
    int stops_at; /* on_turn says stop once so many were given; -1: never */
    int turns;
    struct tally tally;
};

static int source_next(void *arg, struct kube_object *ret, struct error *err)
{
    struct source *s = arg;

    if (s->later++ < s->laters)
        return KUBE_NEXT_LATER;
    if (s->given == s->fails_at)
        return error_set(err, ERR_UNAVAILABLE, "the names are gone");
    if (s->given == s->count)
        return KUBE_NEXT_END;
    s->later = 0;
    snprintf(ret->namespace, sizeof(ret->namespace), "default");
    snprintf(ret->name, sizeof(ret->name), "s%d", s->given++);
    return KUBE_NEXT_OBJECT;
}

static bool source_result(void *arg, const struct kube_object *object, enum kube_touch_result result,
                          const char *why)
{
    struct source *s = arg;

    return tally_add(&s->tally, object, result, why);
}

static bool source_turn(void *arg)
{
    struct source *s = arg;

    s->turns++;
    return s->stops_at < 0 || s->given < s->stops_at;
}

static void test_objects_come_one_after_the_other(void **state)
{
    static const struct {
        struct source source;
        int code, touched; /* touched: all of them where it ends well */
    } cases[] = {
        {{.laters = 0, .count = 30, .fails_at = -1, .stops_at = -1}, 0, 30},
        {{.laters = 2, .count = 30, .fails_at = -1, .stops_at = -1}, 0, 30},
        {{.laters = 2, .count = 0, .fails_at = -1, .stops_at = -1}, 0, 0},
        {{.laters = 1, .count = 30, .fails_at = 12, .stops_at = -1}, ERR_UNAVAILABLE, -1},
        {{.laters = 1, .count = 30, .fails_at = -1, .stops_at = 5}, ERR_CANCELED, -1},
    };
    struct script script = {0};
    struct fake_api *f = fake_start(play, &script);
    struct kube_options o = fake_options(f);

    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        struct source s = cases[i].source;
        struct kube_touch_work work = {source_next, source_result, source_turn, &s};
        struct kube_toucher *t = toucher(&o, 1, 8);
        struct error e = ERROR_INIT;

        assert_int_equal(kube_touch_all(t, &secrets, &work, &e), cases[i].code);
        if (cases[i].touched >= 0)
            assert_int_equal(s.tally.touched, cases[i].touched);
        if (s.fails_at >= 0)
            assert_has(e.text, "the names are gone");
        assert_true(s.turns > 0);
        kube_toucher_free(t);
    }
    fake_stop(f);
}

/* Waiting costs no processor time. */
static void test_waits_without_spinning(void **state)
{
    struct script s = {.delay_ms = 900};
    struct fake_api *f = fake_start(play, &s);
    struct kube_options o = fake_options(f);
    struct kube_toucher *t = toucher(&o, 1, 4);
    struct tally tally = {0};
    struct error e = ERROR_INIT;
    struct timespec before, after;

    (void)state;
    kube_toucher_set_rate(t, 2);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    assert_ok(touch_all(t, 4, &tally, &e), e);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 300);
    kube_toucher_free(t);
    fake_stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_spreads_over_servers),
        cmocka_unit_test(test_survives_lost_servers),
        cmocka_unit_test(test_in_flight_grows_and_halves),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_callback_stops),
        cmocka_unit_test(test_no_server),
        cmocka_unit_test(test_wrong_ca),
        cmocka_unit_test(test_cancel_from_another_thread),
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_objects_come_one_after_the_other),
        cmocka_unit_test(test_waits_without_spinning),
    };

    return cmocka_run_group_tests_name("kube touch", tests, NULL, NULL);
}
