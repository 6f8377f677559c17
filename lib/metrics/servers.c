/* Servers: what they published, who is the odd one out, how they are. */
#include "internal.h"

#include <string.h>
#include <time.h>

#include <base/text.h>

/* ---------- the odd one out ---------- */

/* Published the same, stage and hash. */
static bool same(const struct snapshot_server *a, const struct snapshot_server *b)
{
    return a->report.stage == b->report.stage && strcmp(a->report.hash, b->report.hash) == 0;
}

static bool counts(const struct cluster_snapshot *s, size_t i)
{
    return s->servers[i].in_spec && s->servers[i].reports && !snapshot_etcd_only(s, i);
}

/* The server whose stage and hash more than half of them published; NULL: no such majority. */
static const struct snapshot_server *majority(const struct cluster_snapshot *s)
{
    const struct snapshot_server *leads = NULL;
    size_t lead = 0, all = 0, votes = 0;
    for (size_t i = 0; i < s->servers_count; i++) {
        if (!counts(s, i))
            continue;
        if (lead == 0)
            leads = &s->servers[i];
        lead = same(leads, &s->servers[i]) ? lead + 1 : lead - 1;
    }
    for (size_t i = 0; i < s->servers_count && leads; i++) {
        all += counts(s, i);
        votes += counts(s, i) && same(leads, &s->servers[i]);
    }
    return leads && 2 * votes > all ? leads : NULL;
}

/* The coordinator issued it, or it is not known yet what was issued. */
static bool issued(const struct cluster_snapshot *s, const char *hash)
{
    const struct cluster_operation *op = &s->rotation.op;
    bool live = operation_live(s);
    const struct snapshot_bundle *target = live || s->spec.owned ? snapshot_bundle(s, op->target) : NULL;
    bool being_made = op->target > 0 && !target && (s->spec.owned || live);
    if (!s->has_rotation || !*s->rotation.hash || being_made || (live && op->phase == PHASE_ADOPT))
        return true;
    return strcmp(hash, s->rotation.hash) == 0 || (*op->also && strcmp(hash, op->also) == 0) ||
           (target && strcmp(hash, target->hash) == 0);
}

/* The one place that says who is odd. */
static unsigned char verdict(const struct cluster_snapshot *s, const struct snapshot_server *v,
                             const struct snapshot_server *most)
{
    if (!v->reports)
        return 0;
    if (*v->report.file_why || (v->in_spec && !issued(s, v->report.hash)))
        return SERVER_ODD | SERVER_DRIFT;
    /* While an operation runs the servers differ one after the other, as they should. */
    bool minority = most && v->in_spec && !operation_live(s) && !same(v, most);
    return minority || v->plain_keys_differ ? SERVER_ODD : 0;
}

void servers_judge(struct render *r)
{
    const struct snapshot_server *most = majority(r->s);
    for (size_t i = 0; i < r->s->servers_count; i++)
        r->verdicts[i] = verdict(r->s, &r->s->servers[i], most);
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

void write_preflight_checks(struct render *r)
{
    for (size_t i = 0; i < r->p->preflight_count; i++)
        for (int k = CHECK_OK; k <= CHECK_FAIL; k++)
            SAMPLE(r, r->p->preflight[i].results[k], {"server", r->p->preflight[i].server},
                   {"result", check_result_name((enum check_result)k)});
}

void write_preflight_age(struct render *r)
{
    int64_t age = 0;
    for (size_t i = 0; i < r->p->preflight_count; i++)
        if (age_since(r, r->p->preflight[i].time_ms, &age))
            SAMPLE(r, age, {"server", r->p->preflight[i].server});
}
