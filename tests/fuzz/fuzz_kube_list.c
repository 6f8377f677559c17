/* Any bytes as what an API server answers (the first byte says to what): a page of names, a Status, discovery
 * documents, a failed /readyz. Names that were taken are ones that a path can be made of. */
#include <string.h>

#include <base/text.h>

#include "fuzz.h"
#include "reply.h"
#include "url.h"

static bool is_line(const char *s)
{
    for (const char *c = s; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
    return text_is_utf8(s, strlen(s));
}

static void must_refuse(int rc, const struct error *err)
{
    MUST(err->code == rc && strncmp(err->text, "fuzz", 4) == 0 && !strchr(err->text, '\n'));
}

/* The name stands in the path as one segment, and nothing of it breaks out. */
static void must_have_a_path(const struct kube_resource *r, const struct kube_object *o)
{
    struct buf path = BUF_INIT(8192);
    size_t slashes = 0;
    MUST(*o->name && strlen(o->name) < KUBE_NAME_MAX && is_line(o->name) && is_line(o->namespace));
    MUST(!strpbrk(o->name, "/%") && !strpbrk(o->namespace, "/%"));
    MUST(r->namespaced == (*o->namespace != 0));
    MUST(kube_url_object(&path, r, o, NULL) == 0);
    for (const char *s = buf_str(&path); *s; s++) {
        slashes += *s == '/';
        MUST(*s > ' ' && (unsigned char)*s < 0x7f && !strchr("?#&", *s));
    }
    MUST(slashes == (r->namespaced ? 6u : 4u));
    buf_free(&path);
}

static void as_page(const char *text, size_t len, bool namespaced)
{
    struct kube_resource r = {.name = "secrets", .api_path = "/api/v1", .plural = "secrets"};
    struct kube_page page = {0};
    struct error err = ERROR_INIT;
    r.namespaced = namespaced;
    int rc = kube_parse_page("fuzz", text, len, namespaced, &page, &err);
    if (rc < 0) {
        MUST(!page.objects && !page.next);
        must_refuse(rc, &err);
        return;
    }
    MUST(page.count <= KUBE_PAGE_MAX && page.remaining >= 0);
    for (size_t i = 0; i < page.count; i++)
        must_have_a_path(&r, &page.objects[i]);
    if (page.next) {
        struct buf url = BUF_INIT(4 * KUBE_CONTINUE_MAX);
        MUST(*page.next && strlen(page.next) <= KUBE_CONTINUE_MAX);
        MUST(kube_url_page(&url, &r, 500, page.next, NULL) == 0);
        const char *token = strstr(buf_str(&url), "&continue=");
        MUST(token && !strpbrk(token + 1, "&#? \r\n"));
        buf_free(&url);
    }
    kube_page_free(&page);
}

/* The toucher's lines for people, too. */
static void as_status(const char *text, size_t len)
{
    static const long codes[] = {200, 403, 410, 422, 429, 500, 599};
    struct kube_status s;
    char line[KUBE_LINE_MAX];
    bool is = kube_parse_status(text, len, &s);
    MUST(is || (!*s.reason && !*s.message && !*s.fields && !s.next && !s.named));
    MUST(is_line(s.reason) && is_line(s.message) && is_line(s.fields));
    MUST(!s.next || (*s.next && strlen(s.next) <= KUBE_CONTINUE_MAX));
    for (size_t i = 0; i < array_len(codes); i++) {
        kube_status_line(codes[i], text, len, line, sizeof(line));
        MUST(*line && is_line(line));
        /* The message of a failed validation repeats the value. */
        MUST(codes[i] != 422 || strlen(s.message) < 12 || strstr(s.fields, s.message) ||
             strstr(s.reason, s.message) || !strstr(line, s.message));
    }
    kube_status_clear(&s);
}

static void as_discovery(const char *text, size_t len)
{
    char versions[KUBE_VERSIONS_MAX][KUBE_NAME_MAX];
    size_t count = 0;
    bool namespaced = false;
    struct error err = ERROR_INIT;
    int rc = kube_parse_group("fuzz", text, len, versions, &count, &err);
    if (rc < 0)
        must_refuse(rc, &err);
    MUST(rc < 0 || (count > 0 && count <= KUBE_VERSIONS_MAX));
    for (size_t i = 0; rc == 0 && i < count; i++)
        for (size_t k = 0; k < i; k++)
            MUST(*versions[i] && strcmp(versions[i], versions[k]) != 0);
    rc = kube_parse_resources("fuzz", text, len, "widgets", &namespaced, &err);
    MUST(rc == 0 || (rc == err.code && !strchr(err.text, '\n')));
}

static void as_checks(const char *text)
{
    char line[KUBE_LINE_MAX];
    kube_failed_checks(text, line, sizeof(line));
    MUST(is_line(line));
    MUST(!*line || strstr(text, "[-]"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = calloc(size, 1); /* all but the first byte, and a NUL */
    MUST(text);
    memcpy(text, data + 1, size - 1);
    switch (data[0]) {
    case 'n':
        as_page(text, size - 1, true);
        break;
    case 'c':
        as_page(text, size - 1, false);
        break;
    case 's':
        as_status(text, size - 1);
        break;
    case 'd':
        as_discovery(text, size - 1);
        break;
    default:
        as_checks(text);
    }
    free(text);
    return 0;
}
