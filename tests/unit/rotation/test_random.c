/* Random faults, requests and orders of events over three servers. In every step the world itself looks after
 * what must never happen (world_step); at the end, with the faults gone, every operation comes to an end.
 *
 * SEED=<n> in the environment runs that one again; RUNS=<n> makes more of them. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <inttypes.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/text.h>

#define SERVERS   3
#define RUNS      2000
#define EVENTS    500
#define BUDGET_MS 5000 /* no new run is begun after that */

static uint64_t seed, random_state;

/* xorshift64*: the same on every machine. */
static unsigned draw(unsigned below)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (unsigned)((random_state * UINT64_C(2685821657736338717)) >> 33) % below;
}

/* ---------- what happens to servers ---------- */

static void agent_falls_silent(struct world *w, size_t i)
{
    world_silence(w, i);
}

static void agent_is_back(struct world *w, size_t i)
{
    w->s->servers[i].reports = true;
    w->s->servers[i].unchanged_ms = 0;
}

static void agent_hangs(struct world *w, size_t i)
{
    w->s->servers[i].unchanged_ms = w->self.stale_ms + 1;
}

static void api_goes_unready(struct world *w, size_t i)
{
    w->s->servers[i].report.ready = false;
}

static void api_is_ready(struct world *w, size_t i)
{
    w->s->servers[i].report.ready = w->s->servers[i].report.loaded_known = true;
}

/* Its supervisor restarts it with the file that is there, where that is one. */
static void api_crashes(struct world *w, size_t i)
{
    struct cluster_report *r = &w->s->servers[i].report;
    if (strncmp(r->hash, "hash-", 5) == 0)
        memcpy(r->loaded_hash, r->hash, sizeof(r->loaded_hash));
}

/* Not in the moment in which the present files are taken over: what was sealed then would be the one that
 * every server has to have, and this world knows no such config. */
static void file_is_changed(struct world *w, size_t i)
{
    if (w->s->rotation.generation == 0 || w->s->rotation.op.phase == PHASE_ADOPT)
        return;
    struct cluster_report *r = &w->s->servers[i].report;
    text_copy(r->hash, sizeof(r->hash), draw(2) ? "by-hand" : "");
    r->generation = r->vector_generation = 0;
}

static void agent_forgets(struct world *w, size_t i)
{
    w->s->servers[i].report.order_id = 0;
    w->s->servers[i].report.order_state = ORDER_NONE;
}

static void order_is_obeyed(struct world *w, size_t i)
{
    const struct snapshot_server *v = &w->s->servers[i];
    bool foreign = v->has_order && v->order.kind != ORDER_REPAIR && strncmp(v->report.hash, "hash-", 5) != 0;
    if (!v->reports)
        return;
    if (foreign && world_in_flight(w))
        world_refuse(w, i, "the encryption config on this server was changed by somebody else");
    else
        world_obey(w, i);
}

static void order_fails(struct world *w, size_t i)
{
    const struct snapshot_server *v = &w->s->servers[i];
    if (v->has_order && v->order.kind != ORDER_SYNC && v->report.order_id != v->order.id)
        world_fail(w, i, "did not come back");
}

static const struct {
    void (*happens)(struct world *w, size_t i);
    unsigned weight;
} events[] = {
    {order_is_obeyed, 60},   {world_write, 20},  {agent_is_back, 20},   {api_is_ready, 20},
    {agent_falls_silent, 2}, {agent_hangs, 1},   {api_goes_unready, 2}, {api_crashes, 2},
    {file_is_changed, 1},    {agent_forgets, 1}, {order_fails, 1},
};

static void something_happens_to_a_server(struct world *w)
{
    unsigned all = 0;
    for (size_t e = 0; e < array_len(events); e++)
        all += events[e].weight;
    unsigned n = draw(all);
    size_t e = 0;
    while (n >= events[e].weight)
        n -= events[e++].weight;
    events[e].happens(w, draw(SERVERS));
}

/* ---------- what people and the coordinator do ---------- */

static void somebody_asks(struct world *w)
{
    static const enum operation_kind kinds[] = {
        OP_PREPARE, OP_ROTATE,  OP_REENCRYPT, OP_ROTATE_KEYS, OP_ROTATE_KEYS, OP_ROTATE_KEYS,
        OP_ENABLE,  OP_DISABLE, OP_ABORT,     OP_PAUSE,       OP_RESUME,      OP_RESUME,
        OP_RESUME,  OP_REPAIR,  OP_REPAIR,    OP_RESTART,     OP_RESTART};
    static const char *const servers[] = {"s1", "s2", "s3"};
    if (w->s->requests_count >= 4)
        return;
    world_ask(w, kinds[draw(array_len(kinds))], false, servers[draw(SERVERS)], "");
}

static void a_job_goes_on(struct world *w)
{
    if (w->job && !w->self.watching)
        world_finish_job(w);
    else if (w->job && draw(8) == 0)
        w->self.watching = false; /* it lost its connection */
}

static void a_proof_fails(struct world *w)
{
    static const enum phase phases[] = {PHASE_READABLE, PHASE_WRITTEN, PHASE_VERIFY, PHASE_BACKUP};
    w->scripted.phase = phases[draw(array_len(phases))];
    w->scripted.state = draw(2) ? PROOF_FAILED : PROOF_UNMADE;
    w->scripted.why = "it was not to be";
    w->scripted.times = 1;
}

