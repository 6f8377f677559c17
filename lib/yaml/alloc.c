#include "alloc.h"

#include <malloc.h>

#include <base/secret_heap.h>

void yaml_alloc_link(void)
{
}

/* As libyaml's own: a size of 0 gives a block all the same. */
void *yaml_malloc(size_t size)
{
    void *kept = secret_heap_entered() ? secret_heap_alloc(size) : NULL;
    return kept ? kept : malloc(size ? size : 1);
}

/* malloc_usable_size instead of a header of ours: a block that came from libyaml's own malloc can be freed
 * here, and the other way round. */
void yaml_free(void *p)
{
    if (!p)
        return;
    if (secret_heap_owns(p)) {
        secret_heap_free(p);
        return;
    }
    explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

/* Never in place, so that no copy is left behind where the block was. */
void *yaml_realloc(void *p, size_t size)
{
    void *grown = yaml_malloc(size);
    if (!grown || !p)
        return grown;
    size_t old = secret_heap_owns(p) ? secret_heap_size(p) : malloc_usable_size(p);
    memcpy(grown, p, old < size ? old : size);
    yaml_free(p);
    return grown;
}

unsigned char *yaml_strdup(const unsigned char *text)
{
    if (!text)
        return NULL;
    size_t size = strlen((const char *)text) + 1;
    unsigned char *copy = yaml_malloc(size);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}
