/* The planner: from one snapshot of the shared state to one next step. Pure: no clock, no I/O, no memory of
 * its own; the same input gives the same decision. It is one table (table.c); `rotation_table_dump` writes
 * that table out, and a committed copy of the text makes every changed row a reviewable diff. */
#ifndef ROTATION_ROTATION_H
#define ROTATION_ROTATION_H

#include <base/buf.h>
#include <base/error.h>
#include <cluster/snapshot.h>

enum action {
    ACTION_WAIT,          /* nothing to do until something changes; `why` says for what */
    ACTION_PUBLISH_SPEC,  /* write the servers' list of our own config */
    ACTION_RESIGN,        /* hand the leadership to a coordinator that is preferred */
    ACTION_ADOPT,         /* start an operation of our own: OP_ADOPT */
    ACTION_REFUSE,        /* answer request[request] with `why` */
    ACTION_START,         /* request[request] becomes the operation */
    ACTION_RESUME,        /* request[request] resumes the halted or paused operation */
    ACTION_PAUSE,         /* request[request]: no further step is begun */
    ACTION_ABORT,         /* request[request]: an operation that leads back takes the place of this one */
    ACTION_THROTTLE,      /* request[request]: values are rewritten at another rate */
    ACTION_REPAIR,        /* server[server] gets the settled generation back; request[request] asked for it,
                             unless request is SIZE_MAX (by policy) */
    ACTION_ISSUE,         /* make the phase's generation: the bundle, durable, before any file carries it */
    ACTION_ORDER,         /* give server[server] the order order_kind for `generation` */
    ACTION_NEXT_PHASE,    /* the phase is proved complete on every server */
    ACTION_REWRITE,       /* touch every value (a job that runs beside the ticks) */
    ACTION_PROVE,         /* make the phase's proof (a job as well) */
    ACTION_WATCH,         /* watch new writes while keys are dropped (a job as well) */
    ACTION_STOP_JOB,      /* end the job that is under way */
    ACTION_REWRITE_AGAIN, /* the scan found values under another key: back to rewriting */
    ACTION_BRING_BACK,    /* a value under a key that is being dropped: it becomes readable again */
    ACTION_PRUNE,         /* remove keys and bundles whose time in escrow is over */
    ACTION_LOCK,          /* request[request]: nothing starts while its lock stands */
    ACTION_UNLOCK,        /* request[request]: the lock is given back */
    ACTION_HALT,          /* stop the operation, touch nothing more, say why */
};

/* What the coordinator knows besides the snapshot. */
struct planner_self {
    const char *server;              /* the server that this coordinator runs on */
    int64_t fence;                   /* our leader key's create revision */
    const struct cluster_spec *spec; /* of our own config file */
    bool job_running; /* a job of ours is under way, for `job_operation`, begun in `job_step` */
    const char *job_operation;
    int64_t job_step;
    bool watching;         /* that job is the watch over new writes, and it sees them */
    int64_t passes_max;    /* rewrite passes before the operation halts */
    int64_t attempts_max;  /* tries of a proof before the operation halts */
    int64_t stale_ms;      /* a report that is unchanged for longer counts as silence; 0: never */
    int64_t order_late_ms; /* an order that takes longer is called late */
    /* Why no server is to be touched now ("outside the maintenance window until …", "alert … is firing"),
     * borrowed; NULL or "" = nothing holds it. Windows are left out by the caller for an operation that was
     * asked for with `now`. */
    const char *closed;
};

struct decision {
    enum action action;
    const char *row;            /* id of the table's row */
    int64_t now_ms;             /* of the snapshot */
    char why[CLUSTER_TEXT_MAX]; /* for people: the row's reason and its particulars */
    char on[CLUSTER_NAME_MAX];  /* the server that `why` is about; "" = none in particular */
    size_t server;              /* ORDER: index in snapshot->servers */
    enum order_kind order_kind;
    int64_t generation;       /* ORDER */
    size_t request;           /* the ones about requests: index in snapshot->requests, or SIZE_MAX */
    enum cluster_cause cause; /* REFUSE, HALT */
};

void rotation_decide(const struct cluster_snapshot *s, const struct planner_self *self, struct decision *ret);

/* Why a request cannot start now; "" and CAUSE_NONE when it can (or, *ret_resumes, resumes the halted
 * operation), or waits until an operation has ended that needs nobody any more. The texts are K3s's where K3s
 * has one. Pure. */
