/* Between the files of the small world. */
#ifndef TEST_ROTATION_WORLD_PARTS_H
#define TEST_ROTATION_WORLD_PARTS_H

#include "world.h"

/* --- world_data.c --- */
void world_configs_init(struct world *w);
/* Makes the phase's config and its bundle, as coordinator/issue.c; the config's hash. */
const char *world_issue(struct world *w, struct cluster_rotation *r, int64_t target);
/* What the record says of the keys of a config that servers had, or made, in that phase. */
void world_learn(struct world *w, struct cluster_rotation *r, enum phase completed);
/* The key that servers will drop themselves, into escrow. */
void world_leaving(struct world *w, const struct cluster_rotation *r);
void world_add_bundle(struct world *w, int64_t generation, const char *hash, enum stage stage, bool vector);
void world_prune(struct world *w);
/* The config with that hash; NULL: nobody knows it. */
const struct world_config *world_config(const struct world *w, const char *hash);
const struct world_config *world_settled(const struct world *w);
uint64_t world_reads(const struct world_config *c); /* the keys that it reads, a bit each */

/* --- world_jobs.c --- */
void world_put_proof(struct world *w, const struct cluster_proof *p);
void world_end_job(struct world *w);
void world_watch_sees(struct world *w);

#endif
