#include "api.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include <base/clock.h>
#include <base/log.h>
#include <base/text.h>
#include <door/door.h>

#include "caller.h"
#include "service.h"

#define RETRY_MS       10000
#define STREAMS_MAX    128
#define STREAMS_A_PEER 16
#define CALLS_MAX      256
#define CALLS_A_PEER   16
#define DEADLINE_MS    10000
#define SEND_MS        10000
#define IDLE_MS        (10 * 60 * 1000)

/* The ways in. Each is opened on its own: a certificate that is missing closes nobody's socket. */
enum way { WAY_SOCKET, WAY_TLS, WAYS };

struct api {
    const struct config *config;
    struct store *store;
    struct etcd *datastore;
    struct feed *feed;
    struct service *service;
    struct rpc_server *server;
    struct door *doors[WAYS];
    char told[WAYS][ERROR_TEXT_MAX]; /* why it is not open, as it was logged; "" : nothing was */
    pthread_t thread;
    int reload_fd, stop_fd;
};

/* ---------- callers ---------- */

static struct who *who_of(const struct config_api *config, const struct door_peer *p)
{
    char local[CLUSTER_WHO_MAX];
    struct who *w = malloc(sizeof(*w));
    if (!w)
        return NULL;
    bool is_local = p->kind == DOOR_UNIX;
    snprintf(local, sizeof(local), "%s (uid %u)", p->user, (unsigned)p->uid);
    /* Without a subject it is its first other name that it is known by. */
    const char *name = *p->tls.subject ? p->tls.subject : p->tls.sans_count > 0 ? p->tls.sans[0] : "no name";
    who_init(w, is_local ? local : name, is_local ? "unix" : p->from, caller_role(config, p),
             is_local ? 0 : p->tls.until_ms);
    return w;
}

/* On the door's thread. */
static int take_caller(void *arg, int fd, const struct door_peer *peer, struct error *err)
{
    struct api *a = arg;
    struct who *w = who_of(&a->config->api, peer);
    if (!w)
        return error_no_memory(err); /* the door closes the descriptor */
    struct error own = ERROR_INIT;
    if (rpc_server_add(a->server, fd, w, &own) < 0) /* it has closed the descriptor, which was its */
        log_event(LOG_LEVEL_WARNING, "a caller of the API could not be served", LOG_S("from", peer->from),
                  LOG_S("why", own.text));
    return 0;
}

static void take_note(void *arg, const struct door_note *n)
{
    struct api *a = arg;
    struct who w;
    bool news =
        n->kind == DOOR_NOTE_RELOADED || n->kind == DOOR_NOTE_RELOAD || n->kind == DOOR_NOTE_RESOURCES;
    if (news || n->kind == DOOR_NOTE_IDLE) {
        log_event(news && n->kind != DOOR_NOTE_RELOADED ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE, "api",
                  LOG_S("note", door_note_name(n->kind)), LOG_S("from", n->from), LOG_S("who", n->subject),
                  LOG_S("why", n->why), LOG_I("left_out", (int64_t)n->left_out));
        return;
    }
    who_init(&w, *n->subject ? n->subject : "not known", n->from, API_ROLE_NONE, 0);
    service_tell_refusal(a->service, &w, "connect", door_note_name(n->kind), n->why, n->left_out);
}

static const char *peer_key(const void *peer)
{
    return ((const struct who *)peer)->identity;
}

/* ---------- opening ---------- */

static int open_server(struct api *a, struct error *err)
{
    size_t count = 0;
    const struct rpc_server_method *methods = service_methods(&count);
    const struct rpc_server_options o = {
        .methods = methods,
        .methods_count = count,
        .arg = a->service,
        .max_message = API_MESSAGE_MAX,
        .max_send = API_REPLY_MAX,
        .idle_ms = IDLE_MS,
        .workers = API_WORKERS,
        .calls_max = CALLS_MAX,
        .calls_of_peer = CALLS_A_PEER,
        .streams_max = STREAMS_MAX,
        .streams_of_peer = STREAMS_A_PEER,
        .deadline_ms = DEADLINE_MS,
        .send_ms = SEND_MS,
        .peer_key = peer_key,
        .free_peer = free,
    };
    return rpc_server_new(&o, &a->server, err);
}

static int open_service(struct api *a, struct error *err)
{
    int rc = a->service ? 0 : service_new(a->config, a->store, a->datastore, a->feed, &a->service, err);
    return rc == 0 && !a->server ? open_server(a, err) : rc;
}

