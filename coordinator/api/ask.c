#include "ask.h"

#include <stdlib.h>
#include <string.h>

#include <base/buf.h>
#include <base/text.h>
#include <cluster/codec.h>

#define RATE_MAX    1000000000
#define LOCK_TTL_S  3600
#define TTL_MAX_S   (7 * 24 * 3600)
#define REQUEST_MAX (64 * 1024)

#define KIND(k) (1u << (k))

/* The calls whose kind is theirs alone. */
static const int kind_of[API_CALLS] = {
    [API_PAUSE] = OP_PAUSE, [API_RESUME] = OP_RESUME, [API_THROTTLE] = OP_THROTTLE, [API_ABORT] = OP_ABORT,
    [API_LOCK] = OP_LOCK,   [API_UNLOCK] = OP_UNLOCK, [API_REPAIR] = OP_REPAIR,
};

#define STARTS                                                                                               \
    (KIND(OP_PREPARE) | KIND(OP_ROTATE) | KIND(OP_REENCRYPT) | KIND(OP_ROTATE_KEYS) | KIND(OP_ENABLE) |      \
     KIND(OP_DISABLE) | KIND(OP_RESTORE_KEY) | KIND(OP_RESTART))
#define REWRITES (KIND(OP_REENCRYPT) | KIND(OP_ROTATE_KEYS))
#define NOT_NOW  (KIND(OP_PAUSE) | KIND(OP_THROTTLE) | KIND(OP_LOCK) | KIND(OP_UNLOCK))

int ask_kind(enum api_call call, const Secretsencrypt__V1__WriteRequest *m, enum operation_kind *ret,
             struct error *err)
{
    if (call != API_START) {
        if (*m->kind)
            return error_set(err, ERR_INVALID, "%s: 'kind' has no meaning", api_call_name(call));
        *ret = (enum operation_kind)kind_of[call];
        return 0;
    }
    int kind = operation_kind_parse(m->kind);
    if (kind < 0 || !(STARTS & KIND(kind)))
        return error_set(err, ERR_INVALID, "Start: '%.40s' is no operation that can be started", m->kind);
    *ret = (enum operation_kind)kind;
    return 0;
}

/* A member that means nothing for what is asked was meant for something else: nothing is done then. */
static int check_members(enum api_call call, enum operation_kind kind,
                         const Secretsencrypt__V1__WriteRequest *m, struct error *err)
{
    const unsigned starts = STARTS, rewrites = REWRITES;
    const struct {
        const char *name;
        bool given;
        unsigned kinds; /* that it has a meaning for */
    } members[] = {
        {"force", m->force, ~KIND(OP_PAUSE) & ~KIND(OP_RESUME) & ~KIND(OP_THROTTLE) & ~KIND(OP_LOCK)},
        {"skip", m->skip, rewrites},
        {"no_restart", m->no_restart, starts & ~KIND(OP_RESTART)},
        {"offline", m->offline, rewrites},
        {"now", m->now, ~(unsigned)NOT_NOW},
        {"engine", *m->engine != 0, rewrites},
        {"max_rate", m->has_max_rate || (m->max_rate != 0 && kind != OP_THROTTLE), rewrites},
        {"server", *m->server != 0, KIND(OP_REPAIR)},
        {"servers", m->n_servers > 0, KIND(OP_RESTART)},
        {"key", *m->key != 0, KIND(OP_RESTORE_KEY)},
        {"ttl_s", m->ttl_s != 0, KIND(OP_LOCK)},
        {"id", *m->id != 0, KIND(OP_UNLOCK)},
    };
    for (size_t i = 0; i < array_len(members); i++)
        if (members[i].given && !(members[i].kinds & KIND(kind)))
            return error_set(err, ERR_INVALID, "%s: '%s' has no meaning for %s", api_call_name(call),
                             members[i].name, operation_kind_name(kind));
    if (*m->engine && strcmp(m->engine, "api") != 0 && strcmp(m->engine, "datastore") != 0)
        return error_set(err, ERR_INVALID, "engine '%.32s': not one of api, datastore", m->engine);
    if (m->offline && strcmp(m->engine, "datastore") != 0)
        return error_set(err, ERR_INVALID, "offline needs the engine datastore");
    if (m->max_rate < 0 || m->max_rate > RATE_MAX)
        return error_set(err, ERR_INVALID, "max_rate: not within 0 and %d", RATE_MAX);
    if (kind == OP_REPAIR && !*m->server)
        return error_set(err, ERR_INVALID, "Repair needs a server");
    if (kind == OP_RESTORE_KEY && !*m->key)
        return error_set(err, ERR_INVALID, "restore-key needs a key");
    return 0;
}

static int take_text(char *out, size_t size, const char *text, const char *what, struct error *err)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            return error_set(err, ERR_INVALID, "%s: holds a control character", what);
    if (!text_is_utf8(text, strlen(text))) /* a record would take three bytes for each that is none */
        return error_set(err, ERR_INVALID, "%s: not UTF-8", what);
    return text_copy(out, size, text)
               ? 0
               : error_set(err, ERR_INVALID, "%s: longer than %zu bytes", what, size - 1);
}

