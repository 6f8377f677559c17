#include <kube/kube.h>

#include <base/clock.h>

#include "fake_api.h"
#include "test.h"

/* What the server does, by path; the test changes it between requests. */
struct script {
    struct fake_reply reply;
    struct fake_request last;
    const char *good_token; /* others get 401; NULL: all are good */
};

static void play(void *arg, const struct fake_request *q, struct fake_reply *a)
{
    struct script *s = arg;

    s->last = *q;
    *a = s->reply;
    if (s->good_token && !strstr(q->headers, s->good_token))
        *a = (struct fake_reply){.status = 401, .body = FAKE_STATUS(401, "Unauthorized", "")};
}

static struct script script;
static struct fake_api *fake;
static struct kube *kube;

static int begin(void **state)
{
    struct kube_options o;

    (void)state;
    script = (struct script){.reply = {.status = 200, .body = "ok"}};
    fake = fake_start(play, &script);
    o = fake_options(fake);
    return kube_open(&o, &kube, NULL);
}

static int finish(void **state)
{
    (void)state;
    kube_close(kube);
    fake_stop(fake);
    return 0;
}

static void test_request_sends_what_it_is_given(void **state)
{
    struct buf out = BUF_INIT(100);
    struct error e = ERROR_INIT;
    long status = 0;

    (void)state;
    script.reply = (struct fake_reply){.status = 418, .body = "tea"};
    assert_ok(kube_request(kube, "PUT", "/a/b?c=d", "text/plain", "application/json", "{\"x\":1}", 7, 5000,
                           &status, &out, &e),
              e);
    assert_int_equal(status, 418);
    assert_string_equal(buf_str(&out), "tea");
    assert_string_equal(script.last.method, "PUT");
    assert_string_equal(script.last.path, "/a/b?c=d");
    assert_string_equal(script.last.body, "{\"x\":1}");
    assert_has(script.last.headers, "Accept: text/plain\r\n");
    assert_has(script.last.headers, "Content-Type: application/json\r\n");
    assert_has(script.last.headers, "Authorization: Bearer t0ken\r\n");
    assert_has(script.last.headers, "User-Agent: secrets-encrypt/");
    buf_free(&out);
}

static void test_request_refuses_bad_arguments(void **state)
{
    long status = 0;

    (void)state;
    assert_int_equal(kube_request(kube, "GET", "a", NULL, NULL, NULL, 0, 5000, &status, NULL, NULL),
                     ERR_INVALID);
    assert_int_equal(kube_request(kube, "GET", "/a b", NULL, NULL, NULL, 0, 5000, &status, NULL, NULL),
                     ERR_INVALID);
    assert_int_equal(kube_request(kube, "GET", "/", "a\r\nX: y", NULL, NULL, 0, 5000, &status, NULL, NULL),
                     ERR_INVALID);
    assert_int_equal(kube_request(kube, "GET", "/", NULL, NULL, NULL, 0, 0, &status, NULL, NULL),
                     ERR_TIMEOUT);
    assert_int_equal(fake_requests(fake), 0);
}

static void test_redirects_are_not_followed(void **state)
{
    struct error e = ERROR_INIT;
    long status = 0;

    (void)state;
    script.reply = (struct fake_reply){.status = 302, .headers = "Location: /elsewhere\r\n"};
    assert_ok(kube_request(kube, "GET", "/", NULL, NULL, NULL, 0, 5000, &status, NULL, &e), e);
    assert_int_equal(status, 302);
    assert_int_equal(fake_requests(fake), 1);
}

static void test_too_large_a_reply(void **state)
{
    char *body = malloc(KUBE_REPLY_MAX + 1);
    struct buf out = BUF_INIT(2 * KUBE_REPLY_MAX);
    struct error e = ERROR_INIT;
    long status = 0;

    (void)state;
    assert_non_null(body);
    memset(body, 'x', KUBE_REPLY_MAX + 1);
    script.reply = (struct fake_reply){.status = 200, .body = body, .body_len = KUBE_REPLY_MAX};
    assert_ok(kube_request(kube, "GET", "/", NULL, NULL, NULL, 0, 20000, &status, &out, &e), e);
    assert_int_equal(out.len, KUBE_REPLY_MAX);
    script.reply.body_len++;
    assert_int_equal(kube_request(kube, "GET", "/", NULL, NULL, NULL, 0, 20000, &status, &out, &e),
                     ERR_TOO_LARGE);
    buf_free(&out);
    free(body);
}

