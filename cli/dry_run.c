#include "dry_run.h"

#include <cli/plan.h>

#include "console.h"
#include "request.h"

static int show(const struct session *s, const struct cluster_request *r, const struct forecast *f,
                struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(32 * 1024 * 1024);
    int code = f->starts ? EXIT_DONE : exit_of_cause(f->cause);
    int rc = console_json() ? render_plan_json(s->snapshot, r, f, code, &out, err)
                            : render_plan_text(s->snapshot, r, f, &out, err);
    if (rc < 0)
        return fail(err);
    if (!result_text(&out))
        return EXIT_ERROR;
    return f->starts ? code : end_with(code, "%s", f->why);
}

int dry_run(enum operation_kind kind, const struct args *args)
{
    struct session session;
    struct cluster_request request;
    struct forecast forecast = {0};
    struct error err = ERROR_INIT;
    int code = -1;
    if (session_open(args, &session, &err) < 0 || request_make(&session, kind, args, &request, &err) < 0 ||
        rotation_forecast(session.snapshot, &request, &forecast, &err) < 0)
        code = fail(&err);
    else
        code = show(&session, &request, &forecast, &err);
    forecast_free(&forecast);
    session_close(&session);
    return code;
}
