/* What stands in for the proofs that need the datastore itself, over real API servers: s1 writes with key2
 * and reads key1, s2 writes with key1 and reads key2, s3 knows key1 alone. The jobs get no client of the
 * datastore; the test has one, to put values there and to look. */
#include "bench.h"

#include <string.h>

#include <apiserver_fixture.h>
#include <base/text.h>

#define SECRETS  "/registry/secrets/"
#define CANARIES SECRETS "kube-system/secrets-encrypt-canary-"
#define MANY     45

static struct apifix *fixture;
static struct etcd *etcd;
static struct config config = {.datastore_prefix = "/registry",
                               .canaries = "on",
                               .canary_namespace = "kube-system",
                               .reencrypt_in_flight = 8,
                               .reencrypt_page = 7}; /* so that there are pages */

static const char *const orders[] = {"21", "12", "1"};

static struct job_options *options(enum job_kind kind, const char *which)
{
    struct job_options *o = bench_options(kind, &config, NULL, "21");
    static const char *const names[] = {"s1", "s2", "s3"};
    bench_subject(o, "key2");
    for (const char *c = which; *c; c++)
        bench_server(o, names[*c - '1'], apifix_url(fixture, (size_t)(*c - '1')));
    o->spec.not_raw = true;
    o->unpaced = true;
    o->leadership = 5; /* a fence would be taken in the datastore */
    return o;
}

static struct job_options *scan(enum phase phase, const char *which)
{
    struct job_options *o = options(JOB_SCAN, which);
    o->proof.phase = phase;
    return o;
}

static void must_be(const struct cluster_proof *p, enum proof_state want, const char *method)
{
    if (p->state != want)
        fail_msg("the proof is %d, not %d: %s", (int)p->state, (int)want, p->why);
    assert_string_equal(p->method, method);
}

/* A Secret as it is stored; `type` and data are what the server lets pass at its next update, or not. */
static void put(const char *key, const char *name, const char *type)
{
    char path[128], object[512];
    snprintf(path, sizeof(path), "default/%s", name);
    snprintf(
        object, sizeof(object),
        "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"default\","
        "\"uid\":\"1a2b3c4d-0000-4000-8000-000000000000\",\"creationTimestamp\":\"2024-01-01T00:00:00Z\"},"
        "\"data\":{\"a\":\"YQ==\"},\"type\":\"%s\"}",
        name, type);
    bench_put(etcd, key[3] == '3' ? "3" : "21", key, path, object);
}

static void put_many(const char *key)
{
    for (int i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof(name), "many-%03d", i);
        put(key, name, "Opaque");
    }
}

static int under(const char *key)
{
    char head[64];
    snprintf(head, sizeof(head), "k8s:enc:aescbc:v1:%s:", key);
    return apifix_count(fixture, SECRETS, head);
}

static int64_t keys(const char *prefix)
{
    struct etcd_range r = {0};
    struct etcd_range_options o = {.prefix = prefix, .count_only = true};
    must(etcd_list(etcd, &o, 5000, &r, &err));
    int64_t n = r.total;
    etcd_range_free(&r);
    return n;
}

static int each_teardown(void **state)
{
    (void)state;
    config.canaries = "on";
    assert_int_equal(keys(CANARIES), 0); /* whatever was proved: nothing stays */
    must(etcd_delete(etcd, SECRETS, true, 5000, NULL, &err));
    assert_int_equal(keys("/registry/secrets-encrypt/"), 0); /* no fence */
    return 0;
}

/* ---------- before anything is issued, and in the end ---------- */

static void everything_is_listed_through_every_server(void **state)
{
    (void)state;
    struct cluster_proof p;
    put_many("key1");
    bench_run(options(JOB_OPENS, "123"), &p, NULL);
    must_be(&p, PROOF_MADE, "list");
    assert_contains(p.why, "the datastore cannot be read raw");
    assert_true(p.values >= MANY);
    assert_int_equal(p.servers_count, 3);
    bench_run(options(JOB_READABLE, "123"), &p, NULL);
    must_be(&p, PROOF_MADE, "list");
    assert_contains(p.why, "not made by canary");
    bench_run(scan(PHASE_FINAL, "123"), &p, NULL);
    must_be(&p, PROOF_MADE, "list");
    assert_contains(p.why, "values cannot be counted by key");
    put("key2", "two", "Opaque"); /* s3 cannot read it */
    static const enum job_kind kinds[] = {JOB_OPENS, JOB_READABLE};
    for (size_t i = 0; i < array_len(kinds); i++) {
        bench_run(options(kinds[i], "123"), &p, NULL);
        must_be(&p, PROOF_FAILED, "list");
        assert_contains(p.why, "s3: listing every one of secrets: 500");
        assert_int_equal(p.servers[0].state, PROOF_MADE);
    }
    bench_run(scan(PHASE_FINAL, "123"), &p, NULL);
    must_be(&p, PROOF_FAILED, "list");
}

