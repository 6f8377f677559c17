#include "odd.h"

#include <stdio.h>
#include <string.h>

static size_t count_with(const struct cluster_snapshot *s, const char *hash)
{
    size_t count = 0;
    for (size_t i = 0; i < s->servers_count; i++)
        count +=
            s->servers[i].in_spec && s->servers[i].reports && strcmp(s->servers[i].report.hash, hash) == 0;
    return count;
}

/* Before anything was issued the majority is what there is to go by. */
static bool in_minority(const struct cluster_snapshot *s, const char *hash)
{
    size_t own = count_with(s, hash);
    for (size_t i = 0; i < s->servers_count; i++)
        if (s->servers[i].in_spec && s->servers[i].reports && count_with(s, s->servers[i].report.hash) > own)
            return true;
    return false;
}

/* What an operation that is under way brings, or has brought, is as expected. */
static bool expected(const struct cluster_rotation *r, const char *hash)
{
    bool under_way = *r->op.id && r->op.state != OP_STATE_FINISHED;
    return strcmp(hash, r->hash) == 0 ||
           (under_way && *hash && (strcmp(hash, r->op.target_hash) == 0 || strcmp(hash, r->op.also) == 0));
}

const char *odd_of(const struct cluster_snapshot *s, size_t i, char why[CLUSTER_TEXT_MAX])
{
    const struct snapshot_server *v = &s->servers[i];
    *why = 0;
    if (!v->in_spec || !v->reports)
        return "";
    const char *hash = v->report.hash;
    if (*v->report.file_why) {
        snprintf(why, CLUSTER_TEXT_MAX, "%s", v->report.file_why);
        return "drift";
    }
    bool issued = s->has_rotation && s->rotation.generation > 0 && *s->rotation.hash;
    if (issued && !expected(&s->rotation, hash)) {
        snprintf(why, CLUSTER_TEXT_MAX, "its config is none that was issued: %.12s, and not %.12s",
                 *hash ? hash : "none", s->rotation.hash);
        return "not-issued";
    }
    if (!issued && in_minority(s, hash)) {
        snprintf(why, CLUSTER_TEXT_MAX, "its config %.12s is another one than that of most servers",
                 *hash ? hash : "none");
        return "minority";
    }
    return "";
}
