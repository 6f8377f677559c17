#include "fixture.h"

#include <base/text.h>

struct cluster_snapshot *fixture_cluster(int count, const char *prefix)
{
    struct cluster_snapshot *s = calloc(1, sizeof(*s));
    if (!s)
        abort();
    s->revision = 100;
    s->now_ms = NOW_MS;
    s->has_spec = s->has_rotation = true;
    s->spec.resources_count = 1;
    text_copy(s->spec.resources[0], CLUSTER_KEY_NAME_MAX, "secrets");
    for (int i = 0; i < count; i++) {
        struct snapshot_server *v = &s->servers[s->servers_count++];
        struct cluster_spec_server *p = &s->spec.servers[s->spec.servers_count++];
        char name[CLUSTER_NAME_MAX];
        snprintf(name, sizeof(name), "%s%d", prefix, i + 1);
        text_copy(v->name, sizeof(v->name), name);
        text_copy(p->name, sizeof(p->name), name);
        snprintf(p->api, sizeof(p->api), "https://10.0.0.%d:6443", i + 1);
        v->in_spec = v->reports = true;
        text_copy(v->report.server, sizeof(v->report.server), name);
        text_copy(v->report.driver, sizeof(v->report.driver), "exec");
        text_copy(v->report.version, sizeof(v->report.version), "0.1.0");
        text_copy(v->report.hash, sizeof(v->report.hash), OLD_HASH);
        text_copy(v->report.loaded_hash, sizeof(v->report.loaded_hash), OLD_HASH);
        text_copy(v->report.config_id, sizeof(v->report.config_id), OLD_ID);
        text_copy(v->report.process, sizeof(v->report.process), "pid 4711 since 2023-11-14T22:00:00Z");
        v->report.time_ms = NOW_MS - 1000;
        v->report.generation = v->report.loaded_generation = 1;
        v->report.loaded_known = v->report.ready = true;
    }
    s->bundles_count = 1;
    s->bundles[0].generation = 1;
    text_copy(s->bundles[0].hash, CLUSTER_HASH_MAX, OLD_HASH);
    s->rotation.generation = s->rotation.issued = 1;
    text_copy(s->rotation.hash, sizeof(s->rotation.hash), OLD_HASH);
    text_copy(s->rotation.write_key, sizeof(s->rotation.write_key), "aescbckey");
    text_copy(s->leader, sizeof(s->leader), s->servers[0].name);
    return s;
}

void fixture_operation(struct cluster_snapshot *s, enum operation_kind kind, enum phase phase,
                       enum stage stage)
{
    struct cluster_operation *op = &s->rotation.op;
    text_copy(op->id, sizeof(op->id), "op-1");
    op->kind = kind;
    op->state = OP_STATE_RUNNING;
    op->phase = phase;
    op->restart = true;
    op->attempt = 1;
    op->from = 1;
    op->target = 2;
    text_copy(op->target_hash, sizeof(op->target_hash), NEW_HASH);
    text_copy(op->requested_by, sizeof(op->requested_by), "root@s1");
    op->started_ms = op->phase_ms = NOW_MS - 12000;
    s->bundles_count = 2;
    s->bundles[1].generation = 2;
    s->bundles[1].stage = stage;
    text_copy(s->bundles[1].hash, CLUSTER_HASH_MAX, NEW_HASH);
    s->rotation.issued = 2;
}

void fixture_at_target(struct cluster_snapshot *s, int index)
{
    struct cluster_report *r = &s->servers[index].report;
    r->stage = s->bundles[1].stage;
    r->generation = r->loaded_generation = 2;
    text_copy(r->hash, sizeof(r->hash), NEW_HASH);
    text_copy(r->config_id, sizeof(r->config_id), NEW_ID);
    text_copy(r->loaded_hash, sizeof(r->loaded_hash), NEW_HASH);
}

void fixture_order(struct cluster_snapshot *s, int index, enum order_kind kind, enum order_state state)
{
    struct snapshot_server *v = &s->servers[index];
    v->has_order = true;
    v->order.id = 10 + index;
    v->order.kind = kind;
    v->order.generation = s->rotation.op.target;
    text_copy(v->order.operation, sizeof(v->order.operation), s->rotation.op.id);
    v->report.order_id = state == ORDER_NONE ? 0 : v->order.id;
    v->report.order_state = state;
}

struct cluster_proof *fixture_proof(struct cluster_snapshot *s, enum phase phase, enum proof_state state,
                                    const char *method)
{
    struct cluster_proof *p = &s->proofs.proofs[s->proofs.proofs_count++];
    s->has_proofs = true;
    text_copy(s->proofs.operation, CLUSTER_ID_MAX, s->rotation.op.id);
    p->phase = phase;
    p->step = s->rotation.op.step;
    p->state = state;
    p->generation = 2;
    p->revision = 9000;
    p->attempts = 1;
    p->time_ms = NOW_MS - 10000;
    text_copy(p->method, sizeof(p->method), method);
    return p;
}

void fixture_server_proof(struct cluster_proof *p, const char *server, enum proof_state state,
                          const char *why)
{
    struct cluster_server_proof *v = &p->servers[p->servers_count++];
    text_copy(v->server, sizeof(v->server), server);
    text_copy(v->why, sizeof(v->why), why);
    v->state = state;
    v->time_ms = NOW_MS - 10000;
}

struct cluster_key_info *fixture_key(struct cluster_snapshot *s, const char *name, enum key_state state)
{
    struct cluster_key_info *k = &s->keys.keys[s->keys.keys_count++];
    s->has_keys = true;
    text_copy(k->provider, sizeof(k->provider), "aescbc");
    text_copy(k->name, sizeof(k->name), name);
    k->state = state;
    k->generation = 1;
    k->created_ms = NOW_MS - 86400000;
    k->since_ms = NOW_MS - 3600000;
    return k;
}

void fixture_layout(struct cluster_snapshot *s, int index, const char *layout)
{
    if (!text_copy(s->servers[index].report.layout, CLUSTER_LAYOUT_MAX, layout))
        abort();
}

void fixture_foreign(struct cluster_snapshot *s, int index, const char *layout)
{
    struct cluster_report *r = &s->servers[index].report;
    text_copy(r->hash, sizeof(r->hash), FOREIGN_HASH);
    text_copy(r->config_id, sizeof(r->config_id), FOREIGN_ID);
    r->generation = 0;
    fixture_layout(s, index, layout);
}
