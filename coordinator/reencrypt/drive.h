/* How fast a rewrite may go now: as fast as nobody feels it (kindness), and not above the ceiling that
 * somebody set. One thread. */
#ifndef COORDINATOR_REENCRYPT_DRIVE_H
#define COORDINATOR_REENCRYPT_DRIVE_H

#include "../kindness/kindness.h"
#include "progress.h"

struct drive {
    struct job *job;
    struct progress *progress;
    struct kindness *kindness; /* NULL: offline, or nobody is to be spared */
    double rate;               /* objects a second; 0: none now, negative: no limit */
    int64_t steered_ms, done_then;
};

#define DRIVE_EVERY_MS 250 /* how often the rate is looked at */

/* Counts what is to be rewritten, and takes the cluster's idle latencies (a few seconds). ERR_STATE: the
 * datastore has no room for it. Caller ends it with drive_end, also after a failure. */
int drive_begin(struct drive *d, struct job *j, struct progress *p, struct error *err) _must_check_;
void drive_end(struct drive *d);
/* The rate; looked at anew, and published, every DRIVE_EVERY_MS. */
double drive_rate(struct drive *d);
/* A write was answered after so many ms, or refused. */
void drive_wrote(struct drive *d, double ms, bool refused);

#endif
