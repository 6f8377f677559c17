#include "internal.h"

#include <base/text.h>
#include <crypto/crypto.h>

/* Key names may hold any character, slashes too: their digest stands in the path. */
static int escrow_name(const char *provider, const char *name, char out[CLUSTER_ESCROW_NAME_MAX],
                       struct error *err)
{
    char hash[SHA256_HEX_SIZE];
    int rc = crypto_sha256_hex(name, strlen(name), hash, err);
    if (rc == 0)
        snprintf(out, CLUSTER_ESCROW_NAME_MAX, "%s-%s", provider, hash);
    return rc;
}

static int escrow_path(struct store *s, const char *provider, const char *name,
                       char path[CLUSTER_KEY_PATH_MAX], struct error *err)
{
    char part[CLUSTER_ESCROW_NAME_MAX];
    int rc = escrow_name(provider, name, part, err);
    if (rc == 0)
        cluster_key_path(path, s->cluster, CLUSTER_KEY_ESCROW, part);
    return rc;
}

int store_escrow_seal(struct store *s, const struct secret *value, struct cluster_escrow *ret,
                      struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    _cleanup_(buf_freep) struct buf out = BUF_INIT(STORE_RECORD_MAX);
    int rc = escrow_path(s, ret->provider, ret->name, path, err);
    if (rc == 0)
        rc = store_box(s, path, ret->generation, value, &out, err);
    if (rc < 0)
        return error_prefix(err, rc, "sealing key %s", ret->name);
    ret->box_len = out.len;
    ret->box = take(out.data);
    return 0;
}

int store_txn_escrow(struct store *s, struct etcd_txn *txn, const struct cluster_escrow *escrow,
                     struct error *err)
{
    char part[CLUSTER_ESCROW_NAME_MAX];
    _cleanup_(buf_freep) struct buf body = BUF_INIT(STORE_RECORD_MAX);
    int rc = escrow_name(escrow->provider, escrow->name, part, err);
    if (rc == 0)
        rc = cluster_escrow_encode(escrow, &body, err);
    return rc < 0 ? rc : store_txn_put(s, txn, CLUSTER_KEY_ESCROW, part, &body, 0, err);
}

int store_txn_escrow_delete(struct store *s, struct etcd_txn *txn, const char *provider, const char *name,
                            struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    int rc = escrow_path(s, provider, name, path, err);
    if (rc == 0)
        etcd_txn_delete(txn, path);
    return rc;
}

int store_escrow_open(struct store *s, const char *provider, const char *name, int deadline_ms,
                      struct secret **ret_value, struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX], part[CLUSTER_ESCROW_NAME_MAX];
    struct cluster_escrow e = {0};
    _cleanup_(buf_freep) struct buf body = BUF_INIT(STORE_RECORD_MAX);
    int rc = escrow_name(provider, name, part, err);
    if (rc == 0)
        rc = escrow_path(s, provider, name, path, err);
    if (rc == 0)
        rc = store_read(s, CLUSTER_KEY_ESCROW, part, deadline_ms, &body, NULL, NULL, err);
    if (rc == 0)
        rc = cluster_escrow_decode(buf_str(&body), body.len, &e, err);
    if (rc == 0 && (strcmp(e.provider, provider) != 0 || strcmp(e.name, name) != 0))
        rc = error_set(err, ERR_DENIED, "%s holds another key", path);
    if (rc == 0)
        rc = store_unbox(s, path, e.generation, e.box, e.box_len, ret_value, err);
    cluster_escrow_free(&e);
    return rc < 0 ? error_prefix(err, rc, "retired key %s", name) : 0;
}
