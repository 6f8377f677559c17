/* The calls that change nothing. */
#include "service.h"

#include <ctype.h>

#include <base/arena.h>
#include <base/clock.h>
#include <base/text.h>
#include <report/explain.h>
#include <report/keys.h>

#define JSON_MAX      (1024 * 1024)
#define HEARTBEAT_MS  5000
#define WAKE_MS       1000 /* a watcher that is gone is noticed after so long, at most */
#define AUDIT_DEFAULT 100
#define DATASTORE_MS  2000

static int snapshot_of(struct service *s, const struct feed_state *state, struct cluster_snapshot **ret,
                       struct error *err)
{
    _cleanup_free_ struct cluster_snapshot *v = calloc(1, sizeof(*v));
    if (!v)
        return error_no_memory(err);
    int rc =
        records_snapshot(&state->records, store_cluster(s->store), state->revision, state->time_ms, v, err);
    if (rc == 0) {
        status_use_config(v, s->config);
        *ret = take(v);
    }
    return rc;
}

/* ---------- Status ---------- */

/* A generation's keys never change: they are read and unsealed once. */
static void read_keys(struct service *s, const struct cluster_snapshot *snapshot, struct key_table *ret)
{
    char why[CLUSTER_TEXT_MAX];
    int64_t generation = 0;
    bool bundle = key_source_choose(snapshot, "", &generation, why) == KEY_SOURCE_BUNDLE;
    pthread_mutex_lock(&s->lock);
    bool known = bundle && generation == s->keys_of;
    if (known)
        *ret = s->keys;
    pthread_mutex_unlock(&s->lock);
    if (known)
        return;
    key_table_read(s->config, s->store, snapshot, API_STORE_MS, ret, &generation);
    if (generation == 0)
        return;
    pthread_mutex_lock(&s->lock);
    s->keys = *ret;
    s->keys_of = generation;
    pthread_mutex_unlock(&s->lock);
}

static int add_keys(struct reply *r, const struct key_table *keys, struct error *err)
{
    Secretsencrypt__V1__KeyTable *t = arena_alloc(r->memory, sizeof(*t));
    Secretsencrypt__V1__KeyRow **rows = arena_alloc(r->memory, (keys->count + 1) * sizeof(*rows));
    Secretsencrypt__V1__KeyRow *all = arena_alloc(r->memory, (keys->count + 1) * sizeof(*all));
    if (!t || !rows || !all)
        return error_no_memory(err);
    secretsencrypt__v1__key_table__init(t);
    t->known = keys->known;
    t->enabled = keys->enabled;
    t->why = reply_text(r, keys->why);
    bool whole = t->why != NULL;
    for (size_t i = 0; i < keys->count && whole; i++) {
        rows[i] = &all[i];
        secretsencrypt__v1__key_row__init(rows[i]);
        rows[i]->name = reply_text(r, keys->rows[i].name);
        rows[i]->type = reply_text(r, keys->rows[i].type);
        rows[i]->active = keys->rows[i].active;
        whole = rows[i]->name && rows[i]->type;
    }
    t->n_rows = keys->count;
    t->rows = rows;
    r->message.status.keys = t;
    return whole ? 0 : error_no_memory(err);
}

static int add_state(struct service *s, struct reply *r, struct error *err)
{
    Secretsencrypt__V1__StatusReply *m = &r->message.status;
    Secretsencrypt__V1__Record **list = NULL;
    const struct records *records = &r->state->records;
    int rc = records_to_messages(records->items, records->count, store_cluster(s->store), &list, err);
    if (rc < 0)
        return rc;
    m->records = list;
    m->n_records = records->count;
    m->cluster = (char *)store_cluster(s->store);
    m->server = (char *)s->config->server;
    m->version = (char *)SECRETS_ENCRYPT_VERSION;
    m->feed = (char *)feed_id(s->feed);
    m->revision = r->state->revision;
    m->time_ms = r->state->time_ms;
    r->messages = list;
    return 0;
}

