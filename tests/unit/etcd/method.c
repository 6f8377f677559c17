#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "internal.h"

static void every_call_has_its_path_and_reply(void **state)
{
    (void)state;
    static const struct {
        enum method method;
        const char *path, *reply;
    } rows[] = {
        {METHOD_RANGE, "/etcdserverpb.KV/Range", "RangeResponse"},
        {METHOD_PUT, "/etcdserverpb.KV/Put", "PutResponse"},
        {METHOD_DELETE, "/etcdserverpb.KV/DeleteRange", "DeleteRangeResponse"},
        {METHOD_TXN, "/etcdserverpb.KV/Txn", "TxnResponse"},
        {METHOD_COMPACT, "/etcdserverpb.KV/Compact", "CompactionResponse"},
        {METHOD_LEASE_GRANT, "/etcdserverpb.Lease/LeaseGrant", "LeaseGrantResponse"},
        {METHOD_LEASE_REVOKE, "/etcdserverpb.Lease/LeaseRevoke", "LeaseRevokeResponse"},
        {METHOD_LEASE_KEEP_ALIVE, "/etcdserverpb.Lease/LeaseKeepAlive", "LeaseKeepAliveResponse"},
        {METHOD_LEASE_TTL, "/etcdserverpb.Lease/LeaseTimeToLive", "LeaseTimeToLiveResponse"},
        {METHOD_WATCH, "/etcdserverpb.Watch/Watch", "WatchResponse"},
        {METHOD_MEMBER_LIST, "/etcdserverpb.Cluster/MemberList", "MemberListResponse"},
        {METHOD_STATUS, "/etcdserverpb.Maintenance/Status", "StatusResponse"},
        {METHOD_ALARM, "/etcdserverpb.Maintenance/Alarm", "AlarmResponse"},
        {METHOD_DEFRAGMENT, "/etcdserverpb.Maintenance/Defragment", "DefragmentResponse"},
        {METHOD_SNAPSHOT, "/etcdserverpb.Maintenance/Snapshot", "SnapshotResponse"},
    };
    assert_int_equal(array_len(rows), METHOD_SNAPSHOT + 1);
    for (size_t i = 0; i < array_len(rows); i++) {
        assert_string_equal(method_rpc(rows[i].method)->path, rows[i].path);
        assert_string_equal(method_rpc(rows[i].method)->reply->short_name, rows[i].reply);
    }
}

static void an_error_names_server_and_key(void **state)
{
    (void)state;
    struct error err = {.code = ERR_TIMEOUT, .text = "no answer within 5 ms"};
    assert_int_equal(etcd_fail("http://a:1", ERR_TIMEOUT, &err, "put", "/k"), ERR_TIMEOUT);
    assert_string_equal(err.text, "etcd http://a:1: no answer within 5 ms (put /k)");
    err = (struct error){.code = ERR_TIMEOUT, .text = "x"};
    etcd_fail("http://a:1", ERR_TIMEOUT, &err, "member list", NULL);
    assert_string_equal(err.text, "etcd http://a:1: x (member list)");
    assert_int_equal(etcd_fail("a", ERR_DENIED, NULL, "put", "/k"), ERR_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_has_its_path_and_reply),
        cmocka_unit_test(an_error_names_server_and_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
