/* Paths, refusals and bounds. */
#include "client.h"

#define OUT_MAX (4 * 1024 * 1024)
#define CLOSE   "Connection: close\r\n\r\n"

static void every_path(void **state)
{
    static const struct {
        const char *request;
        int status;
        const char *holds;
    } cases[] = {
        {"GET / HTTP/1.1\r\n" HOST CLOSE, 200, "<!doctype html>"},
        {"GET /page.css HTTP/1.1\r\n" HOST CLOSE, 200, "Content-Type: text/css"},
        {"GET /page.js HTTP/1.1\r\n" HOST CLOSE, 200, "Content-Type: text/javascript"},
        {"GET /healthz HTTP/1.1\r\n" HOST CLOSE, 200, "\r\n\r\nok\n"},
        {"GET /readyz HTTP/1.1\r\n" HOST CLOSE, 200, "\r\n\r\nok\n"},
        {"GET /metrics HTTP/1.1\r\n" HOST CLOSE, 200, "# EOF\n"},
        {"GET /metrics?x=1 HTTP/1.1\r\n" HOST CLOSE, 200, "application/openmetrics-text"},
        {"GET /state.json HTTP/1.1\r\n" HOST CLOSE, 200, "\r\n\r\n{\"a\":1}"},
        {"HEAD /events HTTP/1.1\r\n" HOST CLOSE, 200, "Content-Type: text/event-stream"},
        {"GET /page HTTP/1.1\r\n" HOST CLOSE, 404, "there is no such page"},
        {"GET /../etc/passwd HTTP/1.1\r\n" HOST CLOSE, 404, ""},
        {"GET /%2e%2e/page.js%00 HTTP/1.1\r\n" HOST CLOSE, 404, ""},
    };
    struct fixture f;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    (void)state;
    begin(&f, &(struct http_limits){0});
    assert_int_equal(ask(&f, "GET /state.json HTTP/1.1\r\n" HOST CLOSE, &out), 503);
    publish(&f, "{\"a\":1}");
    for (size_t i = 0; i < array_len(cases); i++) {
        assert_int_equal(ask(&f, cases[i].request, &out), cases[i].status);
        if (!strstr(buf_str(&out), cases[i].holds))
            fail_msg("%s: %s", cases[i].request, buf_str(&out));
    }
    end(&f);
}

static void headers_are_strict(void **state)
{
    static const char *const wanted[] = {"Content-Security-Policy: default-src 'none'; script-src 'self'; "
                                         "style-src 'self'; connect-src 'self'; "
                                         "frame-ancestors 'none'; base-uri 'none'; form-action 'none'\r\n",
                                         "X-Content-Type-Options: nosniff\r\n",
                                         "Referrer-Policy: no-referrer\r\n", "Cache-Control: no-store\r\n",
                                         "Cross-Origin-Resource-Policy: same-origin\r\n"};
    static const char *const requests[] = {"GET / HTTP/1.1\r\n" HOST CLOSE, "GET /x HTTP/1.1\r\n" HOST CLOSE,
                                           "PUT / HTTP/1.1\r\n" HOST CLOSE,
                                           "HEAD /events HTTP/1.1\r\n" HOST CLOSE};
    struct fixture f;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    (void)state;
    begin(&f, &(struct http_limits){0});
    for (size_t i = 0; i < array_len(requests); i++) {
        (void)ask(&f, requests[i], &out);
        for (size_t k = 0; k < array_len(wanted); k++)
            if (!strstr(buf_str(&out), wanted[k]))
                fail_msg("%s lacks %s", requests[i], wanted[k]);
        assert_null(strstr(buf_str(&out), "Access-Control-"));
    }
    end(&f);
}

static void head_has_no_body(void **state)
{
    struct fixture f;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    (void)state;
    begin(&f, &(struct http_limits){0});
    publish(&f, "{\"a\":1}");
    assert_int_equal(ask(&f, "HEAD /state.json HTTP/1.1\r\n" HOST CLOSE, &out), 200);
    assert_non_null(strstr(buf_str(&out), "Content-Length: 7\r\n"));
    assert_string_equal(strstr(buf_str(&out), "\r\n\r\n"), "\r\n\r\n");
    end(&f);
}

