/* Trees of JSON, built so that a row of members reads as a list: the first failure is remembered, and what
 * follows it does nothing. */
#ifndef REPORT_BUILDER_H
#define REPORT_BUILDER_H

#include <json/json.h>

struct builder {
    int rc;
    struct error *err;
};

void build_string(struct builder *b, struct json *o, const char *key, const char *value);
void build_int(struct builder *b, struct json *o, const char *key, int64_t value);
void build_bool(struct builder *b, struct json *o, const char *key, bool value);
/* These two take `value`, also after a failure. */
void build_node(struct builder *b, struct json *o, const char *key, struct json *value);
void build_append(struct builder *b, struct json *array, struct json *value);
/* NULL after a failure. */
struct json *build_new(struct builder *b, bool array);

#define SCHEMA "secrets-encrypt/v1" /* docs/cli.md describes it */

/* "schema" and "kind", which every object on stdout has. */
void build_head(struct builder *b, struct json *root, const char *kind);

/* Appends the tree as one line, with its break. As build_print. */
int build_line(struct builder *b, const struct json *root, struct buf *out) _must_check_;

/* Appends the tree and a line break, in K3s's layout: tabs, and a line for each member and element. Returns
 * the builder's own failure, if there was one. */
int build_print(struct builder *b, const struct json *root, struct buf *out) _must_check_;

#endif
