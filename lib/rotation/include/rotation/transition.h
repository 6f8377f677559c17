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

/* RESUME: the halted operation goes on. A broken rewrite or scan begins anew: *ret_drop_progress says that
 * the reencrypt record is to be deleted. */
void rotation_resume(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r,
                     bool *ret_drop_progress);
/* True when that server's order is to be deleted at a resume, so that a new one is given. */
bool rotation_resume_drops_order(const struct snapshot_server *v);

void rotation_halt(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r);

/* WAIT: only what it waits for. False when the record says so already. */
bool rotation_note(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r);

/* ISSUE: generation `target` with this hash ("" for adopt, whose bundle an agent makes) is the phase's
 * target. */
void rotation_issued(const struct decision *d, int64_t target, const char *hash, struct cluster_rotation *r);

/* ORDER: fills in the order for server[d->server]. */
void rotation_order(const struct cluster_snapshot *s, const struct decision *d, int64_t fence,
                    struct cluster_rotation *r, struct cluster_order *ret);

/* NEXT_PHASE, first half: every server runs the target. False when its bundle is not in the snapshot. (For
 * adopt the caller then fills in what the adopted config says of its keys.) */
bool rotation_settle(const struct cluster_snapshot *s, struct cluster_rotation *r);

/* NEXT_PHASE, second half: enters the following phase, or ends the operation. */
void rotation_advance(const struct cluster_snapshot *s, const struct decision *d, struct cluster_rotation *r);

/* REWRITE and REWRITE_AGAIN. */
void rotation_rewrite(const struct decision *d, struct cluster_rotation *r);
void rotation_rewrite_again(const struct decision *d, struct cluster_rotation *r);

#endif
