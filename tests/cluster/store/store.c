/* The state store over a real etcd: what the token protects there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/text.h>
#include <store/store.h>

#include "etcd_fixture.h"

#define DEADLINE_MS 5000

static struct etcd_fixture *fixture;

static int set_up(void **state)
{
    (void)state;
    struct etcd_fixture_options options = {.members = 1};
    return etcd_fixture_start(&options, &fixture);
}

static int tear_down(void **state)
{
    (void)state;
    etcd_fixture_free(fixture);
    return 0;
}

static struct store *open_store(const char *cluster, const char *token_text)
{
    static char empty[] = "";
    struct config config = {.token_file = empty, .path = empty};
    text_copy(config.cluster, sizeof(config.cluster), cluster);
    config.state_store = (struct config_etcd){
        .endpoints_count = 1, .ca_file = empty, .cert_file = empty, .key_file = empty, .server_name = empty};
    config.state_store.endpoints[0] = (char *)etcd_fixture_endpoint(fixture, 0);
    _cleanup_(secret_freep) struct secret *token = secret_copy(token_text, strlen(token_text));
    struct store *s = NULL;
    struct error err = ERROR_INIT;
    if (store_open_with_token(&config, token, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

static void put_order(struct store *s, const char *server, int64_t id)
{
    struct cluster_order o = {.id = id, .kind = ORDER_APPLY, .generation = 2};
    _cleanup_(buf_freep) struct buf body = BUF_INIT(65536);
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(store_etcd(s));
    assert_int_equal(cluster_order_encode(&o, &body, NULL), 0);
    assert_int_equal(store_txn_put(s, t, CLUSTER_KEY_ORDER, server, &body, 0, NULL), 0);
    assert_int_equal(etcd_txn_commit(t, DEADLINE_MS, NULL, NULL), 0);
}

static int read_order(struct store *s, const char *server, struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(65536);
    return store_read(s, CLUSTER_KEY_ORDER, server, DEADLINE_MS, &body, NULL, NULL, err);
}

/* Copies the raw value of one key over another: what somebody without the token can do. */
static void copy_raw(struct store *s, const char *from, const char *to)
{
    struct etcd_range r = {0};
    assert_int_equal(etcd_get(store_etcd(s), from, DEADLINE_MS, &r, NULL), 0);
    assert_int_equal(
        etcd_put(store_etcd(s), to, r.kvs[0].value, r.kvs[0].value_len, 0, DEADLINE_MS, NULL, NULL), 0);
    etcd_range_free(&r);
}

static void records_are_bound_to_token_cluster_and_key(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct store *s = open_store("demo", "a token of this cluster");
    struct store *other_token = open_store("demo", "a token of somebody else");
    struct store *other_cluster = open_store("prod", "a token of this cluster");
    put_order(s, "s1", 5);
    assert_int_equal(read_order(s, "s1", &err), 0);
    assert_int_equal(read_order(other_token, "s1", &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "/secrets-encrypt/demo/orders/s1"));
    copy_raw(s, "/secrets-encrypt/demo/orders/s1", "/secrets-encrypt/demo/orders/s2");
    assert_int_equal(read_order(s, "s2", &err), ERR_DENIED);
    copy_raw(s, "/secrets-encrypt/demo/orders/s1", "/secrets-encrypt/prod/orders/s1");
    assert_int_equal(read_order(other_cluster, "s1", &err), ERR_DENIED);
    assert_int_equal(read_order(s, "s9", &err), ERR_NOT_FOUND);
    store_free(s);
    store_free(other_token);
    store_free(other_cluster);
}

static int seal(struct store *s, int64_t generation, const char *text)
{
    struct cluster_bundle b = {0};
    _cleanup_(secret_freep) struct secret *plain = secret_copy(text, strlen(text));
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(store_etcd(s));
    assert_int_equal(store_bundle_seal(s, generation, STAGE_PREPARE, plain, "id", &b, NULL), 0);
    int rc = store_txn_bundle(s, t, &b, NULL);
    if (rc == 0)
        rc = etcd_txn_commit(t, DEADLINE_MS, NULL, NULL);
    cluster_bundle_free(&b);
    return rc;
}

