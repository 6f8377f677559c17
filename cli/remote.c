#include "remote.h"

#include <time.h>

#include <api/records.h>
#include <base/clock.h>
#include <base/file.h>
#include <base/secret.h>
#include <base/text.h>
#include <cluster/codec.h>
#include <crypto/certificate.h>
#include <rpc/rpc.h>

#define ADDRESSES_MAX 16
#define PEM_MAX       (256 * 1024)
#define SILENT_MS     15000 /* a watch that has not even sent its heartbeat is given up */
#define NO_WATCH_MS   15000 /* after one that ended before it said anything none is tried for so long … */
#define ASK_EVERY_MS  1000  /* … and the status is asked for instead */
#define ASK_MS        2000

struct remote {
    char *name; /* the addresses, as given */
    char *list; /* the same, cut at the commas */
    const char *addresses[ADDRESSES_MAX];
    size_t count;
    const char *idempotency_key;
    struct rpc_channel *channel;
    bool tls;
    struct rpc_stream *watch; /* NULL: not open */
    int64_t heard_ms;         /* when it last sent something */
    bool heard;               /* it has */
    int64_t no_watch_until_ms, asked_ms;
    char cluster[CLUSTER_NAME_MAX];
    char feed[64]; /* whose revision it is */
    int64_t revision, time_ms;
    struct records records;
    struct key_table keys;
};

/* ---------- opening ---------- */

static const char *given_or(const char *given, const char *variable)
{
    const char *env = given ? given : getenv(variable);
    return env && *env ? env : NULL;
}

bool remote_wanted(const struct args *args, struct remote_options *ret)
{
    *ret = (struct remote_options){
        /* Given and empty is a mistake, which must not lead to the cluster of this machine. */
        .addresses = args->coordinator ? args->coordinator : given_or(NULL, "SECRETS_ENCRYPT_COORDINATOR"),
        .ca_file = given_or(args->ca, "SECRETS_ENCRYPT_CA"),
        .cert_file = given_or(args->cert, "SECRETS_ENCRYPT_CERT"),
        .key_file = given_or(args->key, "SECRETS_ENCRYPT_KEY"),
        .idempotency_key = args->idempotency_key,
    };
    return ret->addresses != NULL;
}

static bool is_local(const char *address)
{
    return strncmp(address, "unix:", 5) == 0;
}

static int split(struct remote *r, struct error *err)
{
    char *rest = r->list, *one;
    while ((one = strsep(&rest, ","))) {
        if (!*one)
            continue;
        if (r->count == ADDRESSES_MAX)
            return error_set(err, ERR_INVALID, "--coordinator: more than %d addresses", ADDRESSES_MAX);
        r->addresses[r->count++] = one;
    }
    if (r->count == 0)
        return error_set(err, ERR_INVALID, "--coordinator: no address; write HOST:PORT or unix:PATH");
    for (size_t i = 1; i < r->count; i++)
        if (is_local(r->addresses[i]) != is_local(r->addresses[0]))
            return error_set(err, ERR_INVALID,
                             "--coordinator: unix:PATH stands beside HOST:PORT; give either");
    return 0;
}

static int read_pem(const char *path, const char *flag, struct secret **ret, struct error *err)
{
    if (!path)
        return error_set(err, ERR_INVALID,
                         "--%s: missing; a coordinator at HOST:PORT wants --ca, --cert and --key (files)",
                         flag);
    if (strstr(path, "-----BEGIN")) /* a pipeline's variable that should be a file: its text is not shown */
        return error_set(err, ERR_INVALID, "--%s: this is the PEM text itself; give the name of a file",
                         flag);
    int rc = file_read_secret(path, PEM_MAX, ret, err);
    return rc < 0 ? error_prefix(err, rc, "--%s", flag) : 0;
}

/* One that has ended is told here: over the wire all that is seen of it is a connection that ends. */
static int check_own(const struct secret *cert, const char *path, struct error *err)
{
    struct certificate own;
    char until[CLOCK_TEXT_MAX];
    int rc = certificate_read(cert->data, cert->len, path, &own, err);
    if (rc < 0)
        return error_prefix(err, rc, "--cert");
    clock_format(own.until_ms, until);
    return clock_wall_ms() < own.until_ms
               ? 0
               : error_set(err, ERR_DENIED, "--cert: %s: the certificate (%s) expired at %s", path,
                           own.subject, until);
}

