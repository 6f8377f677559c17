/* `diff`: every server that is compared is a row; the reference is chosen once. */
#include <report/diff.h>

#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/text.h>
#include <report/builder.h>
#include <report/differ.h>
#include <report/exits.h>
#include <report/odd.h>
#include <report/table.h>

struct diff {
    const struct cluster_snapshot *s;
    const struct diff_ask *ask;
    struct odd_verdict *odd;
    struct differences *found;           /* of one row at a time */
    const struct snapshot_server *model; /* NULL: nobody reports */
    bool issued;                         /* the model has what was issued */
    bool nobody;                         /* no server has it: what differs is what the leader found */
    char where[ODD_WHERE_MAX];           /* "on s1, s2 and as issued" */
};

static void diff_done(struct diff *d)
{
    free(d->odd);
    free(d->found);
}

static bool compared(const struct diff *d, size_t i)
{
    const struct snapshot_server *v = &d->s->servers[i];
    if (d->ask->other)
        return strcmp(v->name, d->ask->other) == 0;
    return v->in_spec && !snapshot_etcd_only(d->s, i);
}

static const struct snapshot_server *first_reporting(const struct diff *d)
{
    for (size_t i = 0; i < d->s->servers_count; i++)
        if (compared(d, i) && d->s->servers[i].reports)
            return &d->s->servers[i];
    return NULL;
}

/* Nothing was issued, and there is no majority: the server whose file most have. */
static const struct snapshot_server *most_common(const struct diff *d)
{
    const struct snapshot_server *best = first_reporting(d);
    size_t most = 0;
    for (size_t i = 0; i < d->s->servers_count; i++) {
        const struct snapshot_server *v = &d->s->servers[i];
        size_t n = 0;
        for (size_t k = 0; compared(d, i) && v->reports && k < d->s->servers_count; k++)
            n += compared(d, k) && d->s->servers[k].reports &&
                 strcmp(d->s->servers[k].report.hash, v->report.hash) == 0;
        if (n > most) {
            most = n;
            best = v;
        }
    }
    return best;
}

static int diff_open(const struct cluster_snapshot *s, const struct diff_ask *ask, struct diff *d,
                     struct error *err)
{
    *d = (struct diff){.s = s, .ask = ask};
    d->odd = malloc(sizeof(*d->odd));
    d->found = malloc(sizeof(*d->found));
    if (!d->odd || !d->found)
        return error_no_memory(err);
    odd_find(s, d->odd);
    if (ask->reference) {
        const struct snapshot_server *v = snapshot_server(s, ask->reference);
        d->model = v && v->reports ? v : NULL;
        snprintf(d->where, sizeof(d->where), "on %s", ask->reference);
        return 0;
    }
    d->issued = d->odd->issued;
    d->nobody = d->issued && !d->odd->model && d->odd->odd > 0;
    d->model = d->odd->model || d->nobody ? d->odd->model : most_common(d);
    if (d->model || d->nobody)
        odd_where(s, d->nobody ? d->odd->reference : d->model->report.hash, d->issued, d->where);
    return 0;
}

int diff_check(const struct cluster_snapshot *s, const struct diff_ask *ask, struct error *err)
{
    const char *const names[] = {ask->reference, ask->other};
    for (size_t i = 0; i < array_len(names); i++)
        if (names[i] && !snapshot_server(s, names[i]))
            return error_set(err, ERR_NOT_FOUND,
                             "%.64s: no server of that name; `secrets-encrypt status -o wide` lists them",
                             names[i]);
    return 0;
}

static bool differs(const struct diff *d, const struct snapshot_server *v)
{
    if (d->nobody)
        return v->reports;
    return v->reports && d->model && strcmp(v->report.hash, d->model->report.hash) != 0;
}

int diff_code(const struct cluster_snapshot *s, const struct diff_ask *ask, char why[CLUSTER_TEXT_MAX])
{
    struct diff d;
    size_t different = 0, silent = 0;
    int rc = diff_open(s, ask, &d, NULL);
    why[0] = 0;
    for (size_t i = 0; rc == 0 && i < s->servers_count; i++) {
        if (!compared(&d, i))
            continue;
        different += differs(&d, &s->servers[i]);
        silent += !s->servers[i].reports;
    }
    silent += ask->reference && !d.model && strcmp(ask->reference, ask->other) != 0;
    bool none = rc == 0 && !d.model && !d.nobody;
    diff_done(&d);
    if (different)
        snprintf(why, CLUSTER_TEXT_MAX, "%zu server%s another encryption config", different,
                 different > 1 ? "s have" : " has");
    else if (silent)
        snprintf(why, CLUSTER_TEXT_MAX, "%zu server%s nothing: what stands there is not known", silent,
                 silent > 1 ? "s report" : " reports");
    else if (none)
        text_copy(why, CLUSTER_TEXT_MAX, "no server reports what it has");
    return different ? EXIT_MISMATCH : silent || none ? EXIT_SERVER : EXIT_DONE;
}

/* What there is to say of a server besides its differences. */
static const char *remark(const struct diff *d, size_t i)
{
    const struct snapshot_server *v = &d->s->servers[i];
    static const char *const words[] = {
        [ODD_DRIFT] = "its file was changed by somebody else",
        [ODD_NOT_ISSUED] = "its file was issued once, and is not the one that it should have now",
        [ODD_NEWER] = "the state store is older than it",
        [ODD_MINORITY] = "it is in the minority",
        [ODD_TIE] = "there is no majority",
    };
    enum odd_kind kind = d->odd->servers[i].kind;
    if (kind == ODD_NO && d->issued && differs(d, v))
        return "as the operation under way brings it";
    return kind < array_len(words) && words[kind] ? words[kind] : "";
}

