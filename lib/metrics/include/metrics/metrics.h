/* The cluster and this process as Prometheus reads them: OpenMetrics 1.0 text. What there is stands in one
 * table (table.c), which docs/metrics.md shows. No key material and no text that people wrote is in it:
 * names, hashes, words of tables, and numbers. */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/buf.h>
#include <base/error.h>
#include <cluster/snapshot.h>

#define METRICS_TYPE                                                                                         \
    "application/openmetrics-text; version=1.0.0; charset=utf-8" /* as HTTP's Content-Type                   \
                                                                  */
/* Room for the largest cluster that a snapshot holds: the maximum for `out`. */
#define METRICS_MAX_BYTES ((size_t)16 << 20)

/* --- what the process counts: any thread, any time, no lock --- */
enum metrics_counter {
    METRICS_TICKS,         /* turns of a coordinator that leads */
    METRICS_TICK_FAILURES, /* of these: did not go through */
    METRICS_LEADERSHIPS,   /* how often it began to lead */
    METRICS_COUNTERS,
};
void metrics_count(enum metrics_counter counter);

/* A call to etcd ended after so many microseconds, with 0 or ERR_*. `call` is etcd's name ("Range"); one that
 * this room does not know is counted as "other". Fits etcd_observe(). */
void metrics_etcd_call(const char *call, int code, int64_t us);

/* This process leads, or stands by. */
void metrics_leads(bool leads);

/* The state store answered, or did not. */
void metrics_store_answers(bool answers);

/* --- what is rendered of it --- */
#define METRICS_CALLS   16
#define METRICS_BUCKETS 14 /* the last one: slower than all bounds */

/* One kind of call to etcd. */
struct metrics_calls {
    uint64_t buckets[METRICS_BUCKETS]; /* each by itself, not what is below as well */
    uint64_t sum_us;
    uint64_t failures;
};

/* What an agent found when it last looked whether a rotation would go through; checks are no part of a
 * snapshot. */
struct metrics_preflight {
    char server[CLUSTER_NAME_MAX];
    int64_t time_ms;
    unsigned results[CHECK_FAIL + 1]; /* how many, by enum check_result */
};

/* The same of the record that the agent publishes. */
void metrics_preflight_set(const struct cluster_checks *checks, struct metrics_preflight *ret);

struct metrics_process {
    const char *cluster, *server; /* borrowed; NULL: not said */
    int64_t now_ms;               /* wall clock at which it is rendered; 0: the snapshot's */
    bool leader;
    enum { METRICS_STORE_UNKNOWN, METRICS_STORE_DOWN, METRICS_STORE_UP } store;
    uint64_t counters[METRICS_COUNTERS];
    uint64_t log_lines[8]; /* by syslog's level */
    struct metrics_calls calls[METRICS_CALLS];
    /* By /proc/self; -1: could not be read. */
    int64_t cpu_ms, started_ms, resident_bytes, open_fds, max_fds;
    /* Borrowed; the reader of checks fills them in. */
    const struct metrics_preflight *preflight;
    size_t preflight_count;
};

/* The process's own figures as they are now: everything but cluster, server and preflight, which the caller
 * adds. Does not fail. */
void metrics_process_get(struct metrics_process *ret);

/* A snapshot that is older than this is told no more: what was true then must not silence an alert, nor keep
 * one. */
#define METRICS_STALE_MS 60000

/* Appends the text, which ends with "# EOF\n". `s` may be NULL: the state store was not read yet, and only
 * the process is told about, as where `s` is stale. Errors: ERR_TOO_LARGE, ERR_NO_MEMORY. */
int metrics_render(const struct cluster_snapshot *s, const struct metrics_process *p, struct buf *out,
                   struct error *err) _must_check_;

/* The table as Markdown: docs/metrics.md. */
int metrics_draw(struct buf *out, struct error *err) _must_check_;

#endif
