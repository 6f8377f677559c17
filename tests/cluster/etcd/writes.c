/* The coordinator's count of what is written under a key, against a real etcd. */
#include "check.h"

#include <rpc/rpc.h>
#include <writes.h>

#define QUIET_MS 200

static struct etcd_fixture *fixture;
static struct etcd *client;
static char prefix[] = "/registry", secrets[] = "secrets", widgets[] = "widgets.example.org";
static const struct config config = {
    .datastore_prefix = prefix, .resources = {secrets, widgets}, .resources_count = 2};

/* A stream counts as quiet after a moment. */
int __real_rpc_stream_receive(struct rpc_stream *s, int timeout_ms, ProtobufCMessage **ret,
                              struct error *err);
int __wrap_rpc_stream_receive(struct rpc_stream *s, int timeout_ms, ProtobufCMessage **ret,
                              struct error *err);
int __wrap_rpc_stream_receive(struct rpc_stream *s, int timeout_ms, ProtobufCMessage **ret, struct error *err)
{
    return __real_rpc_stream_receive(s, timeout_ms > 10000 ? QUIET_MS : timeout_ms, ret, err);
}

static int setup(void **state)
{
    (void)state;
    struct etcd_fixture_options o = {.members = 1};
    if (etcd_fixture_start(&o, &fixture) < 0)
        return -1;
    client = etcd_fixture_client(fixture);
    return client ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    etcd_close(client);
    etcd_fixture_free(fixture);
    return 0;
}

static int64_t put(const char *key)
{
    int64_t revision = 0;
    must(etcd_put(client, key, "value", 5, 0, CALL_MS, &revision, &err));
    return revision;
}

/* Ten of each, and ten of what is nobody's business. */
static int64_t put_many(void)
{
    int64_t last = 0;
    for (int i = 0; i < 10; i++) {
        put("/registry/secrets/default/a");
        put("/registry/configmaps/default/a");
        last = put("/registry/example.org/widgets/default/a");
    }
    return last;
}

static struct writes *start(const struct writes_count *from, int64_t to)
{
    struct writes *w = NULL;
    must(writes_start(client, &config, from ? from->counted : 0, from ? from->guessed : 0, to, &w, &err));
    return w;
}

static struct writes_count wait_for(struct writes *w, int64_t counted, int64_t to)
{
    struct writes_count c = {0};
    for (int64_t end = clock_mono_ms() + 20000; clock_mono_ms() < end; sleep_ms(10)) {
        writes_read(w, &c);
        if (c.counted >= counted && writes_count_to(&c) >= to)
            return c;
    }
    fail_msg("counted %lld up to %lld, wanted %lld up to %lld", (long long)c.counted,
             (long long)writes_count_to(&c), (long long)counted, (long long)to);
    return c;
}

static void what_is_put_is_counted_from_there_on(void **state)
{
    (void)state;
    int64_t before = put("/registry/secrets/default/a"), last = put_many();
    struct writes *w = start(NULL, before);
    (void)wait_for(w, 20, before);
    must(etcd_delete(client, "/registry/secrets/default/a", false, CALL_MS, NULL, &err));
    last = put_many();
    struct writes_count c = wait_for(w, 40, before);
    /* Nothing more is written here, but elsewhere: the count goes on to have all up to the present. */
    for (int i = 0; i < 50; i++)
        last = put("/registry/leases/x");
    c = wait_for(w, 40, last);
    assert_int_equal(c.counted, 40);
    assert_int_equal(c.guessed, 0);
    writes_free(w);

    /* Another leader. */
    int64_t to = writes_count_to(&c);
    put_many();
    w = start(&c, to);
    c = wait_for(w, 60, to);
    assert_int_equal(c.counted, 60);
    assert_int_equal(c.guessed, 0);
    writes_free(w);
}

static void only_what_was_compacted_counts_by_revisions(void **state)
{
    (void)state;
    int64_t before = put("/registry/secrets/default/a");
    int64_t last = put_many();
    must(etcd_compact(client, last, CALL_MS, &err));
    struct writes *w = start(NULL, before);
    struct writes_count c = wait_for(w, last - before, last);
    assert_int_equal(c.counted, last - before); /* once, though both parts miss them */
    assert_int_equal(c.guessed, last - before);
    put_many();
    c = wait_for(w, c.counted + 20, last);
    assert_int_equal(c.counted, last - before + 20);
    assert_int_equal(c.guessed, last - before);
    writes_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_counted_from_there_on),
        cmocka_unit_test(only_what_was_compacted_counts_by_revisions),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
