/* The datastore engine against a real etcd: what it writes, what it never writes, and what stops it. */
#include "bench.h"
#include "sides.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <base/clock.h>
#include <base/text.h>
#include <etcd/lease.h>
#include <etcd/maintenance.h>
#include <etcd_fixture.h>

#include "proofs/values.h"

static struct etcd_fixture *fixture;
static struct etcd *etcd;
static struct config config = {
    .datastore_prefix = "/registry", .reencrypt_in_flight = 16, .reencrypt_page = 50};

static int each_setup(void **state)
{
    (void)state;
    must(etcd_delete(etcd, "/registry/", true, 5000, NULL, &err));
    return 0;
}

/* How many values share a revision with another one. */
static size_t shared_revisions(void)
{
    struct etcd_range r = read_all();
    size_t shared = 0;
    for (size_t i = 0; i < r.count; i++)
        for (size_t k = 0; k < r.count; k++)
            if (k != i && r.kvs[k].mod_revision == r.kvs[i].mod_revision) {
                shared++;
                break;
            }
    etcd_range_free(&r);
    return shared;
}

static void from_any_to_any(void **state)
{
    (void)state;
    for (size_t from = 0; from < SIDES; from++)
        for (size_t to = 0; to < SIDES; to++) {
            struct cluster_proof p;
            struct cluster_reencrypt *r = calloc(1, sizeof(*r));
            each_setup(NULL);
            put_many(from, 120); /* more than two pages */
            bench_run(options_to(to), &p, r);
            if (r->state != REENCRYPT_ENDED)
                fail_msg("%zu to %zu: %s", from, to, r->why);
            assert_int_equal(r->done, 120);
            assert_int_equal(r->total, 120);
            assert_int_equal(r->failed, 0);
            assert_string_equal(r->engine, "datastore");
            check_all(to, 120);
            assert_int_equal(shared_revisions(), 0);
            free(r);
        }
}

static void what_is_right_already_is_not_written(void **state)
{
    (void)state;
    struct cluster_proof p;
    put_many(1, 130);
    struct etcd_range before = read_all();
    bench_run(options_to(1), &p, NULL);
    struct etcd_range after = read_all();
    for (size_t i = 0; i < 130; i++)
        assert_int_equal(before.kvs[i].mod_revision, after.kvs[i].mod_revision);
    etcd_range_free(&before);
    etcd_range_free(&after);
}

static void every_managed_resource_and_every_lease(void **state)
{
    (void)state;
    struct cluster_proof p;
    int64_t lease = 0;
    must(etcd_lease_grant(etcd, 60, 5000, &lease, &err));
    put_under(0, "ns/leased", lease);
    must(etcd_put(etcd, "/registry/configmaps/ns/plain", "{}", 2, 0, 5000, NULL, &err));
    struct job_options *o = options_to(2);
    bench_resource(o, "configmaps");
    bench_run(o, &p, NULL);
    check_all(2, 1);
    struct etcd_range r = {0};
    must(etcd_get(etcd, PREFIX "ns/leased", 5000, &r, &err));
    assert_int_equal(r.kvs[0].lease, lease);
    etcd_range_free(&r);
    must(etcd_get(etcd, "/registry/configmaps/ns/plain", 5000, &r, &err));
    assert_memory_equal(r.kvs[0].value, "k8s:enc:secretbox:v1:s:", 23);
    etcd_range_free(&r);
}

static void what_does_not_open_is_named_and_the_rest_moves(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct cluster_reencrypt *r = calloc(1, sizeof(*r));
    static const char *const bad[] = {"k8s:enc:aescbc:v1:gone:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                                      "k8s:enc:kms:v1:k:x", "k8s:enc:secretbox:v1:s:short",
                                      "k8s:enc:banana:v1:g:x"};
    put_many(0, 60);
    for (size_t i = 0; i < 4; i++) {
        char key[64];
        snprintf(key, sizeof(key), PREFIX "bad/%zu", i);
        must(etcd_put(etcd, key, bad[i], strlen(bad[i]), 0, 5000, NULL, &err));
    }
    bench_run(options_to(1), &p, r);
    assert_int_equal(r->state, REENCRYPT_ENDED);
    assert_int_equal(r->done, 64);
    assert_int_equal(r->failed, 4);
    assert_int_equal(r->failures_count, 4);
    assert_string_equal(r->failures[0].object, "secrets/bad/0");
    assert_contains(r->failures[0].why, "which the config lacks");
    must(etcd_delete(etcd, PREFIX "bad/", true, 5000, NULL, &err));
    check_all(1, 60);
    free(r);
}

/* ---------- others write meanwhile ---------- */

