#include "mutations.h"

#include <string.h>

#include "agent_model.h"
#include "scenario.h"
#include "table.h"

#define SAME (-1)
#define GONE (-2)

const struct mutation mutations[] = {
    {.name = "silent servers are passed over",
     .breaks = "row `silent` taken out",
     .scenario = "lease",
     .caught = "I3",
     .row = "silent",
     .action = GONE},
    {.name = "unready servers are passed over",
     .breaks = "row `unready` taken out",
     .scenario = "api",
     .caught = "I3",
     .row = "unready",
     .action = GONE},
    {.name = "a changed file is passed over",
     .breaks = "row `drift` taken out",
     .scenario = "edit",
     .caught = "I1",
     .row = "drift",
     .action = GONE},
    {.name = "what a server has loaded is not asked",
     .breaks = "row `unloaded` taken out",
     .scenario = "edit-twice",
     .caught = "I1",
     .row = "unloaded",
     .action = GONE},
    {.name = "two servers restart at once",
     .breaks = "row `order-in-flight` taken out",
     .scenario = "quiet",
     .caught = "I3",
     .row = "order-in-flight",
     .action = GONE},
    {.name = "the next phase does not wait for all servers",
     .breaks = "`order` goes on to the next phase",
     .scenario = "quiet",
     .caught = "liveness",
     .row = "order",
     .action = ACTION_NEXT_PHASE},
    {.name = "proofs are not waited for",
     .breaks = "`proved` without `proved`: READABLE, WRITTEN and VERIFY are skipped",
     .scenario = "quiet",
     .caught = "I2",
     .row = "proved",
     .without = "proved",
     .action = SAME},
    {.name = "a scan that found values is passed over",
     .breaks = "`again` goes on to the drop",
     .scenario = "job",
     .caught = "I2",
     .row = "again",
     .action = ACTION_NEXT_PHASE},
    {.name = "a proof of an earlier step counts",
     .breaks = "proofs are not compared with the step",
     .scenario = "job-rogue",
     .caught = "I2",
     .row = NULL,
     .action = SAME,
     .world = MUTATE_OLD_PROOF},
    {.name = "the drop is not watched",
     .breaks = "row `unwatched` taken out",
     .scenario = "quiet",
     .caught = "I2",
     .row = "unwatched",
     .action = GONE},
    {.name = "nothing is brought back",
     .breaks = "row `brought-back` taken out",
     .scenario = "rogue",
     .caught = "liveness",
     .row = "brought-back",
     .action = GONE},
    {.name = "a last scan that found values ends the operation",
     .breaks = "`final-stale` finishes",
     .scenario = "rogue",
     .caught = "I1",
     .row = "final-stale",
     .action = ACTION_NEXT_PHASE},
    {.name = "abort after the point of no return",
     .breaks = "`abort` although it is refused",
     .scenario = "abort",
     .caught = "I1",
     .row = "abort",
     .without = "!request_refused",
     .action = SAME,
     .gone = "request-refused"},
    {.name = "a failed order does not stop the operation",
     .breaks = "row `order-failed` taken out",
     .scenario = "start",
     .caught = "liveness",
     .row = "order-failed",
     .action = GONE},
    {.name = "the next config is made again and again",
     .breaks = "`issue` although the phase has one",
     .scenario = "quiet",
     .caught = "I5",
     .row = "issue",
     .without = "!issued",
     .action = SAME},
    {.name = "a pause does not stop anything",
     .breaks = "row `paused` taken out",
     .scenario = "pause",
     .caught = "pause",
     .row = "paused",
     .action = GONE},
    {.name = "a phase is finished before it is issued",
     .breaks = "`issue` goes on to the next phase",
     .scenario = "quiet",
     .caught = "end",
     .row = "issue",
     .action = ACTION_NEXT_PHASE},
    {.name = "writes without the fence",
     .breaks = "transactions do not compare the leader key",
     .scenario = "stall",
     .caught = "I4",
     .row = NULL,
     .action = SAME,
     .world = MUTATE_NO_FENCE},
    {.name = "no escrow",
     .breaks = "keys are not sealed before they leave",
     .scenario = "quiet",
     .caught = "I2",
     .row = NULL,
     .action = SAME,
     .world = MUTATE_NO_ESCROW},
    {.name = "the previous file is not kept",
     .breaks = "agent/place.c keep_previous",
     .scenario = "start",
     .caught = "liveness",
     .row = NULL,
     .action = SAME,
     .world = MUTATE_NO_PREVIOUS},
    {.name = "a server that does not come up is waited for for ever",
     .breaks = "agent's row `not-ready` taken out",
     .scenario = "start",
     .caught = "liveness",
     .row = NULL,
     .action = SAME,
     .agent_row = "not-ready"},
    {.name = "the previous file is not put back",
     .breaks = "agent's row `undo` taken out",
     .scenario = "start",
     .caught = "liveness",
     .row = NULL,
     .action = SAME,
     .agent_row = "undo"},
    {.name = "a file that nobody issued is written over",
     .breaks = "agent's row `taken-foreign` taken out",
     .scenario = "edit",
     .caught = "I2",
     .row = NULL,
     .action = SAME,
     .agent_row = "taken-foreign"},
    {.name = "an agent without memory takes what it finds",
     .breaks = "agent's row `forgotten` taken out",
     .scenario = "forget",
     .caught = "I3",
     .row = NULL,
     .action = SAME,
     .agent_row = "forgotten"},
    {.name = "an older file is kept after the order is done",
     .breaks = "agent/step.c: DONE does not forget the way back",
     .scenario = "one-repair",
     .caught = "I2",
     .row = NULL,
     .action = SAME,
     .world = MUTATE_LATE_FORGET},
    {.name = "an API server that nobody told us about is passed over",
     .breaks = "row `unknown-api` taken out",
     .scenario = "unknown",
     .caught = "I1",
     .row = "unknown-api",
     .action = GONE},
    {.name = "an offline rewrite does not wait for the API servers to stop",
     .breaks = "row `standing` taken out",
     .scenario = "offline",
     .caught = "offline",
     .row = "standing",
     .action = GONE},
    {.name = "a deposed coordinator's job goes on writing in the datastore",
     .breaks = "fence.c: writes are not guarded with the fence",
     .scenario = "datastore-abort",
     .caught = "I2",
     .row = NULL,
     .action = SAME,
     .world = MUTATE_OLD_WRITER},
    {.name = "what a server made is sealed without a look",
     .breaks = "agent/owned.c does not compare it with what was asked for",
     .scenario = "owned-made",
     .caught = "I1",
     .row = NULL,
     .action = SAME,
     .world = MUTATE_SEAL_ANY},
    {.name = "two servers follow at once",
     .breaks = "row `order-in-flight` taken out",
     .scenario = "owned",
     .caught = "I3",
     .row = "order-in-flight",
     .action = GONE},
    {.name = "a server drops its old key before the values are counted",
     .breaks = "`proved` without `proved`",
     .scenario = "owned",
     .caught = "I2",
     .row = "proved",
     .without = "proved",
     .action = SAME},
    {.name = "a server drops its old key unwatched",
     .breaks = "row `unwatched` taken out",
     .scenario = "owned",
     .caught = "I2",
     .row = "unwatched",
     .action = GONE},
    {.name = "no escrow before a server drops its key",
     .breaks = "issue_leaving seals nothing",
     .scenario = "owned",
     .caught = "I2",
     .row = NULL,
     .action = SAME,
     .world = MUTATE_NO_ESCROW},
    {.name = "a server that came back is taken to have followed",
     .breaks = "FOLLOW is done without the file",
     .scenario = "owned-calls",
     .caught = "done",
     .row = NULL,
     .action = SAME,
     .world = MUTATE_BLIND_DONE},
    {.name = "what a server made is never sealed",
     .breaks = "agent's row `call-seal` taken out",
     .scenario = "owned",
     .caught = "liveness",
     .row = NULL,
     .action = SAME,
     .agent_row = "call-seal"},
    {.name = "servers that know no way back are told to go back",
     .breaks = "`abort` although it is refused",
     .scenario = "owned-people",
     .caught = "abort",
     .row = "abort",
     .without = "!request_refused",
     .action = SAME,
     .gone = "request-refused"},
    {.name = "a failed call does not stop the operation",
     .breaks = "row `order-failed` taken out",
     .scenario = "owned-calls",
     .caught = "liveness",
     .row = "order-failed",
     .action = GONE},
    {.name = "two servers restart at once, as asked",
     .breaks = "row `order-in-flight` taken out, and who has its order counts as done",
     .scenario = "restart-quiet",
     .caught = "I3",
     .row = "order-in-flight",
     .action = GONE,
     .world = MUTATE_HASTY},
    {.name = "a restart does not wait until the server is ready",
     .breaks = "row `unready` taken out",
     .scenario = "restart",
     .caught = "I3",
     .row = "unready",
     .action = GONE},
    {.name = "a restart is over before all servers are",
     .breaks = "`order` goes on to the next phase",
     .scenario = "restart-quiet",
     .caught = "end",
     .row = "order",
     .action = ACTION_NEXT_PHASE},
    {.name = "a failed restart does not stop the others",
     .breaks = "row `order-failed` taken out",
     .scenario = "restart-start",
     .caught = "liveness",
     .row = "order-failed",
     .action = GONE},
    {.name = "an operation starts beside the lock",
     .breaks = "row `request-refused` taken out",
     .scenario = "lock",
     .caught = "lock",
     .row = "request-refused",
     .action = GONE},
    {.name = "the lock is taken beside an operation",
     .breaks = "`lock` although it is refused",
     .scenario = "lock-rotation",
     .caught = "lock",
     .row = "lock",
     .without = "!live",
     .action = SAME,
     .gone = "request-refused",
     .also_without = "!request_refused"},
    {.name = "a server is touched outside the window",
     .breaks = "row `closed` taken out",
     .scenario = "window",
     .caught = "closed",
     .row = "closed",
     .action = GONE},
    {.name = "a restart goes on outside the window",
     .breaks = "row `closed` taken out",
     .scenario = "window-restart",
     .caught = "closed",
     .row = "closed",
     .action = GONE},
    {.name = "the next config is made outside the window",
     .breaks = "row `closed-issue` taken out",
     .scenario = "window",
     .caught = "closed",
     .row = "closed-issue",
     .action = GONE},
    {.name = "a failed rewriting goes on for ever",
     .breaks = "row `job-failed` begins anew",
     .scenario = "job",
     .caught = "liveness",
     .row = "job-failed",
     .action = ACTION_WAIT},
};
const size_t mutations_count = sizeof(mutations) / sizeof(mutations[0]);

