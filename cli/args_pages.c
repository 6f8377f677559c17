/* The flags and commands as texts: `--help`, and the table that man pages and completion are made of. */
#include "args_flags.h"

#include <base/buf.h>
#include <report/exits.h>

int args_help(unsigned of, struct buf *out, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < FLAGS && rc == 0; i++) {
        const struct flag *f = &args_flags[i];
        bool other = f->value == 's' && f->of == EVERYWHERE && (of & FLAG_SERVERS);
        if ((f->of != EVERYWHERE && !(of & f->of)) || other)
            continue;
        char left[48], dash[8] = "    ";
        if (f->value < 256)
            snprintf(dash, sizeof(dash), "-%c, ", f->value);
        snprintf(left, sizeof(left), "%s--%s%s%s", dash, f->name, f->takes ? " " : "",
                 f->takes ? f->takes : "");
        rc = buf_addf(out, err, "  %-24s  %s\n", left, f->help);
    }
    return rc;
}

/* What a flag's value may be, where that is a choice. */
static const char *choices(const struct flag *f, unsigned of)
{
    if (f->value == 'o' && f->of & of & (FLAG_OUTPUT | FLAG_JSON))
        return f->of & FLAG_JSON ? "text json" : "text json wide";
    return f->value == OPT_ENGINE ? "api datastore" : "";
}

/* A field of the table: tabs and line ends would end it. */
static int add_field(struct buf *out, const char *text, struct error *err)
{
    int rc = buf_adds(out, "\t", err);
    for (const char *p = text ? text : ""; *p && rc == 0; p++)
        if (*p != '\n' || p[1])
            rc = buf_add(out, *p == '\n' || *p == '\t' ? " " : p, 1, err);
    return rc;
}

static int add_fields(struct buf *out, const char *const *texts, size_t count, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = add_field(out, texts[i], err);
    return rc == 0 ? buf_adds(out, "\n", err) : rc;
}

static int add_flags(struct buf *out, const char *command, unsigned of, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < FLAGS && rc == 0; i++) {
        const struct flag *f = &args_flags[i];
        if (!(f->of & of))
            continue;
        const char letter[2] = {f->value < 256 ? (char)f->value : 0, 0};
        const char *const texts[] = {command, letter, f->name, f->takes, choices(f, of), f->help};
        rc = buf_adds(out, "flag", err);
        if (rc == 0)
            rc = add_fields(out, texts, array_len(texts), err);
    }
    return rc;
}

static int add_examples(struct buf *out, const struct command *c, struct error *err)
{
    int rc = 0;
    for (const char *line = c->example ? c->example : ""; *line && rc == 0;) {
        size_t len = strcspn(line, "\n");
        rc = buf_addf(out, err, "example\t%s\t%.*s\n", c->name, (int)len, line);
        line += len + (line[len] == '\n');
    }
    return rc;
}

static int add_exits(struct buf *out, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < exit_rows_count && rc == 0; i++)
        rc = buf_addf(out, err, "exit\t%d\t%s\t%s\n", exit_rows[i].code, exit_rows[i].cause,
                      exit_rows[i].meaning);
    return rc;
}

int args_table(const struct command *commands, size_t count, struct buf *out, struct error *err)
{
    int rc = add_flags(out, "*", EVERYWHERE, err);
    for (size_t i = 0; i < count && rc == 0; i++) {
        const struct command *c = &commands[i];
        const char *const texts[] = {c->name, c->operand, c->summary, c->example, c->help};
        rc = buf_adds(out, "command", err);
        if (rc == 0)
            rc = add_fields(out, texts, array_len(texts), err);
        if (rc == 0)
            rc = add_examples(out, c, err);
        if (rc == 0)
            rc = add_flags(out, c->name, c->flags, err);
    }
    return rc == 0 ? add_exits(out, err) : rc;
}
