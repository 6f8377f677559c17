#include <inttypes.h>

#include <base/cleanup.h>
#include <cluster/codec.h>

#define ROOT "/secrets-encrypt/"

/* A key is <group><name><leaf>; a group without `named` has no name part. */
static const struct {
    const char *group;
    const char *leaf;
    bool named;
} shapes[] = {
    [CLUSTER_KEY_ALL] = {"", "", false},
    [CLUSTER_KEY_SPEC] = {"spec", "", false},
    [CLUSTER_KEY_STAGE] = {"servers/", "/stage", true},
    [CLUSTER_KEY_HASH] = {"servers/", "/hash", true},
    [CLUSTER_KEY_REPORT] = {"servers/", "/report", true},
    [CLUSTER_KEY_ORDER] = {"orders/", "", true},
    [CLUSTER_KEY_ROTATION] = {"rotation", "", false},
    [CLUSTER_KEY_BUNDLE] = {"bundles/", "", true},
    [CLUSTER_KEY_REENCRYPT] = {"reencrypt", "", false},
    [CLUSTER_KEY_PROOFS] = {"proofs", "", false},
    [CLUSTER_KEY_KEYS] = {"keys", "", false},
    [CLUSTER_KEY_APIS] = {"apis", "", false},
    [CLUSTER_KEY_ESCROW] = {"escrow/", "", true},
    [CLUSTER_KEY_REQUEST] = {"requests/", "", true},
    [CLUSTER_KEY_LEADER] = {"leader/holder", "", false},
    [CLUSTER_KEY_CANDIDATE] = {"leader/candidates/", "", true},
    [CLUSTER_KEY_CHECKS] = {"servers/", "/checks", true},
    [CLUSTER_KEY_LOCK] = {"lock", "", false},
    [CLUSTER_KEY_SCHEDULE] = {"schedule", "", false},
    [CLUSTER_KEY_DRIFT] = {"drift", "", false},
    [CLUSTER_KEY_AUDIT] = {CLUSTER_KEY_LIVE_END "audit/", "", true},
};

void cluster_key_path(char out[CLUSTER_KEY_PATH_MAX], const char *cluster, enum cluster_key key,
                      const char *name)
{
    bool named = shapes[key].named && name && *name;
    snprintf(out, CLUSTER_KEY_PATH_MAX, ROOT "%s/%s%s%s", cluster, shapes[key].group, named ? name : "",
             named ? shapes[key].leaf : "");
}

void cluster_bundle_path(char out[CLUSTER_KEY_PATH_MAX], const char *cluster, int64_t generation)
{
    char name[24];
    snprintf(name, sizeof(name), "%020" PRId64, generation);
    cluster_key_path(out, cluster, CLUSTER_KEY_BUNDLE, name);
}

/* The name part of `rest` under shape `i` into name_out; false when it has another shape. */
static bool match(size_t i, const char *rest, char *name_out, size_t size)
{
    size_t group = strlen(shapes[i].group), leaf = strlen(shapes[i].leaf), len = strlen(rest);
    if (!shapes[i].named) {
        name_out[0] = 0;
        return group > 0 && strcmp(rest, shapes[i].group) == 0;
    }
    if (len <= group + leaf || len - group - leaf >= size || strncmp(rest, shapes[i].group, group) != 0 ||
        strcmp(rest + len - leaf, shapes[i].leaf) != 0)
        return false;
    memcpy(name_out, rest + group, len - group - leaf);
    name_out[len - group - leaf] = 0;
    return !strchr(name_out, '/');
}

int cluster_key_parse(const char *path, const char *cluster, const char **ret_name)
{
    static _Thread_local char name[CLUSTER_KEY_PATH_MAX];
    size_t root = strlen(ROOT), len = strlen(cluster);
    if (strncmp(path, ROOT, root) != 0 || strncmp(path + root, cluster, len) != 0 || path[root + len] != '/')
        return -1;
    for (size_t i = 0; i < array_len(shapes); i++)
        if (match(i, path + root + len + 1, name, sizeof(name))) {
            if (ret_name)
                *ret_name = name;
            return (int)i;
        }
    return -1;
}