int service_status(struct service *s, const struct rpc_incoming *c, ProtobufCMessage **ret, struct error *err)
{
    _cleanup_free_ struct cluster_snapshot *snapshot = NULL;
    _cleanup_free_ struct key_table *keys = calloc(1, sizeof(*keys));
    struct reply *r = reply_new();
    int rc = r && keys ? 0 : error_no_memory(err);
    if (rc == 0) {
        secretsencrypt__v1__status_reply__init(&r->message.status);
        rc = feed_fresh(s->feed, c->deadline_ms, &r->state, err);
    }
    if (rc == 0)
        rc = add_state(s, r, err);
    if (rc == 0)
        rc = snapshot_of(s, r->state, &snapshot, err);
    if (rc == 0) {
        read_keys(s, snapshot, keys);
        rc = add_keys(r, keys, err);
    }
    if (rc < 0 && r)
        reply_free(&r->message.base);
    else if (rc == 0)
        *ret = &r->message.base;
    return rc;
}

/* ---------- Watch ---------- */

static int send_step(struct service *s, const struct rpc_incoming *c, const struct feed_step *step,
                     struct error *err)
{
    Secretsencrypt__V1__WatchReply m = SECRETSENCRYPT__V1__WATCH_REPLY__INIT;
    _cleanup_free_ Secretsencrypt__V1__Record **list = NULL;
    _cleanup_free_ char **deleted = calloc(step->deleted_count + 1, sizeof(*deleted));
    size_t prefix = strlen("/secrets-encrypt//") + strlen(store_cluster(s->store));
    if (!deleted)
        return error_no_memory(err);
    int rc = records_to_messages(step->items, step->count, store_cluster(s->store), &list, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < step->deleted_count; i++)
        deleted[i] = step->deleted[i]->key + prefix;
    m.cluster = (char *)store_cluster(s->store);
    m.feed = (char *)feed_id(s->feed);
    m.revision = step->revision;
    m.time_ms = step->time_ms ? step->time_ms : clock_wall_ms();
    m.whole = step->whole;
    m.stale = step->stale;
    m.records = list;
    m.n_records = step->count;
    m.deleted = deleted;
    m.n_deleted = step->deleted_count;
    return rpc_sink_send(c->sink, &m.base, err);
}

/* Its certificate may end while it watches. */
static int check_watcher(const struct rpc_incoming *c, struct error *err)
{
    const struct who *w = c->peer;
    if (rpc_incoming_canceled(c))
        return error_set(err, ERR_CANCELED, "the caller is gone");
    if (w->until_ms > 0 && clock_wall_ms() >= w->until_ms)
        return error_set(err, ERR_DENIED, "the client certificate has expired: connect with a new one");
    return 0;
}

int service_watch(struct service *s, const struct rpc_incoming *c, const Secretsencrypt__V1__WatchRequest *m,
                  struct error *err)
{
    bool ours = strcmp(m->feed, feed_id(s->feed)) == 0 && m->revision > 0;
    int64_t revision = ours ? m->revision : 0, heard_ms = clock_mono_ms();
    bool first = true, stale = false;
    for (;;) {
        struct feed_step step;
        int rc = check_watcher(c, err);
        if (rc == 0)
            rc = feed_next(s->feed, revision, first ? 0 : WAKE_MS, &step, err);
        if (rc < 0)
            return rc;
        bool news = step.whole || step.count > 0 || step.deleted_count > 0 || step.stale != stale;
        bool due = first || clock_mono_ms() - heard_ms >= HEARTBEAT_MS;
        if (news || due) {
            rc = send_step(s, c, &step, err);
            heard_ms = clock_mono_ms();
            first = false;
        }
        stale = step.stale;
        revision = step.revision;
        feed_step_free(&step);
        if (rc < 0)
            return rc;
    }
}

/* ---------- Explain, Keys ---------- */

/* How far the datastore has come; 0: not known. */
static int64_t datastore_revision(struct service *s, const struct cluster_snapshot *snapshot)
{
    _cleanup_(etcd_range_free) struct etcd_range range = {0};
    const struct etcd_range_options nothing = {.prefix = s->config->datastore_prefix, .count_only = true};
    if (!s->datastore || !snapshot->has_keys ||
        etcd_list(s->datastore, &nothing, DATASTORE_MS, &range, NULL) < 0)
        return 0;
    return range.revision;
}

