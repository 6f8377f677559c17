/* The coordinator's jobs, done in one go. */
#include "world_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <base/text.h>

void world_put_proof(struct world *w, const struct cluster_proof *p)
{
    struct cluster_proofs *all = &w->s->proofs;
    size_t i = 0;
    while (i < all->proofs_count && all->proofs[i].phase != p->phase)
        i++;
    assert_true(i < CLUSTER_PROOFS_MAX);
    all->proofs[i] = *p;
    if (i == all->proofs_count)
        all->proofs_count++;
    memcpy(all->operation, w->s->rotation.op.id, sizeof(all->operation));
    w->s->has_proofs = true;
}

void world_end_job(struct world *w)
{
    w->job = w->self.job_running = w->self.watching = false;
}

/* As the coordinator's: what a job of another step found is not recorded. */
static bool belongs(const struct world *w)
{
    const struct cluster_operation *op = &w->s->rotation.op;
    return (op->state == OP_STATE_RUNNING || op->state == OP_STATE_PAUSED) &&
           strcmp(w->job_operation, op->id) == 0 && w->self.job_step == op->step;
}

static const struct world_config *of_base(const struct world *w)
{
    const struct snapshot_bundle *b = snapshot_bundle(w->s, w->s->rotation.base);
    return b ? world_config(w, b->hash) : world_settled(w);
}

/* The keys under which values may stay. */
static uint64_t keep(const struct world *w)
{
    if (w->s->rotation.op.kind == OP_ABORT)
        return world_reads(of_base(w));
    return UINT64_C(1) << world_settled(w)->keys[0];
}

static bool all_write_with(const struct world *w, int key)
{
    for (size_t i = 0; i < w->s->servers_count; i++) {
        const struct world_config *c = world_config(w, w->s->servers[i].report.loaded_hash);
        if (!c || c->keys[0] != key)
            return false;
    }
    return true;
}

static bool holds(struct world *w, enum phase phase)
{
    if (phase == PHASE_VERIFY || phase == PHASE_FINAL) {
        bool stale = w->stale_scans > 0;
        w->stale_scans -= stale;
        return !stale && !(w->values & ~keep(w));
    }
    if (phase == PHASE_OPENS)
        return !(w->values & ~world_reads(world_settled(w)));
    if (phase == PHASE_WRITTEN)
        return all_write_with(w, world_settled(w)->keys[0]);
    return true;
}

static void script(struct world *w, struct cluster_proof *p)
{
    w->scripted.times--;
    p->state = w->scripted.state;
    text_copy(p->why, sizeof(p->why), w->scripted.why);
    if (!w->scripted.server)
        return;
    p->servers_count = 1;
    text_copy(p->servers[0].server, sizeof(p->servers[0].server), w->scripted.server);
    p->servers[0].state = w->scripted.state;
}

static void finish_proof(struct world *w)
{
    struct cluster_proof p = *snapshot_proof(w->s, w->job_phase);
    p.time_ms = w->s->now_ms;
    p.revision = w->next_revision++;
    if (w->scripted.times > 0 && w->scripted.phase == w->job_phase) {
        script(w, &p);
    } else {
        p.state = holds(w, w->job_phase) ? PROOF_MADE : PROOF_FAILED;
        text_copy(p.why, sizeof(p.why), p.state == PROOF_MADE ? "" : "3 values are not as they should be");
    }
    world_put_proof(w, &p);
}

/* Values end under the keys that the API servers write with. */
static void finish_rewrite(struct world *w)
{
    struct cluster_reencrypt *r = &w->s->reencrypt;
    w->s->has_reencrypt = true;
    memcpy(r->operation, w->s->rotation.op.id, sizeof(r->operation));
    r->step = w->s->rotation.op.step;
    r->state = w->failed_rewrite > 0 ? REENCRYPT_FAILED : REENCRYPT_ENDED;
    if (w->failed_rewrite-- > 0) {
        text_copy(r->why, sizeof(r->why), "no API server answers");
        return;
    }
    w->failed_rewrite = 0;
    w->values = 0;
    for (size_t i = 0; i < w->s->servers_count; i++)
        world_write(w, i);
}

/* What stands under a key that is going was written behind the scan: a watch sees it, also when it begins
 * later. */
void world_watch_sees(struct world *w)
{
    if (!w->self.watching || !belongs(w) || !(w->values & ~keep(w)))
        return;
    struct cluster_proof p = *snapshot_proof(w->s, w->job_phase);
    p.state = PROOF_FAILED;
    p.time_ms = w->s->now_ms;
    text_copy(p.why, sizeof(p.why), "secrets/default/late was written under a key that is going");
    world_put_proof(w, &p);
    world_end_job(w);
}

void world_finish_job(struct world *w)
{
    if (!belongs(w))
        return; /* the planner has a row that ends it */
    if (rotation_phase_drops(w->job_phase)) {
        w->self.watching = true;
        world_watch_sees(w);
        return;
    }
    if (w->job_phase == PHASE_REWRITE)
        finish_rewrite(w);
    else
        finish_proof(w);
    world_end_job(w);
}
