/* Pages from an etcd that is in trouble, or has larger values than one answer may hold. */
#include "check.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_MS     20000
#define SHORT_MS    300 /* a call waits for a connection until then */
#define LARGE_COUNT 40
#define LARGE_BYTES (1200 * 1000) /* 40 of them are more than the client takes in one answer (32 MiB) */

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

static struct etcd_pager *pager(const char *prefix, int64_t page, int64_t revision, unsigned tries,
                                int deadline_ms, const atomic_bool *cancel)
{
    struct etcd_pager *p = NULL;
    struct etcd_pager_options o = {.prefix = prefix,
                                   .page = page,
                                   .revision = revision,
                                   .deadline_ms = deadline_ms,
                                   .tries = tries,
                                   .cancel = cancel};
    must(etcd_pager_new(client, &o, &p, &err));
    return p;
}

static void key_of(const char *prefix, size_t i, char out[64])
{
    snprintf(out, 64, "%s%05zu", prefix, i);
}

static void put_small(const char *prefix, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char key[64];
        key_of(prefix, i, key);
        must(etcd_put(client, key, key, strlen(key), 0, CALL_MS, NULL, &err));
    }
}

/* Each key once and in order, with the value that begins with its name. */
static void check_page(const char *prefix, const struct etcd_range *r, size_t value_len, size_t *seen)
{
    for (size_t i = 0; i < r->count; i++, (*seen)++) {
        char key[64];
        key_of(prefix, *seen, key);
        assert_string_equal(r->kvs[i].key, key);
        assert_int_equal(r->kvs[i].value_len, value_len ? value_len : strlen(key));
        assert_memory_equal(r->kvs[i].value, key, strlen(key));
    }
}

static void pages_larger_than_an_answer_come_in_smaller_ones(void **state)
{
    (void)state;
    char *large = malloc(LARGE_BYTES);
    assert_non_null(large);
    memset(large, 'x', LARGE_BYTES);
    for (size_t i = 0; i < LARGE_COUNT; i++) {
        char key[64];
        key_of("/large/", i, key);
        memcpy(large, key, strlen(key));
        must(etcd_put(client, key, large, LARGE_BYTES, 0, 20000, NULL, &err));
    }
    free(large);
    for (int64_t revision = -1; revision <= 0; revision++) {
        size_t seen = 0, pages = 0, largest = 0;
        struct etcd_pager *p =
            pager("/large/", 1000, revision, 1, PAGE_MS, NULL); /* one try: it is no failure */
        for (bool more = true; more; pages++) {
            struct etcd_range r = {0};
            must(etcd_pager_next(p, &r, &err));
            more = r.count > 0;
            if (more)
                assert_int_equal(r.total, LARGE_COUNT - seen);
            largest = r.count > largest ? r.count : largest;
            check_page("/large/", &r, LARGE_BYTES, &seen);
            etcd_range_free(&r);
        }
        etcd_pager_free(p);
        assert_int_equal(seen, LARGE_COUNT);
        assert_true(pages > 2);
        assert_true(largest < LARGE_COUNT);
    }
    must(etcd_delete(client, "/large/", true, 20000, NULL, &err));
}

#define KILLED_COUNT 500
#define OUTAGE_MS    (3 * SHORT_MS) /* a page is asked for in vain, at least once */

struct reading {
    struct etcd_pager *pager;
    pthread_barrier_t *gate; /* before and after the kill */
    size_t seen;
    bool passed, in_order;
    int rc;
    struct error err;
};

static void pass_the_gate(struct reading *w)
{
    if (w->passed)
        return;
    w->passed = true;
    pthread_barrier_wait(w->gate);
    pthread_barrier_wait(w->gate);
}

static void *read_through(void *arg)
{
    struct reading *w = arg;
    for (bool more = true; more;) {
        struct etcd_range r = {0};
        if (w->seen >= 100)
            pass_the_gate(w);
        w->rc = etcd_pager_next(w->pager, &r, &w->err);
        more = w->rc == 0 && r.count > 0;
        for (size_t i = 0; i < r.count; i++, w->seen++) {
            char key[64];
            key_of("/killed/", w->seen, key);
            w->in_order = w->in_order && strcmp(key, r.kvs[i].key) == 0;
        }
        etcd_range_free(&r);
    }
    pass_the_gate(w); /* whatever came first */
    return NULL;
}

