#include <agent/k3s.h>

#include <base/file.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <json/json.h>

#define STATUS_MAX (256 * 1024)

static const struct k3s_product products[] = {
    {"k3s", "k3s", "/var/lib/rancher/k3s", "https://127.0.0.1:6443", "https://127.0.0.1:2379"},
    {"rke2", "rke2-server", "/var/lib/rancher/rke2", "https://127.0.0.1:9345", "https://127.0.0.1:2379"},
};

const struct k3s_product *k3s_product(const struct config *c)
{
    for (size_t i = 0; i < array_len(products); i++)
        if (strcmp(products[i].driver, c->driver) == 0)
            return &products[i];
    return NULL;
}

bool k3s_etcd_only(const struct config *c)
{
    int i = config_server_index(c, c->server);
    return i >= 0 && k3s_product(c) && config_etcd_only(&c->servers[i]);
}

static const char *or_default(const char *given, const char *fallback)
{
    return *given ? given : fallback;
}

static int join(char out[PATH_MAX], const char *folder, const char *name, struct error *err)
{
    if (snprintf(out, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        return error_set(err, ERR_INVALID, "%.200s/%s: the path is too long", folder, name);
    return 0;
}

/* K3s keeps the member's data there, and its certificates beside its own. */
static int etcd_places(const struct config *c, const struct k3s_product *p, const char *data,
                       struct k3s_places *ret, struct error *err)
{
    char folder[PATH_MAX];
    int rc = join(folder, data, "server/db/etcd", err);
    if (rc == 0)
        rc = join(ret->etcd_ca, data, "server/tls/etcd/server-ca.crt", err);
    if (rc == 0)
        rc = join(ret->etcd_cert, data, "server/tls/etcd/client.crt", err);
    if (rc == 0)
        rc = join(ret->etcd_key, data, "server/tls/etcd/client.key", err);
    ret->etcd = rc == 0 && access(folder, F_OK) == 0 ? or_default(c->k3s_etcd, p->etcd) : NULL;
    return rc;
}

int k3s_places(const struct config *c, struct k3s_places *ret, struct error *err)
{
    const struct k3s_product *p = k3s_product(c);
    char folder[PATH_MAX];
    if (!p)
        return error_set(err, ERR_INTERNAL, "%s: driver %s is not K3s's", c->path, c->driver);
    const char *data = or_default(c->k3s_data_dir, p->data_dir);
    const char *slash = strrchr(c->encryption_config, '/');
    ret->supervisor = or_default(c->k3s_supervisor, p->supervisor);
    ret->unit = or_default(c->service_unit, p->unit);
    ret->node = or_default(c->k3s_node, c->server);
    if (!slash || !text_copy(folder, sizeof(folder), c->encryption_config))
        return error_set(err, ERR_INVALID, "%s: encryption_config: the path is too long", c->path);
    folder[slash - c->encryption_config] = 0;
    int rc = join(ret->token, data, "server/token", err);
    if (rc == 0)
        rc = join(ret->ca, data, "server/tls/server-ca.crt", err);
    if (rc == 0)
        rc = join(ret->state, folder, "encryption-state.json", err);
    return rc < 0 ? rc : etcd_places(c, p, data, ret, err);
}

int k3s_own_parse(const char *text, struct driver_own *ret, struct error *err)
{
    char stage[32];
    const char *dash = strrchr(text, '-');
    size_t len = dash ? (size_t)(dash - text) : 0;
    size_t hex = dash ? strspn(dash + 1, "0123456789abcdef") : 0;
    int value = -1;
    if (len > 0 && len < sizeof(stage)) {
        memcpy(stage, text, len);
        stage[len] = 0;
        value = stage_parse(stage);
    }
    if (value < 0 || hex != CLUSTER_HASH_MAX - 1 || dash[1 + hex + strspn(dash + 1 + hex, " \r\n")])
        return error_set(err, ERR_INVALID, "it does not hold \"<stage>-<sha256>\"");
    ret->stage = (enum stage)value;
    memcpy(ret->hash, dash + 1, hex);
    ret->hash[hex] = 0;
    return 0;
}

/* ---------- the supervisor's API ---------- */

int k3s_status_parse(const char *text, size_t len, struct k3s_status *ret, struct error *err)
{
    _cleanup_(json_freep) struct json *root = NULL;
    if (len > STATUS_MAX)
        return error_set(err, ERR_TOO_LARGE, "the supervisor's status is larger than %d bytes", STATUS_MAX);
    int rc = json_parse(text, len, "the supervisor's status", &root, err);
    if (rc < 0)
        return rc;
    const char *word = json_string(json_get(root, "stage"), "");
    const char *why = json_string(json_get(root, "hasherror"), "");
    int stage = stage_parse(word);
    if (stage < 0)
        return error_set(err, ERR_INVALID, "the supervisor's status has no stage that is known: '%.40s'",
                         word);
    ret->stage = (enum stage)stage;
    ret->enabled = json_bool(json_get(root, "enable"), false);
    ret->hashes_match = json_bool(json_get(root, "hashmatch"), false);
    (void)text_copy(ret->why, sizeof(ret->why), why);
    return 0;
}

#define AT(s) (1u << (s))

static const struct step {
    const char *call;
    unsigned from, on_the_way; /* stages */
    enum stage to;
    const char *body, *forced;
} steps[] = {
    {"prepare", AT(STAGE_START) | AT(STAGE_REENCRYPT_FINISHED), 0, STAGE_PREPARE,
     "{\"stage\":\"prepare\",\"force\":false}", "{\"stage\":\"prepare\",\"force\":true}"},
    {"rotate", AT(STAGE_PREPARE), 0, STAGE_ROTATE, "{\"stage\":\"rotate\",\"force\":false}",
     "{\"stage\":\"rotate\",\"force\":true}"},
    {"reencrypt", AT(STAGE_ROTATE), AT(STAGE_REENCRYPT_REQUEST) | AT(STAGE_REENCRYPT_ACTIVE),
     STAGE_REENCRYPT_FINISHED, "{\"stage\":\"reencrypt_active\",\"force\":false,\"skip\":false}",
     "{\"stage\":\"reencrypt_active\",\"force\":true,\"skip\":false}"},
};

static const struct step *step_of(const char *call)
{
    for (size_t i = 0; i < array_len(steps); i++)
        if (strcmp(steps[i].call, call) == 0)
            return &steps[i];
    return NULL;
}

enum k3s_next k3s_next(const char *call, const struct k3s_status *s)
{
    const struct step *step = step_of(call);
    if (!step)
        return s->enabled == (strcmp(call, "enable") == 0) ? K3S_DONE : K3S_PUT;
    if (s->stage == step->to)
        return K3S_DONE;
    if (step->on_the_way & AT(s->stage))
        return K3S_WAIT;
    return step->from & AT(s->stage) ? K3S_PUT : K3S_WRONG;
}

const char *k3s_body(const char *call, bool force)
{
    const struct step *step = step_of(call);
    if (step)
        return force ? step->forced : step->body;
    if (strcmp(call, "enable") == 0)
        return "{\"enable\":true}";
    return strcmp(call, "disable") == 0 ? "{\"enable\":false}" : NULL;
}
