/* HTTP: what is asked for, who may ask, and how much of it. GET and HEAD of a few fixed paths; nothing that
 * is sent here changes anything. Knows nothing of the cluster: documents come from the board, the rest by
 * hooks.
 *
 *   /           the page            /state.json  the newest document
 *   /page.css   its style           /events      the same as server-sent events, whenever it changes
 *   /page.js    its program         /metrics     by a hook
 *   /healthz    this process lives  /readyz      by a hook
 *
 * One thread serves all connections and waits for none. Whoever is slow has a deadline, whoever does not read
 * holds one document and one socket buffer. */
#ifndef COORDINATOR_HTTP_SERVER_H
#define COORDINATOR_HTTP_SERVER_H

#include <stdbool.h>

#include "board.h"

#define HTTP_HEADER_MAX 8192 /* lines of a request that have room in any case; up to twice as much may */
#define HTTP_WHY_MAX    512

struct http_hooks {
    void *arg;
    /* Does the state store answer? Else one line. Called on the server's thread: must not wait. */
    bool (*ready)(void *arg, char why[HTTP_WHY_MAX]);
    /* OpenMetrics. Must not wait either. */
    int (*metrics)(void *arg, struct buf *out, struct error *err);
};

struct http_limits {      /* 0: as told here */
    unsigned connections; /* 64; one more closes the one that has waited longest without a request, or for its
                             reply */
    unsigned streams;     /* 16 */
    int64_t request_ms;   /* 10,000: for a whole request, and between two */
    int64_t reply_ms;     /* 30,000: for taking a whole reply, or one event */
    int64_t beat_ms;      /* 15,000: a stream without news says at least so often that it lives */
};

struct http_options {
    int listen_fd;    /* a listening socket, the server's from then on (also when it fails); -1: none */
    const char *host; /* that requests may name besides loopback; NULL: any (TLS has shown the name) */
    struct board *board;
    struct http_hooks hooks;
    struct http_limits limits;
};

/* Borrows the board. Caller frees. */
struct http_server;
int http_server_new(const struct http_options *o, struct http_server **ret, struct error *err) _must_check_;

/* Serves a connection that somebody else has accepted. The descriptor is the server's, also when it fails. */
int http_server_add(struct http_server *s, int fd, struct error *err) _must_check_;

/* To be called whenever a document was published, and at least once a second: streams that have something to
 * say go on, and whoever is too late is closed. From one thread. */
void http_server_tick(struct http_server *s);

/* How many streams are open now. */
unsigned http_server_streams(struct http_server *s);

/* Ends the streams, for a second at most, then everything else. NULL is safe. */
void http_server_free(struct http_server *s);
DEFINE_CLEANUP(struct http_server *, http_server_free);

/* "127.0.0.1:9449", "[::1]:9449" or "localhost:9449" (port 0: any) to a listening socket. Errors name the
 * address: ERR_CONFLICT (taken), ERR_INVALID (none of loopback), ERR_IO. */
int http_listen(const char *address, int *ret_fd, struct error *err) _must_check_;

#endif
