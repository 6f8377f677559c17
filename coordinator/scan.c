/* Proof 3: how many values stand under which key, over all managed resources, at one revision. Reads the
 * prefix of each value and nothing behind it. */
#include "job.h"
#include "resource_prefix.h"

#include <inttypes.h>

#include <base/clock.h>
#include <base/text.h>
#include <encryption/envelope.h>

#define PAGE_MAX     500
#define DEADLINE_MS  10000
#define ATTEMPTS_MAX 5

struct scan {
    struct job *job;
    const struct job_options *o;
    int64_t revision;
    int64_t values, stale, plain;
    struct cluster_key_count keys[CLUSTER_KEYS_MAX];
    size_t keys_count;
    int64_t page; /* keys a page; halved when values are so large that a page is refused */
};

static struct cluster_key_count *key_count(struct scan *v, enum provider provider, const char *name,
                                           size_t len)
{
    const char *type = provider == PROVIDER_IDENTITY ? "plain" : provider_name(provider);
    for (size_t i = 0; i < v->keys_count; i++)
        if (strcmp(v->keys[i].provider, type) == 0 && strlen(v->keys[i].name) == len &&
            memcmp(v->keys[i].name, name, len) == 0)
            return &v->keys[i];
    /* Past the table all unknown keys share its last row; they are stale in any case. */
    struct cluster_key_count *k =
        &v->keys[v->keys_count < CLUSTER_KEYS_MAX ? v->keys_count++ : CLUSTER_KEYS_MAX - 1];
    text_copy(k->provider, sizeof(k->provider), type);
    snprintf(k->name, sizeof(k->name), "%.*s", (int)len, name);
    return k;
}

/* Under the write key, or plain where plain is what is written. */
static bool is_current(const struct scan *v, const struct envelope *e)
{
    for (size_t i = 0; i < v->o->keys_count; i++) {
        const struct key_view *k = &v->o->keys[i];
        if (k->active)
            return e->provider == k->provider && e->key_name_len == strlen(k->name) &&
                   memcmp(e->key_name, k->name, e->key_name_len) == 0;
    }
    return e->provider == PROVIDER_IDENTITY;
}

static int count_value(struct scan *v, const struct etcd_kv *kv, struct error *err)
{
    struct envelope e = {0};
    int rc = envelope_read(kv->value, kv->value_len, v->o->keys, v->o->keys_count, &e, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", kv->key);
    v->values++;
    v->plain += e.provider == PROVIDER_IDENTITY;
    v->stale += !is_current(v, &e);
    key_count(v, e.provider, e.key_name ? e.key_name : "", e.key_name_len)->values++;
    return 0;
}

static void publish(struct cluster_reencrypt *r, void *arg)
{
    const struct scan *v = arg;
    r->scan_values = v->values;
    r->scan_stale = v->stale;
    r->scan_plain = v->plain;
    memcpy(r->keys, v->keys, sizeof(r->keys));
    r->keys_count = v->keys_count;
}

static int read_page(struct scan *v, const char *prefix, const struct buf *from, struct etcd_range *ret,
                     struct error *err)
{
    for (unsigned attempt = 0;; attempt++) {
        struct etcd_range_options options = {
            .prefix = prefix,
            .from = from->len ? from->data : NULL,
            .from_len = from->len,
            .limit = v->page,
            .revision = v->revision,
        };
        int rc = etcd_list(v->o->datastore, &options, DEADLINE_MS, ret, err);
        if (rc == ERR_TOO_LARGE && v->page > 1) {
            v->page /= 2;
            continue;
        }
        if (rc == 0 || !error_is_transient(rc) || rc == ERR_COMPACTED || attempt == ATTEMPTS_MAX ||
            job_canceled(v->job))
            return rc;
    }
}

/* The page after this one begins right behind its last key. */
static int advance(struct buf *from, const struct etcd_range *page, struct error *err)
{
    const struct etcd_kv *last = &page->kvs[page->count - 1];
    buf_reset(from);
    int rc = buf_add(from, last->key, last->key_len, err);
    return rc < 0 ? rc : buf_add(from, "", 1, err);
}

static int scan_resource(struct scan *v, const char *resource, struct error *err)
{
    char prefix[CLUSTER_KEY_NAME_MAX * 2];
    resource_prefix(v->o->config->datastore_prefix, resource, prefix, sizeof(prefix));
    _cleanup_(buf_freep) struct buf from = BUF_INIT(ETCD_KEY_MAX + 1);
    int64_t seen = 0, total = -1;
    bool more = true;
    while (more) {
        if (job_canceled(v->job))
            return error_set(err, ERR_CANCELED, "the scan was stopped");
        struct etcd_range page = {0};
        int rc = read_page(v, prefix, &from, &page, err);
        if (rc < 0)
            return error_prefix(err, rc, "scanning %s in the datastore", prefix);
        if (v->revision == 0)
            v->revision = page.revision; /* every later page, of every resource, is read at this one */
        if (total < 0)
            total = page.total;
        for (size_t i = 0; rc == 0 && i < page.count; i++)
            rc = count_value(v, &page.kvs[i], err);
        seen += (int64_t)page.count;
        more = page.more && page.count > 0;
        if (rc == 0 && more)
            rc = advance(&from, &page, err);
        etcd_range_free(&page);
        if (rc < 0)
            return rc;
        job_update(v->job, publish, v);
    }
    if (seen != total)
        return error_set(err, ERR_INTERNAL,
                         "%s: %" PRId64 " values were read of %" PRId64 " at revision %" PRId64, prefix, seen,
                         total, v->revision);
    return 0;
}

static void publish_end(struct cluster_reencrypt *r, void *arg)
{
    const struct scan *v = arg;
    publish(r, arg);
    r->scan_revision = v->revision;
    r->scan_ms = clock_wall_ms();
}

/* Objects that the API server just listed must be in the datastore that we read: else it is another one, or
 * has another prefix, and a count of zero would prove nothing. */
static int check_same_store(struct scan *v, struct error *err)
{
    struct cluster_reencrypt r;
    job_progress(v->job, &r);
    if (v->values > 0 || r.done - r.gone <= 0)
        return 0;
    return error_set(err, ERR_STATE,
                     "the API servers hold %" PRId64
                     " objects, but the datastore has none under %s: check datastore.endpoints "
                     "and datastore.prefix",
                     r.done - r.gone, v->o->config->datastore_prefix);
}

int scan_run(struct job *j, struct error *err)
{
    struct scan v = {.job = j, .o = job_opts(j), .page = PAGE_MAX};
    for (unsigned attempt = 0;; attempt++) {
        int rc = 0;
        for (size_t i = 0; rc == 0 && i < v.o->spec.resources_count; i++)
            rc = scan_resource(&v, v.o->spec.resources[i], err);
        if (rc == ERR_COMPACTED && attempt < ATTEMPTS_MAX) {
            v = (struct scan){
                .job = j, .o = job_opts(j), .page = v.page}; /* compacted under us: from the start */
            continue;
        }
        if (rc == 0)
            rc = check_same_store(&v, err);
        if (rc == 0)
            job_update(j, publish_end, &v);
        return rc;
    }
}
