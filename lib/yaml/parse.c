#include <base/text.h>
#include <yaml.h>
#include <yaml/yaml.h>

#include "alloc.h"
#include "resolve.h"

#define DEPTH_MAX 64

struct reader {
    yaml_parser_t parser;
    const char *what;
    struct json *root;
    struct json *open[DEPTH_MAX]; /* the containers around the next event */
    struct json *keys[DEPTH_MAX]; /* for a mapping: its key whose value comes next, a string node */
    unsigned depth;
    bool done; /* the one document has ended */
    struct error *err;
};

/* Where, and what is wrong; never the text, which may be a key. */
static int bad(const struct reader *r, yaml_mark_t at, const char *problem)
{
    return error_set(r->err, ERR_INVALID, "%s: not valid YAML at line %zu, column %zu: %s", r->what,
                     at.line + 1, at.column + 1, problem);
}

/* libyaml's problems are constants of its own. */
static int parser_failed(const struct reader *r)
{
    if (r->parser.error == YAML_MEMORY_ERROR)
        return error_no_memory(r->err);
    yaml_mark_t at = r->parser.error == YAML_READER_ERROR ? r->parser.mark : r->parser.problem_mark;
    return bad(r, at, r->parser.problem ? r->parser.problem : "bad syntax");
}

static bool in_mapping(const struct reader *r)
{
    return r->depth > 0 && json_type(r->open[r->depth - 1]) == JSON_OBJECT;
}

/* Puts a value into the innermost container; takes it. */
static int attach(struct reader *r, struct json *value)
{
    if (!value)
        return error_no_memory(r->err);
    if (r->depth == 0) {
        r->root = value;
        return 0;
    }
    struct json *parent = r->open[r->depth - 1];
    if (!in_mapping(r))
        return json_append(parent, value, r->err);
    _cleanup_(json_freep) struct json *key = take(r->keys[r->depth - 1]);
    return json_add(parent, json_string(key, ""), value, r->err);
}

static int plain_value(struct reader *r, const yaml_event_t *e, const char *text, struct json **ret)
{
    char number[SCALAR_NUMBER_MAX];
    enum scalar_kind kind = scalar_resolve(text, number);
    switch (kind) {
    case SCALAR_NULL:
        *ret = json_new_null();
        return 0;
    case SCALAR_TRUE:
    case SCALAR_FALSE:
        *ret = json_new_bool(kind == SCALAR_TRUE);
        return 0;
    case SCALAR_INT:
    case SCALAR_FLOAT:
        return json_new_number(number, ret, r->err);
    case SCALAR_NO_JSON:
        return bad(r, e->start_mark, "NaN and the infinities are no numbers of JSON");
    case SCALAR_STRING:
    case SCALAR_MERGE: /* only a key of that text merges */
        *ret = json_new_string(text);
        return 0;
    }
    return error_set(r->err, ERR_INTERNAL, "an unknown kind of scalar");
}

/* JSON's keys are strings; what Kubernetes turns into one is turned into the same one here. */
static int plain_key(struct reader *r, const yaml_event_t *e, const char *text, struct json **ret)
{
    char number[SCALAR_NUMBER_MAX];
    switch (scalar_resolve(text, number)) {
    case SCALAR_STRING:
        *ret = json_new_string(text);
        return 0;
    case SCALAR_TRUE:
        *ret = json_new_string("true");
        return 0;
    case SCALAR_FALSE:
        *ret = json_new_string("false");
        return 0;
    case SCALAR_INT:
        if (number[0] != '-' && strtoull(number, NULL, 10) > INT64_MAX)
            return bad(r, e->start_mark, "a key that is a number out of range");
        *ret = json_new_string(number);
        return 0;
    case SCALAR_MERGE:
        return bad(r, e->start_mark, "merge keys (<<) are not supported");
    default:
        return bad(r, e->start_mark, "a key must be a string, a whole number or a boolean");
    }
}

