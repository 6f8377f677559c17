#include "remote.h"

#include <inttypes.h>

#include <base/clock.h>
#include <base/log.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <json/json.h>

#define READY_MS      2000
#define STORE_MS      3000
#define FETCH_MS      5000
#define KUBE_RETRY_MS 5000
#define BACKOFF_MS    500
#define BACKOFF_MAX   5000
#define RECORD_MAX    (3 * 1024 * 1024)

/* --- API server --- */

static const char *or_null(const char *s)
{
    return s[0] ? s : NULL;
}

int remote_kube(const struct config *c, struct kube **ret, struct error *err)
{
    int i = config_server_index(c, c->server);
    if (i < 0)
        return error_set(err, ERR_INVALID, "%s: server: '%s' is not among servers", c->path, c->server);
    struct kube_options options = {
        .server = c->server,
        .url = c->servers[i].api,
        .ca_file = or_null(c->kube_ca_file),
        .cert_file = or_null(c->kube_cert_file),
        .key_file = or_null(c->kube_key_file),
        .token_file = or_null(c->kube_token_file),
    };
    return kube_open(&options, ret, err);
}

int remote_open_kube(struct remote *r, struct error *err)
{
    return remote_kube(r->config, &r->kube, err);
}

static int ready(void *ctx, struct error *err)
{
    struct remote *r = ctx;
    r->server.config = r->config;
    if (k3s_etcd_only(r->config))
        return k3s_server_ready(&r->server, NULL, err);
    if (!r->kube && clock_mono_ms() < r->kube_retry_ms)
        return error_set(err, ERR_UNAVAILABLE, "%s", r->kube_why);
    if (!r->kube) {
        struct error why = ERROR_INIT;
        int rc = remote_open_kube(r, &why);
        if (rc < 0) {
            r->kube_retry_ms = clock_mono_ms() + KUBE_RETRY_MS;
            (void)text_copy(r->kube_why, sizeof(r->kube_why), why.text);
            return error_set(err, rc, "%s", why.text);
        }
    }
    int rc = kube_ready(r->kube, READY_MS, err);
    if (rc < 0 || !k3s_product(r->config))
        return rc;
    return k3s_server_ready(&r->server, r->kube, err);
}

/* --- bundles --- */

static int read_bundle(struct remote *r, const char *name, struct cluster_bundle *ret, struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(RECORD_MAX);
    int rc = store_read(r->store, CLUSTER_KEY_BUNDLE, name, STORE_MS, &body, NULL, NULL, err);
    return rc < 0 ? rc : cluster_bundle_decode(buf_str(&body), body.len, ret, err);
}

/* Each is told once, as far as they can be remembered: it is read again every few seconds. */
static void pass_over(struct remote *r, int64_t generation, const char *key, const char *why)
{
    for (size_t i = 0; i < r->bad_bundles_count; i++)
        if (r->bad_bundles[i] == generation)
            return;
    if (r->bad_bundles_count < array_len(r->bad_bundles))
        r->bad_bundles[r->bad_bundles_count++] = generation;
    log_event(LOG_LEVEL_WARNING, "bundle passed over", LOG_S("key", key), LOG_S("why", why));
}

/* One key of the bundles' group: a bad record is told and passed over, since it cannot vouch for any file. */
static int refresh_one(struct remote *r, const char *key, struct known *known, struct error *err)
{
    const char *name = NULL;
    int64_t generation = 0;
    struct error why = ERROR_INIT;
    if (cluster_key_parse(key, r->config->cluster, &name) != CLUSTER_KEY_BUNDLE ||
        text_int(name, 1, INT64_MAX, &generation, NULL) < 0 || known_has(known, generation))
        return 0;
    char copy[32];
    if (!text_copy(copy, sizeof(copy), name))
        return 0;
    struct cluster_bundle b = {0};
    int rc = read_bundle(r, copy, &b, &why);
    if (rc < 0 && error_is_transient(rc))
        return error_set(err, rc, "%s", why.text);
    if (rc == 0 && b.generation == generation)
        known_add(known, &b);
    else
        pass_over(r, generation, key, why.text);
    cluster_bundle_free(&b);
    return 0;
}

