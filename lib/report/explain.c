/* What the operation is at, and why. */
#include <report/explain.h>

#include <inttypes.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <report/status.h>
#include <report/table.h>
#include <report/words.h>
#include <rotation/rotation.h>

#include <report/records.h>

bool explain_under_way(const struct cluster_snapshot *s)
{
    return s->has_rotation && *s->rotation.op.id && s->rotation.op.state != OP_STATE_FINISHED;
}

void explain_block(const struct cluster_snapshot *s, char why[CLUSTER_TEXT_MAX])
{
    static const struct cluster_request dry = {.kind = OP_ROTATE_KEYS, .restart = true};
    bool resumes = false;
    (void)rotation_gate(s, &dry, &resumes, why);
}

/* --- text --- */

static int add_head(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    const struct cluster_operation *op = &s->rotation.op;
    char for_ms[DURATION_TEXT_MAX], at[CLOCK_TEXT_MAX];
    int64_t begun = op->state == OP_STATE_HALTED && op->ended_ms > 0 ? op->ended_ms : op->started_ms;
    format_duration(s->now_ms - begun, for_ms);
    clock_format(begun, at);
    int rc = buf_addf(out, err, "Operation: %s %s, %s %s (%s)", operation_kind_name(op->kind),
                      operation_state_name(op->state), op->state == OP_STATE_HALTED ? "since" : "begun", at,
                      for_ms);
    if (rc == 0 && *op->requested_by)
        rc = buf_addf(out, err, ", asked for by %s", op->requested_by);
    if (rc == 0 && *op->reason)
        rc = buf_addf(out, err, " (%s)", op->reason);
    if (rc == 0 && *op->aborts)
        rc = buf_addf(out, err, ", in place of operation %s", op->aborts);
    return rc == 0 ? buf_addf(out, err, "\nId: %s\n", op->id) : rc;
}

static int add_phase(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    const struct cluster_operation *op = &s->rotation.op;
    int number = 0, count = 0;
    const char *word = "";
    char doing[PHASE_TEXT_MAX];
    rotation_step(op, &number, &count, &word);
    operation_doing(s, doing);
    int rc = buf_addf(out, err, "Step: %d of %d, stage %s\n", number, count, stage_name(status_stage(s)));
    if (rc < 0)
        return rc;
    if (phase_verb(op->phase))
        return buf_addf(out, err, "Phase: %s, %s\n", phase_name(op->phase), doing);
    return buf_addf(out, err, "Phase: %s, until %s\n", phase_name(op->phase),
                    phase_claim(op->kind, op->phase));
}

static int add_decision(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    const struct cluster_operation *op = &s->rotation.op;
    char for_ms[DURATION_TEXT_MAX];
    int rc = buf_addf(out, err, "%s: %s\n", op->state == OP_STATE_HALTED ? "Halted because" : "Reason",
                      *op->why ? op->why : "nothing");
    if (rc == 0)
        rc = buf_addf(out, err, "On: %s\n", *op->on ? op->on : "no server in particular");
    if (rc < 0 || !*op->row)
        return rc;
    rc = buf_addf(out, err, "Decided by: row %s of the planner's table", op->row);
    if (rc == 0 && op->row_ms > 0) {
        format_duration(s->now_ms - op->row_ms, for_ms);
        rc = buf_addf(out, err, ", for %s", for_ms);
    }
    return rc == 0 ? buf_adds(out, "\n", err) : rc;
}

static int add_abort(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    char why[CLUSTER_TEXT_MAX] = "";
    if (rotation_can_abort(s, why))
        return buf_adds(out, "Abort: possible; `secrets-encrypt abort` leads back\n", err);
    return buf_addf(out, err, "Abort: not possible: %s\n", why);
}

static int add_outlook(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    enum phase next = rotation_next_phase(s, &s->rotation);
    int rc = next == PHASE_DONE ? buf_adds(out, "Next: nothing, it is over then\n", err)
                                : buf_addf(out, err, "Next: %s, until %s\n", phase_name(next),
                                           phase_claim(s->rotation.op.kind, next));
    return rc == 0 ? add_abort(s, out, err) : rc;
}

