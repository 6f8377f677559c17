/* Encryption configs, bundles, keys in escrow and values. */
#include "world_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <inttypes.h>

#include <base/cleanup.h>
#include <base/text.h>

#define PLAIN 0

void world_configs_init(struct world *w)
{
    text_copy(w->key_names[1], sizeof(w->key_names[1]), "key");
    w->keys_count = 2;
    w->configs[0] = (struct world_config){.hash = "hash-0", .keys = {1, PLAIN}, .count = 2};
    w->configs_count = 1;
    w->values = 1u << 1;
}

const struct world_config *world_config(const struct world *w, const char *hash)
{
    for (size_t i = 0; i < w->configs_count; i++)
        if (strcmp(w->configs[i].hash, hash) == 0)
            return &w->configs[i];
    return NULL;
}

static const struct world_config *of_generation(const struct world *w, int64_t generation)
{
    const struct snapshot_bundle *b = snapshot_bundle(w->s, generation);
    assert_non_null(b);
    const struct world_config *c = world_config(w, b->hash);
    assert_non_null(c);
    return c;
}

const struct world_config *world_settled(const struct world *w)
{
    return of_generation(w, w->s->rotation.generation);
}

uint64_t world_reads(const struct world_config *c)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < c->count; i++)
        mask |= UINT64_C(1) << c->keys[i];
    return mask;
}

/* The same content has the same hash. */
static const struct world_config *intern(struct world *w, struct world_config *c)
{
    for (size_t i = 0; i < w->configs_count; i++)
        if (w->configs[i].count == c->count &&
            memcmp(w->configs[i].keys, c->keys, c->count * sizeof(c->keys[0])) == 0)
            return &w->configs[i];
    assert_true(w->configs_count < WORLD_CONFIGS_MAX);
    snprintf(c->hash, sizeof(c->hash), "hash-%zu", w->configs_count);
    w->configs[w->configs_count] = *c;
    return &w->configs[w->configs_count++];
}

/* ---------- one config out of another ---------- */

static void remove_key(struct world_config *c, int key)
{
    size_t n = 0;
    for (size_t i = 0; i < c->count; i++)
        if (c->keys[i] != key)
            c->keys[n++] = c->keys[i];
    c->count = n;
}

static void insert_key(struct world_config *c, size_t at, int key)
{
    remove_key(c, key);
    if (at > c->count)
        at = c->count;
    memmove(c->keys + at + 1, c->keys + at, (c->count - at) * sizeof(c->keys[0]));
    c->keys[at] = key;
    c->count++;
}

static void append_key(struct world_config *c, int key)
{
    bool plain_last = key != PLAIN && c->count > 1 && c->keys[c->count - 1] == PLAIN;
    insert_key(c, plain_last ? c->count - 1 : c->count, key);
}

static int number(const struct world *w, const char *name)
{
    for (size_t i = 1; i < w->keys_count; i++)
        if (strcmp(w->key_names[i], name) == 0)
            return (int)i;
    fail_msg("no key %s", name);
    return 0;
}

static int new_key(struct world *w, int64_t generation)
{
    assert_true(w->keys_count < WORLD_KEYS_MAX);
    snprintf(w->key_names[w->keys_count], sizeof(w->key_names[0]), "key-%" PRId64, generation);
    return (int)w->keys_count++;
}

static void unite(struct world_config *c, const struct world_config *more)
{
    for (size_t i = 0; i < more->count; i++)
        if (!(world_reads(c) & (UINT64_C(1) << more->keys[i])))
            append_key(c, more->keys[i]);
}

static void drop_others(struct world_config *c)
{
    struct world_config was = *c;
    for (size_t i = 1; i < was.count; i++)
        if (was.keys[i] != PLAIN)
            remove_key(c, was.keys[i]);
}

static int first_key(const struct world_config *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->keys[i] != PLAIN)
            return c->keys[i];
    return PLAIN;
}

static int last_key(const struct world_config *c)
{
    for (size_t i = c->count; i-- > 0;)
        if (c->keys[i] != PLAIN)
            return c->keys[i];
    return PLAIN;
}

static void describe(const struct world *w, const struct world_config *c, struct cluster_rotation *r)
{
    text_copy(r->write_key, sizeof(r->write_key), w->key_names[c->keys[0]]);
    r->reads_plain = (world_reads(c) & 1) != 0;
    r->keys = (int64_t)c->count - (r->reads_plain ? 1 : 0);
}

static void promote(const struct world *w, struct world_config *c, struct cluster_rotation *r)
{
    memcpy(r->old_key, r->write_key, sizeof(r->old_key));
    insert_key(c, 0, number(w, r->new_key));
    r->new_key[0] = 0;
}

static void revert(const struct world *w, struct world_config *c, struct cluster_rotation *r)
{
    *c = *of_generation(w, r->base);
    unite(c, of_generation(w, r->issued));
    if (r->old_key[0])
        memcpy(r->new_key, r->write_key, sizeof(r->new_key));
    r->old_key[0] = 0;
}

