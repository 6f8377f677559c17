#include <kube/probe.h>

#include <base/clock.h>

#include "fake_api.h"
#include "test.h"

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
#define EVENT(type, version, number)                                                                         \
    "{\"type\":\"" type                                                                                      \
    "\",\"object\":{\"kind\":\"PartialObjectMetadata\",\"metadata\":{\"resourceVersion\":"                   \
    "\"" version "\",\"annotations\":{\"x/probe\":\"" number "\"}}}}\n"

/* What the server does: one reply for watches, one for the rest. */
static struct fake_reply watch, other;
static struct fake_request last, last_watch;
static const char *good_token;
static struct fake_api *fake;
static struct kube_prober *prober;

static struct {
    unsigned answers, events, firsts, ends;
    enum kube_probe kind;
    long status, end_status;
    int64_t number, seen;
    double ms;
    bool stood;
    char why[1024], end_why[1024];
} got;

static void play(void *arg, const struct fake_request *q, struct fake_reply *a)
{
    bool is_watch = strstr(q->path, "watch=1");

    (void)arg;
    *(is_watch ? &last_watch : &last) = *q;
    *a = is_watch ? watch : other;
    if (good_token && !strstr(q->headers, good_token))
        *a = (struct fake_reply){.status = 401, .body = FAKE_STATUS(401, "Unauthorized", "")};
}

static void on_answer(void *arg, size_t server, enum kube_probe kind, long status, double ms, int64_t number,
                      const char *why)
{
    (void)arg;
    assert_int_equal(server, 0);
    got.answers++;
    got.kind = kind;
    got.status = status;
    got.ms = ms;
    got.number = number;
    snprintf(got.why, sizeof(got.why), "%s", why);
}

static void on_event(void *arg, size_t server, int64_t number, bool first)
{
    (void)arg;
    assert_int_equal(server, 0);
    got.events++;
    got.firsts += first;
    got.seen = number;
}

static void on_end(void *arg, size_t server, bool stood, long status, const char *why)
{
    (void)arg;
    assert_int_equal(server, 0);
    got.ends++;
    got.stood = stood;
    got.end_status = status;
    snprintf(got.end_why, sizeof(got.end_why), "%s", why);
}

static int begin(void **state)
{
    struct kube_options login;
    struct kube_prober_options o = {
        .servers = &login,
        .servers_count = 1,
        .object = {.resource = {"secrets", "/api/v1", "secrets", true},
                   .name = {"ns", "the-probe"},
                   .annotation = "x/probe"},
        .calls = {on_answer, on_event, on_end, NULL},
        .deadline_ms = 1000,
        .watch_s = 3600,
    };
    struct error e = ERROR_INIT;

    (void)state;
    memset(&got, 0, sizeof(got));
    watch = other = (struct fake_reply){.status = 200, .body = "{}"};
    good_token = NULL;
    fake = fake_start(play, NULL);
    login = fake_options(fake);
    assert_ok(kube_prober_new(&o, &prober, &e), e);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    kube_prober_free(prober);
    fake_stop(fake);
    return 0;
}

static void run_until(const unsigned *count, unsigned want)
{
    struct error e = ERROR_INIT;

    for (int i = 0; i < 300 && *count < want; i++)
        assert_ok(kube_prober_run(prober, 20, &e), e);
    assert_int_equal(*count, want);
}

static void ask(enum kube_probe kind, int64_t number)
{
    struct error e = ERROR_INIT;
    unsigned want = got.answers + 1;

    assert_ok(kube_prober_ask(prober, 0, kind, number, &e), e);
    assert_true(kube_prober_age(prober, 0, kind) >= 0);
    assert_int_equal(kube_prober_ask(prober, 0, kind, number, NULL), ERR_CONFLICT);
    run_until(&got.answers, want);
    assert_true(kube_prober_age(prober, 0, kind) < 0);
    assert_int_equal(got.kind, kind);
}

static void test_requests(void **state)
{
    (void)state;
    ask(KUBE_PROBE_GET, 0);
    assert_string_equal(last.path, "/api/v1/namespaces/ns/secrets/the-probe");
    assert_has(last.headers, "as=PartialObjectMetadata;");
    assert_has(last.headers, "Authorization: Bearer t0ken\r\n");
    ask(KUBE_PROBE_LIST, 0);
    assert_string_equal(last.path, "/api/v1/namespaces/ns/secrets?resourceVersion=0&limit=50");
    assert_has(last.headers, "as=PartialObjectMetadataList;");
    ask(KUBE_PROBE_PATCH, 42);
    assert_string_equal(last.method, "PATCH");
    assert_string_equal(last.body, "{\"metadata\":{\"annotations\":{\"x/probe\":\"42\"}}}");
    assert_int_equal(got.number, 42);
    assert_int_equal(got.status, 200);
    assert_string_equal(got.why, "");
    ask(KUBE_PROBE_GET, 0); /* after a patch: the body is gone */
    assert_string_equal(last.method, "GET");
    assert_string_equal(last.body, "");
}

