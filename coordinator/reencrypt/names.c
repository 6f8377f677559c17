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

struct names {
    struct etcd_pager *pager;
    struct etcd_range page;
    size_t at, prefix_len;
    bool namespaced;
};

int names_open(struct etcd *datastore, const char *prefix, bool namespaced, int64_t page,
               const atomic_bool *cancel, struct names **ret, struct error *err)
{
    struct etcd_pager_options options = {.prefix = prefix,
                                         .page = page,
                                         .revision = -1,
                                         .keys_only = true,
                                         .deadline_ms = DEADLINE_MS,
                                         .tries = TRIES,
                                         .cancel = cancel};
    struct names *n = calloc(1, sizeof(*n));
    if (!n)
        return error_no_memory(err);
    n->namespaced = namespaced;
    n->prefix_len = strlen(prefix);
    int rc = etcd_pager_new(datastore, &options, &n->pager, err);
    if (rc < 0) {
        free(n);
        return rc;
    }
    *ret = n;
    return 0;
}

/* 1: a page is there; 0: not yet; the end is a page without keys. */
static int next_page(struct names *n, struct error *err)
{
    if (!etcd_pager_ready(n->pager))
        return 0;
    etcd_range_free(&n->page);
    n->at = 0;
    int rc = etcd_pager_next(n->pager, &n->page, err);
    return rc < 0 ? error_prefix(err, rc, "listing names in the datastore") : 1;
}

int names_next(struct names *n, struct kube_object *ret, struct error *err)
{
    if (n->at == n->page.count) {
        int rc = next_page(n, err);
        if (rc < 0)
            return rc;
        if (rc == 0)
            return KUBE_NEXT_LATER;
        if (n->page.count == 0)
            return KUBE_NEXT_END;
    }
    const char *key = n->page.kvs[n->at++].key;
    int rc = names_parse(key + n->prefix_len, n->namespaced, ret, err);
    return rc < 0 ? error_prefix(err, rc, "%s", key) : KUBE_NEXT_OBJECT;
}

void names_close(struct names *n)
{
    if (!n)
        return;
    etcd_pager_free(n->pager);
    etcd_range_free(&n->page);
    free(n);
}