/* Somebody who is none of the servers stores a value under a key that is about to go. */
static void a_rogue_writes(struct world *w)
{
    const struct cluster_operation *op = &w->s->rotation.op;
    bool late = op->phase == PHASE_VERIFY || rotation_phase_drops(op->phase);
    if (w->blind_is_ok && late && op->state == OP_STATE_RUNNING)
        world_write_under(w, 1);
}

static void the_lock_is_asked_for(struct world *w)
{
    static const enum operation_kind kinds[] = {OP_LOCK, OP_UNLOCK, OP_UNLOCK};
    if (w->s->requests_count < 4)
        world_lock(w, kinds[draw(array_len(kinds))], draw(2) ? "somebody@host" : "another@host");
}

/* Its holder dies. */
static void the_lock_ends(struct world *w)
{
    w->s->has_lock = false;
    w->s->lock_mod = 0;
}

static void a_window_opens_or_ends(struct world *w)
{
    w->self.closed = draw(3) ? "" : "outside the maintenance window";
}

static void one_event(struct world *w)
{
    static const struct {
        void (*happens)(struct world *w);
        unsigned weight;
    } all[] = {{world_step, 430},      {something_happens_to_a_server, 300},
               {a_job_goes_on, 200},   {somebody_asks, 25},
               {a_proof_fails, 5},     {a_rogue_writes, 10},
               {world_new_leader, 10}, {the_lock_is_asked_for, 5},
               {the_lock_ends, 5},     {a_window_opens_or_ends, 10}};
    unsigned n = draw(1000);
    size_t e = 0;
    while (n >= all[e].weight)
        n -= all[e++].weight;
    all[e].happens(w);
    w->s->now_ms += draw(2000);
}

/* ---------- the end ---------- */

static void mend(struct world *w)
{
    w->scripted.times = w->failed_rewrite = w->stale_scans = 0;
    w->self.closed = NULL;
    the_lock_ends(w);
    for (size_t i = 0; i < SERVERS; i++) {
        agent_is_back(w, i);
        api_is_ready(w, i);
    }
}

static bool over(const struct world *w)
{
    const struct cluster_operation *op = &w->s->rotation.op;
    return w->s->requests_count == 0 && (!*op->id || op->state == OP_STATE_FINISHED);
}

/* While a config is being adopted there is none yet that a repair could give: by hand then. */
static void put_files_back(struct world *w)
{
    for (size_t i = 0; i < SERVERS; i++) {
        struct cluster_report *r = &w->s->servers[i].report;
        memcpy(r->hash, r->loaded_hash, sizeof(r->hash));
        r->file_why[0] = 0;
    }
}

/* What an operator does who reads what he is told. */
static void operator_helps(struct world *w)
{
    const struct cluster_operation *op = &w->s->rotation.op;
    if (op->state == OP_STATE_PAUSED || op->state == OP_STATE_HALTED) {
        world_request(w, OP_RESUME, false, false, true);
        return;
    }
    if (op->state == OP_STATE_RUNNING && op->phase == PHASE_ADOPT) {
        put_files_back(w);
        return;
    }
    bool drift = strcmp(w->last.row, "drift") == 0 || strcmp(w->last.row, "unloaded") == 0;
    if (drift)
        world_ask(w, OP_REPAIR, true, w->last.on, "");
}

static void comes_to_its_end(struct world *w)
{
    mend(w);
    for (int round = 0; round < 12; round++) {
        world_run(w);
        the_lock_ends(w); /* one that was still asked for */
        if (over(w)) {
            assert_int_equal(world_unreadable(w), SIZE_MAX);
            return;
        }
        operator_helps(w);
    }
    fail_msg("seed %" PRIu64 ": not over: %s in phase %s: %s: %s", seed,
             operation_kind_name(w->s->rotation.op.kind), phase_name(w->s->rotation.op.phase), w->last.row,
             *w->s->rotation.op.why ? w->s->rotation.op.why : w->last.why);
}

static void one_run(void)
{
    struct world w;
    random_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    world_init(&w, SERVERS);
    w.spec.auto_repair = w.s->spec.auto_repair = draw(2);
    w.spec.snapshots = w.s->spec.snapshots = draw(2);
    w.blind_is_ok = draw(4) == 0; /* a quarter of the runs has a rogue writer */
    /* Nobody would see what a rogue writer leaves where values cannot be counted. */
    if (!w.spec.snapshots && !w.blind_is_ok)
        w.spec.not_raw = w.s->spec.not_raw = draw(2);
    for (int i = 0; i < EVENTS; i++)
        one_event(&w);
    comes_to_its_end(&w);
    world_free(&w);
}

static void random_faults(void **state)
{
    (void)state;
    const char *wanted = getenv("SEED"), *count = getenv("RUNS");
    int64_t first = 0, runs = RUNS, begun = clock_mono_ms(), done = 0;
    if (wanted && text_int(wanted, 0, INT64_MAX, &first, NULL) == 0)
        runs = 1;
    else
        first = clock_wall_ms() % 1000000000 * 1000;
    if (count && text_int(count, 1, INT64_MAX, &runs, NULL) < 0)
        runs = RUNS;
    print_message("seeds from %" PRId64 "\n", first);
    for (; done < runs && (count || clock_mono_ms() - begun < BUDGET_MS); done++) {
        seed = (uint64_t)(first + done);
        one_run();
    }
    print_message("%" PRId64 " runs\n", done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_faults)};
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    if (rc != 0)
        print_message("failed with SEED=%" PRIu64 "\n", seed);
    return rc;
}