int service_json(struct service *s, const struct rpc_incoming *c, enum api_call call, ProtobufCMessage **ret,
                 struct error *err)
{
    _cleanup_(feed_state_unrefp) struct feed_state *state = NULL;
    _cleanup_free_ struct cluster_snapshot *snapshot = NULL;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(JSON_MAX);
    int64_t revision = 0;
    int rc = feed_fresh(s->feed, c->deadline_ms, &state, err);
    if (rc == 0)
        rc = snapshot_of(s, state, &snapshot, err);
    if (rc == 0 && call == API_KEYS)
        revision = datastore_revision(s, snapshot);
    if (rc == 0)
        rc = call == API_KEYS ? render_keys_json(snapshot, revision, &out, err)
                              : render_explain_json(snapshot, &out, err);
    if (rc < 0)
        return rc;
    struct reply *r = reply_new();
    if (!r)
        return error_no_memory(err);
    secretsencrypt__v1__json_reply__init(&r->message.json);
    r->message.json.json = reply_text(r, buf_str(&out));
    r->message.json.datastore_revision = revision;
    if (!r->message.json.json) {
        reply_free(&r->message.base);
        return error_no_memory(err);
    }
    *ret = &r->message.base;
    return 0;
}

/* ---------- Audit ---------- */

/* "1795821160000-9f86d081", as entries are called. */
static bool is_entry_name(const char *s)
{
    size_t i = 0;
    while (i < 13 && isdigit((unsigned char)s[i]))
        i++;
    if (i < 13 || s[i++] != '-')
        return false;
    while (i < 22 && isxdigit((unsigned char)s[i]))
        i++;
    return i == 22 && !s[i];
}

static int add_entry(struct reply *r, const struct store_audit_entry *e, Secretsencrypt__V1__AuditEntry **ret,
                     struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(JSON_MAX);
    Secretsencrypt__V1__AuditEntry *m = arena_alloc(r->memory, sizeof(*m));
    int rc = cluster_audit_encode(&e->entry, &body, err);
    if (rc < 0 || !m)
        return rc < 0 ? rc : error_no_memory(err);
    secretsencrypt__v1__audit_entry__init(m);
    m->name = reply_text(r, e->name);
    m->json.data = arena_copy(r->memory, body.data, body.len);
    m->json.len = body.len;
    m->untrusted = !e->authentic;
    *ret = m;
    return m->name && m->json.data ? 0 : error_no_memory(err);
}

static int add_entries(struct reply *r, const struct store_audit_entry *entries, size_t count,
                       struct error *err)
{
    Secretsencrypt__V1__AuditReply *m = &r->message.audit;
    int rc = 0;
    secretsencrypt__v1__audit_reply__init(m);
    m->entries = arena_alloc(r->memory, (count + 1) * sizeof(*m->entries));
    if (!m->entries)
        return error_no_memory(err);
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = add_entry(r, &entries[i], &m->entries[i], err);
        m->n_entries = i + (rc == 0);
    }
    return rc;
}

int service_audit(struct service *s, const Secretsencrypt__V1__AuditRequest *m, ProtobufCMessage **ret,
                  struct error *err)
{
    size_t limit = m->limit ? m->limit : AUDIT_DEFAULT, count = 0;
    if (limit > STORE_AUDIT_PAGE_MAX)
        return error_set(err, ERR_INVALID, "limit: %d entries at most are given at a time",
                         STORE_AUDIT_PAGE_MAX);
    if (*m->before && !is_entry_name(m->before))
        return error_set(err, ERR_INVALID, "before: '%.32s' is no entry's name", m->before);
    _cleanup_free_ struct store_audit_entry *entries = calloc(limit, sizeof(*entries));
    struct reply *r = reply_new();
    int rc = entries && r ? 0 : error_no_memory(err);
    if (rc == 0)
        rc = store_audit_list(s->store, limit, m->before, API_STORE_MS, entries, &count, err);
    if (rc == 0)
        rc = add_entries(r, entries, count, err);
    if (rc < 0 && r)
        reply_free(&r->message.base);
    else if (rc == 0)
        *ret = &r->message.base;
    return rc;
}
