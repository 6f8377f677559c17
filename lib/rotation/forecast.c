#include <rotation/forecast.h>

#include <inttypes.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/text.h>
#include <rotation/transition.h>

#include "facts.h"

#define STEPS_MAX   (64 * 1024)
#define TURNS_EXTRA 256 /* decisions that are no steps */
#define NEW_KEY     "a new key"

struct world {
    struct cluster_snapshot *s; /* changed as the coordinator and the agents would change it */
    const struct cluster_snapshot *real;
    struct planner_self self;
    char job_operation[CLUSTER_ID_MAX];
    struct decision d;
    struct forecast *f;
    size_t room;
    struct error *err;
};

void forecast_free(struct forecast *f)
{
    free(f->steps);
    memset(f, 0, sizeof(*f));
}

static int add_step(struct world *w, struct forecast_step step)
{
    struct forecast *f = w->f;
    if (f->count == STEPS_MAX)
        return error_set(w->err, ERR_TOO_LARGE, "the plan has more than %d steps", STEPS_MAX);
    if (f->count == w->room) {
        size_t room = w->room ? 2 * w->room : 64;
        void *more = realloc(f->steps, room * sizeof(*f->steps));
        if (!more)
            return error_no_memory(w->err);
        f->steps = more;
        w->room = room;
    }
    step.kind = w->s->rotation.op.kind;
    step.phase = w->s->rotation.op.phase;
    if (!step.server)
        step.server = "";
    f->steps[f->count++] = step;
    return 0;
}

/* --- servers that do as they are told --- */

static void run_with(struct snapshot_server *v, const char *hash, int64_t generation, enum stage stage)
{
    struct cluster_report *r = &v->report;
    v->reports = r->ready = r->loaded_known = true;
    v->plain_keys_differ = false;
    v->report_why[0] = r->file_why[0] = r->process_why[0] = r->ready_why[0] = r->vector_why[0] = 0;
    text_copy(r->hash, sizeof(r->hash), hash);
    text_copy(r->loaded_hash, sizeof(r->loaded_hash), hash);
    if (!*r->config_id)
        text_copy(r->config_id, sizeof(r->config_id), hash);
    r->generation = r->loaded_generation = r->vector_generation = generation;
    r->stage = stage;
}

/* The files of generations that nobody has made yet. */
static void invent_hash(int64_t generation, char out[CLUSTER_HASH_MAX])
{
    snprintf(out, CLUSTER_HASH_MAX, "forecast-%" PRId64, generation);
}

static void add_bundle(struct cluster_snapshot *s, int64_t generation, const char *hash)
{
    if (s->bundles_count == SNAPSHOT_BUNDLES_MAX) { /* as the snapshot does: the newest are kept */
        memmove(s->bundles, s->bundles + 1, (SNAPSHOT_BUNDLES_MAX - 1) * sizeof(s->bundles[0]));
        s->bundles_count--;
    }
    struct snapshot_bundle *b = &s->bundles[s->bundles_count++];
    memset(b, 0, sizeof(*b));
    b->generation = generation;
    b->stage = rotation_phase_stage(s->rotation.op.phase, &s->rotation);
    b->created_ms = s->now_ms;
    text_copy(b->hash, sizeof(b->hash), hash);
}

/* What its agent reports once the order is done. */
static void obey(struct cluster_snapshot *s, struct snapshot_server *v)
{
    const struct cluster_order *o = &v->order;
    char hash[CLUSTER_HASH_MAX];
    text_copy(hash, sizeof(hash), *o->hash ? o->hash : v->report.hash);
    if (o->kind == ORDER_CALL)
        invent_hash(o->generation, hash);
    if ((o->kind == ORDER_CALL || o->kind == ORDER_ADOPT) && !snapshot_bundle(s, o->generation))
        add_bundle(s, o->generation, hash);
    bool keeps_running = (o->kind == ORDER_WRITE || o->kind == ORDER_CALL) && !s->rotation.op.restart;
    char loaded[CLUSTER_HASH_MAX];
    int64_t loaded_generation = v->report.loaded_generation;
    memcpy(loaded, v->report.loaded_hash, sizeof(loaded));
    run_with(v, hash, o->generation, o->stage);
    if (keeps_running) {
        memcpy(v->report.loaded_hash, loaded, sizeof(loaded));
        v->report.loaded_generation = loaded_generation;
    }
    v->report.order_id = o->id;
    v->report.order_state = ORDER_DONE;
}

/* Every server is well, with the config that it has or, where that is none it may have, with the settled one.
 */
