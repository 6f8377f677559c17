#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "internal.h"

struct row {
    int status;
    const char *text;
    int code;
    const char *shown; /* a part of the error text */
};

static void check(const struct row *rows, size_t count, bool silent)
{
    for (size_t i = 0; i < count; i++) {
        struct status s = {.code = (grpc_status_code)rows[i].status, .text = rows[i].text};
        struct error err = ERROR_INIT;
        bool was_silent;
        int rc = status_explain(&s, 1234, &was_silent, &err);
        if (rc != rows[i].code || err.code != rc || !strstr(err.text, rows[i].shown) || was_silent != silent)
            fail_msg("%d \"%s\": %s: %s", rows[i].status, rows[i].text ? rows[i].text : "",
                     error_code_name(rc), err.text);
    }
}

static void etcd_texts(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {3, "etcdserver: request is too large", ERR_TOO_LARGE, "request is too large"},
        {8, "grpc: received message larger than max (3000011 vs. 2097152)", ERR_TOO_LARGE, "larger than max"},
        {3, "etcdserver: too many operations in txn request", ERR_TOO_LARGE, "too many operations"},
        {11, "etcdserver: mvcc: required revision has been compacted", ERR_COMPACTED, "compacted"},
        {11, "etcdserver: mvcc: required revision is a future revision", ERR_UNAVAILABLE, "lags behind"},
        {8, "etcdserver: mvcc: database space exceeded", ERR_STATE, "disarm the NOSPACE alarm"},
        {5, "etcdserver: requested lease not found", ERR_NOT_FOUND, "lease not found"},
        {7, "etcdserver: permission denied", ERR_DENIED, "may not do that"},
        {3, "etcdserver: user name is empty", ERR_DENIED, "names no user"},
        {16, "etcdserver: invalid auth token", ERR_DENIED, "auth token"},
        {3, "etcdserver: authentication failed, invalid user ID or password", ERR_DENIED, "authentication"},
        {14, "etcdserver: no leader", ERR_UNAVAILABLE, "no quorum"},
        {14, "etcdserver: request timed out", ERR_UNAVAILABLE, "timed out"},
        {14, "etcdserver: request timed out, possibly due to previous leader failure", ERR_UNAVAILABLE,
         "leader"},
        {14, "etcdserver: leader changed", ERR_UNAVAILABLE, "leader changed"},
        {8, "etcdserver: too many requests", ERR_UNAVAILABLE, "too many requests"},
        {3, "etcdserver: duplicate key given in txn request", ERR_INVALID, "duplicate key"},
        {15, "etcdserver: corrupt cluster", ERR_STATE, "repair"},
        {2, "context deadline exceeded", ERR_TIMEOUT, "deadline"},
    };
    check(rows, array_len(rows), false);
}

static void grpc_statuses(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {1, "", ERR_CANCELED, "status 1 and no text"},
        {2, "?", ERR_UNAVAILABLE, "?"},
        {3, "bad", ERR_INVALID, "bad"},
        {4, "Deadline Exceeded", ERR_TIMEOUT, "no answer within 1234 ms"},
        {5, "x", ERR_NOT_FOUND, "x"},
        {7, "x", ERR_DENIED, "x"},
        {8, "x", ERR_UNAVAILABLE, "x"},
        {9, "x", ERR_STATE, "x"},
        {11, "x", ERR_INVALID, "x"},
        {12, "unknown service", ERR_UNSUPPORTED, "is this an etcd v3 server?"},
        {14, NULL, ERR_UNAVAILABLE, "no text"},
        {16, "x", ERR_DENIED, "x"},
        {14, "empty address list: ", ERR_INVALID, "a key that does not belong to it"},
    };
    check(rows, array_len(rows), false);
}

static void tls_and_connections(void **state)
{
    (void)state;
#define LAST "connections to all backends failing; last error: UNKNOWN: ipv4:127.0.0.1:2379: "
    static const struct row told[] = {
        {14,
         LAST "Ssl handshake failed: SSL_ERROR_SSL: error:0A000086:SSL routines::certificate verify failed",
         ERR_DENIED, "127.0.0.1:2379: certificate verify failed; the CA file"},
        {14, LAST "Peer name nobody is not in peer certificate", ERR_DENIED,
         "Peer name nobody is not in peer"},
        {14, LAST "Ssl handshake failed: SSL_ERROR_SSL: error:0A00010B:SSL routines::wrong version number",
         ERR_DENIED, "does not speak TLS"},
        {14, LAST "Failed to connect to remote host: Connection refused", ERR_UNAVAILABLE,
         "127.0.0.1:2379: Failed to connect to remote host: Connection refused"},
    };
    check(told, array_len(told), false);
    static const struct row silent[] = {
        {14, LAST "Endpoint read failed", ERR_UNAVAILABLE, "127.0.0.1:2379: Endpoint read failed"},
        {14, LAST "Socket closed", ERR_UNAVAILABLE, "Socket closed"},
        {14, LAST "Connection reset by peer", ERR_UNAVAILABLE, "reset"},
    };
    check(silent, array_len(silent), true);
}

