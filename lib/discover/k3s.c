#include "internal.h"

#include <dirent.h>

#include <base/text.h>

#define PARTS_MAX 32

/* What K3s and RKE2 differ in. */
static const struct flavour {
    const char *config, *parts, *data_dir, *driver;
} flavours[] = {
    [DISCOVER_K3S] = {"/etc/rancher/k3s/config.yaml", "/etc/rancher/k3s/config.yaml.d",
                      "/var/lib/rancher/k3s", "k3s"},
    [DISCOVER_RKE2] = {"/etc/rancher/rke2/config.yaml", "/etc/rancher/rke2/config.yaml.d",
                       "/var/lib/rancher/rke2", "rke2"},
};

/* The members that matter to us, wherever they stand; a later file's replace an earlier one's. */
struct options {
    char data_dir[DISCOVER_PATH_MAX], node[CONFIG_NAME_MAX], endpoint[2 * PATH_MAX];
    char ca[DISCOVER_PATH_MAX], cert[DISCOVER_PATH_MAX], key[DISCOVER_PATH_MAX];
    char advertise[64], node_ip[64], quota[32];
    int64_t port;
};

static void take_text(const struct json *root, const char *name, char *out, size_t size)
{
    const struct json *node = json_get(root, name);
    if (json_type(node) == JSON_ARRAY) /* node-ip may be a list */
        node = json_first(node);
    const char *text = json_string(node, NULL);
    if (text && !text_copy(out, size, text))
        out[0] = 0;
}

/* etcd-arg: ["quota-backend-bytes=8589934592"] */
static void take_quota(const struct json *root, struct options *o)
{
    static const char name[] = "quota-backend-bytes=";
    const struct json *args = json_get(root, "etcd-arg");
    for (const struct json *a = json_first(args); a; a = json_next(a)) {
        const char *text = json_string(a, "");
        text += strspn(text, "-");
        if (strncmp(text, name, sizeof(name) - 1) == 0)
            (void)text_copy(o->quota, sizeof(o->quota), text + sizeof(name) - 1);
    }
}

static void read_options(struct finder *d, const char *path, struct options *o)
{
    _cleanup_(json_freep) struct json *root = found_yaml(d, path);
    if (!root)
        return;
    take_text(root, "data-dir", o->data_dir, sizeof(o->data_dir));
    take_text(root, "node-name", o->node, sizeof(o->node));
    take_text(root, "datastore-endpoint", o->endpoint, sizeof(o->endpoint));
    take_text(root, "datastore-cafile", o->ca, sizeof(o->ca));
    take_text(root, "datastore-certfile", o->cert, sizeof(o->cert));
    take_text(root, "datastore-keyfile", o->key, sizeof(o->key));
    take_text(root, "advertise-address", o->advertise, sizeof(o->advertise));
    take_text(root, "node-ip", o->node_ip, sizeof(o->node_ip));
    take_quota(root, o);
    o->port = json_int(json_get(root, "https-listen-port"), o->port);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void read_parts(struct finder *d, const char *folder, struct options *o)
{
    char full[PATH_MAX], parts[PARTS_MAX][NAME_MAX + 1], path[PATH_MAX];
    size_t count = 0;
    DIR *dir = found_path(d, folder, full) ? opendir(full) : NULL;
    if (!dir)
        return;
    for (struct dirent *e = readdir(dir); e && count < PARTS_MAX; e = readdir(dir)) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0))
            (void)text_copy(parts[count++], sizeof(parts[0]), e->d_name);
    }
    closedir(dir);
    qsort(parts, count, sizeof(parts[0]), by_name);
    for (size_t i = 0; i < count; i++)
        if (snprintf(path, sizeof(path), "%s/%s", folder, parts[i]) < (int)sizeof(path))
            read_options(d, path, o);
}

/* A file below the data folder; "" where it is not there. */
static void below(struct finder *d, const char *data_dir, const char *rest, char out[DISCOVER_PATH_MAX])
{
    char path[PATH_MAX];
    out[0] = 0;
    if (snprintf(path, sizeof(path), "%s/server/%s", data_dir, rest) < DISCOVER_PATH_MAX &&
        found_file(d, path))
        (void)keep_path(out, path);
}

static void use_embedded(struct finder *d, const char *data_dir)
{
    struct discover_facts *f = d->f;
    use_endpoints(f, "https://127.0.0.1:2379");
    f->etcd_on_servers = true;
    below(d, data_dir, "tls/etcd/server-ca.crt", f->etcd_ca);
    below(d, data_dir, "tls/etcd/client.crt", f->etcd_cert);
    below(d, data_dir, "tls/etcd/client.key", f->etcd_key);
}

static void use_datastore(struct finder *d, const struct options *o, const char *data_dir)
{
    struct discover_facts *f = d->f;
    char etcd[DISCOVER_PATH_MAX];
    below(d, data_dir, "db/etcd", etcd);
    if (strncmp(o->endpoint, "http://", 7) == 0 || strncmp(o->endpoint, "https://", 8) == 0) {
        use_endpoints(f, o->endpoint);
        (void)keep_path(f->etcd_ca, o->ca);
        (void)keep_path(f->etcd_cert, o->cert);
        (void)keep_path(f->etcd_key, o->key);
    } else if (!*o->endpoint && *etcd) {
        use_embedded(d, data_dir);
    } else {
        (void)text_copy(
            f->etcd_why, sizeof(f->etcd_why),
            "the objects are in an SQL database: what this program keeps needs an etcd of its own");
    }
}

bool find_k3s(struct finder *d, enum discover_kind kind)
{
    const struct flavour *v = &flavours[kind];
    struct discover_facts *f = d->f;
    struct options o = {.port = 6443};
    char path[PATH_MAX];
    read_options(d, v->config, &o);
    read_parts(d, v->parts, &o);
    const char *data_dir = *o.data_dir ? o.data_dir : v->data_dir;
    if (snprintf(path, sizeof(path), "%s/server", data_dir) >= DISCOVER_PATH_MAX || !found_file(d, path))
        return false; /* an agent's machine has no such folder */
    f->kind = kind;
    (void)text_copy(f->where, sizeof(f->where), path);
    (void)text_copy(f->driver, sizeof(f->driver), v->driver);
    if (strcmp(data_dir, v->data_dir) != 0)
        (void)keep_path(f->data_dir, data_dir);
    if (*o.node)
        (void)text_copy(f->server, sizeof(f->server), o.node);
    (void)text_copy(f->advertise, sizeof(f->advertise), *o.advertise ? o.advertise : o.node_ip);
    f->port = o.port > 0 && o.port < 65536 ? (int)o.port : 6443;
    (void)!text_int(o.quota, 1, INT64_MAX, &f->quota, NULL); /* stays unknown */
    if (snprintf(path, sizeof(path), "%s/server/cred/encryption-config.json", data_dir) < DISCOVER_PATH_MAX)
        (void)keep_path(f->encryption_config, path);
    use_datastore(d, &o, data_dir);
    below(d, data_dir, "tls/server-ca.crt", f->kube_ca);
    below(d, data_dir, "tls/client-admin.crt", f->kube_cert);
    below(d, data_dir, "tls/client-admin.key", f->kube_key);
    return true;
}
