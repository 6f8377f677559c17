/* What each kind of answer leads to. */
#include "touch_tools.h"

struct script {
    int status; /* the answer to the first `times` requests; 200 afterwards */
    unsigned times;
    const char *headers, *body;
    bool drop;
    int delay_ms;
    const char *good_token;
};

static void play(void *arg, const struct fake_request *q, struct fake_reply *a)
{
    const struct script *s = arg;

    if (s->good_token ? strstr(q->headers, s->good_token) != NULL : q->number > s->times)
        return;
    *a = (struct fake_reply){.status = s->status,
                             .headers = s->headers,
                             .body = s->body,
                             .drop = s->drop,
                             .delay_ms = s->delay_ms};
}

struct outcome {
    struct tally tally;
    unsigned requests;
    int64_t took_ms;
};

/* One object against a server that plays the script. */
static struct outcome run(struct script s)
{
    struct fake_api *f = fake_start(play, &s);
    struct kube_options o = fake_options(f);
    struct kube_toucher *t = toucher(&o, 1, 4);
    struct outcome r = {0};
    struct error e = ERROR_INIT;
    int64_t began = clock_mono_ms();

    assert_ok(touch_all(t, 1, &r.tally, &e), e);
    r.took_ms = clock_mono_ms() - began;
    r.requests = fake_requests(f);
    assert_int_equal(r.tally.total, 1);
    assert_null(strstr(r.tally.why, "t0ken"));
    assert_null(strchr(r.tally.why, '\n'));
    kube_toucher_free(t);
    fake_stop(f);
    return r;
}

static void test_success(void **state)
{
    struct outcome r = run((struct script){.status = 500, .times = 0});

    (void)state;
    assert_int_equal(r.tally.touched, 1);
    assert_int_equal(r.requests, 1);
}

static void test_gone(void **state)
{
    struct outcome r = run((struct script){
        .status = 404, .times = 1, .body = FAKE_STATUS(404, "NotFound", ",\"details\":{\"name\":\"s0\"}")});

    (void)state;
    assert_int_equal(r.tally.gone, 1);
    r = run((struct script){.status = 410, .times = 1, .body = FAKE_STATUS(410, "Gone", "")});
    assert_int_equal(r.tally.gone, 1);
    assert_int_equal(r.requests, 1);
}

/* A server that does not know the resource yet does not say that the object is gone. */
static void test_unknown_path_is_not_gone(void **state)
{
    struct outcome r = run((struct script){.status = 404, .times = 1, .body = "404 page not found\n"});

    (void)state;
    assert_int_equal(r.tally.touched, 1);
    assert_int_equal(r.requests, 2);
    r = run((struct script){.status = 404, .times = 99, .body = "404 page not found\n"});
    assert_int_equal(r.tally.failed, 1);
    assert_int_equal(r.requests, 4);
    assert_has(r.tally.why, "404");
}

static void test_tried_again(void **state)
{
    static const int statuses[] = {409, 500, 502, 503, 504};

    (void)state;
    for (size_t i = 0; i < array_len(statuses); i++) {
        struct outcome r = run((struct script){.status = statuses[i], .times = 2});

        assert_int_equal(r.tally.touched, 1);
        assert_int_equal(r.requests, 3);
    }
}

static void test_given_up(void **state)
{
    struct outcome r = run((struct script){
        .status = 500, .times = 99, .body = FAKE_STATUS(500, "InternalError", ",\"message\":\"boo\"")});

    (void)state;
    assert_int_equal(r.tally.failed, 1);
    assert_int_equal(r.requests, 4);
    assert_has(r.tally.why, "after 4 tries: 500 InternalError: boo");
}

static void test_failed_at_once(void **state)
{
    static const int statuses[] = {400, 403, 405, 415, 422, 302};
    char number[16];

    (void)state;
    for (size_t i = 0; i < array_len(statuses); i++) {
        struct outcome r = run((struct script){.status = statuses[i], .times = 99});

        snprintf(number, sizeof(number), "%d", statuses[i]);
        assert_int_equal(r.tally.failed, 1);
        assert_int_equal(r.requests, 1);
        assert_has(r.tally.why, number);
    }
}

static void test_retry_after(void **state)
{
    struct outcome r = run((struct script){.status = 429, .times = 1, .headers = "Retry-After: 2\r\n"});

    (void)state;
    assert_int_equal(r.tally.touched, 1);
    assert_in_range(r.took_ms, 1950, 3500);
    r = run((struct script){.status = 503, .times = 1, .headers = "Retry-After: 1\r\n"});
    assert_int_equal(r.tally.touched, 1);
    assert_in_range(r.took_ms, 950, 2500);
}

static void test_broken_connections(void **state)
{
    struct outcome r = run((struct script){.drop = true, .times = 2});

    (void)state;
    assert_int_equal(r.tally.touched, 1);
    r = run((struct script){.drop = true, .times = 999});
    assert_int_equal(r.tally.failed, 1);
    assert_has(r.tally.why, "s1 (https://127.0.0.1:");
}

static void test_timeouts(void **state)
{
    struct outcome r = run((struct script){.status = 200, .times = 1, .delay_ms = 1500});

    (void)state;
    assert_int_equal(r.tally.touched, 1);
    assert_in_range(r.took_ms, 950, 3000);
}

static void test_unauthorized(void **state)
{
    struct outcome r = run((struct script){.status = 401, .times = 99});

    (void)state;
    assert_int_equal(r.tally.failed, 1);
    assert_has(r.tally.why, "401 Unauthorized: token in /");
}

/* The token's file changes while touching: the object is touched with the new one. */
struct renewing {
    struct fake_api *api;
};

static void renew(void *arg, const struct fake_request *q, struct fake_reply *a)
{
    struct renewing *r = arg;

    if (strstr(q->headers, "Bearer renewed\r\n"))
        return;
    fake_write(r->api, "token", "renewed");
    a->status = 401;
}

static void test_token_is_renewed(void **state)
{
    struct renewing r = {0};
    struct tally tally = {0};
    struct error e = ERROR_INIT;
    struct kube_options o;
    struct kube_toucher *t;

    (void)state;
    r.api = fake_start(renew, &r);
    o = fake_options(r.api);
    t = toucher(&o, 1, 4);
    assert_ok(touch_all(t, 20, &tally, &e), e);
    assert_int_equal(tally.touched, 20);
    kube_toucher_free(t);
    fake_stop(r.api);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_success),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_unknown_path_is_not_gone),
        cmocka_unit_test(test_tried_again),
        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_failed_at_once),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_broken_connections),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_unauthorized),
        cmocka_unit_test(test_token_is_renewed),
    };

    return cmocka_run_group_tests_name("kube touch result", tests, NULL, NULL);
}
