/* The modelled cluster: every state that can follow a state. */
#ifndef MODEL_WORLD_H
#define MODEL_WORLD_H

#include "scenario.h"

#define STEPS_MAX 96

struct step {
    struct model_state next;
    const char *what; /* "agent: %s" … */
    const char *row;  /* of a table, or NULL */
    int server;       /* -1: none */
    bool fault;       /* somebody's doing: it does not have to happen */
    const char *broken;
};

struct steps {
    struct step v[STEPS_MAX];
    size_t count;
};

void world_init(struct model_state *ret);
void world_successors(const struct model_state *s, struct steps *out);

/* What an invariant says against this state; NULL: nothing. */
const char *world_check(const struct model_state *s);
/* An operation that has come to an end or a stop, or none; or a person is needed and told so by name. */
bool world_at_rest(const struct model_state *s);
bool world_needs_person(const struct model_state *s);

/* One line about a state. */
void world_describe(const struct model_state *s, char *out, size_t size);

#endif
