/* From one generation to the next: the only place where the coordinator holds key material. The new key is
 * durable in the state store, sealed, before any file carries it; a retry reads the same bundle. */
#include "coordinator.h"

#include <inttypes.h>

#include <base/clock.h>
#include <base/text.h>
#include <encryption/config.h>
#include <encryption/envelope.h>

#include "key_book.h"

#define KEY_BYTES 32

/* The managed resources as lib/encryption wants them. */
struct managed {
    const char *names[CLUSTER_RESOURCES_MAX];
    struct resource_set set;
};

static void managed_init(struct managed *m, const struct cluster_spec *spec)
{
    for (size_t i = 0; i < spec->resources_count; i++)
        m->names[i] = spec->resources[i];
    m->set = (struct resource_set){m->names, spec->resources_count};
}

int issue_open(struct coordinator *c, int64_t generation, struct encryption_config **ret, struct error *err)
{
    char what[64];
    snprintf(what, sizeof(what), "generation %" PRId64, generation);
    _cleanup_(secret_freep) struct secret *text = NULL;
    int rc = store_bundle_open(c->store, generation, STORE_DEADLINE_MS, NULL, &text, err);
    return rc < 0 ? rc : encryption_config_parse(text->data, text->len, what, ret, err);
}

static int open_managed(struct coordinator *c, int64_t generation, struct managed *m,
                        struct encryption_config **ret, struct error *err)
{
    _cleanup_(encryption_config_freep) struct encryption_config *config = NULL;
    managed_init(m, &c->spec);
    int rc = issue_open(c, generation, &config, err);
    if (rc == 0)
        rc = encryption_check_managed(config, m->set, err);
    if (rc == 0)
        *ret = take(config);
    return rc;
}

int64_t datastore_revision(struct coordinator *c)
{
    struct etcd_range range = {0};
    struct etcd_range_options options = {
        .prefix = c->config->datastore_prefix, .limit = 1, .keys_only = true};
    if (c->spec.not_raw || etcd_list(c->datastore, &options, STORE_DEADLINE_MS, &range, NULL) < 0)
        return 0;
    int64_t revision = range.revision;
    etcd_range_free(&range);
    return revision;
}

/* What the record says of a config's keys. */
static void describe(const struct encryption_config *config, const struct managed *m,
                     struct cluster_rotation *r)
{
    struct key_view keys[ENCRYPTION_KEYS_MAX];
    size_t count = encryption_keys(config, m->set, keys, ENCRYPTION_KEYS_MAX);
    r->keys = (int64_t)count;
    r->reads_plain = encryption_can_read(config, m->set, PROVIDER_IDENTITY, NULL);
    r->write_key[0] = r->write_provider[0] = 0;
    if (count > 0 && keys[0].active) {
        text_copy(r->write_key, sizeof(r->write_key), keys[0].name);
        text_copy(r->write_provider, sizeof(r->write_provider), provider_name(keys[0].provider));
    }
}

static void keys_update(struct coordinator *c, const struct cluster_snapshot *s,
                        const struct encryption_config *config, const struct managed *m, int64_t generation,
                        struct cluster_keys *ret)
{
    struct key_view keys[ENCRYPTION_KEYS_MAX];
    size_t count = encryption_keys(config, m->set, keys, ENCRYPTION_KEYS_MAX);
    *ret = s->keys;
    if (!s->has_keys)
        ret->keys_count = 0;
    struct key_book_entry now = {
        .generation = generation,
        .now_ms = clock_wall_ms(),
        .revision = datastore_revision(c),
        .escrow_days = c->spec.escrow_days,
        .adopted = s->rotation.op.phase == PHASE_ADOPT,
    };
    const struct cluster_key_info *active = active_key(s);
    struct cluster_schedule written = {0};
    if (active && writes_of(c, s, active, &written)) {
        now.counted_since = written.writes_since;
        now.counted = written.writes;
        now.counted_to = written.writes_to;
    }
    key_book_update(ret, keys, count, &now);
}

/* Which key has come, and which has just ceased to write. (The new one stands last: K3s appends it there.) */
static void learn_names(const struct encryption_config *config, const struct managed *m, enum phase phase,
                        struct cluster_rotation *r)
{
    struct key_view last;
    r->new_key[0] = r->new_provider[0] = r->old_key[0] = r->old_provider[0] = 0;
    if (phase == PHASE_APPEND && encryption_last_key(config, m->set, &last, NULL) == 0) {
        text_copy(r->new_key, sizeof(r->new_key), last.name);
        text_copy(r->new_provider, sizeof(r->new_provider), provider_name(last.provider));
    } else if (phase == PHASE_PROMOTE) {
        memcpy(r->old_key, r->write_key, sizeof(r->old_key));
        memcpy(r->old_provider, r->write_provider, sizeof(r->old_provider));
    }
}