static int open_channel(struct remote *r, const struct remote_options *o, struct error *err)
{
    _cleanup_(secret_freep) struct secret *ca = NULL, *cert = NULL, *key = NULL;
    struct rpc_channel_options c = {.addresses = r->addresses,
                                    .addresses_count = r->count,
                                    .tls = !is_local(r->addresses[0]),
                                    .local = is_local(r->addresses[0]),
                                    .own_names = true,
                                    .max_message = API_REPLY_MAX};
    int rc = 0;
    r->tls = c.tls;
    if (c.tls) {
        rc = read_pem(o->ca_file, "ca", &ca, err);
        rc = rc ? rc : read_pem(o->cert_file, "cert", &cert, err);
        rc = rc ? rc : read_pem(o->key_file, "key", &key, err);
        rc = rc ? rc : check_own(cert, o->cert_file, err);
        if (rc < 0)
            return rc;
        c.ca_pem = (const char *)ca->data;
        c.cert_pem = (const char *)cert->data;
        c.key_pem = (const char *)key->data;
        c.ca_name = o->ca_file;
        c.cert_name = o->cert_file;
        c.key_name = o->key_file;
    }
    rc = rpc_channel_open(&c, &r->channel, err);
    return rc < 0 ? error_prefix(err, rc, "--coordinator") : 0;
}

int remote_open(const struct remote_options *o, struct remote **ret, struct error *err)
{
    _cleanup_(remote_freep) struct remote *r = calloc(1, sizeof(*r));
    if (!r)
        return error_no_memory(err);
    r->name = strdup(o->addresses);
    r->list = strdup(o->addresses);
    r->idempotency_key = o->idempotency_key;
    if (!r->name || !r->list)
        return error_no_memory(err);
    if (o->idempotency_key && !api_key_valid(o->idempotency_key))
        return error_set(err, ERR_INVALID, "--idempotency-key: not 1 to %d printable characters",
                         API_KEY_MAX);
    int rc = split(r, err);
    if (rc == 0)
        rc = open_channel(r, o, err);
    if (rc == 0)
        *ret = take(r);
    return rc;
}

void remote_free(struct remote *r)
{
    if (!r)
        return;
    rpc_stream_free(r->watch);
    rpc_channel_close(r->channel);
    records_free(&r->records);
    free(r->name);
    free(r->list);
    free(r);
}

const char *remote_name(const struct remote *r)
{
    return r->name;
}

const char *remote_cluster(const struct remote *r)
{
    return r->cluster;
}

/* ---------- calls ---------- */

static struct rpc_method method_of(enum api_call call)
{
    return (struct rpc_method){api_call_path(call), api_call_reply(call)};
}

/* What went wrong, as whoever calls a coordinator has to know it. */
static int explain(const struct remote *r, int code, struct error *err)
{
    if (code != ERR_UNAVAILABLE && code != ERR_TIMEOUT)
        return code;
    if (r->tls && rpc_channel_refused(r->channel))
        return error_set(
            err, ERR_DENIED,
            "%s: what answers there ends every connection after the TLS handshake: it does not accept "
            "our certificate (--cert), or has too many connections with it; the coordinators' logs say why",
            r->name);
    /* What a coordinator says itself (too many requests, no state store) is not to be taken for silence. */
    return rpc_channel_answered(r->channel)
               ? error_prefix(err, code, "%s", r->name)
               : error_prefix(err, code, "no coordinator answers at %s", r->name);
}

/* Reads: asked again, and of another coordinator, until the deadline. */
static int call_any(struct remote *r, enum api_call call, const ProtobufCMessage *m, int deadline_ms,
                    ProtobufCMessage **ret, struct error *err)
{
    const struct rpc_method method = method_of(call);
    int rc = rpc_call_repeat(r->channel, RPC_ANY, &method, m, deadline_ms, ret, err);
    return rc < 0 ? explain(r, rc, err) : 0;
}

/* Static texts. */
static const char *known_type(const char *type)
{
    for (int p = PROVIDER_IDENTITY; p <= PROVIDER_KMS; p++)
        if (strcmp(provider_display((enum provider)p), type) == 0)
            return provider_display((enum provider)p);
    return "other";
}

