#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/signalfd.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/log.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <etcd/watch.h>

#include "checks_rounds.h"
#include "file_watch.h"
#include "publish.h"
#include "remote.h"

#define IDLE_MS    1000
#define BUSY_MS    250
#define RUNNING_MS 100   /* while the restart command runs (its end also wakes us) */
#define STOP_MS    5000  /* for a restart command that runs when we are stopped */
#define ORDER_MS   10000 /* the order is read this often even when no event came */
#define UNKNOWN_MS 10000 /* bundles are read this often while the file's generation is not known */
#define SPEC_MS    30000
#define TRIM_MS    10000
#define STORE_MS   3000

struct daemon {
    const struct config *config;
    struct remote remote;
    struct agent agent;
    struct publisher publisher;
    struct etcd_watch *watch;
    struct checks *checks;
    struct file_watch file;
    int signals;
    int only; /* lock: one daemon a state folder */
    bool stop;
    bool order_event;
    bool was_ours;
    int64_t order_ms, bundles_ms, spec_ms, trim_ms; /* when each is due */
    int64_t bundles_for;                            /* the generation that they were read for */
    bool bundles_read; /* once at least: without them, an old file and an old order look new */
    bool spec_told;
    char bundles_bad[CLUSTER_TEXT_MAX]; /* told already */
    char order_bad[CLUSTER_TEXT_MAX];   /* told already */
};

/* --- orders --- */

static void order_denied(struct daemon *d, const struct error *err)
{
    if (strcmp(d->order_bad, err->text) != 0)
        log_event(LOG_LEVEL_ERROR, "order is not authentic, ignored", LOG_S("why", err->text));
    (void)text_copy(d->order_bad, sizeof(d->order_bad), err->text);
}

static void read_order(struct daemon *d, int64_t now_ms)
{
    bool due = d->order_event || d->agent.want_order || now_ms >= d->order_ms;
    bool may = d->agent.state.fresh || publisher_ours(&d->publisher);
    if (!due || !d->bundles_read || !may || !remote_may_ask(&d->remote, now_ms))
        return;
    struct cluster_order order;
    struct error err = ERROR_INIT;
    int rc = remote_order(&d->remote, STORE_MS, &order, &err);
    bool answered = rc == 0 || !error_is_transient(rc);
    remote_result(&d->remote, answered ? 0 : rc, &err);
    if (!answered)
        return;
    d->order_event = d->agent.want_order = false;
    d->order_ms = now_ms + ORDER_MS;
    if (rc == ERR_NOT_FOUND) {
        agent_withdraw(&d->agent);
    } else if (rc == ERR_INVALID) {
        agent_offer_unknown(&d->agent, order.id, err.text);
    } else if (rc < 0) {
        order_denied(d, &err);
        agent_look_failed(&d->agent);
    } else {
        d->order_bad[0] = 0;
        agent_offer(&d->agent, &order);
    }
}

static void drain_watch(struct daemon *d)
{
    struct etcd_event ev;
    while (etcd_watch_next(d->watch, 0, &ev, NULL) == 0) {
        etcd_event_free(&ev);
        d->order_event = true; /* whatever it was: the key itself is read, and its signature checked */
    }
}

/* --- what else is read --- */

static void read_bundles(struct daemon *d, int64_t now_ms)
{
    int64_t generation = agent_present(&d->agent).generation;
    if (d->bundles_read && known_has(&d->agent.known, generation))
        return;
    bool due = now_ms >= d->bundles_ms || generation != d->bundles_for;
    if (!due || !remote_may_ask(&d->remote, now_ms))
        return;
    struct error err = ERROR_INIT;
    int rc = d->remote.ops.refresh(d->remote.ops.ctx, &d->agent.known, &err);
    remote_result(&d->remote, rc, &err);
    if (rc < 0 && !error_is_transient(rc) && strcmp(d->bundles_bad, err.text) != 0)
        log_event(LOG_LEVEL_ERROR, "bundles cannot be read, so no order is read", LOG_S("why", err.text));
    (void)text_copy(d->bundles_bad, sizeof(d->bundles_bad), err.text);
    d->bundles_read |= rc == 0;
    d->bundles_for = generation;
    d->bundles_ms = now_ms + (d->bundles_read ? UNKNOWN_MS : IDLE_MS);
}

