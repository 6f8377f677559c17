#include "request.h"

#include <pwd.h>
#include <unistd.h>

#include <base/clock.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <crypto/crypto.h>
#include <etcd/lease.h>

#include "console.h"

#define REQUEST_LEASE_S 600
#define REQUEST_MAX     (16 * 1024)
#define CALL_MS         2000
#define REMOTE_MS       5000 /* of a call that waits for the leader's answer on the other side */
#define NO_LEADER_MS    15000
#define NO_ANSWER_MS    60000
#define POLL_MS         250

/* "root@s1", for people who read the audit. */
static void name_user(char out[CLUSTER_NAME_MAX])
{
    char host[CLUSTER_NAME_MAX] = "?", text[2 * CLUSTER_NAME_MAX];
    char space[1024];
    struct passwd entry, *found = NULL;
    const char *user = "?";
    if (getpwuid_r(getuid(), &entry, space, sizeof(space), &found) == 0 && found)
        user = entry.pw_name;
    if (gethostname(host, sizeof(host)) == 0)
        host[sizeof(host) - 1] = 0;
    snprintf(text, sizeof(text), "%.60s@%.60s", user, host);
    text_copy(out, CLUSTER_NAME_MAX, text);
}

static int store_request(struct session *s, const struct cluster_request *v, struct request *r,
                         struct error *err)
{
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(path, store_cluster(s->store), CLUSTER_KEY_REQUEST, v->id);
    _cleanup_(buf_freep) struct buf body = BUF_INIT(REQUEST_MAX);
    struct cluster_request made = *v;
    int rc = store_request_open(s->store, v->id, r->lease, CONNECT_MS, &made.created, err);
    if (rc == 0)
        rc = cluster_request_encode(&made, &body, err);
    if (rc < 0)
        return rc == ERR_CONFLICT ? 0 : rc; /* as below */
    _cleanup_(etcd_txn_freep) struct etcd_txn *txn = etcd_txn_new(store_etcd(s->store));
    etcd_txn_if_mod(txn, path, made.created);
    rc = store_txn_put(s->store, txn, CLUSTER_KEY_REQUEST, v->id, &body, r->lease, err);
    if (rc == 0)
        rc = etcd_txn_commit(txn, CONNECT_MS, &r->mod, err);
    return rc == ERR_CONFLICT ? 0
                              : rc; /* the id is ours alone: a first try whose answer was lost stored it */
}

/* What the request is about, from the command's argument. */
static int take_operand(enum operation_kind kind, const char *operand, struct cluster_request *v,
                        struct error *err)
{
    if (kind == OP_REPAIR && !text_copy(v->server, sizeof(v->server), operand))
        return error_set(err, ERR_INVALID, "%.32s…: no server has a name that long", operand);
    if (kind == OP_THROTTLE)
        return args_rate(operand, &v->max_rate, err);
    if (kind == OP_RESTORE_KEY && !text_copy(v->key, sizeof(v->key), operand))
        return error_set(err, ERR_INVALID, "%.32s…: no key has a name that long", operand);
    return 0;
}

/* An operation that exists keeps what was asked for with it: its restarts stay the operator's, or ours. */
static bool wants_restarts(const struct session *s, enum operation_kind kind, const struct args *args)
{
    const struct cluster_operation *op = &s->snapshot->rotation.op;
    bool about_it = kind == OP_PAUSE || kind == OP_RESUME;
    return about_it && s->snapshot->has_rotation && *op->id ? op->restart : !args->no_restart;
}

/* Servers and a reason, for those that take them. */
static int take_texts(const struct args *args, struct cluster_request *v, struct error *err)
{
    bool named = v->kind == OP_RESTART; /* elsewhere --server is K3s's */
    for (size_t i = 0; named && i < args->servers_count && i < CLUSTER_SUBSET_MAX; i++, v->servers_count++)
        if (!text_copy(v->servers[i], sizeof(v->servers[i]), args->servers[i]))
            return error_set(err, ERR_INVALID, "--server %.32s…: no server has a name that long",
                             args->servers[i]);
    if (args->reason && !text_copy(v->reason, sizeof(v->reason), args->reason))
        return error_set(err, ERR_INVALID, "--reason: over %d bytes", CLUSTER_REASON_MAX - 1);
    if (!text_is_utf8(v->reason, strlen(v->reason)))
        return error_set(err, ERR_INVALID, "--reason: not UTF-8");
    return 0;
}

