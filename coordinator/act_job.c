/* Steps that start, publish and end the coordinator's own work. */
#include "act.h"

#include <inttypes.h>

#include <base/clock.h>
#include <base/log.h>
#include <base/text.h>

#include "backup.h"

/* ---------- what a job is told ---------- */

static const struct {
    enum phase phase;
    enum job_kind kind;
    const char *words;   /* for the log */
    const char *not_raw; /* the same where values cannot be counted; NULL: no other */
} jobs[] = {
    {PHASE_REWRITE, JOB_REWRITE, "rewriting values", NULL},
    {PHASE_OPENS, JOB_OPENS, "opening every value", "listing every object"},
    {PHASE_BACKUP, JOB_BACKUP, "saving the datastore", NULL},
    {PHASE_BACKUP_DROP, JOB_BACKUP, "saving the datastore", NULL},
    {PHASE_READABLE, JOB_READABLE, "proving that every server reads the key", NULL},
    {PHASE_WRITTEN, JOB_WRITTEN, "proving that every server writes with the key", NULL},
    {PHASE_VERIFY, JOB_SCAN, "counting values", "rewriting values once more"},
    {PHASE_FINAL, JOB_SCAN, "counting values once more", "listing every object"},
    {PHASE_DROP, JOB_WATCH, "watching new writes", NULL},
    {PHASE_RETURN, JOB_WATCH, "watching new writes", NULL},
};

static size_t job_of(enum phase phase)
{
    for (size_t i = 0; i < array_len(jobs); i++)
        if (jobs[i].phase == phase)
            return i;
    return 0;
}

static struct resource_set managed(const struct coordinator *c, const char *names[CLUSTER_RESOURCES_MAX])
{
    for (size_t i = 0; i < c->spec.resources_count; i++)
        names[i] = c->spec.resources[i];
    return (struct resource_set){names, c->spec.resources_count};
}

static void keep_add(struct job_options *o, enum provider provider, const char *name)
{
    struct job_key *k = &o->keep[o->keep_count++];
    k->provider = provider;
    text_copy(k->name, sizeof(k->name), name);
}

/* The keys under which values may stay: going forwards the one that writes; going back all of the config to
 * which the way leads. */
static int keep(struct coordinator *c, const struct cluster_snapshot *s, struct job_options *o,
                struct error *err)
{
    const char *names[CLUSTER_RESOURCES_MAX];
    struct resource_set set = managed(c, names);
    const struct cluster_rotation *r = &s->rotation;
    bool back = r->op.kind == OP_ABORT;
    struct key_view keys[ENCRYPTION_KEYS_MAX];
    _cleanup_(encryption_config_freep) struct encryption_config *base = NULL;
    const struct encryption_config *config = o->encryption;
    if (back && r->base > 0) {
        int rc = issue_open(c, r->base, &base, err);
        if (rc < 0)
            return rc;
        config = base;
    }
    size_t count = encryption_keys(config, set, keys, ENCRYPTION_KEYS_MAX);
    bool any = false;
    for (size_t i = 0; i < count; i++)
        if (back || keys[i].active) {
            keep_add(o, keys[i].provider, keys[i].name);
            any |= keys[i].active;
        }
    if (!any || (back && encryption_can_read(config, set, PROVIDER_IDENTITY, NULL)))
        keep_add(o, PROVIDER_IDENTITY, "");
    return 0;
}

static int subject_from(const char *provider, const char *name, struct job_key *ret, struct error *err)
{
    text_copy(ret->name, sizeof(ret->name), name);
    return provider_parse(provider, &ret->provider, err);
}

