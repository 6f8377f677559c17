#include "url.h"

#include <ctype.h>
#include <string.h>

#include <base/text.h>

static bool url_chars_ok(const char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f || strchr("@?#\"<>\\^`{|}", *s))
            return false;
    }
    return true;
}

int kube_url_base(const char *server, const char *url, char out[KUBE_URL_MAX], struct error *err)
{
    static const char scheme[] = "https://";
    size_t len;

    if (!url || strncmp(url, scheme, sizeof(scheme) - 1) != 0)
        return error_set(err, ERR_INVALID, "%s: the API server's URL must begin with https://", server);
    len = strlen(url);
    while (len > sizeof(scheme) - 1 && url[len - 1] == '/')
        len--;
    if (len >= KUBE_URL_MAX)
        return error_set(err, ERR_TOO_LARGE, "%s: the API server's URL is longer than %d bytes", server,
                         KUBE_URL_MAX - 1);
    if (len == sizeof(scheme) - 1 || url[sizeof(scheme) - 1] == '/' || !url_chars_ok(url))
        return error_set(err, ERR_INVALID,
                         "%s: the API server's URL must be https://host:port without user, query or spaces",
                         server);
    memcpy(out, url, len);
    out[len] = '\0';
    return 0;
}

bool kube_is_segment(const char *text)
{
    size_t len = strlen(text);

    if (len == 0 || len >= KUBE_NAME_MAX || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return false;
    for (const char *s = text; *s; s++) {
        if ((unsigned char)*s < ' ' || *s == 0x7f || *s == '/' || *s == '%')
            return false;
    }
    return text_is_utf8(text, len);
}

int kube_url_escape(struct buf *out, const char *text, struct error *err)
{
    static const char hex[] = "0123456789ABCDEF";

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        char coded[3] = {'%', hex[c >> 4], hex[c & 15]};
        bool plain = (c < 0x80 && isalnum(c)) || strchr("-._~", c);
        int rc = plain ? buf_add(out, &c, 1, err) : buf_add(out, coded, sizeof(coded), err);

        if (rc < 0)
            return rc;
    }
    return 0;
}

static int add_segment(struct buf *out, const char *lead, const char *text, struct error *err)
{
    int rc = buf_adds(out, lead, err);

    return rc < 0 ? rc : kube_url_escape(out, text, err);
}

int kube_url_object(struct buf *out, const struct kube_resource *r, const struct kube_object *o,
                    struct error *err)
{
    int rc;

    if (!kube_is_segment(o->name))
        return error_set(err, ERR_INVALID, "an object of %s has a name that the API cannot have given it",
                         r->name);
    if (r->namespaced ? !kube_is_segment(o->namespace) : o->namespace[0] != '\0')
        return error_set(err, ERR_INVALID, "%s \"%s\" must %sbe in a namespace", r->name, o->name,
                         r->namespaced ? "" : "not ");
    rc = buf_adds(out, r->api_path, err);
    if (rc == 0 && r->namespaced)
        rc = add_segment(out, "/namespaces/", o->namespace, err);
    if (rc == 0)
        rc = add_segment(out, "/", r->plural, err);
    if (rc == 0)
        rc = add_segment(out, "/", o->name, err);
    return rc;
}

int kube_url_page(struct buf *out, const struct kube_resource *r, int limit, const char *next,
                  struct error *err)
{
    int rc = buf_adds(out, r->api_path, err);

    if (rc == 0)
        rc = add_segment(out, "/", r->plural, err);
    if (rc == 0)
        rc = buf_addf(out, err, "?limit=%d", limit);
    if (rc == 0 && next)
        rc = add_segment(out, "&continue=", next, err);
    return rc;
}
