#include "jobs.h"

#include <string.h>

#include "coordinator.h"

static void ended(struct model_job *j, unsigned result)
{
    j->state = JOB_ENDED;
    j->result = (uint8_t)result;
    j->watching = 0;
}

/* A job that writes itself does so with the config of its beginning, whatever comes then. */
static uint8_t begun_with(const struct model_state *s)
{
    const struct model_rotation *r = &s->record.rotation;
    return r->datastore && r->phase == PHASE_REWRITE ? s->record.bundles[r->generation].config : 0;
}

/* Jobs that write values themselves, or count them, take the fence in the datastore. */
static bool takes_fence(const struct model_job *j)
{
    return j->config || j->phase == PHASE_VERIFY || j->phase == PHASE_FINAL || rotation_phase_drops(j->phase);
}

void jobs_start(struct model_state *s, size_t c)
{
    s->busy.job[c] = (struct model_job){
        .state = JOB_RUNNING, .phase = s->record.rotation.phase, .now = 1, .config = begun_with(s)};
    if (takes_fence(&s->busy.job[c]))
        s->busy.writer = (uint8_t)(c + 1);
}

static uint8_t config_now(const struct model_state *s)
{
    return s->record.bundles[s->record.rotation.generation].config;
}

/* ---------- what each finds ---------- */

static enum proof_state opens(struct model_state *s)
{
    return s->busy.data & ~reads(config_now(s)) ? PROOF_FAILED : PROOF_MADE;
}

static enum proof_state saves(struct model_state *s)
{
    (void)s;
    return PROOF_MADE;
}

/* Through every server: `fits` says whether what it has loaded is as it should be. */
static enum proof_state through_all(const struct model_state *s, bool (*fits)(uint8_t config, uint8_t key))
{
    enum proof_state result = PROOF_MADE;
    uint8_t key = coordinator_subject(s);
    for (size_t i = 0; i < model.scenario->servers; i++) {
        const struct model_server *m = &s->servers[i];
        if (m->api == API_READY && !fits(m->loaded.config, key))
            return PROOF_FAILED;
        if (m->api != API_READY)
            result = PROOF_UNMADE;
    }
    return result;
}

static bool reads_it(uint8_t config, uint8_t key)
{
    return (reads(config) & key) != 0;
}

static bool writes_it(uint8_t config, uint8_t key)
{
    return KEY_BIT(writes(config)) == key;
}

/* The canary is a value under the subject for the moment of this step: a server that cannot read it has that
 * moment's harm, which is bounded by the canary's lease; I1 is not asked during it. */
static enum proof_state readable(struct model_state *s)
{
    return through_all(s, reads_it);
}

static enum proof_state written(struct model_state *s)
{
    return through_all(s, writes_it);
}

static enum proof_state scans(struct model_state *s)
{
    uint8_t stale = s->busy.data & (uint8_t)~coordinator_keep(s);
    s->busy.clean = s->busy.counted = (uint8_t)~s->busy.data;
    return stale ? PROOF_FAILED : PROOF_MADE;
}

/* ---------- where the datastore cannot be read raw ---------- */

/* Every server lists everything: it has to read each value for that. */
static enum proof_state listed(struct model_state *s)
{
    enum proof_state result = PROOF_MADE;
    for (size_t i = 0; i < model.scenario->servers; i++) {
        if (s->servers[i].api == API_READY && (s->busy.data & ~reads(s->servers[i].loaded.config)))
            return PROOF_FAILED;
        if (s->servers[i].api != API_READY)
            result = PROOF_UNMADE;
    }
    return result;
}

/* What the first pass left out it named: that is evidence. Else every value goes through some ready server
 * once more, and nobody counts. */
static enum proof_state twice(struct model_state *s)
{
    uint8_t bits = 0;
    if (s->busy.data & (uint8_t)~coordinator_keep(s))
        return PROOF_FAILED;
    for (size_t i = 0; i < model.scenario->servers; i++)
        if (s->servers[i].api == API_READY)
            bits |= KEY_BIT(writes(s->servers[i].loaded.config));
    if (!bits)
        return PROOF_UNMADE;
    s->busy.data = bits;
    enum proof_state result = listed(s);
    if (result == PROOF_MADE)
        s->busy.clean = s->busy.counted = (uint8_t)~s->busy.data;
    return result;
}

typedef enum proof_state find_fn(struct model_state *s);
static const struct {
    enum phase phase;
    find_fn *find, *not_raw;
    const char *what;
} finds[] = {
    {PHASE_OPENS, opens, listed, "the job opens every value"},
    {PHASE_BACKUP, saves, saves, "the job saves the datastore"},
    {PHASE_BACKUP_DROP, saves, saves, "the job saves the datastore"},
    {PHASE_READABLE, readable, listed, "the job tries the canary through every server"},
    {PHASE_WRITTEN, written, written, "the job writes through every server"},
    {PHASE_VERIFY, scans, twice, "the job counts the values"},
    {PHASE_FINAL, scans, listed, "the job counts the values once more"},
};

