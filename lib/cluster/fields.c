#include "fields.h"

#include <string.h>

#include <base/text.h>

static const void *at(const void *record, size_t offset)
{
    return (const char *)record + offset;
}

/* NULL stays NULL: nothing is filled in. */
static void *at_mut(void *record, size_t offset)
{
    return record ? (char *)record + offset : NULL;
}

/* Bytes of a field that is no list; an object's are its fields' own. */
static size_t width(const struct field *f)
{
    static const size_t widths[] = {[FIELD_INT] = sizeof(int64_t),
                                    [FIELD_COUNT] = sizeof(int64_t),
                                    [FIELD_BOOL] = sizeof(bool),
                                    [FIELD_WORD] = sizeof(int)};
    return f->type == FIELD_TEXT ? f->size : widths[f->type];
}

static bool is_list(const struct field *f)
{
    return f->type == FIELD_LIST || f->type == FIELD_TEXTS;
}

/* ---------- clear, copy ---------- */

void fields_clear(const struct field *table, void *record)
{
    for (const struct field *f = table; f->name; f++)
        if (is_list(f))
            memset(at_mut(record, f->count_offset), 0, sizeof(size_t));
        else if (f->type == FIELD_OBJECT)
            fields_clear(f->fields, at_mut(record, f->offset));
        else
            memset(at_mut(record, f->offset), 0, width(f));
}

static void copy_list(const struct field *f, const void *from, void *to)
{
    size_t count = *(const size_t *)at(from, f->count_offset);
    *(size_t *)at_mut(to, f->count_offset) = count;
    for (size_t i = 0; i < count && i < f->max; i++) {
        size_t offset = f->offset + i * f->size;
        if (f->type == FIELD_TEXTS)
            memcpy(at_mut(to, offset), at(from, offset), f->size);
        else
            fields_copy(f->fields, at(from, offset), at_mut(to, offset));
    }
}

void fields_copy(const struct field *table, const void *from, void *to)
{
    for (const struct field *f = table; f->name; f++)
        if (is_list(f))
            copy_list(f, from, to);
        else if (f->type == FIELD_OBJECT)
            fields_copy(f->fields, at(from, f->offset), at_mut(to, f->offset));
        else
            memcpy(at_mut(to, f->offset), at(from, f->offset), width(f));
}

/* ---------- encode ---------- */

static int encode_list(const struct field *f, const void *record, struct json **ret, struct error *err)
{
    _cleanup_(json_freep) struct json *array = json_new_array();
    if (!array)
        return error_no_memory(err);
    size_t count = *(const size_t *)at(record, f->count_offset);
    for (size_t i = 0; i < count && i < f->max; i++) {
        const void *element = (const char *)at(record, f->offset) + i * f->size;
        struct json *item = NULL;
        int rc = 0;
        if (f->type == FIELD_TEXTS)
            item = json_new_string(element);
        else
            rc = fields_encode(f->fields, element, &item, err);
        if (rc == 0)
            rc = json_append(array, item, err);
        if (rc < 0)
            return rc;
    }
    *ret = take(array);
    return 0;
}

static int encode_word(const struct field *f, const void *record, struct json *obj, struct error *err)
{
    int value;
    memcpy(&value, at(record, f->offset), sizeof(value));
    const char *word = words_name(f->words, value);
    if (!word)
        return error_set(err, ERR_INTERNAL, "%s: %d has no word", f->name, value);
    return json_set_string(obj, f->name, word, err);
}

static int encode_field(const struct field *f, const void *record, struct json *obj, struct error *err)
{
    struct json *child = NULL;
    int rc = 0;
    switch (f->type) {
    case FIELD_TEXT:
        return json_set_string(obj, f->name, at(record, f->offset), err);
    case FIELD_INT:
    case FIELD_COUNT:
        return json_set_int(obj, f->name, *(const int64_t *)at(record, f->offset), err);
    case FIELD_BOOL:
        return json_set_bool(obj, f->name, *(const bool *)at(record, f->offset), err);
    case FIELD_WORD:
        return encode_word(f, record, obj, err);
    case FIELD_OBJECT:
        rc = fields_encode(f->fields, at(record, f->offset), &child, err);
        break;
    case FIELD_LIST:
    case FIELD_TEXTS:
        rc = encode_list(f, record, &child, err);
        break;
    }
    return rc < 0 ? rc : json_set(obj, f->name, child, err);
}

