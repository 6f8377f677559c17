/* Small blocks of locked memory, for parsers and ciphers: a secret each would cost them a page a word. One
 * region is set aside, and blocks of powers of two are cut from it; what is freed waits for the next of its
 * size. */
#include <base/secret_heap.h>

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

#include "secret_lock.h"

#define REGION_SIZE  ((size_t)64 * 1024 * 1024) /* of addresses; memory is taken as it is used */
#define LOCK_STEP    ((size_t)64 * 1024)
#define SMALLEST     ((size_t)64)
#define CLASSES      15 /* 64 bytes to 1 MiB, each with its header */
#define BLOCK_MARKER 0x5ec3e7b10c4aULL

#ifdef __SANITIZE_ADDRESS__
#define HAS_HEAP false /* whoever uses a block after its end is to be found */
#else
#define HAS_HEAP true
#endif

struct block {
    alignas(max_align_t) uint64_t marker;
    uint32_t class;
    uint32_t size;      /* that was asked for */
    struct block *next; /* while it is free */
};

static struct {
    pthread_once_t once;
    pthread_mutex_t lock;
    uint8_t *_Atomic base; /* NULL: there is none */
    size_t used, locked;
    struct block *free[CLASSES];
} heap = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local unsigned depth;

static void set_aside(void)
{
    if (!HAS_HEAP)
        return;
    void *p =
        mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return;
    (void)madvise(p, REGION_SIZE, MADV_DONTDUMP);
    heap.base = p;
}

int secret_heap_enter(void)
{
    pthread_once(&heap.once, set_aside);
    depth++;
    return 0;
}

void secret_heap_leave(int *scope)
{
    (void)scope;
    depth--;
}

bool secret_heap_entered(void)
{
    return depth > 0;
}

bool secret_heap_owns(const void *p)
{
    return heap.base && (const uint8_t *)p >= heap.base && (const uint8_t *)p < heap.base + REGION_SIZE;
}

static void *cut(size_t size)
{
    if (size > REGION_SIZE - heap.used)
        return NULL;
    void *p = heap.base + heap.used;
    heap.used += size;
    if (heap.used > heap.locked) {
        size_t more = (heap.used - heap.locked + LOCK_STEP - 1) / LOCK_STEP * LOCK_STEP;
        secret_lock_pages(heap.base + heap.locked, more);
        heap.locked += more;
    }
    return p;
}

void *secret_heap_alloc(size_t size)
{
    uint32_t class = 0;
    if (!heap.base || size > (SMALLEST << (CLASSES - 1)) - sizeof(struct block))
        return NULL;
    while ((SMALLEST << class) < size + sizeof(struct block))
        class ++;
    pthread_mutex_lock(&heap.lock);
    struct block *b = heap.free[class];
    if (b)
        heap.free[class] = b->next;
    else
        b = cut(SMALLEST << class);
    pthread_mutex_unlock(&heap.lock);
    if (!b)
        return NULL;
    *b = (struct block){.marker = BLOCK_MARKER, .class = class, .size = (uint32_t)size};
    return b + 1;
}

/* The block of what was given out; a program that frees what it was not given is not to go on. */
static struct block *block_of(void *p)
{
    struct block *b = (struct block *)p - 1;
    if (b->marker != BLOCK_MARKER || b->class >= CLASSES)
        abort();
    return b;
}

size_t secret_heap_size(const void *p)
{
    return block_of((void *)(uintptr_t)p)->size;
}

void secret_heap_free(void *p)
{
    if (!p)
        return;
    struct block *b = block_of(p);
    uint32_t class = b->class;
    explicit_bzero(b, SMALLEST << class);
    pthread_mutex_lock(&heap.lock);
    b->next = heap.free[class];
    heap.free[class] = b;
    pthread_mutex_unlock(&heap.lock);
}