#define HOT 40

struct writer {
    pthread_t thread;
    atomic_bool stop;
    int64_t last[HOT]; /* what was acknowledged; -1: deleted */
    int64_t writes;
};

/* Writes under the new key, whatever stands there, and remembers what was acknowledged. */
static void *write_on(void *arg)
{
    struct writer *w = arg;
    _cleanup_(encryption_config_freep) struct encryption_config *c = config_of(1);
    for (int64_t n = 1; !atomic_load(&w->stop); n++) {
        size_t i = (size_t)(n * 7) % HOT;
        char key[128], plain[64];
        _cleanup_(buf_freep) struct buf value = BUF_INIT(4096);
        snprintf(key, sizeof(key), PREFIX "hot/%03zu", i);
        snprintf(plain, sizeof(plain), "{\"n\":%" PRId64 "}", n);
        if (w->last[i] < 0)
            continue;
        if (n % 97 == 0) {
            must(etcd_delete(etcd, key, false, 5000, NULL, &err));
            w->last[i] = -1;
            continue;
        }
        must(envelope_encrypt(c, "secrets", key, plain, strlen(plain), &value, &err));
        must(etcd_put(etcd, key, value.data, value.len, 0, 5000, NULL, &err));
        w->last[i] = n;
        w->writes++;
    }
    return NULL;
}

static void check_hot(const struct writer *w)
{
    _cleanup_(encryption_config_freep) struct encryption_config *c = config_of(1);
    for (size_t i = 0; i < HOT; i++) {
        char key[128], wanted[64];
        struct etcd_range r = {0};
        _cleanup_(secret_freep) struct secret *plain = NULL;
        snprintf(key, sizeof(key), PREFIX "hot/%03zu", i);
        int rc = etcd_get(etcd, key, 5000, &r, NULL);
        if (w->last[i] < 0) {
            assert_int_equal(rc, ERR_NOT_FOUND);
            continue;
        }
        assert_int_equal(rc, 0);
        must(envelope_decrypt(c, "secrets", key, r.kvs[0].value, r.kvs[0].value_len, &plain, &err));
        snprintf(wanted, sizeof(wanted), "{\"n\":%" PRId64 "}", w->last[i]);
        if (w->last[i] > 0) {
            assert_int_equal(plain->len, strlen(wanted));
            assert_memory_equal(plain->data, wanted, plain->len);
        }
        etcd_range_free(&r);
    }
}

static void no_update_is_lost_and_no_deletion_undone(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct cluster_reencrypt *r = calloc(1, sizeof(*r));
    struct writer w = {0};
    for (size_t i = 0; i < HOT; i++) {
        char name[32];
        snprintf(name, sizeof(name), "hot/%03zu", i);
        put_under(0, name, 0);
    }
    assert_int_equal(pthread_create(&w.thread, NULL, write_on, &w), 0);
    for (int pass = 0; pass < 12; pass++) { /* to and fro, so that there is something to do each time */
        bench_run(options_to(pass % 2 ? 1 : 0), &p, r);
        if (r->state != REENCRYPT_ENDED)
            fail_msg("%s", r->why);
    }
    atomic_store(&w.stop, true);
    pthread_join(w.thread, NULL);
    bench_run(options_to(1), &p, r);
    assert_true(w.writes > 50);
    check_hot(&w);
    free(r);
}

/* A job at a rate, once so many are done. */
static struct job *begin(struct job_options *o, int64_t rate, int64_t done, struct cluster_reencrypt *r)
{
    struct job *j = bench_start(o);
    job_limit(j, rate);
    do {
        sleep_ms(10);
        job_progress(j, r);
    } while (r->done < done);
    return j;
}

/* ---------- going on ---------- */

static void goes_on_where_it_was_stopped(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct cluster_reencrypt *r = calloc(1, sizeof(*r));
    put_many(0, 600);
    struct job *j = begin(options_to(1), 400, 200, r);
    job_progress(j, r);
    job_free(j);
    assert_true(r->done < 600);
    assert_string_equal(r->cursor_resource, "secrets");
    assert_true(*r->cursor);
    struct etcd_range half = read_all();
    struct job_options *o = options_to(1);
    o->so_far = *r;
    bench_run(o, &p, r);
    assert_int_equal(r->state, REENCRYPT_ENDED);
    check_all(1, 600);
    /* What was moved before stays as it was: no value is written twice. */
    struct etcd_range all = read_all();
    size_t same = 0;
    for (size_t i = 0; i < 600; i++)
        same += all.kvs[i].mod_revision == half.kvs[i].mod_revision;
    assert_true(same >= 200);
    for (size_t i = 0; i < 600; i++)
        assert_true(all.kvs[i].version <= 2);
    etcd_range_free(&half);
    etcd_range_free(&all);
    free(r);
}

