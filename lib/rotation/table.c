/* The whole planner: the first row whose facts hold decides. Rising through an operation: what blocks
 * stands before what acts. */
#include "table.h"

#include <base/cleanup.h>

#define F(f) FACT_BIT(FACT_##f)

#define REFUSED F(REQUEST_REFUSED)
/* never an operation */
#define ABOUT_ONE                                                                                            \
    (F(REQUEST_PAUSES) | F(REQUEST_ABORTS) | F(REQUEST_REPAIRS) | F(REQUEST_THROTTLES) | F(REQUEST_LOCKS) |  \
     F(REQUEST_UNLOCKS))

ROW_QUALIFIER struct row rotation_rows[] = {
    /* the cluster itself */
    {"spec-missing", F(SPEC_MISSING), 0, ACTION_PUBLISH_SPEC, -1, "the servers' list is not published yet"},
    {"spec-differs", F(SPEC_DIFFERS), F(LIVE), ACTION_PUBLISH_SPEC, FACT_SPEC_DIFFERS,
     "the list of servers changed"},
    {"hand-over", F(PREFERRED_WAITS), F(SPEC_DIFFERS) | F(JOB_RUNNING) | F(JOB_ELSE) | F(ORDER_IN_FLIGHT),
     ACTION_RESIGN, FACT_PREFERRED_WAITS, "a coordinator that is preferred is back"},
    {"job-else", F(JOB_ELSE), 0, ACTION_STOP_JOB, -1, "the job of an earlier step is ended"},

    /* requests */
    {"adopt", F(UNADOPTED), F(LIVE), ACTION_ADOPT, -1,
     "the servers' present config is taken over as the first generation"},
    {"request-refused", F(REQUEST) | F(REQUEST_REFUSED), F(ADOPTING), ACTION_REFUSE, FACT_REQUEST_REFUSED,
     ""},
    {"pause", F(REQUEST) | F(REQUEST_PAUSES), REFUSED | F(PAUSED), ACTION_PAUSE, -1, "as asked"},
    {"abort", F(REQUEST) | F(REQUEST_ABORTS), REFUSED, ACTION_ABORT, -1,
     "as asked: back to the config from before"},
    {"throttle", F(REQUEST) | F(REQUEST_THROTTLES), REFUSED, ACTION_THROTTLE, -1, "as asked: another rate"},
    {"lock", F(REQUEST) | F(REQUEST_LOCKS), REFUSED | F(LIVE) | F(ORDER_IN_FLIGHT), ACTION_LOCK, -1,
     "as asked: nothing starts until the lock is given back"},
    {"unlock", F(REQUEST) | F(REQUEST_UNLOCKS), REFUSED, ACTION_UNLOCK, -1, "as asked"},
    {"repair", F(REQUEST) | F(REQUEST_REPAIRS), REFUSED | F(ORDER_IN_FLIGHT) | F(SILENT), ACTION_REPAIR, -1,
     "as asked: the file is put right"},
    {"repair-waits", F(REQUEST) | F(REQUEST_REPAIRS) | F(SILENT), REFUSED, ACTION_WAIT, FACT_SILENT,
     "the repair waits: a server is silent"},
    {"resume", F(REQUEST) | F(REQUEST_RESUMES), REFUSED, ACTION_RESUME, -1, "the operation goes on"},
    {"request", F(REQUEST), F(LIVE) | F(ORDER_IN_FLIGHT) | ABOUT_ONE, ACTION_START, -1, "accepted"},
    /* After the requests: an abort is answered, and may be the way out. */
    {"spec-differs-busy", F(SPEC_DIFFERS) | F(LIVE), 0, ACTION_WAIT, FACT_SPEC_DIFFERS,
     "the list of servers may not change while an operation runs: put it back, or abort"},

    /* keys leave servers: new writes are watched, also during a pause */
    {"left-behind", F(PHASE_DROPS) | F(ISSUED) | F(DISPROVED) | F(OWNED), F(ORDER_IN_FLIGHT), ACTION_HALT,
     FACT_DISPROVED,
     "a value was written under the key that is going, which these servers cannot be given back: write that "
     "object anew, then resume"},
    {"brought-back", F(PHASE_DROPS) | F(ISSUED) | F(DISPROVED), F(ORDER_IN_FLIGHT), ACTION_BRING_BACK,
     FACT_DISPROVED, "a value was written under a key that is going: it becomes readable again"},
    {"drop-stopped", F(PHASE_DROPS) | F(DISPROVED) | F(PASSES_LEFT), F(ISSUED), ACTION_REWRITE_AGAIN,
     FACT_DISPROVED, "another pass"},
    {"drop-refused", F(PHASE_DROPS) | F(DISPROVED), F(ISSUED), ACTION_HALT, FACT_DISPROVED,
     "the old key stays: somebody writes under it"},
    {"watch", F(PHASE_DROPS), F(JOB_RUNNING) | F(DISPROVED) | F(RETRY_SOON) | F(NOT_RAW), ACTION_WATCH, -1,
     "new writes are watched while keys leave the servers"},

    /* pauses and repairs */
    {"paused-job", F(PAUSED) | F(JOB_RUNNING), F(PHASE_DROPS), ACTION_STOP_JOB, -1, "paused"},
    {"paused", F(PAUSED), 0, ACTION_WAIT, FACT_ORDER_IN_FLIGHT, "paused: `secrets-encrypt resume` goes on"},
    {"repair-auto", F(REPAIRABLE) | F(AUTO_REPAIR), F(ORDER_IN_FLIGHT) | F(LOCKED), ACTION_REPAIR,
     FACT_REPAIRABLE, "by policy: a file that somebody changed is put right"},
    {"prune", F(PRUNABLE), F(LIVE), ACTION_PRUNE, -1, "retired keys whose time in escrow is over"},
    {"idle-unknown", F(UNKNOWN_API), F(LIVE), ACTION_WAIT, FACT_UNKNOWN_API, "no operation can start"},
    {"idle", 0, F(LIVE), ACTION_WAIT, FACT_ORDER_IN_FLIGHT, "no operation runs"},

    /* jobs that have ended, or run */
    {"job-running", F(JOB_RUNNING), F(PHASE_CONFIG), ACTION_WAIT, -1, "at work"},
    {"rewritten", F(PHASE_REWRITE) | F(REWRITTEN), 0, ACTION_NEXT_PHASE, -1, "every value was touched"},
    {"job-failed", F(PHASE_REWRITE) | F(JOB_FAILED), 0, ACTION_HALT, FACT_JOB_FAILED, "re-encryption failed"},
    {"proved", F(PHASE_PROOF) | F(PROVED), 0, ACTION_NEXT_PHASE, FACT_PROVED, "proved"},
    {"again", F(PHASE_VERIFY) | F(DISPROVED) | F(PASSES_LEFT), F(NOT_RAW), ACTION_REWRITE_AGAIN,
     FACT_DISPROVED, "another pass"},
    {"uncertain", F(PHASE_VERIFY) | F(DISPROVED) | F(NOT_RAW), 0, ACTION_HALT, FACT_DISPROVED,
     "the old key stays: values cannot be counted here, and not every object is known to be rewritten"},
    {"stale", F(PHASE_VERIFY) | F(DISPROVED), 0, ACTION_HALT, FACT_DISPROVED,
     "the old key stays: values are left under it"},
    {"final-left", F(PHASE_FINAL) | F(DISPROVED) | F(OWNED), F(ORDER_IN_FLIGHT), ACTION_HALT, FACT_DISPROVED,
     "a value is left under a key that is gone, which these servers cannot be given back: write that object "
     "anew, then resume"},
    {"final-stale", F(PHASE_FINAL) | F(DISPROVED), F(ORDER_IN_FLIGHT), ACTION_BRING_BACK, FACT_DISPROVED,
     "a value was written under a key that is gone: it becomes readable again"},
    {"disproved", F(PHASE_PROOF) | F(DISPROVED), F(PHASE_FINAL), ACTION_HALT, FACT_DISPROVED,
     "the proof failed"},
    {"unproved", F(PHASE_PROOF), F(ATTEMPTS_LEFT), ACTION_HALT, FACT_ATTEMPTS_LEFT,
     "the proof cannot be made"},
    {"retry", F(PHASE_PROOF) | F(RETRY_SOON), 0, ACTION_WAIT, FACT_RETRY_SOON,
     "the proof is tried again in a moment"},
    {"final", F(PHASE_FINAL), F(DISPROVED), ACTION_PROVE, -1, "the values are looked at once more"},

    /* what blocks every step */
    {"order-failed", F(PHASE_CONFIG) | F(ORDER_FAILED), 0, ACTION_HALT, FACT_ORDER_FAILED, "an order failed"},
    {"order-late", F(ORDER_IN_FLIGHT) | F(ORDER_LATE), 0, ACTION_WAIT, FACT_ORDER_LATE,
     "a server takes longer than it should"},
    {"order-in-flight", F(ORDER_IN_FLIGHT), 0, ACTION_WAIT, FACT_ORDER_IN_FLIGHT,
     "a server is at work; one at a time"},
    {"adopt-drift", F(PHASE_ADOPT) | F(DRIFT), 0, ACTION_HALT, FACT_DRIFT,
     "the servers' configs changed while they were taken over"},
    {"unknown-api", F(UNKNOWN_API), 0, ACTION_WAIT, FACT_UNKNOWN_API,
     "an API server that nobody told us about would be left behind"},
    {"stranger", F(STRANGER), 0, ACTION_WAIT, FACT_STRANGER,
     "a server that is not in the list would be left behind"},
    {"silent", F(SILENT), 0, ACTION_WAIT, FACT_SILENT, "a server is silent"},
    {"drift", F(DRIFT), 0, ACTION_WAIT, FACT_DRIFT, "a server's encryption config is not the expected one"},
    {"unready", F(UNREADY), 0, ACTION_WAIT, FACT_UNREADY, "a server is not ready"},
    {"unloaded", F(UNLOADED), F(MANUAL), ACTION_WAIT, FACT_UNLOADED,
     "a server is not known to run the expected config"},
    {"unloaded-manual", F(UNLOADED) | F(MANUAL), F(PHASE_CONFIG), ACTION_WAIT, FACT_UNLOADED,
     "waiting for the operator to restart the servers"},
    {"sealed", F(SEALED), 0, ACTION_WAIT, FACT_SEALED, "a server's file does not open the test vector"},
    {"undone", F(PHASE_CONFIG) | F(UNDONE), 0, ACTION_HALT, FACT_UNDONE, "an order was undone"},
    {"unwatched", F(PHASE_DROPS), F(WATCHING) | F(NOT_RAW), ACTION_WAIT, -1,
     "waiting for the watch over new writes"},

    /* phases that bring a generation to every server */
    {"closed-issue", F(PHASE_CONFIG) | F(CLOSED), F(ISSUED), ACTION_WAIT, FACT_CLOSED,
     "no server is touched now"},
    {"closed", F(PHASE_CONFIG) | F(CLOSED) | F(NEXT), 0, ACTION_WAIT, FACT_CLOSED,
     "no server is touched now"},
    {"order-outdated", F(PHASE_CONFIG) | F(ORDER_OUTDATED), 0, ACTION_ORDER, FACT_NEXT,
     "an order of an earlier leader was refused; given again"},
    {"issue", F(PHASE_CONFIG), F(ISSUED), ACTION_ISSUE, -1,
     "every server is as expected: the next config is made durable"},
    {"order", F(PHASE_CONFIG) | F(ISSUED) | F(NEXT), 0, ACTION_ORDER, FACT_NEXT,
     "the next server in restart order"},
    {"config-done", F(PHASE_CONFIG) | F(ISSUED) | F(ALL_AT_TARGET), 0, ACTION_NEXT_PHASE, -1,
     "every server published, loaded and is ready with it"},
    {"manual", F(PHASE_CONFIG) | F(MANUAL), 0, ACTION_WAIT, FACT_UNLOADED,
     "waiting for the operator to restart the servers"},
    {"config-settling", F(PHASE_CONFIG), 0, ACTION_WAIT, FACT_ALL_AT_TARGET,
     "waiting for the servers' reports"},

    /* jobs that begin */
    {"passes", F(PHASE_REWRITE), F(PASSES_LEFT) | F(PASS_BEGUN), ACTION_HALT, -1,
     "values under another key keep coming: find who writes them"},
    {"standing", F(PHASE_REWRITE) | F(STANDING), 0, ACTION_WAIT, FACT_STANDING,
     "values are to be rewritten while no API server runs"},
    {"rewrite", F(PHASE_REWRITE), 0, ACTION_REWRITE, -1,
     "every server writes with the new key: values are rewritten"},
    {"prove", F(PHASE_PROOF), 0, ACTION_PROVE, -1, "every server is as expected: the proof is made"},
    {"lost", 0, 0, ACTION_HALT, -1, "the operation's record makes no sense to this version"},
};

