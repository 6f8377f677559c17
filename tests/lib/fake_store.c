#include "fake_etcd.h"

#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/text.h>

#include "fake_message.h"

#define LOG_MAX   200000
#define BYTES_MAX (1536 * 1024) /* of a request, as etcd's own default */

static void *must_have(void *p)
{
    if (!p)
        abort();
    return p;
}

void fake_store_begin(struct fake_store *s)
{
    memset(s, 0, sizeof(*s));
    s->revision = 1;
}

void fake_store_wipe(struct fake_store *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->log[i].key);
        free(s->log[i].value);
    }
    free(s->log);
    fake_store_begin(s);
}

/* ---------- what is there ---------- */

bool fake_in_range(const ProtobufCBinaryData *from, const ProtobufCBinaryData *end,
                   const struct fake_version *v)
{
    struct {
        const uint8_t *data;
        size_t len;
    } key = {(const uint8_t *)v->key, v->key_len};
    size_t len = from->len < key.len ? from->len : key.len;
    int order = len ? memcmp(key.data, from->data, len) : 0;
    if (end->len == 0)
        return order == 0 && from->len == key.len;
    if (order < 0 || (order == 0 && key.len < from->len))
        return false;
    if (end->len == 1 && end->data[0] == 0)
        return true;
    len = end->len < key.len ? end->len : key.len;
    order = memcmp(key.data, end->data, len);
    return order < 0 || (order == 0 && key.len < end->len);
}

void fake_kv(const struct fake_version *v, Mvccpb__KeyValue *ret)
{
    mvccpb__key_value__init(ret);
    ret->key = (ProtobufCBinaryData){v->key_len, (uint8_t *)v->key};
    ret->mod_revision = v->mod;
    if (v->deleted)
        return;
    ret->value = (ProtobufCBinaryData){v->len, v->value};
    ret->create_revision = v->create;
    ret->version = v->version;
    ret->lease = v->lease;
}

/* The key as it stands now; NULL: it does not. `ret_last` is what was last said of it, also that it went. */
static struct fake_version *now(struct fake_store *s, const ProtobufCBinaryData *key,
                                struct fake_version **ret_last)
{
    static const ProtobufCBinaryData none;
    for (size_t i = s->count; i-- > 0;) {
        struct fake_version *v = &s->log[i];
        if (v->until != INT64_MAX || !fake_in_range(key, &none, v))
            continue;
        if (ret_last)
            *ret_last = v;
        return v->deleted ? NULL : v;
    }
    return NULL;
}

static void append(struct fake_store *s, const struct fake_version *v)
{
    if (s->count == LOG_MAX)
        abort();
    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 64;
        s->log = must_have(realloc(s->log, s->cap * sizeof(*s->log)));
    }
    s->log[s->count] = *v;
    s->log[s->count].until = INT64_MAX;
    s->count++;
}

static void *copy(const void *from, size_t len)
{
    char *p = must_have(malloc(len + 1));
    if (len > 0)
        memcpy(p, from, len);
    p[len] = 0;
    return p;
}

/* At `revision`, which becomes the store's. */
static void write_key(struct fake_store *s, int64_t revision, const Etcdserverpb__PutRequest *q)
{
    struct fake_version *last = NULL, *old = now(s, &q->key, &last);
    struct fake_version v = {.key = copy(q->key.data, q->key.len),
                             .value = copy(q->value.data, q->value.len),
                             .key_len = q->key.len,
                             .len = q->value.len,
                             .create = old ? old->create : revision,
                             .mod = revision,
                             .version = old ? old->version + 1 : 1,
                             .lease = q->lease};
    if (last)
        last->until = revision;
    append(s, &v);
    s->revision = revision;
}

static void remove_key(struct fake_store *s, int64_t revision, size_t at)
{
    struct fake_version v = {.key = copy(s->log[at].key, s->log[at].key_len),
                             .value = copy("", 0),
                             .key_len = s->log[at].key_len,
                             .mod = revision,
                             .deleted = true};
    s->log[at].until = revision;
    append(s, &v);
    s->revision = revision;
}

static int64_t remove_range(struct fake_store *s, int64_t revision, const Etcdserverpb__DeleteRangeRequest *q)
{
    int64_t gone = 0;
    for (size_t i = 0, count = s->count; i < count; i++) {
        const struct fake_version *v = &s->log[i];
        if (v->until != INT64_MAX || v->deleted || !fake_in_range(&q->key, &q->range_end, v))
            continue;
        remove_key(s, revision, i);
        gone++;
    }
    return gone;
}