static int add_operation(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    int rc = add_head(s, out, err);
    if (rc == 0)
        rc = add_phase(s, out, err);
    if (rc == 0)
        rc = add_decision(s, out, err);
    return rc == 0 ? add_outlook(s, out, err) : rc;
}

static int add_idle(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    const struct cluster_operation *op = &s->rotation.op;
    char why[CLUSTER_TEXT_MAX] = "", at[CLOCK_TEXT_MAX];
    clock_format(op->ended_ms, at);
    int rc = s->has_rotation && *op->id ? buf_addf(out, err, "Operation: none runs; %s finished at %s\n",
                                                   operation_kind_name(op->kind), at)
                                        : buf_adds(out, "Operation: none runs, and none has yet\n", err);
    if (rc < 0)
        return rc;
    explain_block(s, why);
    rc = *why ? buf_addf(out, err, "A rotation could not start now: %s\n", why)
              : buf_adds(out, "A rotation could start now: nothing is in its way\n", err);
    /* A rotation done in steps is half done between them: that can be led back as well. */
    return rc == 0 && rotation_can_abort(s, why) ? add_abort(s, out, err) : rc;
}

int render_explain_text(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    int rc = explain_under_way(s) ? add_operation(s, out, err) : add_idle(s, out, err);
    if (rc == 0 && !*s->leader)
        rc = buf_adds(out, "No coordinator leads: nothing is decided until one does\n", err);
    bool told = !explain_under_way(s) || strstr(s->rotation.op.why, s->unknown_api); /* it is what blocks */
    if (rc == 0 && *s->unknown_api && !told)
        rc = buf_addf(out, err, "Unknown API server: %s\n", s->unknown_api);
    if (rc == 0 && s->has_proofs && s->proofs.proofs_count > 0)
        rc = buf_adds(out, "\n", err);
    if (rc == 0)
        rc = render_proofs(s, out, err);
    make_printable(out);
    return rc;
}

/* --- JSON --- */

static void build_operation(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    const struct cluster_operation *op = &s->rotation.op;
    int number = 0, count = 0;
    const char *word = "";
    struct json *o = build_new(b, false);
    rotation_step(op, &number, &count, &word);
    build_string(b, o, "id", op->id);
    build_string(b, o, "kind", operation_kind_name(op->kind));
    build_string(b, o, "state", operation_state_name(op->state));
    build_string(b, o, "requestedby", op->requested_by);
    build_string(b, o, "aborts", op->aborts);
    build_int(b, o, "started", op->started_ms);
    build_int(b, o, "ended", op->ended_ms);
    build_int(b, o, "attempt", op->attempt);
    build_string(b, o, "stage", stage_name(status_stage(s)));
    build_string(b, o, "phase", phase_name(op->phase));
    build_string(b, o, "until", phase_claim(op->kind, op->phase));
    build_int(b, o, "step", number);
    build_int(b, o, "steps", count);
    build_string(b, o, "row", op->row);
    build_int(b, o, "rowsince", op->row_ms);
    build_string(b, o, "why", op->why);
    build_string(b, o, "on", op->on);
    build_reasons(b, o, op);
    build_node(b, root, "operation", o);
}

static void build_outlook(struct builder *b, struct json *root, const struct cluster_snapshot *s)
{
    char why[CLUSTER_TEXT_MAX] = "";
    bool can = rotation_can_abort(s, why);
    build_bool(b, root, "canabort", can);
    build_string(b, root, "abortwhy", can ? "" : why);
    if (explain_under_way(s)) {
        build_string(b, root, "next", phase_name(rotation_next_phase(s, &s->rotation)));
        return;
    }
    explain_block(s, why);
    build_bool(b, root, "canstart", !*why);
    build_string(b, root, "startwhy", why);
}

int render_explain_json(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    struct builder b = {0, err};
    _cleanup_(json_freep) struct json *root = build_new(&b, false);
    build_head(&b, root, "explain");
    build_bool(&b, root, "underway", explain_under_way(s));
    if (s->has_rotation && *s->rotation.op.id)
        build_operation(&b, root, s);
    build_outlook(&b, root, s);
    build_string(&b, root, "leader", s->leader);
    build_string(&b, root, "unknown", s->unknown_api);
    build_proofs(&b, root, s);
    return build_print(&b, root, out);
}
