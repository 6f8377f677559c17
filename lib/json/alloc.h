/* The allocator under every cJSON node: what it frees is wiped first. */
#ifndef JSON_ALLOC_H
#define JSON_ALLOC_H

#include <stddef.h>

/* Gives cJSON the two functions below, once a process. Every function that makes a node calls it. */
void json_alloc_install(void);

void *json_alloc(size_t size);
void json_release(void *p); /* NULL is safe */

/* A copy in such memory; the text need not end in a NUL, the copy does. NULL when memory is out. */
char *json_alloc_text(const char *text, size_t len);

#endif
