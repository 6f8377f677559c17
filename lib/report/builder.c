#include <report/builder.h>

#define DEPTH_MAX 16

void build_string(struct builder *b, struct json *o, const char *key, const char *value)
{
    if (b->rc == 0)
        b->rc = json_set_string(o, key, value, b->err);
}

void build_int(struct builder *b, struct json *o, const char *key, int64_t value)
{
    if (b->rc == 0)
        b->rc = json_set_int(o, key, value, b->err);
}

void build_bool(struct builder *b, struct json *o, const char *key, bool value)
{
    if (b->rc == 0)
        b->rc = json_set_bool(o, key, value, b->err);
}

void build_node(struct builder *b, struct json *o, const char *key, struct json *value)
{
    if (b->rc == 0)
        b->rc = json_set(o, key, value, b->err);
    else
        json_free(value);
}

void build_append(struct builder *b, struct json *array, struct json *value)
{
    if (b->rc == 0)
        b->rc = json_append(array, value, b->err);
    else
        json_free(value);
}

struct json *build_new(struct builder *b, bool array)
{
    struct json *node = b->rc < 0 ? NULL : array ? json_new_array() : json_new_object();
    if (!node && b->rc == 0)
        b->rc = error_no_memory(b->err);
    return node;
}

static int indent(struct buf *out, size_t depth, struct error *err)
{
    int rc = buf_adds(out, "\n", err);
    for (size_t i = 0; i < depth && rc == 0; i++)
        rc = buf_adds(out, "\t", err);
    return rc;
}

static int add_name(struct buf *out, const char *name, struct error *err)
{
    _cleanup_(json_freep) struct json *text = json_new_string(name);
    if (!text)
        return error_no_memory(err);
    int rc = json_print(text, out, err);
    return rc == 0 ? buf_adds(out, ": ", err) : rc;
}

/* K3s's layout: tabs, and a line for each member and element. */
static int pretty(const struct json *node, size_t depth, struct buf *out, struct error *err)
{
    bool object = json_type(node) == JSON_OBJECT;
    if (depth >= DEPTH_MAX || (!object && json_type(node) != JSON_ARRAY) || json_count(node) == 0)
        return json_print(node, out, err);
    int rc = buf_adds(out, object ? "{" : "[", err);
    for (const struct json *child = json_first(node); child && rc == 0; child = json_next(child)) {
        rc = indent(out, depth + 1, err);
        if (rc == 0 && object)
            rc = add_name(out, json_key(child), err);
        if (rc == 0)
            rc = pretty(child, depth + 1, out, err);
        if (rc == 0 && json_next(child))
            rc = buf_adds(out, ",", err);
    }
    if (rc == 0)
        rc = indent(out, depth, err);
    return rc == 0 ? buf_adds(out, object ? "}" : "]", err) : rc;
}

int build_print(struct builder *b, const struct json *root, struct buf *out)
{
    if (b->rc == 0)
        b->rc = pretty(root, 0, out, b->err);
    return b->rc == 0 ? buf_adds(out, "\n", b->err) : b->rc;
}

void build_head(struct builder *b, struct json *root, const char *kind)
{
    build_string(b, root, "schema", SCHEMA);
    build_string(b, root, "kind", kind);
}

int build_line(struct builder *b, const struct json *root, struct buf *out)
{
    if (b->rc == 0)
        b->rc = json_print(root, out, b->err);
    return b->rc == 0 ? buf_adds(out, "\n", b->err) : b->rc;
}
