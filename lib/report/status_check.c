/* `status --check`: what is wrong, as an exit code. */
#include <report/status.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/text.h>
#include <report/exits.h>
#include <report/odd.h>

static int server_code(const struct cluster_snapshot *s, int64_t stale_ms, char why[CLUSTER_TEXT_MAX])
{
    for (size_t i = 0; i < s->servers_count; i++) {
        const struct snapshot_server *v = &s->servers[i];
        int64_t age = s->now_ms - v->report.time_ms;
        if (!v->in_spec)
            continue;
        if (!v->reports)
            snprintf(why, CLUSTER_TEXT_MAX, "%s: %s", v->name, status_server_why(v));
        else if (age > stale_ms)
            snprintf(why, CLUSTER_TEXT_MAX,
                     "%s: its last report is %" PRId64 " s old: look at its agent and at both clocks",
                     v->name, age / 1000);
        else if (!v->report.ready)
            snprintf(why, CLUSTER_TEXT_MAX, "%s is not ready: %s", v->name, v->report.ready_why);
        else
            continue;
        return EXIT_SERVER;
    }
    return EXIT_DONE;
}

/* Every server that is the odd one out, and why, behind what is there already. */
static void add_odd(const struct cluster_snapshot *s, char why[CLUSTER_TEXT_MAX])
{
    _cleanup_free_ struct odd_verdict *odd = malloc(sizeof(*odd));
    if (!odd)
        return;
    odd_find(s, odd);
    for (size_t i = 0; i < s->servers_count; i++) {
        enum odd_kind kind = odd->servers[i].kind;
        size_t len = strlen(why);
        if (kind == ODD_NO || kind == ODD_SILENT)
            continue;
        snprintf(why + len, CLUSTER_TEXT_MAX - len, "%s%s: %s", len ? "; " : "", s->servers[i].name,
                 odd->servers[i].why);
    }
}

/* Files that are no match for what was issued, however alike they are. */
static bool any_drift(const struct cluster_snapshot *s)
{
    for (size_t i = 0; i < s->servers_count; i++)
        if (odd_drifted(s, &s->servers[i]))
            return true;
    return false;
}

/* Servers that are restarted with another config than their file's, or have none, are no match either. */
static int mismatch_code(const struct cluster_snapshot *s, char why[CLUSTER_TEXT_MAX])
{
    if (!snapshot_hashes_match(s, why)) {
        if (*why)
            add_odd(s, why);
        return *why ? EXIT_MISMATCH : EXIT_DONE;
    }
    if (any_drift(s)) {
        add_odd(s, why);
        return EXIT_MISMATCH;
    }
    for (size_t i = 0; i < s->servers_count; i++) {
        const struct cluster_report *r = &s->servers[i].report;
        if (!s->servers[i].in_spec || !r->loaded_known || strcmp(r->loaded_hash, r->hash) == 0)
            continue;
        snprintf(why, CLUSTER_TEXT_MAX, "%s: its API server runs with another config than its file",
                 s->servers[i].name);
        return EXIT_MISMATCH;
    }
    return EXIT_DONE;
}

static int gate_code(const struct cluster_snapshot *s, char why[CLUSTER_TEXT_MAX])
{
    if (*s->unknown_api)
        text_copy(why, CLUSTER_TEXT_MAX, s->unknown_api);
    else if (s->has_lock)
        snprintf(why, CLUSTER_TEXT_MAX, "locked by %s%s%.200s: `secrets-encrypt unlock` gives it back",
                 s->lock.holder, *s->lock.reason ? ": " : "", s->lock.reason);
    return *why ? EXIT_GATE : EXIT_DONE;
}

int status_check(const struct cluster_snapshot *s, int64_t stale_ms, char why[CLUSTER_TEXT_MAX])
{
    const struct cluster_operation *op = &s->rotation.op;
    why[0] = 0;
    if (s->has_rotation && *op->id && op->state == OP_STATE_HALTED) {
        snprintf(why, CLUSTER_TEXT_MAX, "%s is halted: %.400s", operation_kind_name(op->kind), op->why);
        return EXIT_HALTED;
    }
    int code = server_code(s, stale_ms, why);
    if (code == EXIT_DONE)
        code = mismatch_code(s, why);
    if (code == EXIT_DONE && !*s->leader) {
        text_copy(why, CLUSTER_TEXT_MAX, "no coordinator leads");
        code = EXIT_UNREACHABLE;
    }
    return code == EXIT_DONE ? gate_code(s, why) : code;
}