static bool wanted(const struct config *c, enum way way)
{
    return way == WAY_SOCKET ? *c->api.socket != 0 : c->api.listen_count > 0;
}

bool api_is_wanted(const struct config *config)
{
    return wanted(config, WAY_SOCKET) || wanted(config, WAY_TLS);
}

static int open_door(struct api *a, enum way way, struct error *err)
{
    const struct config_api *c = &a->config->api;
    /* rpc/server.h looks no number of a descriptor up: were they to rest, whoever has a certificate could use
     * them up by coming and going. */
    struct door_options o = {
        .take = take_caller, .note = take_note, .arg = a, .limits = {.number_rests_ms = 1}};
    if (way == WAY_SOCKET) {
        o.unix_path = c->socket;
        o.unix_group = c->socket_group;
    } else {
        o.files =
            (struct tls_files){.cert = c->cert_file, .key = c->key_file, .client_ca = c->client_ca_file};
        for (size_t i = 0; i < c->listen_count && i < DOOR_TCP_MAX; i++)
            o.tcp[o.tcp_count++] = c->listen[i];
    }
    return door_new(&o, &a->doors[way], err);
}

/* Each reason is logged once. */
static void tell_closed(struct api *a, enum way way, const struct error *err)
{
    if (strcmp(a->told[way], err->text) == 0)
        return;
    text_copy(a->told[way], sizeof(a->told[way]), err->text);
    log_event(LOG_LEVEL_WARNING,
              way == WAY_SOCKET ? "the API's socket is not open; trying again"
                                : "the API does not listen; trying again",
              LOG_S("why", err->text));
}

static void open_what_is_closed(struct api *a)
{
    for (int way = 0; way < WAYS; way++) {
        struct error err = ERROR_INIT;
        if (a->doors[way] || !wanted(a->config, (enum way)way))
            continue;
        int rc = open_service(a, &err);
        if (rc == 0)
            rc = open_door(a, (enum way)way, &err);
        if (rc < 0) {
            tell_closed(a, (enum way)way, &err);
            continue;
        }
        a->told[way][0] = 0;
        log_event(LOG_LEVEL_NOTICE, "the API is open",
                  LOG_S("at", way == WAY_SOCKET ? a->config->api.socket : a->config->api.listen[0]));
    }
}

static void look_at_certificates(struct api *a)
{
    for (int way = 0; way < WAYS; way++)
        if (a->doors[way])
            door_reload(a->doors[way]);
}

/* Waits for something to do. False: it is time to stop. */
static bool wait_turn(struct api *a, bool *ret_reload)
{
    struct signalfd_siginfo signal;
    struct pollfd fds[] = {{a->stop_fd, POLLIN, 0}, {a->reload_fd, POLLIN, 0}};
    (void)poll(fds, array_len(fds), RETRY_MS);
    *ret_reload = fds[1].revents && read(a->reload_fd, &signal, sizeof(signal)) == (ssize_t)sizeof(signal);
    return !fds[0].revents;
}

static void close_all(struct api *a)
{
    for (int way = 0; way < WAYS; way++)
        door_free(a->doors[way]);
    if (a->service)
        service_stop(a->service);
    rpc_server_free(a->server);
    service_free(a->service);
}

static void *run(void *arg)
{
    struct api *a = arg;
    bool reload = false;
    do {
        if (reload)
            look_at_certificates(a);
        open_what_is_closed(a);
    } while (wait_turn(a, &reload));
    close_all(a);
    return NULL;
}

int api_new(const struct config *config, struct store *store, struct etcd *datastore, struct feed *feed,
            int reload_fd, struct api **ret, struct error *err)
{
    struct api *a = calloc(1, sizeof(*a));
    if (!a)
        return error_no_memory(err);
    a->config = config;
    a->store = store;
    a->datastore = datastore;
    a->feed = feed;
    a->reload_fd = reload_fd;
    a->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int failed = a->stop_fd < 0 ? errno : pthread_create(&a->thread, NULL, run, a);
    if (failed) {
        if (a->stop_fd >= 0)
            close(a->stop_fd);
        free(a);
        return error_errno(err, failed, "starting the API's thread");
    }
    *ret = a;
    return 0;
}

void api_free(struct api *a)
{
    if (!a)
        return;
    (void)eventfd_write(a->stop_fd, 1);
    pthread_join(a->thread, NULL);
    close(a->stop_fd);
    free(a);
}
