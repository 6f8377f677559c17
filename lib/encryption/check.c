/* What must hold before keys of a config are rotated. */
#include "model.h"

static int unsupported(const struct encryption_config *c, size_t entry, struct error *err, const char *why)
{
    return error_set(err, ERR_UNSUPPORTED, "%s: resources[%zu]: %s", c->what, entry, why);
}

/* The one entry that names the resource. */
static int find_entry(const struct encryption_config *c, const char *resource, size_t *ret, struct error *err)
{
    size_t found = 0, at = 0;
    for (size_t i = 0; i < c->entry_count; i++) {
        if (!entry_names(&c->entries[i], resource))
            continue;
        if (found++ > 0)
            return error_set(err, ERR_UNSUPPORTED,
                             "%s: %s stands in resources[%zu] and resources[%zu]; which keys count then "
                             "depends on the API "
                             "server's version: leave it in one of them",
                             c->what, resource, at, i);
        at = i;
    }
    if (found > 0) {
        *ret = at;
        return 0;
    }
    if (entry_of(c, resource))
        return error_set(err, ERR_UNSUPPORTED,
                         "%s: %s is covered by a wildcard only; give it an entry of its own before that one",
                         c->what, resource);
    return error_set(err, ERR_NOT_FOUND, "%s: %s stands in no entry, so it is not encrypted; add it to one",
                     c->what, resource);
}

static int check_place(const struct encryption_config *c, const char *resource, size_t *entry,
                       struct error *err)
{
    int rc = find_entry(c, resource, entry, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i <= *entry; i++)
        for (size_t k = 0; k < c->entries[i].resource_count; k++)
            if (resource_covered(c->entries[i].resources[k], resource))
                return error_set(
                    err, ERR_UNSUPPORTED,
                    "%s: the wildcard %s in resources[%zu] covers %s before its own entry does; move that "
                    "entry behind it",
                    c->what, c->entries[i].resources[k], i, resource);
    return 0;
}

static int check_resources(const struct encryption_config *c, size_t at, struct resource_set managed,
                           struct error *err)
{
    const struct entry *e = &c->entries[at];
    for (size_t i = 0; i < e->resource_count; i++)
        if (!set_has(managed, e->resources[i]))
            return error_set(
                err, ERR_UNSUPPORTED,
                "%s: resources[%zu] also names %.100s, which is not managed here; manage it too, or give "
                "it an entry of its own",
                c->what, at, e->resources[i]);
    return 0;
}

static int check_names(const struct encryption_config *c, size_t at, const struct stage *s, struct error *err)
{
    for (size_t i = 0; i < s->key_count; i++)
        for (size_t k = 0; k < i; k++)
            if (key_names_clash(s->keys[i].name, s->keys[k].name))
                return error_set(
                    err, ERR_UNSUPPORTED,
                    "%s: resources[%zu]: the name of one %s key is that of another up to a colon (keys[%zu] "
                    "and "
                    "keys[%zu]), so that API servers take values under one for such under the other; values "
                    "must be moved off one of them by hand first",
                    c->what, at, provider_name(s->kind), k, i);
    return 0;
}

static int check_stages(const struct encryption_config *c, size_t at, struct error *err)
{
    const struct entry *e = &c->entries[at];
    if (find_stage(e, PROVIDER_KMS, NULL) >= 0)
        return unsupported(c, at, err,
                           "a kms provider's keys are rotated by its own plugin, not by this program");
    for (size_t i = 0; i < e->stage_count; i++) {
        if (find_stage(e, e->stages[i].kind, NULL) != (int)i)
            return error_set(
                err, ERR_UNSUPPORTED,
                "%s: resources[%zu] has two %s providers, of which older API servers read with the first "
                "only; put their keys into one, in the same order",
                c->what, at, provider_name(e->stages[i].kind));
        int rc = check_names(c, at, &e->stages[i], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* A key of one name is one key: what is said of it, and what is kept of it in escrow, is said once. */
static int check_values(const struct encryption_config *c, size_t at, struct resource_set managed,
                        struct error *err)
{
    const struct entry *e = &c->entries[at];
    for (size_t s = 0; s < e->stage_count; s++)
        for (size_t k = 0; k < e->stages[s].key_count; k++) {
            const struct key *key = &e->stages[s].keys[k];
            const struct secret *first = encryption_key_value(c, managed, e->stages[s].kind, key->name);
            if (!secret_equal(first, key->value))
                return error_set(
                    err, ERR_UNSUPPORTED,
                    "%s: resources[%zu].providers[%zu].%s.keys[%zu] has the name of a key of another entry "
                    "and another value; rotate that entry on its own first",
                    c->what, at, s, provider_name(e->stages[s].kind), k);
        }
    return 0;
}

int encryption_check_managed(const struct encryption_config *c, struct resource_set managed,
                             struct error *err)
{
    if (managed.count == 0)
        return error_set(err, ERR_INVALID, "no managed resources are named; name secrets at least");
    for (size_t i = 0; i < managed.count; i++) {
        size_t at = 0;
        int rc = check_place(c, managed.names[i], &at, err);
        if (rc == 0)
            rc = check_resources(c, at, managed, err);
        if (rc == 0)
            rc = check_stages(c, at, err);
        if (rc == 0)
            rc = check_values(c, at, managed, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}
