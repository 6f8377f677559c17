/* Where a server, and the operation that is followed, stand. */
#include <cli/progress.h>

#include <base/cleanup.h>
#include <report/words.h>
#include <rotation/rotation.h>

static bool runs_target(const struct cluster_operation *op, const struct cluster_report *r)
{
    return r->loaded_generation == op->target ||
           (r->loaded_known && strcmp(r->loaded_hash, op->target_hash) == 0);
}

static bool has_target(const struct cluster_operation *op, const struct cluster_report *r)
{
    return op->target > 0 &&
           (r->generation == op->target || (*op->target_hash && strcmp(r->hash, op->target_hash) == 0));
}

/* What the agent says about the order of this phase; SERVER_WAITING where that does not tell. */
static enum server_progress order_progress(const struct cluster_operation *op,
                                           const struct snapshot_server *v)
{
    if (!v->has_order || strcmp(v->order.operation, op->id) != 0 || v->order.generation != op->target)
        return SERVER_WAITING;
    bool by_operator = v->order.kind == ORDER_SYNC;
    if (v->report.order_id < v->order.id)
        return by_operator ? SERVER_RESTART_IT : SERVER_ORDERED;
    if (v->report.order_id > v->order.id)
        return SERVER_WAITING;
    switch (v->report.order_state) {
    case ORDER_TAKEN:
        return by_operator ? SERVER_RESTART_IT : SERVER_WORKING;
    case ORDER_RESTARTING:
        return SERVER_RESTARTING;
    case ORDER_FAILED:
        return SERVER_FAILED;
    case ORDER_REFUSED:
        return SERVER_REFUSED;
    default:
        return SERVER_WAITING;
    }
}

/* In a phase that asks each server something. */
static enum server_progress proof_progress(const struct cluster_snapshot *s, const struct snapshot_server *v)
{
    const struct cluster_server_proof *p = proof_of_server(proof_of_phase(s), v->name);
    if (p && p->state == PROOF_MADE)
        return SERVER_OK;
    if (p && p->state == PROOF_FAILED)
        return SERVER_FAILED;
    return v->report.ready ? SERVER_WAITING : SERVER_NOT_READY;
}

/* Its file is the target's all along: what counts is its turn. */
static enum server_progress restart_progress(const struct cluster_snapshot *s,
                                             const struct snapshot_server *v)
{
    const struct cluster_operation *op = &s->rotation.op;
    enum server_progress by_order = order_progress(op, v);
    bool ordered = v->has_order && strcmp(v->order.operation, op->id) == 0;
    bool over = rotation_restart_rank(s, (size_t)(v - s->servers)) < op->restarted ||
                (ordered && v->report.order_id == v->order.id && v->report.order_state == ORDER_DONE);
    if (by_order != SERVER_WAITING)
        return by_order;
    if (!v->report.ready)
        return SERVER_NOT_READY;
    return over ? SERVER_OK : SERVER_WAITING;
}

enum server_progress server_progress(const struct cluster_snapshot *s, const struct snapshot_server *v)
{
    const struct cluster_operation *op = &s->rotation.op;
    const struct cluster_report *r = &v->report;
    if (!v->reports)
        return SERVER_SILENT;
    if (rotation_phase_is_proof(op->phase))
        return proof_progress(s, v);
    if (op->phase == PHASE_RESTART)
        return restart_progress(s, v);
    enum server_progress by_order = order_progress(op, v);
    if (by_order == SERVER_FAILED || by_order == SERVER_REFUSED)
        return by_order;
    bool written = has_target(op, r);
    if (written && r->ready && runs_target(op, r))
        return SERVER_OK;
    if (by_order != SERVER_WAITING)
        return by_order;
    if (written)
        return op->restart || !r->ready ? SERVER_STARTING : SERVER_RESTART_IT;
    return r->ready ? SERVER_WAITING : SERVER_NOT_READY;
}

bool progress_moved(const struct cluster_snapshot *before, const struct cluster_snapshot *now)
{
    if (before->rotation.op.phase != now->rotation.op.phase || before->servers_count != now->servers_count ||
        before->rotation.op.target != now->rotation.op.target)
        return true;
    for (size_t i = 0; i < now->servers_count; i++)
        if (server_progress(before, &before->servers[i]) != server_progress(now, &now->servers[i]))
            return true;
    return false;
}

bool progress_shows(const struct cluster_snapshot *s, const struct snapshot_server *v)
{
    const struct cluster_operation *op = &s->rotation.op;
    return v->in_spec && (op->phase != PHASE_RESTART || rotation_restarts(op, v->name));
}

const char *server_progress_word(enum server_progress p)
{
    static const char *const words[] = {
        [SERVER_WAITING] = "waiting",       [SERVER_ORDERED] = "ordered",     [SERVER_WORKING] = "working",
        [SERVER_RESTARTING] = "restarting", [SERVER_STARTING] = "starting",   [SERVER_OK] = "ok",
        [SERVER_RESTART_IT] = "restart it", [SERVER_NOT_READY] = "not ready", [SERVER_FAILED] = "failed",
        [SERVER_REFUSED] = "refused",       [SERVER_SILENT] = "silent",
    };
    return (size_t)p < array_len(words) ? words[p] : "?";
}

static const struct snapshot_server *first_server(const struct cluster_snapshot *s)
{
    for (size_t i = 0; i < s->servers_count; i++)
        if (s->servers[i].in_spec)
            return &s->servers[i];
    return NULL;
}

/* S1 has the file of the phase that the request was about, and says so with its new stage. Phases that
 * only prepare the ground for it do not count. */
static bool first_file_published(const struct cluster_snapshot *s)
{
    const struct cluster_operation *op = &s->rotation.op;
    const struct snapshot_server *first = first_server(s);
    const struct snapshot_bundle *bundle = snapshot_bundle(s, op->target);
    if (op->phase == PHASE_ADOPT || op->phase == PHASE_IDENTITY || !first || !first->reports || !bundle)
        return false;
    return has_target(op, &first->report) && first->report.stage == bundle->stage;
}

enum follow_state follow_state(const struct cluster_snapshot *s, const struct follow_goal *g)
{
    const struct cluster_operation *op = &s->rotation.op;
    if (!s->has_rotation || !*op->id)
        return FOLLOW_NOT_YET;
    if (strcmp(op->id, g->operation) != 0)
        return op->kind == OP_ABORT && *op->aborts && strcmp(op->aborts, g->operation) == 0
                   ? FOLLOW_ABORTED
                   : FOLLOW_OVERTAKEN;
    if (op->state == OP_STATE_FINISHED)
        return FOLLOW_REACHED;
    if (op->state == OP_STATE_HALTED) /* asked for again, and not taken up yet: the old halt is no news */
        return op->attempt > g->attempt_before ? FOLLOW_HALTED : FOLLOW_NOT_YET;
    if (g->file_only && first_file_published(s))
        return FOLLOW_REACHED;
    return op->state == OP_STATE_PAUSED ? FOLLOW_PAUSED : FOLLOW_RUNNING;
}
