/* What an API server's metrics say of a reload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <agent/reload.h>
#include <base/cleanup.h>

#define HASH              "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER             "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define INFO              "apiserver_encryption_config_controller_last_config_info"
#define STAMP             "apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds"
#define OF(hash, value)   INFO "{apiserver_id_hash=\"sha256:" HASH "\",hash=\"sha256:" hash "\"} " value "\n"
#define AT(status, value) STAMP "{apiserver_id_hash=\"sha256:" OTHER "\",status=\"" status "\"} " value "\n"

static void says(const char *metrics, enum reload_state want)
{
    enum reload_state have = reload_read(metrics, HASH, 1795000000.5);
    if (have != want)
        fail_msg("%d instead of %d: %s", (int)have, (int)want, metrics);
}

static void each_version_is_understood(void **state)
{
    (void)state;
    says("", RELOAD_UNTOLD);
    says("go_goroutines 12\n# HELP " INFO " text\n", RELOAD_UNTOLD);
    says("x{hash=\"sha256:" HASH "\"} 1\n", RELOAD_UNTOLD);
    says("x " OF(HASH, "1"), RELOAD_UNTOLD); /* not at a line's beginning */
    says(OF(OTHER, "1"), RELOAD_WAITING);
    says(OF(HASH, "1"), RELOAD_LOADED);
    says(OF(HASH, "0") OF(OTHER, "1"), RELOAD_WAITING); /* the one before */
    says("# HELP a b\n" OF(OTHER, "0") OF(HASH, "1.0"), RELOAD_LOADED);
    says(INFO "{hash=\"sha256:" HASH, RELOAD_WAITING); /* cut off */
    says(AT("success", "1.7949e+09"), RELOAD_WAITING);
    says(AT("success", "1795000001"), RELOAD_LOADED);
    says(AT("success", "1.7950000015e+09"), RELOAD_LOADED);
    says(AT("failure", "1795000001"), RELOAD_REFUSED);
    says(AT("failure", "1794999999"), RELOAD_WAITING);
    says(AT("failure", "1795000001") AT("success", "1795000061"), RELOAD_LOADED);
    says(AT("success", "NaNsense"), RELOAD_WAITING);
}

/* The hash alone says which file; times could be those of another change. */
static void the_hash_counts_more_than_times(void **state)
{
    (void)state;
    says(AT("success", "1795000001") OF(OTHER, "1"), RELOAD_WAITING);
    says(AT("failure", "1795000001") OF(OTHER, "1"), RELOAD_REFUSED);
    says(AT("failure", "1795000001") OF(HASH, "1"), RELOAD_LOADED);
}

static void two_looks_and_more_are_waited_for(void **state)
{
    (void)state;
    struct config c = {.service_timeout_s = 10};
    assert_true(reload_timeout_s(&c) > RELOAD_TWO_LOOKS_S && RELOAD_TWO_LOOKS_S > 120);
    c.service_timeout_s = 900;
    assert_int_equal(reload_timeout_s(&c), 900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_version_is_understood),
        cmocka_unit_test(the_hash_counts_more_than_times),
        cmocka_unit_test(two_looks_and_more_are_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