static void bundles_open_with_their_token_and_number_only(void **state)
{
    (void)state;
    static const char text[] = "{\"planted\":\"c2VjcmV0IGtleSBtYXRlcmlhbA==\"}";
    struct error err = ERROR_INIT;
    struct secret *out = NULL;
    struct cluster_bundle meta = {0};
    struct store *s = open_store("bundles", "a token of this cluster");
    struct store *other = open_store("bundles", "a token of somebody else");
    assert_int_equal(seal(s, 7, text), 0);
    assert_int_equal(store_bundle_open(s, 7, DEADLINE_MS, &meta, &out, &err), 0);
    assert_int_equal(out->len, strlen(text));
    assert_memory_equal(out->data, text, strlen(text));
    assert_int_equal(meta.generation, 7);
    assert_int_equal(meta.stage, STAGE_PREPARE);
    secret_free(out);
    out = NULL;
    /* a generation is issued once: a second one under its number is refused, the first stays */
    assert_int_equal(seal(s, 7, "{}"), ERR_CONFLICT);
    assert_int_equal(store_bundle_open(other, 7, DEADLINE_MS, NULL, &out, &err), ERR_DENIED);
    copy_raw(s, "/secrets-encrypt/bundles/bundles/00000000000000000007",
             "/secrets-encrypt/bundles/bundles/00000000000000000008");
    assert_int_equal(store_bundle_open(s, 8, DEADLINE_MS, NULL, &out, &err), ERR_DENIED);
    assert_int_equal(store_bundle_open(s, 9, DEADLINE_MS, NULL, &out, &err), ERR_NOT_FOUND);
    assert_null(out);
    /* nothing of the config stands in the store in plain */
    struct etcd_range r = {0};
    assert_int_equal(etcd_snapshot(store_etcd(s), "/secrets-encrypt/", 1000, DEADLINE_MS, &r, NULL), 0);
    for (size_t i = 0; i < r.count; i++)
        assert_null(memmem(r.kvs[i].value, r.kvs[i].value_len, "c2VjcmV0IGtl", 12));
    etcd_range_free(&r);
    store_free(s);
    store_free(other);
}

static void one_bad_record_is_told_and_the_rest_is_read(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct store *s = open_store("snap", "a token of this cluster");
    struct cluster_snapshot *snap = calloc(1, sizeof(*snap));
    put_order(s, "s1", 5);
    assert_int_equal(etcd_put(store_etcd(s), "/secrets-encrypt/snap/servers/s1/report", "{}", 2, 0,
                              DEADLINE_MS, NULL, NULL),
                     0);
    assert_int_equal(store_snapshot(s, DEADLINE_MS, snap, &err), 0);
    const struct snapshot_server *v = snapshot_server(snap, "s1");
    assert_non_null(v);
    assert_true(v->has_order);
    assert_false(v->reports);
    assert_int_equal(
        etcd_put(store_etcd(s), "/secrets-encrypt/snap/rotation", "{}", 2, 0, DEADLINE_MS, NULL, NULL), 0);
    assert_int_equal(store_snapshot(s, DEADLINE_MS, snap, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "/secrets-encrypt/snap/rotation"));
    free(snap);
    store_free(s);
}

/* --- retired keys --- */

#define KEY_VALUE "c2VjcmV0IGtleSBtYXRlcmlhbA=="

static int put_escrow(struct store *s, const char *provider, const char *name, const char *value)
{
    struct cluster_escrow e = {.generation = 4, .retired_ms = 1000, .until_ms = 2000};
    text_copy(e.provider, sizeof(e.provider), provider);
    text_copy(e.name, sizeof(e.name), name);
    _cleanup_(secret_freep) struct secret *plain = secret_copy(value, strlen(value));
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(store_etcd(s));
    assert_int_equal(store_escrow_seal(s, plain, &e, NULL), 0);
    assert_non_null(e.box);
    int rc = store_txn_escrow(s, t, &e, NULL);
    if (rc == 0)
        rc = etcd_txn_commit(t, DEADLINE_MS, NULL, NULL);
    cluster_escrow_free(&e);
    return rc;
}

