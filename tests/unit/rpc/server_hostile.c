/* Callers who mean harm, or are broken: each is refused or bounded, and a good one beside it does not feel
 * it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <grpc/byte_buffer.h>
#include <grpc/compression.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include <base/clock.h>
#include <base/file.h>
#include <base/text.h>

#include "serving.h"

#define MAX_MESSAGE (1u << 20)
#define HUGE_BYTES  (100u << 20)

extern char **environ;

/* AddressSanitizer keeps what is freed, which would count as the server's. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=1";
}

/* How much more memory a hostile caller may cost. AddressSanitizer keeps what was freed for a while. */
#ifdef __SANITIZE_ADDRESS__
#define MORE_KB (64 << 10)
#else
#define MORE_KB (16 << 10)
#endif

static int64_t status_kb(const char *name)
{
    char line[256];
    int64_t kb = -1;
    FILE *f = fopen("/proc/self/status", "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, name, strlen(name)) == 0)
            kb = strtoll(line + strlen(name) + 1, NULL, 10);
    fclose(f);
    return kb;
}

/* The peak of what is resident counts from now. */
static void reset_peak(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "5", 1), 1);
    close(fd);
}

/* A process of its own (this program itself, see main): what it needs is not the server's. */
static int call_with(const char *address, size_t bytes)
{
    struct rpc_channel *c = client_open(address, 2 * HUGE_BYTES);
    char *key = malloc(bytes + 1);
    if (!key)
        return 100;
    memset(key, 'k', bytes);
    key[bytes] = 0;
    struct error err = ERROR_INIT;
    int rc = client_call(c, &test_echo, 1, key, 60000, NULL, &err);
    fprintf(stderr, "%zu bytes: %s: %s\n", bytes, error_code_name(rc), err.text);
    rpc_channel_close(c);
    free(key);
    return -rc;
}

static pid_t start_call_with(const char *address, size_t bytes)
{
    char number[32];
    snprintf(number, sizeof(number), "%zu", bytes);
    char *argv[] = {"test", "call", (char *)address, number, NULL};
    pid_t pid = -1;
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
    return pid;
}

static void huge_messages_are_refused(void **state)
{
    (void)state;
    static const size_t sizes[] = {(64u << 10) + 100, 128u << 10, 1u << 20, HUGE_BYTES};
    struct serving s;
    serving_start(&s, NULL);
    struct rpc_channel *c = client_open(s.address, MAX_MESSAGE);
    struct error err = ERROR_INIT;
    assert_int_equal(client_call(c, &test_echo, 1, NULL, WAIT_MS, NULL, &err), 0);
    for (size_t i = 0; i < array_len(sizes); i++) {
        reset_peak();
        int64_t before = status_kb("VmHWM:");
        pid_t pid = start_call_with(s.address, sizes[i]);
        int status = 0, good = 0;
        pid_t ended;
        while ((ended = waitpid(pid, &status, WNOHANG)) == 0) {
            if (client_call(c, &test_echo, 1, "a good caller", WAIT_MS, NULL, &err) < 0)
                fail_msg("after %d good calls: %s", good, err.text);
            good++;
        }
        assert_int_equal(ended, pid);
        assert_true(WIFEXITED(status));
        /* Refused by its size; beyond the quota gRPC ends the call, and now and then all of its connection.
         */
        if (sizes[i] < RPC_SERVER_MEMORY(serving_options().max_message))
            assert_int_equal(WEXITSTATUS(status), -ERR_TOO_LARGE);
        else
            assert_true(WEXITSTATUS(status) == -ERR_TOO_LARGE || WEXITSTATUS(status) == -ERR_UNAVAILABLE);
        int64_t more = status_kb("VmHWM:") - before;
        print_message("%zu bytes: %lld kB more, %d good calls meanwhile\n", sizes[i], (long long)more, good);
        assert_true(more < MORE_KB);
        assert_true(good > 0);
    }
    rpc_channel_close(c);
    serving_stop(&s);
}

/* True once the server has closed the connection. */
static bool closed_within(int fd, int ms)
{
    char rubbish[4096];
    for (int64_t end = clock_mono_ms() + ms; clock_mono_ms() < end;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 100) <= 0)
            continue;
        ssize_t n = recv(fd, rubbish, sizeof(rubbish), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return true;
    }
    return false;
}

