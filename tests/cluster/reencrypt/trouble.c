/* The datastore engine in trouble, and what it takes to go on: a datastore that is full, an API server that
 * comes back, a value that grows too large. */
#include "sides.h"

#include <netinet/in.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/clock.h>
#include <base/text.h>
#include <etcd/maintenance.h>
#include <etcd_fixture.h>

#define LEASE     "/registry/masterleases/10.0.0.9"
#define MANY      3000
#define QUOTA     2000000
#define QUOTA_ARG "--quota-backend-bytes=2000000"
#define FILLED    1300000 /* a pass does not fit behind it */
/* etcd's size counts what was committed: often, or a fast machine fills it past its quota unseen. */
#define COMMIT_ARG "--backend-batch-limit=100"
#define ROUNDS_MAX 8
#define REQUEST    100000
#define BATCH_MIN  64
#define BATCH_MOST 128

static struct etcd_fixture *fixture; /* of this test alone, where it has special wishes */
static struct etcd *etcd;
static struct config config = {
    .datastore_prefix = "/registry", .reencrypt_in_flight = 16, .reencrypt_page = 50};

static int start(const char *a, const char *b)
{
    const char *const extra[] = {a, b, NULL};
    struct etcd_fixture_options options = {.members = 1, .extra_args = a ? extra : NULL};
    if (etcd_fixture_start(&options, &fixture) < 0)
        return -1;
    etcd = etcd_fixture_client(fixture);
    sides_use(etcd, &config);
    return etcd ? 0 : -1;
}

static int plain_etcd(void **state)
{
    (void)state;
    return start(NULL, NULL);
}

static int small_etcd(void **state)
{
    (void)state;
    return start(QUOTA_ARG, COMMIT_ARG);
}

static int narrow_etcd(void **state)
{
    (void)state;
    return start("--max-request-bytes=100000", NULL);
}

static int end(void **state)
{
    (void)state;
    etcd_close(etcd);
    etcd_fixture_free(fixture);
    etcd = NULL;
    fixture = NULL;
    return 0;
}

static struct cluster_reencrypt *new_record(void)
{
    struct cluster_reencrypt *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    return r;
}

static void run(struct job_options *o, struct cluster_reencrypt *r)
{
    struct cluster_proof p;
    bench_run(o, &p, r);
}

/* Another run that goes on from the record, to its good end. */
static void go_on(struct job_options *o, struct cluster_reencrypt *r)
{
    o->so_far = *r;
    run(o, r);
    if (r->state != REENCRYPT_ENDED)
        fail_msg("%s", r->why);
}

static bool under(const struct etcd_kv *kv, size_t side)
{
    struct envelope e;
    struct key_view name = {.provider = sides[side].provider, .name = sides[side].key};
    must(envelope_read(kv->value, kv->value_len, &name, 1, &e, &err));
    return e.provider == sides[side].provider;
}

/* Every value is whole, under one key or the other; all up to the cursor are under `to`. Returns how
 * many are under `to`. */
static size_t check_half(size_t to, size_t count, const struct cluster_reencrypt *r)
{
    _cleanup_(encryption_config_freep) struct encryption_config *c = config_of(to);
    struct etcd_range all = read_all();
    size_t moved = 0;
    assert_int_equal(all.count, count);
    for (size_t i = 0; i < all.count; i++) {
        const struct etcd_kv *kv = &all.kvs[i];
        _cleanup_(secret_freep) struct secret *plain = NULL;
        char wanted[128];
        must(envelope_decrypt(c, "secrets", kv->key, kv->value, kv->value_len, &plain, &err));
        content_of(kv->key + strlen(PREFIX), wanted);
        assert_int_equal(plain->len, strlen(wanted));
        assert_memory_equal(plain->data, wanted, plain->len);
        moved += under(kv, to);
        if (strcmp(kv->key, r->cursor) <= 0 && !under(kv, to))
            fail_msg("%s is before the cursor %s and was not moved", kv->key, r->cursor);
    }
    etcd_range_free(&all);
    return moved;
}

