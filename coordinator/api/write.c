/* The calls that change something: each becomes a request in the state store, as the CLI on a server makes
 * them, and is answered there by whoever leads. So it does not matter which coordinator is asked. */
#include "service.h"

#include <base/clock.h>
#include <base/log.h>
#include <base/text.h>
#include <crypto/crypto.h>
#include <etcd/lease.h>

#include "ask.h"

#define REQUEST_MAX (64 * 1024)
#define LOOK_MS     1000 /* an answer is looked for at least so often */
#define LEAVE_MS    200  /* of a call's time, for the way back */

struct asking {
    struct service *service;
    const struct rpc_incoming *call;
    const struct who *who;
    int64_t mod; /* of the request's key; 0: it is not there */
    struct cluster_request request, found;
};

/* ---------- the state store ---------- */

/* ERR_NOT_FOUND: there is none. */
static int read_request(struct asking *a, const char *id, struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(REQUEST_MAX);
    int rc = store_read(a->service->store, CLUSTER_KEY_REQUEST, id, API_STORE_MS, &body, NULL, &a->mod, err);
    return rc < 0 ? rc : cluster_request_decode(buf_str(&body), body.len, &a->found, err);
}

static void asked_entry(const struct asking *a, enum api_call call, struct cluster_audit *e)
{
    memset(e, 0, sizeof(*e));
    e->time_ms = a->request.time_ms;
    text_copy(e->server, sizeof(e->server), a->service->config->server);
    text_copy(e->who, sizeof(e->who), a->who->identity);
    text_copy(e->role, sizeof(e->role), api_role_name(a->who->role));
    text_copy(e->from, sizeof(e->from), a->who->from);
    text_copy(e->call, sizeof(e->call), api_call_name(call));
    ask_text(call, &a->request, e->what, sizeof(e->what));
    text_copy(e->result, sizeof(e->result), "asked");
    text_copy(e->why, sizeof(e->why), a->request.reason);
}

/* One that is spent makes room: a request's key is created for it alone. */
static int open_place(struct asking *a, const char *path, int64_t lease, struct error *err)
{
    struct store *store = a->service->store;
    int rc = 0;
    if (a->mod > 0) {
        _cleanup_(etcd_txn_freep) struct etcd_txn *txn = etcd_txn_new(store_etcd(store));
        etcd_txn_if_mod(txn, path, a->mod);
        etcd_txn_delete(txn, path);
        rc = etcd_txn_commit(txn, API_STORE_MS, NULL, err);
    }
    return rc < 0 ? rc
                  : store_request_open(store, a->request.id, lease, API_STORE_MS, &a->request.created, err);
}

/* The request and the trail's word of it, in one: neither is there without the other. */
static int put_request(struct asking *a, enum api_call call, int64_t lease, struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    struct store *store = a->service->store;
    struct cluster_audit entry;
    _cleanup_(buf_freep) struct buf body = BUF_INIT(REQUEST_MAX);
    cluster_key_path(path, store_cluster(store), CLUSTER_KEY_REQUEST, a->request.id);
    asked_entry(a, call, &entry);
    int rc = open_place(a, path, lease, err);
    if (rc == 0)
        rc = cluster_request_encode(&a->request, &body, err);
    if (rc < 0)
        return rc;
    _cleanup_(etcd_txn_freep) struct etcd_txn *txn = etcd_txn_new(store_etcd(store));
    etcd_txn_if_mod(txn, path, a->request.created);
    rc = store_txn_put(store, txn, CLUSTER_KEY_REQUEST, a->request.id, &body, lease, err);
    if (rc == 0)
        rc = store_txn_audit(store, txn, &entry, err);
    return rc == 0 ? etcd_txn_commit(txn, API_STORE_MS, &a->mod, err) : rc;
}

/* A lease that nothing hangs on; one that is not given back ends by itself. */
static void give_back(struct etcd *etcd, int64_t lease)
{
    struct error err = ERROR_INIT;
    if (lease && etcd_lease_revoke(etcd, lease, API_STORE_MS, &err) < 0)
        log_event(LOG_LEVEL_DEBUG, "a lease was not given back", LOG_S("why", err.text));
}

