/* The rotation that comes by itself: its record for status, and its request when it is due. Whether it may
 * start is the planner's matter, as for everybody else's. */
#include "act.h"

#include <base/clock.h>
#include <base/log.h>
#include <base/text.h>
#include <crypto/crypto.h>

#define LOOK_EVERY_MS  1000
#define AGAIN_AFTER_MS (60 * 60 * 1000) /* once it was asked for, whatever came of it */
#define SAME_MS        (60 * 1000)      /* a time that moves by less is the same */
#define REQUEST_TTL_S  600

const struct cluster_key_info *active_key(const struct cluster_snapshot *s)
{
    for (size_t i = 0; s->has_keys && i < s->keys.keys_count; i++)
        if (s->keys.keys[i].state == KEY_ACTIVE)
            return &s->keys.keys[i];
    return NULL;
}

/* What must not be interrupted, gone on with, or added to, by nobody's order. */
static bool waits(struct coordinator *c, const struct cluster_snapshot *s, char why[CLUSTER_TEXT_MAX])
{
    const struct cluster_operation *op = &s->rotation.op;
    bool has = s->has_rotation && *op->id;
    const char *kind = has ? operation_kind_name(op->kind) : "";
    why[0] = 0;
    if (s->has_lock)
        snprintf(why, CLUSTER_TEXT_MAX, "%s holds the cluster's lock", s->lock.holder);
    else if (has && op->state != OP_STATE_FINISHED)
        snprintf(why, CLUSTER_TEXT_MAX, "%s is %s", kind, operation_state_name(op->state));
    else if (s->requests_count > 0)
        text_copy(why, CLUSTER_TEXT_MAX, "another request is there");
    else
        maintenance_closed(&c->maintenance, c->config, false, s->now_ms, why);
    return *why;
}

/* ---------- writing ---------- */

static int put_record(struct coordinator *c, struct etcd_txn *t, const struct cluster_schedule *record,
                      struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    int rc = cluster_schedule_encode(record, &body, err);
    return rc < 0 ? rc : store_txn_put(c->store, t, CLUSTER_KEY_SCHEDULE, NULL, &body, 0, err);
}

static int commit(struct coordinator *c, struct cluster_snapshot *s, struct etcd_txn *t,
                  const struct cluster_schedule *record, struct error *err)
{
    int rc = put_record(c, t, record, err);
    if (rc == 0)
        rc = etcd_txn_commit(t, STORE_DEADLINE_MS, NULL, err);
    if (rc < 0)
        return rc;
    s->schedule = *record;
    s->has_schedule = true;
    return 0;
}

int act_put_schedule(struct coordinator *c, struct cluster_snapshot *s, const struct cluster_schedule *record,
                     struct error *err)
{
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    return commit(c, s, t, record, err);
}

static int put_request(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                       const char *why, char id[CLUSTER_ID_MAX], struct error *err)
{
    _cleanup_(buf_freep) struct buf body = BUF_INIT(ETCD_VALUE_MAX);
    struct cluster_request r = {
        .kind = OP_ROTATE_KEYS, .restart = true, .max_rate = -1, .time_ms = s->now_ms};
    char path[CLUSTER_KEY_PATH_MAX];
    int64_t lease = 0;
    text_copy(r.by, sizeof(r.by), CLUSTER_SCHEDULE);
    text_copy(r.reason, sizeof(r.reason), why);
    int rc = crypto_uuid(id, err);
    text_copy(r.id, sizeof(r.id), id);
    if (rc == 0)
        rc = etcd_lease_grant(store_etcd(c->store), REQUEST_TTL_S, STORE_DEADLINE_MS, &lease, err);
    if (rc == 0)
        rc = store_request_open(c->store, id, lease, STORE_DEADLINE_MS, &r.created, err);
    if (rc == 0)
        rc = cluster_request_encode(&r, &body, err);
    if (rc < 0)
        return rc;
    cluster_key_path(path, store_cluster(c->store), CLUSTER_KEY_REQUEST, id);
    etcd_txn_if_mod(t, path, r.created);
    return store_txn_put(c->store, t, CLUSTER_KEY_REQUEST, r.id, &body, lease, err);
}

