/* Connections and their deadlines. The HTTP library knows only of idleness: whoever sends a byte now and then
 * would stay. Nothing is closed here, only shut down, so that no descriptor's number is mistaken. */
#ifndef COORDINATOR_HTTP_PEERS_H
#define COORDINATOR_HTTP_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include <base/error.h>

struct peer;
struct peers;

int peers_new(unsigned max, struct peers **ret, struct error *err) _must_check_;
void peers_free(struct peers *p);

/* A connection has come; where there are more than `max` now, the one that has waited longest for a request
 * is shut down, and where none waits the one that has taken longest for its reply. NULL when memory is out:
 * the connection is to be closed. */
struct peer *peers_add(struct peers *p, int fd, int64_t now_ms, int64_t deadline_ms);
/* It goes, and its descriptor is closed after this call. NULL is safe. */
void peers_remove(struct peers *p, struct peer *v);

/* By when it has to have done what it is at; INT64_MAX: it is watched by somebody else. `waits`: for a
 * request, so that it may be shut down in favour of another one. */
void peer_expect(struct peers *p, struct peer *v, bool waits, int64_t now_ms, int64_t deadline_ms);
void peer_shut(struct peers *p, struct peer *v);

/* Shuts down whoever is too late. */
void peers_reap(struct peers *p, int64_t now_ms);

#endif
