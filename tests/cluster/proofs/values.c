/* The proofs that read the datastore alone, against a real etcd: what stands under which key, whether it
 * opens, and what is written meanwhile. */
#include "bench.h"

#include <string.h>

#include <base/clock.h>
#include <base/text.h>
#include <etcd_fixture.h>

#include "proofs/apiservers.h"

static struct etcd_fixture *fixture;
static struct etcd *etcd;
static struct config config = {.datastore_prefix = "/registry",
                               .canaries = "on",
                               .canary_namespace = "kube-system",
                               .snapshot_dir = "",
                               .snapshot_keep = 2};

static int each_setup(void **state)
{
    (void)state;
    must(etcd_delete(etcd, "/registry/", true, 5000, NULL, &err));
    return 0;
}

/* ---------- the scan ---------- */

static void scan_counts_what_is_not_to_stay(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct cluster_reencrypt *r = calloc(1, sizeof(*r));
    struct job_options *o = bench_options(JOB_SCAN, &config, etcd, "21");
    bench_put(etcd, "21", "key2", "a/1", OBJECT);
    bench_put(etcd, "21", "key1", "a/2", OBJECT);
    bench_put(etcd, "21", "key2", "a/3", OBJECT);
    bench_put(etcd, "3", "key3", "a/4", OBJECT); /* a key that the job does not know */
    bench_put(etcd, "21", "", "a/5", OBJECT);
    must(etcd_put(etcd, "/registry/secrets/a/6", "k8s:enc:aescbc:v9:x", 19, 0, 5000, NULL, &err));
    bench_keep(o, "key2");
    o->so_far.state = REENCRYPT_ENDED;
    bench_run(o, &p, r);
    assert_int_equal(p.state, PROOF_FAILED);
    assert_contains(p.why, "4 of 6 values at revision");
    assert_contains(p.why, "are not under aescbc:key2; first: /registry/secrets/a/2: under aescbc:key1");
    assert_string_equal(p.method, "scan");
    assert_int_equal(p.values, 6);
    assert_int_equal(r->state, REENCRYPT_ENDED); /* the rewriting's own */
    assert_int_equal(r->scan_values, 6);
    assert_int_equal(r->scan_stale, 4);
    assert_int_equal(r->scan_plain, 1);
    assert_int_equal(r->scan_revision, p.revision);
    assert_true(p.revision > 0);
    assert_int_equal(r->keys_count, 5);
    free(r);
}

static void scan_is_made_when_all_may_stay(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct job_options *o = bench_options(JOB_SCAN, &config, etcd, "21");
    must(etcd_put(etcd, "/registry/secrets/a/5", "{}", 2, 0, 5000, NULL, &err));
    for (int i = 0; i < 1203; i++) { /* three pages */
        char path[64];
        snprintf(path, sizeof(path), "/registry/secrets/b/%d", i);
        must(etcd_put(etcd, path, "k8s:enc:aescbc:v1:key2:body", 27, 0, 5000, NULL, &err));
    }
    bench_keep(o, "key2");
    bench_keep(o, "");
    bench_run(o, &p, NULL);
    if (p.state != PROOF_MADE)
        fail_msg("%s", p.why);
    assert_int_equal(p.values, 1204);
}

static void scan_of_an_empty_datastore_proves_nothing_when_objects_were_listed(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct job_options *o = bench_options(JOB_SCAN, &config, etcd, "21");
    bench_keep(o, "key2");
    o->so_far.done = 3;
    bench_run(o, &p, NULL);
    assert_int_equal(p.state, PROOF_FAILED);
    assert_contains(p.why, "check datastore.endpoints");
}

/* ---------- opens ---------- */

static void opens_when_every_value_does(void **state)
{
    (void)state;
    struct cluster_proof p;
    bench_put(etcd, "21", "key2", "a/1", OBJECT);
    bench_put(etcd, "21", "key1", "a/2", OBJECT);
    bench_put(etcd, "21", "", "a/3", OBJECT);
    bench_run(bench_options(JOB_OPENS, &config, etcd, "21"), &p, NULL);
    if (p.state != PROOF_MADE)
        fail_msg("%s", p.why);
    assert_int_equal(p.values, 3);
    assert_true(p.revision > 0);
}

