#include <cli/preflight.h>

#include <inttypes.h>
#include <stdarg.h>

#include <base/clock.h>
#include <base/text.h>
#include <report/explain.h>
#include <report/words.h>

#define CLUSTER_ITEMS_MAX (40 + PREFLIGHT_HOOKS_MAX)
#define CLOCKS_WARN_MS    2000
#define CLOCKS_FAIL_MS    60000
#define OLD_MS            (INT64_C(15) * 60 * 1000)
#define MIB               (1024.0 * 1024.0)
/* Shares of etcd's quota. A rewrite may double what is in use until the API servers compact; the coordinator
 * keeps it below the first of these (kindness/controller.c). The second is of the file, which etcd counts. */
#define ROOM_SHARE 0.5
#define FILE_SHARE 0.9

void preflight_free(struct preflight *p)
{
    free(p->items);
    memset(p, 0, sizeof(*p));
}

static void add_check(struct preflight *p, const char *server, const struct cluster_check *check)
{
    struct preflight_item *i = &p->items[p->count++];
    text_copy(i->server, sizeof(i->server), server);
    i->check = *check;
    p->failed += check->result == CHECK_FAIL;
    p->warned += check->result == CHECK_WARN;
}

/* A check of our own. There is room: a server has one at most, the cluster CLUSTER_ITEMS_MAX. */
static void add(struct preflight *p, const char *server, const char *name, enum check_result result,
                const char *remedy, const char *format, ...) _printf_(6, 7);
static void add(struct preflight *p, const char *server, const char *name, enum check_result result,
                const char *remedy, const char *format, ...)
{
    struct cluster_check k = {.result = result};
    va_list ap;
    va_start(ap, format);
    vsnprintf(k.text, sizeof(k.text), format, ap);
    va_end(ap);
    text_copy(k.name, sizeof(k.name), name);
    text_copy(k.remedy, sizeof(k.remedy), result == CHECK_OK ? "" : remedy);
    add_check(p, server, &k);
}

/* --- servers --- */

static void judge_server(struct preflight *p, const struct preflight_facts *f, size_t i)
{
    const char *name = f->snapshot->spec.servers[i].name;
    const struct snapshot_server *v = snapshot_server(f->snapshot, name);
    const struct preflight_agent *a = &f->agents[i];
    char remedy[CLUSTER_REMEDY_MAX];
    snprintf(remedy, sizeof(remedy), "start secrets-encrypt-agent on %s, and look at its log", name);
    p->servers++;
    if (!v || !v->reports) {
        add(p, name, "agent", CHECK_FAIL, remedy, "%s",
            v ? v->report_why : "silent: its agent publishes nothing");
        return;
    }
    if (!a->has) {
        add(p, name, "agent", CHECK_FAIL,
            "look at the agent's log on this server, and bring it to this version", "%s", a->why);
        return;
    }
    int64_t age = f->snapshot->now_ms - a->checks.time_ms;
    if (age > OLD_MS)
        add(p, name, "agent", CHECK_WARN, "let the agent look again: send it SIGHUP",
            "its checks are %" PRId64 " minutes old", age / 60000);
    else
        add(p, name, "agent", CHECK_OK, "", "version %s, driver %s", v->report.version, v->report.driver);
    for (size_t k = 0; k < a->checks.checks_count; k++)
        add_check(p, name, &a->checks.checks[k]);
}

/* --- the servers together --- */

static bool is_listed(const struct cluster_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->servers_count; i++)
        if (strcmp(spec->servers[i].name, name) == 0)
            return true;
    return false;
}

