/* How much was written under a key: what a watch of each managed resource's prefix has brought, put together.
 * Pure. */
#ifndef COORDINATOR_WRITES_COUNT_H
#define COORDINATOR_WRITES_COUNT_H

#include <cluster/types.h>
#include <etcd/watch.h>

struct writes_count {
    int64_t counted; /* values; revisions where nobody saw what they wrote … */
    int64_t guessed; /* … which are so many of them */
    size_t parts;
    int64_t to[CLUSTER_RESOURCES_MAX]; /* of each part's prefix all up to this revision is in it */
    /* The revisions that were counted last as such, after `gap_from`: once, whichever parts miss them. */
    int64_t gap_from, gap_to;
};

/* Goes on from a count that has all up to revision `to`. */
void writes_count_begin(struct writes_count *w, size_t parts, int64_t counted, int64_t guessed, int64_t to);

/* An event of that part's watch, in the watch's order. */
void writes_count_event(struct writes_count *w, size_t part, const struct etcd_event *ev);

/* That part's watch has handed out all up to this revision (etcd_watch_progress; 0: it does not know). */
void writes_count_seen(struct writes_count *w, size_t part, int64_t revision);

/* All up to this revision is in the count, of every part. */
int64_t writes_count_to(const struct writes_count *w);

#endif
