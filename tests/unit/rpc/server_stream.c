#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include <base/clock.h>

#include "serving.h"

#define MAX_MESSAGE (1u << 20)

extern char **environ;

/* The next number, or the end's code. */
static int next(struct rpc_stream *s, int64_t *ret, struct error *err)
{
    ProtobufCMessage *m = NULL;
    int rc = rpc_stream_receive(s, WAIT_MS, &m, err);
    if (rc == 0)
        *ret = ((Etcdserverpb__RangeResponse *)m)->count;
    rpc_message_free(m);
    return rc;
}

static void messages_come_in_order(void **state)
{
    (void)state;
    struct serving s;
    serving_start(&s, NULL);
    struct rpc_channel *c = client_open(s.address, MAX_MESSAGE);
    struct rpc_stream *stream = client_stream(c, &test_numbers, 1000, NULL);
    int64_t n = -1;
    struct error err = ERROR_INIT;
    for (int64_t i = 0; i < 1000; i++) {
        if (next(stream, &n, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(n, i);
    }
    assert_int_equal(next(stream, &n, &err), ERR_UNAVAILABLE);
    assert_string_equal(err.text, "the server ended the stream");
    rpc_stream_free(stream);

    /* Messages, then an error: both arrive. Also without any message. */
    for (int64_t count = 0; count < 3; count++) {
        stream = client_stream(c, &test_numbers, count, "alert Watchdog is firing");
        for (int64_t i = 0; i < count; i++)
            assert_int_equal(next(stream, &n, &err), 0);
        assert_int_equal(next(stream, &n, &err), ERR_STATE);
        assert_string_equal(err.text, "alert Watchdog is firing");
        rpc_stream_free(stream);
    }
    rpc_channel_close(c);
    serving_stop(&s);
}

static void a_stream_sees_that_the_caller_left(void **state)
{
    (void)state;
    struct serving s;
    serving_start(&s, NULL);
    struct rpc_channel *c = client_open(s.address, MAX_MESSAGE);
    struct rpc_stream *stream = client_stream(c, &test_flood, 1000, NULL);
    int64_t n;
    assert_int_equal(next(stream, &n, NULL), 0);
    rpc_stream_free(stream);
    serving_await(&s, &s.left, 1);
    assert_int_equal(s.last_rc, ERR_CANCELED);
    rpc_channel_close(c);
    serving_stop(&s);
}

static void a_message_over_the_limit_is_not_sent(void **state)
{
    (void)state;
    struct serving s;
    serving_start(&s, NULL);
    struct rpc_channel *c = client_open(s.address, 8 * MAX_MESSAGE);
    struct rpc_stream *stream = client_stream(c, &test_flood, 2 << 20, NULL);
    int64_t n;
    struct error err = ERROR_INIT;
    assert_int_equal(next(stream, &n, &err), ERR_TOO_LARGE);
    assert_string_equal(err.text, "a message of /test.Test/Flood is over the limit of 1048576 bytes");
    rpc_stream_free(stream);
    rpc_channel_close(c);
    serving_stop(&s);
}

/* Its process goes on, and acknowledges what the wire needs, but takes nothing off the stream. */
static void a_caller_who_takes_nothing_is_let_go(void **state)
{
    (void)state;
    struct rpc_server_options o = serving_options();
    o.send_ms = 300;
    struct serving s;
    serving_start(&s, &o);
    struct rpc_channel *c = client_open(s.address, MAX_MESSAGE);
    struct rpc_stream *stream = client_stream(c, &test_flood, 256 << 10, NULL);
    serving_await(&s, &s.left, 1);
    assert_int_equal(s.last_rc, ERR_TIMEOUT);
    /* The client's own queue takes 16 MiB, and its window some. */
    assert_in_range(s.sent, 16 << 2, 32 << 2);
    int rc = 0;
    int64_t n;
    struct error err = ERROR_INIT;
    while ((rc = next(stream, &n, &err)) == 0)
        continue;
    assert_int_equal(rc, ERR_UNAVAILABLE);
    assert_string_equal(err.text, "the stream was ended: nothing was read for 300 ms");
    rpc_stream_free(stream);
    assert_int_equal(client_call(c, &test_echo, 1, NULL, WAIT_MS, NULL, &err), 0);
    rpc_channel_close(c);
    serving_stop(&s);
}

/* A process that opens a stream and then stands still: this program itself, see main. */
static pid_t start_reader(const char *address)
{
    char *argv[] = {"test", "read", (char *)address, NULL};
    pid_t pid = -1;
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
    return pid;
}

static int read_one(const char *address)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* also of a test that failed with it standing still */
    struct rpc_channel *c = client_open(address, MAX_MESSAGE);
    struct rpc_stream *stream = client_stream(c, &test_flood, 1000, NULL);
    int64_t n;
    while (next(stream, &n, NULL) == 0)
        continue;
    return 0;
}

static void a_caller_who_stands_still_is_let_go(void **state)
{
    (void)state;
    struct rpc_server_options o = serving_options();
    o.send_ms = 500;
    struct serving s;
    serving_start(&s, &o);
    pid_t pid = start_reader(s.address);
    serving_await(&s, &s.sent, 100);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    serving_await(&s, &s.left, 1);
    assert_int_equal(s.last_rc, ERR_TIMEOUT);
    /* Nobody else feels it, and the stream's place is free. */
    struct rpc_channel *c = client_open(s.address, MAX_MESSAGE);
    struct error err = ERROR_INIT;
    if (client_call(c, &test_echo, 1, NULL, WAIT_MS, NULL, &err) < 0)
        fail_msg("%s", err.text);
    rpc_channel_close(c);
    /* Its connection is gone, like the good one, although it has not read a byte of that. */
    serving_await(&s, &s.freed, 2);
    serving_stop(&s);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Until the wire is full: nothing more was sent for a while. */
static void await_stall(struct serving *s)
{
    static const struct timespec step = {.tv_nsec = 200000000};
    int before, now = serving_count(s, &s->sent);
    do {
        before = now;
        nanosleep(&step, NULL);
        now = serving_count(s, &s->sent);
    } while (now != before);
}

/* The same, but the server is the one to end. */
static void a_caller_who_stands_still_does_not_hold_the_server(void **state)
{
    (void)state;
    struct serving s;
    serving_start(&s, NULL);
    pid_t pid = start_reader(s.address);
    serving_await(&s, &s.sent, 100);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    await_stall(&s);
    int64_t before = clock_mono_ms();
    serving_stop(&s);
    assert_true(clock_mono_ms() - before < 3000);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void streams_are_counted(void **state)
{
    (void)state;
    struct rpc_server_options o = serving_options();
    o.streams_max = 3;
    o.streams_of_peer = 2;
    struct serving s;
    serving_start(&s, &o);
    s.keys_apart = true;
    char name[96];
    serving_name(&s, 0, name);
    struct rpc_channel *a = client_open(s.address, MAX_MESSAGE), *b = client_open(name, MAX_MESSAGE);
    struct rpc_stream *running[3], *refused;
    struct error err = ERROR_INIT;
    int64_t n;
    for (int i = 0; i < 2; i++)
        running[i] = client_stream(a, &test_flood, 1000, NULL);
    serving_await(&s, &s.entered, 2);
    refused = client_stream(a, &test_flood, 1000, NULL);
    assert_int_equal(next(refused, &n, &err), ERR_UNAVAILABLE);
    assert_string_equal(err.text, "there are 2 streams of yours already; end one of them");
    rpc_stream_free(refused);
    running[2] = client_stream(b, &test_flood, 1000, NULL);
    serving_await(&s, &s.entered, 3);
    refused = client_stream(b, &test_flood, 1000, NULL);
    assert_int_equal(next(refused, &n, &err), ERR_UNAVAILABLE);
    assert_string_equal(err.text, "the server has 3 streams already; try again later");
    rpc_stream_free(refused);
    /* They are no calls: those go on. */
    assert_int_equal(client_call(b, &test_echo, 1, NULL, WAIT_MS, NULL, &err), 0);
    for (int i = 0; i < 3; i++)
        rpc_stream_free(running[i]);
    serving_await(&s, &s.left, 3);
    int rc = ERR_UNAVAILABLE;
    for (int64_t end = clock_mono_ms() + WAIT_MS; rc == ERR_UNAVAILABLE && clock_mono_ms() < end;) {
        struct rpc_stream *again = client_stream(b, &test_flood, 1000, NULL);
        rc = next(again, &n, &err);
        rpc_stream_free(again);
    }
    assert_int_equal(rc, 0);
    rpc_channel_close(a);
    rpc_channel_close(b);
    serving_stop(&s);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "read") == 0)
        return read_one(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_in_order),
        cmocka_unit_test(a_stream_sees_that_the_caller_left),
        cmocka_unit_test(a_message_over_the_limit_is_not_sent),
        cmocka_unit_test(a_caller_who_takes_nothing_is_let_go),
        cmocka_unit_test(a_caller_who_stands_still_is_let_go),
        cmocka_unit_test(a_caller_who_stands_still_does_not_hold_the_server),
        cmocka_unit_test(streams_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