/* The leader publishes its own configuration's list: others may have another one. */
static void judge_list(struct preflight *p, const struct preflight_facts *f)
{
    static const char mend[] =
        "make `servers` the same in the configuration of every server, and restart the "
        "coordinators";
    const struct cluster_spec *spec = &f->snapshot->spec;
    const struct config *c = f->config;
    for (size_t i = 0; i < c->servers_count; i++)
        if (!is_listed(spec, c->servers[i].name)) {
            add(p, "", "servers", CHECK_FAIL, mend,
                "%s stands in this configuration, but not in the coordinator's list", c->servers[i].name);
            return;
        }
    for (size_t i = 0; i < spec->servers_count; i++)
        if (config_server_index(c, spec->servers[i].name) < 0) {
            add(p, "", "servers", CHECK_FAIL, mend,
                "%s stands in the coordinator's list, but not in this configuration", spec->servers[i].name);
            return;
        }
    add(p, "", "servers", CHECK_OK, "", "this configuration lists the same servers as the coordinator");
}

static void judge_hashes(struct preflight *p, const struct preflight_facts *f)
{
    char why[CLUSTER_TEXT_MAX] = "";
    if (snapshot_hashes_match(f->snapshot, why))
        add(p, "", "hashes", CHECK_OK, "", "all hashes match");
    else
        add(p, "", "hashes", CHECK_FAIL,
            "`secrets-encrypt status -o wide` names the odd server; `secrets-encrypt repair SERVER` puts it "
            "right",
            "%s", why);
}

static void judge_versions(struct preflight *p, const struct preflight_facts *f)
{
    const struct snapshot_server *first = NULL;
    for (size_t i = 0; i < f->snapshot->servers_count; i++) {
        const struct snapshot_server *v = &f->snapshot->servers[i];
        if (!v->in_spec || !v->reports)
            continue;
        if (first && strcmp(first->report.version, v->report.version) != 0) {
            add(p, "", "agent-versions", CHECK_WARN, "bring every server to the same version",
                "%s has %s, %s has %s", first->name, first->report.version, v->name, v->report.version);
            return;
        }
        first = first ? first : v;
    }
    if (first)
        add(p, "", "agent-versions", CHECK_OK, "", "all agents have version %s", first->report.version);
}

/* Reports are written at least every half lease: what their times differ by beyond that, clocks do. */
static void judge_clocks(struct preflight *p, const struct preflight_facts *f)
{
    const struct snapshot_server *early = NULL, *late = NULL;
    for (size_t i = 0; i < f->snapshot->servers_count; i++) {
        const struct snapshot_server *v = &f->snapshot->servers[i];
        if (!v->in_spec || !v->reports)
            continue;
        early = !early || v->report.time_ms < early->report.time_ms ? v : early;
        late = !late || v->report.time_ms > late->report.time_ms ? v : late;
    }
    if (!early || early == late)
        return;
    int64_t apart = late->report.time_ms - early->report.time_ms - f->config->lease_ttl_s * 500;
    enum check_result r = apart > CLOCKS_FAIL_MS   ? CHECK_FAIL
                          : apart > CLOCKS_WARN_MS ? CHECK_WARN
                                                   : CHECK_OK;
    if (r == CHECK_OK)
        add(p, "", "clocks", r, "", "the servers' clocks agree, as far as their reports tell");
    else
        add(p, "", "clocks", r, "set the clocks: run chrony, ntpd or systemd-timesyncd on every server",
            "the clock of %s is at least %" PRId64 " s behind that of %s", early->name, apart / 1000,
            late->name);
}

static void judge_coordinator(struct preflight *p, const struct preflight_facts *f)
{
    const struct cluster_snapshot *s = f->snapshot;
    if (!*s->leader)
        add(p, "", "coordinator", CHECK_FAIL, "start secrets-encrypt-coordinator on the servers",
            "no coordinator leads");
    else if (s->candidates_count == 1 && s->spec.servers_count > 1)
        add(p, "", "coordinator", CHECK_WARN,
            "start secrets-encrypt-coordinator on the other servers as well",
            "%s leads, and no other coordinator could take over", s->leader);
    else
        add(p, "", "coordinator", CHECK_OK, "", "%s leads", s->leader);
}

static void judge_apis(struct preflight *p, const struct preflight_facts *f)
{
    if (*f->snapshot->unknown_api)
        add(p, "", "api-servers", CHECK_FAIL, "add it to `servers` in every configuration, or shut it down",
            "%s", f->snapshot->unknown_api);
    else
        add(p, "", "api-servers", CHECK_OK, "", "no API server is alive that is not listed");
}

