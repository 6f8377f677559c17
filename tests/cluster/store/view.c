/* A view of the state store over a real etcd: it reads what changed, and gives what reading all would give.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/clock.h>
#include <base/text.h>
#include <etcd/lease.h>
#include <etcd/watch.h>
#include <store/view.h>

#include "etcd_fixture.h"

#define DEADLINE_MS 5000
#define EXPIRY_MS   20000
#define P           "/secrets-encrypt/demo/"

struct bench {
    struct etcd_fixture *fixture;
    struct store *store;
    struct store_view *view;
    struct cluster_snapshot *s; /* of the last look */
    struct store_view_counts counts;
};

static int set_up(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    struct etcd_fixture_options options = {.members = 1};
    static char empty[] = "";
    struct config config = {.token_file = empty, .path = empty};
    *state = b;
    if (etcd_fixture_start(&options, &b->fixture) != 0)
        return -1;
    text_copy(config.cluster, sizeof(config.cluster), "demo");
    config.state_store = (struct config_etcd){
        .endpoints_count = 1, .ca_file = empty, .cert_file = empty, .key_file = empty, .server_name = empty};
    config.state_store.endpoints[0] = (char *)etcd_fixture_endpoint(b->fixture, 0);
    _cleanup_(secret_freep) struct secret *token = secret_copy("a token of this cluster", 23);
    assert_int_equal(store_open_with_token(&config, token, &b->store, NULL), 0);
    assert_int_equal(store_view_new(b->store, &b->view, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    store_view_free(b->view);
    store_free(b->store);
    etcd_fixture_free(b->fixture);
    free(b);
    return 0;
}

/* --- what is written --- */

static void put_order(struct bench *b, const char *server, int64_t id)
{
    struct cluster_order o = {.id = id, .kind = ORDER_APPLY, .generation = 2};
    _cleanup_(buf_freep) struct buf body = BUF_INIT(65536);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(store_etcd(b->store));
    assert_int_equal(cluster_order_encode(&o, &body, NULL), 0);
    assert_int_equal(store_txn_put(b->store, t, CLUSTER_KEY_ORDER, server, &body, 0, NULL), 0);
    assert_int_equal(etcd_txn_commit(t, DEADLINE_MS, NULL, NULL), 0);
}

static void put_report(struct bench *b, const char *server, int64_t time_ms, int64_t lease)
{
    struct cluster_report r = {.time_ms = time_ms, .ready = true};
    char path[CLUSTER_KEY_PATH_MAX];
    _cleanup_(buf_freep) struct buf body = BUF_INIT(65536);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(store_etcd(b->store));
    text_copy(r.server, sizeof(r.server), server);
    assert_int_equal(cluster_report_encode(&r, &body, NULL), 0);
    assert_int_equal(store_txn_put(b->store, t, CLUSTER_KEY_REPORT, server, &body, lease, NULL), 0);
    cluster_key_path(path, "demo", CLUSTER_KEY_STAGE, server);
    etcd_txn_put(t, path, "start", 5, lease);
    assert_int_equal(etcd_txn_commit(t, DEADLINE_MS, NULL, NULL), 0);
}

static void put_raw(struct bench *b, const char *path, const char *value)
{
    assert_int_equal(etcd_put(store_etcd(b->store), path, value, strlen(value), 0, DEADLINE_MS, NULL, NULL),
                     0);
}

static void delete_raw(struct bench *b, const char *path)
{
    assert_int_equal(etcd_delete(store_etcd(b->store), path, false, DEADLINE_MS, NULL, NULL), 0);
}

/* --- what is seen --- */

static void same_servers(const struct cluster_snapshot *a, const struct cluster_snapshot *b)
{
    assert_int_equal(a->servers_count, b->servers_count);
    for (size_t i = 0; i < a->servers_count; i++) {
        const struct snapshot_server *v = &a->servers[i], *w = &b->servers[i];
        assert_string_equal(v->name, w->name);
        assert_string_equal(v->report_why, w->report_why);
        assert_int_equal(v->reports, w->reports);
        assert_int_equal(v->plain_keys_differ, w->plain_keys_differ);
        assert_int_equal(v->report_mod, w->report_mod);
        assert_int_equal(v->has_order, w->has_order);
        assert_int_equal(v->order_mod, w->order_mod);
        assert_memory_equal(&v->report, &w->report, sizeof(v->report));
        assert_memory_equal(&v->order, &w->order, sizeof(v->order));
    }
}

/* Looks, compares with what reading everything gives, and counts what this look read: `whole` looks at all
 * keys, `verified` signatures. */
static void look(struct bench *b, uint64_t whole, uint64_t verified)
{
    struct error err = ERROR_INIT;
    _cleanup_free_ struct cluster_snapshot *all = malloc(sizeof(*all));
    struct store_view_counts before = b->counts;
    if (store_view_look(b->view, DEADLINE_MS, &b->s, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(store_snapshot(b->store, DEADLINE_MS, all, NULL), 0);
    assert_int_equal(b->s->revision, all->revision);
    assert_int_equal(b->s->has_spec, all->has_spec);
    assert_int_equal(b->s->rotation_mod, all->rotation_mod);
    assert_memory_equal(&b->s->rotation, &all->rotation, sizeof(all->rotation));
    assert_string_equal(b->s->leader, all->leader);
    same_servers(b->s, all);
    store_view_count(b->view, &b->counts);
    assert_int_equal(b->counts.whole - before.whole, whole);
    assert_int_equal(b->counts.verified - before.verified, verified);
}

static void begin(struct bench *b)
{
    put_order(b, "s1", 1);
    put_order(b, "s2", 2);
    put_report(b, "s1", 10, 0);
    put_report(b, "s2", 20, 0);
    look(b, 1, 4);
}

/* --- tests --- */

static void what_did_not_change_is_not_read_again(void **state)
{
    struct bench *b = *state;
    begin(b);
    look(b, 0, 0);
    put_raw(b, "/elsewhere", "x"); /* the revision rises, none of our keys */
    look(b, 0, 0);
}

static void what_changed_is_read_alone(void **state)
{
    struct bench *b = *state;
    begin(b);
    put_report(b, "s2", 21, 0);
    look(b, 0, 1);
    assert_int_equal(snapshot_server(b->s, "s2")->report.time_ms, 21);
    put_report(b, "s0", 5, 0); /* a new one, before all others */
    put_order(b, "s9", 7);     /* and one behind all others' orders */
    look(b, 0, 2);
    assert_int_equal(b->s->servers_count, 4);
}

static void a_deleted_key_is_missed(void **state)
{
    struct bench *b = *state;
    begin(b);
    delete_raw(b, P "orders/s1");
    look(b, 1, 0); /* all are read; what was verified is not verified again */
    assert_false(snapshot_server(b->s, "s1")->has_order);
    look(b, 0, 0);
}

static void one_deleted_and_another_made_between_two_looks(void **state)
{
    struct bench *b = *state;
    begin(b);
    delete_raw(b, P "orders/s1");
    put_order(b, "s3", 3); /* as many keys as before */
    look(b, 1, 1);
    assert_false(snapshot_server(b->s, "s1")->has_order);
    assert_true(snapshot_server(b->s, "s3")->has_order);
}

static void one_deleted_and_made_again_between_two_looks(void **state)
{
    struct bench *b = *state;
    begin(b);
    delete_raw(b, P "orders/s1");
    put_order(b, "s1", 8);
    look(b, 0, 1);
    assert_int_equal(snapshot_server(b->s, "s1")->order.id, 8);
}

static void all_deleted(void **state)
{
    struct bench *b = *state;
    begin(b);
    assert_int_equal(etcd_delete(store_etcd(b->store), P, true, DEADLINE_MS, NULL, NULL), 0);
    look(b, 1, 0);
    assert_int_equal(b->s->servers_count, 0);
    look(b, 0, 0);
}

static void a_lease_that_ends_takes_its_report(void **state)
{
    struct bench *b = *state;
    struct etcd_watch *w = NULL;
    struct etcd_event ev = {0};
    int64_t lease = 0;
    begin(b);
    assert_int_equal(etcd_lease_grant(store_etcd(b->store), 1, DEADLINE_MS, &lease, NULL), 0);
    put_report(b, "s3", 30, lease);
    look(b, 0, 1);
    assert_true(snapshot_server(b->s, "s3")->reports);
    assert_int_equal(
        etcd_watch_new(store_etcd(b->store), P "servers/s3/report", b->s->revision + 1, &w, NULL), 0);
    assert_int_equal(etcd_watch_next(w, EXPIRY_MS, &ev, NULL), 0);
    etcd_event_free(&ev);
    etcd_watch_free(w);
    look(b, 1, 0);
    assert_null(snapshot_server(b->s, "s3"));
}

static void a_forged_record_is_told_and_its_mending_seen(void **state)
{
    struct bench *b = *state;
    struct error err = ERROR_INIT;
    begin(b);
    put_raw(b, P "servers/s1/report", "{}");
    look(b, 0, 1);
    assert_false(snapshot_server(b->s, "s1")->reports);
    assert_non_null(strstr(snapshot_server(b->s, "s1")->report_why, "not signed"));
    look(b, 0, 0); /* it is as wrong as before */
    assert_false(snapshot_server(b->s, "s1")->reports);
    put_report(b, "s1", 11, 0);
    look(b, 0, 1);
    assert_true(snapshot_server(b->s, "s1")->reports);
    /* a record that everything depends on: no snapshot, as often as it is looked at */
    put_raw(b, P "rotation", "{}");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_view_look(b->view, DEADLINE_MS, &b->s, &err), ERR_DENIED);
        assert_non_null(strstr(err.text, P "rotation"));
    }
    delete_raw(b, P "rotation");
    store_view_count(b->view, &b->counts);
    look(b, 1, 4);
}

static void history_that_was_compacted_is_not_needed(void **state)
{
    struct bench *b = *state;
    begin(b);
    put_report(b, "s1", 11, 0);
    put_report(b, "s1", 12, 0);
    delete_raw(b, P "orders/s2");
    put_report(b, "s2", 22, 0);
    struct etcd_range r = {0};
    assert_int_equal(etcd_get(store_etcd(b->store), P "servers/s2/report", DEADLINE_MS, &r, NULL), 0);
    assert_int_equal(etcd_compact(store_etcd(b->store), r.revision, DEADLINE_MS, NULL), 0);
    etcd_range_free(&r);
    look(b, 1, 2);
    put_report(b, "s1", 13, 0);
    look(b, 0, 1);
}

/* As many as a whole look refuses are refused also when they come one after the other. */
static void too_many_keys_are_refused_however_they_came(void **state)
{
    struct bench *b = *state;
    struct error err = ERROR_INIT;
    int made = 0;
    begin(b);
    while (made < 16500) {
        _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(store_etcd(b->store));
        for (int i = 0; i < 100; i++) {
            char path[CLUSTER_KEY_PATH_MAX];
            snprintf(path, sizeof(path), P "junk/%d", made++);
            etcd_txn_put(t, path, "", 0, 0);
        }
        assert_int_equal(etcd_txn_commit(t, DEADLINE_MS, NULL, NULL), 0);
        if (made == 8000)
            look(b, 0, 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_view_look(b->view, DEADLINE_MS, &b->s, &err), ERR_TOO_LARGE);
        assert_non_null(strstr(err.text, "over the limit"));
    }
    assert_int_equal(etcd_delete(store_etcd(b->store), P "junk/", true, DEADLINE_MS, NULL, NULL), 0);
    store_view_count(b->view, &b->counts);
    look(b, 1, 4);
}

/* Until the store's own connection has noticed too. */
static void restart(struct bench *b)
{
    struct etcd_range_options o = {.prefix = P, .count_only = true};
    struct etcd_range r = {0};
    int64_t until = clock_mono_ms() + 15000;
    assert_int_equal(etcd_fixture_restart(b->fixture, 0), 0);
    assert_true(etcd_fixture_leader(b->fixture, 15000) >= 0);
    while (etcd_list(store_etcd(b->store), &o, 1000, &r, NULL) < 0)
        assert_true(clock_mono_ms() < until);
    etcd_range_free(&r);
}

/* Its revisions begin anew: nothing of what was known of the other one holds. */
static void another_etcd_in_the_same_place_is_read_anew(void **state)
{
    struct bench *b = *state;
    begin(b);
    for (int i = 0; i < 20; i++)
        put_report(b, "s2", 100 + i, 0);
    look(b, 0, 1);
    etcd_fixture_kill(b->fixture, 0);
    etcd_fixture_wipe(b->fixture, 0);
    restart(b);
    put_order(b, "s1", 50);
    put_report(b, "s1", 60, 0);
    look(b, 1, 2);
    assert_int_equal(b->s->servers_count, 1);
    assert_int_equal(b->s->servers[0].order.id, 50);
}

static void an_error_is_followed_by_a_look_at_everything(void **state)
{
    struct bench *b = *state;
    struct error err = ERROR_INIT;
    begin(b);
    etcd_fixture_kill(b->fixture, 0);
    assert_true(store_view_look(b->view, 200, &b->s, &err) < 0);
    assert_non_null(strstr(err.text, "reading the state store"));
    restart(b);
    look(b, 1, 4);
}

/* Any sequence of changes, seen as reading everything sees it. */
static void whatever_happens_it_is_what_reading_everything_gives(void **state)
{
    struct bench *b = *state;
    uint64_t random = 20261127;
    begin(b);
    for (int turn = 0; turn < 150; turn++) {
        char server[CLUSTER_NAME_MAX], path[CLUSTER_KEY_PATH_MAX];
        struct error err = ERROR_INIT;
        _cleanup_free_ struct cluster_snapshot *all = malloc(sizeof(*all));
        for (int i = 0; i < turn % 4; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            unsigned which = (unsigned)(random >> 40);
            snprintf(server, sizeof(server), "s%u", which % 5);
            cluster_key_path(path, "demo", which & 8 ? CLUSTER_KEY_ORDER : CLUSTER_KEY_REPORT, server);
            switch (which >> 8 & 7) {
            case 0:
            case 1:
                delete_raw(b, path);
                break;
            case 2:
                put_raw(b, path, "{}");
                break;
            case 3:
            case 4:
                put_order(b, server, turn);
                break;
            default:
                put_report(b, server, turn, 0);
            }
        }
        assert_int_equal(store_view_look(b->view, DEADLINE_MS, &b->s, &err), 0);
        assert_int_equal(store_snapshot(b->store, DEADLINE_MS, all, NULL), 0);
        same_servers(b->s, all);
    }
    store_view_count(b->view, &b->counts);
    assert_true(b->counts.whole > 10 && b->counts.whole < 100); /* both ways were taken */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_did_not_change_is_not_read_again),
        TEST(what_changed_is_read_alone),
        TEST(a_deleted_key_is_missed),
        TEST(one_deleted_and_another_made_between_two_looks),
        TEST(one_deleted_and_made_again_between_two_looks),
        TEST(all_deleted),
        TEST(a_lease_that_ends_takes_its_report),
        TEST(a_forged_record_is_told_and_its_mending_seen),
        TEST(history_that_was_compacted_is_not_needed),
        TEST(too_many_keys_are_refused_however_they_came),
        TEST(another_etcd_in_the_same_place_is_read_anew),
        TEST(an_error_is_followed_by_a_look_at_everything),
        TEST(whatever_happens_it_is_what_reading_everything_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
