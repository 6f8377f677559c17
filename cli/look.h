/* Looking at the state store again and again, each time something changes there. Tells, once, when it or the
 * coordinator is away, and when it is back. */
#ifndef CLI_LOOK_H
#define CLI_LOOK_H

#include <etcd/watch.h>

#include "session.h"

struct look {
    struct session *session;
    struct etcd_watch *watch; /* NULL: looks every second instead */
    bool followed;            /* through the API: asked once, follows from there */
    int64_t leaderless_ms;    /* since when; 0: somebody leads */
    bool leaderless_told;
    unsigned failures; /* > 0: the state store did not answer the last time */
};

/* The session is borrowed. Close with look_close. */
void look_open(struct look *l, struct session *s);
void look_close(struct look *l);

/* Takes a snapshot. 0 also when the state store did not answer: l->failures tells, and *ret is as it was or
 * half read. */
int look_now(struct look *l, struct cluster_snapshot *ret, struct error *err) _must_check_;

/* Waits until something changed, an interrupt comes, or about a second passed. */
void look_pause(struct look *l);

#endif
