/* Many at a time: transactions that nobody waits for, and pages that are read ahead. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

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

static void key_of(int i, char out[64])
{
    snprintf(out, 64, "/many/%05d", i);
}

static void put_all(int count)
{
    must(etcd_delete(client, "/many/", true, CALL_MS, NULL, &err));
    for (int i = 0; i < count; i++) {
        char key[64];
        key_of(i, key);
        must(etcd_put(client, key, "old", 3, 0, CALL_MS, NULL, &err));
    }
}

/* ---------- transactions ---------- */

#define FLIGHT 64

struct flight {
    atomic_int out;
    struct answer {
        struct flight *flight;
        int code;
        int64_t revision;
        char text[256];
    } answers[FLIGHT];
};

static void on_done(void *arg, int code, int64_t revision, const struct error *err)
{
    struct answer *a = arg;
    a->code = code;
    a->revision = revision;
    snprintf(a->text, sizeof(a->text), "%.255s", err ? err->text : "");
    atomic_fetch_sub(&a->flight->out, 1);
}

/* One guarded put for each; `wrong` gets a guard that is refused. */
static void start_all(struct flight *f, int wrong, int deadline_ms)
{
    atomic_init(&f->out, FLIGHT);
    for (int i = 0; i < FLIGHT; i++) {
        char key[64];
        struct etcd_range r = {0};
        key_of(i, key);
        f->answers[i] = (struct answer){.flight = f, .code = 1};
        must(etcd_get(client, key, CALL_MS, &r, &err));
        struct etcd_txn *t = etcd_txn_new(client);
        etcd_txn_if_mod(t, key, r.kvs[0].mod_revision + (i == wrong));
        etcd_txn_put(t, key, "new", 3, 0);
        must(etcd_txn_start(t, deadline_ms, on_done, &f->answers[i], &err));
        etcd_txn_free(t); /* at once: nothing of it is needed any more */
        etcd_range_free(&r);
    }
}

static void await_all(struct flight *f, int ms)
{
    for (int64_t until = clock_mono_ms() + ms; atomic_load(&f->out) > 0; sleep_ms(1))
        if (clock_mono_ms() > until)
            fail_msg("%d have no answer after %d ms", atomic_load(&f->out), ms);
}

static void each_is_answered_by_itself(void **state)
{
    (void)state;
    struct flight f;
    put_all(FLIGHT);
    start_all(&f, 17, 5000);
    await_all(&f, 10000);
    for (int i = 0; i < FLIGHT; i++) {
        char key[64];
        struct etcd_range r = {0};
        key_of(i, key);
        must(etcd_get(client, key, CALL_MS, &r, &err));
        assert_int_equal(f.answers[i].code, i == 17 ? ERR_CONFLICT : 0);
        assert_memory_equal(r.kvs[0].value, i == 17 ? "old" : "new", 3);
        if (i != 17)
            assert_int_equal(f.answers[i].revision, r.kvs[0].mod_revision);
        etcd_range_free(&r);
    }
    assert_non_null(strstr(f.answers[17].text, "/many/00017"));
}

static void what_cannot_be_sent_is_told_at_once(void **state)
{
    (void)state;
    struct flight f = {0};
    struct etcd_txn *t = etcd_txn_new(client);
    etcd_txn_put(t, "", "x", 1, 0);
    assert_true(etcd_txn_start(t, 1000, on_done, &f.answers[0], NULL) < 0);
    etcd_txn_free(t);
    must_fail(ERR_NO_MEMORY, "", etcd_txn_start(NULL, 1000, on_done, &f.answers[0], &err));
    t = etcd_txn_new(client);
    f.answers[0].flight = &f;
    atomic_init(&f.out, 1);
    etcd_txn_put(t, "/many/x", "x", 1, 0);
    must(etcd_txn_start(t, 1000, on_done, &f.answers[0], &err));
    must_fail(ERR_INTERNAL, "one use only", etcd_txn_start(t, 1000, on_done, &f.answers[0], &err));
    await_all(&f, 3000);
    etcd_txn_free(t);
}

