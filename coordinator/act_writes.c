/* What was written under the key that writes, where a limit is set for it: counted by the leader, and kept in
 * the schedule's record, so that the next leader goes on from there. */
#include "act.h"

#include <base/clock.h>
#include <base/log.h>

#define KEEP_EVERY_MS 30000

/* Its number of writes is what an aesgcm key is limited by, and only a rotation by itself asks for it. */
static bool is_asked_for(const struct coordinator *c, const struct cluster_key_info *k)
{
    const struct schedule_rules *rules = &c->maintenance.rules;
    return rules->every_ms > 0 && rules->writes_max > 0 && c->datastore && !c->spec.not_raw && k &&
           strcmp(k->provider, "aesgcm") == 0 && k->since_revision > 0;
}

bool writes_of(struct coordinator *c, const struct cluster_snapshot *s, const struct cluster_key_info *k,
               struct cluster_schedule *ret)
{
    const struct cluster_schedule *kept = &s->schedule;
    struct writes_count live;
    if (k->since_revision == 0)
        return false;
    bool known = s->has_schedule && kept->writes_since == k->since_revision;
    bool counts = c->writes && c->writes_since == k->since_revision;
    ret->writes_since = k->since_revision;
    ret->writes = known ? kept->writes : k->writes;
    ret->writes_guessed = known ? kept->writes_guessed : k->writes;
    ret->writes_to = known ? kept->writes_to : k->since_revision;
    ret->writes_base = known ? kept->writes_base : 0;
    ret->writes_base_ms = known ? kept->writes_base_ms : 0;
    if (!counts)
        return known;
    writes_read(c->writes, &live);
    ret->writes = live.counted;
    ret->writes_guessed = live.guessed;
    ret->writes_to = writes_count_to(&live);
    return true;
}

static void begin(struct coordinator *c, const struct cluster_snapshot *s, const struct cluster_key_info *k)
{
    struct cluster_schedule from = {0};
    struct error err = ERROR_INIT;
    (void)writes_of(c, s, k, &from);
    c->writes_since = k->since_revision;
    int rc = writes_start(c->datastore, c->config, from.writes, from.writes_guessed, from.writes_to,
                          &c->writes, &err);
    log_dependency(&c->counting, rc == 0, err.text);
}

static int keep(struct coordinator *c, struct cluster_snapshot *s, const struct cluster_key_info *k,
                bool base, struct error *err)
{
    const struct cluster_schedule *kept = &s->schedule;
    struct cluster_schedule record = {0};
    if (s->has_schedule)
        record = *kept;
    if (!writes_of(c, s, k, &record))
        return 0;
    if (base) {
        record.writes_base = record.writes;
        record.writes_base_ms = s->now_ms;
    }
    bool same = s->has_schedule && record.writes_since == kept->writes_since &&
                record.writes == kept->writes && record.writes_to == kept->writes_to;
    return same && !base ? 0 : act_put_schedule(c, s, &record, err);
}

int act_writes(struct coordinator *c, struct cluster_snapshot *s, struct error *err)
{
    const struct cluster_operation *op = &s->rotation.op;
    const struct cluster_key_info *k = active_key(s);
    bool asked_for = is_asked_for(c, k);
    bool runs = s->has_rotation && *op->id && op->state == OP_STATE_RUNNING;
    bool ended = c->writes_op && !runs;
    int64_t now = clock_mono_ms();
    if (c->writes && (!asked_for || c->writes_since != k->since_revision)) {
        writes_free(take(c->writes));
        c->writes_kept_ms = 0;
    }
    if (!asked_for || (c->writes_kept_ms > 0 && now - c->writes_kept_ms < KEEP_EVERY_MS && !ended))
        return 0;
    c->writes_kept_ms = now;
    if (!c->writes)
        begin(c, s, k);
    int rc = keep(c, s, k, runs || ended, err);
    if (rc == 0)
        c->writes_op = runs;
    return rc;
}
