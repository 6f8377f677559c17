#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include <etcd/watch.h>

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

static bool readable(struct etcd_watch *w)
{
    struct pollfd p = {.fd = etcd_watch_fd(w), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void wait_connected(struct etcd_watch *w)
{
    for (int64_t end = clock_mono_ms() + 10000; !etcd_watch_connected(w, NULL);) {
        if (clock_mono_ms() > end) {
            struct error err;
            etcd_watch_error(w, &err);
            fail_msg("the watch did not connect: %s", err.text);
        }
        sleep_ms(5);
    }
}

static int64_t put(const char *key, const char *value)
{
    int64_t revision = 0;
    must(etcd_put(client, key, value, strlen(value), 0, CALL_MS, &revision, &err));
    return revision;
}

static void events_in_order(void **state)
{
    (void)state;
    struct etcd_watch *w = NULL;
    struct etcd_event ev;
    must(etcd_watch_new(client, "/watch/a/", 0, &w, &err));
    wait_connected(w);
    assert_true(readable(w)); /* the stream stands: that is news */
    must_fail(ERR_TIMEOUT, "/watch/a/", etcd_watch_next(w, 0, &ev, &err));
    assert_false(readable(w));
    int64_t first = put("/watch/a/1", "one");
    put("/watch/b", "outside");
    must(etcd_delete(client, "/watch/a/1", false, CALL_MS, NULL, &err));
    struct etcd_txn *t = etcd_txn_new(client);
    etcd_txn_put(t, "/watch/a/2", "two", 3, 0);
    etcd_txn_put(t, "/watch/a/3", "three", 5, 0);
    int64_t both = 0;
    must(etcd_txn_commit(t, CALL_MS, &both, &err));
    etcd_txn_free(t);

    must(etcd_watch_next(w, CALL_MS, &ev, &err));
    assert_int_equal(ev.type, ETCD_EVENT_PUT);
    assert_string_equal(ev.kv.key, "/watch/a/1");
    assert_string_equal((char *)ev.kv.value, "one");
    assert_int_equal(ev.revision, first);
    etcd_event_free(&ev);
    must(etcd_watch_next(w, CALL_MS, &ev, &err));
    assert_int_equal(ev.type, ETCD_EVENT_DELETE);
    assert_string_equal(ev.kv.key, "/watch/a/1");
    assert_int_equal(ev.revision, first + 2);
    etcd_event_free(&ev);
    for (int i = 2; i <= 3; i++) {
        must(etcd_watch_next(w, CALL_MS, &ev, &err));
        assert_int_equal(ev.revision, both);
        assert_int_equal(ev.kv.key[9], '0' + i);
        etcd_event_free(&ev);
    }
    assert_false(readable(w));
    put("/watch/a/4", "four");
    struct pollfd p = {.fd = etcd_watch_fd(w), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 2000), 1);
    assert_true(readable(w)); /* as long as it is not taken */
    must(etcd_watch_next(w, 0, &ev, &err));
    etcd_event_free(&ev);
    assert_false(readable(w));
    etcd_watch_free(w);

    /* From the past: the same again. */
    must(etcd_watch_new(client, "/watch/a/", first, &w, &err));
    must(etcd_watch_next(w, CALL_MS, &ev, &err));
    assert_int_equal(ev.revision, first);
    etcd_event_free(&ev);
    etcd_watch_free(w);
}

#define WRITES 2000

/* Puts one key WRITES times, repeating what failed: the key's version then counts what really happened. */
static void *write_many(void *arg)
{
    atomic_int *done = arg;
    for (int i = 0; i < WRITES;) {
        if (etcd_put(client, "/watch/many", &i, sizeof(i), 0, 1000, NULL, NULL) < 0) {
            sleep_ms(20);
            continue;
        }
        atomic_store(done, ++i);
    }
    return NULL;
}

static void wait_for(atomic_int *done, int count)
{
    for (int64_t end = clock_mono_ms() + 30000; atomic_load(done) < count && clock_mono_ms() < end;)
        sleep_ms(1);
    assert_true(atomic_load(done) >= count);
}

static void nothing_lost_or_doubled_over_restarts(void **state)
{
    (void)state;
    struct etcd_watch *w = NULL;
    atomic_int done = 0;
    pthread_t thread;
    must(etcd_watch_new(client, "/watch/many", 0, &w, &err));
    wait_connected(w);
    assert_int_equal(pthread_create(&thread, NULL, write_many, &done), 0);
    for (int i = 1; i <= 2; i++) {
        wait_for(&done, i * WRITES / 3);
        etcd_fixture_kill(fixture, 0);
        assert_int_equal(etcd_fixture_restart(fixture, 0), 0);
    }
    pthread_join(thread, NULL);
    struct etcd_range r;
    must(etcd_get(client, "/watch/many", CALL_MS, &r, &err));
    int64_t versions = r.kvs[0].version, last_revision = 0;
    etcd_range_free(&r);
    assert_true(versions >= WRITES);
    for (int64_t v = 1; v <= versions; v++) {
        struct etcd_event ev;
        must(etcd_watch_next(w, CALL_MS, &ev, &err));
        assert_int_equal(ev.type, ETCD_EVENT_PUT);
        assert_int_equal(ev.kv.version, v);
        assert_true(ev.revision > last_revision);
        last_revision = ev.revision;
        etcd_event_free(&ev);
    }
    struct etcd_event ev;
    must_fail(ERR_TIMEOUT, "no event", etcd_watch_next(w, 100, &ev, &err));
    etcd_watch_free(w);
}

/* A quiet watch "from now" that loses its stream goes on where it was created, not at the new "now". */
static void nothing_lost_between_creation_and_reconnect(void **state)
{
    (void)state;
    struct etcd_watch *w = NULL;
    must(etcd_watch_new(client, "/watch/quiet", 0, &w, &err));
    wait_connected(w);
    etcd_fixture_kill(fixture, 0);
    int64_t since = 0;
    for (int i = 0; i < 200 && etcd_watch_connected(w, &since); i++)
        sleep_ms(10);
    assert_false(etcd_watch_connected(w, &since));
    assert_true(since < 2000);
    struct error why;
    etcd_watch_error(w, &why);
    assert_int_equal(why.code, ERR_UNAVAILABLE);
    assert_int_equal(etcd_fixture_restart(fixture, 0), 0);
    struct etcd_options o = etcd_fixture_options(fixture);
    struct etcd *other = NULL;
    must(etcd_open(&o, &other, &err));
    int rc = -1;
    for (int64_t end = clock_mono_ms() + 10000; rc < 0 && clock_mono_ms() < end;)
        rc = etcd_put(other, "/watch/quiet", "x", 1, 0, 200, NULL, NULL);
    assert_int_equal(rc, 0);
    struct etcd_event ev;
    must(etcd_watch_next(w, CALL_MS, &ev, &err));
    assert_int_equal(ev.type, ETCD_EVENT_PUT);
    etcd_event_free(&ev);
    etcd_close(other);
    etcd_watch_free(w);
}

static void below_a_compaction_comes_resync(void **state)
{
    (void)state;
    int64_t old = put("/watch/c", "1");
    int64_t now = 0;
    for (int i = 0; i < 5; i++)
        now = put("/watch/c", "2");
    must(etcd_compact(client, now, CALL_MS, &err));
    struct etcd_watch *w = NULL;
    struct etcd_event ev;
    must(etcd_watch_new(client, "/watch/c", old, &w, &err));
    must(etcd_watch_next(w, CALL_MS, &ev, &err));
    assert_int_equal(ev.type, ETCD_EVENT_RESYNC);
    assert_null(ev.kv.key);
    assert_true(ev.revision >= now);
    int64_t resync = ev.revision;
    /* From there on without a gap. */
    int64_t next = put("/watch/c", "3");
    assert_int_equal(next, resync + 1);
    must(etcd_watch_next(w, CALL_MS, &ev, &err));
    assert_int_equal(ev.type, ETCD_EVENT_PUT);
    assert_int_equal(ev.revision, next);
    etcd_event_free(&ev);
    etcd_watch_free(w);
}

/* Nobody takes the events: they are dropped as a whole, and told so. */
static void an_overflow_is_told(void **state)
{
    (void)state;
    struct etcd_watch *w = NULL;
    must(etcd_watch_new(client, "/watch/flood/", 0, &w, &err));
    wait_connected(w);
    int64_t last = 0;
    for (int i = 0; i < 40; i++) {
        struct etcd_txn *t = etcd_txn_new(client);
        for (int k = 0; k < 120; k++) {
            char key[32];
            snprintf(key, sizeof(key), "/watch/flood/%d", k);
            etcd_txn_put(t, key, "v", 1, 0);
        }
        must(etcd_txn_commit(t, CALL_MS, &last, &err));
        etcd_txn_free(t);
    }
    int64_t resync = 0, seen = 0;
    int count = 0;
    while (seen < last) {
        struct etcd_event ev;
        must(etcd_watch_next(w, CALL_MS, &ev, &err));
        if (ev.type == ETCD_EVENT_RESYNC) {
            resync = ev.revision;
            count = 0;
        } else {
            assert_true(ev.revision > resync);
            count++;
        }
        seen = ev.revision > seen ? ev.revision : seen;
        etcd_event_free(&ev);
        if (seen == last)
            sleep_ms(100); /* the rest of the last transaction */
    }
    struct etcd_event ev;
    while (etcd_watch_next(w, 0, &ev, NULL) == 0) {
        count++;
        etcd_event_free(&ev);
    }
    assert_true(resync > 0);
    assert_int_equal(count, (last - resync) * 120); /* all of every later transaction */
    etcd_watch_free(w);
}

/* The store comes back from an older backup (here: from nothing): revisions start again below ours. */
static void a_restored_store_comes_as_resync(void **state)
{
    (void)state;
    struct etcd_watch *w = NULL;
    must(etcd_watch_new(client, "/watch/r", 0, &w, &err));
    wait_connected(w);
    etcd_fixture_kill(fixture, 0);
    etcd_fixture_wipe(fixture, 0);
    assert_int_equal(etcd_fixture_restart(fixture, 0), 0);
    struct etcd_event ev;
    must(etcd_watch_next(w, 15000, &ev, &err));
    assert_int_equal(ev.type, ETCD_EVENT_RESYNC);
    int64_t written = put("/watch/r", "x");
    assert_true(written > ev.revision && written < 10);
    must(etcd_watch_next(w, CALL_MS, &ev, &err));
    assert_int_equal(ev.type, ETCD_EVENT_PUT);
    assert_int_equal(ev.revision, written);
    etcd_event_free(&ev);
    etcd_watch_free(w);
}

static void ends_quickly_while_etcd_hangs(void **state)
{
    (void)state;
    struct etcd_watch *established = NULL, *opening = NULL;
    must(etcd_watch_new(client, "/watch/x", 0, &established, &err));
    wait_connected(established);
    etcd_fixture_pause(fixture, 0);
    must(etcd_watch_new(client, "/watch/x", 0, &opening, &err));
    sleep_ms(100);
    int64_t before = clock_mono_ms();
    etcd_watch_free(established);
    etcd_watch_free(opening);
    int64_t took = clock_mono_ms() - before;
    etcd_fixture_resume(fixture, 0);
    assert_true(took < 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_in_order),
        cmocka_unit_test(nothing_lost_or_doubled_over_restarts),
        cmocka_unit_test(nothing_lost_between_creation_and_reconnect),
        cmocka_unit_test(below_a_compaction_comes_resync),
        cmocka_unit_test(an_overflow_is_told),
        cmocka_unit_test(ends_quickly_while_etcd_hangs),
        cmocka_unit_test(a_restored_store_comes_as_resync),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
