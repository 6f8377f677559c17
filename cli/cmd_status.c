#include "commands.h"
#include "console.h"
#include "session.h"

static int render(enum output output, const struct cluster_snapshot *s, const struct key_table *keys,
                  struct buf *out, struct error *err)
{
    switch (output) {
    case OUTPUT_JSON:
        return render_status_json(s, keys, out, err);
    case OUTPUT_WIDE:
        return render_status_wide(s, keys, out, err);
    default:
        return render_status_text(s, keys, out, err);
    }
}

/* K3s's text has no place for it, and stays as it is. */
static void tell_standstill(const struct cluster_snapshot *s)
{
    const struct cluster_operation *op = &s->rotation.op;
    if (!s->has_rotation || !*op->id)
        return;
    if (op->state == OP_STATE_HALTED)
        say("%s is halted: %s; `secrets-encrypt explain` tells more", operation_kind_name(op->kind), op->why);
    if (op->state == OP_STATE_PAUSED)
        say("%s is paused: `secrets-encrypt resume` lets it go on", operation_kind_name(op->kind));
}

static int show(struct session *s, enum output output, struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024 * 1024);
    _cleanup_free_ struct key_table *keys = calloc(1, sizeof(*keys));
    if (!keys)
        return error_no_memory(err);
    session_keys(s, keys);
    int rc = render(output, s->snapshot, keys, &out, err);
    if (rc < 0)
        return rc;
    if (!keys->known && *keys->why)
        say("%s", keys->why);
    if (output == OUTPUT_TEXT)
        tell_standstill(s->snapshot);
    return result_text(&out) ? 0 : ERR_IO;
}

static int run(const struct args *args)
{
    return session_show(args, show);
}

const struct command command_status = {
    .name = "status",
    .flags = FLAG_OUTPUT,
    .summary = "show whether encryption is on, the stage, the servers' hashes and the keys",
    .example = "secrets-encrypt status -o wide",
    .help = "Prints what K3s's `secrets-encrypt status` prints, from what the agents observe. Exit code 0 "
            "also when the\n"
            "servers' hashes differ.\n",
    .run = run,
};
