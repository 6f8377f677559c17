/* A state as the planner sees it, and back. */
#ifndef MODEL_EXPAND_H
#define MODEL_EXPAND_H

#include <rotation/transition.h>

#include "scenario.h"

#define STEP_NOW 10 /* the present step's number in every expanded record; others have one less */

/* Into one static buffer, which the next call uses again. */
struct cluster_snapshot *expand(const struct model_state *s, size_t coordinator,
                                struct planner_self *ret_self);

/* Once per scenario. */
void expand_init(void);

void rotation_pack(const struct cluster_rotation *r, const struct model_rotation *before,
                   struct model_rotation *ret);
void order_pack(const struct cluster_order *o, struct model_order *ret);

const char *file_hash(struct config_file f); /* "" for none */

#endif
