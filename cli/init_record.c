#include <cli/init_record.h>

#include <report/exits.h>

#include <report/builder.h>

int render_init_json(const struct init_record *r, struct buf *out, struct error *err)
{
    struct builder b = {0, err};
    _cleanup_(json_freep) struct json *root = build_new(&b, false);
    build_head(&b, root, "init");
    build_string(&b, root, "config", r->config);
    build_bool(&b, root, "written", r->code == EXIT_DONE);
    build_int(&b, root, "missing", (int64_t)r->missing);
    build_string(&b, root, "text", r->text);
    build_int(&b, root, "exit", r->code);
    build_string(&b, root, "cause", exit_cause(r->code));
    build_string(&b, root, "message", r->code == EXIT_DONE ? "" : r->message);
    return build_print(&b, root, out);
}