static void what_is_refused(void **state)
{
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n" CLOSE, 405},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n" CLOSE "abc", 405},
        {"PUT /state.json HTTP/1.1\r\n" HOST CLOSE, 405},
        {"DELETE / HTTP/1.1\r\n" HOST CLOSE, 405},
        {"OPTIONS / HTTP/1.1\r\n" HOST CLOSE, 405},
        {"TRACE / HTTP/1.1\r\n" HOST CLOSE, 405},
        {"get / HTTP/1.1\r\n" HOST CLOSE, 405},
        {"GET / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n" CLOSE "abc", 400},
        {"GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n" CLOSE "0\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: evil.example\r\n" CLOSE, 421},
        {"GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n" CLOSE, 421},
        {"GET / HTTP/1.1\r\nHost: 10.0.0.1:9449\r\n" CLOSE, 421},
        {"GET / HTTP/1.1\r\nHost: localhost:80:80\r\n" CLOSE, 421},
        {"GET / HTTP/1.1\r\nHost:\r\n" CLOSE, 421},
        {"GET / HTTP/1.0\r\n" CLOSE, 421},
        {"GET / HTTP/1.1\r\n" CLOSE, 400},
        {"GET /state.json HTTP/1.1\r\n" HOST
         "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n" CLOSE,
         403},
        {"GET / HTTP/1.1\r\n" HOST "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n" CLOSE, 200},
        /* What another port of this machine serves is the same site to a browser, and somebody else's. */
        {"GET /events HTTP/1.1\r\n" HOST "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\n" CLOSE, 403},
        {"GET / HTTP/1.1\r\n" HOST "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: navigate\r\n" CLOSE, 200},
        {"GET /page.js HTTP/1.1\r\n" HOST "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\n" CLOSE,
         200},
        {"GET / HTTP/1.1\r\n" HOST "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n" CLOSE, 200},
        {"GET / HTTP/1.1\r\nHost: LOCALHOST:9449\r\n" CLOSE, 200},
        {"GET / HTTP/1.1\r\nHost: 127.0.0.1:9449\r\n" CLOSE, 200},
        {"GET / HTTP/1.1\r\nHost: [::1]:9449\r\n" CLOSE, 200},
    };
    struct fixture f;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    (void)state;
    begin(&f, &(struct http_limits){0});
    for (size_t i = 0; i < array_len(cases); i++) {
        int status = ask(&f, cases[i].request, &out);
        if (status != cases[i].status)
            fail_msg("%s: %d and not %d: %s", cases[i].request, status, cases[i].status, buf_str(&out));
    }
    end(&f);
}