int request_make(struct session *s, enum operation_kind kind, const struct args *args,
                 struct cluster_request *ret, struct error *err)
{
    *ret = (struct cluster_request){
        .kind = kind,
        .force = args->force,
        .skip = args->skip,
        .restart = wants_restarts(s, kind, args),
        .now = args->now,
        .offline = args->offline,
        .max_rate = args->max_rate,
    };
    text_copy(ret->engine, sizeof(ret->engine), args->engine ? args->engine : "");
    int rc = take_operand(kind, args->operand ? args->operand : "", ret, err);
    if (rc == 0)
        rc = take_texts(args, ret, err);
    if (rc < 0)
        return rc;
    ret->time_ms = clock_wall_ms();
    name_user(ret->by);
    return crypto_uuid(ret->id, err);
}

int request_put(struct session *s, const struct cluster_request *v, struct request *ret, struct error *err)
{
    memset(ret, 0, sizeof(*ret));
    text_copy(ret->id, sizeof(ret->id), v->id);
    ret->asked = *v;
    if (s->remote)
        return 0; /* it is sent with the first look for its answer */
    int rc = etcd_lease_grant(store_etcd(s->store), REQUEST_LEASE_S, CONNECT_MS, &ret->lease, err);
    if (rc == 0)
        rc = store_request(s, v, ret, err);
    if (rc == ERR_TIMEOUT || rc == ERR_UNAVAILABLE) {
        /* It may be there all the same: without its lease it goes. */
        bool gone =
            ret->lease == 0 || etcd_lease_revoke(store_etcd(s->store), ret->lease, CALL_MS, NULL) == 0;
        error_prefix(err, rc,
                     gone ? "the request was not stored" : "the request may have been stored (see status)");
    }
    return rc;
}

int request_send(struct session *s, enum operation_kind kind, const struct args *args, struct request *ret,
                 struct error *err)
{
    _cleanup_free_ struct cluster_request *v = calloc(1, sizeof(*v));
    if (!v)
        return error_no_memory(err);
    int rc = request_make(s, kind, args, v, err);
    return rc < 0 ? rc : request_put(s, v, ret, err);
}

/* The same call again, with the same key, is the same request: whichever coordinator it reaches. */
static int ask_remote(struct session *s, struct request *r, bool *ret_answered, struct error *err)
{
    int rc = remote_write(s->remote, &r->asked, REMOTE_MS, &r->answer, err);
    if (rc < 0)
        return rc;
    *ret_answered = r->answer.answer != ANSWER_NONE;
    text_copy(r->id, sizeof(r->id), r->answer.id);
    return 0;
}

/* 0 with *ret_answered; ERR_NOT_FOUND: the key is gone. */
static int read_answer(struct session *s, struct request *r, bool *ret_answered, struct error *err)
{
    if (s->remote)
        return ask_remote(s, r, ret_answered, err);
    _cleanup_(buf_freep) struct buf body = BUF_INIT(REQUEST_MAX);
    int rc = store_read(s->store, CLUSTER_KEY_REQUEST, r->id, CALL_MS, &body, NULL, &r->mod, err);
    if (rc < 0)
        return rc;
    rc = cluster_request_decode(buf_str(&body), body.len, &r->answer, err);
    *ret_answered = rc == 0 && r->answer.answer != ANSWER_NONE;
    return rc;
}

/* Takes the request back, unless it was answered meanwhile (*ret_answered). True: it is gone. */
static bool withdraw(struct session *s, struct request *r, bool *ret_answered)
{
    if (s->remote) {
        int rc = remote_withdraw(s->remote, &r->asked, CALL_MS, &r->answer, NULL);
        *ret_answered = rc == 0 && r->answer.answer != ANSWER_NONE;
        return rc == 0 && !*ret_answered;
    }
    char path[CLUSTER_KEY_PATH_MAX];
    cluster_key_path(path, store_cluster(s->store), CLUSTER_KEY_REQUEST, r->id);
    for (int tries = 0; tries < 3 && !*ret_answered; tries++) {
        _cleanup_(etcd_txn_freep) struct etcd_txn *txn = etcd_txn_new(store_etcd(s->store));
        etcd_txn_if_mod(txn, path, r->mod);
        etcd_txn_delete(txn, path);
        int rc = etcd_txn_commit(txn, CALL_MS, NULL, NULL);
        if (rc == 0)
            return true;
        rc = read_answer(s, r, ret_answered, NULL); /* written since: by the leader, with its answer */
        if (rc < 0)
            return rc == ERR_NOT_FOUND;
    }
    return false;
}