static void take_keys(struct remote *r, const Secretsencrypt__V1__KeyTable *t)
{
    memset(&r->keys, 0, sizeof(r->keys));
    if (!t)
        return;
    r->keys.known = t->known;
    r->keys.enabled = t->enabled;
    text_copy(r->keys.why, sizeof(r->keys.why), t->why);
    for (size_t i = 0; i < t->n_rows && r->keys.count < CLUSTER_KEYS_MAX; i++) {
        struct key_row *row = &r->keys.rows[r->keys.count++];
        text_copy(row->name, sizeof(row->name), t->rows[i]->name);
        row->type = known_type(t->rows[i]->type);
        row->active = t->rows[i]->active;
    }
}

/* The cluster's name becomes part of keys. A coordinator of another cluster behind the same address is
 * refused: what is followed is not there. */
static int take_cluster(struct remote *r, const char *cluster, struct error *err)
{
    if (!text_is_name(cluster, sizeof(r->cluster) - 1))
        return error_set(err, ERR_INVALID, "%s: what answers there names no cluster", r->name);
    if (*r->cluster && strcmp(r->cluster, cluster) != 0)
        return error_set(err, ERR_INVALID, "%s: cluster %s answered before, and now it is %s", r->name,
                         r->cluster, cluster);
    text_copy(r->cluster, sizeof(r->cluster), cluster);
    return 0;
}

static int take_status(struct remote *r, const Secretsencrypt__V1__StatusReply *m, struct error *err)
{
    int rc = take_cluster(r, m->cluster, err);
    if (rc == 0)
        rc = records_apply(&r->records, r->cluster, true, m->records, m->n_records, NULL, 0, err);
    if (rc < 0)
        return rc;
    take_keys(r, m->keys);
    text_copy(r->feed, sizeof(r->feed), m->feed);
    r->revision = m->revision;
    r->time_ms = m->time_ms;
    return 0;
}

static int snapshot_now(struct remote *r, struct cluster_snapshot *ret, struct error *err)
{
    return records_snapshot(&r->records, r->cluster, r->revision, r->time_ms, ret, err);
}

int remote_status(struct remote *r, int deadline_ms, struct cluster_snapshot *ret, struct error *err)
{
    Secretsencrypt__V1__StatusRequest m = SECRETSENCRYPT__V1__STATUS_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    int rc = call_any(r, API_STATUS, &m.base, deadline_ms, &reply, err);
    if (rc < 0)
        return rc;
    rc = take_status(r, (const Secretsencrypt__V1__StatusReply *)reply, err);
    rpc_message_free(reply);
    return rc == 0 ? snapshot_now(r, ret, err) : rc;
}

const struct key_table *remote_keys(const struct remote *r)
{
    return &r->keys;
}

/* ---------- following ---------- */

static void end_watch(struct remote *r)
{
    rpc_stream_free(take(r->watch));
}

static int begin_watch(struct remote *r, struct error *err)
{
    const struct rpc_method method = method_of(API_WATCH);
    Secretsencrypt__V1__WatchRequest m = SECRETSENCRYPT__V1__WATCH_REQUEST__INIT;
    m.revision = r->revision;
    m.feed = r->feed;
    int rc = rpc_stream_open(r->channel, &method, NULL, &r->watch, err);
    if (rc == 0)
        rc = rpc_stream_send(r->watch, &m.base, err);
    if (rc == 0)
        rpc_stream_close_send(r->watch);
    else
        end_watch(r);
    r->heard_ms = clock_mono_ms();
    r->heard = false;
    return rc;
}

static int take_watch(struct remote *r, const Secretsencrypt__V1__WatchReply *m, struct error *err)
{
    int rc = take_cluster(r, m->cluster, err);
    if (rc == 0 && m->stale)
        return error_set(err, ERR_UNAVAILABLE, "the state store does not answer the coordinator");
    if (rc == 0 && (m->whole || m->n_records > 0 || m->n_deleted > 0))
        rc = records_apply(&r->records, r->cluster, m->whole, m->records, m->n_records, m->deleted,
                           m->n_deleted, err);
    if (rc < 0)
        return rc;
    text_copy(r->feed, sizeof(r->feed), m->feed);
    r->revision = m->revision;
    r->time_ms = m->time_ms;
    return 0;
}

