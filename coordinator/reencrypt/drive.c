#include "drive.h"

#include <base/clock.h>
#include <base/text.h>

#include "../proofs/values.h"
#include "names.h"
#include "names_api.h"

#define VALUE_GUESS    4096 /* bytes: more than most have */
#define SAMPLE         100  /* values by which the size of all is judged */
#define SAMPLE_MS      10000
#define PATIENCE_MS    60000
#define BACKOFF_MS     100
#define BACKOFF_MAX_MS 2000
#define USED_UP        0.8 /* of the rate: then it is the rate that holds it back */

/* How many values a resource has, and about how many bytes. */
static int measure(struct job *j, const char *resource, int64_t *values, int64_t *bytes, struct error *err)
{
    const struct job_options *o = job_opts(j);
    char prefix[VALUES_PREFIX_MAX];
    struct etcd_range r = {0};
    int64_t count = 0, sampled = 0;
    values_prefix(o, resource, prefix);
    int rc = o->spec.not_raw ? names_api_count(j, resource, &count, err)
                             : names_count(o->datastore, prefix, &count, err);
    if (rc < 0 || count == 0)
        return rc;
    if (o->engine == ENGINE_API) { /* it never asks for values, which may be plain */
        *values += count;
        *bytes += count * VALUE_GUESS;
        return 0;
    }
    struct etcd_range_options sample = {.prefix = prefix, .limit = SAMPLE};
    rc = etcd_list(o->datastore, &sample, SAMPLE_MS, &r, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < r.count; i++)
        sampled += (int64_t)(r.kvs[i].key_len + r.kvs[i].value_len);
    *values += count;
    *bytes += r.count ? sampled / (int64_t)r.count * count : 0;
    values_wipe(&r);
    return 0;
}

/* The same for all of them, again while the datastore is away for a moment. */
static int measure_all(struct job *j, int64_t *values, int64_t *bytes, struct error *err)
{
    const struct job_options *o = job_opts(j);
    int64_t began = clock_mono_ms();
    for (unsigned round = 0;; round++) {
        int rc = 0;
        *values = *bytes = 0;
        for (size_t i = 0; rc == 0 && i < o->spec.resources_count; i++)
            rc = measure(j, o->spec.resources[i], values, bytes, err);
        if (rc == 0 || !error_is_transient(rc) || clock_mono_ms() - began > PATIENCE_MS ||
            job_wait(j, backoff_ms(round, BACKOFF_MS, BACKOFF_MAX_MS)))
            return rc;
    }
}

int drive_begin(struct drive *d, struct job *j, struct progress *p, struct error *err)
{
    const struct job_options *o = job_opts(j);
    int64_t values = 0, bytes = 0;
    *d = (struct drive){.job = j, .progress = p, .rate = -1};
    int rc = measure_all(j, &values, &bytes, err);
    if (rc < 0)
        return rc;
    progress_total(p, values);
    return o->offline || o->unpaced || values == 0 ? 0 : kindness_start(j, values, bytes, &d->kindness, err);
}

void drive_end(struct drive *d)
{
    kindness_free(take(d->kindness));
}

/* The lower of the two bounds is the one that holds back, whatever the cluster feels. */
static void tell(struct drive *d, bool asked)
{
    char why[CLUSTER_TEXT_MAX];
    if (asked)
        text_copy(why, sizeof(why), "the rate that was asked for");
    else
        kindness_why(d->kindness, why);
    progress_limit(d->progress, d->rate, why);
}

double drive_rate(struct drive *d)
{
    int64_t now = clock_mono_ms(), span = now - d->steered_ms, ceiling = job_max_rate(d->job);
    if (d->steered_ms > 0 && span < DRIVE_EVERY_MS)
        return d->rate;
    double might = d->rate * (double)span / 1000;
    if (d->steered_ms > 0 && d->rate > 0 && (double)(d->progress->done - d->done_then) >= USED_UP * might)
        kindness_waited(d->kindness);
    d->steered_ms = now;
    d->done_then = d->progress->done;
    d->rate = d->kindness ? kindness_rate(d->kindness) : -1;
    bool asked = ceiling > 0 && (d->rate < 0 || d->rate >= (double)ceiling);
    if (asked)
        d->rate = (double)ceiling;
    tell(d, asked);
    return d->rate;
}

void drive_wrote(struct drive *d, double ms, bool refused)
{
    kindness_wrote(d->kindness, ms, refused);
}
