/* secrets-encrypt-coordinator: one on every server; one leads, the others stand by. */
#include "api/api.h"
#include "coordinator.h"
#include "http/page.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include <base/clock.h>
#include <base/log.h>
#include <base/secret.h>
#include <base/text.h>
#include <crypto/crypto.h>
#include <etcd/watch.h>
#include <metrics/metrics.h>

#define PROGRAM       "secrets-encrypt-coordinator"
#define TICK_EVERY_MS 1000

static const char help[] =
    "Usage: " PROGRAM " [--config FILE]\n"
    "\n"
    "Runs in the foreground on every server. One coordinator leads, that of the first server preferred;\n"
    "the others stand by. It drives operations that `secrets-encrypt` asks for.\n"
    "\n"
    "SIGHUP: the API's certificates are read again.\n"
    "\n"
    "  --config FILE   default $SECRETS_ENCRYPT_CONFIG, else " CONFIG_DEFAULT_PATH "\n"
    "  --version       print the version\n"
    "  --help          this text\n";

/* Key material passes through this process: no core dumps, no ptrace by others, private files. */
static void harden(void)
{
    struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    secret_guard_process();
    (void)crypto_guard_memory();
    umask(077);
}

/* Before any thread: they inherit that it is blocked. */
static int signals_fd(int first, int second)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, first);
    sigaddset(&set, second);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int spec_from_config(const struct config *config, struct cluster_spec *spec, struct error *err)
{
    memset(spec, 0, sizeof(*spec));
    for (size_t i = 0; i < config->servers_count; i++) {
        struct cluster_spec_server *v = &spec->servers[i];
        if (!text_copy(v->name, sizeof(v->name), config->servers[i].name) ||
            !text_copy(v->api, sizeof(v->api), config->servers[i].api))
            return error_set(err, ERR_INVALID, "%s: servers[%zu] is too long", config->path, i);
        v->role = (enum server_role)server_role_parse(config->servers[i].role);
    }
    spec->servers_count = config->servers_count;
    for (size_t i = 0; i < config->resources_count; i++)
        if (!text_copy(spec->resources[i], sizeof(spec->resources[i]), config->resources[i]))
            return error_set(err, ERR_INVALID, "%s: resources[%zu] is too long", config->path, i);
    spec->resources_count = config->resources_count;
    spec->snapshots = strcmp(config->snapshots, "on") == 0;
    spec->canaries = strcmp(config->canaries, "on") == 0;
    spec->auto_repair = strcmp(config->repair, "auto") == 0;
    spec->escrow_days = config->escrow_days;
    spec->owned = strcmp(config->driver, "k3s") == 0 || strcmp(config->driver, "rke2") == 0;
    spec->not_raw = strcmp(config->datastore_raw, "off") == 0;
    return 0;
}

static void drain(struct etcd_watch *w)
{
    struct etcd_event ev;
    while (etcd_watch_next(w, 0, &ev, NULL) == 0)
        etcd_event_free(&ev);
}

/* Waits for something to look at. False: it is time to stop. */
static bool wait_event(struct coordinator *c, struct etcd_watch *w, int stop_fd, int64_t timeout_ms)
{
    struct pollfd fds[] = {
        {stop_fd, POLLIN, 0},
        {etcd_watch_fd(w), POLLIN, 0},
        {etcd_lease_fd(c->lease), POLLIN, 0},
        {c->job ? job_fd(c->job) : -1, POLLIN, 0},
    };
    (void)poll(fds, array_len(fds), (int)timeout_ms);
    drain(w);
    if (c->job)
        job_heard(c->job);
    return !fds[0].revents;
}

static void count_tick(int rc)
{
    metrics_count(METRICS_TICKS);
    if (rc < 0 && rc != ERR_CONFLICT)
        metrics_count(METRICS_TICK_FAILURES);
}

/* Ticks until the leadership ends. False: the program is to stop. */
static bool lead(struct coordinator *c, int stop_fd)
{
    char prefix[CLUSTER_KEY_PATH_MAX];
    struct error err = ERROR_INIT;
    _cleanup_(etcd_watch_freep) struct etcd_watch *w = NULL;
    cluster_key_path(prefix, store_cluster(c->store), CLUSTER_KEY_ALL, NULL);
    if (etcd_watch_new(store_etcd(c->store), prefix, 0, &w, &err) < 0) {
        log_event(LOG_LEVEL_ERROR, "cannot watch the state store", LOG_S("why", err.text));
        return true;
    }
    unsigned failures = 0;
    while (etcd_lease_alive(c->lease)) {
        enum tick_result result = TICK_IDLE;
        int rc = tick(c, &result, &err);
        count_tick(rc);
        tell_result(c, rc, &err);
        failures = rc < 0 ? failures + 1 : 0;
        if (rc == 0 && (result == TICK_RESIGN || result == TICK_DEPOSED)) {
            log_event(LOG_LEVEL_NOTICE, result == TICK_RESIGN ? "handing over to a preferred coordinator"
                                                              : "another coordinator leads");
            return true;
        }
        bool again = result == TICK_AGAIN || (c->job && job_ended(c->job));
        int64_t wait = rc < 0 ? backoff_ms(failures, 100, 5000) : again ? 0 : TICK_EVERY_MS;
        if (!wait_event(c, w, stop_fd, wait))
            return false;
    }
    log_event(LOG_LEVEL_WARNING, "lost the leadership: the lease ran out");
    return true;
}

