#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "internal.h"

/* What goes wrong while a transaction is built is told by commit, before anything is sent. */
static struct etcd nobody = {.name = (char *)"http://x:1"};

static void built_wrong(struct etcd_txn *t, int code, const char *why)
{
    struct error err = ERROR_INIT;
    int rc = etcd_txn_commit(t, 100, NULL, &err);
    if (rc != code || !strstr(err.text, why) || !strstr(err.text, "http://x:1"))
        fail_msg("wanted \"%s\", got %s: %s", why, error_code_name(rc), err.text);
    assert_int_equal(etcd_txn_commit(t, 100, NULL, NULL), code);
    etcd_txn_free(t);
}

static void too_many_operations(void **state)
{
    (void)state;
    struct etcd_txn *puts = etcd_txn_new(&nobody), *guards = etcd_txn_new(&nobody);
    for (int i = 0; i <= ETCD_TXN_OPS_MAX; i++) {
        etcd_txn_put(puts, "k", "v", 1, 0);
        etcd_txn_if_mod(guards, "k", i);
    }
    etcd_txn_delete(guards, ""); /* the first error is the one that counts */
    built_wrong(puts, ERR_TOO_LARGE, "too many operations");
    built_wrong(guards, ERR_TOO_LARGE, "too many operations");
}

static void a_bad_key(void **state)
{
    (void)state;
    struct etcd_txn *t = etcd_txn_new(&nobody);
    etcd_txn_put(t, "", "v", 1, 0);
    built_wrong(t, ERR_INVALID, "a key must have");
}

static void null_is_out_of_memory(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    etcd_txn_if_create(NULL, "k", 1);
    etcd_txn_if_mod(NULL, "k", 1);
    etcd_txn_if_lease(NULL, "k", 1);
    etcd_txn_put(NULL, "k", "v", 1, 0);
    etcd_txn_delete(NULL, "k");
    assert_int_equal(etcd_txn_commit(NULL, 100, NULL, &err), ERR_NO_MEMORY);
    etcd_txn_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_many_operations),
        cmocka_unit_test(a_bad_key),
        cmocka_unit_test(null_is_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
