/* What a coordinator does: the real planner decides; the transaction that its act_*.c would send is kept as
 * data, so that time can pass between the decision and the act. */
#ifndef MODEL_COORDINATOR_H
#define MODEL_COORDINATOR_H

#include "scenario.h"

/* False: the decision is to wait. *ret_row names the row either way. */
bool coordinator_decide(const struct model_state *s, size_t c, struct model_pending *ret,
                        const char **ret_row);

/* The transaction of coordinator c reaches the store: it goes through, or its comparisons fail. Returns what
 * invariant it breaks, or NULL. */
const char *coordinator_act(struct model_state *s, size_t c);

/* A job of coordinator c is over and belongs to the present step: what it found goes into the store. */
void coordinator_publish(struct model_state *s, size_t c);
bool coordinator_may_publish(const struct model_state *s, size_t c);

/* True when this row of the planner's table (by its index) has decided anything since the program began. */
bool coordinator_row_used(size_t i);

/* The keys under which values may stay, and the key that a proof is about. */
uint8_t coordinator_keep(const struct model_state *s);
uint8_t coordinator_subject(const struct model_state *s);

#endif
