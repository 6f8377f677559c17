/* What the API's watchers get, over a real etcd: who begins with everything and follows the steps has what is
 * there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <api/feed.h>
#include <base/clock.h>
#include <base/text.h>

#include "etcd_fixture.h"

#define DEADLINE_MS 5000
#define P           "/secrets-encrypt/demo/"
#define STEPS       300 /* more than a feed remembers */

struct bench {
    struct etcd_fixture *fixture;
    struct store *store;
    struct feed *feed;
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
    assert_int_equal(feed_new(b->store, &b->feed, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    feed_free(b->feed);
    store_free(b->store);
    etcd_fixture_free(b->fixture);
    free(b);
    return 0;
}

static void put(struct bench *b, const char *key, const char *value)
{
    assert_int_equal(etcd_put(store_etcd(b->store), key, value, strlen(value), 0, DEADLINE_MS, NULL, NULL),
                     0);
}

static void drop(struct bench *b, const char *key)
{
    assert_int_equal(etcd_delete(store_etcd(b->store), key, false, DEADLINE_MS, NULL, NULL), 0);
}

static struct feed_state *fresh(struct bench *b)
{
    struct feed_state *s = NULL;
    struct error err = ERROR_INIT;
    if (feed_fresh(b->feed, clock_mono_ms() + DEADLINE_MS, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

/* One who follows: what it has, and where it is. */
struct follower {
    struct records records;
    int64_t revision;
    unsigned wholes, steps;
};

static void follow_one(struct bench *b, struct follower *f, int timeout_ms)
{
    struct feed_step step;
    assert_int_equal(feed_next(b->feed, f->revision, timeout_ms, &step, NULL), 0);
    Secretsencrypt__V1__Record **list = NULL;
    char **deleted = calloc(step.deleted_count + 1, sizeof(*deleted));
    assert_int_equal(records_to_messages(step.items, step.count, "demo", &list, NULL), 0);
    for (size_t i = 0; i < step.deleted_count; i++)
        deleted[i] = step.deleted[i]->key + strlen(P);
    assert_int_equal(
        records_apply(&f->records, "demo", step.whole, list, step.count, deleted, step.deleted_count, NULL),
        0);
    f->wholes += step.whole;
    f->steps += step.count > 0 || step.deleted_count > 0;
    f->revision = step.revision;
    free(list);
    free(deleted);
    feed_step_free(&step);
}

/* Follows until it is where the store was when this was called. */
static void catch_up(struct bench *b, struct follower *f)
{
    struct feed_state *now = fresh(b);
    int64_t until = clock_mono_ms() + DEADLINE_MS;
    while (f->revision < now->revision && clock_mono_ms() < until)
        follow_one(b, f, 100);
    assert_true(f->revision >= now->revision);
    assert_int_equal(f->records.count, now->records.count);
    for (size_t i = 0; i < now->records.count; i++) {
        assert_string_equal(f->records.items[i]->key, now->records.items[i]->key);
        assert_int_equal(f->records.items[i]->mod_revision, now->records.items[i]->mod_revision);
        assert_string_equal(f->records.items[i]->value, now->records.items[i]->value);
    }
    feed_state_unref(now);
}

static void a_fresh_look_sees_what_was_just_written(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < 20; i++) {
        char value[16];
        snprintf(value, sizeof(value), "value-%d", i);
        put(b, P "servers/s1/stage", value);
        struct feed_state *s = fresh(b);
        struct record *r = records_find(&s->records, P "servers/s1/stage");
        assert_non_null(r);
        assert_string_equal(r->value, value);
        feed_state_unref(s);
    }
}

static void steps_lead_to_what_is_there(void **state)
{
    struct bench *b = *state;
    struct follower f = {0}, slow = {0};
    put(b, P "servers/s1/stage", "start");
    put(b, P "leader/holder", "s1");
    catch_up(b, &f);
    catch_up(b, &slow);
    assert_int_equal(f.wholes, 1);
    for (int i = 0; i < STEPS; i++) {
        char key[64], value[32];
        snprintf(key, sizeof(key), P "servers/s%d/stage", i % 7);
        snprintf(value, sizeof(value), "v%d", i);
        if (i % 5 == 4)
            drop(b, key);
        else
            put(b, key, value);
        feed_state_unref(fresh(b)); /* a step each */
        if (i % 50 == 0)
            catch_up(b, &f);
    }
    catch_up(b, &f);
    assert_int_equal(f.wholes, 1);
    assert_true(f.steps > 200);
    /* So far back nothing is remembered: it begins anew, and has the same. */
    catch_up(b, &slow);
    assert_int_equal(slow.wholes, 2);
    records_free(&f.records);
    records_free(&slow.records);
}

static void nobody_is_led_on_from_a_revision_that_never_was(void **state)
{
    struct bench *b = *state;
    struct follower f = {.revision = INT64_C(1) << 60};
    put(b, P "leader/holder", "s1");
    feed_state_unref(fresh(b));
    follow_one(b, &f, 20000);
    assert_int_equal(f.wholes, 1);
    records_free(&f.records);
    /* A feed that begins only now knows nothing of the time before. */
    feed_free(b->feed);
    b->feed = NULL;
    assert_int_equal(feed_new(b->store, &b->feed, NULL), 0);
    f = (struct follower){.revision = 1};
    follow_one(b, &f, 20000);
    assert_int_equal(f.wholes, 1);
    records_free(&f.records);
}

/* As an agent does, but for the lease. */
static void put_checks(struct bench *b, const char *place, const char *server, enum check_result last)
{
    _cleanup_free_ struct cluster_checks *c = calloc(1, sizeof(*c));
    _cleanup_(buf_freep) struct buf body = BUF_INIT(1 << 20);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(store_etcd(b->store));
    assert_non_null(c);
    text_copy(c->server, sizeof(c->server), server);
    c->time_ms = 1000;
    c->checks_count = 3;
    for (size_t i = 0; i < c->checks_count; i++)
        text_copy(c->checks[i].name, sizeof(c->checks[i].name), "disk");
    c->checks[2].result = last;
    assert_int_equal(cluster_checks_encode(c, &body, NULL), 0);
    assert_int_equal(store_txn_put(b->store, t, CLUSTER_KEY_CHECKS, place, &body, 0, NULL), 0);
    assert_int_equal(etcd_txn_commit(t, DEADLINE_MS, NULL, NULL), 0);
}

/* They do not travel; what a metrics page tells of them is there. */
static void checks_are_counted(void **state)
{
    struct bench *b = *state;
    put_checks(b, "s1", "s1", CHECK_WARN);
    put_checks(b, "s2", "s1", CHECK_FAIL);                       /* another server's */
    put(b, P "servers/s3/checks", "{\"mac\":\"\",\"body\":{}}"); /* nobody's */
    struct feed_state *s = fresh(b);
    assert_int_equal(s->records.count, 0);
    assert_int_equal(s->checks.count, 1);
    assert_string_equal(s->checks.items[0].server, "s1");
    assert_int_equal(s->checks.items[0].time_ms, 1000);
    assert_int_equal(s->checks.items[0].results[CHECK_OK], 2);
    assert_int_equal(s->checks.items[0].results[CHECK_WARN], 1);
    feed_state_unref(s);
    s = fresh(b); /* the same record */
    assert_int_equal(s->checks.items[0].results[CHECK_WARN], 1);
    feed_state_unref(s);
    put_checks(b, "s1", "s1", CHECK_FAIL);
    s = fresh(b);
    assert_int_equal(s->checks.items[0].results[CHECK_WARN], 0);
    assert_int_equal(s->checks.items[0].results[CHECK_FAIL], 1);
    feed_state_unref(s);
    drop(b, P "servers/s1/checks");
    s = fresh(b);
    assert_int_equal(s->checks.count, 0);
    feed_state_unref(s);
}

/* A change is there at once, and not with the next look by the clock. */
static void a_waiting_one_is_woken(void **state)
{
    struct bench *b = *state;
    struct follower f = {0};
    catch_up(b, &f);
    put(b, P "servers/s1/stage", "rotate");
    int64_t began = clock_mono_ms();
    unsigned before = f.steps;
    while (f.steps == before && clock_mono_ms() - began < DEADLINE_MS)
        follow_one(b, &f, 2000);
    assert_true(clock_mono_ms() - began < 800);
    assert_non_null(records_find(&f.records, P "servers/s1/stage"));
    records_free(&f.records);
}

static void a_store_that_is_away_is_told(void **state)
{
    struct bench *b = *state;
    struct follower f = {0};
    struct feed_state *s = NULL;
    struct feed_step step = {0};
    struct error err = ERROR_INIT;
    put(b, P "servers/s1/stage", "start");
    catch_up(b, &f);
    etcd_fixture_kill(b->fixture, 0);
    assert_int_equal(feed_fresh(b->feed, clock_mono_ms() + DEADLINE_MS, &s, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "state store"));
    assert_int_equal(feed_next(b->feed, f.revision, 100, &step, NULL), 0);
    assert_true(step.stale);
    assert_int_equal(step.revision, f.revision);
    feed_step_free(&step);
    assert_int_equal(etcd_fixture_restart(b->fixture, 0), 0);
    assert_true(etcd_fixture_leader(b->fixture, 20000) >= 0);
    put(b, P "servers/s2/stage", "start");
    catch_up(b, &f);
    assert_int_equal(f.wholes, 1);
    records_free(&f.records);
}

static void a_stop_sends_everybody_away(void **state)
{
    struct bench *b = *state;
    struct feed_step step;
    struct feed_state *s = NULL;
    feed_state_unref(fresh(b));
    feed_stop(b->feed);
    assert_int_equal(feed_next(b->feed, 0, DEADLINE_MS, &step, NULL), ERR_UNAVAILABLE);
    assert_int_equal(feed_fresh(b->feed, clock_mono_ms() + DEADLINE_MS, &s, NULL), ERR_UNAVAILABLE);
}

#define BENCH_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(a_fresh_look_sees_what_was_just_written),
        BENCH_TEST(steps_lead_to_what_is_there),
        BENCH_TEST(nobody_is_led_on_from_a_revision_that_never_was),
        BENCH_TEST(checks_are_counted),
        BENCH_TEST(a_waiting_one_is_woken),
        BENCH_TEST(a_store_that_is_away_is_told),
        BENCH_TEST(a_stop_sends_everybody_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
