/* `keys`, without its reading: which keys there are, how old, and how much hangs on each. */
#ifndef REPORT_KEYS_H
#define REPORT_KEYS_H

#include <base/buf.h>
#include <cluster/snapshot.h>

/* An upper bound of the writes under a key; -1: unknown. For the one that writes now that is what the
 * datastore's revision (0: unknown) has grown by since it began; where its writes are counted, the count. */
int64_t key_writes(const struct cluster_snapshot *s, const struct cluster_key_info *k,
                   int64_t datastore_revision);

/* Values under it by the last scan; -1: none was made. */
int64_t key_values(const struct cluster_snapshot *s, const struct cluster_key_info *k);

/* When a retired key's time in escrow ends; 0: it is not in escrow. */
int64_t key_escrow_until(const struct cluster_snapshot *s, const struct cluster_key_info *k);

/* Each appends whole lines. datastore_revision: 0 where it is not known. */
int render_keys_text(const struct cluster_snapshot *s, int64_t datastore_revision, struct buf *out,
                     struct error *err) _must_check_;
int render_keys_json(const struct cluster_snapshot *s, int64_t datastore_revision, struct buf *out,
                     struct error *err) _must_check_;

#endif
