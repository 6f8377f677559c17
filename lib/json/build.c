#include "node.h"

#include <base/text.h>
#include <inttypes.h>

void json_free(struct json *root)
{
    cJSON_Delete(node_of_mutable(root));
}

struct json *json_copy(const struct json *node)
{
    json_alloc_install();
    cJSON *copy = cJSON_Duplicate(node_of(node), 1);
    if (copy && copy->string) { /* a member that is copied stands alone: it has no name any more */
        json_release(copy->string);
        copy->string = NULL;
    }
    return json_of(copy);
}

struct json *json_new_object(void)
{
    json_alloc_install();
    return json_of(cJSON_CreateObject());
}

struct json *json_new_array(void)
{
    json_alloc_install();
    return json_of(cJSON_CreateArray());
}

struct json *json_new_null(void)
{
    json_alloc_install();
    return json_of(cJSON_CreateNull());
}

struct json *json_new_bool(bool value)
{
    json_alloc_install();
    return json_of(cJSON_CreateBool(value));
}

/* Texts of the operating system (an argument list, a host's name) may be any bytes; a tree holds UTF-8
 * only, so what is not becomes U+FFFD. */
static char *repaired(const char *text)
{
    static const char replacement[] = "\xef\xbf\xbd";
    size_t len = strlen(text), out = 0;
    char *copy = json_alloc(len * 3 + 1);
    for (size_t i = 0; copy && i < len;) {
        size_t n = 1;
        while (n <= 4 && n <= len - i && !text_is_utf8(text + i, n))
            n++;
        bool good = n <= 4 && n <= len - i;
        memcpy(copy + out, good ? text + i : replacement, good ? n : 3);
        out += good ? n : 3;
        i += good ? n : 1;
    }
    if (copy)
        copy[out] = 0;
    return copy;
}

struct json *json_new_string(const char *text)
{
    struct json *node = json_new_null();
    if (!node)
        return NULL;
    size_t len = strlen(text);
    char *copy = text_is_utf8(text, len) ? json_alloc_text(text, len) : repaired(text);
    if (!copy) {
        json_free(node);
        return NULL;
    }
    node_of_mutable(node)->type = cJSON_String;
    node_of_mutable(node)->valuestring = copy;
    return node;
}

int json_new_number(const char *literal, struct json **ret, struct error *err)
{
    size_t len = strlen(literal);
    if (len == 0 || number_span(literal, len) != len)
        return error_set(err, ERR_INVALID, "a malformed number");
    cJSON *n = NULL;
    int rc = number_from_literal(literal, len, &n, err);
    if (rc == 0)
        *ret = json_of(n);
    return rc;
}

/* Takes the value in every case; a member must not come with an old name. */
static int rename_node(cJSON *n, const char *key, struct error *err)
{
    char *name = key ? json_alloc_text(key, strlen(key)) : NULL;
    if (key && !name) {
        cJSON_Delete(n);
        return error_no_memory(err);
    }
    json_release(n->string);
    n->string = name;
    return 0;
}

int json_add(struct json *obj, const char *key, struct json *value, struct error *err)
{
    if (!value)
        return error_no_memory(err);
    int rc = rename_node(node_of_mutable(value), key, err);
    if (rc < 0)
        return rc;
    cJSON_AddItemToArray(node_of_mutable(obj), node_of_mutable(value));
    return 0;
}

int json_set(struct json *obj, const char *key, struct json *value, struct error *err)
{
    struct json *old = json_member(obj, key);
    if (!old)
        return json_add(obj, key, value, err);
    if (!value)
        return error_no_memory(err);
    int rc = rename_node(node_of_mutable(value), key, err);
    if (rc < 0)
        return rc;
    cJSON_ReplaceItemViaPointer(node_of_mutable(obj), node_of_mutable(old), node_of_mutable(value));
    return 0;
}

int json_set_string(struct json *obj, const char *key, const char *text, struct error *err)
{
    return json_set(obj, key, json_new_string(text), err);
}

int json_set_int(struct json *obj, const char *key, int64_t number, struct error *err)
{
    char literal[24];
    snprintf(literal, sizeof(literal), "%" PRId64, number);
    struct json *value = NULL;
    int rc = json_new_number(literal, &value, err);
    return rc < 0 ? rc : json_set(obj, key, value, err);
}

int json_set_bool(struct json *obj, const char *key, bool value, struct error *err)
{
    return json_set(obj, key, json_new_bool(value), err);
}

int json_append(struct json *array, struct json *value, struct error *err)
{
    return json_add(array, NULL, value, err);
}

/* cJSON_InsertItemInArray of 1.7.15 with Debian's security fixes refuses every place but the first. The
 * list's first node has the last one as its prev. */
static void link_before(cJSON *array, cJSON *at, cJSON *n)
{
    n->next = at;
    n->prev = at->prev;
    at->prev = n;
    if (array->child == at)
        array->child = n;
    else
        n->prev->next = n;
}

int json_insert(struct json *array, size_t index, struct json *value, struct error *err)
{
    if (!value)
        return error_no_memory(err);
    int rc = rename_node(node_of_mutable(value), NULL, err);
    if (rc < 0)
        return rc;
    struct json *at = json_element(array, index);
    if (at)
        link_before(node_of_mutable(array), node_of_mutable(at), node_of_mutable(value));
    else
        cJSON_AddItemToArray(node_of_mutable(array), node_of_mutable(value));
    return 0;
}

struct json *json_member(struct json *obj, const char *key)
{
    return (struct json *)json_get(obj, key);
}

struct json *json_element(struct json *node, size_t index)
{
    const struct json *c = json_first(node);
    while (c && index-- > 0)
        c = json_next(c);
    return (struct json *)c;
}

struct json *json_detach(struct json *parent, struct json *child)
{
    return json_of(cJSON_DetachItemViaPointer(node_of_mutable(parent), node_of_mutable(child)));
}

void json_remove(struct json *parent, struct json *child)
{
    json_free(json_detach(parent, child));
}