static void delete_escrow(struct store *s, const char *provider, const char *name)
{
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(store_etcd(s));
    assert_int_equal(store_txn_escrow_delete(s, t, provider, name, NULL), 0);
    assert_int_equal(etcd_txn_commit(t, DEADLINE_MS, NULL, NULL), 0);
}

static int open_escrow(struct store *s, const char *provider, const char *name, const char *value,
                       struct error *err)
{
    _cleanup_(secret_freep) struct secret *out = NULL;
    int rc = store_escrow_open(s, provider, name, DEADLINE_MS, &out, err);
    assert_int_equal(rc == 0, out != NULL);
    if (rc == 0) {
        assert_int_equal(out->len, strlen(value));
        assert_memory_equal(out->data, value, out->len);
    }
    return rc;
}

/* The etcd keys of all retired keys; returns how many. */
static size_t escrow_paths(struct store *s, char paths[][CLUSTER_KEY_PATH_MAX], size_t max)
{
    char prefix[CLUSTER_KEY_PATH_MAX];
    struct etcd_range r = {0};
    cluster_key_path(prefix, store_cluster(s), CLUSTER_KEY_ESCROW, NULL);
    assert_int_equal(etcd_snapshot(store_etcd(s), prefix, 1000, DEADLINE_MS, &r, NULL), 0);
    size_t count = r.count;
    assert_true(count <= max);
    for (size_t i = 0; i < count; i++) {
        text_copy(paths[i], CLUSTER_KEY_PATH_MAX, r.kvs[i].key);
        assert_null(memmem(r.kvs[i].value, r.kvs[i].value_len, KEY_VALUE, 12));
    }
    etcd_range_free(&r);
    return count;
}

static void a_retired_key_is_kept_until_it_is_deleted(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    char paths[4][CLUSTER_KEY_PATH_MAX];
    struct store *s = open_store("escrow", "a token of this cluster");
    struct cluster_snapshot *snap = calloc(1, sizeof(*snap));
    assert_int_equal(open_escrow(s, "aescbc", "key-1", "", &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "retired key key-1"));
    assert_int_equal(put_escrow(s, "aescbc", "key-1", KEY_VALUE), 0);
    assert_int_equal(put_escrow(s, "secretbox", "key-1", "of another provider"), 0);
    assert_int_equal(open_escrow(s, "aescbc", "key-1", KEY_VALUE, &err), 0);
    assert_int_equal(open_escrow(s, "secretbox", "key-1", "of another provider", &err), 0);
    assert_int_equal(open_escrow(s, "aesgcm", "key-1", "", &err), ERR_NOT_FOUND);
    assert_int_equal(escrow_paths(s, paths, 4), 2);
    /* the snapshot lists them */
    assert_int_equal(store_snapshot(s, DEADLINE_MS, snap, &err), 0);
    assert_int_equal(snap->escrow_count, 2);
    assert_string_equal(snap->escrow[0].provider, "aescbc");
    assert_string_equal(snap->escrow[0].name, "key-1");
    assert_int_equal(snap->escrow[0].until_ms, 2000);
    /* once more, in place of the first */
    assert_int_equal(put_escrow(s, "aescbc", "key-1", "a newer value"), 0);
    assert_int_equal(open_escrow(s, "aescbc", "key-1", "a newer value", &err), 0);
    assert_int_equal(escrow_paths(s, paths, 4), 2);
    delete_escrow(s, "aescbc", "key-1");
    assert_int_equal(open_escrow(s, "aescbc", "key-1", "", &err), ERR_NOT_FOUND);
    assert_int_equal(open_escrow(s, "secretbox", "key-1", "of another provider", &err), 0);
    delete_escrow(s, "aescbc", "key-1"); /* nothing there: no harm */
    free(snap);
    store_free(s);
}

