/* The operations: each edits a copy of the document's tree, entry by entry, and reads the view anew. */
#include "model.h"

#include <base/secret_heap.h>

/* One edit of one managed entry: its view as it was, and the `providers` array of the copy. */
struct edit {
    const struct encryption_config *c;
    enum provider provider;
    const char *name;
    const struct secret *key;
    struct error *err;
};
typedef int (*edit_fn)(const struct edit *x, const struct entry *e, struct json *providers);

static int apply(const struct edit *x, struct resource_set managed, edit_fn fn,
                 struct encryption_config **ret)
{
    _secret_heap_;
    struct json *doc = json_copy(x->c->doc);
    if (!doc)
        return error_no_memory(x->err);
    struct json *entries = json_member(doc, "resources");
    int rc = 0;
    size_t i = 0, edited = 0;
    for (const struct entry *e; rc == 0 && (e = next_managed(x->c, managed, &i)); i++, edited++)
        rc = fn(x, e, json_member(json_element(entries, i), "providers"));
    if (rc == 0 && edited == 0)
        rc = error_set(x->err, ERR_NOT_FOUND, "%s: no entry names a managed resource", x->c->what);
    if (rc < 0) {
        json_free(doc);
        return rc;
    }
    return config_from_doc(doc, x->c->yaml, x->c->what, ret, x->err);
}

/* The array of keys of providers[at]. */
static struct json *keys_of(struct json *providers, int at, enum provider kind)
{
    return json_member(json_member(json_element(providers, (size_t)at), provider_name(kind)), "keys");
}

static int move(struct json *array, int from, size_t to, struct error *err)
{
    return json_insert(array, to, json_detach(array, json_element(array, (size_t)from)), err);
}

static int need_keys(enum provider p, struct error *err)
{
    enum cipher cipher;
    return provider_cipher(p, &cipher)
               ? 0
               : error_set(err, ERR_INVALID, "the provider %s has no keys to work with", provider_name(p));
}

/* --- append --- */

static int check_new_key(const struct edit *x)
{
    int rc = need_keys(x->provider, x->err);
    if (rc < 0)
        return rc;
    if (!key_name_is_good(x->name))
        return error_set(x->err, ERR_INVALID, "a key's name has 1 to %d bytes and no control characters",
                         ENCRYPTION_KEY_NAME_MAX);
    if (!provider_takes(x->provider, x->key->len))
        return error_set(x->err, ERR_INVALID, "a new key has %zu bytes; %s takes %s", x->key->len,
                         provider_name(x->provider), provider_key_sizes(x->provider));
    return 0;
}

static int check_name_free(const struct edit *x, const struct entry *e)
{
    for (size_t s = 0; s < e->stage_count; s++)
        for (size_t k = 0; k < e->stages[s].key_count; k++) {
            const char *taken = e->stages[s].keys[k].name;
            if (strcmp(taken, x->name) == 0)
                return error_set(x->err, ERR_CONFLICT, "%s: a %s key named %s is there already", x->c->what,
                                 provider_name(e->stages[s].kind), x->name);
            if (key_names_clash(taken, x->name))
                return error_set(
                    x->err, ERR_CONFLICT,
                    "%s: the key names %s and %s are the same up to a colon, which API servers mix up; "
                    "choose another",
                    x->c->what, taken, x->name);
        }
    return 0;
}

/* {"name": …, "secret": …} */
static int new_key(const struct edit *x, struct json **ret)
{
    _cleanup_(json_freep) struct json *node = json_new_object();
    _cleanup_(secret_freep) struct secret *text = NULL;
    if (!node)
        return error_no_memory(x->err);
    int rc = crypto_base64_encode(x->key->data, x->key->len, &text, x->err);
    if (rc == 0)
        rc = json_set_string(node, "name", x->name, x->err);
    if (rc == 0)
        rc = json_set_string(node, "secret", (const char *)text->data, x->err);
    if (rc < 0)
        return rc;
    *ret = take(node);
    return 0;
}

/* {"<provider>": {"keys": […]}}; takes the key. */
static int new_stage(const struct edit *x, struct json *key, struct json **ret)
{
    _cleanup_(json_freep) struct json *node = json_new_object();
    struct json *settings = json_new_object();
    struct json *keys = json_new_array();
    int rc = node && settings && keys ? 0 : error_no_memory(x->err);
    if (rc < 0) {
        json_free(key);
        json_free(settings);
        json_free(keys);
        return rc;
    }
    rc = json_set(node, provider_name(x->provider), settings, x->err);
    if (rc == 0)
        rc = json_set(settings, "keys", keys, x->err);
    else
        json_free(keys);
    if (rc < 0) {
        json_free(key);
        return rc;
    }
    rc = json_append(keys, key, x->err);
    if (rc < 0)
        return rc;
    *ret = take(node);
    return 0;
}

static int append_stage(const struct edit *x, const struct entry *e, struct json *providers, struct json *key)
{
    struct json *stage = NULL;
    int rc = new_stage(x, key, &stage);
    if (rc < 0)
        return rc;
    size_t last = e->stage_count - 1;
    /* Before a closing identity, but never first: nothing is to be written with the new key yet. */
    bool before = last > 0 && e->stages[last].kind == PROVIDER_IDENTITY;
    return json_insert(providers, before ? last : last + 1, stage, x->err);
}