/* The key that a proof is about: that will write next, was brought back, or writes now. */
static int subject(const struct cluster_snapshot *s, struct job_options *o, struct error *err)
{
    const struct cluster_rotation *r = &s->rotation;
    o->subject = (struct job_key){.provider = PROVIDER_IDENTITY};
    if (o->kind == JOB_READABLE && r->op.kind == OP_RESTORE_KEY)
        return subject_from(r->op.key_provider, r->op.key, &o->subject, err);
    if (o->kind == JOB_READABLE && r->new_key[0])
        return subject_from(r->new_provider, r->new_key, &o->subject, err);
    /* Before an enable the first key of the list is the one that will write. */
    if (o->kind == JOB_READABLE && o->keys_count > 0) {
        o->subject.provider = o->keys[0].provider;
        text_copy(o->subject.name, sizeof(o->subject.name), o->keys[0].name);
        return 0;
    }
    return r->write_key[0] ? subject_from(r->write_provider, r->write_key, &o->subject, err) : 0;
}

/* The watch goes on where the last one came to, or right behind the scan. */
static int64_t watch_from(const struct cluster_snapshot *s, const struct job_options *o)
{
    const struct cluster_proof *scan = snapshot_proof(s, PHASE_VERIFY);
    int64_t from = scan ? scan->revision : 0;
    return (o->proof.revision > from ? o->proof.revision : from) + 1;
}

/* A job asks API servers: those that have none are left out of its list. */
static void take_spec(const struct cluster_spec *spec, struct cluster_spec *ret)
{
    *ret = *spec;
    ret->servers_count = 0;
    for (size_t i = 0; i < spec->servers_count; i++)
        if (spec->servers[i].role != ROLE_ETCD)
            ret->servers[ret->servers_count++] = spec->servers[i];
}

static int describe(struct coordinator *c, const struct cluster_snapshot *s, struct job_options *o,
                    struct error *err)
{
    const char *names[CLUSTER_RESOURCES_MAX];
    const struct cluster_operation *op = &s->rotation.op;
    o->config = c->config;
    o->datastore = c->datastore;
    take_spec(&c->spec, &o->spec);
    o->step = op->step;
    o->leadership = c->fence;
    text_copy(o->operation, sizeof(o->operation), op->id);
    if (s->has_reencrypt && strcmp(s->reencrypt.operation, o->operation) == 0)
        o->so_far = s->reencrypt;
    text_copy(o->so_far.operation, sizeof(o->so_far.operation), o->operation);
    bool straight = !o->spec.not_raw && strcmp(op->engine, "datastore") == 0;
    o->engine = straight ? ENGINE_DATASTORE : ENGINE_API;
    o->offline = straight && op->offline;
    if (o->kind == JOB_BACKUP)
        return backup_name(op->id, op->phase == PHASE_BACKUP ? "rewrite" : "drop", o->snapshot_name, err);
    int rc = issue_open(c, s->rotation.generation, &o->encryption, err);
    if (rc < 0)
        return rc;
    o->keys_count = encryption_keys(o->encryption, managed(c, names), o->keys, ENCRYPTION_KEYS_MAX);
    o->from_revision = watch_from(s, o);
    rc = subject(s, o, err);
    return rc < 0 ? rc : keep(c, s, o, err);
}

/* Which step the record of the rewriting is of, from now on. A rewrite of another step is done with; the
 * record that a scan adds its counts to is kept; where nothing can be counted the scan is a second pass. */
static void begin_record(const struct cluster_operation *op, struct job_options *o)
{
    bool again = o->spec.not_raw && op->phase == PHASE_VERIFY;
    o->rewritten_before = again && o->so_far.state == REENCRYPT_ENDED && o->so_far.step == o->step - 1;
    if (o->kind == JOB_REWRITE && o->so_far.step != o->step)
        memset(&o->so_far, 0, sizeof(o->so_far));
    text_copy(o->so_far.operation, sizeof(o->so_far.operation), o->operation);
    o->so_far.step = o->kind == JOB_REWRITE || again ? o->step : o->so_far.step;
}

