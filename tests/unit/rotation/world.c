#include "world.h"
#include "world_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <inttypes.h>

#include <base/cleanup.h>
#include <base/text.h>

static void note(struct world *w, const char *format, ...) _printf_(2, 3);
static void note(struct world *w, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    if (w->log_count < WORLD_LOG_MAX)
        vsnprintf(w->log[w->log_count++], sizeof(w->log[0]), format, ap);
    va_end(ap);
}

/* ---------- setting up ---------- */

static void add_server(struct world *w, size_t i)
{
    struct snapshot_server *v = &w->s->servers[w->s->servers_count++];
    text_copy(v->name, sizeof(v->name), w->spec.servers[i].name);
    v->in_spec = v->reports = true;
    text_copy(v->report.server, sizeof(v->report.server), v->name);
    text_copy(v->report.hash, sizeof(v->report.hash), "hash-0");
    text_copy(v->report.config_id, sizeof(v->report.config_id), "hash-0");
    text_copy(v->report.loaded_hash, sizeof(v->report.loaded_hash), "hash-0");
    v->report.loaded_known = v->report.ready = true;
}

void world_init(struct world *w, size_t servers)
{
    memset(w, 0, sizeof(*w));
    w->s = calloc(1, sizeof(*w->s));
    w->log = calloc(WORLD_LOG_MAX, sizeof(*w->log));
    w->next_revision = 100;
    w->s->now_ms = INT64_C(1700000000000);
    world_configs_init(w);
    for (size_t i = 0; i < servers; i++) {
        struct cluster_spec_server *v = &w->spec.servers[i];
        snprintf(v->name, sizeof(v->name), "s%zu", i + 1);
        snprintf(v->api, sizeof(v->api), "https://10.0.0.%zu:6443", i + 1);
    }
    w->spec.servers_count = servers;
    text_copy(w->spec.resources[0], sizeof(w->spec.resources[0]), "secrets");
    w->spec.resources_count = 1;
    w->spec.snapshots = w->spec.canaries = true;
    w->spec.escrow_days = 90;
    w->s->has_spec = true;
    w->s->spec = w->spec;
    w->s->spec_mod = 1;
    w->s->leader_fence = 7;
    w->self = (struct planner_self){
        .server = "s1",
        .fence = 7,
        .spec = &w->spec,
        .job_operation = "",
        .passes_max = 3,
        .attempts_max = 30,
        .stale_ms = 65000,
        .order_late_ms = 400000,
    };
    for (size_t i = 0; i < servers; i++)
        add_server(w, i);
}

void world_init_adopted(struct world *w, size_t servers)
{
    world_init(w, servers);
    world_run(w);
    assert_int_equal(w->s->rotation.generation, 1);
    assert_int_equal(w->s->rotation.op.state, OP_STATE_FINISHED);
    w->log_count = 0;
}

void world_free(struct world *w)
{
    free(w->s);
    free(w->log);
}

static struct cluster_request *add_request(struct world *w, enum operation_kind kind)
{
    struct cluster_request *r = &w->s->requests[w->s->requests_count++].request;
    *r = (struct cluster_request){.kind = kind, .restart = true, .max_rate = -1, .by = "somebody@host"};
    snprintf(r->id, sizeof(r->id), "r%" PRId64, w->next_revision++);
    return r;
}

void world_request(struct world *w, enum operation_kind kind, bool force, bool skip, bool restart)
{
    struct cluster_request *r = add_request(w, kind);
    r->force = force;
    r->skip = skip;
    r->restart = restart;
}

void world_ask(struct world *w, enum operation_kind kind, bool force, const char *server, const char *key)
{
    struct cluster_request *r = add_request(w, kind);
    r->force = force;
    text_copy(r->server, sizeof(r->server), server ? server : "");
    text_copy(r->key, sizeof(r->key), key ? key : "");
}

struct cluster_request *world_restart(struct world *w, const char *const *servers)
{
    struct cluster_request *r = add_request(w, OP_RESTART);
    for (; servers && *servers; servers++)
        text_copy(r->servers[r->servers_count++], CLUSTER_NAME_MAX, *servers);
    return r;
}

struct cluster_request *world_lock(struct world *w, enum operation_kind kind, const char *by)
{
    struct cluster_request *r = add_request(w, kind);
    text_copy(r->by, sizeof(r->by), by);
    text_copy(r->lease, sizeof(r->lease), "1267");
    r->ttl_s = 60;
    return r;
}

static void drop_request(struct world *w)
{
    memmove(w->s->requests, w->s->requests + 1, (SNAPSHOT_REQUESTS_MAX - 1) * sizeof(w->s->requests[0]));
    w->s->requests_count--;
}

/* ---------- what the coordinator writes ---------- */

