#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>
#include <cluster/snapshot.h>

#define P "/secrets-encrypt/demo/"
#define SPEC                                                                                                 \
    "{\"servers\":[{\"name\":\"s1\",\"api\":\"https://a\"},{\"name\":\"s2\",\"api\":\"https://"              \
    "b\"}],\"resources\":[\"secrets\"]}"

static struct snapshot_input in(const char *key, const char *body, int64_t create)
{
    return (struct snapshot_input){.key = key,
                                   .body = body,
                                   .len = body ? strlen(body) : 0,
                                   .create_revision = create,
                                   .mod_revision = create};
}

static struct cluster_snapshot *build(const struct snapshot_input *inputs, size_t count)
{
    struct cluster_snapshot *s = calloc(1, sizeof(*s));
    struct error err = ERROR_INIT;
    if (snapshot_build("demo", 50, 1000, inputs, count, s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

static void servers_in_spec_order_with_strangers_last(void **state)
{
    (void)state;
    const struct snapshot_input inputs[] = {
        in(P "leader/candidates/s2", "x", 2),
        in(P "leader/holder", "s1", 9),
        in(P "servers/s1/hash", "start-h", 3),
        in(P "servers/s1/report", "{\"server\":\"s1\",\"hash\":\"h\"}", 3),
        in(P "servers/s1/stage", "start", 3),
        in(P "servers/a4/report", "{\"server\":\"a4\"}", 4),
        in(P "spec", SPEC, 5),
    };
    struct cluster_snapshot *s = build(inputs, array_len(inputs));
    assert_int_equal(s->servers_count, 3);
    assert_string_equal(s->servers[0].name, "s1");
    assert_true(s->servers[0].reports && s->servers[0].in_spec && !s->servers[0].plain_keys_differ);
    assert_false(s->servers[1].reports);
    assert_non_null(strstr(s->servers[1].report_why, "silent"));
    assert_string_equal(s->servers[2].name, "a4");
    assert_false(s->servers[2].in_spec);
    assert_string_equal(s->leader, "s1");
    assert_int_equal(s->leader_fence, 9);
    assert_string_equal(s->candidates[0], "s2");
    free(s);
}

static void forged_and_lying_reports_count_as_none(void **state)
{
    (void)state;
    const struct snapshot_input inputs[] = {
        in(P "servers/s1/hash", "rotate-h", 3),
        in(P "servers/s1/report", "{\"server\":\"s1\",\"hash\":\"h\"}", 3),
        in(P "servers/s1/stage", "start", 3),
        in(P "servers/s2/report", NULL, 3),
        in(P "servers/s3/report", "{\"server\":\"s1\"}", 3),
        in(P "spec", SPEC, 5),
    };
    struct cluster_snapshot *s = build(inputs, array_len(inputs));
    assert_true(s->servers[0].plain_keys_differ);
    assert_false(s->servers[1].reports);
    assert_non_null(strstr(s->servers[1].report_why, "not signed"));
    assert_false(s->servers[2].reports);
    assert_non_null(strstr(s->servers[2].report_why, "another server"));
    free(s);
}

static void forged_rotation_spec_or_bundle_stops_everything(void **state)
{
    (void)state;
    static const char *const keys[] = {P "rotation", P "spec", P "bundles/00000000000000000001"};
    for (size_t i = 0; i < array_len(keys); i++) {
        const struct snapshot_input one = in(keys[i], NULL, 3);
        const struct snapshot_input nonsense = in(keys[i], "{\"stage\":5,\"servers\":5}", 3);
        struct cluster_snapshot *s = calloc(1, sizeof(*s));
        struct error err = ERROR_INIT;
        assert_int_equal(snapshot_build("demo", 50, 1000, &one, 1, s, &err), ERR_DENIED);
        assert_non_null(strstr(err.text, keys[i]));
        assert_int_equal(snapshot_build("demo", 50, 1000, &nonsense, 1, s, &err), ERR_INVALID);
        free(s);
    }
}

static void requests_oldest_first_and_answered_ones_left_out(void **state)
{
    (void)state;
    const struct snapshot_input inputs[] = {
        in(P "requests/a", "{\"id\":\"a\"}", 30),
        in(P "requests/b", "{\"id\":\"b\"}", 10),
        in(P "requests/c", "{\"id\":\"c\",\"answer\":\"refused\"}", 5),
        in(P "requests/d", "{\"id\":\"other\"}", 4),
        in(P "requests/e", NULL, 3),
    };
    struct cluster_snapshot *s = build(inputs, array_len(inputs));
    assert_int_equal(s->requests_count, 2);
    assert_string_equal(s->requests[0].request.id, "b");
    assert_string_equal(s->requests[1].request.id, "a");
    free(s);
}

static void a_flood_of_requests_keeps_the_oldest(void **state)
{
    (void)state;
    static struct snapshot_input inputs[100];
    static char keys[100][64], bodies[100][64];
    for (size_t i = 0; i < 100; i++) {
        snprintf(keys[i], sizeof(keys[i]), P "requests/r%03zu", i);
        snprintf(bodies[i], sizeof(bodies[i]), "{\"id\":\"r%03zu\"}", i);
        inputs[i] = in(keys[i], bodies[i], 1000 - (int64_t)i);
    }
    struct cluster_snapshot *s = build(inputs, 100);
    assert_int_equal(s->requests_count, SNAPSHOT_REQUESTS_MAX);
    assert_string_equal(s->requests[0].request.id, "r099");
    assert_string_equal(s->requests[SNAPSHOT_REQUESTS_MAX - 1].request.id, "r084");
    free(s);
}

static void the_newest_bundles_are_kept(void **state)
{
    (void)state;
    enum { N = SNAPSHOT_BUNDLES_MAX + 10 };
    static struct snapshot_input inputs[N];
    static char keys[N][CLUSTER_KEY_PATH_MAX], bodies[N][80];
    for (int i = 0; i < N; i++) {
        cluster_bundle_path(keys[i], "demo", i + 1);
        snprintf(bodies[i], sizeof(bodies[i]), "{\"generation\":%d,\"box\":{}}", i + 1);
        inputs[i] = in(keys[i], bodies[i], i);
    }
    struct cluster_snapshot *s = build(inputs, N);
    assert_int_equal(s->bundles_count, SNAPSHOT_BUNDLES_MAX);
    assert_null(snapshot_bundle(s, 10));
    assert_non_null(snapshot_bundle(s, N));
    free(s);
}

#define OP(id) "{\"op\":{\"id\":\"" id "\"}}"
#define PROOFS                                                                                               \
    "{\"operation\":\"o-1\",\"proofs\":[{\"phase\":\"readable\",\"step\":3,\"state\":\"made\"},"             \
    "{\"phase\":\"drop\",\"step\":9,\"state\":\"running\",\"revision\":77}]}"

static void proofs_count_for_their_own_operation_only(void **state)
{
    (void)state;
    /* whichever of the two records comes first */
    const struct snapshot_input own[] = {in(P "proofs", PROOFS, 4), in(P "rotation", OP("o-1"), 5)};
    struct cluster_snapshot *s = build(own, 2);
    assert_true(s->has_proofs);
    assert_int_equal(snapshot_proof(s, PHASE_READABLE)->step, 3);
    assert_int_equal(snapshot_proof(s, PHASE_DROP)->revision, 77);
    assert_null(snapshot_proof(s, PHASE_FINAL));
    free(s);
    const struct snapshot_input reversed[] = {own[1], own[0]};
    s = build(reversed, 2);
    assert_true(s->has_proofs);
    free(s);
    const struct snapshot_input others[] = {in(P "proofs", PROOFS, 4), in(P "rotation", OP("o-2"), 5)};
    s = build(others, 2);
    assert_false(s->has_proofs);
    assert_null(snapshot_proof(s, PHASE_READABLE));
    free(s);
    s = build(own, 1); /* no rotation at all */
    assert_false(s->has_proofs);
    free(s);
}

static void forged_proofs_prove_nothing(void **state)
{
    (void)state;
    const struct snapshot_input forged[] = {in(P "proofs", NULL, 4), in(P "keys", NULL, 4),
                                            in(P "rotation", OP("o-1"), 5)};
    const struct snapshot_input nonsense[] = {
        in(P "proofs", "{\"operation\":\"o-1\",\"proofs\":[{\"state\":\"trust me\"}]}", 4),
        in(P "keys", "{\"keys\":5}", 4), in(P "rotation", OP("o-1"), 5)};
    struct cluster_snapshot *s = build(forged, 3);
    assert_false(s->has_proofs || s->has_keys);
    assert_null(snapshot_proof(s, PHASE_READABLE));
    free(s);
    s = build(nonsense, 3);
    assert_false(s->has_proofs || s->has_keys);
    assert_null(snapshot_proof(s, PHASE_READABLE));
    free(s);
}

static void keys_and_escrow_are_listed(void **state)
{
    (void)state;
    const struct snapshot_input inputs[] = {
        in(P "escrow/aescbc-00", "{\"provider\":\"aescbc\",\"name\":\"a/b\",\"until_ms\":9,\"box\":{}}", 4),
        in(P "escrow/aescbc-01", NULL, 4),                        /* forged */
        in(P "escrow/aescbc-02", "{\"provider\":\"aescbc\"}", 4), /* no box */
        in(P "escrow/aescbc-03", "{\"provider\":\"secretbox\",\"name\":\"k\",\"box\":{}}", 4),
        in(P "keys", "{\"keys\":[{\"provider\":\"aescbc\",\"name\":\"k\",\"state\":\"active\"}]}", 4),
    };
    struct cluster_snapshot *s = build(inputs, array_len(inputs));
    assert_int_equal(s->escrow_count, 2);
    assert_string_equal(s->escrow[0].provider, "aescbc");
    assert_string_equal(s->escrow[0].name, "a/b");
    assert_int_equal(s->escrow[0].until_ms, 9);
    assert_string_equal(s->escrow[1].provider, "secretbox");
    assert_true(s->has_keys);
    assert_int_equal(s->keys.keys_count, 1);
    assert_int_equal(s->keys.keys[0].state, KEY_ACTIVE);
    assert_string_equal(s->unknown_api, "");
    free(s);
}

static void a_flood_of_escrow_is_bounded(void **state)
{
    (void)state;
    enum { N = SNAPSHOT_ESCROW_MAX + 10 };
    static struct snapshot_input inputs[N];
    static char keys[N][64], bodies[N][80];
    for (int i = 0; i < N; i++) {
        snprintf(keys[i], sizeof(keys[i]), P "escrow/aescbc-%03d", i);
        snprintf(bodies[i], sizeof(bodies[i]), "{\"name\":\"k%03d\",\"box\":{}}", i);
        inputs[i] = in(keys[i], bodies[i], i);
    }
    struct cluster_snapshot *s = build(inputs, N);
    assert_int_equal(s->escrow_count, SNAPSHOT_ESCROW_MAX);
    char last[16];
    snprintf(last, sizeof(last), "k%03d", SNAPSHOT_ESCROW_MAX - 1);
    assert_string_equal(s->escrow[SNAPSHOT_ESCROW_MAX - 1].name, last);
    free(s);
}

/* How old a report is, is told by its revision: of each that is there, a forged one too. */
static void reports_carry_their_revision(void **state)
{
    (void)state;
    struct snapshot_input inputs[] = {
        in(P "orders/s2", "{\"id\":1}", 33),
        in(P "servers/s1/report", "{\"server\":\"s1\"}", 21),
        in(P "servers/s2/report", NULL, 22),
        in(P "spec", SPEC, 5),
    };
    inputs[1].mod_revision = 44;
    struct cluster_snapshot *s = build(inputs, array_len(inputs));
    assert_int_equal(s->servers[0].report_mod, 44);
    assert_int_equal(s->servers[0].order_mod, 0);
    assert_int_equal(s->servers[1].report_mod, 22);
    assert_int_equal(s->servers[1].order_mod, 33);
    assert_int_equal(s->servers[0].unchanged_ms, 0);
    free(s);
}

static void a_bundle_says_whether_it_has_a_vector(void **state)
{
    (void)state;
    const struct snapshot_input inputs[] = {
        in(P "bundles/00000000000000000001", "{\"generation\":1,\"box\":{}}", 4),
        in(P "bundles/00000000000000000002", "{\"generation\":2,\"vector\":\"azhz\",\"box\":{}}", 4),
    };
    struct cluster_snapshot *s = build(inputs, array_len(inputs));
    assert_false(snapshot_bundle(s, 1)->has_vector);
    assert_true(snapshot_bundle(s, 2)->has_vector);
    free(s);
}

static void verdict_on_hashes(void **state)
{
    (void)state;
    char why[CLUSTER_TEXT_MAX];
    struct cluster_snapshot *s = calloc(1, sizeof(*s));
    assert_false(snapshot_hashes_match(s, why));
    s->servers_count = 3;
    for (size_t i = 0; i < 3; i++) {
        struct snapshot_server *v = &s->servers[i];
        snprintf(v->name, sizeof(v->name), "node-%zu", i + 1);
        v->in_spec = v->reports = true;
        text_copy(v->report.hash, sizeof(v->report.hash), "h");
    }
    assert_true(snapshot_hashes_match(s, why));
    /* what a server without an API server has is published nowhere */
    s->spec.servers_count = 3;
    s->spec.servers[0].role = ROLE_ETCD;
    s->spec.servers[1].role = ROLE_CONTROL_PLANE;
    s->servers[0].report.stage = STAGE_PREPARE;
    assert_true(snapshot_hashes_match(s, why));
    assert_int_equal(snapshot_first_api(s), 1);
    s->servers[2].report.stage = STAGE_PREPARE;
    assert_false(snapshot_hashes_match(s, why));
    assert_string_equal(why, "hash does not match between node-2 and node-3");
    s->servers[0].report.stage = s->servers[2].report.stage = STAGE_START;
    s->spec.servers_count = 0;
    assert_int_equal(snapshot_first_api(s), 0);
    s->servers[2].reports = false;
    assert_false(snapshot_hashes_match(s, why));
    assert_string_equal(why, "missing hash on node-3");
    s->servers[1].report.stage = STAGE_ROTATE;
    assert_false(snapshot_hashes_match(s, why));
    assert_string_equal(why, "hash does not match between node-1 and node-2");
    free(s);
}

/* One that cannot be read may be somebody's: nothing starts beside it either. */
static void a_lock_is_a_lock(void **state)
{
    (void)state;
    const struct snapshot_input good[] = {
        in(P "spec", SPEC, 5), in(P "lock", "{\"id\":\"0a\",\"holder\":\"ops@jump\",\"ttl_s\":60}", 6)};
    const struct snapshot_input bad[] = {in(P "spec", SPEC, 5), in(P "lock", NULL, 7)};
    const struct snapshot_input audit[] = {in(P "~audit/1700000000000-00c0ffee", NULL, 7)};
    struct cluster_snapshot *s = build(good, array_len(good));
    assert_true(s->has_lock);
    assert_string_equal(s->lock.holder, "ops@jump");
    assert_int_equal(s->lock_mod, 6);
    assert_int_equal(snapshot_refresh("demo", 51, 1000, bad, array_len(bad), s, NULL), 0);
    assert_true(s->has_lock);
    assert_string_equal(s->lock.holder, "?");
    assert_string_equal(s->lock.id, "");
    assert_int_equal(snapshot_refresh("demo", 52, 1000, good, 1, s, NULL), 0);
    assert_false(s->has_lock);
    assert_int_equal(s->lock_mod, 0);
    assert_int_equal(snapshot_refresh("demo", 53, 1000, audit, 1, s, NULL), 0); /* history is no part of it */
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_is_a_lock),
        cmocka_unit_test(servers_in_spec_order_with_strangers_last),
        cmocka_unit_test(forged_and_lying_reports_count_as_none),
        cmocka_unit_test(forged_rotation_spec_or_bundle_stops_everything),
        cmocka_unit_test(requests_oldest_first_and_answered_ones_left_out),
        cmocka_unit_test(a_flood_of_requests_keeps_the_oldest),
        cmocka_unit_test(the_newest_bundles_are_kept),
        cmocka_unit_test(proofs_count_for_their_own_operation_only),
        cmocka_unit_test(forged_proofs_prove_nothing),
        cmocka_unit_test(keys_and_escrow_are_listed),
        cmocka_unit_test(a_flood_of_escrow_is_bounded),
        cmocka_unit_test(reports_carry_their_revision),
        cmocka_unit_test(a_bundle_says_whether_it_has_a_vector),
        cmocka_unit_test(verdict_on_hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
