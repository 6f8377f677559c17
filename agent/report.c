/* The report: what is published, made of what was seen and what is remembered. */
#include <agent/agent.h>

#include <inttypes.h>

#include <base/clock.h>
#include <base/text.h>

#define OWN_DIFFERS_MS 5000

struct version agent_present(const struct agent *a)
{
    return known_version(&a->known, &a->state.file, a->seen.file.hash, a->state.stage);
}

bool agent_file_foreign(const struct agent *a)
{
    const struct file_record *r = &a->state.file;
    bool issued = r->written.hash[0] || a->known.count > 0;
    return issued && a->seen.config_id[0] && agent_present(a).generation == 0 &&
           !known_config_id(&a->known, a->seen.config_id);
}

/* What the API server goes on with while its file is wrong, and what to do. */
static void say_way_out(const struct agent *a, char why[CLUSTER_TEXT_MAX])
{
    const struct loaded *l = &a->state.loaded;
    const char *server = a->config->server;
    bool runs = a->seen.process.count == PROCESS_ONE && process_same(&l->process, &a->seen.process.id);
    int64_t loaded =
        runs && l->hash[0] ? known_version(&a->known, &a->state.file, l->hash, STAGE_START).generation : 0;
    size_t len = strlen(why);
    if (!a->state.file.written.hash[0] && a->known.count == 0)
        snprintf(why + len, CLUSTER_TEXT_MAX - len, "; put it right before the API server is restarted");
    else if (loaded)
        snprintf(why + len, CLUSTER_TEXT_MAX - len,
                 "; the API server still runs with generation %" PRId64 "; run secrets-encrypt repair %s",
                 loaded, server);
    else
        snprintf(why + len, CLUSTER_TEXT_MAX - len,
                 "; which generation the API server runs with is not known; run secrets-encrypt repair %s",
                 server);
}

static void report_file(const struct agent *a, struct cluster_report *r)
{
    struct version v = agent_present(a);
    char since[CLOCK_TEXT_MAX];
    r->generation = v.generation;
    r->stage = a->driver->own && a->seen.own.hash[0] ? a->seen.own.stage : v.stage;
    (void)text_copy(r->hash, sizeof(r->hash), a->seen.file.hash);
    (void)text_copy(r->config_id, sizeof(r->config_id), a->seen.config_id);
    (void)text_copy(r->layout, sizeof(r->layout), a->seen.layout);
    (void)text_copy(r->layout_why, sizeof(r->layout_why), a->seen.layout_why);
    clock_format(a->state.seen.since_ms, since);
    if (a->seen.file_error[0]) {
        snprintf(r->file_why, sizeof(r->file_why), "encryption config %.340s", a->seen.file_error);
        say_way_out(a, r->file_why);
    } else if (v.generation == 0 && a->state.file.written.hash[0]) {
        snprintf(r->file_why, sizeof(r->file_why),
                 "%.200s was changed by somebody else since %s: it is not generation %" PRId64
                 " that stood here, nor any other that was issued",
                 a->config->encryption_config, since, a->state.file.written.generation);
        say_way_out(a, r->file_why);
    }
}

/* An API server that reloads by itself has taken up whatever somebody put into the file. */
static bool reloaded_unseen(const struct agent *a)
{
    return strcmp(a->config->reload, "on") == 0 && !agent_busy(a) &&
           strcmp(a->seen.file.hash, a->state.loaded.hash) != 0;
}

static void report_process(const struct agent *a, struct cluster_report *r)
{
    const struct process_found *p = &a->seen.process;
    const struct loaded *l = &a->state.loaded;
    char since[CLOCK_TEXT_MAX];
    if (p->count != PROCESS_ONE) {
        (void)text_copy(r->process_why, sizeof(r->process_why), p->why);
        return;
    }
    clock_format(p->started_wall_ms, since);
    snprintf(r->process, sizeof(r->process), "pid %" PRId64 " since %s", p->id.pid, since);
    r->loaded_known = process_same(&l->process, &p->id);
    if (!r->loaded_known || !l->hash[0] || reloaded_unseen(a))
        return;
    (void)text_copy(r->loaded_hash, sizeof(r->loaded_hash), l->hash);
    struct version v = known_version(&a->known, &a->state.file, l->hash, STAGE_START);
    r->loaded_generation = v.generation ? v.generation : l->generation;
}

static void report_order(const struct agent *a, struct cluster_report *r)
{
    const struct job *j = &a->state.job;
    if (a->refused.id) {
        r->order_id = a->refused.id;
        r->order_state = ORDER_REFUSED;
        (void)text_copy(r->order_why, sizeof(r->order_why), a->refused.why);
        return;
    }
    r->order_id = j->order.id;
    r->order_state = j->step == STEP_NONE ? ORDER_NONE : j->state;
    (void)text_copy(r->order_why, sizeof(r->order_why), j->why);
}

static void report_vector(const struct agent *a, struct cluster_report *r)
{
    bool this_one =
        a->vector.generation && a->vector.generation == r->generation && strcmp(a->vector.hash, r->hash) == 0;
    if (this_one && a->vector.opened)
        r->vector_generation = a->vector.generation;
    else if (this_one)
        (void)text_copy(r->vector_why, sizeof(r->vector_why), a->vector.why);
}

/* A server that owns its config and disagrees with itself about it is in no state for a next step. */
static void report_ready(const struct agent *a, struct cluster_report *r)
{
    const struct observation *o = &a->seen;
    bool differs = o->own_differs_ms && clock_mono_ms() - o->own_differs_ms > OWN_DIFFERS_MS;
    r->ready = o->ready && !differs;
    (void)text_copy(r->ready_why, sizeof(r->ready_why), o->ready && differs ? o->own_why : o->ready_why);
}

void agent_report(const struct agent *a, int64_t wall_ms, struct cluster_report *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->time_ms = wall_ms;
    (void)text_copy(ret->server, sizeof(ret->server), a->config->server);
    (void)text_copy(ret->version, sizeof(ret->version), SECRETS_ENCRYPT_VERSION);
    (void)text_copy(ret->driver, sizeof(ret->driver), a->driver->name);
    (void)text_copy(ret->instance, sizeof(ret->instance), a->instance);
    report_ready(a, ret);
    ret->restarts = a->state.restarts;
    report_file(a, ret);
    report_process(a, ret);
    report_order(a, ret);
    report_vector(a, ret);
}