/* What was moved before stayed as it was: nothing is written twice. */
static void check_none_twice(int64_t revision, size_t moved)
{
    struct etcd_range all = read_all();
    size_t before = 0;
    for (size_t i = 0; i < all.count; i++) {
        before += all.kvs[i].version == 2 && all.kvs[i].mod_revision <= revision;
        assert_int_equal(all.kvs[i].version, 2);
    }
    etcd_range_free(&all);
    assert_int_equal(before, moved);
}

static int64_t revision_now(void)
{
    struct etcd_range r = {0};
    struct etcd_range_options o = {.prefix = PREFIX, .count_only = true};
    must(etcd_list(etcd, &o, 5000, &r, &err));
    int64_t revision = r.revision;
    etcd_range_free(&r);
    return revision;
}

/* A value before all others, under the old key: a run that goes on at its cursor does not meet it. */
#define EARLY "ns/+early"

static void put_early(void)
{
    put_under(0, EARLY, 0);
}

static void take_early(void)
{
    struct etcd_range r = {0};
    must(etcd_get(etcd, PREFIX EARLY, 5000, &r, &err));
    if (!under(&r.kvs[0], 0))
        fail_msg("it began at the beginning again");
    etcd_range_free(&r);
    must(etcd_delete(etcd, PREFIX EARLY, false, 5000, NULL, &err));
}

/* ---------- a datastore that is full ---------- */

static void etcdctl(const char *a, const char *b)
{
    const char *const argv[] = {"etcdctl", "--endpoints", etcd_fixture_endpoint(fixture, 0), a, b, NULL};
    char *const env[] = {"ETCDCTL_API=3", "PATH=/usr/local/bin:/usr/bin:/bin", NULL};
    pid_t pid = 0;
    int status = -1;
    assert_int_equal(posix_spawnp(&pid, "etcdctl", NULL, NULL, (char *const *)argv, env), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("etcdctl %s %s: %d", a, b ? b : "", status);
}

static int64_t db_bytes(void)
{
    struct etcd_status s;
    must(etcd_member_status(etcd, 0, 5000, &s, &err));
    return s.db_size;
}

/* So many values that a pass does not fit any more. */
static int fill_up(void)
{
    int count = 0;
    for (; db_bytes() < FILLED; count += 100)
        for (int i = count; i < count + 100; i++) {
            char name[64];
            snprintf(name, sizeof(name), "ns/%05d", i);
            put_under(0, name, 0);
        }
    return count;
}

static void assert_alarms(size_t count)
{
    struct etcd_alarm_list alarms;
    must(etcd_alarms(etcd, 5000, &alarms, &err));
    assert_int_equal(alarms.count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(alarms.alarms[i].type, ETCD_ALARM_NOSPACE);
}

static void make_room(void)
{
    char revision[32];
    snprintf(revision, sizeof(revision), "%lld", (long long)revision_now());
    etcdctl("compact", revision);
    etcdctl("defrag", NULL);
    etcdctl("alarm", "disarm");
    assert_alarms(0);
}

/* What is left may fill it once more: then room is made once more, and each time it comes further. */
static void go_on_with_room(struct cluster_reencrypt *r)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        struct job_options *o = options_to(1);
        int64_t done = r->done;
        o->so_far = *r;
        run(o, r);
        if (r->state == REENCRYPT_ENDED)
            return;
        assert_contains(r->why, "NOSPACE");
        assert_true(r->done > done);
        make_room();
    }
    fail_msg("%s", r->why);
}

