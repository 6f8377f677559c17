#include "internal.h"

struct guard {
    Etcdserverpb__Compare__CompareTarget target;
    char *key;
    int64_t number;
};

struct operation {
    bool put;
    char *key;
    void *value;
    size_t len;
    int64_t lease;
};

/* Entries, their keys and values live in the arena: a transaction has one or two of them, or hundreds. */
struct etcd_txn {
    struct etcd *etcd;
    struct arena *memory; /* whose first allocation this is */
    struct guard *guards;
    size_t guards_count, guards_cap;
    struct operation *ops;
    size_t ops_count, ops_cap;
    bool committed;
    int code; /* the first thing that went wrong while it was built */
    struct error err;
};

#define ROOM 2048 /* for a guarded put of a small object */

/* The same as messages: protobuf-c wants arrays of pointers. */
union args {
    Etcdserverpb__PutRequest put;
    Etcdserverpb__DeleteRangeRequest del;
};
struct wire {
    Etcdserverpb__TxnRequest txn;
    Etcdserverpb__Compare *compares, **compare_ptrs;
    Etcdserverpb__RequestOp *ops, **op_ptrs;
    union args *args;
};

struct etcd_txn *etcd_txn_new(struct etcd *e)
{
    struct arena *memory = arena_new(sizeof(struct etcd_txn) + ROOM);
    struct etcd_txn *t = memory ? arena_alloc(memory, sizeof(*t)) : NULL;
    if (t)
        *t = (struct etcd_txn){.etcd = e, .memory = memory};
    return t;
}

void etcd_txn_free(struct etcd_txn *t)
{
    if (t)
        arena_free(t->memory);
}

static void remember(struct etcd_txn *t, int code, const struct error *err)
{
    if (t->code < 0)
        return;
    t->code = code;
    t->err = *err;
}

/* `count` entries of `size` bytes at `entries` with room for `*cap`; the same with room for one more. */
static void *with_room(struct etcd_txn *t, void *entries, size_t size, size_t count, size_t *cap)
{
    if (count < *cap)
        return entries;
    size_t doubled = *cap ? 2 * *cap : 2;
    void *larger = arena_alloc(t->memory, doubled * size);
    if (!larger)
        return NULL;
    if (count)
        memcpy(larger, entries, count * size);
    *cap = doubled;
    return larger;
}

static void *need(struct etcd_txn *t, void *p)
{
    struct error err = ERROR_INIT;
    if (!p)
        remember(t, error_no_memory(&err), &err);
    return p;
}

/* A copy of the key; NULL when something is wrong with it or with the number of entries so far. */
static char *admit(struct etcd_txn *t, const char *key, size_t count)
{
    struct error err = ERROR_INIT;
    int rc = key_check(t->etcd, key, &err);
    if (rc == 0 && count == ETCD_TXN_OPS_MAX)
        rc = error_set(&err, ERR_TOO_LARGE,
                       "etcd %.300s: too many operations: a transaction takes %d (%.200s)", t->etcd->name,
                       ETCD_TXN_OPS_MAX, key);
    if (rc < 0) {
        remember(t, rc, &err);
        return NULL;
    }
    return need(t, arena_copy(t->memory, key, strlen(key)));
}

static void add_guard(struct etcd_txn *t, Etcdserverpb__Compare__CompareTarget target, const char *key,
                      int64_t number)
{
    char *copy = t ? admit(t, key, t->guards_count) : NULL;
    if (!copy)
        return;
    struct guard *guards = need(t, with_room(t, t->guards, sizeof(*guards), t->guards_count, &t->guards_cap));
    if (!guards)
        return;
    t->guards = guards;
    guards[t->guards_count++] = (struct guard){target, copy, number};
}

static void add_operation(struct etcd_txn *t, const struct operation *o)
{
    struct operation *ops = need(t, with_room(t, t->ops, sizeof(*ops), t->ops_count, &t->ops_cap));
    if (!ops)
        return;
    t->ops = ops;
    ops[t->ops_count++] = *o;
}

