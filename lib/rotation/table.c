/* The whole planner: the first row whose facts hold decides. Rising through an operation: what blocks
 * stands before what acts. */
#include "table.h"

#include <base/cleanup.h>

#define F(f) FACT_BIT(FACT_##f)

const struct row rotation_rows[] = {
    /* the cluster itself */
    {"spec-missing", F(SPEC_MISSING), 0, ACTION_PUBLISH_SPEC, -1, "the servers' list is not published yet"},
    {"spec-differs-busy", F(SPEC_DIFFERS) | F(RUNNING), 0, ACTION_WAIT, FACT_SPEC_DIFFERS,
     "the list of servers may not change while an operation runs"},
    {"spec-differs", F(SPEC_DIFFERS), F(RUNNING), ACTION_PUBLISH_SPEC, FACT_SPEC_DIFFERS,
     "the list of servers changed"},
    {"hand-over", F(PREFERRED_WAITS), F(JOB_RUNNING) | F(JOB_ELSE) | F(ORDER_IN_FLIGHT), ACTION_RESIGN,
     FACT_PREFERRED_WAITS, "a coordinator that is preferred is back"},

    /* requests */
    {"adopt", F(UNADOPTED), F(RUNNING), ACTION_ADOPT, -1,
     "the servers' present config is taken over as the first generation"},
    {"request-refused", F(REQUEST) | F(REQUEST_REFUSED), F(ADOPTING), ACTION_REFUSE, FACT_REQUEST_REFUSED,
     ""},
    {"request-resumes", F(REQUEST) | F(REQUEST_RESUMES), F(RUNNING), ACTION_RESUME, -1,
     "the halted operation goes on"},
    {"request", F(REQUEST), F(RUNNING), ACTION_START, -1, "accepted"},
    {"idle", 0, F(RUNNING), ACTION_WAIT, -1, "no operation runs"},

    /* phases that bring a generation to every server */
    {"order-failed", F(PHASE_CONFIG) | F(ORDER_FAILED), 0, ACTION_HALT, FACT_ORDER_FAILED, "an order failed"},
    {"order-in-flight", F(PHASE_CONFIG) | F(ORDER_IN_FLIGHT), 0, ACTION_WAIT, FACT_ORDER_IN_FLIGHT,
     "a server is at work; one at a time"},
    {"stranger", F(STRANGER), 0, ACTION_WAIT, FACT_STRANGER,
     "a server that is not in the list would be left behind"},
    {"silent", F(PHASE_CONFIG) | F(SILENT), 0, ACTION_WAIT, FACT_SILENT, "a server is silent"},
    {"drift", F(PHASE_CONFIG) | F(DRIFT), 0, ACTION_WAIT, FACT_DRIFT,
     "a server's encryption config is not the expected one"},
    {"unready", F(PHASE_CONFIG) | F(UNREADY), 0, ACTION_WAIT, FACT_UNREADY, "a server is not ready"},
    {"unloaded", F(PHASE_CONFIG) | F(UNLOADED), F(MANUAL), ACTION_WAIT, FACT_UNLOADED,
     "a server is not known to run the expected config"},
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
    {"config-settling", F(PHASE_CONFIG), 0, ACTION_WAIT, -1, "waiting for the servers' reports"},

    /* jobs */
    {"job-else", F(JOB_ELSE), 0, ACTION_WAIT, -1, "the job of an earlier operation is still ending"},
    {"job-running", F(JOB_RUNNING), 0, ACTION_WAIT, -1, "at work"},
    {"job-failed", F(JOB_FAILED), 0, ACTION_HALT, FACT_JOB_FAILED, "re-encryption failed"},
    {"rewritten", F(PHASE_REWRITE) | F(REWRITTEN), 0, ACTION_NEXT_PHASE, -1, "every value was touched"},
    {"clean", F(PHASE_VERIFY) | F(SCANNED) | F(CLEAN), 0, ACTION_NEXT_PHASE, FACT_CLEAN,
     "no value is left under another key"},
    {"again", F(PHASE_VERIFY) | F(SCANNED) | F(PASSES_LEFT), F(CLEAN), ACTION_REWRITE_AGAIN, FACT_SCANNED,
     "another pass"},
    {"stale", F(PHASE_VERIFY) | F(SCANNED), F(CLEAN), ACTION_HALT, FACT_SCANNED,
     "the old key stays: values are left under it"},
    {"job-silent", F(SILENT), 0, ACTION_WAIT, FACT_SILENT, "a server is silent"},
    {"job-drift", F(DRIFT), 0, ACTION_WAIT, FACT_DRIFT,
     "a server's encryption config is not the expected one"},
    {"job-unready", F(UNREADY), 0, ACTION_WAIT, FACT_UNREADY, "a server is not ready"},
    {"job-unloaded", F(UNLOADED), 0, ACTION_WAIT, FACT_UNLOADED,
     "a server is not known to run the expected config"},
    {"rewrite", F(PHASE_REWRITE), 0, ACTION_REWRITE, -1,
     "every server writes with the new key: values are rewritten"},
    {"scan", F(PHASE_VERIFY), 0, ACTION_SCAN, -1, "the datastore's values are counted by key"},
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
    [ACTION_ISSUE] = "issue",
    [ACTION_ORDER] = "order",
    [ACTION_NEXT_PHASE] = "next phase",
    [ACTION_REWRITE] = "rewrite",
    [ACTION_SCAN] = "scan",
    [ACTION_REWRITE_AGAIN] = "rewrite again",
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
