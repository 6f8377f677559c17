/* Proof 2: every server writes with the key that shall write. A canary is created through each server's own
 * API; what the datastore then holds must stand under that key. Where it cannot be read raw, every other
 * server has to read the canary instead, and to write under the same key. */
#include <inttypes.h>
#include <string.h>

#include <base/clock.h>
#include <base/text.h>

#include "canary.h"
#include "read_back.h"
#include "servers.h"
#include "values.h"

#define POST_MS    5000
#define DELETE_MS  3000
#define RAW_MS     3000
#define REMOVE_MS  4000
#define CANARY_MAX (16 * 1024)

struct written {
    struct servers servers;
    struct job *job;
    const struct job_options *o;
    char subject[VALUES_KEY_TEXT];
    int64_t revision, values;
};

static void publish(struct cluster_proof *p, void *arg)
{
    const struct written *v = arg;
    text_copy(p->method, sizeof(p->method), v->o->spec.not_raw ? "read" : "canary");
    p->revision = v->revision;
    p->values = v->values;
}

static void set_why(struct cluster_proof *p, void *arg)
{
    text_copy(p->why, sizeof(p->why), arg);
}

static void set_read(struct cluster_proof *p, void *arg)
{
    (void)arg;
    text_copy(
        p->why, sizeof(p->why),
        "not seen in the datastore, which cannot be read raw: what each server writes every other one "
        "reads, and does not write again when asked to, so that all write under one key; which one it is, "
        "is not known");
}

static void set_list(struct cluster_proof *p, void *arg)
{
    text_copy(p->method, sizeof(p->method), "list");
    set_why(p, arg);
}

/* ---------- one server, one resource ---------- */

/* A canary of that very name, from a run that was broken off, is in the way once at most. */
static int create(struct written *v, const struct canary *c, size_t i, struct error *err)
{
    _cleanup_(buf_freep) struct buf object = BUF_INIT(CANARY_MAX), reply = BUF_INIT(KUBE_REPLY_MAX);
    char answer[ANSWER_TEXT_MAX] = "", doing[KUBE_NAME_MAX + 64];
    enum verdict verdict = VERDICT_LATER;
    int rc = canary_object(c, false, &object, err);
    for (unsigned attempt = 0; rc == 0 && attempt < 2; attempt++) {
        rc = servers_ask(&v->servers, i, "POST", c->collection, &object, POST_MS, &reply, &verdict, answer,
                         err);
        if (rc < 0 || verdict != VERDICT_TAKEN)
            break;
        rc = canary_take_out(v->o, c, REMOVE_MS, err);
    }
    if (rc < 0 || verdict == VERDICT_YES)
        return rc;
    snprintf(doing, sizeof(doing), "creating %s in %s", c->kind->resource, c->namespace);
    if (verdict == VERDICT_MISSING)
        return error_set(err, ERR_STATE, "%s: %s: %s: is canaries.namespace right?",
                         servers_name(&v->servers, i), doing, answer);
    return servers_refused(&v->servers, i, verdict, doing, answer, err);
}

static int check_stored(struct written *v, const struct canary *c, size_t i, struct error *err)
{
    struct etcd_range r = {0};
    struct value_key found;
    char text[VALUES_KEY_TEXT];
    int rc = etcd_get(v->o->datastore, c->etcd_key, RAW_MS, &r, err);
    if (rc == ERR_NOT_FOUND)
        return error_set(err, ERR_STATE,
                         "%s made an object that is not in the datastore at %s: its API server uses another "
                         "datastore or prefix; check datastore.endpoints and datastore.prefix",
                         servers_name(&v->servers, i), c->etcd_key);
    if (rc < 0)
        return error_prefix(err, rc, "reading the canary of %s", servers_name(&v->servers, i));
    v->revision = r.kvs[0].mod_revision;
    value_key(v->o, &r.kvs[0], &found);
    value_key_text(&found, text);
    bool right = value_under(&found, &v->o->subject);
    etcd_range_free(&r);
    v->values++;
    if (right)
        return 0;
    return error_set(err, ERR_STATE,
                     "%s writes under %s instead of %s: see that its API server was restarted with the "
                     "present encryption config",
                     servers_name(&v->servers, i), text, v->subject);
}

