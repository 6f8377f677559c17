/* YAML documents as JSON trees: the only room that uses libyaml. */
#ifndef YAML_YAML_H
#define YAML_YAML_H

#include <stddef.h>

#include <base/error.h>
#include <base/secret.h>
#include <json/json.h>

/* Parses one YAML document into a JSON tree, by YAML 1.1's core scalars as Kubernetes reads them (go-yaml v2:
 * plain true/false, also yes/no, on/off and y/n, null/~/empty, integers (0x, 0o, 0b and 0777 too), floats;
 * quoted scalars and timestamps are strings; whole-number and boolean keys become strings). Refused
 * (ERR_INVALID with line and column, never with the text): more than one document, anchors and aliases, tags,
 * merge keys, keys that are not scalars or are null or floats, NaN and infinities, a key twice in one
 * mapping, nesting past 64, invalid UTF-8, NULs. An empty document gives JSON_NULL. JSON text is YAML too.
 * Caller frees with json_free. */
int yaml_parse(const char *text, size_t len, const char *what, struct json **ret,
               struct error *err) _must_check_;

/* Emits a tree as block-style YAML, two spaces of indent, strings quoted where a plain scalar would be
 * read as something else. Into a secret, since encryption configs are what is emitted; caller frees. */
int yaml_emit(const struct json *node, struct secret **ret, struct error *err) _must_check_;

#endif
