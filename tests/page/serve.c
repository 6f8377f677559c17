/* The page's server without a cluster: every line of stdin is a document to put up, the end of stdin its end.
 * The first line on stdout is its port. */
#include <http/server.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TURN_MS 50

static bool is_ready(void *arg, char why[HTTP_WHY_MAX])
{
    (void)arg;
    *why = 0;
    return true;
}

static int metrics(void *arg, struct buf *out, struct error *err)
{
    (void)arg;
    return buf_adds(out, "# EOF\n", err);
}

/* Whole lines of what has come. */
static int put_up(struct board *board, struct buf *in, struct error *err)
{
    char *end;
    int rc = 0;
    while (rc == 0 && in->len > 0 && (end = memchr(in->data, '\n', in->len))) {
        size_t len = (size_t)(end - in->data);
        rc = board_publish(board, in->data, len, err);
        memmove(in->data, end + 1, in->len - len - 1);
        in->len -= len + 1;
    }
    return rc;
}

static int serve(struct board *board, struct http_server *server, struct error *err)
{
    static char piece[64 * 1024];
    _cleanup_(buf_freep) struct buf in = BUF_INIT(BOARD_DOCUMENT_MAX);
    for (;;) {
        struct pollfd p = {STDIN_FILENO, POLLIN, 0};
        ssize_t n = poll(&p, 1, TURN_MS) == 1 ? read(STDIN_FILENO, piece, sizeof(piece)) : -1;
        int rc = n > 0 ? buf_add(&in, piece, (size_t)n, err) : 0;
        if (rc == 0 && n > 0)
            rc = put_up(board, &in, err);
        if (rc < 0 || n == 0)
            return rc;
        http_server_tick(server);
    }
}

int main(void)
{
    struct error err = ERROR_INIT;
    struct sockaddr_in at = {0};
    socklen_t len = sizeof(at);
    struct http_server *server = NULL;
    _cleanup_(board_freep) struct board *board = NULL;
    struct http_options o = {.host = "127.0.0.1:0", .hooks = {NULL, is_ready, metrics}};
    int rc = board_new(&board, &err);
    o.board = board;
    if (rc == 0)
        rc = http_listen("127.0.0.1:0", &o.listen_fd, &err);
    if (rc == 0 && getsockname(o.listen_fd, (struct sockaddr *)&at, &len) == 0) {
        printf("%u\n", (unsigned)ntohs(at.sin_port));
        fflush(stdout);
        rc = http_server_new(&o, &server, &err);
    }
    if (rc == 0)
        rc = serve(board, server, &err);
    http_server_free(server);
    if (rc < 0)
        fprintf(stderr, "serve: %s\n", err.text);
    return rc < 0;
}
