#include "internal.h"

#include <ctype.h>

#include <base/text.h>

const char *discover_kind_name(enum discover_kind kind)
{
    static const char *const names[] = {[DISCOVER_NOTHING] = "nothing",
                                        [DISCOVER_K3S] = "K3s",
                                        [DISCOVER_RKE2] = "RKE2",
                                        [DISCOVER_KUBEADM] = "kubeadm",
                                        [DISCOVER_SERVICE] = "a kube-apiserver service"};
    return names[kind];
}

/* As Kubernetes names a node: the host's name in lower case. */
static void use_hostname(struct finder *d)
{
    char name[CONFIG_NAME_MAX] = "";
    _cleanup_(secret_freep) struct secret *file = *d->o->root ? found_secret(d, "/etc/hostname", 256) : NULL;
    if (*d->f->server)
        return;
    if (file)
        snprintf(name, sizeof(name), "%.*s", (int)file->len, (const char *)file->data);
    else if (d->o->hostname)
        (void)text_copy(name, sizeof(name), d->o->hostname);
    name[strcspn(name, " \t\r\n")] = 0;
    for (char *c = name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (text_is_name(name, CONFIG_NAME_MAX - 1))
        (void)text_copy(d->f->server, sizeof(d->f->server), name);
}

int discover_find(const struct discover_options *o, struct discover_facts *ret, struct error *err)
{
    struct finder d = {o, ret};
    memset(ret, 0, sizeof(*ret));
    (void)text_copy(ret->cluster, sizeof(ret->cluster), o->cluster ? o->cluster : "kubernetes");
    if (!find_k3s(&d, DISCOVER_K3S) && !find_k3s(&d, DISCOVER_RKE2) && !find_kubeadm(&d) && !find_service(&d))
        return error_set(
            err, ERR_NOT_FOUND,
            "no Kubernetes server on this machine: neither K3s (/var/lib/rancher/k3s/server), nor RKE2 "
            "(/var/lib/rancher/rke2/server), nor kubeadm's manifest "
            "(/etc/kubernetes/manifests/kube-apiserver.yaml), nor a process kube-apiserver; run this on a "
            "control-plane server, as root, while its API server runs");
    use_hostname(&d);
    use_resources(&d);
    return 0;
}

void discover_free(struct discover_facts *f)
{
    for (size_t i = 0; i < f->files_count; i++)
        secret_free(f->files[i].text);
    memset(f, 0, sizeof(*f));
}
