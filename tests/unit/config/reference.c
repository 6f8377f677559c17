#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/file.h>
#include <config/config.h>

static void test_reference_names_every_level(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(64 * 1024);
    struct error err = ERROR_INIT;
    assert_int_equal(config_reference(&out, &err), 0);
    static const char *const rows[] = {
        "| `cluster` | name |  |  | all | names this cluster's keys in the state store |\n",
        "| `servers` | list of objects |  | 1 to 16 elements | all | ",
        "| `servers[].api` | text |",
        "| `state_store.endpoints` | list of texts |",
        "| `datastore.ca_file` | path | empty |",
        "| `datastore.prefix` | prefix | `/registry` |",
        "| `kubernetes.token_file` | path |",
        "| `exec.timeout` | number | `120` | 1 to 3600 |",
        "| `reencrypt.in_flight` | number | `64` | 1 to 256 |",
        "| `key_type` | text | empty | `aescbc` `aesgcm` `secretbox`  |",
        "| `servers[].address` | text | empty |",
        "| `snapshots.enabled` | text | `on` | `on` `off`  |",
        "| `snapshots.keep` | number | `4` | 1 to 1000 |",
        "| `canaries.namespace` | text | `kube-system` |",
        "| `repair` | text | `manual` | `manual` `auto`  |",
        "| `escrow_days` | number | `90` | 1 to 36500 |",
        "| `encryption_config` | path | empty |  | the agent  |",
    };
    for (size_t i = 0; i < array_len(rows); i++)
        if (!strstr(buf_str(&out), rows[i]))
            fail_msg("not in the reference: %s\n%s", rows[i], buf_str(&out));
}

/* docs/configuration.md ends with the table that the parser uses. */
static void test_reference_is_what_the_docs_say(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf now = BUF_INIT(64 * 1024), doc = BUF_INIT(256 * 1024);
    struct error err = ERROR_INIT;
    assert_int_equal(config_reference(&now, &err), 0);
    assert_int_equal(file_read(TEST_SOURCE_DIR "/../docs/configuration.md", 128 * 1024, &doc, &err), 0);
    if (!strstr(buf_str(&doc), buf_str(&now)))
        fail_msg("docs/configuration.md is behind; its table is now:\n%s", buf_str(&now));
}

static void test_reference_reports_a_full_buffer(void **state)
{
    (void)state;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(100);
    struct error err = ERROR_INIT;
    assert_int_equal(config_reference(&out, &err), ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_names_every_level),
        cmocka_unit_test(test_reference_is_what_the_docs_say),
        cmocka_unit_test(test_reference_reports_a_full_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