static int check_made(struct written *v, const struct canary *c, size_t i, struct error *err)
{
    if (!v->o->spec.not_raw)
        return check_stored(v, c, i, err);
    int rc = read_back(&v->servers, c, i, err);
    v->values += rc == 0;
    return rc;
}

/* Through the API, so that every watch cache hears of it as usual; else straight from the datastore. */
static int take_out(struct written *v, const struct canary *c, size_t i, struct error *err)
{
    _cleanup_(buf_freep) struct buf reply = BUF_INIT(KUBE_REPLY_MAX);
    char answer[ANSWER_TEXT_MAX];
    enum verdict verdict;
    if (servers_ask(&v->servers, i, "DELETE", c->path, NULL, DELETE_MS, &reply, &verdict, answer, NULL) < 0)
        answer[0] = 0; /* what counts is whether it is gone */
    return canary_take_out(v->o, c, REMOVE_MS, err);
}

static int prove_kind(struct written *v, const struct canary_kind *kind, size_t i, struct error *err)
{
    struct canary c;
    struct error why = ERROR_INIT;
    int rc = canary_make(v->o, kind, (int)i, &c, err);
    if (rc < 0)
        return rc;
    int found = create(v, &c, i, &why);
    if (found == 0)
        found = check_made(v, &c, i, &why);
    int out = take_out(v, &c, i, err);
    return found < 0 ? error_set(err, found, "%s", why.text) : out;
}

static int prove_server(struct written *v, size_t i, struct error *err)
{
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < v->o->spec.resources_count; k++) {
        const struct canary_kind *kind = canary_kind(v->o->spec.resources[k]);
        if (job_canceled(v->job))
            return error_set(err, ERR_CANCELED, "the proof was stopped");
        if (kind)
            rc = prove_kind(v, kind, i, err);
    }
    return rc;
}

/* ---------- all ---------- */

static int prove_by_canaries(struct written *v, struct error *err)
{
    int rc = canary_sweep(v->o, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < v->servers.count; i++) {
        struct error why = ERROR_INIT;
        int one = prove_server(v, i, &why);
        servers_found(&v->servers, i, one, &why);
        servers_worse(&rc, err, one, &why);
        job_update_proof(v->job, publish, v);
    }
    return rc;
}

static bool any_kind(const struct job_options *o)
{
    for (size_t i = 0; i < o->spec.resources_count; i++)
        if (canary_kind(o->spec.resources[i]))
            return true;
    return false;
}

static int prove(struct written *v, struct error *err)
{
    char missing[CLUSTER_TEXT_MAX / 2], why[CLUSTER_TEXT_MAX];
    bool off = strcmp(v->o->config->canaries, "off") == 0;
    canary_missing(v->o, missing, sizeof(missing));
    const char *then = v->o->spec.not_raw ? "" : ", and the scan will count what was written otherwise";
    if (!off && any_kind(v->o)) {
        int rc = prove_by_canaries(v, err);
        if (rc == 0 && v->o->spec.not_raw)
            job_update_proof(v->job, set_read, NULL);
        if (rc < 0 || !*missing)
            return rc;
    }
    if (off)
        snprintf(why, sizeof(why),
                 "canaries are off: that every server writes under %s was not proved here; every object was "
                 "listed through every server%s",
                 v->subject, then);
    else
        snprintf(why, sizeof(why),
                 "no canary can be made of %s: every object was listed through every server as well%s",
                 missing, then);
    int64_t objects = 0;
    int rc = servers_list(&v->servers, &objects, err);
    if (rc == 0)
        job_update_proof(v->job, set_list, why);
    return rc;
}

int written_run(struct job *j, struct error *err)
{
    struct written v = {.job = j, .o = job_opts(j)};
    job_key_text(&v.o->subject, v.subject);
    int rc = servers_open(j, &v.servers, err);
    if (rc == 0)
        rc = prove(&v, err);
    servers_close(&v.servers);
    return rc;
}
