#include <report/explain.h>

#include "commands.h"
#include "console.h"
#include "session.h"

static int show(struct session *s, enum output output, struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024 * 1024);
    int rc = output == OUTPUT_JSON ? render_explain_json(s->snapshot, &out, err)
                                   : render_explain_text(s->snapshot, &out, err);
    return rc < 0 ? rc : result_text(&out) ? 0 : ERR_IO;
}

static int run(const struct args *args)
{
    return session_show(args, show);
}

const struct command command_explain = {
    .name = "explain",
    .flags = FLAG_JSON,
    .summary = "say what the operation is at, why, and what comes next",
    .example = "secrets-encrypt explain\n"
               "secrets-encrypt explain -o json",
    .help = "Names the phase, the rule that decides, what it waits for, on which server and since when; the "
            "proofs that were\n"
            "made, each with its method and revision; and whether `abort` is still possible. With no "
            "operation: what would be\n"
            "in the way of one.\n",
    .run = run,
};
