#include "manifest.h"

#include <stdarg.h>

#include <base/text.h>
#include <yaml/yaml.h>

static int refuse(const struct manifest *m, struct error *err, const char *format, ...) _printf_(3, 4);
static int refuse(const struct manifest *m, struct error *err, const char *format, ...)
{
    char why[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(why, sizeof(why), format, ap);
    va_end(ap);
    return error_set(err, ERR_UNSUPPORTED, "%s: %s", m->what, why);
}

const struct json *manifest_container(const struct manifest *m)
{
    const struct json *c = json_first(json_get(json_get(m->doc, "spec"), "containers"));
    for (size_t i = 0; c && i < m->container; i++)
        c = json_next(c);
    return c;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* --- reading --- */

static bool is_program(const char *word)
{
    return word && strcmp(base_name(word), MANIFEST_PROGRAM) == 0;
}

static bool is_candidate(const struct json *container)
{
    const char *name = json_string(json_get(container, "name"), "");
    const char *first = json_string(json_first(json_get(container, "command")), NULL);
    return is_program(first) || strcmp(name, MANIFEST_PROGRAM) == 0;
}

static int find_container(struct manifest *m, struct error *err)
{
    const struct json *containers = json_get(json_get(m->doc, "spec"), "containers");
    size_t found = 0, i = 0;
    for (const struct json *c = json_first(containers); c; c = json_next(c), i++)
        if (is_candidate(c)) {
            m->container = i;
            found++;
        }
    if (found == 0)
        return refuse(m, err, "no container runs " MANIFEST_PROGRAM);
    return found > 1 ? refuse(m, err, "several containers run " MANIFEST_PROGRAM) : 0;
}

static int check_words(const struct manifest *m, const char *list, struct error *err)
{
    const struct json *words = json_get(manifest_container(m), list);
    if (words && json_type(words) != JSON_ARRAY && json_type(words) != JSON_NULL)
        return refuse(m, err, "the API server's %s is not a list", list);
    for (const struct json *w = json_first(words); w; w = json_next(w))
        if (json_type(w) != JSON_STRING)
            return refuse(m, err, "the API server's %s holds something that is no string", list);
    return 0;
}

static int check_container(const struct manifest *m, struct error *err)
{
    const struct json *c = manifest_container(m);
    const char *first = json_string(json_first(json_get(c, "command")), NULL);
    int rc = check_words(m, "command", err);
    if (rc == 0)
        rc = check_words(m, "args", err);
    if (rc < 0)
        return rc;
    if (first && !is_program(first))
        return refuse(m, err,
                      "the container " MANIFEST_PROGRAM
                      " starts it through '%.80s': only a command that begins with " MANIFEST_PROGRAM
                      " is understood",
                      first);
    if (!first && !json_first(json_get(c, "args")))
        return refuse(m, err, "the container " MANIFEST_PROGRAM " has neither command nor args");
    return 0;
}

static int check_pod(const struct manifest *m, struct error *err)
{
    const struct json *metadata = json_get(m->doc, "metadata");
    if (strcmp(json_string(json_get(m->doc, "kind"), ""), "Pod") != 0 ||
        strcmp(json_string(json_get(m->doc, "apiVersion"), ""), "v1") != 0)
        return refuse(m, err, "not a Pod of apiVersion v1");
    if (json_type(metadata) != JSON_OBJECT || json_type(json_get(m->doc, "spec")) != JSON_OBJECT)
        return refuse(m, err, "a Pod without metadata, or without spec");
    if (json_type(json_get(metadata, "uid")) != JSON_NULL)
        return refuse(
            m, err,
            "metadata.uid is set: kubelet would not restart the pod for a changed annotation; remove it");
    return 0;
}

int manifest_parse(const char *text, size_t len, const char *what, struct manifest **ret, struct error *err)
{
    if (len > MANIFEST_MAX)
        return error_set(err, ERR_TOO_LARGE, "%s: %zu bytes, at most %d are read", what, len, MANIFEST_MAX);
    _cleanup_(manifest_freep) struct manifest *m = calloc(1, sizeof(*m));
    if (!m)
        return error_no_memory(err);
    m->what = what;
    m->text = text;
    m->len = len;
    int rc = yaml_parse(text, len, what, &m->doc, err);
    if (rc == 0)
        rc = yaml_places_new(text, len, what, &m->places, err);
    if (rc == 0)
        rc = check_pod(m, err);
    if (rc == 0)
        rc = find_container(m, err);
    if (rc == 0)
        rc = check_container(m, err);
    if (rc == 0)
        *ret = take(m);
    return rc;
}

void manifest_free(struct manifest *m)
{
    if (!m)
        return;
    json_free(m->doc);
    yaml_places_free(m->places);
    free(m);
}

/* --- the argument list --- */

static const char *const word_lists[] = {"command", "args"};

int manifest_arguments(const struct manifest *m, struct buf *out, struct error *err)
{
    const struct json *c = manifest_container(m);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < array_len(word_lists); i++)
        for (const struct json *w = json_first(json_get(c, word_lists[i])); rc == 0 && w; w = json_next(w)) {
            const char *word = json_string(w, "");
            rc = buf_add(out, word, strlen(word) + 1, err);
        }
    return rc;
}

int manifest_flag(const struct manifest *m, const char **ret, struct error *err)
{
    const size_t flag_len = sizeof(MANIFEST_FLAG) - 1;
    const struct json *c = manifest_container(m);
    bool next_is_path = false;
    *ret = NULL;
    for (size_t i = 0; i < array_len(word_lists); i++)
        for (const struct json *w = json_first(json_get(c, word_lists[i])); w; w = json_next(w)) {
            const char *word = json_string(w, "");
            bool with_path = strncmp(word, MANIFEST_FLAG "=", flag_len + 1) == 0;
            if ((next_is_path || with_path) && *ret)
                return refuse(m, err, MANIFEST_FLAG " stands there twice");
            if (next_is_path || with_path)
                *ret = next_is_path ? word : word + flag_len + 1;
            next_is_path = !next_is_path && strcmp(word, MANIFEST_FLAG) == 0;
        }
    return next_is_path ? refuse(m, err, MANIFEST_FLAG " has no value") : 0;
}

bool manifest_encrypts(const struct manifest *m)
{
    const char *path = NULL;
    return manifest_flag(m, &path, NULL) < 0 || path;
}

/* --- mounts --- */

/* Length of a folder's path without the slashes at its end; "/" has none. */
static size_t folder_len(const char *path)
{
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] == '/')
        n--;
    return n;
}