int issue_learn(struct coordinator *c, const struct cluster_snapshot *s, int64_t generation,
                struct cluster_rotation *r, struct cluster_keys *ret_keys, struct error *err)
{
    struct managed m;
    _cleanup_(encryption_config_freep) struct encryption_config *config = NULL;
    int rc = open_managed(c, generation, &m, &config, err);
    if (rc < 0)
        return rc;
    learn_names(config, &m, r->op.phase, r);
    describe(config, &m, r);
    keys_update(c, s, config, &m, generation, ret_keys);
    return 0;
}

/* ---------- one function a phase: the next config, and what the record says of it ---------- */

struct step {
    struct coordinator *c;
    const struct cluster_operation *op;
    const struct encryption_config *config; /* that every server has */
    const struct managed *m;
    struct cluster_rotation *r;
};

static const char *new_key_type(const struct step *s)
{
    if (*s->c->config->key_type)
        return s->c->config->key_type;
    return s->r->write_provider[0] ? s->r->write_provider : provider_name(PROVIDER_AESCBC);
}

/* K3s's way to name keys: "aescbckey-2021-12-10T22:54:38Z". */
static int append(const struct step *s, struct encryption_config **ret, struct error *err)
{
    enum provider provider;
    char now[CLOCK_TEXT_MAX], name[CLUSTER_KEY_NAME_MAX];
    _cleanup_(secret_freep) struct secret *key = NULL;
    int rc = provider_parse(new_key_type(s), &provider, err);
    if (rc == 0)
        rc = crypto_random_secret(KEY_BYTES, &key, err);
    if (rc < 0)
        return rc;
    clock_format(clock_wall_ms(), now);
    snprintf(name, sizeof(name), "%skey-%s", provider_name(provider), now);
    rc = encryption_append_key(s->config, s->m->set, provider, name, key, ret, err);
    if (rc < 0)
        return rc;
    text_copy(s->r->new_key, sizeof(s->r->new_key), name);
    text_copy(s->r->new_provider, sizeof(s->r->new_provider), provider_name(provider));
    return 0;
}

static int promote(const struct step *s, struct encryption_config **ret, struct error *err)
{
    enum provider provider;
    int rc = provider_parse(s->r->new_provider, &provider, err);
    if (rc == 0)
        rc = encryption_promote_key(s->config, s->m->set, provider, s->r->new_key, ret, err);
    if (rc < 0)
        return rc;
    memcpy(s->r->old_key, s->r->write_key, sizeof(s->r->old_key));
    memcpy(s->r->old_provider, s->r->write_provider, sizeof(s->r->old_provider));
    s->r->new_key[0] = s->r->new_provider[0] = 0;
    return 0;
}

/* Every key but the one that writes: the scan has just counted zero values under all of them. */
static int drop(const struct step *s, struct encryption_config **ret, struct error *err)
{
    struct key_view keys[ENCRYPTION_KEYS_MAX];
    size_t count = encryption_keys(s->config, s->m->set, keys, ENCRYPTION_KEYS_MAX);
    struct encryption_config *now = NULL;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (keys[i].active)
            continue;
        struct encryption_config *next = NULL;
        rc =
            encryption_drop_key(now ? now : s->config, s->m->set, keys[i].provider, keys[i].name, &next, err);
        if (rc == 0) {
            encryption_config_free(now);
            now = next;
        }
    }
    if (rc < 0) {
        encryption_config_free(now);
        return rc;
    }
    *ret = now; /* NULL: there was nothing to drop */
    s->r->old_key[0] = s->r->old_provider[0] = 0;
    return 0;
}

static int identity(const struct step *s, struct encryption_config **ret, struct error *err)
{
    return encryption_append_identity(s->config, s->m->set, ret, err);
}

static int switch_writer(const struct step *s, struct encryption_config **ret, struct error *err)
{
    return s->op->kind == OP_DISABLE ? encryption_disable(s->config, s->m->set, ret, err)
                                     : encryption_enable(s->config, s->m->set, ret, err);
}

/* The key that was asked for, out of escrow. */
static int restore(const struct step *s, struct encryption_config **ret, struct error *err)
{
    enum provider provider;
    _cleanup_(secret_freep) struct secret *value = NULL;
    int rc = provider_parse(s->op->key_provider, &provider, err);
    if (rc == 0)
        rc = store_escrow_open(s->c->store, s->op->key_provider, s->op->key, STORE_DEADLINE_MS, &value, err);
    return rc < 0 ? rc : encryption_append_key(s->config, s->m->set, provider, s->op->key, value, ret, err);
}

