/* May this request start now? The preconditions of K3s, and those that it lacks: nothing starts while a
 * server is silent, unready, or runs another config than its file. --force skips what K3s's --force skips
 * (stages, layout of the files), never what keeps Secrets readable. */
#include "facts.h"

#include <stdarg.h>

#include <base/cleanup.h>

struct gate {
    const struct cluster_snapshot *s;
    const struct cluster_request *r;
    const struct cluster_operation *op; /* running or ran last; NULL: there has been none */
    char *why;
    enum cluster_cause cause;
};

static bool refuse_for(struct gate *g, enum cluster_cause cause, const char *format, va_list ap)
    __attribute__((format(printf, 3, 0)));
static bool refuse_for(struct gate *g, enum cluster_cause cause, const char *format, va_list ap)
{
    vsnprintf(g->why, CLUSTER_TEXT_MAX, format, ap);
    g->cause = cause;
    return true;
}

#define REFUSAL(name, cause)                                                                                 \
    static bool name(struct gate *g, const char *format, ...) _printf_(2, 3);                                \
    static bool name(struct gate *g, const char *format, ...)                                                \
    {                                                                                                        \
        va_list ap;                                                                                          \
        va_start(ap, format);                                                                                \
        bool refused = refuse_for(g, cause, format, ap);                                                     \
        va_end(ap);                                                                                          \
        return refused;                                                                                      \
    }
REFUSAL(refuse, CAUSE_GATE)
REFUSAL(server_refuses, CAUSE_SERVER)
REFUSAL(mismatch_refuses, CAUSE_MISMATCH)

static bool is_live(const struct gate *g)
{
    return g->op && (g->op->state == OP_STATE_RUNNING || g->op->state == OP_STATE_PAUSED);
}

static bool is_halted(const struct gate *g)
{
    return g->op && g->op->state == OP_STATE_HALTED;
}

/* What a server that writes its config while it starts has loaded is not known before it is ready. */
static bool loaded_another(const struct cluster_snapshot *s, const struct cluster_report *r, const char *hash)
{
    bool starting = s->spec.owned && !*r->loaded_hash;
    return r->loaded_known && !starting && strcmp(r->loaded_hash, hash) != 0;
}

/* The operator has restarted every server; what is left (servers that become ready, a proof) ends by itself.
 * The status shows equal hashes by now, and whoever follows the manual types the next step. */
static bool operator_is_done(const struct gate *g)
{
    const struct cluster_snapshot *s = g->s;
    bool config = rotation_phase_is_config(g->op->phase);
    if (g->op->restart || g->op->state != OP_STATE_RUNNING ||
        (!config && !rotation_phase_is_proof(g->op->phase)))
        return false;
    const struct snapshot_bundle *b = facts_target(s);
    const char *hash = !config ? s->rotation.hash : b ? b->hash : NULL;
    for (size_t i = 0; hash && i < s->servers_count; i++) {
        const struct cluster_report *r = &s->servers[i].report;
        if (s->servers[i].in_spec &&
            (!s->servers[i].reports || strcmp(r->hash, hash) != 0 || loaded_another(s, r, hash)))
            return false;
    }
    return hash != NULL;
}

/* True without a reason: the request waits until the operation has ended. */
static bool running_blocks(struct gate *g)
{
    if (!is_live(g))
        return false;
    const char *kind = operation_kind_name(g->op->kind);
    char mismatch[CLUSTER_TEXT_MAX];
    if (operator_is_done(g))
        return true;
    if (g->op->state == OP_STATE_PAUSED)
        return refuse(g, "%s is paused (%s): resume or abort it first", kind, phase_name(g->op->phase));
    if (!g->op->restart && !snapshot_hashes_match(g->s, mismatch))
        return mismatch_refuses(g, "%s: restart the servers, one after the other, before the next step",
                                mismatch);
    bool manual = !g->op->restart && rotation_phase_is_config(g->op->phase);
    return refuse(g, "%s is still running (%s): %s", kind, phase_name(g->op->phase),
                  manual ? "restart the servers, one after the other, before the next step" : "wait for it");
}

/* A halted operation that has brought nothing to any server yet is in nobody's way. */
static bool halted_is_harmless(const struct gate *g)
{
    return !g->op->touched;
}

