/* The state store's keys as one reader keeps them between its looks, so that a look at a thousand servers
 * costs what has changed. What it gives is what store_snapshot gives: everything, at one revision. */
#ifndef STORE_VIEW_H
#define STORE_VIEW_H

#include <store/store.h>

struct store_view;

/* Reads nothing yet. The store is borrowed until the view is freed. For one thread at a time. */
int store_view_new(struct store *s, struct store_view **ret, struct error *err) _must_check_;
void store_view_free(struct store_view *v);
DEFINE_CLEANUP(struct store_view *, store_view_free);

/* Everything, at one revision (a linearizable read). *ret is the view's own until the next look: the caller
 * may change in it what snapshot_refresh allows. After an error the next look reads and checks everything. */
int store_view_look(struct store_view *v, int deadline_ms, struct cluster_snapshot **ret,
                    struct error *err) _must_check_;

/* The records of the last look that went well, sorted by key: the view's own until the next one. */
const struct snapshot_input *store_view_records(const struct store_view *v, size_t *ret_count);

/* The next look reads and checks everything. */
void store_view_forget(struct store_view *v);

/* How often keys were read, for tests and benchmarks. */
struct store_view_counts {
    uint64_t whole;    /* looks that read every key */
    uint64_t verified; /* signatures checked */
};
void store_view_count(const struct store_view *v, struct store_view_counts *ret);

#endif