/* ---------- */

static struct row originals[128];

static int find_fact(const char *name)
{
    for (int f = 0; f < FACT_COUNT; f++)
        if (strcmp(fact_name((enum fact)f), name) == 0)
            return f;
    return -1;
}

static bool weaken(struct row *r, const char *fact)
{
    bool negated = fact[0] == '!';
    int f = find_fact(fact + negated);
    uint64_t *bits = negated ? &r->no : &r->yes;
    if (f < 0 || !(*bits & FACT_BIT(f)))
        return false;
    *bits &= ~FACT_BIT(f);
    return true;
}

static bool take_out(const char *id)
{
    for (size_t i = 0; i < rotation_rows_count; i++)
        if (strcmp(rotation_rows[i].id, id) == 0) {
            rotation_rows[i].yes = rotation_rows[i].no = 1; /* never both */
            return true;
        }
    return false;
}

static bool change_row(const struct mutation *m)
{
    if (m->action == GONE)
        return take_out(m->row);
    for (size_t i = 0; i < rotation_rows_count; i++) {
        struct row *r = &rotation_rows[i];
        if (strcmp(r->id, m->row) != 0)
            continue;
        if (m->action >= 0)
            r->action = (enum action)m->action;
        return (!m->without || weaken(r, m->without)) && (!m->also_without || weaken(r, m->also_without));
    }
    return false;
}

bool mutation_apply(const struct mutation *m)
{
    memcpy(originals, rotation_rows, rotation_rows_count * sizeof(originals[0]));
    model.mutations = m->world;
    bool ok = (!m->row || change_row(m)) && (!m->gone || take_out(m->gone));
    return ok && (!m->agent_row || agent_row_disable(m->agent_row));
}

void mutation_undo(void)
{
    memcpy(rotation_rows, originals, rotation_rows_count * sizeof(originals[0]));
    agent_rows_restore();
    model.mutations = 0;
}