/* Ends the waiting without an answer; 0 when one came at the last moment. */
static int give_up(struct session *s, struct request *r, int code, const char *why, struct error *err)
{
    bool answered = false;
    bool gone = withdraw(s, r, &answered);
    if (answered)
        return 0;
    return error_set(
        err, code, "%s%s", why,
        gone ? "; the request was taken back and nothing was changed"
             : "; the request could not be taken back and may still be carried out within 10 minutes: see "
               "`secrets-encrypt status`");
}

static void list_servers(const struct cluster_snapshot *c, char *out, size_t size)
{
    size_t used = 0, count = c->spec.servers_count;
    for (size_t i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s",
                                 i == 0           ? ""
                                 : i + 1 == count ? " or "
                                                  : ", ",
                                 c->spec.servers[i].name);
}

struct wait {
    int64_t start_ms, deadline_ms;
    int64_t failing_ms, leaderless_ms; /* since when; 0: not so */
    char leader[CLUSTER_NAME_MAX];
    unsigned failures;
    struct error last; /* while failures > 0 */
};

/* The reason for which waiting any longer is no use; "" while it is. */
static void find_reason(struct session *s, const struct wait *w, int64_t now_ms, char *why, size_t size)
{
    char servers[CLUSTER_TEXT_MAX / 2] = "";
    why[0] = 0;
    if (w->leaderless_ms > 0 && now_ms - w->leaderless_ms >= NO_LEADER_MS) {
        list_servers(s->snapshot, servers, sizeof(servers));
        snprintf(why, size, "no coordinator leads cluster %s: start secrets-encrypt-coordinator on %s",
                 session_cluster(s), servers);
    } else if (*w->leader && now_ms - w->start_ms >= NO_ANSWER_MS) {
        snprintf(why, size, "the coordinator on %s has not answered for %d s: look at its log", w->leader,
                 NO_ANSWER_MS / 1000);
    }
}

static void note_leader(struct wait *w, const char *leader)
{
    memcpy(w->leader, leader, sizeof(w->leader));
    if (*leader)
        w->leaderless_ms = 0;
    else if (w->leaderless_ms == 0)
        w->leaderless_ms = clock_mono_ms();
}

static int poll_once(struct session *s, struct request *r, struct wait *w, bool *ret_answered,
                     struct error *err)
{
    struct error now = ERROR_INIT;
    int64_t began_ms = clock_mono_ms();
    int rc = read_answer(s, r, ret_answered, &now);
    if (rc == 0 && !*ret_answered) {
        rc = session_snapshot(s, CALL_MS, s->snapshot, &now);
        if (rc == 0)
            note_leader(w, s->snapshot->leader);
    }
    if (rc == ERR_NOT_FOUND)
        return error_set(err, ERR_UNAVAILABLE,
                         "the request is gone from the state store, and was not answered: run the "
                         "command again");
    if (rc < 0 && !error_is_transient(rc)) {
        if (err)
            *err = now;
        return rc;
    }
    if (rc < 0 && w->failures == 0)
        w->failing_ms = began_ms;
    w->failures = rc < 0 ? w->failures + 1 : 0;
    w->last = now;
    return 0;
}

static int check_wait(struct session *s, struct request *r, struct wait *w, struct error *err)
{
    char why[CLUSTER_TEXT_MAX];
    int64_t now = clock_mono_ms();
    if (interrupted())
        return give_up(s, r, ERR_CANCELED, "interrupted before the coordinator answered", err);
    if (w->deadline_ms > 0 && now >= w->deadline_ms)
        return give_up(s, r, ERR_TIMEOUT, "the coordinator has not answered within --timeout", err);
    if (w->failures > 0 && now - w->failing_ms >= NO_LEADER_MS)
        return give_up(s, r, ERR_UNAVAILABLE, w->last.text, err);
    why[0] = 0;
    if (w->failures == 0)
        find_reason(s, w, now, why, sizeof(why));
    return *why ? give_up(s, r, ERR_UNAVAILABLE, why, err) : 1;
}

int request_await(struct session *s, struct request *r, int64_t deadline_mono_ms, struct error *err)
{
    struct wait w = {.start_ms = clock_mono_ms(), .deadline_ms = deadline_mono_ms};
    note_leader(&w, s->snapshot->leader);
    for (;;) {
        bool answered = false;
        int rc = poll_once(s, r, &w, &answered, err);
        if (rc < 0 || answered)
            return rc;
        rc = check_wait(s, r, &w, err);
        if (rc <= 0)
            return rc;
        interrupt_wait(-1, w.failures > 0 ? backoff_ms(w.failures, POLL_MS, 2000) : POLL_MS);
    }
}
