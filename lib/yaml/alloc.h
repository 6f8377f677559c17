/* libyaml takes its memory from four functions of its own, which the dynamic linker lets a program replace.
 * Ours wipe what they free: the scalars of an encryption config are keys. Where libyaml is built so that it
 * cannot be replaced, it goes on with its own, and nothing else changes. */
#ifndef YAML_ALLOC_H
#define YAML_ALLOC_H

#include <stddef.h>

void *yaml_malloc(size_t size);
void *yaml_realloc(void *p, size_t size);
void yaml_free(void *p);
unsigned char *yaml_strdup(const unsigned char *text);

/* Does nothing; the call makes the linker take this file out of the room's archive. */
void yaml_alloc_link(void);

#endif