/* ---------- rewriting ---------- */

static void rewritten_under(const struct model_state *s, size_t c, uint8_t bit, size_t server,
                            struct steps *out)
{
    struct step *t = world_begin(s, out, "the job rewrites every value", server);
    t->next.busy.data = bit;
    t->next.busy.clean &= (uint8_t)~bit;
    ended(&t->next.busy.job[c], RE_ENDED);
    world_keep(s, out, false);
    if (!(s->busy.data & ~bit) || !world_may(s, FAULT_JOB))
        return;
    t = world_begin(s, out, "the job leaves a value out", server);
    t->next.busy.data |= bit;
    t->next.busy.clean &= (uint8_t)~bit;
    ended(&t->next.busy.job[c], RE_ENDED);
    world_keep(s, out, true);
}

/* Every value goes through some ready server, which stores it under its own write key. */
static void rewrite_through_servers(const struct model_state *s, size_t c, struct steps *out)
{
    uint8_t seen = 0;
    for (size_t i = 0; i < model.scenario->servers; i++) {
        const struct model_server *m = &s->servers[i];
        uint8_t bit = KEY_BIT(writes(m->loaded.config));
        if (m->api != API_READY || (seen & bit))
            continue;
        seen |= bit;
        rewritten_under(s, c, bit, i, out);
    }
}

static bool all_down(const struct model_state *s)
{
    for (size_t i = 0; i < model.scenario->servers; i++)
        if (s->servers[i].api != API_DOWN)
            return false;
    return true;
}

/* It looks itself whether every API server is stopped, before the first value and all the time. Once another
 * job has taken the fence its writes are refused. */
static void rewrite_in_datastore(const struct model_state *s, size_t c, struct steps *out)
{
    if (s->busy.writer != c + 1 && !(model.mutations & MUTATE_OLD_WRITER)) {
        ended(&world_begin(s, out, "the job ends: another one has begun", SIZE_MAX)->next.busy.job[c],
              RE_FAILED);
        world_keep(s, out, false);
        return;
    }
    if (!s->record.rotation.offline || all_down(s)) {
        rewritten_under(s, c, KEY_BIT(writes(s->busy.job[c].config)), SIZE_MAX, out);
        return;
    }
    ended(&world_begin(s, out, "the job ends: an API server is alive", SIZE_MAX)->next.busy.job[c],
          RE_FAILED);
    world_keep(s, out, false);
}

static void rewrite_steps(const struct model_state *s, size_t c, struct steps *out)
{
    if (s->busy.job[c].config)
        rewrite_in_datastore(s, c, out);
    else
        rewrite_through_servers(s, c, out);
    if (world_may(s, FAULT_JOB)) {
        ended(&world_begin(s, out, "the job fails", SIZE_MAX)->next.busy.job[c], RE_FAILED);
        world_keep(s, out, true);
    }
}

/* ---------- watching ---------- */

static void watch_steps(const struct model_state *s, size_t c, struct steps *out)
{
    const struct model_job *j = &s->busy.job[c];
    uint8_t known = (uint8_t)((2u << s->record.keys) - 1);
    uint8_t stale = known & (uint8_t) ~(s->busy.clean | coordinator_keep(s));
    if (!j->watching) {
        world_begin(s, out, "the watch is connected", SIZE_MAX)->next.busy.job[c].watching = 1;
        world_keep(s, out, false);
        return;
    }
    if (stale) {
        ended(&world_begin(s, out, "the watch sees a value under a key that is going", SIZE_MAX)
                   ->next.busy.job[c],
              PROOF_FAILED);
        world_keep(s, out, false);
    }
    if (world_may(s, FAULT_JOB)) {
        world_begin(s, out, "the watch is cut", SIZE_MAX)->next.busy.job[c].watching = 0;
        world_keep(s, out, true);
    }
}

void job_steps(const struct model_state *s, size_t c, struct steps *out)
{
    const struct model_job *j = &s->busy.job[c];
    if (j->state != JOB_RUNNING)
        return;
    if (j->phase == PHASE_REWRITE) {
        rewrite_steps(s, c, out);
        return;
    }
    if (c != s->busy.leader || !j->now)
        return; /* what a proof of nobody's finds reaches nobody */
    if (rotation_phase_drops((enum phase)j->phase)) {
        watch_steps(s, c, out);
        return;
    }
    for (size_t i = 0; i < sizeof(finds) / sizeof(finds[0]); i++) {
        if (finds[i].phase != (enum phase)j->phase)
            continue;
        struct step *t = world_begin(s, out, finds[i].what, SIZE_MAX);
        ended(&t->next.busy.job[c], (model.scenario->not_raw ? finds[i].not_raw : finds[i].find)(&t->next));
        world_keep(s, out, false);
        if (world_may(s, FAULT_JOB)) {
            ended(&world_begin(s, out, "the job cannot come to its end", SIZE_MAX)->next.busy.job[c],
                  PROOF_UNMADE);
            world_keep(s, out, true);
        }
    }
}
