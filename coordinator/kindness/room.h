/* The datastore's room, asked for every few seconds on a thread of its own: an etcd that hangs must not hold
 * up the probes, which measure times. */
#ifndef COORDINATOR_KINDNESS_ROOM_H
#define COORDINATOR_KINDNESS_ROOM_H

#include <etcd/etcd.h>

struct room_state {
    int64_t bytes, in_use; /* of the largest member; negative: unknown */
    bool alarm;
};
/* Asks every endpoint once. What does not answer is left out. */
void room_ask(struct etcd *datastore, struct room_state *ret);

struct room_watch;
int room_watch_start(struct etcd *datastore, const struct room_state *first, struct room_watch **ret,
                     struct error *err) _must_check_;
void room_watch_free(struct room_watch *w); /* NULL is safe; waits for the question that is out */
/* The last answer. Any thread. */
void room_watch_get(struct room_watch *w, struct room_state *ret);

#endif
