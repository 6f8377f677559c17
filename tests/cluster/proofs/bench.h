/* What the tests of the proof jobs share: keys, values, and jobs that run to their end. */
#ifndef TESTS_CLUSTER_PROOFS_BENCH_H
#define TESTS_CLUSTER_PROOFS_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <encryption/envelope.h>
#include <job.h>

#define OBJECT "{\"kind\":\"Secret\",\"apiVersion\":\"v1\"}"

#define must(call)                                                                                           \
    do {                                                                                                     \
        struct error err = ERROR_INIT;                                                                       \
        int rc_ = (call);                                                                                    \
        if (rc_ < 0)                                                                                         \
            fail_msg("%s: %s (%s)", #call, err.text, error_code_name(rc_));                                  \
    } while (0)

#define assert_contains(text, part)                                                                          \
    do {                                                                                                     \
        if (!strstr((text), (part)))                                                                         \
            fail_msg("\"%s\" does not contain \"%s\"", (text), (part));                                      \
    } while (0)

/* An encryption config for Secrets and ConfigMaps: aescbc with key1 to key3 in this order of writing ("21":
 * key2, then key1), then identity unless `order` ends with '!'. Valid until the next call. */
const char *bench_encryption(const char *order);
struct encryption_config *bench_parse(const char *text);

/* Options for a job over Secrets: free with bench_options_free, unless a job took it over. */
struct job_options *bench_options(enum job_kind kind, const struct config *config, struct etcd *datastore,
                                  const char *order);
/* One resource more. */
void bench_resource(struct job_options *o, const char *name);
/* Adds what may stay: "key2", or "" for plain values. */
void bench_keep(struct job_options *o, const char *name);
void bench_subject(struct job_options *o, const char *name);
void bench_server(struct job_options *o, const char *name, const char *api);

struct job *bench_start(struct job_options *o);
/* Waits for its end, and takes its records. `record` may be NULL. Frees the job. */
void bench_end(struct job *j, int timeout_ms, struct cluster_proof *proof, struct cluster_reencrypt *record);
/* Starts it and waits for its end; frees all. */
void bench_run(struct job_options *o, struct cluster_proof *proof, struct cluster_reencrypt *record);

/* Puts a value at /registry/secrets/<name>, sealed under a key of the config ("" : plain). Its revision. */
int64_t bench_put(struct etcd *e, const char *order, const char *key, const char *name, const char *plain);

void sleep_ms(int64_t ms);

#endif