static void test_times_and_troubles(void **state)
{
    (void)state;
    other = (struct fake_reply){.status = 200, .body = "{}", .delay_ms = 300};
    ask(KUBE_PROBE_GET, 0);
    assert_true(got.ms >= 299 && got.ms < 900);
    other = (struct fake_reply){.status = 429, .body = FAKE_STATUS(429, "TooManyRequests", "")};
    ask(KUBE_PROBE_LIST, 0);
    assert_int_equal(got.status, 429);
    assert_has(got.why, "s1 (https://");
    assert_has(got.why, "listing: 429");
    other = (struct fake_reply){.drop = true};
    ask(KUBE_PROBE_GET, 0);
    assert_int_equal(got.status, 0);
    assert_has(got.why, "s1 (https://");
    other = (struct fake_reply){.status = 200, .body = "{}", .delay_ms = 2000};
    ask(KUBE_PROBE_GET, 0); /* its deadline is 1000 */
    assert_int_equal(got.status, 0);
    assert_true(got.ms >= 990 && got.ms < 1900);
}

static void test_a_renewed_token_is_taken_up(void **state)
{
    (void)state;
    good_token = "Bearer renewed\r\n";
    ask(KUBE_PROBE_GET, 0);
    assert_int_equal(got.status, 401);
    fake_write(fake, "token", "renewed");
    ask(KUBE_PROBE_GET, 0);
    assert_int_equal(got.status, 200);
}

static void open_watch(void)
{
    struct error e = ERROR_INIT;

    assert_ok(kube_prober_watch(prober, 0, &e), e);
    assert_ok(kube_prober_watch(prober, 0, &e), e); /* it is on its way: nothing more */
}

static void test_watch_goes_on_where_it_ended(void **state)
{
    (void)state;
    watch = (struct fake_reply){.raw = HEAD EVENT("ADDED", "10", "1") EVENT("MODIFIED", "11", "2")};
    open_watch();
    run_until(&got.ends, 1);
    assert_has(last_watch.path,
               "/api/v1/namespaces/ns/secrets?watch=1&fieldSelector=metadata.name%3Dthe-probe"
               "&resourceVersion=0&timeoutSeconds=3600");
    assert_int_equal(got.events, 2);
    assert_int_equal(got.firsts, 1); /* the state that it began with */
    assert_int_equal(got.seen, 2);
    assert_true(got.stood);
    assert_false(kube_prober_watching(prober, 0));
    open_watch();
    run_until(&got.ends, 2);
    assert_has(last_watch.path, "&resourceVersion=11&");
    assert_int_equal(got.firsts, 1);
    kube_prober_drop(prober, 0);
    open_watch();
    run_until(&got.ends, 3);
    assert_has(last_watch.path, "&resourceVersion=0&");
}

static void test_a_compacted_watch_begins_anew(void **state)
{
    (void)state;
    watch = (struct fake_reply){
        .raw = HEAD EVENT("ADDED", "10",
                          "1") "{\"type\":\"ERROR\",\"object\":{\"code\":410,\"message\":\"too old\"}}\n"};
    open_watch();
    run_until(&got.ends, 1);
    assert_false(got.stood);
    assert_int_equal(got.end_status, 410);
    assert_has(got.end_why, "410 too old");
    open_watch();
    run_until(&got.ends, 2);
    assert_has(last_watch.path, "&resourceVersion=0&");
}

static void test_a_refused_watch_did_not_stand(void **state)
{
    (void)state;
    watch = (struct fake_reply){.status = 403, .body = FAKE_STATUS(403, "Forbidden", "")};
    open_watch();
    run_until(&got.ends, 1);
    assert_false(got.stood);
    assert_int_equal(got.end_status, 403);
    assert_has(got.end_why, "403");
    assert_int_equal(got.events, 0);
}

static void test_nonsense_ends_a_watch(void **state)
{
    static char raw[100000];

    (void)state;
    watch = (struct fake_reply){.raw = HEAD "{\"type\":\"ADDED\"}\n"};
    open_watch();
    run_until(&got.ends, 1);
    assert_has(got.end_why, "s1");
    assert_int_equal(got.events, 0);
    memset(raw, 'x', sizeof(raw) - 1);
    memcpy(raw, HEAD, sizeof(HEAD) - 1);
    watch = (struct fake_reply){.raw = raw};
    open_watch();
    run_until(&got.ends, 2);
    assert_has(got.end_why, "an event of more than 65536 bytes");
}

/* The head does not come: it is given up at the deadline. */
static void test_a_watch_that_never_opens(void **state)
{
    int64_t began = clock_mono_ms();

    (void)state;
    watch = (struct fake_reply){.status = 200, .body = "{}", .delay_ms = 2500};
    open_watch();
    run_until(&got.ends, 1);
    assert_in_range(clock_mono_ms() - began, 990, 2400);
    assert_false(got.stood);
    assert_int_equal(got.end_status, 0);
}

static void test_bad_options(void **state)
{
    struct kube_prober_options o = {.servers_count = 0};
    struct kube_prober *p = NULL;

    (void)state;
    assert_int_equal(kube_prober_new(&o, &p, NULL), ERR_INVALID);
    assert_null(p);
    kube_prober_free(NULL);
}

#define with_server(name) cmocka_unit_test_setup_teardown(name, begin, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_server(test_requests),
        with_server(test_times_and_troubles),
        with_server(test_a_renewed_token_is_taken_up),
        with_server(test_watch_goes_on_where_it_ended),
        with_server(test_a_compacted_watch_begins_anew),
        with_server(test_a_refused_watch_did_not_stand),
        with_server(test_nonsense_ends_a_watch),
        with_server(test_a_watch_that_never_opens),
        cmocka_unit_test(test_bad_options),
    };

    return cmocka_run_group_tests_name("kube probe", tests, NULL, NULL);
}
