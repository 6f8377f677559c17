/* What each decided action does to the rotation record: pure, so that a model can run the real thing. The
 * coordinator adds I/O (bundles, transactions), nothing else. Each takes the snapshot that was decided on
 * and changes *r, a copy of its rotation. */
#ifndef ROTATION_TRANSITION_H
#define ROTATION_TRANSITION_H

#include <rotation/rotation.h>

/* START: request[d->request] becomes the operation `id`. */
void rotation_start(const struct cluster_snapshot *s, const struct decision *d, const char *id,
                    struct cluster_rotation *r);

/* ADOPT: an operation of the coordinator's own. */
void rotation_adopt(const struct cluster_snapshot *s, const struct decision *d, const char *id,
                    struct cluster_rotation *r);

/* RESUME: the halted or paused operation goes on. A halted job phase begins anew. */
void rotation_resume(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r);
/* True when that server's order is to be deleted at a resume, so that a new one is given. */
bool rotation_resume_drops_order(const struct snapshot_server *v);

/* PAUSE */
void rotation_pause(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r);
void rotation_throttle(const struct cluster_snapshot *s, const struct decision *d,
                       struct cluster_rotation *r);

/* ABORT: an operation `id` that leads back to r->base takes the place of the one that runs or halted. */
void rotation_abort(const struct cluster_snapshot *s, const struct decision *d, const char *id,
                    struct cluster_rotation *r);

/* BRING_BACK */
void rotation_bring_back(const struct cluster_snapshot *s, const struct decision *d,
                         struct cluster_rotation *r);

#define POLICY "policy" /* in the place of a request's id */

/* REPAIR: fills in the order for server[d->server]; `by` is the id of the request, or POLICY. */
void rotation_repair(const struct cluster_snapshot *s, const struct decision *d, int64_t fence,
                     const char *by, struct cluster_rotation *r, struct cluster_order *ret);

/* True when that server's order has been answered: it is deleted with the next order of any other server, and
 * with a halt (the end of a phase deletes every one). An agent that lost its memory then finds
 * nothing that it could do a second time. */
bool rotation_order_is_over(const struct snapshot_server *v);

void rotation_halt(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r);

/* WAIT: only what it waits for. False when the record says so already. */
bool rotation_note(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r);

/* PROVE, WATCH: the phase's entry in the proofs record as a job begins (attempts + 1, RUNNING). */
void rotation_proof_begin(const struct cluster_snapshot *s, struct cluster_proof *ret);

/* ISSUE: generation `target` with this hash ("" for adopt, whose bundle an agent makes) is the phase's
 * target. */
void rotation_issued(const struct decision *d, int64_t target, const char *hash, struct cluster_rotation *r);

/* ORDER: fills in the order for server[d->server]. */
void rotation_order(const struct cluster_snapshot *s, const struct decision *d, int64_t fence,
                    struct cluster_rotation *r, struct cluster_order *ret);

/* NEXT_PHASE, first half: every server runs the target. False when its bundle is not in the snapshot. (For
 * adopt the caller then fills in what the adopted config says of its keys.) */
bool rotation_settle(const struct cluster_snapshot *s, struct cluster_rotation *r);

/* NEXT_PHASE, second half: enters the following phase, or ends the operation. Orders are all deleted with it.
 */
void rotation_advance(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r);

/* REWRITE and REWRITE_AGAIN. */
void rotation_rewrite(const struct decision *d, struct cluster_rotation *r);
void rotation_rewrite_again(const struct decision *d, struct cluster_rotation *r);

#endif
