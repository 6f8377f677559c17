#include "event.h"

#include <string.h>

#include <base/text.h>
#include <json/json.h>

static const struct {
    const char *name;
    enum kube_event_type type;
} types[] = {
    {"ADDED", KUBE_EVENT_OBJECT},      {"MODIFIED", KUBE_EVENT_OBJECT}, {"DELETED", KUBE_EVENT_DELETED},
    {"BOOKMARK", KUBE_EVENT_BOOKMARK}, {"ERROR", KUBE_EVENT_ERROR},
};

static int read_type(const char *what, const struct json *root, enum kube_event_type *ret, struct error *err)
{
    const char *name = json_string(json_get(root, "type"), "");

    for (size_t i = 0; i < array_len(types); i++) {
        if (strcmp(types[i].name, name) != 0)
            continue;
        *ret = types[i].type;
        return 0;
    }
    return error_set(err, ERR_INVALID, "%s: an event of the unknown type '%.20s'", what, name);
}

static void read_error(const struct json *object, struct kube_event *e)
{
    e->status = (long)json_int(json_get(object, "code"), 500);
    text_copy(e->why, sizeof(e->why), json_string(json_get(object, "message"), "no reason given"));
}

static int read_object(const char *what, const struct json *object, const char *annotation,
                       struct kube_event *e, struct error *err)
{
    const struct json *meta = json_get(object, "metadata");
    const char *number =
        annotation ? json_string(json_get(json_get(meta, "annotations"), annotation), "0") : "0";
    int rc = json_need_string(meta, "resourceVersion", e->version, sizeof(e->version), err);

    if (rc < 0)
        return error_prefix(err, rc, "%s", what);
    if (!e->version[0]) /* a watch from there on would be one from any time */
        return error_set(err, ERR_INVALID, "%s: member \"resourceVersion\" is empty", what);
    if (text_int(number, 0, INT64_MAX, &e->number, NULL) < 0)
        e->number = 0;
    return 0;
}

int kube_parse_event(const char *what, const char *text, size_t len, const char *annotation,
                     struct kube_event *ret, struct error *err)
{
    _cleanup_(json_freep) struct json *root = NULL;
    struct kube_event e = {0};
    int rc = json_parse(text, len, what, &root, err);

    if (rc == 0)
        rc = read_type(what, root, &e.type, err);
    if (rc < 0)
        return rc;
    if (e.type == KUBE_EVENT_ERROR)
        read_error(json_get(root, "object"), &e);
    else
        rc = read_object(what, json_get(root, "object"), annotation, &e, err);
    if (rc == 0)
        *ret = e;
    return rc;
}

bool kube_cut_lines(struct sink *partial, const char *data, size_t len,
                    bool (*line)(void *arg, const char *text, size_t len), void *arg)
{
    while (len > 0) {
        const char *end = memchr(data, '\n', len);
        size_t piece = end ? (size_t)(end - data) : len;
        bool on = true;

        if (piece > 0 && sink_write((char *)data, 1, piece, partial) != piece)
            return false;
        if (!end)
            return true;
        if (partial->len > 0)
            on = line(arg, sink_text(partial), partial->len);
        sink_reset(partial);
        if (!on)
            return false;
        data = end + 1;
        len -= piece + 1;
    }
    return true;
}
