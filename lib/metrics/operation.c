/* The operation that runs or ran last, its proofs, and its rewriting. */
#include "internal.h"

#include <string.h>

/* There has been an operation. */
static const struct cluster_operation *operation(const struct render *r)
{
    const struct cluster_operation *op = &r->s->rotation.op;
    return r->s->has_rotation && *op->id ? op : NULL;
}

void write_operation_info(struct render *r)
{
    const struct cluster_operation *op = operation(r);
    if (op)
        SAMPLE(r, 1, {"operation", op->id}, {"kind", operation_kind_name(op->kind)},
               {"phase", phase_name(op->phase)});
}

void write_operation_stage(struct render *r)
{
    if (!r->s->has_rotation)
        return;
    for (int i = STAGE_START; i <= STAGE_REENCRYPT_FINISHED; i++)
        SAMPLE(r, r->s->rotation.stage == (enum stage)i, {"stage", stage_name((enum stage)i)});
}

void write_operation_state(struct render *r)
{
    const struct cluster_operation *op = operation(r);
    for (int i = OP_STATE_RUNNING; op && i <= OP_STATE_PAUSED; i++)
        SAMPLE(r, op->state == (enum operation_state)i,
               {"state", operation_state_name((enum operation_state)i)});
}

void write_operation_waiting(struct render *r)
{
    const struct cluster_operation *op = operation(r);
    int64_t age = 0;
    if (op && op->state == OP_STATE_RUNNING && *op->row && age_since(r, op->row_ms, &age))
        SAMPLE(r, age, {"row", op->row}, {"server", op->on});
}

bool single_operation_duration(const struct render *r, int64_t *ret)
{
    const struct cluster_operation *op = operation(r);
    if (!op || op->started_ms <= 0)
        return false;
    bool over = op->state != OP_STATE_RUNNING && op->ended_ms >= op->started_ms;
    *ret = over ? op->ended_ms - op->started_ms : 0;
    return over || age_since(r, op->started_ms, ret);
}

bool single_phase_duration(const struct render *r, int64_t *ret)
{
    const struct cluster_operation *op = operation(r);
    return op && op->state == OP_STATE_RUNNING && age_since(r, op->phase_ms, ret);
}

bool single_generation(const struct render *r, int64_t *ret)
{
    *ret = r->s->rotation.generation;
    return r->s->has_rotation;
}

bool single_issued(const struct render *r, int64_t *ret)
{
    *ret = r->s->rotation.issued;
    return r->s->has_rotation;
}

bool single_requests(const struct render *r, int64_t *ret)
{
    *ret = (int64_t)r->s->requests_count;
    return true;
}

bool single_lock_age(const struct render *r, int64_t *ret)
{
    /* A lock whose record cannot be read is one all the same. */
    if (!age_since(r, r->s->lock.since_ms, ret))
        *ret = 0;
    return r->s->has_lock;
}

/* ---------- proofs ---------- */

/* The record holds one of each phase. */
#define FOR_EACH_PROOF(r, p)                                                                                 \
    for (const struct cluster_proof *p = (r)->s->proofs.proofs;                                              \
         (r)->s->has_proofs && p < (r)->s->proofs.proofs + (r)->s->proofs.proofs_count; p++)

/* Of an earlier entry of its phase: another pass makes it anew. */
static bool outdated(const struct render *r, const struct cluster_proof *p)
{
    bool against = p->state == PROOF_FAILED || p->state == PROOF_UNMADE;
    return against && p->step != r->s->rotation.op.step;
}

void write_proof_state(struct render *r)
{
    FOR_EACH_PROOF(r, p)
    if (!outdated(r, p))
        for (int i = PROOF_RUNNING; i <= PROOF_UNMADE; i++)
            SAMPLE(r, p->state == (enum proof_state)i, {"phase", phase_name(p->phase)},
                   {"state", proof_state_name((enum proof_state)i)});
}

void write_proof_age(struct render *r)
{
    int64_t age = 0;
    FOR_EACH_PROOF(r, p)
    if (age_since(r, p->time_ms, &age))
        SAMPLE(r, age, {"phase", phase_name(p->phase)}, {"method", p->method});
}

void write_proof_attempts(struct render *r)
{
    FOR_EACH_PROOF(r, p)
    SAMPLE(r, p->attempts, {"phase", phase_name(p->phase)});
}

/* ---------- rewriting ---------- */

bool single_reencrypt_objects(const struct render *r, int64_t *ret)
{
    *ret = r->s->reencrypt.done;
    return r->s->has_reencrypt;
}

bool single_reencrypt_gone(const struct render *r, int64_t *ret)
{
    *ret = r->s->reencrypt.gone;
    return r->s->has_reencrypt;
}

bool single_reencrypt_failures(const struct render *r, int64_t *ret)
{
    *ret = r->s->reencrypt.failed;
    return r->s->has_reencrypt;
}

bool single_reencrypt_remaining(const struct render *r, int64_t *ret)
{
    const struct cluster_reencrypt *e = &r->s->reencrypt;
    *ret = e->state == REENCRYPT_RUNNING && e->total > e->done ? e->total - e->done : 0;
    return r->s->has_reencrypt;
}

bool single_reencrypt_rate(const struct render *r, int64_t *ret)
{
    *ret = r->s->reencrypt.state == REENCRYPT_RUNNING ? r->s->reencrypt.rate : 0;
    return r->s->has_reencrypt;
}

bool single_reencrypt_held(const struct render *r, int64_t *ret)
{
    *ret = r->s->reencrypt.state == REENCRYPT_RUNNING && *r->s->reencrypt.held_by;
    return r->s->has_reencrypt;
}