static void a_full_etcd_ends_it_and_it_goes_on_at_its_cursor_once_there_is_room(void **state)
{
    (void)state;
    struct cluster_reencrypt *r = new_record();
    int count = fill_up();
    run(options_to(1), r);
    assert_int_equal(r->state, REENCRYPT_FAILED);
    assert_contains(r->why, "NOSPACE");
    assert_alarms(1);
    assert_true(r->done > 0 && r->done < count);
    assert_true(*r->cursor);
    size_t moved = check_half(1, (size_t)count, r);
    assert_true((int64_t)moved >= r->done);

    struct job_options *o = options_to(1);
    o->so_far = *r;
    run(o, r); /* nothing has changed: the same again, at once */
    assert_int_equal(r->state, REENCRYPT_FAILED);
    assert_contains(r->why, "NOSPACE");
    assert_int_equal(check_half(1, (size_t)count, r), moved);

    make_room();
    int64_t then = revision_now();
    put_early();
    go_on_with_room(r);
    assert_int_equal(r->done, count); /* none is counted twice */
    assert_int_equal(r->failed, 0);
    take_early();
    check_all(1, (size_t)count);
    check_none_twice(then, moved);
    free(r);
}

/* ---------- an API server that comes back ---------- */

static struct job_options *offline_to(size_t to, const char *url)
{
    struct job_options *o = options_to(to);
    o->offline = true;
    bench_server(o, "s2", url);
    return o;
}

/* Nobody listens there yet. */
static int reserve(struct sockaddr_in *ret, char url[64])
{
    socklen_t size = sizeof(*ret);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fd, (struct sockaddr *)ret, sizeof(*ret)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &size), 0);
    snprintf(url, 64, "https://127.0.0.1:%d", ntohs(ret->sin_port));
    return fd;
}

/* Begins slowly enough that there is a middle, and waits for it. */
static struct job *begin_offline(const char *url, struct cluster_reencrypt *r)
{
    struct job *j = bench_start(offline_to(1, url));
    job_limit(j, 500);
    int64_t until = clock_mono_ms() + 30000;
    do {
        sleep_ms(10);
        job_progress(j, r);
        assert_true(clock_mono_ms() < until);
    } while (r->done < 200);
    return j;
}

static void ends_in_the_middle(struct job *j, const char *why, struct cluster_reencrypt *r)
{
    struct cluster_proof p;
    bench_end(j, 10000, &p, r);
    assert_int_equal(r->state, REENCRYPT_FAILED);
    assert_contains(r->why, why);
    size_t moved = check_half(1, MANY, r);
    assert_in_range(moved, r->done, MANY - 1);
}

static void offline_ends_when_an_api_server_records_itself_and_goes_on_later(void **state)
{
    (void)state;
    struct sockaddr_in nobody;
    char url[64];
    struct cluster_reencrypt *r = new_record();
    int fd = reserve(&nobody, url);
    put_many(0, MANY);
    struct job *j = begin_offline(url, r);
    must(etcd_put(etcd, LEASE, "x", 1, 0, 5000, NULL, &err));
    ends_in_the_middle(j, LEASE, r);
    size_t moved = check_half(1, MANY, r);
    struct job_options *o = offline_to(1, url);
    o->so_far = *r;
    run(o, r); /* it is still there */
    assert_int_equal(r->state, REENCRYPT_FAILED);
    assert_int_equal(check_half(1, MANY, r), moved);
    must(etcd_delete(etcd, LEASE, false, 5000, NULL, &err));
    int64_t then = revision_now();
    put_early();
    go_on(offline_to(1, url), r);
    assert_int_equal(r->done, MANY);
    take_early();
    check_all(1, MANY);
    check_none_twice(then, moved);
    close(fd);
    free(r);
}

static void offline_ends_when_an_api_server_listens_and_goes_on_later(void **state)
{
    (void)state;
    struct sockaddr_in there;
    char url[64];
    struct cluster_reencrypt *r = new_record();
    int fd = reserve(&there, url);
    put_many(0, MANY);
    struct job *j = begin_offline(url, r);
    assert_int_equal(listen(fd, 5), 0);
    ends_in_the_middle(j, "s2: something answers at https://127.0.0.1:", r);
    size_t moved = check_half(1, MANY, r);
    close(fd);
    int64_t then = revision_now();
    put_early();
    go_on(offline_to(1, url), r);
    take_early();
    check_all(1, MANY);
    check_none_twice(then, moved);
    free(r);
}