void etcd_txn_if_create(struct etcd_txn *t, const char *key, int64_t create_revision)
{
    add_guard(t, ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE, key, create_revision);
}

void etcd_txn_if_mod(struct etcd_txn *t, const char *key, int64_t mod_revision)
{
    add_guard(t, ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD, key, mod_revision);
}

void etcd_txn_if_lease(struct etcd_txn *t, const char *key, int64_t lease)
{
    add_guard(t, ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE, key, lease);
}

void etcd_txn_put(struct etcd_txn *t, const char *key, const void *value, size_t len, int64_t lease)
{
    char *copy = t ? admit(t, key, t->ops_count) : NULL;
    void *bytes = copy ? need(t, arena_copy(t->memory, value, len)) : NULL;
    if (bytes)
        add_operation(t, &(struct operation){true, copy, bytes, len, lease});
}

void etcd_txn_delete(struct etcd_txn *t, const char *key)
{
    char *copy = t ? admit(t, key, t->ops_count) : NULL;
    if (copy)
        add_operation(t, &(struct operation){.put = false, .key = copy});
}

const char *etcd_txn_key(const struct etcd_txn *t, size_t i)
{
    return t && i < t->ops_count ? t->ops[i].key : NULL;
}

void etcd_txn_wipe(struct etcd_txn *t)
{
    for (size_t i = 0; t && i < t->ops_count; i++)
        if (t->ops[i].put)
            explicit_bzero(t->ops[i].value, t->ops[i].len);
}

static void wire_guard(const struct guard *g, Etcdserverpb__Compare *c)
{
    etcdserverpb__compare__init(c);
    c->result = ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL;
    c->target = g->target;
    c->key = bytes_of(g->key, strlen(g->key));
    switch (g->target) {
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE:
        c->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
        c->create_revision = g->number;
        break;
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE:
        c->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE;
        c->lease = g->number;
        break;
    default:
        c->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
        c->mod_revision = g->number;
        break;
    }
}

static void wire_op(struct wire *w, size_t i, const struct operation *o)
{
    Etcdserverpb__RequestOp *op = &w->ops[i];
    etcdserverpb__request_op__init(op);
    if (o->put) {
        Etcdserverpb__PutRequest *put = &w->args[i].put;
        etcdserverpb__put_request__init(put);
        put->key = bytes_of(o->key, strlen(o->key));
        put->value = bytes_of(o->value, o->len);
        put->lease = o->lease;
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        op->request_put = put;
    } else {
        Etcdserverpb__DeleteRangeRequest *del = &w->args[i].del;
        etcdserverpb__delete_range_request__init(del);
        del->key = bytes_of(o->key, strlen(o->key));
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        op->request_delete_range = del;
    }
}

/* Lives as long as the transaction. NULL when memory is out. */
static struct wire *wire_new(const struct etcd_txn *t)
{
    struct arena *m = t->memory;
    size_t guards = t->guards_count, ops = t->ops_count;
    struct wire *w = arena_alloc(m, sizeof(*w));
    if (!w)
        return NULL;
    *w = (struct wire){
        .compares = arena_alloc(m, guards * sizeof(*w->compares)),
        .compare_ptrs = arena_alloc(m, guards * sizeof(*w->compare_ptrs)),
        .ops = arena_alloc(m, ops * sizeof(*w->ops)),
        .op_ptrs = arena_alloc(m, ops * sizeof(*w->op_ptrs)),
        .args = arena_alloc(m, ops * sizeof(*w->args)),
    };
    if (!w->compares || !w->compare_ptrs || !w->ops || !w->op_ptrs || !w->args)
        return NULL;
    etcdserverpb__txn_request__init(&w->txn);
    for (size_t i = 0; i < guards; i++) {
        wire_guard(&t->guards[i], &w->compares[i]);
        w->compare_ptrs[i] = &w->compares[i];
    }
    for (size_t i = 0; i < ops; i++) {
        wire_op(w, i, &t->ops[i]);
        w->op_ptrs[i] = &w->ops[i];
    }
    w->txn.compare = w->compare_ptrs;
    w->txn.n_compare = guards;
    w->txn.success = w->op_ptrs;
    w->txn.n_success = ops;
    return w;
}

