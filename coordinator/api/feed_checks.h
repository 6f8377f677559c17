/* What the agents found when they last looked whether a rotation would go through, as a look of the feed has
 * it: counts. The records themselves do not travel. */
#ifndef COORDINATOR_API_FEED_CHECKS_H
#define COORDINATOR_API_FEED_CHECKS_H

#include <cluster/snapshot.h>
#include <metrics/metrics.h>

struct feed_checks {
    struct metrics_preflight items[SNAPSHOT_SERVERS_MAX];
    int64_t mods[SNAPSHOT_SERVERS_MAX]; /* mod revisions of their records */
    size_t count;
};

/* Out of a look's records. What is not authentic, or is another server's, is left out; what is the same as in
 * `before` (NULL: there is none) is not parsed again. */
void feed_checks_read(const struct feed_checks *before, const struct snapshot_input *in, size_t count,
                      struct feed_checks *ret);

#endif
