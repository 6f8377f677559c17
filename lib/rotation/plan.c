/* Which phases an operation runs through, and in which order. */
#include "plan.h"

#include <base/cleanup.h>

#define PHASES_MAX 16

static const struct {
    enum operation_kind kind;
    enum phase phases[PHASES_MAX]; /* ends with PHASE_DONE */
} plans[] = {
    {OP_PREPARE, {PHASE_ADOPT, PHASE_OPENS, PHASE_APPEND, PHASE_READABLE, PHASE_DONE}},
    {OP_ROTATE, {PHASE_BACKUP, PHASE_READABLE, PHASE_PROMOTE, PHASE_WRITTEN, PHASE_DONE}},
    {OP_REENCRYPT,
     {PHASE_ADOPT, PHASE_WRITTEN, PHASE_BACKUP, PHASE_REWRITE, PHASE_VERIFY, PHASE_BACKUP_DROP, PHASE_DROP,
      PHASE_FINAL, PHASE_DONE}},
    {OP_ROTATE_KEYS,
     {PHASE_ADOPT, PHASE_OPENS, PHASE_BACKUP, PHASE_APPEND, PHASE_READABLE, PHASE_PROMOTE, PHASE_WRITTEN,
      PHASE_REWRITE, PHASE_VERIFY, PHASE_BACKUP_DROP, PHASE_DROP, PHASE_FINAL, PHASE_DONE}},
    {OP_ENABLE, {PHASE_ADOPT, PHASE_OPENS, PHASE_READABLE, PHASE_SWITCH, PHASE_WRITTEN, PHASE_DONE}},
    {OP_DISABLE, {PHASE_ADOPT, PHASE_OPENS, PHASE_IDENTITY, PHASE_SWITCH, PHASE_WRITTEN, PHASE_DONE}},
    {OP_RESTORE_KEY, {PHASE_ADOPT, PHASE_RESTORE, PHASE_READABLE, PHASE_DONE}},
    {OP_ABORT,
     {PHASE_REVERT, PHASE_WRITTEN, PHASE_REWRITE, PHASE_VERIFY, PHASE_RETURN, PHASE_FINAL, PHASE_DONE}},
    {OP_ADOPT, {PHASE_ADOPT, PHASE_DONE}},
    {OP_RESTART, {PHASE_RESTART, PHASE_DONE}},
};

const enum phase *plan_of(enum operation_kind kind)
{
    for (size_t i = 0; i < array_len(plans); i++)
        if (plans[i].kind == kind)
            return plans[i].phases;
    static const enum phase nothing[] = {PHASE_DONE};
    return nothing;
}

