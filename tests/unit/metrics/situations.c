#include "situations.h"

#include <string.h>

#include <base/text.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static void add_count(struct cluster_snapshot *s, const char *provider, const char *name, int64_t values)
{
    struct cluster_key_count *k = &s->reencrypt.keys[s->reencrypt.keys_count++];
    text_copy(k->provider, sizeof(k->provider), provider);
    text_copy(k->name, sizeof(k->name), name);
    k->values = values;
}

static void add_scan(struct cluster_snapshot *s, int64_t under_old, int64_t under_new, int64_t plain)
{
    struct cluster_reencrypt *e = &s->reencrypt;
    s->has_reencrypt = true;
    e->state = REENCRYPT_ENDED;
    e->done = e->total = under_old + under_new + plain;
    e->scan_revision = 9000;
    e->scan_ms = NOW_MS - 60000;
    e->scan_values = e->total;
    e->scan_stale = under_old + plain;
    e->scan_plain = plain;
    add_count(s, "aescbc", "aescbckey", under_old);
    add_count(s, "aescbc", "aescbckey-2023-11-14T22:15:00Z", under_new);
    add_count(s, "plain", "", plain);
}

static void healthy(struct cluster_snapshot *s, struct metrics_process *p)
{
    text_copy(s->rotation.hash, CLUSTER_HASH_MAX, OLD_HASH);
    for (size_t i = 0; i < s->servers_count; i++) {
        struct cluster_report *r = &s->servers[i].report;
        text_copy(r->process, sizeof(r->process), "pid 4711 since 2023-11-14T20:00:00Z");
        r->restarts = 3;
    }
    fixture_key(s, "aescbckey", KEY_ACTIVE);
    s->candidates_count = 3;
    s->has_schedule = true;
    s->schedule.next_ms = NOW_MS + 30 * DAY_MS;
    p->leader = true;
    p->counters[METRICS_TICKS] = 250;
    p->counters[METRICS_LEADERSHIPS] = 1;
    p->log_lines[4] = 2;
    p->log_lines[6] = 40;
    p->calls[0].buckets[1] = 90;
    p->calls[0].buckets[3] = 9;
    p->calls[0].buckets[METRICS_BUCKETS - 1] = 1;
    p->calls[0].failures = 1;
    p->calls[0].sum_us = 12345678;
    p->store = METRICS_STORE_UP;
}

static void rewriting(struct cluster_snapshot *s, struct metrics_process *p)
{
    healthy(s, p);
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_REWRITE, STAGE_ROTATE);
    for (int i = 0; i < 3; i++)
        fixture_at_target(s, i);
    s->rotation.stage = STAGE_REENCRYPT_ACTIVE;
    s->rotation.generation = 2;
    text_copy(s->rotation.hash, CLUSTER_HASH_MAX, NEW_HASH);
    text_copy(s->rotation.op.row, sizeof(s->rotation.op.row), "job-running");
    s->rotation.op.row_ms = NOW_MS - 4500;
    fixture_proof(s, PHASE_READABLE, PROOF_MADE, "canary");
    fixture_key(s, "aescbckey-2023-11-14T22:15:00Z", KEY_READABLE);
    s->has_reencrypt = true;
    s->reencrypt.state = REENCRYPT_RUNNING;
    s->reencrypt.done = 1200;
    s->reencrypt.total = 5000;
    s->reencrypt.gone = 3;
    s->reencrypt.failed = 1;
    s->reencrypt.rate = 400;
    text_copy(s->reencrypt.held_by, sizeof(s->reencrypt.held_by), "s2: watch lag");
}

#define LAYOUT(second)                                                                                       \
    "e\nr secrets\np aescbc\nk 0000000000000001 aescbckey\nk " second " aescbckey-2\np identity\n"

/* S3's file was edited by hand, its second key, and no operation runs. */
static void drifted(struct cluster_snapshot *s, struct metrics_process *p)
{
    healthy(s, p);
    struct cluster_report *r = &s->servers[2].report;
    fixture_layout(s, 0, LAYOUT("0000000000000002"));
    fixture_layout(s, 1, LAYOUT("0000000000000002"));
    fixture_foreign(s, 2, LAYOUT("00000000000000ff"));
    text_copy(r->file_why, sizeof(r->file_why), "it was changed by somebody else");
}

