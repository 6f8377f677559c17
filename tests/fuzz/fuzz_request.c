/* Any bytes as an HTTP request to the page: method, path and header lines, as the HTTP library (which this
 * stands in for) hands them over. Each gets exactly one reply with all the headers of ours; a good one is
 * only for GET and HEAD of a page that there is, without a body, under a name of ours, and not for another
 * site. */
#include <microhttpd.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include <base/text.h>

#include "fuzz.h"
#include "http/host.h"
#include "http/page_files.h"
#include "http/peers.h"
#include "http/server.h"
#include "http/stream.h"

#define OWN       "127.0.0.2:9449"
#define LINES_MAX 16

/* ---------- the HTTP library ---------- */

struct MHD_Response {
    size_t len, headers;
    bool type;
};

static struct {
    MHD_AccessHandlerCallback handle;
    void *arg;
    struct http_server *server;
    const char *method, *path, *lines[LINES_MAX]; /* "Name: value" */
    size_t lines_count;
    unsigned replies, status, responses;
} http;

/* Not to be looked into: nobody but this file knows what they are. */
static char connection, peer, stream;

struct MHD_Daemon *MHD_start_daemon(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback apc,
                                    void *apc_arg, MHD_AccessHandlerCallback handle, void *arg, ...)
{
    (void)flags, (void)port, (void)apc, (void)apc_arg;
    http.handle = handle;
    http.arg = arg;
    return (void *)&connection;
}

void MHD_stop_daemon(struct MHD_Daemon *d)
{
    (void)d;
}

enum MHD_Result MHD_add_connection(struct MHD_Daemon *d, MHD_socket fd, const struct sockaddr *a,
                                   socklen_t len)
{
    (void)d, (void)fd, (void)a, (void)len;
    return MHD_NO;
}

const char *MHD_lookup_connection_value(struct MHD_Connection *c, enum MHD_ValueKind kind, const char *name)
{
    size_t len = strlen(name);
    (void)c;
    MUST(kind == MHD_HEADER_KIND);
    for (size_t i = 0; i < http.lines_count; i++)
        if (strncasecmp(http.lines[i], name, len) == 0 && http.lines[i][len] == ':')
            return http.lines[i] + len + 1 + strspn(http.lines[i] + len + 1, " ");
    return NULL;
}

const union MHD_ConnectionInfo *MHD_get_connection_info(struct MHD_Connection *c,
                                                        enum MHD_ConnectionInfoType t, ...)
{
    static union MHD_ConnectionInfo info;
    (void)c;
    info = (union MHD_ConnectionInfo){.connect_fd = -1};
    if (t == MHD_CONNECTION_INFO_SOCKET_CONTEXT)
        info.socket_context = &peer;
    return &info;
}

static struct MHD_Response *respond(size_t len)
{
    struct MHD_Response *r = calloc(1, sizeof(*r));
    MUST(r);
    r->len = len;
    http.responses++;
    return r;
}

struct MHD_Response *MHD_create_response_from_buffer(size_t size, void *buffer,
                                                     enum MHD_ResponseMemoryMode mode)
{
    uint8_t sum = 0;
    (void)mode;
    for (size_t i = 0; i < size; i++)
        sum ^= ((const uint8_t *)buffer)[i]; /* all of it is there */
    return respond(size + (sum & 0));
}

struct MHD_Response *MHD_create_response_from_callback(uint64_t size, size_t block,
                                                       MHD_ContentReaderCallback read, void *arg,
                                                       MHD_ContentReaderFreeCallback done)
{
    char *chunk = malloc(block);
    uint64_t at = 0;
    MUST(chunk);
    for (ssize_t n = 0; (n = read(arg, at, chunk, block)) > 0;)
        at += (uint64_t)n;
    MUST(at == size);
    free(chunk);
    done(arg);
    return respond((size_t)size);
}

enum MHD_Result MHD_add_response_header(struct MHD_Response *r, const char *name, const char *value)
{
    MUST(*name && *value && !strpbrk(name, "\r\n:") && !strpbrk(value, "\r\n"));
    r->type |= strcmp(name, "Content-Type") == 0;
    r->headers++;
    return MHD_YES;
}

enum MHD_Result MHD_queue_response(struct MHD_Connection *c, unsigned status, struct MHD_Response *r)
{
    (void)c;
    MUST(r->type && r->headers >= 8);
    http.replies++;
    http.status = status;
    return MHD_YES;
}

void MHD_destroy_response(struct MHD_Response *r)
{
    http.responses--;
    free(r);
}

/* ---------- connections and streams ---------- */

int peers_new(unsigned max, struct peers **ret, struct error *err)
{
    (void)max, (void)err;
    *ret = (void *)&peer;
    return 0;
}

