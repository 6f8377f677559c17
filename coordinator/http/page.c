#include "page.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include <api/records.h>
#include <base/clock.h>
#include <base/log.h>
#include <base/text.h>
#include <door/door.h>
#include <report/status.h>
#include <store/audit.h>

#include "../api/caller.h"
#include "document.h"
#include "metrics.h"
#include "server.h"

#define RETRY_MS       10000 /* until what could not be opened is tried again */
#define TURN_MS        1000
#define GAP_MS         250                 /* at most four documents a second … */
#define LARGE          ((size_t)96 * 1024) /* … and of large ones */
#define LARGE_GAP_MS   1000                /* one */
#define READY_MS       10000               /* so long may the state store not have answered */
#define AUDIT_EVERY_MS 5000
#define AUDIT_MS       1000 /* for reading it */

/* The ways in. Each is opened on its own. */
enum way { WAY_LOOPBACK, WAY_TLS, WAYS };

struct page {
    const struct config *config;
    struct store *store;
    struct feed *feed;
    struct board *board;
    struct http_server *servers[WAYS];
    struct door *door;               /* before WAY_TLS */
    char told[WAYS][ERROR_TEXT_MAX]; /* why it is not open, as it was logged; "" : nothing was */
    int64_t tried_ms;
    pthread_t thread;
    int stop_fd;
    /* the document */
    int64_t revision; /* of the feed's step that was last seen */
    int64_t built_ms, audit_ms;
    size_t size;
    bool dirty, stale;
    struct log_dependency drawing;
    struct store_audit_entry audit[DOCUMENT_AUDIT_MAX];
    size_t audit_count;
    char audit_why[CLUSTER_TEXT_MAX];
};

bool page_is_wanted(const struct config *config)
{
    return *config->http.listen || config->http.tls_listen_count > 0;
}

/* ---------- what the state store says ---------- */

static int snapshot_of(struct page *p, const struct feed_state *state, struct cluster_snapshot **ret,
                       struct error *err)
{
    _cleanup_free_ struct cluster_snapshot *s = calloc(1, sizeof(*s));
    if (!s)
        return error_no_memory(err);
    int rc =
        records_snapshot(&state->records, store_cluster(p->store), state->revision, state->time_ms, s, err);
    if (rc == 0) {
        status_use_config(s, p->config);
        *ret = take(s);
    }
    return rc;
}

/* The last look's state; why[]: the store does not answer (any more), "" when it does. */
static struct feed_state *peek(struct page *p, char why[HTTP_WHY_MAX])
{
    struct feed_state *state = NULL;
    struct error said = ERROR_INIT, err = ERROR_INIT;
    int64_t age_ms = 0;
    int code = 0;
    *why = 0;
    if (feed_peek(p->feed, &state, &age_ms, &code, &said, &err) < 0)
        snprintf(why, HTTP_WHY_MAX, "%s", err.text);
    else if (code < 0 && age_ms > READY_MS)
        snprintf(why, HTTP_WHY_MAX, "the state store has not answered for %d s: %s", (int)(age_ms / 1000),
                 said.text);
    else if (age_ms > READY_MS)
        snprintf(why, HTTP_WHY_MAX, "the state store has not answered for %d s", (int)(age_ms / 1000));
    return state;
}

static bool give_ready(void *arg, char why[HTTP_WHY_MAX])
{
    feed_state_unref(peek(arg, why));
    return *why == 0;
}

static int give_metrics(void *arg, struct buf *out, struct error *err)
{
    struct page *p = arg;
    char why[HTTP_WHY_MAX];
    _cleanup_(feed_state_unrefp) struct feed_state *state = peek(p, why);
    _cleanup_free_ struct cluster_snapshot *snapshot = NULL;
    int rc = state ? snapshot_of(p, state, &snapshot, err) : 0;
    return rc < 0 ? rc : page_metrics(p->config, snapshot, state ? &state->checks : NULL, out, err);
}

/* ---------- the document ---------- */

static unsigned viewers(const struct page *p)
{
    unsigned count = 0;
    for (int way = 0; way < WAYS; way++)
        count += p->servers[way] ? http_server_streams(p->servers[way]) : 0;
    return count;
}

