/* From one generation to the next: the only place where the coordinator holds key material. The new key is
 * durable in the state store, sealed, before any file carries it; a retry reads the same bundle. */
#include "coordinator.h"

#include <inttypes.h>

#include <base/clock.h>
#include <base/text.h>
#include <encryption/config.h>

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

static int open_generation(struct coordinator *c, int64_t generation, struct managed *m,
                           struct encryption_config **ret, struct error *err)
{
    char what[64];
    snprintf(what, sizeof(what), "generation %" PRId64, generation);
    managed_init(m, &c->spec);
    _cleanup_(secret_freep) struct secret *text = NULL;
    _cleanup_(encryption_config_freep) struct encryption_config *config = NULL;
    int rc = store_bundle_open(c->store, generation, STORE_DEADLINE_MS, NULL, &text, err);
    if (rc == 0)
        rc = encryption_config_parse(text->data, text->len, what, &config, err);
    if (rc == 0)
        rc = encryption_check_managed(config, m->set, err);
    if (rc == 0)
        *ret = take(config);
    return rc;
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

int issue_learn(struct coordinator *c, int64_t generation, struct cluster_rotation *r, struct error *err)
{
    struct managed m;
    _cleanup_(encryption_config_freep) struct encryption_config *config = NULL;
    int rc = open_generation(c, generation, &m, &config, err);
    if (rc < 0)
        return rc;
    describe(config, &m, r);
    r->new_key[0] = r->new_provider[0] = r->old_key[0] = r->old_provider[0] = 0;
    return 0;
}

/* ---------- one function a phase: the next config, and what the record says of it ---------- */

struct step {
    struct coordinator *c;
    const struct cluster_operation *op;
    const struct encryption_config *config;
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

static const struct {
    enum phase phase;
    int (*make)(const struct step *s, struct encryption_config **ret, struct error *err);
} makers[] = {
    {PHASE_APPEND, append},     {PHASE_PROMOTE, promote},      {PHASE_DROP, drop},
    {PHASE_IDENTITY, identity}, {PHASE_SWITCH, switch_writer},
};

static int make(const struct step *s, struct encryption_config **ret, struct error *err)
{
    for (size_t i = 0; i < array_len(makers); i++)
        if (makers[i].phase == s->op->phase)
            return makers[i].make(s, ret, err);
    return error_set(err, ERR_INTERNAL, "phase %s makes no config", phase_name(s->op->phase));
}

int issue_bundle(struct coordinator *c, const struct cluster_operation *op, int64_t from, int64_t target,
                 struct cluster_rotation *r, struct cluster_bundle *ret, struct error *err)
{
    struct managed m;
    _cleanup_(encryption_config_freep) struct encryption_config *config = NULL;
    _cleanup_(encryption_config_freep) struct encryption_config *next = NULL;
    _cleanup_(secret_freep) struct secret *text = NULL;
    struct cluster_rotation changed = *r;
    char id[CLUSTER_HASH_MAX];
    int rc = open_generation(c, from, &m, &config, err);
    struct step s = {c, op, config, &m, &changed};
    if (rc == 0)
        rc = make(&s, &next, err);
    const struct encryption_config *result = next ? next : config;
    if (rc == 0)
        rc = encryption_config_emit(result, &text, err);
    if (rc == 0)
        rc = encryption_config_id(result, id, err);
    if (rc == 0)
        rc = store_bundle_seal(c->store, target, rotation_phase_stage(op->phase, r), text, id, ret, err);
    if (rc < 0)
        return rc;
    describe(result, &m, &changed);
    *r = changed;
    return 0;
}
