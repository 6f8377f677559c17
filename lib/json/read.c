#include "node.h"

#include <base/text.h>
#include <math.h>

enum json_type json_type(const struct json *node)
{
    if (!node)
        return JSON_NULL; /* a member that is not there reads like null */
    const cJSON *n = node_of(node);
    switch (n->type & 0xff) {
    case cJSON_False:
    case cJSON_True:
        return JSON_BOOL;
    case cJSON_Number:
        return JSON_NUMBER;
    case cJSON_String:
        return JSON_STRING;
    case cJSON_Array:
        return JSON_ARRAY;
    case cJSON_Object:
        return JSON_OBJECT;
    default:
        return JSON_NULL;
    }
}

const struct json *json_get(const struct json *obj, const char *key)
{
    if (!obj || !cJSON_IsObject(node_of(obj)))
        return NULL;
    for (const cJSON *m = node_of(obj)->child; m; m = m->next)
        if (strcmp(m->string, key) == 0)
            return (const struct json *)m;
    return NULL;
}

const struct json *json_first(const struct json *node)
{
    return node ? (const struct json *)node_of(node)->child : NULL;
}

const struct json *json_next(const struct json *node)
{
    return node ? (const struct json *)node_of(node)->next : NULL;
}

const char *json_key(const struct json *node)
{
    return node ? node_of(node)->string : NULL;
}

size_t json_count(const struct json *node)
{
    size_t n = 0;
    for (const struct json *c = json_first(node); c; c = json_next(c))
        n++;
    return n;
}

const char *json_string(const struct json *node, const char *fallback)
{
    return node && cJSON_IsString(node_of(node)) ? node_of(node)->valuestring : fallback;
}

static bool whole(const struct json *node, int64_t *out)
{
    if (!node || !cJSON_IsNumber(node_of(node)))
        return false;
    double d = node_of(node)->valuedouble;
    if (d != trunc(d) || fabs(d) > JSON_INTEGER_MAX)
        return false;
    /* 2^53 + 1 reads as the double 2^53 too; its literal tells them apart. */
    char shortest[NUMBER_TEXT_MAX];
    number_format(d, shortest);
    if (fabs(d) == JSON_INTEGER_MAX &&
        strcmp(number_text(node_of(node), (char[NUMBER_TEXT_MAX]){0}), shortest) != 0)
        return false;
    *out = (int64_t)d;
    return true;
}

int64_t json_int(const struct json *node, int64_t fallback)
{
    int64_t n = fallback;
    return whole(node, &n) ? n : fallback;
}

bool json_bool(const struct json *node, bool fallback)
{
    return node && cJSON_IsBool(node_of(node)) ? cJSON_IsTrue(node_of(node)) : fallback;
}

int json_need_string(const struct json *obj, const char *key, char *out, size_t size, struct error *err)
{
    const char *text = json_string(json_get(obj, key), NULL);
    if (!text)
        return error_set(err, ERR_INVALID, "member \"%s\" is missing or no string", key);
    if (strlen(text) >= size)
        return error_set(err, ERR_INVALID, "member \"%s\" is longer than %zu bytes", key, size - 1);
    text_copy(out, size, text);
    return 0;
}

int json_need_int(const struct json *obj, const char *key, int64_t *out, struct error *err)
{
    if (!whole(json_get(obj, key), out))
        return error_set(err, ERR_INVALID, "member \"%s\" is missing or no whole number within +/-2^53", key);
    return 0;
}

int json_need_bool(const struct json *obj, const char *key, bool *out, struct error *err)
{
    const struct json *m = json_get(obj, key);
    if (!m || !cJSON_IsBool(node_of(m)))
        return error_set(err, ERR_INVALID, "member \"%s\" is missing or neither true nor false", key);
    *out = cJSON_IsTrue(node_of(m));
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

const cJSON **sorted_members(const cJSON *obj, size_t *count)
{
    size_t n = json_count((const struct json *)obj);
    const cJSON **all = malloc((n + 1) * sizeof(*all));
    if (!all)
        return NULL;
    size_t i = 0;
    for (const cJSON *m = obj->child; m; m = m->next)
        all[i++] = m;
    qsort(all, n, sizeof(*all), by_name);
    *count = n;
    return all;
}

bool has_twins(const cJSON *obj, bool *no_memory)
{
    if (!obj->child || !obj->child->next)
        return false;
    size_t n = 0;
    _cleanup_free_ const cJSON **all = sorted_members(obj, &n);
    *no_memory = !all;
    for (size_t i = 1; all && i < n; i++)
        if (strcmp(all[i - 1]->string, all[i]->string) == 0)
            return true;
    return !all;
}

bool json_unique(const struct json *obj, bool *no_memory)
{
    *no_memory = false;
    return !has_twins(node_of(obj), no_memory);
}

/* The member of that name; looked for at `hint` first, where objects of one origin have it. */
static const cJSON *find_member(const cJSON *obj, const cJSON *hint, const char *key)
{
    if (hint && strcmp(hint->string, key) == 0)
        return hint;
    return node_of(json_get((const struct json *)obj, key));
}

static bool equal(const cJSON *a, const cJSON *b);

static bool children_equal(const cJSON *a, const cJSON *b)
{
    bool object = cJSON_IsObject(a);
    if (json_count((const struct json *)a) != json_count((const struct json *)b))
        return false;
    const cJSON *other = b->child;
    for (const cJSON *c = a->child; c; c = c->next) {
        const cJSON *twin = object ? find_member(b, other, c->string) : other;
        if (!twin || !equal(c, twin))
            return false;
        other = other->next;
    }
    return true;
}

static bool equal(const cJSON *a, const cJSON *b)
{
    if ((a->type & 0xff) != (b->type & 0xff))
        return false;
    switch (a->type & 0xff) {
    case cJSON_Number:
        return number_equal(a, b);
    case cJSON_String:
        return strcmp(a->valuestring, b->valuestring) == 0;
    case cJSON_Array:
    case cJSON_Object:
        return children_equal(a, b);
    default:
        return true;
    }
}

bool json_equal(const struct json *a, const struct json *b)
{
    return a == b || (a && b && equal(node_of(a), node_of(b)));
}
