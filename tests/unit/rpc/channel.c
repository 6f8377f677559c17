#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <base/clock.h>
#include <etcd_rpc.pb-c.h>

#include "internal.h"

static const struct rpc_method range = {"/etcdserverpb.KV/Range", &etcdserverpb__range_response__descriptor};

/* A server that takes connections and never says a word: what a hung one looks like. */
struct mute {
    int fd;
    char address[32];
};

static struct mute mute_start(bool listening)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    struct mute m = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_true(m.fd >= 0);
    assert_int_equal(bind(m.fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(getsockname(m.fd, (struct sockaddr *)&in, &len), 0);
    if (listening)
        assert_int_equal(listen(m.fd, 16), 0);
    snprintf(m.address, sizeof(m.address), "127.0.0.1:%d", ntohs(in.sin_port));
    return m;
}

static struct rpc_channel *open_to(const char *const *addresses, size_t count)
{
    struct rpc_channel_options o = {
        .addresses = addresses, .addresses_count = count, .max_message = 1u << 20};
    struct rpc_channel *c = NULL;
    struct error err = ERROR_INIT;
    if (rpc_channel_open(&o, &c, &err) < 0)
        fail_msg("%s", err.text);
    return c;
}

static void bad_options_are_told(void **state)
{
    (void)state;
    const char *addresses[] = {"127.0.0.1:1", "nonsense"};
    struct rpc_channel_options o = {.addresses = addresses, .addresses_count = 2, .max_message = 1000};
    struct rpc_channel *c = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(rpc_channel_open(&o, &c, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "nonsense"));
    o.addresses_count = 0;
    assert_int_equal(rpc_channel_open(&o, &c, &err), ERR_INVALID);
    o.addresses_count = 1;
    o.tls = true;
    o.ca_pem = "rubbish";
    assert_int_equal(rpc_channel_open(&o, &c, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "the CA"));
    o.ca_pem = NULL;
    o.key_pem = "x";
    assert_int_equal(rpc_channel_open(&o, &c, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "go together"));
    assert_null(c);
    rpc_channel_close(NULL);
    rpc_stream_free(NULL);
}

static void a_mute_server_costs_no_more_than_the_deadline(void **state)
{
    (void)state;
    struct mute m = mute_start(true);
    const char *addresses[] = {m.address};
    struct rpc_channel *c = open_to(addresses, 1);
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct error err = ERROR_INIT;
    int64_t before = clock_mono_ms();
    assert_int_equal(rpc_call(c, &range, &q.base, 200, &reply, &err), ERR_TIMEOUT);
    assert_string_equal(err.text, "no answer within 200 ms");
    assert_int_equal(rpc_call_repeat(c, RPC_ANY, &range, &q.base, 300, &reply, &err), ERR_TIMEOUT);
    assert_string_equal(err.text, "no answer within 300 ms");
    int64_t took = clock_mono_ms() - before;
    assert_true(took >= 450 && took < 2000);
    assert_int_equal(rpc_call(c, &range, &q.base, 200, &reply, NULL), ERR_TIMEOUT);
    rpc_channel_close(c);
    close(m.fd);
}

static void a_closed_port_fails_at_once(void **state)
{
    (void)state;
    struct mute m = mute_start(false);
    const char *addresses[] = {m.address};
    struct rpc_channel *c = open_to(addresses, 1);
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct error err = ERROR_INIT;
    int64_t before = clock_mono_ms();
    assert_int_equal(rpc_call(c, &range, &q.base, 5000, &reply, &err), ERR_UNAVAILABLE);
    assert_true(clock_mono_ms() - before < 2500);
    assert_non_null(strstr(err.text, m.address));
    assert_non_null(strstr(err.text, "Connection refused"));
    /* A repeated one goes on until its deadline, in case the server comes. */
    before = clock_mono_ms();
    assert_int_equal(rpc_call_repeat(c, RPC_ANY, &range, &q.base, 700, &reply, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "Connection refused"));
    int64_t took = clock_mono_ms() - before;
    assert_true(took > 100 && took < 2000);
    rpc_channel_close(c);
    close(m.fd);
}

struct seen {
    atomic_int calls, canceled;
};

static void count_done(void *arg, int code, ProtobufCMessage *reply, const struct error *err)
{
    struct seen *s = arg;
    assert_null(reply);
    assert_int_equal(err->code, code);
    atomic_fetch_add(&s->canceled, code == ERR_CANCELED);
    atomic_fetch_add(&s->calls, 1);
}

static void closing_ends_what_is_in_flight(void **state)
{
    (void)state;
    struct mute m = mute_start(true);
    const char *addresses[] = {m.address};
    struct rpc_channel *c = open_to(addresses, 1);
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    struct seen seen = {0};
    for (int i = 0; i < 20; i++)
        assert_int_equal(rpc_call_start(c, &range, &q.base, 60000, count_done, &seen, NULL), 0);
    int64_t before = clock_mono_ms();
    rpc_channel_close(c);
    assert_true(clock_mono_ms() - before < 2000);
    assert_int_equal(seen.calls, 20);
    assert_int_equal(seen.canceled, 20);
    close(m.fd);
}

/* Blocking inside a callback would wait for itself. */
static void block_in_callback(void *arg, int code, ProtobufCMessage *reply, const struct error *err)
{
    (void)code;
    (void)reply;
    (void)err;
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    ProtobufCMessage *again = NULL;
    *(int *)arg = rpc_call(NULL, &range, &q.base, 100, &again, NULL);
}

static void a_blocking_call_in_a_callback_is_refused(void **state)
{
    (void)state;
    struct mute m = mute_start(false);
    const char *addresses[] = {m.address};
    struct rpc_channel *c = open_to(addresses, 1);
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    int rc = 0;
    assert_int_equal(rpc_call_start(c, &range, &q.base, 100, block_in_callback, &rc, NULL), 0);
    rpc_channel_close(c);
    assert_int_equal(rc, ERR_INTERNAL);
    close(m.fd);
}

static void streams_end_when_told(void **state)
{
    (void)state;
    struct mute m = mute_start(true), shut = mute_start(false);
    const char *addresses[] = {m.address}, *nowhere[] = {shut.address};
    const char *metadata[] = {"hasleader", "true", NULL};
    struct rpc_channel *c = open_to(addresses, 1), *n = open_to(nowhere, 1);
    struct rpc_stream *s = NULL;
    ProtobufCMessage *reply = NULL;
    struct error err = ERROR_INIT;
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    assert_int_equal(rpc_stream_open(c, &range, metadata, &s, &err), 0);
    assert_int_equal(rpc_stream_send(s, &q.base, &err), 0);
    assert_int_equal(rpc_stream_receive(s, 50, &reply, &err), ERR_TIMEOUT);
    rpc_stream_cancel(s);
    assert_int_equal(rpc_stream_receive(s, 5000, &reply, &err), ERR_CANCELED);
    assert_int_equal(rpc_stream_send(s, &q.base, &err), ERR_UNAVAILABLE);
    rpc_stream_cancel(s); /* after its end, too */
    rpc_stream_free(s);

    assert_int_equal(rpc_stream_open(n, &range, NULL, &s, &err), 0);
    assert_int_equal(rpc_stream_receive(s, 5000, &reply, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "Connection refused"));
    assert_int_equal(rpc_stream_receive(s, 5000, &reply, &err), ERR_UNAVAILABLE);
    assert_int_equal(rpc_stream_send(s, &q.base, &err), ERR_UNAVAILABLE);
    rpc_stream_free(s);

    /* Freed and closed with messages still waiting to be sent. */
    assert_int_equal(rpc_stream_open(c, &range, NULL, &s, &err), 0);
    int rc = 0, sent = 0;
    while ((rc = rpc_stream_send(s, &q.base, &err)) == 0)
        sent++;
    assert_int_equal(rc, ERR_UNAVAILABLE);
    assert_int_equal(sent, 256);
    rpc_stream_free(s);
    rpc_channel_close(c);
    rpc_channel_close(n);
    close(m.fd);
    close(shut.fd);
}

/* The choice of an address, without a network. */
static void the_choice_of_an_address(void **state)
{
    (void)state;
    struct rpc_channel *c = calloc(1, sizeof(*c) + 3 * sizeof(c->addresses[0]));
    assert_non_null(c);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    c->count = 3;
    for (size_t i = 0; i < 3; i++) {
        c->addresses[i].owner = c;
        c->addresses[i].state = GRPC_CHANNEL_READY;
    }
    struct address *a = c->addresses;
    for (int i = 0; i < 6; i++)
        assert_ptr_equal(address_pick(c, RPC_ANY), &a[i % 3]); /* in turn */
    assert_ptr_equal(address_pick(c, 1), &a[1]);

    address_note(&a[0], ERR_TIMEOUT);
    for (int i = 0; i < 6; i++)
        assert_ptr_not_equal(address_pick(c, RPC_ANY), &a[0]);
    address_note(&a[0], ERR_CANCELED); /* says nothing */
    assert_ptr_not_equal(address_pick(c, RPC_ANY), &a[0]);
    a[1].state = GRPC_CHANNEL_TRANSIENT_FAILURE;
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(address_pick(c, RPC_ANY), &a[2]);
    a[2].state = GRPC_CHANNEL_TRANSIENT_FAILURE;
    assert_ptr_equal(address_pick(c, RPC_ANY), &a[0]); /* a distrusted one is better than none */
    a[1].state = GRPC_CHANNEL_CONNECTING;
    assert_ptr_equal(address_pick(c, RPC_ANY), &a[1]);
    a[1].state = a[2].state = GRPC_CHANNEL_READY;
    address_note(&a[0], ERR_CONFLICT); /* an answer */
    bool chosen = false;
    for (int i = 0; i < 3; i++)
        chosen = chosen || address_pick(c, RPC_ANY) == &a[0];
    assert_true(chosen);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* A dead address next to one that is still connecting: the call waits for the better one, not for the dead.
 */
static void a_dead_address_is_not_preferred(void **state)
{
    (void)state;
    struct mute dead = mute_start(false), hung = mute_start(true);
    const char *addresses[] = {dead.address, hung.address};
    struct rpc_channel *c = open_to(addresses, 2);
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(rpc_call(c, &range, &q.base, 300, &reply, &err), ERR_TIMEOUT);
    rpc_channel_close(c);
    close(dead.fd);
    close(hung.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_options_are_told),
        cmocka_unit_test(a_mute_server_costs_no_more_than_the_deadline),
        cmocka_unit_test(a_closed_port_fails_at_once),
        cmocka_unit_test(closing_ends_what_is_in_flight),
        cmocka_unit_test(a_blocking_call_in_a_callback_is_refused),
        cmocka_unit_test(streams_end_when_told),
        cmocka_unit_test(the_choice_of_an_address),
        cmocka_unit_test(a_dead_address_is_not_preferred),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