static void opens_names_a_value_under_an_unknown_key(void **state)
{
    (void)state;
    struct cluster_proof p;
    bench_put(etcd, "21", "key2", "a/1", OBJECT);
    bench_put(etcd, "3", "key3", "a/2", OBJECT);
    bench_put(etcd, "3", "key3", "a/3", OBJECT);
    bench_run(bench_options(JOB_OPENS, &config, etcd, "21"), &p, NULL);
    assert_int_equal(p.state, PROOF_FAILED);
    assert_contains(p.why, "2 of 3 stored values at revision");
    assert_contains(p.why, "/registry/secrets/a/2 (under aescbc:key3): ");
}

static void opens_refuses_plain_values_where_the_config_does(void **state)
{
    (void)state;
    struct cluster_proof p;
    bench_put(etcd, "21", "", "a/1", OBJECT);
    bench_run(bench_options(JOB_OPENS, &config, etcd, "21!"), &p, NULL);
    assert_int_equal(p.state, PROOF_FAILED);
    assert_contains(p.why, "/registry/secrets/a/1 (under plain)");
}

/* A config in which key1 is another key than in bench_encryption. */
static struct encryption_config *other_key1(void)
{
    return bench_parse(
        "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\","
        "\"resources\":[{\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"keys\":["
        "{\"name\":\"key1\",\"secret\":\"enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6eno=\"}]}}]}]}");
}

/* One sealed value in 256 passes the padding check under a key that it was not sealed with: take such a one.
 */
static void seal_so_that_padding_passes(struct buf *out)
{
    _cleanup_(encryption_config_freep) struct encryption_config *wrong = other_key1();
    _cleanup_(encryption_config_freep) struct encryption_config *right = bench_parse(bench_encryption("1"));
    for (int i = 0; i < 20000; i++) {
        _cleanup_(secret_freep) struct secret *plain = NULL;
        buf_reset(out);
        must(envelope_encrypt(wrong, "secrets", "/registry/secrets/a/2", OBJECT, strlen(OBJECT), out, &err));
        if (envelope_decrypt(right, "secrets", "/registry/secrets/a/2", out->data, out->len, &plain, NULL) ==
            0)
            return;
    }
    fail_msg("no such value found");
}

static void opens_is_not_fooled_by_padding(void **state)
{
    (void)state;
    struct cluster_proof p;
    _cleanup_(buf_freep) struct buf value = BUF_INIT(4096);
    seal_so_that_padding_passes(&value);
    bench_put(etcd, "1", "key1", "a/1", OBJECT);
    must(etcd_put(etcd, "/registry/secrets/a/2", value.data, value.len, 0, 5000, NULL, &err));
    bench_run(bench_options(JOB_OPENS, &config, etcd, "1"), &p, NULL);
    assert_int_equal(p.state, PROOF_FAILED);
    assert_contains(p.why, "1 of 2 stored values");
    assert_contains(p.why, "/registry/secrets/a/2 (under aescbc:key1): what it decrypts to is no object");
}

/* ---------- the watch ---------- */

static struct job *start_watch(int64_t from_revision)
{
    struct job_options *o = bench_options(JOB_WATCH, &config, etcd, "21");
    bench_keep(o, "key2");
    o->from_revision = from_revision;
    return bench_start(o);
}

static void wait_watching(struct job *j, bool want, int timeout_ms)
{
    int64_t until = clock_mono_ms() + timeout_ms;
    while (job_watching(j) != want) {
        struct cluster_proof p;
        job_proof(j, &p);
        if (clock_mono_ms() > until || job_ended(j))
            fail_msg("watching is not %d after %d ms: %s", want, timeout_ms, p.why);
        sleep_ms(20);
    }
}

static void wait_revision(struct job *j, int64_t revision)
{
    int64_t until = clock_mono_ms() + 20000;
    struct cluster_proof p;
    do {
        sleep_ms(50);
        job_proof(j, &p);
        if (clock_mono_ms() > until)
            fail_msg("the watch has seen revision %ld, not %ld: %s", (long)p.revision, (long)revision, p.why);
    } while (p.revision < revision);
    assert_int_equal(p.state, PROOF_RUNNING);
    assert_string_equal(p.method, "watch");
}

