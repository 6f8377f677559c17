/* The real engine against real API servers: what too many rewrites do to them is seen by the probes, and what
 * a coordinator that was killed left behind goes with the next rewrite.
 *
 * Run with the names of an etcd, an API server, a CA file and a token file, this program is that coordinator.
 */
#include "bench.h"

#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/clock.h>
#include <base/text.h>

#include <apiserver_fixture.h>
#include <kindness/kindness.h>

#define SECRETS      1500
#define SECRET_BYTES 8000
#define LOADS        2 /* rewrites at a time, each without any regard */
#define WAIT_MS      90000
#define START        100 /* objects a second that it begins with */
#define PROBES       "/registry/secrets/kube-system/secrets-encrypt-canary-"

extern char **environ;

static struct apifix *fix;
static struct etcd *datastore;
static struct config config = {.datastore_prefix = "/registry",
                               .datastore_quota = INT64_C(8) << 30, /* room is not what this is about */
                               .reencrypt_in_flight = 64,
                               .reencrypt_page = 200,
                               .canaries = "on",
                               .canary_namespace = "kube-system"};
static char ca_file[256], token_file[256];

static void open_datastore(const char *endpoint)
{
    struct etcd_options o = {.endpoints = &endpoint, .endpoints_count = 1};
    must(etcd_open(&o, &datastore, &err));
    config.kube_ca_file = ca_file;
    config.kube_token_file = token_file;
}

static int begin(void **state)
{
    (void)state;
    fix = apifix_new();
    if (!fix || !apifix_start(fix, 0, bench_encryption("21")))
        return -1;
    snprintf(ca_file, sizeof(ca_file), "%s", apifix_path(fix, "ca.pem"));
    snprintf(token_file, sizeof(token_file), "%s", apifix_path(fix, "admin.token"));
    open_datastore(apifix_etcd_url(fix));
    return 0;
}

static int finish(void **state)
{
    (void)state;
    etcd_close(datastore);
    apifix_free(fix);
    return 0;
}

static struct job_options *rewrite_to(const char *key, const char *url)
{
    struct job_options *o = bench_options(JOB_REWRITE, &config, datastore, key[3] == '1' ? "12" : "21");
    bench_keep(o, key);
    bench_server(o, "s1", url);
    o->engine = ENGINE_DATASTORE;
    o->so_far.step = o->step;
    return o;
}

static void put_secrets(size_t count, size_t bytes)
{
    char *text = malloc(bytes + 512), *pad = malloc(bytes + 1);
    assert_non_null(text);
    assert_non_null(pad);
    memset(pad, 'A', bytes);
    pad[bytes] = 0;
    for (size_t i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof(name), "default/load-%05zu", i);
        snprintf(text, bytes + 512,
                 "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"load-%05zu\","
                 "\"namespace\":\"default\",\"uid\":\"00000000-0000-4000-8000-%012zu\"},\"type\":\"Opaque\","
                 "\"data\":{\"d\":\"%s\"}}",
                 i, i, pad);
        (void)bench_put(datastore, "12", "key1", name, text);
    }
    free(text);
    free(pad);
}

static int probes_left(void)
{
    struct etcd_range r = {0};
    struct etcd_range_options o = {.prefix = PROBES, .keys_only = true};
    must(etcd_list(datastore, &o, 5000, &r, &err));
    int count = (int)r.count;
    etcd_range_free(&r);
    return count;
}

/* ---------- too much ---------- */

/* Rewrites to and fro, as fast as they can. */
struct load {
    struct job *jobs[LOADS];
    size_t passes;
};

static void keep_going(struct load *l)
{
    for (size_t i = 0; i < LOADS; i++) {
        if (l->jobs[i] && !job_ended(l->jobs[i]))
            continue;
        job_free(l->jobs[i]);
        struct job_options *o = rewrite_to(l->passes++ % 2 ? "key1" : "key2", apifix_url(fix, 0));
        o->unpaced = true;
        l->jobs[i] = bench_start(o);
    }
}

static void stop(struct load *l)
{
    for (size_t i = 0; i < LOADS; i++)
        job_free(l->jobs[i]);
    memset(l, 0, sizeof(*l));
}