static void delete_orders(struct world *w, bool (*over)(const struct snapshot_server *v))
{
    for (size_t i = 0; i < w->s->servers_count; i++) {
        struct snapshot_server *v = &w->s->servers[i];
        if (!v->has_order || !over(v))
            continue;
        v->has_order = false;
        v->order_mod = 0;
        memset(&v->order, 0, sizeof(v->order));
    }
}

static bool any_order(const struct snapshot_server *v)
{
    (void)v;
    return true;
}

static bool not_in_flight(const struct snapshot_server *v)
{
    return v->order.kind == ORDER_SYNC || rotation_order_is_over(v) || rotation_resume_drops_order(v);
}

static void forget_reencrypt(struct world *w)
{
    w->s->has_reencrypt = false;
    memset(&w->s->reencrypt, 0, sizeof(w->s->reencrypt));
}

static void step_start(struct world *w, struct cluster_rotation *r)
{
    char id[CLUSTER_ID_MAX];
    snprintf(id, sizeof(id), "op-%" PRId64, w->next_revision++);
    if (w->last.action == ACTION_ABORT) {
        rotation_abort(w->s, &w->last, id, r);
        delete_orders(w, not_in_flight);
    } else {
        assert_false(w->s->has_lock);
        rotation_start(w->s, &w->last, id, r);
    }
    memset(w->restarts, 0, sizeof(w->restarts));
    note(w, "start %s %s", operation_kind_name(r->op.kind), phase_name(r->op.phase));
    forget_reencrypt(w);
    w->s->has_proofs = false;
    memset(&w->s->proofs, 0, sizeof(w->s->proofs));
    drop_request(w);
}

static void step_adopt(struct world *w, struct cluster_rotation *r)
{
    char id[CLUSTER_ID_MAX];
    snprintf(id, sizeof(id), "op-%" PRId64, w->next_revision++);
    rotation_adopt(w->s, &w->last, id, r);
    note(w, "adopt");
}

static void step_pause(struct world *w, struct cluster_rotation *r)
{
    rotation_pause(w->s, &w->last, r);
    note(w, "pause");
    drop_request(w);
}

static void step_throttle(struct world *w, struct cluster_rotation *r)
{
    rotation_throttle(w->s, &w->last, r);
    note(w, "throttle");
    drop_request(w);
}

static void step_resume(struct world *w, struct cluster_rotation *r)
{
    rotation_resume(w->s, &w->last, r);
    delete_orders(w, rotation_resume_drops_order);
    note(w, "resume");
    drop_request(w);
}

static void step_refuse(struct world *w, struct cluster_rotation *r)
{
    (void)r;
    note(w, "refuse %s", w->last.why);
    drop_request(w);
}

static void put_order(struct world *w, const struct cluster_order *o)
{
    struct snapshot_server *v = &w->s->servers[w->last.server];
    delete_orders(w, rotation_order_is_over);
    v->order = *o;
    v->has_order = true;
    v->order_mod = w->next_revision++;
    note(w, "order %s %s %" PRId64, v->name, order_kind_name(v->order.kind), v->order.generation);
}

/* Never, whatever else happens: an order while a server is silent, unready or already at work. */
static void others_are_well(const struct world *w, size_t but)
{
    assert_int_equal(world_in_flight(w), 0);
    for (size_t i = 0; i < w->s->servers_count; i++) {
        const struct snapshot_server *v = &w->s->servers[i];
        if (i == but || !v->in_spec)
            continue;
        if (!v->reports || !v->report.ready || v->unchanged_ms > w->self.stale_ms)
            fail_msg("%s got an order (%s) while %s is away", w->s->servers[w->last.server].name, w->last.row,
                     v->name);
    }
}

/* What leads back and a drop that has begun go on. */
static void not_closed(const struct world *w)
{
    const struct cluster_operation *op = &w->s->rotation.op;
    bool exempt = op->kind == OP_ABORT || op->kind == OP_ADOPT || op->phase == PHASE_BRING_BACK ||
                  (rotation_phase_drops(op->phase) && op->target);
    if (w->self.closed && *w->self.closed && !exempt)
        fail_msg("%s was done (phase %s) while the cluster is closed", w->last.row, phase_name(op->phase));
}

static void step_order(struct world *w, struct cluster_rotation *r)
{
    others_are_well(w, SIZE_MAX);
    not_closed(w);
    struct cluster_order o;
    rotation_order(w->s, &w->last, w->self.fence, r, &o);
    put_order(w, &o);
}

static void step_repair(struct world *w, struct cluster_rotation *r)
{
    struct cluster_order o;
    bool asked = w->last.request != SIZE_MAX;
    const struct cluster_request *q = &w->s->requests[0].request;
    /* Where it does not serve itself, --force takes nothing from anybody. */
    if (!asked || !q->force || w->s->servers[w->last.server].report.ready)
        others_are_well(w, w->last.server);
    rotation_repair(w->s, &w->last, w->self.fence, asked ? w->s->requests[0].request.id : "policy", r, &o);
    put_order(w, &o);
    if (asked)
        drop_request(w);
}

