/* Keys and the values under them: names and numbers. */
#include "internal.h"

#include <string.h>

#include <report/keys.h>

/* Every key once: a series that is there twice would spoil the page, and the record is another program's. */
static bool seen_before(const struct cluster_keys *k, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(k->keys[j].name, k->keys[i].name) == 0 &&
            strcmp(k->keys[j].provider, k->keys[i].provider) == 0)
            return true;
    return false;
}

#define FOR_EACH_KEY(r, k)                                                                                   \
    for (const struct cluster_key_info *k = (r)->s->keys.keys;                                               \
         (r)->s->has_keys && k < (r)->s->keys.keys + (r)->s->keys.keys_count; k++)                           \
        if (!seen_before(&(r)->s->keys, (size_t)(k - (r)->s->keys.keys)))

void write_key_info(struct render *r)
{
    FOR_EACH_KEY(r, k)
    SAMPLE(r, 1, {"provider", k->provider}, {"key", k->name}, {"state", key_state_name(k->state)});
}

void write_key_age(struct render *r)
{
    int64_t age = 0;
    FOR_EACH_KEY(r, k)
    if (k->state != KEY_RETIRED && age_since(r, k->created_ms, &age))
        SAMPLE(r, age, {"provider", k->provider}, {"key", k->name});
}

void write_key_writes(struct render *r)
{
    FOR_EACH_KEY(r, k)
    {
        int64_t writes = k->state != KEY_RETIRED ? key_writes(r->s, k, 0) : -1;
        if (writes >= 0)
            SAMPLE(r, writes, {"provider", k->provider}, {"key", k->name});
    }
}

/* ---------- the last scan ---------- */

static const struct cluster_reencrypt *scan(const struct render *r)
{
    return r->s->has_reencrypt && r->s->reencrypt.scan_revision > 0 ? &r->s->reencrypt : NULL;
}

static bool counted_before(const struct cluster_reencrypt *e, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(e->keys[j].name, e->keys[i].name) == 0 &&
            strcmp(e->keys[j].provider, e->keys[i].provider) == 0)
            return true;
    return false;
}

void write_key_values(struct render *r)
{
    const struct cluster_reencrypt *e = scan(r);
    for (size_t i = 0; e && i < e->keys_count; i++)
        if (!counted_before(e, i))
            SAMPLE(r, e->keys[i].values, {"provider", e->keys[i].provider}, {"key", e->keys[i].name});
}

bool single_scan_time(const struct render *r, int64_t *ret)
{
    const struct cluster_reencrypt *e = scan(r);
    *ret = e ? e->scan_ms : 0;
    return *ret > 0;
}

bool single_scan_values(const struct render *r, int64_t *ret)
{
    const struct cluster_reencrypt *e = scan(r);
    *ret = e ? e->scan_values : 0;
    return e;
}

bool single_scan_stale(const struct render *r, int64_t *ret)
{
    const struct cluster_reencrypt *e = scan(r);
    *ret = e ? e->scan_stale : 0;
    return e;
}

bool single_scan_plain(const struct render *r, int64_t *ret)
{
    const struct cluster_reencrypt *e = scan(r);
    *ret = e ? e->scan_plain : 0;
    return e;
}

/* ---------- what is to come ---------- */

bool single_enabled(const struct render *r, int64_t *ret)
{
    *ret = *r->s->rotation.write_key != 0;
    return r->s->has_rotation && r->s->rotation.generation > 0;
}

bool single_escrow(const struct render *r, int64_t *ret)
{
    *ret = (int64_t)r->s->escrow_count;
    return true;
}

bool single_next_rotation(const struct render *r, int64_t *ret)
{
    *ret = r->s->schedule.next_ms;
    return r->s->has_schedule && *ret > 0;
}

bool single_rotation_held(const struct render *r, int64_t *ret)
{
    *ret = *r->s->schedule.held != 0;
    return r->s->has_schedule;
}
