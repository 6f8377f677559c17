#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/clock.h>

#include "serving.h"

#define MAX_MESSAGE (1u << 20)

static void bad_options_are_told(void **state)
{
    (void)state;
    struct rpc_server *s = NULL;
    struct error err = ERROR_INIT;
    struct rpc_server_options good = serving_options(), o = good;
    o.methods_count = 0;
    assert_int_equal(rpc_server_new(&o, &s, &err), ERR_INVALID);
    o = good;
    o.max_send = 0;
    assert_int_equal(rpc_server_new(&o, &s, &err), ERR_INVALID);
    o = good;
    o.memory = o.max_message;
    assert_int_equal(rpc_server_new(&o, &s, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "memory"));
    o = good;
    o.workers = 0;
    assert_int_equal(rpc_server_new(&o, &s, &err), ERR_INVALID);
    o = good;
    o.deadline_ms = 0;
    assert_int_equal(rpc_server_new(&o, &s, &err), ERR_INVALID);
    assert_null(s);
    rpc_server_free(NULL);
}

static void a_call_is_answered(void **state)
{
    (void)state;
    struct serving s;
    serving_start(&s, NULL);
    struct rpc_channel *c = client_open(s.address, MAX_MESSAGE);
    struct error err = ERROR_INIT;
    for (int64_t i = 0; i < 100; i++) {
        int64_t got = -1;
        if (client_call(c, &test_echo, i, "key", WAIT_MS, &got, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(got, i);
    }
    assert_int_equal(serving_count(&s, &s.accepted), 1);
    rpc_channel_close(c);
    serving_await(&s, &s.freed, 1); /* the connection's end is seen while the server goes on */
    serving_stop(&s);
}

static void a_socket_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct rpc_channel *c = client_open("unix:/tmp/test-rpc-nothing/socket", MAX_MESSAGE);
    struct error err = ERROR_INIT;
    assert_int_equal(client_call(c, &test_echo, 1, NULL, WAIT_MS, NULL, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "unix:/tmp/test-rpc-nothing/socket"));
    assert_non_null(strstr(err.text, "No such file or directory"));
    print_message("%s\n", err.text);
    rpc_channel_close(c);
}

/* Whatever the text says: it could be read as etcd's, as TLS's, or as gRPC's wrapping. */
static void errors_come_back_as_they_were(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "alert Watchdog is firing",
        "permission denied: no leader, last error: UNKNOWN: ipv4:10.0.0.1: SSL routines::certificate",
        ("geschlossen bis Sonnabend 02:00, Stra\xc3\x9f"
         "e 100 %41 \xe2\x86\x92"), /* one text */
        "",
    };
    struct serving s;
    serving_start(&s, NULL);
    struct rpc_channel *c = client_open(s.address, MAX_MESSAGE);
    for (int code = 1; code <= 15; code++) {
        for (size_t i = 0; i < array_len(texts); i++) {
            struct error err = ERROR_INIT;
            assert_int_equal(client_call(c, &test_fail, code, texts[i], WAIT_MS, NULL, &err), -code);
            assert_int_equal(err.code, -code);
            assert_string_equal(err.text, texts[i]);
        }
    }
    rpc_channel_close(c);
    serving_stop(&s);
}

static void what_cannot_be_served_is_told(void **state)
{
    (void)state;
    struct serving s;
    serving_start(&s, NULL);
    struct rpc_channel *c = client_open(s.address, 8 * MAX_MESSAGE);
    struct error err = ERROR_INIT;
    assert_int_equal(client_call(c, &test_unknown, 1, NULL, WAIT_MS, NULL, &err), ERR_UNSUPPORTED);
    assert_string_equal(err.text, "this server has no method /test.Test/Unknown");
    assert_int_equal(client_call(c, &test_typed, 1, "a key", WAIT_MS, NULL, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "is not a LeaseGrantRequest message"));
    assert_int_equal(client_call(c, &test_big, 2 << 20, NULL, WAIT_MS, NULL, &err), ERR_TOO_LARGE);
    assert_string_equal(err.text, "the answer of /test.Test/Big is over the limit of 1048576 bytes");
    assert_int_equal(client_call(c, &test_big, 1000000, NULL, WAIT_MS, NULL, &err), 0);
    rpc_channel_close(c);
    serving_stop(&s);
}

