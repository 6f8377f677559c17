#include "look.h"

#include <etcd/watch.h>

#include <base/clock.h>

#include "console.h"

#define LOOK_MS    2000 /* for one read of the state store */
#define TURN_MS    1000 /* looks are at most so far apart … */
#define PAUSE_MS   100  /* … and at least so far, whatever the watch says */
#define EVENTS_MAX 4096 /* taken off the watch at once */

void look_open(struct look *l, struct session *s)
{
    char prefix[CLUSTER_KEY_PATH_MAX];
    *l = (struct look){.session = s};
    if (s->remote)
        return;
    cluster_key_path(prefix, store_cluster(s->store), CLUSTER_KEY_ALL, NULL);
    if (etcd_watch_new(store_etcd(s->store), prefix, 0, &l->watch, NULL) < 0)
        l->watch = NULL;
}

void look_close(struct look *l)
{
    etcd_watch_free(l->watch);
    l->watch = NULL;
}

static void tell_leader(struct look *l, const char *leader)
{
    int64_t now = clock_mono_ms();
    if (*leader) {
        if (l->leaderless_told)
            say_more("the coordinator on %s leads now", leader);
        l->leaderless_ms = 0;
        l->leaderless_told = false;
        return;
    }
    if (l->leaderless_ms == 0)
        l->leaderless_ms = now;
    if (!l->leaderless_told && now - l->leaderless_ms >= 3000) {
        say_more("no coordinator leads at the moment; waiting for the next one");
        l->leaderless_told = true;
    }
}

/* Through the API the first look asks, and the later ones follow what changes: the waiting is theirs. */
static int look_once(struct look *l, struct cluster_snapshot *ret, struct error *err)
{
    struct remote *remote = l->session->remote;
    if (!remote)
        return store_snapshot(l->session->store, LOOK_MS, ret, err);
    if (!l->followed || l->failures > 0) {
        l->followed = true;
        return remote_status(remote, LOOK_MS, ret, err);
    }
    return remote_follow(remote, PAUSE_MS, ret, err);
}

int look_now(struct look *l, struct cluster_snapshot *ret, struct error *err)
{
    struct error now = ERROR_INIT;
    const char *what = l->session->remote ? "coordinator" : "state store";
    int rc = look_once(l, ret, &now);
    if (rc < 0 && !error_is_transient(rc)) {
        if (err)
            *err = now;
        return rc;
    }
    if (rc < 0 && l->failures++ == 0)
        say_more("lost the %s: %s; the operation goes on without this command, which keeps trying", what,
                 now.text);
    if (rc == 0 && l->failures > 0) {
        say_more("the %s answers again", what);
        l->failures = 0;
    }
    if (rc == 0)
        tell_leader(l, ret->leader);
    return 0;
}

static void drain(struct look *l)
{
    for (int i = 0; l->watch && i < EVENTS_MAX; i++) {
        struct etcd_event event = {0};
        int rc = etcd_watch_next(l->watch, 0, &event, NULL);
        if (rc == ERR_TIMEOUT)
            return;
        if (rc < 0) { /* looking every TURN_MS does as well */
            etcd_watch_free(l->watch);
            l->watch = NULL;
            return;
        }
        etcd_event_free(&event);
    }
}

void look_pause(struct look *l)
{
    if (l->failures > 0) {
        interrupt_wait(-1, backoff_ms(l->failures - 1, 200, 3000));
        return;
    }
    interrupt_wait(-1, PAUSE_MS);
    if (l->session->remote)
        return;
    interrupt_wait(l->watch ? etcd_watch_fd(l->watch) : -1, TURN_MS - PAUSE_MS);
    drain(l);
}