static void step_lock(struct world *w, struct cluster_rotation *r)
{
    const struct cluster_request *q = &w->s->requests[0].request;
    (void)r;
    assert_false(w->s->has_lock);
    assert_int_not_equal(w->s->rotation.op.state == OP_STATE_RUNNING && *w->s->rotation.op.id, 1);
    assert_int_equal(world_in_flight(w), 0);
    w->s->has_lock = true;
    w->s->lock_mod = w->next_revision++;
    w->s->lock = (struct cluster_lock){.ttl_s = q->ttl_s};
    text_copy(w->s->lock.id, sizeof(w->s->lock.id), q->id);
    text_copy(w->s->lock.holder, sizeof(w->s->lock.holder), q->by);
    text_copy(w->s->lock.reason, sizeof(w->s->lock.reason), q->reason);
    note(w, "lock");
    drop_request(w);
}

static void step_unlock(struct world *w, struct cluster_rotation *r)
{
    (void)r;
    w->s->has_lock = false;
    w->s->lock_mod = 0;
    note(w, "unlock");
    drop_request(w);
}

static void step_issue(struct world *w, struct cluster_rotation *r)
{
    not_closed(w);
    int64_t target = r->issued + 1;
    bool made_there = rotation_made_by_servers(w->s, r->op.phase);
    const char *hash = made_there ? "" : world_issue(w, r, target);
    if (made_there && rotation_phase_drops(r->op.phase))
        world_leaving(w, r);
    rotation_issued(&w->last, target, hash, r);
    note(w, "issue %" PRId64 " %s", target, phase_name(r->op.phase));
}

static void step_next_phase(struct world *w, struct cluster_rotation *r)
{
    enum phase completed = r->op.phase;
    assert_true(rotation_settle(w->s, r));
    for (size_t i = 0; completed == PHASE_RESTART && i < array_len(w->restarts); i++)
        if (i < w->s->spec.servers_count && rotation_restarts(&r->op, w->s->servers[i].name))
            assert_true(w->restarts[i] > 0);
    if (rotation_made_by_servers(w->s, completed))
        world_learn(w, r, completed);
    rotation_advance(w->s, &w->last, r);
    if (rotation_phase_is_config(completed))
        delete_orders(w, any_order);
    note(w, "phase %s", phase_name(r->op.phase));
}

static void step_bring_back(struct world *w, struct cluster_rotation *r)
{
    rotation_bring_back(w->s, &w->last, r);
    delete_orders(w, any_order);
    note(w, "bring back");
}

static void start_job(struct world *w, const struct cluster_rotation *r)
{
    assert_false(w->job);
    w->job = w->self.job_running = true;
    w->job_phase = r->op.phase;
    memcpy(w->job_operation, r->op.id, sizeof(w->job_operation));
    w->self.job_operation = w->job_operation;
    w->self.job_step = r->op.step;
    w->self.watching = false;
}

static void step_rewrite(struct world *w, struct cluster_rotation *r)
{
    rotation_rewrite(&w->last, r);
    start_job(w, r);
    note(w, "rewrite");
}

static void step_prove(struct world *w, struct cluster_rotation *r)
{
    struct cluster_proof p;
    rotation_proof_begin(w->s, &p);
    world_put_proof(w, &p);
    start_job(w, r);
    if (w->last.action == ACTION_WATCH)
        note(w, "watch");
    else
        note(w, "prove %s", phase_name(r->op.phase));
}

static void step_stop_job(struct world *w, struct cluster_rotation *r)
{
    (void)r;
    assert_true(w->job);
    world_end_job(w);
    note(w, "stop job");
}

static void step_rewrite_again(struct world *w, struct cluster_rotation *r)
{
    rotation_rewrite_again(&w->last, r);
    forget_reencrypt(w);
    note(w, "rewrite again");
}

static void step_halt(struct world *w, struct cluster_rotation *r)
{
    rotation_halt(w->s, &w->last, r);
    delete_orders(w, rotation_order_is_over);
    note(w, "halt %s", w->last.row);
}

static void step_wait(struct world *w, struct cluster_rotation *r)
{
    rotation_note(w->s, &w->last, r);
}

static void step_publish_spec(struct world *w, struct cluster_rotation *r)
{
    (void)r;
    w->s->spec = w->spec;
    w->s->has_spec = true;
}

static void step_resign(struct world *w, struct cluster_rotation *r)
{
    (void)r;
    note(w, "resign");
}

static void step_prune(struct world *w, struct cluster_rotation *r)
{
    (void)r;
    world_prune(w);
    note(w, "prune");
}

