/* Who asked for what, and what became of it: entries of the audit trail. */
#include "act.h"

#include <base/clock.h>
#include <base/log.h>
#include <base/text.h>
#include <store/audit.h>

#define PRUNE_EVERY_MS 60000
#define PRUNE_ROUNDS   10
#define CLOCK_BACK_MS  60000

/* Entries are listed by their times: each has one of its own, also those of one transaction. A clock that was
 * put back from far ahead is believed. */
static int64_t next_time(struct coordinator *c, int64_t now_ms)
{
    bool follows = now_ms <= c->audit_last_ms && c->audit_last_ms - now_ms < CLOCK_BACK_MS;
    c->audit_last_ms = follows ? c->audit_last_ms + 1 : now_ms;
    return c->audit_last_ms;
}

static struct cluster_audit entry_of(struct coordinator *c, const struct cluster_snapshot *s, const char *who,
                                     const char *role, const char *call, const char *result)
{
    struct cluster_audit a = {.time_ms = next_time(c, s->now_ms)};
    text_copy(a.server, sizeof(a.server), c->config->server);
    text_copy(a.who, sizeof(a.who), who);
    text_copy(a.role, sizeof(a.role), role);
    text_copy(a.from, sizeof(a.from), "state store");
    text_copy(a.call, sizeof(a.call), call);
    text_copy(a.result, sizeof(a.result), result);
    return a;
}

/* "restart 5e0c… of s1, s2: restart". */
static void describe(const struct cluster_operation *op, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "%s %s: %s", operation_kind_name(op->kind), op->id,
                                   phase_name(op->phase));
    for (size_t i = 0; i < op->servers_count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : " of ", op->servers[i]);
}

static int tell(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                const struct cluster_operation *op, const struct cluster_operation *by, const char *result,
                const char *why, struct error *err)
{
    struct cluster_audit a = entry_of(c, s, by->requested_by, by->role, "operation", result);
    describe(op, a.what, sizeof(a.what));
    text_copy(a.why, sizeof(a.why), why);
    return store_txn_audit(c->store, t, &a, err);
}

int act_audit_change(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                     const struct cluster_rotation *r, struct error *err)
{
    const struct cluster_operation *before = &s->rotation.op, *now = &r->op;
    bool another = strcmp(before->id, now->id) != 0;
    int rc = 0;
    if (another && *now->aborts)
        rc = tell(c, s, t, before, now, "aborted", now->reason, err);
    if (rc == 0 && another && !now->ends)
        rc = tell(c, s, t, now, now, "started", now->reason, err);
    if (rc == 0 && !another && before->step != now->step && now->phase != PHASE_DONE)
        rc = tell(c, s, t, now, now, "phase", "", err);
    bool ends = another || before->state != now->state;
    if (rc == 0 && ends && now->state == OP_STATE_HALTED)
        rc = tell(c, s, t, now, now, "halted", now->why, err);
    if (rc == 0 && ends && now->state == OP_STATE_FINISHED && !now->ends)
        rc = tell(c, s, t, now, now, "finished", "", err);
    return rc;
}

int act_audit_answer(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                     const struct cluster_request *request, enum answer answer, const char *why,
                     struct error *err)
{
    static const char *const results[] = {
        [ANSWER_ACCEPTED] = "accepted", [ANSWER_RESUMED] = "resumed", [ANSWER_REFUSED] = "refused"};
    if (*request->role)
        return 0;
    struct cluster_audit a =
        entry_of(c, s, request->by, "", operation_kind_name(request->kind), results[answer]);
    snprintf(a.what, sizeof(a.what), "%s%s%s%s", request->server, request->key,
             request->force ? " --force" : "", request->now ? " --now" : "");
    text_copy(a.why, sizeof(a.why), why ? why : request->reason);
    return store_txn_audit(c->store, t, &a, err);
}

int act_audit_drift(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                    const char *server, const char *result, const char *what, struct error *err)
{
    char who[CLUSTER_WHO_MAX];
    snprintf(who, sizeof(who), "agent of %s", server);
    struct cluster_audit a = entry_of(c, s, who, "", "drift", result);
    text_copy(a.what, sizeof(a.what), server);
    text_copy(a.why, sizeof(a.why), what);
    return store_txn_audit(c->store, t, &a, err);
}

void act_audit_prune(struct coordinator *c, const struct cluster_snapshot *s)
{
    struct error err = ERROR_INIT;
    int64_t now = clock_mono_ms();
    size_t removed = 0, all = 0;
    /* A clock that is years ahead would leave nothing: then only what is too many goes. */
    int64_t now_ms = rotation_clocks_agree(s) ? s->now_ms : 0;
    int rc = 0;
    if (c->audit_ms > 0 && now - c->audit_ms < PRUNE_EVERY_MS)
        return;
    c->audit_ms = now;
    for (int i = 0; rc == 0 && i < PRUNE_ROUNDS && (i == 0 || removed > 0); i++) {
        rc = store_audit_prune(c->store, now_ms, c->fence, STORE_DEADLINE_MS, &removed, &err);
        all += removed;
    }
    if (rc < 0)
        log_event(LOG_LEVEL_WARNING, "the audit trail was not pruned", LOG_S("why", err.text));
    if (all > 0)
        log_event(LOG_LEVEL_INFO, "audit trail pruned", LOG_I("entries", all));
}
