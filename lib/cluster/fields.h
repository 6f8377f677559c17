/* Records as tables of fields: one encoder and one decoder for all of them. */
#ifndef CLUSTER_FIELDS_H
#define CLUSTER_FIELDS_H

#include <stddef.h>

#include <base/error.h>
#include <json/json.h>

#include "words.h"

enum field_type {
    FIELD_TEXT,
    FIELD_INT,   /* int64_t */
    FIELD_COUNT, /* int64_t that is never negative */
    FIELD_BOOL,
    FIELD_WORD,   /* an enum, as its word */
    FIELD_OBJECT, /* a struct with fields of its own */
    FIELD_LIST,   /* an array of structs with a count beside it */
    FIELD_TEXTS,  /* an array of char[size] with a count beside it */
};

struct field {
    const char *name; /* NULL ends a table */
    enum field_type type;
    size_t offset;
    size_t size; /* of a text, a struct or one array element */
    const struct words *words;
    const struct field *fields;
    size_t count_offset;
    size_t max; /* elements */
};

#define F_TEXT(S, m)                                                                                         \
    {                                                                                                        \
#m, FIELD_TEXT, offsetof(struct S, m), sizeof(((struct S *)0)->m), NULL, NULL, 0, 0                  \
    }
#define F_INT(S, m)                                                                                          \
    {                                                                                                        \
#m, FIELD_INT, offsetof(struct S, m), 0, NULL, NULL, 0, 0                                            \
    }
#define F_COUNT(S, m)                                                                                        \
    {                                                                                                        \
#m, FIELD_COUNT, offsetof(struct S, m), 0, NULL, NULL, 0, 0                                          \
    }
#define F_BOOL(S, m)                                                                                         \
    {                                                                                                        \
#m, FIELD_BOOL, offsetof(struct S, m), 0, NULL, NULL, 0, 0                                           \
    }
#define F_WORD(S, m, w)                                                                                      \
    {                                                                                                        \
#m, FIELD_WORD, offsetof(struct S, m), 0, &(w), NULL, 0, 0                                           \
    }
#define F_OBJECT(S, m, f)                                                                                    \
    {                                                                                                        \
#m, FIELD_OBJECT, offsetof(struct S, m), sizeof(((struct S *)0)->m), NULL, (f), 0, 0                 \
    }
#define F_ARRAY(S, m, t, f)                                                                                  \
    {                                                                                                        \
#m, (t), offsetof(struct S, m), sizeof(((struct S *)0)->m[0]), NULL, (f),                            \
            offsetof(struct S, m##_count), sizeof(((struct S *)0)->m) / sizeof(((struct S *)0)->m[0])        \
    }
#define F_LIST(S, m, f) F_ARRAY(S, m, FIELD_LIST, f)
#define F_TEXTS(S, m)   F_ARRAY(S, m, FIELD_TEXTS, NULL)
#define F_END                                                                                                \
    {                                                                                                        \
        NULL, FIELD_INT, 0, 0, NULL, NULL, 0, 0                                                              \
    }

/* Builds an object of `record` by the table. */
int fields_encode(const struct field *table, const void *record, struct json **ret,
                  struct error *err) _must_check_;

/* Zeroes the record's fields, and of its lists the counts alone: what stands behind a count means nothing,
 * and lists have room for far more than most clusters fill. */
void fields_clear(const struct field *table, void *record);

/* Fills a record that was zeroed or cleared: a member that is missing stays zero (a newer program reads an
 * older record), one of the wrong type, too long or out of range is ERR_INVALID. A record of NULL: only says
 * whether it could be filled. */
int fields_decode(const struct field *table, const struct json *obj, void *record,
                  struct error *err) _must_check_;

/* Copies the fields, and of lists the elements that are there. */
void fields_copy(const struct field *table, const void *from, void *to);

#endif