static bool halted_blocks(struct gate *g)
{
    if (!is_halted(g) || halted_is_harmless(g))
        return false;
    const char *kind = operation_kind_name(g->op->kind);
    return refuse(g, "%s is halted (%s): mend that and run %s again, it goes on with the same key", kind,
                  g->op->why, g->op->kind == OP_ABORT ? "resume" : kind);
}

static bool server_blocks(struct gate *g)
{
    if (!g->s->has_spec || g->s->spec.servers_count == 0)
        return refuse(g, "the coordinator has not published the list of servers yet: try again");
    if (*g->s->unknown_api)
        return refuse(g, "%s", g->s->unknown_api);
    for (size_t i = 0; i < g->s->servers_count; i++) {
        const struct snapshot_server *v = &g->s->servers[i];
        if (!v->in_spec) {
            if (v->reports)
                return refuse(g,
                              "%s publishes but is not among the cluster's servers: add it to servers, or "
                              "stop its agent",
                              v->name);
            continue;
        }
        if (!v->reports)
            return server_refuses(g, "%s: %s", v->name, v->report_why);
        if (!v->report.ready)
            return server_refuses(g, "%s is not ready: %s", v->name, v->report.ready_why);
        if (!*v->report.hash || !*v->report.config_id)
            return mismatch_refuses(g, "%s: %s", v->name,
                                    *v->report.file_why ? v->report.file_why : "has no encryption config");
    }
    return false;
}

/* How values are rewritten: also a request that resumes an operation says so. */
static bool engine_blocks(struct gate *g)
{
    if (!g->s->spec.not_raw || (strcmp(g->r->engine, "datastore") != 0 && !g->r->offline))
        return false;
    return refuse(
        g,
        "the datastore cannot be read raw (datastore.raw: off), so that %s is not possible: without "
        "it values are rewritten through the API servers",
        g->r->offline ? "--offline" : "--engine datastore");
}

/* That nobody takes a snapshot here has to be somebody's decision. */
static bool snapshots_block(struct gate *g)
{
    if (!g->s->spec.not_raw || !g->s->spec.snapshots || g->r->kind == OP_ADOPT)
        return false;
    return refuse(g,
                  "no snapshot of this datastore can be taken (datastore.raw: off): back the database up by "
                  "its own means, then say so with snapshots.enabled: off in the config of every server");
}

static bool loaded_blocks(struct gate *g)
{
    for (size_t i = 0; i < g->s->servers_count; i++) {
        const struct snapshot_server *v = &g->s->servers[i];
        if (!v->in_spec)
            continue;
        if (!v->report.loaded_known)
            return server_refuses(g, "%s: %s", v->name,
                                  *v->report.process_why ? v->report.process_why
                                                         : "its API server's process is not known");
        if (strcmp(v->report.loaded_hash, v->report.hash) != 0)
            return mismatch_refuses(
                g, "%s: its API server is not known to have loaded its present encryption config: restart it",
                v->name);
    }
    return false;
}

/* Same keys and order on all servers, whatever the layout. */
static bool content_differs(struct gate *g)
{
    const struct snapshot_server *first = &g->s->servers[snapshot_first_api(g->s)];
    for (size_t i = 0; i < g->s->servers_count; i++)
        if (g->s->servers[i].in_spec &&
            strcmp(g->s->servers[i].report.config_id, first->report.config_id) != 0)
            return mismatch_refuses(
                g, "hash does not match between %s and %s: their keys differ, which --force cannot mend",
                first->name, g->s->servers[i].name);
    return false;
}

/* K3s does not look at servers without an API server. One whose file is another one is restarted first. */
static bool etcd_only_blocks(struct gate *g)
{
    const struct snapshot_server *first = &g->s->servers[snapshot_first_api(g->s)];
    for (size_t i = 0; i < g->s->spec.servers_count && i < g->s->servers_count; i++)
        if (snapshot_etcd_only(g->s, i) && strcmp(g->s->servers[i].report.hash, first->report.hash) != 0)
            return mismatch_refuses(
                g, "hash does not match between %s and %s: restart %s, which has the role etcd", first->name,
                g->s->servers[i].name, g->s->servers[i].name);
    return false;
}

