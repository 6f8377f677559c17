/* What the coordinators' jobs do and find. */
#ifndef MODEL_JOBS_H
#define MODEL_JOBS_H

#include "world.h"

/* The coordinator's job for the present phase. */
void jobs_start(struct model_state *s, size_t coordinator);

void job_steps(const struct model_state *s, size_t coordinator, struct steps *out);

/* For job_steps: collects a state. */
struct step *world_begin(const struct model_state *s, struct steps *out, const char *what, size_t server);
void world_keep(const struct model_state *s, struct steps *out, bool fault);
bool world_may(const struct model_state *s, unsigned fault);

#endif
