#include "internal.h"

#include <base/text.h>
#include <encryption/config.h>

/* A key of our kind stands in the entry: what is under kms or nothing is not ours to rotate. */
static bool has_keys(const struct json *entry)
{
    const struct json *providers = json_get(entry, "providers");
    for (const struct json *p = json_first(providers); p; p = json_next(p)) {
        const struct json *body = json_first(p);
        enum provider kind;
        if (body && provider_parse(json_key(body), &kind, NULL) == 0 && kind != PROVIDER_IDENTITY &&
            kind != PROVIDER_KMS)
            return true;
    }
    return false;
}

static void take_resource(struct discover_facts *f, const char *name)
{
    if (!*name || strlen(name) >= DISCOVER_NAME_MAX || f->resources_count == CONFIG_RESOURCES_MAX)
        return;
    if (strchr(name, '*')) {
        note(f, "the encryption config has an entry for %s: name the resources under it one by one", name);
        return;
    }
    for (size_t i = 0; i < f->resources_count; i++)
        if (strcmp(f->resources[i], name) == 0)
            return;
    (void)text_copy(f->resources[f->resources_count++], DISCOVER_NAME_MAX, name);
}

void use_resources(struct finder *d)
{
    if (!*d->f->encryption_config)
        return;
    if (!found_file(d, d->f->encryption_config)) {
        note(d->f, "%s is not there: encryption is not on yet", d->f->encryption_config);
        return;
    }
    _cleanup_(json_freep) struct json *root = found_yaml(d, d->f->encryption_config);
    const struct json *entries = json_get(root, "resources");
    for (const struct json *e = json_first(entries); e; e = json_next(e)) {
        const struct json *names = has_keys(e) ? json_get(e, "resources") : NULL;
        for (const struct json *n = json_first(names); n; n = json_next(n))
            take_resource(d->f, json_string(n, ""));
    }
    if (root && d->f->resources_count == 0)
        note(d->f, "no resource is encrypted with a key in %s", d->f->encryption_config);
}
