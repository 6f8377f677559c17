/* Encryption configs that are not what they should be, as somebody changed them on a server, or put an older
 * one back: told once in the log and in the audit trail, and once when that is over, whoever leads meanwhile.
 * Whether an operation runs does not matter. */
#include "act.h"

#include <inttypes.h>

#include <base/log.h>
#include <base/text.h>
#include <encryption/layout.h>
#include <report/differ.h>
#include <report/odd.h>
#include <store/audit.h>

#define AGAIN_MS  5000 /* of one server nothing is told sooner after what was told of it last */
#define TELL_MAX  16   /* in one transaction; the others at the next look */
#define GONE_TEXT "its encryption config is as it should be again"

struct telling {
    struct coordinator *c;
    const struct cluster_snapshot *s;
    struct cluster_drift *now;
    struct odd_verdict *odd;       /* NULL until it is needed */
    struct cluster_report *issued; /* what a server would report that has what was issued; so */
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

static int tell(struct telling *t, const char *server, enum odd_kind kind, const char *what,
                struct error *err)
{
    bool gone = kind == ODD_NO;
    t->told++;
    log_event(gone ? LOG_LEVEL_NOTICE : LOG_LEVEL_WARNING,
              gone                ? "encryption config is as it should be again"
              : kind == ODD_DRIFT ? "encryption config changed by somebody else"
                                  : "encryption config is not the one that it should have",
              LOG_S("server", server), LOG_S("why", gone ? "" : what));
    return act_audit_drift(t->c, t->s, t->txn, server, gone ? "gone" : "noticed", what, err);
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

/* No server has what was issued any more: its bundle says what stands in it. */
static int open_issued(struct telling *t, struct error *err)
{
    const struct cluster_rotation *r = &t->s->rotation;
    const struct snapshot_bundle *b = snapshot_bundle(t->s, r->generation);
    _cleanup_(secret_freep) struct secret *key = NULL;
    _cleanup_(encryption_config_freep) struct encryption_config *config = NULL;
    _cleanup_free_ struct cluster_report *issued = calloc(1, sizeof(*issued));
    if (!issued)
        return error_no_memory(err);
    int rc = b ? issue_open(t->c, r->generation, &config, err)
               : error_set(err, ERR_NOT_FOUND, "generation %" PRId64 " is not there", r->generation);
    if (rc == 0)
        rc = store_fingerprint_key(t->c->store, &key, err);
    if (rc == 0)
        rc = layout_write(config, key, issued->layout, err);
    if (rc < 0)
        return rc;
    text_copy(issued->hash, sizeof(issued->hash), b->hash);
    text_copy(issued->config_id, sizeof(issued->config_id), b->config_id);
    t->issued = take(issued);
    return 0;
}

static void say_what_differs(struct telling *t, size_t i, char what[CLUSTER_TEXT_MAX])
{
    struct error err = ERROR_INIT;
    text_copy(what, CLUSTER_TEXT_MAX, t->odd->servers[i].why);
    if (t->odd->servers[i].kind == ODD_NEWER || t->odd->model || (!t->issued && open_issued(t, &err) < 0))
        return; /* then that it is another file is all that can be said */
    _cleanup_free_ struct differences *d = malloc(sizeof(*d));
    if (d && differ_compare(t->issued, &t->s->servers[i].report, d, &err) == 0)
        differences_text(d, "as issued", what, CLUSTER_TEXT_MAX);
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
    say_what_differs(t, i, d->what);
    return tell(t, v->name, t->odd->servers[i].kind, d->what, err);
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
    return tell(t, d->server, ODD_NO, listed ? GONE_TEXT : "it is no server of the cluster any more", err);
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
    free(t.issued);
    return rc;
}
