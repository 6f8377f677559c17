#include "values.h"

#include <inttypes.h>
#include <string.h>

#include <base/clock.h>

#include "../resource_prefix.h"

#define PAGE_MAX       4000
#define PAGE_BYTES     (2u << 20)
#define READERS        2
#define DEADLINE_MS    10000
#define ATTEMPTS_MAX   5
#define MOVE_MS        2000
#define BACKOFF_MS     100
#define BACKOFF_MAX_MS 2000

struct reading {
    const struct values_reader *r;
    const struct job_options *o;
    int64_t revision; /* 0: the first page decides */
    char prefix[VALUES_PREFIX_MAX];
};

/* ---------- what a value stands under ---------- */

void value_key(const struct job_options *o, const struct etcd_kv *kv, struct value_key *ret)
{
    struct envelope e = {0};
    *ret = (struct value_key){0};
    if (envelope_read(kv->value, kv->value_len, o->keys, o->keys_count, &e, NULL) < 0)
        return;
    *ret = (struct value_key){
        .known = true, .provider = e.provider, .name = e.key_name, .name_len = e.key_name_len};
}

bool value_under(const struct value_key *k, const struct job_key *key)
{
    if (!k->known || k->provider != key->provider)
        return false;
    return k->provider == PROVIDER_IDENTITY ||
           (strlen(key->name) == k->name_len && memcmp(key->name, k->name, k->name_len) == 0);
}

bool value_kept(const struct job_options *o, const struct value_key *k)
{
    for (size_t i = 0; i < o->keep_count; i++)
        if (value_under(k, &o->keep[i]))
            return true;
    return false;
}

void value_key_text(const struct value_key *k, char out[VALUES_KEY_TEXT])
{
    if (!k->known || k->provider == PROVIDER_IDENTITY) {
        snprintf(out, VALUES_KEY_TEXT, "%s", k->known ? "plain" : "an unknown provider");
        return;
    }
    snprintf(out, VALUES_KEY_TEXT, "%s:%.*s", provider_name(k->provider), (int)k->name_len, k->name);
    for (char *c = out; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}

void job_key_text(const struct job_key *k, char out[VALUES_KEY_TEXT])
{
    struct value_key v = {
        .known = true, .provider = k->provider, .name = k->name, .name_len = strlen(k->name)};
    value_key_text(&v, out);
}

void values_keep_text(const struct job_options *o, char *out, size_t size)
{
    size_t len = 0;
    out[0] = 0;
    for (size_t i = 0; i < o->keep_count && len < size; i++) {
        char text[VALUES_KEY_TEXT];
        job_key_text(&o->keep[i], text);
        len += (size_t)snprintf(out + len, size - len, "%s%s", i ? " or " : "", text);
    }
    if (o->keep_count == 0)
        snprintf(out, size, "any key that stays");
}

void values_prefix(const struct job_options *o, const char *resource, char out[VALUES_PREFIX_MAX])
{
    resource_prefix(o->config->datastore_prefix, resource, out, VALUES_PREFIX_MAX);
}

/* ---------- content ---------- */

static bool is_object(const void *plain, size_t len)
{
    const char *p = plain;
    return (len >= 4 && memcmp(p, "k8s\0", 4) == 0) || (len >= 1 && p[0] == '{');
}

int value_decode(struct envelope_codec *codec, const struct etcd_kv *kv, struct secret **ret,
                 struct error *err)
{
    _cleanup_(secret_freep) struct secret *plain = NULL;
    int rc = envelope_codec_decrypt(codec, kv->key, kv->value, kv->value_len, &plain, err);
    if (rc == 0 && !is_object(plain->data, plain->len))
        rc = error_set(err, ERR_DENIED, "what it decrypts to is no object: the key has another value");
    if (rc == 0)
        *ret = take(plain);
    return rc;
}

int value_open(const struct job_options *o, const char *resource, const struct etcd_kv *kv,
               struct secret **ret, struct error *err)
{
    _cleanup_(envelope_codec_freep) struct envelope_codec *codec = NULL;
    int rc = envelope_codec_new(o->encryption, resource, &codec, err);
    return rc < 0 ? rc : value_decode(codec, kv, ret, err);
}

int value_move(const struct job_options *o, const char *resource, const struct etcd_kv *kv,
               int64_t *ret_revision, struct error *err)
{
    _cleanup_(secret_freep) struct secret *plain = NULL;
    _cleanup_(buf_freep) struct buf value = BUF_INIT(ETCD_VALUE_MAX);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(o->datastore);
    int rc = value_open(o, resource, kv, &plain, err);
    if (rc == 0)
        rc = envelope_encrypt(o->encryption, resource, kv->key, plain->data, plain->len, &value, err);
    if (rc < 0)
        return rc;
    etcd_txn_if_mod(t, kv->key, kv->mod_revision);
    etcd_txn_put(t, kv->key, value.data, value.len, kv->lease);
    fence_guard(&o->fence, t);
    return etcd_txn_commit(t, MOVE_MS, ret_revision, err);
}

/* ---------- reading ---------- */

void values_wipe(struct etcd_range *page)
{
    for (size_t i = 0; i < page->count; i++)
        if (page->kvs[i].value)
            explicit_bzero(page->kvs[i].value, page->kvs[i].value_len);
    etcd_range_free(page);
}

static int hand_over(const struct reading *v, const char *resource, const struct etcd_range *page,
                     struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < page->count; i++)
        rc = v->r->each(v->r->arg, resource, &page->kvs[i], err);
    if (rc == 0 && v->r->page)
        v->r->page(v->r->arg);
    return rc;
}