enum cluster_cause rotation_gate(const struct cluster_snapshot *s, const struct cluster_request *r,
                                 bool *ret_resumes, char why[CLUSTER_TEXT_MAX]);

/* True when a server may have the file of that hash now: the settled generation, the one that the phase under
 * way brings, and the like. Pure. */
bool rotation_may_have(const struct cluster_snapshot *s, const struct snapshot_server *v, const char *hash);

/* True when the server has a generation that was issued after the newest one that the state store knows of:
 * the store was restored from an older backup, or put back, and what it would order is what the server had
 * before; or it has lost its records. Pure. */
bool rotation_is_newer(const struct cluster_snapshot *s, const struct snapshot_server *v);

/* One line of that, without the server's name. */
void rotation_say_newer(const struct cluster_snapshot *s, const struct snapshot_server *v,
                        char out[CLUSTER_TEXT_MAX]);

/* True while the servers' present config was not taken over, nor tried to be; what is in the way of that, ""
 * when nothing is. Pure. */
bool rotation_is_untaken(const struct cluster_snapshot *s, char why[CLUSTER_TEXT_MAX]);

/* Whether `abort` is possible now; if not, why says so and what to do instead. Pure. */
bool rotation_can_abort(const struct cluster_snapshot *s, char why[CLUSTER_TEXT_MAX]);

/* The first phase of an operation about to start, and the one after r->op.phase: PHASE_DONE at the end.
 * Phases that the present config (what *r says of its keys) makes needless are left out. */
enum phase rotation_first_phase(const struct cluster_snapshot *s, const struct cluster_operation *op);
enum phase rotation_next_phase(const struct cluster_snapshot *s, const struct cluster_rotation *r);

/* Every phase that an operation of this kind may run through, in order; ends with PHASE_DONE. */
const enum phase *rotation_plan(enum operation_kind kind);

/* True for a phase that brings a generation to every server (a restart: the one that they have); the others
 * are jobs of the coordinator. */
bool rotation_phase_is_config(enum phase phase);
/* True for a phase that is over once its proof is made (all jobs but the rewriting). */
bool rotation_phase_is_proof(enum phase phase);
/* True where the phase's config is not issued but sealed by an agent: the present one, when it is adopted;
 * every one, where the servers make theirs themselves. */
bool rotation_made_by_servers(const struct cluster_snapshot *s, enum phase phase);
/* True for a phase in which keys leave servers: DROP and RETURN. */
bool rotation_phase_drops(enum phase phase);

/* True when the time of a retired key (index in s->escrow), or of a bundle, is over: the generation that
 * followed the bundle is older than escrow_days, and nothing under way goes back to it. */
bool rotation_escrow_is_over(const struct cluster_snapshot *s, size_t i);
bool rotation_bundle_is_over(const struct cluster_snapshot *s, size_t i);

/* The clocks of all servers agree with ours: only then is anything removed for good by its age. */
bool rotation_clocks_agree(const struct cluster_snapshot *s);

/* The steps that an operation shows ("[2/4] rotate"): its number (1-based), how many there are, its word. */
void rotation_step(const struct cluster_operation *op, int *ret_number, int *ret_count,
                   const char **ret_word);

/* How many servers of a running restart are done, in its order: those that the record counts, and the one
 * after them once its order is answered. Whenever such an order is deleted the record counts it. */
int64_t rotation_restarted(const struct cluster_snapshot *s);
/* The server that comes after the first `done` ones of a restart, as an index in s->servers: those of the
 * operation, servers without an API server first, else in the list's order. SIZE_MAX: there are no more. */
size_t rotation_restart_at(const struct cluster_snapshot *s, int64_t done);
/* The reverse: how many come before server i. INT64_MAX: it is none of the restart's. */
int64_t rotation_restart_rank(const struct cluster_snapshot *s, size_t i);
/* Is it a server of the restart? */
bool rotation_restarts(const struct cluster_operation *op, const char *server);

/* The stage that a generation of this phase carries. */
enum stage rotation_phase_stage(enum phase phase, const struct cluster_rotation *r);

const char *action_name(enum action a);

/* The whole table as text: one row a line. */
int rotation_table_dump(struct buf *out, struct error *err) _must_check_;

/* Plans and table as a Markdown page with diagrams (docs/planner.md). */
int rotation_draw(struct buf *out, struct error *err) _must_check_;

#endif
