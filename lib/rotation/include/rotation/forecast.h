/* What an operation would do: the planner itself, run to the operation's end against servers that do at once
 * what they are told. Pure; nothing is stored anywhere. */
#ifndef ROTATION_FORECAST_H
#define ROTATION_FORECAST_H

#include <rotation/rotation.h>

struct forecast_step {
    enum {
        FORECAST_ISSUE,   /* the coordinator makes the phase's config and keeps it */
        FORECAST_ORDER,   /* `server` gets an order */
        FORECAST_MANUAL,  /* the operator restarts `server` */
        FORECAST_REWRITE, /* every value is rewritten */
        FORECAST_STOP,    /* the operator stops every API server … */
        FORECAST_START,   /* … and starts them again */
        FORECAST_PROVE,   /* the phase's proof is made */
        FORECAST_WATCH,   /* new writes are watched, from here to the end of the phase */
    } what;
    enum operation_kind kind; /* of the operation: one of the coordinator's own may come first */
    enum phase phase;
    const char *server; /* ORDER, MANUAL: borrowed from the snapshot; "" else */
    enum order_kind order;
};

struct forecast {
    bool starts;                /* a request of now would be taken */
    bool resumes;               /* … as one that resumes what is halted or paused */
    char why[CLUSTER_TEXT_MAX]; /* refused: the gate's text, and … */
    enum cluster_cause cause;   /* … its cause */
    bool planned; /* the steps are known; refused: those once the servers are as they should be */
    char stuck[CLUSTER_TEXT_MAX]; /* planned, and not to the end: what the planner would wait for there */
    struct forecast_step *steps;
    size_t count;
};

/* Free *ret with forecast_free, also after a failure. */
int rotation_forecast(const struct cluster_snapshot *s, const struct cluster_request *r, struct forecast *ret,
                      struct error *err) _must_check_;
void forecast_free(struct forecast *f);

#endif
