/* A small world for planner tests: servers whose agents do what they are ordered, at once or when told. The
 * planner and the transitions are the real ones; only I/O is left out. */
#ifndef TEST_ROTATION_WORLD_H
#define TEST_ROTATION_WORLD_H

#include <rotation/rotation.h>
#include <rotation/transition.h>

#define LOG_MAX 512

struct world {
    struct cluster_snapshot *s;
    struct cluster_spec spec;
    struct planner_self self;
    struct decision last;
    char log[LOG_MAX][96]; /* what was done, in order: "order s1 apply 2", "phase append", … */
    size_t log_count;
    int64_t next_revision;
    int stale_scans; /* the next N scans find stale values */
    bool job;        /* a job is under way */
    enum action job_action;
};

void world_init(struct world *w, size_t servers);
void world_free(struct world *w);
void world_request(struct world *w, enum operation_kind kind, bool force, bool skip, bool restart);
/* Decides and does one step; the decision is in w->last. */
void world_step(struct world *w);
/* Server i's agent carries its order out. */
void world_obey(struct world *w, size_t i);
/* The same, but the API server does not come back and the previous file is put back. */
void world_fail(struct world *w, size_t i, const char *why);
/* The operator restarts server i (which syncs first, as its start script does). */
void world_operator_restart(struct world *w, size_t i);
/* Steps and obeys until the operation has ended or nothing moves. */
void world_run(struct world *w);
void world_finish_job(struct world *w);

#endif