static void make(struct world *w, struct world_config *c, struct cluster_rotation *r, int64_t target)
{
    int key = 0;
    switch (r->op.phase) {
    case PHASE_APPEND:
        key = new_key(w, target);
        append_key(c, key);
        memcpy(r->new_key, w->key_names[key], sizeof(w->key_names[0]));
        break;
    case PHASE_PROMOTE:
        promote(w, c, r);
        break;
    case PHASE_DROP:
        drop_others(c);
        r->old_key[0] = 0;
        break;
    case PHASE_IDENTITY:
        append_key(c, PLAIN);
        break;
    case PHASE_SWITCH:
        insert_key(c, 0, r->op.kind == OP_DISABLE ? PLAIN : first_key(c));
        break;
    case PHASE_RESTORE:
        append_key(c, number(w, r->op.key));
        break;
    case PHASE_REVERT:
        revert(w, c, r);
        break;
    case PHASE_RETURN:
        *c = *of_generation(w, r->base);
        r->new_key[0] = r->old_key[0] = 0;
        break;
    case PHASE_BRING_BACK:
        *c = *of_generation(w, r->op.from);
        break;
    default:
        fail_msg("phase %s makes no config", phase_name(r->op.phase));
    }
}

static void into_escrow(struct world *w, const struct world_config *was, const struct world_config *now)
{
    for (size_t i = 0; i < was->count; i++) {
        const char *name = w->key_names[was->keys[i]];
        bool kept = was->keys[i] == PLAIN || (world_reads(now) & (UINT64_C(1) << was->keys[i]));
        for (size_t k = 0; k < w->s->escrow_count; k++)
            kept |= strcmp(w->s->escrow[k].name, name) == 0;
        if (kept || w->s->escrow_count == SNAPSHOT_ESCROW_MAX)
            continue;
        size_t n = w->s->escrow_count++;
        text_copy(w->s->escrow[n].name, sizeof(w->s->escrow[n].name), name);
        text_copy(w->s->escrow[n].provider, sizeof(w->s->escrow[n].provider), "aescbc");
        w->s->escrow[n].until_ms = w->s->now_ms + w->spec.escrow_days * 24 * 3600 * 1000;
    }
}

const char *world_issue(struct world *w, struct cluster_rotation *r, int64_t target)
{
    const struct world_config *was = of_generation(w, r->generation);
    enum stage stage = rotation_phase_stage(r->op.phase, r);
    struct world_config next = *was;
    make(w, &next, r, target);
    const struct world_config *now = intern(w, &next);
    if (rotation_phase_drops(r->op.phase))
        into_escrow(w, was, now);
    describe(w, now, r);
    world_add_bundle(w, target, now->hash, stage, r->write_key[0] || r->new_key[0]);
    return now->hash;
}

void world_learn(struct world *w, struct cluster_rotation *r, enum phase completed)
{
    const struct world_config *c = of_generation(w, r->generation);
    char before[sizeof(r->write_key)];
    memcpy(before, r->write_key, sizeof(before));
    describe(w, c, r);
    r->new_key[0] = r->old_key[0] = 0;
    if (completed == PHASE_APPEND)
        text_copy(r->new_key, sizeof(r->new_key), w->key_names[last_key(c)]);
    if (completed == PHASE_PROMOTE)
        memcpy(r->old_key, before, sizeof(r->old_key));
}

void world_leaving(struct world *w, const struct cluster_rotation *r)
{
    const struct world_config *was = of_generation(w, r->generation);
    struct world_config next = *was;
    remove_key(&next, last_key(was));
    into_escrow(w, was, &next);
}

void world_add_bundle(struct world *w, int64_t generation, const char *hash, enum stage stage, bool vector)
{
    if (w->s->bundles_count == SNAPSHOT_BUNDLES_MAX)
        fail_msg("too many bundles");
    struct snapshot_bundle *b = &w->s->bundles[w->s->bundles_count++];
    *b = (struct snapshot_bundle){
        .generation = generation, .stage = stage, .has_vector = vector, .created_ms = w->s->now_ms};
    text_copy(b->hash, sizeof(b->hash), hash);
    text_copy(b->config_id, sizeof(b->config_id), hash);
}

void world_prune(struct world *w)
{
    bool keys[SNAPSHOT_ESCROW_MAX], bundles[SNAPSHOT_BUNDLES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < w->s->escrow_count; i++)
        keys[i] = rotation_escrow_is_over(w->s, i);
    for (size_t i = 0; i < w->s->bundles_count; i++)
        bundles[i] = rotation_bundle_is_over(w->s, i);
    for (size_t i = 0; i < w->s->escrow_count; i++)
        if (!keys[i])
            w->s->escrow[n++] = w->s->escrow[i];
    w->s->escrow_count = n;
    n = 0;
    for (size_t i = 0; i < w->s->bundles_count; i++)
        if (!bundles[i])
            w->s->bundles[n++] = w->s->bundles[i];
    w->s->bundles_count = n;
}

