/* Deliberate faults in the tables and in the mechanisms around them: each must be caught. */
#ifndef MODEL_MUTATIONS_H
#define MODEL_MUTATIONS_H

#include <stdbool.h>
#include <stddef.h>

struct mutation {
    const char *name;
    const char *breaks;   /* for people: what it takes away */
    const char *scenario; /* that it is explored in */
    const char *caught;   /* how the invariant's text begins that must catch it */
    /* A planner's row: taken out, or with these facts not asked for any more, or with another action. */
    const char *row;
    const char *without; /* a fact's name */
    const char *also_without;
    int action;            /* -1: the same */
    const char *gone;      /* another row, taken out as well */
    const char *agent_row; /* taken out */
    unsigned world;        /* enum world_mutation */
};

extern const struct mutation mutations[];
extern const size_t mutations_count;

/* False: it names a row or a fact that does not exist (any more). */
bool mutation_apply(const struct mutation *m);
void mutation_undo(void);

#endif
