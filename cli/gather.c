#include "gather.h"

#include <base/clock.h>
#include <base/text.h>
#include <etcd/maintenance.h>
#include <kube/kube.h>
#include <store/store.h>

#include "console.h"
#include "look.h"

#define CALL_MS        3000
#define HOOKS_MS       5000
#define FIRST_ROUND_MS 15000
#define RECORD_MAX     (256 * 1024)
#define HOOKS_PATH     "/apis/admissionregistration.k8s.io/v1/"

/* --- agents --- */

/* False: it has published none. */
static bool read_agent(struct session *s, const char *server, struct preflight_agent *ret)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(RECORD_MAX);
    struct error err = ERROR_INIT;
    int rc = store_read(s->store, CLUSTER_KEY_CHECKS, server, CALL_MS, &body, NULL, NULL, &err);
    if (rc == ERR_NOT_FOUND)
        error_set(&err, rc, "its agent has not published its checks");
    if (rc == 0)
        rc = cluster_checks_decode(buf_str(&body), body.len, &ret->checks, &err);
    ret->has = rc == 0;
    text_copy(ret->why, sizeof(ret->why), rc == 0 ? "" : err.text);
    return rc != ERR_NOT_FOUND;
}

/* What is not there yet, of agents that report; the first of them that has published none, NULL: all have. */
static const char *read_missing(struct session *s, struct gathered *g)
{
    const struct cluster_spec *spec = &s->snapshot->spec;
    const char *missing = NULL;
    for (size_t i = 0; i < spec->servers_count; i++) {
        const char *name = spec->servers[i].name;
        const struct snapshot_server *v = snapshot_server(s->snapshot, name);
        if (v && v->reports && !g->agents[i].has && !read_agent(s, name, &g->agents[i]) && !missing)
            missing = name;
    }
    return missing;
}

/* An agent that was started a moment ago is at its first round, which asks the API server and etcd. */
static void await_first_round(struct session *s, struct gathered *g, const char *missing)
{
    int64_t until = clock_mono_ms() + FIRST_ROUND_MS;
    struct look l;
    say_more("waiting for the checks of %s's agent, for %d s at most", missing, FIRST_ROUND_MS / 1000);
    look_open(&l, s);
    while (read_missing(s, g) && clock_mono_ms() < until)
        look_pause(&l);
    look_close(&l);
}

static int read_agents(struct session *s, struct gathered *g, struct error *err)
{
    g->agents = calloc(s->snapshot->spec.servers_count + 1, sizeof(*g->agents));
    if (!g->agents)
        return error_no_memory(err);
    const char *missing = read_missing(s, g);
    if (missing)
        await_first_round(s, g, missing);
    return 0;
}

/* --- etcd --- */

static void fill_member(struct etcd *e, size_t endpoint, const char *url, struct preflight_member *m)
{
    struct etcd_status s = {0};
    struct error err = ERROR_INIT;
    text_copy(m->name, sizeof(m->name), url);
    if (etcd_member_status(e, endpoint, CALL_MS, &s, &err) < 0) {
        text_copy(m->why, sizeof(m->why), err.text);
        return;
    }
    m->answers = true;
    m->learner = s.learner;
    m->bytes = s.db_size;
    m->in_use = s.db_size_in_use;
    m->leader = s.leader;
    m->behind = s.raft_index > s.raft_applied_index ? s.raft_index - s.raft_applied_index : 0;
    text_copy(m->version, sizeof(m->version), s.version);
}

/* Members that no endpoint of the configuration leads to are asked as well: by their own URLs. */
static bool is_endpoint(const struct config_etcd *c, const char *url)
{
    for (size_t i = 0; i < c->endpoints_count; i++)
        if (strcmp(c->endpoints[i], url) == 0)
            return true;
    return false;
}

static void ask_other(const struct config_etcd *c, const struct etcd_member *member,
                      struct preflight_member *m)
{
    struct error err = ERROR_INIT;
    struct config_etcd one = *c;
    _cleanup_(etcd_closep) struct etcd *e = NULL;
    one.endpoints[0] = (char *)member->client_url;
    one.endpoints_count = 1;
    if (*member->client_url && store_etcd_open(&one, &e, &err) == 0)
        fill_member(e, 0, member->client_url, m);
    else
        text_copy(m->why, sizeof(m->why), *err.text ? err.text : "it has not started yet");
    text_copy(m->name, sizeof(m->name), *member->name ? member->name : member->client_url);
}