static void retired_keys_open_with_their_token_and_name_only(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    char paths[4][CLUSTER_KEY_PATH_MAX];
    struct store *s = open_store("escrow2", "a token of this cluster");
    struct store *other = open_store("escrow2", "a token of somebody else");
    assert_int_equal(put_escrow(s, "aescbc", "a", KEY_VALUE), 0);
    assert_int_equal(escrow_paths(s, paths, 4), 1);
    assert_int_equal(open_escrow(other, "aescbc", "a", "", &err), ERR_DENIED);
    assert_non_null(strstr(err.text, paths[0]));
    assert_null(strstr(err.text, KEY_VALUE));
    /* somebody copies the record of one key over another's */
    assert_int_equal(put_escrow(s, "aescbc", "b", "another"), 0);
    char all[4][CLUSTER_KEY_PATH_MAX];
    assert_int_equal(escrow_paths(s, all, 4), 2);
    copy_raw(s, paths[0], all[strcmp(all[0], paths[0]) == 0 ? 1 : 0]);
    assert_int_equal(open_escrow(s, "aescbc", "b", "", &err), ERR_DENIED);
    assert_int_equal(open_escrow(s, "aescbc", "a", KEY_VALUE, &err), 0);
    store_free(s);
    store_free(other);
}

/* Kubernetes lets key names be anything: each gets an etcd key of its own, and is told by its whole name. */
static void odd_key_names_are_kept_apart(void **state)
{
    (void)state;
    static char longest[254], almost[254];
    memset(longest, 'x', 253);
    memset(almost, 'x', 252);
    almost[252] = 'y';
    const char *const names[] = {
        "a/b",        "a:b",      "a/b/",       "../spec", "",    "key-2021-12-10T22:54:38Z",
        "with space", "\xc3\xa9", "\"quoted\"", longest,   almost};
    char paths[array_len(names)][CLUSTER_KEY_PATH_MAX], value[16];
    struct error err = ERROR_INIT;
    struct store *s = open_store("odd", "a token of this cluster");
    for (size_t i = 0; i < array_len(names); i++) {
        snprintf(value, sizeof(value), "value %zu", i);
        assert_int_equal(put_escrow(s, "aescbc", names[i], value), 0);
    }
    assert_int_equal(escrow_paths(s, paths, array_len(names)), array_len(names));
    for (size_t i = 0; i < array_len(names); i++) {
        assert_int_equal(cluster_key_parse(paths[i], "odd", NULL), CLUSTER_KEY_ESCROW);
        snprintf(value, sizeof(value), "value %zu", i);
        if (open_escrow(s, "aescbc", names[i], value, &err) < 0)
            fail_msg("%s: %s", names[i], err.text);
    }
    delete_escrow(s, "aescbc", longest);
    assert_int_equal(open_escrow(s, "aescbc", longest, "", &err), ERR_NOT_FOUND);
    assert_int_equal(open_escrow(s, "aescbc", almost, "value 10", &err), 0);
    store_free(s);
}

/* What the leader tells a lock by whose holder is gone from one that somebody else wrote first. */
static void a_lease_that_is_gone_is_told(void **state)
{
    (void)state;
    static const struct {
        int64_t guard; /* the key's create revision, as it is thought to be */
        int code;
    } cases[] = {{0, ERR_NOT_FOUND}, {5, ERR_CONFLICT}};
    struct store *s = open_store("demo", "a token of this cluster");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cluster_lock l = {.ttl_s = 60};
        _cleanup_(buf_freep) struct buf body = BUF_INIT(65536);
        _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(store_etcd(s));
        assert_int_equal(cluster_lock_encode(&l, &body, NULL), 0);
        etcd_txn_if_create(t, "/secrets-encrypt/demo/lock", cases[i].guard);
        assert_int_equal(store_txn_put(s, t, CLUSTER_KEY_LOCK, NULL, &body, 4711, NULL), 0);
        assert_int_equal(etcd_txn_commit(t, DEADLINE_MS, NULL, NULL), cases[i].code);
    }
    store_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_that_is_gone_is_told),
        cmocka_unit_test(records_are_bound_to_token_cluster_and_key),
        cmocka_unit_test(bundles_open_with_their_token_and_number_only),
        cmocka_unit_test(a_retired_key_is_kept_until_it_is_deleted),
        cmocka_unit_test(retired_keys_open_with_their_token_and_name_only),
        cmocka_unit_test(odd_key_names_are_kept_apart),
        cmocka_unit_test(one_bad_record_is_told_and_the_rest_is_read),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
