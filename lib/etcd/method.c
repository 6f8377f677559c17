#include "internal.h"

#include <base/clock.h>

#define ROW(service, call, type, repeat)                                                                     \
    {                                                                                                        \
        {"/etcdserverpb." service "/" call, &etcdserverpb__##type##__descriptor}, (repeat)                   \
    }

/* Every call this program knows. Only reads are repeated: a write whose answer was lost may have happened. */
static const struct {
    struct rpc_method rpc;
    bool repeat;
} methods[] = {
    [METHOD_RANGE] = ROW("KV", "Range", range_response, true),
    [METHOD_PUT] = ROW("KV", "Put", put_response, false),
    [METHOD_DELETE] = ROW("KV", "DeleteRange", delete_range_response, false),
    [METHOD_TXN] = ROW("KV", "Txn", txn_response, false),
    [METHOD_COMPACT] = ROW("KV", "Compact", compaction_response, false),
    [METHOD_LEASE_GRANT] = ROW("Lease", "LeaseGrant", lease_grant_response, false),
    [METHOD_LEASE_REVOKE] = ROW("Lease", "LeaseRevoke", lease_revoke_response, false),
    [METHOD_LEASE_KEEP_ALIVE] = ROW("Lease", "LeaseKeepAlive", lease_keep_alive_response, false),
    [METHOD_LEASE_TTL] = ROW("Lease", "LeaseTimeToLive", lease_time_to_live_response, true),
    [METHOD_WATCH] = ROW("Watch", "Watch", watch_response, false),
    [METHOD_MEMBER_LIST] = ROW("Cluster", "MemberList", member_list_response, true),
    [METHOD_STATUS] = ROW("Maintenance", "Status", status_response, true),
    [METHOD_ALARM] = ROW("Maintenance", "Alarm", alarm_response, true), /* asked only, never set */
    [METHOD_DEFRAGMENT] = ROW("Maintenance", "Defragment", defragment_response, false),
    [METHOD_SNAPSHOT] = ROW("Maintenance", "Snapshot", snapshot_response, false),
};

const struct rpc_method *method_rpc(enum method m)
{
    return &methods[m].rpc;
}

/* ---------- the observer ---------- */

static _Atomic(etcd_observer_fn *) observer;

void etcd_observe(etcd_observer_fn *told)
{
    atomic_store(&observer, told);
}

static int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t observe_begin(void)
{
    return atomic_load(&observer) ? now_us() : 0;
}

void observe_end(enum method m, int code, int64_t begun_us)
{
    etcd_observer_fn *told = atomic_load(&observer);
    if (told && begun_us > 0)
        told(strrchr(methods[m].rpc.path, '/') + 1, code, now_us() - begun_us);
}

/* ---------- calls ---------- */

int etcd_fail(const char *name, int code, struct error *err, const char *what, const char *key)
{
    if (!err)
        return code;
    struct error inner = *err;
    return error_set(err, code, "etcd %.300s: %.500s (%s%s%.150s)", name, inner.text, what, key ? " " : "",
                     key ? key : "");
}

static int call(struct etcd *e, int which, enum method m, const void *request, int deadline_ms,
                ProtobufCMessage **ret, struct error *err)
{
    const struct rpc_method *method = &methods[m].rpc;
    int64_t begun_us = observe_begin();
    int rc = methods[m].repeat ? rpc_call_repeat(e->channel, which, method, request, deadline_ms, ret, err)
                               : rpc_call(e->channel, method, request, deadline_ms, ret, err);
    observe_end(m, rc, begun_us);
    return rc;
}

/* The same, of the one etcd cluster that the client belongs to. */
static int call_known(struct etcd *e, int which, enum method m, const void *request, int deadline_ms,
                      ProtobufCMessage **ret, struct error *err)
{
    int64_t until = clock_mono_ms() + deadline_ms;
    int rc = identity_before(e, until, err);
    if (rc < 0)
        return rc;
    int64_t left = until - clock_mono_ms();
    if (left <= 0)
        return error_set(err, ERR_TIMEOUT,
                         "no answer within %d ms: the endpoints were asked which etcd cluster they are",
                         deadline_ms);
    rc = call(e, which, m, request, (int)left, ret, err);
    if (rc < 0)
        return rc;
    rc = identity_check(e, *ret, until, err);
    if (rc < 0)
        rpc_message_free(take(*ret));
    return rc;
}

int etcd_call_at(struct etcd *e, int which, enum method m, const void *request, int deadline_ms,
                 const char *what, const char *key, void *ret_reply, struct error *err)
{
    int rc = m == METHOD_STATUS ? call(e, which, m, request, deadline_ms, ret_reply, err)
                                : call_known(e, which, m, request, deadline_ms, ret_reply, err);
    if (rc == 0)
        return 0;
    return etcd_fail(which < 0 ? e->name : e->endpoints[which].url, rc, err, what, key);
}

int etcd_call(struct etcd *e, enum method m, const void *request, int deadline_ms, const char *what,
              const char *key, void *ret_reply, struct error *err)
{
    return etcd_call_at(e, RPC_ANY, m, request, deadline_ms, what, key, ret_reply, err);
}