static int on_scalar(struct reader *r, const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;
    if (strlen(text) != e->data.scalar.length)
        return bad(r, e->start_mark, "a NUL in a string");
    bool key = in_mapping(r) && !r->keys[r->depth - 1];
    bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    struct json *node = NULL;
    int rc = 0;
    if (!plain)
        node = json_new_string(text);
    else
        rc = key ? plain_key(r, e, text, &node) : plain_value(r, e, text, &node);
    if (rc < 0)
        return rc;
    if (!key)
        return attach(r, node);
    r->keys[r->depth - 1] = node;
    return node ? 0 : error_no_memory(r->err);
}

static int on_open(struct reader *r, const yaml_event_t *e, struct json *container)
{
    if (in_mapping(r) && !r->keys[r->depth - 1]) {
        json_free(container);
        return bad(r, e->start_mark, "a key must be a scalar");
    }
    if (r->depth == DEPTH_MAX) {
        json_free(container);
        return bad(r, e->start_mark, "nested more than 64 deep");
    }
    int rc = attach(r, container);
    if (rc < 0)
        return rc;
    r->open[r->depth++] = container;
    return 0;
}

static int on_close(struct reader *r, const yaml_event_t *e)
{
    bool no_memory = false;
    if (in_mapping(r) && !json_unique(r->open[r->depth - 1], &no_memory))
        return no_memory ? error_no_memory(r->err)
                         : bad(r, e->start_mark, "the mapping that ends here has one key twice");
    r->depth--;
    return 0;
}

static int on_document(struct reader *r, const yaml_event_t *e)
{
    return r->done ? bad(r, e->start_mark, "more than one document") : 0;
}

/* Anchors make documents that grow without end when they are read, tags change what a scalar is. */
static int check_properties(struct reader *r, const yaml_event_t *e, const yaml_char_t *anchor,
                            const yaml_char_t *tag)
{
    if (anchor)
        return bad(r, e->start_mark, "anchors and aliases are not supported");
    return tag ? bad(r, e->start_mark, "tags are not supported") : 0;
}

static int on_event(struct reader *r, const yaml_event_t *e)
{
    int rc;
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        return on_document(r, e);
    case YAML_DOCUMENT_END_EVENT:
        r->done = true;
        return 0;
    case YAML_SCALAR_EVENT:
        rc = check_properties(r, e, e->data.scalar.anchor, e->data.scalar.tag);
        return rc < 0 ? rc : on_scalar(r, e);
    case YAML_SEQUENCE_START_EVENT:
        rc = check_properties(r, e, e->data.sequence_start.anchor, e->data.sequence_start.tag);
        return rc < 0 ? rc : on_open(r, e, json_new_array());
    case YAML_MAPPING_START_EVENT:
        rc = check_properties(r, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
        return rc < 0 ? rc : on_open(r, e, json_new_object());
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_close(r, e);
    case YAML_ALIAS_EVENT:
        return bad(r, e->start_mark, "anchors and aliases are not supported");
    default:
        return 0;
    }
}

static int read_events(struct reader *r)
{
    for (bool end = false; !end;) {
        yaml_event_t e;
        if (!yaml_parser_parse(&r->parser, &e))
            return parser_failed(r);
        int rc = on_event(r, &e);
        end = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Checked here, and not by libyaml alone: it would guess UTF-16 from the first bytes. */
static int check_bytes(const char *text, size_t len, const char *what, struct error *err)
{
    if (!text_is_utf8(text, len))
        return error_set(err, ERR_INVALID, "%s: not valid YAML: not UTF-8", what);
    return memchr(text, 0, len) ? error_set(err, ERR_INVALID, "%s: not valid YAML: a NUL byte", what) : 0;
}

int yaml_parse(const char *text, size_t len, const char *what, struct json **ret, struct error *err)
{
    struct reader r = {.what = what, .err = err};
    int rc = len ? check_bytes(text, len, what, err) : 0;
    if (rc < 0)
        return rc;
    yaml_alloc_link();
    if (!yaml_parser_initialize(&r.parser))
        return error_no_memory(err);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    rc = read_events(&r);
    yaml_parser_delete(&r.parser);
    for (unsigned i = 0; i < DEPTH_MAX; i++)
        json_free(r.keys[i]);
    if (rc == 0 && !r.root)
        r.root = json_new_null();
    if (rc == 0 && !r.root)
        rc = error_no_memory(err);
    if (rc < 0) {
        json_free(r.root);
        return rc;
    }
    *ret = r.root;
    return 0;
}