static int append_key(const struct edit *x, const struct entry *e, struct json *providers)
{
    struct json *key = NULL;
    int rc = check_name_free(x, e);
    if (rc == 0)
        rc = new_key(x, &key);
    if (rc < 0)
        return rc;
    int at = find_stage(e, x->provider, NULL);
    return at < 0 ? append_stage(x, e, providers, key)
                  : json_append(keys_of(providers, at, x->provider), key, x->err);
}

int encryption_append_key(const struct encryption_config *c, struct resource_set managed,
                          enum provider provider, const char *name, const struct secret *key,
                          struct encryption_config **ret, struct error *err)
{
    struct edit x = {c, provider, name, key, err};
    int rc = check_new_key(&x);
    return rc < 0 ? rc : apply(&x, managed, append_key, ret);
}

/* --- promote --- */

static int key_missing(const struct edit *x)
{
    return error_set(x->err, ERR_NOT_FOUND, "%s: not every managed entry has the %s key %s", x->c->what,
                     provider_name(x->provider), x->name);
}

static int promote_key(const struct edit *x, const struct entry *e, struct json *providers)
{
    int at = find_stage(e, x->provider, x->name);
    if (at < 0)
        return key_missing(x);
    const struct stage *s = &e->stages[at];
    int rc = move(keys_of(providers, at, x->provider), (int)(stage_key(s, x->name) - s->keys), 0, x->err);
    return rc < 0 ? rc : move(providers, at, 0, x->err);
}

int encryption_promote_key(const struct encryption_config *c, struct resource_set managed,
                           enum provider provider, const char *name, struct encryption_config **ret,
                           struct error *err)
{
    struct edit x = {c, provider, name, NULL, err};
    int rc = need_keys(provider, err);
    return rc < 0 ? rc : apply(&x, managed, promote_key, ret);
}

/* --- drop --- */

static int drop_key(const struct edit *x, const struct entry *e, struct json *providers)
{
    int at = find_stage(e, x->provider, x->name);
    if (at < 0)
        return 0;
    const struct stage *s = &e->stages[at];
    const struct key *key = stage_key(s, x->name);
    if (key == write_key(e))
        return error_set(x->err, ERR_STATE,
                         "%s: the %s key %s is the one that values are written with; it cannot go",
                         x->c->what, provider_name(x->provider), x->name);
    if (s->key_count == 1) {
        json_remove(providers, json_element(providers, (size_t)at));
        return 0;
    }
    struct json *keys = keys_of(providers, at, x->provider);
    json_remove(keys, json_element(keys, (size_t)(key - s->keys)));
    return 0;
}

int encryption_drop_key(const struct encryption_config *c, struct resource_set managed,
                        enum provider provider, const char *name, struct encryption_config **ret,
                        struct error *err)
{
    struct edit x = {c, provider, name, NULL, err};
    int rc = need_keys(provider, err);
    if (rc == 0 && !encryption_key_value(c, managed, provider, name))
        rc = error_set(err, ERR_NOT_FOUND, "%s: no managed entry has the %s key %s", c->what,
                       provider_name(provider), name);
    return rc < 0 ? rc : apply(&x, managed, drop_key, ret);
}

/* --- identity --- */

static int append_identity(const struct edit *x, const struct entry *e, struct json *providers)
{
    if (find_stage(e, PROVIDER_IDENTITY, NULL) >= 0)
        return 0;
    _cleanup_(json_freep) struct json *stage = json_new_object();
    if (!stage)
        return error_no_memory(x->err);
    int rc = json_set(stage, provider_name(PROVIDER_IDENTITY), json_new_object(), x->err);
    return rc < 0 ? rc : json_append(providers, take(stage), x->err);
}

int encryption_append_identity(const struct encryption_config *c, struct resource_set managed,
                               struct encryption_config **ret, struct error *err)
{
    struct edit x = {c, PROVIDER_IDENTITY, NULL, NULL, err};
    return apply(&x, managed, append_identity, ret);
}

static int disable(const struct edit *x, const struct entry *e, struct json *providers)
{
    int at = find_stage(e, PROVIDER_IDENTITY, NULL);
    if (at < 0)
        return error_set(x->err, ERR_STATE,
                         "%s: a managed entry has no identity provider, so plain values could not be "
                         "read; append it first",
                         x->c->what);
    return move(providers, at, 0, x->err);
}

int encryption_disable(const struct encryption_config *c, struct resource_set managed,
                       struct encryption_config **ret, struct error *err)
{
    struct edit x = {c, PROVIDER_IDENTITY, NULL, NULL, err};
    return apply(&x, managed, disable, ret);
}

static bool has_key(const struct entry *e)
{
    for (size_t i = 0; i < e->stage_count; i++)
        if (e->stages[i].key_count > 0)
            return true;
    return false;
}

static int enable(const struct edit *x, const struct entry *e, struct json *providers)
{
    if (!has_key(e))
        return error_set(x->err, ERR_NOT_FOUND,
                         "%s: a managed entry has no key to encrypt with; append one first", x->c->what);
    int at = find_stage(e, PROVIDER_IDENTITY, NULL);
    return at < 0 ? 0 : move(providers, at, e->stage_count, x->err);
}

int encryption_enable(const struct encryption_config *c, struct resource_set managed,
                      struct encryption_config **ret, struct error *err)
{
    struct edit x = {c, PROVIDER_IDENTITY, NULL, NULL, err};
    return apply(&x, managed, enable, ret);
}
