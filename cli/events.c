#include <cli/events.h>

#include <report/exits.h>
#include <report/words.h>
#include <rotation/rotation.h>

#include <report/builder.h>

/* The members that every event has. */
static struct json *new_event(struct builder *b, const struct event *e)
{
    struct json *root = build_new(b, false);
    build_head(b, root, "event");
    build_int(b, root, "time", e->time_ms);
    build_string(b, root, "operation", e->operation);
    build_string(b, root, "operationkind", operation_kind_name(e->kind));
    build_string(b, root, "event", e->name);
    return root;
}

static void add_phase(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    int number = 0, count = 0;
    const char *word = "";
    rotation_step(&s->rotation.op, &number, &count, &word);
    build_string(b, root, "phase", phase_name(s->rotation.op.phase));
    build_int(b, root, "step", number);
    build_int(b, root, "steps", count);
    build_string(b, root, "word", word);
    build_string(b, root, "until", phase_claim(s->rotation.op.kind, s->rotation.op.phase));
}

static void add_counts(struct builder *b, struct json *root, const struct cluster_reencrypt *r)
{
    build_int(b, root, "done", r->done);
    build_int(b, root, "total", r->total > r->done ? r->total : r->done);
    build_int(b, root, "failed", r->failed);
    build_int(b, root, "rate", r->rate);
}

static void add_particulars(struct builder *b, struct json *root, const struct cluster_snapshot *s,
                            const struct progress_event *e)
{
    switch (e->what) {
    case PROGRESS_PHASE:
        add_phase(b, root, s);
        break;
    case PROGRESS_SERVER:
        build_string(b, root, "server", e->server->name);
        build_string(b, root, "state", server_progress_word(e->state));
        break;
    case PROGRESS_PROOF:
        build_string(b, root, "phase", phase_name(e->proof->phase));
        build_string(b, root, "state", proof_state_name(e->proof->state));
        build_string(b, root, "why", e->proof->why);
        break;
    case PROGRESS_WAITING:
        build_string(b, root, "why", s->rotation.op.why);
        build_string(b, root, "on", s->rotation.op.on);
        break;
    case PROGRESS_REWRITE:
        add_counts(b, root, e->rewrite);
        break;
    }
}

static int add_line(void *to, const struct cluster_snapshot *s, int64_t now_ms,
                    const struct progress_event *e, struct error *err)
{
    static const char *const names[] = {
        [PROGRESS_PHASE] = "phase",     [PROGRESS_SERVER] = "server",    [PROGRESS_PROOF] = "proof",
        [PROGRESS_WAITING] = "waiting", [PROGRESS_REWRITE] = "progress",
    };
    struct builder b = {0, err};
    const struct cluster_operation *op = &s->rotation.op;
    const struct event head = {
        .name = names[e->what], .time_ms = now_ms, .operation = op->id, .kind = op->kind};
    _cleanup_(json_freep) struct json *root = new_event(&b, &head);
    add_particulars(&b, root, s, e);
    return build_line(&b, root, to);
}

int events_add(struct progress_log *log, const struct cluster_snapshot *s, int64_t now_ms, struct buf *out,
               struct error *err)
{
    return progress_tell(log, s, now_ms, add_line, out, err);
}

int event_add(const struct event *e, struct buf *out, struct error *err)
{
    struct builder b = {0, err};
    _cleanup_(json_freep) struct json *root = new_event(&b, e);
    if (e->why)
        build_string(&b, root, "why", e->why);
    if (e->on && *e->on)
        build_string(&b, root, "on", e->on);
    if (e->cause && *e->cause)
        build_string(&b, root, "cause", e->cause);
    if (e->by && *e->by)
        build_string(&b, root, "by", e->by);
    return build_line(&b, root, out);
}

int render_result(int code, const char *message, const char *operation, struct buf *out, struct error *err)
{
    struct builder b = {0, err};
    _cleanup_(json_freep) struct json *root = build_new(&b, false);
    build_head(&b, root, "result");
    build_int(&b, root, "exit", code);
    build_string(&b, root, "cause", exit_cause(code));
    build_string(&b, root, "message", message);
    if (*operation)
        build_string(&b, root, "operation", operation);
    return build_line(&b, root, out);
}
