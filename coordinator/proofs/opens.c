/* Before a rotation begins: every stored value opens with the present keys. A value that does not open now
 * would fail every list of its resource already, or is a leftover whose key is lost; a rotation must neither
 * begin on it nor be blamed for it. Content is decrypted into memory that is wiped, looked at for its first
 * bytes, and goes nowhere. */
#include <inttypes.h>
#include <string.h>

#include <base/text.h>

#include "values.h"

struct opening {
    struct job *job;
    const struct job_options *o;
    int64_t revision, values, failed;
    char first[CLUSTER_TEXT_MAX]; /* the first that does not open, and why */
};

static int each(void *arg, const char *resource, const struct etcd_kv *kv, struct error *err)
{
    struct opening *v = arg;
    struct error why = ERROR_INIT;
    _cleanup_(secret_freep) struct secret *plain = NULL;
    int rc = value_open(v->o, resource, kv, &plain, &why);
    v->values++;
    if (rc == 0)
        return 0;
    if (rc == ERR_NO_MEMORY || rc == ERR_INTERNAL)
        return error_set(err, rc, "%s", why.text); /* ours, not the value's */
    if (v->failed++ == 0) {
        struct value_key key;
        char under[VALUES_KEY_TEXT];
        value_key(v->o, kv, &key);
        value_key_text(&key, under);
        /* The reason names the key in the datastore as a rule. */
        snprintf(v->first, sizeof(v->first), "%.200s (under %.100s): %.180s", kv->key, under,
                 strncmp(why.text, kv->key, kv->key_len) == 0 && why.text[kv->key_len] == ':'
                     ? why.text + kv->key_len + 2
                     : why.text);
    }
    return 0;
}

static void publish(struct cluster_proof *p, void *arg)
{
    const struct opening *v = arg;
    text_copy(p->method, sizeof(p->method), "decrypt");
    p->values = v->values;
    p->revision = v->revision;
}

static void on_page(void *arg)
{
    struct opening *v = arg;
    job_update_proof(v->job, publish, v);
}

static void on_again(void *arg)
{
    struct opening *v = arg;
    *v = (struct opening){.job = v->job, .o = v->o};
}

int opens_run(struct job *j, struct error *err)
{
    struct opening v = {.job = j, .o = job_opts(j)};
    struct values_reader r = {.job = j, .each = each, .page = on_page, .again = on_again, .arg = &v};
    int rc = values_each(&r, &v.revision, err);
    if (rc < 0)
        return rc;
    job_update_proof(j, publish, &v);
    if (v.failed == 0)
        return 0;
    return error_set(
        err, ERR_STATE,
        "%" PRId64 " of %" PRId64 " stored values at revision %" PRId64
        " do not open with the present keys: put the missing key back, or delete them; first: %s",
        v.failed, v.values, v.revision, v.first);
}
