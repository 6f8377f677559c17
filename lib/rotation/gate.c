/* May this request start now? The preconditions of K3s, and those that it lacks: nothing starts while a
 * server is silent, unready, or runs another config than its file. --force skips what K3s's --force skips
 * (stages, layout of the files), never what keeps Secrets readable. */
#include <rotation/rotation.h>

#include <stdarg.h>

#include <base/cleanup.h>

struct gate {
    const struct cluster_snapshot *s;
    const struct cluster_request *r;
    const struct cluster_operation *op; /* running or ran last; NULL: there has been none */
    char *why;
};

static bool refuse(struct gate *g, const char *format, ...) _printf_(2, 3);
static bool refuse(struct gate *g, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(g->why, CLUSTER_TEXT_MAX, format, ap);
    va_end(ap);
    return true;
}

static bool running_blocks(struct gate *g)
{
    if (!g->op || g->op->state != OP_STATE_RUNNING)
        return false;
    char mismatch[CLUSTER_TEXT_MAX];
    if (!g->op->restart && !snapshot_hashes_match(g->s, mismatch))
        return refuse(g, "%s: restart the servers, one after the other, before the next step", mismatch);
    return refuse(g, "%s is still running (%s): wait for it", operation_kind_name(g->op->kind),
                  phase_name(g->op->phase));
}

/* A halted operation that has brought nothing to any server yet is in nobody's way. */
static bool halted_is_harmless(const struct gate *g)
{
    const struct cluster_operation *op = g->op;
    if (op->phase == PHASE_ADOPT)
        return true;
    bool first = op->phase == PHASE_APPEND || op->phase == PHASE_IDENTITY || op->phase == PHASE_SWITCH ||
                 (op->phase == PHASE_PROMOTE && op->kind == OP_ROTATE);
    return first && op->target == 0;
}

static bool halted_blocks(struct gate *g)
{
    if (!g->op || g->op->state != OP_STATE_HALTED || halted_is_harmless(g))
        return false;
    return refuse(g, "%s is halted (%s): mend that and run %s again, it goes on with the same key",
                  operation_kind_name(g->op->kind), g->op->why, operation_kind_name(g->op->kind));
}

static bool server_blocks(struct gate *g)
{
    if (!g->s->has_spec || g->s->spec.servers_count == 0)
        return refuse(g, "the coordinator has not published the list of servers yet: try again");
    for (size_t i = 0; i < g->s->servers_count; i++) {
        const struct snapshot_server *v = &g->s->servers[i];
        if (!v->in_spec) {
            if (v->reports)
                return refuse(g,
                              "%s publishes but is not among the cluster's servers: add it to servers, or "
                              "stop its agent",
                              v->name);
            continue;
        }
        if (!v->reports)
            return refuse(g, "%s: %s", v->name, v->report_why);
        if (!v->report.ready)
            return refuse(g, "%s is not ready: %s", v->name, v->report.ready_why);
        if (!*v->report.hash || !*v->report.config_id)
            return refuse(g, "%s: %s", v->name,
                          *v->report.file_why ? v->report.file_why : "has no encryption config");
    }
    return false;
}

static bool loaded_blocks(struct gate *g)
{
    for (size_t i = 0; i < g->s->servers_count; i++) {
        const struct snapshot_server *v = &g->s->servers[i];
        if (!v->in_spec)
            continue;
        if (!v->report.loaded_known)
            return refuse(g, "%s: %s", v->name,
                          *v->report.process_why ? v->report.process_why
                                                 : "its API server's process is not known");
        if (strcmp(v->report.loaded_hash, v->report.hash) != 0)
            return refuse(
                g, "%s: its API server is not known to have loaded its present encryption config: restart it",
                v->name);
    }
    return false;
}

/* Same keys and order on all servers, whatever the layout. */
static bool content_differs(struct gate *g)
{
    const struct snapshot_server *first = &g->s->servers[0];
    for (size_t i = 1; i < g->s->servers_count; i++)
        if (g->s->servers[i].in_spec &&
            strcmp(g->s->servers[i].report.config_id, first->report.config_id) != 0)
            return refuse(
                g, "hash does not match between %s and %s: their keys differ, which --force cannot mend",
                first->name, g->s->servers[i].name);
    return false;
}

