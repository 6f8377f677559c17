/* The proofs that go through API servers, against real ones: s1 writes with key2 and reads key1, s2 writes
 * with key1 and reads key2, s3 knows key1 alone. */
#include "bench.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include <apiserver_fixture.h>
#include <base/clock.h>
#include <base/file.h>
#include <real.h>

#define CANARIES "/registry/secrets/kube-system/secrets-encrypt-canary-"
#define SECRETS  "/api/v1/secrets?limit=500"

static struct apifix *fixture;
static struct etcd *etcd;
static struct config config = {
    .datastore_prefix = "/registry", .canaries = "on", .canary_namespace = "kube-system"};

static const char *const orders[] = {"21", "12", "1"};

/* A job about key2 over the servers of `which` ("13": s1 and s3). */
static struct job_options *options(enum job_kind kind, const char *which)
{
    struct job_options *o = bench_options(kind, &config, etcd, "21");
    static const char *const names[] = {"s1", "s2", "s3"};
    bench_subject(o, "key2");
    for (const char *c = which; *c; c++)
        bench_server(o, names[*c - '1'], apifix_url(fixture, (size_t)(*c - '1')));
    return o;
}

static int64_t canaries(void)
{
    struct etcd_range r = {0};
    struct etcd_range_options o = {.prefix = CANARIES, .count_only = true};
    must(etcd_list(etcd, &o, 5000, &r, &err));
    int64_t n = r.total;
    etcd_range_free(&r);
    return n;
}

static long get(size_t server, const char *path)
{
    struct kube_options o = apifix_options(fixture, server);
    _cleanup_(kube_closep) struct kube *k = NULL;
    long status = 0;
    must(kube_open(&o, &k, &err));
    must(kube_request(k, "GET", path, NULL, NULL, NULL, 0, 10000, &status, NULL, &err));
    return status;
}

static void must_be(const struct cluster_proof *p, enum proof_state want)
{
    if (p->state != want)
        fail_msg("the proof is %d, not %d: %s", (int)p->state, (int)want, p->why);
}

static int each_teardown(void **state)
{
    (void)state;
    config.canaries = "on";
    config.kube_token_file = (char *)apifix_path(fixture, "admin.token");
    assert_int_equal(canaries(), 0); /* whatever was proved: nothing stays */
    return 0;
}

/* ---------- readable ---------- */

static void readable_is_made_when_every_server_has_the_key(void **state)
{
    (void)state;
    struct cluster_proof p;
    bench_run(options(JOB_READABLE, "12"), &p, NULL);
    must_be(&p, PROOF_MADE);
    assert_string_equal(p.method, "canary");
    assert_string_equal(p.why, "");
    assert_true(p.revision > 0);
    assert_int_equal(p.servers_count, 2);
    assert_string_equal(p.servers[1].server, "s2");
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(p.servers[i].state, PROOF_MADE);
}

static void every_resource_gets_a_canary(void **state)
{
    (void)state;
    static const enum job_kind kinds[] = {JOB_READABLE, JOB_WRITTEN};
    for (size_t i = 0; i < array_len(kinds); i++) {
        struct cluster_proof p;
        struct job_options *o = options(kinds[i], "1");
        bench_resource(o, "configmaps");
        bench_run(o, &p, NULL);
        must_be(&p, PROOF_MADE);
        assert_string_equal(p.method, "canary");
        assert_int_equal(p.values, 2);
    }
    struct cluster_proof p;
    struct job_options *o = options(JOB_WRITTEN, "2");
    snprintf(o->spec.resources[0], sizeof(o->spec.resources[0]), "configmaps");
    bench_run(o, &p, NULL);
    must_be(&p, PROOF_FAILED);
    assert_contains(p.why, "s2 writes under aescbc:key1");
}

static void a_resource_without_a_canary_is_listed_and_said(void **state)
{
    (void)state;
    static const enum job_kind kinds[] = {JOB_READABLE, JOB_WRITTEN};
    for (size_t i = 0; i < array_len(kinds); i++) {
        struct cluster_proof p;
        struct job_options *o = options(kinds[i], "1");
        bench_resource(o, "serviceaccounts");
        bench_run(o, &p, NULL);
        must_be(&p, PROOF_MADE);
        assert_string_equal(p.method, "list");
        assert_contains(p.why, "no canary can be made of serviceaccounts");
        assert_true(p.revision > 0); /* of the canary that was put as well */
    }
    struct cluster_proof p;
    struct job_options *o = options(JOB_READABLE, "1");
    bench_resource(o, "widgets.example.org");
    bench_run(o, &p, NULL);
    must_be(&p, PROOF_FAILED);
    assert_contains(p.why, "s1 does not serve widgets.example.org");
}