int fields_encode(const struct field *table, const void *record, struct json **ret, struct error *err)
{
    _cleanup_(json_freep) struct json *obj = json_new_object();
    if (!obj)
        return error_no_memory(err);
    for (const struct field *f = table; f->name; f++) {
        int rc = encode_field(f, record, obj, err);
        if (rc < 0)
            return rc;
    }
    *ret = take(obj);
    return 0;
}

/* ---------- decode ---------- */

static int bad(const struct field *f, const char *what, struct error *err)
{
    return error_set(err, ERR_INVALID, "'%s' %s", f->name, what);
}

static int decode_text(const struct field *f, const struct json *node, char *out, struct error *err)
{
    const char *text = json_string(node, NULL);
    if (!text)
        return bad(f, "is not a text", err);
    if (strlen(text) >= f->size)
        return bad(f, "is too long", err);
    if (out)
        text_copy(out, f->size, text);
    return 0;
}

/* An element of a list may hold what a longer list left there. */
static void clear_element(const struct field *f, void *element)
{
    if (f->type == FIELD_TEXTS)
        memset(element, 0, f->size);
    else
        fields_clear(f->fields, element);
}

static int decode_list(const struct field *f, const struct json *node, void *record, struct error *err)
{
    if (json_type(node) != JSON_ARRAY)
        return bad(f, "is not a list", err);
    if (json_count(node) > f->max)
        return bad(f, "has too many elements", err);
    size_t i = 0;
    for (const struct json *e = json_first(node); e; e = json_next(e), i++) {
        void *element = at_mut(record, f->offset + i * f->size);
        if (element)
            clear_element(f, element);
        int rc = f->type == FIELD_TEXTS ? decode_text(f, e, element, err)
                                        : fields_decode(f->fields, e, element, err);
        if (rc < 0)
            return error_prefix(err, rc, "%s[%zu]", f->name, i);
    }
    if (record)
        *(size_t *)at_mut(record, f->count_offset) = i;
    return 0;
}

static int decode_number(const struct field *f, const struct json *node, int64_t *out, struct error *err)
{
    int64_t number = json_int(node, INT64_MIN);
    if (json_type(node) != JSON_NUMBER || number == INT64_MIN)
        return bad(f, "is not a whole number", err);
    if (f->type == FIELD_COUNT && number < 0)
        return bad(f, "is negative", err);
    if (out)
        *out = number;
    return 0;
}

static int decode_word(const struct field *f, const struct json *node, void *out, struct error *err)
{
    const char *word = json_string(node, NULL);
    int value = word ? words_find(f->words, word) : -1;
    if (value < 0)
        return bad(f, "is not a word that this version knows", err);
    if (out)
        memcpy(out, &value, sizeof(value));
    return 0;
}

static int decode_field(const struct field *f, const struct json *node, void *record, struct error *err)
{
    void *out = at_mut(record, f->offset);
    switch (f->type) {
    case FIELD_TEXT:
        return decode_text(f, node, out, err);
    case FIELD_INT:
    case FIELD_COUNT:
        return decode_number(f, node, out, err);
    case FIELD_BOOL:
        if (json_type(node) != JSON_BOOL)
            return bad(f, "is not true or false", err);
        if (out)
            *(bool *)out = json_bool(node, false);
        return 0;
    case FIELD_WORD:
        return decode_word(f, node, out, err);
    case FIELD_OBJECT:
        return fields_decode(f->fields, node, out, err);
    case FIELD_LIST:
    case FIELD_TEXTS:
        return decode_list(f, node, record, err);
    }
    return error_set(err, ERR_INTERNAL, "field type");
}

/* Members mostly come as the table has them, so that the next one is looked at first. */
static const struct json *find_member(const struct json *obj, const char *name, const struct json **next)
{
    const struct json *node = *next;
    if (!node || strcmp(json_key(node), name) != 0)
        node = json_get(obj, name);
    if (node)
        *next = json_next(node);
    return node;
}

int fields_decode(const struct field *table, const struct json *obj, void *record, struct error *err)
{
    if (json_type(obj) != JSON_OBJECT)
        return error_set(err, ERR_INVALID, "not an object");
    const struct json *next = json_first(obj);
    for (const struct field *f = table; f->name; f++) {
        const struct json *node = find_member(obj, f->name, &next);
        if (!node)
            continue;
        int rc = decode_field(f, node, record, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}
