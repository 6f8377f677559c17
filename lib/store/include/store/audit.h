/* The audit trail in the state store: one signed record an entry, created and never changed. Thread-safe as
 * the store is. */
#ifndef STORE_AUDIT_H
#define STORE_AUDIT_H

#include <store/store.h>

#define STORE_AUDIT_NAME_MAX 32
#define STORE_AUDIT_PAGE_MAX 500 /* entries read at a time */
#define STORE_AUDIT_DAYS     400

struct store_audit_entry {
    char name[STORE_AUDIT_NAME_MAX]; /* "<time ms, 13 digits>-<8 hex>": sorted by time */
    bool authentic;                  /* false: `entry` says why in its `why`, and nothing else */
    struct cluster_audit entry;
};

/* Adds an entry. After ERR_TIMEOUT or ERR_UNAVAILABLE it may be there. */
int store_audit_add(struct store *s, const struct cluster_audit *entry, int deadline_ms,
                    struct error *err) _must_check_;
/* Adds its put to a transaction, so that it is there when what it tells of is. */
int store_txn_audit(struct store *s, struct etcd_txn *txn, const struct cluster_audit *entry,
                    struct error *err) _must_check_;

/* The newest `limit` entries (1 to STORE_AUDIT_PAGE_MAX), the newest first; with `before` (a name; NULL or
 * "": none) those that are older than that one. ret has room for `limit`. */
int store_audit_list(struct store *s, size_t limit, const char *before, int deadline_ms,
                     struct store_audit_entry *ret, size_t *ret_count, struct error *err) _must_check_;

/* Removes at most 100 of the entries that are over CLUSTER_AUDIT_MAX or older than STORE_AUDIT_DAYS (now_ms
 * 0: whatever their age), the oldest first, while the leader key has the create revision `fence`.
 * ERR_CONFLICT: it has not. */
int store_audit_prune(struct store *s, int64_t now_ms, int64_t fence, int deadline_ms, size_t *ret_removed,
                      struct error *err) _must_check_;

#endif
