/* A coordinator's job outside of a coordinator. */
#include "bench.h"

#include <inttypes.h>
#include <poll.h>

#include <base/text.h>
#include <cluster/types.h>
#include <job.h>

#define SAMPLE_MS 500

static void spec_from_config(const struct bench *b, struct cluster_spec *spec)
{
    for (size_t i = 0; i < b->config->servers_count; i++) {
        text_copy(spec->servers[i].name, sizeof(spec->servers[i].name), b->config->servers[i].name);
        text_copy(spec->servers[i].api, sizeof(spec->servers[i].api), b->config->servers[i].api);
    }
    spec->servers_count = b->config->servers_count;
    for (size_t i = 0; i < b->config->resources_count; i++)
        text_copy(spec->resources[i], sizeof(spec->resources[i]), b->config->resources[i]);
    spec->resources_count = b->config->resources_count;
}

static void set_options(struct bench *b, struct job_options *o)
{
    const struct resource_set managed = {(const char *const *)b->config->resources,
                                         b->config->resources_count};
    o->kind = strcmp(b->kind, "scan") == 0 ? JOB_SCAN : JOB_REWRITE;
    o->engine = strcmp(b->engine, "datastore") == 0 ? ENGINE_DATASTORE : ENGINE_API;
    o->offline = b->offline;
    o->unpaced = !b->paced;
    o->config = b->config;
    o->datastore = b->datastore;
    text_copy(o->operation, sizeof(o->operation), "0badcafe-0000-4000-8000-000000000000");
    o->step = 1;
    spec_from_config(b, &o->spec);
    o->encryption = b->encryption;
    o->keys_count = encryption_keys(b->encryption, managed, o->keys, ENCRYPTION_KEYS_MAX);
    if (o->keys_count > 0) {
        o->keep[0].provider = o->keys[0].provider;
        text_copy(o->keep[0].name, sizeof(o->keep[0].name), o->keys[0].name);
        o->keep_count = 1;
    }
    o->proof.step = o->step;
    o->proof.attempts = 1;
}

static void tell(struct job *j, int64_t begun)
{
    struct cluster_reencrypt *r = malloc(sizeof(*r));
    if (!r)
        return;
    job_progress(j, r);
    for (char *c = r->held_by; *c; c++) /* no JSON escapes */
        *c = *c == '"' || *c == '\\' ? '\'' : *c;
    printf("{\"at_ms\":%.0f,\"done\":%" PRId64 ",\"rate\":%" PRId64 ",\"limit\":%" PRId64
           ",\"held_by\":\"%.200s\"}\n",
           (double)(mono_us() - begun) / 1e3, r->done, r->rate, r->limit, r->held_by);
    fflush(stdout);
    free(r);
}

/* Waits for its end; stops it when time is up. True when it came to its end by itself. */
static bool follow_job(struct bench *b, struct job *j, int64_t begun)
{
    struct pollfd p = {.fd = job_fd(j), .events = POLLIN};
    while (!job_ended(j)) {
        if (poll(&p, 1, SAMPLE_MS) == 0)
            tell(j, begun);
        if (bench_stopped() || (b->seconds > 0 && mono_us() - begun > b->seconds * 1000000))
            return false;
    }
    return true;
}

static int judge(const struct job_options *o, struct job *j, bool ended, int64_t us, struct error *err)
{
    _cleanup_free_ struct cluster_reencrypt *r = malloc(sizeof(*r));
    _cleanup_free_ struct cluster_proof *proof = malloc(sizeof(*proof));
    char more[256];
    if (!r || !proof)
        return error_no_memory(err);
    job_progress(j, r);
    job_proof(j, proof);
    snprintf(more, sizeof(more),
             "\"total\":%" PRId64 ",\"gone\":%" PRId64 ",\"failed\":%" PRId64 ",\"stale\":%" PRId64
             ",\"ended\":%s",
             r->total, r->gone, r->failed, r->scan_stale, ended ? "true" : "false");
    print_rate(o->kind == JOB_SCAN ? r->scan_values : r->done, us, more);
    if (ended && o->kind == JOB_REWRITE && r->state != REENCRYPT_ENDED)
        return error_set(err, ERR_STATE, "the rewrite failed: %s", r->why);
    if (ended && o->kind == JOB_SCAN && proof->state != PROOF_MADE)
        return error_set(err, ERR_STATE, "the scan failed: %s", proof->why);
    if (r->failed > 0)
        return error_set(err, ERR_STATE, "%" PRId64 " objects failed: %s: %s", r->failed,
                         r->failures[0].object, r->failures[0].why);
    return 0;
}

/* The connection stands before the clock starts, as it does for what it is compared with. */
static int connect_first(struct bench *b, struct error *err)
{
    struct etcd_range_options options = {.prefix = OBJECT_PREFIX, .count_only = true};
    struct etcd_range r = {0};
    int rc = etcd_list(b->datastore, &options, 10000, &r, err);
    if (rc == 0)
        etcd_range_free(&r);
    return rc;
}

int bench_job(struct bench *b, struct error *err)
{
    _cleanup_free_ struct job_options *o = calloc(1, sizeof(*o));
    struct job *j = NULL;
    if (!o)
        return error_no_memory(err);
    set_options(b, o);
    int rc = connect_first(b, err);
    if (rc < 0)
        return rc;
    int64_t begun = mono_us();
    rc = job_start(o, &j, err);
    if (rc < 0)
        return rc;
    b->encryption = NULL; /* the job's now */
    bool ended = follow_job(b, j, begun);
    rc = judge(o, j, ended, mono_us() - begun, err);
    job_free(j);
    return rc;
}