/* Entries stand in no look. Read now and then, where somebody looks. */
static void read_audit(struct page *p)
{
    struct error err = ERROR_INIT;
    size_t count = 0;
    int rc = store_audit_list(p->store, DOCUMENT_AUDIT_MAX, NULL, AUDIT_MS, p->audit, &count, &err);
    p->audit_ms = clock_mono_ms();
    (void)text_copy(p->audit_why, sizeof(p->audit_why), rc < 0 ? err.text : "");
    if (rc == 0)
        p->audit_count = count;
}

static int build(struct page *p, const struct feed_state *state, const char *why, struct error *err)
{
    _cleanup_free_ struct cluster_snapshot *snapshot = NULL;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(BOARD_DOCUMENT_MAX);
    int rc = snapshot_of(p, state, &snapshot, err);
    if (rc < 0)
        return rc;
    if (!*why)
        read_audit(p);
    const struct document_input in = {.snapshot = snapshot,
                                      .cluster = store_cluster(p->store),
                                      .server = p->config->server,
                                      .stale_why = why,
                                      .audit = p->audit,
                                      .audit_count = p->audit_count,
                                      .audit_why = p->audit_why};
    rc = document_render(&in, &out, err);
    if (rc == 0)
        rc = board_publish(p->board, buf_str(&out), out.len - 1, err); /* without its line break */
    p->size = out.len;
    return rc;
}

static void publish(struct page *p)
{
    char why[HTTP_WHY_MAX];
    struct error err = ERROR_INIT;
    _cleanup_(feed_state_unrefp) struct feed_state *state = peek(p, why);
    if (!state)
        return;
    p->dirty = false;
    p->stale = *why != 0;
    p->built_ms = clock_mono_ms();
    int rc = build(p, state, why, &err);
    log_dependency(&p->drawing, rc == 0, err.text);
}

/* Waits for news, a turn at most. False: it is time to stop. */
static bool wait_news(struct page *p, int64_t timeout_ms)
{
    struct feed_step step;
    struct error err = ERROR_INIT;
    if (feed_next(p->feed, p->revision, timeout_ms, &step, &err) < 0)
        return false;
    p->dirty = p->dirty || step.whole || step.count > 0 || step.deleted_count > 0;
    p->revision = step.revision;
    feed_step_free(&step);
    return true;
}

static void look_at_document(struct page *p)
{
    char why[HTTP_WHY_MAX];
    int64_t now_ms = clock_mono_ms();
    feed_state_unref(peek(p, why));
    bool audit_due = viewers(p) > 0 && now_ms - p->audit_ms >= AUDIT_EVERY_MS && !*why;
    if (p->dirty || p->stale != (*why != 0) || audit_due)
        publish(p);
}

/* ---------- opening ---------- */

/* On the door's thread. */
static int take_caller(void *arg, int fd, const struct door_peer *peer, struct error *err)
{
    struct page *p = arg;
    if (caller_role(&p->config->api, peer) < API_ROLE_VIEWER)
        return error_set(err, ERR_DENIED, "the certificate has no role: add one under api.roles");
    struct error own = ERROR_INIT;
    if (http_server_add(p->servers[WAY_TLS], fd, &own) < 0) /* it has closed the descriptor */
        log_event(LOG_LEVEL_WARNING, "a caller of the page could not be served", LOG_S("from", peer->from),
                  LOG_S("why", own.text));
    return 0;
}

static void take_note(void *arg, const struct door_note *n)
{
    (void)arg;
    log_event(n->kind == DOOR_NOTE_RELOADED ? LOG_LEVEL_NOTICE : LOG_LEVEL_WARNING, "page",
              LOG_S("note", door_note_name(n->kind)), LOG_S("from", n->from), LOG_S("who", n->subject),
              LOG_S("why", n->why), LOG_I("left_out", (int64_t)n->left_out));
}

static int open_server(struct page *p, enum way way, int listen_fd, struct error *err)
{
    const struct http_options o = {.listen_fd = listen_fd,
                                   .host = way == WAY_LOOPBACK ? p->config->http.listen : NULL,
                                   .board = p->board,
                                   .hooks = {p, give_ready, give_metrics}};
    return http_server_new(&o, &p->servers[way], err);
}

static int open_loopback(struct page *p, struct error *err)
{
    int fd = -1, rc = http_listen(p->config->http.listen, &fd, err);
    return rc < 0 ? rc : open_server(p, WAY_LOOPBACK, fd, err);
}