static int start_job(struct coordinator *c, const struct cluster_snapshot *s,
                     const struct cluster_proof *proof, struct error *err)
{
    size_t which = job_of(s->rotation.op.phase);
    _cleanup_free_ struct job_options *o = calloc(1, sizeof(*o));
    if (!o)
        return error_no_memory(err);
    o->kind = jobs[which].kind;
    if (proof)
        o->proof = *proof;
    int rc = describe(c, s, o, err);
    if (rc == 0) {
        begin_record(&s->rotation.op, o);
        job_free(take(c->job));
        rc = job_start(o, &c->job, err);
    }
    if (rc < 0) {
        encryption_config_free(o->encryption);
        return rc;
    }
    bool otherwise = o->spec.not_raw && jobs[which].not_raw;
    log_event(LOG_LEVEL_NOTICE, otherwise ? jobs[which].not_raw : jobs[which].words,
              LOG_S("operation", o->operation), LOG_S("phase", phase_name(s->rotation.op.phase)),
              LOG_I("step", o->step));
    return 0;
}

/* ---------- the record of proofs ---------- */

static void set_proof(struct cluster_proofs *all, const struct cluster_proof *p)
{
    size_t i = 0;
    while (i < all->proofs_count && all->proofs[i].phase != p->phase)
        i++;
    if (i == CLUSTER_PROOFS_MAX)
        i = CLUSTER_PROOFS_MAX - 1; /* there are fewer phases than that */
    cluster_proof_copy(p, &all->proofs[i]);
    if (i == all->proofs_count)
        all->proofs_count++;
}

int act_put_proof(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                  const struct cluster_proof *proof, struct error *err)
{
    _cleanup_free_ struct cluster_proofs *all = calloc(1, sizeof(*all));
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    if (!all)
        return error_no_memory(err);
    if (s->has_proofs)
        cluster_proofs_copy(&s->proofs, all);
    text_copy(all->operation, sizeof(all->operation), s->rotation.op.id);
    set_proof(all, proof);
    int rc = cluster_proofs_encode(all, &body, err);
    return rc < 0 ? rc : store_txn_put(c->store, t, CLUSTER_KEY_PROOFS, NULL, &body, 0, err);
}

static void take_over_proof(struct cluster_snapshot *s, const struct cluster_proof *proof)
{
    if (!s->has_proofs)
        s->proofs.proofs_count = 0;
    text_copy(s->proofs.operation, sizeof(s->proofs.operation), s->rotation.op.id);
    set_proof(&s->proofs, proof);
    s->has_proofs = true;
}

/* ---------- steps ---------- */

static int put_proof_now(struct coordinator *c, struct cluster_snapshot *s, const struct cluster_proof *proof,
                         struct error *err)
{
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    int rc = act_put_proof(c, s, t, proof, err);
    if (rc == 0)
        rc = etcd_txn_commit(t, STORE_DEADLINE_MS, NULL, err);
    if (rc == 0)
        take_over_proof(s, proof);
    return rc;
}

/* A job that cannot be started is an attempt that ended: the next one comes after a pause, not at once. */
static int unstarted(struct coordinator *c, struct cluster_snapshot *s, struct cluster_proof *proof, int rc,
                     struct error *err)
{
    struct error ignored = ERROR_INIT;
    proof->state = PROOF_UNMADE;
    proof->time_ms = clock_wall_ms();
    text_copy(proof->why, sizeof(proof->why), err->text);
    (void)put_proof_now(c, s, proof, &ignored); /* the reason to tell is the first one */
    return rc;
}

/* The attempt is recorded first: only the leader may start, and a successor sees how often it was tried. */
int act_prove(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    (void)d;
    struct cluster_proof proof;
    rotation_proof_begin(s, &proof);
    int rc = put_proof_now(c, s, &proof, err);
    if (rc < 0)
        return rc;
    rc = start_job(c, s, &proof, err);
    return rc < 0 ? unstarted(c, s, &proof, rc, err) : 0;
}

int act_watch(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d, struct error *err)
{
    return act_prove(c, s, d, err);
}

int act_rewrite(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                struct error *err)
{
    struct cluster_rotation r = s->rotation;
    rotation_rewrite(d, &r);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    int rc = act_commit(c, s, t, &r, err); /* first: only the leader may start */
    return rc < 0 ? rc : start_job(c, s, NULL, err);
}

