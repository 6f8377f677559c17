#include "expand.h"

#include <stdio.h>
#include <string.h>

#include <base/text.h>

#include "owned.h"

#define THROTTLED 100 /* any rate */

static struct cluster_snapshot snapshot;
static struct cluster_spec spec;
static char hashes[2][256][8];

static const char *const server_names[MODEL_SERVERS] = {"s1", "s2", "s3", "s4", "s5"};
static const char *const key_names[MODEL_KEYS + 1] = {"", "k1", "k2", "k3", "k4"};
/* Phases that have a proof. */
static const enum phase proofs[] = {PHASE_OPENS,   PHASE_BACKUP, PHASE_READABLE,
                                    PHASE_WRITTEN, PHASE_VERIFY, PHASE_BACKUP_DROP,
                                    PHASE_DROP,    PHASE_RETURN, PHASE_FINAL};
#define PROOFS (sizeof(proofs) / sizeof(proofs[0]))

const char *file_hash(struct config_file f)
{
    return f.config ? hashes[f.foreign][f.config] : "";
}

/* ---------- what never changes in a scenario ---------- */

static void spec_init(void)
{
    memset(&spec, 0, sizeof(spec));
    for (size_t i = 0; i < model.scenario->servers; i++)
        text_copy(spec.servers[i].name, sizeof(spec.servers[i].name), server_names[i]);
    spec.servers_count = model.scenario->servers;
    spec.servers[0].role = model.scenario->split ? ROLE_ETCD : ROLE_ALL;
    text_copy(spec.resources[0], sizeof(spec.resources[0]), "secrets");
    spec.resources_count = 1;
    spec.snapshots = model.scenario->snapshots;
    spec.canaries = true;
    spec.not_raw = model.scenario->not_raw;
    spec.auto_repair = model.scenario->auto_repair;
    spec.owned = model.scenario->owned;
    spec.escrow_days = 90;
}

/* Only what a model fills: there is room for far more. */
static void snapshot_init(void)
{
    snapshot_clear(&snapshot);
    memset(snapshot.servers, 0, MODEL_SERVERS * sizeof(snapshot.servers[0]));
    memset(snapshot.bundles, 0, MODEL_GENERATIONS * sizeof(snapshot.bundles[0]));
    memset(snapshot.escrow, 0, sizeof(snapshot.escrow));
    memset(snapshot.requests, 0, sizeof(snapshot.requests));
    for (size_t i = 0; i < PROOFS; i++) {
        memset(&snapshot.proofs.proofs[i], 0, offsetof(struct cluster_proof, servers));
        snapshot.proofs.proofs[i].servers_count = 0;
    }
}

void expand_init(void)
{
    for (unsigned f = 0; f < 2; f++)
        for (unsigned c = 0; c < 256; c++)
            snprintf(hashes[f][c], sizeof(hashes[f][c]), "%c%02x", f ? 'f' : 'h', c);
    spec_init();
    snapshot_init();
    snapshot.now_ms = 1000000;
    snapshot.has_spec = true;
    cluster_spec_copy(&spec, &snapshot.spec);
    snapshot.servers_count = spec.servers_count;
    for (size_t i = 0; i < spec.servers_count; i++) {
        struct snapshot_server *v = &snapshot.servers[i];
        text_copy(v->name, sizeof(v->name), server_names[i]);
        text_copy(v->report_why, sizeof(v->report_why), "silent");
        v->in_spec = true;
        v->report_mod = 1;
        v->order.given_ms = 1;
    }
    for (size_t i = 0; i < PROOFS; i++)
        snapshot.proofs.proofs[i].phase = proofs[i];
    snapshot.proofs.proofs_count = PROOFS;
    snapshot.has_proofs = true;
}

/* ---------- a state ---------- */

static const char *operation_name(unsigned op)
{
    static const char *const names[] = {[OP_OLD] = "old", [OP_NOW] = "op", [OP_REPAIRS] = "repair"};
    return names[op];
}

static void put(char *to, const char *from)
{
    memcpy(to, from, strlen(from) + 1); /* all are shorter than any field */
}

static void expand_order(const struct model_order *o, struct snapshot_server *v)
{
    v->has_order = o->id != 0;
    v->order_mod = o->id;
    v->order.id = o->id;
    v->order.kind = (enum order_kind)o->kind;
    v->order.generation = o->gen;
    v->order.stage = (enum stage)o->stage;
    v->order.fence = o->fence;
    put(v->order.operation, operation_name(o->op));
    put(v->order.hash, file_hash((struct config_file){o->config, 0}));
}

