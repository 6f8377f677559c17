/* How a look comes to hold every key by reading only some of them.
 *
 * The view has all keys as they were at revision R. It asks for those that were put after R, and in the same
 * answer, which is of one revision, etcd counts all keys there are. A key that is there now was either put
 * after R, and is in the answer, or was not, and then stands in the view as it was at R: so the keys that are
 * there are among those of both together. Are they as many, they are the same, and nothing was deleted (by
 * whomever, or by a lease). Are they not, all keys are read. (An etcd that did not count the keys that it
 * leaves out would lead there too, never to a wrong answer.)
 *
 * A value whose key, create and mod revision are those of one that was checked before is that value: etcd
 * gives each transaction a revision of its own and writes a key once in it. So its signature holds still.
 * That is true within the history of one etcd: where there is doubt that it is the same one, everything is
 * checked. */
#include <store/view.h>

#include <base/clock.h>

#include "internal.h"

#define CHECK_ALL_MS (10 * 60 * 1000) /* no more than a precaution */

struct entry {
    char *text; /* the key, a NUL, and the name part of it; owned */
    size_t key_len;
    struct buf body;
    struct snapshot_input in; /* points into both */
};

struct store_view {
    struct store *store;
    struct entry *entries; /* sorted by key */
    size_t count;
    struct snapshot_input *inputs; /* of the entries, as snapshot_refresh takes them */
    struct cluster_snapshot *snapshot;
    bool known;          /* the entries are all keys at `revision` */
    int64_t revision;    /* of the last look */
    uint64_t etcd, term; /* id and raft term of the etcd that answered it */
    int64_t all_ms;      /* when everything was last checked */
    struct store_view_counts counts;
};

static void entry_free(struct entry *e)
{
    free(e->text);
    buf_free(&e->body);
}

static void drop_entries(struct store_view *v)
{
    for (size_t i = 0; i < v->count; i++)
        entry_free(&v->entries[i]);
    free(v->entries);
    v->entries = NULL;
    v->count = 0;
}

int store_view_new(struct store *s, struct store_view **ret, struct error *err)
{
    _cleanup_(store_view_freep) struct store_view *v = calloc(1, sizeof(*v));
    if (!v)
        return error_no_memory(err);
    v->store = s;
    v->snapshot = malloc(sizeof(*v->snapshot)); /* of which most is never touched */
    if (!v->snapshot)
        return error_no_memory(err);
    snapshot_clear(v->snapshot);
    *ret = take(v);
    return 0;
}

void store_view_free(struct store_view *v)
{
    if (!v)
        return;
    drop_entries(v);
    free(v->inputs);
    free(v->snapshot);
    free(v);
}

void store_view_forget(struct store_view *v)
{
    drop_entries(v);
    snapshot_clear(v->snapshot);
    v->known = false;
}

void store_view_count(const struct store_view *v, struct store_view_counts *ret)
{
    *ret = v->counts;
}

/* ---------- entries ---------- */

static int copy_texts(const struct etcd_kv *kv, const char *name, struct entry *e, struct error *err)
{
    size_t key_size = kv->key_len + 1, name_size = strlen(name) + 1;
    e->text = malloc(key_size + name_size);
    if (!e->text)
        return error_no_memory(err);
    memcpy(e->text, kv->key, key_size); /* its NUL as well */
    memcpy(e->text + key_size, name, name_size);
    e->key_len = kv->key_len;
    e->in.key = e->text;
    e->in.name = e->text + key_size;
    return 0;
}

/* A plain value is copied: the answer that it stands in is freed. */
static int keep_body(struct entry *e, struct error *err)
{
    if (!e->in.body)
        return 0;
    if (!e->body.len) {
        e->body = (struct buf)BUF_INIT(STORE_RECORD_MAX);
        int rc = buf_add(&e->body, e->in.body, e->in.len, err);
        if (rc < 0)
            return rc;
    }
    e->in.body = buf_str(&e->body);
    return 0;
}

static int entry_make(struct store_view *v, const struct etcd_kv *kv, struct entry *e, struct error *err)
{
    const char *name = "";
    memset(e, 0, sizeof(*e));
    int kind = cluster_key_parse(kv->key, v->store->cluster, &name);
    int rc = copy_texts(kv, name, e, err); /* first: the name is the parser's until its next call */
    const char *key = e->in.key, *own_name = e->in.name;
    rc = rc ? rc : store_slice(v->store, kv, &e->in, &e->body, err);
    e->in.key = key;
    e->in.name = own_name;
    e->in.kind = kind;
    v->counts.verified += e->body.len > 0 || !e->in.body;
    rc = rc ? rc : keep_body(e, err);
    if (rc < 0)
        entry_free(e);
    return rc;
}