/* ---------- leases ---------- */

static struct fake_lease *lease_of(struct fake_store *s, int64_t id)
{
    for (size_t i = 0; id && i < array_len(s->leases); i++)
        if (s->leases[i].id == id)
            return &s->leases[i];
    return NULL;
}

static void end_lease(struct fake_store *s, struct fake_lease *l)
{
    int64_t id = l->id, revision = s->revision + 1;
    *l = (struct fake_lease){0};
    for (size_t i = 0, count = s->count; i < count; i++)
        if (s->log[i].until == INT64_MAX && !s->log[i].deleted && s->log[i].lease == id)
            remove_key(s, revision, i);
}

void fake_store_expire(struct fake_store *s)
{
    int64_t ms = clock_mono_ms();
    for (size_t i = 0; i < array_len(s->leases); i++)
        if (s->leases[i].id && s->leases[i].until_ms < ms)
            end_lease(s, &s->leases[i]);
}

int64_t fake_store_keep(struct fake_store *s, int64_t id)
{
    struct fake_lease *l = lease_of(s, id);
    if (!l)
        return 0;
    l->until_ms = clock_mono_ms() + l->ttl_s * 1000;
    return l->ttl_s;
}

static int no_lease(struct error *err)
{
    return error_set(err, ERR_NOT_FOUND, "etcdserver: requested lease not found");
}

/* ---------- calls ---------- */

#define HEADER(s)                                                                                            \
    {                                                                                                        \
        .base = PROTOBUF_C_MESSAGE_INIT(&etcdserverpb__response_header__descriptor), .cluster_id = 7,        \
        .member_id = 1, .revision = (s)->revision, .raft_term = 2                                            \
    }

int fake_store_grant(struct fake_store *s, const Etcdserverpb__LeaseGrantRequest *q, ProtobufCMessage **ret,
                     struct error *err)
{
    Etcdserverpb__ResponseHeader header = HEADER(s);
    Etcdserverpb__LeaseGrantResponse r = ETCDSERVERPB__LEASE_GRANT_RESPONSE__INIT;
    for (size_t i = 0; i < array_len(s->leases); i++) {
        struct fake_lease *l = &s->leases[i];
        if (l->id)
            continue;
        *l = (struct fake_lease){.id = ++s->last_lease + 1000, .ttl_s = q->ttl};
        r.header = &header;
        r.id = l->id;
        r.ttl = fake_store_keep(s, l->id);
        return fake_rpc_copy(&r.base, ret, err);
    }
    return error_set(err, ERR_TOO_LARGE, "more leases than this store takes");
}

int fake_store_revoke(struct fake_store *s, const Etcdserverpb__LeaseRevokeRequest *q, ProtobufCMessage **ret,
                      struct error *err)
{
    struct fake_lease *l = lease_of(s, q->id);
    if (!l)
        return no_lease(err);
    end_lease(s, l);
    Etcdserverpb__ResponseHeader header = HEADER(s);
    Etcdserverpb__LeaseRevokeResponse r = ETCDSERVERPB__LEASE_REVOKE_RESPONSE__INIT;
    r.header = &header;
    return fake_rpc_copy(&r.base, ret, err);
}

static int by_key(const void *a, const void *b)
{
    const struct fake_version *const *v = a, *const *w = b;
    size_t len = (*v)->key_len < (*w)->key_len ? (*v)->key_len : (*w)->key_len;
    int order = memcmp((*v)->key, (*w)->key, len);
    return order ? order : (*v)->key_len < (*w)->key_len ? -1 : (*v)->key_len > (*w)->key_len;
}

/* Those of the range at its revision, by key; *ret_total of them, of which `min` lets *ret_count pass. */
static const struct fake_version **find(const struct fake_store *s, const Etcdserverpb__RangeRequest *q,
                                        int64_t *ret_total, size_t *ret_count)
{
    int64_t at = q->revision > 0 ? q->revision : s->revision;
    const struct fake_version **found = must_have(calloc(s->count + 1, sizeof(*found)));
    *ret_total = 0;
    *ret_count = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct fake_version *v = &s->log[i];
        if (v->deleted || v->mod > at || v->until <= at || !fake_in_range(&q->key, &q->range_end, v))
            continue;
        ++*ret_total;
        if (v->mod >= q->min_mod_revision)
            found[(*ret_count)++] = v;
    }
    qsort(found, *ret_count, sizeof(*found), by_key);
    return found;
}

