/* Proof 1d: every server reads a value under the key that is to write next. A canary, sealed under that key,
 * is put straight into the datastore and read back through each server's own API.
 *
 * One value that a server cannot open fails every list of that resource on that server. So the canary is
 * the last proof to be tried, stands for as long as a few requests take, goes as soon as one server fails,
 * and hangs on a lease that nobody keeps alive: if all of this dies, it is gone seconds later. */
#include <inttypes.h>
#include <string.h>

#include <base/clock.h>
#include <base/text.h>
#include <encryption/envelope.h>
#include <etcd/lease.h>

#include "canary.h"
#include "servers.h"
#include "values.h"

#define LEASE_S        5
#define STAND_MS       4000 /* a canary is taken out before its lease does it */
#define PUT_MS         2000
#define GET_MS         1000
#define REMOVE_MS      4000
#define MISSING_TRIES  4
#define MISSING_WAIT   200
#define CANARY_MAX     (16 * 1024)
#define UNTRIED_PREFIX "not asked: "

struct readable {
    struct servers servers;
    struct job *job;
    const struct job_options *o;
    char subject[VALUES_KEY_TEXT];
    int64_t revision, values;
};

static void publish(struct cluster_proof *p, void *arg)
{
    const struct readable *v = arg;
    p->revision = v->revision;
    p->values = v->values;
}

static void set_method(struct cluster_proof *p, void *arg)
{
    text_copy(p->method, sizeof(p->method), arg);
}

static void set_why(struct cluster_proof *p, void *arg)
{
    text_copy(p->why, sizeof(p->why), arg);
}

/* ---------- the canary in the datastore ---------- */

static int seal(const struct readable *v, const struct canary *c, struct buf *out, struct error *err)
{
    _cleanup_(buf_freep) struct buf object = BUF_INIT(CANARY_MAX);
    int rc = canary_object(c, true, &object, err);
    return rc < 0 ? rc
                  : envelope_encrypt_with(v->o->encryption, c->kind->resource, v->o->subject.provider,
                                          v->o->subject.name, c->etcd_key, object.data, object.len, out, err);
}

static int put(struct readable *v, const struct canary *c, int64_t lease, struct error *err)
{
    _cleanup_(buf_freep) struct buf value = BUF_INIT(CANARY_MAX);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(v->o->datastore);
    int rc = seal(v, c, &value, err);
    if (rc < 0)
        return rc;
    etcd_txn_if_mod(t, c->etcd_key, 0);
    etcd_txn_put(t, c->etcd_key, value.data, value.len, lease);
    rc = etcd_txn_commit(t, PUT_MS, &v->revision, err);
    return rc < 0 ? error_prefix(err, rc, "putting a canary into the datastore") : 0;
}

/* ---------- read back ---------- */

/* "Not found" is evidence only while it is there. */
static int not_found(struct readable *v, const struct canary *c, size_t i, struct error *err)
{
    struct etcd_range r = {0};
    int rc = etcd_get(v->o->datastore, c->etcd_key, GET_MS, &r, err);
    etcd_range_free(&r);
    if (rc == ERR_NOT_FOUND)
        return error_set(err, ERR_UNAVAILABLE, "the canary was gone before %s had read it",
                         servers_name(&v->servers, i));
    if (rc < 0)
        return rc;
    return error_set(err, ERR_STATE,
                     "%s does not find %s, which stands in the datastore: its API server uses another "
                     "datastore or prefix; check datastore.endpoints and datastore.prefix",
                     servers_name(&v->servers, i), c->etcd_key);
}

static int judge(struct readable *v, const struct canary *c, size_t i, enum verdict verdict,
                 const char *answer, const struct buf *reply, struct error *err)
{
    const char *name = servers_name(&v->servers, i);
    char doing[KUBE_NAME_MAX + 64];
    if (verdict == VERDICT_YES)
        return canary_is(c, reply) ? 0
                                   : error_set(err, ERR_STATE,
                                               "%s answers with another object than %s: its API server uses "
                                               "another datastore",
                                               name, c->etcd_key);
    if (verdict == VERDICT_MISSING)
        return not_found(v, c, i, err);
    if (verdict == VERDICT_EVIDENCE)
        return error_set(err, ERR_STATE,
                         "%s cannot read values under %s (%s): nothing was rotated; see that its API server "
                         "was restarted with the present encryption config",
                         name, v->subject, answer);
    snprintf(doing, sizeof(doing), "getting %s in %s", c->kind->resource, c->namespace);
    return servers_refused(&v->servers, i, verdict, doing, answer, err);
}

