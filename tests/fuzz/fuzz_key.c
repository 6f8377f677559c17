/* Any bytes as a key of the state store, as the rest of an object's key in the datastore, and as an etcd
 * endpoint: none of ours, or one whose parts make the same key again. */
#include "fuzz.h"

#include <string.h>

#include <cluster/codec.h>

#include "../../lib/etcd/internal.h"
#include "reencrypt/names.h"

static void as_key(const char *text)
{
    static char path[CLUSTER_KEY_PATH_MAX], name[CLUSTER_KEY_PATH_MAX];
    const char *found = NULL;
    int key = cluster_key_parse(text, "demo", &found);
    MUST(key == -1 || (key >= CLUSTER_KEY_ALL && key <= CLUSTER_KEY_AUDIT && found));
    if (key < 0 || strlen(text) >= sizeof(path))
        return;
    MUST(strncmp(text, "/secrets-encrypt/demo/", 22) == 0 && !strchr(found, '/'));
    snprintf(name, sizeof(name), "%s", found);
    cluster_key_path(path, "demo", (enum cluster_key)key, name);
    MUST(strcmp(path, text) == 0);
}

static void as_name(const char *text, bool namespaced)
{
    struct kube_object o;
    struct error err = ERROR_INIT;
    char again[sizeof(o.namespace) + sizeof(o.name) + 2];
    int rc = names_parse(text, namespaced, &o, &err);
    if (rc < 0) {
        MUST(rc == ERR_INVALID && err.code == rc && !strchr(err.text, '\n'));
        return;
    }
    MUST((*o.namespace != 0) == namespaced && *o.name && !strchr(o.name, '/') && !strchr(o.namespace, '/'));
    snprintf(again, sizeof(again), "%s%s%s", o.namespace, namespaced ? "/" : "", o.name);
    MUST(strcmp(again, text) == 0);
}

static void as_endpoint(const char *text)
{
    struct endpoint e, same;
    struct error err = ERROR_INIT;
    char again[sizeof(e.address) + 16];
    int rc = endpoint_parse(text, &e, &err);
    if (rc < 0) {
        MUST(err.code == rc && !strchr(err.text, '\n'));
        return;
    }
    static const char *const prefixes[] = {
        [SCHEME_NONE] = "", [SCHEME_PLAIN] = "http://", [SCHEME_TLS] = "https://"};
    snprintf(again, sizeof(again), "%s%s", prefixes[e.scheme], e.address);
    MUST(*e.address && strncmp(text, again, strlen(again)) == 0 && strlen(text) - strlen(again) <= 1);
    MUST(endpoint_parse(again, &same, &err) == 0 && same.scheme == e.scheme &&
         strcmp(same.address, e.address) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = calloc(size + 1, 1);
    MUST(text);
    if (size > 0)
        memcpy(text, data, size);
    as_key(text);
    as_name(text, false);
    as_name(text, true);
    as_endpoint(text);
    free(text);
    return 0;
}
