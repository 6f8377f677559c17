/* The sending side of a stream closed on its own, against etcd's LeaseKeepAlive: it answers each request, and
 * ends the stream when it learns that no more come. */
#include "check.h"

#include <etcd_rpc.pb-c.h>
#include <rpc/rpc.h>

#define NO_SUCH_LEASE 4711

static struct etcd_fixture *fixture;
static struct rpc_channel *channel;

static const struct rpc_method keep_alive = {"/etcdserverpb.Lease/LeaseKeepAlive",
                                             &etcdserverpb__lease_keep_alive_response__descriptor};

static int setup(void **state)
{
    (void)state;
    struct etcd_fixture_options o = {.members = 1};
    if (etcd_fixture_start(&o, &fixture) < 0)
        return -1;
    const char *address = strstr(etcd_fixture_endpoint(fixture, 0), "//") + 2;
    struct rpc_channel_options c = {.addresses = &address, .addresses_count = 1, .max_message = 1 << 20};
    return rpc_channel_open(&c, &channel, NULL);
}

static int teardown(void **state)
{
    (void)state;
    rpc_channel_close(channel);
    etcd_fixture_free(fixture);
    return 0;
}

static void ask(struct rpc_stream *s)
{
    Etcdserverpb__LeaseKeepAliveRequest q = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    q.id = NO_SUCH_LEASE;
    must(rpc_stream_send(s, &q.base, &err));
}

static void answered(struct rpc_stream *s)
{
    ProtobufCMessage *reply = NULL;
    must(rpc_stream_receive(s, CALL_MS, &reply, &err));
    assert_int_equal(((Etcdserverpb__LeaseKeepAliveResponse *)reply)->id, NO_SUCH_LEASE);
    rpc_message_free(reply);
}

static void the_server_ends_a_stream_that_is_closed_for_sending(void **state)
{
    (void)state;
    _cleanup_(rpc_stream_freep) struct rpc_stream *s = NULL;
    ProtobufCMessage *reply = NULL;
    must(rpc_stream_open(channel, &keep_alive, NULL, &s, &err));
    ask(s);
    answered(s);
    must_fail(ERR_TIMEOUT, "nothing received", rpc_stream_receive(s, 300, &reply, &err));
    rpc_stream_close_send(s);
    rpc_stream_close_send(s); /* once more does nothing */
    must_fail(ERR_UNAVAILABLE, "the server ended the stream", rpc_stream_receive(s, 5000, &reply, &err));
}

/* What was sent before is sent first, and every answer is received. */
static void queued_messages_go_before_the_close(void **state)
{
    (void)state;
    _cleanup_(rpc_stream_freep) struct rpc_stream *s = NULL;
    ProtobufCMessage *reply = NULL;
    must(rpc_stream_open(channel, &keep_alive, NULL, &s, &err));
    for (size_t i = 0; i < 50; i++)
        ask(s);
    rpc_stream_close_send(s);
    Etcdserverpb__LeaseKeepAliveRequest late = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    must_fail(ERR_UNAVAILABLE, "closed for sending", rpc_stream_send(s, &late.base, &err));
    for (size_t i = 0; i < 50; i++)
        answered(s);
    must_fail(ERR_UNAVAILABLE, "the server ended the stream", rpc_stream_receive(s, 5000, &reply, &err));
    rpc_stream_close_send(s); /* after the end, too */
}

static void a_cancelled_stream_takes_a_close(void **state)
{
    (void)state;
    _cleanup_(rpc_stream_freep) struct rpc_stream *s = NULL;
    ProtobufCMessage *reply = NULL;
    must(rpc_stream_open(channel, &keep_alive, NULL, &s, &err));
    ask(s);
    rpc_stream_cancel(s);
    rpc_stream_close_send(s);
    must_fail(ERR_CANCELED, "cancelled", rpc_stream_receive(s, 5000, &reply, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_server_ends_a_stream_that_is_closed_for_sending),
        cmocka_unit_test(queued_messages_go_before_the_close),
        cmocka_unit_test(a_cancelled_stream_takes_a_close),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