/* Every member that etcd lists, once; a loopback endpoint leads to one of them. */
static void ask_members(const struct config_etcd *c, struct etcd *e, struct preflight_etcd *ret)
{
    struct etcd_members list = {0};
    struct error err = ERROR_INIT;
    bool listed = etcd_member_list(e, CALL_MS, &list, &err) == 0;
    if (!listed)
        text_copy(ret->why, sizeof(ret->why), err.text);
    for (size_t i = 0; listed && i < list.count && ret->count < PREFLIGHT_MEMBERS_MAX; i++)
        if (!is_endpoint(c, list.members[i].client_url)) {
            ask_other(c, &list.members[i], &ret->members[ret->count]);
            ret->members[ret->count++].learner |= list.members[i].learner;
        }
    for (size_t i = 0; i < c->endpoints_count && ret->count < PREFLIGHT_MEMBERS_MAX; i++) {
        bool known = !listed; /* what is no member's URL (127.0.0.1) has been asked under its own */
        for (size_t k = 0; k < list.count; k++)
            known |= strcmp(list.members[k].client_url, c->endpoints[i]) == 0;
        if (known)
            fill_member(e, i, c->endpoints[i], &ret->members[ret->count++]);
    }
}

static void ask_alarms(struct etcd *e, struct preflight_etcd *ret)
{
    struct etcd_alarm_list alarms = {0};
    if (etcd_alarms(e, CALL_MS, &alarms, NULL) < 0)
        return; /* no quorum: said of the members */
    for (size_t i = 0; i < alarms.count; i++) {
        size_t len = strlen(ret->alarms);
        snprintf(ret->alarms + len, sizeof(ret->alarms) - len, "%s%s (member %llx)", len ? ", " : "",
                 etcd_alarm_name(alarms.alarms[i].type), (unsigned long long)alarms.alarms[i].member);
    }
}

static void ask_etcd(const char *name, const struct config_etcd *c, struct preflight_etcd *ret)
{
    struct error err = ERROR_INIT;
    _cleanup_(etcd_closep) struct etcd *e = NULL;
    ret->name = name;
    if (store_etcd_open(c, &e, &err) < 0) {
        text_copy(ret->why, sizeof(ret->why), err.text);
        return;
    }
    ask_members(c, e, ret);
    ask_alarms(e, ret);
}

/* What the datastore is asked goes for the state store too, where they are one. */
static void ask_etcds(const struct config *c, struct gathered *g)
{
    bool raw = true;
    const struct config_etcd *own = config_own_datastore(c, &raw);
    if (own || !raw)
        ask_etcd("state-store", &c->state_store, &g->etcds[g->etcds_count++]);
    if (raw)
        ask_etcd("datastore", own ? own : &c->state_store, &g->etcds[g->etcds_count++]);
}

/* --- webhooks --- */

static const char *or_null(const char *s)
{
    return s && *s ? s : NULL;
}

static int list_hooks(struct kube *k, const struct config *c, const char *kind, struct preflight_hooks *ret,
                      struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(KUBE_REPLY_MAX);
    char path[128];
    long status = 0;
    snprintf(path, sizeof(path), HOOKS_PATH "%swebhookconfigurations", kind);
    int rc = kube_request(k, "GET", path, "application/json", NULL, NULL, 0, HOOKS_MS, &status, &body, err);
    if (rc == 0 && status != 200)
        rc = error_set(err, ERR_DENIED, "GET %s: HTTP %ld", path, status);
    return rc < 0 ? rc
                  : preflight_read_hooks(buf_str(&body), body.len, kind, (const char *const *)c->resources,
                                         c->resources_count, ret, err);
}

static int ask_hooks_at(const struct config *c, const char *name, const char *api,
                        struct preflight_hooks *ret, struct error *err)
{
    _cleanup_(kube_closep) struct kube *k = NULL;
    struct kube_options options = {
        .server = name,
        .url = api,
        .ca_file = or_null(c->kube_ca_file),
        .cert_file = or_null(c->kube_cert_file),
        .key_file = or_null(c->kube_key_file),
        .token_file = or_null(c->kube_token_file),
    };
    int rc = kube_open(&options, &k, err);
    if (rc == 0)
        rc = list_hooks(k, c, "validating", ret, err);
    return rc == 0 ? list_hooks(k, c, "mutating", ret, err) : rc;
}

/* The first API server that answers tells of all. */
static void ask_hooks(const struct config *c, struct preflight_hooks *ret)
{
    struct error err = ERROR_INIT;
    int rc = ERR_UNAVAILABLE;
    if (!*c->kube_cert_file && !*c->kube_token_file) {
        text_copy(ret->why, sizeof(ret->why),
                  "not looked at: this configuration has no login for the API servers");
        return;
    }
    for (size_t i = 0; i < c->servers_count && rc < 0; i++) {
        if (config_etcd_only(&c->servers[i]))
            continue;
        memset(ret, 0, sizeof(*ret));
        rc = ask_hooks_at(c, c->servers[i].name, c->servers[i].api, ret, &err);
    }
    if (rc < 0)
        snprintf(ret->why, sizeof(ret->why), "not known: %.400s", err.text);
}

int gather(struct session *s, struct gathered *ret, struct error *err)
{
    memset(ret, 0, sizeof(*ret));
    int rc = read_agents(s, ret, err);
    if (rc < 0)
        return rc;
    ask_etcds(s->config, ret);
    ask_hooks(s->config, &ret->hooks);
    return 0;
}

void gathered_free(struct gathered *g)
{
    free(g->agents);
    memset(g, 0, sizeof(*g));
}
