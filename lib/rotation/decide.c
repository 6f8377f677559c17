#include "table.h"

#include <base/cleanup.h>
#include <base/text.h>

static void explain(const struct row *row, const struct facts *f, char why[CLUSTER_TEXT_MAX])
{
    const char *about = row->about >= 0 ? f->text[row->about] : "";
    snprintf(why, CLUSTER_TEXT_MAX, "%s%s%s", row->why, *row->why && *about ? ": " : "", about);
}

static const struct row *find_row(const struct facts *f)
{
    for (size_t i = 0; i < rotation_rows_count; i++) {
        const struct row *r = &rotation_rows[i];
        if ((f->bits & r->yes) == r->yes && (f->bits & r->no) == 0)
            return r;
    }
    return &rotation_rows[rotation_rows_count - 1];
}

/* What a row is about says what kind of trouble it is. */
static enum cluster_cause cause_of(const struct row *row, const struct facts *f)
{
    static const struct {
        enum fact about;
        enum cluster_cause cause;
    } causes[] = {
        {FACT_ORDER_FAILED, CAUSE_SERVER}, {FACT_SILENT, CAUSE_SERVER},   {FACT_UNREADY, CAUSE_SERVER},
        {FACT_DRIFT, CAUSE_MISMATCH},      {FACT_UNDONE, CAUSE_MISMATCH},
    };
    if (row->action == ACTION_REFUSE)
        return f->refused;
    for (size_t i = 0; row->action == ACTION_HALT && i < array_len(causes); i++)
        if ((int)causes[i].about == row->about)
            return causes[i].cause;
    return CAUSE_NONE;
}

void rotation_decide(const struct cluster_snapshot *s, const struct planner_self *self, struct decision *ret)
{
    struct facts f;
    facts_compute(s, self, &f);
    const struct row *row = find_row(&f);
    *ret = (struct decision){0};
    ret->action = row->action;
    ret->row = row->id;
    ret->now_ms = s->now_ms;
    ret->cause = cause_of(row, &f);
    explain(row, &f, ret->why);
    text_copy(ret->on, sizeof(ret->on), row->about >= 0 && f.on[row->about] ? f.on[row->about] : "");
    ret->server = row->action == ACTION_REPAIR ? f.repair_server : f.next_server;
    ret->order_kind = f.next_kind;
    ret->generation = s->rotation.op.target;
    ret->request = fact(&f, FACT_REQUEST) && row->about != FACT_REPAIRABLE ? 0 : SIZE_MAX;
}
