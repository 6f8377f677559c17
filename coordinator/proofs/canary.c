#include "canary.h"

#include <inttypes.h>
#include <string.h>

#include <base/clock.h>
#include <base/text.h>
#include <json/json.h>

#include "values.h"

#define CALL_MS      1000
#define SWEEP_MS     3000
#define SWEEP_MAX    1000
#define RETRY_MS     50
#define RETRY_MAX_MS 500

static const struct canary_kind kinds[] = {
    {"secrets", "Secret", "secrets-encrypt/canary", true},
    {"configmaps", "ConfigMap", NULL, false},
};

const struct canary_kind *canary_kind(const char *resource)
{
    for (size_t i = 0; i < array_len(kinds); i++)
        if (strcmp(kinds[i].resource, resource) == 0)
            return &kinds[i];
    return NULL;
}

void canary_missing(const struct job_options *o, char *out, size_t size)
{
    size_t len = 0;
    out[0] = 0;
    for (size_t i = 0; i < o->spec.resources_count && len < size; i++)
        if (!canary_kind(o->spec.resources[i]))
            len += (size_t)snprintf(out + len, size - len, "%s%s", len ? ", " : "", o->spec.resources[i]);
}

/* ---------- names ---------- */

/* The operation's first eight characters, as an object's name may have them. */
static void short_id(const char *operation, char out[9])
{
    for (size_t i = 0; i < 8; i++) {
        char c = *operation ? *operation++ : '0';
        out[i] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '0';
    }
    out[8] = 0;
}

static int check_namespace(const char *namespace, struct error *err)
{
    return text_is_name(namespace, KUBE_NAME_MAX - 1)
               ? 0
               : error_set(err, ERR_STATE, "canaries.namespace: '%.100s' is no namespace", namespace);
}

int canary_make(const struct job_options *o, const struct canary_kind *kind, int server, struct canary *ret,
                struct error *err)
{
    struct canary c = {.kind = kind};
    char prefix[VALUES_PREFIX_MAX], id[9], at[16] = "";
    uint8_t random[(CANARY_MARKER_SIZE - 1) / 2];
    int rc = check_namespace(o->config->canary_namespace, err);
    if (rc == 0)
        rc = crypto_random(random, sizeof(random), err);
    if (rc < 0)
        return rc;
    text_hex(random, sizeof(random), c.marker);
    short_id(o->operation, id);
    if (server >= 0)
        snprintf(at, sizeof(at), "-%d", server);
    text_copy(c.namespace, sizeof(c.namespace), o->config->canary_namespace);
    snprintf(c.name, sizeof(c.name), CANARY_NAME "%s-%" PRId64 "%s", id, o->step, at);
    values_prefix(o, kind->resource, prefix);
    snprintf(c.etcd_key, sizeof(c.etcd_key), "%s%s/%s", prefix, c.namespace, c.name);
    snprintf(c.collection, sizeof(c.collection), "/api/v1/namespaces/%s/%s", c.namespace, kind->resource);
    snprintf(c.path, sizeof(c.path), "/api/v1/namespaces/%s/%s/%s", c.namespace, kind->resource, c.name);
    *ret = c;
    return 0;
}

/* ---------- objects ---------- */

/* The marker as `data` has it. */
static int marker_text(const struct canary *c, char out[2 * CANARY_MARKER_SIZE], struct error *err)
{
    _cleanup_(secret_freep) struct secret *encoded = NULL;
    if (!c->kind->base64)
        return text_copy(out, 2 * CANARY_MARKER_SIZE, c->marker) ? 0 : ERR_INTERNAL;
    int rc = crypto_base64_encode(c->marker, strlen(c->marker), &encoded, err);
    if (rc == 0)
        snprintf(out, 2 * CANARY_MARKER_SIZE, "%.*s", (int)encoded->len, (const char *)encoded->data);
    return rc;
}

static int add_identity(struct json *meta, struct error *err)
{
    char uid[37], now[CLOCK_TEXT_MAX];
    int rc = crypto_uuid(uid, err);
    clock_format(clock_wall_ms(), now);
    if (rc == 0)
        rc = json_set_string(meta, "uid", uid, err);
    return rc == 0 ? json_set_string(meta, "creationTimestamp", now, err) : rc;
}

static int fill_metadata(const struct canary *c, bool stored, struct json *meta, struct error *err)
{
    int rc = json_set_string(meta, "name", c->name, err);
    if (rc == 0)
        rc = json_set_string(meta, "namespace", c->namespace, err);
    return rc == 0 && stored ? add_identity(meta, err) : rc;
}

