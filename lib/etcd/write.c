#include "internal.h"

int etcd_put(struct etcd *e, const char *key, const void *value, size_t len, int64_t lease, int deadline_ms,
             int64_t *ret_revision, struct error *err)
{
    int rc = key_check(e, key, err);
    if (rc < 0)
        return rc;
    Etcdserverpb__PutRequest q = ETCDSERVERPB__PUT_REQUEST__INIT;
    q.key = bytes_of(key, strlen(key));
    q.value = bytes_of(value, len);
    q.lease = lease;
    _reply_ Etcdserverpb__PutResponse *reply = NULL;
    rc = etcd_call(e, METHOD_PUT, &q, deadline_ms, "put", key, &reply, err);
    if (rc == 0 && ret_revision)
        *ret_revision = revision_of(reply->header);
    return rc;
}

int etcd_delete(struct etcd *e, const char *key, bool prefix, int deadline_ms, int64_t *ret_deleted,
                struct error *err)
{
    int rc = key_check(e, key, err);
    if (rc < 0)
        return rc;
    char end[ETCD_KEY_MAX + 1];
    Etcdserverpb__DeleteRangeRequest q = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    q.key = bytes_of(key, strlen(key));
    if (prefix)
        q.range_end = bytes_of(end, prefix_end(key, strlen(key), end));
    _reply_ Etcdserverpb__DeleteRangeResponse *reply = NULL;
    rc = etcd_call(e, METHOD_DELETE, &q, deadline_ms, "delete", key, &reply, err);
    if (rc == 0 && ret_deleted)
        *ret_deleted = reply->deleted;
    return rc;
}

int etcd_compact(struct etcd *e, int64_t revision, int deadline_ms, struct error *err)
{
    Etcdserverpb__CompactionRequest q = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    q.revision = revision;
    _reply_ Etcdserverpb__CompactionResponse *reply = NULL;
    return etcd_call(e, METHOD_COMPACT, &q, deadline_ms, "compact", NULL, &reply, err);
}
