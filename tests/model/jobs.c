#include "jobs.h"

#include <string.h>

#include "coordinator.h"

static void ended(struct model_job *j, unsigned result)
{
    j->state = JOB_ENDED;
    j->result = (uint8_t)result;
    j->watching = 0;
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

static const struct {
    enum phase phase;
    enum proof_state (*find)(struct model_state *s);
    const char *what;
} finds[] = {
    {PHASE_OPENS, opens, "the job opens every value"},
    {PHASE_BACKUP, saves, "the job saves the datastore"},
    {PHASE_BACKUP_DROP, saves, "the job saves the datastore"},
    {PHASE_READABLE, readable, "the job tries the canary through every server"},
    {PHASE_WRITTEN, written, "the job writes through every server"},
    {PHASE_VERIFY, scans, "the job counts the values"},
    {PHASE_FINAL, scans, "the job counts the values once more"},
};

/* ---------- rewriting ---------- */

/* Every value goes through some ready server, which stores it under its own write key. */
static void rewrite_steps(const struct model_state *s, size_t c, struct steps *out)
{
    uint8_t seen = 0;
    for (size_t i = 0; i < model.scenario->servers; i++) {
        const struct model_server *m = &s->servers[i];
        uint8_t bit = KEY_BIT(writes(m->loaded.config));
        if (m->api != API_READY || (seen & bit))
            continue;
        seen |= bit;
        struct step *t = world_begin(s, out, "the job rewrites every value", i);
        t->next.busy.data = bit;
        t->next.busy.clean &= (uint8_t)~bit;
        ended(&t->next.busy.job[c], RE_ENDED);
        world_keep(s, out, false);
        if ((s->busy.data & ~bit) && world_may(s, FAULT_JOB)) {
            t = world_begin(s, out, "the job leaves a value out", i);
            t->next.busy.data |= bit;
            t->next.busy.clean &= (uint8_t)~bit;
            ended(&t->next.busy.job[c], RE_ENDED);
            world_keep(s, out, true);
        }
    }
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
        ended(&t->next.busy.job[c], finds[i].find(&t->next));
        world_keep(s, out, false);
        if (world_may(s, FAULT_JOB)) {
            ended(&world_begin(s, out, "the job cannot come to its end", SIZE_MAX)->next.busy.job[c],
                  PROOF_UNMADE);
            world_keep(s, out, true);
        }
    }
}
