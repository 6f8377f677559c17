/* The record of keys: which there are and were, since when, and how much was written under them. Names and
 * numbers only. Pure. */
#ifndef COORDINATOR_KEY_BOOK_H
#define COORDINATOR_KEY_BOOK_H

#include <cluster/types.h>
#include <encryption/config.h>

struct key_book_entry {
    int64_t generation; /* that the keys belong to */
    int64_t now_ms;
    int64_t revision; /* of the datastore now; 0: unknown */
    /* What was counted as written under the key that began to write at revision `counted_since`, up to
     * revision `counted_to`; 0: nothing was. */
    int64_t counted_since, counted, counted_to;
    int64_t escrow_days;
    bool adopted; /* the config was found, not made: nobody knows how old its keys are */
};

/* Brings the record up to what a config has: new keys are added, ones that it lacks become retired. When
 * the record is full, the keys retired longest make room. */
void key_book_update(struct cluster_keys *k, const struct key_view *keys, size_t count,
                     const struct key_book_entry *now);

#endif