int act_rewrite_again(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                      struct error *err)
{
    struct cluster_rotation r = s->rotation;
    rotation_rewrite_again(d, &r);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    act_delete(c, t, CLUSTER_KEY_REENCRYPT, NULL);
    int rc = act_commit(c, s, t, &r, err);
    if (rc == 0)
        log_event(LOG_LEVEL_WARNING, "another pass", LOG_S("operation", r.op.id),
                  LOG_I("passes", r.op.passes), LOG_S("why", d->why));
    return rc;
}

int act_stop_job(struct coordinator *c, struct cluster_snapshot *s, const struct decision *d,
                 struct error *err)
{
    (void)s;
    (void)err;
    log_event(LOG_LEVEL_INFO, "job stopped", LOG_S("operation", c->job ? job_operation(c->job) : ""),
              LOG_S("why", d->why));
    job_free(take(c->job));
    return 0;
}

/* ---------- progress ---------- */

static int put_reencrypt(struct coordinator *c, struct etcd_txn *t, const struct cluster_reencrypt *r,
                         struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    int rc = cluster_reencrypt_encode(r, &body, err);
    return rc < 0 ? rc : store_txn_put(c->store, t, CLUSTER_KEY_REENCRYPT, NULL, &body, 0, err);
}

/* What a job reports belongs to the step that it was begun in. */
static bool belongs(const struct coordinator *c, const struct cluster_snapshot *s)
{
    const struct cluster_operation *op = &s->rotation.op;
    bool live = op->state == OP_STATE_RUNNING || op->state == OP_STATE_PAUSED;
    return live && strcmp(job_operation(c->job), op->id) == 0 && job_step(c->job) == op->step;
}

static void log_end(const struct coordinator *c, const struct cluster_reencrypt *r,
                    const struct cluster_proof *p)
{
    bool rewrite = job_kind_of(c->job) == JOB_REWRITE;
    bool bad = rewrite ? r->state == REENCRYPT_FAILED : p->state != PROOF_MADE;
    if (rewrite)
        log_event(bad ? LOG_LEVEL_ERROR : LOG_LEVEL_NOTICE, "values rewritten",
                  LOG_S("operation", r->operation), LOG_I("done", r->done), LOG_I("gone", r->gone),
                  LOG_I("failed", r->failed), LOG_S("why", r->why));
    else
        log_event(bad ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE, "proof ended",
                  LOG_S("operation", job_operation(c->job)), LOG_S("phase", phase_name(p->phase)),
                  LOG_S("state", proof_state_name(p->state)), LOG_S("method", p->method),
                  LOG_I("revision", p->revision), LOG_I("values", p->values), LOG_I("attempts", p->attempts),
                  LOG_S("why", p->why));
}

int act_progress(struct coordinator *c, struct cluster_snapshot *s, struct error *err)
{
    _cleanup_free_ struct cluster_reencrypt *r = calloc(1, sizeof(*r));
    struct cluster_proof proof;
    if (!r)
        return error_no_memory(err);
    if (!belongs(c, s))
        return 0; /* the planner has a row that ends it */
    bool ended = job_ended(c->job);
    enum job_kind kind = job_kind_of(c->job);
    job_progress(c->job, r);
    job_proof(c->job, &proof);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    int rc = 0;
    if (kind == JOB_REWRITE || kind == JOB_SCAN)
        rc = put_reencrypt(c, t, r, err);
    if (rc == 0 && kind != JOB_REWRITE)
        rc = act_put_proof(c, s, t, &proof, err);
    if (rc == 0)
        rc = etcd_txn_commit(t, STORE_DEADLINE_MS, NULL, err);
    if (rc < 0)
        return rc;
    if (kind == JOB_REWRITE || kind == JOB_SCAN) {
        s->reencrypt = *r;
        s->has_reencrypt = true;
    }
    if (kind != JOB_REWRITE)
        take_over_proof(s, &proof);
    if (ended) {
        log_end(c, r, &proof);
        job_free(take(c->job));
    }
    return 0;
}
