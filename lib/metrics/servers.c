/* Servers: what they published, who is the odd one out, how they are. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <base/cleanup.h>
#include <base/text.h>
#include <report/odd.h>

/* ---------- the odd one out ---------- */

static unsigned char judged(const struct snapshot_server *v, enum odd_kind kind)
{
    switch (kind) {
    case ODD_DRIFT:
    case ODD_NOT_ISSUED:
    case ODD_NEWER:
        return SERVER_ODD | SERVER_DRIFT;
    case ODD_MINORITY:
        return SERVER_ODD;
    case ODD_TIE: /* hash_mismatch says it: nobody can say which */
    case ODD_NO:
    case ODD_SILENT:
        break;
    }
    if (*v->report.file_why)
        return SERVER_ODD | SERVER_DRIFT;
    return v->plain_keys_differ ? SERVER_ODD : 0;
}

void servers_judge(struct render *r)
{
    odd_find(r->s, r->odd);
    for (size_t i = 0; i < r->s->servers_count; i++)
        r->verdicts[i] = judged(&r->s->servers[i], r->odd->servers[i].kind);
}

bool server_odd(const struct render *r, const struct snapshot_server *v, int64_t *ret)
{
    *ret = (r->verdicts[v - r->s->servers] & SERVER_ODD) != 0;
    return v->reports;
}

bool server_drift(const struct render *r, const struct snapshot_server *v, int64_t *ret)
{
    *ret = (r->verdicts[v - r->s->servers] & SERVER_DRIFT) != 0;
    return v->reports;
}

/* ---------- what it published ---------- */

void write_server_info(struct render *r)
{
    for (size_t i = 0; i < r->s->servers_count; i++) {
        const struct snapshot_server *v = &r->s->servers[i];
        if (v->reports)
            SAMPLE(r, 1, {"server", v->name}, {"stage", stage_name(v->report.stage)},
                   {"hash", v->report.hash});
    }
}

void write_agent_info(struct render *r)
{
    for (size_t i = 0; i < r->s->servers_count; i++) {
        const struct snapshot_server *v = &r->s->servers[i];
        if (v->reports)
            SAMPLE(r, 1, {"server", v->name}, {"version", v->report.version}, {"driver", v->report.driver});
    }
}

bool server_reporting(const struct render *r, const struct snapshot_server *v, int64_t *ret)
{
    (void)r;
    *ret = v->reports;
    return true;
}

bool server_ready(const struct render *r, const struct snapshot_server *v, int64_t *ret)
{
    (void)r;
    *ret = v->report.ready;
    return v->reports;
}

bool server_report_age(const struct render *r, const struct snapshot_server *v, int64_t *ret)
{
    return age_since(r, v->report.time_ms, ret) && v->reports;
}

bool server_generation(const struct render *r, const struct snapshot_server *v, int64_t *ret)
{
    (void)r;
    *ret = v->report.generation;
    return v->reports;
}

bool server_loaded(const struct render *r, const struct snapshot_server *v, int64_t *ret)
{
    (void)r;
    *ret = v->report.loaded_known ? v->report.loaded_generation : 0;
    return v->reports;
}

bool server_restarts(const struct render *r, const struct snapshot_server *v, int64_t *ret)
{
    (void)r;
    *ret = v->report.restarts;
    return v->reports;
}

/* The report says it as "pid 4711 since 2026-11-24T22:42:40Z". */
bool server_restarted(const struct render *r, const struct snapshot_server *v, int64_t *ret)
{
    (void)r;
    struct tm tm = {0};
    const char *at = v->reports ? strstr(v->report.process, " since ") : NULL;
    const char *end = at ? strptime(at + strlen(" since "), "%Y-%m-%dT%H:%M:%SZ", &tm) : NULL;
    if (!end || *end)
        return false;
    *ret = (int64_t)timegm(&tm) * 1000;
    return *ret > 0;
}

/* ---------- all of them ---------- */

bool single_servers(const struct render *r, int64_t *ret)
{
    *ret = (int64_t)r->s->spec.servers_count;
    return r->s->has_spec;
}

bool single_strangers(const struct render *r, int64_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < r->s->servers_count; i++)
        *ret += !r->s->servers[i].in_spec;
    return true;
}

bool single_unknown_api(const struct render *r, int64_t *ret)
{
    *ret = *r->s->unknown_api != 0;
    return true;
}

bool single_hash_mismatch(const struct render *r, int64_t *ret)
{
    char why[CLUSTER_TEXT_MAX];
    *ret = !snapshot_hashes_match(r->s, why);
    return true;
}

/* ---------- preflight ---------- */

void metrics_preflight_set(const struct cluster_checks *checks, struct metrics_preflight *ret)
{
    *ret = (struct metrics_preflight){.time_ms = checks->time_ms};
    text_copy(ret->server, sizeof(ret->server), checks->server);
    for (size_t i = 0; i < checks->checks_count; i++)
        ret->results[checks->checks[i].result]++;
}

/* A record outlives its server for a while, and may have been put back by whoever writes the state store. */
static bool is_known(const struct render *r, const struct metrics_preflight *p)
{
    const struct snapshot_server *v = snapshot_server(r->s, p->server);
    return v && (v->in_spec || v->reports);
}

void write_preflight_checks(struct render *r)
{
    for (size_t i = 0; i < r->p->preflight_count; i++)
        for (int k = CHECK_OK; k <= CHECK_FAIL && is_known(r, &r->p->preflight[i]); k++)
            SAMPLE(r, r->p->preflight[i].results[k], {"server", r->p->preflight[i].server},
                   {"result", check_result_name((enum check_result)k)});
}

void write_preflight_age(struct render *r)
{
    int64_t age = 0;
    for (size_t i = 0; i < r->p->preflight_count; i++)
        if (is_known(r, &r->p->preflight[i]) && age_since(r, r->p->preflight[i].time_ms, &age))
            SAMPLE(r, age, {"server", r->p->preflight[i].server});
}
