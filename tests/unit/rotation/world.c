#include "world.h"

#include <inttypes.h>
#include <stdarg.h>

#include <base/cleanup.h>
#include <base/text.h>

static void note(struct world *w, const char *format, ...) _printf_(2, 3);
static void note(struct world *w, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    if (w->log_count < LOG_MAX)
        vsnprintf(w->log[w->log_count++], sizeof(w->log[0]), format, ap);
    va_end(ap);
}

void world_init(struct world *w, size_t servers)
{
    memset(w, 0, sizeof(*w));
    w->s = calloc(1, sizeof(*w->s));
    w->next_revision = 100;
    for (size_t i = 0; i < servers; i++) {
        struct cluster_spec_server *v = &w->spec.servers[i];
        snprintf(v->name, sizeof(v->name), "s%zu", i + 1);
        snprintf(v->api, sizeof(v->api), "https://10.0.0.%zu:6443", i + 1);
    }
    w->spec.servers_count = servers;
    text_copy(w->spec.resources[0], sizeof(w->spec.resources[0]), "secrets");
    w->spec.resources_count = 1;
    w->s->has_spec = true;
    w->s->spec = w->spec;
    w->s->spec_mod = 1;
    w->s->leader_fence = 7;
    w->self = (struct planner_self){
        .server = "s1", .fence = 7, .spec = &w->spec, .job_operation = "", .passes_max = 3};
    for (size_t i = 0; i < servers; i++) {
        struct snapshot_server *v = &w->s->servers[w->s->servers_count++];
        text_copy(v->name, sizeof(v->name), w->spec.servers[i].name);
        v->in_spec = v->reports = true;
        text_copy(v->report.server, sizeof(v->report.server), v->name);
        text_copy(v->report.hash, sizeof(v->report.hash), "hash-0");
        text_copy(v->report.config_id, sizeof(v->report.config_id), "id-0");
        text_copy(v->report.loaded_hash, sizeof(v->report.loaded_hash), "hash-0");
        v->report.loaded_known = v->report.ready = true;
    }
}

void world_free(struct world *w)
{
    free(w->s);
}

void world_request(struct world *w, enum operation_kind kind, bool force, bool skip, bool restart)
{
    struct cluster_request *r = &w->s->requests[w->s->requests_count++].request;
    *r = (struct cluster_request){.kind = kind, .force = force, .skip = skip, .restart = restart};
    snprintf(r->id, sizeof(r->id), "r%" PRId64, w->next_revision);
}

static void drop_request(struct world *w)
{
    memmove(w->s->requests, w->s->requests + 1, (SNAPSHOT_REQUESTS_MAX - 1) * sizeof(w->s->requests[0]));
    w->s->requests_count--;
}

static void add_bundle(struct world *w, int64_t generation, const char *hash, enum stage stage)
{
    struct snapshot_bundle *b = &w->s->bundles[w->s->bundles_count++];
    *b = (struct snapshot_bundle){.generation = generation, .stage = stage};
    text_copy(b->hash, sizeof(b->hash), hash);
    text_copy(b->config_id, sizeof(b->config_id), hash);
}

static void issue_keys(struct cluster_rotation *r)
{
    switch (r->op.phase) {
    case PHASE_APPEND:
        snprintf(r->new_key, sizeof(r->new_key), "key-%" PRId64, r->issued + 1);
        r->keys++;
        break;
    case PHASE_PROMOTE:
        memcpy(r->old_key, r->write_key, sizeof(r->old_key));
        memcpy(r->write_key, r->new_key, sizeof(r->write_key));
        r->new_key[0] = 0;
        break;
    case PHASE_DROP:
        r->old_key[0] = 0;
        r->keys = 1;
        break;
    case PHASE_SWITCH:
        snprintf(r->write_key, sizeof(r->write_key), "%s", r->op.kind == OP_ENABLE ? "key" : "");
        break;
    case PHASE_IDENTITY:
        r->reads_plain = true;
        break;
    default:
        break;
    }
}

static void step_issue(struct world *w, struct cluster_rotation *r)
{
    int64_t target = r->issued + 1;
    char hash[CLUSTER_HASH_MAX] = "";
    if (r->op.phase != PHASE_ADOPT) {
        snprintf(hash, sizeof(hash), "hash-%" PRId64, target);
        issue_keys(r);
        add_bundle(w, target, hash, rotation_phase_stage(r->op.phase, r));
    }
    rotation_issued(&w->last, target, hash, r);
    note(w, "issue %" PRId64 " %s", target, phase_name(r->op.phase));
}

static void step_order(struct world *w, struct cluster_rotation *r)
{
    struct snapshot_server *v = &w->s->servers[w->last.server];
    rotation_order(w->s, &w->last, w->self.fence, r, &v->order);
    v->has_order = true;
    v->order_mod = w->next_revision++;
    note(w, "order %s %s %" PRId64, v->name, order_kind_name(v->order.kind), v->order.generation);
}

static void step_next_phase(struct world *w, struct cluster_rotation *r)
{
    enum phase completed = r->op.phase;
    if (!rotation_settle(w->s, r))
        abort();
    if (completed == PHASE_ADOPT) {
        text_copy(r->write_key, sizeof(r->write_key), "key");
        r->keys = 1;
        r->reads_plain = true;
    }
    rotation_advance(w->s, &w->last, r);
    note(w, "phase %s", phase_name(r->op.phase));
}

static void step_job(struct world *w, struct cluster_rotation *r, enum action action)
{
    if (action == ACTION_REWRITE)
        rotation_rewrite(&w->last, r);
    w->job = true;
    w->job_action = action;
    w->self.job_running = true;
    w->self.job_operation = w->s->rotation.op.id;
    note(w, "%s", action_name(action));
}