static bool hash_blocks(struct gate *g)
{
    char mismatch[CLUSTER_TEXT_MAX];
    if (snapshot_hashes_match(g->s, mismatch))
        return etcd_only_blocks(g);
    return g->r->force && g->r->kind != OP_RESTART ? content_differs(g) : mismatch_refuses(g, "%s", mismatch);
}

static const struct {
    enum operation_kind kind;
    enum stage first, second; /* the stages that it may start at */
    bool adopts; /* may begin by adopting files that were changed by hand, alike on all servers */
} allowed[] = {
    {OP_PREPARE, STAGE_START, STAGE_REENCRYPT_FINISHED, true},
    {OP_ROTATE, STAGE_PREPARE, STAGE_PREPARE, false},
    {OP_REENCRYPT, STAGE_ROTATE, STAGE_ROTATE, false},
    {OP_ROTATE_KEYS, STAGE_START, STAGE_REENCRYPT_FINISHED, true},
    {OP_ENABLE, STAGE_START, STAGE_REENCRYPT_FINISHED, true},
    {OP_DISABLE, STAGE_START, STAGE_REENCRYPT_FINISHED, true},
    {OP_RESTORE_KEY, STAGE_START, STAGE_REENCRYPT_FINISHED, true},
    {OP_ADOPT, STAGE_START, STAGE_START, true},
};

static bool stage_blocks(struct gate *g)
{
    enum stage now = g->s->rotation.stage;
    for (size_t i = 0; i < array_len(allowed); i++) {
        if (allowed[i].kind != g->r->kind)
            continue;
        if (!g->r->force && now != allowed[i].first && now != allowed[i].second)
            return refuse(g, "incorrect stage: %s found on node %s", stage_name(now),
                          g->s->servers[snapshot_first_api(g->s)].name);
        bool mid_rotation = now != STAGE_START && now != STAGE_REENCRYPT_FINISHED;
        bool changed = g->s->rotation.generation > 0 &&
                       strcmp(g->s->servers[snapshot_first_api(g->s)].report.hash, g->s->rotation.hash) != 0;
        if (changed && (mid_rotation || !(allowed[i].adopts || g->r->force)))
            return mismatch_refuses(
                g,
                "the encryption configs were changed by somebody else at stage %s: put generation "
                "%lld back first",
                stage_name(now), (long long)g->s->rotation.generation);
    }
    return false;
}

static bool escrow_blocks(struct gate *g)
{
    size_t found = 0;
    for (size_t i = 0; i < g->s->escrow_count; i++)
        found += strcmp(g->s->escrow[i].name, g->r->key) == 0;
    if (found == 0)
        return refuse(g, "no retired key '%s' is kept: `secrets-encrypt keys` lists them", g->r->key);
    if (found > 1)
        return refuse(g, "several retired keys have the name '%s', of different providers", g->r->key);
    return false;
}

static bool key_blocks(struct gate *g)
{
    const struct cluster_rotation *k = &g->s->rotation;
    bool adopted = k->generation > 0;
    bool disabled = adopted && !k->write_key[0];
    enum operation_kind kind = g->r->kind;
    if (kind == OP_ROTATE && !k->new_key[0])
        return refuse(g, "no key is prepared: run prepare first");
    if ((kind == OP_PREPARE || kind == OP_ROTATE_KEYS) && disabled && k->keys > 0)
        return refuse(g, "encryption is disabled: run enable first");
    bool secretbox = strcmp(k->write_provider, "secretbox") == 0;
    if ((kind == OP_PREPARE || kind == OP_ROTATE_KEYS) && g->s->spec.owned && secretbox)
        return refuse(
            g,
            "K3s takes the steps of a rotation with aescbc keys only; a secretbox key it rotates by its own "
            "rotate-keys alone, which writes with a key that the other servers lack");
    if (kind == OP_RESTORE_KEY && g->s->spec.owned)
        return refuse(g,
                      "these servers make their encryption configs themselves: a retired key cannot be put "
                      "back into them");
    if (kind == OP_RESTORE_KEY)
        return escrow_blocks(g);
    if (kind == OP_ENABLE && disabled && k->keys == 0)
        return refuse(g, "there is no key to encrypt with: run rotate-keys, which makes one");
    return false;
}