static void make_well(struct cluster_snapshot *s)
{
    const char *settled =
        *s->rotation.hash ? s->rotation.hash : s->servers[snapshot_first_api(s)].report.hash;
    const struct cluster_operation *op = &s->rotation.op;
    bool unfinished = s->has_rotation && *op->id && op->state != OP_STATE_FINISHED;
    size_t kept = 0;
    for (size_t i = 0; i < s->servers_count; i++) {
        struct snapshot_server *v = &s->servers[i];
        if (!v->in_spec)
            continue;
        struct cluster_report *r = &v->report;
        const struct snapshot_bundle *b = facts_target(s);
        bool at_target = unfinished && b && strcmp(r->hash, b->hash) == 0;
        if (facts_order_in_flight(v) && v->order.kind != ORDER_REPAIR)
            obey(s, v);
        else if (at_target)
            run_with(v, b->hash, b->generation, b->stage);
        else
            run_with(v, *settled ? settled : "unknown", s->rotation.generation, s->rotation.stage);
        if (v->has_order)
            r->order_id = v->order.id;
        s->servers[kept++] = *v;
    }
    s->servers_count = kept;
    s->unknown_api[0] = 0;
}

/* The operator's restart: with --no-restart a server takes up what it was ordered to, or what the others
 * hand to it. */
static int restart_by_hand(struct world *w)
{
    struct cluster_snapshot *s = w->s;
    const struct snapshot_bundle *b = facts_target(s);
    size_t first = snapshot_first_api(s);
    for (size_t n = 0; b && n < s->servers_count; n++) {
        size_t i = n == 0 ? first : n <= first ? n - 1 : n;
        struct snapshot_server *v = &s->servers[i];
        if (facts_at_target(s, v))
            continue;
        int rc =
            add_step(w, (struct forecast_step){.what = FORECAST_MANUAL, .server = w->real->servers[i].name});
        run_with(v, b->hash, b->generation, b->stage);
        if (v->has_order) {
            v->report.order_id = v->order.id;
            v->report.order_state = ORDER_DONE;
        }
        return rc < 0 ? rc : 1;
    }
    return 0;
}

/* With --offline: every API server is stopped, then started again. */
static int stop_or_start(struct world *w, bool run)
{
    int rc = add_step(w, (struct forecast_step){.what = run ? FORECAST_START : FORECAST_STOP});
    for (size_t i = 0; i < w->s->servers_count; i++)
        if (!snapshot_etcd_only(w->s, i)) {
            struct cluster_report *r = &w->s->servers[i].report;
            r->ready = r->loaded_known = run;
        }
    return rc < 0 ? rc : 1;
}

/* --- the coordinator's part --- */

/* What the record says of the keys once the phase's config is made. */
static void change_keys(struct cluster_rotation *r)
{
    static const struct {
        enum phase phase;
        const char *write, *fresh, *old; /* NULL: as it was; "=": the write key of before */
    } changes[] = {
        {PHASE_APPEND, NULL, NEW_KEY, NULL},    {PHASE_PROMOTE, NEW_KEY, "", "="}, {PHASE_DROP, NULL, "", ""},
        {PHASE_REVERT, "the old key", "=", ""}, {PHASE_RETURN, NULL, "", ""},
    };
    char before[CLUSTER_KEY_NAME_MAX];
    memcpy(before, r->write_key, sizeof(before));
    for (size_t i = 0; i < array_len(changes); i++) {
        if (changes[i].phase != r->op.phase)
            continue;
        const char *fresh = changes[i].fresh, *old = changes[i].old;
        if (changes[i].write)
            text_copy(r->write_key, sizeof(r->write_key), changes[i].write);
        if (fresh)
            text_copy(r->new_key, sizeof(r->new_key), *fresh == '=' ? before : fresh);
        if (old)
            text_copy(r->old_key, sizeof(r->old_key), *old == '=' ? before : old);
    }
    if (r->op.phase == PHASE_IDENTITY)
        r->reads_plain = true;
    if (r->op.phase == PHASE_SWITCH)
        text_copy(r->write_key, sizeof(r->write_key), r->op.kind == OP_ENABLE ? NEW_KEY : "");
}

static int do_issue(struct world *w)
{
    struct cluster_snapshot *s = w->s;
    int64_t target = s->rotation.issued + 1;
    bool by_servers = rotation_made_by_servers(s, s->rotation.op.phase);
    char hash[CLUSTER_HASH_MAX] = "";
    int rc = 0;
    if (!by_servers) {
        invent_hash(target, hash);
        add_bundle(s, target, hash);
        change_keys(&s->rotation);
        rc = add_step(w, (struct forecast_step){.what = FORECAST_ISSUE});
    }
    rotation_issued(&w->d, target, hash, &s->rotation);
    return rc;
}

