/* Questions about a config: which entry, which keys, who writes. */
#include "model.h"

bool key_name_is_good(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return len > 0 && len <= ENCRYPTION_KEY_NAME_MAX;
}

static bool fits_before(const char *shorter, const char *longer)
{
    size_t n = strlen(shorter);
    return strncmp(shorter, longer, n) == 0 && longer[n] == ':';
}

bool key_names_clash(const char *a, const char *b)
{
    return fits_before(a, b) || fits_before(b, a);
}

/* Length without the dot that an empty group leaves at the end. */
static size_t resource_len(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && name[n - 1] == '.' ? n - 1 : n;
}

bool resource_equal(const char *a, const char *b)
{
    size_t n = resource_len(a);
    return n == resource_len(b) && memcmp(a, b, n) == 0;
}

bool resource_is_wildcard(const char *name)
{
    return name[0] == '*' && (name[1] == 0 || name[1] == '.');
}

static const char *group_of(const char *resource)
{
    const char *dot = strchr(resource, '.');
    return dot ? dot + 1 : "";
}

bool resource_covered(const char *wildcard, const char *resource)
{
    if (!resource_is_wildcard(wildcard))
        return false;
    return strcmp(wildcard, "*.*") == 0 || strcmp(group_of(wildcard), group_of(resource)) == 0;
}

bool set_has(struct resource_set set, const char *resource)
{
    for (size_t i = 0; i < set.count; i++)
        if (resource_equal(set.names[i], resource))
            return true;
    return false;
}

bool entry_names(const struct entry *e, const char *resource)
{
    return set_has((struct resource_set){e->resources, e->resource_count}, resource);
}

bool entry_is_managed(const struct entry *e, struct resource_set managed)
{
    for (size_t i = 0; i < managed.count; i++)
        if (entry_names(e, managed.names[i]))
            return true;
    return false;
}

static bool entry_covers(const struct entry *e, const char *resource)
{
    for (size_t i = 0; i < e->resource_count; i++)
        if (resource_covered(e->resources[i], resource))
            return true;
    return false;
}

const struct entry *entry_of(const struct encryption_config *c, const char *resource)
{
    for (size_t i = 0; i < c->entry_count; i++)
        if (entry_names(&c->entries[i], resource))
            return &c->entries[i];
    for (size_t i = 0; i < c->entry_count; i++)
        if (entry_covers(&c->entries[i], resource))
            return &c->entries[i];
    return NULL;
}

const struct key *stage_key(const struct stage *s, const char *name)
{
    for (size_t i = 0; i < s->key_count; i++)
        if (strcmp(s->keys[i].name, name) == 0)
            return &s->keys[i];
    return NULL;
}

int find_stage(const struct entry *e, enum provider kind, const char *name)
{
    for (size_t i = 0; i < e->stage_count; i++)
        if (e->stages[i].kind == kind && (!name || stage_key(&e->stages[i], name)))
            return (int)i;
    return -1;
}

const struct key *write_key(const struct entry *e)
{
    return e->stages[0].key_count ? &e->stages[0].keys[0] : NULL;
}

const struct entry *next_managed(const struct encryption_config *c, struct resource_set managed, size_t *i)
{
    for (; *i < c->entry_count; ++*i)
        if (entry_is_managed(&c->entries[*i], managed))
            return &c->entries[*i];
    return NULL;
}

static bool has_managed(const struct encryption_config *c, struct resource_set managed)
{
    size_t i = 0;
    return next_managed(c, managed, &i) != NULL;
}

/* For identity there is no name. */
static const char *name_in(enum provider provider, const char *name)
{
    return provider == PROVIDER_IDENTITY ? NULL : name;
}

bool encryption_can_read(const struct encryption_config *c, struct resource_set managed,
                         enum provider provider, const char *name)
{
    if (provider == PROVIDER_KMS)
        return false;
    for_each_managed(e, c, managed) if (find_stage(e, provider, name_in(provider, name)) < 0) return false;
    return has_managed(c, managed);
}