/* A permission that somebody took away is no evidence that a key is missing: no key is brought back for it.
 */
static void a_login_that_may_not_is_no_evidence_in_the_end(void **state)
{
    (void)state;
    struct cluster_proof p;
    assert_true(apifix_write(fixture, "wrong.token", "0123456789"));
    config.kube_token_file = (char *)apifix_path(fixture, "wrong.token");
    bench_run(scan(PHASE_FINAL, "1"), &p, NULL);
    config.kube_token_file = (char *)apifix_path(fixture, "admin.token");
    must_be(&p, PROOF_UNMADE, "list");
    assert_contains(p.why, "does not accept the coordinator's login");
}

/* ---------- written ---------- */

static void what_one_server_writes_every_other_one_reads(void **state)
{
    (void)state;
    struct cluster_proof p;
    bench_put(etcd, "21", "key1", "kube-system/secrets-encrypt-canary-00000000-1",
              "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"secrets-encrypt-canary-"
              "00000000-1\","
              "\"namespace\":\"kube-system\"}}"); /* left behind */
    bench_run(options(JOB_WRITTEN, "11"), &p, NULL);
    must_be(&p, PROOF_MADE, "read");
    assert_contains(p.why, "all write under one key");
    assert_int_equal(p.values, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(p.servers[i].state, PROOF_MADE);
    assert_int_equal(p.revision, 0);
    bench_run(options(JOB_WRITTEN, "1"), &p, NULL); /* nobody else is there */
    must_be(&p, PROOF_MADE, "read");
}

/* It reads the new key, its file and its start look right, and it writes with the old one. */
static void servers_that_write_under_different_keys_are_named(void **state)
{
    (void)state;
    struct cluster_proof p;
    bench_run(options(JOB_WRITTEN, "12"), &p, NULL);
    must_be(&p, PROOF_FAILED, "read");
    assert_contains(p.why, "s1 and s2 write under different keys");
}

static void a_server_that_cannot_read_what_another_writes_is_named(void **state)
{
    (void)state;
    struct cluster_proof p;
    bench_run(options(JOB_WRITTEN, "13"), &p, NULL);
    must_be(&p, PROOF_FAILED, "read");
    assert_contains(p.why, "s3 cannot read what s1 writes (500");
    assert_int_equal(p.servers[0].state, PROOF_FAILED);
    assert_int_equal(p.servers[1].state, PROOF_FAILED); /* what s3 writes s1 reads, and writes otherwise */
}

static void a_stopped_job_leaves_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct job *j = bench_start(options(JOB_WRITTEN, "11"));
        sleep_ms(i * 15);
        job_free(j);
        assert_int_equal(keys(CANARIES), 0);
    }
}

static void without_canaries_it_is_listed_and_no_count_is_promised(void **state)
{
    (void)state;
    struct cluster_proof p;
    config.canaries = "off";
    bench_run(options(JOB_WRITTEN, "12"), &p, NULL);
    must_be(&p, PROOF_MADE, "list");
    assert_contains(p.why, "canaries are off");
    assert_null(strstr(p.why, "scan"));
}

/* ---------- gone ---------- */

static void every_object_is_rewritten_twice(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct cluster_reencrypt r;
    put_many("key1");
    bench_run(scan(PHASE_VERIFY, "1"), &p, &r); /* no record of a first pass: both are made */
    must_be(&p, PROOF_MADE, "list");
    assert_contains(p.why,
                    "every object was rewritten twice without a failure and is listed by every server");
    assert_int_equal(r.state, REENCRYPT_ENDED);
    assert_int_equal(r.failed, 0);
    assert_true(r.done >= MANY);
    assert_string_equal(r.engine, "api");
    assert_int_equal(r.scan_revision, 0);
    assert_int_equal(under("key1"), 0);
    assert_true(under("key2") >= MANY);
}

