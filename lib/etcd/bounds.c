#include "bounds.h"

#include <string.h>

#define FILL      0.9 /* of a page: a part that holds a little more than thought still fits */
#define UNITS_MIN 8   /* units are whole: fewer of them could not be told apart well enough */
#define UNITS_MAX 256
#define STEP      8.0 /* the units change by this factor at most, for one part that was all different */
#define SURPRISE  8   /* pages: a part of more is a part of keys that are unlike the ones before */
#define DISTINCT  32  /* beginnings of keys in a page that make a good unit */

void bounds_begin(struct bounds *b, size_t prefix_len)
{
    *b = (struct bounds){.prefix = prefix_len};
}

/* ---------- digits ---------- */

static bool has(const uint64_t set[4], unsigned byte)
{
    return (set[byte / 64] >> (byte % 64) & 1) != 0;
}

static void put(uint64_t set[4], unsigned byte)
{
    set[byte / 64] |= UINT64_C(1) << (byte % 64);
}

/* The digits of a position: the bytes seen there, and the one that follows the largest of them, for keys are
 * seen in their order. Nothing is taken to follow a 9 or a z: what does is found by the part that it falls
 * into. */
static void digits(const struct bounds *b, size_t position, uint64_t set[4])
{
    unsigned largest = 256;
    memcpy(set, b->seen[position], sizeof(b->seen[position]));
    while (largest > 0 && !has(set, largest - 1))
        largest--;
    if (largest > 0 && largest < 256 && largest - 1 != '9' && largest - 1 != 'z')
        put(set, largest);
}

static unsigned count(const uint64_t set[4])
{
    unsigned n = 0;
    for (size_t i = 0; i < 4; i++)
        n += (unsigned)__builtin_popcountll(set[i]);
    return n;
}

/* How many of the digits are smaller. */
static unsigned rank(const uint64_t set[4], uint8_t byte)
{
    uint64_t below[4] = {0};
    memcpy(below, set, byte / 64u * sizeof(set[0]));
    below[byte / 64u] = set[byte / 64u] & ((UINT64_C(1) << (byte % 64u)) - 1);
    return count(below);
}

/* The n-th digit, from 0; n is below their count. */
static uint8_t digit(const uint64_t set[4], unsigned n)
{
    unsigned byte = 0;
    while (byte < 255 && !(has(set, byte) && n-- == 0))
        byte++;
    return (uint8_t)byte;
}

static unsigned radix(const struct bounds *b, size_t position)
{
    return count(b->seen[position]);
}

/* ---------- learning ---------- */

static void see(struct bounds *b, const struct etcd_kv *kv)
{
    for (size_t i = b->prefix; i < kv->key_len && i - b->prefix < BOUNDS_POSITIONS; i++)
        put(b->seen[i - b->prefix], (uint8_t)kv->key[i]);
}

static size_t common(const struct etcd_kv *a, const struct etcd_kv *b)
{
    size_t len = a->key_len < b->key_len ? a->key_len : b->key_len, n = 0;
    while (n < len && a->key[n] == b->key[n])
        n++;
    return n;
}

/* From a full page alone: the first position up to which there are many different beginnings. */
static struct span measure(const struct bounds *b, const struct etcd_range *page, int64_t limit)
{
    size_t differ[BOUNDS_POSITIONS] = {0}; /* neighbours that differ first at the position */
    for (size_t i = 1; i < page->count; i++) {
        size_t at = common(&page->kvs[i - 1], &page->kvs[i]) - b->prefix;
        if (at < BOUNDS_POSITIONS)
            differ[at]++;
    }
    size_t depth = 0, beginnings = 1;
    for (size_t i = 0; i < BOUNDS_POSITIONS && beginnings < DISTINCT; i++)
        if (differ[i] > 0) {
            beginnings += differ[i];
            depth = i;
        }
    return (struct span){true, depth, (double)beginnings * FILL * (double)limit / (double)page->count};
}

static struct span scaled(const struct span *used, int64_t total, int64_t limit)
{
    double factor = total > 0 ? FILL * (double)limit / (double)total : STEP;
    factor = factor > STEP ? STEP : factor < 1 / STEP ? 1 / STEP : factor;
    return (struct span){true, used->depth, used->units * factor};
}

/* The same span in units of a deeper or higher position, so that there are neither few nor very many. */
static void normalize(const struct bounds *b, struct span *s)
{
    while (s->units < UNITS_MIN && s->depth + 1 < BOUNDS_POSITIONS && radix(b, s->depth + 1) > 0) {
        s->depth++;
        s->units *= radix(b, s->depth);
    }
    while (s->units > UNITS_MAX && s->depth > 0) {
        s->units /= radix(b, s->depth) + 1;
        s->depth--;
    }
    s->units = s->units < 1 ? 1 : s->units > UNITS_MAX ? UNITS_MAX : s->units;
}

void bounds_learn(struct bounds *b, const struct span *used, const struct etcd_range *page, int64_t limit)
{
    for (size_t i = 0; i < page->count; i++)
        see(b, &page->kvs[i]);
    if (page->more && page->count > 1 && (!used->known || page->total > SURPRISE * limit))
        b->span = measure(b, page, limit);
    else if (used->known)
        b->span = scaled(used, page->total, limit);
    if (b->span.known)
        normalize(b, &b->span);
}

/* ---------- bounds ---------- */

bool bounds_next(const struct bounds *b, const char *from, size_t from_len, char *out, size_t *ret_len)
{
    size_t len = b->prefix + b->span.depth + 1;
    if (!b->span.known || len > ETCD_KEY_MAX)
        return false;
    uint64_t carry = (uint64_t)b->span.units;
    memcpy(out, from, b->prefix);
    for (size_t i = b->span.depth + 1; i-- > 0;) {
        uint64_t set[4];
        digits(b, i, set);
        unsigned base = count(set);
        uint64_t at = b->prefix + i < from_len ? rank(set, (uint8_t)from[b->prefix + i]) : 0;
        if (base == 0)
            return false;
        at += carry;
        carry = at / base;
        out[b->prefix + i] = (char)digit(set, (unsigned)(at % base));
    }
    if (carry > 0) { /* past all digits of the first position: up to the largest one */
        uint64_t set[4];
        digits(b, 0, set);
        out[b->prefix] = (char)digit(set, count(set) - 1);
        len = b->prefix + 1;
    }
    size_t shorter = len < from_len ? len : from_len;
    int order = memcmp(out, from, shorter);
    *ret_len = len;
    return order > 0 || (order == 0 && len > from_len);
}