static bool entry_writes_with(const struct entry *e, enum provider provider, const char *name)
{
    const struct key *k = write_key(e);
    return e->stages[0].kind == provider &&
           (provider == PROVIDER_IDENTITY || (k && strcmp(k->name, name) == 0));
}

bool encryption_writes_with(const struct encryption_config *c, struct resource_set managed,
                            enum provider provider, const char *name)
{
    for_each_managed(e, c, managed) if (!entry_writes_with(e, provider, name)) return false;
    return has_managed(c, managed);
}

bool encryption_enabled(const struct encryption_config *c, struct resource_set managed)
{
    for_each_managed(e, c, managed) if (e->stages[0].kind == PROVIDER_IDENTITY) return false;
    return has_managed(c, managed);
}

const struct secret *encryption_key_value(const struct encryption_config *c, struct resource_set managed,
                                          enum provider provider, const char *name)
{
    for_each_managed(e, c, managed)
    {
        int at = find_stage(e, provider, name);
        if (at >= 0 && stage_key(&e->stages[at], name))
            return stage_key(&e->stages[at], name)->value;
    }
    return NULL;
}

/* --- the list of keys --- */

struct list {
    struct key_view *out;
    size_t max;
    size_t count; /* all, also those past max */
};

static bool listed(const struct list *l, enum provider provider, const char *name)
{
    size_t n = l->count < l->max ? l->count : l->max;
    for (size_t i = 0; i < n; i++)
        if (l->out[i].provider == provider && strcmp(l->out[i].name, name) == 0)
            return true;
    return false;
}

static void list_add(struct list *l, const struct key_view *v)
{
    if (listed(l, v->provider, v->name))
        return;
    if (l->count < l->max)
        l->out[l->count] = *v;
    l->count++;
}

size_t distinct_keys(const struct encryption_config *c)
{
    struct key_view all[ENCRYPTION_KEYS_MAX];
    struct list l = {all, ENCRYPTION_KEYS_MAX, 0};
    for (size_t i = 0; i < c->entry_count; i++)
        for (size_t s = 0; s < c->entries[i].stage_count; s++)
            for (size_t k = 0; k < c->entries[i].stages[s].key_count; k++) {
                const struct stage *stage = &c->entries[i].stages[s];
                list_add(&l, &(struct key_view){stage->keys[k].name, stage->kind, false, false});
            }
    return l.count;
}

/* Every key of the managed entries in file order; only those that write, or only the others. */
static void list_keys(struct list *l, const struct encryption_config *c, struct resource_set managed,
                      bool active)
{
    for_each_managed(e, c, managed) for (size_t s = 0; s < e->stage_count;
                                         s++) for (size_t k = 0; k < e->stages[s].key_count; k++)
    {
        const struct key *key = &e->stages[s].keys[k];
        struct key_view v = {key->name, e->stages[s].kind, active, false};
        v.partial = !encryption_can_read(c, managed, v.provider, v.name);
        if ((key == write_key(e)) == active)
            list_add(l, &v);
    }
}

size_t encryption_keys(const struct encryption_config *c, struct resource_set managed, struct key_view *out,
                       size_t max)
{
    /* Counted on a list of its own size, so that a short `out` neither hides keys nor counts one twice. */
    struct key_view all[ENCRYPTION_KEYS_MAX];
    struct list l = {all, ENCRYPTION_KEYS_MAX, 0};
    list_keys(&l, c, managed, true);
    list_keys(&l, c, managed, false);
    size_t n = l.count < max ? l.count : max;
    if (n)
        memcpy(out, all, n * sizeof(*all));
    return l.count;
}

bool encryption_is_plain(const struct encryption_config *c)
{
    for (size_t i = 0; i < c->entry_count; i++)
        for (size_t k = 0; k < c->entries[i].stage_count; k++)
            if (c->entries[i].stages[k].kind != PROVIDER_IDENTITY)
                return false;
    return true;
}