/* A key to name in errors: what is written, else what is compared. */
static const char *first_key(const struct etcd_txn *t)
{
    if (t->ops_count)
        return t->ops[0].key;
    return t->guards_count ? t->guards[0].key : NULL;
}

/* What was wrong with how it was built; else its messages, once. */
static int begin(struct etcd_txn *t, struct wire **ret, struct error *err)
{
    if (!t)
        return error_no_memory(err);
    if (t->code < 0) {
        if (err)
            *err = t->err;
        return t->code;
    }
    if (t->committed)
        return error_set(err, ERR_INTERNAL, "etcd %.300s: a transaction is for one use only", t->etcd->name);
    t->committed = true;
    *ret = wire_new(t);
    return *ret ? 0 : error_no_memory(err);
}

static int outcome(const char *name, const char *key, const Etcdserverpb__TxnResponse *reply,
                   int64_t *ret_revision, struct error *err)
{
    if (!reply->succeeded)
        return error_set(
            err, ERR_CONFLICT,
            "etcd %.300s: a guard was refused, somebody else wrote first: read again (transaction on %.200s)",
            name, key ? key : "nothing");
    if (ret_revision)
        *ret_revision = revision_of(reply->header);
    return 0;
}

#define WHAT "transaction on"

int etcd_txn_commit(struct etcd_txn *t, int deadline_ms, int64_t *ret_revision, struct error *err)
{
    struct wire *w = NULL;
    _reply_ Etcdserverpb__TxnResponse *reply = NULL;
    int rc = begin(t, &w, err);
    if (rc == 0)
        rc = etcd_call(t->etcd, METHOD_TXN, &w->txn, deadline_ms, WHAT, first_key(t), &reply, err);
    return rc < 0 ? rc : outcome(t->etcd->name, first_key(t), reply, ret_revision, err);
}

/* ---------- without waiting ---------- */

struct started {
    struct etcd *etcd;
    int64_t begun_us;
    etcd_txn_done_fn *done;
    void *arg;
    char key[]; /* for error texts; "" = none */
};

static void ended(void *arg, int code, ProtobufCMessage *message, const struct error *why)
{
    struct started *s = arg;
    _reply_ ProtobufCMessage *reply = message;
    struct error err = ERROR_INIT;
    int64_t revision = 0;
    const char *key = *s->key ? s->key : NULL;
    if (why)
        err = *why;
    observe_end(METHOD_TXN, code, s->begun_us);
    if (code == 0 && identity_is_other(s->etcd, reply, &err))
        code = ERR_UNAVAILABLE;
    int rc = code < 0 ? etcd_fail(s->etcd->name, code, &err, WHAT, key)
                      : outcome(s->etcd->name, key, (const void *)reply, &revision, &err);
    s->done(s->arg, rc, revision, rc < 0 ? &err : NULL);
    free(s);
}

int etcd_txn_start(struct etcd_txn *t, int deadline_ms, etcd_txn_done_fn *done, void *arg, struct error *err)
{
    struct wire *w = NULL;
    int rc = begin(t, &w, err);
    if (rc < 0)
        return rc;
    const char *key = first_key(t) ? first_key(t) : "";
    size_t size = strlen(key) + 1;
    struct started *s = malloc(sizeof(*s) + size);
    if (!s)
        return error_no_memory(err);
    *s = (struct started){.etcd = t->etcd, .begun_us = observe_begin(), .done = done, .arg = arg};
    memcpy(s->key, key, size);
    rc = rpc_call_start(t->etcd->channel, method_rpc(METHOD_TXN), &w->txn.base, deadline_ms, ended, s, err);
    if (rc < 0) {
        free(s);
        return etcd_fail(t->etcd->name, rc, err, WHAT, first_key(t));
    }
    return 0;
}
