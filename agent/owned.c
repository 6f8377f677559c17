/* Servers that make their encryption config themselves: what they made is checked, and sealed, before any
 * other server gets it. */
#include <base/file.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <crypto/crypto.h>
#include <encryption/config.h>
#include <encryption/envelope.h>

#include "job.h"

struct made {
    struct secret *text;
    struct encryption_config *config;
};

static void made_clear(struct made *m)
{
    secret_free(m->text);
    encryption_config_free(m->config);
}

static struct resource_set managed_of(const struct agent *a)
{
    return (struct resource_set){(const char *const *)a->config->resources, a->config->resources_count};
}

static bool switches(const struct agent *a)
{
    const char *call = a->state.job.order.call;
    return strcmp(call, "enable") == 0 || strcmp(call, "disable") == 0;
}

static int read_made(const struct agent *a, struct made *m, struct cluster_bundle *described,
                     struct error *err)
{
    const char *path = a->config->encryption_config;
    struct driver_own own;
    int rc = file_read_secret(path, ENCRYPTION_CONFIG_MAX, &m->text, err);
    if (rc == 0)
        rc = crypto_sha256_hex(m->text->data, m->text->len, described->hash, err);
    if (rc == 0)
        rc = a->driver->own(a->config, &own, err);
    /* When it switches encryption on or off K3s leaves its record as it was. */
    if (rc == 0 && !switches(a) && strcmp(own.hash, described->hash) != 0)
        rc =
            error_set(err, ERR_CONFLICT, "the server's record of its encryption config lags behind %s", path);
    if (rc == 0)
        rc = encryption_config_parse(m->text->data, m->text->len, path, &m->config, err);
    if (rc == 0)
        rc = encryption_check_managed(m->config, managed_of(a), err);
    if (rc == 0)
        rc = encryption_config_id(m->config, described->config_id, err);
    described->stage = own.stage;
    return rc;
}

static int check_edit(const struct agent *a, const struct made *m, struct error *err)
{
    const struct cluster_order *o = &a->state.job.order;
    char what[64];
    _cleanup_(secret_freep) struct secret *text = NULL;
    _cleanup_(encryption_config_freep) struct encryption_config *before = NULL;
    int rc = a->ops->fetch(a->ops->ctx, o->from, &text, err);
    snprintf(what, sizeof(what), "generation %lld", (long long)o->from);
    if (rc == 0)
        rc = encryption_config_parse(text->data, text->len, what, &before, err);
    return rc < 0 ? rc : encryption_check_made(before, m->config, managed_of(a), o->call, err);
}

/* Proof 1a: a text that only the key opens that this generation brings (after prepare, the last one), or
 * writes with. */
static int seal_vector(const struct agent *a, const struct made *m, struct cluster_bundle *described,
                       struct error *err)
{
    struct key_view keys[ENCRYPTION_KEYS_MAX], last;
    char path[CLUSTER_KEY_PATH_MAX];
    size_t count = encryption_keys(m->config, managed_of(a), keys, ENCRYPTION_KEYS_MAX);
    bool brings = strcmp(a->state.job.order.call, "prepare") == 0;
    if (count == 0 || (!brings && !keys[0].active))
        return 0; /* it writes plain */
    if (brings && encryption_last_key(m->config, managed_of(a), &last, err) < 0)
        return ERR_STATE;
    const struct key_view *k = brings ? &last : &keys[0];
    _cleanup_(buf_freep) struct buf sealed = BUF_INIT(CLUSTER_VECTOR_MAX);
    _cleanup_(secret_freep) struct secret *text = NULL;
    cluster_bundle_path(path, a->config->cluster, described->generation);
    int rc = envelope_encrypt_with(m->config, a->config->resources[0], k->provider, k->name, path,
                                   CLUSTER_VECTOR_TEXT, strlen(CLUSTER_VECTOR_TEXT), &sealed, err);
    if (rc == 0)
        rc = crypto_base64_encode(sealed.data, sealed.len, &text, err);
    if (rc < 0)
        return error_prefix(err, rc, "the test vector");
    if (text->len >= sizeof(described->vector))
        return error_set(err, ERR_TOO_LARGE, "the test vector is too long");
    memcpy(described->vector, text->data, text->len);
    return 0;
}

int apply_seal(struct agent *a, struct error *err)
{
    _cleanup_(made_clear) struct made m = {0};
    struct cluster_bundle described = {.generation = a->state.job.order.generation};
    if (!a->driver->own)
        return error_set(err, ERR_UNSUPPORTED, "servers of the driver %s do not make their encryption config",
                         a->driver->name);
    int rc = read_made(a, &m, &described, err);
    if (rc == 0)
        rc = check_edit(a, &m, err);
    if (rc == 0)
        rc = seal_vector(a, &m, &described, err);
    return rc < 0 ? rc : apply_seal_text(a, &described, m.text, err);
}