static void read_spec(struct daemon *d, int64_t now_ms)
{
    if (now_ms < d->spec_ms || !remote_may_ask(&d->remote, now_ms))
        return;
    struct error err = ERROR_INIT;
    bool listed = true;
    int rc = remote_in_spec(&d->remote, &listed, &err);
    d->spec_ms = now_ms + SPEC_MS;
    remote_result(&d->remote, rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT ? rc : 0, &err);
    if (rc == 0 && !listed && !d->spec_told)
        log_event(
            LOG_LEVEL_ERROR, "this server is not among the cluster's servers",
            LOG_S(
                "why",
                "the coordinator has published a list without it: add it to `servers` in every config file, "
                "or correct `server` in this one"));
    if (rc == 0)
        d->spec_told = !listed;
}

/* --- the loop --- */

static void read_signals(struct daemon *d)
{
    struct signalfd_siginfo info;
    while (read(d->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            d->stop = true; /* SIGCHLD has done its work by waking us */
        else if (info.ssi_signo == SIGHUP)
            checks_now(d->checks);
}

/* True when something came for us: other files in the encryption config's folder are not our concern. */
static bool poll_once(struct daemon *d, int timeout_ms)
{
    struct pollfd fds[] = {
        {d->signals, POLLIN, 0},
        {etcd_watch_fd(d->watch), POLLIN, 0},
        {publisher_fd(&d->publisher), POLLIN, 0},
        {file_watch_fd(&d->file), POLLIN, 0},
    };
    int ready = poll(fds, array_len(fds), timeout_ms); /* interrupted or timed out: the same */
    bool ours = file_watch_take(&d->file);
    return ours || ready != 1 || !fds[array_len(fds) - 1].revents;
}

static void wait_for_something(struct daemon *d, int timeout_ms)
{
    int64_t until = clock_mono_ms() + timeout_ms, left = timeout_ms;
    while (!poll_once(d, (int)left) && left > 0) {
        int64_t now = clock_mono_ms();
        left = now < until ? until - now : 0;
    }
    read_signals(d);
    drain_watch(d);
}

static int pause_ms(const struct daemon *d)
{
    if (d->agent.work.command)
        return RUNNING_MS;
    return agent_busy(&d->agent) || d->agent.want_order ? BUSY_MS : IDLE_MS;
}

/* Our report stands again: whatever was missed meanwhile is read now. */
static void note_ours(struct daemon *d)
{
    bool ours = publisher_ours(&d->publisher);
    if (ours && !d->was_ours) {
        d->order_event = true;
        d->spec_ms = d->bundles_ms = 0;
    }
    d->was_ours = ours;
}

static bool tick(struct daemon *d)
{
    int64_t now = clock_mono_ms();
    agent_observe(&d->agent, now, false);
    note_ours(d);
    read_bundles(d, now);
    read_order(d, now);
    bool moved = agent_step(&d->agent, now);
    enum stage stage = agent_present(&d->agent).stage;
    d->agent.state.stage = stage;
    /* Orders are given to servers that report: what is found before our first report is an old one. */
    if (!d->agent.state.fresh)
        publisher_tick(&d->publisher, &d->agent, clock_mono_ms());
    checks_publish(d->checks, &d->publisher, now);
    read_spec(d, now);
    if (secret_lock_failed())
        log_event(
            LOG_LEVEL_WARNING, "keys may be swapped to disk",
            LOG_S("why", "memory cannot be locked: raise the limit (LimitMEMLOCK=, ulimit -l) to 64 MiB"));
    if (now >= d->trim_ms) {
        command_trim(d->agent.output);
        d->trim_ms = now + TRIM_MS;
    }
    return moved;
}

/* A restart that runs is given a moment to end; one that does not is left alone and resumed by the next
 * start. */
static void stop(struct daemon *d)
{
    int64_t deadline = clock_mono_ms() + STOP_MS;
    while (d->agent.work.command && clock_mono_ms() < deadline) {
        wait_for_something(d, RUNNING_MS);
        (void)agent_step(&d->agent, clock_mono_ms());
    }
    (void)!agent_save(&d->agent, NULL); /* logged there */
    log_event(LOG_LEVEL_NOTICE, "stopped", LOG_S("step", job_step_name(d->agent.state.job.step)));
}

/* --- start --- */

static int open_signals(int *ret, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    for (size_t i = 0; i < array_len(signals); i++)
        sigaddset(&set, signals[i]);
    *ret = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return *ret < 0 ? error_errno(err, errno, "signalfd") : 0;
}

static int lock_folder(const struct config *c, int *ret, struct error *err)
{
    char path[PATH_MAX];
    int rc = dir_make(c->state_dir, 0700, err);
    if (rc < 0)
        return error_prefix(err, rc, "state_dir");
    if (snprintf(path, sizeof(path), "%s/daemon.lock", c->state_dir) >= (int)sizeof(path))
        return error_set(err, ERR_INVALID, "%s: state_dir: the path is too long", c->path);
    *ret = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*ret < 0)
        return error_errno(err, errno, "%s", path);
    if (flock(*ret, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, ERR_STATE, "another agent runs with state_dir %s: stop it first", c->state_dir);
    return 0;
}

static int daemon_open(struct daemon *d, const struct config *config, struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    memset(d, 0, sizeof(*d));
    d->config = config;
    d->signals = d->only = d->agent.dir.lock_fd = d->file.fd = -1;
    int rc = lock_folder(config, &d->only, err);
    if (rc == 0)
        rc = open_signals(&d->signals, err);
    if (rc == 0)
        rc = remote_open(&d->remote, config, err);
    if (rc == 0)
        rc = agent_open(&d->agent, config, &d->remote.ops, err);
    if (rc == 0)
        rc = d->agent.driver->check(config, err);
    if (rc == 0 && d->agent.driver->prepare)
        rc = d->agent.driver->prepare(config, err);
    if (rc < 0)
        return rc;
    publisher_init(&d->publisher, &d->remote);
    file_watch_open(&d->file, config->encryption_config);
    cluster_key_path(path, config->cluster, CLUSTER_KEY_ORDER, config->server);
    rc = etcd_watch_new(store_etcd(d->remote.store), path, 0, &d->watch, err);
    return rc < 0 ? rc : checks_start(config, d->agent.driver, &d->checks, err);
}

/* Watch and lease go before the client that they use. */
static void daemon_close(struct daemon *d)
{
    etcd_watch_free(d->watch);
    publisher_close(&d->publisher);
    checks_stop(d->checks);
    file_watch_close(&d->file);
    agent_close(&d->agent);
    remote_close(&d->remote);
    if (d->signals >= 0)
        close(d->signals);
    if (d->only >= 0)
        close(d->only);
    free(d);
}

int loop_run(const struct config *config, struct error *err)
{
    struct daemon *d = malloc(sizeof(*d)); /* too large for a stack */
    if (!d)
        return error_no_memory(err);
    int rc = daemon_open(d, config, err);
    if (rc == 0) {
        log_event(LOG_LEVEL_NOTICE, "started", LOG_S("version", SECRETS_ENCRYPT_VERSION),
                  LOG_S("cluster", config->cluster), LOG_S("driver", config->driver),
                  LOG_S("instance", d->agent.instance));
        agent_observe(&d->agent, clock_mono_ms(), true);
        while (!d->stop)
            wait_for_something(d, tick(d) ? 0 : pause_ms(d));
        stop(d);
    }
    log_flush();
    daemon_close(d);
    return rc;
}
