/* Server-sent events: what comes, how many there may be, and who is sent away. */
#include "client.h"

#define OUT_MAX (32 * 1024 * 1024)

static int open_stream(const struct fixture *f, struct buf *out)
{
    int fd = reach(f);
    say(fd, "GET /events HTTP/1.1\r\n" HOST "\r\n");
    buf_reset(out);
    assert_true(hear(fd, out, "retry: 2000\n\n"));
    return fd;
}

static void wait_streams(struct fixture *f, unsigned count)
{
    int64_t deadline_ms = clock_mono_ms() + WAIT_MS;
    while (http_server_streams(f->server) != count) {
        assert_true(clock_mono_ms() < deadline_ms);
        clock_nap_ms(5);
    }
}

static void documents_come(void **state)
{
    struct fixture f;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    (void)state;
    begin(&f, &(struct http_limits){.beat_ms = 300});
    int fd = open_stream(&f, &out);
    publish(&f, "{\"n\":1}");
    assert_true(hear(fd, &out, "event: state\ndata: {\"n\":1}\n\n"));
    assert_non_null(strstr(buf_str(&out), "id: "));
    assert_non_null(strstr(buf_str(&out), "Content-Type: text/event-stream"));
    assert_true(hear(fd, &out, ": alive\nevent: beat\ndata: "));
    publish(&f, "{\"n\":2}");
    assert_true(hear(fd, &out, "data: {\"n\":2}\n\n"));
    close(fd);
    wait_streams(&f, 0);
    fd = open_stream(&f, &out); /* whoever comes later begins with the newest */
    assert_true(hear(fd, &out, "data: {\"n\":2}\n\n"));
    assert_null(strstr(buf_str(&out), "{\"n\":1}"));
    close(fd);
    end(&f);
}

static void so_many_and_no_more(void **state)
{
    int fds[16];
    struct fixture f;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    (void)state;
    begin(&f, &(struct http_limits){0});
    for (size_t i = 0; i < array_len(fds); i++)
        fds[i] = open_stream(&f, &out);
    assert_int_equal(ask(&f, "GET /events HTTP/1.1\r\n" HOST "\r\n", &out), 503);
    assert_non_null(strstr(buf_str(&out), "Retry-After: 5\r\n"));
    assert_int_equal(ask(&f, "GET /healthz HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", &out), 200);
    close(fds[0]); /* seen at once, though nothing is said */
    wait_streams(&f, 15);
    fds[0] = open_stream(&f, &out);
    for (size_t i = 0; i < array_len(fds); i++)
        close(fds[i]);
    end(&f);
}

/* It holds one document, the others go on, and it is closed. */
static void one_never_reads(void **state)
{
    static char large[2 * 1024 * 1024];
    struct fixture f;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    (void)state;
    begin(&f, &(struct http_limits){.reply_ms = 3000});
    int lazy = open_stream(&f, &out), good = open_stream(&f, &out), size = 4096;
    assert_int_equal(setsockopt(lazy, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
    memset(large, 'x', sizeof(large) - 1);
    for (int i = 0; i < 5; i++) {
        char last[32];
        snprintf(last, sizeof(last), "last%d\n\n", i);
        memcpy(large + sizeof(large) - 6, last, 5);
        publish(&f, large);
        assert_true(hear(good, &out, last));
        buf_reset(&out);
    }
    wait_streams(&f, 1);
    publish(&f, "{\"n\":2}");
    assert_true(hear(good, &out, "data: {\"n\":2}\n\n"));
    close(lazy);
    close(good);
    end(&f);
}

/* The end is a whole one: the last chunk comes. */
static void server_ends(void **state)
{
    struct fixture f;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    (void)state;
    begin(&f, &(struct http_limits){0});
    int fd = open_stream(&f, &out);
    int64_t began_ms = clock_mono_ms();
    end(&f);
    assert_true(clock_mono_ms() - began_ms < 5000);
    assert_true(hear(fd, &out, NULL));
    assert_string_equal(buf_str(&out) + out.len - 5, "0\r\n\r\n");
    close(fd);
}

/* Documents come quickly while streams come and go: for the sanitizers. */
static void all_at_once(void **state)
{
    struct fixture f;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(OUT_MAX);
    (void)state;
    begin(&f, &(struct http_limits){.beat_ms = 1});
    for (int i = 0; i < 200; i++) {
        char json[32];
        snprintf(json, sizeof(json), "{\"n\":%d}", i);
        int fd = open_stream(&f, &out);
        publish(&f, json);
        if (i % 2)
            assert_true(hear(fd, &out, json));
        close(fd);
        if (i % 8 == 7)
            wait_streams(&f, 0);
    }
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_come),  cmocka_unit_test(so_many_and_no_more),
        cmocka_unit_test(one_never_reads), cmocka_unit_test(server_ends),
        cmocka_unit_test(all_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
