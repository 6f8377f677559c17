#include "key_book.h"

#include <string.h>

#include <base/cleanup.h>
#include <base/text.h>

static struct cluster_key_info *find(struct cluster_keys *k, const char *provider, const char *name)
{
    for (size_t i = 0; i < k->keys_count; i++)
        if (strcmp(k->keys[i].provider, provider) == 0 && strcmp(k->keys[i].name, name) == 0)
            return &k->keys[i];
    return NULL;
}

static void make_room(struct cluster_keys *k)
{
    size_t oldest = 0;
    for (size_t i = 0; i < k->keys_count; i++) {
        bool better = k->keys[oldest].state != KEY_RETIRED || k->keys[i].since_ms < k->keys[oldest].since_ms;
        if (k->keys[i].state == KEY_RETIRED && better)
            oldest = i;
    }
    memmove(k->keys + oldest, k->keys + oldest + 1, (k->keys_count - oldest - 1) * sizeof(k->keys[0]));
    k->keys_count--;
}

static struct cluster_key_info *add(struct cluster_keys *k, const char *provider, const char *name,
                                    const struct key_book_entry *now)
{
    if (k->keys_count == CLUSTER_KEY_BOOK_MAX)
        make_room(k);
    struct cluster_key_info *i = &k->keys[k->keys_count++];
    *i = (struct cluster_key_info){
        .state = KEY_RETIRED, /* so that the state below counts as a change */
        .generation = now->generation,
        .created_ms = now->adopted ? 0 : now->now_ms,
    };
    text_copy(i->provider, sizeof(i->provider), provider);
    text_copy(i->name, sizeof(i->name), name);
    return i;
}

/* Every write under a key is a revision of the datastore: where nobody counted, the revisions that went by
 * while it was the one that writes are an upper bound. */
static int64_t writes_after(const struct cluster_key_info *i, const struct key_book_entry *now)
{
    bool counted = now->counted_since == i->since_revision;
    int64_t since = counted ? now->counted_to : i->since_revision;
    int64_t more = now->revision > since ? now->revision - since : 0;
    return (counted ? now->counted : i->writes) + more;
}

static void change(struct cluster_key_info *i, enum key_state state, const struct key_book_entry *now)
{
    if (i->state == state && i->since_ms)
        return;
    bool ends = i->state == KEY_ACTIVE && state != KEY_ACTIVE;
    if (ends && i->since_revision > 0)
        i->writes = writes_after(i, now);
    i->since_revision = state == KEY_ACTIVE ? now->revision : 0;
    i->state = state;
    i->since_ms = now->now_ms;
    i->until_ms = state == KEY_RETIRED ? now->now_ms + now->escrow_days * 24 * 3600 * 1000 : 0;
}

static bool has(const struct key_view *keys, size_t count, const struct cluster_key_info *i)
{
    for (size_t k = 0; k < count; k++)
        if (strcmp(provider_name(keys[k].provider), i->provider) == 0 && strcmp(keys[k].name, i->name) == 0)
            return true;
    return false;
}

void key_book_update(struct cluster_keys *k, const struct key_view *keys, size_t count,
                     const struct key_book_entry *now)
{
    for (size_t i = 0; i < k->keys_count; i++)
        if (!has(keys, count, &k->keys[i]))
            change(&k->keys[i], KEY_RETIRED, now);
    for (size_t i = 0; i < count; i++) {
        const char *provider = provider_name(keys[i].provider);
        struct cluster_key_info *info = find(k, provider, keys[i].name);
        if (!info)
            info = add(k, provider, keys[i].name, now);
        change(info, keys[i].active ? KEY_ACTIVE : KEY_READABLE, now);
    }
}
