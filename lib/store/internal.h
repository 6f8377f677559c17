#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <pthread.h>

#include <store/store.h>

struct store {
    char cluster[CONFIG_NAME_MAX];
    struct etcd *etcd;
    struct seal *seal;
    pthread_mutex_t seal_lock; /* struct seal serves one thread at a time */
};

#define STORE_RECORD_MAX (4 * 1024 * 1024)

int store_verify(struct store *s, const char *path, const void *value, size_t len, struct buf *body,
                 struct error *err);

/* Keys of one cluster: five a server (stage, hash, report, order, candidate), bundles, retired keys and
 * requests. */
#define SNAPSHOT_KEYS_MAX 16384

/* All keys of the cluster but its history: from `prefix` on, before `end`. */
void store_live_range(const struct store *s, char prefix[CLUSTER_KEY_PATH_MAX],
                      char end[CLUSTER_KEY_PATH_MAX]);

/* One key-value as snapshot_build takes it, its signature checked where its key has one. *in points into the
 * key-value, and into *body where that was signed. */
int store_slice(struct store *s, const struct etcd_kv *kv, struct snapshot_input *in, struct buf *body,
                struct error *err);

/* The sealing under its lock. */
int store_box(struct store *s, const char *path, int64_t generation, const struct secret *text,
              struct buf *out, struct error *err);
int store_unbox(struct store *s, const char *path, int64_t generation, const char *box, size_t len,
                struct secret **ret, struct error *err);

#endif
