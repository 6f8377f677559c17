/* Where things stand in a YAML text: for editing a few bytes of it and keeping the rest as it is. */
#ifndef YAML_PLACES_H
#define YAML_PLACES_H

#include <stdbool.h>
#include <stddef.h>

#include <base/cleanup.h>
#include <base/error.h>

#define YAML_PLACES_TEXT_MAX (1024 * 1024) /* bytes of a text */
#define YAML_PLACES_MAX      100000        /* scalars, sequences and mappings of one */

enum place_kind { PLACE_SCALAR, PLACE_SEQUENCE, PLACE_MAPPING };

/* One node. A mapping's children are its keys and values, taken in turns. */
struct yaml_place {
    enum place_kind kind;
    bool flow;    /* a collection in brackets or braces: as JSON writes it */
    bool literal; /* a block scalar ("|" or ">"): its end is not known for certain */
    size_t
        start;  /* byte of its first character: a block collection's is that of its first child, or its "-" */
    size_t end; /* byte after its last one: a block collection ends with its last child */
    size_t column;                                         /* of its start */
    size_t children;                                       /* how many */
    const struct yaml_place *parent, *first, *last, *next; /* NULL: there is none */
    const char *text;                                      /* SCALAR: its value */
};

struct yaml_places;

/* For a text that yaml_parse takes (one document, no aliases); others are refused (ERR_INVALID) or come out
 * incomplete. Caller frees. */
int yaml_places_new(const char *text, size_t len, const char *what, struct yaml_places **ret,
                    struct error *err) _must_check_;
void yaml_places_free(struct yaml_places *p);
DEFINE_CLEANUP(struct yaml_places *, yaml_places_free);

/* The document's node; NULL when it is empty. All nodes are borrowed. */
const struct yaml_place *yaml_places_root(const struct yaml_places *p);

/* The value of a mapping's key; NULL when there is none, or the node is NULL or no mapping. */
const struct yaml_place *yaml_place_get(const struct yaml_place *mapping, const char *key);
/* An element of a sequence; NULL past its end, or when the node is NULL or no sequence. */
const struct yaml_place *yaml_place_at(const struct yaml_place *sequence, size_t index);

#endif