/* What has come is taken; the first message is waited for. ERR_TIMEOUT: none came. */
static int receive(struct remote *r, int timeout_ms, struct error *err)
{
    ProtobufCMessage *m = NULL;
    int rc = rpc_stream_receive(r->watch, timeout_ms, &m, err);
    while (rc == 0) {
        r->heard_ms = clock_mono_ms();
        r->heard = true;
        rc = take_watch(r, (const Secretsencrypt__V1__WatchReply *)m, err);
        rpc_message_free(m);
        m = NULL;
        if (rc < 0)
            return rc;
        rc = rpc_stream_receive(r->watch, 0, &m, err);
        if (rc == ERR_TIMEOUT)
            return 0;
    }
    return rc;
}

/* Without a watch. */
static int ask_now_and_then(struct remote *r, int timeout_ms, struct cluster_snapshot *ret, struct error *err)
{
    int64_t now = clock_mono_ms();
    if (now - r->asked_ms >= ASK_EVERY_MS) {
        r->asked_ms = now;
        return remote_status(r, ASK_MS, ret, err);
    }
    clock_nap_ms(timeout_ms);
    return snapshot_now(r, ret, err);
}

int remote_follow(struct remote *r, int timeout_ms, struct cluster_snapshot *ret, struct error *err)
{
    struct error own = ERROR_INIT;
    if (clock_mono_ms() < r->no_watch_until_ms)
        return ask_now_and_then(r, timeout_ms, ret, err);
    int rc = r->watch ? 0 : begin_watch(r, &own);
    if (rc == 0)
        rc = receive(r, timeout_ms, &own);
    if (rc == ERR_TIMEOUT && clock_mono_ms() - r->heard_ms < SILENT_MS)
        rc = 0;
    else if (rc == ERR_TIMEOUT)
        rpc_stream_distrust(r->watch);
    if (rc == ERR_UNAVAILABLE && !r->heard) {
        /* Nobody is away for that: there are too many watches, say. */
        end_watch(r);
        r->no_watch_until_ms = clock_mono_ms() + NO_WATCH_MS;
        return ask_now_and_then(r, timeout_ms, ret, err);
    }
    if (rc < 0) {
        end_watch(r);
        rc = rc == ERR_TIMEOUT || rc == ERR_CANCELED ? ERR_UNAVAILABLE : rc;
        return error_set(err, rc, "%s: %s", r->name, own.text);
    }
    return snapshot_now(r, ret, err);
}

/* ---------- writes ---------- */

static const enum api_call call_of[] = {
    [OP_PAUSE] = API_PAUSE, [OP_RESUME] = API_RESUME, [OP_THROTTLE] = API_THROTTLE, [OP_ABORT] = API_ABORT,
    [OP_LOCK] = API_LOCK,   [OP_UNLOCK] = API_UNLOCK, [OP_REPAIR] = API_REPAIR,
};

static enum api_call find_call(enum operation_kind kind)
{
    enum api_call call = (size_t)kind < array_len(call_of) ? call_of[kind] : API_STATUS;
    return call == API_STATUS ? API_START : call; /* what is not in the table is an operation */
}

struct write {
    Secretsencrypt__V1__WriteRequest message;
    char *servers[CLUSTER_SUBSET_MAX];
};

static char *text_of(const char *s)
{
    return (char *)s; /* protobuf-c's structs hold no const; nothing writes there */
}

/* Only what means something for the kind: the API refuses the rest. */
static void fill(struct remote *r, const struct cluster_request *v, enum api_call call, struct write *w)
{
    Secretsencrypt__V1__WriteRequest *m = &w->message;
    bool starts = call == API_START;
    secretsencrypt__v1__write_request__init(m);
    m->idempotency_key = text_of(r->idempotency_key ? r->idempotency_key : v->id);
    if (starts)
        m->kind = text_of(operation_kind_name(v->kind));
    m->force = v->force;
    m->skip = v->skip;
    m->no_restart = starts && v->kind != OP_RESTART && !v->restart;
    m->offline = v->offline;
    m->now = v->now;
    m->engine = text_of(v->engine);
    m->has_max_rate = starts && v->max_rate >= 0;
    m->max_rate = v->max_rate >= 0 ? v->max_rate : 0;
    m->server = text_of(v->server);
    m->key = text_of(v->key);
    m->reason = text_of(v->reason);
    m->ttl_s = v->ttl_s;
    m->id = text_of(v->lock);
    m->n_servers = v->servers_count;
    m->servers = w->servers;
    for (size_t i = 0; i < v->servers_count; i++)
        w->servers[i] = text_of(v->servers[i]);
}