/* The record tells of it in the same transaction, so that no second one is asked for within an hour. */
static int ask_for_it(struct coordinator *c, struct cluster_snapshot *s, struct cluster_schedule *record,
                      struct error *err)
{
    char id[CLUSTER_ID_MAX];
    _cleanup_(etcd_txn_freep) struct etcd_txn *t = act_fenced(c, s);
    record->asked_ms = s->now_ms;
    record->held[0] = 0;
    int rc = put_request(c, s, t, record->why, id, err);
    if (rc == 0)
        rc = commit(c, s, t, record, err);
    if (rc == 0)
        log_event(LOG_LEVEL_NOTICE, "a rotation is due", LOG_S("request", id), LOG_S("why", record->why));
    return rc;
}

int act_schedule_refused(struct coordinator *c, const struct cluster_snapshot *s, struct etcd_txn *t,
                         const struct cluster_request *request, const char *why, struct error *err)
{
    struct cluster_schedule record = s->schedule;
    if (!s->has_schedule || strcmp(request->by, CLUSTER_SCHEDULE) != 0)
        return 0;
    text_copy(record.held, sizeof(record.held), why);
    return put_record(c, t, &record, err);
}

/* ---------- deciding ---------- */

static void compute(struct coordinator *c, const struct cluster_snapshot *s, struct cluster_schedule *ret)
{
    const struct maintenance *m = &c->maintenance;
    const struct cluster_key_info *k = active_key(s);
    const struct cluster_schedule *before = &s->schedule;
    struct schedule_next n = {.at_ms = SCHEDULE_NONE};
    *ret = (struct cluster_schedule){.asked_ms = before->asked_ms,
                                     .writes_since = before->writes_since,
                                     .writes = before->writes,
                                     .writes_guessed = before->writes_guessed,
                                     .writes_to = before->writes_to,
                                     .writes_base = before->writes_base,
                                     .writes_base_ms = before->writes_base_ms};
    if (!k || m->rules.every_ms == 0)
        return;
    bool counted = writes_of(c, s, k, ret);
    struct schedule_key key = {store_cluster(c->store),
                               k->provider,
                               k->name,
                               k->created_ms > 0 ? k->created_ms : k->since_ms,
                               k->since_ms,
                               counted ? ret->writes : -1,
                               ret->writes_base_ms,
                               ret->writes_base,
                               ret->writes_guessed};
    int64_t again = before->asked_ms > 0 ? before->asked_ms + AGAIN_AFTER_MS : 0;
    schedule_next(&m->rules, &key, &m->windows, again, s->now_ms, &n);
    if (n.at_ms == SCHEDULE_NONE)
        return;
    bool stays = before->next_ms > 0 && (llabs(n.at_ms - before->next_ms) < SAME_MS ||
                                         (n.at_ms <= s->now_ms && before->next_ms <= s->now_ms));
    struct window_times t = window_next(&m->windows, n.at_ms);
    ret->next_ms = stays ? before->next_ms : n.at_ms;
    window_text(&m->windows, t.window, ret->next_ms, ret->next_ms + 1, ret->when);
    text_copy(ret->why, sizeof(ret->why), stays ? before->why : n.why);
    /* Why it did not begin at a time that is past stands until it is tried again, or the key is another one.
     */
    if (n.at_ms > s->now_ms && before->next_ms >= k->since_ms)
        text_copy(ret->held, sizeof(ret->held), before->held);
}

static bool same(const struct cluster_schedule *a, const struct cluster_schedule *b)
{
    return a->next_ms == b->next_ms && a->asked_ms == b->asked_ms && strcmp(a->why, b->why) == 0 &&
           strcmp(a->held, b->held) == 0;
}

int act_schedule(struct coordinator *c, struct cluster_snapshot *s, struct error *err)
{
    struct cluster_schedule now;
    const struct cluster_operation *op = &s->rotation.op;
    int64_t at = clock_mono_ms();
    if (s->has_rotation && *op->id && op->state == OP_STATE_RUNNING)
        return 0; /* which may be that rotation */
    if ((c->maintenance.rules.every_ms == 0 && !s->has_schedule) ||
        (c->schedule_ms > 0 && at - c->schedule_ms < LOOK_EVERY_MS))
        return 0;
    c->schedule_ms = at;
    compute(c, s, &now);
    bool due = now.next_ms > 0 && now.next_ms <= s->now_ms;
    if (due && !waits(c, s, now.held))
        return ask_for_it(c, s, &now, err);
    if (same(&now, &s->schedule))
        return 0;
    if (due && strcmp(now.held, s->schedule.held) != 0)
        log_event(LOG_LEVEL_NOTICE, "a rotation is due and waits", LOG_S("why", now.held));
    return act_put_schedule(c, s, &now, err);
}