void peers_free(struct peers *p)
{
    (void)p;
}

struct peer *peers_add(struct peers *p, int fd, int64_t now_ms, int64_t deadline_ms)
{
    (void)p, (void)fd, (void)now_ms, (void)deadline_ms;
    return NULL;
}

void peers_remove(struct peers *p, struct peer *v)
{
    (void)p, (void)v;
}

void peer_expect(struct peers *p, struct peer *v, bool waits, int64_t now_ms, int64_t deadline_ms)
{
    MUST(p && v && !waits && deadline_ms > now_ms);
}

void peers_reap(struct peers *p, int64_t now_ms)
{
    (void)p, (void)now_ms;
}

int streams_new(struct board *board, struct peers *peers, unsigned max, int64_t beat_ms, int64_t send_ms,
                struct streams **ret, struct error *err)
{
    (void)board, (void)peers, (void)max, (void)beat_ms, (void)send_ms, (void)err;
    *ret = (void *)&stream;
    return 0;
}

void streams_free(struct streams *s)
{
    (void)s;
}

struct MHD_Response *streams_open(struct streams *s, struct MHD_Connection *c, struct peer *v, int fd)
{
    (void)s, (void)c, (void)v, (void)fd;
    MUST(strcmp(http.method, "GET") == 0 && strcmp(http.path, "/events") == 0);
    return respond(0);
}

unsigned streams_count(struct streams *s)
{
    (void)s;
    return 0;
}

void streams_tick(struct streams *s, int64_t now_ms)
{
    (void)s, (void)now_ms;
}

void streams_end(struct streams *s, int64_t timeout_ms)
{
    (void)s, (void)timeout_ms;
}

/* ---------- requests ---------- */

static bool ready(void *arg, char why[HTTP_WHY_MAX])
{
    (void)arg;
    snprintf(why, HTTP_WHY_MAX, "the state store has not answered");
    return false;
}

static int metrics(void *arg, struct buf *out, struct error *err)
{
    (void)arg;
    return buf_adds(out, "# EOF\n", err);
}

static bool is_page(const char *path)
{
    static const char *const others[] = {"/healthz", "/readyz", "/metrics", "/state.json", "/events"};
    bool is = false;
    for (size_t i = 0; i < array_len(others); i++)
        is |= strcmp(path, others[i]) == 0;
    for (size_t i = 0; i < page_files_count; i++)
        is |= strcmp(path, page_files[i].path) == 0;
    return is;
}

static const char *header(const char *name, const char *fallback)
{
    const char *value = MHD_lookup_connection_value((void *)&connection, MHD_HEADER_KIND, name);
    return value ? value : fallback;
}

static void must_be_right(void)
{
    bool reads = strcmp(http.method, "GET") == 0 || strcmp(http.method, "HEAD") == 0;
    bool body = strcmp(header("Content-Length", "0"), "0") != 0 || header("Transfer-Encoding", NULL);
    const char *site = header("Sec-Fetch-Site", "none");
    bool foreign = strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0 &&
                   strcmp(header("Sec-Fetch-Mode", ""), "navigate") != 0;
    bool refused = !reads || body || foreign || !http_host_is_ours(header("Host", ""), OWN);
    bool unready = strcmp(http.path, "/readyz") == 0;
    MUST(http.replies == 1 && http.responses == 0);
    if (refused)
        MUST(http.status == 405 || http.status == 400 || http.status == 421 || http.status == 403);
    else
        MUST(http.status == (!is_page(http.path) ? 404 : unready ? 503 : 200));
}

static void ask(void)
{
    void *context = NULL;
    size_t body_len = 0;
    http.replies = 0;
    for (int turn = 0; turn < 2 && http.replies == 0; turn++)
        MUST(http.handle(http.arg, (void *)&connection, http.path, http.method, "HTTP/1.1", NULL, &body_len,
                         &context) == MHD_YES);
    must_be_right();
}

static void open_once(void)
{
    static struct board *board;
    static struct http_options o = {.listen_fd = -1, .host = OWN, .hooks = {NULL, ready, metrics}};
    if (http.server)
        return;
    MUST(board_new(&board, NULL) == 0 && board_publish(board, "{\"servers\":[]}", 14, NULL) == 0);
    o.board = board;
    MUST(http_server_new(&o, &http.server, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = calloc(size + 1, 1), *rest = text;
    MUST(text);
    if (size > 0)
        memcpy(text, data, size);
    open_once();
    http.method = strsep(&rest, "\n");
    http.path = rest ? strsep(&rest, "\n") : "";
    http.lines_count = 0;
    while (rest && http.lines_count < LINES_MAX)
        http.lines[http.lines_count++] = strsep(&rest, "\n");
    ask();
    free(text);
    return 0;
}