/* How long lists fail on s3 while the job runs; -1 ms: they never did. */
static int64_t harm_ms(struct job *j)
{
    struct kube_options o = apifix_options(fixture, 2);
    _cleanup_(kube_closep) struct kube *k = NULL;
    int64_t first = 0, last = 0, after = 0;
    must(kube_open(&o, &k, &err));
    while (!after || clock_mono_ms() < after) {
        long status = 0;
        int64_t now = clock_mono_ms();
        must(kube_request(k, "GET", SECRETS, NULL, NULL, NULL, 0, 10000, &status, NULL, &err));
        if (status == 500) {
            first = first ? first : now;
            last = clock_mono_ms();
        }
        if (!after && job_ended(j))
            after = clock_mono_ms() + 300;
    }
    assert_int_equal(get(2, SECRETS), 200);
    return first ? last - first : -1;
}

static void readable_names_the_server_that_lacks_the_key_and_harms_it_briefly(void **state)
{
    (void)state;
    struct cluster_proof p;
    assert_int_equal(get(2, SECRETS), 200);
    struct job *j = bench_start(options(JOB_READABLE, "123"));
    int64_t harm = harm_ms(j);
    bench_end(j, 10000, &p, NULL);
    must_be(&p, PROOF_FAILED);
    assert_contains(p.why, "s3 cannot read values under aescbc:key2 (500: ");
    assert_contains(p.why, "nothing was rotated");
    assert_int_equal(p.servers[2].state, PROOF_FAILED);
    assert_contains(p.servers[2].why, "s3 cannot read values under aescbc:key2");
    print_message("lists of Secrets on s3 failed for %ld ms\n", (long)harm);
    if (harm > 5000)
        fail_msg("the canary harmed s3 for %ld ms", (long)harm);
    assert_int_equal(canaries(), 0);
}

static void readable_waits_for_a_server_that_is_not_ready(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct job_options *o = options(JOB_READABLE, "12");
    snprintf(o->spec.servers[1].api, sizeof(o->spec.servers[1].api), "https://127.0.0.1:1");
    bench_run(o, &p, NULL);
    must_be(&p, PROOF_UNMADE);
    assert_contains(p.why, "s2");
    assert_int_equal(p.servers[1].state, PROOF_UNMADE);
    assert_int_equal(p.revision, 0); /* no canary was put */
}

static void readable_says_that_its_login_may_not(void **state)
{
    (void)state;
    struct cluster_proof p;
    assert_true(apifix_write(fixture, "wrong.token", "0123456789"));
    config.kube_token_file = (char *)apifix_path(fixture, "wrong.token");
    bench_run(options(JOB_READABLE, "1"), &p, NULL);
    must_be(&p, PROOF_FAILED);
    assert_contains(p.why, "s1");
}

static void readable_says_which_permission_is_missing(void **state)
{
    (void)state;
    struct cluster_proof p;
    config.kube_token_file = (char *)apifix_path(fixture, "lowly.token");
    bench_run(options(JOB_READABLE, "1"), &p, NULL);
    must_be(&p, PROOF_FAILED);
    assert_contains(p.why,
                    "s1: the coordinator's login lacks the permission for getting secrets in kube-system "
                    "(RBAC): 403");
    bench_run(options(JOB_WRITTEN, "1"), &p, NULL);
    must_be(&p, PROOF_FAILED);
    assert_contains(p.why, "creating secrets in kube-system (RBAC): 403");
}

static void plain_values_are_listed_for_readable_and_looked_at_for_written(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct job_options *o = options(JOB_READABLE, "12");
    bench_subject(o, "");
    bench_run(o, &p, NULL);
    must_be(&p, PROOF_MADE);
    assert_string_equal(p.method, "list");
    o = options(JOB_WRITTEN, "1");
    bench_subject(o, "");
    bench_run(o, &p, NULL);
    must_be(&p, PROOF_FAILED);
    assert_contains(p.why, "s1 writes under aescbc:key2 instead of plain");
}

