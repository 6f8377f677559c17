#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include <base/clock.h>
#include <base/text.h>

#include "host.h"
#include "page_files.h"
#include "peers.h"
#include "stream.h"

#define CONNECTIONS 64
#define STREAMS     16
#define REQUEST_MS  10000
#define REPLY_MS    30000
#define BEAT_MS     15000
#define SPARE       64 /* connections that are shut down and not yet closed */
#define SEND_BUFFER (128 * 1024)
#define MEMORY      (HTTP_HEADER_MAX + 8192) /* of a connection: header lines, and what is sent */
#define METRICS_MAX ((size_t)16 * 1024 * 1024)
#define END_MS      1000
#define OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define TEXT        "text/plain; charset=utf-8"

struct http_server {
    struct http_options o;
    char host[128];
    struct MHD_Daemon *daemon;
    struct peers *peers;
    struct streams *streams;
};

/* ---------- replies ---------- */

/* Nothing of somebody else's is loaded, nobody frames it, nothing is kept. */
static const char *const headers[][2] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'; "
     "base-uri 'none'; form-action 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cache-Control", "no-store"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
};

/* Takes the reply. */
static enum MHD_Result send_reply(struct MHD_Connection *c, unsigned status, const char *type,
                                  struct MHD_Response *r)
{
    if (!r)
        return MHD_NO;
    enum MHD_Result ok = MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    for (size_t i = 0; ok == MHD_YES && i < array_len(headers); i++)
        ok = MHD_add_response_header(r, headers[i][0], headers[i][1]);
    if (ok == MHD_YES && status == MHD_HTTP_METHOD_NOT_ALLOWED)
        ok = MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    if (ok == MHD_YES && status == MHD_HTTP_SERVICE_UNAVAILABLE)
        ok = MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "5");
    if (ok == MHD_YES && status >= 400 && status != MHD_HTTP_NOT_FOUND)
        ok = MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
    if (ok == MHD_YES)
        ok = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return ok;
}

static enum MHD_Result send_bytes(struct MHD_Connection *c, unsigned status, const char *type,
                                  const void *data, size_t len)
{
    return send_reply(c, status, type,
                      MHD_create_response_from_buffer(len, (void *)(uintptr_t)data, MHD_RESPMEM_MUST_COPY));
}

static enum MHD_Result send_line(struct MHD_Connection *c, unsigned status, const char *text)
{
    char line[HTTP_WHY_MAX + 2];
    snprintf(line, sizeof(line), "%s\n", text);
    return send_bytes(c, status, TEXT, line, strlen(line));
}

/* ---------- paths ---------- */

struct asked {
    struct http_server *server;
    struct MHD_Connection *connection;
    struct peer *peer;
    bool head;
};

static enum MHD_Result give_health(const struct asked *a)
{
    return send_line(a->connection, MHD_HTTP_OK, "ok");
}

static enum MHD_Result give_ready(const struct asked *a)
{
    const struct http_hooks *h = &a->server->o.hooks;
    char why[HTTP_WHY_MAX] = "";
    bool ready = h->ready(h->arg, why);
    return send_line(a->connection, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, ready ? "ok" : why);
}

static enum MHD_Result give_metrics(const struct asked *a)
{
    const struct http_hooks *h = &a->server->o.hooks;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(METRICS_MAX);
    struct error err = ERROR_INIT;
    if (h->metrics(h->arg, &out, &err) < 0)
        return send_line(a->connection, MHD_HTTP_SERVICE_UNAVAILABLE, err.text);
    return send_bytes(a->connection, MHD_HTTP_OK, OPENMETRICS, buf_str(&out), out.len);
}

/* The document is sent as it stands on the board. */
static void free_text(void *arg)
{
    board_text_unref(arg);
}

static ssize_t read_text(void *arg, uint64_t at, char *to, size_t max)
{
    const struct board_text *t = arg;
    size_t left = at < t->json_len ? t->json_len - (size_t)at : 0, n = left < max ? left : max;
    memcpy(to, t->event + t->json_at + (size_t)at, n);
    return n > 0 ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
}

