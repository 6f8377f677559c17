#include "checks_remote.h"

#include <agent/k3s.h>
#include <base/text.h>
#include <etcd/etcd.h>
#include <json/json.h>
#include <kube/kube.h>
#include <store/store.h>

#include "remote.h"

#define CALL_MS    3000
#define ANSWER_MAX (64 * 1024)

/* --- API server --- */

static int read_version(struct kube *k, char out[64], struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ANSWER_MAX);
    _cleanup_(json_freep) struct json *root = NULL;
    long status = 0;
    int rc =
        kube_request(k, "GET", "/version", "application/json", NULL, NULL, 0, CALL_MS, &status, &body, err);
    if (rc == 0 && status != 200)
        rc = error_set(err, ERR_DENIED, "GET /version: HTTP %ld", status);
    if (rc == 0)
        rc = json_parse(buf_str(&body), body.len, "GET /version", &root, err);
    if (rc < 0)
        return rc;
    (void)text_copy(out, 64, json_string(json_get(root, "gitVersion"), "an unknown version"));
    return 0;
}

static void check_api(const struct config *c, struct cluster_checks *out)
{
    static const char mend[] = "look at the API server's log; correct `servers` or `kubernetes` in the "
                               "configuration if they are wrong";
    _cleanup_(kube_closep) struct kube *k = NULL;
    struct error err = ERROR_INIT;
    char version[64] = "";
    if (k3s_etcd_only(c)) {
        checks_add(out, "api-server", CHECK_OK, NULL, "this server has none (role etcd)");
        return;
    }
    int rc = remote_kube(c, &k, &err);
    if (rc == 0)
        rc = read_version(k, version, &err);
    if (rc == 0)
        rc = kube_ready(k, CALL_MS, &err);
    int i = config_server_index(c, c->server);
    if (rc < 0)
        checks_add(out, "api-server", CHECK_FAIL, mend, "%s", err.text);
    else
        checks_add(out, "api-server", CHECK_OK, NULL, "%s: %s, ready", c->servers[i].api, version);
}

/* --- etcd --- */

struct members {
    size_t asked, answered;
    char version[32]; /* of the first */
    bool mixed;
    uint64_t cluster; /* of the first */
    bool strange;     /* another's is of another etcd cluster */
    int64_t bytes;    /* the largest database */
    struct error why;
};

static void ask_members(struct etcd *e, const atomic_bool *stop, struct members *m)
{
    m->asked = etcd_endpoint_count(e);
    for (size_t i = 0; i < m->asked && !atomic_load(stop); i++) {
        struct etcd_status s = {0};
        struct error err = ERROR_INIT;
        if (etcd_member_status(e, i, CALL_MS, &s, &err) < 0) {
            m->why = err;
            continue;
        }
        if (m->answered++ == 0) {
            (void)text_copy(m->version, sizeof(m->version), s.version);
            m->cluster = s.cluster;
        }
        m->strange |= s.cluster != m->cluster;
        m->mixed |= strcmp(m->version, s.version) != 0;
        m->bytes = s.db_size > m->bytes ? s.db_size : m->bytes;
    }
}

static int64_t check_etcd(const char *name, const struct config_etcd *c, const atomic_bool *stop,
                          struct cluster_checks *out)
{
    static const char mend[] =
        "start the member, or correct the endpoints and certificates in the configuration";
    _cleanup_(etcd_closep) struct etcd *e = NULL;
    struct members m = {.why = ERROR_INIT};
    int rc = store_etcd_open(c, &e, &m.why);
    if (rc == 0)
        ask_members(e, stop, &m);
    if (m.answered == 0)
        checks_add(out, name, CHECK_FAIL, mend, "no endpoint answers: %s", m.why.text);
    else if (m.strange)
        checks_add(out, name, CHECK_FAIL,
                   "take the endpoints that are not of this cluster out of the configuration",
                   "the endpoints belong to different etcd clusters: `etcdctl endpoint status` tells which "
                   "(CLUSTER ID)");
    else if (m.answered < m.asked)
        checks_add(out, name, CHECK_WARN, mend, "%zu of %zu endpoints answer (%s): %s", m.answered, m.asked,
                   m.version, m.why.text);
    else
        checks_add(out, name, m.mixed ? CHECK_WARN : CHECK_OK, "finish etcd's upgrade before a rotation",
                   "%zu of %zu endpoints answer: etcd %s%s", m.answered, m.asked, m.version,
                   m.mixed ? " and others" : "");
    return m.bytes;
}

void checks_remote(const struct config *c, const atomic_bool *stop, struct cluster_checks *out)
{
    check_api(c, out);
    if (atomic_load(stop))
        return;
    int64_t bytes = check_etcd("state-store", &c->state_store, stop, out);
    const struct config_etcd *datastore = config_own_datastore(c, NULL);
    if (datastore && !atomic_load(stop))
        bytes = check_etcd("datastore", datastore, stop, out);
    checks_snapshot_disk(c, bytes, out);
}