static int fill(const struct canary *c, bool stored, struct json *object, struct error *err)
{
    char marker[2 * CANARY_MARKER_SIZE];
    int rc = marker_text(c, marker, err);
    if (rc == 0)
        rc = json_set_string(object, "kind", c->kind->kind, err);
    if (rc == 0)
        rc = json_set_string(object, "apiVersion", "v1", err);
    if (rc == 0)
        rc = json_set(object, "metadata", json_new_object(), err);
    if (rc == 0)
        rc = fill_metadata(c, stored, json_member(object, "metadata"), err);
    if (rc == 0)
        rc = json_set(object, "data", json_new_object(), err);
    if (rc == 0)
        rc = json_set_string(json_member(object, "data"), "marker", marker, err);
    if (rc == 0 && c->kind->type)
        rc = json_set_string(object, "type", c->kind->type, err);
    return rc;
}

int canary_object(const struct canary *c, bool stored, struct buf *out, struct error *err)
{
    _cleanup_(json_freep) struct json *object = json_new_object();
    if (!object)
        return error_no_memory(err);
    int rc = fill(c, stored, object, err);
    return rc == 0 ? json_print(object, out, err) : rc;
}

bool canary_named(const char *name)
{
    return strncmp(name, CANARY_NAME, strlen(CANARY_NAME)) == 0;
}

bool canary_is(const struct canary *c, const struct buf *reply)
{
    _cleanup_(json_freep) struct json *root = NULL;
    char marker[2 * CANARY_MARKER_SIZE];
    if (marker_text(c, marker, NULL) < 0 ||
        json_parse(buf_str(reply), reply->len, "the answer", &root, NULL) < 0)
        return false;
    return strcmp(json_string(json_get(json_get(root, "data"), "marker"), ""), marker) == 0;
}

/* ---------- taking out ---------- */

static int remove_once(struct etcd *datastore, const char *etcd_key, struct error *err)
{
    struct etcd_range r = {0};
    int rc = etcd_delete(datastore, etcd_key, false, CALL_MS, NULL, err);
    if (rc < 0)
        return rc;
    rc = etcd_get(datastore, etcd_key, CALL_MS, &r, err);
    etcd_range_free(&r);
    if (rc == ERR_NOT_FOUND)
        return 0;
    return rc < 0 ? rc : error_set(err, ERR_CONFLICT, "%s is there again", etcd_key);
}

int canary_remove(struct etcd *datastore, const char *etcd_key, int for_ms, struct error *err)
{
    int64_t until = clock_mono_ms() + for_ms;
    for (unsigned attempt = 0;; attempt++) {
        struct error why = ERROR_INIT;
        int rc = remove_once(datastore, etcd_key, &why);
        if (rc == 0)
            return 0;
        int64_t pause = backoff_ms(attempt, RETRY_MS, RETRY_MAX_MS);
        if (!error_is_transient(rc) || clock_mono_ms() + pause >= until)
            return error_set(err, rc, "taking the canary out: %s", why.text);
        clock_nap_ms(pause);
    }
}

int canary_take_out(const struct job_options *o, const struct canary *c, int for_ms, struct error *err)
{
    return o->spec.not_raw ? canary_delete(o, c->path, for_ms, err)
                           : canary_remove(o->datastore, c->etcd_key, for_ms, err);
}

static int sweep_kind(const struct job_options *o, const struct canary_kind *kind, struct error *err)
{
    char prefix[VALUES_PREFIX_MAX], names[CANARY_PATH_MAX];
    struct etcd_range r = {0};
    values_prefix(o, kind->resource, prefix);
    snprintf(names, sizeof(names), "%s%s/" CANARY_NAME, prefix, o->config->canary_namespace);
    struct etcd_range_options options = {.prefix = names, .limit = SWEEP_MAX, .keys_only = true};
    int rc = etcd_list(o->datastore, &options, SWEEP_MS, &r, err);
    for (size_t i = 0; rc == 0 && i < r.count; i++)
        rc = canary_remove(o->datastore, r.kvs[i].key, SWEEP_MS, err);
    etcd_range_free(&r);
    return rc < 0 ? error_prefix(err, rc, "clearing away canaries of earlier runs") : 0;
}

int canary_sweep(const struct job_options *o, struct error *err)
{
    int rc = check_namespace(o->config->canary_namespace, err);
    for (size_t i = 0; rc == 0 && i < o->spec.resources_count; i++) {
        const struct canary_kind *kind = canary_kind(o->spec.resources[i]);
        if (kind)
            rc = o->spec.not_raw ? canary_sweep_api(o, kind, err) : sweep_kind(o, kind, err);
    }
    return rc;
}
