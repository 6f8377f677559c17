#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <base/text.h>
#include <cluster/codec.h>

static void rotation_round_trip(void **state)
{
    (void)state;
    struct cluster_rotation a = {.stage = STAGE_ROTATE,
                                 .generation = 3,
                                 .issued = 4,
                                 .next_order = 17,
                                 .reads_plain = true,
                                 .keys = 2};
    text_copy(a.write_key, sizeof(a.write_key), "aescbckey-2021-12-10T22:54:38Z");
    text_copy(a.op.id, sizeof(a.op.id), "0a-1b");
    text_copy(a.op.why, sizeof(a.op.why), "with \"quotes\" and \xc3\xa9");
    a.op.kind = OP_ROTATE_KEYS;
    a.op.phase = PHASE_VERIFY;
    a.op.state = OP_STATE_HALTED;
    a.op.restart = true;
    a.op.started_ms = 1700000000123;
    struct cluster_rotation b;
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_rotation_encode(&a, &json, NULL), 0);
    assert_non_null(strstr(buf_str(&json), "\"phase\":\"verify\""));
    assert_int_equal(cluster_rotation_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));
}

static void report_and_order_round_trip(void **state)
{
    (void)state;
    static struct cluster_report a, b;
    text_copy(a.server, sizeof(a.server), "s2");
    a.stage = STAGE_PREPARE;
    a.loaded_known = a.ready = true;
    a.order_state = ORDER_RESTARTING;
    a.order_id = 9;
    a.restarts = 4;
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_report_encode(&a, &json, NULL), 0);
    assert_int_equal(cluster_report_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));
    struct cluster_order o = {.id = 5,
                              .kind = ORDER_SYNC,
                              .generation = 2,
                              .fence = 44,
                              .stage = STAGE_ROTATE},
                         p;
    buf_reset(&json);
    assert_int_equal(cluster_order_encode(&o, &json, NULL), 0);
    assert_int_equal(cluster_order_decode(buf_str(&json), json.len, &p, NULL), 0);
    assert_memory_equal(&o, &p, sizeof(o));
}

static void lists_round_trip(void **state)
{
    (void)state;
    static struct cluster_reencrypt a, b;
    a.state = REENCRYPT_ENDED;
    a.done = 500;
    a.scan_revision = 1234;
    a.failures_count = 2;
    text_copy(a.failures[1].object, sizeof(a.failures[1].object), "secrets/default/x");
    text_copy(a.failures[1].why, sizeof(a.failures[1].why), "422: invalid");
    a.keys_count = 1;
    text_copy(a.keys[0].provider, sizeof(a.keys[0].provider), "aescbc");
    a.keys[0].values = 500;
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_reencrypt_encode(&a, &json, NULL), 0);
    assert_int_equal(cluster_reencrypt_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_memory_equal(&a, &b, sizeof(a));
    static struct cluster_spec s, t;
    s.servers_count = 2;
    text_copy(s.servers[1].name, sizeof(s.servers[1].name), "s2");
    s.resources_count = 1;
    text_copy(s.resources[0], sizeof(s.resources[0]), "secrets");
    buf_reset(&json);
    assert_int_equal(cluster_spec_encode(&s, &json, NULL), 0);
    assert_int_equal(cluster_spec_decode(buf_str(&json), json.len, &t, NULL), 0);
    assert_memory_equal(&s, &t, sizeof(s));
}

static void bundle_round_trip(void **state)
{
    (void)state;
    char box[] = "{\"v\":1,\"box\":\"abc\"}";
    struct cluster_bundle a = {.generation = 7,
                               .stage = STAGE_ROTATE,
                               .box = box,
                               .box_len = sizeof(box) - 1},
                          b = {0};
    _cleanup_(buf_freep) struct buf json = BUF_INIT(65536);
    assert_int_equal(cluster_bundle_encode(&a, &json, NULL), 0);
    assert_int_equal(cluster_bundle_decode(buf_str(&json), json.len, &b, NULL), 0);
    assert_int_equal(b.generation, 7);
    assert_string_equal(b.box, box);
    cluster_bundle_free(&b);
    cluster_bundle_free(NULL);
    assert_int_equal(cluster_bundle_decode("{}", 2, &b, NULL), ERR_INVALID);
}

static void unknown_members_are_ignored_and_missing_ones_are_zero(void **state)
{
    (void)state;
    static const char json[] = "{\"id\":3,\"from_the_future\":[1,2],\"kind\":\"apply\"}";
    struct cluster_order o;
    assert_int_equal(cluster_order_decode(json, strlen(json), &o, NULL), 0);
    assert_int_equal(o.id, 3);
    assert_int_equal(o.generation, 0);
    assert_string_equal(o.hash, "");
}

static void bad_values_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *text;
    } cases[] = {
        {"", "order"},
        {"[]", "order: not an object"},
        {"{\"id\":\"3\"}", "order: 'id' is not a whole number"},
        {"{\"id\":-3}", "order: 'id' is negative"},
        {"{\"id\":1.5}", "order: 'id' is not a whole number"},
        {"{\"kind\":\"explode\"}", "order: 'kind' is not a word that this version knows"},
        {"{\"kind\":7}", "order: 'kind' is not a word that this version knows"},
        {"{\"hash\":\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0\"}",
         "order: 'hash' is too long"},
        {"{\"hash\":{}}", "order: 'hash' is not a text"},
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        struct error err = ERROR_INIT;
        struct cluster_order o = {.id = 99};
        assert_int_equal(cluster_order_decode(cases[i].json, strlen(cases[i].json), &o, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, cases[i].text));
        assert_int_equal(o.id, 99);
    }
    static const char many[] = "{\"servers\":[{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]}";
    struct error err = ERROR_INIT;
    static struct cluster_spec s;
    assert_int_equal(cluster_spec_decode(many, strlen(many), &s, &err), ERR_INVALID);
    assert_string_equal(err.text, "spec: 'servers' has too many elements");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotation_round_trip),
        cmocka_unit_test(report_and_order_round_trip),
        cmocka_unit_test(lists_round_trip),
        cmocka_unit_test(bundle_round_trip),
        cmocka_unit_test(unknown_members_are_ignored_and_missing_ones_are_zero),
        cmocka_unit_test(bad_values_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