static int take_servers(const Secretsencrypt__V1__WriteRequest *m, struct cluster_request *r,
                        struct error *err)
{
    int rc = 0;
    if (m->n_servers > CLUSTER_SUBSET_MAX)
        return error_set(err, ERR_INVALID, "servers: more than %d", CLUSTER_SUBSET_MAX);
    for (size_t i = 0; i < m->n_servers && rc == 0; i++)
        rc = take_text(r->servers[r->servers_count++], CLUSTER_NAME_MAX, m->servers[i], "servers", err);
    return rc;
}

static int take_ttl(const Secretsencrypt__V1__WriteRequest *m, struct cluster_request *r, struct error *err)
{
    if (r->kind != OP_LOCK)
        return 0;
    r->ttl_s = m->ttl_s ? m->ttl_s : LOCK_TTL_S;
    return r->ttl_s >= 5 && r->ttl_s <= TTL_MAX_S
               ? 0
               : error_set(err, ERR_INVALID, "ttl_s: not within 5 and %d", TTL_MAX_S);
}

int ask_request(enum api_call call, const Secretsencrypt__V1__WriteRequest *m, struct cluster_request *ret,
                struct error *err)
{
    memset(ret, 0, sizeof(*ret));
    int rc = ask_kind(call, m, &ret->kind, err);
    if (rc == 0)
        rc = check_members(call, ret->kind, m, err);
    if (rc < 0)
        return rc;
    bool rated = m->has_max_rate || ret->kind == OP_THROTTLE;
    ret->force = m->force;
    ret->skip = m->skip;
    ret->restart = !m->no_restart;
    ret->offline = m->offline;
    ret->now = m->now;
    ret->max_rate = rated ? m->max_rate : -1;
    rc = take_text(ret->engine, sizeof(ret->engine), m->engine, "engine", err);
    if (rc == 0)
        rc = take_text(ret->server, sizeof(ret->server), m->server, "server", err);
    if (rc == 0)
        rc = take_text(ret->key, sizeof(ret->key), m->key, "key", err);
    if (rc == 0)
        rc = take_text(ret->reason, sizeof(ret->reason), m->reason, "reason", err);
    if (rc == 0)
        rc = take_text(ret->lock, sizeof(ret->lock), m->id, "id", err);
    if (rc == 0)
        rc = take_servers(m, ret, err);
    return rc == 0 ? take_ttl(m, ret, err) : rc;
}

/* Without what differs from try to try, and what the leader wrote. */
static int encode_asked(const struct cluster_request *r, struct buf *out)
{
    _cleanup_free_ struct cluster_request *v = malloc(sizeof(*v));
    if (!v)
        return ERR_NO_MEMORY;
    *v = *r;
    v->time_ms = v->created = 0;
    v->answer = ANSWER_NONE;
    v->cause = CAUSE_NONE;
    v->lease[0] = v->id[0] = v->by[0] = v->role[0] = v->operation[0] = v->why[0] = 0;
    if (v->kind == OP_PAUSE || v->kind == OP_RESUME)
        v->restart = false; /* taken from the operation that ran then */
    if (v->kind == OP_UNLOCK)
        v->lock[0] = 0; /* whichever the caller's was then */
    return cluster_request_encode(v, out, NULL);
}

bool ask_same(const struct cluster_request *a, const struct cluster_request *b)
{
    _cleanup_(buf_freep) struct buf one = BUF_INIT(REQUEST_MAX);
    _cleanup_(buf_freep) struct buf two = BUF_INIT(REQUEST_MAX);
    return encode_asked(a, &one) == 0 && encode_asked(b, &two) == 0 && one.len == two.len &&
           memcmp(one.data, two.data, one.len) == 0;
}

void ask_text(enum api_call call, const struct cluster_request *r, char *out, size_t size)
{
    char more[CLUSTER_TEXT_MAX / 2] = "";
    if (r->kind == OP_THROTTLE)
        snprintf(more, sizeof(more), " %lld", (long long)r->max_rate);
    else
        snprintf(more, sizeof(more), "%s%.63s%s%.100s", *r->server ? " " : "", r->server, *r->key ? " " : "",
                 r->key);
    size_t used = strlen(more);
    for (size_t i = 0; i < r->servers_count && used < sizeof(more); i++)
        used += (size_t)snprintf(more + used, sizeof(more) - used, " %s", r->servers[i]);
    snprintf(out, size, "%s%s%s%s%s%s%s%s", call == API_WITHDRAW ? "withdraw " : "",
             operation_kind_name(r->kind), more, r->force ? " --force" : "", r->skip ? " --skip" : "",
             r->now ? " --now" : "", r->offline ? " --offline" : "", r->restart ? "" : " --no-restart");
}
