#include "publish.h"

#include <base/clock.h>
#include <base/log.h>
#include <cluster/codec.h>

#define CALL_MS    2000
#define RIVAL_MS   3000
#define REPORT_MAX (64 * 1024)

void publisher_init(struct publisher *p, struct remote *remote)
{
    memset(p, 0, sizeof(*p));
    p->remote = remote;
    p->last.max = REPORT_MAX;
    p->leases = LOG_DEPENDENCY("no lease", "leases are given again");
    p->reports = LOG_DEPENDENCY("report not published", "reports are taken again");
    p->leases.level = p->reports.level = LOG_LEVEL_ERROR;
}

static void lease_drop(struct publisher *p, bool revoke)
{
    if (p->lease)
        etcd_lease_free(p->lease, revoke);
    p->lease = NULL;
    p->ours = false;
}

void publisher_close(struct publisher *p)
{
    lease_drop(p, true);
    buf_free(&p->last);
}

int publisher_fd(const struct publisher *p)
{
    return p->lease ? etcd_lease_fd(p->lease) : -1;
}

bool publisher_ours(struct publisher *p)
{
    return p->ours && p->lease && etcd_lease_alive(p->lease);
}

static int lease_keep(struct publisher *p)
{
    if (p->lease && !etcd_lease_alive(p->lease)) {
        log_event(LOG_LEVEL_WARNING, "lease lost");
        lease_drop(p, false);
    }
    if (p->lease)
        return 0;
    struct error err = ERROR_INIT;
    int rc = etcd_lease_new(store_etcd(p->remote->store), p->remote->config->lease_ttl_s, CALL_MS, &p->lease,
                            &err);
    remote_result(p->remote, rc, &err);
    if (rc == 0)
        log_event(LOG_LEVEL_INFO, "lease granted", LOG_I("ttl", p->remote->config->lease_ttl_s));
    if (!error_is_transient(rc))
        log_dependency(&p->leases, rc == 0, err.text);
    return rc;
}

/* One transaction: the signed report and the two plain keys, which say the same. */
static int write_report(struct publisher *p, const struct cluster_report *report, struct error *err)
{
    const char *cluster = p->remote->config->cluster, *server = p->remote->config->server;
    char path[CLUSTER_KEY_PATH_MAX], value[CLUSTER_HASH_MAX + 32];
    int64_t lease = etcd_lease_id(p->lease);
    _cleanup_(buf_freep) struct buf body = BUF_INIT(REPORT_MAX);
    int rc = cluster_report_encode(report, &body, err);
    if (rc < 0)
        return rc;
    _cleanup_(etcd_txn_freep) struct etcd_txn *txn = etcd_txn_new(store_etcd(p->remote->store));
    cluster_key_path(path, cluster, CLUSTER_KEY_REPORT, server);
    if (p->ours)
        etcd_txn_if_lease(txn, path, lease);
    else
        etcd_txn_if_create(txn, path, 0);
    rc = store_txn_put(p->remote->store, txn, CLUSTER_KEY_REPORT, server, &body, lease, err);
    if (rc < 0)
        return rc;
    const char *stage = stage_name(report->stage);
    cluster_key_path(path, cluster, CLUSTER_KEY_STAGE, server);
    etcd_txn_put(txn, path, stage, strlen(stage), lease);
    snprintf(value, sizeof(value), "%s-%s", stage, report->hash);
    cluster_key_path(path, cluster, CLUSTER_KEY_HASH, server);
    etcd_txn_put(txn, path, value, strlen(value), lease);
    return etcd_txn_commit(txn, CALL_MS, NULL, err);
}

int publisher_put(struct publisher *p, enum cluster_key key, const struct buf *body, struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    const char *server = p->remote->config->server;
    if (!publisher_ours(p))
        return error_set(err, ERR_CONFLICT, "this server's report does not stand");
    int64_t lease = etcd_lease_id(p->lease);
    _cleanup_(etcd_txn_freep) struct etcd_txn *txn = etcd_txn_new(store_etcd(p->remote->store));
    cluster_key_path(path, p->remote->config->cluster, CLUSTER_KEY_REPORT, server);
    etcd_txn_if_lease(txn, path, lease);
    int rc = store_txn_put(p->remote->store, txn, key, server, body, lease, err);
    return rc < 0 ? rc : etcd_txn_commit(txn, CALL_MS, NULL, err);
}

