/* What clients of the API servers feel. For each server: a GET and a LIST on a clock (their latency counts
 * from when they were due, so that a stall is felt by all that were due in it), and three watches: over the
 * probe's own namespace (lag), over the Secrets of team-b (does it stay open), over those of team-a (cut and
 * resumed every second: does it miss anything). */
#ifndef TESTS_BENCH_PROBE_H
#define TESTS_BENCH_PROBE_H

#include <pthread.h>
#include <stdatomic.h>

#include "http.h"

#define PROBE_NAMESPACE "zz-probe"
#define PROBE_SECRETS   50
#define PROBE_CANARY    "probe-000000"
#define CUT_NAMESPACE   "team-a"
#define LONG_NAMESPACE  "team-b"

/* When something was written, or seen, at a revision. */
struct stamp {
    int64_t revision, us;
};
struct stamps {
    struct stamp *all;
    size_t count, cap;
};
void stamps_add(struct stamps *s, int64_t revision, int64_t us);

/* The resourceVersion of each object of a namespace as a client knows it, by the number in its name. */
struct known {
    int64_t *revisions;
    size_t count;
};
int known_new(struct known *k, size_t count, struct error *err) _must_check_;
/* Takes over "name" and "resourceVersion" of each object in a list's or event's text. */
void known_take(struct known *k, const char *text);
/* A list of names through a server, into *k; *ret_revision is the list's own resourceVersion. */
int known_list(struct known *k, struct kube *kube, const char *namespace, int64_t *ret_revision,
               struct error *err) _must_check_;

struct watch {
    struct server_probe *server;
    const char *namespace;
    bool cut;           /* every second */
    struct known known; /* cut ones */
    struct stamps seen; /* of the canary */
    int64_t revision;   /* of the last whole event */
    char *line;         /* what stands of the present one */
    size_t line_len, line_cap;
    unsigned closed, expired, opened;
    _Atomic int64_t events;
    pthread_mutex_t lock; /* over known */
    pthread_t thread;
};

struct server_probe {
    struct probe *probe;
    size_t index;
    struct samples get, list;
    unsigned errors;
    struct watch lag, held, cut;
    unsigned missed;
    pthread_t get_thread, list_thread;
};

struct probe {
    struct bench *b;
    struct http http;
    struct server_probe servers[CONFIG_SERVERS_MAX];
    size_t servers_count;
    struct stamps written; /* of the canary */
    struct buf canary;     /* its stored value */
    atomic_bool stop_load, stop_watches;
    pthread_t writer;
};

/* --- probe_requests.c --- */
int probe_prepare(struct probe *p, struct error *err) _must_check_; /* namespace and Secrets */
void *probe_get_run(void *server_probe);
void *probe_list_run(void *server_probe);
void *probe_write_run(void *probe);

/* --- probe_watch.c --- */
int probe_watch_begin(struct watch *w, struct server_probe *s, const char *namespace, bool cut,
                      struct error *err) _must_check_;
void *probe_watch_run(void *watch);

/* --- probe_print.c --- */
void probe_print(struct probe *p, int64_t us);

#endif
