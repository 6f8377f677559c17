/* Which phases an operation runs through, and in which order. */
#include <rotation/rotation.h>

#include <base/cleanup.h>

#define PHASES_MAX 8

static const struct {
    enum operation_kind kind;
    enum phase phases[PHASES_MAX]; /* ends with PHASE_DONE */
} plans[] = {
    {OP_PREPARE, {PHASE_ADOPT, PHASE_APPEND, PHASE_DONE}},
    {OP_ROTATE, {PHASE_PROMOTE, PHASE_DONE}},
    {OP_REENCRYPT, {PHASE_ADOPT, PHASE_REWRITE, PHASE_VERIFY, PHASE_DROP, PHASE_DONE}},
    {OP_ROTATE_KEYS,
     {PHASE_ADOPT, PHASE_APPEND, PHASE_PROMOTE, PHASE_REWRITE, PHASE_VERIFY, PHASE_DROP, PHASE_DONE}},
    {OP_ENABLE, {PHASE_ADOPT, PHASE_SWITCH, PHASE_DONE}},
    {OP_DISABLE, {PHASE_ADOPT, PHASE_IDENTITY, PHASE_SWITCH, PHASE_DONE}},
    {OP_ADOPT, {PHASE_ADOPT, PHASE_DONE}},
};

static const enum phase *plan_of(enum operation_kind kind)
{
    for (size_t i = 0; i < array_len(plans); i++)
        if (plans[i].kind == kind)
            return plans[i].phases;
    static const enum phase nothing[] = {PHASE_DONE};
    return nothing;
}

/* The present files are adopted when there is no generation yet, or when every server runs another config
 * than the newest one issued (changed by hand everywhere, alike). */
static bool needs_adoption(const struct cluster_snapshot *s)
{
    if (s->rotation.generation == 0)
        return true;
    for (size_t i = 0; i < s->servers_count; i++)
        if (s->servers[i].in_spec && strcmp(s->servers[i].report.hash, s->rotation.hash) != 0)
            return true;
    return false;
}

static bool needed(const struct cluster_snapshot *s, const struct cluster_rotation *r,
                   const struct cluster_operation *op, enum phase phase)
{
    bool encrypted = r->write_key[0] != 0;
    switch (phase) {
    case PHASE_ADOPT:
        return needs_adoption(s);
    case PHASE_IDENTITY:
        return !r->reads_plain;
    case PHASE_SWITCH:
        return op->kind == OP_ENABLE ? !encrypted : encrypted;
    case PHASE_DROP:
        return !op->skip;
    default:
        return true;
    }
}

enum phase rotation_first_phase(const struct cluster_snapshot *s, const struct cluster_operation *op)
{
    const enum phase *p = plan_of(op->kind);
    while (*p != PHASE_DONE && !needed(s, &s->rotation, op, *p))
        p++;
    return *p;
}

enum phase rotation_next_phase(const struct cluster_snapshot *s, const struct cluster_rotation *r)
{
    const enum phase *p = plan_of(r->op.kind);
    while (*p != PHASE_DONE && *p != r->op.phase)
        p++;
    if (*p != PHASE_DONE)
        p++;
    while (*p != PHASE_DONE && !needed(s, r, &r->op, *p))
        p++;
    return *p;
}

enum stage rotation_phase_stage(enum phase phase, const struct cluster_rotation *r)
{
    switch (phase) {
    case PHASE_APPEND:
        return STAGE_PREPARE;
    case PHASE_PROMOTE:
        return STAGE_ROTATE;
    case PHASE_DROP:
        return STAGE_REENCRYPT_FINISHED;
    default:
        return r->stage; /* adopting, enabling and disabling are no steps of a rotation */
    }
}

/* What people count as a step; adopt and verify belong to their neighbours. */
static const struct {
    enum phase phase;
    const char *word;
    bool counts;
} steps[] = {
    {PHASE_ADOPT, "adopt", false},        {PHASE_APPEND, "prepare", true}, {PHASE_PROMOTE, "rotate", true},
    {PHASE_REWRITE, "reencrypt", true},   {PHASE_VERIFY, "verify", false}, {PHASE_DROP, "drop old key", true},
    {PHASE_IDENTITY, "read plain", true}, {PHASE_SWITCH, "switch", true},  {PHASE_DONE, "done", false},
};

static size_t step_of(enum phase phase)
{
    for (size_t i = 0; i < array_len(steps); i++)
        if (steps[i].phase == phase)
            return i;
    return 0;
}

void rotation_step(const struct cluster_operation *op, int *ret_number, int *ret_count, const char **ret_word)
{
    int number = 0, count = 0;
    bool passed = false;
    for (const enum phase *p = plan_of(op->kind); *p != PHASE_DONE; p++) {
        bool counts = steps[step_of(*p)].counts && !(*p == PHASE_DROP && op->skip) && *p != PHASE_IDENTITY;
        count += counts;
        if (!passed)
            number += counts;
        if (*p == op->phase)
            passed = true;
    }
    *ret_number = number > 0 ? number : 1;
    *ret_count = count > 0 ? count : 1;
    *ret_word = steps[step_of(op->phase)].word;
}
