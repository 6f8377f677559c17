#include "names.h"

#include <base/clock.h>
#include <base/text.h>

#define DEADLINE_MS 10000
#define TRIES       5

int names_parse(const char *rest, bool namespaced, struct kube_object *ret, struct error *err)
{
    const char *slash = strchr(rest, '/');
    size_t space = slash ? (size_t)(slash - rest) : 0;
    const char *name = slash ? slash + 1 : rest;
    memset(ret, 0, sizeof(*ret));
    if ((slash != NULL) != namespaced || (slash && space == 0) || space >= sizeof(ret->namespace) ||
        strchr(name, '/') || !*name || !text_copy(ret->name, sizeof(ret->name), name))
        return error_set(err, ERR_INVALID, "'%.300s' is not the name of an object: check datastore.prefix",
                         rest);
    memcpy(ret->namespace, rest, space);
    return 0;
}

static int list(struct etcd *datastore, const struct etcd_range_options *options, struct etcd_range *ret,
                struct error *err)
{
    int rc = 0;
    for (unsigned i = 0; i < TRIES; i++) {
        rc = etcd_list(datastore, options, DEADLINE_MS, ret, err);
        if (rc == 0 || !error_is_transient(rc))
            break;
    }
    return rc < 0 ? error_prefix(err, rc, "listing %s in the datastore", options->prefix) : 0;
}

int names_count(struct etcd *datastore, const char *prefix, int64_t *ret, struct error *err)
{
    struct etcd_range r = {0};
    struct etcd_range_options options = {.prefix = prefix, .count_only = true};
    int rc = list(datastore, &options, &r, err);
    if (rc < 0)
        return rc;
    *ret = r.total;
    etcd_range_free(&r);
    return 0;
}

static int hand_over(const struct etcd_range *r, size_t skip, bool namespaced, names_fn *each, void *arg,
                     struct error *err)
{
    _cleanup_free_ struct kube_object *objects = calloc(r->count ? r->count : 1, sizeof(*objects));
    if (!objects)
        return error_no_memory(err);
    for (size_t i = 0; i < r->count; i++) {
        int rc = names_parse(r->kvs[i].key + skip, namespaced, &objects[i], err);
        if (rc < 0)
            return error_prefix(err, rc, "%s", r->kvs[i].key);
    }
    return r->count ? each(arg, objects, r->count, err) : 0;
}

int names_each(struct etcd *datastore, const char *prefix, bool namespaced, int64_t page, names_fn *each,
               void *arg, struct error *err)
{
    /* The next page begins right behind the last key: at that key with a NUL added. */
    _cleanup_(buf_freep) struct buf from = BUF_INIT(ETCD_KEY_MAX + 1);
    bool more = true;
    while (more) {
        struct etcd_range r = {0};
        struct etcd_range_options options = {
            .prefix = prefix, .from = from.data, .from_len = from.len, .limit = page, .keys_only = true};
        int rc = list(datastore, &options, &r, err);
        if (rc < 0)
            return rc;
        more = r.more && r.count > 0;
        buf_reset(&from);
        if (more)
            rc = buf_add(&from, r.kvs[r.count - 1].key, r.kvs[r.count - 1].key_len + 1, err);
        if (rc == 0)
            rc = hand_over(&r, strlen(prefix), namespaced, each, arg, err);
        etcd_range_free(&r);
        if (rc < 0)
            return rc;
    }
    return 0;
}