/* ---------- a restart ---------- */

static bool subset_blocks(struct gate *g)
{
    for (size_t i = 0; i < g->r->servers_count; i++) {
        const struct snapshot_server *v = snapshot_server(g->s, g->r->servers[i]);
        if (!v || !v->in_spec)
            return refuse(g, "'%s' is not among the cluster's servers", g->r->servers[i]);
    }
    return false;
}

/* Whoever restarts a server has to know what it comes back with: the config that the cluster settled on. */
static bool restart_blocks(struct gate *g)
{
    const struct cluster_rotation *k = &g->s->rotation;
    if (k->generation == 0)
        return refuse(g, "the servers' present config is not taken over yet: `secrets-encrypt explain` says "
                         "what it waits for");
    for (size_t i = 0; i < g->s->servers_count; i++)
        if (g->s->servers[i].in_spec && strcmp(g->s->servers[i].report.hash, k->hash) != 0)
            return mismatch_refuses(g,
                                    "%s: its encryption config is not the one that it should have: put "
                                    "generation %lld back first",
                                    g->s->servers[i].name, (long long)k->generation);
    return subset_blocks(g);
}

/* ---------- the lock ---------- */

static bool lock_blocks(struct gate *g)
{
    const struct cluster_lock *l = &g->s->lock;
    if (!g->s->has_lock)
        return false;
    return refuse(
        g,
        "%s holds the cluster's lock%s%s: wait until it is given back (`secrets-encrypt unlock`), or "
        "is gone with its holder",
        l->holder, *l->reason ? ": " : "", l->reason);
}

static bool locking_blocks(struct gate *g, bool *ret_resumes)
{
    (void)ret_resumes;
    if (is_live(g) && g->op->kind != OP_ADOPT)
        return refuse(g, "%s is %s (%s): the lock can be had when it has ended",
                      operation_kind_name(g->op->kind),
                      g->op->state == OP_STATE_PAUSED ? "paused" : "still running", phase_name(g->op->phase));
    if (cluster_lease_parse(g->r->lease) == 0 || g->r->ttl_s <= 0)
        return refuse(g, "a lock needs a lease, with which it ends");
    return lock_blocks(g);
}

static bool unlocking_blocks(struct gate *g, bool *ret_resumes)
{
    (void)ret_resumes;
    const struct cluster_lock *l = &g->s->lock;
    if (!g->s->has_lock)
        return refuse(g, "nobody holds the cluster's lock");
    bool theirs = *g->r->lock ? strcmp(g->r->lock, l->id) == 0 : strcmp(g->r->by, l->holder) == 0;
    if (g->r->force || theirs)
        return false;
    return refuse(g, "%s holds the lock, not %s: --force takes it away all the same", l->holder,
                  *g->r->lock ? g->r->lock : g->r->by);
}

/* ---------- requests that are about an operation, or about one server ---------- */

static bool pause_blocks(struct gate *g, bool *ret_resumes)
{
    (void)ret_resumes;
    if (!is_live(g) || g->op->kind == OP_ADOPT)
        return refuse(g, "no operation runs that could be paused");
    if (g->op->state == OP_STATE_PAUSED)
        return refuse(g, "%s is paused already", operation_kind_name(g->op->kind));
    return false;
}

static bool resume_blocks(struct gate *g, bool *ret_resumes)
{
    bool raw = g->op && (strcmp(g->op->engine, "datastore") == 0 || g->op->offline);
    if (is_halted(g) && raw && g->s->spec.not_raw)
        return refuse(g,
                      "%s was to rewrite values straight in the datastore, which cannot be read raw any more "
                      "(datastore.raw: off): give its command again, without --engine and --offline",
                      operation_kind_name(g->op->kind));
    if (is_halted(g) && lock_blocks(g))
        return true; /* nothing runs, so that there was a lock to be had */
    if (is_halted(g) && g->op->kind == OP_RESTART && g->op->list != g->s->spec_mod)
        return refuse(g, "the list of servers changed since the restart began: abort it, and restart again");
    if (g->op && (g->op->state == OP_STATE_PAUSED || is_halted(g))) {
        *ret_resumes = true;
        return false;
    }
    return refuse(g, "nothing is paused or halted");
}

