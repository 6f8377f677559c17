#include <agent/known.h>

#include <string.h>

#include <base/text.h>

const struct known_bundle *known_get(const struct known *k, int64_t generation)
{
    for (size_t i = 0; i < k->count; i++)
        if (k->bundles[i].version.generation == generation)
            return &k->bundles[i];
    return NULL;
}

bool known_has(const struct known *k, int64_t generation)
{
    return known_get(k, generation) != NULL;
}

static void fill(struct known_bundle *to, const struct cluster_bundle *b)
{
    memset(to, 0, sizeof(*to));
    to->version.generation = b->generation;
    to->version.stage = b->stage;
    (void)text_copy(to->version.hash, sizeof(to->version.hash), b->hash);
    (void)text_copy(to->config_id, sizeof(to->config_id), b->config_id);
    (void)text_copy(to->vector, sizeof(to->vector), b->vector);
}

void known_add(struct known *k, const struct cluster_bundle *b)
{
    size_t at = 0;
    while (at < k->count && k->bundles[at].version.generation < b->generation)
        at++;
    if (at < k->count && k->bundles[at].version.generation == b->generation) {
        fill(&k->bundles[at], b);
        return;
    }
    if (k->count == KNOWN_MAX) {
        if (at == 0)
            return; /* older than everything that is kept */
        memmove(&k->bundles[0], &k->bundles[1], (KNOWN_MAX - 1) * sizeof(k->bundles[0]));
        k->count--;
        at--;
    }
    memmove(&k->bundles[at + 1], &k->bundles[at], (k->count - at) * sizeof(k->bundles[0]));
    fill(&k->bundles[at], b);
    k->count++;
}

const struct known_bundle *known_by_hash(const struct known *k, const char *hash)
{
    for (size_t i = k->count; hash[0] && i-- > 0;)
        if (strcmp(k->bundles[i].version.hash, hash) == 0)
            return &k->bundles[i];
    return NULL;
}

bool known_config_id(const struct known *k, const char *config_id)
{
    for (size_t i = 0; config_id[0] && i < k->count; i++)
        if (strcmp(k->bundles[i].config_id, config_id) == 0)
            return true;
    return false;
}

struct version known_version(const struct known *k, const struct file_record *r, const char *hash,
                             enum stage stage)
{
    struct version v = {.stage = stage};
    (void)text_copy(v.hash, sizeof(v.hash), hash);
    if (!hash[0])
        return v;
    if (strcmp(r->written.hash, hash) == 0)
        return r->written;
    const struct known_bundle *b = known_by_hash(k, hash);
    return b ? b->version : v;
}
