#include "internal.h"

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>

int store_etcd_open(const struct config_etcd *c, struct etcd **ret, struct error *err)
{
    struct etcd_options options = {
        .endpoints = (const char *const *)c->endpoints,
        .endpoints_count = c->endpoints_count,
        .ca_file = *c->ca_file ? c->ca_file : NULL,
        .cert_file = *c->cert_file ? c->cert_file : NULL,
        .key_file = *c->key_file ? c->key_file : NULL,
        .server_name = *c->server_name ? c->server_name : NULL,
    };
    return etcd_open(&options, ret, err);
}

int store_open_with_token(const struct config *config, const struct secret *token, struct store **ret,
                          struct error *err)
{
    _cleanup_(store_freep) struct store *s = calloc(1, sizeof(*s));
    if (!s)
        return error_no_memory(err);
    pthread_mutex_init(&s->seal_lock, NULL);
    text_copy(s->cluster, sizeof(s->cluster), config->cluster);
    int rc = seal_new(token, config->cluster, &s->seal, err);
    if (rc < 0)
        return error_prefix(err, rc, "token file %s", config->token_file);
    rc = store_etcd_open(&config->state_store, &s->etcd, err);
    if (rc < 0)
        return error_prefix(err, rc, "state store");
    *ret = take(s);
    return 0;
}

int store_open(const struct config *config, struct store **ret, struct error *err)
{
    _cleanup_(secret_freep) struct secret *token = NULL;
    int rc = file_read_secret(config->token_file, SEAL_TOKEN_MAX + 64, &token, err);
    if (rc < 0)
        return error_prefix(err, rc, "cluster token (token_file)");
    return store_open_with_token(config, token, ret, err);
}

void store_free(struct store *s)
{
    if (!s)
        return;
    etcd_close(s->etcd);
    seal_free(s->seal);
    pthread_mutex_destroy(&s->seal_lock);
    free(s);
}

struct etcd *store_etcd(struct store *s)
{
    return s->etcd;
}

const char *store_cluster(const struct store *s)
{
    return s->cluster;
}

int store_verify(struct store *s, const char *path, const void *value, size_t len, struct buf *body,
                 struct error *err)
{
    pthread_mutex_lock(&s->seal_lock);
    int rc = seal_verify(s->seal, path, value, len, body, err);
    pthread_mutex_unlock(&s->seal_lock);
    return rc;
}

int store_fingerprint_key(struct store *s, struct secret **ret, struct error *err)
{
    pthread_mutex_lock(&s->seal_lock);
    int rc = seal_fingerprint_key(s->seal, ret, err);
    pthread_mutex_unlock(&s->seal_lock);
    return rc;
}

static bool is_signed(int kind)
{
    switch (kind) {
    case CLUSTER_KEY_SPEC:
    case CLUSTER_KEY_REPORT:
    case CLUSTER_KEY_ORDER:
    case CLUSTER_KEY_ROTATION:
    case CLUSTER_KEY_BUNDLE:
    case CLUSTER_KEY_REENCRYPT:
    case CLUSTER_KEY_REQUEST:
    case CLUSTER_KEY_PROOFS:
    case CLUSTER_KEY_KEYS:
    case CLUSTER_KEY_APIS:
    case CLUSTER_KEY_ESCROW:
    case CLUSTER_KEY_LOCK:
    case CLUSTER_KEY_CHECKS:
    case CLUSTER_KEY_SCHEDULE:
    case CLUSTER_KEY_DRIFT:
    case CLUSTER_KEY_AUDIT:
        return true;
    default:
        return false;
    }
}

/* All bodies go into one buffer; a slice whose signature is wrong stays NULL. */
struct slices {
    struct snapshot_input *inputs;
    struct buf *bodies;
};

static void slices_free(struct slices *v, size_t count)
{
    for (size_t i = 0; v->bodies && i < count; i++)
        buf_free(&v->bodies[i]);
    free(v->bodies);
    free(v->inputs);
}

/* It stands where it was made, and is what was put there first: the place's opening was the first version. */
static bool is_copied(const struct etcd_kv *kv, const struct buf *body)
{
    _cleanup_free_ struct cluster_request *r = calloc(1, sizeof(*r));
    if (!r || cluster_request_decode(buf_str(body), body->len, r, NULL) < 0)
        return true;
    return r->answer == ANSWER_NONE && (r->created != kv->create_revision || kv->version != 2);
}

int store_slice(struct store *s, const struct etcd_kv *kv, struct snapshot_input *in, struct buf *body,
                struct error *err)
{
    in->key = kv->key;
    in->create_revision = kv->create_revision;
    in->mod_revision = kv->mod_revision;
    int kind = cluster_key_parse(kv->key, s->cluster, NULL);
    if (!is_signed(kind)) {
        in->body = (const char *)kv->value;
        in->len = kv->value_len;
        return 0;
    }
    *body = (struct buf)BUF_INIT(STORE_RECORD_MAX);
    struct error why = ERROR_INIT;
    int rc = store_verify(s, kv->key, kv->value, kv->value_len, body, &why);
    if (rc == ERR_NO_MEMORY)
        return error_no_memory(err);
    if (rc == 0) {
        in->body = buf_str(body);
        in->len = body->len;
        in->copied = kind == CLUSTER_KEY_REQUEST && is_copied(kv, body);
    } else {
        in->why = "its signature is not this cluster token's: it was changed by somebody else, or this "
                  "machine's token_file is another cluster's";
    }
    return 0;
}