/* ---------- batches ---------- */

static void offline_writes_64_to_128_values_at_a_time(void **state)
{
    (void)state;
    enum { COUNT = 1030 };
    struct cluster_reencrypt *r = new_record();
    struct job_options *o = options_to(1);
    put_many(0, COUNT);
    o->offline = true;
    run(o, r);
    if (r->state != REENCRYPT_ENDED)
        fail_msg("%s", r->why);
    check_all(1, COUNT);
    struct etcd_range all = read_all();
    for (size_t begin = 0, next; begin < all.count; begin = next) {
        for (next = begin; next < all.count && all.kvs[next].mod_revision == all.kvs[begin].mod_revision;)
            next++;
        if (next < all.count) /* the last one is what is left */
            assert_in_range(next - begin, BATCH_MIN, BATCH_MOST);
        else
            assert_in_range(next - begin, 1, BATCH_MOST);
        for (size_t i = next; i < all.count; i++)
            assert_int_not_equal(all.kvs[i].mod_revision, all.kvs[begin].mod_revision);
    }
    etcd_range_free(&all);
    free(r);
}

/* ---------- a value that grows too large ---------- */

/* Plain, and as large as etcd just takes: no room for a cipher's overhead. Its revision. */
static int64_t put_largest(const char *key)
{
    _cleanup_(buf_freep) struct buf value = BUF_INIT(REQUEST);
    int64_t revision = 0;
    must(buf_adds(&value, "{\"kind\":\"Secret\",\"pad\":\"", &err));
    while (value.len < REQUEST - strlen(key) - 32)
        must(buf_adds(&value, "x", &err));
    must(buf_adds(&value, "\"}", &err));
    must(etcd_put(etcd, key, value.data, value.len, 0, 5000, &revision, &err));
    return revision;
}

static void what_etcd_refuses_as_too_large_is_named_and_the_rest_moves(void **state)
{
    (void)state;
    enum { COUNT = 350 };
    for (int offline = 0; offline <= 1; offline++) {
        struct cluster_reencrypt *r = new_record();
        struct job_options *o = options_to(offline ? 2 : 1);
        must(etcd_delete(etcd, "/registry/", true, 5000, NULL, &err));
        put_many(3, COUNT);
        int64_t revision = put_largest(PREFIX "ns/00150-large");
        o->offline = offline;
        run(o, r);
        if (r->state != REENCRYPT_ENDED)
            fail_msg("%s", r->why);
        assert_int_equal(r->failed, 1);
        assert_int_equal(r->failures_count, 1);
        assert_int_equal(r->done, COUNT + 1);
        assert_string_equal(r->failures[0].object, "secrets/ns/00150-large");
        assert_contains(r->failures[0].why, "too large");
        struct etcd_range large = {0};
        must(etcd_get(etcd, PREFIX "ns/00150-large", 5000, &large, &err));
        assert_int_equal(large.kvs[0].mod_revision, revision);
        etcd_range_free(&large);
        must(etcd_delete(etcd, PREFIX "ns/00150-large", false, 5000, NULL, &err));
        check_all(offline ? 2 : 1, COUNT);
        free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_etcd_ends_it_and_it_goes_on_at_its_cursor_once_there_is_room,
                                        small_etcd, end),
        cmocka_unit_test_setup_teardown(offline_ends_when_an_api_server_records_itself_and_goes_on_later,
                                        plain_etcd, end),
        cmocka_unit_test_setup_teardown(offline_ends_when_an_api_server_listens_and_goes_on_later, plain_etcd,
                                        end),
        cmocka_unit_test_setup_teardown(offline_writes_64_to_128_values_at_a_time, plain_etcd, end),
        cmocka_unit_test_setup_teardown(what_etcd_refuses_as_too_large_is_named_and_the_rest_moves,
                                        narrow_etcd, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
