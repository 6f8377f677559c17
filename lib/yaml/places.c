#include <yaml/places.h>

#include <stdint.h>

#include <yaml.h>

#include "alloc.h"

#define DEPTH_MAX   64
#define CHUNK_NODES 256

/* Nodes point at each other, so that they never move. */
struct chunk {
    struct chunk *next;
    size_t count;
    struct yaml_place nodes[CHUNK_NODES];
};

struct yaml_places {
    struct chunk *chunks; /* the newest first */
    size_t count;
    const struct yaml_place *root;
};

struct reader {
    yaml_parser_t parser;
    const char *text;
    size_t len;
    size_t at_char, at_byte; /* a place that is known by both: libyaml counts characters */
    const char *what;
    struct yaml_places *places;
    struct yaml_place *open[DEPTH_MAX];
    unsigned depth;
    struct error *err;
};

static int bad(const struct reader *r, yaml_mark_t at, const char *problem)
{
    return error_set(r->err, ERR_INVALID, "%s: not valid YAML at line %zu, column %zu: %s", r->what,
                     at.line + 1, at.column + 1, problem);
}

static bool starts_character(const char *text, size_t i)
{
    return ((unsigned char)text[i] & 0xc0) != 0x80;
}

/* Marks rise with few exceptions: an end that lies before the start of the next. */
static size_t byte_of(struct reader *r, yaml_mark_t mark)
{
    while (r->at_char < mark.index && r->at_byte < r->len) {
        r->at_byte++;
        while (r->at_byte < r->len && !starts_character(r->text, r->at_byte))
            r->at_byte++;
        r->at_char++;
    }
    while (r->at_char > mark.index && r->at_byte > 0) {
        r->at_byte--;
        while (r->at_byte > 0 && !starts_character(r->text, r->at_byte))
            r->at_byte--;
        r->at_char--;
    }
    return r->at_byte;
}

static struct yaml_place *node_new(struct yaml_places *p)
{
    if (!p->chunks || p->chunks->count == CHUNK_NODES) {
        struct chunk *c = calloc(1, sizeof(*c));
        if (!c)
            return NULL;
        c->next = p->chunks;
        p->chunks = c;
    }
    p->count++;
    return &p->chunks->nodes[p->chunks->count++];
}

static int add(struct reader *r, const yaml_event_t *e, enum place_kind kind, struct yaml_place **ret)
{
    struct yaml_place *parent = r->depth > 0 ? r->open[r->depth - 1] : NULL;
    if (!parent && r->places->root)
        return bad(r, e->start_mark, "more than one document");
    if (r->places->count == YAML_PLACES_MAX)
        return bad(r, e->start_mark, "too many nodes");
    struct yaml_place *n = node_new(r->places);
    if (!n)
        return error_no_memory(r->err);
    n->kind = kind;
    n->start = byte_of(r, e->start_mark);
    n->end = byte_of(r, e->end_mark);
    n->column = e->start_mark.column;
    n->parent = parent;
    if (!parent) {
        r->places->root = n;
    } else if (parent->last) {
        ((struct yaml_place *)parent->last)->next = n; /* ours: const only for who reads */
        parent->last = n;
        parent->children++;
    } else {
        parent->first = parent->last = n;
        parent->children++;
    }
    *ret = n;
    return 0;
}

static int on_scalar(struct reader *r, const yaml_event_t *e)
{
    struct yaml_place *n = NULL;
    int rc = add(r, e, PLACE_SCALAR, &n);
    if (rc < 0)
        return rc;
    yaml_scalar_style_t style = e->data.scalar.style;
    n->literal = style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE;
    n->text = strndup((const char *)e->data.scalar.value, e->data.scalar.length);
    return n->text ? 0 : error_no_memory(r->err);
}

static int on_open(struct reader *r, const yaml_event_t *e, enum place_kind kind, bool flow)
{
    struct yaml_place *n = NULL;
    if (r->depth == DEPTH_MAX)
        return bad(r, e->start_mark, "nested more than 64 deep");
    int rc = add(r, e, kind, &n);
    if (rc < 0)
        return rc;
    n->flow = flow;
    r->open[r->depth++] = n;
    return 0;
}

/* The end event of a block collection stands at whatever comes after it. */
static int on_close(struct reader *r, const yaml_event_t *e)
{
    struct yaml_place *n = r->open[--r->depth];
    if (n->flow)
        n->end = byte_of(r, e->end_mark);
    else if (n->last)
        n->end = n->last->end;
    return 0;
}

static int on_event(struct reader *r, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(r, e);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(r, e, PLACE_SEQUENCE, e->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE);
    case YAML_MAPPING_START_EVENT:
        return on_open(r, e, PLACE_MAPPING, e->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE);
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
            return r->parser.error == YAML_MEMORY_ERROR
                       ? error_no_memory(r->err)
                       : bad(r, r->parser.problem_mark, r->parser.problem ? r->parser.problem : "bad syntax");
        int rc = on_event(r, &e);
        end = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int yaml_places_new(const char *text, size_t len, const char *what, struct yaml_places **ret,
                    struct error *err)
{
    if (len > YAML_PLACES_TEXT_MAX)
        return error_set(err, ERR_TOO_LARGE, "%s: %zu bytes, at most %d are read", what, len,
                         YAML_PLACES_TEXT_MAX);
    _cleanup_(yaml_places_freep) struct yaml_places *places = calloc(1, sizeof(*places));
    struct reader r = {.text = text, .len = len, .what = what, .places = places, .err = err};
    if (!places)
        return error_no_memory(err);
    yaml_alloc_link();
    if (!yaml_parser_initialize(&r.parser))
        return error_no_memory(err);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    int rc = read_events(&r);
    yaml_parser_delete(&r.parser);
    if (rc == 0)
        *ret = take(places);
    return rc;
}

void yaml_places_free(struct yaml_places *p)
{
    if (!p)
        return;
    for (struct chunk *c = p->chunks, *next; c; c = next) {
        next = c->next;
        for (size_t i = 0; i < c->count; i++)
            free((char *)c->nodes[i].text);
        free(c);
    }
    free(p);
}

const struct yaml_place *yaml_places_root(const struct yaml_places *p)
{
    return p->root;
}

const struct yaml_place *yaml_place_get(const struct yaml_place *mapping, const char *key)
{
    if (!mapping || mapping->kind != PLACE_MAPPING)
        return NULL;
    for (const struct yaml_place *k = mapping->first; k && k->next; k = k->next->next)
        if (k->kind == PLACE_SCALAR && strcmp(k->text, key) == 0)
            return k->next;
    return NULL;
}

const struct yaml_place *yaml_place_at(const struct yaml_place *sequence, size_t index)
{
    if (!sequence || sequence->kind != PLACE_SEQUENCE)
        return NULL;
    const struct yaml_place *n = sequence->first;
    while (n && index-- > 0)
        n = n->next;
    return n;
}
