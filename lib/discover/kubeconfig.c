#include "internal.h"

#include <base/text.h>
#include <crypto/crypto.h>

/* The element of that name in one of kubeconfig's lists, or the first where `name` is "". */
static const struct json *pick(const struct json *root, const char *list, const char *name,
                               const char *member)
{
    const struct json *array = json_get(root, list);
    for (const struct json *e = json_first(array); e; e = json_next(e))
        if (!*name || strcmp(json_string(json_get(e, "name"), ""), name) == 0)
            return json_get(e, member);
    return NULL;
}

/* A text that is to become a file of its own. */
static bool make_file(struct finder *d, const char *name, struct secret *text, char out[DISCOVER_PATH_MAX])
{
    struct discover_facts *f = d->f;
    if (f->files_count == DISCOVER_FILES_MAX ||
        snprintf(out, DISCOVER_PATH_MAX, "%s/%s", d->o->folder, name) >= DISCOVER_PATH_MAX) {
        secret_free(text);
        out[0] = 0;
        return false;
    }
    struct discover_file *file = &f->files[f->files_count++];
    (void)text_copy(file->path, sizeof(file->path), out);
    file->text = text;
    return true;
}

/* "client-key: PATH" or "client-key-data: BASE64". */
static bool use_part(struct finder *d, const struct json *from, const char *member, const char *name,
                     char out[DISCOVER_PATH_MAX])
{
    char data[64];
    struct secret *text = NULL;
    struct error err = ERROR_INIT;
    snprintf(data, sizeof(data), "%s-data", member);
    const char *path = json_string(json_get(from, member), ""),
               *inside = json_string(json_get(from, data), "");
    if (!*inside)
        return keep_path(out, path);
    if (crypto_base64_decode(inside, strlen(inside), &text, &err) < 0) {
        note(d->f, "kubeconfig: %s: %s", data, err.text);
        return false;
    }
    return make_file(d, name, text, out);
}

static bool use_token(struct finder *d, const struct json *user)
{
    const char *token = json_string(json_get(user, "token"), "");
    if (!*token)
        return keep_path(d->f->kube_token, json_string(json_get(user, "tokenFile"), ""));
    struct secret *text = secret_copy(token, strlen(token));
    return text && make_file(d, "kubernetes-token", text, d->f->kube_token);
}

bool use_kubeconfig(struct finder *d, const char *path)
{
    struct discover_facts *f = d->f;
    _cleanup_(json_freep) struct json *root = found_yaml(d, path);
    if (!root)
        return false;
    const struct json *context =
        pick(root, "contexts", json_string(json_get(root, "current-context"), ""), "context");
    const struct json *user = pick(root, "users", json_string(json_get(context, "user"), ""), "user");
    const struct json *cluster =
        pick(root, "clusters", json_string(json_get(context, "cluster"), ""), "cluster");
    if (!*f->kube_ca)
        (void)!use_part(d, cluster, "certificate-authority", "kubernetes-ca.crt", f->kube_ca);
    size_t files = f->files_count;
    bool cert = use_part(d, user, "client-certificate", "kubernetes-client.crt", f->kube_cert) &&
                use_part(d, user, "client-key", "kubernetes-client.key", f->kube_key);
    while (!cert && f->files_count > files) /* a certificate without its key */
        secret_free(f->files[--f->files_count].text);
    if (!cert)
        f->kube_cert[0] = f->kube_key[0] = 0;
    if (!cert && !use_token(d, user))
        return false;
    note(f, "the login for the API servers is that of %s", path);
    return true;
}
