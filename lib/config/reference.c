/* docs/configuration.md's tables, from the parser's own table. */
#include "table.h"

static const char *type_word(const struct field *f)
{
    static const char *const words[] = {
        [FIELD_NAME] = "name",
        [FIELD_TEXT] = "text",
        [FIELD_PATH] = "path",
        [FIELD_PREFIX] = "prefix",
        [FIELD_CHOICE] = "text",
        [FIELD_INT] = "number",
        [FIELD_LIST] = "list of texts",
        [FIELD_SERVERS] = "list of objects",
        [FIELD_SECTION] = "object",
        [FIELD_WINDOWS] = "list of objects",
        [FIELD_ROLES] = "list of objects",
    };
    return words[f->type];
}

static int add_limits(struct buf *out, const struct field *f, struct error *err)
{
    int rc = 0;
    if (f->type == FIELD_INT)
        return buf_addf(out, err, "%lld to %lld", (long long)f->min, (long long)f->max);
    if (f->type == FIELD_LIST || f->type == FIELD_SERVERS || f->type == FIELD_WINDOWS ||
        f->type == FIELD_ROLES)
        return buf_addf(out, err, "%lld to %lld elements", (long long)f->min, (long long)f->max);
    for (size_t i = 0; f->choices && f->choices[i] && rc == 0; i++)
        if (*f->choices[i])
            rc = buf_addf(out, err, "`%s` ", f->choices[i]);
    return rc;
}

static int add_needed(struct buf *out, const struct field *f, struct error *err)
{
    if (f->needed == ALL)
        return buf_adds(out, "all", err);
    int rc = 0;
    for (enum config_role role = CONFIG_FOR_AGENT; role <= CONFIG_FOR_CLI && rc == 0; role++)
        if (f->needed & (1u << role))
            rc = buf_addf(out, err, "%s ", config_role_name(role));
    return rc;
}

static int add_row(struct buf *out, const char *section, const struct field *f, struct error *err)
{
    int rc = buf_addf(out, err, "| `%s%s` | %s | ", section, f->name, type_word(f));
    if (rc == 0 && f->fallback)
        rc = *f->fallback ? buf_addf(out, err, "`%s`", f->fallback) : buf_adds(out, "empty", err);
    if (rc == 0)
        rc = buf_adds(out, " | ", err);
    if (rc == 0)
        rc = add_limits(out, f, err);
    if (rc == 0)
        rc = buf_adds(out, " | ", err);
    if (rc == 0)
        rc = add_needed(out, f, err);
    if (rc == 0)
        rc = buf_addf(out, err, " | %s", f->help);
    if (rc == 0 && f->formerly)
        rc = buf_addf(out, err, " (formerly `%s`, which is understood with a warning)", f->formerly);
    return rc == 0 ? buf_adds(out, " |\n", err) : rc;
}

/* The fields of a list's elements; NULL: it is no list of objects. */
static const struct field *elements_of(const struct field *f)
{
    return f->type == FIELD_SERVERS   ? config_server_fields
           : f->type == FIELD_ROLES   ? config_role_fields
           : f->type == FIELD_WINDOWS ? config_window_fields
                                      : NULL;
}

static int add_fields(struct buf *out, const char *section, const struct field *fields, struct error *err)
{
    int rc = 0;
    for (const struct field *f = fields; f && f->name && rc == 0; f++) {
        char inner[80];
        rc = add_row(out, section, f, err);
        snprintf(inner, sizeof(inner), "%s%s%s.", section, f->name, elements_of(f) ? "[]" : "");
        if (elements_of(f) && rc == 0)
            rc = add_fields(out, inner, elements_of(f), err);
        for (size_t p = 0; f->type == FIELD_SECTION && p < FIELD_PARTS && rc == 0; p++)
            rc = add_fields(out, inner, f->parts[p].fields, err);
    }
    return rc;
}

int config_reference(struct buf *out, struct error *err)
{
    int rc = buf_adds(out,
                      "| field | type | default | allowed | needed for | meaning |\n"
                      "|---|---|---|---|---|---|\n",
                      err);
    return rc == 0 ? add_fields(out, "", config_top.fields, err) : rc;
}