static void readable_without_canaries_lists_everything_everywhere(void **state)
{
    (void)state;
    struct cluster_proof p;
    config.canaries = "off";
    bench_put(etcd, "21", "key1", "default/one",
              "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{"
              "\"name\":\"one\",\"namespace\":\"default\"}}");
    bench_run(options(JOB_READABLE, "123"), &p, NULL);
    must_be(&p, PROOF_MADE);
    assert_string_equal(p.method, "list");
    assert_contains(p.why, "canaries are off");
    assert_true(p.values >= 1);
    bench_put(etcd, "21", "key2", "default/two",
              "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{"
              "\"name\":\"two\",\"namespace\":\"default\"}}");
    bench_run(options(JOB_READABLE, "123"), &p, NULL);
    must(etcd_delete(etcd, "/registry/secrets/default/two", false, 5000, NULL, &err));
    must_be(&p, PROOF_FAILED);
    assert_contains(p.why, "s3: listing every one of secrets: 500");
    assert_int_equal(p.servers[0].state, PROOF_MADE);
    assert_int_equal(p.servers[2].state, PROOF_FAILED);
}

static void readable_of_another_datastore_is_noticed(void **state)
{
    (void)state;
    struct cluster_proof p;
    config.datastore_prefix = "/elsewhere";
    bench_run(options(JOB_READABLE, "1"), &p, NULL);
    config.datastore_prefix = "/registry";
    must_be(&p, PROOF_FAILED);
    assert_contains(p.why,
                    "s1 does not find /elsewhere/secrets/kube-system/secrets-encrypt-canary-1a2b3c4d-7");
}

/* ---------- written ---------- */

static void written_is_made_where_the_key_writes(void **state)
{
    (void)state;
    struct cluster_proof p;
    must(etcd_put(etcd, CANARIES "00000000-1", "left behind", 11, 0, 5000, NULL, &err));
    bench_run(options(JOB_WRITTEN, "1"), &p, NULL);
    must_be(&p, PROOF_MADE);
    assert_string_equal(p.method, "canary");
    assert_int_equal(p.values, 1);
    assert_true(p.revision > 0);
    assert_int_equal(p.servers[0].state, PROOF_MADE);
}

static void written_names_the_server_that_writes_with_the_old_key(void **state)
{
    (void)state;
    struct cluster_proof p;
    bench_run(options(JOB_WRITTEN, "12"), &p, NULL);
    must_be(&p, PROOF_FAILED);
    assert_contains(p.why, "s2 writes under aescbc:key1 instead of aescbc:key2");
    assert_int_equal(p.servers[0].state, PROOF_MADE);
    assert_int_equal(p.servers[1].state, PROOF_FAILED);
}

static void written_needs_a_namespace_that_is_there(void **state)
{
    (void)state;
    struct cluster_proof p;
    config.canary_namespace = "nowhere";
    bench_run(options(JOB_WRITTEN, "1"), &p, NULL);
    config.canary_namespace = "kube-system";
    must_be(&p, PROOF_FAILED);
    assert_contains(p.why, "canaries.namespace");
}

/* ---------- a coordinator that dies ---------- */

/* This same program as another process: the job, and nothing that would clear up behind it. */
static int run_as_job(char **argv)
{
    struct etcd_options eo = {.endpoints = (const char *const *)&argv[2], .endpoints_count = 1};
    struct config c = config;
    struct error e = ERROR_INIT;
    c.kube_ca_file = argv[4];
    c.kube_token_file = argv[5];
    if (etcd_open(&eo, &etcd, &e) < 0)
        return 1;
    struct job_options *o = bench_options(JOB_READABLE, &c, etcd, "21");
    bench_subject(o, "key2");
    bench_server(o, "s1", argv[3]);
    for (;;) {
        struct job *j = NULL;
        struct cluster_proof p;
        struct job_options again = *o;
        again.encryption = bench_parse(bench_encryption("21"));
        if (job_start(&again, &j, &e) < 0)
            return 1;
        bench_end(j, 60000, &p, NULL);
    }
}

