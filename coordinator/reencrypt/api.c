/* Re-encryption through the API: every object gets an empty merge patch. The API server writes it again when
 * its stored value is stale, and does nothing otherwise; so a pass can be broken off and begun again at any
 * time.
 *
 * No Secret's content enters this process: the names come from the datastore's keys, read without their
 * values. (A list through the API would carry annotations, among them the copy of a whole Secret that
 * `kubectl apply` leaves there; that is what remains where the datastore cannot be read, and is wiped.)
 * Objects made while the pass runs are written with the new key anyway. */
#include <inttypes.h>

#include <base/clock.h>
#include <base/text.h>
#include <kube/touch.h>

#include "../api_login.h"
#include "../job.h"
#include "../proofs/canary.h"
#include "../resource_prefix.h"
#include "drive.h"
#include "names.h"
#include "names_api.h"
#include "progress.h"

#define FIND_DEADLINE_MS  30000
#define FIND_ROUNDS       5
#define TOUCH_DEADLINE_MS 15000
#define TOUCH_ATTEMPTS    8
#define PAUSED_RATE       1

struct pass {
    struct job *job;
    const struct job_options *o;
    struct kube_options *servers; /* as in the spec */
    struct kube_toucher *toucher;
    struct kube_resource resource;
    struct names *names;         /* from the datastore's keys */
    struct names_api *names_api; /* where those cannot be read */
    struct progress progress;
    struct drive drive;
};

/* ---------- what the record is told ---------- */

static void tell_failure(struct pass *p, const struct kube_object *o, const char *why)
{
    char object[CLUSTER_TEXT_MAX / 2];
    snprintf(object, sizeof(object), "%.100s/%.60s%s%.80s", p->resource.name, o->namespace,
             *o->namespace ? "/" : "", o->name);
    progress_failed(&p->progress, object, why);
}

/* The toucher takes 0 for "no limit"; a pause is one a second, so that the rate is looked
 * at again. */
static void steer(struct pass *p)
{
    double rate = drive_rate(&p->drive);
    kube_toucher_set_rate(p->toucher, rate < 0 ? 0 : rate > 0 ? rate : PAUSED_RATE);
}

static bool on_touched(void *arg, const struct kube_object *object, enum kube_touch_result result,
                       const char *why)
{
    struct pass *p = arg;
    if (result == KUBE_TOUCH_FAILED)
        tell_failure(p, object, why);
    else if (result == KUBE_TOUCH_GONE)
        progress_gone(&p->progress);
    else if (!canary_named(object->name)) /* the probe is no object of anybody's */
        progress_done(&p->progress, 1);
    return !job_canceled(p->job);
}

/* ---------- the pass ---------- */

static void use_servers(struct pass *p)
{
    for (size_t i = 0; i < p->o->spec.servers_count; i++)
        kube_toucher_use(p->toucher, i, job_usable(p->job, i));
}

static int find_on(struct pass *p, size_t server, const char *name, struct error *err)
{
    _cleanup_(kube_closep) struct kube *k = NULL;
    int rc = kube_open(&p->servers[server], &k, err);
    return rc < 0 ? rc : kube_find_resource(k, name, FIND_DEADLINE_MS, &p->resource, err);
}

/* Where the API serves a resource, from whichever server answers. */
static int find_resource(struct pass *p, const char *name, struct error *err)
{
    int rc = error_set(err, ERR_UNAVAILABLE, "no API server is ready");
    size_t n = p->o->spec.servers_count;
    for (size_t i = 0; i < FIND_ROUNDS * n && !job_canceled(p->job); i++) {
        if (!job_usable(p->job, i % n) && i < n * (FIND_ROUNDS - 1))
            continue;
        rc = find_on(p, i % n, name, err);
        if (rc == 0 || !error_is_transient(rc))
            return rc;
    }
    return rc;
}

static int next_name(void *arg, struct kube_object *ret, struct error *err)
{
    struct pass *p = arg;
    return p->names_api ? names_api_next(p->names_api, ret, err) : names_next(p->names, ret, err);
}

static bool on_turn(void *arg)
{
    struct pass *p = arg;
    use_servers(p);
    steer(p);
    return !job_canceled(p->job);
}

static int open_names(struct pass *p, const char *name, struct error *err)
{
    char prefix[2 * CLUSTER_KEY_NAME_MAX];
    if (p->o->spec.not_raw)
        return names_api_open(p->job, &p->resource, &p->names_api, err);
    resource_prefix(p->o->config->datastore_prefix, name, prefix, sizeof(prefix));
    return names_open(p->o->datastore, prefix, p->resource.namespaced, p->o->config->reencrypt_page,
                      job_cancel_flag(p->job), &p->names, err);
}

static int pass_resource(struct pass *p, const char *name, struct error *err)
{
    struct kube_touch_work work = {.next = next_name, .on_result = on_touched, .on_turn = on_turn, .arg = p};
    int rc = find_resource(p, name, err);
    if (rc == 0)
        rc = open_names(p, name, err);
    if (rc == 0)
        rc = kube_touch_all(p->toucher, &p->resource, &work, err);
    names_close(take(p->names));
    names_api_close(take(p->names_api));
    return rc < 0 ? error_prefix(err, rc, "%s", name) : 0;
}

static void cancel_toucher(void *arg)
{
    kube_toucher_cancel(arg);
}

static int run_pass(struct pass *p, struct error *err)
{
    const struct config *c = p->o->config;
    struct kube_touch_options options = {
        .servers = p->servers,
        .servers_count = p->o->spec.servers_count,
        .in_flight_max = (int)c->reencrypt_in_flight,
        .max_rate = (double)c->reencrypt_max_rate,
        .request_deadline_ms = TOUCH_DEADLINE_MS,
        .attempts_max = TOUCH_ATTEMPTS,
    };
    int rc = kube_toucher_new(&options, &p->toucher, err);
    if (rc < 0)
        return rc;
    job_on_cancel(p->job, cancel_toucher, p->toucher);
    rc = drive_begin(&p->drive, p->job, &p->progress, err);
    for (size_t i = 0; rc == 0 && i < p->o->spec.resources_count; i++)
        rc = pass_resource(p, p->o->spec.resources[i], err);
    job_on_cancel(p->job, NULL, NULL);
    return rc;
}

int reencrypt_api_run(struct job *j, struct error *err)
{
    struct pass p = {.job = j, .o = job_opts(j)};
    _cleanup_free_ struct kube_options *servers = calloc(p.o->spec.servers_count + 1, sizeof(*servers));
    if (!servers)
        return error_no_memory(err);
    p.servers = servers;
    for (size_t i = 0; i < p.o->spec.servers_count; i++)
        p.servers[i] = api_login(p.o, i);
    progress_begin(&p.progress, j, "api", false, false);
    int rc = run_pass(&p, err);
    if (rc == 0)
        progress_end(&p.progress);
    kube_toucher_free(p.toucher);
    drive_end(&p.drive);
    return rc;
}
