/* How two layouts differ. Elements are matched by their resources, providers by their kind, keys by their
 * name; then what has no match, what differs in a match, and whether the matches stand in another order. */
#include <report/differ.h>

#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/text.h>
#include <encryption/layout.h>

#define NONE SIZE_MAX

struct side {
    const struct layout *layout;
    const struct layout_item *item; /* the element that is looked at */
};

struct comparison {
    struct side a, b; /* the reference, and the other */
    struct differences *ret;
    char of[64];
};

/* ---------- noting ---------- */

static struct difference *note(struct comparison *c, enum difference_kind kind)
{
    static struct difference lost; /* written, never read */
    if (c->ret->count == DIFFERENCES_MAX) {
        c->ret->more++;
        return &lost;
    }
    struct difference *d = &c->ret->list[c->ret->count++];
    memset(d, 0, sizeof(*d));
    d->kind = kind;
    text_copy(d->of, sizeof(d->of), c->of);
    return d;
}

static struct difference *note_provider(struct comparison *c, enum difference_kind kind,
                                        const struct layout_provider *p, size_t place)
{
    struct difference *d = note(c, kind);
    text_copy(d->provider, sizeof(d->provider), provider_name(p->kind));
    d->place = place;
    return d;
}

static void note_key(struct comparison *c, enum difference_kind kind, const struct layout_provider *p,
                     const struct layout_key *k, size_t place)
{
    struct difference *d = note_provider(c, kind, p, place);
    text_copy(d->key, sizeof(d->key), k->name);
}

/* Words joined by commas, cut where they are too many. */
static void join(char *out, size_t size, const char *word)
{
    size_t len = strlen(out);
    snprintf(out + len, size - len, "%s%s", len ? ", " : "", word);
}

/* ---------- matching ---------- */

static const struct layout_provider *provider_at(const struct side *s, size_t i)
{
    return &s->layout->providers[s->item->providers + i];
}

static const struct layout_key *key_at(const struct side *s, const struct layout_provider *p, size_t i)
{
    return &s->layout->keys[p->keys + i];
}

static const char *resource_at(const struct side *s, size_t i)
{
    return s->layout->resources[s->item->resources + i];
}

/* The key of `p` that fits the i-th of `q`: the n-th of its name to the n-th. */
static size_t find_key(const struct side *in, const struct layout_provider *p, const struct side *from,
                       const struct layout_provider *q, size_t i)
{
    const char *name = key_at(from, q, i)->name;
    size_t before = 0;
    for (size_t k = 0; k < i; k++)
        before += strcmp(key_at(from, q, k)->name, name) == 0;
    for (size_t k = 0; k < p->keys_count; k++)
        if (strcmp(key_at(in, p, k)->name, name) == 0 && before-- == 0)
            return k;
    return NONE;
}

static bool same_provider(const struct layout_provider *a, const struct layout_provider *b)
{
    return a->kind == b->kind && (a->kind != PROVIDER_KMS || strcmp(a->kms_name, b->kms_name) == 0);
}

/* The provider of `in` that fits the i-th of `from`: the n-th of its kind to the n-th. */
static size_t find_provider(const struct side *in, const struct side *from, size_t i)
{
    const struct layout_provider *p = provider_at(from, i);
    size_t before = 0;
    for (size_t k = 0; k < i; k++)
        before += same_provider(provider_at(from, k), p);
    for (size_t k = 0; k < in->item->providers_count; k++)
        if (same_provider(provider_at(in, k), p) && before-- == 0)
            return k;
    return NONE;
}

static bool has_resource(const struct side *in, const char *name)
{
    for (size_t i = 0; i < in->item->resources_count; i++)
        if (strcmp(resource_at(in, i), name) == 0)
            return true;
    return false;
}

/* Elements for no resources at all are alike in that. */
static size_t shared_resources(const struct side *a, const struct side *b)
{
    size_t n = a->item->resources_count == 0 && b->item->resources_count == 0;
    for (size_t i = 0; i < a->item->resources_count; i++)
        n += has_resource(b, resource_at(a, i));
    return n;
}

/* ---------- one provider ---------- */

static void compare_plugin(struct comparison *c, const struct layout_provider *a,
                           const struct layout_provider *b, size_t place)
{
    bool version = strcmp(a->kms_version, b->kms_version) != 0;
    if (!version && strcmp(a->kms_endpoint, b->kms_endpoint) == 0)
        return;
    struct difference *d = note_provider(c, DIFFER_PLUGIN, b, place);
    snprintf(d->detail, sizeof(d->detail), "%.48s has another %s", b->kms_name,
             version ? "apiVersion" : "endpoint");
}