static int find_differences(struct diff *d, const struct snapshot_server *v, struct error *err)
{
    d->found->count = d->found->more = 0;
    return v->reports && d->model ? differ_compare(&d->model->report, &v->report, d->found, err) : 0;
}

/* ---------- text ---------- */

static int add_row(struct diff *d, size_t i, struct buf *out, struct error *err)
{
    const struct snapshot_server *v = &d->s->servers[i];
    char text[DIFFERENCE_TEXT_MAX];
    if (!v->reports)
        return buf_addf(out, err, "%s is not known: %s\n", v->name, d->odd->servers[i].why);
    if (!differs(d, v))
        return 0;
    int rc = find_differences(d, v, err);
    if (rc == 0)
        rc = buf_addf(out, err, "%s: another encryption config than %s%s%s:\n", v->name, d->where,
                      *remark(d, i) ? "; " : "", remark(d, i));
    if (rc == 0 && d->nobody)
        rc = buf_addf(out, err, "  %s\n", d->odd->servers[i].why);
    for (size_t k = 0; rc == 0 && k < d->found->count; k++) {
        difference_text(&d->found->list[k], d->where, text);
        rc = buf_addf(out, err, "  %s\n", text);
    }
    if (rc == 0 && d->found->more)
        rc = buf_addf(out, err, "  and %zu more\n", d->found->more);
    return rc;
}

static int add_head(const struct diff *d, struct buf *out, struct error *err)
{
    if (d->model || d->nobody)
        return 0;
    return d->ask->reference
               ? buf_addf(out, err, "%s is not known: its agent reports nothing\n", d->ask->reference)
               : buf_adds(out, "No server reports what it has\n", err);
}

int render_diff_text(const struct cluster_snapshot *s, const struct diff_ask *ask, struct buf *out,
                     struct error *err)
{
    struct diff d;
    char why[CLUSTER_TEXT_MAX];
    int rc = diff_open(s, ask, &d, err);
    if (rc == 0)
        rc = add_head(&d, out, err);
    for (size_t i = 0; rc == 0 && i < s->servers_count; i++)
        if (compared(&d, i))
            rc = add_row(&d, i, out, err);
    if (rc == 0 && d.model && diff_code(s, ask, why) == EXIT_DONE)
        rc = buf_addf(out, err, "The same encryption config %s%s%s: %.12s\n", d.where, ask->other ? ", " : "",
                      ask->other ? ask->other : "", *d.model->report.hash ? d.model->report.hash : "none");
    diff_done(&d);
    make_printable(out);
    return rc;
}

/* ---------- JSON ---------- */

static struct json *difference_node(struct builder *b, const struct diff *d, const struct difference *v)
{
    char text[DIFFERENCE_TEXT_MAX];
    struct json *o = build_new(b, false);
    difference_text(v, d->where, text);
    build_string(b, o, "difference", difference_name(v->kind));
    build_string(b, o, "resources", v->of);
    build_string(b, o, "provider", v->provider);
    build_string(b, o, "key", v->key);
    build_int(b, o, "place", (int64_t)v->place);
    build_string(b, o, "detail", v->detail);
    build_string(b, o, "text", text);
    return o;
}

static struct json *row_node(struct builder *b, struct diff *d, size_t i)
{
    const struct snapshot_server *v = &d->s->servers[i];
    struct json *o = build_new(b, false), *list = build_new(b, true);
    if (b->rc == 0)
        b->rc = find_differences(d, v, b->err);
    for (size_t k = 0; k < d->found->count; k++)
        build_append(b, list, difference_node(b, d, &d->found->list[k]));
    build_string(b, o, "name", v->name);
    build_bool(b, o, "reports", v->reports);
    build_bool(b, o, "same", v->reports && d->model && !differs(d, v));
    build_string(b, o, "hash", v->reports ? v->report.hash : "");
    build_string(b, o, "odd", odd_name(d->odd->servers[i].kind));
    build_string(b, o, "why", d->odd->servers[i].why);
    build_node(b, o, "differences", list);
    build_int(b, o, "more", (int64_t)d->found->more);
    return o;
}

int render_diff_json(const struct cluster_snapshot *s, const struct diff_ask *ask, struct buf *out,
                     struct error *err)
{
    struct builder b = {0, err};
    struct diff d;
    char why[CLUSTER_TEXT_MAX];
    int rc = diff_open(s, ask, &d, err);
    if (rc < 0) {
        diff_done(&d);
        return rc;
    }
    _cleanup_(json_freep) struct json *root = build_new(&b, false);
    struct json *rows = build_new(&b, true);
    int code = diff_code(s, ask, why);
    build_head(&b, root, "diff");
    build_bool(&b, root, "same", code == EXIT_DONE);
    build_string(&b, root, "reference", d.where);
    build_string(&b, root, "referencehash",
                 d.model    ? d.model->report.hash
                 : d.nobody ? d.odd->reference
                            : "");
    build_bool(&b, root, "issued", d.issued);
    for (size_t i = 0; i < s->servers_count; i++)
        if (compared(&d, i))
            build_append(&b, rows, row_node(&b, &d, i));
    build_node(&b, root, "servers", rows);
    build_int(&b, root, "exit", code);
    build_string(&b, root, "cause", exit_cause(code));
    build_string(&b, root, "message", why);
    diff_done(&d);
    return build_print(&b, root, out);
}