static int check_revision(const struct fake_store *s, int64_t revision, struct error *err)
{
    if (revision > s->revision)
        return error_set(err, ERR_UNAVAILABLE, "etcdserver: mvcc: required revision is a future revision");
    if (revision > 0 && revision < s->compacted)
        return error_set(err, ERR_COMPACTED, "etcdserver: mvcc: required revision has been compacted");
    return 0;
}

/* What a reply of a range holds; the caller frees kvs and ptrs. */
struct answer {
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__RangeResponse range;
    Mvccpb__KeyValue *kvs, **ptrs;
};

static void answer_free(struct answer *a)
{
    free(a->kvs);
    free(a->ptrs);
}

static void answer_range(const struct fake_store *s, const Etcdserverpb__RangeRequest *q, struct answer *a)
{
    size_t count = 0;
    *a = (struct answer){.header = HEADER(s), .range = ETCDSERVERPB__RANGE_RESPONSE__INIT};
    const struct fake_version **found = find(s, q, &a->range.count, &count);
    size_t wanted = q->count_only ? 0 : q->limit > 0 && (size_t)q->limit < count ? (size_t)q->limit : count;
    a->kvs = must_have(calloc(wanted + 1, sizeof(*a->kvs)));
    a->ptrs = must_have(calloc(wanted + 1, sizeof(*a->ptrs)));
    bool back = q->sort_order == ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND;
    for (size_t i = 0; i < wanted; i++) {
        fake_kv(found[back ? count - 1 - i : i], &a->kvs[i]);
        if (q->keys_only)
            a->kvs[i].value = (ProtobufCBinaryData){0, NULL};
        a->ptrs[i] = &a->kvs[i];
    }
    a->range.header = &a->header;
    a->range.kvs = a->ptrs;
    a->range.n_kvs = wanted;
    a->range.more = !q->count_only && wanted < count;
    free(found);
}

int fake_store_range(struct fake_store *s, const Etcdserverpb__RangeRequest *q, ProtobufCMessage **ret,
                     struct error *err)
{
    struct answer a;
    int rc = check_revision(s, q->revision, err);
    if (rc < 0)
        return rc;
    answer_range(s, q, &a);
    size_t size = protobuf_c_message_get_packed_size(&a.range.base);
    if (size > s->answer_max)
        rc = error_set(err, ERR_TOO_LARGE, "Received message larger than max (%zu vs. %zu)", size,
                       s->answer_max);
    else
        rc = fake_rpc_copy(&a.range.base, ret, err);
    answer_free(&a);
    return rc;
}

static int check_size(const ProtobufCMessage *q, struct error *err)
{
    size_t size = protobuf_c_message_get_packed_size(q);
    if (size > 2 * 1024 * 1024)
        return error_set(err, ERR_TOO_LARGE, "grpc: received message larger than max (%zu vs. 2097152)",
                         size);
    return size > BYTES_MAX ? error_set(err, ERR_TOO_LARGE, "etcdserver: request is too large") : 0;
}

static int check_put(struct fake_store *s, const Etcdserverpb__PutRequest *q, struct error *err)
{
    return q->lease && !lease_of(s, q->lease) ? no_lease(err) : 0;
}

int fake_store_put(struct fake_store *s, const Etcdserverpb__PutRequest *q, ProtobufCMessage **ret,
                   struct error *err)
{
    int rc = check_size(&q->base, err);
    if (rc == 0)
        rc = check_put(s, q, err);
    if (rc < 0)
        return rc;
    write_key(s, s->revision + 1, q);
    Etcdserverpb__ResponseHeader header = HEADER(s);
    Etcdserverpb__PutResponse r = ETCDSERVERPB__PUT_RESPONSE__INIT;
    r.header = &header;
    return fake_rpc_copy(&r.base, ret, err);
}

int fake_store_delete(struct fake_store *s, const Etcdserverpb__DeleteRangeRequest *q, ProtobufCMessage **ret,
                      struct error *err)
{
    Etcdserverpb__DeleteRangeResponse r = ETCDSERVERPB__DELETE_RANGE_RESPONSE__INIT;
    r.deleted = remove_range(s, s->revision + 1, q);
    Etcdserverpb__ResponseHeader header = HEADER(s);
    r.header = &header;
    return fake_rpc_copy(&r.base, ret, err);
}

