#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <writes_count.h>

static struct writes_count w;

static void event(size_t part, enum etcd_event_type type, int64_t revision)
{
    const struct etcd_event ev = {.type = type, .revision = revision};
    writes_count_event(&w, part, &ev);
}

#define expect(counted_, guessed_, to_)                                                                      \
    do {                                                                                                     \
        assert_int_equal(w.counted, (counted_));                                                             \
        assert_int_equal(w.guessed, (guessed_));                                                             \
        assert_int_equal(writes_count_to(&w), (to_));                                                        \
    } while (0)

static void puts_count_and_deletes_do_not(void **state)
{
    (void)state;
    writes_count_begin(&w, 1, 7, 2, 100);
    expect(7, 2, 100);
    event(0, ETCD_EVENT_PUT, 100); /* it is in the count already */
    expect(7, 2, 100);
    event(0, ETCD_EVENT_PUT, 105);
    event(0, ETCD_EVENT_PUT, 105); /* two of one transaction */
    event(0, ETCD_EVENT_DELETE, 105);
    expect(9, 2, 104);
    event(0, ETCD_EVENT_DELETE, 110);
    expect(9, 2, 109);
    writes_count_seen(&w, 0, 110);
    expect(9, 2, 110);
    writes_count_seen(&w, 0, 0); /* it does not know */
    expect(9, 2, 110);
}

/* A busy cluster whose Secrets rest: nothing is counted, and the next leader has little to go over. */
static void others_revisions_do_not_count(void **state)
{
    (void)state;
    writes_count_begin(&w, 1, 0, 0, 100);
    writes_count_seen(&w, 0, 5000000);
    expect(0, 0, 5000000);
}

static void it_goes_as_far_as_the_part_that_is_behind(void **state)
{
    (void)state;
    writes_count_begin(&w, 2, 0, 0, 100);
    event(0, ETCD_EVENT_PUT, 900);
    expect(1, 0, 100);
    writes_count_seen(&w, 1, 500);
    expect(1, 0, 500);
    writes_count_seen(&w, 1, 1000);
    expect(1, 0, 899);
    writes_count_begin(&w, 0, 3, 0, 100);
    expect(3, 0, 0);
}

static void a_gap_counts_its_revisions(void **state)
{
    (void)state;
    writes_count_begin(&w, 1, 10, 0, 100);
    event(0, ETCD_EVENT_RESYNC, 400);
    expect(310, 300, 400);
    event(0, ETCD_EVENT_PUT, 401);
    expect(311, 300, 400);
    /* Too many at once for the queue: what was taken out of it before was counted. */
    event(0, ETCD_EVENT_PUT, 500);
    event(0, ETCD_EVENT_RESYNC, 600);
    expect(312 + 101, 300 + 101, 600);
    event(0, ETCD_EVENT_RESYNC, 600);
    expect(413, 401, 600);
}

/* A revision that no part has seen is one write all the same. */
static void a_gap_of_several_parts_counts_once(void **state)
{
    (void)state;
    writes_count_begin(&w, 3, 0, 0, 100);
    event(0, ETCD_EVENT_RESYNC, 400);
    event(1, ETCD_EVENT_RESYNC, 450);
    writes_count_seen(&w, 2, 390);
    event(2, ETCD_EVENT_RESYNC, 420);
    expect(350, 350, 400);
    /* One that misses less, then one that misses more on both sides. */
    writes_count_begin(&w, 2, 0, 0, 100);
    writes_count_seen(&w, 0, 200);
    event(0, ETCD_EVENT_RESYNC, 300);
    event(1, ETCD_EVENT_RESYNC, 350);
    expect(250, 250, 300);
    /* Another one later stands apart. */
    writes_count_seen(&w, 0, 1000);
    event(0, ETCD_EVENT_RESYNC, 1010);
    expect(260, 260, 350);
}

/* A datastore that was put back begins at a lower revision: what was written before was written. */
static void a_restored_datastore_takes_nothing_away(void **state)
{
    (void)state;
    writes_count_begin(&w, 1, 50, 0, 1000);
    event(0, ETCD_EVENT_RESYNC, 1200);
    event(0, ETCD_EVENT_RESYNC, 700);
    expect(250, 200, 700);
    event(0, ETCD_EVENT_PUT, 701);
    expect(251, 200, 700);
    event(0, ETCD_EVENT_RESYNC, 1100); /* among revisions of the other one that were counted as a gap */
    expect(251 + 400, 600, 1100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_count_and_deletes_do_not),
        cmocka_unit_test(others_revisions_do_not_count),
        cmocka_unit_test(it_goes_as_far_as_the_part_that_is_behind),
        cmocka_unit_test(a_gap_counts_its_revisions),
        cmocka_unit_test(a_gap_of_several_parts_counts_once),
        cmocka_unit_test(a_restored_datastore_takes_nothing_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
