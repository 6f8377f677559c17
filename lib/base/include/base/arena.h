/* Memory for many small things that are freed together: a pointer moves through chunks, and nothing in them
 * is freed by itself. Not thread-safe. Not for key material: that is struct secret. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include <base/cleanup.h>

struct arena;

/* An arena whose first chunk takes `room` bytes of allocations at least. NULL when memory is out. Caller
 * frees. */
struct arena *arena_new(size_t room);

/* `size` bytes, aligned for anything, not zeroed, until the arena is freed. NULL when memory is out. */
void *arena_alloc(struct arena *a, size_t size);

/* A copy of `len` bytes with a NUL behind it. NULL when memory is out. */
void *arena_copy(struct arena *a, const void *data, size_t len);

/* The arena whose very first allocation was `p`: what holds only that pointer finds the rest by it. */
struct arena *arena_of_first(const void *p);

/* All that `other` holds lives as long as `a` from now on; `other` itself is gone. NULL is safe. */
void arena_join(struct arena *a, struct arena *other);

/* NULL is safe. */
void arena_free(struct arena *a);
DEFINE_CLEANUP(struct arena *, arena_free);

#endif