int fake_store_compact(struct fake_store *s, const Etcdserverpb__CompactionRequest *q, ProtobufCMessage **ret,
                       struct error *err)
{
    size_t kept = 0;
    if (q->revision <= s->compacted)
        return error_set(err, ERR_COMPACTED, "etcdserver: mvcc: required revision has been compacted");
    int rc = check_revision(s, q->revision, err);
    if (rc < 0)
        return rc;
    s->compacted = q->revision;
    for (size_t i = 0; i < s->count; i++) {
        struct fake_version *v = &s->log[i];
        bool over = v->until <= s->compacted || (v->deleted && v->mod <= s->compacted);
        if (over) {
            free(v->key);
            free(v->value);
        } else {
            s->log[kept++] = *v;
        }
    }
    s->count = kept;
    Etcdserverpb__ResponseHeader header = HEADER(s);
    Etcdserverpb__CompactionResponse r = ETCDSERVERPB__COMPACTION_RESPONSE__INIT;
    r.header = &header;
    return fake_rpc_copy(&r.base, ret, err);
}

/* ---------- transactions ---------- */

/* Equality is all that this project asks for. */
static bool holds(struct fake_store *s, const Etcdserverpb__Compare *c)
{
    const struct fake_version *v = now(s, &c->key, NULL);
    switch (c->target) {
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE:
        return (v ? v->create : 0) == c->create_revision;
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD:
        return (v ? v->mod : 0) == c->mod_revision;
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE:
        return v && v->lease == c->lease;
    default:
        abort();
    }
}

/* Messages of a transaction's answer: one of three kinds for each operation. */
struct results {
    Etcdserverpb__ResponseOp *ops, **ptrs;
    struct {
        Etcdserverpb__PutResponse put;
        Etcdserverpb__DeleteRangeResponse del;
        struct answer range;
    } * parts;
};

static void do_op(struct fake_store *s, int64_t revision, const Etcdserverpb__RequestOp *op,
                  struct results *r, size_t i)
{
    Etcdserverpb__ResponseOp *to = &r->ops[i];
    etcdserverpb__response_op__init(to);
    r->ptrs[i] = to;
    switch (op->request_case) {
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
        write_key(s, revision, op->request_put);
        etcdserverpb__put_response__init(&r->parts[i].put);
        to->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT;
        to->response_put = &r->parts[i].put;
        break;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
        etcdserverpb__delete_range_response__init(&r->parts[i].del);
        r->parts[i].del.deleted = remove_range(s, revision, op->request_delete_range);
        to->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE;
        to->response_delete_range = &r->parts[i].del;
        break;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
        answer_range(s, op->request_range, &r->parts[i].range);
        r->parts[i].range.range.header = NULL;
        to->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE;
        to->response_range = &r->parts[i].range.range;
        break;
    default:
        abort();
    }
}

static int do_ops(struct fake_store *s, Etcdserverpb__RequestOp **ops, size_t count,
                  Etcdserverpb__TxnResponse *reply, ProtobufCMessage **ret, struct error *err)
{
    struct results r = {.ops = must_have(calloc(count + 1, sizeof(*r.ops))),
                        .ptrs = must_have(calloc(count + 1, sizeof(*r.ptrs))),
                        .parts = must_have(calloc(count + 1, sizeof(*r.parts)))};
    int64_t revision = s->revision + 1;
    for (size_t i = 0; i < count; i++)
        do_op(s, revision, ops[i], &r, i);
    Etcdserverpb__ResponseHeader header = HEADER(s);
    reply->header = &header;
    reply->n_responses = count;
    reply->responses = r.ptrs;
    int rc = fake_rpc_copy(&reply->base, ret, err);
    reply->header = NULL;
    for (size_t i = 0; i < count; i++)
        answer_free(&r.parts[i].range);
    free(r.ops);
    free(r.ptrs);
    free(r.parts);
    return rc;
}

int fake_store_txn(struct fake_store *s, const Etcdserverpb__TxnRequest *q, ProtobufCMessage **ret,
                   struct error *err)
{
    Etcdserverpb__TxnResponse reply = ETCDSERVERPB__TXN_RESPONSE__INIT;
    bool good = true;
    int rc = check_size(&q->base, err);
    for (size_t i = 0; i < q->n_compare; i++)
        good = good && holds(s, q->compare[i]);
    Etcdserverpb__RequestOp **ops = good ? q->success : q->failure;
    size_t count = good ? q->n_success : q->n_failure;
    for (size_t i = 0; i < count && rc == 0; i++)
        if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT)
            rc = check_put(s, ops[i]->request_put, err);
    reply.succeeded = good;
    return rc < 0 ? rc : do_ops(s, ops, count, &reply, ret, err);
}
