/* Facts about the coordinator's jobs and the proofs they make. */
#include "facts.h"

#include <inttypes.h>

#define RETRY_STEP_MS 500
#define RETRY_MAX_MS  10000

static void rewrite_facts(const struct cluster_snapshot *s, struct facts *f)
{
    const struct cluster_operation *op = &s->rotation.op;
    const struct cluster_reencrypt *r = &s->reencrypt;
    bool ours = s->has_reencrypt && strcmp(r->operation, op->id) == 0 && r->step == op->step;
    if (!ours || op->phase != PHASE_REWRITE)
        return;
    if (r->state == REENCRYPT_FAILED)
        facts_set(f, FACT_JOB_FAILED, NULL, "%s", r->why);
    facts_set_if(f, FACT_REWRITTEN, r->state == REENCRYPT_ENDED);
}

/* How long after a failed attempt the next one waits. A clock that was set back does not make it wait. */
static bool retry_soon(const struct cluster_snapshot *s, const struct cluster_proof *p)
{
    int64_t pause = p->attempts * RETRY_STEP_MS < RETRY_MAX_MS ? p->attempts * RETRY_STEP_MS : RETRY_MAX_MS;
    int64_t age = s->now_ms - p->time_ms;
    return p->state == PROOF_UNMADE && age >= 0 && age < pause;
}

static const struct cluster_failure *first_failure(const struct cluster_snapshot *s)
{
    const struct cluster_reencrypt *r = &s->reencrypt;
    bool ours = s->has_reencrypt && strcmp(r->operation, s->rotation.op.id) == 0;
    return ours && s->rotation.op.phase == PHASE_VERIFY && r->failures_count ? &r->failures[0] : NULL;
}

static void disproved(const struct cluster_snapshot *s, const struct cluster_proof *p, struct facts *f)
{
    const char *on = NULL;
    for (size_t i = 0; !on && i < p->servers_count; i++)
        if (p->servers[i].state == PROOF_FAILED)
            on = p->servers[i].server;
    /* What cannot be counted is judged by the failures themselves: its proof names them. */
    const struct cluster_failure *failure = s->spec.not_raw ? NULL : first_failure(s);
    facts_set(f, FACT_DISPROVED, on, "%s%s%s%s%s", p->why, failure ? "; could not be rewritten: " : "",
              failure ? failure->object : "", failure ? ": " : "", failure ? failure->why : "");
}

static void proof_facts(const struct cluster_snapshot *s, const struct planner_self *self, struct facts *f)
{
    const struct cluster_proof *p = snapshot_proof(s, s->rotation.op.phase);
    bool present = p && p->step == s->rotation.op.step;
    facts_set_if(f, FACT_ATTEMPTS_LEFT, !present || p->attempts < self->attempts_max);
    if (!present)
        return;
    if (p->state == PROOF_MADE)
        facts_set(f, FACT_PROVED, NULL, "%s", p->why);
    if (p->state == PROOF_FAILED)
        disproved(s, p, f);
    if (retry_soon(s, p))
        facts_set(f, FACT_RETRY_SOON, NULL, "%s", p->why);
    if (p->state == PROOF_UNMADE) {
        snprintf(f->text[FACT_ATTEMPTS_LEFT], CLUSTER_TEXT_MAX, "%" PRId64 " attempts, last: %s", p->attempts,
                 p->why);
    }
}

void facts_of_jobs(const struct cluster_snapshot *s, const struct planner_self *self, struct facts *f)
{
    const struct cluster_operation *op = &s->rotation.op;
    bool ours = self->job_running && strcmp(self->job_operation, op->id) == 0 && self->job_step == op->step;
    facts_set_if(f, FACT_JOB_RUNNING, ours);
    facts_set_if(f, FACT_JOB_ELSE, self->job_running && !ours);
    facts_set_if(f, FACT_WATCHING, ours && self->watching);
    rewrite_facts(s, f);
    proof_facts(s, self, f);
    facts_set_if(f, FACT_PASSES_LEFT, op->passes < self->passes_max);
    facts_set_if(f, FACT_PASS_BEGUN, s->rotation.stage == STAGE_REENCRYPT_ACTIVE);
}
