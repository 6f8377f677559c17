#include <base/clock.h>
#include <base/text.h>
#include <report/builder.h>
#include <report/table.h>
#include <store/audit.h>

#include "commands.h"
#include "console.h"
#include "session.h"

#define ENTRIES_MAX 200
#define OUT_MAX     (1024 * 1024)

struct trail {
    struct store_audit_entry entries[ENTRIES_MAX];
    size_t count;
};

static int take_entry(void *arg, const char *name, bool authentic, const char *json, size_t len,
                      struct error *err)
{
    struct trail *t = arg;
    if (t->count == ENTRIES_MAX)
        return 0;
    struct store_audit_entry *e = &t->entries[t->count];
    int rc = cluster_audit_decode(json, len, &e->entry, err);
    if (rc < 0)
        return rc;
    e->authentic = authentic;
    text_copy(e->name, sizeof(e->name), name);
    t->count++;
    return 0;
}

static int read_trail(struct session *s, struct trail *t, struct error *err)
{
    if (s->remote)
        return remote_audit(s->remote, ENTRIES_MAX, NULL, CONNECT_MS, take_entry, t, err);
    return store_audit_list(s->store, ENTRIES_MAX, NULL, CONNECT_MS, t->entries, &t->count, err);
}

/* The oldest first, as a log reads. */
static int render_text(const struct trail *t, struct buf *out, struct error *err)
{
    int rc = t->count == 0 ? buf_adds(out, "Nothing has been recorded yet\n", err) : 0;
    for (size_t i = t->count; i > 0 && rc == 0; i--) {
        const struct cluster_audit *e = &t->entries[i - 1].entry;
        char at[CLOCK_TEXT_MAX];
        clock_format(e->time_ms, at);
        rc = buf_addf(out, err, "%s  %s  %s%s%s%s from %s  %s %s: %s%s%s\n", at, e->server, e->who,
                      *e->role ? " (" : "", e->role, *e->role ? ")" : "", e->from, e->call, e->what,
                      e->result, *e->why ? ", " : "", e->why);
    }
    make_printable(out);
    return rc;
}

static struct json *entry_node(struct builder *b, const struct store_audit_entry *v)
{
    const struct cluster_audit *e = &v->entry;
    struct json *o = build_new(b, false);
    build_string(b, o, "name", v->name);
    build_bool(b, o, "authentic", v->authentic);
    build_int(b, o, "time", e->time_ms);
    build_string(b, o, "server", e->server);
    build_string(b, o, "who", e->who);
    build_string(b, o, "role", e->role);
    build_string(b, o, "from", e->from);
    build_string(b, o, "call", e->call);
    build_string(b, o, "what", e->what);
    build_string(b, o, "result", e->result);
    build_string(b, o, "why", e->why);
    return o;
}

static int render_json(const struct trail *t, struct buf *out, struct error *err)
{
    struct builder b = {0, err};
    _cleanup_(json_freep) struct json *root = build_new(&b, false);
    struct json *list = build_new(&b, true);
    build_head(&b, root, "audit");
    for (size_t i = t->count; i > 0; i--)
        build_append(&b, list, entry_node(&b, &t->entries[i - 1]));
    build_node(&b, root, "entries", list);
    return build_print(&b, root, out);
}

static int show(struct session *s, enum output output, struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    _cleanup_free_ struct trail *t = calloc(1, sizeof(*t));
    if (!t)
        return error_no_memory(err);
    int rc = read_trail(s, t, err);
    if (rc == 0)
        rc = output == OUTPUT_JSON ? render_json(t, &out, err) : render_text(t, &out, err);
    return rc < 0 ? rc : result_text(&out) ? 0 : ERR_IO;
}

static int run(const struct args *args)
{
    return session_show(args, show);
}

const struct command command_audit = {
    .name = "audit",
    .flags = FLAG_JSON,
    .summary = "show who asked for what, and what came of it",
    .example = "secrets-encrypt audit",
    .help = "The newest 200 entries of the audit trail, the oldest of them first: every request and refusal "
            "of the "
            "coordinators'\n"
            "API, and what operations came to. 10,000 entries, or 400 days, are kept.\n",
    .run = run,
};
