/* What a rewrite tells of itself: the record that the coordinator publishes. */
#ifndef COORDINATOR_REENCRYPT_PROGRESS_H
#define COORDINATOR_REENCRYPT_PROGRESS_H

#include "../job.h"

struct progress {
    struct job *job;
    int64_t done;                   /* in this run */
    int64_t done_before;            /* in those that it goes on from */
    bool by_place;                  /* `done` follows progress_cursor alone */
    int64_t window_ms, window_done; /* for the rate */
};

/* Begins the record anew, or goes on with it (`resume`: with its counts and its cursor). `by_place`: what is
 * done is told by progress_cursor alone, so that a run that goes on from there counts nothing twice. */
void progress_begin(struct progress *p, struct job *j, const char *engine, bool by_place, bool resume);
/* How many objects there are in all, as far as is known. */
void progress_total(struct progress *p, int64_t total);
/* So many more are done: rewritten, or as they should be. */
void progress_done(struct progress *p, int64_t count);
/* One is not there any more. */
void progress_gone(struct progress *p);
/* One could not be rewritten: it counts, and is listed while there is room. `object`: "secrets/default/db".
 */
void progress_failed(struct progress *p, const char *object, const char *why);
/* Everything of the resource up to the key is done: so many objects since the run began. */
void progress_cursor(struct progress *p, const char *resource, const char *key, int64_t done);
/* How fast it may go (objects a second; 0: paused, negative: no limit), and what holds it back ("": nothing).
 */
void progress_limit(struct progress *p, double rate, const char *held_by);
void progress_end(struct progress *p);

#endif