static bool no_return(const struct cluster_snapshot *s)
{
    const struct cluster_operation *op = &s->rotation.op;
    return op->before > 0 || op->phase == PHASE_BRING_BACK ||
           (rotation_phase_drops(op->phase) && op->target > 0);
}

bool rotation_can_abort(const struct cluster_snapshot *s, char why[CLUSTER_TEXT_MAX])
{
    const struct cluster_operation *op = s->has_rotation && *s->rotation.op.id ? &s->rotation.op : NULL;
    struct gate g = {.s = s, .op = op, .why = why};
    bool unfinished = is_live(&g) || is_halted(&g);
    why[0] = 0;
    if (unfinished && op->kind == OP_ABORT)
        refuse(&g, "an abort is under way already%s",
               is_halted(&g) ? ": mend what halted it, then run resume" : "");
    else if (unfinished && op->kind == OP_ADOPT)
        refuse(&g, "the servers' present config is being adopted: there is nothing to go back to");
    else if (unfinished && op->kind == OP_RESTART)
        return true; /* there is nothing to take back: it ends */
    else if (s->spec.owned && s->rotation.base > 0)
        refuse(
            &g,
            "these servers make their encryption configs themselves and know no way back: let the rotation "
            "finish (resume, if it is halted); to be rid of the new key, rotate again afterwards");
    else if (unfinished && no_return(s))
        refuse(&g,
               "%s is past the point of no return: the old key is leaving the servers. Let it finish "
               "(resume, if it is halted); to be rid of the new key, rotate again afterwards",
               operation_kind_name(op->kind));
    else if (!unfinished && s->rotation.base == 0)
        refuse(&g, "nothing to abort: no operation runs, and no rotation is half done");
    return !why[0];
}

static bool abort_blocks(struct gate *g, bool *ret_resumes)
{
    (void)ret_resumes;
    bool blocks = !rotation_can_abort(g->s, g->why);
    g->cause = blocks ? CAUSE_GATE : CAUSE_NONE;
    return blocks;
}

/* One server at a time, so that the others serve meanwhile. Where this one does not serve either, --force may
 * say that there is nothing to be lost: with a datastore from before, no API server is ready until it has the
 * keys of before. */
static bool others_block_repair(struct gate *g, const struct snapshot_server *repaired)
{
    bool down = g->r->force && !repaired->report.ready;
    for (size_t i = 0; i < g->s->servers_count; i++) {
        const struct snapshot_server *v = &g->s->servers[i];
        if (!v->in_spec)
            continue;
        if (facts_order_in_flight(v))
            return refuse(g, "%s is at work on an order: try again when it is done", v->name);
        if (strcmp(v->name, g->r->server) == 0)
            continue;
        if (!v->reports)
            return server_refuses(g, "%s: %s: one server at a time", v->name, v->report_why);
        if (!v->report.ready && !down)
            return server_refuses(g, "%s is not ready: one server at a time", v->name);
    }
    return false;
}

/* A config that nobody issued and that an API server has loaded may have written values that no other key
 * opens. Its file may be the only place where that key stands: the agent keeps a copy, but values come first.
 */
static bool foreign_blocks_repair(struct gate *g, const struct snapshot_server *v)
{
    if (g->r->force || !v->report.loaded_known || !*v->report.loaded_hash)
        return false;
    for (size_t i = 0; i < g->s->bundles_count; i++)
        if (strcmp(g->s->bundles[i].hash, v->report.loaded_hash) == 0)
            return false;
    return refuse(
        g,
        "%s's API server runs with a config that was not issued here, and may have stored values under "
        "its keys: look at them first; --force puts the issued config back all the same (a copy of "
        "the present file is kept)",
        v->name);
}

/* What the state store would have written is what the servers had before: it may lack the key that values are
 * under by now. No --force helps. A store that has lost its records takes nothing over by itself: what was
 * under way is not known any more, and agents refuse the orders of a cluster that begins with its first one
 * again. */
