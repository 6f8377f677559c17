/* A coordinator that was stopped for a while comes back while another one leads: what it still has in hand is
 * refused. */
#include "sides.h"

#include <string.h>

#include <base/clock.h>
#include <etcd_fixture.h>

#define COUNT  600
#define FENCE  "/registry/secrets-encrypt/test/fence"
#define END_MS 30000

static struct etcd_fixture *fixture;
static struct etcd *etcd;
static struct config config = {
    .cluster = "test", .datastore_prefix = "/registry", .reencrypt_in_flight = 16, .reencrypt_page = 50};

static int setup(void **state)
{
    (void)state;
    struct etcd_fixture_options options = {.members = 1};
    if (etcd_fixture_start(&options, &fixture) < 0)
        return -1;
    etcd = etcd_fixture_client(fixture);
    sides_use(etcd, &config);
    return etcd ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    etcd_close(etcd);
    etcd_fixture_free(fixture);
    return 0;
}

static int take_as(int64_t leadership, struct fence *f, struct error *err)
{
    return fence_take(etcd, &config, leadership, f, err);
}

static void later_leaderships_take_it(void **state)
{
    (void)state;
    struct fence first = {0}, again = {0}, later = {0}, none = {0};
    struct error why = ERROR_INIT;
    must(take_as(5, &first, &err));
    must(fence_check(etcd, &first, &err));
    must(take_as(5, &again, &err)); /* the same leader's next job */
    assert_int_equal(fence_check(etcd, &first, &why), ERR_CANCELED);
    must(fence_check(etcd, &again, &err));
    must(take_as(7, &later, &err));
    assert_int_equal(fence_check(etcd, &again, &why), ERR_CANCELED);
    assert_int_equal(take_as(6, &none, &why), ERR_CANCELED);
    assert_contains(why.text, FENCE);
    assert_int_equal(none.key[0], 0);
    must(fence_check(etcd, &none, &err)); /* none was taken: nothing to be checked */
    must(fence_check(etcd, &later, &err));

    must(etcd_delete(etcd, FENCE, false, 5000, NULL, &err));
    assert_int_equal(fence_check(etcd, &later, &why), ERR_CANCELED);
    must(take_as(1, &first, &err)); /* as the text says */
    must(etcd_put(etcd, FENCE, "who am I", 8, 0, 5000, NULL, &err));
    assert_int_equal(take_as(9, &none, &why), ERR_INVALID);
    assert_contains(why.text, FENCE);
    must(etcd_delete(etcd, FENCE, false, 5000, NULL, &err));
}

static void guarded_writes_are_refused(void **state)
{
    (void)state;
    struct fence f = {0}, later = {0};
    struct error why = ERROR_INIT;
    must(take_as(5, &f, &err));
    for (int i = 0; i < 2; i++) {
        struct etcd_txn *t = etcd_txn_new(etcd);
        fence_guard(&f, t);
        etcd_txn_put(t, "/registry/other", "x", 1, 0);
        assert_int_equal(etcd_txn_commit(t, 5000, NULL, &why), i ? ERR_CONFLICT : 0);
        etcd_txn_free(t);
        must(take_as(6, &later, &err));
    }
    must(etcd_delete(etcd, FENCE, false, 5000, NULL, &err));
}

static struct job_options *scan(int64_t leadership)
{
    struct job_options *o = options_to(1);
    o->kind = JOB_SCAN;
    o->leadership = leadership;
    bench_keep(o, sides[1].key);
    return o;
}

static int64_t done(struct job *j)
{
    struct cluster_reencrypt *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    job_progress(j, r);
    int64_t n = r->done;
    free(r);
    return n;
}

/* What the other leader's count has not seen is never written: the old key may be gone after it, or this one.
 */
static void what_a_count_has_not_seen_is_not_written(void **state)
{
    (void)state;
    for (int offline = 0; offline <= 1; offline++) {
        struct cluster_reencrypt *r = calloc(1, sizeof(*r));
        struct cluster_proof p;
        struct etcd_range fence = {0};
        struct job_options *o = options_to(1);
        assert_non_null(r);
        put_many(0, COUNT);
        o->leadership = 5 + 2 * offline;
        o->offline = offline;
        struct job *j = bench_start(o);
        job_limit(j, 200);
        while (done(j) == 0 && !job_ended(j))
            sleep_ms(5); /* nothing says it but its record */
        assert_false(job_ended(j));
        bench_run(scan(6 + 2 * offline), &p, NULL);
        job_limit(j, 0);
        bench_end(j, END_MS, &p, r);
        assert_int_equal(r->state, REENCRYPT_FAILED);
        assert_contains(r->why, "another job has begun");
        must(etcd_get(etcd, FENCE, 5000, &fence, &err));
        struct etcd_range all = read_all();
        size_t moved = 0;
        for (size_t i = 0; i < all.count; i++) {
            moved += all.kvs[i].version == 2;
            assert_true(all.kvs[i].mod_revision < fence.kvs[0].mod_revision);
        }
        assert_int_equal(all.count, COUNT);
        assert_true(moved > 0 && moved < COUNT);
        etcd_range_free(&all);
        etcd_range_free(&fence);
        free(r);
        must(etcd_delete(etcd, PREFIX, true, 5000, NULL, &err));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(later_leaderships_take_it),
        cmocka_unit_test(guarded_writes_are_refused),
        cmocka_unit_test(what_a_count_has_not_seen_is_not_written),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
