#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <agent/known.h>

static void add(struct known *k, int64_t generation, const char *hash, enum stage stage)
{
    struct cluster_bundle b = {.generation = generation, .stage = stage};
    snprintf(b.hash, sizeof(b.hash), "%s", hash);
    snprintf(b.config_id, sizeof(b.config_id), "id-%s", hash);
    known_add(k, &b);
}

static void test_newest_wins(void **state)
{
    (void)state;
    struct known k = {0};
    add(&k, 3, "a", STAGE_ROTATE);
    add(&k, 1, "a", STAGE_START);
    add(&k, 2, "b", STAGE_PREPARE);
    assert_int_equal(k.count, 3);
    assert_int_equal(known_by_hash(&k, "a")->version.generation, 3);
    assert_null(known_by_hash(&k, "c"));
    assert_null(known_by_hash(&k, ""));
    assert_true(known_has(&k, 2));
    assert_false(known_has(&k, 4));
    assert_true(known_config_id(&k, "id-b"));
    assert_false(known_config_id(&k, "id-c"));
    assert_false(known_config_id(&k, ""));
}

static void test_replaced(void **state)
{
    (void)state;
    struct known k = {0};
    add(&k, 1, "a", STAGE_START);
    add(&k, 1, "b", STAGE_START);
    assert_int_equal(k.count, 1);
    assert_null(known_by_hash(&k, "a"));
    assert_non_null(known_by_hash(&k, "b"));
}

static void test_oldest_makes_room(void **state)
{
    (void)state;
    struct known k = {0};
    char hash[16];
    for (int64_t g = 1; g <= KNOWN_MAX + 5; g++) {
        snprintf(hash, sizeof(hash), "h%d", (int)g);
        add(&k, g, hash, STAGE_START);
    }
    assert_int_equal(k.count, KNOWN_MAX);
    assert_int_equal(k.bundles[0].version.generation, 6);
    assert_int_equal(k.bundles[KNOWN_MAX - 1].version.generation, KNOWN_MAX + 5);
    add(&k, 1, "old", STAGE_START);
    assert_false(known_has(&k, 1));
}

static void test_version(void **state)
{
    (void)state;
    struct known k = {0};
    struct file_record r = {.written = {4, "a", STAGE_REENCRYPT_FINISHED}};
    add(&k, 6, "a", STAGE_ROTATE);
    add(&k, 7, "b", STAGE_PREPARE);
    /* What we wrote ourselves goes before a newer bundle of the same bytes. */
    assert_int_equal(known_version(&k, &r, "a", STAGE_START).generation, 4);
    assert_int_equal(known_version(&k, &r, "b", STAGE_START).generation, 7);
    assert_int_equal(known_version(&k, &r, "b", STAGE_START).stage, STAGE_PREPARE);
    struct version v = known_version(&k, &r, "c", STAGE_ROTATE);
    assert_int_equal(v.generation, 0);
    assert_int_equal(v.stage, STAGE_ROTATE);
    assert_string_equal(v.hash, "c");
    memset(&r, 0, sizeof(r));
    assert_int_equal(known_version(&k, &r, "", STAGE_START).generation, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest_wins),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_oldest_makes_room),
        cmocka_unit_test(test_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
