/* A server on a free port of loopback, and clients that write bytes as they like. */
#ifndef TESTS_HTTP_CLIENT_H
#define TESTS_HTTP_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <base/clock.h>
#include <http/server.h>

#define HOST    "Host: localhost\r\n"
#define WAIT_MS 20000

struct fixture {
    struct board *board;
    struct http_server *server;
    struct sockaddr_in at;
    pthread_t ticker;
    atomic_bool stop, ready;
};

static bool is_ready(void *arg, char why[HTTP_WHY_MAX])
{
    struct fixture *f = arg;
    snprintf(why, HTTP_WHY_MAX, "%s", f->ready ? "" : "etcd is away");
    return f->ready;
}

static int metrics(void *arg, struct buf *out, struct error *err)
{
    (void)arg;
    return buf_adds(out, "# EOF\n", err);
}

/* As the page's thread does, only more often. */
static void *tick(void *arg)
{
    struct fixture *f = arg;
    while (!f->stop) {
        http_server_tick(f->server);
        clock_nap_ms(10);
    }
    return NULL;
}

static void begin(struct fixture *f, const struct http_limits *limits)
{
    struct error err = ERROR_INIT;
    struct http_options o = {.host = "127.0.0.1:1", .hooks = {f, is_ready, metrics}, .limits = *limits};
    socklen_t len = sizeof(f->at);
    memset(f, 0, sizeof(*f));
    f->ready = true;
    assert_int_equal(board_new(&f->board, &err), 0);
    assert_int_equal(http_listen("127.0.0.1:0", &o.listen_fd, &err), 0);
    assert_int_equal(getsockname(o.listen_fd, (struct sockaddr *)&f->at, &len), 0);
    o.board = f->board;
    if (http_server_new(&o, &f->server, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(pthread_create(&f->ticker, NULL, tick, f), 0);
}

static void end(struct fixture *f)
{
    f->stop = true;
    pthread_join(f->ticker, NULL);
    http_server_free(f->server);
    board_free(f->board);
}

static int reach(const struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&f->at, sizeof(f->at)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    size_t at = 0, len = strlen(text);
    while (at < len) {
        ssize_t n = send(fd, text + at, len - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return; /* it was closed: what came back tells why */
        at += n > 0 ? (size_t)n : 0;
    }
}

/* Reads until the end, or until `until` was read (NULL: the end). False: WAIT_MS are over. */
static bool hear(int fd, struct buf *out, const char *until)
{
    struct error err = ERROR_INIT;
    int64_t deadline_ms = clock_mono_ms() + WAIT_MS;
    static char piece[64 * 1024];
    size_t seen = 0; /* it does not begin before this */
    for (;;) {
        struct pollfd p = {fd, POLLIN, 0};
        if (until && strstr(buf_str(out) + seen, until))
            return true;
        seen = until && out->len > strlen(until) ? out->len - strlen(until) : 0;
        int64_t left_ms = deadline_ms - clock_mono_ms();
        if (left_ms <= 0 || poll(&p, 1, (int)left_ms) < 1)
            return false;
        ssize_t n = recv(fd, piece, sizeof(piece), 0);
        if (n <= 0)
            return until == NULL;
        assert_int_equal(buf_add(out, piece, (size_t)n, &err), 0);
    }
}

/* One request on a connection of its own; the reply's status. The whole reply is in *out. */
__attribute__((unused)) static int ask(const struct fixture *f, const char *request, struct buf *out)
{
    int fd = reach(f), status = 0;
    say(fd, request);
    (void)shutdown(fd, SHUT_WR);
    buf_reset(out);
    bool ended = hear(fd, out, NULL);
    close(fd);
    assert_true(ended);
    if (strncmp(buf_str(out), "HTTP/1.1 ", 9) == 0)
        status = (int)strtol(buf_str(out) + 9, NULL, 10);
    return status;
}

__attribute__((unused)) static void publish(struct fixture *f, const char *json)
{
    struct error err = ERROR_INIT;
    assert_int_equal(board_publish(f->board, json, strlen(json), &err), 0);
}

#endif
