/* What the files of this room share: a `struct json` is a cJSON node under another name. */
#ifndef JSON_NODE_H
#define JSON_NODE_H

#include <cjson/cJSON.h>
#include <json/json.h>

#include "alloc.h"

#define JSON_DEPTH_MAX   64
#define JSON_NUMBER_MAX  400                /* characters of a number; more than any double needs */
#define JSON_INTEGER_MAX 9007199254740992.0 /* 2^53: up to here a double holds every whole number */

static inline const cJSON *node_of(const struct json *j)
{
    return (const cJSON *)j;
}

static inline cJSON *node_of_mutable(struct json *j)
{
    return (cJSON *)j;
}

static inline struct json *json_of(cJSON *n)
{
    return (struct json *)n;
}

/* A number from a literal that follows JSON's grammar. The node keeps the literal where printing the
 * double would give another text, so that a carried-over document keeps it to the digit. ERR_INVALID
 * when it is out of a double's range or too long. */
int number_from_literal(const char *text, size_t len, cJSON **ret, struct error *err) _must_check_;

/* The shortest decimal text that reads back as the same double. */
#define NUMBER_TEXT_MAX 32
void number_format(double d, char out[NUMBER_TEXT_MAX]);

/* The literal where one is kept, else number_format into out. */
const char *number_text(const cJSON *n, char out[NUMBER_TEXT_MAX]);

/* How many of the `len` bytes at text follow JSON's grammar of a number, 0 when they begin none. */
size_t number_span(const char *text, size_t len);

bool number_equal(const cJSON *a, const cJSON *b);

/* The members of an object sorted by name (bytewise); caller frees the array. NULL when memory is out. */
const cJSON **sorted_members(const cJSON *obj, size_t *count);

/* True when two members have the same name, or when memory is out (*no_memory is then set). */
bool has_twins(const cJSON *obj, bool *no_memory);

#endif
