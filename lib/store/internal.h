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

/* The sealing under its lock. */
int store_box(struct store *s, const char *path, int64_t generation, const struct secret *text,
              struct buf *out, struct error *err);
int store_unbox(struct store *s, const char *path, int64_t generation, const char *box, size_t len,
                struct secret **ret, struct error *err);

#endif
