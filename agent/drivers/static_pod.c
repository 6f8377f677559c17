/* kubeadm's way: kubelet starts the API server from a manifest, and starts it anew when that changes. */
#include "static_pod.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include <base/file.h>
#include <base/text.h>
#include <json/json.h>

/* For what the manager of the restart needs besides: reading, writing, ending a command that is late. */
#define GRACE_S 15

int static_pod_read(const struct config *c, struct buf *out, struct manifest **ret, struct error *err)
{
    int rc = file_read(c->manifest, MANIFEST_MAX, out, err);
    if (rc < 0)
        return error_prefix(err, rc, "static_pod.manifest");
    return manifest_parse(buf_str(out), out->len, c->manifest, ret, err);
}

/* --- folders --- */

/* The folder that a path is in, without the slash at its end; "" for the root folder. */
static bool parent_of(const char *path, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : PATH_MAX;
    if (len >= PATH_MAX)
        return false;
    memcpy(out, path, len);
    out[len] = 0;
    return true;
}

static bool same_device(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev;
}

static bool same_folder(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int static_pod_temp_folder(const struct config *c, char out[PATH_MAX], struct error *err)
{
    char folder[PATH_MAX], above[PATH_MAX];
    if (!parent_of(c->manifest, folder) || !folder[0] || !parent_of(folder, above))
        return error_set(err, ERR_INVALID, "%s: static_pod.manifest: not the path of a file in a folder",
                         c->path);
    const char *const folders[] = {above[0] ? above : "/", c->state_dir};
    for (size_t i = 0; i < array_len(folders); i++)
        if (same_device(folders[i], folder) && !same_folder(folders[i], folder)) {
            (void)text_copy(out, PATH_MAX, folders[i]);
            return 0;
        }
    return error_set(
        err, ERR_UNSUPPORTED,
        "%s: neither the folder above it nor state_dir is on its file system, so that it cannot be replaced "
        "in one step: put state_dir there",
        c->manifest);
}

/* --- check --- */

/* kubelet would take whatever lies in its folder for a manifest; a link would be replaced, or not be followed
 * in the container. */
static int check_paths(const struct config *c, struct error *err)
{
    char manifests[PATH_MAX], ours[PATH_MAX];
    struct stat st;
    if (c->pid_file[0])
        return error_set(err, ERR_INVALID,
                         "%s: pid_file: kubelet writes none; leave it out with driver static-pod", c->path);
    if (lstat(c->manifest, &st) == 0 && !S_ISREG(st.st_mode))
        return error_set(err, ERR_UNSUPPORTED,
                         "static_pod.manifest: %s is not a regular file: name the file itself", c->manifest);
    if (lstat(c->encryption_config, &st) == 0 && !S_ISREG(st.st_mode))
        return error_set(err, ERR_UNSUPPORTED,
                         "encryption_config: %s is not a regular file: name the file itself",
                         c->encryption_config);
    if (!parent_of(c->manifest, manifests) || !parent_of(c->encryption_config, ours) ||
        same_folder(manifests, ours) || same_folder(manifests, c->state_dir))
        return error_set(
            err, ERR_INVALID,
            "%s: encryption_config and state_dir must not be in the folder of the manifests: kubelet reads "
            "every file there",
            c->path);
    return static_pod_temp_folder(c, manifests, err);
}

/* The change is tried on a copy, so that a manifest that cannot be changed is known before a rotation. */
static int check(const struct config *c, struct error *err)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(MANIFEST_MAX), changed = BUF_INIT(MANIFEST_MAX);
    _cleanup_(manifest_freep) struct manifest *m = NULL;
    bool added = false;
    int rc = check_paths(c, err);
    if (rc == 0)
        rc = static_pod_read(c, &text, &m, err);
    return rc < 0 ? rc
                  : manifest_edit(m, c->encryption_config, "1970-01-01T00:00:00Z", &changed, &added, err);
}

/* --- restart --- */

static int restart(const struct config *c, struct driver_command *ret, struct error *err)
{
    (void)err;
    const char *const argv[] = {DRIVER_SELF, "--config", c->path, "pod-restart", NULL};
    memcpy(ret->argv, argv, sizeof(argv));
    ret->timeout_s = c->service_timeout_s + GRACE_S;
    return 0;
}

static int arguments(const struct config *c, struct buf *out, struct error *err)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(MANIFEST_MAX);
    _cleanup_(manifest_freep) struct manifest *m = NULL;
    int rc = static_pod_read(c, &text, &m, err);
    if (rc < 0)
        return rc;
    if (manifest_encrypts(m))
        return error_set(err, ERR_NOT_FOUND, "%s: the API server has an encryption config", c->manifest);
    return manifest_arguments(m, out, err);
}

/* --- encryption that was never on --- */

static int plain_provider(struct json *entry, struct error *err)
{
    struct json *identity = json_new_object(), *providers = json_new_array();
    int rc = identity ? json_set(identity, "identity", json_new_object(), err) : error_no_memory(err);
    if (rc == 0)
        rc = json_append(providers, take(identity), err);
    json_free(identity);
    if (rc < 0) {
        json_free(providers);
        return rc;
    }
    return json_set(entry, "providers", providers, err);
}

static int plain_entry(const struct config *c, struct json *entry, struct error *err)
{
    struct json *names = json_new_array();
    int rc = names ? 0 : error_no_memory(err);
    for (size_t i = 0; rc == 0 && i < c->resources_count; i++)
        rc = json_append(names, json_new_string(c->resources[i]), err);
    if (rc < 0) {
        json_free(names);
        return rc;
    }
    rc = json_set(entry, "resources", names, err);
    return rc < 0 ? rc : plain_provider(entry, err);
}

/* An EncryptionConfiguration that encrypts nothing: the same bytes on every server. */
static int plain_config(const struct config *c, struct buf *out, struct error *err)
{
    _cleanup_(json_freep) struct json *doc = json_new_object(), *entry = json_new_object(),
                                      *list = json_new_array();
    if (!doc || !entry || !list)
        return error_no_memory(err);
    int rc = plain_entry(c, entry, err);
    if (rc == 0)
        rc = json_append(list, take(entry), err);
    if (rc == 0)
        rc = json_set_string(doc, "kind", "EncryptionConfiguration", err);
    if (rc == 0)
        rc = json_set_string(doc, "apiVersion", "apiserver.config.k8s.io/v1", err);
    if (rc == 0)
        rc = json_set(doc, "resources", take(list), err);
    return rc < 0 ? rc : json_print(doc, out, err);
}

static int prepare(const struct config *c, struct error *err)
{
    _cleanup_(buf_freep) struct buf args = BUF_INIT(MANIFEST_MAX), text = BUF_INIT(MANIFEST_MAX);
    char folder[PATH_MAX];
    struct stat st;
    if (arguments(c, &args, NULL) < 0 || lstat(c->encryption_config, &st) == 0)
        return 0;
    if (errno != ENOENT)
        return error_errno(err, errno, "%s", c->encryption_config);
    int rc = parent_of(c->encryption_config, folder)
                 ? dir_make(folder, 0700, err)
                 : error_set(err, ERR_INVALID, "encryption_config: %.200s: not a path", c->encryption_config);
    if (rc == 0)
        rc = plain_config(c, &text, err);
    return rc < 0 ? rc : file_write_atomic(c->encryption_config, text.data, text.len, 0600, err);
}

const struct driver driver_static_pod = {
    .name = "static-pod", .check = check, .restart = restart, .prepare = prepare, .arguments = arguments};