static int serve(struct coordinator *c, int stop_fd, struct error *err)
{
    for (;;) {
        int rc = campaign(c, stop_fd, err);
        bool go_on = rc == 0;
        if (rc == 0) {
            log_event(LOG_LEVEL_NOTICE, "leading", LOG_I("fence", c->fence));
            metrics_count(METRICS_LEADERSHIPS);
            metrics_leads(true);
            go_on = lead(c, stop_fd);
            metrics_leads(false);
            job_free(take(c->job));
            writes_free(take(c->writes));
            c->writes_kept_ms = 0;
        }
        campaign_end(c);
        if (rc < 0 && rc != ERR_CANCELED)
            return rc;
        if (!go_on)
            return 0;
    }
}

static int open_all(struct coordinator *c, struct config **config, const char *path, struct error *err)
{
    int rc = config_load(path, CONFIG_FOR_COORDINATOR, config, err);
    if (rc < 0)
        return rc;
    c->config = *config;
    c->store_away = LOG_DEPENDENCY("state store away", "state store back");
    c->steps = LOG_DEPENDENCY("a step did not go through; trying again", "steps go through again");
    c->denied = LOG_DEPENDENCY("nothing may be decided", "what may be decided is known again");
    c->denied.level = LOG_LEVEL_ERROR;
    c->counting = LOG_DEPENDENCY("what is written under the key is not counted", "it is counted again");
    log_open(PROGRAM, (*config)->server, (enum log_level)log_level_parse((*config)->log_level),
             (enum log_format)log_format_parse((*config)->log_format));
    if (*(*config)->old)
        log_event(LOG_LEVEL_WARNING, "old names in the configuration", LOG_S("file", (*config)->path),
                  LOG_S("why", (*config)->old));
    rc = spec_from_config(*config, &c->spec, err);
    if (rc == 0)
        rc = maintenance_init(&c->maintenance, *config, err);
    etcd_observe(metrics_etcd_call);
    if (rc == 0)
        rc = store_open(*config, &c->store, err);
    if (rc == 0 && !c->spec.not_raw)
        rc = store_etcd_open(&(*config)->datastore, &c->datastore, err);
    return rc;
}

/* What others see of the cluster through this coordinator. It does without, where that cannot be. */
struct outlook {
    struct feed *feed; /* one reader of the state store for all of them */
    struct api *api;
    struct page *page;
};

static void open_outlook(struct coordinator *c, int reload_fd, struct outlook *w)
{
    struct error err = ERROR_INIT;
    bool api = api_is_wanted(c->config), page = page_is_wanted(c->config);
    int rc = api || page ? feed_new(c->store, &w->feed, &err) : 0;
    if (rc == 0 && api)
        rc = api_new(c->config, c->store, c->datastore, w->feed, reload_fd, &w->api, &err);
    if (rc < 0)
        log_event(LOG_LEVEL_ERROR, "there is no API", LOG_S("why", err.text));
    if (w->feed && page && page_new(c->config, c->store, w->feed, &w->page, &err) < 0)
        log_event(LOG_LEVEL_ERROR, "there is no page", LOG_S("why", err.text));
}

static void close_outlook(struct outlook *w)
{
    if (w->feed)
        feed_stop(w->feed); /* whoever waits for it goes */
    page_free(w->page);
    api_free(w->api);
    feed_free(w->feed);
}

static int run(const char *path, int stop_fd, int reload_fd)
{
    struct outlook outlook = {0};
    struct coordinator *c = calloc(1, sizeof(*c));
    struct config *config = NULL;
    struct error err = ERROR_INIT;
    int rc = c ? open_all(c, &config, path, &err) : error_no_memory(&err);
    if (rc == 0) {
        log_event(LOG_LEVEL_NOTICE, "started", LOG_S("version", SECRETS_ENCRYPT_VERSION),
                  LOG_S("cluster", config->cluster), LOG_S("state_store", etcd_name(store_etcd(c->store))),
                  LOG_S("datastore", c->datastore ? etcd_name(c->datastore) : "not to be read"));
        open_outlook(c, reload_fd, &outlook);
        rc = serve(c, stop_fd, &err);
    }
    if (rc < 0 && config)
        log_event(LOG_LEVEL_ERROR, "ended", LOG_S("why", err.text));
    else if (rc < 0)
        fprintf(stderr, PROGRAM ": %s\n", err.text);
    close_outlook(&outlook);
    log_flush();
    if (c) {
        kube_close(c->apis_kube);
        maintenance_clear(&c->maintenance);
        etcd_close(c->datastore);
        store_free(c->store);
    }
    config_free(config);
    free(c);
    return rc < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const char *path = getenv("SECRETS_ENCRYPT_CONFIG");
    int o;
    while ((o = getopt_long(argc, argv, "c:Vh", options, NULL)) != -1) {
        switch (o) {
        case 'c':
            path = optarg;
            break;
        case 'V':
            puts(PROGRAM " " SECRETS_ENCRYPT_VERSION);
            return 0;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, PROGRAM ": '%s': takes no arguments; see --help\n", argv[optind]);
        return 2;
    }
    harden();
    signal(SIGPIPE, SIG_IGN);
    int stop_fd = signals_fd(SIGTERM, SIGINT), reload_fd = signals_fd(SIGHUP, SIGHUP);
    return run(path && *path ? path : CONFIG_DEFAULT_PATH, stop_fd, reload_fd);
}