static enum MHD_Result give_state(const struct asked *a)
{
    struct board_text *t = board_get(a->server->o.board, 0);
    if (!t)
        return send_line(a->connection, MHD_HTTP_SERVICE_UNAVAILABLE, "the state store was not read yet");
    struct MHD_Response *r = MHD_create_response_from_callback(t->json_len, 8192, read_text, t, free_text);
    if (!r)
        board_text_unref(t);
    return send_reply(a->connection, MHD_HTTP_OK, "application/json", r);
}

static int socket_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    return i ? i->connect_fd : -1;
}

static enum MHD_Result give_events(const struct asked *a)
{
    struct http_server *s = a->server;
    if (a->head)
        return send_bytes(a->connection, MHD_HTTP_OK, "text/event-stream", "", 0);
    struct MHD_Response *r = streams_open(s->streams, a->connection, a->peer, socket_of(a->connection));
    if (!r)
        return send_line(a->connection, MHD_HTTP_SERVICE_UNAVAILABLE, "too many pages are open; try again");
    peer_expect(s->peers, a->peer, false, clock_mono_ms(),
                INT64_MAX); /* streams have deadlines of their own */
    return send_reply(a->connection, MHD_HTTP_OK, "text/event-stream", r);
}

static const struct {
    const char *path;
    enum MHD_Result (*give)(const struct asked *a);
} paths[] = {
    {"/healthz", give_health},   {"/readyz", give_ready},  {"/metrics", give_metrics},
    {"/state.json", give_state}, {"/events", give_events},
};

static enum MHD_Result give(const struct asked *a, const char *path)
{
    for (size_t i = 0; i < array_len(paths); i++)
        if (strcmp(paths[i].path, path) == 0)
            return paths[i].give(a);
    for (size_t i = 0; i < page_files_count; i++)
        if (strcmp(page_files[i].path, path) == 0)
            return send_reply(a->connection, MHD_HTTP_OK, page_files[i].type,
                              MHD_create_response_from_buffer(page_files[i].len,
                                                              (void *)(uintptr_t)page_files[i].data,
                                                              MHD_RESPMEM_PERSISTENT));
    return send_line(a->connection, MHD_HTTP_NOT_FOUND, "there is no such page; see /");
}

/* ---------- requests ---------- */

static const char *header(struct MHD_Connection *c, const char *name)
{
    return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

/* 0, or the status of a refusal with its reason. */
static unsigned refuse(const struct http_server *s, struct MHD_Connection *c, const char *method,
                       const char **ret_why)
{
    const char *host = header(c, MHD_HTTP_HEADER_HOST), *length = header(c, MHD_HTTP_HEADER_CONTENT_LENGTH);
    const char *site = header(c, "Sec-Fetch-Site");
    *ret_why = "only GET and HEAD: nothing can be changed here";
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return MHD_HTTP_METHOD_NOT_ALLOWED;
    *ret_why = "a request has no body here";
    if ((length && strcmp(length, "0") != 0) || header(c, MHD_HTTP_HEADER_TRANSFER_ENCODING))
        return MHD_HTTP_BAD_REQUEST;
    *ret_why = "this is served under localhost, 127.0.0.1, [::1] and the address of http.listen alone";
    if (s->o.host && (!host || !http_host_is_ours(host, s->host)))
        return MHD_HTTP_MISDIRECTED_REQUEST;
    *ret_why = "not to be loaded by another site";
    /* "same-site" is another port of this machine, and somebody else's. */
    const char *mode = header(c, "Sec-Fetch-Mode");
    bool ours = !site || strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0;
    bool follows_link = mode && strcmp(mode, "navigate") == 0;
    return ours || follows_link ? 0 : MHD_HTTP_FORBIDDEN;
}

static struct peer *peer_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return i ? i->socket_context : NULL;
}

/* Called once when the header is there, and again when the request is whole: answered then. */
static enum MHD_Result handle(void *arg, struct MHD_Connection *c, const char *path, const char *method,
                              const char *version, const char *body, size_t *body_len, void **context)
{
    static char begun;
    struct http_server *s = arg;
    struct asked a = {s, c, peer_of(c), strcmp(method, MHD_HTTP_METHOD_HEAD) == 0};
    const char *why = NULL;
    (void)version, (void)body;
    if (!a.peer)
        return MHD_NO; /* memory was out when it came */
    unsigned status = refuse(s, c, method, &why);
    if (!*context && !status) {
        *context = &begun;
        return MHD_YES;
    }
    *body_len = 0;
    int64_t now_ms = clock_mono_ms();
    peer_expect(s->peers, a.peer, false, now_ms, now_ms + s->o.limits.reply_ms);
    return status ? send_line(c, status, why) : give(&a, path);
}

