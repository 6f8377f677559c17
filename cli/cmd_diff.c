#include <report/diff.h>

#include "commands.h"
#include "console.h"
#include "session.h"

static int show(const struct session *s, const struct diff_ask *ask, enum output output, struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024 * 1024);
    int rc = output == OUTPUT_JSON ? render_diff_json(s->snapshot, ask, &out, err)
                                   : render_diff_text(s->snapshot, ask, &out, err);
    return rc < 0 ? rc : result_text(&out) ? 0 : ERR_IO;
}

static int run(const struct args *args)
{
    struct session s;
    struct error err = ERROR_INIT;
    struct diff_ask ask = {args->operand, args->operand2};
    char why[CLUSTER_TEXT_MAX];
    int code = EXIT_DONE;
    int rc = session_open(args, &s, &err);
    if (rc == 0)
        rc = diff_check(s.snapshot, &ask, &err);
    if (rc == 0)
        rc = show(&s, &ask, args->output, &err);
    if (rc == 0)
        code = diff_code(s.snapshot, &ask, why);
    session_close(&s);
    if (rc < 0)
        return err.code ? fail(&err) : EXIT_ERROR;
    return code == EXIT_DONE ? EXIT_DONE : end_with(code, "%s", why);
}

const struct command command_diff = {
    .name = "diff",
    .operand = "[SERVER SERVER]",
    .flags = FLAG_JSON,
    .summary = "say how the servers' encryption configs differ: which key, which order",
    .example = "secrets-encrypt diff\n"
               "secrets-encrypt diff s1 s3\n"
               "secrets-encrypt diff -o json",
    .help =
        "Every server against what was issued (where nothing was, against the majority), or two servers. "
        "Says all that\n"
        "differs: a key that is missing, another key under the same name, another order of keys or "
        "providers, other\n"
        "resources, or formatting only. Keys are told apart by fingerprints that nobody can make or check "
        "without the\n"
        "cluster's token. Exit code 0: the same; 3: they differ; 4: nothing differs, but a server is "
        "silent.\n",
    .run = run,
};