/* `base` and, readable as well, all that `more` reads. */
static int unite(const struct step *s, const struct encryption_config *base,
                 const struct encryption_config *more, struct encryption_config **ret, struct error *err)
{
    struct key_view keys[ENCRYPTION_KEYS_MAX];
    size_t count = encryption_keys(more, s->m->set, keys, ENCRYPTION_KEYS_MAX);
    _cleanup_(encryption_config_freep) struct encryption_config *now = NULL;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct encryption_config *next = NULL;
        if (encryption_can_read(now ? now : base, s->m->set, keys[i].provider, keys[i].name))
            continue;
        const struct secret *value = encryption_key_value(more, s->m->set, keys[i].provider, keys[i].name);
        rc = encryption_append_key(now ? now : base, s->m->set, keys[i].provider, keys[i].name, value, &next,
                                   err);
        if (rc == 0) {
            encryption_config_free(now);
            now = next;
        }
    }
    if (rc == 0 && encryption_can_read(more, s->m->set, PROVIDER_IDENTITY, NULL) &&
        !encryption_can_read(now ? now : base, s->m->set, PROVIDER_IDENTITY, NULL)) {
        struct encryption_config *next = NULL;
        rc = encryption_append_identity(now ? now : base, s->m->set, &next, err);
        if (rc == 0) {
            encryption_config_free(now);
            now = next;
        }
    }
    if (rc == 0)
        *ret = take(now);
    return rc;
}

/* The old key writes again; what was written since stays readable: every config issued on the way reads
 * what the one before it did, so the newest reads it all. */
static int revert(const struct step *s, struct encryption_config **ret, struct error *err)
{
    _cleanup_(encryption_config_freep) struct encryption_config *base = NULL, *newest = NULL;
    struct managed m;
    int rc = open_managed(s->c, s->r->base, &m, &base, err);
    if (rc == 0)
        rc = open_managed(s->c, s->r->issued, &m, &newest, err);
    if (rc == 0)
        rc = unite(s, base, newest, ret, err);
    if (rc < 0)
        return rc;
    if (!*ret)
        *ret = take(base);
    if (s->r->old_key[0]) {
        memcpy(s->r->new_key, s->r->write_key, sizeof(s->r->new_key));
        memcpy(s->r->new_provider, s->r->write_provider, sizeof(s->r->new_provider));
        s->r->old_key[0] = s->r->old_provider[0] = 0;
    }
    return 0;
}

static int go_back(const struct step *s, struct encryption_config **ret, struct error *err)
{
    struct managed m;
    s->r->new_key[0] = s->r->new_provider[0] = s->r->old_key[0] = s->r->old_provider[0] = 0;
    return open_managed(s->c, s->r->base, &m, ret, err);
}

/* As it was before the key was dropped. */
static int bring_back(const struct step *s, struct encryption_config **ret, struct error *err)
{
    struct managed m;
    return open_managed(s->c, s->op->from, &m, ret, err);
}

static const struct {
    enum phase phase;
    int (*make)(const struct step *s, struct encryption_config **ret, struct error *err);
} makers[] = {
    {PHASE_APPEND, append},     {PHASE_PROMOTE, promote},      {PHASE_DROP, drop},
    {PHASE_IDENTITY, identity}, {PHASE_SWITCH, switch_writer}, {PHASE_RESTORE, restore},
    {PHASE_REVERT, revert},     {PHASE_RETURN, go_back},       {PHASE_BRING_BACK, bring_back},
};

static int make(const struct step *s, struct encryption_config **ret, struct error *err)
{
    for (size_t i = 0; i < array_len(makers); i++)
        if (makers[i].phase == s->op->phase)
            return makers[i].make(s, ret, err);
    return error_set(err, ERR_INTERNAL, "phase %s makes no config", phase_name(s->op->phase));
}

/* ---------- what goes with it ---------- */

