/* cJSON's printer is not used: it prints whole numbers past 2^31 with 15 digits, and leaves copies of the
 * text behind in buffers that grew. */
#include "node.h"

#include <math.h>

/* Where printed text goes: into a buffer, a secret, or (neither given) it is only counted. */
struct sink {
    struct buf *buf;
    struct secret *secret;
    size_t count;
    bool canonical; /* members sorted by name, numbers in one form */
    struct error *err;
};

static int put(struct sink *s, const char *text, size_t len)
{
    s->count += len;
    if (s->buf)
        return buf_add(s->buf, text, len, s->err);
    if (s->secret)
        return secret_add(s->secret, text, len, s->err);
    return 0;
}

/* The escape of a byte in out, and its length; 0 for bytes that stand for themselves. */
static size_t escape(unsigned char c, char out[8])
{
    static const char from[] = "\"\\\b\f\n\r\t";
    static const char to[] = "\"\\bfnrt";
    const char *at = c ? strchr(from, c) : NULL;
    if (at) {
        out[0] = '\\';
        out[1] = to[at - from];
        return 2;
    }
    return c < 0x20 ? (size_t)snprintf(out, 8, "\\u%04x", c) : 0;
}

static int put_string(struct sink *s, const char *text)
{
    int rc = put(s, "\"", 1);
    size_t start = 0, i = 0;
    for (; rc == 0 && text[i]; i++) {
        char esc[8];
        size_t n = escape((unsigned char)text[i], esc);
        if (n == 0)
            continue;
        rc = put(s, text + start, i - start);
        if (rc == 0)
            rc = put(s, esc, n);
        start = i + 1;
    }
    if (rc == 0)
        rc = put(s, text + start, i - start);
    return rc < 0 ? rc : put(s, "\"", 1);
}

static int put_number(struct sink *s, const cJSON *n)
{
    char out[NUMBER_TEXT_MAX];
    const char *text = number_text(n, out);
    if (s->canonical && fabs(n->valuedouble) < JSON_INTEGER_MAX) {
        number_format(n->valuedouble, out);
        text = out;
    }
    return put(s, text, strlen(text));
}

static int put_node(struct sink *s, const cJSON *n, unsigned depth);

static int put_member(struct sink *s, const cJSON *m, bool first, unsigned depth)
{
    int rc = first ? 0 : put(s, ",", 1);
    if (rc == 0 && m->string)
        rc = put_string(s, m->string);
    if (rc == 0 && m->string)
        rc = put(s, ":", 1);
    return rc < 0 ? rc : put_node(s, m, depth + 1);
}

static int put_sorted(struct sink *s, const cJSON *obj, unsigned depth)
{
    size_t n = 0;
    _cleanup_free_ const cJSON **all = sorted_members(obj, &n);
    if (!all)
        return error_no_memory(s->err);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = put_member(s, all[i], i == 0, depth);
    return rc;
}

static int put_container(struct sink *s, const cJSON *n, unsigned depth)
{
    /* What is parsed is never so deep; what a program builds could be, and must not end the stack. */
    if (depth >= 2 * JSON_DEPTH_MAX)
        return error_set(s->err, ERR_INTERNAL, "a JSON tree nested more than %d deep", 2 * JSON_DEPTH_MAX);
    bool object = cJSON_IsObject(n);
    int rc = put(s, object ? "{" : "[", 1);
    if (object && s->canonical) {
        rc = rc < 0 ? rc : put_sorted(s, n, depth);
    } else {
        for (const cJSON *c = n->child; rc == 0 && c; c = c->next)
            rc = put_member(s, c, c == n->child, depth);
    }
    return rc < 0 ? rc : put(s, object ? "}" : "]", 1);
}

static int put_node(struct sink *s, const cJSON *n, unsigned depth)
{
    switch (n->type & 0xff) {
    case cJSON_False:
        return put(s, "false", 5);
    case cJSON_True:
        return put(s, "true", 4);
    case cJSON_Number:
        return put_number(s, n);
    case cJSON_String:
        return put_string(s, n->valuestring);
    case cJSON_Array:
    case cJSON_Object:
        return put_container(s, n, depth);
    default:
        return put(s, "null", 4);
    }
}

/* A node that is printed on its own is a value, whatever its name is where it stands. */
int json_print(const struct json *node, struct buf *out, struct error *err)
{
    struct sink s = {.buf = out, .err = err};
    size_t before = out->len;
    int rc = put_node(&s, node_of(node), 0);
    if (rc < 0 && out->data) {
        out->len = before;
        out->data[before] = 0;
    }
    return rc;
}

static int print_secret(const struct json *node, bool canonical, struct secret **ret, struct error *err)
{
    struct sink s = {.canonical = canonical, .err = err};
    int rc = put_node(&s, node_of(node), 0);
    if (rc < 0)
        return rc;
    _cleanup_(secret_freep) struct secret *out = secret_new(s.count + 1);
    if (!out)
        return error_no_memory(err);
    s.secret = out;
    rc = put_node(&s, node_of(node), 0);
    if (rc < 0)
        return rc;
    *ret = take(out);
    return 0;
}

int json_print_secret(const struct json *node, struct secret **ret, struct error *err)
{
    return print_secret(node, false, ret, err);
}

int json_print_canonical(const struct json *node, struct secret **ret, struct error *err)
{
    return print_secret(node, true, ret, err);
}
