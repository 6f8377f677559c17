/* The planner as a page for people: its plans as diagrams, its table as a table. */
#include "plan.h"
#include "table.h"

static const char head[] =
    "# The planner\n\n"
    "What each operation runs through, and the table by which the leading coordinator decides its "
    "next step: for whoever reads `explain`, and wants to know what comes before and "
    "after. Drawn from the program itself by `docs/draw.sh`; a test compares. "
    "[Safety](safety.md) says why it holds.\n\n"
    "## What each operation runs through\n\n"
    "Boxes bring a config to every server, one at a time; rounded ones are work of "
    "the coordinator, and over when "
    "their proof is made. What a cluster does not need is left out. From the drop on, "
    "`bring_back` is entered "
    "from where a value under a key that is going is seen, and leads to `rewrite`.\n";

static int draw_phase(struct buf *out, enum phase phase, struct error *err)
{
    const char *name = phase_name(phase);
    if (rotation_phase_is_config(phase))
        return buf_addf(out, err, "%s[%s]", name, name);
    return buf_addf(out, err, "%s(%s)", name, name);
}

static int draw_plan(struct buf *out, enum operation_kind kind, struct error *err)
{
    const enum phase *p = plan_of(kind);
    int rc = buf_addf(out, err, "\n**%s**\n\n```mermaid\nflowchart LR\n    ", operation_kind_name(kind));
    for (; rc == 0; p++) {
        rc = draw_phase(out, *p, err);
        if (rc == 0 && *p == PHASE_DONE)
            break;
        if (rc == 0)
            rc = buf_adds(out, " --> ", err);
    }
    return rc < 0 ? rc : buf_adds(out, "\n```\n", err);
}

static int draw_facts(struct buf *out, const struct row *r, struct error *err)
{
    int rc = r->yes || r->no ? 0 : buf_adds(out, "always ", err);
    for (int f = 0; rc == 0 && f < FACT_COUNT; f++)
        if (r->yes & FACT_BIT(f))
            rc = buf_addf(out, err, "%s ", fact_name((enum fact)f));
    for (int f = 0; rc == 0 && f < FACT_COUNT; f++)
        if (r->no & FACT_BIT(f))
            rc = buf_addf(out, err, "not:%s ", fact_name((enum fact)f));
    return rc;
}

int rotation_draw(struct buf *out, struct error *err)
{
    int rc = buf_adds(out, head, err);
    for (int k = OP_PREPARE; rc == 0 && k <= OP_RESTART; k++)
        rc = draw_plan(out, (enum operation_kind)k, err);
    if (rc == 0)
        rc = buf_adds(
            out,
            "\n## The table\n\nThe first row whose facts hold decides. `secrets-encrypt explain` names "
            "the row that decides now.\n\n| row | when | does | why |\n|---|---|---|---|\n",
            err);
    for (size_t i = 0; rc == 0 && i < rotation_rows_count; i++) {
        const struct row *r = &rotation_rows[i];
        rc = buf_addf(out, err, "| %s | ", r->id);
        if (rc == 0)
            rc = draw_facts(out, r, err);
        if (rc == 0)
            rc = buf_addf(out, err, "| %s | %s |\n", action_name(r->action), r->why);
    }
    return rc;
}
