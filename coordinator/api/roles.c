#include "roles.h"

#include <string.h>

#include <cluster/codec.h>

static const char *const names[] = {
    [API_ROLE_NONE] = "none",
    [API_ROLE_VIEWER] = "viewer",
    [API_ROLE_OPERATOR] = "operator",
    [API_ROLE_ADMIN] = "admin",
};

/* What each call needs at least. What is not in the table needs an admin. */
static const enum api_role needs[API_CALLS] = {
    [API_STATUS] = API_ROLE_VIEWER,  [API_WATCH] = API_ROLE_VIEWER,    [API_EXPLAIN] = API_ROLE_VIEWER,
    [API_KEYS] = API_ROLE_VIEWER,    [API_AUDIT] = API_ROLE_VIEWER,    [API_START] = API_ROLE_OPERATOR,
    [API_PAUSE] = API_ROLE_OPERATOR, [API_RESUME] = API_ROLE_OPERATOR, [API_THROTTLE] = API_ROLE_OPERATOR,
    [API_LOCK] = API_ROLE_OPERATOR,  [API_UNLOCK] = API_ROLE_OPERATOR, [API_WITHDRAW] = API_ROLE_OPERATOR,
    [API_ABORT] = API_ROLE_ADMIN,    [API_REPAIR] = API_ROLE_ADMIN,
};

/* Operations that an operator may start; of all others it is an admin. */
static const char *const operators_kinds[] = {"prepare",     "rotate", "reencrypt",
                                              "rotate-keys", "enable", "restart"};

const char *api_role_name(enum api_role role)
{
    return names[role];
}

static enum api_role role_parse(const char *word)
{
    for (int i = API_ROLE_VIEWER; i <= API_ROLE_ADMIN; i++)
        if (strcmp(names[i], word) == 0)
            return (enum api_role)i;
    return API_ROLE_NONE;
}

static bool among(const char *text, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], text) == 0)
            return true;
    return false;
}

/* An empty text in the configuration matches nothing: a certificate without a subject is nobody. */
static bool matches(const struct config_api_role *rule, const struct api_caller *c)
{
    if (*rule->subject)
        return strcmp(rule->subject, c->subject) == 0;
    if (*rule->san)
        return among(rule->san, c->sans, c->sans_count);
    return *rule->group && among(rule->group, c->groups, c->groups_count);
}

enum api_role api_role_of(const struct config_api *config, const struct api_caller *caller)
{
    enum api_role best = API_ROLE_NONE;
    if (caller->local)
        return API_ROLE_ADMIN;
    for (size_t i = 0; i < config->roles_count; i++) {
        enum api_role role = role_parse(config->roles[i].role);
        if (role > best && matches(&config->roles[i], caller))
            best = role;
    }
    return best;
}

static bool is_operators(int kind)
{
    const char *name = kind >= 0 ? operation_kind_name((enum operation_kind)kind) : NULL;
    return name && among(name, operators_kinds, sizeof(operators_kinds) / sizeof(operators_kinds[0]));
}

static enum api_role needed(const struct api_deed *d)
{
    bool special = d->force || d->skip || d->now || (d->call == API_START && !is_operators(d->kind));
    enum api_role role = (unsigned)d->call < API_CALLS ? needs[d->call] : API_ROLE_ADMIN;
    return special || role == API_ROLE_NONE ? API_ROLE_ADMIN : role;
}

int api_role_check(enum api_role role, const struct api_deed *d, struct error *err)
{
    enum api_role need = needed(d);
    if (role >= need && role != API_ROLE_NONE)
        return 0;
    if (role == API_ROLE_NONE)
        return error_set(err, ERR_DENIED,
                         "no role: api.roles of the coordinators' configuration names nobody "
                         "with this certificate");
    const char *flag = d->force ? " with --force" : d->skip ? " with --skip" : d->now ? " with --now" : "";
    const char *kind =
        d->call == API_START && d->kind >= 0 ? operation_kind_name((enum operation_kind)d->kind) : NULL;
    return error_set(err, ERR_DENIED, "not allowed: %s%s needs the role %s, and this caller is %s",
                     kind ? kind : api_call_name(d->call), flag, names[need],
                     role == API_ROLE_OPERATOR ? "an operator" : "a viewer");
}
