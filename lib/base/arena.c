#include <base/arena.h>

#include <stdalign.h>
#include <stdint.h>

#define ALIGN     alignof(max_align_t)
#define CHUNK_MAX (256u * 1024) /* of chunks that nobody asked to be larger */

struct chunk {
    struct chunk *next;
    size_t size; /* of data */
    alignas(max_align_t) char data[];
};

/* Stands at the start of its own first chunk. */
struct arena {
    struct chunk *chunks; /* the one that is being filled first */
    size_t used;          /* of it */
};

#define HEAD ((sizeof(struct arena) + ALIGN - 1) / ALIGN * ALIGN)

static struct chunk *chunk_new(size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    struct chunk *c = malloc(sizeof(*c) + size);
    if (c) {
        c->next = NULL;
        c->size = size;
    }
    return c;
}

struct arena *arena_new(size_t room)
{
    struct chunk *c = room < SIZE_MAX / 4 ? chunk_new(HEAD + room + ALIGN) : NULL;
    if (!c)
        return NULL;
    struct arena *a = (struct arena *)c->data;
    *a = (struct arena){c, HEAD};
    return a;
}

static size_t next_size(const struct arena *a, size_t size)
{
    size_t doubled = 2 * a->chunks->size;
    if (doubled > CHUNK_MAX)
        doubled = CHUNK_MAX;
    return size > doubled ? size : doubled;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 4)
        return NULL;
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    if (size > a->chunks->size - a->used) {
        struct chunk *c = chunk_new(next_size(a, size));
        if (!c)
            return NULL;
        c->next = a->chunks;
        a->chunks = c;
        a->used = 0;
    }
    void *p = a->chunks->data + a->used;
    a->used += size;
    return p;
}

void *arena_copy(struct arena *a, const void *data, size_t len)
{
    char *copy = len < SIZE_MAX / 4 ? arena_alloc(a, len + 1) : NULL;
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, data, len);
    copy[len] = 0;
    return copy;
}

struct arena *arena_of_first(const void *p)
{
    return (struct arena *)((char *)p - HEAD);
}

void arena_join(struct arena *a, struct arena *other)
{
    if (!other)
        return;
    struct chunk *last = other->chunks; /* other's own head is in the last of them, and stays there unused */
    while (last->next)
        last = last->next;
    last->next = a->chunks->next;
    a->chunks->next = other->chunks;
}

void arena_free(struct arena *a)
{
    struct chunk *c = a ? a->chunks : NULL;
    while (c) {
        struct chunk *next = c->next;
        free(c);
        c = next;
    }
}
