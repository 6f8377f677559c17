#include <report/records.h>

#include <report/keys.h>
#include <report/words.h>

static struct json *servers_node(struct builder *b, const struct cluster_proof *p)
{
    struct json *servers = build_new(b, true);
    for (size_t i = 0; i < p->servers_count; i++) {
        struct json *o = build_new(b, false);
        build_string(b, o, "name", p->servers[i].server);
        build_string(b, o, "state", proof_state_name(p->servers[i].state));
        build_int(b, o, "time", p->servers[i].time_ms);
        build_string(b, o, "why", p->servers[i].why);
        build_append(b, servers, o);
    }
    return servers;
}

static struct json *proof_node(struct builder *b, const struct cluster_proof *p)
{
    struct json *o = build_new(b, false);
    build_string(b, o, "phase", phase_name(p->phase));
    build_string(b, o, "state", proof_state_name(p->state));
    build_string(b, o, "method", p->method);
    if (proof_not_made_by(p))
        build_string(b, o, "notmadeby", proof_not_made_by(p));
    build_int(b, o, "step", p->step);
    build_int(b, o, "generation", p->generation);
    build_int(b, o, "revision", p->revision);
    build_int(b, o, "values", p->values);
    build_int(b, o, "attempts", p->attempts);
    build_int(b, o, "time", p->time_ms);
    build_string(b, o, "why", p->why);
    build_node(b, o, "servers", servers_node(b, p));
    return o;
}

void build_proofs(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    struct json *proofs = build_new(b, true);
    for (size_t i = 0; s->has_proofs && i < s->proofs.proofs_count; i++)
        build_append(b, proofs, proof_node(b, &s->proofs.proofs[i]));
    build_node(b, root, "proofs", proofs);
}

void build_reasons(struct builder *b, struct json *o, const struct cluster_operation *op)
{
    if (*op->reason)
        build_string(b, o, "reason", op->reason);
    if (op->state == OP_STATE_HALTED && op->cause != CAUSE_NONE)
        build_string(b, o, "cause", cluster_cause_name(op->cause));
}

/* What is not known is left out. */
static void set_known(struct builder *b, struct json *o, const char *key, int64_t value, bool known)
{
    if (known)
        build_int(b, o, key, value);
}

static struct json *key_node(struct builder *b, const struct cluster_snapshot *s,
                             const struct cluster_key_info *k, int64_t datastore_revision)
{
    struct json *o = build_new(b, false);
    int64_t writes = key_writes(s, k, datastore_revision), values = key_values(s, k);
    build_string(b, o, "name", k->name);
    build_string(b, o, "provider", k->provider);
    build_string(b, o, "state", key_state_name(k->state));
    build_int(b, o, "generation", k->generation);
    set_known(b, o, "created", k->created_ms, k->created_ms > 0);
    set_known(b, o, "since", k->since_ms, k->since_ms > 0);
    set_known(b, o, "writes", writes, writes >= 0);
    set_known(b, o, "values", values, values >= 0);
    if (k->state != KEY_RETIRED)
        return o;
    int64_t until = key_escrow_until(s, k);
    set_known(b, o, "escrowuntil", until, until > 0);
    build_bool(b, o, "escrow", until > 0);
    return o;
}

void build_keys(struct builder *b, struct json *root, const struct cluster_snapshot *s,
                int64_t datastore_revision)
{
    struct json *keys = build_new(b, true);
    for (size_t i = 0; s->has_keys && i < s->keys.keys_count; i++)
        build_append(b, keys, key_node(b, s, &s->keys.keys[i], datastore_revision));
    build_node(b, root, "keys", keys);
}