static void watch_sees_a_stale_write(void **state)
{
    (void)state;
    struct cluster_proof p;
    char want[128];
    int64_t begin = bench_put(etcd, "21", "key2", "a/1", OBJECT);
    struct job *j = start_watch(begin + 1);
    wait_watching(j, true, 10000);
    wait_revision(j, bench_put(etcd, "21", "key2", "a/2", OBJECT) - 1);
    /* Where nothing is written, everything is read again after a while. */
    int64_t other = 0;
    must(etcd_put(etcd, "/registry/pods/x/y", "x", 1, 0, 5000, &other, &err));
    wait_revision(j, other);
    int64_t stale = bench_put(etcd, "21", "key1", "a/3", OBJECT);
    bench_end(j, 10000, &p, NULL);
    assert_int_equal(p.state, PROOF_FAILED);
    snprintf(
        want, sizeof(want),
        "secrets: /registry/secrets/a/3 was written under aescbc:key1 at revision %ld; it was written anew",
        (long)stale);
    assert_contains(p.why, want);
    /* Nobody has to read it under the key that goes. */
    struct etcd_range r = {0};
    must(etcd_get(etcd, "/registry/secrets/a/3", 5000, &r, &err));
    _cleanup_(encryption_config_freep) struct encryption_config *c = bench_parse(bench_encryption("2"));
    _cleanup_(secret_freep) struct secret *plain = NULL;
    must(envelope_decrypt(c, "secrets", r.kvs[0].key, r.kvs[0].value, r.kvs[0].value_len, &plain, &err));
    assert_int_equal(plain->len, strlen(OBJECT));
    assert_memory_equal(plain->data, OBJECT, plain->len);
    etcd_range_free(&r);
}

static void watch_sees_what_was_written_before_it_began(void **state)
{
    (void)state;
    struct cluster_proof p;
    int64_t begin = bench_put(etcd, "21", "key2", "a/1", OBJECT);
    bench_put(etcd, "21", "", "a/2", OBJECT);
    bench_end(start_watch(begin + 1), 10000, &p, NULL);
    assert_int_equal(p.state, PROOF_FAILED);
    assert_contains(p.why, "/registry/secrets/a/2 was written under plain at revision");
}

static void watch_reads_all_again_after_a_compaction(void **state)
{
    (void)state;
    struct cluster_proof p;
    int64_t begin = bench_put(etcd, "21", "key2", "a/1", OBJECT);
    bench_put(etcd, "21", "key2", "a/2", OBJECT);
    int64_t last = bench_put(etcd, "21", "key2", "a/3", OBJECT);
    must(etcd_compact(etcd, last, 5000, &err));
    struct job *j = start_watch(begin + 1); /* gone: what it wrote is found by reading all */
    wait_watching(j, true, 10000);
    wait_revision(j, last);
    job_free(j);
    last = bench_put(etcd, "21", "key1", "a/2", OBJECT);
    must(etcd_compact(etcd, bench_put(etcd, "21", "key2", "a/3", OBJECT), 5000, &err));
    bench_end(start_watch(begin + 1), 10000, &p, NULL);
    assert_int_equal(p.state, PROOF_FAILED);
    assert_contains(p.why, "/registry/secrets/a/2 was written under aescbc:key1");
}

static void watch_outlasts_an_etcd_that_goes_away(void **state)
{
    (void)state;
    struct cluster_proof p;
    int64_t begin = bench_put(etcd, "21", "key2", "a/1", OBJECT);
    struct job *j = start_watch(begin + 1);
    wait_watching(j, true, 10000);
    etcd_fixture_kill(fixture, 0);
    wait_watching(j, false, 20000);
    assert_false(job_ended(j));
    assert_int_equal(etcd_fixture_restart(fixture, 0), 0);
    wait_watching(j, true, 30000);
    bench_put(etcd, "21", "key1", "a/3", OBJECT);
    bench_end(j, 10000, &p, NULL);
    assert_int_equal(p.state, PROOF_FAILED);
}

static void watch_ends_when_it_is_told_to(void **state)
{
    (void)state;
    struct job *j = start_watch(bench_put(etcd, "21", "key2", "a/1", OBJECT) + 1);
    wait_watching(j, true, 10000);
    int64_t begin = clock_mono_ms();
    job_free(j);
    assert_true(clock_mono_ms() - begin < 2000);
}

/* ---------- unknown API servers ---------- */

static void lease_of(const char *address)
{
    char key[128];
    snprintf(key, sizeof(key), "/registry/masterleases/%s", address);
    must(etcd_put(etcd, key, "k8s", 3, 0, 5000, NULL, &err));
}

