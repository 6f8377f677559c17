#include "feed_checks.h"

#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

static const struct metrics_preflight *find(const struct feed_checks *c, const char *server, int64_t mod)
{
    for (size_t i = 0; c && i < c->count; i++)
        if (c->mods[i] == mod && strcmp(c->items[i].server, server) == 0)
            return &c->items[i];
    return NULL;
}

static bool parse(const struct snapshot_input *in, struct metrics_preflight *ret)
{
    _cleanup_free_ struct cluster_checks *checks = calloc(1, sizeof(*checks));
    if (!checks || cluster_checks_decode(in->body, in->len, checks, NULL) < 0 ||
        strcmp(checks->server, in->name) != 0)
        return false;
    metrics_preflight_set(checks, ret);
    return true;
}

void feed_checks_read(const struct feed_checks *before, const struct snapshot_input *in, size_t count,
                      struct feed_checks *ret)
{
    ret->count = 0;
    for (size_t i = 0; i < count && ret->count < SNAPSHOT_SERVERS_MAX; i++) {
        if (in[i].kind != CLUSTER_KEY_CHECKS || !in[i].body)
            continue;
        const struct metrics_preflight *same = find(before, in[i].name, in[i].mod_revision);
        if (same)
            ret->items[ret->count] = *same;
        else if (!parse(&in[i], &ret->items[ret->count]))
            continue;
        ret->mods[ret->count++] = in[i].mod_revision;
    }
}
