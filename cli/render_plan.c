#include <cli/plan.h>

#include <base/cleanup.h>
#include <report/exits.h>
#include <report/table.h>
#include <report/words.h>

#include <report/builder.h>

#define STEP_TEXT_MAX 256

struct step_texts {
    const char *who; /* a server, "coordinator" or "you" */
    char does[STEP_TEXT_MAX], waits[STEP_TEXT_MAX];
};

#define READY "it is ready and runs with that config"

static const struct {
    const char *does, *waits;
} orders[] = {
    [ORDER_ADOPT] = {"keeps its present encryption config, sealed", "its agent has sealed it"},
    [ORDER_APPLY] = {"writes that config and restarts its API server", READY},
    [ORDER_WRITE] = {"writes that config; nothing is restarted", "its report shows it"},
    [ORDER_SYNC] = {"is told to write that config when you restart it", ""},
    [ORDER_RESTART] = {"restarts its API server", "it is ready, with the config that it had"},
    [ORDER_REPAIR] = {"puts that config back and restarts its API server", READY},
    [ORDER_CALL] = {"makes its next config, which is kept, sealed", "its agent has sealed it"},
    [ORDER_FOLLOW] = {"restarts, and takes that config over from the others", READY},
};

static void name_order(const struct forecast_step *step, struct step_texts *t)
{
    bool known = (size_t)step->order < array_len(orders) && orders[step->order].does;
    t->who = step->server;
    snprintf(t->does, sizeof(t->does), "%s", known ? orders[step->order].does : "carries its order out");
    snprintf(t->waits, sizeof(t->waits), "%s", known ? orders[step->order].waits : "its agent has done it");
}

static void name_proof(const struct forecast_step *step, bool not_raw, struct step_texts *t)
{
    char doing[PHASE_TEXT_MAX];
    phase_doing(step->kind, step->phase, doing);
    bool otherwise = not_raw && (step->phase == PHASE_VERIFY || step->phase == PHASE_FINAL);
    snprintf(t->does, sizeof(t->does), "%s",
             !otherwise                    ? doing
             : step->phase == PHASE_VERIFY ? "rewriting every object a second time"
                                           : "listing every object once more");
    snprintf(t->waits, sizeof(t->waits), "%s", phase_claim(step->kind, step->phase));
}

static void name_step(const struct forecast_step *step, bool not_raw, struct step_texts *t)
{
    static const struct {
        const char *who, *does, *waits;
    } texts[] = {
        [FORECAST_ISSUE] = {"coordinator", "makes the next config and keeps it, sealed",
                            "every server is as expected"},
        [FORECAST_MANUAL] = {NULL, "is restarted by you", READY},
        [FORECAST_REWRITE] = {"coordinator", "rewrites every value", "every value was touched"},
        [FORECAST_STOP] = {"you", "stop the API server on every server; the agents go on",
                           "none of them runs"},
        [FORECAST_START] = {"you", "start the API servers again", "all of them are ready"},
        [FORECAST_WATCH] = {"coordinator", "watches new writes, until every server has that config",
                            "it sees them"},
    };
    if (step->what == FORECAST_ORDER) {
        name_order(step, t);
    } else if (step->what == FORECAST_PROVE) {
        t->who = "coordinator";
        name_proof(step, not_raw, t);
    } else {
        t->who = texts[step->what].who ? texts[step->what].who : step->server;
        snprintf(t->does, sizeof(t->does), "%s", texts[step->what].does);
        snprintf(t->waits, sizeof(t->waits), "%s", texts[step->what].waits);
    }
}

/* --- text --- */

static int add_phase(const struct forecast_step *step, struct buf *out, struct error *err)
{
    return buf_addf(out, err, "%s: %s\n", phase_name(step->phase), phase_claim(step->kind, step->phase));
}

static int add_steps(const struct cluster_snapshot *s, const struct forecast *f, struct buf *out,
                     struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < f->count && rc == 0; i++) {
        const struct forecast_step *step = &f->steps[i];
        bool another = i == 0 || step->phase != step[-1].phase || step->kind != step[-1].kind;
        struct step_texts t;
        name_step(step, s->spec.not_raw, &t);
        if (another)
            rc = add_phase(step, out, err);
        if (rc == 0)
            rc = buf_addf(out, err, "  %2zu. %s: %s%s%s\n", i + 1, t.who, t.does,
                          *t.waits ? "; waits until " : "", t.waits);
    }
    return rc;
}

static int add_verdict(const struct cluster_request *r, const struct forecast *f, struct buf *out,
                       struct error *err)
{
    const char *kind = operation_kind_name(r->kind);
    if (f->starts && f->resumes)
        return buf_addf(out, err, "%s would go on now, with the same key.\n", kind);
    if (f->starts)
        return buf_addf(out, err, "%s would start now.\n", kind);
    return buf_addf(out, err, "%s would be refused now: %s\n", kind, f->why);
}

int render_plan_text(const struct cluster_snapshot *s, const struct cluster_request *r,
                     const struct forecast *f, struct buf *out, struct error *err)
{
    int rc = add_steps(s, f, out, err);
    if (rc == 0 && *f->stuck)
        rc = buf_addf(out, err, "There it would wait: %s\n", f->stuck);
    if (rc == 0)
        rc = add_verdict(r, f, out, err);
    make_printable(out);
    return rc;
}

/* --- JSON --- */

static struct json *step_node(struct builder *b, const struct forecast_step *step, size_t number,
                              bool not_raw)
{
    struct step_texts t;
    struct json *o = build_new(b, false);
    name_step(step, not_raw, &t);
    build_int(b, o, "number", (int64_t)number);
    build_string(b, o, "operationkind", operation_kind_name(step->kind));
    build_string(b, o, "phase", phase_name(step->phase));
    build_string(b, o, "who", t.who);
    if (*step->server)
        build_string(b, o, "server", step->server);
    if (step->what == FORECAST_ORDER)
        build_string(b, o, "order", order_kind_name(step->order));
    build_string(b, o, "does", t.does);
    build_string(b, o, "waits", t.waits);
    return o;
}

int render_plan_json(const struct cluster_snapshot *s, const struct cluster_request *r,
                     const struct forecast *f, int code, struct buf *out, struct error *err)
{
    struct builder b = {0, err};
    _cleanup_(json_freep) struct json *root = build_new(&b, false);
    struct json *steps = build_new(&b, true);
    for (size_t i = 0; i < f->count; i++)
        build_append(&b, steps, step_node(&b, &f->steps[i], i + 1, s->spec.not_raw));
    build_head(&b, root, "plan");
    build_string(&b, root, "operationkind", operation_kind_name(r->kind));
    build_bool(&b, root, "starts", f->starts);
    build_bool(&b, root, "resumes", f->resumes);
    build_int(&b, root, "exit", code);
    build_string(&b, root, "cause", exit_cause(code));
    build_string(&b, root, "message", f->why);
    build_bool(&b, root, "planned", f->planned);
    build_string(&b, root, "stuck", f->stuck);
    build_node(&b, root, "steps", steps);
    return build_print(&b, root, out);
}
