/* What the files of this room share: the table's rows, and the writer of samples. */
#ifndef METRICS_INTERNAL_H
#define METRICS_INTERNAL_H

#include <metrics/metrics.h>

#include <base/cleanup.h>
#include <report/odd.h>

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_INFO, METRIC_HISTOGRAM };

struct render;

/* One family. Exactly one of the three functions is set. */
struct metric {
    const char *name; /* of the family: without _total, _info, _bucket */
    enum metric_type type;
    const char *unit;   /* "" or how the name ends; values in "seconds" are milliseconds here */
    const char *labels; /* "server,stage": for the docs, and what write() gives */
    const char *help;   /* one line without quotes, backslashes and full stop */
    /* A single sample without labels; false: there is none now. */
    bool (*single)(const struct render *r, int64_t *ret);
    /* A sample for each server. */
    bool (*server)(const struct render *r, const struct snapshot_server *v, int64_t *ret);
    /* Anything else. */
    void (*write)(struct render *r);
    bool process; /* of this process: there is one also without a snapshot */
};
extern const struct metric metric_rows[];
extern const size_t metric_rows_count;
const char *metric_type_name(enum metric_type type);
/* How the name of a sample ends: "_total", "_info", or "". */
const char *metric_suffix(enum metric_type type);

#define SERVER_ODD   1 /* another file than the others, or than it should have */
#define SERVER_DRIFT 2 /* of these: not one that was issued to it */

struct render {
    const struct cluster_snapshot *s; /* NULL: none; then only rows of the process are called */
    int64_t read_ms;                  /* when the state store was read last, stale or not; 0: never */
    const struct metrics_process *p;
    int64_t now_ms;
    struct odd_verdict *odd;                      /* as long as s is there */
    unsigned char verdicts[SNAPSHOT_SERVERS_MAX]; /* SERVER_*, by index in s->servers */
    /* of the family that is being written */
    const struct metric *m;
    bool headed; /* its head is written */
    struct buf *out;
    struct error *err;
    int rc; /* the first failure; what follows it does nothing */
};

struct label {
    const char *name, *value;
};
/* Writes a sample of the present family: SAMPLE(r, value, {"server", v->name}, {"stage", stage}); */
void sample_write(struct render *r, const char *suffix, const struct label *labels, size_t count,
                  int64_t value);
#define SAMPLE(r, value, ...)                                                                                \
    sample_write((r), metric_suffix((r)->m->type), (const struct label[]){__VA_ARGS__},                      \
                 sizeof((const struct label[]){__VA_ARGS__}) / sizeof(struct label), (value))
/* The same with a value of microseconds in seconds, for histograms. */
void sample_us(struct render *r, const char *suffix, const struct label *labels, size_t count, uint64_t us);

/* now - then, not below 0: clocks of servers differ. False: there is no `then`. */
bool age_since(const struct render *r, int64_t then_ms, int64_t *ret);
/* An operation runs, is paused or is halted. */
bool operation_live(const struct cluster_snapshot *s);

/* --- servers.c --- */
void servers_judge(struct render *r); /* fills in r->odd, r->verdicts */
void write_server_info(struct render *r);
void write_agent_info(struct render *r);
void write_preflight_checks(struct render *r);
void write_preflight_age(struct render *r);
bool server_reporting(const struct render *r, const struct snapshot_server *v, int64_t *ret);
bool server_ready(const struct render *r, const struct snapshot_server *v, int64_t *ret);
bool server_report_age(const struct render *r, const struct snapshot_server *v, int64_t *ret);
bool server_odd(const struct render *r, const struct snapshot_server *v, int64_t *ret);
bool server_drift(const struct render *r, const struct snapshot_server *v, int64_t *ret);
bool server_generation(const struct render *r, const struct snapshot_server *v, int64_t *ret);
bool server_loaded(const struct render *r, const struct snapshot_server *v, int64_t *ret);
bool server_restarted(const struct render *r, const struct snapshot_server *v, int64_t *ret);
bool server_restarts(const struct render *r, const struct snapshot_server *v, int64_t *ret);
bool single_servers(const struct render *r, int64_t *ret);
bool single_strangers(const struct render *r, int64_t *ret);
bool single_unknown_api(const struct render *r, int64_t *ret);
bool single_hash_mismatch(const struct render *r, int64_t *ret);

/* --- differences.c --- */
void write_server_differences(struct render *r);

/* --- operation.c --- */
void write_operation_info(struct render *r);
void write_operation_stage(struct render *r);
void write_operation_state(struct render *r);
void write_operation_waiting(struct render *r);
void write_proof_state(struct render *r);
void write_proof_age(struct render *r);
void write_proof_attempts(struct render *r);
bool single_operation_duration(const struct render *r, int64_t *ret);
bool single_phase_duration(const struct render *r, int64_t *ret);
bool single_generation(const struct render *r, int64_t *ret);
bool single_issued(const struct render *r, int64_t *ret);
bool single_requests(const struct render *r, int64_t *ret);
bool single_lock_age(const struct render *r, int64_t *ret);
bool single_reencrypt_objects(const struct render *r, int64_t *ret);
bool single_reencrypt_gone(const struct render *r, int64_t *ret);
bool single_reencrypt_failures(const struct render *r, int64_t *ret);
bool single_reencrypt_remaining(const struct render *r, int64_t *ret);
bool single_reencrypt_rate(const struct render *r, int64_t *ret);
bool single_reencrypt_held(const struct render *r, int64_t *ret);

/* --- keys.c --- */
void write_key_info(struct render *r);
void write_key_age(struct render *r);
void write_key_writes(struct render *r);
void write_key_values(struct render *r);
bool single_enabled(const struct render *r, int64_t *ret);
bool single_escrow(const struct render *r, int64_t *ret);
bool single_scan_time(const struct render *r, int64_t *ret);
bool single_scan_values(const struct render *r, int64_t *ret);
bool single_scan_stale(const struct render *r, int64_t *ret);
bool single_scan_plain(const struct render *r, int64_t *ret);
bool single_next_rotation(const struct render *r, int64_t *ret);
bool single_rotation_held(const struct render *r, int64_t *ret);

/* --- process_rows.c --- */
void write_coordinator_info(struct render *r);
void write_leader_info(struct render *r);
void write_log_lines(struct render *r);
void write_etcd_seconds(struct render *r);
void write_etcd_failures(struct render *r);
bool single_leader(const struct render *r, int64_t *ret);
bool single_candidates(const struct render *r, int64_t *ret);
bool single_etcd_up(const struct render *r, int64_t *ret);
bool single_snapshot_time(const struct render *r, int64_t *ret);
bool single_ticks(const struct render *r, int64_t *ret);
bool single_tick_failures(const struct render *r, int64_t *ret);
bool single_leaderships(const struct render *r, int64_t *ret);
bool single_cpu(const struct render *r, int64_t *ret);
bool single_started(const struct render *r, int64_t *ret);
bool single_resident(const struct render *r, int64_t *ret);
bool single_open_fds(const struct render *r, int64_t *ret);
bool single_max_fds(const struct render *r, int64_t *ret);

/* --- process.c --- */
extern const char *const call_names[METRICS_CALLS];
/* Upper bounds of the buckets but the last, in microseconds and as OpenMetrics writes them. */
extern const uint64_t bucket_us[METRICS_BUCKETS - 1];
extern const char *const bucket_le[METRICS_BUCKETS];

#endif