static void expand_server(const struct model_state *s, size_t i)
{
    const struct model_server *m = &s->servers[i];
    struct snapshot_server *v = &snapshot.servers[i];
    struct cluster_report *r = &v->report;
    v->reports = !m->report.silent;
    r->ready = m->report.ready;
    r->stage = (enum stage)m->report.stage;
    r->generation = r->vector_generation = m->report.gen;
    r->loaded_known = m->report.known && m->report.loaded.config;
    r->order_id = m->report.order_id;
    r->order_state = (enum order_state)m->report.order_state;
    put(r->hash, file_hash(m->report.file));
    put(r->config_id, file_hash(m->report.file));
    put(r->loaded_hash, file_hash(m->report.loaded));
    expand_order(&m->given, v);
}

/* The servers that a restart is about, where it is not about all of them. */
static size_t named(char out[][CLUSTER_NAME_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < model.scenario->servers; i++)
        if (model.scenario->named >> i & 1u)
            put(out[count++], server_names[i]);
    return count;
}

static void expand_operation(const struct model_rotation *m, struct cluster_operation *op)
{
    put(op->id, m->has_op ? "op" : "");
    op->kind = (enum operation_kind)m->kind;
    op->state = (enum operation_state)m->state;
    op->skip = m->skip;
    op->restart = !model.scenario->manual;
    op->phase = (enum phase)m->phase;
    op->step = STEP_NOW;
    op->from = m->from;
    op->target = m->target;
    op->before = m->before;
    op->touched = m->touched;
    op->stage_before = (enum stage)m->stage_before;
    op->passes = m->passes;
    put(op->target_hash, file_hash((struct config_file){m->target_config, 0}));
    put(op->also, file_hash((struct config_file){m->also, 0}));
    put(op->aborts, m->aborts ? "aborted" : "");
    put(op->engine, m->datastore ? "datastore" : "");
    op->offline = m->offline;
    op->max_rate = m->throttled ? THROTTLED : -1;
    op->restarted = m->restarted;
    op->ends = m->ends;
    op->servers_count = m->kind == OP_RESTART ? named(op->servers) : 0;
    put(op->key, key_names[m->key]);
    put(op->row, "");
    put(op->why, "");
    put(op->on, "");
}

static void expand_rotation(const struct model_rotation *m, struct cluster_rotation *r)
{
    r->stage = (enum stage)m->stage;
    r->generation = m->generation;
    r->issued = m->issued;
    r->next_order = m->next_order;
    r->reads_plain = m->reads_plain;
    r->keys = m->keys;
    r->base = m->base;
    r->base_stage = (enum stage)m->base_stage;
    r->promoted = m->promoted;
    put(r->hash, file_hash((struct config_file){m->config, 0}));
    put(r->write_key, key_names[m->write_key]);
    put(r->new_key, key_names[m->new_key]);
    put(r->old_key, key_names[m->old_key]);
    expand_operation(m, &r->op);
}

static void expand_bundles(const struct model_record *m)
{
    size_t n = 0;
    for (size_t g = 1; g < MODEL_GENERATIONS; g++) {
        const struct config_file file = {m->bundles[g].config, 0};
        struct snapshot_bundle *b = &snapshot.bundles[n];
        if (!file.config)
            continue;
        b->generation = (int64_t)g;
        b->stage = (enum stage)m->bundles[g].stage;
        b->has_vector = writes(file.config) != 0;
        b->created_ms = snapshot.now_ms;
        put(b->hash, file_hash(file));
        put(b->config_id, file_hash(file));
        n++;
    }
    snapshot.bundles_count = n;
    snapshot.escrow_count = 0;
    for (size_t k = 1; k <= MODEL_KEYS; k++)
        if (m->escrow & KEY_BIT(k)) {
            put(snapshot.escrow[snapshot.escrow_count].name, key_names[k]);
            put(snapshot.escrow[snapshot.escrow_count].provider, "aescbc");
            snapshot.escrow[snapshot.escrow_count++].until_ms = INT64_MAX;
        }
}

static void expand_proof(const struct model_busy *b, enum phase phase, struct cluster_proof *p)
{
    bool newest = b->proof.state && b->proof.phase == phase;
    bool made = b->made >> phase & 1u; /* kept only where the mutation lets it count */
    p->state = newest ? (enum proof_state)b->proof.state : made ? PROOF_MADE : PROOF_NONE;
    p->step = newest || made ? STEP_NOW : STEP_NOW - 1;
    p->attempts = newest ? b->proof.attempts : 1;
    p->time_ms = 0; /* long ago: the pause between attempts is over */
}

static void expand_proofs(const struct model_busy *b)
{
    for (size_t i = 0; i < PROOFS; i++)
        expand_proof(b, proofs[i], &snapshot.proofs.proofs[i]);
    snapshot.has_reencrypt = b->rewritten != RE_NONE;
    put(snapshot.reencrypt.operation, "op");
    snapshot.reencrypt.step = b->rewritten_now ? STEP_NOW : STEP_NOW - 1;
    snapshot.reencrypt.state = b->rewritten == RE_FAILED ? REENCRYPT_FAILED : REENCRYPT_ENDED;
}

