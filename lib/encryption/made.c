/* Is a config what a server was asked to make of another one? */
#include <encryption/config.h>

#include <string.h>

#include <base/cleanup.h>

struct pair {
    const struct encryption_config *before, *after;
    struct resource_set managed;
};

int encryption_last_key(const struct encryption_config *c, struct resource_set managed, struct key_view *ret,
                        struct error *err)
{
    struct key_view keys[ENCRYPTION_KEYS_MAX];
    size_t count = encryption_keys(c, managed, keys, ENCRYPTION_KEYS_MAX);
    size_t last = 0;
    if (count == 0)
        return error_set(err, ERR_STATE, "it has no key");
    for (size_t i = 1; i < count; i++)
        if (keys[i].provider == keys[0].provider)
            last = i;
    *ret = keys[last ? last : count - 1];
    return 0;
}

static int prepared(const struct pair *p, struct encryption_config **ret, struct error *err)
{
    struct key_view k;
    int rc = encryption_last_key(p->after, p->managed, &k, err);
    if (rc < 0)
        return rc;
    if (encryption_key_value(p->before, p->managed, k.provider, k.name))
        return error_set(err, ERR_STATE, "no new key stands last: '%.200s' was there before", k.name);
    const struct secret *value = encryption_key_value(p->after, p->managed, k.provider, k.name);
    return encryption_append_key(p->before, p->managed, k.provider, k.name, value, ret, err);
}

static int rotated(const struct pair *p, struct encryption_config **ret, struct error *err)
{
    struct key_view k;
    int rc = encryption_last_key(p->before, p->managed, &k, err);
    return rc < 0 ? rc : encryption_promote_key(p->before, p->managed, k.provider, k.name, ret, err);
}

static int reencrypted(const struct pair *p, struct encryption_config **ret, struct error *err)
{
    struct key_view k;
    int rc = encryption_last_key(p->before, p->managed, &k, err);
    return rc < 0 ? rc : encryption_drop_key(p->before, p->managed, k.provider, k.name, ret, err);
}

static int enabled(const struct pair *p, struct encryption_config **ret, struct error *err)
{
    return encryption_enable(p->before, p->managed, ret, err);
}

static int disabled(const struct pair *p, struct encryption_config **ret, struct error *err)
{
    return encryption_disable(p->before, p->managed, ret, err);
}

static const struct {
    const char *call;
    int (*expect)(const struct pair *p, struct encryption_config **ret, struct error *err);
} calls[] = {
    {"prepare", prepared}, {"rotate", rotated},   {"reencrypt", reencrypted},
    {"enable", enabled},   {"disable", disabled},
};

static int expect(const struct pair *p, const char *call, struct encryption_config **ret, struct error *err)
{
    for (size_t i = 0; i < array_len(calls); i++)
        if (strcmp(calls[i].call, call) == 0)
            return calls[i].expect(p, ret, err);
    return error_set(err, ERR_INVALID, "'%.20s' is nothing that a server can be asked for", call);
}

int encryption_check_made(const struct encryption_config *before, const struct encryption_config *after,
                          struct resource_set managed, const char *call, struct error *err)
{
    const struct pair p = {before, after, managed};
    _cleanup_(encryption_config_freep) struct encryption_config *expected = NULL;
    char want[65], have[65];
    int rc = expect(&p, call, &expected, err);
    if (rc == 0)
        rc = encryption_config_id(expected, want, err);
    if (rc == 0)
        rc = encryption_config_id(after, have, err);
    if (rc == 0 && strcmp(want, have) != 0)
        rc = error_set(err, ERR_STATE, "its keys, or their order, are not those of before with that step");
    return rc < 0
               ? error_prefix(err, rc, "what the server made of its encryption config is not '%.20s'", call)
               : 0;
}