static void a_cursor_of_another_engine_is_none(void **state)
{
    (void)state;
    struct cluster_proof p;
    put_many(0, 20);
    struct job_options *o = options_to(1);
    text_copy(o->so_far.engine, sizeof(o->so_far.engine), "api");
    text_copy(o->so_far.cursor_resource, sizeof(o->so_far.cursor_resource), "secrets");
    text_copy(o->so_far.cursor, sizeof(o->so_far.cursor), PREFIX "ns/00015");
    bench_run(o, &p, NULL);
    check_all(1, 20);
}

static void a_ceiling_is_kept(void **state)
{
    (void)state;
    struct cluster_proof p;
    put_many(0, 100);
    struct job_options *o = options_to(1);
    int64_t begin = clock_mono_ms();
    struct job *j = bench_start(o);
    job_limit(j, 100);
    bench_end(j, 10000, &p, NULL);
    int64_t ms = clock_mono_ms() - begin;
    check_all(1, 100);
    if (ms < 700)
        fail_msg("100 values at 100 a second took %" PRId64 " ms", ms);
}

/* ---------- offline ---------- */

static void offline_writes_batches(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct cluster_reencrypt *r = calloc(1, sizeof(*r));
    struct job_options *o = options_to(1);
    put_many(0, 450);
    o->offline = true;
    bench_run(o, &p, r);
    if (r->state != REENCRYPT_ENDED)
        fail_msg("%s", r->why);
    assert_string_equal(r->engine, "offline");
    assert_int_equal(r->done, 450);
    check_all(1, 450);
    assert_int_equal(shared_revisions(), 450);
    free(r);
}

/* A listener on a free port. */
static int listen_somewhere(char url[64])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    snprintf(url, 64, "https://127.0.0.1:%d", ntohs(a.sin_port));
    return fd;
}

static void offline_is_refused_while_an_api_server_lives(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct cluster_reencrypt *r = calloc(1, sizeof(*r));
    struct job_options *o = options_to(1);
    char url[64];
    put_many(0, 20);
    must(etcd_put(etcd, "/registry/masterleases/10.0.0.9", "x", 1, 0, 5000, NULL, &err));
    o->offline = true;
    bench_run(o, &p, r);
    assert_int_equal(r->state, REENCRYPT_FAILED);
    assert_contains(r->why, "/registry/masterleases/10.0.0.9");
    check_all(0, 20);
    must(etcd_delete(etcd, "/registry/masterleases/", true, 5000, NULL, &err));

    int fd = listen_somewhere(url);
    o = options_to(1);
    o->offline = true;
    bench_server(o, "s2", url);
    bench_run(o, &p, r);
    assert_int_equal(r->state, REENCRYPT_FAILED);
    assert_contains(r->why, "s2: something answers at https://127.0.0.1:");
    check_all(0, 20);
    close(fd);
    o = options_to(1);
    o->offline = true;
    bench_server(o, "s2", url);
    bench_run(o, &p, r);
    assert_int_equal(r->state, REENCRYPT_ENDED);
    check_all(1, 20);
    free(r);
}

static void offline_stops_when_an_api_server_appears(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct cluster_reencrypt *r = calloc(1, sizeof(*r));
    struct job_options *o = options_to(1);
    put_many(0, 3000);
    o->offline = true;
    struct job *j = begin(o, 500, 100, r);
    must(etcd_put(etcd, "/registry/masterleases/10.0.0.9", "x", 1, 0, 5000, NULL, &err));
    bench_end(j, 10000, &p, r);
    assert_int_equal(r->state, REENCRYPT_FAILED);
    assert_contains(r->why, "10.0.0.9");
    assert_true(r->done < 3000);
    must(etcd_delete(etcd, "/registry/masterleases/", true, 5000, NULL, &err));
    o = options_to(1);
    o->offline = true;
    o->so_far = *r;
    bench_run(o, &p, r);
    assert_int_equal(r->state, REENCRYPT_ENDED);
    check_all(1, 3000);
    free(r);
}

