/* Who leads: the coordinator of the first server in restart order that is there. Every coordinator keeps a
 * candidate key under its lease; it tries for the leadership only while no preferred one has such a key. */
#include "coordinator.h"

#include <poll.h>

#include <base/clock.h>
#include <base/log.h>
#include <etcd/election.h>
#include <etcd/watch.h>

#define LOOK_EVERY_MS 2000
#define RETRY_MAX_MS  10000

static void leader_path(struct coordinator *c, char out[CLUSTER_KEY_PATH_MAX])
{
    cluster_key_path(out, store_cluster(c->store), CLUSTER_KEY_LEADER, NULL);
}

static int announce(struct coordinator *c, struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX], now[CLOCK_TEXT_MAX];
    if (c->lease && !etcd_lease_alive(c->lease)) {
        etcd_lease_free(c->lease, false);
        c->lease = NULL;
    }
    if (c->lease)
        return 0;
    int rc = etcd_lease_new(store_etcd(c->store), c->config->lease_ttl_s, STORE_DEADLINE_MS, &c->lease, err);
    if (rc < 0)
        return rc;
    cluster_key_path(path, store_cluster(c->store), CLUSTER_KEY_CANDIDATE, c->config->server);
    clock_format(clock_wall_ms(), now);
    rc = etcd_put(store_etcd(c->store), path, now, strlen(now), etcd_lease_id(c->lease), STORE_DEADLINE_MS,
                  NULL, err);
    if (rc < 0) {
        etcd_lease_free(c->lease, true);
        c->lease = NULL;
    }
    return rc;
}

/* True when a coordinator of an earlier server is alive. */
static int preferred_present(struct coordinator *c, bool *ret, struct error *err)
{
    char prefix[CLUSTER_KEY_PATH_MAX];
    struct etcd_range range = {0};
    cluster_key_path(prefix, store_cluster(c->store), CLUSTER_KEY_CANDIDATE, NULL);
    struct etcd_range_options options = {
        .prefix = prefix, .limit = CLUSTER_SERVERS_MAX * 2, .keys_only = true};
    int rc = etcd_list(store_etcd(c->store), &options, STORE_DEADLINE_MS, &range, err);
    if (rc < 0)
        return rc;
    int self = config_server_index(c->config, c->config->server);
    *ret = false;
    for (size_t i = 0; i < range.count; i++) {
        int rank = config_server_index(c->config, range.kvs[i].key + strlen(prefix));
        if (rank >= 0 && rank < self)
            *ret = true;
    }
    etcd_range_free(&range);
    return 0;
}

/* ERR_CONFLICT: not our turn. */
static int try_to_lead(struct coordinator *c, struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    bool preferred = false;
    int rc = announce(c, err);
    if (rc == 0)
        rc = preferred_present(c, &preferred, err);
    if (rc < 0)
        return rc;
    if (preferred)
        return error_set(err, ERR_CONFLICT, "a preferred coordinator is there");
    leader_path(c, path);
    return etcd_election_try(store_etcd(c->store), path, c->config->server, etcd_lease_id(c->lease),
                             STORE_DEADLINE_MS, &c->fence, err);
}

static void drain(struct etcd_watch *w)
{
    struct etcd_event ev;
    while (w && etcd_watch_next(w, 0, &ev, NULL) == 0)
        etcd_event_free(&ev);
}

/* Waits for a change of the leader's keys, the stop, or a while. ERR_CANCELED on stop. */
static int wait_for_change(struct etcd_watch *w, int stop_fd, int64_t timeout_ms, struct error *err)
{
    struct pollfd fds[] = {{stop_fd, POLLIN, 0}, {w ? etcd_watch_fd(w) : -1, POLLIN, 0}};
    (void)poll(fds, array_len(fds), (int)timeout_ms);
    drain(w);
    return fds[0].revents ? error_set(err, ERR_CANCELED, "stopped") : 0;
}

/* A lost race (ERR_CONFLICT) is an answer of the store's, and no step. */
void tell_result(struct coordinator *c, int rc, const struct error *err)
{
    bool away = rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT;
    log_dependency(&c->store_away, !away, err->text);
    if (away || rc == ERR_CONFLICT)
        return;
    log_dependency(&c->denied, rc != ERR_DENIED, err->text);
    log_dependency(&c->steps, rc == 0 || rc == ERR_DENIED, err->text);
}

int campaign(struct coordinator *c, int stop_fd, struct error *err)
{
    char prefix[CLUSTER_KEY_PATH_MAX];
    _cleanup_(etcd_watch_freep) struct etcd_watch *w = NULL;
    unsigned failures = 0;
    bool standby = false;
    snprintf(prefix, sizeof(prefix), "/secrets-encrypt/%s/leader/", store_cluster(c->store));
    int rc = etcd_watch_new(store_etcd(c->store), prefix, 0, &w, err);
    if (rc < 0)
        return rc;
    for (;;) {
        struct error why = ERROR_INIT;
        rc = try_to_lead(c, &why);
        tell_result(c, rc, &why);
        if (rc == 0)
            return 0;
        if (rc == ERR_CONFLICT) {
            if (!standby || failures)
                log_event(LOG_LEVEL_NOTICE, "standing by", LOG_S("why", why.text));
            standby = true;
            failures = 0;
        } else {
            failures++;
        }
        int64_t wait = failures ? backoff_ms(failures, 250, RETRY_MAX_MS) : LOOK_EVERY_MS;
        rc = wait_for_change(w, stop_fd, wait, err);
        if (rc < 0)
            return rc;
    }
}

void campaign_end(struct coordinator *c)
{
    char path[CLUSTER_KEY_PATH_MAX];
    for (enum log_about about = 0; about < LOG_ABOUT_COUNT; about++)
        log_context(about, NULL); /* whoever leads now is about it */
    if (c->fence) {
        leader_path(c, path);
        if (etcd_election_resign(store_etcd(c->store), path, c->fence, STORE_DEADLINE_MS, NULL) < 0)
            log_event(LOG_LEVEL_INFO, "leadership ends with its lease");
        c->fence = 0;
    }
    store_view_free(take(c->view));
    etcd_lease_free(c->lease, true);
    c->lease = NULL;
}
