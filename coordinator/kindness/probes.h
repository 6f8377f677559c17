/* The probes of a rewrite: the object that they ask for, and who is asked when. One thread at a time. */
#ifndef COORDINATOR_KINDNESS_PROBES_H
#define COORDINATOR_KINDNESS_PROBES_H

#include <kube/probe.h>

#include "../job.h"
#include "../proofs/canary.h"
#include "feel.h"

#define PROBES_EVERY_MS 250

struct probes {
    struct job *job;
    struct canary object;
    bool made;                  /* it may be in the datastore: it is to be taken out */
    struct kube_prober *prober; /* NULL: none could be made */
    struct feel feel;
    bool idle;    /* answers are taken as idle times */
    bool missing; /* somebody deleted the object */
    int64_t number, made_ms;
    size_t turn;
    struct {
        bool used;
        int64_t open_ms;   /* when the watch may be opened again */
        int64_t opened_ms; /* when it was; 0: it is not */
        unsigned lost;     /* in a row */
    } servers[CLUSTER_SERVERS_MAX];
};

/* Makes the object and takes the idle times. What cannot be measured is told of in the feelings. Errors:
 * ERR_CANCELED, ERR_NO_MEMORY. probes_end is due in any case. */
int probes_begin(struct probes *p, struct job *j, struct error *err) _must_check_;
/* Asks every usable server once (to be called every PROBES_EVERY_MS). */
void probes_ask(struct probes *p);
/* Receives for so long. */
void probes_run(struct probes *p, int ms);
/* The turn's figures of every usable server. */
void probes_turn(struct probes *p, struct signals *s);
/* Ends all and takes the object out. */
void probes_end(struct probes *p);

#endif
