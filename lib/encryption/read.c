/* From a document's JSON tree to the typed view, with a place for every refusal. */
#include "model.h"

#include <stdarg.h>

#define KEY_INSTANCES_MAX 1024 /* in all entries, each key of each counted */
#define SHOWN_MAX         40   /* bytes of the file's text in an error text */

/* Where in the document the reader is; -1 for levels not reached. */
struct reader {
    struct encryption_config *c;
    int entry, stage, key;
    const char *kind; /* the provider's name at `stage` */
    struct error *err;
};

static void place(const struct reader *r, char *out, size_t size)
{
    char entry[32] = "", stage[32] = "", key[32] = "";
    if (r->entry >= 0)
        snprintf(entry, sizeof(entry), ": resources[%d]", r->entry);
    if (r->stage >= 0)
        snprintf(stage, sizeof(stage), ".providers[%d]", r->stage);
    if (r->key >= 0)
        snprintf(key, sizeof(key), ".keys[%d]", r->key);
    snprintf(out, size, "%s%s%s%s%s", entry, stage, r->kind ? "." : "", r->kind ? r->kind : "", key);
}

static int bad(const struct reader *r, const char *format, ...) _printf_(2, 3);
static int bad(const struct reader *r, const char *format, ...)
{
    char at[128], why[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(why, sizeof(why), format, ap);
    va_end(ap);
    place(r, at, sizeof(at));
    return error_set(r->err, ERR_INVALID, "%s%s: %s", r->c->what, at, why);
}

/* A text of the file for an error text: only a short one of letters, digits and the like. Anything else might
 * be a key that got into the wrong place. */
static const char *shown(const char *text, char out[SHOWN_MAX + 32])
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
    size_t len = strlen(text);
    if (len <= SHOWN_MAX && strspn(text, good) == len)
        snprintf(out, SHOWN_MAX + 32, "\"%s\"", text);
    else
        snprintf(out, SHOWN_MAX + 32, "a text of %zu bytes", len);
    return out;
}

static int need_member(const struct reader *r, const struct json *root, const char *member, const char *due)
{
    char found[SHOWN_MAX + 32];
    const char *text = json_string(json_get(root, member), NULL);
    if (!text)
        return bad(r, "%s is missing or no string; %s is due", member, due);
    return strcmp(text, due) == 0 ? 0 : bad(r, "%s is %s; only %s is known", member, shown(text, found), due);
}

/* A non-empty array. */
static int need_list(const struct reader *r, const struct json *obj, const char *member,
                     const struct json **ret)
{
    const struct json *list = json_get(obj, member);
    if (!list || json_type(list) != JSON_ARRAY || !json_first(list))
        return bad(r, "%s is missing, empty or no list", member);
    *ret = list;
    return 0;
}

/* Go's decoder, which API servers use, skips line breaks: they stand where YAML holds a key in a block. */
static int decode_key(const char *text, struct secret **ret, struct error *err)
{
    size_t len = strlen(text);
    _cleanup_(secret_freep) struct secret *joined = secret_new(len);
    if (!joined)
        return error_no_memory(err);
    for (size_t i = 0; i < len; i++)
        if (text[i] != '\r' && text[i] != '\n')
            joined->data[joined->len++] = (uint8_t)text[i];
    return crypto_base64_decode((const char *)joined->data, joined->len, ret, err);
}

static int read_value(const struct reader *r, const struct json *node, enum provider kind,
                      struct secret **ret)
{
    const char *text = json_string(json_get(node, "secret"), NULL);
    if (!text || !*text)
        return bad(r, "secret is missing, empty or no string");
    int rc = decode_key(text, ret, r->err);
    if (rc == ERR_INVALID)
        return bad(r, "secret is not base64");
    if (rc == 0 && !provider_takes(kind, (*ret)->len))
        return bad(r, "the key has %zu bytes; %s takes %s", (*ret)->len, provider_name(kind),
                   provider_key_sizes(kind));
    return rc;
}

/* A key is counted as soon as its memory has to be freed. */
static int read_key(const struct reader *r, const struct json *node, struct stage *s)
{
    const char *name = json_string(json_get(node, "name"), NULL);
    if (!name || !*name)
        return bad(r, "name is missing, empty or no string");
    if (!key_name_is_good(name))
        return bad(r, "name has control characters, or more than %d bytes", ENCRYPTION_KEY_NAME_MAX);
    for (size_t i = 0; i < s->key_count; i++)
        if (strcmp(s->keys[i].name, name) == 0)
            return bad(r, "the same name as keys[%zu]", i);
    if (++r->c->key_count > KEY_INSTANCES_MAX)
        return bad(r, "more than %d keys", KEY_INSTANCES_MAX);
    struct key *k = &s->keys[s->key_count++];
    k->name = name;
    return read_value(r, node, s->kind, &k->value);
}