const enum phase *rotation_plan(enum operation_kind kind)
{
    return plan_of(kind);
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
    bool abort = op->kind == OP_ABORT;
    if (abort && op->ends)
        return false;
    switch (phase) {
    case PHASE_ADOPT:
        return needs_adoption(s);
    case PHASE_BACKUP:
        return s->spec.snapshots && !s->spec.not_raw;
    case PHASE_READABLE:
        return op->kind != OP_ENABLE || !encrypted;
    case PHASE_IDENTITY:
        return !r->reads_plain;
    case PHASE_SWITCH:
        return op->kind == OP_ENABLE ? !encrypted : encrypted;
    case PHASE_BACKUP_DROP:
        return s->spec.snapshots && !s->spec.not_raw && !op->skip;
    case PHASE_DROP:
        return !op->skip;
    /* Nothing was ever written with the new key unless a config was issued that does so. */
    case PHASE_WRITTEN:
    case PHASE_REWRITE:
        return !abort || r->promoted;
    case PHASE_REVERT:
        return r->promoted;
    case PHASE_VERIFY:
    case PHASE_RETURN:
        return !abort || r->base > 0;
    case PHASE_FINAL:
        return op->before > 0;
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
    if (r->op.phase == PHASE_BRING_BACK)
        return PHASE_REWRITE; /* out of line: what was found under the old key is rewritten, then on from
                                 there */
    while (*p != PHASE_DONE && *p != r->op.phase)
        p++;
    if (*p != PHASE_DONE)
        p++;
    while (*p != PHASE_DONE && !needed(s, r, &r->op, *p))
        p++;
    return *p;
}

static const enum {
    CONFIG = 1, /* brings a generation to every server */
    PROOF = 2,  /* over once its proof is made */
    DROPS = 4,  /* keys leave servers */
} kinds[] = {
    [PHASE_ADOPT] = CONFIG,
    [PHASE_OPENS] = PROOF,
    [PHASE_BACKUP] = PROOF,
    [PHASE_APPEND] = CONFIG,
    [PHASE_READABLE] = PROOF,
    [PHASE_PROMOTE] = CONFIG,
    [PHASE_WRITTEN] = PROOF,
    [PHASE_REWRITE] = 0,
    [PHASE_VERIFY] = PROOF,
    [PHASE_BACKUP_DROP] = PROOF,
    [PHASE_DROP] = CONFIG | DROPS,
    [PHASE_FINAL] = PROOF,
    [PHASE_IDENTITY] = CONFIG,
    [PHASE_SWITCH] = CONFIG,
    [PHASE_RESTORE] = CONFIG,
    [PHASE_REVERT] = CONFIG,
    [PHASE_RETURN] = CONFIG | DROPS,
    [PHASE_BRING_BACK] = CONFIG,
    [PHASE_RESTART] = CONFIG, /* of which every server has the file */
    [PHASE_DONE] = 0,
};

bool rotation_phase_is_config(enum phase phase)
{
    return (kinds[phase] & CONFIG) != 0;
}

bool rotation_made_by_servers(const struct cluster_snapshot *s, enum phase phase)
{
    bool config = rotation_phase_is_config(phase) && phase != PHASE_RESTART;
    return phase == PHASE_ADOPT || (s->spec.owned && config);
}

bool rotation_phase_is_proof(enum phase phase)
{
    return (kinds[phase] & PROOF) != 0;
}

bool rotation_phase_drops(enum phase phase)
{
    return (kinds[phase] & DROPS) != 0;
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
    case PHASE_REVERT:
        return r->old_key[0] ? STAGE_PREPARE
                             : r->base_stage; /* the old key writes, the new one is readable */
    case PHASE_RETURN:
        return r->base_stage;
    default:
        return r->stage; /* adopting, enabling, disabling and restoring are no steps of a rotation */
    }
}

/* What people count as a step; the others belong to the one before. */
static const struct {
    enum phase phase;
    const char *word;
    bool counts;
} steps[] = {
    {PHASE_ADOPT, "adopt", false},
    {PHASE_OPENS, "check", false},
    {PHASE_BACKUP, "snapshot", false},
    {PHASE_APPEND, "prepare", true},
    {PHASE_READABLE, "prove readable", false},
    {PHASE_PROMOTE, "rotate", true},
    {PHASE_WRITTEN, "prove written", false},
    {PHASE_REWRITE, "reencrypt", true},
    {PHASE_VERIFY, "verify", false},
    {PHASE_BACKUP_DROP, "snapshot", false},
    {PHASE_DROP, "drop old key", true},
    {PHASE_FINAL, "last check", false},
    {PHASE_IDENTITY, "read plain", false},
    {PHASE_SWITCH, "switch", true},
    {PHASE_RESTORE, "restore key", true},
    {PHASE_REVERT, "old key writes again", true},
    {PHASE_RETURN, "drop new key", true},
    {PHASE_BRING_BACK, "bring old key back", false},
    {PHASE_RESTART, "restart", true},
    {PHASE_DONE, "done", false},
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
        bool counts = steps[step_of(*p)].counts && !(*p == PHASE_DROP && op->skip);
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

bool rotation_escrow_is_over(const struct cluster_snapshot *s, size_t i)
{
    return s->escrow[i].until_ms < s->now_ms;
}

bool rotation_bundle_is_over(const struct cluster_snapshot *s, size_t i)
{
    const struct cluster_rotation *r = &s->rotation;
    int64_t generation = s->bundles[i].generation;
    int64_t window_ms = s->spec.escrow_days * 24 * 3600 * 1000;
    if (i + 1 >= s->bundles_count || generation >= r->generation || generation == r->base ||
        generation == r->op.from || generation == r->op.before)
        return false;
    return s->bundles[i + 1].created_ms + window_ms < s->now_ms;
}
