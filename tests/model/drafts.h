/* From a decision of the planner to the transaction that its act_*.c would send. */
#ifndef MODEL_DRAFTS_H
#define MODEL_DRAFTS_H

#include <rotation/transition.h>

#include "scenario.h"

struct draft {
    const struct model_state *s;
    const struct cluster_snapshot *snapshot;
    const struct planner_self *self;
    const struct decision *d;
    struct cluster_rotation r; /* a copy, which the transitions change */
    struct model_pending *p;   /* filled in */
};

/* False: there is nothing to send. */
bool draft(struct draft *t);

#endif