static void expand_request(const struct model_busy *b)
{
    struct cluster_request *r = &snapshot.requests[0].request;
    snapshot.requests_count = b->request ? 1 : 0;
    if (!b->request)
        return;
    r->kind = (enum operation_kind)(b->request - 1);
    r->restart = !model.scenario->manual;
    r->skip = model.scenario->skip;
    r->offline = model.scenario->engine == MODEL_OFFLINE;
    r->max_rate = r->kind == OP_THROTTLE ? THROTTLED : -1;
    put(r->engine, model.scenario->engine == MODEL_API ? "" : "datastore");
    r->servers_count = r->kind == OP_RESTART ? named(r->servers) : 0;
    r->ttl_s = 60;
    put(r->lease, "1");
    put(r->id, "request");
    put(r->server, server_names[b->request_server]);
    put(r->key, "k1");
}

struct cluster_snapshot *expand(const struct model_state *s, size_t coordinator,
                                struct planner_self *ret_self)
{
    const struct model_job *job = &s->busy.job[coordinator];
    for (size_t i = 0; i < spec.servers_count; i++)
        expand_server(s, i);
    snapshot.has_rotation = s->record.rotation.has_op || s->record.rotation.generation;
    snapshot.rotation_mod = 1;
    expand_rotation(&s->record.rotation, &snapshot.rotation);
    for (size_t i = 0; (model.mutations & MUTATE_HASTY) && i < spec.servers_count; i++)
        snapshot.rotation.op.restarted += s->servers[i].given.id && s->servers[i].given.op == OP_NOW;
    expand_bundles(&s->record);
    expand_proofs(&s->busy);
    expand_request(&s->busy);
    put(snapshot.unknown_api, s->busy.unknown ? "10.0.0.14" : "");
    snapshot.leader_fence = s->busy.fence;
    snapshot.has_lock = s->busy.lock;
    snapshot.lock_mod = s->busy.lock;
    *ret_self = (struct planner_self){
        .server = server_names[0],
        .fence = s->busy.fence,
        .spec = &spec,
        .job_running = job->state != JOB_NONE,
        .job_operation = job->now ? "op" : "old",
        .job_step = job->now ? STEP_NOW : STEP_NOW - 1,
        .watching = job->watching,
        .passes_max = model.scenario->passes,
        .attempts_max = model.scenario->attempts,
        .closed = s->busy.closed ? "closed" : NULL,
    };
    return &snapshot;
}

/* ---------- back ---------- */

static uint8_t hash_config(const char *hash)
{
    unsigned c = 0;
    return hash[0] && sscanf(hash + 1, "%x", &c) == 1 ? (uint8_t)c : 0;
}

static uint8_t key_number(const char *name)
{
    return name[0] ? (uint8_t)(name[1] - '0') : 0;
}

void order_pack(const struct cluster_order *o, struct model_order *ret)
{
    *ret = (struct model_order){
        .id = (uint8_t)o->id,
        .kind = (uint8_t)o->kind,
        .op = strcmp(o->operation, "op") == 0 || strcmp(o->operation, "new") == 0 ? OP_NOW : OP_REPAIRS,
        .gen = (uint8_t)o->generation,
        .config = hash_config(o->hash),
        .stage = (uint8_t)o->stage,
        .fence = (uint8_t)o->fence,
        .from = (uint8_t)o->from,
        .call = (uint8_t)owned_call(o->call),
    };
}

void rotation_pack(const struct cluster_rotation *r, const struct model_rotation *before,
                   struct model_rotation *ret)
{
    const struct cluster_operation *op = &r->op;
    *ret = (struct model_rotation){
        .stage = (uint8_t)r->stage,
        .generation = (uint8_t)r->generation,
        .config = hash_config(r->hash),
        .issued = (uint8_t)r->issued,
        .next_order = (uint8_t)r->next_order,
        .write_key = key_number(r->write_key),
        .new_key = key_number(r->new_key),
        .old_key = key_number(r->old_key),
        .reads_plain = r->reads_plain,
        .keys = (uint8_t)r->keys,
        .base = (uint8_t)r->base,
        .base_stage = (uint8_t)r->base_stage,
        .promoted = r->promoted,
        .has_op = op->id[0] != 0,
        .kind = (uint8_t)op->kind,
        .state = (uint8_t)op->state,
        .phase = (uint8_t)op->phase,
        .skip = op->skip,
        .from = (uint8_t)op->from,
        .target = (uint8_t)op->target,
        .target_config = hash_config(op->target_hash),
        .before = (uint8_t)op->before,
        .touched = op->touched,
        .also = hash_config(op->also),
        .aborts = op->aborts[0] != 0,
        .stage_before = (uint8_t)op->stage_before,
        .passes = (uint8_t)op->passes,
        .key = key_number(op->key),
        .datastore = strcmp(op->engine, "datastore") == 0,
        .offline = op->offline,
        .throttled = op->max_rate == THROTTLED,
        .restarted = (uint8_t)op->restarted,
        .ends = op->ends,
        .new_keys = before->new_keys,
    };
}