static void a_batch_that_was_never_sent_is_not_behind_the_cursor(void **state)
{
    (void)state;
    struct config slow = config;
    struct cluster_proof p;
    struct cluster_reencrypt *r = calloc(1, sizeof(*r));
    put_many(0, 50); /* less than a batch: it waits for its turn at the very end */
    slow.reencrypt_max_rate = 1;
    struct job_options *o = options_to(1);
    o->config = &slow;
    o->offline = true;
    struct job *j = bench_start(o);
    sleep_ms(300);
    must(etcd_put(etcd, "/registry/masterleases/10.0.0.9", "x", 1, 0, 5000, NULL, &err));
    bench_end(j, 10000, &p, r);
    assert_int_equal(r->state, REENCRYPT_FAILED);
    assert_contains(r->why, "10.0.0.9");
    check_all(0, 50);
    must(etcd_delete(etcd, "/registry/masterleases/", true, 5000, NULL, &err));
    o = options_to(1);
    o->offline = true;
    o->so_far = *r;
    bench_run(o, &p, r);
    assert_int_equal(r->state, REENCRYPT_ENDED);
    check_all(1, 50);
    free(r);
}

/* ---------- an etcd in trouble ---------- */

static void outlasts_an_etcd_that_goes_away(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct cluster_reencrypt *r = calloc(1, sizeof(*r));
    put_many(0, 400);
    struct job *j = begin(options_to(1), 400, 100, r);
    etcd_fixture_kill(fixture, 0);
    sleep_ms(500);
    assert_int_equal(etcd_fixture_restart(fixture, 0), 0);
    job_limit(j, 0);
    bench_end(j, 40000, &p, r);
    if (r->state != REENCRYPT_ENDED)
        fail_msg("%s", r->why);
    check_all(1, 400);
    free(r);
}

static void a_full_etcd_ends_it_and_nothing_is_lost(void **state)
{
    (void)state;
    static const char *const small[] = {"--quota-backend-bytes=1000000", NULL};
    struct etcd_fixture_options options = {.members = 1, .extra_args = small};
    struct etcd_fixture *full = NULL, *fixture_before = fixture;
    struct etcd *before = etcd;
    struct cluster_proof p;
    struct cluster_reencrypt *r = calloc(1, sizeof(*r));
    assert_int_equal(etcd_fixture_start(&options, &full), 0);
    fixture = full;
    etcd = etcd_fixture_client(full);
    sides_use(etcd, &config);
    put_many(0, 1500);
    bench_run(options_to(1), &p, r); /* each pass adds its history */
    for (int pass = 0; pass < 20 && r->state == REENCRYPT_ENDED; pass++)
        bench_run(options_to(pass % 2), &p, r);
    assert_int_equal(r->state, REENCRYPT_FAILED);
    assert_contains(r->why, "out of space");
    struct etcd_range all = read_all();
    _cleanup_(encryption_config_freep) struct encryption_config *c = config_of(1);
    assert_int_equal(all.count, 1500);
    for (size_t i = 0; i < all.count; i++) {
        _cleanup_(secret_freep) struct secret *plain = NULL;
        must(envelope_decrypt(c, "secrets", all.kvs[i].key, all.kvs[i].value, all.kvs[i].value_len, &plain,
                              &err));
    }
    etcd_range_free(&all);
    etcd_close(etcd);
    etcd_fixture_free(full);
    etcd = before;
    sides_use(etcd, &config);
    fixture = fixture_before;
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(from_any_to_any, each_setup),
        cmocka_unit_test_setup(what_is_right_already_is_not_written, each_setup),
        cmocka_unit_test_setup(every_managed_resource_and_every_lease, each_setup),
        cmocka_unit_test_setup(what_does_not_open_is_named_and_the_rest_moves, each_setup),
        cmocka_unit_test_setup(no_update_is_lost_and_no_deletion_undone, each_setup),
        cmocka_unit_test_setup(goes_on_where_it_was_stopped, each_setup),
        cmocka_unit_test_setup(a_cursor_of_another_engine_is_none, each_setup),
        cmocka_unit_test_setup(a_ceiling_is_kept, each_setup),
        cmocka_unit_test_setup(offline_writes_batches, each_setup),
        cmocka_unit_test_setup(offline_is_refused_while_an_api_server_lives, each_setup),
        cmocka_unit_test_setup(offline_stops_when_an_api_server_appears, each_setup),
        cmocka_unit_test_setup(a_batch_that_was_never_sent_is_not_behind_the_cursor, each_setup),
        cmocka_unit_test_setup(outlasts_an_etcd_that_goes_away, each_setup),
        cmocka_unit_test_setup(a_full_etcd_ends_it_and_nothing_is_lost, each_setup),
    };
    struct etcd_fixture_options options = {.members = 1};
    if (etcd_fixture_start(&options, &fixture) < 0)
        return 1;
    etcd = etcd_fixture_client(fixture);
    sides_use(etcd, &config);
    int failed = etcd ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
    etcd_close(etcd);
    etcd_fixture_free(fixture);
    return failed;
}