/* ---------- agents and API servers ---------- */

static void take_file(struct world *w, struct snapshot_server *v)
{
    struct cluster_report *r = &v->report;
    const struct snapshot_bundle *b = snapshot_bundle(w->s, v->order.generation);
    memcpy(r->hash, v->order.hash, sizeof(r->hash));
    memcpy(r->config_id, v->order.hash, sizeof(r->config_id));
    r->file_why[0] = 0;
    r->stage = v->order.stage;
    r->generation = v->order.generation;
    r->vector_generation = b && b->has_vector ? b->generation : 0;
}

/* A server that owns its config makes the next one of its own file, and its agent seals that. */
static void make_there(struct world *w, struct snapshot_server *v)
{
    struct cluster_rotation r = w->s->rotation;
    struct world_config next = *world_config(w, v->report.hash);
    make(w, &next, &r, v->order.generation);
    const struct world_config *now = intern(w, &next);
    world_add_bundle(w, v->order.generation, now->hash, v->order.stage, false);
    memcpy(v->report.hash, now->hash, sizeof(now->hash));
    memcpy(v->report.config_id, now->hash, sizeof(now->hash));
    v->report.stage = v->order.stage;
    v->report.generation = v->order.generation;
}

void world_obey(struct world *w, size_t i)
{
    struct snapshot_server *v = &w->s->servers[i];
    if (!v->has_order || (v->report.order_id == v->order.id && v->report.order_state >= ORDER_DONE))
        return;
    assert_true(v->order.id >= v->report.order_id);
    v->report.order_id = v->order.id;
    v->report.order_state = ORDER_TAKEN;
    if (v->order.kind == ORDER_SYNC)
        return;
    v->report.order_state = ORDER_DONE;
    if (v->order.kind == ORDER_ADOPT) {
        world_add_bundle(w, v->order.generation, v->report.hash, v->order.stage, false);
        v->report.generation = v->order.generation;
        return;
    }
    if (v->order.kind == ORDER_CALL) {
        make_there(w, v);
        return;
    }
    if (v->order.kind == ORDER_RESTART && strcmp(v->report.hash, v->order.hash) != 0) {
        world_refuse(w, i, "the file on this server has another hash than the coordinator expects");
        return;
    }
    if (v->order.kind == ORDER_RESTART && i < array_len(w->restarts))
        w->restarts[i]++;
    if (v->order.kind != ORDER_RESTART)
        take_file(w, v);
    if (v->order.kind == ORDER_RESTART || v->order.kind == ORDER_APPLY || v->order.kind == ORDER_REPAIR ||
        v->order.kind == ORDER_FOLLOW) {
        memcpy(v->report.loaded_hash, v->report.hash, sizeof(v->report.hash));
        v->report.loaded_known = v->report.ready = true;
    }
}

static void answer(struct world *w, size_t i, enum order_state state, const char *why)
{
    struct snapshot_server *v = &w->s->servers[i];
    v->report.order_id = v->order.id;
    v->report.order_state = state;
    text_copy(v->report.order_why, sizeof(v->report.order_why), why);
}

void world_fail(struct world *w, size_t i, const char *why)
{
    answer(w, i, ORDER_FAILED, why);
}

void world_refuse(struct world *w, size_t i, const char *why)
{
    answer(w, i, ORDER_REFUSED, why);
}

/* Servers that own their configs hand the newest to one another. */
static void take_newest(const struct world *w, struct snapshot_server *v)
{
    const struct snapshot_bundle *b = &w->s->bundles[w->s->bundles_count - 1];
    memcpy(v->report.hash, b->hash, sizeof(v->report.hash));
    memcpy(v->report.config_id, b->hash, sizeof(v->report.config_id));
    v->report.stage = b->stage;
    v->report.generation = b->generation;
}

void world_operator_restart(struct world *w, size_t i)
{
    struct snapshot_server *v = &w->s->servers[i];
    if (w->spec.owned)
        take_newest(w, v);
    else if (v->has_order && v->order.generation >= v->report.generation)
        take_file(w, v);
    memcpy(v->report.loaded_hash, v->report.hash, sizeof(v->report.hash));
    v->report.loaded_known = v->report.ready = true;
    if (v->has_order && v->report.order_id == v->order.id && v->order.kind == ORDER_SYNC)
        v->report.order_state = ORDER_DONE;
}

/* ---------- values ---------- */

void world_write_under(struct world *w, int key)
{
    w->values |= UINT64_C(1) << key;
    world_watch_sees(w);
}

void world_write(struct world *w, size_t i)
{
    const struct world_config *c = world_config(w, w->s->servers[i].report.loaded_hash);
    if (c)
        world_write_under(w, c->keys[0]);
}

size_t world_unreadable(const struct world *w)
{
    for (size_t i = 0; i < w->s->servers_count; i++) {
        const struct world_config *c = world_config(w, w->s->servers[i].report.loaded_hash);
        if (c && (w->values & ~world_reads(c)))
            return i;
    }
    return SIZE_MAX;
}
