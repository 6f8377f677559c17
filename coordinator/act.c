/* Takes one decided step. Every write is a transaction that compares the create revision of our leader key
 * and the mod revision of the rotation record that was read: a deposed coordinator writes nothing, and every
 * step can be repeated. */
#include "coordinator.h"

#include <inttypes.h>

#include <base/clock.h>
#include <base/log.h>
#include <base/text.h>
#include <rotation/transition.h>

#define ANSWER_TTL_S 600

/* ---------- fenced transactions ---------- */

static struct etcd_txn *fenced(struct coordinator *c, const struct cluster_snapshot *s)
{
    char path[CLUSTER_KEY_PATH_MAX];
    struct etcd_txn *t = etcd_txn_new(store_etcd(c->store));
    cluster_key_path(path, store_cluster(c->store), CLUSTER_KEY_LEADER, NULL);
    etcd_txn_if_create(t, path, c->fence);
    cluster_key_path(path, store_cluster(c->store), CLUSTER_KEY_ROTATION, NULL);
    etcd_txn_if_mod(t, path, s->rotation_mod);
    return t;
}

static int put_rotation(struct coordinator *c, struct etcd_txn *t, const struct cluster_rotation *r,
                        struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    int rc = cluster_rotation_encode(r, &body, err);
    return rc < 0 ? rc : store_txn_put(c->store, t, CLUSTER_KEY_ROTATION, NULL, &body, 0, err);
}

static void txn_delete(struct coordinator *c, struct etcd_txn *t, enum cluster_key key, const char *name)
{
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(path, store_cluster(c->store), key, name);
    etcd_txn_delete(t, path);
}

/* Puts the rotation record and commits; the snapshot then holds what was written. */
static int commit(struct coordinator *c, struct cluster_snapshot *s, struct etcd_txn *t,
                  const struct cluster_rotation *r, struct error *err)
{
    int64_t revision = 0;
    int rc = put_rotation(c, t, r, err);
    if (rc == 0)
        rc = etcd_txn_commit(t, STORE_DEADLINE_MS, &revision, err);
    if (rc < 0)
        return rc;
    s->rotation = *r;
    s->has_rotation = true;
    s->rotation_mod = revision;
    return 0;
}

/* ---------- requests ---------- */

static int answer(struct coordinator *c, struct etcd_txn *t, const struct cluster_request *request,
                  enum answer what, const char *operation, const char *why, struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    struct cluster_request r = *request;
    int64_t lease = 0;
    r.answer = what;
    text_copy(r.operation, sizeof(r.operation), operation);
    text_copy(r.why, sizeof(r.why), why);
    /* The answer outlives the CLI's own lease only as long as anybody may still look for it. */
    int rc = etcd_lease_grant(store_etcd(c->store), ANSWER_TTL_S, STORE_DEADLINE_MS, &lease, err);
    if (rc == 0)
        rc = cluster_request_encode(&r, &body, err);
    if (rc == 0)
        rc = store_txn_put(c->store, t, CLUSTER_KEY_REQUEST, r.id, &body, lease, err);
    return rc;
}

/* The request must still be the one that was read, and unanswered. */
static void guard_request(struct coordinator *c, struct etcd_txn *t, const struct cluster_snapshot *s,
                          size_t i)
{
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(path, store_cluster(c->store), CLUSTER_KEY_REQUEST, s->requests[i].request.id);
    etcd_txn_if_mod(t, path, s->requests[i].mod);
}

static int act_refuse(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                      struct error *err)
{
    const struct cluster_request *request = &s->requests[d->request].request;
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = fenced(c, s);
    guard_request(c, t, s, d->request);
    int rc = answer(c, t, request, ANSWER_REFUSED, "", d->why, err);
    if (rc == 0)
        rc = etcd_txn_commit(t, STORE_DEADLINE_MS, NULL, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "request refused", LOG_S("request", request->id),
                  LOG_S("kind", operation_kind_name(request->kind)), LOG_S("by", request->by),
                  LOG_S("why", d->why));
    return rc;
}

