#include <etcd/election.h>

#include "internal.h"

#include <base/clock.h>

/* The watch tells at once; this is for the case that it has gone silent. */
#define REREAD_MS 3000
#define READ_MS   2000

/* The key as the failed branch of the transaction read it; NULL when the answer does not hold it. */
static const Mvccpb__KeyValue *found_key(const Etcdserverpb__TxnResponse *r)
{
    if (r->n_responses != 1 ||
        r->responses[0]->response_case != ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE)
        return NULL;
    const Etcdserverpb__RangeResponse *range = r->responses[0]->response_range;
    return range && range->n_kvs == 1 ? range->kvs[0] : NULL;
}

static int judge(struct etcd *e, const char *key, int64_t lease, const Etcdserverpb__TxnResponse *r,
                 int64_t *ret_fence, struct error *err)
{
    if (r->succeeded) {
        /* The key was created by this transaction: its create revision is the transaction's. */
        *ret_fence = revision_of(r->header);
        return 0;
    }
    const Mvccpb__KeyValue *kv = found_key(r);
    if (!kv)
        return error_set(err, ERR_INVALID, "etcd %.300s: an election answer without the key %.200s", e->name,
                         key);
    if (!lease || kv->lease != lease)
        return error_set(err, ERR_CONFLICT, "etcd %.300s: %.200s is held by somebody else", e->name, key);
    *ret_fence = kv->create_revision;
    return 0;
}

int etcd_election_try(struct etcd *e, const char *key, const char *value, int64_t lease, int deadline_ms,
                      int64_t *ret_fence, struct error *err)
{
    int rc = key_check(e, key, err);
    if (rc < 0)
        return rc;
    ProtobufCBinaryData name = bytes_of(key, strlen(key));
    Etcdserverpb__Compare absent = ETCDSERVERPB__COMPARE__INIT;
    absent.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE;
    absent.key = name;
    absent.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = name;
    put.value = bytes_of(value, strlen(value));
    put.lease = lease;
    Etcdserverpb__RequestOp create = ETCDSERVERPB__REQUEST_OP__INIT, read = ETCDSERVERPB__REQUEST_OP__INIT;
    create.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    create.request_put = &put;
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = name;
    read.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    read.request_range = &range;
    Etcdserverpb__TxnRequest q = ETCDSERVERPB__TXN_REQUEST__INIT;
    q.compare = (Etcdserverpb__Compare *[]){&absent};
    q.success = (Etcdserverpb__RequestOp *[]){&create};
    q.failure = (Etcdserverpb__RequestOp *[]){&read};
    q.n_compare = q.n_success = q.n_failure = 1;
    _reply_ Etcdserverpb__TxnResponse *reply = NULL;
    rc = etcd_call(e, METHOD_TXN, &q, deadline_ms, "campaign for", key, &reply, err);
    return rc < 0 ? rc : judge(e, key, lease, reply, ret_fence, err);
}

/* 0: absent. ERR_CONFLICT: there, as of *ret_revision. */
static int look(struct etcd *e, const char *key, int deadline_ms, int64_t *ret_revision, struct error *err)
{
    struct etcd_range r = {0};
    int rc = etcd_get(e, key, deadline_ms, &r, err);
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc < 0)
        return rc;
    *ret_revision = r.revision;
    etcd_range_free(&r);
    return error_set(err, ERR_CONFLICT, "etcd %.300s: %.200s is held", e->name, key);
}

/* Watches until the key goes (0), or something else asks for another look (ERR_CONFLICT), or time is up. */
static int await_change(struct etcd *e, const char *key, int64_t revision, int64_t until, struct error *err)
{
    struct etcd_watch *w;
    int rc = watch_open(e, key, strlen(key), "", 0, revision_after(revision), &w, err);
    if (rc < 0)
        return rc;
    int64_t again = clock_mono_ms() + REREAD_MS, now;
    rc = ERR_CONFLICT;
    while ((now = clock_mono_ms()) < until && now < again) {
        struct etcd_event ev;
        int64_t wait = (until < again ? until : again) - now;
        if (etcd_watch_next(w, (int)wait, &ev, NULL) < 0)
            break;
        enum etcd_event_type type = ev.type;
        etcd_event_free(&ev);
        if (type == ETCD_EVENT_DELETE)
            rc = 0;
        if (type != ETCD_EVENT_PUT)
            break;
    }
    etcd_watch_free(w);
    return rc;
}

int etcd_election_wait(struct etcd *e, const char *key, int timeout_ms, struct error *err)
{
    int rc = key_check(e, key, err);
    if (rc < 0)
        return rc;
    int64_t until = clock_mono_ms() + timeout_ms, now;
    struct error failed = ERROR_INIT;
    while ((now = clock_mono_ms()) < until) {
        int64_t revision = 0, left = until - now;
        rc = look(e, key, (int)(left < READ_MS ? left : READ_MS), &revision, &failed);
        if (rc == ERR_CONFLICT)
            rc = await_change(e, key, revision, until, &failed);
        if (rc == 0)
            return 0;
        if (!error_is_transient(rc))
            return pass_on(err, &failed);
    }
    return error_set(err, ERR_TIMEOUT, "etcd %.300s: %.200s was not given up within %d ms", e->name, key,
                     timeout_ms);
}

int etcd_election_resign(struct etcd *e, const char *key, int64_t fence, int deadline_ms, struct error *err)
{
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = etcd_txn_new(e);
    etcd_txn_if_create(t, key, fence);
    etcd_txn_delete(t, key);
    struct error failed = ERROR_INIT;
    int rc = etcd_txn_commit(t, deadline_ms, NULL, &failed);
    if (rc == 0 || rc == ERR_CONFLICT)
        return 0; /* no longer ours: nothing to give up */
    return pass_on(err, &failed);
}