static void a_call_ends_at_the_callers_deadline(void **state)
{
    (void)state;
    struct serving s;
    serving_start(&s, NULL);
    struct rpc_channel *c = client_open(s.address, MAX_MESSAGE);
    struct error err = ERROR_INIT;
    int64_t before = clock_mono_ms();
    assert_int_equal(client_call(c, &test_wait, 0, NULL, 300, NULL, &err), ERR_TIMEOUT);
    assert_string_equal(err.text, "no answer within 300 ms");
    serving_await(&s, &s.left, 1);
    assert_true(s.deadline_ms <= before + 400); /* the handler knew */
    assert_true(clock_mono_ms() - before < 2000);
    rpc_channel_close(c);
    serving_stop(&s);
}

static void a_call_ends_at_the_servers_deadline(void **state)
{
    (void)state;
    struct rpc_server_options o = serving_options();
    o.deadline_ms = 300;
    struct serving s;
    serving_start(&s, &o);
    struct rpc_channel *c = client_open(s.address, MAX_MESSAGE);
    struct error err = ERROR_INIT;
    int64_t before = clock_mono_ms();
    assert_int_equal(client_call(c, &test_wait, 0, NULL, 60000, NULL, &err), ERR_TIMEOUT);
    assert_string_equal(err.text, "not done within 300 ms, the most that this server gives");
    serving_await(&s, &s.left, 1);
    int64_t took = clock_mono_ms() - before;
    assert_true(took >= 300 && took < 3000);
    assert_int_equal(client_call(c, &test_echo, 0, NULL, 60000, NULL, &err), 0);
    rpc_channel_close(c);
    serving_stop(&s);
}

static void count_end(void *arg, int code, ProtobufCMessage *reply, const struct error *err)
{
    (void)err;
    assert_true(code < 0);
    assert_null(reply);
    __atomic_fetch_add((int *)arg, 1, __ATOMIC_SEQ_CST);
}

static void start_waits(struct rpc_channel *c, int n, int *ended)
{
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    for (int i = 0; i < n; i++)
        assert_int_equal(rpc_call_start(c, &test_wait, &q.base, 60000, count_end, ended, NULL), 0);
}

static void a_handler_sees_that_the_caller_left(void **state)
{
    (void)state;
    struct serving s;
    serving_start(&s, NULL);
    struct rpc_channel *c = client_open(s.address, MAX_MESSAGE);
    int ended = 0;
    start_waits(c, 2, &ended);
    serving_await(&s, &s.entered, 2);
    rpc_channel_close(c);
    assert_int_equal(ended, 2);
    serving_await(&s, &s.left, 2);
    serving_await(&s, &s.freed, 1);
    serving_stop(&s);
}

/* One runs, one waits; the third is told so at once. */
static void a_full_queue_refuses_at_once(void **state)
{
    (void)state;
    struct rpc_server_options o = serving_options();
    o.workers = 1;
    o.calls_max = 2;
    struct serving s;
    serving_start(&s, &o);
    char name[96];
    serving_name(&s, 0, name);
    struct rpc_channel *c = client_open(s.address, MAX_MESSAGE), *other = client_open(name, MAX_MESSAGE);
    int ended = 0;
    struct error err = ERROR_INIT;
    start_waits(c, 1, &ended);
    serving_await(&s, &s.entered, 1);
    start_waits(c, 1, &ended);
    /* The second has no handler to tell that it came: the answer to the third does. */
    int rc = 0;
    for (int64_t end = clock_mono_ms() + WAIT_MS; rc != ERR_UNAVAILABLE && clock_mono_ms() < end;)
        rc = client_call(other, &test_echo, 1, NULL, 100, NULL, &err);
    assert_int_equal(rc, ERR_UNAVAILABLE);
    assert_string_equal(err.text, "the server is busy with 2 calls; try again");
    int64_t before = clock_mono_ms();
    assert_int_equal(client_call(other, &test_echo, 1, NULL, 60000, NULL, &err), ERR_UNAVAILABLE);
    assert_true(clock_mono_ms() - before < 1000);
    assert_int_equal(serving_count(&s, &s.entered), 1);
    rpc_channel_close(c);
    serving_await(&s, &s.left, 1);
    rc = ERR_UNAVAILABLE;
    for (int64_t end = clock_mono_ms() + WAIT_MS; rc == ERR_UNAVAILABLE && clock_mono_ms() < end;)
        rc = client_call(other, &test_echo, 1, NULL, WAIT_MS, NULL, &err);
    assert_int_equal(rc, 0);
    rpc_channel_close(other);
    serving_stop(&s);
}