/* Those that both have, in each one's order. */
static void compare_key_order(struct comparison *c, const struct layout_provider *a,
                              const struct layout_provider *b, size_t place)
{
    char here[80] = "", there[80] = "";
    size_t last = 0;
    bool other = false, first = true;
    for (size_t i = 0; i < b->keys_count; i++) {
        size_t at = find_key(&c->a, a, &c->b, b, i);
        if (at == NONE)
            continue;
        other |= !first && at < last;
        first = false;
        last = at;
        join(here, sizeof(here), key_at(&c->b, b, i)->name);
    }
    if (!other)
        return;
    for (size_t i = 0; i < a->keys_count; i++)
        if (find_key(&c->b, b, &c->a, a, i) != NONE)
            join(there, sizeof(there), key_at(&c->a, a, i)->name);
    struct difference *d = note_provider(c, DIFFER_KEY_ORDER, b, place);
    snprintf(d->detail, sizeof(d->detail), "%s instead of %s", here, there);
}

static void compare_keys(struct comparison *c, const struct layout_provider *a,
                         const struct layout_provider *b, size_t place)
{
    for (size_t i = 0; i < b->keys_count; i++) {
        const struct layout_key *k = key_at(&c->b, b, i);
        size_t at = find_key(&c->a, a, &c->b, b, i);
        if (at == NONE)
            note_key(c, DIFFER_KEY_EXTRA, b, k, i + 1);
        else if (strcmp(key_at(&c->a, a, at)->fingerprint, k->fingerprint) != 0)
            note_key(c, DIFFER_OTHER_KEY, b, k, i + 1);
    }
    for (size_t i = 0; i < a->keys_count; i++)
        if (find_key(&c->b, b, &c->a, a, i) == NONE)
            note_key(c, DIFFER_KEY_MISSING, a, key_at(&c->a, a, i), i + 1);
    compare_key_order(c, a, b, place);
}

/* ---------- one element of `resources` ---------- */

static void compare_resources(struct comparison *c)
{
    char lacks[80] = "", besides[80] = "";
    bool order = c->a.item->resources_count == c->b.item->resources_count;
    for (size_t i = 0; i < c->a.item->resources_count; i++)
        if (!has_resource(&c->b, resource_at(&c->a, i)))
            join(lacks, sizeof(lacks), resource_at(&c->a, i));
    for (size_t i = 0; i < c->b.item->resources_count; i++)
        if (!has_resource(&c->a, resource_at(&c->b, i)))
            join(besides, sizeof(besides), resource_at(&c->b, i));
    for (size_t i = 0; order && i < c->a.item->resources_count; i++)
        order = strcmp(resource_at(&c->a, i), resource_at(&c->b, i)) == 0;
    if (!*lacks && !*besides) {
        if (!order)
            note(c, DIFFER_RESOURCE_ORDER);
        return;
    }
    struct difference *d = note(c, DIFFER_RESOURCES);
    snprintf(d->detail, sizeof(d->detail), "%s%s%s%s%s", *lacks ? "lacks " : "", lacks,
             *lacks && *besides ? "; " : "", *besides ? "has besides " : "", besides);
}

static void compare_provider_order(struct comparison *c)
{
    char here[80] = "", there[80] = "";
    size_t last = 0;
    bool other = false, first = true;
    for (size_t i = 0; i < c->b.item->providers_count; i++) {
        size_t at = find_provider(&c->a, &c->b, i);
        if (at == NONE)
            continue;
        other |= !first && at < last;
        first = false;
        last = at;
        join(here, sizeof(here), provider_name(provider_at(&c->b, i)->kind));
    }
    if (!other)
        return;
    for (size_t i = 0; i < c->a.item->providers_count; i++)
        if (find_provider(&c->b, &c->a, i) != NONE)
            join(there, sizeof(there), provider_name(provider_at(&c->a, i)->kind));
    struct difference *d = note(c, DIFFER_PROVIDER_ORDER);
    snprintf(d->detail, sizeof(d->detail), "%s instead of %s", here, there);
}

static void compare_providers(struct comparison *c)
{
    for (size_t i = 0; i < c->b.item->providers_count; i++) {
        const struct layout_provider *b = provider_at(&c->b, i);
        size_t at = find_provider(&c->a, &c->b, i);
        if (at == NONE) {
            note_provider(c, DIFFER_PROVIDER_EXTRA, b, i + 1);
            continue;
        }
        compare_plugin(c, provider_at(&c->a, at), b, i + 1);
        compare_keys(c, provider_at(&c->a, at), b, i + 1);
    }
    for (size_t i = 0; i < c->a.item->providers_count; i++)
        if (find_provider(&c->b, &c->a, i) == NONE)
            note_provider(c, DIFFER_PROVIDER_MISSING, provider_at(&c->a, i), i + 1);
    compare_provider_order(c);
}

