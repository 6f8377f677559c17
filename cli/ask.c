#include "ask.h"

#include <base/clock.h>

#include "console.h"

static int exit_of(const struct error *err)
{
    int code = fail(err);
    return err->code == ERR_TIMEOUT ? EXIT_TIMEOUT : code; /* of --timeout */
}

static int await_answer(struct session *s, int64_t deadline_ms, struct request *r)
{
    struct error err = ERROR_INIT;
    if (request_await(s, r, deadline_ms, &err) < 0)
        return exit_of(&err);
    if (r->answer.answer != ANSWER_REFUSED)
        return -1;
    return end_with(exit_of_cause(r->answer.cause), "%s",
                    *r->answer.why ? r->answer.why : "refused without a reason");
}

int ask_this(struct session *s, const struct cluster_request *v, int64_t deadline_ms, struct request *ret)
{
    struct error err = ERROR_INIT;
    if (interrupt_catch(&err) < 0 || request_put(s, v, ret, &err) < 0)
        return fail(&err);
    return await_answer(s, deadline_ms, ret);
}

int ask(struct session *s, enum operation_kind kind, const struct args *args, int64_t deadline_ms,
        struct request *ret)
{
    struct error err = ERROR_INIT;
    if (interrupt_catch(&err) < 0 || request_send(s, kind, args, ret, &err) < 0)
        return fail(&err);
    return await_answer(s, deadline_ms, ret);
}

int64_t ask_deadline(const struct args *args)
{
    return args->timeout_s > 0 ? clock_mono_ms() + args->timeout_s * 1000 : 0;
}