#define MANY 200

static void many_connections_are_kept_apart(void **state)
{
    (void)state;
    static char names[MANY][96];
    const char *addresses[MANY];
    static int owner[100 * MANY]; /* by the peer; on a busy machine some connect again */
    struct serving s;
    serving_start(&s, NULL);
    for (int i = 0; i < MANY; i++) {
        serving_name(&s, i, names[i]);
        addresses[i] = names[i];
    }
    struct rpc_channel_options o = {
        .addresses = addresses, .addresses_count = MANY, .local = true, .max_message = MAX_MESSAGE};
    struct rpc_channel *c = NULL;
    assert_int_equal(rpc_channel_open(&o, &c, NULL), 0);
    serving_await(&s, &s.accepted, MANY);
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            ProtobufCMessage *reply = NULL;
            struct error err = ERROR_INIT;
            if (rpc_call_repeat(c, i, &test_peer, &q.base, WAIT_MS, &reply, &err) < 0)
                fail_msg("%s", err.text);
            int64_t serial = ((Etcdserverpb__RangeResponse *)reply)->count;
            rpc_message_free(reply);
            assert_in_range(serial, 1, array_len(owner) - 1);
            assert_true(owner[serial] == 0 || owner[serial] == i + 1);
            owner[serial] = i + 1;
        }
    }
    rpc_channel_close(c);
    serving_await(&s, &s.freed, MANY);
    serving_stop(&s);
}

/* A connection that comes right after another's end has its number, and is not taken for it. */
static void a_number_that_comes_again_is_another_peer(void **state)
{
    (void)state;
    struct serving s;
    int64_t last = 0;
    serving_start(&s, NULL);
    for (int i = 1; i <= 100; i++) {
        char name[96];
        serving_name(&s, i % 2, name);
        struct rpc_channel *c = client_open(name, MAX_MESSAGE);
        int64_t serial = 0;
        struct error err = ERROR_INIT;
        if (client_call(c, &test_peer, 0, NULL, WAIT_MS, &serial, &err) < 0)
            fail_msg("%s", err.text);
        assert_true(serial > last);
        last = serial;
        rpc_channel_close(c);
        if (i % 4 == 0)
            serving_await(&s, &s.freed, i - 1);
    }
    assert_true(serving_count(&s, &s.fd_again) > 20);
    serving_stop(&s);
}

static void freeing_ends_what_runs(void **state)
{
    (void)state;
    struct serving s;
    serving_start(&s, NULL);
    struct rpc_channel *c = client_open(s.address, MAX_MESSAGE);
    int ended = 0;
    start_waits(c, 6, &ended); /* two of them have no worker yet */
    struct rpc_stream *stream = client_stream(c, &test_flood, 1000, NULL);
    serving_await(&s, &s.entered, 5);
    serving_await(&s, &s.sent, 1);
    int64_t before = clock_mono_ms();
    serving_stop(&s);
    assert_true(clock_mono_ms() - before < 3000);
    assert_int_equal(s.left, s.entered);
    rpc_stream_free(stream);
    rpc_channel_close(c);
    assert_int_equal(ended, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_options_are_told),
        cmocka_unit_test(a_call_is_answered),
        cmocka_unit_test(a_socket_that_is_not_there_is_named),
        cmocka_unit_test(errors_come_back_as_they_were),
        cmocka_unit_test(what_cannot_be_served_is_told),
        cmocka_unit_test(a_call_ends_at_the_callers_deadline),
        cmocka_unit_test(a_call_ends_at_the_servers_deadline),
        cmocka_unit_test(a_handler_sees_that_the_caller_left),
        cmocka_unit_test(a_full_queue_refuses_at_once),
        cmocka_unit_test(many_connections_are_kept_apart),
        cmocka_unit_test(a_number_that_comes_again_is_another_peer),
        cmocka_unit_test(freeing_ends_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