/* ---------- the whole ---------- */

/* Names the element in what is noted, where there are several. */
static void name_item(struct comparison *c, const struct side *s)
{
    c->of[0] = 0;
    if (c->a.layout->items_count < 2 && c->b.layout->items_count < 2)
        return;
    for (size_t i = 0; i < s->item->resources_count; i++)
        join(c->of, sizeof(c->of), resource_at(s, i));
}

/* The element of `in`, among those not taken yet, that shares the most resources with that of `with`. */
static size_t nearest_item(struct side in, const struct side *with, const bool *taken)
{
    size_t best = NONE, most = 0;
    for (size_t i = 0; i < in.layout->items_count; i++) {
        in.item = &in.layout->items[i];
        size_t n = taken[i] ? 0 : shared_resources(with, &in);
        if (n > most) {
            most = n;
            best = i;
        }
    }
    return best;
}

/* One element each: there is no other to take it for. */
static bool only_ones(const struct comparison *c)
{
    return c->a.layout->items_count == 1 && c->b.layout->items_count == 1;
}

static void compare_items(struct comparison *c)
{
    bool taken[LAYOUT_ITEMS_MAX] = {false};
    size_t last = 0;
    bool order = true, first = true;
    for (size_t i = 0; i < c->b.layout->items_count; i++) {
        c->b.item = &c->b.layout->items[i];
        size_t at = only_ones(c) ? 0 : nearest_item(c->a, &c->b, taken);
        name_item(c, &c->b);
        if (at == NONE) {
            note(c, DIFFER_ITEM_EXTRA);
            continue;
        }
        taken[at] = true;
        order &= first || at > last;
        first = false;
        last = at;
        c->a.item = &c->a.layout->items[at];
        compare_resources(c);
        compare_providers(c);
    }
    for (size_t i = 0; i < c->a.layout->items_count; i++)
        if (!taken[i]) {
            c->a.item = &c->a.layout->items[i];
            name_item(c, &c->a);
            note(c, DIFFER_ITEM_MISSING);
        }
    c->of[0] = 0;
    if (!order)
        note(c, DIFFER_ITEM_ORDER);
}

static void note_unknown(struct comparison *c, const struct cluster_report *r, const char *why)
{
    struct difference *d = note(c, DIFFER_UNKNOWN);
    snprintf(d->detail, sizeof(d->detail), "%s: %.120s", r->server, why);
}

static const char *no_layout_why(const struct cluster_report *r)
{
    if (*r->layout_why)
        return r->layout_why;
    return *r->file_why ? r->file_why
                        : "its agent does not say what stands in its file; it may be an older one";
}

/* False where one of them has none that can be read: that is noted. */
static bool read_layout(struct comparison *c, const struct cluster_report *r, struct layout *into)
{
    struct error why = ERROR_INIT;
    if (*r->layout && layout_read(r->layout, into, &why) == 0)
        return true;
    note_unknown(c, r, *r->layout ? why.text : no_layout_why(r));
    return false;
}

static bool compare_files(struct comparison *c, const struct cluster_report *a,
                          const struct cluster_report *b)
{
    if (*a->hash && *b->hash)
        return false;
    struct difference *d = note(c, DIFFER_NO_FILE);
    const struct cluster_report *none = *b->hash ? a : b;
    snprintf(d->detail, sizeof(d->detail), "%s: %.120s", none->server,
             *none->file_why ? none->file_why : "there is no encryption config");
    return true;
}

int differ_compare(const struct cluster_report *reference, const struct cluster_report *other,
                   struct differences *ret, struct error *err)
{
    struct comparison c = {.ret = ret};
    ret->count = ret->more = 0;
    if (strcmp(reference->hash, other->hash) == 0 || compare_files(&c, reference, other))
        return 0;
    if (*reference->config_id && strcmp(reference->config_id, other->config_id) == 0) {
        note(&c, DIFFER_FORMAT);
        return 0;
    }
    _cleanup_free_ struct layout *layouts = calloc(2, sizeof(*layouts));
    if (!layouts)
        return error_no_memory(err);
    c.a.layout = &layouts[0];
    c.b.layout = &layouts[1];
    if (!read_layout(&c, other, &layouts[1]) || !read_layout(&c, reference, &layouts[0]))
        return 0;
    compare_items(&c);
    if (ret->count == 0)
        note(&c, DIFFER_SETTINGS);
    return 0;
}
