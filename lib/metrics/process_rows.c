/* This process: whether it leads, what it counts, what it takes. */
#include "internal.h"

#include <base/log.h>

void write_coordinator_info(struct render *r)
{
    SAMPLE(r, 1, {"version", SECRETS_ENCRYPT_VERSION}, {"cluster", r->p->cluster ? r->p->cluster : ""},
           {"server", r->p->server ? r->p->server : ""});
}

void write_leader_info(struct render *r)
{
    if (*r->s->leader)
        SAMPLE(r, 1, {"server", r->s->leader});
}

bool single_leader(const struct render *r, int64_t *ret)
{
    *ret = r->p->leader;
    return true;
}

bool single_candidates(const struct render *r, int64_t *ret)
{
    *ret = (int64_t)r->s->candidates_count;
    return true;
}

bool single_snapshot_time(const struct render *r, int64_t *ret)
{
    *ret = r->read_ms;
    return *ret > 0;
}

bool single_ticks(const struct render *r, int64_t *ret)
{
    *ret = (int64_t)r->p->counters[METRICS_TICKS];
    return true;
}

bool single_tick_failures(const struct render *r, int64_t *ret)
{
    *ret = (int64_t)r->p->counters[METRICS_TICK_FAILURES];
    return true;
}

bool single_leaderships(const struct render *r, int64_t *ret)
{
    *ret = (int64_t)r->p->counters[METRICS_LEADERSHIPS];
    return true;
}

void write_log_lines(struct render *r)
{
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++)
        SAMPLE(r, (int64_t)r->p->log_lines[level], {"level", log_level_name((enum log_level)level)});
}

/* ---------- etcd ---------- */

bool single_etcd_up(const struct render *r, int64_t *ret)
{
    *ret = r->p->store == METRICS_STORE_UP;
    return r->p->store != METRICS_STORE_UNKNOWN;
}

static uint64_t calls_made(const struct metrics_calls *c)
{
    uint64_t n = 0;
    for (size_t i = 0; i < METRICS_BUCKETS; i++)
        n += c->buckets[i];
    return n;
}

static void write_call(struct render *r, const char *name, const struct metrics_calls *c)
{
    uint64_t below = 0;
    for (size_t i = 0; i < METRICS_BUCKETS; i++) {
        below += c->buckets[i];
        sample_write(r, "_bucket", (const struct label[]){{"call", name}, {"le", bucket_le[i]}}, 2,
                     (int64_t)below);
    }
    sample_write(r, "_count", (const struct label[]){{"call", name}}, 1, (int64_t)below);
    sample_us(r, "_sum", (const struct label[]){{"call", name}}, 1, c->sum_us);
}

void write_etcd_seconds(struct render *r)
{
    for (size_t i = 0; i < METRICS_CALLS; i++)
        if (call_names[i] && calls_made(&r->p->calls[i]))
            write_call(r, call_names[i], &r->p->calls[i]);
}

void write_etcd_failures(struct render *r)
{
    for (size_t i = 0; i < METRICS_CALLS; i++)
        if (call_names[i] && calls_made(&r->p->calls[i]))
            SAMPLE(r, (int64_t)r->p->calls[i].failures, {"call", call_names[i]});
}

/* ---------- what every program that is watched shows ---------- */

bool single_cpu(const struct render *r, int64_t *ret)
{
    *ret = r->p->cpu_ms;
    return *ret >= 0;
}

bool single_started(const struct render *r, int64_t *ret)
{
    *ret = r->p->started_ms;
    return *ret > 0;
}

bool single_resident(const struct render *r, int64_t *ret)
{
    *ret = r->p->resident_bytes;
    return *ret >= 0;
}

bool single_open_fds(const struct render *r, int64_t *ret)
{
    *ret = r->p->open_fds;
    return *ret >= 0;
}

bool single_max_fds(const struct render *r, int64_t *ret)
{
    *ret = r->p->max_fds;
    return *ret >= 0;
}