static bool older_store_blocks(struct gate *g)
{
    bool empty = g->s->rotation.generation == 0;
    char newer[CLUSTER_TEXT_MAX];
    for (size_t i = 0; i < g->s->servers_count; i++) {
        const struct snapshot_server *v = &g->s->servers[i];
        if (!v->in_spec || !rotation_is_newer(g->s, v))
            continue;
        rotation_say_newer(g->s, v, newer);
        return mismatch_refuses(g, "%s: %s%s", v->name, newer,
                                empty ? "; nothing is taken over: see the runbook (The state store was lost)"
                                      : "; what it would order is a config of before: see the runbook (The "
                                        "state store is older than the servers)");
    }
    return false;
}

static bool repair_blocks(struct gate *g, bool *ret_resumes)
{
    (void)ret_resumes;
    const struct snapshot_server *v = snapshot_server(g->s, g->r->server);
    if (!v || !v->in_spec)
        return refuse(g, "'%s' is not among the cluster's servers", g->r->server);
    if (older_store_blocks(g))
        return true;
    if (g->s->rotation.generation == 0 || (is_live(g) && g->op->phase == PHASE_ADOPT))
        return refuse(g, "no config was issued yet that %s could get back", v->name);
    if (!v->reports)
        return server_refuses(g, "%s: %s: its agent has to run to be told", v->name, v->report_why);
    if (others_block_repair(g, v) || foreign_blocks_repair(g, v))
        return true;
    bool file = facts_hash_allowed(g->s, v, v->report.hash);
    bool running = v->report.loaded_known && facts_hash_allowed(g->s, v, v->report.loaded_hash);
    if (file && running && v->report.ready)
        return refuse(g,
                      "%s needs no repair: its encryption config is one that was issued, and its API server "
                      "runs with it",
                      v->name);
    return false;
}

static bool throttle_blocks(struct gate *g, bool *ret_resumes)
{
    (void)ret_resumes;
    if (!is_live(g) && !is_halted(g))
        return refuse(
            g, "no operation runs whose rate could be changed; reencrypt.max_rate in the config file is "
               "for those to come");
    return g->r->max_rate < 0 && refuse(g, "no rate was given");
}

static const struct {
    enum operation_kind kind;
    bool (*blocks)(struct gate *g, bool *ret_resumes);
} about_operations[] = {
    {OP_PAUSE, pause_blocks},      {OP_RESUME, resume_blocks},     {OP_ABORT, abort_blocks},
    {OP_REPAIR, repair_blocks},    {OP_THROTTLE, throttle_blocks}, {OP_LOCK, locking_blocks},
    {OP_UNLOCK, unlocking_blocks},
};

static bool (*const rotation_checks[])(struct gate *) = {
    running_blocks,  halted_blocks,      lock_blocks, server_blocks,
    snapshots_block, older_store_blocks, hash_blocks, loaded_blocks,
    stage_blocks,    key_blocks,         NULL,
};

static bool (*const restart_checks[])(struct gate *) = {
    running_blocks, halted_blocks,  lock_blocks,   server_blocks, older_store_blocks,
    hash_blocks,    restart_blocks, loaded_blocks, NULL,
};

static void check(struct gate *g, bool *ret_resumes)
{
    if (engine_blocks(g))
        return;
    for (size_t i = 0; i < array_len(about_operations); i++)
        if (about_operations[i].kind == g->r->kind) {
            about_operations[i].blocks(g, ret_resumes);
            return;
        }
    if (is_halted(g) && g->op->kind == g->r->kind && !halted_is_harmless(g)) {
        /* Its servers differ by what it did; the planner's rows guard the rest. */
        *ret_resumes = !lock_blocks(g);
        return;
    }
    for (bool (*const *c)(struct gate *) = g->r->kind == OP_RESTART ? restart_checks : rotation_checks; *c;
         c++)
        if ((*c)(g))
            return;
}

enum cluster_cause rotation_gate(const struct cluster_snapshot *s, const struct cluster_request *r,
                                 bool *ret_resumes, char why[CLUSTER_TEXT_MAX])
{
    struct gate g = {
        .s = s, .r = r, .op = s->has_rotation && *s->rotation.op.id ? &s->rotation.op : NULL, .why = why};
    why[0] = 0;
    *ret_resumes = false;
    check(&g, ret_resumes);
    return g.cause;
}