static int read_keys(struct reader *r, const struct json *settings, struct stage *s)
{
    const struct json *list = NULL;
    int rc = need_list(r, settings, "keys", &list);
    if (rc < 0)
        return rc;
    s->keys = calloc(json_count(list), sizeof(*s->keys));
    if (!s->keys)
        return error_no_memory(r->err);
    r->key = 0;
    for (const struct json *k = json_first(list); rc == 0 && k; k = json_next(k), r->key++)
        rc = read_key(r, k, s);
    r->key = -1;
    return rc;
}

static int read_stage(struct reader *r, const struct json *node, struct stage *s)
{
    char found[SHOWN_MAX + 32];
    const struct json *settings = json_first(node);
    if (json_type(node) != JSON_OBJECT || json_count(node) != 1)
        return bad(r, "a provider must be an object with one member, its name");
    if (provider_parse(json_key(settings), &s->kind, NULL) < 0)
        return bad(r, "unknown provider %s; known are identity, aescbc, aesgcm, secretbox and kms",
                   shown(json_key(settings), found));
    r->kind = provider_name(s->kind);
    if (json_type(settings) != JSON_OBJECT)
        return bad(r, "must be an object");
    enum cipher cipher;
    int rc = provider_cipher(s->kind, &cipher) ? read_keys(r, settings, s) : 0;
    r->kind = NULL;
    return rc;
}

static int read_stages(struct reader *r, const struct json *node, struct entry *e)
{
    const struct json *list = NULL;
    int rc = need_list(r, node, "providers", &list);
    if (rc < 0)
        return rc;
    e->stages = calloc(json_count(list), sizeof(*e->stages));
    if (!e->stages)
        return error_no_memory(r->err);
    r->stage = 0;
    for (const struct json *s = json_first(list); rc == 0 && s; s = json_next(s), r->stage++)
        rc = read_stage(r, s, &e->stages[e->stage_count++]);
    r->stage = -1;
    return rc;
}

static int read_resources(struct reader *r, const struct json *node, struct entry *e)
{
    const struct json *list = NULL;
    int rc = need_list(r, node, "resources", &list);
    if (rc < 0)
        return rc;
    e->resources = calloc(json_count(list), sizeof(*e->resources));
    if (!e->resources)
        return error_no_memory(r->err);
    for (const struct json *n = json_first(list); n; n = json_next(n)) {
        const char *name = json_string(n, "");
        if (!*name)
            return bad(r, "resources[%zu] is empty or no string", e->resource_count);
        e->resources[e->resource_count++] = name;
    }
    return 0;
}

static int read_entry(struct reader *r, const struct json *node, struct entry *e)
{
    if (json_type(node) != JSON_OBJECT)
        return bad(r, "must be an object");
    int rc = read_resources(r, node, e);
    return rc < 0 ? rc : read_stages(r, node, e);
}

static int read_entries(struct reader *r)
{
    const struct json *list = NULL;
    int rc = need_list(r, r->c->doc, "resources", &list);
    if (rc < 0)
        return rc;
    r->c->entries = calloc(json_count(list), sizeof(*r->c->entries));
    if (!r->c->entries)
        return error_no_memory(r->err);
    r->entry = 0;
    for (const struct json *e = json_first(list); rc == 0 && e; e = json_next(e), r->entry++)
        rc = read_entry(r, e, &r->c->entries[r->c->entry_count++]);
    r->entry = -1;
    return rc;
}

static int read_root(struct reader *r)
{
    const struct json *root = r->c->doc;
    if (json_type(root) != JSON_OBJECT)
        return bad(r, "not an EncryptionConfiguration: the document is no object");
    int rc = need_member(r, root, "kind", "EncryptionConfiguration");
    if (rc == 0)
        rc = need_member(r, root, "apiVersion", "apiserver.config.k8s.io/v1");
    if (rc == 0)
        rc = read_entries(r);
    if (rc == 0 && distinct_keys(r->c) > ENCRYPTION_KEYS_MAX)
        rc = bad(r, "more than %d different keys", ENCRYPTION_KEYS_MAX);
    return rc;
}

int config_from_doc(struct json *doc, bool yaml, const char *what, struct encryption_config **ret,
                    struct error *err)
{
    _cleanup_(encryption_config_freep) struct encryption_config *c = calloc(1, sizeof(*c));
    if (!c) {
        json_free(doc);
        return error_no_memory(err);
    }
    c->doc = doc;
    c->yaml = yaml;
    c->what = strdup(what);
    if (!c->what)
        return error_no_memory(err);
    struct reader r = {c, -1, -1, -1, NULL, err};
    int rc = read_root(&r);
    if (rc < 0)
        return rc;
    *ret = take(c);
    return 0;
}
