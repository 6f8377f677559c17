/* What the probes came to, server by server: from single answers and events to the figures of a turn. Pure:
 * times come in as arguments. */
#ifndef COORDINATOR_KINDNESS_FEEL_H
#define COORDINATOR_KINDNESS_FEEL_H

#include "controller.h"

#define FEEL_TOUCHES                                                                                         \
    64 /* touches that are remembered: at two a second, far more than the mark of a pause                    \
        */
#define FEEL_FRESH_MS 5000 /* without a touch for so long, watches have nothing to tell */
#define FEEL_LAST     16   /* answers of which the second slowest counts: 4 s */

enum feel_kind { FEEL_GET, FEEL_LIST, FEEL_KINDS };

struct feel_server {
    double last[FEEL_KINDS][FEEL_LAST]; /* a ring */
    size_t taken[FEEL_KINDS];
    bool anew[FEEL_KINDS];   /* none is in yet since it was eased: nothing speaks against it */
    double idle[FEEL_KINDS]; /* negative: none */
    int64_t seen;            /* the newest touch that came through its watch */
    bool based;              /* `seen` is known */
    double lag_ms;           /* longest since the last turn */
    unsigned closed, errors;
    char why[CLUSTER_TEXT_MAX / 2]; /* why something is not measured; "" = nothing */
};

struct feel {
    struct feel_server servers[CLUSTER_SERVERS_MAX];
    struct {
        int64_t number;
        double at_ms;
    } touches[FEEL_TOUCHES]; /* acknowledged ones, a ring; the oldest gives way */
    size_t touched;
};

void feel_init(struct feel *f);
/* Forgets all but the idle times: the server may not be asked for a while. */
void feel_forget(struct feel *f, size_t server);

/* A touch was acknowledged. Numbers rise. */
void feel_touched(struct feel *f, int64_t number, double now_ms);
/* An event with that number came through the server's watch. `first`: it tells the state, not the delay. */
void feel_seen(struct feel *f, size_t server, int64_t number, bool first, double now_ms);
/* The watch ended: what comes through the next one is no measure until its first event. */
void feel_watch_lost(struct feel *f, size_t server);

/* An answer took so long (or has been out for so long when the next one was due). */
void feel_answer(struct feel *f, size_t server, enum feel_kind kind, double ms);
/* Fewer writes come from now on: what answers took before tells nothing of that. */
void feel_eased(struct feel *f);
/* No answer of that kind can be had. */
void feel_unknown(struct feel *f, size_t server, enum feel_kind kind);
/* One of the idle time before the start: the longest counts, which of ten is about the p99. */
void feel_idle(struct feel *f, size_t server, enum feel_kind kind, double ms);

/* The turn's figures; begins the next turn. `watching`: its watch stands. */
void feel_turn(struct feel *f, size_t server, const char *name, bool watching, double now_ms,
               struct felt *ret);

#endif