static void an_etcd_that_dies_leaves_no_answer_out(void **state)
{
    (void)state;
    struct flight f;
    put_all(FLIGHT);
    start_all(&f, -1, 1000);
    etcd_fixture_kill(fixture, 0);
    await_all(&f, 5000);
    for (int i = 0; i < FLIGHT; i++)
        assert_true(f.answers[i].code == 0 || error_is_transient(f.answers[i].code));
    assert_int_equal(etcd_fixture_restart(fixture, 0), 0);
    struct etcd_range r = {0};
    must(etcd_get(client, "/many/00000", 20000, &r, &err));
    etcd_range_free(&r);
}

/* ---------- pages ---------- */

static unsigned readers; /* at a time */

static struct etcd_pager *pager(const char *after, int64_t revision, const atomic_bool *cancel)
{
    struct etcd_pager *p = NULL;
    struct etcd_pager_options o = {.prefix = "/many/",
                                   .after = after,
                                   .page = 30,
                                   .readers = readers,
                                   .revision = revision,
                                   .deadline_ms = 2000,
                                   .tries = 3,
                                   .cancel = cancel};
    must(etcd_pager_new(client, &o, &p, &err));
    return p;
}

static void every_key_once_in_order(void **state)
{
    put_all(205);
    readers = *(const unsigned *)*state;
    for (int first = 0; first <= 200; first += 100) {
        char after[64], key[64];
        int seen = first, pages = 0;
        key_of(first - 1, after);
        struct etcd_pager *p = pager(first ? after : "", 0, NULL);
        for (bool more = true; more; pages++) {
            struct etcd_range r = {0};
            must(etcd_pager_next(p, &r, &err));
            more = r.count > 0;
            assert_true(r.count <= 30);
            for (size_t i = 0; i < r.count; i++) {
                key_of(seen++, key);
                assert_string_equal(r.kvs[i].key, key);
            }
            etcd_range_free(&r);
        }
        assert_int_equal(seen, 205);
        assert_true(pages > (205 - first + 29) / 30 && pages <= 2 * ((205 - first + 29) / 30 + 1));
        struct etcd_range r = {0};
        must(etcd_pager_next(p, &r, &err)); /* and nothing for good */
        assert_int_equal(r.count, 0);
        etcd_pager_free(p);
    }
}

static void put_later(void)
{
    for (int i = 0; i < 205; i++) {
        char key[64];
        key_of(i, key);
        must(etcd_put(client, key, "later", 5, 0, CALL_MS, NULL, &err));
    }
}

/* How many pages have values that were written before the first page was taken, and after it. */
static void old_and_later_pages(int64_t revision, int *ret_old, int *ret_later)
{
    put_all(205);
    struct etcd_pager *p = pager("", revision, NULL);
    bool first = true;
    *ret_old = *ret_later = 0;
    for (bool more = true; more; first = false) {
        struct etcd_range r = {0};
        size_t later = 0;
        must(etcd_pager_next(p, &r, &err));
        if (first)
            put_later();
        more = r.count > 0;
        for (size_t i = 0; i < r.count; i++)
            later += r.kvs[i].value_len == 5;
        *ret_old += later < r.count;
        *ret_later += later > 0;
        etcd_range_free(&r);
    }
    etcd_pager_free(p);
}

static void pinned_or_present(void **state)
{
    readers = *(const unsigned *)*state;
    int old = 0, later = 0;
    old_and_later_pages(0, &old, &later);
    assert_int_equal(later, 0);
    old_and_later_pages(-1, &old, &later);
    /* the first one, one that waits to be taken, and one in the hands of each reader */
    assert_true(old >= 1 && old <= 2 + (readers ? (int)readers : 1));
    assert_true(later >= 1);
}

static void a_compaction_ends_pinned_pages_alone(void **state)
{
    readers = *(const unsigned *)*state;
    for (int present = 0; present <= 1; present++) {
        put_all(205);
        struct etcd_pager *p = pager("", present ? -1 : 0, NULL);
        struct etcd_range r = {0};
        must(etcd_pager_next(p, &r, &err));
        int64_t revision = 0;
        etcd_range_free(&r);
        must(etcd_put(client, "/other", "x", 1, 0, CALL_MS, &revision, &err));
        must(etcd_compact(client, revision, CALL_MS, &err));
        int rc = 0;
        size_t count = 1;
        while (rc == 0 && count > 0) {
            rc = etcd_pager_next(p, &r, NULL);
            count = rc == 0 ? r.count : 0;
            if (rc == 0)
                etcd_range_free(&r);
        }
        assert_int_equal(rc, present ? 0 : ERR_COMPACTED);
        etcd_pager_free(p);
    }
}