/* What the planner would say to a rotation now, unless that was found out above. */
static void judge_operation(struct preflight *p, const struct preflight_facts *f)
{
    const struct cluster_operation *op = &f->snapshot->rotation.op;
    char why[CLUSTER_TEXT_MAX] = "";
    if (f->snapshot->has_rotation && *op->id && op->state == OP_STATE_HALTED) {
        add(p, "", "operation", CHECK_FAIL,
            "mend the cause and give the same command again, or `secrets-encrypt abort`",
            "%s is halted: %.300s", operation_kind_name(op->kind), op->why);
        return;
    }
    if (explain_under_way(f->snapshot)) {
        add(p, "", "operation", CHECK_WARN, "`secrets-encrypt explain` tells what it is at", "%s is %s",
            operation_kind_name(op->kind), operation_state_name(op->state));
        return;
    }
    explain_block(f->snapshot, why);
    if (*why && p->failed == 0)
        add(p, "", "operation", CHECK_FAIL, "see docs/runbook.md, or what `secrets-encrypt explain` says",
            "a rotation could not start now: %.400s", why);
    else if (!*why)
        add(p, "", "operation", CHECK_OK, "", "none runs, and one could start");
}

/* --- etcd --- */

static void judge_members(struct preflight *p, const struct preflight_etcd *e)
{
    static const char mend[] = "`etcdctl endpoint status --cluster` tells more; mend or remove that member";
    char name[CLUSTER_CHECK_NAME];
    size_t good = 0, voters = 0;
    const struct preflight_member *bad = NULL, *odd = NULL, *led = NULL, *apart = NULL;
    snprintf(name, sizeof(name), "%s-members", e->name);
    for (size_t i = 0; i < e->count; i++) {
        const struct preflight_member *m = &e->members[i];
        voters += !m->learner;
        if (!m->answers || m->leader == 0)
            bad = m;
        else
            good += !m->learner;
        if (m->answers && m->leader != 0 && led && m->leader != led->leader)
            apart = m;
        else if (m->answers && m->leader != 0)
            led = m;
        if (m->answers && (m->learner || m->behind > 1000 || strcmp(m->version, e->members[0].version) != 0))
            odd = m;
    }
    if (*e->why || e->count == 0)
        add(p, "", name, CHECK_FAIL, "start etcd, or correct endpoints and certificates in the configuration",
            "%s", *e->why ? e->why : "no member is known");
    else if (bad && !bad->answers) /* its text names it */
        add(p, "", name, CHECK_FAIL, mend, "%zu of %zu members are well; %s", good, voters, bad->why);
    else if (bad)
        add(p, "", name, CHECK_FAIL, mend, "%zu of %zu members are well; %s knows no leader", good, voters,
            bad->name);
    else if (apart)
        add(p, "", name, CHECK_FAIL,
            "ask again in a moment; if it stays, one was made a cluster of its own: stop it, remove its "
            "data, join it anew",
            "%s and %s follow different leaders: they do not share what is written", led->name, apart->name);
    else if (odd)
        add(p, "", name, CHECK_WARN, "finish what is under way (an upgrade, a new member) before a rotation",
            "%s: %s", odd->name,
            odd->learner         ? "a learner, which does not count for the quorum"
            : odd->behind > 1000 ? "it lags behind"
                                 : "its version differs from the others'");
    else
        add(p, "", name, CHECK_OK, "", "%zu of %zu members are well: etcd %s", good, voters,
            e->members[0].version);
    snprintf(name, sizeof(name), "%s-alarms", e->name);
    if (*e->alarms)
        add(p, "", name, CHECK_FAIL,
            "nospace: compact, defragment, then `etcdctl alarm disarm`; corrupt: replace that member", "%s",
            e->alarms);
    else if (!*e->why)
        add(p, "", name, CHECK_OK, "", "etcd raises none");
}