static int open_tls(struct page *p, struct error *err)
{
    const struct config_api *c = &p->config->api;
    struct door_options o = {.take = take_caller, .note = take_note, .arg = p};
    o.files = (struct tls_files){
        .cert = c->cert_file, .key = c->key_file, .client_ca = c->client_ca_file, .http1 = true};
    for (size_t i = 0; i < p->config->http.tls_listen_count && i < DOOR_TCP_MAX; i++)
        o.tcp[o.tcp_count++] = p->config->http.tls_listen[i];
    int rc = p->servers[WAY_TLS] ? 0 : open_server(p, WAY_TLS, -1, err);
    return rc == 0 ? door_new(&o, &p->door, err) : rc;
}

static bool is_open(const struct page *p, enum way way)
{
    if (way == WAY_LOOPBACK)
        return p->servers[WAY_LOOPBACK] || !*p->config->http.listen;
    return p->door || p->config->http.tls_listen_count == 0;
}

/* Each reason is logged once. */
static void open_way(struct page *p, enum way way)
{
    struct error err = ERROR_INIT;
    if (is_open(p, way))
        return;
    int rc = way == WAY_LOOPBACK ? open_loopback(p, &err) : open_tls(p, &err);
    const char *at = way == WAY_LOOPBACK ? p->config->http.listen : p->config->http.tls_listen[0];
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "the page is open", LOG_S("at", at));
    else if (strcmp(p->told[way], err.text) != 0)
        log_event(LOG_LEVEL_WARNING, "the page is not open; the coordinator goes on without, and tries again",
                  LOG_S("why", err.text));
    (void)text_copy(p->told[way], sizeof(p->told[way]), rc < 0 ? err.text : "");
}

static void open_what_is_closed(struct page *p)
{
    int64_t now_ms = clock_mono_ms();
    if (p->tried_ms > 0 && now_ms - p->tried_ms < RETRY_MS)
        return;
    p->tried_ms = now_ms;
    for (int way = 0; way < WAYS; way++)
        open_way(p, (enum way)way);
}

/* ---------- the thread ---------- */

static void tick(struct page *p)
{
    for (int way = 0; way < WAYS; way++)
        if (p->servers[way])
            http_server_tick(p->servers[way]);
}

/* After a document others wait for a moment. False: it is time to stop. */
static bool keep_gap(struct page *p)
{
    int64_t gap_ms = p->size > LARGE ? LARGE_GAP_MS : GAP_MS;
    int64_t left_ms = p->built_ms + gap_ms - clock_mono_ms();
    struct pollfd stop = {p->stop_fd, POLLIN, 0};
    return p->built_ms == 0 || left_ms <= 0 ? poll(&stop, 1, 0) == 0 : poll(&stop, 1, (int)left_ms) == 0;
}

static void *run(void *arg)
{
    struct page *p = arg;
    do {
        open_what_is_closed(p);
        look_at_document(p);
        tick(p);
    } while (keep_gap(p) && wait_news(p, TURN_MS));
    door_free(p->door);
    for (int way = 0; way < WAYS; way++)
        http_server_free(p->servers[way]);
    return NULL;
}

int page_new(const struct config *config, struct store *store, struct feed *feed, struct page **ret,
             struct error *err)
{
    struct page *p = calloc(1, sizeof(*p));
    if (!p)
        return error_no_memory(err);
    p->config = config;
    p->store = store;
    p->feed = feed;
    p->drawing = LOG_DEPENDENCY("the page could not be brought up to date", "the page is up to date again");
    p->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = p->stop_fd < 0 ? error_errno(err, errno, "eventfd") : board_new(&p->board, err);
    if (rc == 0) {
        int failed = pthread_create(&p->thread, NULL, run, p);
        rc = failed ? error_errno(err, failed, "starting the page's thread") : 0;
    }
    if (rc < 0) {
        board_free(p->board);
        if (p->stop_fd >= 0)
            close(p->stop_fd);
        free(p);
        return rc;
    }
    *ret = p;
    return 0;
}

void page_free(struct page *p)
{
    if (!p)
        return;
    (void)eventfd_write(p->stop_fd, 1);
    pthread_join(p->thread, NULL);
    board_free(p->board);
    close(p->stop_fd);
    free(p);
}