/* An unanswered request goes by itself after a while: nobody's rotation begins when a leader is found hours
 * later. A lock hangs on a lease of its own, which is left alone when the request may be there all the same:
 * a lock that was taken must not vanish behind the answer that says so. */
static int create_request(struct asking *a, enum api_call call, struct error *err)
{
    struct etcd *etcd = store_etcd(a->service->store);
    int64_t lease = 0, locks = 0;
    int rc = etcd_lease_grant(etcd, API_REQUEST_TTL_S, API_STORE_MS, &lease, err);
    if (rc == 0 && a->request.kind == OP_LOCK)
        rc = etcd_lease_grant(etcd, a->request.ttl_s, API_STORE_MS, &locks, err);
    if (locks)
        cluster_lease_format(locks, a->request.lease);
    /* Who has gone meanwhile may have been told that nothing was begun. */
    if (rc == 0 && rpc_incoming_canceled(a->call))
        rc = error_set(err, ERR_CANCELED, "the caller is gone");
    bool unsure = false;
    if (rc == 0) {
        rc = put_request(a, call, lease, err);
        unsure = rc == ERR_TIMEOUT || rc == ERR_UNAVAILABLE;
    }
    if (rc == 0) {
        a->found = a->request;
        return 0;
    }
    give_back(etcd, lease);
    if (!unsure)
        give_back(etcd, locks);
    return rc;
}

/* The request that the key stands for is there afterwards, in a->found: made now, or before. */
static int find_or_create(struct asking *a, enum api_call call, struct error *err)
{
    int rc = ERR_NOT_FOUND;
    if (api_id_is_keyed(a->request.id))
        rc = read_request(a, a->request.id, err);
    bool spent =
        rc == 0 && ask_same(&a->found, &a->request) && api_request_is_spent(&a->found, clock_wall_ms());
    if (rc == ERR_NOT_FOUND || spent)
        rc = create_request(a, call, err);
    if (rc == ERR_CONFLICT) /* by another call with the same key, or by one of ours whose answer was lost */
        rc = read_request(a, a->request.id, err);
    if (rc == 0 && !ask_same(&a->found, &a->request))
        rc = error_set(err, ERR_INVALID,
                       "this idempotency key stood for something else (%s, asked for by %s): use a new one",
                       operation_kind_name(a->found.kind), a->found.by);
    return rc;
}

/* ---------- the answer ---------- */

/* 0 also when none came: the caller asks again. ERR_NOT_FOUND: it is gone. */
static int await(struct asking *a, struct error *err)
{
    int64_t now = clock_mono_ms(), until = now + API_ANSWER_MS;
    uint64_t look = 0;
    if (a->call->deadline_ms - LEAVE_MS < until)
        until = a->call->deadline_ms - LEAVE_MS;
    int rc = 0;
    while (rc == 0 && a->found.answer == ANSWER_NONE && now < until && !rpc_incoming_canceled(a->call)) {
        feed_wait(a->service->feed, &look, until - now < LOOK_MS ? until - now : LOOK_MS);
        rc = read_request(a, a->request.id, err);
        now = clock_mono_ms();
    }
    return rc;
}

static const char *answer_word(enum answer a)
{
    return a == ANSWER_ACCEPTED  ? "accepted"
           : a == ANSWER_RESUMED ? "resumed"
           : a == ANSWER_REFUSED ? "refused"
                                 : "";
}

static int make_reply(const struct cluster_request *v, ProtobufCMessage **ret, struct error *err)
{
    struct reply *r = reply_new();
    if (!r)
        return error_no_memory(err);
    Secretsencrypt__V1__WriteReply *m = &r->message.write;
    secretsencrypt__v1__write_reply__init(m);
    m->request = reply_text(r, v->id);
    m->answer = (char *)answer_word(v->answer);
    m->operation = reply_text(r, v->operation);
    m->why = reply_text(r, v->why);
    m->cause = (char *)(v->cause == CAUSE_NONE ? "" : cluster_cause_name(v->cause));
    if (!m->request || !m->operation || !m->why) {
        reply_free(&r->message.base);
        return error_no_memory(err);
    }
    *ret = &r->message.base;
    return 0;
}