static void test_nonsense_reply(void **state)
{
    struct error e = ERROR_INIT;
    long status = 0;

    (void)state;
    script.reply = (struct fake_reply){.raw = "SSH-2.0-OpenSSH_9.2p1\r\n"};
    assert_int_equal(kube_request(kube, "GET", "/", NULL, NULL, NULL, 0, 5000, &status, NULL, &e),
                     ERR_INVALID);
    assert_has(e.text, "s1 (https://127.0.0.1:");
}

static void test_deadline(void **state)
{
    struct error e = ERROR_INIT;
    int64_t began = clock_mono_ms();
    long status = 0;

    (void)state;
    script.reply.delay_ms = 1500;
    assert_int_equal(kube_request(kube, "GET", "/", NULL, NULL, NULL, 0, 300, &status, NULL, &e),
                     ERR_TIMEOUT);
    assert_in_range(clock_mono_ms() - began, 250, 1200);
}

static void test_token_is_renewed_once(void **state)
{
    struct error e = ERROR_INIT;
    long status = 0;

    (void)state;
    script.good_token = "Bearer renewed\r\n";
    assert_ok(kube_request(kube, "GET", "/", NULL, NULL, NULL, 0, 5000, &status, NULL, &e), e);
    assert_int_equal(status, 401);
    assert_int_equal(fake_requests(fake), 1); /* the file says the same: not asked again */
    fake_write(fake, "token", "renewed");
    assert_ok(kube_request(kube, "GET", "/", NULL, NULL, NULL, 0, 5000, &status, NULL, &e), e);
    assert_int_equal(status, 200);
    assert_int_equal(fake_requests(fake), 3);
}

static void test_ready(void **state)
{
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(kube_ready(kube, 5000, &e), e);
    assert_string_equal(script.last.path, "/readyz");
    assert_ok(kube_ready(kube, 5000, &e), e);
    assert_int_equal(fake_connections(fake), 1);
}

static void test_ready_on_a_stale_connection(void **state)
{
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(kube_ready(kube, 5000, &e), e);
    fake_cut(fake);
    assert_ok(kube_ready(kube, 5000, &e), e);
    assert_int_equal(fake_connections(fake), 2);
}

/* The connection breaks with the answer under way, which libcurl does not ask for again: seen on an old
 * connection, asked again on a new one, once. */
static void break_second(void *arg, const struct fake_request *q, struct fake_reply *a)
{
    (void)arg;
    if (q->number == 2)
        a->raw = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab";
}

static void test_ready_asks_once_more(void **state)
{
    struct fake_api *f = fake_start(break_second, NULL);
    struct kube_options o = fake_options(f);
    struct error e = ERROR_INIT;
    struct kube *k;

    (void)state;
    assert_ok(kube_open(&o, &k, &e), e);
    assert_ok(kube_ready(k, 5000, &e), e);
    assert_ok(kube_ready(k, 5000, &e), e);
    assert_int_equal(fake_requests(f), 3);
    kube_close(k);
    fake_stop(f);
}

static void test_unready_names_the_checks(void **state)
{
    struct error e = ERROR_INIT;

    (void)state;
    script.reply =
        (struct fake_reply){.status = 500, .body = "[+]ping ok\n[-]etcd failed: reason withheld\n"};
    assert_int_equal(kube_ready(kube, 5000, &e), ERR_UNAVAILABLE);
    assert_has(e.text, "failed checks: etcd");
    assert_int_equal(fake_requests(fake), 1);
    script.reply = (struct fake_reply){.status = 503, .body = "no"};
    assert_int_equal(kube_ready(kube, 5000, &e), ERR_UNAVAILABLE);
    assert_string_equal(script.last.path, "/readyz?verbose");
    assert_has(e.text, "not ready (503)");
    script.reply = (struct fake_reply){.status = 401};
    assert_int_equal(kube_ready(kube, 5000, &e), ERR_DENIED);
    assert_null(strstr(e.text, "t0ken"));
}

int main(void)
{
#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, begin, finish)
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_request_sends_what_it_is_given),
        WITH_SERVER(test_request_refuses_bad_arguments),
        WITH_SERVER(test_redirects_are_not_followed),
        WITH_SERVER(test_too_large_a_reply),
        WITH_SERVER(test_nonsense_reply),
        WITH_SERVER(test_deadline),
        WITH_SERVER(test_token_is_renewed_once),
        WITH_SERVER(test_ready),
        WITH_SERVER(test_ready_on_a_stale_connection),
        cmocka_unit_test(test_ready_asks_once_more),
        WITH_SERVER(test_unready_names_the_checks),
    };

    return cmocka_run_group_tests_name("kube", tests, NULL, NULL);
}