/* Proof 1a: a text that only the key which the generation brings, or writes with, can open. */
static int seal_vector(const struct step *s, const struct encryption_config *result, int64_t generation,
                       struct cluster_bundle *bundle, struct error *err)
{
    bool brings = s->r->new_key[0] != 0;
    const char *name = brings ? s->r->new_key : s->r->write_key;
    const char *provider_word = brings ? s->r->new_provider : s->r->write_provider;
    char path[CLUSTER_KEY_PATH_MAX];
    enum provider provider;
    if (!*name)
        return 0; /* it writes plain */
    _cleanup_(buf_freep) struct buf sealed = BUF_INIT(CLUSTER_VECTOR_MAX);
    _cleanup_(secret_freep) struct secret *text = NULL;
    cluster_bundle_path(path, store_cluster(s->c->store), generation);
    int rc = provider_parse(provider_word, &provider, err);
    if (rc == 0)
        rc = envelope_encrypt_with(result, s->c->spec.resources[0], provider, name, path, CLUSTER_VECTOR_TEXT,
                                   strlen(CLUSTER_VECTOR_TEXT), &sealed, err);
    if (rc == 0)
        rc = crypto_base64_encode(sealed.data, sealed.len, &text, err);
    if (rc < 0)
        return error_prefix(err, rc, "the test vector");
    if (text->len >= sizeof(bundle->vector))
        return error_set(err, ERR_TOO_LARGE, "the test vector is too long");
    memcpy(bundle->vector, text->data, text->len);
    return 0;
}

/* Keys that the next config does not have any more are sealed before any file loses them. */
static int into_escrow(const struct step *s, const struct encryption_config *result, struct issued *ret,
                       struct error *err)
{
    struct key_view keys[ENCRYPTION_KEYS_MAX];
    size_t count = encryption_keys(s->config, s->m->set, keys, ENCRYPTION_KEYS_MAX);
    int64_t now = clock_wall_ms();
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (encryption_key_value(result, s->m->set, keys[i].provider, keys[i].name))
            continue;
        struct cluster_escrow *e = &ret->escrow[ret->escrow_count];
        text_copy(e->provider, sizeof(e->provider), provider_name(keys[i].provider));
        text_copy(e->name, sizeof(e->name), keys[i].name);
        e->generation = s->op->from;
        e->retired_ms = now;
        e->until_ms = now + s->c->spec.escrow_days * 24 * 3600 * 1000;
        rc = store_escrow_seal(
            s->c->store, encryption_key_value(s->config, s->m->set, keys[i].provider, keys[i].name), e, err);
        ret->escrow_count += rc == 0;
    }
    return rc;
}

int issue_leaving(struct coordinator *c, const struct cluster_snapshot *s, struct issued *ret,
                  struct error *err)
{
    struct managed m;
    struct key_view keys[ENCRYPTION_KEYS_MAX], last;
    _cleanup_(encryption_config_freep) struct encryption_config *config = NULL;
    _cleanup_(encryption_config_freep) struct encryption_config *next = NULL;
    struct cluster_rotation r = s->rotation;
    int rc = open_managed(c, r.generation, &m, &config, err);
    if (rc < 0)
        return rc;
    if (encryption_keys(config, m.set, keys, ENCRYPTION_KEYS_MAX) < 2)
        return 0; /* the only one stays */
    rc = encryption_last_key(config, m.set, &last, err);
    if (rc == 0)
        rc = encryption_drop_key(config, m.set, last.provider, last.name, &next, err);
    struct step step = {c, &s->rotation.op, config, &m, &r};
    return rc < 0 ? rc : into_escrow(&step, next, ret, err);
}

void issued_free(struct issued *i)
{
    cluster_bundle_free(&i->bundle);
    for (size_t k = 0; k < i->escrow_count; k++)
        cluster_escrow_free(&i->escrow[k]);
    memset(i, 0, sizeof(*i));
}

int issue_bundle(struct coordinator *c, const struct cluster_snapshot *s, int64_t target,
                 struct cluster_rotation *r, struct issued *ret, struct error *err)
{
    struct managed m;
    _cleanup_(encryption_config_freep) struct encryption_config *config = NULL;
    _cleanup_(encryption_config_freep) struct encryption_config *next = NULL;
    _cleanup_(secret_freep) struct secret *text = NULL;
    struct cluster_rotation changed = *r;
    const struct cluster_operation *op = &s->rotation.op;
    char id[CLUSTER_HASH_MAX];
    int rc = open_managed(c, r->generation, &m, &config, err);
    struct step step = {c, op, config, &m, &changed};
    if (rc == 0)
        rc = make(&step, &next, err);
    const struct encryption_config *result = next ? next : config;
    if (rc == 0)
        rc = encryption_config_emit(result, &text, err);
    if (rc == 0)
        rc = encryption_config_id(result, id, err);
    if (rc < 0)
        return rc;
    describe(result, &m, &changed);
    rc = store_bundle_seal(c->store, target, rotation_phase_stage(op->phase, r), text, id, &ret->bundle, err);
    if (rc == 0)
        rc = seal_vector(&step, result, target, &ret->bundle, err);
    if (rc == 0 && rotation_phase_drops(op->phase))
        rc = into_escrow(&step, result, ret, err);
    if (rc < 0)
        return rc;
    keys_update(c, s, result, &m, target, &ret->keys);
    *r = changed;
    return 0;
}
