#include "resource_prefix.h"

#include <stdbool.h>

#include <base/cleanup.h>

/* Groups that kube-apiserver itself serves keep their objects at <prefix>/<plural>; every other group is a
 * custom one, at <prefix>/<group>/<plural>. The exceptions are the names that etcd has kept from Kubernetes'
 * first years. Source: pkg/kubeapiserver/default_storage_factory_builder.go, pkg/registry/…/storage. */
static const char *const builtin_groups[] = {
    "",
    "admissionregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
};

static const struct {
    const char *resource;
    const char *folder;
} old_names[] = {
    {"services", "services/specs"},
    {"endpoints", "services/endpoints"},
    {"nodes", "minions"},
    {"replicationcontrollers", "controllers"},
    {"ingresses.networking.k8s.io", "ingress"},
    {"ingresses.extensions", "ingress"},
    {"podsecuritypolicies.policy", "podsecuritypolicy"},
};

static bool is_builtin(const char *group)
{
    for (size_t i = 0; i < array_len(builtin_groups); i++)
        if (strcmp(builtin_groups[i], group) == 0)
            return true;
    return false;
}

void resource_prefix(const char *root, const char *resource, char *out, size_t size)
{
    for (size_t i = 0; i < array_len(old_names); i++)
        if (strcmp(old_names[i].resource, resource) == 0) {
            snprintf(out, size, "%s/%s/", root, old_names[i].folder);
            return;
        }
    const char *dot = strchr(resource, '.');
    const char *group = dot ? dot + 1 : "";
    int plural = dot ? (int)(dot - resource) : (int)strlen(resource);
    if (is_builtin(group))
        snprintf(out, size, "%s/%.*s/", root, plural, resource);
    else
        snprintf(out, size, "%s/%s/%.*s/", root, group, plural, resource);
}
