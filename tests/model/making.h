/* The next config, as coordinator/issue.c makes it. */
#ifndef MODEL_MAKING_H
#define MODEL_MAKING_H

#include "scenario.h"

struct making {
    const struct model_state *s;
    uint8_t present;
    struct model_rotation *r; /* whose phase it is for; told of the keys that come and go */
};

/* 0: it cannot be made. */
uint8_t making_next(struct making *m);

/* What the record says of a config's keys. */
void making_describe(uint8_t config, struct model_rotation *r);

uint8_t making_bundle(const struct model_state *s, unsigned gen); /* a generation's config, 0: none */
unsigned making_first_key(uint8_t config);                        /* 0: it has none */

#endif
