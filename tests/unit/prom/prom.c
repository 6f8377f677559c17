#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <prom/prom.h>

#include "fake_api.h"

#define VECTOR(result) "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[" result "]}}"
#define ALERT(name)    "{\"metric\":{\"alertname\":\"" name "\"},\"value\":[1795824000,\"1\"]}"

static void test_empty_is_open(void **state)
{
    (void)state;
    size_t count = 9;
    char names[PROM_TEXT_MAX];
    assert_int_equal(prom_read(VECTOR(""), strlen(VECTOR("")), &count, names, NULL), 0);
    assert_int_equal(count, 0);
    assert_string_equal(names, "");
}

static void test_names(void **state)
{
    (void)state;
    static const char five[] =
        VECTOR("{\"metric\":{\"alertname\":\"EtcdNoLeader\",\"instance\":\"etcd-2:2379\"},\"value\":[1,\"1\"]"
               "}," ALERT("Bad\\nLine") "," ALERT("C") "," ALERT("D") "," ALERT("E"));
    size_t count = 0;
    char names[PROM_TEXT_MAX];
    assert_int_equal(prom_read(five, strlen(five), &count, names, NULL), 0);
    assert_int_equal(count, 5);
    assert_string_equal(names, "EtcdNoLeader (etcd-2:2379), Bad?Line, C and 2 more");
    static const char nameless[] = VECTOR("{\"metric\":{},\"value\":[1,\"1\"]}");
    assert_int_equal(prom_read(nameless, strlen(nameless), &count, names, NULL), 0);
    assert_string_equal(names, "a series without a name");
    static const char empty[] = VECTOR("{\"metric\":{\"__name__\":\"\"},\"value\":[1,\"1\"]}");
    assert_int_equal(prom_read(empty, strlen(empty), &count, names, NULL), 0);
    assert_string_equal(names, "a series without a name");
}

static void test_anything_else_is_an_error(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "OK",
        "[]",
        "null",
        "{}",
        "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"parse error\"}",
        "{\"status\":\"success\"}",
        "{\"status\":\"success\",\"data\":{}}",
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\"}}",
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":{}}}",
        "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"0\"]}}",
        "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}",
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]},\"warnings\":[\"a store "
        "is gone\"]}",
        VECTOR("1"),
        VECTOR("{}"),
        VECTOR("") "x",
    };
    for (size_t i = 0; i < array_len(bad); i++) {
        size_t count = 0;
        char names[PROM_TEXT_MAX];
        struct error err = ERROR_INIT;
        if (prom_read(bad[i], strlen(bad[i]), &count, names, &err) == 0)
            fail_msg("taken: %s", bad[i]);
        assert_true(err.text[0] && !strchr(err.text, '\n'));
    }
}

/* ---------- over the wire ---------- */

struct script {
    struct fake_reply reply;
    char path[512], headers[512];
};

static void answer(void *arg, const struct fake_request *q, struct fake_reply *a)
{
    struct script *s = arg;
    *a = s->reply;
    if (!a->status)
        a->status = 200;
    snprintf(s->path, sizeof(s->path), "%s", q->path);
    snprintf(s->headers, sizeof(s->headers), "%s", q->headers);
}

static int ask(struct fake_api *f, int deadline_ms, size_t *count, char names[PROM_TEXT_MAX],
               struct error *err)
{
    struct kube_options o = fake_options(f);
    _cleanup_(kube_closep) struct kube *k = NULL;
    o.server = "Prometheus";
    int rc = kube_open(&o, &k, err);
    return rc < 0 ? rc : prom_query(k, "ALERTS{severity=\"critical\"}", deadline_ms, count, names, err);
}

static void test_request(void **state)
{
    (void)state;
    struct script s = {.reply = {.body = VECTOR(ALERT("NodeDown"))}};
    struct fake_api *f = fake_start(answer, &s);
    size_t count = 0;
    char names[PROM_TEXT_MAX];
    struct error err = ERROR_INIT;
    if (ask(f, 5000, &count, names, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(count, 1);
    assert_string_equal(names, "NodeDown");
    assert_string_equal(s.path, "/api/v1/query?query=ALERTS%7Bseverity%3D%22critical%22%7D");
    assert_non_null(strstr(s.headers, "Bearer t0ken"));
    fake_stop(f);
}

static void expect_closed(struct fake_reply reply, int deadline_ms, const char *part)
{
    struct script s = {.reply = reply};
    struct fake_api *f = fake_start(answer, &s);
    size_t count = 0;
    char names[PROM_TEXT_MAX];
    struct error err = ERROR_INIT;
    assert_true(ask(f, deadline_ms, &count, names, &err) < 0);
    if (!strstr(err.text, part))
        fail_msg("'%s' is not in: %s", part, err.text);
    fake_stop(f);
}

static void test_fails_closed(void **state)
{
    (void)state;
    static char large[2 * PROM_REPLY_MAX];
    memset(large, ' ', sizeof(large));
    expect_closed((struct fake_reply){.status = 503, .body = "down"}, 5000, "HTTP 503");
    expect_closed((struct fake_reply){.status = 500, .body = VECTOR("")}, 5000, "HTTP 500");
    expect_closed(
        (struct fake_reply){.status = 400, .body = "{\"status\":\"error\",\"error\":\"parse error at 3\"}"},
        5000, "parse error at 3");
    expect_closed((struct fake_reply){.status = 302, .headers = "Location: /login\r\n", .body = ""}, 5000,
                  "HTTP 302");
    expect_closed((struct fake_reply){.body = "<html>"}, 5000, "JSON");
    expect_closed((struct fake_reply){.body = VECTOR(""), .delay_ms = 3000}, 300, "");
    expect_closed((struct fake_reply){.drop = true}, 5000, "Prometheus");
    expect_closed((struct fake_reply){.raw = "garbage\r\n\r\n"}, 5000, "Prometheus");
    expect_closed((struct fake_reply){.body = large, .body_len = sizeof(large)}, 5000, "larger");
}

static void test_http_without_secrets(void **state)
{
    (void)state;
    struct kube *k = NULL;
    struct kube_options o = {.server = "Prometheus", .url = "http://127.0.0.1:1"};
    struct error err = ERROR_INIT;
    assert_int_equal(kube_open(&o, &k, &err), ERR_INVALID);
    o.plain = true;
    assert_int_equal(kube_open(&o, &k, &err), 0);
    size_t count;
    char names[PROM_TEXT_MAX];
    assert_int_equal(prom_query(k, "up", 1000, &count, names, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "http://127.0.0.1:1"));
    kube_close(k);
    o.token_file = "/dev/null";
    k = NULL;
    assert_int_equal(kube_open(&o, &k, &err), ERR_INVALID);
    assert_null(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_is_open),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_anything_else_is_an_error),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_fails_closed),
        cmocka_unit_test(test_http_without_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