static int read_through(struct readable *v, const struct canary *c, size_t i, int64_t until,
                        struct error *err)
{
    _cleanup_(buf_freep) struct buf reply = BUF_INIT(KUBE_REPLY_MAX);
    char answer[ANSWER_TEXT_MAX] = "";
    enum verdict verdict = VERDICT_LATER;
    for (unsigned attempt = 0;; attempt++) {
        int64_t left = until - clock_mono_ms();
        if (job_canceled(v->job))
            return error_set(err, ERR_CANCELED, "the proof was stopped");
        if (left <= 0)
            return error_set(err, ERR_TIMEOUT, UNTRIED_PREFIX "the servers before %s took too long",
                             servers_name(&v->servers, i));
        int rc = servers_ask(&v->servers, i, "GET", c->path, NULL, left < GET_MS ? (int)left : GET_MS, &reply,
                             &verdict, answer, err);
        if (rc < 0)
            return rc;
        if (verdict != VERDICT_MISSING || attempt == MISSING_TRIES)
            return judge(v, c, i, verdict, answer, &reply, err);
        job_wait(v->job, MISSING_WAIT);
    }
}

/* Ends with the first that fails: what hurts it goes at once. */
static int read_all(struct readable *v, const struct canary *c, int64_t until, size_t *ret_failed,
                    struct error *err)
{
    for (size_t i = 0; i < v->servers.count; i++) {
        int rc = read_through(v, c, i, until, err);
        if (rc == 0)
            continue;
        *ret_failed = i;
        return rc;
    }
    return 0;
}

static int take_out(struct readable *v, const struct canary *c, int64_t lease, struct error *err)
{
    int rc = canary_remove(v->o->datastore, c->etcd_key, REMOVE_MS, err);
    /* The lease has nothing left to do; if it cannot be revoked it ends by itself. */
    if (etcd_lease_revoke(v->o->datastore, lease, GET_MS, NULL) < 0 || rc < 0)
        return rc < 0 ? error_prefix(err, rc, "%s is gone within %d s", c->name, LEASE_S) : 0;
    return 0;
}

static int prove_kind(struct readable *v, const struct canary_kind *kind, struct error *err)
{
    struct canary c;
    struct error why = ERROR_INIT;
    int64_t lease = 0;
    size_t failed = v->servers.count;
    int rc = canary_make(v->o, kind, -1, &c, err);
    if (rc == 0)
        rc = etcd_lease_grant(v->o->datastore, LEASE_S, PUT_MS, &lease, err);
    if (rc < 0)
        return rc;
    int64_t until = clock_mono_ms() + STAND_MS;
    int found = put(v, &c, lease, &why);
    if (found == 0)
        found = read_all(v, &c, until, &failed, &why);
    int out =
        take_out(v, &c, lease, err); /* whatever happened: also a put that timed out may have been done */
    if (failed < v->servers.count)
        servers_found(&v->servers, failed, found, &why);
    v->values++;
    job_update_proof(v->job, publish, v);
    return found < 0 ? error_set(err, found, "%s", why.text) : out;
}

static int prove_by_canaries(struct readable *v, struct error *err)
{
    int rc = canary_sweep(v->o, err);
    for (size_t i = 0; rc == 0 && i < v->o->spec.resources_count; i++) {
        const struct canary_kind *kind = canary_kind(v->o->spec.resources[i]);
        if (kind)
            rc = prove_kind(v, kind, err);
    }
    struct error none = ERROR_INIT;
    for (size_t i = 0; rc == 0 && i < v->servers.count; i++)
        servers_found(&v->servers, i, 0, &none);
    return rc;
}

static int prove_by_lists(struct readable *v, const char *why, struct error *err)
{
    job_update_proof(v->job, set_method, "list");
    int rc = servers_list(&v->servers, &v->values, err);
    if (rc == 0)
        job_update_proof(v->job, set_why, (char *)why);
    return rc;
}

/* What the planner waited for before stands in the reports: the vector, the start, the readiness. */
static int prove_not_raw(struct readable *v, struct error *err)
{
    int rc = canary_sweep(v->o, err);
    return rc < 0 ? rc
                  : prove_by_lists(v,
                                   "not made by canary: the datastore cannot be read raw; the servers' files "
                                   "open the test vector, their API servers were started with them, and list "
                                   "everything",
                                   err);
}

static int prove(struct readable *v, struct error *err)
{
    char missing[CLUSTER_TEXT_MAX / 2], why[CLUSTER_TEXT_MAX];
    if (v->o->spec.not_raw)
        return prove_not_raw(v, err);
    canary_missing(v->o, missing, sizeof(missing));
    if (strcmp(v->o->config->canaries, "off") == 0)
        return prove_by_lists(v, "canaries are off: every object was listed through every server instead",
                              err);
    if (v->o->subject.provider == PROVIDER_IDENTITY)
        return prove_by_lists(v, "plain values: every object was listed through every server", err);
    job_update_proof(v->job, set_method, "canary");
    int rc = prove_by_canaries(v, err);
    if (rc < 0 || !*missing)
        return rc;
    snprintf(why, sizeof(why),
             "no canary can be made of %s: every object was listed through every server as well", missing);
    return prove_by_lists(v, why, err);
}

int readable_run(struct job *j, struct error *err)
{
    struct readable v = {.job = j, .o = job_opts(j)};
    job_key_text(&v.o->subject, v.subject);
    int rc = servers_open(j, &v.servers, err);
    if (rc == 0)
        rc = prove(&v, err);
    servers_close(&v.servers);
    return rc;
}
