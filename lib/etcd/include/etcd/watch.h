/* A watch that survives: a lost stream is reopened after the last revision seen (with backoff and
 * hasleader), and a compaction is reported as such, after which the owner lists again. A thread of its own
 * fills a bounded queue; nothing is lost silently: an overflow is reported like a compaction. */
#ifndef ETCD_WATCH_H
#define ETCD_WATCH_H

#include <etcd/etcd.h>

struct etcd_watch;

enum etcd_event_type {
    ETCD_EVENT_PUT,
    ETCD_EVENT_DELETE,
    ETCD_EVENT_RESYNC, /* events may be missing before `revision`: read the prefix again, at that revision or
                          later */
};

struct etcd_event {
    enum etcd_event_type type;
    struct etcd_kv kv; /* PUT: the new key-value; DELETE: key and mod_revision only; RESYNC: empty */
    int64_t revision;
};
void etcd_event_free(struct etcd_event *ev); /* frees the contents and zeroes */

/* Watches all keys under prefix from `revision` on (0: from now). Does not wait for the stream. */
int etcd_watch_new(struct etcd *e, const char *prefix, int64_t revision, struct etcd_watch **ret,
                   struct error *err) _must_check_;

/* The next event, in order of revision. Waits up to timeout_ms (0: does not wait): ERR_TIMEOUT when there is
 * none. */
int etcd_watch_next(struct etcd_watch *w, int timeout_ms, struct etcd_event *ret,
                    struct error *err) _must_check_;

/* All events up to this revision were handed out by etcd_watch_next; 0: not known (yet). Where nothing is
 * written under the prefix it goes on with the store's revision, some two minutes behind. */
int64_t etcd_watch_progress(struct etcd_watch *w);

/* A descriptor that is readable while events are queued (for poll), and after the stream was established or
 * lost until etcd_watch_next was called. Owned by the watch. */
int etcd_watch_fd(const struct etcd_watch *w);

/* True while the stream is established; *ret_since_ms (may be NULL): for how long it has been so, or not. */
bool etcd_watch_connected(struct etcd_watch *w, int64_t *ret_since_ms);

/* Why the stream was last lost or refused; code 0 when it never was. For status pages. */
void etcd_watch_error(struct etcd_watch *w, struct error *ret);

void etcd_watch_free(struct etcd_watch *w);
DEFINE_CLEANUP(struct etcd_watch *, etcd_watch_free);

#endif
