#include <cli/preflight.h>

#include <base/text.h>
#include <cluster/codec.h>
#include <report/table.h>

#include <report/builder.h>

static int add_heading(const char *server, bool first, struct buf *out, struct error *err)
{
    return buf_addf(out, err, "%s%s\n", first ? "" : "\n", *server ? server : "the cluster");
}

static int add_item(const struct cluster_check *k, int width, struct buf *out, struct error *err)
{
    static const char *const words[] = {[CHECK_OK] = "ok", [CHECK_WARN] = "WARN", [CHECK_FAIL] = "FAIL"};
    int rc = buf_addf(out, err, "  %-4s  %-*s  %s\n", words[k->result], width, k->name, k->text);
    if (rc == 0 && *k->remedy)
        rc = buf_addf(out, err, "        %-*s  -> %s\n", width, "", k->remedy);
    return rc;
}

static int add_summary(const struct preflight *p, struct buf *out, struct error *err)
{
    int rc = buf_addf(out, err, "\n%zu checks on %zu server%s and the cluster: ", p->count, p->servers,
                      p->servers == 1 ? "" : "s");
    if (rc < 0)
        return rc;
    if (p->failed == 0 && p->warned == 0)
        return buf_adds(out, "all is well\n", err);
    if (p->failed == 0)
        return buf_addf(out, err, "ready for a rotation, %zu warning%s\n", p->warned,
                        p->warned == 1 ? "" : "s");
    return buf_addf(out, err, "%zu failed, %zu warning%s\n", p->failed, p->warned, p->warned == 1 ? "" : "s");
}

int render_preflight_text(const struct preflight *p, struct buf *out, struct error *err)
{
    int width = 0, rc = 0;
    for (size_t i = 0; i < p->count; i++) {
        int len = (int)strlen(p->items[i].check.name);
        width = len > width ? len : width;
    }
    for (size_t i = 0; i < p->count && rc == 0; i++) {
        const struct preflight_item *item = &p->items[i];
        if (i == 0 || strcmp(item->server, p->items[i - 1].server) != 0)
            rc = add_heading(item->server, i == 0, out, err);
        if (rc == 0)
            rc = add_item(&item->check, width, out, err);
    }
    if (rc == 0)
        rc = add_summary(p, out, err);
    make_printable(out);
    return rc;
}

int render_preflight_json(const struct preflight *p, struct buf *out, struct error *err)
{
    struct builder b = {0, err};
    _cleanup_(json_freep) struct json *root = build_new(&b, false);
    struct json *list = build_new(&b, true);
    for (size_t i = 0; i < p->count; i++) {
        const struct preflight_item *item = &p->items[i];
        struct json *o = build_new(&b, false);
        build_string(&b, o, "server", item->server);
        build_string(&b, o, "name", item->check.name);
        build_string(&b, o, "result", check_result_name(item->check.result));
        build_string(&b, o, "text", item->check.text);
        build_string(&b, o, "remedy", item->check.remedy);
        build_append(&b, list, o);
    }
    build_head(&b, root, "preflight");
    build_bool(&b, root, "ready", p->failed == 0);
    build_int(&b, root, "failed", (int64_t)p->failed);
    build_int(&b, root, "warnings", (int64_t)p->warned);
    build_node(&b, root, "checks", list);
    return build_print(&b, root, out);
}