static bool hash_blocks(struct gate *g)
{
    char mismatch[CLUSTER_TEXT_MAX];
    if (snapshot_hashes_match(g->s, mismatch))
        return false;
    return g->r->force ? content_differs(g) : refuse(g, "%s", mismatch);
}

static const struct {
    enum operation_kind kind;
    enum stage first, second; /* the stages that it may start at */
    bool adopts; /* may begin by adopting files that were changed by hand, alike on all servers */
} allowed[] = {
    {OP_PREPARE, STAGE_START, STAGE_REENCRYPT_FINISHED, true},
    {OP_ROTATE, STAGE_PREPARE, STAGE_PREPARE, false},
    {OP_REENCRYPT, STAGE_ROTATE, STAGE_ROTATE, false},
    {OP_ROTATE_KEYS, STAGE_START, STAGE_REENCRYPT_FINISHED, true},
    {OP_ENABLE, STAGE_START, STAGE_REENCRYPT_FINISHED, true},
    {OP_DISABLE, STAGE_START, STAGE_REENCRYPT_FINISHED, true},
    {OP_ADOPT, STAGE_START, STAGE_START, true},
};

static bool stage_blocks(struct gate *g)
{
    enum stage now = g->s->rotation.stage;
    for (size_t i = 0; i < array_len(allowed); i++) {
        if (allowed[i].kind != g->r->kind)
            continue;
        if (!g->r->force && now != allowed[i].first && now != allowed[i].second)
            return refuse(g, "incorrect stage: %s found on node %s", stage_name(now), g->s->servers[0].name);
        bool mid_rotation = now != STAGE_START && now != STAGE_REENCRYPT_FINISHED;
        bool changed =
            g->s->rotation.generation > 0 && strcmp(g->s->servers[0].report.hash, g->s->rotation.hash) != 0;
        if (changed && (mid_rotation || !(allowed[i].adopts || g->r->force)))
            return refuse(g,
                          "the encryption configs were changed by somebody else at stage %s: put generation "
                          "%lld back first",
                          stage_name(now), (long long)g->s->rotation.generation);
    }
    return false;
}

static bool key_blocks(struct gate *g)
{
    const struct cluster_rotation *k = &g->s->rotation;
    bool adopted = k->generation > 0;
    bool disabled = adopted && !k->write_key[0];
    enum operation_kind kind = g->r->kind;
    if (kind == OP_ROTATE && !k->new_key[0])
        return refuse(g, "no key is prepared: run prepare first");
    if ((kind == OP_PREPARE || kind == OP_ROTATE_KEYS) && disabled && k->keys > 0)
        return refuse(g, "encryption is disabled: run enable first");
    if (kind == OP_ENABLE && disabled && k->keys == 0)
        return refuse(g, "there is no key to encrypt with: run rotate-keys, which makes one");
    return false;
}

void rotation_gate(const struct cluster_snapshot *s, const struct cluster_request *r, bool *ret_resumes,
                   char why[CLUSTER_TEXT_MAX])
{
    static bool (*const checks[])(struct gate *) = {
        server_blocks, hash_blocks, loaded_blocks, stage_blocks, key_blocks,
    };
    struct gate g = {s, r, s->has_rotation && *s->rotation.op.id ? &s->rotation.op : NULL, why};
    why[0] = 0;
    *ret_resumes = false;
    if (running_blocks(&g))
        return;
    if (g.op && g.op->state == OP_STATE_HALTED && g.op->kind == r->kind && !halted_is_harmless(&g)) {
        *ret_resumes = true; /* its servers differ by what it did; the planner's rows guard the rest */
        return;
    }
    if (halted_blocks(&g))
        return;
    for (size_t i = 0; i < array_len(checks); i++)
        if (checks[i](&g))
            return;
}