/* As etcd sorts: keys are bytes. */
static int compare_keys(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static bool same_value(const struct entry *e, const struct etcd_kv *kv)
{
    return e->in.mod_revision == kv->mod_revision && e->in.create_revision == kv->create_revision;
}

/* Both are sorted by key. `whole`: the answer has every key, so that an entry which is not in it is gone.
 * What is taken over of the old entries is zeroed there. */
static int merge(struct store_view *v, const struct etcd_range *range, bool whole, struct entry *out,
                 size_t *ret_count, struct error *err)
{
    size_t i = 0, k = 0, n = 0;
    int rc = 0;
    while (rc == 0 && (i < v->count || k < range->count)) {
        const struct etcd_kv *kv = k < range->count ? &range->kvs[k] : NULL;
        struct entry *e = i < v->count ? &v->entries[i] : NULL;
        int order = !e ? 1 : !kv ? -1 : compare_keys(e->in.key, e->key_len, kv->key, kv->key_len);
        bool kept = order < 0 ? !whole : order == 0 && same_value(e, kv);
        if (kept) {
            out[n++] = *e;
            memset(e, 0, sizeof(*e));
        } else if (order >= 0) {
            rc = entry_make(v, kv, &out[n], err);
            n += rc == 0;
        }
        i += order <= 0;
        k += order >= 0;
    }
    *ret_count = n;
    return rc;
}

static int take_over(struct store_view *v, const struct etcd_range *range, bool whole, struct error *err)
{
    size_t count = 0;
    struct entry *out = calloc(v->count + range->count + 1, sizeof(*out));
    if (!out)
        return error_no_memory(err);
    int rc = merge(v, range, whole, out, &count, err);
    drop_entries(v);
    v->entries = out;
    v->count = count;
    v->known = rc == 0;
    v->revision = range->revision;
    v->etcd = range->cluster;
    v->term = range->term;
    return rc;
}

/* ---------- reading ---------- */

/* An etcd whose revision or term goes back was restored, or is another one. */
static bool is_another(const struct store_view *v, const struct etcd_range *range)
{
    return v->known && (range->cluster != v->etcd || range->term < v->term || range->revision < v->revision);
}

static int read_all(struct store_view *v, const char *prefix, const char *end, int deadline_ms,
                    struct error *err)
{
    _cleanup_(etcd_range_free) struct etcd_range range = {0};
    int rc = etcd_snapshot_to(store_etcd(v->store), prefix, end, SNAPSHOT_KEYS_MAX, deadline_ms, &range, err);
    if (rc < 0)
        return rc;
    v->counts.whole++;
    if (is_another(v, &range))
        store_view_forget(v);
    if (!v->known)
        v->all_ms = clock_mono_ms();
    return take_over(v, &range, true, err);
}

/* What etcd was asked for: keys put since, sorted; anything else is no answer to go by. */
static bool is_answer(const struct store_view *v, const struct etcd_range *range)
{
    for (size_t i = 0; i < range->count; i++) {
        const struct etcd_kv *kv = &range->kvs[i];
        if (kv->mod_revision <= v->revision ||
            (i > 0 && compare_keys(kv[-1].key, kv[-1].key_len, kv->key, kv->key_len) >= 0))
            return false;
    }
    return !range->more;
}

/* *ret_whole: everything has to be read. */
static int read_changes(struct store_view *v, const char *prefix, const char *end, int deadline_ms,
                        bool *ret_whole, struct error *err)
{
    _cleanup_(etcd_range_free) struct etcd_range range = {0};
    struct etcd_range_options o = {
        .prefix = prefix, .to = end, .limit = SNAPSHOT_KEYS_MAX, .min_mod_revision = v->revision + 1};
    int rc = etcd_list(store_etcd(v->store), &o, deadline_ms, &range, err);
    *ret_whole = rc == ERR_TOO_LARGE;
    if (rc < 0)
        return *ret_whole ? 0 : rc;
    /* Of too many keys reading all of them says so. */
    if (is_another(v, &range) || !is_answer(v, &range) || range.total > SNAPSHOT_KEYS_MAX) {
        store_view_forget(v);
        *ret_whole = true;
        return 0;
    }
    rc = take_over(v, &range, false, err);
    *ret_whole = rc == 0 && (int64_t)v->count != range.total;
    return rc;
}

static int read_keys(struct store_view *v, int deadline_ms, struct error *err)
{
    char prefix[CLUSTER_KEY_PATH_MAX], end[CLUSTER_KEY_PATH_MAX];
    int64_t until = clock_mono_ms() + deadline_ms;
    bool whole = true;
    int rc = 0;
    store_live_range(v->store, prefix, end);
    /* No etcd gets to that revision: nothing comes after it. */
    if (v->known && (v->revision == INT64_MAX || clock_mono_ms() - v->all_ms >= CHECK_ALL_MS))
        store_view_forget(v);
    if (v->known)
        rc = read_changes(v, prefix, end, deadline_ms, &whole, err);
    int64_t left = until - clock_mono_ms();
    if (rc == 0 && whole)
        rc = read_all(v, prefix, end, left > 1 ? (int)left : 1, err);
    return rc;
}

static int decode(struct store_view *v, struct error *err)
{
    struct snapshot_input *inputs = realloc(v->inputs, (v->count + 1) * sizeof(*inputs));
    if (!inputs)
        return error_no_memory(err);
    v->inputs = inputs;
    for (size_t i = 0; i < v->count; i++)
        inputs[i] = v->entries[i].in;
    return snapshot_refresh(v->store->cluster, v->revision, clock_wall_ms(), inputs, v->count, v->snapshot,
                            err);
}

int store_view_look(struct store_view *v, int deadline_ms, struct cluster_snapshot **ret, struct error *err)
{
    int rc = read_keys(v, deadline_ms, err);
    if (rc < 0) {
        store_view_forget(v);
        return error_prefix(err, rc, "reading the state store");
    }
    rc = decode(v, err);
    if (rc < 0)
        store_view_forget(v);
    else
        *ret = v->snapshot;
    return rc;
}

const struct snapshot_input *store_view_records(const struct store_view *v, size_t *ret_count)
{
    *ret_count = v->known ? v->count : 0; /* `inputs` are of `entries` then */
    return v->inputs;
}
