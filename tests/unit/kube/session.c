#include "session.h"

#include <sys/stat.h>
#include <unistd.h>

#include "fake_api.h"
#include "test.h"

static struct fake_api *fake;

static void nothing(void *arg, const struct fake_request *q, struct fake_reply *a)
{
    (void)arg, (void)q, (void)a;
}

static int begin(void **state)
{
    (void)state;
    fake = fake_start(nothing, NULL);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    fake_stop(fake);
    return 0;
}

static int init(struct kube_options o, struct error *e)
{
    struct session s;
    int rc = session_init(&s, &o, e);

    if (rc == 0)
        session_clear(&s);
    return rc;
}

static void test_options(void **state)
{
    struct kube_options o = fake_options(fake), bad;
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(init(o, &e), e);
    bad = o;
    bad.url = "http://127.0.0.1:8080";
    assert_int_equal(init(bad, &e), ERR_INVALID);
    bad = o;
    bad.ca_file = fake_path(fake, "no-ca.pem");
    assert_int_equal(init(bad, &e), ERR_NOT_FOUND);
    assert_has(e.text, "no-ca.pem");
    bad = o;
    bad.token_file = fake_path(fake, "no-token");
    assert_int_equal(init(bad, &e), ERR_NOT_FOUND);
    assert_has(e.text, "no-token");
    bad = o;
    bad.cert_file = o.ca_file;
    assert_int_equal(init(bad, &e), ERR_INVALID);
    assert_has(e.text, "s1");
}

static void test_tokens(void **state)
{
    static const char *const bad[] = {"",           " \n", "two words", "line\nbreak", "line\r\nX-Header: y",
                                      "tok\xc3\xa4"};
    struct kube_options o = fake_options(fake);
    struct session s;
    struct error e = ERROR_INIT;

    (void)state;
    o.token_file = fake_path(fake, "token-under-test");
    for (size_t i = 0; i < array_len(bad); i++) {
        fake_write(fake, "token-under-test", bad[i]);
        assert_int_equal(init(o, &e), ERR_INVALID);
        assert_has(e.text, "token-under-test");
        assert_null(strstr(e.text, "words"));
    }
    fake_write(fake, "token-under-test", "good\r\n");
    assert_ok(session_init(&s, &o, &e), e);
    assert_string_equal((char *)s.bearer->header->data, "Authorization: Bearer good");
    session_clear(&s);
}

/* A request in flight keeps the token that it began with. */
static void test_reload_keeps_the_old_one_alive(void **state)
{
    struct kube_options o = fake_options(fake);
    struct bearer *old;
    struct session s;
    struct error e = ERROR_INIT;
    bool changed = true;

    (void)state;
    o.token_file = fake_path(fake, "token-under-test");
    fake_write(fake, "token-under-test", "one");
    assert_ok(session_init(&s, &o, &e), e);
    old = bearer_ref(s.bearer);
    assert_ok(session_reload_token(&s, &changed, &e), e);
    assert_false(changed);
    fake_write(fake, "token-under-test", "two");
    assert_ok(session_reload_token(&s, &changed, &e), e);
    assert_true(changed);
    assert_string_equal((char *)old->header->data, "Authorization: Bearer one");
    assert_string_equal((char *)s.bearer->header->data, "Authorization: Bearer two");
    bearer_unref(old);
    fake_write(fake, "token-under-test", "");
    assert_int_equal(session_reload_token(&s, &changed, &e), ERR_INVALID);
    assert_string_equal((char *)s.bearer->header->data, "Authorization: Bearer two");
    session_clear(&s);
}

static void test_headers_are_borrowed(void **state)
{
    struct headers h = {0};
    const char *text = "Accept: application/json";

    (void)state;
    assert_null(headers_list(&h));
    headers_add(&h, NULL);
    headers_add(&h, text);
    headers_add(&h, "X: y");
    headers_add_bearer(&h, NULL);
    assert_ptr_equal(headers_list(&h)->data, text);
    assert_string_equal(headers_list(&h)->next->data, "X: y");
    assert_null(headers_list(&h)->next->next);
}

static void status_is(const struct session *s, long status, int code, const char *part)
{
    struct sink body = {.max = 1000};
    struct error e = ERROR_INIT;

    assert_int_equal(session_status_error(s, status, &body, "listing secrets", &e), code);
    assert_has(e.text, "s1");
    assert_has(e.text, part);
}

static void test_status_errors(void **state)
{
    struct kube_options o = fake_options(fake);
    struct session s;
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(session_init(&s, &o, &e), e);
    status_is(&s, 401, ERR_DENIED, o.token_file);
    status_is(&s, 403, ERR_DENIED, "listing secrets: 403 Forbidden");
    status_is(&s, 404, ERR_NOT_FOUND, "404");
    status_is(&s, 409, ERR_CONFLICT, "409");
    status_is(&s, 410, ERR_COMPACTED, "410");
    status_is(&s, 429, ERR_UNAVAILABLE, "429");
    status_is(&s, 500, ERR_UNAVAILABLE, "500");
    status_is(&s, 504, ERR_UNAVAILABLE, "504");
    status_is(&s, 302, ERR_INVALID, "302");
    status_is(&s, 400, ERR_INVALID, "400");
    session_clear(&s);
    o.token_file = NULL;
    assert_ok(session_init(&s, &o, &e), e);
    status_is(&s, 401, ERR_DENIED, "neither a token nor a client certificate");
    session_clear(&s);
}

static void test_transport_errors(void **state)
{
    static const struct {
        CURLcode curl;
        int code;
    } codes[] = {
        {CURLE_COULDNT_CONNECT, ERR_UNAVAILABLE},     {CURLE_RECV_ERROR, ERR_UNAVAILABLE},
        {CURLE_HTTP2_STREAM, ERR_UNAVAILABLE},        {CURLE_OPERATION_TIMEDOUT, ERR_TIMEOUT},
        {CURLE_PEER_FAILED_VERIFICATION, ERR_DENIED}, {CURLE_WRITE_ERROR, ERR_TOO_LARGE},
        {CURLE_WEIRD_SERVER_REPLY, ERR_INVALID},      {CURLE_OUT_OF_MEMORY, ERR_NO_MEMORY},
    };
    struct kube_options o = fake_options(fake);
    struct session s;
    struct error e = ERROR_INIT;

    (void)state;
    assert_ok(session_init(&s, &o, &e), e);
    for (size_t i = 0; i < array_len(codes); i++) {
        assert_int_equal(session_transport_error(&s, codes[i].curl, "the detail", &e), codes[i].code);
        assert_has(e.text, "s1 (https://127.0.0.1:");
        assert_has(e.text, "the detail");
    }
    (void)session_transport_error(&s, CURLE_COULDNT_CONNECT, "", &e);
    assert_has(e.text, curl_easy_strerror(CURLE_COULDNT_CONNECT));
    session_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_reload_keeps_the_old_one_alive),
        cmocka_unit_test(test_headers_are_borrowed),
        cmocka_unit_test(test_status_errors),
        cmocka_unit_test(test_transport_errors),
    };

    return cmocka_run_group_tests_name("kube session", tests, begin, finish);
}
