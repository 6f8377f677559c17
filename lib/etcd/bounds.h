/* Where to end a part of a prefix, before anybody has seen the keys there: so that it holds about a page of
 * them.
 *
 * A key's bytes behind the prefix are read as a number whose digits, at each position, are the bytes that
 * keys were seen to have there: after "…-09" comes "…-10" where only digits were seen, not "…-0:". A part
 * ends some units further, a unit being one at a position that is deep enough. Units and position follow what
 * the parts before turned out to hold. Nothing depends on a guess but the parts' sizes: each begins where the
 * last one ended. Pure. */
#ifndef ETCD_BOUNDS_H
#define ETCD_BOUNDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <etcd/etcd.h>

#define BOUNDS_POSITIONS 128 /* behind the prefix; deeper bytes make no bounds */

/* How long a part is to be. */
struct span {
    bool known;   /* the two below are */
    size_t depth; /* the unit's position */
    double units;
};

struct bounds {
    size_t prefix;
    uint64_t seen[BOUNDS_POSITIONS][4]; /* bytes, as bits */
    struct span span;                   /* of the next part */
};

void bounds_begin(struct bounds *b, size_t prefix_len);

/* A page's keys, which begin with the prefix, in order; and how many there are in the part that it began:
 * `total`, at most `limit` of which are in the page. `used` is the span that the part was cut with. */
void bounds_learn(struct bounds *b, const struct span *used, const struct etcd_range *page, int64_t limit);

/* The end of the part that begins at `from` (which begins with the prefix, or is it): *ret_len bytes into
 * `out`, which has room for ETCD_KEY_MAX; a key larger than `from` that begins with the prefix. False: to the
 * prefix's end. */
bool bounds_next(const struct bounds *b, const char *from, size_t from_len, char *out, size_t *ret_len);

#endif
