#include "garble.h"
#include "snapshot_data.h"

#include <etcd/maintenance.h>

static struct etcd_fixture *fixture;
static struct etcd *client;
static int leader;

static int setup(void **state)
{
    (void)state;
    struct etcd_fixture_options o = {.members = 3};
    if (etcd_fixture_start(&o, &fixture) < 0)
        return -1;
    client = etcd_fixture_client(fixture);
    leader = etcd_fixture_leader(fixture, 10000);
    if (!client || leader < 0)
        return -1;
    data_put(client, DATA_KEYS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    etcd_close(client);
    etcd_fixture_free(fixture);
    return 0;
}

/* What `write` is told to do with the pieces. */
struct sink {
    int fd;              /* -1: throw away */
    uint64_t bytes;      /* written */
    uint64_t last, left; /* the last progress */
    size_t pieces, reports;
    int kill, pause;     /* the member to be struck at the first piece; -1: none */
    size_t fail_at;      /* the piece that cannot be written; 0: none */
    atomic_bool *cancel; /* set at the first piece; NULL: not */
};

static struct sink sink_new(int fd)
{
    return (struct sink){.fd = fd, .kill = -1, .pause = -1};
}

static int write_piece(void *arg, const void *data, size_t len, struct error *err)
{
    struct sink *s = arg;
    s->pieces++;
    if (s->pieces == s->fail_at)
        return error_set(err, ERR_STATE, "the sink is full");
    if (s->fd >= 0 && write(s->fd, data, len) != (ssize_t)len)
        return error_set(err, ERR_IO, "short write");
    s->bytes += len;
    if (s->pieces == 1 && s->kill >= 0)
        etcd_fixture_kill(fixture, (size_t)s->kill);
    if (s->pieces == 1 && s->pause >= 0)
        etcd_fixture_pause(fixture, (size_t)s->pause);
    if (s->cancel)
        atomic_store(s->cancel, true);
    return 0;
}

static void on_progress(void *arg, uint64_t done, uint64_t remaining)
{
    struct sink *s = arg;
    assert_true(done > s->last);
    assert_int_equal(done, s->bytes);
    if (s->reports && remaining) /* the SHA-256 at the end is not counted before it is there */
        assert_int_equal(done + remaining, s->last + s->left);
    s->last = done;
    s->left = remaining;
    s->reports++;
}

static struct etcd_snapshot_options into(struct sink *s)
{
    return (struct etcd_snapshot_options){.write = write_piece, .progress = on_progress, .arg = s};
}

static void a_snapshot_is_whole_and_restores(void **state)
{
    (void)state;
    char path[] = "/tmp/etcd-test-snapshot-XXXXXX";
    int64_t revision = 0;
    struct sink s = sink_new(mkstemp(path));
    struct etcd_snapshot_options o = into(&s);
    struct etcd_snapshot_result r;
    struct etcd_snapshot_file file;
    struct etcd_status st;
    assert_true(s.fd >= 0);
    must(etcd_put(client, "/other", "x", 1, 0, CALL_MS, &revision, &err));
    must(etcd_datastore_snapshot(client, &o, &r, &err));
    assert_true(r.revision >= revision);
    assert_int_equal(r.size, s.bytes);
    assert_int_equal(r.size % 512, ETCD_SNAPSHOT_SHA);
    assert_true(r.size > DATA_KEYS * DATA_BYTES);
    assert_int_equal(s.last, s.bytes);
    assert_int_equal(s.left, 0);
    assert_true(s.reports > 100);
    must(etcd_member_status(client, (size_t)leader, CALL_MS, &st, &err));
    assert_true(r.member != 0 && r.member != st.member); /* a follower's */
    must(etcd_snapshot_verify(s.fd, path, NULL, &file, &err));
    assert_int_equal(file.size, r.size);
    assert_string_equal(file.sha256, r.sha256);
    data_restore_and_check(path, DATA_KEYS);
    /* A bit turned over on the disk is found by us, and by etcdctl. */
    uint8_t byte;
    assert_int_equal(pread(s.fd, &byte, 1, 1000000), 1);
    byte ^= 1;
    assert_int_equal(pwrite(s.fd, &byte, 1, 1000000), 1);
    must_fail(ERR_INVALID, "damaged", etcd_snapshot_verify(s.fd, path, NULL, &file, &err));
    close(s.fd);
    unlink(path);
}

static void the_owner_may_stop_it(void **state)
{
    (void)state;
    struct etcd_snapshot_result r = {.size = 7};
    struct sink s = sink_new(-1);
    s.fail_at = 3;
    struct etcd_snapshot_options o = into(&s);
    must_fail(ERR_STATE, "the sink is full", etcd_datastore_snapshot(client, &o, &r, &err));
    assert_int_equal(s.pieces, 3);
    atomic_bool cancel = false;
    s = sink_new(-1);
    s.cancel = &cancel;
    o.cancel = &cancel;
    must_fail(ERR_CANCELED, "stopped", etcd_datastore_snapshot(client, &o, &r, &err));
    assert_int_equal(s.pieces, 1);
    must_fail(ERR_CANCELED, "stopped", etcd_datastore_snapshot(client, &o, &r, &err)); /* before it begins */
    assert_int_equal(s.pieces, 1);
    assert_int_equal(r.size, 7);
}

static struct etcd *client_of(int member)
{
    struct etcd *e = NULL;
    struct etcd_options o = etcd_fixture_options_one(fixture, (size_t)member);
    must(etcd_open(&o, &e, &err));
    return e;
}

static void a_member_hangs_in_the_middle(void **state)
{
    (void)state;
    int member = (leader + 1) % 3;
    struct etcd *one = client_of(member);
    struct etcd_snapshot_result r;
    struct sink s = sink_new(-1);
    s.pause = member;
    struct etcd_snapshot_options o = into(&s);
    o.idle_ms = 1000;
    int64_t before = clock_mono_ms();
    must_fail(ERR_TIMEOUT, "nothing came for 1000 ms", etcd_datastore_snapshot(one, &o, &r, &err));
    assert_true(clock_mono_ms() - before < 6000);
    /* The client of all goes to another member while this one hangs. */
    s = sink_new(-1);
    o = into(&s);
    must(etcd_datastore_snapshot(client, &o, &r, &err));
    assert_string_not_equal(r.url, etcd_fixture_endpoint(fixture, (size_t)member));
    etcd_fixture_resume(fixture, (size_t)member);
    etcd_close(one);
}

/* One bit of one key, on the way; etcd itself is fine. */
static void the_wire_changes_a_bit(void **state)
{
    (void)state;
    static const char *const patterns[] = {"/data/01000", "no such text"};
    for (size_t i = 0; i < array_len(patterns); i++) {
        const char *port = strrchr(etcd_fixture_endpoint(fixture, (size_t)leader), ':') + 1;
        struct garble g = garble_start((int)strtol(port, NULL, 10), patterns[i]);
        char url[64];
        const char *endpoints[] = {url};
        struct etcd_options eo = {.endpoints = endpoints, .endpoints_count = 1};
        struct etcd *e = NULL;
        struct etcd_snapshot_result r;
        struct sink s = sink_new(-1);
        struct etcd_snapshot_options o = into(&s);
        snprintf(url, sizeof(url), "http://127.0.0.1:%d", g.port);
        must(etcd_open(&eo, &e, &err));
        if (i == 0)
            must_fail(ERR_INVALID, "damaged", etcd_datastore_snapshot(e, &o, &r, &err));
        else
            must(etcd_datastore_snapshot(e, &o, &r, &err));
        assert_true(s.bytes > DATA_KEYS * DATA_BYTES);
        etcd_close(e);
        garble_stop(&g);
    }
}

/* Last: it leaves a member dead. */
static void a_member_dies_in_the_middle(void **state)
{
    (void)state;
    int member = (leader + 1) % 3;
    const char *url = etcd_fixture_endpoint(fixture, (size_t)member);
    struct etcd *one = client_of(member);
    struct etcd_snapshot_result r;
    struct sink s = sink_new(-1);
    s.kill = member;
    struct etcd_snapshot_options o = into(&s);
    struct error broke = ERROR_INIT;
    assert_int_equal(etcd_datastore_snapshot(one, &o, &r, &broke), ERR_UNAVAILABLE);
    if (!strstr(broke.text, "broke off after") || !strstr(broke.text, url) || !strstr(broke.text, "again"))
        fail_msg("%s", broke.text);
    o.choose_ms = 1500;
    must_fail(ERR_UNAVAILABLE, url, etcd_datastore_snapshot(one, &o, &r, &err));
    etcd_close(one);
    for (int i = 0; i < 3; i++) { /* whichever the turn begins with */
        s = sink_new(-1);
        o = into(&s);
        must(etcd_datastore_snapshot(client, &o, &r, &err));
        assert_string_not_equal(r.url, url);
    }
    /* Nobody can say any more what is current. */
    etcd_fixture_kill(fixture, (size_t)(leader + 2) % 3);
    o.choose_ms = 1500;
    s = sink_new(-1);
    int rc = etcd_datastore_snapshot(client, &o, &r, NULL);
    assert_true(rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT);
    assert_int_equal(s.pieces, 0);
}

static void over_tls(void **state)
{
    (void)state;
    struct etcd_fixture *f = NULL;
    struct etcd_fixture_options fo = {.members = 1, .tls = true};
    assert_int_equal(etcd_fixture_start(&fo, &f), 0);
    static const char *const names[] = {NULL, "etcd.test"};
    for (size_t i = 0; i < array_len(names); i++) {
        struct etcd_options eo = etcd_fixture_options(f);
        struct etcd *e = NULL;
        struct etcd_snapshot_result r;
        struct sink s = sink_new(-1);
        struct etcd_snapshot_options o = into(&s);
        eo.server_name = names[i];
        must(etcd_open(&eo, &e, &err));
        data_put(e, 100);
        must(etcd_datastore_snapshot(e, &o, &r, &err));
        assert_int_equal(r.size, s.bytes);
        assert_true(r.size > 100 * DATA_BYTES);
        assert_string_equal(r.url, etcd_fixture_endpoint(f, 0));
        etcd_close(e);
    }
    etcd_fixture_free(f);
}

static void alarms(void **state)
{
    (void)state;
    struct etcd_fixture *f = NULL;
    static const char *const args[] = {"--quota-backend-bytes=1048576", NULL};
    struct etcd_fixture_options fo = {.members = 1, .extra_args = args};
    struct etcd_alarm_list list;
    struct etcd_status st;
    assert_int_equal(etcd_fixture_start(&fo, &f), 0);
    struct etcd *e = etcd_fixture_client(f);
    must(etcd_alarms(e, CALL_MS, &list, &err));
    assert_int_equal(list.count, 0);
    static const uint8_t value[DATA_BYTES];
    int rc = 0;
    for (int i = 0; i < 500 && rc == 0; i++) {
        char key[32];
        data_key((size_t)i, key);
        rc = etcd_put(e, key, value, sizeof(value), 0, 3000, NULL, NULL);
    }
    assert_int_equal(rc, ERR_STATE);
    for (int64_t end = clock_mono_ms() + 5000; list.count == 0 && clock_mono_ms() < end; sleep_ms(20))
        must(etcd_alarms(e, CALL_MS, &list, &err));
    must(etcd_member_status(e, 0, CALL_MS, &st, &err));
    assert_int_equal(list.count, 1);
    assert_int_equal(list.alarms[0].type, ETCD_ALARM_NOSPACE);
    assert_int_equal(list.alarms[0].member, st.member);
    assert_string_equal(etcd_alarm_name(list.alarms[0].type), "nospace");
    etcd_close(e);
    etcd_fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_is_whole_and_restores),
        cmocka_unit_test(the_owner_may_stop_it),
        cmocka_unit_test(a_member_hangs_in_the_middle),
        cmocka_unit_test(the_wire_changes_a_bit),
        cmocka_unit_test(over_tls),
        cmocka_unit_test(alarms),
        cmocka_unit_test(a_member_dies_in_the_middle),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