static void ended(void *arg, struct MHD_Connection *c, void **context, enum MHD_RequestTerminationCode how)
{
    struct http_server *s = arg;
    struct peer *peer = peer_of(c);
    int64_t now_ms = clock_mono_ms();
    (void)how;
    *context = NULL;
    if (peer)
        peer_expect(s->peers, peer, true, now_ms, now_ms + s->o.limits.request_ms);
}

static void connection_changed(void *arg, struct MHD_Connection *c, void **context,
                               enum MHD_ConnectionNotificationCode what)
{
    struct http_server *s = arg;
    int64_t now_ms = clock_mono_ms();
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        peers_remove(s->peers, take(*context));
        return;
    }
    int fd = socket_of(c), size = SEND_BUFFER;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    *context = peers_add(s->peers, fd, now_ms, now_ms + s->o.limits.request_ms);
}

/* Whatever a caller does wrong is no news. */
static void ignore(void *arg, const char *format, va_list arguments)
{
    (void)arg, (void)format, (void)arguments;
}

/* ---------- the server ---------- */

static void set_limits(struct http_limits *l)
{
    l->connections = l->connections ? l->connections : CONNECTIONS;
    l->streams = l->streams ? l->streams : STREAMS;
    l->request_ms = l->request_ms ? l->request_ms : REQUEST_MS;
    l->reply_ms = l->reply_ms ? l->reply_ms : REPLY_MS;
    l->beat_ms = l->beat_ms ? l->beat_ms : BEAT_MS;
}

static int start(struct http_server *s, struct error *err)
{
    const bool listens = s->o.listen_fd >= 0;
    const struct http_limits *l = &s->o.limits;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)ignore, NULL},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)connection_changed, s},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)ended, s},
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)(l->connections + SPARE), NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, MEMORY, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {listens ? MHD_OPTION_LISTEN_SOCKET : MHD_OPTION_END, s->o.listen_fd, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
                     MHD_USE_ERROR_LOG | (listens ? 0 : MHD_USE_NO_LISTEN_SOCKET);
    s->o.listen_fd = -1; /* the library's now: nothing says that it lives when the start fails */
    s->daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, s, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    if (!s->daemon)
        return error_set(err, ERR_IO, "the HTTP library's server does not start");
    return 0;
}

int http_server_new(const struct http_options *o, struct http_server **ret, struct error *err)
{
    struct http_server *s = calloc(1, sizeof(*s));
    if (!s) {
        if (o->listen_fd >= 0)
            close(o->listen_fd);
        return error_no_memory(err);
    }
    s->o = *o;
    set_limits(&s->o.limits);
    (void)text_copy(s->host, sizeof(s->host), o->host ? o->host : "");
    int rc = peers_new(s->o.limits.connections, &s->peers, err);
    if (rc == 0)
        rc = streams_new(o->board, s->peers, s->o.limits.streams, s->o.limits.beat_ms, s->o.limits.reply_ms,
                         &s->streams, err);
    if (rc == 0)
        rc = start(s, err);
    if (rc < 0)
        http_server_free(s);
    else
        *ret = s;
    return rc;
}

int http_server_add(struct http_server *s, int fd, struct error *err)
{
    /* Of a socket pair there is no address to tell; the library wants one all the same. */
    const struct sockaddr_in nowhere = {.sin_family = AF_INET};
    if (MHD_add_connection(s->daemon, fd, (const struct sockaddr *)&nowhere, sizeof(nowhere)) == MHD_YES)
        return 0;
    return error_set(err, ERR_UNAVAILABLE, "too many connections to the page are open");
}

void http_server_tick(struct http_server *s)
{
    int64_t now_ms = clock_mono_ms();
    streams_tick(s->streams, now_ms);
    peers_reap(s->peers, now_ms);
}

unsigned http_server_streams(struct http_server *s)
{
    return streams_count(s->streams);
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    if (s->daemon) {
        streams_end(s->streams, END_MS);
        MHD_stop_daemon(s->daemon);
    }
    if (s->o.listen_fd >= 0)
        close(s->o.listen_fd);
    streams_free(s->streams);
    peers_free(s->peers);
    free(s);
}
