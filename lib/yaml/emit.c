/* Written here and not by libyaml's emitter, so that every byte goes straight into the secret. */
#include <base/text.h>
#include <yaml/yaml.h>

#include "resolve.h"

#define DEPTH_MAX 128

/* YAML's readers look 1024 characters ahead for the ':' that makes a key; longer ones are announced with '?'.
 * An escape has at most 6 characters for a byte. */
#define SIMPLE_KEY_MAX 128

/* Into a secret, or (none given) only counted. */
struct sink {
    struct secret *out;
    size_t count;
    struct error *err;
};

static int put(struct sink *s, const char *text, size_t len)
{
    s->count += len;
    return s->out ? secret_add(s->out, text, len, s->err) : 0;
}

static int puts_to(struct sink *s, const char *text)
{
    return put(s, text, strlen(text));
}

static int put_indent(struct sink *s, unsigned indent)
{
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < indent; i++)
        rc = put(s, "  ", 2);
    return rc;
}

/* Only what no reader of YAML can take for anything but this string goes without quotes: it begins with a
 * letter or '/', has no character that means something, and is none of YAML's words. */
static bool plain_is_safe(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char number[SCALAR_NUMBER_MAX];
    size_t len = strlen(text);
    size_t good = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+/=:");
    if (len == 0 || good != len || !(strchr(letters, text[0]) || text[0] == '/') || text[len - 1] == ':')
        return false;
    return scalar_resolve(text, number) == SCALAR_STRING;
}

/* The escape of the character at p, and how many bytes it stands for; 0 where it stands for itself. Escaped
 * is what YAML does not let stand, and what is a line break to some of its readers. */
static size_t escape(const unsigned char *p, char out[12], size_t *bytes)
{
    static const char from[] = "\"\\\a\b\t\n\v\f\r\x1b";
    static const char to[] = "\"\\abtnvfre";
    const char *at = strchr(from, *p);
    *bytes = 1;
    if (at)
        return (size_t)snprintf(out, 12, "\\%c", to[at - from]);
    if (*p < 0x20 || *p == 0x7f)
        return (size_t)snprintf(out, 12, "\\x%02X", *p);
    if (*p == 0xc2 && p[1] < 0xa0) { /* U+0080 to U+009F */
        *bytes = 2;
        return (size_t)snprintf(out, 12, "\\x%02X", p[1]);
    }
    *bytes = 3;
    if (p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
        return (size_t)snprintf(out, 12, "\\u20%02X", p[2] - 0x80);
    if (p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf)
        return (size_t)snprintf(out, 12, "\\uFEFF");
    if (p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe) /* U+FFFE, U+FFFF */
        return (size_t)snprintf(out, 12, "\\uFFF%c", p[2] == 0xbe ? 'E' : 'F');
    return 0;
}

static int put_quoted(struct sink *s, const char *text)
{
    int rc = put(s, "\"", 1);
    const char *start = text, *p = text;
    while (rc == 0 && *p) {
        char esc[12];
        size_t bytes, n = escape((const unsigned char *)p, esc, &bytes);
        if (n == 0) {
            p++;
            continue;
        }
        rc = put(s, start, (size_t)(p - start));
        if (rc == 0)
            rc = put(s, esc, n);
        p += bytes;
        start = p;
    }
    if (rc == 0)
        rc = put(s, start, (size_t)(p - start));
    return rc < 0 ? rc : put(s, "\"", 1);
}

static int put_string(struct sink *s, const char *text)
{
    return plain_is_safe(text) ? puts_to(s, text) : put_quoted(s, text);
}

static int put_number(struct sink *s, const struct json *node)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(1024);
    int rc = json_print(node, &text, s->err);
    return rc < 0 ? rc : put(s, text.data, text.len);
}

static int put_scalar(struct sink *s, const struct json *node)
{
    switch (json_type(node)) {
    case JSON_NULL:
        return puts_to(s, "null");
    case JSON_BOOL:
        return puts_to(s, json_bool(node, false) ? "true" : "false");
    case JSON_NUMBER:
        return put_number(s, node);
    case JSON_STRING:
        return put_string(s, json_string(node, ""));
    case JSON_ARRAY: /* only empty ones come here */
        return puts_to(s, "[]");
    case JSON_OBJECT:
        return puts_to(s, "{}");
    }
    return 0;
}

static bool is_block(const struct json *node)
{
    return json_first(node) != NULL;
}

static int put_block(struct sink *s, const struct json *node, unsigned indent, bool in_line);

static int put_key(struct sink *s, const char *key, unsigned indent)
{
    bool simple = strlen(key) <= SIMPLE_KEY_MAX;
    int rc = simple ? 0 : puts_to(s, "? ");
    if (rc == 0)
        rc = put_string(s, key);
    if (rc == 0 && !simple)
        rc = put(s, "\n", 1);
    if (rc == 0 && !simple)
        rc = put_indent(s, indent);
    return rc < 0 ? rc : put(s, ":", 1);
}

/* "key:" and its value: on the same line, or as a block below. */
static int put_member(struct sink *s, const struct json *m, unsigned indent)
{
    int rc = put_key(s, json_key(m), indent);
    if (rc < 0)
        return rc;
    if (is_block(m)) {
        rc = put(s, "\n", 1);
        return rc < 0 ? rc : put_block(s, m, indent + 1, false);
    }
    rc = put(s, " ", 1);
    if (rc == 0)
        rc = put_scalar(s, m);
    return rc < 0 ? rc : put(s, "\n", 1);
}

static int put_element(struct sink *s, const struct json *e, unsigned indent)
{
    int rc = puts_to(s, "- ");
    if (rc == 0 && is_block(e))
        return put_block(s, e, indent + 1, true);
    if (rc == 0)
        rc = put_scalar(s, e);
    return rc < 0 ? rc : put(s, "\n", 1);
}

/* in_line: the first child goes on where the "- " of its parent ended. */
static int put_block(struct sink *s, const struct json *node, unsigned indent, bool in_line)
{
    if (indent > DEPTH_MAX)
        return error_set(s->err, ERR_INTERNAL, "a tree nested more than %d deep", DEPTH_MAX);
    bool object = json_type(node) == JSON_OBJECT;
    int rc = 0;
    for (const struct json *c = json_first(node); rc == 0 && c; c = json_next(c)) {
        rc = in_line ? 0 : put_indent(s, indent);
        in_line = false;
        if (rc == 0)
            rc = object ? put_member(s, c, indent) : put_element(s, c, indent);
    }
    return rc;
}

static int put_document(struct sink *s, const struct json *node)
{
    if (is_block(node))
        return put_block(s, node, 0, false);
    int rc = put_scalar(s, node);
    return rc < 0 ? rc : put(s, "\n", 1);
}

int yaml_emit(const struct json *node, struct secret **ret, struct error *err)
{
    struct sink s = {.err = err};
    int rc = put_document(&s, node);
    if (rc < 0)
        return rc;
    _cleanup_(secret_freep) struct secret *out = secret_new(s.count + 1);
    if (!out)
        return error_no_memory(err);
    s.out = out;
    rc = put_document(&s, node);
    if (rc < 0)
        return rc;
    *ret = take(out);
    return 0;
}
