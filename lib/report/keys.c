#include <report/keys.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <report/table.h>

#include <report/records.h>

#define COLUMNS 8

int64_t key_writes(const struct cluster_snapshot *s, const struct cluster_key_info *k,
                   int64_t datastore_revision)
{
    if (k->state != KEY_ACTIVE)
        return k->writes;
    if (s->has_schedule && k->since_revision > 0 && s->schedule.writes_since == k->since_revision)
        return s->schedule.writes;
    if (k->since_revision <= 0 || datastore_revision < k->since_revision)
        return -1;
    return datastore_revision - k->since_revision;
}

int64_t key_values(const struct cluster_snapshot *s, const struct cluster_key_info *k)
{
    const struct cluster_reencrypt *r = &s->reencrypt;
    if (!s->has_reencrypt || r->scan_revision == 0)
        return -1;
    for (size_t i = 0; i < r->keys_count; i++)
        if (strcmp(r->keys[i].name, k->name) == 0 && strcmp(r->keys[i].provider, k->provider) == 0)
            return r->keys[i].values;
    return 0;
}

int64_t key_escrow_until(const struct cluster_snapshot *s, const struct cluster_key_info *k)
{
    for (size_t i = 0; i < s->escrow_count; i++)
        if (strcmp(s->escrow[i].name, k->name) == 0 && strcmp(s->escrow[i].provider, k->provider) == 0)
            return s->escrow[i].until_ms;
    /* The snapshot holds only so many: past that the list of keys is believed. */
    return s->escrow_count == SNAPSHOT_ESCROW_MAX ? k->until_ms : 0;
}

struct key_texts {
    char age[AGE_TEXT_MAX], since[CLOCK_TEXT_MAX], writes[COUNT_TEXT_MAX], values[COUNT_TEXT_MAX],
        until[CLOCK_TEXT_MAX];
};

static void count_or(int64_t n, const char *otherwise, char out[COUNT_TEXT_MAX])
{
    if (n >= 0)
        format_count(n, out);
    else
        snprintf(out, COUNT_TEXT_MAX, "%s", otherwise);
}

static void add_key(const struct cluster_snapshot *s, const struct cluster_key_info *k,
                    int64_t datastore_revision, struct key_texts *t, const char **cells)
{
    snprintf(t->age, sizeof(t->age), "unknown");
    snprintf(t->since, sizeof(t->since), "unknown");
    snprintf(t->until, sizeof(t->until), "%s", k->state == KEY_RETIRED ? "not in escrow" : "");
    if (k->created_ms > 0)
        format_age(s->now_ms - k->created_ms, t->age);
    if (k->since_ms > 0)
        clock_format(k->since_ms, t->since);
    count_or(key_writes(s, k, datastore_revision), "unknown", t->writes);
    count_or(key_values(s, k), "not counted", t->values);
    int64_t until = key_escrow_until(s, k);
    if (k->state == KEY_RETIRED && until > 0)
        clock_format(until, t->until);
    const char *row[COLUMNS] = {k->name,   k->provider, key_state_name(k->state), t->age, t->since, t->writes,
                                t->values, t->until};
    memcpy(cells, row, sizeof(row));
}

/* The one that writes first, then those that are read, then the retired ones; the record's order within. */
static size_t order_keys(const struct cluster_keys *k, const struct cluster_key_info **out)
{
    static const enum key_state states[] = {KEY_ACTIVE, KEY_READABLE, KEY_RETIRED};
    size_t n = 0;
    for (size_t state = 0; state < array_len(states); state++)
        for (size_t i = 0; i < k->keys_count; i++)
            if (k->keys[i].state == states[state])
                out[n++] = &k->keys[i];
    return n;
}

int render_keys_text(const struct cluster_snapshot *s, int64_t datastore_revision, struct buf *out,
                     struct error *err)
{
    static const char *const head[COLUMNS] = {"Name",  "Provider", "State",  "Age",
                                              "Since", "Writes",   "Values", "Escrow until"};
    const char *cells[(CLUSTER_KEY_BOOK_MAX + 1) * COLUMNS];
    const struct cluster_key_info *keys[CLUSTER_KEY_BOOK_MAX];
    if (!s->has_keys || s->keys.keys_count == 0)
        return buf_adds(out,
                        "No keys are known yet: the coordinator lists them when it has taken the servers' "
                        "config over\n",
                        err);
    _cleanup_free_ struct key_texts *texts = calloc(CLUSTER_KEY_BOOK_MAX, sizeof(*texts));
    if (!texts)
        return error_no_memory(err);
    size_t count = order_keys(&s->keys, keys);
    memcpy(cells, head, sizeof(head));
    for (size_t i = 0; i < count; i++)
        add_key(s, keys[i], datastore_revision, &texts[i], cells + (i + 1) * COLUMNS);
    int rc = table_render(cells, count + 1, COLUMNS, true, out, err);
    make_printable(out);
    return rc;
}

int render_keys_json(const struct cluster_snapshot *s, int64_t datastore_revision, struct buf *out,
                     struct error *err)
{
    struct builder b = {0, err};
    _cleanup_(json_freep) struct json *root = build_new(&b, false);
    build_head(&b, root, "keys");
    build_keys(&b, root, s, datastore_revision);
    if (datastore_revision > 0)
        build_int(&b, root, "revision", datastore_revision);
    if (s->has_reencrypt && s->reencrypt.scan_revision > 0)
        build_int(&b, root, "scanrevision", s->reencrypt.scan_revision);
    return build_print(&b, root, out);
}
