#include <report/odd.h>

#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/text.h>
#include <report/differ.h>
#include <rotation/rotation.h>

#define NAMES_MAX 4 /* servers that are named; of more, how many there are */

static const char *const names[] = {
    [ODD_NO] = "no",   [ODD_DRIFT] = "drift",   [ODD_NOT_ISSUED] = "not-issued", [ODD_MINORITY] = "minority",
    [ODD_TIE] = "tie", [ODD_SILENT] = "silent", [ODD_NEWER] = "newer",
};

const char *odd_name(enum odd_kind kind)
{
    return names[kind];
}

/* Servers that are compared: as in K3s, those without an API server have nothing that counts. */
static bool counts(const struct cluster_snapshot *s, const struct snapshot_server *v)
{
    return v->in_spec && !snapshot_etcd_only(s, (size_t)(v - s->servers));
}

/* Something was issued, or taken over: until then the servers can be held against each other alone. */
static bool any_issued(const struct cluster_snapshot *s)
{
    return s->has_rotation && s->rotation.generation > 0 && *s->rotation.hash;
}

/* What a halted operation had begun to bring is no fault of the server that has it. */
static bool is_right(const struct cluster_snapshot *s, const struct snapshot_server *v)
{
    const struct cluster_operation *op = &s->rotation.op;
    const struct snapshot_bundle *target = snapshot_bundle(s, op->target);
    bool halted = *op->id && op->state == OP_STATE_HALTED;
    return rotation_may_have(s, v, v->report.hash) ||
           (halted && target && strcmp(v->report.hash, target->hash) == 0);
}

static bool was_issued(const struct cluster_snapshot *s, const char *hash)
{
    for (size_t i = s->bundles_count; i > 0; i--)
        if (strcmp(s->bundles[i - 1].hash, hash) == 0)
            return true;
    return false;
}

bool odd_drifted(const struct cluster_snapshot *s, const struct snapshot_server *v)
{
    return counts(s, v) && v->reports && (any_issued(s) ? !is_right(s, v) : rotation_is_newer(s, v));
}

/* ---------- the reference ---------- */

static size_t having(const struct cluster_snapshot *s, const char *hash)
{
    size_t n = 0;
    for (size_t i = 0; i < s->servers_count; i++)
        n += counts(s, &s->servers[i]) && s->servers[i].reports &&
             strcmp(s->servers[i].report.hash, hash) == 0;
    return n;
}

static size_t reporting(const struct cluster_snapshot *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->servers_count; i++)
        n += counts(s, &s->servers[i]) && s->servers[i].reports;
    return n;
}

static const struct snapshot_server *first_having(const struct cluster_snapshot *s, const char *hash)
{
    const struct snapshot_server *first = NULL;
    for (size_t i = 0; i < s->servers_count; i++) {
        const struct snapshot_server *v = &s->servers[i];
        if (!counts(s, v) || !v->reports || strcmp(v->report.hash, hash) != 0)
            continue;
        if (*v->report.layout)
            return v;
        first = first ? first : v;
    }
    return first;
}

/* The file that more than half of the reporting servers have; NULL: none is. A majority vote in one pass:
 * what is had by more than half outlasts all others. */
static const char *majority(const struct cluster_snapshot *s)
{
    const char *hash = NULL;
    size_t votes = 0;
    for (size_t i = 0; i < s->servers_count; i++) {
        const struct snapshot_server *v = &s->servers[i];
        if (!counts(s, v) || !v->reports)
            continue;
        if (votes == 0)
            hash = v->report.hash;
        votes += strcmp(v->report.hash, hash) == 0 ? 1 : (size_t)-1;
    }
    return hash && 2 * having(s, hash) > reporting(s) ? hash : NULL;
}

/* What was issued: the settled file; where no server has that any more, the one that is being brought. */
static const char *issued(const struct cluster_snapshot *s)
{
    const struct snapshot_bundle *target = snapshot_bundle(s, s->rotation.op.target);
    bool moves = *s->rotation.op.id && s->rotation.op.state != OP_STATE_FINISHED && target;
    return moves && having(s, s->rotation.hash) == 0 ? target->hash : s->rotation.hash;
}

