/* One server as the toucher sees it: how much it may have in flight, and whether it is to be left alone. */
#ifndef KUBE_TOUCH_SERVER_H
#define KUBE_TOUCH_SERVER_H

#include <stdatomic.h>

#include "adapt.h"
#include "session.h"

#define TROUBLE_DOWN 3 /* from so many failures in a row on, one request at a time, after a pause */

struct touch_server {
    struct session session;
    atomic_bool usable; /* by the caller's word; any thread */
    struct adapt adapt;
    int in_flight;
    unsigned trouble;        /* failures in a row */
    int64_t paused_until_ms; /* Retry-After, or the pause after failures */
    int64_t token_read_ms;   /* when its file was last read again, 0: never */
    struct error last;       /* its last failure's text */
};

/* True when it may be given a request now. */
bool touch_server_open(const struct touch_server *s, int64_t now_ms);
/* True when the caller allows it and nothing speaks against it. */
bool touch_server_healthy(const struct touch_server *s, int64_t now_ms);

/* The open server with the fewest in flight and room for one more; not `avoid` while another one is open
 * (then NULL means: wait for that one). avoid: an index, -1: none. `turn` varies who wins a tie. */
struct touch_server *touch_server_pick(struct touch_server *servers, size_t count, int avoid, size_t turn,
                                       int64_t now_ms);

/* What happened to a request. */
void touch_server_answered(struct touch_server *s, double latency_ms, bool full, int64_t now_ms);
void touch_server_refused(struct touch_server *s, int64_t wait_ms, int64_t now_ms); /* 429 */
void touch_server_failed(struct touch_server *s, bool unreachable, int64_t wait_ms, int64_t now_ms);

/* After a 401: reads the token file again, once a second at most. */
void touch_server_renew(struct touch_server *s, int64_t now_ms);

#endif
