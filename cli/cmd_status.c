#include <report/exits.h>
#include <report/odd.h>

#include "commands.h"
#include "console.h"
#include "session.h"
#include "watch.h"

#define CLOCKS_APART_MS 60000
#define LEASE_MAX_S     300 /* as the configuration allows */

/* Agents report at least twice a lease; the rest is for clocks that differ. Through a coordinator the length
 * of a lease is not known here, and taken for the longest. */
static int64_t stale_ms(const struct config *config)
{
    int64_t ttl_s = config ? config->lease_ttl_s : LEASE_MAX_S;
    return 2 * ttl_s * 1000 + CLOCKS_APART_MS;
}

static int render(enum output output, const struct cluster_snapshot *s, const struct key_table *keys,
                  const struct status_verdict *verdict, struct buf *out, struct error *err)
{
    switch (output) {
    case OUTPUT_JSON:
        return render_status_checked(s, keys, verdict, out, err);
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
        say_more("%s is halted: %s; `secrets-encrypt explain` tells more", operation_kind_name(op->kind),
                 op->why);
    if (op->state == OP_STATE_PAUSED)
        say_more("%s is paused: `secrets-encrypt resume` lets it go on", operation_kind_name(op->kind));
}

/* Nor for a file that somebody changed. */
static void tell_drift(const struct cluster_snapshot *s)
{
    for (size_t i = 0; i < s->servers_count; i++)
        if (odd_drifted(s, &s->servers[i]))
            say_more("the encryption config of %s is not the one that it should have; `secrets-encrypt diff` "
                     "says how",
                     s->servers[i].name);
}

static int show(struct session *s, enum output output, struct status_verdict *verdict, struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024 * 1024);
    _cleanup_free_ struct key_table *keys = calloc(1, sizeof(*keys));
    if (!keys)
        return error_no_memory(err);
    session_keys(s, keys);
    int rc = render(output, s->snapshot, keys, verdict, &out, err);
    if (rc < 0)
        return rc;
    if (!keys->known && *keys->why)
        say_more("%s", keys->why);
    if (output == OUTPUT_TEXT && verdict->code < 0)
        tell_standstill(s->snapshot);
    if (output == OUTPUT_TEXT)
        tell_drift(s->snapshot);
    return result_text(&out) ? 0 : ERR_IO;
}

static int show_plain(struct session *s, enum output output, struct error *err)
{
    struct status_verdict none = {.code = -1};
    return show(s, output, &none, err);
}

static int show_checked(const struct args *args)
{
    struct session s;
    struct error err = ERROR_INIT;
    struct status_verdict verdict = {EXIT_DONE, ""};
    int rc = session_open(args, &s, &err);
    if (rc == 0)
        verdict.code = status_check(s.snapshot, stale_ms(s.config), verdict.why);
    if (rc == 0)
        rc = show(&s, args->output, &verdict, &err);
    session_close(&s);
    if (rc < 0)
        return err.code ? fail(&err) : EXIT_ERROR;
    return verdict.code == EXIT_DONE ? EXIT_DONE : end_with(verdict.code, "%s", verdict.why);
}

static int render_now(struct session *s, enum output output, struct buf *out, struct error *err)
{
    struct status_verdict none = {.code = -1};
    _cleanup_free_ struct key_table *keys = calloc(1, sizeof(*keys));
    if (!keys)
        return error_no_memory(err);
    session_keys(s, keys);
    return render(output, s->snapshot, keys, &none, out, err);
}

static int show_watch(struct session *s, enum output output, struct error *err)
{
    return watch_run(s, output, render_now, err);
}

static int run(const struct args *args)
{
    if (args->watch)
        return session_show(args, show_watch);
    return args->check ? show_checked(args) : session_show(args, show_plain);
}

const struct command command_status = {
    .name = "status",
    .flags = FLAG_OUTPUT | FLAG_CHECK | FLAG_WATCH,
    .summary = "show whether encryption is on, the stage, the servers' hashes and the keys",
    .example = "secrets-encrypt status -o wide\n"
               "secrets-encrypt status -o wide --watch\n"
               "secrets-encrypt status --check --quiet",
    .help =
        "Prints what K3s's `secrets-encrypt status` prints, from what the agents observe. Exit code 0 "
        "also when the\n"
        "servers' hashes differ; with --check the code says what is wrong. While an operation runs, servers "
        "differ and restart:\n"
        "`wait` is the command for that. `-o wide` says which server is the odd one out, and why. --watch "
        "goes "
        "on: on a\n"
        "terminal the text is drawn anew in its place, elsewhere it is written again whenever it changes.\n",
    .run = run,
};