static void in_trouble(struct cluster_snapshot *s, struct metrics_process *p)
{
    static const struct metrics_preflight preflight[] = {{"s1", NOW_MS - 90000, {11, 1, 0}},
                                                         {"s2", NOW_MS - 90000, {9, 1, 2}}};
    healthy(s, p);
    fixture_operation(s, OP_ROTATE_KEYS, PHASE_WRITTEN, STAGE_ROTATE);
    s->rotation.op.state = OP_STATE_HALTED;
    s->rotation.op.ended_ms = NOW_MS - 2000;
    fixture_proof(s, PHASE_WRITTEN, PROOF_FAILED, "canary")->attempts = 3;
    s->servers[1].reports = false;
    s->servers[0].report.ready = false;
    add_scan(s, 7, 20, 2);
    text_copy(s->unknown_api, sizeof(s->unknown_api), "10.0.0.14");
    s->has_lock = true;
    s->lock.since_ms = NOW_MS - 3600000;
    s->requests_count = 2;
    s->schedule.next_ms = NOW_MS - DAY_MS;
    text_copy(s->schedule.held, sizeof(s->schedule.held), "an alert is firing");
    s->leader[0] = 0;
    p->leader = false;
    p->store = METRICS_STORE_DOWN;
    p->now_ms = NOW_MS + 250;
    p->preflight = preflight;
    p->preflight_count = 2;
}

/* Nobody has led yet, and nobody has reported. */
static void empty(struct cluster_snapshot *s, struct metrics_process *p)
{
    (void)p;
    memset(s, 0, sizeof(*s));
    s->now_ms = NOW_MS;
}

const struct situation situations[] = {
    {"healthy", healthy},       {"rewriting", rewriting}, {"drifted", drifted},
    {"in-trouble", in_trouble}, {"empty", empty},
};
const size_t situations_count = array_len(situations);

void situation_make(const struct situation *what, struct cluster_snapshot **ret_s, struct metrics_process *p)
{
    *p = (struct metrics_process){.cluster = "prod",
                                  .server = "s1",
                                  .cpu_ms = 1250,
                                  .started_ms = NOW_MS - 7200000,
                                  .resident_bytes = 30 << 20,
                                  .open_fds = 21,
                                  .max_fds = 1024};
    *ret_s = fixture_cluster(3, "s");
    what->make(*ret_s, p);
}

/* As long as a name can be, of quotes, backslashes, line breaks, and bytes that are no UTF-8. */
static void hostile_name(char out[CLUSTER_KEY_NAME_MAX], size_t n)
{
    static const char bytes[] = "\"\\\n\xff\xc3\x28\t}{=,\x7f";
    for (size_t i = 0; i < CLUSTER_KEY_NAME_MAX - 1; i++)
        out[i] = bytes[i % (sizeof(bytes) - 1)];
    out[CLUSTER_KEY_NAME_MAX - 1] = 0;
    char number[8];
    snprintf(number, sizeof(number), "%zu.", n);
    memcpy(out, number, strlen(number));
}

struct cluster_snapshot *situation_large(int servers)
{
    struct metrics_process p = {0};
    struct cluster_snapshot *s = fixture_cluster(servers, "server-with-a-name-as-they-are-in-real-life-");
    healthy(s, &p);
    s->keys.keys_count = 0;
    for (size_t i = 0; i < CLUSTER_KEY_BOOK_MAX; i++) {
        hostile_name(s->keys.keys[i].name, i);
        memcpy(s->keys.keys[i].provider, "secretbox", 10);
        s->keys.keys[i].state = i ? KEY_READABLE : KEY_ACTIVE;
        s->keys.keys[i].created_ms = NOW_MS - DAY_MS;
    }
    s->keys.keys_count = CLUSTER_KEY_BOOK_MAX;
    add_scan(s, 1, 2, 3);
    for (size_t i = 3; i < CLUSTER_KEYS_MAX; i++)
        hostile_name(s->reencrypt.keys[i].name, i);
    s->reencrypt.keys_count = CLUSTER_KEYS_MAX;
    return s;
}