static int act_start(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                     struct error *err)
{
    struct cluster_rotation r = s->rotation;
    char id[CLUSTER_ID_MAX];
    int rc = crypto_uuid(id, err);
    if (rc < 0)
        return rc;
    rotation_start(s, d, id, &r);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = fenced(c, s);
    guard_request(c, t, s, d->request);
    rc = answer(c, t, &s->requests[d->request].request, ANSWER_ACCEPTED, id, "", err);
    if (rc < 0)
        return rc;
    txn_delete(c, t, CLUSTER_KEY_REENCRYPT, NULL);
    rc = commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "operation started", LOG_S("operation", id),
                  LOG_S("kind", operation_kind_name(r.op.kind)), LOG_S("by", r.op.requested_by),
                  LOG_S("phase", phase_name(r.op.phase)));
    return rc;
}

static int act_adopt(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                     struct error *err)
{
    struct cluster_rotation r = s->rotation;
    char id[CLUSTER_ID_MAX];
    int rc = crypto_uuid(id, err);
    if (rc < 0)
        return rc;
    rotation_adopt(s, d, id, &r);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = fenced(c, s);
    rc = commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "adopting the present encryption config", LOG_S("operation", id));
    return rc;
}

static int act_resume(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                      struct error *err)
{
    struct cluster_rotation r = s->rotation;
    bool drop_progress = false;
    rotation_resume(s, d, &r, &drop_progress);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = fenced(c, s);
    guard_request(c, t, s, d->request);
    int rc = answer(c, t, &s->requests[d->request].request, ANSWER_RESUMED, r.op.id, "", err);
    if (rc < 0)
        return rc;
    if (drop_progress)
        txn_delete(c, t, CLUSTER_KEY_REENCRYPT, NULL);
    for (size_t i = 0; i < s->servers_count; i++)
        if (rotation_resume_drops_order(&s->servers[i]))
            txn_delete(c, t, CLUSTER_KEY_ORDER, s->servers[i].name);
    rc = commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "operation resumed", LOG_S("operation", r.op.id),
                  LOG_I("attempt", r.op.attempt), LOG_S("phase", phase_name(r.op.phase)));
    return rc;
}

/* ---------- the operation ---------- */

static int act_publish_spec(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                            struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = fenced(c, s);
    cluster_key_path(path, store_cluster(c->store), CLUSTER_KEY_SPEC, NULL);
    etcd_txn_if_mod(t, path, s->spec_mod);
    int rc = cluster_spec_encode(&c->spec, &body, err);
    if (rc == 0)
        rc = store_txn_put(c->store, t, CLUSTER_KEY_SPEC, NULL, &body, 0, err);
    if (rc == 0)
        rc = etcd_txn_commit(t, STORE_DEADLINE_MS, NULL, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "servers' list published", LOG_I("servers", c->spec.servers_count),
                  LOG_S("why", d->why));
    return rc;
}

static int act_halt(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                    struct error *err)
{
    struct cluster_rotation r = s->rotation;
    rotation_halt(s, d, &r);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = fenced(c, s);
    int rc = commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_ERROR, "operation halted", LOG_S("operation", r.op.id),
                  LOG_S("phase", phase_name(r.op.phase)), LOG_S("row", d->row), LOG_S("why", d->why));
    return rc;
}

/* A config that cannot be made will not come right by itself: the operation halts with the reason. */
static int issue_failed(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, int rc,
                        struct error *err)
{
    if (error_is_transient(rc) && rc != ERR_CONFLICT)
        return rc;
    struct decision halt = *d;
    text_copy(halt.why, sizeof(halt.why), err->text);
    return act_halt(c, s, &halt, err);
}