static void a_member_that_is_killed_and_comes_back_is_outlasted(void **state)
{
    (void)state;
    put_small("/killed/", KILLED_COUNT);
    for (int64_t revision = -1; revision <= 0; revision++) {
        pthread_barrier_t gate;
        pthread_t thread;
        struct reading w = {.gate = &gate, .in_order = true, .err = ERROR_INIT};
        pthread_barrier_init(&gate, NULL, 2);
        w.pager = pager("/killed/", 20, revision, 60, SHORT_MS, NULL);
        assert_int_equal(pthread_create(&thread, NULL, read_through, &w), 0);
        pthread_barrier_wait(&gate);
        etcd_fixture_kill(fixture, 0);
        pthread_barrier_wait(&gate);
        sleep_ms(OUTAGE_MS);
        assert_int_equal(etcd_fixture_restart(fixture, 0), 0);
        pthread_join(thread, NULL);
        pthread_barrier_destroy(&gate);
        etcd_pager_free(w.pager);
        if (w.rc < 0)
            fail_msg("%s", w.err.text);
        assert_int_equal(w.seen, KILLED_COUNT);
        assert_true(w.in_order);
    }
}

/* Until the client has it again: it waits between two attempts to connect. */
static void bring_back(void)
{
    struct etcd_range r = {0};
    int rc = ERR_UNAVAILABLE;
    assert_int_equal(etcd_fixture_restart(fixture, 0), 0);
    assert_int_equal(etcd_fixture_leader(fixture, 20000), 0);
    for (int64_t until = clock_mono_ms() + 20000; rc < 0 && rc != ERR_NOT_FOUND; sleep_ms(20)) {
        rc = etcd_get(client, "/nothing", 1000, &r, NULL);
        assert_true(clock_mono_ms() < until);
    }
    etcd_range_free(&r);
}

/* Reads until it fails, with the code. */
static int read_until_it_fails(struct etcd_pager *p)
{
    for (;;) {
        struct etcd_range r = {0};
        int rc = etcd_pager_next(p, &r, NULL);
        if (rc < 0)
            return rc;
        bool end = r.count == 0;
        etcd_range_free(&r);
        if (end)
            return 0;
    }
}

static void cancel_and_free_do_not_wait_for_an_etcd_that_is_gone(void **state)
{
    (void)state;
    atomic_bool cancel = false;
    struct etcd_range r = {0};
    put_small("/gone/", 200);
    struct etcd_pager *canceled = pager("/gone/", 20, -1, 1000000, SHORT_MS, &cancel);
    struct etcd_pager *freed = pager("/gone/", 20, -1, 1000000, SHORT_MS, NULL);
    must(etcd_pager_next(canceled, &r, &err));
    etcd_range_free(&r);
    must(etcd_pager_next(freed, &r, &err));
    etcd_range_free(&r);
    etcd_fixture_kill(fixture, 0);
    atomic_store(&cancel, true); /* a million tries: nothing else ends it */
    assert_int_equal(read_until_it_fails(canceled), ERR_CANCELED);
    etcd_pager_free(canceled);
    etcd_pager_free(freed);
    bring_back();
}

static void a_revision_that_is_compacted_away_is_told(void **state)
{
    (void)state;
    int64_t pinned = 0, revision = 0;
    struct etcd_range r = {0};
    put_small("/compacted/", 100);
    must(etcd_put(client, "/other", "1", 1, 0, 20000, &pinned, &err));
    must(etcd_put(client, "/other", "2", 1, 0, CALL_MS, &revision, &err));
    must(etcd_compact(client, revision, CALL_MS, &err));
    struct etcd_pager *p = pager("/compacted/", 20, pinned, 8, PAGE_MS, NULL);
    must_fail(ERR_COMPACTED, "compacted", etcd_pager_next(p, &r, &err)); /* its first page already */
    etcd_pager_free(p);
    p = pager("/compacted/", 20, revision, 8, PAGE_MS, NULL);
    must(etcd_pager_next(p, &r, &err));
    assert_int_equal(r.count, 20);
    etcd_range_free(&r);
    must(etcd_put(client, "/other", "3", 1, 0, CALL_MS, &revision, &err));
    must(etcd_compact(client, revision, CALL_MS, &err));
    assert_int_equal(read_until_it_fails(p), ERR_COMPACTED);
    etcd_pager_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_larger_than_an_answer_come_in_smaller_ones),
        cmocka_unit_test(a_member_that_is_killed_and_comes_back_is_outlasted),
        cmocka_unit_test(cancel_and_free_do_not_wait_for_an_etcd_that_is_gone),
        cmocka_unit_test(a_revision_that_is_compacted_away_is_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
