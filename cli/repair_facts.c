/* Where the repair of a server stands. */
#include <cli/progress.h>

#include <base/text.h>

/* It has the file that the cluster settled on, and its API server runs with it. */
static bool is_right(const struct cluster_rotation *r, const struct cluster_report *v)
{
    bool loaded = v->loaded_known && strcmp(v->loaded_hash, v->hash) == 0;
    return *r->hash && strcmp(v->hash, r->hash) == 0 && !*v->file_why && loaded && v->ready;
}

static const char *doing(const struct snapshot_server *v, const struct repair_goal *g)
{
    if (v->report.order_id < g->order_id || g->order_id == 0)
        return "the order is given";
    switch (v->report.order_state) {
    case ORDER_TAKEN:
        return "at work";
    case ORDER_RESTARTING:
        return "restarting";
    default:
        return v->report.ready ? "waiting for its report" : "waiting until it is ready";
    }
}

enum repair_state repair_state(const struct cluster_snapshot *s, struct repair_goal *g,
                               char why[CLUSTER_TEXT_MAX])
{
    const struct snapshot_server *v = snapshot_server(s, g->server);
    why[0] = 0;
    if (v && v->has_order && strcmp(v->order.operation, g->request) == 0)
        g->order_id = v->order.id;
    if (!v || !v->reports) {
        text_copy(why, CLUSTER_TEXT_MAX, "silent: its agent publishes nothing");
        return REPAIR_RUNNING;
    }
    const struct cluster_report *r = &v->report;
    bool ours = g->order_id > 0 && r->order_id == g->order_id;
    if (ours && (r->order_state == ORDER_FAILED || r->order_state == ORDER_REFUSED)) {
        text_copy(why, CLUSTER_TEXT_MAX, *r->order_why ? r->order_why : "its agent gives no reason");
        return REPAIR_FAILED;
    }
    g->done = g->done || (ours && r->order_state == ORDER_DONE);
    bool pending = g->order_id > 0 && !g->done && r->order_id <= g->order_id;
    if (!pending && is_right(&s->rotation, r))
        return REPAIR_REACHED;
    if (g->order_id > 0 && r->order_id > g->order_id) {
        /* The operation that was held up has gone on: its order shows that the server was taken back. */
        text_copy(why, CLUSTER_TEXT_MAX, "another order has followed; see `secrets-encrypt status -o wide`");
        return g->done ? REPAIR_REACHED : REPAIR_OVERTAKEN;
    }
    text_copy(why, CLUSTER_TEXT_MAX, doing(v, g));
    return REPAIR_RUNNING;
}