void world_finish_job(struct world *w)
{
    struct cluster_reencrypt *r = &w->s->reencrypt;
    w->job = w->self.job_running = false;
    w->s->has_reencrypt = true;
    memcpy(r->operation, w->s->rotation.op.id, sizeof(r->operation));
    r->state = REENCRYPT_ENDED;
    if (w->job_action == ACTION_SCAN) {
        r->scan_revision = w->next_revision++;
        r->scan_values = 500;
        r->scan_stale = w->stale_scans-- > 0 ? 3 : 0;
    }
}

void world_step(struct world *w)
{
    rotation_decide(w->s, &w->self, &w->last);
    struct cluster_rotation r = w->s->rotation;
    bool drop = false;
    char id[CLUSTER_ID_MAX];
    switch (w->last.action) {
    case ACTION_WAIT:
        rotation_note(w->s, &w->last, &r);
        break;
    case ACTION_PUBLISH_SPEC:
        w->s->spec = w->spec;
        w->s->has_spec = true;
        break;
    case ACTION_RESIGN:
        break;
    case ACTION_REFUSE:
        note(w, "refuse %s", w->last.why);
        drop_request(w);
        break;
    case ACTION_START:
        snprintf(id, sizeof(id), "op-%" PRId64, w->next_revision++);
        rotation_start(w->s, &w->last, id, &r);
        note(w, "start %s %s", operation_kind_name(r.op.kind), phase_name(r.op.phase));
        drop_request(w);
        w->s->has_reencrypt = false;
        memset(&w->s->reencrypt, 0, sizeof(w->s->reencrypt));
        break;
    case ACTION_ADOPT:
        snprintf(id, sizeof(id), "op-%" PRId64, w->next_revision++);
        rotation_adopt(w->s, &w->last, id, &r);
        note(w, "adopt");
        break;
    case ACTION_RESUME:
        rotation_resume(w->s, &w->last, &r, &drop);
        for (size_t i = 0; i < w->s->servers_count; i++)
            if (rotation_resume_drops_order(&w->s->servers[i]))
                w->s->servers[i].has_order = false;
        if (drop)
            w->s->has_reencrypt = false;
        note(w, "resume");
        drop_request(w);
        break;
    case ACTION_ISSUE:
        step_issue(w, &r);
        break;
    case ACTION_ORDER:
        step_order(w, &r);
        break;
    case ACTION_NEXT_PHASE:
        step_next_phase(w, &r);
        break;
    case ACTION_REWRITE:
    case ACTION_SCAN:
        step_job(w, &r, w->last.action);
        break;
    case ACTION_REWRITE_AGAIN:
        rotation_rewrite_again(&w->last, &r);
        w->s->has_reencrypt = false;
        memset(&w->s->reencrypt, 0, sizeof(w->s->reencrypt));
        note(w, "rewrite again");
        break;
    case ACTION_HALT:
        rotation_halt(w->s, &w->last, &r);
        note(w, "halt %s", w->last.row);
        break;
    }
    w->s->rotation = r;
    w->s->has_rotation = true;
}

static void take_file(struct world *w, struct snapshot_server *v)
{
    struct cluster_report *r = &v->report;
    memcpy(r->hash, v->order.hash, sizeof(r->hash));
    memcpy(r->config_id, v->order.hash, sizeof(r->config_id));
    r->stage = v->order.stage;
    r->generation = v->order.generation;
    (void)w;
}

void world_obey(struct world *w, size_t i)
{
    struct snapshot_server *v = &w->s->servers[i];
    if (!v->has_order || (v->report.order_id == v->order.id && v->report.order_state >= ORDER_DONE))
        return;
    v->report.order_id = v->order.id;
    if (v->order.kind == ORDER_SYNC) {
        v->report.order_state = ORDER_TAKEN;
        return;
    }
    v->report.order_state = ORDER_DONE;
    if (v->order.kind == ORDER_ADOPT) {
        add_bundle(w, v->order.generation, v->report.hash, v->order.stage);
        return;
    }
    take_file(w, v);
    if (v->order.kind == ORDER_APPLY)
        memcpy(v->report.loaded_hash, v->report.hash, sizeof(v->report.hash));
}

void world_fail(struct world *w, size_t i, const char *why)
{
    struct snapshot_server *v = &w->s->servers[i];
    v->report.order_id = v->order.id;
    v->report.order_state = ORDER_FAILED;
    text_copy(v->report.order_why, sizeof(v->report.order_why), why);
}

void world_operator_restart(struct world *w, size_t i)
{
    struct snapshot_server *v = &w->s->servers[i];
    if (v->has_order && v->order.generation >= v->report.generation)
        take_file(w, v);
    memcpy(v->report.loaded_hash, v->report.hash, sizeof(v->report.hash));
    if (v->report.order_id == v->order.id && v->order.kind == ORDER_SYNC)
        v->report.order_state = ORDER_DONE;
}

void world_run(struct world *w)
{
    for (int i = 0; i < 400; i++) {
        world_step(w);
        if (w->last.action != ACTION_WAIT)
            continue;
        if (w->job) {
            world_finish_job(w);
            continue;
        }
        size_t before = w->log_count;
        bool moved = false;
        for (size_t k = 0; k < w->s->servers_count; k++) {
            enum order_state was = w->s->servers[k].report.order_state;
            int64_t id = w->s->servers[k].report.order_id;
            world_obey(w, k);
            moved |= was != w->s->servers[k].report.order_state || id != w->s->servers[k].report.order_id;
        }
        if (!moved && before == w->log_count)
            return;
    }
}
