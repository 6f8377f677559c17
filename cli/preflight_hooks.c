/* Which webhooks an update of a managed resource has to pass. */
#include <cli/preflight.h>

#include <base/text.h>
#include <json/json.h>

static bool lists(const struct json *array, const char *word)
{
    for (const struct json *e = json_first(array); e; e = json_next(e))
        if (strcmp(json_string(e, ""), "*") == 0 || strcmp(json_string(e, ""), word) == 0)
            return true;
    return false;
}

/* Resources of a rule: "secrets", "*", or with subresources ("* / *" covers the resource itself too). */
static bool lists_resource(const struct json *array, const char *plural)
{
    for (const struct json *e = json_first(array); e; e = json_next(e))
        if (strcmp(json_string(e, ""), "*/*") == 0)
            return true;
    return lists(array, plural);
}

/* "widgets.example.org": plural and group. */
static bool rule_fits(const struct json *rule, const char *resource)
{
    char plural[CLUSTER_KEY_NAME_MAX];
    const char *dot = strchr(resource, '.');
    text_copy(plural, sizeof(plural), resource);
    plural[strcspn(plural, ".")] = 0;
    return lists(json_get(rule, "operations"), "UPDATE") &&
           lists(json_get(rule, "apiGroups"), dot ? dot + 1 : "") &&
           lists_resource(json_get(rule, "resources"), plural);
}

static bool sees(const struct json *hook, const char *resource)
{
    const struct json *rules = json_get(hook, "rules");
    for (const struct json *r = json_first(rules); r; r = json_next(r))
        if (rule_fits(r, resource))
            return true;
    return false;
}

static void name_service(const struct json *hook, char out[512])
{
    const struct json *client = json_get(hook, "clientConfig"), *service = json_get(client, "service");
    if (service)
        snprintf(out, 512, "service %s/%s", json_string(json_get(service, "namespace"), "?"),
                 json_string(json_get(service, "name"), "?"));
    else
        snprintf(out, 512, "%s", json_string(json_get(client, "url"), "nowhere"));
}

static void keep(const struct json *config, const struct json *hook, const char *kind, const char *resource,
                 struct preflight_hooks *ret)
{
    if (ret->count == PREFLIGHT_HOOKS_MAX) {
        ret->more++;
        return;
    }
    struct preflight_hook *h = &ret->hooks[ret->count++];
    text_copy(h->kind, sizeof(h->kind), kind);
    text_copy(h->config, sizeof(h->config),
              json_string(json_get(json_get(config, "metadata"), "name"), "an unnamed configuration"));
    text_copy(h->name, sizeof(h->name), json_string(json_get(hook, "name"), "without a name"));
    text_copy(h->resource, sizeof(h->resource), resource);
    name_service(hook, h->service);
}

static void read_config(const struct json *config, const char *kind, const char *const *resources,
                        size_t count, struct preflight_hooks *ret)
{
    const struct json *hooks = json_get(config, "webhooks");
    for (const struct json *h = json_first(hooks); h; h = json_next(h)) {
        if (strcmp(json_string(json_get(h, "failurePolicy"), "Fail"), "Fail") != 0)
            continue;
        for (size_t i = 0; i < count; i++)
            if (sees(h, resources[i])) {
                keep(config, h, kind, resources[i], ret);
                break;
            }
    }
}

int preflight_read_hooks(const char *text, size_t len, const char *kind, const char *const *resources,
                         size_t resources_count, struct preflight_hooks *ret, struct error *err)
{
    _cleanup_(json_freep) struct json *root = NULL;
    int rc = json_parse(text, len, "list of webhooks", &root, err);
    if (rc < 0)
        return rc;
    const struct json *items = json_get(root, "items");
    if (json_type(items) != JSON_ARRAY)
        return error_set(err, ERR_INVALID, "list of webhooks: 'items' is missing");
    for (const struct json *c = json_first(items); c; c = json_next(c))
        read_config(c, kind, resources, resources_count, ret);
    return 0;
}
