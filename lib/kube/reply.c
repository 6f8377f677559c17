#include "reply.h"

#include <stdarg.h>
#include <string.h>

#include <base/text.h>
#include <json/json.h>

#include "url.h"

/* --- pages --- */

void kube_page_free(struct kube_page *p)
{
    if (!p)
        return;
    free(p->objects);
    free(p->next);
    *p = (struct kube_page){0};
}

static void page_freep(struct kube_page *p)
{
    kube_page_free(p);
}

static int parse_object(const char *what, size_t number, const struct json *item, bool namespaced,
                        struct kube_object *ret, struct error *err)
{
    const struct json *meta = json_get(item, "metadata");
    const char *name = json_string(json_get(meta, "name"), "");
    const char *namespace = json_string(json_get(meta, "namespace"), "");

    if (!kube_is_segment(name))
        return error_set(err, ERR_INVALID, "%s: item %zu of the list has no name that an object can have",
                         what, number);
    if (namespaced ? !kube_is_segment(namespace) : namespace[0] != '\0')
        return error_set(err, ERR_INVALID, "%s: item %zu of the list (\"%s\") must %sbe in a namespace", what,
                         number, name, namespaced ? "" : "not ");
    text_copy(ret->name, sizeof(ret->name), name);
    text_copy(ret->namespace, sizeof(ret->namespace), namespace);
    return 0;
}

static int parse_items(const char *what, const struct json *items, bool namespaced, struct kube_page *page,
                       struct error *err)
{
    size_t count = json_count(items);

    if (count > KUBE_PAGE_MAX)
        return error_set(err, ERR_INVALID, "%s: a page of %zu items; %d is the limit", what, count,
                         KUBE_PAGE_MAX);
    if (count == 0)
        return 0;
    page->objects = calloc(count, sizeof(*page->objects));
    if (!page->objects)
        return error_no_memory(err);
    for (const struct json *item = json_first(items); item; item = json_next(item)) {
        int rc = parse_object(what, page->count + 1, item, namespaced, &page->objects[page->count], err);

        if (rc < 0)
            return rc;
        page->count++;
    }
    return 0;
}

/* A token as it stands, or NULL where there is none. */
static int copy_continue(const char *what, const struct json *meta, char **ret, struct error *err)
{
    const char *next = json_string(json_get(meta, "continue"), "");

    if (!*next)
        return 0;
    if (strlen(next) > KUBE_CONTINUE_MAX)
        return error_set(err, ERR_INVALID, "%s: a continue token longer than %d bytes", what,
                         KUBE_CONTINUE_MAX);
    *ret = strdup(next);
    return *ret ? 0 : error_no_memory(err);
}

int kube_parse_page(const char *what, const char *text, size_t len, bool namespaced, struct kube_page *ret,
                    struct error *err)
{
    _cleanup_(json_freep) struct json *root = NULL;
    _cleanup_(page_freep) struct kube_page page = {0};
    const struct json *items, *meta;
    int rc = json_parse(text, len, what, &root, err);

    if (rc < 0)
        return rc;
    items = json_get(root, "items");
    meta = json_get(root, "metadata");
    if (strcmp(json_string(json_get(root, "kind"), ""), "PartialObjectMetadataList") != 0)
        return error_set(err, ERR_INVALID, "%s: the reply is no list of names (PartialObjectMetadataList)",
                         what);
    if (items && json_type(items) != JSON_ARRAY && json_type(items) != JSON_NULL)
        return error_set(err, ERR_INVALID, "%s: the list's items are no array", what);
    rc = parse_items(what, items, namespaced, &page, err);
    if (rc == 0)
        rc = copy_continue(what, meta, &page.next, err);
    if (rc < 0)
        return rc;
    page.remaining = json_int(json_get(meta, "remainingItemCount"), 0);
    if (page.remaining < 0)
        page.remaining = 0;
    *ret = page;
    page = (struct kube_page){0};
    return 0;
}

/* --- Status --- */

static void line_add(char *out, size_t size, const char *format, ...) _printf_(3, 4);
static void line_add(char *out, size_t size, const char *format, ...)
{
    size_t len = strlen(out);
    va_list args;

    va_start(args, format);
    vsnprintf(out + len, size - len, format, args);
    va_end(args);
}

/* One line of text that a terminal can show: no control characters, no half characters at the cut. */
static void line_clean(char *text)
{
    size_t len = strlen(text);

    for (char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
    }
    while (len > 0 && !text_is_utf8(text, len))
        text[--len] = '\0';
}

static void parse_causes(const struct json *causes, char *out, size_t size)
{
    for (const struct json *c = json_first(causes); c; c = json_next(c)) {
        const char *field = json_string(json_get(c, "field"), "");
        const char *reason = json_string(json_get(c, "reason"), "");

        if (*field || *reason)
            line_add(out, size, "%s%.120s%s%.60s", *out ? ", " : "", field, *field ? " " : "", reason);
    }
    line_clean(out);
}

