#include "fence.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <base/text.h>

#define CALL_MS   5000
#define TRIES     10
#define VALUE_MAX 20 /* digits */

/* The leadership that has it and the key's mod revision; 0 and 0: nobody has. */
static int look(struct etcd *datastore, const char *key, int64_t *ret_leadership, int64_t *ret_mod,
                struct error *err)
{
    struct etcd_range r = {0};
    *ret_leadership = *ret_mod = 0;
    int rc = etcd_get(datastore, key, CALL_MS, &r, err);
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc < 0)
        return rc;
    *ret_mod = r.kvs[0].mod_revision;
    bool number = text_int((const char *)r.kvs[0].value, 0, INT64_MAX, ret_leadership, NULL) == 0;
    etcd_range_free(&r);
    return number ? 0
                  : error_set(err, ERR_INVALID,
                              "%.300s in the datastore holds no number, so this program did not write it: "
                              "find out who did, "
                              "and delete it",
                              key);
}

static int try(struct etcd *datastore, int64_t leadership, struct fence *f, struct error *err)
{
    int64_t holder, mod;
    char value[VALUE_MAX + 1];
    int rc = look(datastore, f->key, &holder, &mod, err);
    if (rc < 0)
        return rc;
    if (holder > leadership)
        return error_set(err, ERR_CANCELED,
                         "%.300s in the datastore says that a later coordinator (%" PRId64 ", not %" PRId64
                         ") writes values; if the state store was restored from a backup, delete that key",
                         f->key, holder, leadership);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(datastore);
    int len = snprintf(value, sizeof(value), "%" PRId64, leadership);
    etcd_txn_if_mod(t, f->key, mod);
    etcd_txn_put(t, f->key, value, (size_t)len, 0);
    return etcd_txn_commit(t, CALL_MS, &f->mod, err);
}

int fence_take(struct etcd *datastore, const struct config *config, int64_t leadership, struct fence *ret,
               struct error *err)
{
    struct fence f = {0};
    int len = snprintf(f.key, sizeof(f.key), "%s/secrets-encrypt/%s/fence", config->datastore_prefix,
                       config->cluster);
    if (len < 0 || (size_t)len >= sizeof(f.key))
        return error_set(err, ERR_TOO_LARGE, "datastore.prefix and cluster are too long for a key");
    int rc = ERR_CONFLICT;
    for (unsigned i = 0; rc == ERR_CONFLICT && i < TRIES; i++)
        rc = try(datastore, leadership, &f, err);
    if (rc == 0)
        *ret = f;
    return rc;
}

void fence_guard(const struct fence *f, struct etcd_txn *t)
{
    if (*f->key)
        etcd_txn_if_mod(t, f->key, f->mod);
}

int fence_check(struct etcd *datastore, const struct fence *f, struct error *err)
{
    struct etcd_range r = {0};
    if (!*f->key)
        return 0;
    int rc = etcd_get(datastore, f->key, CALL_MS, &r, err);
    bool ours = rc == 0 && r.kvs[0].mod_revision == f->mod;
    if (rc == 0)
        etcd_range_free(&r);
    if (rc < 0 && rc != ERR_NOT_FOUND)
        return rc;
    return ours ? 0
                : error_set(err, ERR_CANCELED,
                            "another job has begun to write or count values: this one ends (%.300s)", f->key);
}
