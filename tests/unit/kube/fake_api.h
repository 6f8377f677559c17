/* An HTTPS server on loopback that answers as the test says: HTTP/1.1, a thread a connection. */
#ifndef TESTS_UNIT_KUBE_FAKE_API_H
#define TESTS_UNIT_KUBE_FAKE_API_H

#include <stdbool.h>
#include <stddef.h>

#include <base/error.h>
#include <kube/kube.h>

struct fake_request {
    char method[16];
    char path[16384];
    char headers[32768]; /* with their line ends */
    char body[4096];
    unsigned number; /* 1, 2, … over all connections */
};
struct fake_reply {
    int status;          /* 200 unless changed */
    const char *headers; /* further lines, each with \r\n */
    const char *body;
    size_t body_len; /* 0: strlen(body) */
    int delay_ms;
    bool drop;       /* no answer: the connection ends */
    const char *raw; /* these bytes instead of an HTTP reply */
};
/* Called for one request at a time. */
typedef void fake_fn(void *arg, const struct fake_request *q, struct fake_reply *a);

struct fake_api;
struct fake_api *fake_start(fake_fn *fn, void *arg); /* fails the process when it cannot */
void fake_stop(struct fake_api *f);
/* Ends all connections that stand; new ones are taken. */
void fake_cut(struct fake_api *f);
unsigned fake_requests(struct fake_api *f);
unsigned fake_connections(struct fake_api *f);
/* "s1" at this server, with token "t0ken" in the folder's file. */
struct kube_options fake_options(struct fake_api *f);
const char *fake_path(struct fake_api *f, const char *name);
void fake_write(struct fake_api *f, const char *name, const char *text);

/* A Status object's text. */
#define FAKE_STATUS(code, reason, rest)                                                                      \
    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"reason\":\"" reason \
    "\",\"code\":" #code rest "}"

#endif