/* ---------- the calls ---------- */

static int make_id(struct service *s, const struct who *w, const char *key, char out[CLUSTER_ID_MAX],
                   struct error *err)
{
    if (!*key)
        return crypto_uuid(out, err);
    if (!api_key_valid(key))
        return error_set(err, ERR_INVALID, "idempotency_key: not 1 to %d printable characters", API_KEY_MAX);
    return api_request_id(store_cluster(s->store), w->identity, key, out, err);
}

/* Without an id it is the caller's own lock that is meant. An id is no secret, whoever may look sees it: it
 * gives nobody else's lock back. */
static int find_lock(struct asking *a, struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    struct cluster_lock lock;
    _cleanup_(feed_state_unrefp) struct feed_state *state = NULL;
    if (a->request.kind != OP_UNLOCK || a->request.force)
        return 0;
    int rc = feed_fresh(a->service->feed, a->call->deadline_ms, &state, err);
    if (rc < 0)
        return rc;
    cluster_key_path(path, store_cluster(a->service->store), CLUSTER_KEY_LOCK, NULL);
    const struct record *r = records_find(&state->records, path);
    if (!r || !r->value)
        return 0;
    rc = cluster_lock_decode(r->value, r->len, &lock, NULL);
    if (rc < 0)
        return rc == ERR_NO_MEMORY ? error_no_memory(err) : 0; /* it may be somebody's */
    bool ours = who_same_name(lock.holder, a->request.by);
    if (*a->request.lock && strcmp(a->request.lock, lock.id) == 0 && !ours)
        return error_set(err, ERR_DENIED,
                         "%s holds that lock: nobody else gives it back but an admin, with force",
                         lock.holder);
    if (!*a->request.lock && ours)
        text_copy(a->request.lock, sizeof(a->request.lock), lock.id);
    return 0;
}

/* An operation that exists keeps what was asked for with it: its restarts stay the operator's, or ours. */
static int keep_restarts(struct asking *a, struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    _cleanup_(feed_state_unrefp) struct feed_state *state = NULL;
    _cleanup_free_ struct cluster_rotation *rotation = calloc(1, sizeof(*rotation));
    if (a->request.kind != OP_PAUSE && a->request.kind != OP_RESUME)
        return 0;
    if (!rotation)
        return error_no_memory(err);
    int rc = feed_fresh(a->service->feed, a->call->deadline_ms, &state, err);
    if (rc < 0)
        return rc;
    cluster_key_path(path, store_cluster(a->service->store), CLUSTER_KEY_ROTATION, NULL);
    const struct record *r = records_find(&state->records, path);
    rc = r && r->value ? cluster_rotation_decode(r->value, r->len, rotation, NULL) : ERR_NOT_FOUND;
    if (rc == 0 && *rotation->op.id)
        a->request.restart = rotation->op.restart;
    return rc == ERR_NO_MEMORY ? error_no_memory(err) : 0;
}

static int write_and_wait(struct asking *a, enum api_call call, struct error *err)
{
    char what[CLUSTER_TEXT_MAX];
    int rc = keep_restarts(a, err);
    if (rc == 0)
        rc = find_lock(a, err);
    if (rc == 0)
        rc = find_or_create(a, call, err);
    if (rc == 0)
        rc = await(a, err);
    if (rc == ERR_NOT_FOUND)
        rc =
            error_set(err, ERR_UNAVAILABLE, "the request is gone from the state store, and was not answered");
    if (rc == 0 && a->found.answer == ANSWER_REFUSED && a->found.kind == OP_LOCK)
        give_back(store_etcd(a->service->store), cluster_lease_parse(a->found.lease));
    ask_text(call, &a->request, what, sizeof(what));
    if (rc < 0)
        trail_add(a->service->trail, a->who, api_call_name(call), what, error_code_name(rc),
                  err ? err->text : "");
    else if (a->found.answer != ANSWER_NONE)
        trail_add(a->service->trail, a->who, api_call_name(call), what, answer_word(a->found.answer),
                  a->found.why);
    return rc;
}