static void (*const steps[])(struct world *w, struct cluster_rotation *r) = {
    [ACTION_WAIT] = step_wait,
    [ACTION_PUBLISH_SPEC] = step_publish_spec,
    [ACTION_RESIGN] = step_resign,
    [ACTION_ADOPT] = step_adopt,
    [ACTION_REFUSE] = step_refuse,
    [ACTION_START] = step_start,
    [ACTION_RESUME] = step_resume,
    [ACTION_PAUSE] = step_pause,
    [ACTION_ABORT] = step_start,
    [ACTION_THROTTLE] = step_throttle,
    [ACTION_REPAIR] = step_repair,
    [ACTION_ISSUE] = step_issue,
    [ACTION_ORDER] = step_order,
    [ACTION_NEXT_PHASE] = step_next_phase,
    [ACTION_REWRITE] = step_rewrite,
    [ACTION_PROVE] = step_prove,
    [ACTION_WATCH] = step_prove,
    [ACTION_STOP_JOB] = step_stop_job,
    [ACTION_REWRITE_AGAIN] = step_rewrite_again,
    [ACTION_BRING_BACK] = step_bring_back,
    [ACTION_PRUNE] = step_prune,
    [ACTION_LOCK] = step_lock,
    [ACTION_UNLOCK] = step_unlock,
    [ACTION_HALT] = step_halt,
};

void world_step(struct world *w)
{
    w->s->now_ms += 100;
    for (size_t i = 0; i < w->s->servers_count; i++)
        w->s->servers[i].report.time_ms = w->s->now_ms + w->skew_ms[i % CLUSTER_SERVERS_MAX];
    w->steps++;
    rotation_decide(w->s, &w->self, &w->last);
    struct cluster_rotation r = w->s->rotation;
    steps[w->last.action](w, &r);
    w->s->rotation = r;
    w->s->has_rotation = true;
    assert_true(world_in_flight(w) <= 1);
    size_t blind = w->blind_is_ok ? SIZE_MAX : world_unreadable(w);
    if (blind != SIZE_MAX)
        fail_msg("%s cannot read every value any more, after %s", w->s->servers[blind].name, w->last.row);
}

/* ---------- running it ---------- */

bool world_move(struct world *w)
{
    if (w->job && !w->self.watching) {
        world_finish_job(w);
        return true;
    }
    bool moved = false;
    for (size_t i = 0; i < w->s->servers_count; i++) {
        struct cluster_report before = w->s->servers[i].report;
        world_obey(w, i);
        moved |= memcmp(&before, &w->s->servers[i].report, sizeof(before)) != 0;
    }
    if (!moved && strcmp(w->last.row, "retry") == 0) {
        w->s->now_ms += 1000;
        return true;
    }
    return moved;
}

void world_run(struct world *w)
{
    for (int i = 0; i < 2000; i++) {
        world_step(w);
        if (w->last.action == ACTION_WAIT && !world_move(w))
            return;
    }
    fail_msg("it does not come to rest: %s", w->last.row);
}

void world_until(struct world *w, enum phase phase, enum action action)
{
    for (int i = 0; i < 2000; i++) {
        world_step(w);
        if (w->last.action == action && w->s->rotation.op.phase == phase)
            return;
        if (w->last.action == ACTION_WAIT && !world_move(w))
            break;
    }
    fail_msg("never came to %s in phase %s: %s: %s", action_name(action), phase_name(phase), w->last.row,
             w->last.why);
}

void world_silence(struct world *w, size_t i)
{
    w->s->servers[i].reports = false;
    text_copy(w->s->servers[i].report_why, CLUSTER_TEXT_MAX, "silent: its agent publishes nothing");
}

void world_wait(struct world *w, int count)
{
    for (int i = 0; i < count; i++)
        world_step(w);
}

bool world_did(const struct world *w, size_t from, const char *what)
{
    for (size_t i = from; i < w->log_count; i++)
        if (strncmp(w->log[i], what, strlen(what)) == 0)
            return true;
    return false;
}

void world_new_leader(struct world *w)
{
    w->self.fence = w->s->leader_fence = w->next_revision++;
    if (w->job)
        world_end_job(w);
}

size_t world_in_flight(const struct world *w)
{
    size_t count = 0;
    for (size_t i = 0; i < w->s->servers_count; i++) {
        const struct snapshot_server *v = &w->s->servers[i];
        bool answered = v->report.order_id == v->order.id && v->report.order_state >= ORDER_DONE;
        count += v->has_order && v->order.kind != ORDER_SYNC && !answered;
    }
    return count;
}

bool world_all_have(const struct world *w, const char *hash)
{
    for (size_t i = 0; i < w->s->servers_count; i++)
        if (strcmp(w->s->servers[i].report.hash, hash) != 0 ||
            strcmp(w->s->servers[i].report.loaded_hash, hash) != 0)
            return false;
    return true;
}
