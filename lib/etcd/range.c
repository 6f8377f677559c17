#include "internal.h"

#include <base/clock.h>

#define PAGE_KEYS 500

int key_check(const struct etcd *e, const char *key, struct error *err)
{
    size_t len = key ? strlen(key) : 0;
    if (len && len <= ETCD_KEY_MAX)
        return 0;
    return error_set(err, ERR_INVALID, "etcd %.300s: a key must have 1 to %d bytes, not %zu", e->name,
                     ETCD_KEY_MAX, len);
}

size_t prefix_end(const char *prefix, size_t len, char *out)
{
    memcpy(out, prefix, len);
    while (len && (unsigned char)out[len - 1] == 0xff)
        len--;
    if (len) {
        out[len - 1] = (char)((unsigned char)out[len - 1] + 1);
        return len;
    }
    out[0] = 0;
    return 1;
}

static void *copy_bytes(const ProtobufCBinaryData *from)
{
    uint8_t *copy = malloc(from->len + 1);
    if (!copy)
        return NULL;
    if (from->len)
        memcpy(copy, from->data, from->len);
    copy[from->len] = 0;
    return copy;
}

int kv_copy(const Mvccpb__KeyValue *from, struct etcd_kv *ret)
{
    struct etcd_kv kv = {
        .key = copy_bytes(&from->key),
        .key_len = from->key.len,
        .value = copy_bytes(&from->value),
        .value_len = from->value.len,
        .create_revision = from->create_revision,
        .mod_revision = from->mod_revision,
        .version = from->version,
        .lease = from->lease,
    };
    if (!kv.key || !kv.value) {
        kv_free(&kv);
        return ERR_NO_MEMORY;
    }
    *ret = kv;
    return 0;
}

void kv_free(struct etcd_kv *kv)
{
    free(kv->key);
    free(kv->value);
    memset(kv, 0, sizeof(*kv));
}

void etcd_range_free(struct etcd_range *r)
{
    if (!r)
        return;
    free(r->kvs);
    arena_free(r->memory);
    memset(r, 0, sizeof(*r));
}

static uint8_t nothing[1]; /* an empty value: a NUL, and never written to */

/* The bytes stay where they are: a page is read as fast as etcd sends it. They have a NUL behind them. */
static struct etcd_kv kv_of(const Mvccpb__KeyValue *from)
{
    return (struct etcd_kv){
        .key = from->key.data ? (char *)from->key.data : (char *)nothing,
        .value = from->value.data ? from->value.data : nothing,
        .key_len = from->key.len,
        .value_len = from->value.len,
        .create_revision = from->create_revision,
        .mod_revision = from->mod_revision,
        .version = from->version,
        .lease = from->lease,
    };
}

/* Takes the message over. */
static int range_take(Etcdserverpb__RangeResponse *from, struct etcd_range *ret, struct error *err)
{
    struct etcd_range r = {.more = from->more,
                           .total = from->count,
                           .revision = revision_of(from->header),
                           .cluster = from->header ? from->header->cluster_id : 0,
                           .term = from->header ? from->header->raft_term : 0,
                           .memory = rpc_message_arena(&from->base)};
    if (from->n_kvs) {
        r.kvs = calloc(from->n_kvs, sizeof(*r.kvs));
        if (!r.kvs) {
            etcd_range_free(&r);
            return error_no_memory(err);
        }
    }
    for (size_t i = 0; i < from->n_kvs; i++)
        r.kvs[r.count++] = kv_of(from->kvs[i]);
    *ret = r;
    return 0;
}

static int ask(struct etcd *e, const Etcdserverpb__RangeRequest *q, int deadline_ms, const char *what,
               const char *key, struct etcd_range *ret, struct error *err)
{
    Etcdserverpb__RangeResponse *reply = NULL;
    int rc = etcd_call(e, METHOD_RANGE, q, deadline_ms, what, key, &reply, err);
    return rc < 0 ? rc : range_take(reply, ret, err);
}

int etcd_get(struct etcd *e, const char *key, int deadline_ms, struct etcd_range *ret, struct error *err)
{
    int rc = key_check(e, key, err);
    if (rc < 0)
        return rc;
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    q.key = bytes_of(key, strlen(key));
    struct etcd_range r;
    rc = ask(e, &q, deadline_ms, "get", key, &r, err);
    if (rc < 0)
        return rc;
    if (!r.count) {
        etcd_range_free(&r);
        return error_set(err, ERR_NOT_FOUND, "etcd %.300s: there is no key %.300s", e->name, key);
    }
    *ret = r;
    return 0;
}

/* The first key of the range: the later one of prefix and cursor. */
static ProtobufCBinaryData range_start(const struct etcd_range_options *o, const char *prefix)
{
    size_t len = strlen(prefix);
    if (o->from) {
        size_t from_len = o->from_len ? o->from_len : strlen(o->from);
        size_t common = from_len < len ? from_len : len;
        int order = memcmp(o->from, prefix, common);
        if (order > 0 || (order == 0 && from_len > len))
            return bytes_of(o->from, from_len);
    }
    /* etcd takes no empty key: "\0" is the first one there can be. */
    return len ? bytes_of(prefix, len) : bytes_of("", 1);
}

