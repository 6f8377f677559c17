/* Clusters as on-call meets them, for the tests of the metrics' page. */
#ifndef TEST_METRICS_SITUATIONS_H
#define TEST_METRICS_SITUATIONS_H

#include <stdlib.h>

#include <metrics/metrics.h>

#include "fixture.h"

struct situation {
    const char *name; /* of its golden file, without ".txt" */
    /* `s` is a healthy cluster of three servers; `p` a process that stands by. */
    void (*make)(struct cluster_snapshot *s, struct metrics_process *p);
};
extern const struct situation situations[];
extern const size_t situations_count;

/* Caller frees *ret_s with free(). What p borrows is static. */
void situation_make(const struct situation *what, struct cluster_snapshot **ret_s, struct metrics_process *p);

/* A cluster as large as they come, with names of keys that nobody would choose. */
struct cluster_snapshot *situation_large(int servers);

#endif
