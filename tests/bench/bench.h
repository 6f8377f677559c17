/* What the subcommands of secrets_bench share. Each prints one JSON object on its last line of stdout; what
 * it was asked to measure and could not is one line on stderr and exit code 1. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/buf.h>
#include <base/error.h>
#include <config/config.h>
#include <encryption/envelope.h>
#include <etcd/etcd.h>
#include <kube/kube.h>

struct bench {
    /* flags, see main.c */
    const char *config_path, *encryption_path, *seed, *engine, *kind;
    int64_t first, count, size, batch, window, seconds, page, connections, streams, workers, rate;
    bool offline, paced;
    /* what they name; opened before the subcommand runs */
    struct config *config;
    struct encryption_config *encryption; /* NULL without --encryption */
    struct etcd *datastore;
};

int bench_fill(struct bench *b, struct error *err) _must_check_;
int bench_check(struct bench *b, struct error *err) _must_check_;
int bench_txns(struct bench *b, struct error *err) _must_check_;
int bench_job(struct bench *b, struct error *err) _must_check_;
int bench_hammer(struct bench *b, struct error *err) _must_check_;
int bench_peer(struct bench *b, struct error *err) _must_check_;
int bench_probe(struct bench *b, struct error *err) _must_check_;
int bench_follow(struct bench *b, struct error *err) _must_check_;
int bench_planner(struct bench *b, struct error *err) _must_check_;

/* True once SIGTERM or SIGINT came. */
bool bench_stopped(void);

/* --- output.c --- */
int64_t mono_us(void);
void sleep_until_us(int64_t us); /* of mono_us */

/* {"done":N,"ms":…,"per_second":…,"rss_kb":…,"cpu_ms":…, then `more` (JSON members, or "")}: the peak of the
 * resident memory and the processor time are this process's. */
void print_rate(int64_t done, int64_t us, const char *more);

/* Latencies, in us; grows. Sorted by percentile. */
struct samples {
    int64_t *us;
    size_t count, cap;
};
void samples_add(struct samples *s, int64_t us);   /* any number; ends the program when memory is out */
double samples_ms(struct samples *s, double part); /* the part-quantile in ms; -1 of none */
void samples_free(struct samples *s);

/* --- objects.c: the Secrets of deploy/lab/kube.py (place, content), as API servers store them --- */
#define OBJECT_PREFIX "/registry/secrets/"
#define OBJECT_MAX    (64 * 1024)
struct object {
    char namespace[16], name[32], path[96];
};
void object_place(int64_t number, struct object *ret);
/* The number of the object at a key; -1: it is none of ours. */
int64_t object_number(const char *path);
/* Appends what stands inside a stored value: protobuf. */
int object_plain(const struct bench *b, int64_t number, struct buf *out, struct error *err) _must_check_;
/* True when `plain` holds both values of its data as they were written, whoever encoded it last. */
bool object_holds(const struct bench *b, int64_t number, const void *plain, size_t len);

/* --- flight.c: transactions in flight, a window of them --- */
struct flight;
int bench_flight_new(size_t window, struct flight **ret, struct error *err) _must_check_;
/* Waits for a place, starts the transaction, frees it. `puts` count once it went through. */
int bench_flight_send(struct flight *f, struct etcd_txn *t, int64_t puts, struct error *err) _must_check_;
/* Waits for all answers; ERR_* of the first failure. Frees. *ret_done are the puts that went through. */
int bench_flight_end(struct flight *f, int64_t *ret_done, struct error *err) _must_check_;

/* --- logins --- */
struct kube_options bench_login(const struct bench *b, size_t server);

#endif