static int refresh(void *ctx, struct known *known, struct error *err)
{
    struct remote *r = ctx;
    char prefix[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(prefix, r->config->cluster, CLUSTER_KEY_BUNDLE, NULL);
    struct etcd_range_options options = {.prefix = prefix, .keys_only = true};
    struct etcd_range range = {0};
    int rc = etcd_list(store_etcd(r->store), &options, STORE_MS, &range, err);
    size_t from = range.count > KNOWN_MAX ? range.count - KNOWN_MAX : 0; /* the newest */
    for (size_t i = from; rc == 0 && i < range.count; i++)
        rc = refresh_one(r, range.kvs[i].key, known, err);
    etcd_range_free(&range);
    return rc;
}

static int fetch(void *ctx, int64_t generation, struct secret **ret_text, struct error *err)
{
    struct remote *r = ctx;
    return store_bundle_open(r->store, generation, FETCH_MS, NULL, ret_text, err);
}

/* Somebody was first: it is ours all the same when it holds this very file. */
static int adopt_present(struct remote *r, int64_t generation, const char *hash, struct cluster_bundle *ret,
                         struct error *err)
{
    char name[24];
    struct cluster_bundle b = {0};
    snprintf(name, sizeof(name), "%020" PRId64, generation);
    int rc = read_bundle(r, name, &b, err);
    if (rc < 0)
        return rc;
    if (b.generation == generation && strcmp(b.hash, hash) == 0) {
        *ret = b;
        return 0;
    }
    cluster_bundle_free(&b);
    return error_set(err, ERR_STATE, "generation %" PRId64 " was issued already, with another file",
                     generation);
}

static int adopt(void *ctx, const struct cluster_bundle *described, const struct secret *text,
                 struct cluster_bundle *ret, struct error *err)
{
    struct remote *r = ctx;
    struct cluster_bundle b = {0};
    int rc = store_bundle_seal(r->store, described->generation, described->stage, text, described->config_id,
                               &b, err);
    if (rc < 0)
        return rc;
    memcpy(b.vector, described->vector, sizeof(b.vector));
    _cleanup_(etcd_txn_freep) struct etcd_txn *txn = etcd_txn_new(store_etcd(r->store));
    rc = store_txn_bundle(r->store, txn, &b, err);
    if (rc == 0)
        rc = etcd_txn_commit(txn, FETCH_MS, NULL, err);
    if (rc == 0) {
        *ret = b;
        return 0;
    }
    cluster_bundle_free(&b);
    return rc == ERR_CONFLICT ? adopt_present(r, described->generation, described->hash, ret, err) : rc;
}

/* --- records --- */

int remote_order(struct remote *r, int deadline_ms, struct cluster_order *ret, struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(RECORD_MAX);
    int rc = store_read(r->store, CLUSTER_KEY_ORDER, r->config->server, deadline_ms, &body, NULL, NULL, err);
    if (rc < 0)
        return rc;
    rc = cluster_order_decode(buf_str(&body), body.len, ret, err);
    if (rc == 0 || rc == ERR_NO_MEMORY)
        return rc;
    _cleanup_(json_freep) struct json *root = NULL;
    ret->id = 0;
    if (json_parse(buf_str(&body), body.len, "order", &root, NULL) == 0)
        ret->id = json_int(json_get(root, "id"), 0);
    return error_prefix(err, rc, "the order is not understood (is this agent too old?)");
}

int remote_in_spec(struct remote *r, bool *ret, struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(RECORD_MAX);
    _cleanup_free_ struct cluster_spec *spec = calloc(1, sizeof(*spec));
    if (!spec)
        return error_no_memory(err);
    int rc = store_read(r->store, CLUSTER_KEY_SPEC, NULL, STORE_MS, &body, NULL, NULL, err);
    if (rc == 0)
        rc = cluster_spec_decode(buf_str(&body), body.len, spec, err);
    if (rc < 0)
        return rc;
    *ret = false;
    for (size_t i = 0; i < spec->servers_count; i++)
        if (strcmp(spec->servers[i].name, r->config->server) == 0)
            *ret = true;
    return 0;
}

/* --- the state store's health --- */

bool remote_may_ask(const struct remote *r, int64_t now_ms)
{
    return now_ms >= r->retry_ms;
}

void remote_result(struct remote *r, int rc, const struct error *err)
{
    bool away = rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT;
    log_dependency(&r->away, !away, err->text);
    if (away) {
        r->retry_ms = clock_mono_ms() + backoff_ms(r->failures++, BACKOFF_MS, BACKOFF_MAX);
        return;
    }
    r->failures = 0;
    r->retry_ms = 0;
}

int remote_open(struct remote *r, const struct config *config, struct error *err)
{
    memset(r, 0, sizeof(*r));
    r->config = config;
    r->away = LOG_DEPENDENCY("state store away", "state store back");
    r->ops = (struct agent_ops){r, ready, refresh, fetch, adopt, NULL};
    int rc = store_open(config, &r->store, err);
    if (rc == 0)
        rc = store_fingerprint_key(r->store, &r->fingerprint_key, err);
    r->ops.fingerprint_key = r->fingerprint_key;
    return rc;
}

void remote_close(struct remote *r)
{
    k3s_server_close(&r->server);
    kube_close(r->kube);
    store_free(r->store);
    secret_free(r->fingerprint_key);
    memset(r, 0, sizeof(*r));
}
