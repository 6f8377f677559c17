/* A job's thread, its records and its end; what the jobs do is tested against real servers
 * (tests/cluster/proofs). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <string.h>

#include <base/clock.h>
#include <base/text.h>

#include "job.h"

static struct config config = {.datastore_prefix = "/registry",
                               .canaries = "on",
                               .canary_namespace = "kube-system",
                               .snapshot_dir = "/nowhere/at/all"};

static struct job_options *options(enum job_kind kind)
{
    static struct job_options o;
    memset(&o, 0, sizeof(o));
    o.kind = kind;
    o.config = &config;
    o.step = 9;
    text_copy(o.operation, sizeof(o.operation), "1a2b3c4d");
    return &o;
}

static struct job *start(const struct job_options *o)
{
    struct job *j = NULL;
    struct error e = ERROR_INIT;
    if (job_start(o, &j, &e) < 0)
        fail_msg("%s", e.text);
    return j;
}

static void end(struct job *j, struct cluster_proof *p)
{
    struct pollfd fd = {.fd = job_fd(j), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 10000), 1);
    assert_true(job_ended(j));
    job_proof(j, p);
}

static void a_proof_that_ends_well_is_made(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct job_options *o = options(JOB_OPENS);
    o->proof.attempts = 2;
    o->proof.step = 9;
    struct job *j = start(o);
    assert_int_equal(job_kind_of(j), JOB_OPENS);
    assert_int_equal(job_step(j), 9);
    assert_string_equal(job_operation(j), "1a2b3c4d");
    end(j, &p);
    job_free(j);
    assert_int_equal(p.state, PROOF_MADE);
    assert_int_equal(p.attempts, 2);
    assert_int_equal(p.step, 9);
    assert_true(p.time_ms > 0);
}

/* And the record of the rewriting is left as the rewriting left it. */
static void evidence_is_failed(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct cluster_reencrypt r;
    struct job_options *o = options(JOB_SCAN);
    o->so_far.state = REENCRYPT_ENDED;
    o->so_far.done = 3;
    struct job *j = start(o);
    end(j, &p);
    job_progress(j, &r);
    job_free(j);
    assert_int_equal(p.state, PROOF_FAILED);
    assert_non_null(strstr(p.why, "the API servers hold 3 objects"));
    assert_int_equal(r.state, REENCRYPT_ENDED);
    assert_string_equal(r.why, "");
}

static void trouble_is_unmade_and_named(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct job_options *o = options(JOB_READABLE);
    text_copy(o->spec.servers[0].name, sizeof(o->spec.servers[0].name), "s1");
    text_copy(o->spec.servers[0].api, sizeof(o->spec.servers[0].api), "https://127.0.0.1:1");
    o->spec.servers_count = 1;
    struct job *j = start(o);
    end(j, &p);
    job_free(j);
    assert_int_equal(p.state, PROOF_UNMADE);
    assert_int_equal(p.servers_count, 1);
    assert_string_equal(p.servers[0].server, "s1");
    assert_int_equal(p.servers[0].state, PROOF_UNMADE);
    assert_non_null(strstr(p.why, "s1"));
}

static void rewriting_has_its_own_record(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct cluster_reencrypt r;
    struct job *j = start(options(JOB_REWRITE)); /* no servers at all */
    end(j, &p);
    job_progress(j, &r);
    job_free(j);
    assert_int_equal(r.state, REENCRYPT_FAILED);
    assert_true(r.why[0] != 0);
    assert_int_equal(p.state, PROOF_RUNNING);
}

/* Its datastore does not answer: it says so, sees nothing, and stops when it is told to. */
static void a_watch_without_a_datastore_is_not_watching(void **state)
{
    (void)state;
    static const char *const endpoints[] = {"http://127.0.0.1:1"};
    struct etcd_options eo = {.endpoints = endpoints, .endpoints_count = 1};
    _cleanup_(etcd_closep) struct etcd *e = NULL;
    struct cluster_proof p;
    assert_int_equal(etcd_open(&eo, &e, NULL), 0);
    struct job_options *o = options(JOB_WATCH);
    o->datastore = e;
    o->from_revision = 5;
    text_copy(o->spec.resources[0], sizeof(o->spec.resources[0]), "secrets");
    o->spec.resources_count = 1;
    struct job *j = start(o);
    struct pollfd fd = {.fd = job_fd(j), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 2500), 0);
    assert_false(job_watching(j));
    job_proof(j, &p);
    int64_t begin = clock_mono_ms();
    job_free(j);
    assert_true(clock_mono_ms() - begin < 3000);
    assert_int_equal(p.state, PROOF_RUNNING);
    assert_int_equal(p.revision, 4);
    assert_non_null(strstr(p.why, "new writes of secrets cannot be watched"));
}

static void the_owner_says_who_may_be_asked(void **state)
{
    (void)state;
    struct cluster_proof p;
    struct job *j = start(options(JOB_OPENS));
    assert_true(job_usable(j, 1));
    job_use(j, 1, false);
    job_use(j, CLUSTER_SERVERS_MAX, false); /* none such: nothing happens */
    assert_false(job_usable(j, 1));
    assert_true(job_usable(j, 0));
    assert_false(job_canceled(j));
    int64_t begin = clock_mono_ms();
    assert_false(job_wait(j, 120));
    assert_true(clock_mono_ms() - begin >= 100);
    end(j, &p);
    job_free(j);
    job_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proof_that_ends_well_is_made),
        cmocka_unit_test(evidence_is_failed),
        cmocka_unit_test(trouble_is_unmade_and_named),
        cmocka_unit_test(rewriting_has_its_own_record),
        cmocka_unit_test(a_watch_without_a_datastore_is_not_watching),
        cmocka_unit_test(the_owner_says_who_may_be_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
