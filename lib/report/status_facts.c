/* What a snapshot says to `status`, whatever its format. */
#include <report/status.h>

#include <base/text.h>

void key_table_fill(const struct encryption_config *c, struct resource_set managed, struct key_table *ret)
{
    struct key_view views[CLUSTER_KEYS_MAX];
    size_t count = encryption_keys(c, managed, views, array_len(views));
    memset(ret, 0, sizeof(*ret));
    ret->known = true;
    ret->enabled = encryption_enabled(c, managed);
    for (size_t i = 0; i < count && i < array_len(views); i++) {
        struct key_row *row = &ret->rows[ret->count++];
        text_copy(row->name, sizeof(row->name), views[i].name);
        row->type = provider_display(views[i].provider);
        row->active = views[i].active && ret->enabled;
    }
}

const struct snapshot_server *status_first(const struct cluster_snapshot *s)
{
    for (size_t i = 0; i < s->servers_count; i++)
        if (s->servers[i].in_spec && !snapshot_etcd_only(s, i))
            return &s->servers[i];
    return NULL;
}

/* The newest generation issued that has this hash; 0: none. */
static int64_t generation_of(const struct cluster_snapshot *s, const char *hash)
{
    for (size_t i = s->bundles_count; i > 0; i--)
        if (strcmp(s->bundles[i - 1].hash, hash) == 0)
            return s->bundles[i - 1].generation;
    return 0;
}

static enum key_source choose_for_hash(const struct cluster_snapshot *s, const struct snapshot_server *first,
                                       const char *file_hash, int64_t *ret_generation,
                                       char why[CLUSTER_TEXT_MAX])
{
    int64_t generation = generation_of(s, first->report.hash);
    if (generation > 0) {
        *ret_generation = generation;
        return KEY_SOURCE_BUNDLE;
    }
    bool adopted = s->bundles_count > 0 || s->rotation.generation > 0;
    if (strcmp(file_hash, first->report.hash) == 0 || (!adopted && *file_hash))
        return KEY_SOURCE_FILE;
    if (adopted)
        snprintf(why, CLUSTER_TEXT_MAX,
                 "the file of %s (hash %.12s) is none that was issued here: run status on %s to see its keys",
                 first->name, first->report.hash, first->name);
    else
        snprintf(why, CLUSTER_TEXT_MAX,
                 "no encryption config has been taken over yet: run status on %s to see the keys of its file",
                 first->name);
    return KEY_SOURCE_NONE;
}

enum key_source key_source_choose(const struct cluster_snapshot *s, const char *file_hash,
                                  int64_t *ret_generation, char why[CLUSTER_TEXT_MAX])
{
    const struct snapshot_server *first = status_first(s);
    why[0] = 0;
    if (first && first->reports && *first->report.hash)
        return choose_for_hash(s, first, file_hash, ret_generation, why);
    if (first && first->reports) {
        text_copy(why, CLUSTER_TEXT_MAX, first->report.file_why);
        return KEY_SOURCE_NONE;
    }
    if (s->rotation.generation > 0 && snapshot_bundle(s, s->rotation.generation)) {
        *ret_generation = s->rotation.generation;
        return KEY_SOURCE_BUNDLE;
    }
    return *file_hash ? KEY_SOURCE_FILE : KEY_SOURCE_NONE;
}

enum encryption_state status_encryption(const struct cluster_snapshot *s, const struct key_table *keys)
{
    const struct snapshot_server *first = status_first(s);
    if (first && first->reports && !*first->report.hash)
        return ENCRYPTION_NO_FILE;
    if (keys->known)
        return keys->enabled ? ENCRYPTION_ON : ENCRYPTION_OFF;
    if (s->has_rotation && s->rotation.generation > 0)
        return *s->rotation.write_key ? ENCRYPTION_ON : ENCRYPTION_OFF;
    return ENCRYPTION_UNKNOWN;
}

/* The values are being rewritten, or the drop of the old key has not reached S1 yet. */
static bool is_rewriting(const struct cluster_rotation *r, const struct snapshot_server *first)
{
    if (!*r->op.id || r->op.state == OP_STATE_FINISHED ||
        (r->stage != STAGE_REENCRYPT_REQUEST && r->stage != STAGE_REENCRYPT_ACTIVE))
        return false;
    if (r->op.phase != PHASE_DROP)
        return true;
    return r->op.target == 0 || !first || !first->reports || first->report.generation != r->op.target;
}

enum stage status_stage(const struct cluster_snapshot *s)
{
    const struct snapshot_server *first = status_first(s);
    if (!s->has_rotation)
        return first && first->reports ? first->report.stage : STAGE_START;
    if (!first || !first->reports || is_rewriting(&s->rotation, first))
        return s->rotation.stage;
    return first->report.stage;
}

const char *status_server_why(const struct snapshot_server *v)
{
    const struct cluster_report *r = &v->report;
    if (!v->reports)
        return *v->report_why ? v->report_why : "silent: its agent publishes nothing";
    bool order_failed = v->has_order && r->order_id == v->order.id &&
                        (r->order_state == ORDER_FAILED || r->order_state == ORDER_REFUSED);
    if (order_failed)
        return r->order_why;
    if (*r->file_why)
        return r->file_why;
    if (!r->ready)
        return *r->ready_why ? r->ready_why : "not ready";
    if (!r->loaded_known && *r->process_why)
        return r->process_why;
    if (*r->vector_why)
        return r->vector_why;
    if (v->plain_keys_differ)
        return "its stage and hash keys differ from its signed report";
    return v->in_spec ? "" : "not among the cluster's servers";
}

/* The servers of the configuration in its order, each with what was read of it, then the others. */
static void order_servers(struct cluster_snapshot *s, const struct config *c, struct snapshot_server *old)
{
    size_t old_count = s->servers_count;
    memcpy(old, s->servers, old_count * sizeof(*old));
    s->servers_count = 0;
    for (size_t i = 0; i < c->servers_count; i++) {
        struct snapshot_server *v = &s->servers[s->servers_count++];
        memset(v, 0, sizeof(*v));
        for (size_t k = 0; k < old_count; k++)
            if (strcmp(old[k].name, c->servers[i].name) == 0)
                *v = old[k];
        text_copy(v->name, sizeof(v->name), c->servers[i].name);
        v->in_spec = true;
    }
    for (size_t k = 0; k < old_count && s->servers_count < SNAPSHOT_SERVERS_MAX; k++)
        if (config_server_index(c, old[k].name) < 0)
            s->servers[s->servers_count++] = old[k];
}

void status_use_config(struct cluster_snapshot *s, const struct config *c)
{
    if (s->has_spec)
        return;
    _cleanup_free_ struct snapshot_server *old = calloc(SNAPSHOT_SERVERS_MAX, sizeof(*old));
    if (!old)
        return;
    order_servers(s, c, old);
    s->spec.servers_count = 0;
    for (size_t i = 0; i < c->servers_count && i < CLUSTER_SERVERS_MAX; i++) {
        struct cluster_spec_server *v = &s->spec.servers[s->spec.servers_count++];
        text_copy(v->name, sizeof(v->name), c->servers[i].name);
        text_copy(v->api, sizeof(v->api), c->servers[i].api);
        v->role = config_etcd_only(&c->servers[i]) ? ROLE_ETCD : ROLE_ALL;
    }
    s->spec.resources_count = 0;
    for (size_t i = 0; i < c->resources_count && i < CLUSTER_RESOURCES_MAX; i++)
        text_copy(s->spec.resources[s->spec.resources_count++], CLUSTER_KEY_NAME_MAX, c->resources[i]);
}
