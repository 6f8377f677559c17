/* Secrets to be moved from one key to another, and what a job that does it is started with. */
#ifndef TESTS_CLUSTER_REENCRYPT_SIDES_H
#define TESTS_CLUSTER_REENCRYPT_SIDES_H

#include "bench.h"

#define PREFIX "/registry/secrets/"

#define SIDES 4
extern const struct side {
    enum provider provider;
    const char *key, *json;
} sides[SIDES];

/* The etcd and the configuration that all below is about from now on. */
void sides_use(struct etcd *e, const struct config *c);

/* A config that reads all four and writes with sides[first]. Caller frees. */
struct encryption_config *config_of(size_t first);
/* A rewrite to that side, unpaced. */
struct job_options *options_to(size_t to);

/* What the Secret of that name ("ns/00017") holds. */
void content_of(const char *name, char out[128]);
void put_under(size_t from, const char *name, int64_t lease);
/* "ns/00000" and so on. */
void put_many(size_t from, int count);

/* All Secrets. Caller frees. */
struct etcd_range read_all(void);
/* Every value stands under `to` and holds what was put. */
void check_all(size_t to, size_t count);

#endif