int etcd_list(struct etcd *e, const struct etcd_range_options *options, int deadline_ms,
              struct etcd_range *ret, struct error *err)
{
    const char *prefix = options->prefix ? options->prefix : "";
    size_t len = strlen(prefix);
    if (len > ETCD_KEY_MAX || options->from_len > 2 * ETCD_KEY_MAX)
        return error_set(err, ERR_INVALID, "etcd %.300s: a prefix of over %d bytes", e->name, ETCD_KEY_MAX);
    char end[ETCD_KEY_MAX + 1];
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    q.key = range_start(options, prefix);
    if (options->to)
        q.range_end = bytes_of(options->to, options->to_len ? options->to_len : strlen(options->to));
    else
        q.range_end = bytes_of(end, prefix_end(prefix, len, end));
    q.limit = options->limit;
    q.revision = options->revision;
    q.keys_only = options->keys_only;
    q.count_only = options->count_only;
    q.serializable = options->serializable;
    q.min_mod_revision = options->min_mod_revision;
    if (options->descending)
        q.sort_order = ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND;
    int64_t until = clock_mono_ms() + deadline_ms;
    for (;;) {
        int64_t left = until - clock_mono_ms();
        struct error failed = ERROR_INIT;
        int rc = ask(e, &q, left > 1 ? (int)left : 1, "list", prefix, ret, &failed);
        if (rc == 0)
            return 0;
        /* Large values: a page of half as many keys is an answer as true as the whole one. */
        if (rc != ERR_TOO_LARGE || q.limit <= 1)
            return pass_on(err, &failed);
        q.limit /= 2;
    }
}

static int append(struct etcd_range *all, struct etcd_range *page, struct error *err)
{
    if (!page->count)
        return 0;
    struct etcd_kv *kvs = realloc(all->kvs, (all->count + page->count) * sizeof(*kvs));
    if (!kvs)
        return error_no_memory(err);
    memcpy(kvs + all->count, page->kvs, page->count * sizeof(*kvs));
    all->kvs = kvs;
    all->count += page->count;
    if (all->memory)
        arena_join(all->memory, take(page->memory));
    else
        all->memory = take(page->memory);
    return 0;
}

/* Adds the page after all->kvs, at all->revision (0: the first page, which sets it). */
static int add_page(struct etcd *e, const char *prefix, const char *to, int deadline_ms,
                    struct etcd_range *all, struct error *err)
{
    struct etcd_range_options o = {.prefix = prefix, .to = to, .limit = PAGE_KEYS, .revision = all->revision};
    if (all->count) {
        /* The smallest key after the last one is that key and a NUL, which stands past its end. */
        o.from = all->kvs[all->count - 1].key;
        o.from_len = all->kvs[all->count - 1].key_len + 1;
    }
    _cleanup_(etcd_range_free) struct etcd_range page = {0};
    int rc = etcd_list(e, &o, deadline_ms, &page, err);
    if (rc < 0)
        return rc;
    if (!all->revision) {
        all->revision = page.revision;
        all->total = page.total;
        all->cluster = page.cluster;
        all->term = page.term;
    }
    all->more = page.more;
    if (page.cluster != all->cluster)
        return error_set(err, ERR_UNAVAILABLE,
                         "etcd %.300s: another etcd cluster than before answers (snapshot %.200s)", e->name,
                         prefix);
    if (all->revision <= 0 || (page.more && !page.count))
        return error_set(err, ERR_INVALID,
                         "etcd %.300s: a page without a revision or without keys (snapshot %.200s)", e->name,
                         prefix);
    return append(all, &page, err);
}

int etcd_snapshot(struct etcd *e, const char *prefix, size_t max_keys, int deadline_ms,
                  struct etcd_range *ret, struct error *err)
{
    return etcd_snapshot_to(e, prefix, NULL, max_keys, deadline_ms, ret, err);
}

int etcd_snapshot_to(struct etcd *e, const char *prefix, const char *to, size_t max_keys, int deadline_ms,
                     struct etcd_range *ret, struct error *err)
{
    int64_t until = clock_mono_ms() + deadline_ms;
    struct etcd_range all = {.more = true};
    int rc = 0;
    while (rc == 0 && all.more) {
        int64_t left = until - clock_mono_ms();
        if (left <= 0) {
            rc = error_set(err, ERR_TIMEOUT,
                           "etcd %.300s: %zu of %lld keys read within %d ms (snapshot %.200s)", e->name,
                           all.count, (long long)all.total, deadline_ms, prefix);
            break;
        }
        rc = add_page(e, prefix, to, (int)left, &all, err);
        if (rc == 0 && (all.count > max_keys || all.total > (int64_t)max_keys))
            rc = error_set(err, ERR_TOO_LARGE, "etcd %.300s: %lld keys under %.200s, over the limit of %zu",
                           e->name, (long long)all.total, prefix, max_keys);
    }
    if (rc < 0)
        etcd_range_free(&all);
    else
        *ret = all;
    return rc;
}