static void ok_is_no_error(void **state)
{
    (void)state;
    struct status s = {.code = GRPC_STATUS_OK, .text = ""};
    struct error err = ERROR_INIT;
    bool silent = true;
    assert_int_equal(status_explain(&s, 1, &silent, &err), 0);
    assert_int_equal(err.code, 0);
    assert_false(silent);
}

/* A server of ours sends the code's name along: the text says nothing of what it is, and stays as it was. */
static void a_named_error_is_that_error(void **state)
{
    (void)state;
    for (int code = ERR_NO_SPACE; code < 0; code++) {
        grpc_metadata list[] = {
            {.key = grpc_slice_from_static_string("x"), .value = grpc_slice_from_static_string("internal")},
            {.key = grpc_slice_from_static_string(STATUS_TRAILER),
             .value = grpc_slice_from_static_string(error_code_name(code))},
        };
        grpc_metadata_array trailing = {.count = 2, .capacity = 2, .metadata = list};
        struct status s = {.code = status_of_error(code),
                           .text = "last error: UNKNOWN: ipv4:x alert permission denied",
                           .named = status_named(&trailing)};
        assert_int_not_equal(s.code, GRPC_STATUS_OK);
        assert_int_not_equal(s.code, GRPC_STATUS_UNKNOWN);
        struct error err = ERROR_INIT;
        bool silent;
        assert_int_equal(status_explain(&s, 1, &silent, &err), code);
        assert_int_equal(err.code, code);
        assert_string_equal(err.text, s.text);
        list[1].value = grpc_slice_from_static_string("nonsense");
        assert_int_equal(status_named(&trailing), 0);
        trailing.count = 0;
        assert_int_equal(status_named(&trailing), 0);
    }
    assert_int_equal(status_of_error(-1000), GRPC_STATUS_UNKNOWN);
}

/* Statuses that gRPC makes for a server of ours: they carry no name. */
static void limits_of_a_server_of_ours(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {4, "not done within 300 ms, the most that this server gives", ERR_TIMEOUT, "not done within 300 ms"},
        {8, "Received RST_STREAM with error code 11", ERR_TOO_LARGE, "too large, or many came at once"},
        {8, "Received message larger than max (100 vs. 10)", ERR_TOO_LARGE, "larger than max"},
    };
    check(rows, array_len(rows), false);
}

/* A refused handshake is guessed at only as long as no server has answered on this channel. */
static void the_hint_is_for_fresh_channels(void **state)
{
    (void)state;
    struct rpc_channel c = {.tls = true};
    struct status closed = {.code = GRPC_STATUS_UNAVAILABLE, .text = "Socket closed"};
    struct status answer = {.code = GRPC_STATUS_NOT_FOUND, .text = "etcdserver: requested lease not found"};
    struct error err = ERROR_INIT;
    assert_int_equal(status_convert(&c, &closed, 1, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "may want a client certificate"));
    assert_int_equal(c.silent_handshakes, 1);
    c.has_certificate = true;
    status_convert(&c, &closed, 1, &err);
    assert_non_null(strstr(err.text, "may not accept our client certificate"));
    c.tls = false;
    status_convert(&c, &closed, 1, &err);
    assert_non_null(strstr(err.text, "https://"));
    assert_int_equal(status_convert(&c, &answer, 1, &err), ERR_NOT_FOUND);
    assert_int_equal(status_convert(&c, &closed, 1, &err), ERR_UNAVAILABLE);
    assert_string_equal(err.text, "Socket closed");
    assert_int_equal(c.silent_handshakes, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(etcd_texts),
        cmocka_unit_test(grpc_statuses),
        cmocka_unit_test(tls_and_connections),
        cmocka_unit_test(ok_is_no_error),
        cmocka_unit_test(a_named_error_is_that_error),
        cmocka_unit_test(limits_of_a_server_of_ours),
        cmocka_unit_test(the_hint_is_for_fresh_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
