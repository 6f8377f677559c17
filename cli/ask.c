#include "ask.h"

#include <base/clock.h>

#include "console.h"

static int exit_of(const struct error *err)
{
    int code = fail(err);
    return err->code == ERR_TIMEOUT ? EXIT_TIMEOUT : code; /* of --timeout */
}

int ask(struct session *s, enum operation_kind kind, const struct args *args, int64_t deadline_ms,
        struct request *ret)
{
    struct error err = ERROR_INIT;
    if (interrupt_catch(&err) < 0 || request_send(s, kind, args, ret, &err) < 0)
        return fail(&err);
    if (request_await(s, ret, deadline_ms, &err) < 0)
        return exit_of(&err);
    if (ret->answer.answer != ANSWER_REFUSED)
        return -1;
    return end_with(exit_of_cause(ret->answer.cause), "%s",
                    *ret->answer.why ? ret->answer.why : "refused without a reason");
}

int64_t ask_deadline(const struct args *args)
{
    return args->timeout_s > 0 ? clock_mono_ms() + args->timeout_s * 1000 : 0;
}