static int act_issue(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                     struct error *err)
{
    struct cluster_rotation r = s->rotation;
    int64_t target = r.issued + 1;
    struct cluster_bundle bundle = {0};
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = fenced(c, s);
    int rc = 0;
    if (r.op.phase != PHASE_ADOPT) {
        struct error why = ERROR_INIT;
        rc = issue_bundle(c, &s->rotation.op, r.generation, target, &r, &bundle, &why);
        if (rc < 0) {
            if (err)
                *err = why;
            return issue_failed(c, s, d, rc, &why);
        }
        rc = store_txn_bundle(c->store, t, &bundle, err);
    }
    rotation_issued(d, target, bundle.hash, &r);
    if (rc == 0)
        rc = commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "generation issued", LOG_S("operation", r.op.id),
                  LOG_I("generation", target), LOG_S("phase", phase_name(r.op.phase)),
                  LOG_S("hash", bundle.hash), LOG_S("write_key", r.write_key), LOG_S("new_key", r.new_key));
    cluster_bundle_free(&bundle);
    return rc;
}

static int act_order(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                     struct error *err)
{
    const struct snapshot_server *v = &s->servers[d->server];
    char path[CLUSTER_KEY_PATH_MAX];
    struct cluster_rotation r = s->rotation;
    struct cluster_order o;
    rotation_order(s, d, c->fence, &r, &o);
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = fenced(c, s);
    cluster_key_path(path, store_cluster(c->store), CLUSTER_KEY_ORDER, v->name);
    etcd_txn_if_mod(t, path, v->order_mod);
    int rc = cluster_order_encode(&o, &body, err);
    if (rc == 0)
        rc = store_txn_put(c->store, t, CLUSTER_KEY_ORDER, v->name, &body, 0, err);
    if (rc == 0)
        rc = commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "order given", LOG_S("operation", r.op.id), LOG_S("server", v->name),
                  LOG_I("order", o.id), LOG_S("kind", order_kind_name(o.kind)),
                  LOG_I("generation", o.generation));
    return rc;
}

static int act_next_phase(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                          struct error *err)
{
    enum phase completed = s->rotation.op.phase;
    struct cluster_rotation r = s->rotation;
    if (!rotation_settle(s, &r))
        return error_set(err, ERR_INTERNAL, "generation %" PRId64 " is gone from the state store",
                         r.op.target);
    int rc = completed == PHASE_ADOPT ? issue_learn(c, r.generation, &r, err) : 0;
    if (rc < 0)
        return rc;
    rotation_advance(s, d, &r);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = fenced(c, s);
    rc = commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, r.op.phase == PHASE_DONE ? "operation finished" : "phase complete",
                  LOG_S("operation", r.op.id), LOG_S("completed", phase_name(completed)),
                  LOG_S("next", phase_name(r.op.phase)), LOG_S("stage", stage_name(r.stage)),
                  LOG_I("generation", r.generation), LOG_S("why", d->why));
    return rc;
}

/* ---------- jobs ---------- */

static int job_keys(struct coordinator *c, const struct cluster_snapshot *s, struct job_options *o,
                    struct encryption_config **ret_config, struct error *err)
{
    const char *names[CLUSTER_RESOURCES_MAX];
    for (size_t i = 0; i < c->spec.resources_count; i++)
        names[i] = c->spec.resources[i];
    _cleanup_(secret_freep) struct secret *text = NULL;
    int rc = store_bundle_open(c->store, s->rotation.generation, STORE_DEADLINE_MS, NULL, &text, err);
    if (rc == 0)
        rc = encryption_config_parse(text->data, text->len, "the present generation", ret_config, err);
    if (rc == 0)
        o->keys_count = encryption_keys(*ret_config, (struct resource_set){names, c->spec.resources_count},
                                        o->keys, ENCRYPTION_KEYS_MAX);
    return rc;
}

static int start_job(struct coordinator *c, const struct cluster_snapshot *s, enum job_kind kind,
                     struct error *err)
{
    _cleanup_(encryption_config_freep) struct encryption_config *config = NULL;
    _cleanup_free_ struct job_options *o = calloc(1, sizeof(*o));
    if (!o)
        return error_no_memory(err);
    o->kind = kind;
    o->config = c->config;
    o->datastore = c->datastore;
    o->spec = c->spec;
    text_copy(o->operation, sizeof(o->operation), s->rotation.op.id);
    if (s->has_reencrypt && strcmp(s->reencrypt.operation, o->operation) == 0)
        o->so_far = s->reencrypt;
    text_copy(o->so_far.operation, sizeof(o->so_far.operation), o->operation);
    int rc = job_keys(c, s, o, &config, err);
    if (rc < 0)
        return rc;
    job_free(c->job);
    c->job = NULL;
    rc = job_start(o, &c->job, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, kind == JOB_REWRITE ? "rewriting values" : "counting values",
                  LOG_S("operation", o->operation));
    return rc;
}