/* Another's report stands there. One that is renewed has a living agent behind it; one that is not is what
 * an earlier run left, and goes with its lease. */
static void tell_rival(struct publisher *p, const struct etcd_kv *kv)
{
    const char *server = p->remote->config->server;
    if (p->rival_mod && p->rival_mod != kv->mod_revision && !p->rival_told) {
        char text[128];
        snprintf(text, sizeof(text), "another agent publishes as %s", server);
        log_event(LOG_LEVEL_ERROR, text,
                  LOG_S("why", "two machines have the same `server` in their config: "
                               "correct one; nothing is overwritten and no order taken meanwhile"));
        p->rival_told = true;
    } else if (!p->rival_told && !p->rest_told) {
        log_event(LOG_LEVEL_NOTICE, "waiting for the lease of an earlier report to end",
                  LOG_S("server", server));
        p->rest_told = true;
    }
    p->rival_mod = kv->mod_revision;
}

/* The guard was refused: whose report is it? */
static void conflict(struct publisher *p, int64_t now_ms)
{
    char path[CLUSTER_KEY_PATH_MAX];
    struct etcd_range range = {0};
    struct error err = ERROR_INIT;
    cluster_key_path(path, p->remote->config->cluster, CLUSTER_KEY_REPORT, p->remote->config->server);
    int rc = etcd_get(store_etcd(p->remote->store), path, CALL_MS, &range, &err);
    p->ours = rc == 0 && range.kvs[0].lease == etcd_lease_id(p->lease);
    if (rc == 0 && !p->ours) {
        tell_rival(p, &range.kvs[0]);
        p->retry_ms = now_ms + RIVAL_MS;
    } else {
        p->retry_ms = now_ms + backoff_ms(0, 200, 200);
    }
    remote_result(p->remote, rc == ERR_NOT_FOUND ? 0 : rc, &err);
    etcd_range_free(&range);
}

static void published(struct publisher *p, struct buf *said, int64_t now_ms)
{
    if (!p->ours)
        log_event(LOG_LEVEL_INFO, "report published", LOG_S("server", p->remote->config->server));
    p->ours = true;
    p->rival_told = p->rest_told = false;
    p->rival_mod = 0;
    p->last_ms = now_ms;
    buf_free(&p->last);
    p->last = *said;
    memset(said, 0, sizeof(*said));
}

static bool due(const struct publisher *p, const struct buf *said, int64_t now_ms)
{
    bool changed = p->last.len != said->len || memcmp(buf_str(&p->last), buf_str(said), said->len) != 0;
    return !p->ours || changed || now_ms - p->last_ms >= p->remote->config->lease_ttl_s * 500;
}

void publisher_tick(struct publisher *p, const struct agent *a, int64_t now_ms)
{
    if (now_ms < p->retry_ms || !remote_may_ask(p->remote, now_ms) || lease_keep(p) < 0)
        return;
    struct cluster_report report;
    struct error err = ERROR_INIT;
    _cleanup_(buf_freep) struct buf said = BUF_INIT(REPORT_MAX);
    agent_report(a, 0, &report);
    if (cluster_report_encode(&report, &said, &err) < 0 || !due(p, &said, now_ms))
        return;
    report.time_ms = clock_wall_ms();
    int rc = write_report(p, &report, &err);
    if (rc == ERR_CONFLICT) {
        conflict(p, now_ms);
        return;
    }
    remote_result(p->remote, rc, &err);
    if (!error_is_transient(rc))
        log_dependency(&p->reports, rc == 0, err.text);
    if (rc == 0)
        published(p, &said, now_ms);
    else if (!error_is_transient(rc))
        p->retry_ms = now_ms + RIVAL_MS;
}
