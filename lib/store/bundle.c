#include "internal.h"

#include <inttypes.h>

#include <base/clock.h>
#include <base/text.h>
#include <crypto/crypto.h>

int store_box(struct store *s, const char *path, int64_t generation, const struct secret *text,
              struct buf *out, struct error *err)
{
    pthread_mutex_lock(&s->seal_lock);
    int rc = seal_box(s->seal, path, generation, text, out, err);
    pthread_mutex_unlock(&s->seal_lock);
    return rc;
}

int store_unbox(struct store *s, const char *path, int64_t generation, const char *box, size_t len,
                struct secret **ret, struct error *err)
{
    pthread_mutex_lock(&s->seal_lock);
    int rc = seal_unbox(s->seal, path, generation, box, len, ret, err);
    pthread_mutex_unlock(&s->seal_lock);
    return rc;
}

int store_bundle_seal(struct store *s, int64_t generation, enum stage stage, const struct secret *text,
                      const char *config_id, struct cluster_bundle *ret, struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_bundle_path(path, s->cluster, generation);
    struct cluster_bundle b = {.generation = generation, .stage = stage, .created_ms = clock_wall_ms()};
    text_copy(b.config_id, sizeof(b.config_id), config_id);
    _cleanup_(buf_freep) struct buf out = BUF_INIT(STORE_RECORD_MAX);
    int rc = crypto_sha256_hex(text->data, text->len, b.hash, err);
    if (rc == 0)
        rc = store_box(s, path, generation, text, &out, err);
    if (rc < 0)
        return rc;
    b.box_len = out.len;
    b.box = take(out.data);
    *ret = b;
    return 0;
}

int store_txn_bundle(struct store *s, struct etcd_txn *txn, const struct cluster_bundle *bundle,
                     struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX], name[24];
    cluster_bundle_path(path, s->cluster, bundle->generation);
    snprintf(name, sizeof(name), "%020" PRId64, bundle->generation);
    _cleanup_(buf_freep) struct buf body = BUF_INIT(STORE_RECORD_MAX);
    int rc = cluster_bundle_encode(bundle, &body, err);
    if (rc < 0)
        return rc;
    etcd_txn_if_create(txn, path, 0);
    return store_txn_put(s, txn, CLUSTER_KEY_BUNDLE, name, &body, 0, err);
}

static int read_bundle(struct store *s, int64_t generation, int deadline_ms, struct cluster_bundle *ret,
                       struct error *err)
{
    char name[24];
    snprintf(name, sizeof(name), "%020" PRId64, generation);
    _cleanup_(buf_freep) struct buf body = BUF_INIT(STORE_RECORD_MAX);
    int rc = store_read(s, CLUSTER_KEY_BUNDLE, name, deadline_ms, &body, NULL, NULL, err);
    return rc < 0 ? rc : cluster_bundle_decode(buf_str(&body), body.len, ret, err);
}

int store_bundle_open(struct store *s, int64_t generation, int deadline_ms, struct cluster_bundle *ret_bundle,
                      struct secret **ret_text, struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX], hash[SHA256_HEX_SIZE];
    cluster_bundle_path(path, s->cluster, generation);
    struct cluster_bundle b = {0};
    _cleanup_(secret_freep) struct secret *text = NULL;
    int rc = read_bundle(s, generation, deadline_ms, &b, err);
    if (rc == 0 && b.generation != generation)
        rc = error_set(err, ERR_DENIED, "%s holds generation %" PRId64, path, b.generation);
    if (rc == 0)
        rc = store_unbox(s, path, b.generation, b.box, b.box_len, &text, err);
    if (rc == 0)
        rc = crypto_sha256_hex(text->data, text->len, hash, err);
    if (rc == 0 && strcmp(hash, b.hash) != 0)
        rc = error_set(err, ERR_DENIED, "%s: the config inside has another hash than the record says", path);
    if (rc < 0) {
        cluster_bundle_free(&b);
        return error_prefix(err, rc, "generation %" PRId64, generation);
    }
    free(take(b.box));
    b.box_len = 0;
    if (ret_bundle)
        *ret_bundle = b;
    *ret_text = take(text);
    return 0;
}