/* With --no-restart an order that was carried out is given again, to no effect, once the next one took its
 * place. */
static bool is_told(const struct world *w, const char *server, enum order_kind kind)
{
    const struct forecast *f = w->f;
    const struct cluster_operation *op = &w->s->rotation.op;
    for (size_t i = f->count; i > 0 && f->steps[i - 1].phase == op->phase; i--)
        if (f->steps[i - 1].what == FORECAST_ORDER && f->steps[i - 1].order == kind &&
            strcmp(f->steps[i - 1].server, server) == 0)
            return !op->restart;
    return false;
}

static int do_order(struct world *w)
{
    struct cluster_snapshot *s = w->s;
    struct snapshot_server *v = &s->servers[w->d.server];
    struct cluster_order order;
    rotation_order(s, &w->d, s->leader_fence, &s->rotation, &order);
    for (size_t i = 0; i < s->servers_count; i++)
        if (rotation_order_is_over(&s->servers[i]))
            s->servers[i].has_order = false;
    v->order = order;
    v->has_order = true;
    const char *name = w->real->servers[w->d.server].name; /* those of the spec come first in both */
    int rc = 0;
    if (!is_told(w, name, order.kind))
        rc = add_step(w, (struct forecast_step){.what = FORECAST_ORDER, .server = name, .order = order.kind});
    if (order.kind != ORDER_SYNC) /* that one waits for the operator */
        obey(s, v);
    return rc;
}

static int do_rewrite(struct world *w)
{
    struct cluster_snapshot *s = w->s;
    struct cluster_reencrypt *r = &s->reencrypt;
    int rc = add_step(w, (struct forecast_step){.what = FORECAST_REWRITE});
    rotation_rewrite(&w->d, &s->rotation);
    memset(r, 0, sizeof(*r));
    s->has_reencrypt = true;
    memcpy(r->operation, s->rotation.op.id, sizeof(r->operation));
    r->step = s->rotation.op.step;
    r->state = REENCRYPT_ENDED;
    return rc;
}

static int do_prove(struct world *w)
{
    struct cluster_snapshot *s = w->s;
    size_t i = 0;
    while (i < s->proofs.proofs_count && s->proofs.proofs[i].phase != s->rotation.op.phase)
        i++;
    if (i == CLUSTER_PROOFS_MAX)
        return error_set(w->err, ERR_INTERNAL, "more than %d proofs", CLUSTER_PROOFS_MAX);
    struct cluster_proof p;
    rotation_proof_begin(s, &p);
    p.state = PROOF_MADE;
    s->proofs.proofs[i] = p;
    s->proofs.proofs_count = i == s->proofs.proofs_count ? i + 1 : s->proofs.proofs_count;
    s->has_proofs = true;
    return add_step(w, (struct forecast_step){.what = FORECAST_PROVE});
}

static int do_watch(struct world *w)
{
    w->self.job_running = w->self.watching = true;
    memcpy(w->job_operation, w->s->rotation.op.id, sizeof(w->job_operation));
    w->self.job_step = w->s->rotation.op.step;
    return add_step(w, (struct forecast_step){.what = FORECAST_WATCH});
}

static int do_stop_job(struct world *w)
{
    w->self.job_running = w->self.watching = false;
    return 0;
}

static int do_next_phase(struct world *w)
{
    struct cluster_snapshot *s = w->s;
    if (!rotation_settle(s, &s->rotation))
        return error_set(w->err, ERR_INTERNAL, "generation %" PRId64 " is not there", s->rotation.op.target);
    if (rotation_phase_is_config(s->rotation.op.phase) && s->spec.owned)
        change_keys(&s->rotation);
    if (rotation_phase_is_config(s->rotation.op.phase))
        for (size_t i = 0; i < s->servers_count; i++)
            s->servers[i].has_order = false;
    rotation_advance(s, &w->d, &s->rotation);
    return 0;
}

static int do_start(struct world *w)
{
    struct cluster_snapshot *s = w->s;
    s->has_rotation = true;
    s->proofs.proofs_count = 0;
    if (w->d.action == ACTION_ABORT)
        rotation_abort(s, &w->d, "forecast", &s->rotation);
    else
        rotation_start(s, &w->d, "forecast", &s->rotation);
    s->requests_count = 0;
    return 0;
}