static void garbage_ends_only_its_connection(void **state)
{
    (void)state;
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    static const struct {
        const char *text;
        size_t len;
        bool preface;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, false},
        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11, false}, /* TLS */
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, false},
        {"\xff\xff\xff\x00\x00\x00\x00\x00\x01", 9, true},      /* a frame of 16 MB */
        {"\x00\x00\x04\x00\x00\x00\x00\x00\x01zzzz", 13, true}, /* data before the settings */
        {"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\xff\xff\xff\xff", 15, true}, /* a bad setting */
    };
    struct serving s;
    serving_start(&s, NULL);
    struct rpc_channel *c = client_open(s.address, MAX_MESSAGE);
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < array_len(rows); i++) {
        int fd = serving_pair(&s);
        if (rows[i].preface)
            assert_int_equal(send(fd, preface, sizeof(preface) - 1, MSG_NOSIGNAL), sizeof(preface) - 1);
        assert_int_equal(send(fd, rows[i].text, rows[i].len, MSG_NOSIGNAL), rows[i].len);
        if (!closed_within(fd, WAIT_MS))
            fail_msg("row %zu is still open", i);
        serving_await(&s, &s.freed, (int)i + 1);
        close(fd);
        assert_int_equal(client_call(c, &test_echo, 1, NULL, WAIT_MS, NULL, &err), 0);
    }
    /* Closed before a byte came, and in the middle of the preface. */
    close(serving_pair(&s));
    int fd = serving_pair(&s);
    assert_int_equal(send(fd, preface, 10, MSG_NOSIGNAL), 10);
    close(fd);
    serving_await(&s, &s.freed, (int)array_len(rows) + 2);
    rpc_channel_close(c);
    serving_stop(&s);
}

