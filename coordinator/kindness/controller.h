/* How fast values may be rewritten so that nobody notices. Pure: what was measured and the time come in as
 * arguments, a rate and a reason come out. See docs/performance.md. */
#ifndef COORDINATOR_KINDNESS_CONTROLLER_H
#define COORDINATOR_KINDNESS_CONTROLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cluster/types.h>

/* What one API server felt since the last turn. Times in ms; negative: not measured. */
struct felt {
    const char *server;     /* its name, borrowed */
    const char *unmeasured; /* why something of it is not, borrowed; NULL: no reason is known */
    double lag_ms;          /* the longest from a write of ours to its event in a watch through this server */
    double get_ms, list_ms; /* the middle one of the last three: one slow answer alone is chance */
    double idle_get_ms, idle_list_ms; /* p99 before the start; negative: none was taken */
    unsigned closed;                  /* watches of ours that it closed */
    unsigned errors;                  /* requests that failed or were refused (429, 5xx) */
};

struct signals {
    struct felt servers[CLUSTER_SERVERS_MAX];
    size_t servers_count;
    double own_ms;       /* the engine's own requests of the turn, on average; negative: none */
    double own_idle_ms;  /* its fastest smoothed latency so far; negative: none */
    double refused;      /* share of the engine's writes that were refused or had to be repeated, 0 to 1 */
    int64_t db_bytes;    /* the largest member's database file; negative: unknown */
    int64_t db_in_use;   /* of it; negative: unknown */
    int64_t quota_bytes; /* 0: unknown */
    bool alarm;          /* NOSPACE is raised */
    bool saturated; /* the engine used up what it was allowed (a rise without that would prove nothing) */
};

struct controller_options {
    double start;    /* objects a second at the beginning; 0: the usual ones */
    double unseen;   /* at most, where something is not measured; 0: the usual ones */
    double max_rate; /* ceiling; 0: none */
};

#define CONTROLLER_KINDS 3 /* lag, GET, LIST */

struct controller {
    struct controller_options options;
    double rate;        /* objects a second now; 0: paused */
    double resume_rate; /* to begin with after a pause */
    /* when the rate was last changed and last halved; since when no sign, and none that pauses, was seen;
     * when the present pause began */
    int64_t changed_ms, halved_ms, quiet_since_ms, calm_since_ms, paused_ms;
    /* ms, by the snapshot's place of a server: what answers took while the pace was too low to be felt */
    double again[CLUSTER_SERVERS_MAX][CONTROLLER_KINDS];
    bool felt; /* somebody has felt it: from now on it rises slowly */
    bool full; /* paused over the database's size, until there is room well below that mark */
    char why[CLUSTER_TEXT_MAX]; /* what holds it back: "s2: watch lag 312 ms (at most 250)"; "" = nothing */
};

void controller_init(struct controller *c, const struct controller_options *options, int64_t now_ms);

/* One turn (about one a second): halves at the first sign, pauses (rate 0) at a bad one, rises while nobody
 * feels it: by a quarter until somebody did once, by a tenth then. Returns the rate. c->why names the signal
 * and the server. */
double controller_turn(struct controller *c, const struct signals *s, int64_t now_ms);

/* Another ceiling from now on (throttle, room); 0: none. */
void controller_limit(struct controller *c, double max_rate);

/* Whether a whole pass over `values` values of `bytes` bytes in all may begin: what history will add to each
 * member's database before the API servers compact it, against the quota. ERR_STATE with a text that says
 * what to do when it can never fit at any pace (the database is over the pause mark already);
 * else *ret_start_max: the highest rate at which history until compaction stays below it (0: no limit). */
#define KINDNESS_HISTORY_S     600 /* API servers compact every 5 minutes what is older than 5 minutes */
#define KINDNESS_QUOTA_DEFAULT ((int64_t)2 * 1024 * 1024 * 1024) /* etcd's own */
struct error;
/* `db_bytes` is what is in use of the database. */
int controller_room(int64_t values, int64_t bytes, int64_t db_bytes, int64_t quota_bytes,
                    double *ret_rate_max, struct error *err);

#endif