/* The first pass stands in the record: what came under the old key since is met by the second one. */
static void the_second_pass_is_made_over_a_fresh_list(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct cluster_reencrypt r;
    struct job_options *o = scan(PHASE_VERIFY, "1");
    put("key1", "late", "Opaque");
    o->rewritten_before = true;
    o->so_far.state = REENCRYPT_ENDED;
    o->so_far.done = 12345;
    bench_run(o, &p, &r);
    must_be(&p, PROOF_MADE, "list");
    assert_int_equal(under("key1"), 0);
    assert_true(r.done < 12345); /* counted anew */
}

static void one_failure_of_the_first_pass_is_evidence(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct job_options *o = scan(PHASE_VERIFY, "1");
    put("key1", "late", "Opaque");
    o->rewritten_before = true;
    o->so_far =
        (struct cluster_reencrypt){.state = REENCRYPT_ENDED, .done = 9, .failed = 1, .failures_count = 1};
    text_copy(o->so_far.failures[0].object, sizeof(o->so_far.failures[0].object), "secrets/a/b");
    text_copy(o->so_far.failures[0].why, sizeof(o->so_far.failures[0].why), "403 denied by a webhook");
    bench_run(o, &p, NULL);
    must_be(&p, PROOF_FAILED, "list");
    assert_contains(p.why,
                    "1 of 9 objects could not be rewritten in the first pass: secrets/a/b: 403 denied");
    assert_int_equal(under("key1"), 1); /* nothing more was done */
}

static void an_object_that_cannot_be_rewritten_is_named(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct cluster_reencrypt r;
    put_many("key1");
    put("key1", "invalid", "kubernetes.io/dockercfg"); /* without what that type must have */
    bench_run(scan(PHASE_VERIFY, "1"), &p, &r);
    must_be(&p, PROOF_FAILED, "list");
    assert_contains(p.why, "1 of ");
    assert_contains(p.why, "secrets/default/invalid: ");
    assert_contains(p.why, "422");
    assert_int_equal(r.failed, 1);
    assert_int_equal(under("key1"), 1);
}

/* What no server reads is not passed over: the list fails, or the patch does. */
static void a_value_that_does_not_open_is_evidence(void **state)
{
    (void)state;
    struct cluster_proof p;
    put("key3", "lost", "Opaque");
    bench_run(scan(PHASE_VERIFY, "1"), &p, NULL);
    if (p.state == PROOF_MADE)
        fail_msg("made: %s", p.why);
}

static bool start_all(void)
{
    for (size_t i = 0; i < APIFIX_SERVERS; i++)
        if (!apifix_start(fixture, i, bench_encryption(orders[i])))
            return false;
    return true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(everything_is_listed_through_every_server, each_teardown),
        cmocka_unit_test_teardown(a_login_that_may_not_is_no_evidence_in_the_end, each_teardown),
        cmocka_unit_test_teardown(what_one_server_writes_every_other_one_reads, each_teardown),
        cmocka_unit_test_teardown(a_server_that_cannot_read_what_another_writes_is_named, each_teardown),
        cmocka_unit_test_teardown(servers_that_write_under_different_keys_are_named, each_teardown),
        cmocka_unit_test_teardown(a_stopped_job_leaves_nothing, each_teardown),
        cmocka_unit_test_teardown(without_canaries_it_is_listed_and_no_count_is_promised, each_teardown),
        cmocka_unit_test_teardown(every_object_is_rewritten_twice, each_teardown),
        cmocka_unit_test_teardown(the_second_pass_is_made_over_a_fresh_list, each_teardown),
        cmocka_unit_test_teardown(one_failure_of_the_first_pass_is_evidence, each_teardown),
        cmocka_unit_test_teardown(an_object_that_cannot_be_rewritten_is_named, each_teardown),
        cmocka_unit_test_teardown(a_value_that_does_not_open_is_evidence, each_teardown),
    };
    int failed = 1;
    fixture = apifix_new();
    if (fixture && start_all()) {
        const char *endpoints[] = {apifix_etcd_url(fixture)};
        struct etcd_options o = {.endpoints = endpoints, .endpoints_count = 1};
        config.kube_ca_file = (char *)apifix_path(fixture, "ca.pem");
        config.kube_token_file = (char *)apifix_path(fixture, "admin.token");
        if (etcd_open(&o, &etcd, NULL) == 0)
            failed = cmocka_run_group_tests(tests, NULL, NULL);
    }
    etcd_close(etcd);
    apifix_free(fixture);
    return failed;
}