static void a_silent_connection_ends(void **state)
{
    (void)state;
    struct rpc_server_options o = serving_options();
    o.idle_ms = 300;
    struct serving s;
    serving_start(&s, &o);
    /* A client of ours that has nothing to say: connects, calls once, and stays. */
    struct rpc_channel *c = client_open(s.address, MAX_MESSAGE);
    struct error err = ERROR_INIT;
    assert_int_equal(client_call(c, &test_echo, 1, NULL, WAIT_MS, NULL, &err), 0);
    serving_await(&s, &s.freed, 1);
    /* And is served again when it has. */
    int64_t n;
    if (client_call(c, &test_echo, 7, NULL, WAIT_MS, &n, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(n, 7);
    rpc_channel_close(c);
    serving_stop(&s);
}

static void huge_metadata_are_refused(void **state)
{
    (void)state;
    struct serving s;
    serving_start(&s, NULL);
    struct rpc_channel *c = client_open(s.address, MAX_MESSAGE);
    static char value[100000];
    memset(value, 'v', sizeof(value) - 1);
    const char *metadata[] = {"x-large", value, NULL};
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    struct rpc_stream *stream = NULL;
    ProtobufCMessage *reply = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(rpc_stream_open(c, &test_numbers, metadata, &stream, &err), 0);
    assert_int_equal(rpc_stream_send(stream, &q.base, &err), 0);
    int rc = rpc_stream_receive(stream, WAIT_MS, &reply, &err);
    assert_true(rc < 0 && rc != ERR_TIMEOUT);
    assert_string_not_equal(err.text, "the server ended the stream"); /* which would be its answer */
    rpc_stream_free(stream);
    assert_int_equal(client_call(c, &test_echo, 1, NULL, WAIT_MS, NULL, &err), 0);
    rpc_channel_close(c);
    serving_stop(&s);
}

/* --- gRPC itself as the client, for what ours would not send --- */

struct raw {
    grpc_completion_queue *queue;
    grpc_channel *channel;
};

static struct raw raw_open(int fd, int compression)
{
    grpc_init();
    struct raw r = {.queue = grpc_completion_queue_create_for_pluck(NULL)};
    grpc_arg arg = {.type = GRPC_ARG_INTEGER,
                    .key = (char *)GRPC_COMPRESSION_CHANNEL_DEFAULT_ALGORITHM,
                    .value.integer = compression};
    grpc_channel_args args = {.num_args = 1, .args = &arg};
    grpc_channel_credentials *creds = grpc_insecure_credentials_create();
    assert_true(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    r.channel = grpc_channel_create_from_fd("test", fd, creds, &args);
    grpc_channel_credentials_release(creds);
    return r;
}

static void raw_close(struct raw *r)
{
    grpc_channel_destroy(r->channel);
    grpc_completion_queue_shutdown(r->queue);
    grpc_completion_queue_destroy(r->queue);
    grpc_shutdown_blocking();
}

/* The status of a call with this body; NULL: it sends none. Its text is cut to `text`. */
static grpc_status_code raw_call(struct raw *r, const char *path, const void *body, size_t len,
                                 char text[256])
{
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(WAIT_MS, GPR_TIMESPAN));
    grpc_call *call = grpc_channel_create_call(r->channel, NULL, GRPC_PROPAGATE_DEFAULTS, r->queue,
                                               grpc_slice_from_static_string(path), NULL, deadline, NULL);
    grpc_slice slice = grpc_slice_from_copied_buffer(body, len), details = grpc_empty_slice();
    grpc_byte_buffer *out = grpc_raw_byte_buffer_create(&slice, 1), *in = NULL;
    grpc_metadata_array initial, trailing;
    grpc_metadata_array_init(&initial);
    grpc_metadata_array_init(&trailing);
    grpc_status_code status = GRPC_STATUS_UNKNOWN;
    grpc_op ops[6];
    memset(ops, 0, sizeof(ops));
    size_t n = 0;
    ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (body) {
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = out;
    }
    ops[n++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[n].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[n++].data.recv_initial_metadata.recv_initial_metadata = &initial;
    ops[n].op = GRPC_OP_RECV_MESSAGE;
    ops[n++].data.recv_message.recv_message = &in;
    ops[n].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[n].data.recv_status_on_client.trailing_metadata = &trailing;
    ops[n].data.recv_status_on_client.status = &status;
    ops[n++].data.recv_status_on_client.status_details = &details;
    assert_int_equal(grpc_call_start_batch(call, ops, n, ops, NULL), GRPC_CALL_OK);
    grpc_event e = grpc_completion_queue_pluck(r->queue, ops, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    assert_int_equal(e.type, GRPC_OP_COMPLETE);
    char *got = grpc_slice_to_c_string(details);
    snprintf(text, 256, "%s", got);
    gpr_free(got);
    grpc_slice_unref(details);
    grpc_slice_unref(slice);
    grpc_byte_buffer_destroy(out);
    if (in)
        grpc_byte_buffer_destroy(in);
    grpc_metadata_array_destroy(&initial);
    grpc_metadata_array_destroy(&trailing);
    grpc_call_unref(call);
    return status;
}

static void a_call_needs_a_request(void **state)
{
    (void)state;
    struct serving s;
    serving_start(&s, NULL);
    struct raw r = raw_open(serving_pair(&s), GRPC_COMPRESS_NONE);
    char text[256];
    assert_int_equal(raw_call(&r, test_echo.path, NULL, 0, text), GRPC_STATUS_INVALID_ARGUMENT);
    assert_string_equal(text, "/test.Test/Echo came without a request");
    assert_int_equal(raw_call(&r, test_numbers.path, NULL, 0, text), GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(raw_call(&r, test_echo.path, "\xff\xff\xff\xff", 4, text), GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(raw_call(&r, test_echo.path, "", 0, text),
                     GRPC_STATUS_OK); /* all fields at their default */
    assert_int_equal(raw_call(&r, "/", "", 0, text), GRPC_STATUS_UNIMPLEMENTED);
    assert_int_equal(raw_call(&r, "/%s%n\x01", "", 0, text), GRPC_STATUS_UNIMPLEMENTED);
    raw_close(&r);
    serving_stop(&s);
}

/* 8 MB of one letter are 8 kB on the wire. */
static void a_compressed_message_is_refused(void **state)
{
    (void)state;
    struct serving s;
    serving_start(&s, NULL);
    size_t len = 8u << 20;
    char *body = calloc(1, len);
    assert_non_null(body);
    static const int algorithms[] = {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE};
    for (size_t i = 0; i < array_len(algorithms); i++) {
        struct raw r = raw_open(serving_pair(&s), algorithms[i]);
        char text[256];
        reset_peak();
        int64_t before = status_kb("VmHWM:");
        grpc_status_code status = raw_call(&r, test_echo.path, body, len, text);
        print_message("compressed: %d %s, %lld kB\n", (int)status, text,
                      (long long)(status_kb("VmHWM:") - before));
        assert_int_equal(status, GRPC_STATUS_UNIMPLEMENTED);
        raw_close(&r);
    }
    free(body);
    serving_stop(&s);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "call") == 0)
        return call_with(argv[2], strtoull(argv[3], NULL, 10));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(huge_messages_are_refused), cmocka_unit_test(garbage_ends_only_its_connection),
        cmocka_unit_test(a_silent_connection_ends),  cmocka_unit_test(huge_metadata_are_refused),
        cmocka_unit_test(a_call_needs_a_request),    cmocka_unit_test(a_compressed_message_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