void store_live_range(const struct store *s, char prefix[CLUSTER_KEY_PATH_MAX],
                      char end[CLUSTER_KEY_PATH_MAX])
{
    cluster_key_path(prefix, s->cluster, CLUSTER_KEY_ALL, NULL);
    snprintf(end, CLUSTER_KEY_PATH_MAX, "%.200s" CLUSTER_KEY_LIVE_END, prefix);
}

int store_snapshot(struct store *s, int deadline_ms, struct cluster_snapshot *ret, struct error *err)
{
    char prefix[CLUSTER_KEY_PATH_MAX], end[CLUSTER_KEY_PATH_MAX];
    store_live_range(s, prefix, end);
    struct etcd_range range = {0};
    int rc = etcd_snapshot_to(s->etcd, prefix, end, SNAPSHOT_KEYS_MAX, deadline_ms, &range, err);
    if (rc < 0)
        return error_prefix(err, rc, "reading the state store");
    struct slices v = {calloc(range.count + 1, sizeof(*v.inputs)),
                       calloc(range.count + 1, sizeof(*v.bodies))};
    if (!v.inputs || !v.bodies)
        rc = error_no_memory(err);
    for (size_t i = 0; rc == 0 && i < range.count; i++)
        rc = store_slice(s, &range.kvs[i], &v.inputs[i], &v.bodies[i], err);
    if (rc == 0)
        rc = snapshot_build(s->cluster, range.revision, clock_wall_ms(), v.inputs, range.count, ret, err);
    slices_free(&v, range.count);
    etcd_range_free(&range);
    return rc;
}

int store_read(struct store *s, enum cluster_key key, const char *name, int deadline_ms, struct buf *body,
               int64_t *ret_create, int64_t *ret_mod, struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(path, s->cluster, key, name);
    struct etcd_range range = {0};
    int rc = etcd_get(s->etcd, path, deadline_ms, &range, err);
    if (rc < 0)
        return rc;
    if (key == CLUSTER_KEY_REQUEST && range.kvs[0].value_len == 0)
        rc = error_set(err, ERR_NOT_FOUND, "%s: nothing was put there yet", path);
    else
        rc = store_verify(s, path, range.kvs[0].value, range.kvs[0].value_len, body, err);
    if (rc == 0 && ret_create)
        *ret_create = range.kvs[0].create_revision;
    if (rc == 0 && ret_mod)
        *ret_mod = range.kvs[0].mod_revision;
    etcd_range_free(&range);
    return rc;
}

static int sign(struct store *s, const char *path, const struct buf *body, struct buf *out, struct error *err)
{
    pthread_mutex_lock(&s->seal_lock);
    int rc = seal_sign(s->seal, path, buf_str(body), body->len, out, err);
    pthread_mutex_unlock(&s->seal_lock);
    return rc;
}

int store_txn_put(struct store *s, struct etcd_txn *txn, enum cluster_key key, const char *name,
                  const struct buf *body, int64_t lease, struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(path, s->cluster, key, name);
    _cleanup_(buf_freep) struct buf value = BUF_INIT(ETCD_VALUE_MAX);
    int rc = sign(s, path, body, &value, err);
    if (rc == 0)
        etcd_txn_put(txn, path, value.data, value.len, lease);
    return rc;
}

/* Opened by an earlier try, or by another caller with the same idempotency key: whoever puts first has it. */
static int opened_before(struct store *s, const char *path, int deadline_ms, int64_t *ret, struct error *err)
{
    struct etcd_range range = {0};
    int rc = etcd_get(s->etcd, path, deadline_ms, &range, err);
    if (rc == 0 && range.kvs[0].value_len == 0 && range.kvs[0].version == 1)
        *ret = range.kvs[0].create_revision;
    else if (rc == 0 || rc == ERR_NOT_FOUND)
        rc = error_set(err, ERR_CONFLICT, "%s: a request stands there already", path);
    etcd_range_free(&range);
    return rc;
}

int store_request_open(struct store *s, const char *id, int64_t lease, int deadline_ms, int64_t *ret_created,
                       struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    struct error own = ERROR_INIT;
    cluster_key_path(path, s->cluster, CLUSTER_KEY_REQUEST, id);
    _cleanup_(etcd_txn_freep) struct etcd_txn *txn = etcd_txn_new(s->etcd);
    etcd_txn_if_create(txn, path, 0);
    etcd_txn_put(txn, path, "", 0, lease);
    int rc = etcd_txn_commit(txn, deadline_ms, ret_created, &own);
    if (rc == ERR_CONFLICT)
        return opened_before(s, path, deadline_ms, ret_created, err);
    return rc < 0 ? error_set(err, rc, "%s", own.text) : 0;
}