static int do_adopt(struct world *w)
{
    w->s->has_rotation = true;
    rotation_adopt(w->s, &w->d, "forecast-adopt", &w->s->rotation);
    return 0;
}

static int do_resume(struct world *w)
{
    struct cluster_snapshot *s = w->s;
    for (size_t i = 0; i < s->servers_count; i++)
        if (rotation_resume_drops_order(&w->real->servers[i]))
            s->servers[i].has_order = false;
    rotation_resume(s, &w->d, &s->rotation);
    s->requests_count = 0;
    return 0;
}

/* 1: the operator has done what is waited for; 0: the planner is stuck. */
static int do_wait(struct world *w)
{
    const struct cluster_operation *op = &w->s->rotation.op;
    if (!op->restart && rotation_phase_is_config(op->phase))
        return restart_by_hand(w);
    if (op->offline && strcmp(w->d.row, "standing") == 0)
        return stop_or_start(w, false);
    if (op->offline && strcmp(w->d.row, "unready") == 0)
        return stop_or_start(w, true);
    return 0;
}

static const struct {
    enum action action;
    int (*run)(struct world *w);
} doers[] = {
    {ACTION_ADOPT, do_adopt},       {ACTION_START, do_start},           {ACTION_ABORT, do_start},
    {ACTION_RESUME, do_resume},     {ACTION_ISSUE, do_issue},           {ACTION_ORDER, do_order},
    {ACTION_REWRITE, do_rewrite},   {ACTION_PROVE, do_prove},           {ACTION_WATCH, do_watch},
    {ACTION_STOP_JOB, do_stop_job}, {ACTION_NEXT_PHASE, do_next_phase},
};

/* 1: goes on; 0: nothing follows. */
static int take_turn(struct world *w)
{
    const struct cluster_operation *op = &w->s->rotation.op;
    if (w->s->requests_count == 0 && op->state == OP_STATE_FINISHED)
        return 0;
    rotation_decide(w->s, &w->self, &w->d);
    for (size_t i = 0; i < array_len(doers); i++)
        if (doers[i].action == w->d.action) {
            int rc = doers[i].run(w);
            return rc < 0 ? rc : 1;
        }
    int rc = w->d.action == ACTION_WAIT ? do_wait(w) : 0;
    if (rc == 0)
        text_copy(w->f->stuck, sizeof(w->f->stuck), w->d.why);
    return rc;
}

static int run(struct world *w)
{
    int rc = 1;
    size_t turns = 0;
    while (rc > 0 && turns++ < STEPS_MAX + TURNS_EXTRA)
        rc = take_turn(w);
    if (rc > 0)
        return error_set(w->err, ERR_INTERNAL, "the plan has no end");
    return rc;
}

static void prepare(struct world *w, const struct cluster_request *r)
{
    struct cluster_snapshot *s = w->s;
    s->requests_count = 1;
    s->requests[0].request = *r;
    s->candidates_count = 0;
    s->has_proofs = false;
    s->proofs.proofs_count = 0;
    s->has_reencrypt = false;
    w->self = (struct planner_self){
        .server = s->leader,
        .fence = s->leader_fence,
        .spec = &s->spec,
        .job_operation = w->job_operation,
        .passes_max = INT64_MAX,
        .attempts_max = INT64_MAX,
    };
}

int rotation_forecast(const struct cluster_snapshot *s, const struct cluster_request *r, struct forecast *ret,
                      struct error *err)
{
    char why[CLUSTER_TEXT_MAX];
    bool resumes = false;
    memset(ret, 0, sizeof(*ret));
    ret->cause = rotation_gate(s, r, &ret->resumes, ret->why);
    ret->starts = !*ret->why;
    _cleanup_free_ struct cluster_snapshot *ideal = malloc(sizeof(*ideal));
    if (!ideal)
        return error_no_memory(err);
    memcpy(ideal, s, sizeof(*s));
    struct world w = {.s = ideal, .real = s, .f = ret, .err = err};
    /* A request that can start finds them well, or changed by hand alike, which is a step of its own. */
    bool unwell = !ret->starts || ret->resumes || r->kind == OP_ABORT;
    if (s->has_spec && unwell)
        make_well(ideal);
    /* What still stands in the way now is no server's trouble: the plan begins from elsewhere, if at all. */
    (void)rotation_gate(ideal, r, &resumes, why);
    if (*why)
        return 0;
    prepare(&w, r);
    ret->planned = true;
    return run(&w);
}