static int read_pages(struct reading *v, const char *resource, struct etcd_pager *pager, int64_t *ret_seen,
                      struct error *err)
{
    for (;;) {
        struct etcd_range page = {0};
        int rc = etcd_pager_next(pager, &page, err);
        if (rc < 0)
            return error_prefix(err, rc, "reading %s in the datastore", v->prefix);
        bool last = page.count == 0;
        if (v->revision == 0)
            v->revision = page.revision; /* every later page, of every resource, is read at this one */
        *ret_seen += (int64_t)page.count;
        rc = hand_over(v, resource, &page, err);
        values_wipe(&page);
        if (rc < 0 || last)
            return rc;
    }
}

static int read_resource(struct reading *v, const char *resource, struct error *err)
{
    _cleanup_(etcd_pager_freep) struct etcd_pager *pager = NULL;
    int64_t seen = 0;
    struct etcd_range count = {0};
    values_prefix(v->o, resource, v->prefix);
    struct etcd_pager_options options = {
        .prefix = v->prefix,
        .page = PAGE_MAX,
        .page_bytes = PAGE_BYTES,
        .readers = READERS,
        .revision = v->revision,
        .deadline_ms = DEADLINE_MS,
        .tries = ATTEMPTS_MAX + 1,
        .cancel = job_cancel_flag(v->r->job),
    };
    int rc = etcd_pager_new(v->o->datastore, &options, &pager, err);
    if (rc == 0)
        rc = read_pages(v, resource, pager, &seen, err);
    if (rc < 0)
        return rc;
    /* etcd's own count, asked apart from the pages: none of their bounds has left anything out. */
    struct etcd_range_options all = {.prefix = v->prefix, .revision = v->revision, .count_only = true};
    rc = etcd_list(v->o->datastore, &all, DEADLINE_MS, &count, err);
    if (rc < 0)
        return error_prefix(err, rc, "counting %s in the datastore", v->prefix);
    int64_t total = count.total;
    etcd_range_free(&count);
    if (seen != total)
        return error_set(err, ERR_INTERNAL,
                         "%s: %" PRId64 " values were read of %" PRId64 " at revision %" PRId64, v->prefix,
                         seen, total, v->revision);
    return 0;
}

int values_each(const struct values_reader *r, int64_t *ret_revision, struct error *err)
{
    struct reading v = {.r = r, .o = job_opts(r->job)};
    for (unsigned attempt = 0;; attempt++) {
        int rc = 0;
        for (size_t i = 0; rc == 0 && i < v.o->spec.resources_count; i++)
            rc = read_resource(&v, v.o->spec.resources[i], err);
        if (rc == 0)
            *ret_revision = v.revision;
        if (rc != ERR_COMPACTED || attempt == ATTEMPTS_MAX ||
            job_wait(r->job, backoff_ms(attempt, BACKOFF_MS, BACKOFF_MAX_MS)))
            return rc;
        v.revision = 0; /* compacted under us: from the start */
        r->again(r->arg);
    }
}
