#include "alloc.h"

#include <base/secret_heap.h>

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdint.h>

/* The size stands in front of the bytes, since a free() is told none. It is aligned so
 * that what follows it is as well aligned as what malloc gave. */
struct header {
    alignas(max_align_t) size_t size;
};

void *json_alloc(size_t size)
{
    if (size > SIZE_MAX - sizeof(struct header))
        return NULL;
    void *kept = secret_heap_entered() ? secret_heap_alloc(size) : NULL;
    if (kept)
        return kept;
    struct header *h = malloc(sizeof(*h) + size);
    if (!h)
        return NULL;
    h->size = size;
    return h + 1;
}

void json_release(void *p)
{
    if (!p)
        return;
    if (secret_heap_owns(p)) {
        secret_heap_free(p);
        return;
    }
    struct header *h = (struct header *)p - 1;
    explicit_bzero(p, h->size);
    free(h);
}

char *json_alloc_text(const char *text, size_t len)
{
    char *copy = json_alloc(len + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, len);
    copy[len] = 0;
    return copy;
}

static void install(void)
{
    cJSON_Hooks hooks = {json_alloc, json_release};
    cJSON_InitHooks(&hooks);
}

void json_alloc_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}
