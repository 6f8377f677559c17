/* Breadth first over every state that can be reached. */
#ifndef MODEL_EXPLORE_H
#define MODEL_EXPLORE_H

#include <stdio.h>

#include "scenario.h"

struct explored {
    size_t states, steps, depth;
    double seconds;
    bool complete;      /* false: states_max was reached */
    const char *broken; /* the first invariant that was, or NULL; its trace is the shortest */
    size_t trace_length;
    size_t resting, waiting; /* at rest; stopped because a person is needed, who is told so */
};

/* The trace of a broken invariant is written to `out` (NULL: nowhere). */
void explore(FILE *out, struct explored *ret);

#endif
