/* The audit trail: a key a record, created and never changed, behind the keys that are looked at as a whole.
 */
#include <inttypes.h>

#include <base/text.h>
#include <crypto/crypto.h>
#include <store/audit.h>

#include "internal.h"

#define RECORD_MAX 8192
#define PRUNE_KEYS 100 /* a transaction */
#define DAY_MS     (24 * 3600 * INT64_C(1000))

static void audit_prefix(const struct store *s, char prefix[CLUSTER_KEY_PATH_MAX])
{
    cluster_key_path(prefix, s->cluster, CLUSTER_KEY_AUDIT, NULL);
}

/* Sorted by time; two of one millisecond are told apart by chance. */
static int new_name(int64_t time_ms, char out[STORE_AUDIT_NAME_MAX], struct error *err)
{
    uint8_t random[4];
    char hex[2 * sizeof(random) + 1];
    int rc = crypto_random(random, sizeof(random), err);
    if (rc < 0)
        return rc;
    text_hex(random, sizeof(random), hex);
    snprintf(out, STORE_AUDIT_NAME_MAX, "%013" PRId64 "-%s", time_ms, hex);
    return 0;
}

int store_txn_audit(struct store *s, struct etcd_txn *txn, const struct cluster_audit *entry,
                    struct error *err)
{
    char name[STORE_AUDIT_NAME_MAX];
    _cleanup_(buf_freep) struct buf body = BUF_INIT(RECORD_MAX);
    int rc = new_name(entry->time_ms, name, err);
    if (rc == 0)
        rc = cluster_audit_encode(entry, &body, err);
    return rc < 0 ? rc : store_txn_put(s, txn, CLUSTER_KEY_AUDIT, name, &body, 0, err);
}

int store_audit_add(struct store *s, const struct cluster_audit *entry, int deadline_ms, struct error *err)
{
    _cleanup_(etcd_txn_freep) struct etcd_txn *txn = etcd_txn_new(s->etcd);
    int rc = store_txn_audit(s, txn, entry, err);
    if (rc == 0 && etcd_txn_key(txn, 0))
        etcd_txn_if_create(txn, etcd_txn_key(txn, 0), 0);
    if (rc == 0)
        rc = etcd_txn_commit(txn, deadline_ms, NULL, err);
    return rc < 0 ? error_prefix(err, rc, "the audit trail") : 0;
}

/* ---------- reading ---------- */

static int decode(struct store *s, const struct etcd_kv *kv, struct store_audit_entry *out, struct error *err)
{
    const char *name = "";
    struct error why = ERROR_INIT;
    _cleanup_(buf_freep) struct buf body = BUF_INIT(RECORD_MAX);
    memset(out, 0, sizeof(*out));
    if (cluster_key_parse(kv->key, s->cluster, &name) == CLUSTER_KEY_AUDIT)
        text_copy(out->name, sizeof(out->name), name);
    int rc = store_verify(s, kv->key, kv->value, kv->value_len, &body, &why);
    if (rc == 0)
        rc = cluster_audit_decode(buf_str(&body), body.len, &out->entry, &why);
    if (rc == ERR_NO_MEMORY)
        return error_no_memory(err);
    out->authentic = rc == 0;
    if (rc < 0)
        snprintf(out->entry.why, sizeof(out->entry.why), "not to be trusted: %.400s", why.text);
    return 0;
}

int store_audit_list(struct store *s, size_t limit, const char *before, int deadline_ms,
                     struct store_audit_entry *ret, size_t *ret_count, struct error *err)
{
    char prefix[CLUSTER_KEY_PATH_MAX], to[CLUSTER_KEY_PATH_MAX];
    audit_prefix(s, prefix);
    cluster_key_path(to, s->cluster, CLUSTER_KEY_AUDIT, before);
    struct etcd_range_options o = {
        .prefix = prefix, .to = before && *before ? to : NULL, .limit = (int64_t)limit, .descending = true};
    _cleanup_(etcd_range_free) struct etcd_range range = {0};
    *ret_count = 0;
    if (limit == 0 || limit > STORE_AUDIT_PAGE_MAX)
        return error_set(err, ERR_INVALID, "1 to %d entries of the audit trail can be read at a time",
                         STORE_AUDIT_PAGE_MAX);
    int rc = etcd_list(s->etcd, &o, deadline_ms, &range, err);
    for (size_t i = 0; rc == 0 && i < range.count && i < limit; i++) {
        rc = decode(s, &range.kvs[i], &ret[i], err);
        *ret_count = i + (rc == 0);
    }
    return rc < 0 ? error_prefix(err, rc, "the audit trail") : 0;
}

/* ---------- pruning ---------- */

/* The oldest keys: those before `to`, or as many as there are over the limit. */
static int oldest(struct store *s, const char *to, int64_t count, int deadline_ms, struct etcd_range *ret,
                  struct error *err)
{
    char prefix[CLUSTER_KEY_PATH_MAX];
    audit_prefix(s, prefix);
    struct etcd_range_options o = {
        .prefix = prefix, .to = to, .limit = count < PRUNE_KEYS ? count : PRUNE_KEYS, .keys_only = true};
    return etcd_list(s->etcd, &o, deadline_ms, ret, err);
}

static int remove_all(struct store *s, const char *guard, int64_t guard_create,
                      const struct etcd_range *range, int deadline_ms, struct error *err)
{
    if (range->count == 0)
        return 0;
    _cleanup_(etcd_txn_freep) struct etcd_txn *txn = etcd_txn_new(s->etcd);
    etcd_txn_if_create(txn, guard, guard_create);
    for (size_t i = 0; i < range->count; i++)
        etcd_txn_delete(txn, range->kvs[i].key);
    return etcd_txn_commit(txn, deadline_ms, NULL, err);
}

int store_audit_prune(struct store *s, int64_t now_ms, int64_t fence, int deadline_ms, size_t *ret_removed,
                      struct error *err)
{
    char prefix[CLUSTER_KEY_PATH_MAX], leader[CLUSTER_KEY_PATH_MAX], to[CLUSTER_KEY_PATH_MAX];
    char name[STORE_AUDIT_NAME_MAX];
    int64_t until_ms = now_ms - STORE_AUDIT_DAYS * DAY_MS;
    _cleanup_(etcd_range_free) struct etcd_range all = {0}, over = {0};
    audit_prefix(s, prefix);
    cluster_key_path(leader, s->cluster, CLUSTER_KEY_LEADER, NULL);
    snprintf(name, sizeof(name), "%013" PRId64, until_ms > 0 ? until_ms : 0);
    cluster_key_path(to, s->cluster, CLUSTER_KEY_AUDIT, name);
    struct etcd_range_options o = {.prefix = prefix, .count_only = true};
    *ret_removed = 0;
    int rc = etcd_list(s->etcd, &o, deadline_ms, &all, err);
    if (rc == 0)
        rc = all.total > CLUSTER_AUDIT_MAX
                 ? oldest(s, NULL, all.total - CLUSTER_AUDIT_MAX, deadline_ms, &over, err)
                 : oldest(s, to, PRUNE_KEYS, deadline_ms, &over, err);
    if (rc == 0)
        rc = remove_all(s, leader, fence, &over, deadline_ms, err);
    if (rc == 0)
        *ret_removed = over.count;
    return rc < 0 ? error_prefix(err, rc, "pruning the audit trail") : 0;
}