int service_write(struct service *s, const struct rpc_incoming *c, enum api_call call,
                  const Secretsencrypt__V1__WriteRequest *m, const struct cluster_request *asked,
                  ProtobufCMessage **ret, struct error *err)
{
    _cleanup_free_ struct asking *a = calloc(1, sizeof(*a));
    if (!a)
        return error_no_memory(err);
    a->service = s;
    a->call = c;
    a->who = c->peer;
    a->request = *asked;
    a->request.time_ms = clock_wall_ms();
    text_copy(a->request.by, sizeof(a->request.by), a->who->by);
    text_copy(a->request.role, sizeof(a->request.role), api_role_name(a->who->role));
    int rc = make_id(s, a->who, m->idempotency_key, a->request.id, err);
    if (rc < 0)
        return rc;
    struct error own = ERROR_INIT;
    if (atomic_fetch_add(&s->writers, 1) >= API_WRITERS_MAX)
        rc = error_set(&own, ERR_UNAVAILABLE,
                       "%d requests wait for the leader's answer here already; try again in a moment",
                       API_WRITERS_MAX);
    else
        rc = write_and_wait(a, call, &own);
    atomic_fetch_sub(&s->writers, 1);
    return rc < 0 ? error_set(err, rc, "%s", own.text) : make_reply(&a->found, ret, err);
}

/* Gone, unless it was answered meanwhile: then that is the reply. */
static int withdraw(struct asking *a, struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    struct store *store = a->service->store;
    int rc = read_request(a, a->request.id, err);
    if (rc < 0 || a->found.answer != ANSWER_NONE)
        return rc;
    cluster_key_path(path, store_cluster(store), CLUSTER_KEY_REQUEST, a->request.id);
    _cleanup_(etcd_txn_freep) struct etcd_txn *txn = etcd_txn_new(store_etcd(store));
    etcd_txn_if_mod(txn, path, a->mod);
    etcd_txn_delete(txn, path);
    rc = etcd_txn_commit(txn, API_STORE_MS, NULL, err);
    if (rc == 0 && a->found.kind == OP_LOCK)
        give_back(store_etcd(store), cluster_lease_parse(a->found.lease));
    return rc == ERR_CONFLICT ? read_request(a, a->request.id, err) : rc;
}

int service_withdraw(struct service *s, const struct rpc_incoming *c,
                     const Secretsencrypt__V1__WriteRequest *m, ProtobufCMessage **ret, struct error *err)
{
    struct error own = ERROR_INIT;
    _cleanup_free_ struct asking *a = calloc(1, sizeof(*a));
    if (!a)
        return error_no_memory(err);
    if (!*m->idempotency_key)
        return error_set(err, ERR_INVALID, "Withdraw needs the idempotency key of what is to be taken back");
    a->service = s;
    a->call = c;
    a->who = c->peer;
    int rc = make_id(s, a->who, m->idempotency_key, a->request.id, err);
    if (rc < 0)
        return rc;
    rc = withdraw(a, &own);
    if (rc == ERR_NOT_FOUND) {
        text_copy(a->found.id, sizeof(a->found.id), a->request.id);
        rc = 0;
    }
    trail_add(s->trail, a->who, "Withdraw", a->request.id,
              rc < 0                           ? error_code_name(rc)
              : a->found.answer == ANSWER_NONE ? "withdrawn"
                                               : answer_word(a->found.answer),
              own.text);
    return rc < 0 ? error_set(err, rc, "%s", own.text) : make_reply(&a->found, ret, err);
}