const size_t rotation_rows_count = array_len(rotation_rows);

static const char *const action_names[] = {
    [ACTION_WAIT] = "wait",
    [ACTION_PUBLISH_SPEC] = "publish spec",
    [ACTION_RESIGN] = "resign",
    [ACTION_ADOPT] = "adopt",
    [ACTION_REFUSE] = "refuse",
    [ACTION_START] = "start",
    [ACTION_RESUME] = "resume",
    [ACTION_PAUSE] = "pause",
    [ACTION_ABORT] = "abort",
    [ACTION_THROTTLE] = "throttle",
    [ACTION_REPAIR] = "repair",
    [ACTION_ISSUE] = "issue",
    [ACTION_ORDER] = "order",
    [ACTION_NEXT_PHASE] = "next phase",
    [ACTION_REWRITE] = "rewrite",
    [ACTION_PROVE] = "prove",
    [ACTION_WATCH] = "watch",
    [ACTION_STOP_JOB] = "stop job",
    [ACTION_REWRITE_AGAIN] = "rewrite again",
    [ACTION_BRING_BACK] = "bring back",
    [ACTION_PRUNE] = "prune",
    [ACTION_LOCK] = "lock",
    [ACTION_UNLOCK] = "unlock",
    [ACTION_HALT] = "halt",
};

const char *action_name(enum action a)
{
    return (size_t)a < array_len(action_names) ? action_names[a] : "?";
}

static int dump_facts(struct buf *out, uint64_t bits, const char *sign, struct error *err)
{
    int rc = 0;
    for (int f = 0; rc == 0 && f < FACT_COUNT; f++)
        if (bits & FACT_BIT(f))
            rc = buf_addf(out, err, " %s%s", sign, fact_name((enum fact)f));
    return rc;
}

int rotation_table_dump(struct buf *out, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < rotation_rows_count; i++) {
        const struct row *r = &rotation_rows[i];
        rc = buf_addf(out, err, "%-18s -> %-14s when", r->id, action_name(r->action));
        if (rc == 0 && !r->yes && !r->no)
            rc = buf_adds(out, " always", err);
        if (rc == 0)
            rc = dump_facts(out, r->yes, "", err);
        if (rc == 0)
            rc = dump_facts(out, r->no, "!", err);
        if (rc == 0)
            rc = buf_addf(out, err, "   # %s\n", r->why);
    }
    return rc;
}