static int act_rewrite(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                       struct error *err)
{
    struct cluster_rotation r = s->rotation;
    rotation_rewrite(d, &r);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = fenced(c, s);
    int rc = commit(c, s, t, &r, err); /* first: only the leader may start */
    return rc < 0 ? rc : start_job(c, s, JOB_REWRITE, err);
}

static int act_scan(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                    struct error *err)
{
    (void)d;
    return start_job(c, s, JOB_SCAN, err);
}

static int act_rewrite_again(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                             struct error *err)
{
    struct cluster_rotation r = s->rotation;
    rotation_rewrite_again(d, &r);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = fenced(c, s);
    txn_delete(c, t, CLUSTER_KEY_REENCRYPT, NULL);
    int rc = commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_WARNING, "another pass", LOG_S("operation", r.op.id),
                  LOG_I("passes", r.op.passes), LOG_S("why", d->why));
    return rc;
}

int act_progress(struct coordinator *c, struct cluster_snapshot *s, struct error *err)
{
    _cleanup_free_ struct cluster_reencrypt *r = calloc(1, sizeof(*r));
    if (!r)
        return error_no_memory(err);
    bool ended = job_ended(c->job);
    job_progress(c->job, r);
    /* A record of another operation than the running one is nobody's progress. */
    if (strcmp(r->operation, s->rotation.op.id) != 0 || s->rotation.op.state != OP_STATE_RUNNING) {
        job_free(take(c->job));
        return 0;
    }
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = fenced(c, s);
    int rc = cluster_reencrypt_encode(r, &body, err);
    if (rc == 0)
        rc = store_txn_put(c->store, t, CLUSTER_KEY_REENCRYPT, NULL, &body, 0, err);
    if (rc == 0)
        rc = etcd_txn_commit(t, STORE_DEADLINE_MS, NULL, err);
    if (rc < 0)
        return rc;
    s->reencrypt = *r;
    s->has_reencrypt = true;
    if (ended) {
        log_event(r->state == REENCRYPT_FAILED ? LOG_LEVEL_ERROR : LOG_LEVEL_NOTICE,
                  job_kind_of(c->job) == JOB_REWRITE ? "values rewritten" : "values counted",
                  LOG_S("operation", r->operation), LOG_I("done", r->done), LOG_I("gone", r->gone),
                  LOG_I("failed", r->failed), LOG_I("values", r->scan_values), LOG_I("stale", r->scan_stale),
                  LOG_S("why", r->why));
        job_free(take(c->job));
    }
    return 0;
}

/* ---------- dispatch ---------- */

int act_note(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    struct cluster_rotation r = s->rotation;
    if (!rotation_note(s, d, &r))
        return 0;
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = fenced(c, s);
    return commit(c, s, t, &r, err);
}

static const struct {
    enum action action;
    int (*act)(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
               struct error *err);
} acts[] = {
    {ACTION_PUBLISH_SPEC, act_publish_spec},
    {ACTION_REFUSE, act_refuse},
    {ACTION_START, act_start},
    {ACTION_ADOPT, act_adopt},
    {ACTION_RESUME, act_resume},
    {ACTION_ISSUE, act_issue},
    {ACTION_ORDER, act_order},
    {ACTION_NEXT_PHASE, act_next_phase},
    {ACTION_REWRITE, act_rewrite},
    {ACTION_SCAN, act_scan},
    {ACTION_REWRITE_AGAIN, act_rewrite_again},
    {ACTION_HALT, act_halt},
};

int act(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    for (size_t i = 0; i < array_len(acts); i++)
        if (acts[i].action == d->action)
            return acts[i].act(c, s, d, err);
    return error_set(err, ERR_INTERNAL, "no way to %s", action_name(d->action));
}
