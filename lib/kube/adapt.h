/* How many requests one server may have in flight, and how many a second all may have. Pure: times come in
 * as arguments. Grows by one a round (as many answers as the limit) and halves on trouble. */
#ifndef KUBE_ADAPT_H
#define KUBE_ADAPT_H

#include <stdbool.h>
#include <stdint.h>

#define ADAPT_START          4    /* in flight at the beginning, over all servers */
#define ADAPT_HALVE_EVERY_MS 500  /* troubles that come together count as one */
#define ADAPT_LATENCY_TIMES  4.0  /* trouble: smoothed latency above this many times its floor … */
#define ADAPT_LATENCY_MIN_MS 50.0 /* … but never below this */
#define ADAPT_FLOOR_MS       30000 /* the floor is the least smoothed latency of the last one to two of these */

struct adapt {
    int limit; /* what may be in flight now; 1 to max */
    int max;
    int answers; /* good ones since the limit last changed */
    double smoothed_ms;
    double floor_ms[2]; /* this period's, the one's before; 0: none yet */
    int64_t floor_since_ms;
    int64_t halved_ms;
    bool started, halved;
};

void adapt_init(struct adapt *a, int start, int max);

/* A request was answered. `full`: as many were in flight as the limit allows (growth without that would
 * prove nothing). Halves when the smoothed latency is too high. */
void adapt_answer(struct adapt *a, double latency_ms, bool full, int64_t now_ms);

/* 429, 5xx, a timeout or a broken connection. */
void adapt_trouble(struct adapt *a, int64_t now_ms);

/* Token bucket. A burst is one and what 10 ms give: more at once is felt by who asks just then. */
struct bucket {
    double rate; /* a second; 0: no limit */
    double tokens;
    int64_t filled_ms;
    bool started;
};

#define BUCKET_RATE_MIN 0.1 /* lower limits count as this */

/* Changes the rate from now on. */
void bucket_set(struct bucket *b, double rate, int64_t now_ms);

/* Takes one token when there is one. */
bool bucket_take(struct bucket *b, int64_t now_ms);

/* Milliseconds until bucket_take can succeed: 0 when it can now. */
int64_t bucket_wait_ms(struct bucket *b, int64_t now_ms);

#endif
