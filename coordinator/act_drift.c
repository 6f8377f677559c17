/* Encryption configs that somebody changed on a server: told once in the log and in the audit trail, and once
 * when that is over, whoever leads meanwhile. Whether an operation runs does not matter. */
#include "act.h"

#include <base/log.h>
#include <base/text.h>
#include <report/odd.h>
#include <store/audit.h>

#define AGAIN_MS  5000 /* of one server nothing is told sooner after what was told of it last */
#define TELL_MAX  16   /* in one transaction; the others at the next look */
#define GONE_TEXT "its encryption config is as it should be again"

struct telling {
    struct coordinator *c;
    const struct cluster_snapshot *s;
    struct cluster_drift *now;
    struct odd_verdict *odd; /* NULL until it is needed */
    struct etcd_txn *txn;
    size_t told;
};

static struct cluster_drifted *find(struct cluster_drift *d, const char *server)
{
    for (size_t i = 0; i < d->servers_count; i++)
        if (strcmp(d->servers[i].server, server) == 0)
            return &d->servers[i];
    return NULL;
}

static bool is_early(const struct telling *t, const struct cluster_drifted *d)
{
    int64_t age = t->s->now_ms - d->told_ms;
    return age >= 0 && age < AGAIN_MS; /* a clock that was put back is no reason to wait */
}

static int tell(struct telling *t, const char *server, const char *result, const char *what,
                struct error *err)
{
    bool gone = strcmp(result, "gone") == 0;
    t->told++;
    log_event(gone ? LOG_LEVEL_NOTICE : LOG_LEVEL_WARNING,
              gone ? "encryption config is as it should be again"
                   : "encryption config changed by somebody else",
              LOG_S("server", server), LOG_S("why", gone ? "" : what));
    return act_audit_drift(t->c, t->s, t->txn, server, result, what, err);
}

/* What differs is looked into only when there is something to tell. */
static int find_odd(struct telling *t, struct error *err)
{
    if (t->odd)
        return 0;
    t->odd = malloc(sizeof(*t->odd));
    if (!t->odd)
        return error_no_memory(err);
    odd_find(t->s, t->odd);
    return 0;
}

static int note_drift(struct telling *t, size_t i, struct error *err)
{
    const struct snapshot_server *v = &t->s->servers[i];
    struct cluster_drifted *d = find(t->now, v->name);
    if (d && (strcmp(d->hash, v->report.hash) == 0 || is_early(t, d)))
        return 0;
    if (!d && t->now->servers_count == CLUSTER_DRIFTS_MAX)
        return 0; /* told once another one is over */
    int rc = find_odd(t, err);
    if (rc < 0)
        return rc;
    if (!d) {
        d = &t->now->servers[t->now->servers_count++];
        memset(d, 0, sizeof(*d));
        text_copy(d->server, sizeof(d->server), v->name);
        d->since_ms = t->s->now_ms;
    }
    d->told_ms = t->s->now_ms;
    text_copy(d->hash, sizeof(d->hash), v->report.hash);
    text_copy(d->what, sizeof(d->what), t->odd->servers[i].why);
    return tell(t, v->name, "noticed", d->what, err);
}

/* A silent server's file is not known: what was told of it stands. */
static int note_gone(struct telling *t, struct cluster_drifted *d, bool *ret_gone, struct error *err)
{
    const struct snapshot_server *v = snapshot_server(t->s, d->server);
    bool listed = v && v->in_spec;
    *ret_gone = false;
    if (is_early(t, d) || (listed && (!v->reports || odd_drifted(t->s, v))))
        return 0;
    *ret_gone = true;
    return tell(t, d->server, "gone", listed ? GONE_TEXT : "it is no server of the cluster any more", err);
}

static int note_all(struct telling *t, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < t->now->servers_count && t->told < TELL_MAX;) {
        bool gone = false;
        rc = note_gone(t, &t->now->servers[i], &gone, err);
        if (rc == 0 && gone)
            t->now->servers[i] = t->now->servers[--t->now->servers_count];
        else
            i++;
    }
    for (size_t i = 0; rc == 0 && i < t->s->servers_count && t->told < TELL_MAX; i++)
        if (odd_drifted(t->s, &t->s->servers[i]))
            rc = note_drift(t, i, err);
    return rc;
}

static int write_record(struct telling *t, struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    int rc = cluster_drift_encode(t->now, &body, err);
    if (rc == 0)
        rc = store_txn_put(t->c->store, t->txn, CLUSTER_KEY_DRIFT, NULL, &body, 0, err);
    return rc < 0 ? rc : etcd_txn_commit(t->txn, STORE_DEADLINE_MS, NULL, err);
}

static bool nothing_to_tell(const struct cluster_snapshot *s)
{
    for (size_t i = 0; s->drift.servers_count == 0 && i < s->servers_count; i++)
        if (odd_drifted(s, &s->servers[i]))
            return false;
    return s->drift.servers_count == 0;
}

int act_drift(struct coordinator *c, struct cluster_snapshot *s, struct error *err)
{
    if (nothing_to_tell(s))
        return 0;
    _cleanup_free_ struct cluster_drift *now = malloc(sizeof(*now));
    if (!now)
        return error_no_memory(err);
    *now = s->drift;
    _cleanup_(etcd_txn_freep) struct etcd_txn *txn = act_fenced(c, s);
    struct telling t = {.c = c, .s = s, .now = now, .txn = txn};
    int rc = note_all(&t, err);
    if (rc == 0 && t.told > 0)
        rc = write_record(&t, err);
    if (rc == 0)
        s->drift = *now;
    free(t.odd);
    return rc;
}
