/* JSON documents: the only room that uses cJSON. Its allocations are wiped when freed, because the
 * documents of encryption configs hold keys.
 *
 * A `struct json` is one node; the root owns the whole tree. Getters borrow, adders take ownership. */
#ifndef JSON_JSON_H
#define JSON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/buf.h>
#include <base/cleanup.h>
#include <base/error.h>
#include <base/secret.h>

struct json;

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* Parses exactly one document of `len` bytes. Refused (ERR_INVALID, with line and column, never with the
 * text itself): bad syntax, bytes after the document, invalid UTF-8, a NUL (also as \u0000), a key twice
 * in one object, nesting past 64. `what` names the source in error texts. Caller frees with json_free. */
int json_parse(const char *text, size_t len, const char *what, struct json **ret,
               struct error *err) _must_check_;

void json_free(struct json *root);
DEFINE_CLEANUP(struct json *, json_free);

/* Appends the compact text of a tree. json_print_secret: into a new secret (caller frees). */
int json_print(const struct json *node, struct buf *out, struct error *err) _must_check_;
int json_print_secret(const struct json *node, struct secret **ret, struct error *err) _must_check_;

/* As json_print_secret in one form for one meaning: members sorted by name, numbers written one way. */
int json_print_canonical(const struct json *node, struct secret **ret, struct error *err) _must_check_;

/* A deep copy. NULL when memory is out. */
struct json *json_copy(const struct json *node);

/* True when the trees are equal; the order of object members does not count, that of arrays does. */
bool json_equal(const struct json *a, const struct json *b);

/* --- reading --- */
enum json_type json_type(const struct json *node); /* JSON_NULL for NULL */

/* Member of an object, or NULL (also when obj is NULL or no object). Keys are compared exactly. */
const struct json *json_get(const struct json *obj, const char *key);

/* Iteration over array elements or object members: first child or NULL; next sibling or NULL. */
const struct json *json_first(const struct json *node);
const struct json *json_next(const struct json *node);
const char *json_key(const struct json *node); /* the member's name, NULL for array elements */
size_t json_count(const struct json *node);

/* Values; the fallback where the node is NULL or of another type. Integers must be whole and within
 * +/-2^53, else the fallback. */
const char *json_string(const struct json *node, const char *fallback);
int64_t json_int(const struct json *node, int64_t fallback);
bool json_bool(const struct json *node, bool fallback);

/* Required members: ERR_INVALID naming the key when missing, of the wrong type or (strings) longer than
 * size - 1 bytes; text is copied into out. */
int json_need_string(const struct json *obj, const char *key, char *out, size_t size,
                     struct error *err) _must_check_;
int json_need_int(const struct json *obj, const char *key, int64_t *out, struct error *err) _must_check_;
int json_need_bool(const struct json *obj, const char *key, bool *out, struct error *err) _must_check_;

/* --- building --- (the json_new_ functions give NULL when memory is out) */
struct json *json_new_object(void);
struct json *json_new_array(void);
struct json *json_new_null(void);
struct json *json_new_bool(bool value);
struct json *json_new_string(const char *text); /* bytes that are not UTF-8 become U+FFFD */
/* From a text that follows JSON's grammar of numbers; ERR_INVALID when it does not, or is out of range.
 * Whole numbers past 2^53 keep their digits, as they do in json_parse: they are printed as they came. */
int json_new_number(const char *literal, struct json **ret, struct error *err) _must_check_;

/* Each of these takes `value`, also on failure, and returns 0 or ERR_NO_MEMORY, the latter too for a NULL
 * value, so that what a json_new_ function gave can be passed on unchecked. json_set replaces a member of
 * that name, in its place. */
int json_set(struct json *obj, const char *key, struct json *value, struct error *err) _must_check_;
int json_append(struct json *array, struct json *value, struct error *err) _must_check_;
/* Puts value before the element that stands at index, or last when there is none. */
int json_insert(struct json *array, size_t index, struct json *value, struct error *err) _must_check_;
/* Appends a member without looking for one of that name: for readers, which ask json_unique at the end. */
int json_add(struct json *obj, const char *key, struct json *value, struct error *err) _must_check_;
/* False when two members have one name; false with *no_memory set when that could not be found out. */
bool json_unique(const struct json *obj, bool *no_memory);

int json_set_string(struct json *obj, const char *key, const char *text, struct error *err) _must_check_;
int json_set_int(struct json *obj, const char *key, int64_t number, struct error *err) _must_check_;
int json_set_bool(struct json *obj, const char *key, bool value, struct error *err) _must_check_;

/* --- editing --- */
struct json *json_member(struct json *obj, const char *key); /* as json_get */
struct json *json_element(struct json *node, size_t index);  /* NULL past the end */
/* Takes a child out of its array or object; caller frees. */
struct json *json_detach(struct json *parent, struct json *child);
void json_remove(struct json *parent, struct json *child); /* takes it out and frees it */

#endif
