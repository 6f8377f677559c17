/* etcd v3 over gRPC: client, key-value operations, transactions, one consistent snapshot, cluster health.
 * Leases, watches and elections stand in lease.h, watch.h and election.h.
 *
 * Calls block the calling thread until done or until `deadline_ms` (a duration) has passed; any number of
 * threads may share a client. After ERR_TIMEOUT or ERR_UNAVAILABLE a write may still have happened:
 * guard it by a revision and re-read before a retry. */
#ifndef ETCD_ETCD_H
#define ETCD_ETCD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/cleanup.h>
#include <base/error.h>

#define ETCD_KEY_MAX      1024
#define ETCD_VALUE_MAX    (1536 * 1024) /* etcd's own default limit on a whole request */
#define ETCD_TXN_OPS_MAX  128
#define ETCD_ENDPOINT_MAX 16

struct etcd_options {
    const char *const
        *endpoints;         /* "http://127.0.0.1:2379", "https://…", or "host:port"; all plain or all TLS */
    size_t endpoints_count; /* 1 to ETCD_ENDPOINT_MAX */
    const char *ca_file;    /* TLS: PEM files; NULL for plain */
    const char *cert_file;
    const char *key_file;
    const char *server_name; /* TLS: a name or address that every member's certificate carries; NULL: the
                                first endpoint's host */
};

struct etcd;

/* Opens a client. All its endpoints are to be of one etcd cluster: the first that answers decides, and as
 * long as another cluster answers at one of them every call fails with ERR_UNAVAILABLE, naming it. Where most
 * of them have come to answer for another one, and none for the first (a restored backup), that is the one
 * from then on. Does not wait for a connection; a missing or malformed file or endpoint is ERR_INVALID naming
 * it. Strings are copied. Caller closes after every watch, lease and election on it is freed. */
int etcd_open(const struct etcd_options *options, struct etcd **ret, struct error *err) _must_check_;
void etcd_close(struct etcd *e);
DEFINE_CLEANUP(struct etcd *, etcd_close);

/* The endpoints as one text for error messages and status ("https://a:2379,https://b:2379"). Borrowed. */
const char *etcd_name(const struct etcd *e);

/* Is told of each call of any client when it ends, on whatever thread: etcd's name of the call ("Range"), 0
 * or ERR_*, and how long it took with its repetitions, in microseconds. It must be quick and must not call
 * this room. Streams (watches, leases that are kept alive, snapshots) are no calls. */
typedef void etcd_observer_fn(const char *call, int code, int64_t us);
void etcd_observe(etcd_observer_fn *observer); /* before clients are opened; NULL: nobody is told */

/* How many there are: etcd_member_status takes the indexes below it. */
size_t etcd_endpoint_count(const struct etcd *e);

struct etcd_kv {
    char *key; /* NUL-terminated; key_len bytes before the NUL */
    size_t key_len;
    uint8_t *value; /* value_len bytes and a NUL past them */
    size_t value_len;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    int64_t lease;
};

struct etcd_range {
    struct etcd_kv *kvs; /* sorted by key, ascending unless asked otherwise */
    size_t count;
    bool more;            /* the limit cut the answer */
    int64_t total;        /* keys in the range at that revision */
    int64_t revision;     /* the store's revision that the answer was read at */
    uint64_t cluster;     /* id of the etcd cluster that answered */
    uint64_t term;        /* of its raft */
    struct arena *memory; /* what keys and values live in */
};
void etcd_range_free(struct etcd_range *r); /* frees the contents and zeroes *r; NULL is safe */

/* Reads one key (linearizable). ERR_NOT_FOUND when it is not there. `ret` is a range of one. */
int etcd_get(struct etcd *e, const char *key, int deadline_ms, struct etcd_range *ret,
             struct error *err) _must_check_;

struct etcd_range_options {
    const char *prefix; /* keys that start with it … */
    const char *from;   /* … and are >= from (NULL: all of them): the page cursor */
    size_t from_len;    /* 0: strlen(from) */
    const char *to;     /* … and < to (NULL: all of them); must not be behind the prefix's end */
    size_t to_len;      /* 0: strlen(to) */
    int64_t limit;      /* keys at most; 0: no limit */
    int64_t revision;   /* read at this revision; 0: now */
    bool keys_only;
    bool count_only;
    bool serializable; /* answered by any member, possibly stale */
    /* Only keys that were put at this revision or later; 0: all. `total` counts the others too. */
    int64_t min_mod_revision;
    /* The last key first, and `limit` counts from there. etcd reads the whole range for it. */
    bool descending;
};
/* ERR_COMPACTED when `revision` is gone. */
int etcd_list(struct etcd *e, const struct etcd_range_options *options, int deadline_ms,
              struct etcd_range *ret, struct error *err) _must_check_;

/* The whole prefix in pages of 500 pinned to one revision (the first page's): a consistent snapshot. More
 * than max_keys keys is ERR_TOO_LARGE. */
int etcd_snapshot(struct etcd *e, const char *prefix, size_t max_keys, int deadline_ms,
                  struct etcd_range *ret, struct error *err) _must_check_;

/* The same, of the keys before `to`, which must not be behind the prefix's end. */
int etcd_snapshot_to(struct etcd *e, const char *prefix, const char *to, size_t max_keys, int deadline_ms,
                     struct etcd_range *ret, struct error *err) _must_check_;

/* Unguarded single writes (for tools and tests). lease 0: none. ret_revision may be NULL. */
int etcd_put(struct etcd *e, const char *key, const void *value, size_t len, int64_t lease, int deadline_ms,
             int64_t *ret_revision, struct error *err) _must_check_;
