#ifndef MODEL_SCENARIOS_H
#define MODEL_SCENARIOS_H

#include "scenario.h"

extern const struct scenario scenarios[];
extern const size_t scenarios_count;

const struct scenario *scenario_find(const char *name); /* or NULL */

#endif