void odd_where(const struct cluster_snapshot *s, const char *hash, bool as_issued, char out[ODD_WHERE_MAX])
{
    size_t n = having(s, hash), told = 0;
    size_t len = (size_t)snprintf(out, ODD_WHERE_MAX, "%s", n ? "on " : "");
    for (size_t i = 0; i < s->servers_count && told < n && n <= NAMES_MAX; i++) {
        const struct snapshot_server *v = &s->servers[i];
        if (counts(s, v) && v->reports && strcmp(v->report.hash, hash) == 0)
            len += (size_t)snprintf(out + len, ODD_WHERE_MAX - len, "%s%.40s", told++ ? ", " : "", v->name);
    }
    if (n > NAMES_MAX)
        len += (size_t)snprintf(out + len, ODD_WHERE_MAX - len, "%zu other servers", n);
    if (as_issued)
        snprintf(out + len, ODD_WHERE_MAX - len, "%sas issued", n ? " and " : "");
}

/* ---------- why ---------- */

/* What the leader, who can open what was issued, found of that very file; NULL: nothing yet. */
static const char *found_by_leader(const struct cluster_snapshot *s, const struct snapshot_server *v)
{
    for (size_t i = 0; i < s->drift.servers_count; i++) {
        const struct cluster_drifted *d = &s->drift.servers[i];
        if (strcmp(d->server, v->name) == 0 && strcmp(d->hash, v->report.hash) == 0 && *d->what)
            return d->what;
    }
    return NULL;
}

static void say_difference(const struct cluster_snapshot *s, const struct odd_verdict *o,
                           const struct snapshot_server *v, char why[CLUSTER_TEXT_MAX])
{
    char where[ODD_WHERE_MAX];
    _cleanup_free_ struct differences *d = malloc(sizeof(*d));
    odd_where(s, o->reference, o->issued, where);
    const char *found = o->model ? NULL : found_by_leader(s, v);
    if (found)
        text_copy(why, CLUSTER_TEXT_MAX, found);
    else if (!o->model) /* nobody has the reference: all that is known of it is its hash */
        snprintf(why, CLUSTER_TEXT_MAX,
                 "it is another file than %s; no server has that one, so what differs cannot be said", where);
    else if (!d || differ_compare(&o->model->report, &v->report, d, NULL) < 0)
        snprintf(why, CLUSTER_TEXT_MAX, "it is another file than %s", where);
    else
        differences_text(d, where, why, CLUSTER_TEXT_MAX);
}

static void say_tie(const struct cluster_snapshot *s, const struct snapshot_server *v,
                    char why[CLUSTER_TEXT_MAX])
{
    char where[ODD_WHERE_MAX];
    odd_where(s, v->report.hash, false, where);
    snprintf(why, CLUSTER_TEXT_MAX, "%zu of %zu differ: no majority; this file is %s",
             reporting(s) - having(s, v->report.hash), reporting(s), where);
}

static enum odd_kind judge(const struct cluster_snapshot *s, const struct odd_verdict *o,
                           const struct snapshot_server *v)
{
    if (!counts(s, v))
        return ODD_NO;
    if (!v->reports)
        return ODD_SILENT;
    if (!any_issued(s) && rotation_is_newer(s, v))
        return ODD_NEWER;
    if (!any_issued(s)) {
        if (!*o->reference && !o->model)
            return having(s, v->report.hash) == reporting(s) ? ODD_NO : ODD_TIE;
        return strcmp(v->report.hash, o->reference) == 0 ? ODD_NO : ODD_MINORITY;
    }
    if (is_right(s, v))
        return ODD_NO;
    if (rotation_is_newer(s, v))
        return ODD_NEWER;
    return was_issued(s, v->report.hash) ? ODD_NOT_ISSUED : ODD_DRIFT;
}

void odd_find(const struct cluster_snapshot *s, struct odd_verdict *ret)
{
    const char *hash = any_issued(s) ? issued(s) : majority(s);
    ret->odd = ret->silent = ret->with = 0;
    ret->issued = any_issued(s);
    text_copy(ret->reference, sizeof(ret->reference), hash ? hash : "");
    ret->model = hash ? first_having(s, hash) : NULL;
    ret->with = hash ? having(s, hash) : 0;
    for (size_t i = 0; i < s->servers_count; i++) {
        const struct snapshot_server *v = &s->servers[i];
        struct odd_server *o = &ret->servers[i];
        o->kind = judge(s, ret, v);
        o->why[0] = 0;
        ret->silent += o->kind == ODD_SILENT;
        ret->odd += o->kind != ODD_NO && o->kind != ODD_SILENT;
        if (o->kind == ODD_SILENT)
            text_copy(o->why, sizeof(o->why), *v->report_why ? v->report_why : "it reports nothing");
        else if (o->kind == ODD_TIE)
            say_tie(s, v, o->why);
        else if (o->kind == ODD_NEWER)
            rotation_say_newer(s, v, o->why);
        else if (o->kind != ODD_NO)
            say_difference(s, ret, v, o->why);
    }
}
