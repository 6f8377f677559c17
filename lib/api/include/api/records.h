/* The state store's records as they travel: keys and bodies, at one revision. Out of them comes the same
 * snapshot as out of the state store itself. */
#ifndef API_RECORDS_H
#define API_RECORDS_H

#include <secrets_encrypt.pb-c.h>

#include <base/cleanup.h>
#include <cluster/snapshot.h>

#define API_RECORDS_MAX 16384

/* One key and its value; shared by every set that has it, never changed. */
struct record {
    char *key;   /* whole: "/secrets-encrypt/demo/spec" */
    char *value; /* NULL: not authentic */
    size_t len;
    char *why; /* NULL: authentic */
    int64_t create_revision, mod_revision;
    unsigned references; /* atomic */
};

/* Sorted by key. */
struct records {
    struct record **items;
    size_t count;
    size_t bytes; /* of keys and values */
};

/* Does a key travel? Requests do not (they are their callers'), nor what no snapshot has. */
bool record_travels(int kind);

/* A copy of an input of cluster/snapshot.h, sealed boxes left out. Caller unrefs. */
int record_new(const struct snapshot_input *in, struct record **ret, struct error *err) _must_check_;
struct record *record_ref(struct record *r);
void record_unref(struct record *r);

/* Takes over the references of what is in it. */
void records_free(struct records *r); /* frees the contents and zeroes; NULL is safe */

/* A set with the same records. */
int records_copy(const struct records *from, struct records *ret, struct error *err) _must_check_;
/* The record of a key, borrowed; NULL: none. */
struct record *records_find(const struct records *r, const char *key);

int records_snapshot(const struct records *r, const char *cluster, int64_t revision, int64_t now_ms,
                     struct cluster_snapshot *ret, struct error *err) _must_check_;

/* --- on the wire --- */

/* Messages that point into the records, which have to outlive them. Caller frees *ret with free(). */
int records_to_messages(struct record *const *items, size_t count, const char *cluster,
                        Secretsencrypt__V1__Record ***ret, struct error *err) _must_check_;

/* The records of a message put into *r, or its keys taken out. `whole`: they are all there are. ERR_INVALID
 * and ERR_TOO_LARGE where somebody else than a coordinator made it; *r is as it was then. */
int records_apply(struct records *r, const char *cluster, bool whole,
                  Secretsencrypt__V1__Record *const *items, size_t count, char *const *deleted,
                  size_t deleted_count, struct error *err) _must_check_;

#endif
