#include "internal.h"

#include <base/text.h>

#define MANIFEST "/etc/kubernetes/manifests/kube-apiserver.yaml"
#define ETCD     "/etc/kubernetes/manifests/etcd.yaml"

/* The arguments of the manifest's first container. */
static void read_arguments(const struct json *pod, struct api_flags *flags)
{
    static const char *const members[] = {"command", "args"};
    const struct json *container = json_first(json_get(json_get(pod, "spec"), "containers"));
    flags_begin(flags);
    for (size_t i = 0; i < array_len(members); i++) {
        const struct json *list = json_get(container, members[i]);
        for (const struct json *a = json_first(list); a; a = json_next(a))
            flags_take(flags, json_string(a, ""));
    }
}

static const char *host_path(const struct json *pod, const char *volume)
{
    const struct json *volumes = json_get(json_get(pod, "spec"), "volumes");
    for (const struct json *v = json_first(volumes); v; v = json_next(v))
        if (strcmp(json_string(json_get(v, "name"), ""), volume) == 0)
            return json_string(json_get(json_get(v, "hostPath"), "path"), "");
    return "";
}

/* A path of the container as the host has it: by the mount that lies deepest above it. */
static void map_path(const struct json *pod, const char *path, char out[DISCOVER_PATH_MAX])
{
    const struct json *container = json_first(json_get(json_get(pod, "spec"), "containers"));
    const struct json *mounts = json_get(container, "volumeMounts");
    char host[PATH_MAX];
    size_t best = 0;
    out[0] = 0;
    if (*path != '/')
        return;
    (void)text_copy(host, sizeof(host), path);
    for (const struct json *m = json_first(mounts); m; m = json_next(m)) {
        const char *at = json_string(json_get(m, "mountPath"), "");
        const char *on = host_path(pod, json_string(json_get(m, "name"), ""));
        size_t len = strlen(at);
        while (len > 1 && at[len - 1] == '/')
            len--;
        if (len <= best || !*on || strncmp(at, path, len) != 0 || (path[len] != '/' && path[len] != 0))
            continue;
        if (snprintf(host, sizeof(host), "%s%s", on, path + len) < (int)sizeof(host))
            best = len;
    }
    (void)keep_path(out, host);
}

static void use_quota(struct finder *d)
{
    _cleanup_(json_freep) struct json *pod = found_yaml(d, ETCD);
    _cleanup_free_ struct api_flags *flags = calloc(1, sizeof(*flags));
    if (!pod || !flags)
        return;
    d->f->etcd_on_servers = true; /* stacked: each server has its member */
    read_arguments(pod, flags);
    (void)!text_int(flags->values[FLAG_QUOTA], 1, INT64_MAX, &d->f->quota, NULL); /* stays unknown */
}

static void use_login(struct finder *d)
{
    static const char ca[] = "/etc/kubernetes/pki/ca.crt";
    static const char *const configs[] = {"/etc/kubernetes/admin.conf", "/etc/kubernetes/super-admin.conf"};
    if (found_file(d, ca))
        (void)keep_path(d->f->kube_ca, ca);
    for (size_t i = 0; i < array_len(configs); i++)
        if (use_kubeconfig(d, configs[i]))
            return;
}

bool find_kubeadm(struct finder *d)
{
    struct discover_facts *f = d->f;
    _cleanup_(json_freep) struct json *pod = found_yaml(d, MANIFEST);
    _cleanup_free_ struct api_flags *flags = calloc(1, sizeof(*flags));
    if (!pod || !flags)
        return false;
    f->kind = DISCOVER_KUBEADM;
    (void)text_copy(f->where, sizeof(f->where), MANIFEST);
    (void)text_copy(f->driver, sizeof(f->driver), "static-pod");
    (void)keep_path(f->manifest, MANIFEST);
    read_arguments(pod, flags);
    flags_use(flags, f);
    map_path(pod, flags->values[FLAG_CONFIG], f->encryption_config);
    map_path(pod, flags->values[FLAG_ETCD_CA], f->etcd_ca);
    map_path(pod, flags->values[FLAG_ETCD_CERT], f->etcd_cert);
    map_path(pod, flags->values[FLAG_ETCD_KEY], f->etcd_key);
    if (!*f->encryption_config)
        note(f, "the API server has no --encryption-provider-config: encryption was never on");
    use_quota(d);
    use_login(d);
    return true;
}