/* What a client of s1 feels, by the controller's own words. */
static bool is_felt(const char *why)
{
    return strstr(why, "s1: watch lag") || strstr(why, "s1: GET") || strstr(why, "s1: LIST");
}

static void too_many_rewrites_are_felt_and_hold_the_rate_down(void **state)
{
    (void)state;
    struct kindness *k = NULL;
    struct load load = {0};
    char why[CLUSTER_TEXT_MAX] = "";
    double rate = 0;
    put_secrets(SECRETS, SECRET_BYTES);
    struct job_options *o = bench_options(JOB_WATCH, &config, datastore, "12");
    bench_keep(o, "key1");
    bench_keep(o, "key2");
    bench_server(o, "s1", apifix_url(fix, 0));
    struct job *watcher = bench_start(o); /* stands in for the rewrite that is to be kind */
    must(kindness_start(watcher, SECRETS, (int64_t)SECRETS * SECRET_BYTES, &k, &err));
    int64_t until = clock_mono_ms() + WAIT_MS;
    do {
        keep_going(&load);
        sleep_ms(20);
        rate = kindness_rate(k);
        kindness_why(k, why);
    } while (!(rate < START && is_felt(why)) && clock_mono_ms() < until);
    if (!(rate < START && is_felt(why)))
        fail_msg("%zu passes were not felt: %.0f a second (%s)", load.passes, rate, why);
    print_message("%.0f a second after %zu passes: %s\n", rate, load.passes, why);
    stop(&load);
    for (until = clock_mono_ms() + WAIT_MS; *why && clock_mono_ms() < until;) { /* and is over with it */
        sleep_ms(50);
        kindness_why(k, why);
    }
    assert_string_equal(why, "");
    assert_true(kindness_rate(k) > 0);
    kindness_free(k);
    job_free(watcher);
    assert_int_equal(probes_left(), 0);
}

/* ---------- what was left behind ---------- */

static void be_the_coordinator(char **argv)
{
    snprintf(ca_file, sizeof(ca_file), "%s", argv[3]);
    snprintf(token_file, sizeof(token_file), "%s", argv[4]);
    open_datastore(argv[1]);
    struct job_options *o = rewrite_to("key2", argv[2]);
    text_copy(o->operation, sizeof(o->operation), "deadbeef-0000-4000-8000-000000000000");
    config.reencrypt_max_rate = 1; /* it does not come to its end */
    struct job *j = NULL;
    must(job_start(o, &j, &err));
    for (;;)
        pause();
}

static void a_killed_coordinators_probe_goes_with_the_next_rewrite(void **state)
{
    (void)state;
    const char *const argv[] = {"coordinator", apifix_etcd_url(fix), apifix_url(fix, 0),
                                ca_file,       token_file,           NULL};
    struct cluster_proof p;
    struct cluster_reencrypt *r = calloc(1, sizeof(*r));
    struct etcd_range left = {0};
    pid_t pid = 0;
    must(etcd_delete(datastore, "/registry/secrets/default/", true, 20000, NULL, &err));
    put_secrets(30, 100);
    assert_int_equal(probes_left(), 0);
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, (char *const *)argv, environ), 0);
    for (int64_t until = clock_mono_ms() + WAIT_MS; probes_left() == 0; sleep_ms(20))
        assert_true(clock_mono_ms() < until);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    must(etcd_get(datastore, PROBES "deadbeef-probe", 5000, &left, &err));
    etcd_range_free(&left);

    bench_run(rewrite_to("key2", apifix_url(fix, 0)), &p, r); /* another operation's */
    if (r->state != REENCRYPT_ENDED)
        fail_msg("%s", r->why);
    assert_int_equal(r->failed, 0);
    assert_int_equal(r->done, 30); /* the probes are nobody's objects */
    assert_int_equal(probes_left(), 0);
    free(r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_many_rewrites_are_felt_and_hold_the_rate_down),
        cmocka_unit_test(a_killed_coordinators_probe_goes_with_the_next_rewrite),
    };
    if (argc == 5) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        be_the_coordinator(argv);
    }
    return cmocka_run_group_tests_name("kindness_rewrite", tests, begin, finish);
}