static bool covers(const char *folder, const char *path)
{
    size_t n = folder_len(folder);
    return folder[0] == '/' && strncmp(folder, path, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static const struct json *mount_of(const struct manifest *m, const char *path)
{
    const struct json *best = NULL;
    size_t best_len = 0;
    const struct json *mounts = json_get(manifest_container(m), "volumeMounts");
    for (const struct json *v = json_first(mounts); v; v = json_next(v)) {
        const char *at = json_string(json_get(v, "mountPath"), "");
        if (covers(at, path) && (!best || folder_len(at) > best_len)) {
            best = v;
            best_len = folder_len(at);
        }
    }
    return best;
}

static const struct json *volume_named(const struct manifest *m, const char *name)
{
    const struct json *v = json_first(json_get(json_get(m->doc, "spec"), "volumes"));
    while (v && strcmp(json_string(json_get(v, "name"), ""), name) != 0)
        v = json_next(v);
    return v;
}

int manifest_host_path(const struct manifest *m, const char *path, char out[PATH_MAX], struct error *err)
{
    const struct json *mount = mount_of(m, path);
    if (!mount)
        return error_set(err, ERR_NOT_FOUND, "%s: no mount covers %s", m->what, path);
    const char *at = json_string(json_get(mount, "mountPath"), "");
    const char *name = json_string(json_get(mount, "name"), "");
    const char *sub = json_string(json_get(mount, "subPath"), "");
    const struct json *host = json_get(volume_named(m, name), "hostPath");
    const char *source = json_string(json_get(host, "path"), NULL);
    if (!source || source[0] != '/' || json_get(mount, "subPathExpr"))
        return refuse(m, err, "%.200s is mounted from the volume '%.80s', which is no folder of this machine",
                      path, name);
    const char *rest = path + folder_len(at);
    int n =
        snprintf(out, PATH_MAX, "%.*s%s%s%s", (int)folder_len(source), source, *sub ? "/" : "", sub, rest);
    return n >= PATH_MAX ? refuse(m, err, "%.200s: a path that is too long", path) : 0;
}
