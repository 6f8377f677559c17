/* What the planner sees: each fact is one bit, computed from the snapshot alone, with the name of the
 * server it is about and a text for people. */
#ifndef ROTATION_FACTS_H
#define ROTATION_FACTS_H

#include <rotation/rotation.h>

enum fact {
    /* the cluster */
    FACT_SPEC_MISSING,
    FACT_SPEC_DIFFERS,    /* the published servers' list is not our config's */
    FACT_PREFERRED_WAITS, /* a coordinator of an earlier server is a candidate */
    FACT_UNKNOWN_API,     /* an API server that nobody told us about is alive */
    FACT_PRUNABLE,        /* keys or bundles whose time is over */
    /* requests: the oldest one */
    FACT_REQUEST,
    FACT_REQUEST_REFUSED,
    FACT_REQUEST_RESUMES,
    FACT_REQUEST_PAUSES,
    FACT_REQUEST_ABORTS,
    FACT_REQUEST_REPAIRS,
    FACT_REQUEST_THROTTLES,
    FACT_REQUEST_LOCKS,
    FACT_REQUEST_UNLOCKS,
    FACT_LOCKED, /* other maintenance has the cluster's lock */
    /* the operation */
    FACT_UNADOPTED, /* no generation yet, nothing tried yet, and nothing in the way of adopting one */
    FACT_ADOPTING,  /* the running operation is the coordinator's own */
    FACT_LIVE,      /* an operation runs or is paused */
    FACT_PAUSED,
    FACT_MANUAL, /* the operator restarts the servers */
    FACT_PHASE_ADOPT,
    FACT_PHASE_CONFIG,
    FACT_PHASE_PROOF,
    FACT_PHASE_DROPS,
    FACT_PHASE_REWRITE,
    FACT_PHASE_VERIFY,
    FACT_PHASE_FINAL,
    FACT_ISSUED, /* the phase has its generation's number, and (all but adopt) its bundle */
    FACT_CLOSED, /* a window or an alert holds the next touch of a server */
    /* the servers */
    FACT_SILENT,   /* a server publishes nothing, or nothing new */
    FACT_STRANGER, /* a server that is not in the spec publishes */
    FACT_UNREADY,
    FACT_STANDING, /* values are to be rewritten with every API server stopped, and one is not */
    FACT_UNLOADED, /* a server is not known to run a config that this phase allows */
    FACT_DRIFT,    /* a server's file is none that this phase allows */
    FACT_SEALED,   /* a server's file does not open the generation's test vector */
    FACT_REPAIRABLE,
    FACT_AUTO_REPAIR,
    FACT_OWNED,   /* the servers make their encryption configs themselves */
    FACT_NOT_RAW, /* nobody can see what a stored value stands under */
    FACT_ORDER_IN_FLIGHT,
    FACT_ORDER_LATE,
    FACT_ORDER_FAILED,
    FACT_UNDONE,         /* an order was done, and undone since by somebody else */
    FACT_ORDER_OUTDATED, /* refused because a newer leader was seen: give it again */
    FACT_NEXT,           /* a server needs an order now */
    FACT_ALL_AT_TARGET,  /* every server published, loaded and is ready with the phase's generation */
    /* jobs */
    FACT_JOB_RUNNING,
    FACT_JOB_ELSE, /* a job of another operation or step still runs here */
    FACT_JOB_FAILED,
    FACT_REWRITTEN,
    FACT_PROVED,
    FACT_DISPROVED,     /* there is evidence against the phase's proof */
    FACT_ATTEMPTS_LEFT, /* for the proof */
    FACT_RETRY_SOON,    /* the last attempt ended a moment ago */
    FACT_WATCHING,      /* new writes are watched */
    FACT_PASSES_LEFT,
    FACT_PASS_BEGUN,
    FACT_COUNT,
};
_Static_assert(FACT_COUNT <= 64, "one bit each");

struct facts {
    uint64_t bits;
    char text[FACT_COUNT][CLUSTER_TEXT_MAX]; /* particulars of facts that are true; "" = none needed */
    const char *on[FACT_COUNT];              /* the server's name, borrowed from the snapshot; NULL = none */
    size_t next_server;
    enum order_kind next_kind;
    size_t repair_server;
    enum cluster_cause refused; /* REQUEST_REFUSED */
};

#define FACT_BIT(f) (UINT64_C(1) << (f))

static inline bool fact(const struct facts *f, enum fact which)
{
    return (f->bits & FACT_BIT(which)) != 0;
}

const char *fact_name(enum fact f);

void facts_compute(const struct cluster_snapshot *s, const struct planner_self *self, struct facts *ret);

/* --- between the files of this room --- */

/* Sets a fact with its particulars, unless it is set: the first server in restart order is the one that is
 * named. `on` may be NULL. */
void facts_set(struct facts *f, enum fact which, const char *on, const char *format, ...) _printf_(4, 5);
void facts_set_if(struct facts *f, enum fact which, bool value);

/* The bundle that the phase brings; NULL: none, or not issued. */
const struct snapshot_bundle *facts_target(const struct cluster_snapshot *s);
/* What the first server made and an agent sealed is lost: it could not hand it to its datastore, was
 * restarted, and every server has the config from before. Nobody ever had that one: the server is asked for
 * another. */
bool facts_lost(const struct cluster_snapshot *s);
bool facts_live(const struct cluster_snapshot *s);

void facts_of_servers(const struct cluster_snapshot *s, const struct planner_self *self, struct facts *f);
void facts_of_next(const struct cluster_snapshot *s, struct facts *f);
void facts_of_jobs(const struct cluster_snapshot *s, const struct planner_self *self, struct facts *f);

/* True when a server published, loaded and is ready with the generation that the phase brings. */
bool facts_at_target(const struct cluster_snapshot *s, const struct snapshot_server *v);

/* True for a file that a server may have at present. */
bool facts_hash_allowed(const struct cluster_snapshot *s, const struct snapshot_server *v, const char *hash);
/* An order that its server has not answered, other than one that waits for the operator. */
bool facts_order_in_flight(const struct snapshot_server *v);
/* Silent, with the reason; "" when it reports. */
void facts_silence(const struct snapshot_server *v, const struct planner_self *self,
                   char why[CLUSTER_TEXT_MAX]);

#endif
