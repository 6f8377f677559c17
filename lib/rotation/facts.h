/* What the planner sees: each fact is one bit, computed from the snapshot alone, with the name of the
 * server it is about and a text for people. */
#ifndef ROTATION_FACTS_H
#define ROTATION_FACTS_H

#include <rotation/rotation.h>

enum fact {
    FACT_SPEC_MISSING,
    FACT_SPEC_DIFFERS,    /* the published servers' list is not our config's */
    FACT_PREFERRED_WAITS, /* a coordinator of an earlier server is a candidate */
    FACT_REQUEST,
    FACT_REQUEST_REFUSED,
    FACT_REQUEST_RESUMES,
    FACT_UNADOPTED, /* no generation yet, nothing tried yet, and nothing in the way of adopting one */
    FACT_ADOPTING,  /* the running operation is the coordinator's own */
    FACT_RUNNING,   /* an operation runs */
    FACT_MANUAL,    /* the operator restarts the servers */
    FACT_PHASE_ADOPT,
    FACT_PHASE_CONFIG, /* the phase brings a generation to every server (adopt is one) */
    FACT_PHASE_REWRITE,
    FACT_PHASE_VERIFY,
    FACT_ISSUED,   /* the phase has its generation's number, and (all but adopt) its bundle */
    FACT_SILENT,   /* a server publishes nothing */
    FACT_STRANGER, /* a server that is not in the spec publishes */
    FACT_UNREADY,
    FACT_UNLOADED, /* a server is not known to run a config that this phase allows */
    FACT_DRIFT,    /* a server's file is none that this phase allows */
    FACT_ORDER_IN_FLIGHT,
    FACT_ORDER_FAILED,
    FACT_ORDER_OUTDATED, /* refused because a newer leader was seen: give it again */
    FACT_NEXT,           /* a server needs an order now */
    FACT_ALL_AT_TARGET,  /* every server published, loaded and is ready with the phase's generation */
    FACT_JOB_RUNNING,
    FACT_JOB_ELSE, /* a job of another operation still runs here */
    FACT_JOB_FAILED,
    FACT_REWRITTEN,
    FACT_SCANNED,
    FACT_CLEAN, /* the scan found no value under another key */
    FACT_PASSES_LEFT,
    FACT_COUNT,
};

struct facts {
    uint64_t bits;
    char text[FACT_COUNT][CLUSTER_TEXT_MAX]; /* particulars of facts that are true; "" = none needed */
    size_t next_server;
    enum order_kind next_kind;
    size_t request;
};

#define FACT_BIT(f) (UINT64_C(1) << (f))

static inline bool fact(const struct facts *f, enum fact which)
{
    return (f->bits & FACT_BIT(which)) != 0;
}

const char *fact_name(enum fact f);

void facts_compute(const struct cluster_snapshot *s, const struct planner_self *self, struct facts *ret);

/* True when a server published, loaded and is ready with the generation that the phase brings. */
bool facts_at_target(const struct cluster_snapshot *s, const struct snapshot_server *v);

#endif
