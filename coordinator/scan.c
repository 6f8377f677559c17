/* Proof 3: how many values stand under which key, over all managed resources, at one revision. Reads the
 * prefix of each value and nothing behind it. */
#include "job.h"

#include <inttypes.h>
#include <string.h>

#include <base/clock.h>
#include <base/text.h>

#include "proofs/values.h"

struct scan {
    struct job *job;
    const struct job_options *o;
    int64_t revision;
    int64_t values, stale, plain;
    char first[CLUSTER_TEXT_MAX / 2]; /* the first stale value: its key in the datastore … */
    char first_key[VALUES_KEY_TEXT];  /* … and what it stands under */
    struct cluster_key_count keys[CLUSTER_KEYS_MAX];
    size_t keys_count;
};

static struct cluster_key_count *key_count(struct scan *v, const struct value_key *key)
{
    const char *type = !key->known                          ? "unknown"
                       : key->provider == PROVIDER_IDENTITY ? "plain"
                                                            : provider_name(key->provider);
    for (size_t i = 0; i < v->keys_count; i++)
        if (strcmp(v->keys[i].provider, type) == 0 && strlen(v->keys[i].name) == key->name_len &&
            (key->name_len == 0 || memcmp(v->keys[i].name, key->name, key->name_len) == 0))
            return &v->keys[i];
    /* Past the table all unknown keys share its last row; they are stale in any case. */
    struct cluster_key_count *k =
        &v->keys[v->keys_count < CLUSTER_KEYS_MAX ? v->keys_count++ : CLUSTER_KEYS_MAX - 1];
    text_copy(k->provider, sizeof(k->provider), type);
    snprintf(k->name, sizeof(k->name), "%.*s", (int)key->name_len, key->name ? key->name : "");
    return k;
}

static int count_value(void *arg, const char *resource, const struct etcd_kv *kv, struct error *err)
{
    struct scan *v = arg;
    struct value_key key;
    (void)resource;
    (void)err;
    value_key(v->o, kv, &key);
    v->values++;
    v->plain += key.known && key.provider == PROVIDER_IDENTITY;
    key_count(v, &key)->values++;
    if (value_kept(v->o, &key))
        return 0;
    if (v->stale++ == 0) {
        text_copy(v->first, sizeof(v->first), kv->key);
        value_key_text(&key, v->first_key);
    }
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

static void publish_end(struct cluster_reencrypt *r, void *arg)
{
    const struct scan *v = arg;
    publish(r, arg);
    r->scan_revision = v->revision;
    r->scan_ms = clock_wall_ms();
}

static void publish_proof(struct cluster_proof *p, void *arg)
{
    const struct scan *v = arg;
    text_copy(p->method, sizeof(p->method), "scan");
    p->values = v->values;
    p->revision = v->revision;
}

static void on_page(void *arg)
{
    struct scan *v = arg;
    job_update(v->job, publish, v);
    job_update_proof(v->job, publish_proof, v);
}

static void on_again(void *arg)
{
    struct scan *v = arg;
    *v = (struct scan){.job = v->job, .o = v->o};
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

static int check_stale(const struct scan *v, struct error *err)
{
    char keep[CLUSTER_TEXT_MAX / 2];
    if (v->stale == 0)
        return 0;
    values_keep_text(v->o, keep, sizeof(keep));
    return error_set(err, ERR_STATE,
                     "%" PRId64 " of %" PRId64 " values at revision %" PRId64
                     " are not under %s; first: %.200s: under %s",
                     v->stale, v->values, v->revision, keep, v->first, v->first_key);
}

int scan_run(struct job *j, struct error *err)
{
    struct scan v = {.job = j, .o = job_opts(j)};
    struct values_reader r = {.job = j, .each = count_value, .page = on_page, .again = on_again, .arg = &v};
    int rc = values_each(&r, &v.revision, err);
    if (rc == 0)
        rc = check_same_store(&v, err);
    if (rc < 0)
        return rc;
    job_update(j, publish_end, &v);
    job_update_proof(j, publish_proof, &v);
    return check_stale(&v, err);
}