bool kube_parse_status(const char *text, size_t len, struct kube_status *ret)
{
    _cleanup_(json_freep) struct json *root = NULL;

    *ret = (struct kube_status){0};
    if (len == 0 || text[0] != '{' || json_parse(text, len, "status", &root, NULL) < 0)
        return false;
    if (strcmp(json_string(json_get(root, "kind"), ""), "Status") != 0)
        return false;
    text_copy(ret->reason, sizeof(ret->reason), json_string(json_get(root, "reason"), ""));
    text_copy(ret->message, sizeof(ret->message), json_string(json_get(root, "message"), ""));
    parse_causes(json_get(json_get(root, "details"), "causes"), ret->fields, sizeof(ret->fields));
    ret->named = *json_string(json_get(json_get(root, "details"), "name"), "") != '\0';
    if (copy_continue("status", json_get(root, "metadata"), &ret->next, NULL) < 0)
        ret->next = NULL;
    line_clean(ret->reason);
    line_clean(ret->message);
    return true;
}

void kube_status_clear(struct kube_status *s)
{
    free(s->next);
    *s = (struct kube_status){0};
}

static const char *http_word(long http)
{
    static const struct {
        long http;
        const char *word;
    } words[] = {
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {409, "Conflict"},
        {410, "Gone"},
        {422, "Invalid"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };

    for (size_t i = 0; i < array_len(words); i++) {
        if (words[i].http == http)
            return words[i].word;
    }
    return "unexpected status";
}

void kube_status_line(long http, const char *text, size_t len, char *out, size_t size)
{
    struct kube_status s;
    bool is_status = kube_parse_status(text, len, &s);
    const char *detail = http == 422 ? s.fields : s.message;

    out[0] = '\0';
    line_add(out, size, "%ld %s", http, s.reason[0] ? s.reason : http_word(http));
    if (is_status && detail[0])
        line_add(out, size, ": %.400s", detail);
    line_clean(out);
    kube_status_clear(&s);
}

void kube_failed_checks(const char *text, char *out, size_t size)
{
    out[0] = '\0';
    for (const char *line = text; line && *line;) {
        const char *end = strchr(line, '\n');
        size_t len = end ? (size_t)(end - line) : strlen(line);

        if (len > 3 && strncmp(line, "[-]", 3) == 0) {
            size_t name = strcspn(line + 3, " \r\n");

            line_add(out, size, "%s%.*s", *out ? ", " : "", (int)(name > 100 ? 100 : name), line + 3);
        }
        line = end ? end + 1 : NULL;
    }
    line_clean(out);
}

/* --- discovery --- */

static void add_version(char ret[][KUBE_NAME_MAX], size_t *count, const struct json *version)
{
    const char *text = json_string(json_get(version, "groupVersion"), "");

    if (!*text || *count == KUBE_VERSIONS_MAX)
        return;
    for (size_t i = 0; i < *count; i++) {
        if (strcmp(ret[i], text) == 0)
            return;
    }
    if (text_copy(ret[*count], KUBE_NAME_MAX, text))
        (*count)++;
}

int kube_parse_group(const char *what, const char *text, size_t len, char ret[][KUBE_NAME_MAX],
                     size_t *ret_count, struct error *err)
{
    _cleanup_(json_freep) struct json *root = NULL;
    const struct json *versions;
    size_t count = 0;
    int rc = json_parse(text, len, what, &root, err);

    if (rc < 0)
        return rc;
    add_version(ret, &count, json_get(root, "preferredVersion"));
    versions = json_get(root, "versions");
    for (const struct json *v = json_first(versions); v; v = json_next(v))
        add_version(ret, &count, v);
    if (count == 0)
        return error_set(err, ERR_INVALID, "%s: the reply names no version of the API group", what);
    *ret_count = count;
    return 0;
}

int kube_parse_resources(const char *what, const char *text, size_t len, const char *plural,
                         bool *ret_namespaced, struct error *err)
{
    _cleanup_(json_freep) struct json *root = NULL;
    const struct json *resources;
    int rc = json_parse(text, len, what, &root, err);

    if (rc < 0)
        return rc;
    resources = json_get(root, "resources");
    if (!resources || json_type(resources) != JSON_ARRAY)
        return error_set(err, ERR_INVALID, "%s: the reply is no list of resources (APIResourceList)", what);
    for (const struct json *r = json_first(resources); r; r = json_next(r)) {
        if (strcmp(json_string(json_get(r, "name"), ""), plural) != 0)
            continue;
        return json_need_bool(r, "namespaced", ret_namespaced, err);
    }
    return error_set(err, ERR_NOT_FOUND, "%s: there is no resource \"%s\" there", what, plural);
}

int64_t kube_retry_after_ms(int64_t seconds, int64_t fallback_ms)
{
    if (seconds <= 0)
        return fallback_ms;
    return seconds > KUBE_RETRY_AFTER_MAX_MS / 1000 ? KUBE_RETRY_AFTER_MAX_MS : seconds * 1000;
}