/* A connection that is closed without a word, or a refusal: no answer in any case. */
static void too_much(void **state)
{
    static char large[64 * 1024];
    struct fixture f;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    (void)state;
    begin(&f, &(struct http_limits){
                  .request_ms = 2000}); /* the library overlooks an end that comes with the last byte */
    int n = snprintf(large, sizeof(large), "GET / HTTP/1.1\r\n" HOST "X: ");
    memset(large + n, 'a', 40000);
    snprintf(large + n + 40000, 64, "\r\n" CLOSE);
    assert_int_not_equal(ask(&f, large, &out), 200);
    n = snprintf(large, sizeof(large), "GET /");
    memset(large + n, 'a', 40000);
    snprintf(large + n + 40000, 64, " HTTP/1.1\r\n" HOST CLOSE);
    assert_int_not_equal(ask(&f, large, &out), 200);
    n = snprintf(large, sizeof(large), "GET / HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 3000; i++)
        n += snprintf(large + n, 64, "h%d: 1\r\n", i);
    snprintf(large + n, 64, CLOSE);
    assert_int_not_equal(ask(&f, large, &out), 200);
    assert_int_not_equal(ask(&f, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", &out), 200);
    assert_int_equal(ask(&f, "GET /healthz HTTP/1.1\r\n" HOST CLOSE, &out), 200);
    end(&f);
}

/* A byte now and then does not keep a connection. */
static void slow_request(void **state)
{
    static const char request[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct fixture f;
    int64_t began_ms = clock_mono_ms();
    size_t at = 0;
    char byte;
    (void)state;
    begin(&f, &(struct http_limits){.request_ms = 500});
    int fd = reach(&f);
    for (;;) {
        struct pollfd p = {fd, POLLIN, 0};
        if (poll(&p, 1, 20) == 1 && recv(fd, &byte, 1, 0) <= 0)
            break;
        assert_true(clock_mono_ms() - began_ms < WAIT_MS);
        (void)send(fd, at < sizeof(request) - 1 ? request + at : "a", 1, MSG_NOSIGNAL);
        at++;
    }
    close(fd);
    assert_true(clock_mono_ms() - began_ms >= 400);
    end(&f);
}

/* Whoever holds connections without asking for anything makes room for who asks. */
static void idle_connections(void **state)
{
    static int idle[200];
    struct fixture f;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    (void)state;
    begin(&f, &(struct http_limits){.request_ms = 60000});
    for (size_t i = 0; i < array_len(idle); i++)
        idle[i] = reach(&f);
    for (int i = 0; i < 20; i++)
        assert_int_equal(ask(&f, "GET /healthz HTTP/1.1\r\n" HOST CLOSE, &out), 200);
    size_t open = 0;
    for (size_t i = 0; i < array_len(idle); i++) {
        struct pollfd p = {idle[i], POLLIN, 0};
        open += poll(&p, 1, 0) == 0;
        close(idle[i]);
    }
    assert_in_range(open, 1, 64);
    end(&f);
}

/* Nor does whoever asks for much and reads nothing keep others out: a page of Prometheus's, say. */
static void connections_that_do_not_read(void **state)
{
    static char document[2 * 1024 * 1024];
    static int greedy[200];
    struct fixture f;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    (void)state;
    begin(&f, &(struct http_limits){.request_ms = 60000, .reply_ms = 60000});
    memset(document, 'a', sizeof(document) - 1);
    publish(&f, document);
    int64_t began_ms = clock_mono_ms();
    for (size_t i = 0; i < array_len(greedy); i++) {
        greedy[i] = reach(&f);
        say(greedy[i], "GET /state.json HTTP/1.1\r\n" HOST "\r\n");
    }
    for (int i = 0; i < 20; i++)
        assert_int_equal(ask(&f, "GET /metrics HTTP/1.1\r\n" HOST CLOSE, &out), 200);
    assert_true(clock_mono_ms() - began_ms < 20000); /* long before they are too late */
    for (size_t i = 0; i < array_len(greedy); i++)
        close(greedy[i]);
    end(&f);
}

static void one_connection_many_requests(void **state)
{
    struct fixture f;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    (void)state;
    begin(&f, &(struct http_limits){0});
    int fd = reach(&f);
    for (int i = 0; i < 50; i++) {
        buf_reset(&out);
        say(fd, "GET /healthz HTTP/1.1\r\n" HOST "\r\n");
        assert_true(hear(fd, &out, "\r\n\r\nok\n"));
    }
    close(fd);
    end(&f);
}

static void not_ready(void **state)
{
    struct fixture f;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    (void)state;
    begin(&f, &(struct http_limits){0});
    f.ready = false;
    assert_int_equal(ask(&f, "GET /readyz HTTP/1.1\r\n" HOST CLOSE, &out), 503);
    assert_non_null(strstr(buf_str(&out), "\r\n\r\netcd is away\n"));
    assert_int_equal(ask(&f, "GET /healthz HTTP/1.1\r\n" HOST CLOSE, &out), 200);
    end(&f);
}

/* A connection that the door has let in: no Host is asked for there. */
static void handed_over(void **state)
{
    struct fixture f;
    struct http_server *tls = NULL;
    struct error err = ERROR_INIT;
    int pair[2];
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    (void)state;
    begin(&f, &(struct http_limits){0});
    struct http_options o = {.listen_fd = -1, .board = f.board, .hooks = {&f, is_ready, metrics}};
    assert_int_equal(http_server_new(&o, &tls, &err), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(http_server_add(tls, pair[0], &err), 0);
    say(pair[1], "GET /healthz HTTP/1.1\r\nHost: s1.example:9450\r\n" CLOSE);
    assert_true(hear(pair[1], &out, NULL));
    assert_non_null(strstr(buf_str(&out), "200 OK"));
    close(pair[1]);
    http_server_free(tls);
    end(&f);
}

static void where_it_listens(void **state)
{
    static const char *const bad[] = {"",          "127.0.0.1",   "10.0.0.1:1", "0.0.0.0:1",  "[::]:1",
                                      "example:1", "127.0.0.1:x", ":1",         "[::1]:99999"};
    struct error err = ERROR_INIT;
    struct fixture f;
    char address[64];
    int fd = -1;
    (void)state;
    for (size_t i = 0; i < array_len(bad); i++)
        assert_int_equal(http_listen(bad[i], &fd, &err), ERR_INVALID);
    begin(&f, &(struct http_limits){0});
    snprintf(address, sizeof(address), "localhost:%u", (unsigned)ntohs(f.at.sin_port));
    assert_int_equal(http_listen(address, &fd, &err), ERR_CONFLICT);
    assert_non_null(strstr(err.text, "is in use"));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path),
        cmocka_unit_test(headers_are_strict),
        cmocka_unit_test(head_has_no_body),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(too_much),
        cmocka_unit_test(slow_request),
        cmocka_unit_test(idle_connections),
        cmocka_unit_test(one_connection_many_requests),
        cmocka_unit_test(connections_that_do_not_read),
        cmocka_unit_test(not_ready),
        cmocka_unit_test(handed_over),
        cmocka_unit_test(where_it_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