static void a_killed_job_leaves_a_canary_that_vanishes(void **state)
{
    (void)state;
    struct etcd_range r = {0};
    struct etcd_range_options list = {.prefix = CANARIES, .keys_only = true};
    char *argv[] = {"/proc/self/exe",
                    "run-as-job",
                    (char *)apifix_etcd_url(fixture),
                    (char *)apifix_url(fixture, 0),
                    (char *)apifix_path(fixture, "ca.pem"),
                    (char *)apifix_path(fixture, "admin.token"),
                    NULL};
    pid_t pid = fork();
    if (pid == 0) {
        execv(argv[0], argv);
        _exit(127);
    }
    /* It proves again and again: catch it while a canary stands. */
    int64_t until = clock_mono_ms() + 60000;
    while (r.count == 0 && clock_mono_ms() < until) {
        etcd_range_free(&r);
        must(etcd_list(etcd, &list, 5000, &r, &err));
        if (r.count == 0)
            continue;
        child_stop(pid);
        etcd_range_free(&r);
        must(etcd_list(etcd, &list, 5000, &r, &err));
        if (r.count == 0)
            kill(pid, SIGCONT);
    }
    size_t caught = r.count;
    int64_t lease = caught ? r.kvs[0].lease : 0;
    etcd_range_free(&r);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(caught, 1);
    assert_true(lease != 0);
    int64_t begin = clock_mono_ms();
    while (canaries() > 0 && clock_mono_ms() - begin < 20000)
        sleep_ms(50);
    print_message("the canary was gone %ld ms after its maker\n", (long)(clock_mono_ms() - begin));
    assert_int_equal(canaries(), 0);
    assert_true(clock_mono_ms() - begin < 10000);
}

/* A job that is stopped takes its canary with it. */
static void a_stopped_job_leaves_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct job *j = bench_start(options(JOB_READABLE, "12"));
        sleep_ms(i * 10);
        int64_t begin = clock_mono_ms();
        job_free(j);
        assert_true(clock_mono_ms() - begin < 5000);
        assert_int_equal(canaries(), 0);
    }
}

/* A login that may nothing, beside the admin's. */
static bool add_lowly_login(void)
{
    _cleanup_(buf_freep) struct buf admin = BUF_INIT(256);
    char text[512];
    if (file_read(apifix_path(fixture, "admin.token"), 200, &admin, NULL) < 0)
        return false;
    snprintf(text, sizeof(text), "%s,admin,admin,\"system:masters\"\nlowly-0123456789,lowly,lowly\n",
             buf_str(&admin));
    return apifix_write(fixture, "tokens.csv", text) &&
           apifix_write(fixture, "lowly.token", "lowly-0123456789");
}

static bool start_all(void)
{
    if (!add_lowly_login())
        return false;
    for (size_t i = 0; i < APIFIX_SERVERS; i++)
        if (!apifix_start(fixture, i, bench_encryption(orders[i])))
            return false;
    return true;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(readable_is_made_when_every_server_has_the_key, each_teardown),
        cmocka_unit_test_teardown(every_resource_gets_a_canary, each_teardown),
        cmocka_unit_test_teardown(a_resource_without_a_canary_is_listed_and_said, each_teardown),
        cmocka_unit_test_teardown(readable_names_the_server_that_lacks_the_key_and_harms_it_briefly,
                                  each_teardown),
        cmocka_unit_test_teardown(readable_waits_for_a_server_that_is_not_ready, each_teardown),
        cmocka_unit_test_teardown(readable_says_that_its_login_may_not, each_teardown),
        cmocka_unit_test_teardown(readable_says_which_permission_is_missing, each_teardown),
        cmocka_unit_test_teardown(plain_values_are_listed_for_readable_and_looked_at_for_written,
                                  each_teardown),
        cmocka_unit_test_teardown(readable_without_canaries_lists_everything_everywhere, each_teardown),
        cmocka_unit_test_teardown(readable_of_another_datastore_is_noticed, each_teardown),
        cmocka_unit_test_teardown(written_is_made_where_the_key_writes, each_teardown),
        cmocka_unit_test_teardown(written_names_the_server_that_writes_with_the_old_key, each_teardown),
        cmocka_unit_test_teardown(written_needs_a_namespace_that_is_there, each_teardown),
        cmocka_unit_test_teardown(a_stopped_job_leaves_nothing, each_teardown),
        cmocka_unit_test_teardown(a_killed_job_leaves_a_canary_that_vanishes, each_teardown),
    };
    if (argc == 6 && strcmp(argv[1], "run-as-job") == 0)
        return run_as_job(argv);
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