static void cancel_ends_it(void **state)
{
    readers = *(const unsigned *)*state;
    atomic_bool cancel = false;
    put_all(600); /* more pages than readers and the pager hold, however far they are ahead */
    struct etcd_pager *p = pager("", 0, &cancel);
    struct etcd_range r = {0};
    must(etcd_pager_next(p, &r, &err));
    etcd_range_free(&r);
    atomic_store(&cancel, true);
    int rc = 0;
    for (int i = 0; rc == 0 && i < 10; i++) {
        rc = etcd_pager_next(p, &r, NULL);
        if (rc == 0)
            etcd_range_free(&r);
    }
    assert_int_equal(rc, ERR_CANCELED);
    etcd_pager_free(p);
    etcd_pager_free(pager("", 0, NULL)); /* unread */
    etcd_pager_free(NULL);
}

/* Keys of many shapes, in pages of any size, by any number of readers: none is left out, and none comes
 * twice. */
static void no_key_is_left_out(void **state)
{
    readers = *(const unsigned *)*state;
    int count = 0;
    must(etcd_delete(client, "/many/", true, CALL_MS, NULL, &err));
    for (int i = 0; i < 60; i++) {
        char keys[4][128];
        int n = i * i * 37;
        snprintf(keys[0], sizeof(keys[0]), "/many/%05d", n);
        snprintf(keys[1], sizeof(keys[1]), "/many/a-%d/x", n);
        snprintf(keys[2], sizeof(keys[2]), "/many/%x-same-end", (unsigned)n);
        snprintf(keys[3], sizeof(keys[3]), "/many/deep/%d/%d/%d", n % 3, n % 7, n);
        for (int k = 0; k < 4; k++, count++)
            must(etcd_put(client, keys[k], "value", 5, 0, CALL_MS, NULL, &err));
    }
    static const int64_t pages[] = {1, 2, 7, 50, 1000};
    for (size_t i = 0; i < array_len(pages); i++) {
        struct etcd_pager_options o = {.prefix = "/many/",
                                       .page = pages[i],
                                       .page_bytes = i % 2 ? 200 : 0,
                                       .readers = readers,
                                       .deadline_ms = 5000,
                                       .tries = 3};
        struct etcd_pager *p = NULL;
        char last[128] = "";
        int seen = 0;
        must(etcd_pager_new(client, &o, &p, &err));
        for (bool more = true; more;) {
            struct etcd_range r = {0};
            must(etcd_pager_next(p, &r, &err));
            more = r.count > 0;
            for (size_t k = 0; k < r.count; k++, seen++) {
                assert_true(strcmp(last, r.kvs[k].key) < 0);
                snprintf(last, sizeof(last), "%s", r.kvs[k].key);
            }
            etcd_range_free(&r);
        }
        assert_int_equal(seen, count);
        etcd_pager_free(p);
    }
}

#define WITH(test, n) cmocka_unit_test_prestate(test, (void *)&counts[n])

int main(void)
{
    static const unsigned counts[] = {0, 2, 4};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_answered_by_itself),
        cmocka_unit_test(what_cannot_be_sent_is_told_at_once),
        cmocka_unit_test(an_etcd_that_dies_leaves_no_answer_out),
        WITH(every_key_once_in_order, 0),
        WITH(every_key_once_in_order, 1),
        WITH(every_key_once_in_order, 2),
        WITH(pinned_or_present, 0),
        WITH(pinned_or_present, 1),
        WITH(a_compaction_ends_pinned_pages_alone, 0),
        WITH(a_compaction_ends_pinned_pages_alone, 1),
        WITH(cancel_ends_it, 0),
        WITH(cancel_ends_it, 2),
        WITH(no_key_is_left_out, 0),
        WITH(no_key_is_left_out, 1),
        WITH(no_key_is_left_out, 2),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
