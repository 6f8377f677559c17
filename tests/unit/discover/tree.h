/* Folder trees that look like servers, under a temporary root. */
#ifndef TEST_DISCOVER_TREE_H
#define TEST_DISCOVER_TREE_H

#include <stddef.h>

/* Makes the root; its path. */
const char *tree_make(void);
/* A file below it, with its folders. */
void tree_file(const char *path, const char *text);
void tree_bytes(const char *path, const void *data, size_t len);
/* Removes everything. */
void tree_remove(void);

#endif