static void unknown_api_servers_are_named(void **state)
{
    (void)state;
    char why[CLUSTER_TEXT_MAX] = "x";
    struct config c = config;
    c.servers_count = 3;
    c.servers[0] = (struct config_server){.name = "s1", .api = "https://10.0.0.11:6443", .address = ""};
    c.servers[1] = (struct config_server){
        .name = "s2", .api = "https://load-balancer.invalid:6443", .address = "10.0.0.12"};
    c.servers[2] = (struct config_server){.name = "s3", .api = "https://[fd00::13]:6443", .address = ""};
    must(apiservers_unknown(etcd, &c, 5000, why, &err));
    assert_string_equal(why, ""); /* no records at all: the reconciler is off */
    lease_of("10.0.0.11");
    lease_of("10.0.0.12");
    lease_of("fd00:0:0:0:0:0:0:13");
    lease_of("127.0.0.1");
    must(apiservers_unknown(etcd, &c, 5000, why, &err));
    assert_string_equal(why, "");
    lease_of("10.0.0.14");
    must(apiservers_unknown(etcd, &c, 5000, why, &err));
    assert_contains(why, "10.0.0.14 is alive in the datastore (/registry/masterleases/10.0.0.14)");
    c.servers[1].address = "";
    c.servers[1].api = "https://localhost:6443";
    must(apiservers_unknown(etcd, &c, 5000, why, &err));
    assert_contains(why, "10.0.0.12, 10.0.0.14 are alive in the datastore");
}

/* ---------- the backup ---------- */

static void backup_is_a_proof(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct config c = config;
    char folder[128], want[160];
    snprintf(folder, sizeof(folder), "%s", etcd_fixture_path(fixture, "snapshots"));
    c.snapshot_dir = folder;
    bench_put(etcd, "21", "key2", "a/1", OBJECT);
    struct job_options *o = bench_options(JOB_BACKUP, &c, etcd, "21");
    snprintf(o->snapshot_name, sizeof(o->snapshot_name), "%s-before-rewrite.db", o->operation);
    snprintf(want, sizeof(want), "%s/%s, ", folder, o->snapshot_name);
    bench_run(o, &p, NULL);
    if (p.state != PROOF_MADE)
        fail_msg("%s", p.why);
    assert_string_equal(p.method, "snapshot");
    assert_true(p.revision > 0);
    assert_true(p.values > 0);
    assert_contains(p.why, want);
    assert_contains(p.why, " MiB, sha256 ");
}

static void backup_into_an_open_folder_is_refused(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct config c = config;
    c.snapshot_dir = "/tmp";
    struct job_options *o = bench_options(JOB_BACKUP, &c, etcd, "21");
    snprintf(o->snapshot_name, sizeof(o->snapshot_name), "%s-before-rewrite.db", o->operation);
    bench_run(o, &p, NULL);
    assert_int_equal(p.state, PROOF_FAILED);
    assert_contains(p.why, "/tmp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(scan_counts_what_is_not_to_stay, each_setup),
        cmocka_unit_test_setup(scan_is_made_when_all_may_stay, each_setup),
        cmocka_unit_test_setup(scan_of_an_empty_datastore_proves_nothing_when_objects_were_listed,
                               each_setup),
        cmocka_unit_test_setup(opens_when_every_value_does, each_setup),
        cmocka_unit_test_setup(opens_names_a_value_under_an_unknown_key, each_setup),
        cmocka_unit_test_setup(opens_refuses_plain_values_where_the_config_does, each_setup),
        cmocka_unit_test_setup(opens_is_not_fooled_by_padding, each_setup),
        cmocka_unit_test_setup(watch_sees_a_stale_write, each_setup),
        cmocka_unit_test_setup(watch_sees_what_was_written_before_it_began, each_setup),
        cmocka_unit_test_setup(watch_reads_all_again_after_a_compaction, each_setup),
        cmocka_unit_test_setup(watch_ends_when_it_is_told_to, each_setup),
        cmocka_unit_test_setup(unknown_api_servers_are_named, each_setup),
        cmocka_unit_test_setup(backup_is_a_proof, each_setup),
        cmocka_unit_test_setup(backup_into_an_open_folder_is_refused, each_setup),
        cmocka_unit_test_setup(watch_outlasts_an_etcd_that_goes_away, each_setup),
    };
    struct etcd_fixture_options options = {.members = 1};
    if (etcd_fixture_start(&options, &fixture) < 0)
        return 1;
    etcd = etcd_fixture_client(fixture);
    int failed = etcd ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
    etcd_close(etcd);
    etcd_fixture_free(fixture);
    return failed;
}
