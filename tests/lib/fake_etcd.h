/* The store behind fake_etcd.c: what a few members of an etcd cluster share, in memory. All under its lock.
 */
#ifndef TEST_FAKE_ETCD_H
#define TEST_FAKE_ETCD_H

#include <stdbool.h>

#include <etcd_rpc.pb-c.h>

#include <base/error.h>

/* A key's value from revision `mod` until before `until`. */
struct fake_version {
    char *key;
    uint8_t *value;
    size_t key_len, len;
    int64_t create, mod, version, lease, until;
    bool deleted;
};

struct fake_store {
    struct fake_version *log; /* by `mod` */
    size_t count, cap;
    int64_t revision, compacted;
    struct fake_lease {
        int64_t id, ttl_s, until_ms;
    } leases[256];
    int64_t last_lease;
    size_t answer_max; /* the largest answer that whoever asks now takes */
};

void fake_store_begin(struct fake_store *s); /* empty */
void fake_store_wipe(struct fake_store *s);
/* Leases that nobody kept alive end, with their keys. */
void fake_store_expire(struct fake_store *s);

/* Of a range of keys as requests name it: no end is one key, "\0" is all from there on. */
bool fake_in_range(const ProtobufCBinaryData *from, const ProtobufCBinaryData *end,
                   const struct fake_version *v);
void fake_kv(const struct fake_version *v, Mvccpb__KeyValue *ret);

/* Calls: the reply's message is made by fake_rpc_copy. */
int fake_store_range(struct fake_store *s, const Etcdserverpb__RangeRequest *q, ProtobufCMessage **ret,
                     struct error *err);
int fake_store_put(struct fake_store *s, const Etcdserverpb__PutRequest *q, ProtobufCMessage **ret,
                   struct error *err);
int fake_store_delete(struct fake_store *s, const Etcdserverpb__DeleteRangeRequest *q, ProtobufCMessage **ret,
                      struct error *err);
int fake_store_txn(struct fake_store *s, const Etcdserverpb__TxnRequest *q, ProtobufCMessage **ret,
                   struct error *err);
int fake_store_compact(struct fake_store *s, const Etcdserverpb__CompactionRequest *q, ProtobufCMessage **ret,
                       struct error *err);
int fake_store_grant(struct fake_store *s, const Etcdserverpb__LeaseGrantRequest *q, ProtobufCMessage **ret,
                     struct error *err);
int fake_store_revoke(struct fake_store *s, const Etcdserverpb__LeaseRevokeRequest *q, ProtobufCMessage **ret,
                      struct error *err);
/* The seconds that it has again; 0: there is no such lease. */
int64_t fake_store_keep(struct fake_store *s, int64_t id);

#endif
