/* Where parsers and ciphers keep keys while they are at work: small blocks of memory that is locked, left out
 * of core dumps, and wiped when freed. It is entered for a part of the code; the allocators under JSON, YAML
 * and OpenSSL ask whether the thread is in it, and free each block where it came from, at any time. */
#ifndef BASE_SECRET_HEAP_H
#define BASE_SECRET_HEAP_H

#include <stdbool.h>
#include <stddef.h>

#include <base/cleanup.h>

/* From here to the end of the block: _secret_heap_; */
#define _secret_heap_                                                                                        \
    _cleanup_(secret_heap_leave) __attribute__((unused)) int secret_heap_scope_ = secret_heap_enter()

int secret_heap_enter(void);
void secret_heap_leave(int *scope);

/* Is this thread in it? */
bool secret_heap_entered(void);

/* A block of its own. NULL: too large (1 MiB), no more left, or there is no such heap (under
 * AddressSanitizer): then ordinary memory has to do. */
void *secret_heap_alloc(size_t size);

/* Was p given out by it? Of any pointer. */
bool secret_heap_owns(const void *p);
/* The size that was asked for. */
size_t secret_heap_size(const void *p);
/* Wipes and gives back. NULL is safe. */
void secret_heap_free(void *p);

#endif
