/* Server-sent events: one stream a page, each at the newest document. What it did not take in time it is not
 * given later: it gets the newest one then. */
#ifndef COORDINATOR_HTTP_STREAM_H
#define COORDINATOR_HTTP_STREAM_H

#include <microhttpd.h>

#include "board.h"
#include "peers.h"

struct streams;

int streams_new(struct board *board, struct peers *peers, unsigned max, int64_t beat_ms, int64_t send_ms,
                struct streams **ret, struct error *err) _must_check_;
void streams_free(struct streams *s); /* after the library's thread has ended */

/* A reply that goes on until the connection ends; NULL: there are too many, or memory is out. Destroying the
 * reply ends the stream. */
struct MHD_Response *streams_open(struct streams *s, struct MHD_Connection *connection, struct peer *peer,
                                  int fd);

unsigned streams_count(struct streams *s);

/* Who has something to say goes on; who takes too long is shut down; who is gone is let go. */
void streams_tick(struct streams *s, int64_t now_ms);

/* All of them end now; waits until they have, or timeout_ms. */
void streams_end(struct streams *s, int64_t timeout_ms);

#endif
