#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/cleanup.h>
#include <cluster/codec.h>

static const struct {
    enum cluster_key key;
    const char *name;
    const char *path;
} cases[] = {
    {CLUSTER_KEY_SPEC, "", "/secrets-encrypt/demo/spec"},
    {CLUSTER_KEY_STAGE, "s1", "/secrets-encrypt/demo/servers/s1/stage"},
    {CLUSTER_KEY_HASH, "s1", "/secrets-encrypt/demo/servers/s1/hash"},
    {CLUSTER_KEY_REPORT, "node-2.example", "/secrets-encrypt/demo/servers/node-2.example/report"},
    {CLUSTER_KEY_ORDER, "s3", "/secrets-encrypt/demo/orders/s3"},
    {CLUSTER_KEY_ROTATION, "", "/secrets-encrypt/demo/rotation"},
    {CLUSTER_KEY_BUNDLE, "00000000000000000012", "/secrets-encrypt/demo/bundles/00000000000000000012"},
    {CLUSTER_KEY_REENCRYPT, "", "/secrets-encrypt/demo/reencrypt"},
    {CLUSTER_KEY_PROOFS, "", "/secrets-encrypt/demo/proofs"},
    {CLUSTER_KEY_KEYS, "", "/secrets-encrypt/demo/keys"},
    {CLUSTER_KEY_ESCROW, "aescbc-00ff", "/secrets-encrypt/demo/escrow/aescbc-00ff"},
    {CLUSTER_KEY_REQUEST, "r-1", "/secrets-encrypt/demo/requests/r-1"},
    {CLUSTER_KEY_LEADER, "", "/secrets-encrypt/demo/leader/holder"},
    {CLUSTER_KEY_CANDIDATE, "s2", "/secrets-encrypt/demo/leader/candidates/s2"},
    {CLUSTER_KEY_CHECKS, "s2", "/secrets-encrypt/demo/servers/s2/checks"},
    {CLUSTER_KEY_LOCK, "", "/secrets-encrypt/demo/lock"},
    {CLUSTER_KEY_AUDIT, "1700000000000-00c0ffee", "/secrets-encrypt/demo/~audit/1700000000000-00c0ffee"},
};

static void paths_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        char path[CLUSTER_KEY_PATH_MAX];
        const char *name = NULL;
        cluster_key_path(path, "demo", cases[i].key, cases[i].name);
        assert_string_equal(path, cases[i].path);
        assert_int_equal(cluster_key_parse(path, "demo", &name), cases[i].key);
        assert_string_equal(name, cases[i].name);
    }
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_bundle_path(path, "demo", 12);
    assert_string_equal(path, cases[6].path);
    cluster_key_path(path, "demo", CLUSTER_KEY_ALL, NULL);
    assert_string_equal(path, "/secrets-encrypt/demo/");
    /* History stands behind everything else, so that a look can end before it. */
    for (size_t i = 0; i < array_len(cases); i++)
        assert_int_equal(strcmp(cases[i].path, "/secrets-encrypt/demo/" CLUSTER_KEY_LIVE_END) > 0,
                         cases[i].key == CLUSTER_KEY_AUDIT);
}

static void foreign_keys_are_not_ours(void **state)
{
    (void)state;
    static const char *const foreign[] = {
        "/secrets-encrypt/demo2/spec",
        "/secrets-encrypt/demo",
        "/secrets-encrypt/demo/servers//stage",
        "/secrets-encrypt/demo/servers/a/b/stage",
        "/secrets-encrypt/demo/orders/",
        "/secrets-encrypt/demo/escrow/",
        "/secrets-encrypt/demo/escrow/aescbc-a/b",
        "/secrets-encrypt/demo/proofs/1",
        "/secrets-encrypt/demo/orders/a/b",
        "/registry/secrets/default/x",
        "/secrets-encrypt/demo/servers/s1/other",
        "",
    };
    for (size_t i = 0; i < array_len(foreign); i++)
        assert_int_equal(cluster_key_parse(foreign[i], "demo", NULL), -1);
}

static void words_both_ways(void **state)
{
    (void)state;
    for (int s = STAGE_START; s <= STAGE_REENCRYPT_FINISHED; s++)
        assert_int_equal(stage_parse(stage_name((enum stage)s)), s);
    for (int k = OP_PREPARE; k <= OP_UNLOCK; k++)
        assert_int_equal(operation_kind_parse(operation_kind_name((enum operation_kind)k)), k);
    assert_int_equal(stage_parse("finished"), -1);
    assert_null(stage_name((enum stage)99));
    assert_null(phase_name((enum phase)(PHASE_DONE + 1)));
    assert_string_equal(phase_name(PHASE_BACKUP_DROP), "backup_drop");
    assert_string_equal(phase_name(PHASE_DONE), "done");
    assert_string_equal(proof_state_name(PROOF_UNMADE), "unmade");
    assert_string_equal(key_state_name(KEY_RETIRED), "retired");
    assert_string_equal(check_result_name(CHECK_FAIL), "fail");
    assert_string_equal(operation_state_name(OP_STATE_PAUSED), "paused");
    assert_string_equal(order_kind_name(ORDER_REPAIR), "repair");
    assert_string_equal(operation_kind_name(OP_ROTATE_KEYS), "rotate-keys");
    assert_string_equal(operation_kind_name(OP_RESTART), "restart");
    assert_string_equal(phase_name(PHASE_RESTART), "restart");
    assert_string_equal(cluster_cause_name(CAUSE_NONE), "");
    assert_string_equal(cluster_cause_name(CAUSE_DENIED), "denied");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_both_ways),
        cmocka_unit_test(foreign_keys_are_not_ours),
        cmocka_unit_test(words_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