static int take_answer(const Secretsencrypt__V1__WriteReply *m, struct cluster_request *answer,
                       struct error *err)
{
    static const char *const words[] = {[ANSWER_NONE] = "",
                                        [ANSWER_ACCEPTED] = "accepted",
                                        [ANSWER_RESUMED] = "resumed",
                                        [ANSWER_REFUSED] = "refused"};
    size_t i = 0;
    while (i < array_len(words) && strcmp(words[i], m->answer) != 0)
        i++;
    if (i == array_len(words))
        return error_set(err, ERR_INVALID, "the coordinator's answer is none that is known: '%.20s'",
                         m->answer);
    answer->answer = (enum answer)i;
    answer->cause = CAUSE_NONE;
    for (int c = CAUSE_NONE; c <= CAUSE_DENIED; c++)
        if (*m->cause && strcmp(cluster_cause_name((enum cluster_cause)c), m->cause) == 0)
            answer->cause = (enum cluster_cause)c;
    text_copy(answer->id, sizeof(answer->id), m->request);
    text_copy(answer->operation, sizeof(answer->operation), m->operation);
    text_copy(answer->why, sizeof(answer->why), m->why);
    return 0;
}

static int call_write(struct remote *r, const struct cluster_request *v, enum api_call call, struct write *w,
                      int deadline_ms, struct cluster_request *answer, struct error *err)
{
    const struct rpc_method method = method_of(call);
    ProtobufCMessage *reply = NULL;
    /* A write waits on the other side, longer than a first attempt would: whoever made it makes it again. */
    int rc = call == API_WITHDRAW
                 ? rpc_call_repeat(r->channel, RPC_ANY, &method, &w->message.base, deadline_ms, &reply, err)
                 : rpc_call(r->channel, &method, &w->message.base, deadline_ms, &reply, err);
    if (rc < 0)
        return explain(r, rc, err);
    *answer = *v;
    rc = take_answer((const Secretsencrypt__V1__WriteReply *)reply, answer, err);
    rpc_message_free(reply);
    return rc;
}

int remote_write(struct remote *r, const struct cluster_request *v, int deadline_ms,
                 struct cluster_request *answer, struct error *err)
{
    struct write w;
    enum api_call call = find_call(v->kind);
    fill(r, v, call, &w);
    return call_write(r, v, call, &w, deadline_ms, answer, err);
}

int remote_withdraw(struct remote *r, const struct cluster_request *v, int deadline_ms,
                    struct cluster_request *answer, struct error *err)
{
    struct write w;
    secretsencrypt__v1__write_request__init(&w.message);
    w.message.idempotency_key = text_of(r->idempotency_key ? r->idempotency_key : v->id);
    return call_write(r, v, API_WITHDRAW, &w, deadline_ms, answer, err);
}

/* ---------- other reads ---------- */

int remote_datastore_revision(struct remote *r, int deadline_ms, int64_t *ret, struct error *err)
{
    Secretsencrypt__V1__JsonRequest m = SECRETSENCRYPT__V1__JSON_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    int rc = call_any(r, API_KEYS, &m.base, deadline_ms, &reply, err);
    if (rc == 0)
        *ret = ((const Secretsencrypt__V1__JsonReply *)reply)->datastore_revision;
    rpc_message_free(reply);
    return rc;
}

int remote_audit(struct remote *r, unsigned limit, const char *before, int deadline_ms, remote_entry_fn *each,
                 void *arg, struct error *err)
{
    Secretsencrypt__V1__AuditRequest m = SECRETSENCRYPT__V1__AUDIT_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    m.limit = limit;
    m.before = text_of(before ? before : "");
    int rc = call_any(r, API_AUDIT, &m.base, deadline_ms, &reply, err);
    const Secretsencrypt__V1__AuditReply *a = (const Secretsencrypt__V1__AuditReply *)reply;
    for (size_t i = 0; rc == 0 && i < a->n_entries; i++)
        rc = each(arg, a->entries[i]->name, !a->entries[i]->untrusted, (const char *)a->entries[i]->json.data,
                  a->entries[i]->json.len, err);
    rpc_message_free(reply);
    return rc;
}