/* Deletes one key, or (prefix) all keys that start with it; ret_deleted may be NULL. */
int etcd_delete(struct etcd *e, const char *key, bool prefix, int deadline_ms, int64_t *ret_deleted,
                struct error *err) _must_check_;

/* Forgets the history before `revision`: reads and watches below it get ERR_COMPACTED. */
int etcd_compact(struct etcd *e, int64_t revision, int deadline_ms, struct error *err) _must_check_;

/* --- transactions: guards, then writes, all or nothing ---
 *   struct etcd_txn *t = etcd_txn_new(e);
 *   etcd_txn_if_mod(t, key, revision);  etcd_txn_put(t, key, value, len, 0);
 *   rc = etcd_txn_commit(t, 2000, &revision, err);
 * Out of memory and too many operations are remembered and reported by commit. Keys and values are copied. */
struct etcd_txn;
struct etcd_txn *
etcd_txn_new(struct etcd *e); /* NULL when memory is out; every function below accepts NULL */
void etcd_txn_free(struct etcd_txn *t);
DEFINE_CLEANUP(struct etcd_txn *, etcd_txn_free);

void etcd_txn_if_create(struct etcd_txn *t, const char *key,
                        int64_t create_revision);                                /* 0: the key is not there */
void etcd_txn_if_mod(struct etcd_txn *t, const char *key, int64_t mod_revision); /* 0: the key is not there */
void etcd_txn_if_lease(struct etcd_txn *t, const char *key, int64_t lease);
void etcd_txn_put(struct etcd_txn *t, const char *key, const void *value, size_t len, int64_t lease);
void etcd_txn_delete(struct etcd_txn *t, const char *key);
/* The key of the i-th put or delete, borrowed; NULL: there are not so many. */
const char *etcd_txn_key(const struct etcd_txn *t, size_t i);
/* Wipes the values in it, which are its own copies, once it was committed or is given up. */
void etcd_txn_wipe(struct etcd_txn *t);

/* ERR_CONFLICT when a guard was refused (nothing was written). ret_revision may be NULL. One use only. */
int etcd_txn_commit(struct etcd_txn *t, int deadline_ms, int64_t *ret_revision,
                    struct error *err) _must_check_;

/* etcd_txn_commit without waiting. `done` runs once on gRPC's own thread: it must not block nor call anything
 * of this room; code 0 and the revision, or a code and err (borrowed). When this returns an error, `done`
 * is not called. `t` may be freed as soon as this returns. Before etcd_close every `done` must have run. */
typedef void etcd_txn_done_fn(void *arg, int code, int64_t revision, const struct error *err);
int etcd_txn_start(struct etcd_txn *t, int deadline_ms, etcd_txn_done_fn *done, void *arg,
                   struct error *err) _must_check_;

/* --- reading much: pages, read ahead --- */
#define ETCD_PAGER_READERS_MAX 4
struct etcd_pager_options {
    const char *prefix;
    const char *after; /* begins right behind this key; NULL or "": at the prefix's first one */
    int64_t page;      /* keys a page at most; halved when a page is larger than gRPC takes */
    size_t page_bytes; /* > 0: pages of about so many bytes, by what the keys and values before took */
    unsigned readers;  /* pages that are read at a time, of parts of the prefix; 0: one */
    int64_t revision;  /* > 0: every page at this one; 0: the first page's; -1: every page at the present */
    bool keys_only;
    int deadline_ms;           /* of one page */
    unsigned tries;            /* of one page, with backoff, while the trouble is a passing one */
    const atomic_bool *cancel; /* set from any thread: ERR_CANCELED, at once between tries; may be NULL */
};
struct etcd_pager;
/* Starts reading the first page. Strings are copied. Caller frees. */
int etcd_pager_new(struct etcd *e, const struct etcd_pager_options *options, struct etcd_pager **ret,
                   struct error *err) _must_check_;
/* The next page, in the order of the keys; later ones are being read while the caller works: at most one more
 * than there are readers. After the last page: 0 and an empty one (count 0). ret->total is the number of keys
 * from the page's first one to the prefix's end, or that of the part that its reader was at. Caller frees
 * *ret with etcd_range_free. ERR_COMPACTED when a pinned revision is gone. */
int etcd_pager_next(struct etcd_pager *p, struct etcd_range *ret, struct error *err) _must_check_;
/* True when etcd_pager_next would not wait. */
bool etcd_pager_ready(struct etcd_pager *p);
void etcd_pager_free(struct etcd_pager *p); /* waits for the page that is being read, at most its deadline */
DEFINE_CLEANUP(struct etcd_pager *, etcd_pager_free);

/* --- health --- */
struct etcd_member {
    uint64_t id;
    char name[128];
    char client_url[256]; /* the first one, "" while it has not started */
    bool learner;
};
struct etcd_members {
    struct etcd_member members[ETCD_ENDPOINT_MAX];
    size_t count;
};
int etcd_member_list(struct etcd *e, int deadline_ms, struct etcd_members *ret,
                     struct error *err) _must_check_;

struct etcd_status {
    char version[32];
    int64_t db_size;        /* bytes */
    int64_t db_size_in_use; /* bytes */
    uint64_t leader;        /* member id, 0: none */
    uint64_t member;        /* the one that answered */
    uint64_t cluster;       /* id of its etcd cluster */
    int64_t revision;
    uint64_t raft_index;
    uint64_t raft_applied_index;
    uint64_t raft_term;
    bool learner;
};
/* Asks one endpoint by its index in the options (a connection of its own), whatever cluster it belongs to. */
int etcd_member_status(struct etcd *e, size_t endpoint, int deadline_ms, struct etcd_status *ret,
                       struct error *err) _must_check_;

#endif
