/* The probes and the controller against two real API servers on one etcd. A job that watches the datastore
 * stands in for the rewrite. */
#include "bench.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <base/clock.h>

#include <apiserver_fixture.h>
#include <kindness/kindness.h>

#define PROBE  "/registry/secrets/kube-system/secrets-encrypt-canary-1a2b3c4d-probe"
#define NEVER  5000 /* objects a second that are never reached */
#define WAIT_S 60

static struct apifix *fix;
static struct etcd *datastore;
static struct config config = {.datastore_prefix = "/registry",
                               .datastore_quota = INT64_C(2) << 30,
                               .canaries = "on",
                               .canary_namespace = "kube-system"};
static char ca_file[256], token_file[256];

static int begin(void **state)
{
    (void)state;
    fix = apifix_new();
    if (!fix || !apifix_start(fix, 0, bench_encryption("1")) || !apifix_start(fix, 1, bench_encryption("1")))
        return -1;
    const char *endpoint = apifix_etcd_url(fix);
    struct etcd_options o = {.endpoints = &endpoint, .endpoints_count = 1};
    must(etcd_open(&o, &datastore, &err));
    snprintf(ca_file, sizeof(ca_file), "%s", apifix_path(fix, "ca.pem"));
    snprintf(token_file, sizeof(token_file), "%s", apifix_path(fix, "admin.token"));
    config.kube_ca_file = ca_file;
    config.kube_token_file = token_file;
    return 0;
}

static int finish(void **state)
{
    (void)state;
    etcd_close(datastore);
    apifix_free(fix);
    return 0;
}

static struct job *start_job(void)
{
    struct job_options *o = bench_options(JOB_WATCH, &config, datastore, "1");
    bench_keep(o, "key1");
    bench_server(o, "s1", apifix_url(fix, 0));
    bench_server(o, "s2", apifix_url(fix, 1));
    return bench_start(o);
}

static struct kindness *start(struct job *j)
{
    struct kindness *k = NULL;
    must(kindness_start(j, 1000, 1000 * 1000, &k, &err));
    return k;
}

static int probes_left(void)
{
    struct etcd_range r = {0};
    struct etcd_range_options o = {.prefix = "/registry/secrets/kube-system/secrets-encrypt-canary-",
                                   .keys_only = true};
    must(etcd_list(datastore, &o, 5000, &r, &err));
    int count = (int)r.count;
    etcd_range_free(&r);
    return count;
}

/* Waits until the rate is within [least, most]; `why` must then contain `part`. The engine is as quick as it
 * may be all the while. */
static void wait_for(struct kindness *k, double least, double most, const char *part)
{
    char why[CLUSTER_TEXT_MAX];
    double rate = -1;
    for (int i = 0; i < WAIT_S * 20; i++) {
        kindness_waited(k);
        kindness_wrote(k, 5, false);
        rate = kindness_rate(k);
        kindness_why(k, why);
        if (rate >= least && rate <= most && strstr(why, part))
            return;
        sleep_ms(50);
    }
    fail_msg("within %d s the rate did not come to %.0f to %.0f with \"%s\": %.1f (%s)", WAIT_S, least, most,
             part, rate, why);
}

static void idle_servers_let_it_rise_and_the_probe_goes(void **state)
{
    (void)state;
    bench_put(datastore, "1", "key1", "kube-system/secrets-encrypt-canary-00000000-probe", OBJECT);
    struct job *j = start_job();
    struct kindness *k = start(j);
    assert_int_equal(probes_left(), 1); /* the one that was left behind is swept */
    struct etcd_range r = {0};
    must(etcd_get(datastore, PROBE, 5000, &r, &err));
    assert_true(r.kvs[0].value_len > 8 && memcmp(r.kvs[0].value, "k8s:enc:", 8) == 0);
    etcd_range_free(&r);
    wait_for(k, 270, NEVER, "");
    job_limit(j, 50);
    wait_for(k, 50, 50, "");
    kindness_free(k);
    job_free(j);
    assert_int_equal(probes_left(), 0);
}

static void a_server_that_hangs_is_named(void **state)
{
    (void)state;
    struct job *j = start_job();
    struct kindness *k = start(j);
    wait_for(k, 120, NEVER, "");
    apifix_signal(fix, 1, SIGSTOP);
    wait_for(k, 0, 80, "s2: ");
    wait_for(k, 0, 0, "s2: "); /* for more than a second by now: it pauses */
    apifix_signal(fix, 1, SIGCONT);
    wait_for(k, 20, NEVER, "");
    kindness_free(k);
    job_free(j);
    assert_int_equal(probes_left(), 0);
}

static void a_killed_server_is_outlasted(void **state)
{
    (void)state;
    struct job *j = start_job();
    struct kindness *k = start(j);
    wait_for(k, 120, NEVER, "");
    apifix_stop(fix, 1, SIGKILL);
    wait_for(k, 0, 0, "s2: closed 1 watch");
    job_use(j, 1, false); /* its agent reports it */
    wait_for(k, 20, NEVER, "");
    assert_true(apifix_start(fix, 1, bench_encryption("1")));
    job_use(j, 1, true);
    sleep_ms(3000);
    wait_for(k, 20, NEVER, "");
    apifix_stop(fix, 1, SIGKILL); /* it is watched again */
    wait_for(k, 0, 0, "s2: closed 1 watch");
    assert_true(apifix_start(fix, 1, bench_encryption("1")));
    kindness_free(k);
    job_free(j);
    assert_int_equal(probes_left(), 0);
}

static void without_a_login_it_stays_low(void **state)
{
    (void)state;
    static char wrong[256];
    assert_true(apifix_write(fix, "wrong.token", "wrong-token-0123456789"));
    snprintf(wrong, sizeof(wrong), "%s", apifix_path(fix, "wrong.token"));
    config.kube_token_file = wrong;
    struct job *j = start_job();
    struct kindness *k = start(j);
    wait_for(k, 250, 250, "not measured");
    char why[CLUSTER_TEXT_MAX];
    kindness_why(k, why);
    assert_contains(why, "401");
    kindness_free(k);
    job_free(j);
    config.kube_token_file = token_file;
    assert_int_equal(probes_left(), 0);
}

static void no_room_is_refused_and_unpaced_is_free(void **state)
{
    (void)state;
    struct kindness *k = NULL;
    struct error e = ERROR_INIT;
    struct job *j = start_job();
    config.datastore_quota = 1024;
    assert_int_equal(kindness_start(j, 1000, 1000, &k, &e), ERR_STATE);
    config.datastore_quota = INT64_C(2) << 30;
    assert_contains(e.text, "no room");
    assert_null(k);
    assert_true(kindness_rate(NULL) < 0);
    job_free(j);
    struct job_options *o = bench_options(JOB_WATCH, &config, datastore, "1");
    bench_keep(o, "key1");
    o->unpaced = true;
    j = bench_start(o);
    k = start(j);
    assert_true(kindness_rate(k) < 0);
    kindness_free(k);
    job_free(j);
    assert_int_equal(probes_left(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_servers_let_it_rise_and_the_probe_goes),
        cmocka_unit_test(a_server_that_hangs_is_named),
        cmocka_unit_test(a_killed_server_is_outlasted),
        cmocka_unit_test(without_a_login_it_stays_low),
        cmocka_unit_test(no_room_is_refused_and_unpaced_is_free),
    };
    return cmocka_run_group_tests_name("kindness", tests, begin, finish);
}