static void judge_room(struct preflight *p, const struct preflight_facts *f)
{
    static const char name[] = "datastore-room";
    const struct preflight_etcd *e = f->etcds_count ? &f->etcds[f->etcds_count - 1] : NULL;
    double quota = (double)f->config->datastore_quota, bytes = 0, in_use = 0;
    for (size_t i = 0; e && i < e->count; i++) {
        bytes = (double)e->members[i].bytes > bytes ? (double)e->members[i].bytes : bytes;
        in_use = (double)e->members[i].in_use > in_use ? (double)e->members[i].in_use : in_use;
    }
    if (!e || bytes <= 0 || strcmp(e->name, "datastore") != 0)
        return; /* it does not answer: said above; or it is not to be asked */
    if (quota <= 0)
        add(p, "", name, CHECK_WARN, "set `datastore.quota` to etcd's --quota-backend-bytes",
            "%.0f MiB, and the quota is not known", bytes / MIB);
    else if (in_use > ROOM_SHARE * quota)
        add(p, "", name, CHECK_FAIL,
            "wait for the API servers' compaction, or raise etcd's quota and `datastore.quota`",
            "%.0f MiB are in use of a quota of %.0f", in_use / MIB, quota / MIB);
    else if (bytes > FILE_SHARE * quota)
        add(p, "", name, CHECK_WARN, "defragment the members, one after the other (`etcdctl defrag`)",
            "the file has %.0f MiB of a quota of %.0f, %.0f of them in use", bytes / MIB, quota / MIB,
            in_use / MIB);
    else if (2 * in_use > ROOM_SHARE * quota)
        add(p, "", name, CHECK_WARN, "raise etcd's quota and `datastore.quota`, or expect a rewrite to wait",
            "%.0f MiB are in use of a quota of %.0f: a rewrite of everything may wait for compactions",
            in_use / MIB, quota / MIB);
    else
        add(p, "", name, CHECK_OK, "", "%.0f MiB are in use of a quota of %.0f", in_use / MIB, quota / MIB);
}

/* --- webhooks --- */

static void judge_hooks(struct preflight *p, const struct preflight_hooks *h)
{
    if (*h->why) {
        add(p, "", "webhooks", CHECK_WARN,
            "look yourself: kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations", "%s",
            h->why);
        return;
    }
    for (size_t i = 0; i < h->count; i++) {
        const struct preflight_hook *k = &h->hooks[i];
        add(p, "", "webhooks", CHECK_WARN,
            "make sure that it answers and lets updates pass, or exclude them in its rules; what it denies "
            "can be "
            "rewritten with --engine datastore",
            "%s webhook %s (of %s, %s) sees updates of %s, and while it does not answer they are refused",
            k->kind, k->name, k->config, k->service, k->resource);
    }
    if (h->more)
        add(p, "", "webhooks", CHECK_WARN, "kubectl get validatingwebhookconfigurations tells them all",
            "and %zu more", h->more);
    if (h->count == 0)
        add(p, "", "webhooks", CHECK_OK, "", "none refuses updates while it does not answer");
}

int preflight_judge(const struct preflight_facts *f, struct preflight *ret, struct error *err)
{
    size_t servers = f->snapshot->spec.servers_count;
    memset(ret, 0, sizeof(*ret));
    ret->items = calloc(servers * (CLUSTER_CHECKS_MAX + 1) + CLUSTER_ITEMS_MAX, sizeof(*ret->items));
    if (!ret->items)
        return error_no_memory(err);
    for (size_t i = 0; i < servers; i++)
        judge_server(ret, f, i);
    judge_list(ret, f);
    judge_hashes(ret, f);
    judge_versions(ret, f);
    judge_clocks(ret, f);
    judge_coordinator(ret, f);
    judge_apis(ret, f);
    for (size_t i = 0; i < f->etcds_count; i++)
        judge_members(ret, &f->etcds[i]);
    judge_room(ret, f);
    judge_hooks(ret, f->hooks);
    judge_operation(ret, f);
    return 0;
}
