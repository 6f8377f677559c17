/* A restart through systemd, by whichever way there is to it. */
#include "service/systemd.h"

#include <base/cleanup.h>
#include <base/clock.h>

/* How long the process of a unit whose start says nothing must stand. */
#define STEADY_MS 2000
/* Looks during that time: each signal is one. */
#define LOOKS_MAX 100

static const struct systemd_way *const ways[] = {
#ifdef HAVE_LIBSYSTEMD
    &systemd_bus,
#endif
    &systemd_ctl,
};

static int watch(const struct systemd_way *way, void *ctx, const char *unit, const struct unit_state *then,
                 struct error *err)
{
    int64_t until = clock_mono_ms() + STEADY_MS;
    int rc = 0;
    for (int i = 0; rc == 0 && i < LOOKS_MAX; i++) {
        struct unit_state now;
        int rc_wait = way->wait_change(ctx, unit, then, until);
        rc = way->look(ctx, unit, &now, err);
        if (rc == 0)
            rc = unit_judge_steady(unit, then, &now, err);
        if (rc_wait < 0)
            break;
    }
    return rc;
}

static int late(const struct systemd_way *way, void *ctx, const char *unit, int64_t timeout_s,
                struct error *err)
{
    struct unit_state now;
    int rc = way->look(ctx, unit, &now, err);
    return rc < 0 ? rc : unit_judge_late(unit, &now, timeout_s, err);
}

/* What one way has come to; the next one goes on from there. */
struct round {
    struct unit_state before;
    char job[UNIT_WORD_MAX];
    bool done; /* the job has ended */
};

static int restart(const struct systemd_way *way, void *ctx, const char *unit, int64_t timeout_s,
                   int64_t deadline_ms, struct round *r, struct error *err)
{
    int rc = way->look(ctx, unit, &r->before, err);
    if (rc == 0)
        rc = unit_judge_load(unit, &r->before, err);
    if (rc < 0)
        return rc;
    rc = way->restart(ctx, unit, deadline_ms, r->job, err);
    r->done = rc == 0;
    return rc == ERR_TIMEOUT ? late(way, ctx, unit, timeout_s, err) : rc;
}

static int judge(const struct systemd_way *way, void *ctx, const char *unit, const struct round *r,
                 struct error *err)
{
    struct unit_state after;
    int rc = way->look(ctx, unit, &after, err);
    if (rc == 0)
        rc = unit_judge(unit, r->job, &r->before, &after, err);
    if (rc == 0 && unit_needs_watching(&after))
        rc = watch(way, ctx, unit, &after, err);
    return rc;
}

/* A bus that goes away in the middle is no reason to fail: the next way restarts it once more, which joins
 * the job that is under way. Has that ended, what came of it is looked at, and nothing is restarted twice. */
int systemd_restart_by(const struct systemd_way *const *by, size_t count, const char *unit, int64_t timeout_s,
                       struct error *err)
{
    int64_t deadline_ms = clock_mono_ms() + timeout_s * 1000;
    struct round r = {.done = false};
    int rc = ERR_UNAVAILABLE;
    for (size_t i = 0; i < count && rc == ERR_UNAVAILABLE; i++) {
        void *ctx = NULL;
        rc = by[i]->open(&ctx, err);
        if (rc == 0 && !r.done)
            rc = restart(by[i], ctx, unit, timeout_s, deadline_ms, &r, err);
        if (rc == 0)
            rc = judge(by[i], ctx, unit, &r, err);
        by[i]->close(ctx);
    }
    return rc;
}

int systemd_restart(const char *unit, int64_t timeout_s, struct error *err)
{
    return systemd_restart_by(ways, array_len(ways), unit, timeout_s, err);
}

int systemd_look(const char *unit, struct unit_state *ret, struct error *err)
{
    int rc = ERR_UNAVAILABLE;
    for (size_t i = 0; i < array_len(ways) && rc == ERR_UNAVAILABLE; i++) {
        void *ctx = NULL;
        rc = ways[i]->open(&ctx, err);
        if (rc == 0)
            rc = ways[i]->look(ctx, unit, ret, err);
        ways[i]->close(ctx);
    }
    return rc;
}
