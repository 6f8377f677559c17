/* Locking of pages, for secrets and their heap. Private to this room. */
#ifndef BASE_SECRET_LOCK_H
#define BASE_SECRET_LOCK_H

#include <stddef.h>

/* Best effort: RLIMIT_MEMLOCK may be small, and a secret that can be swapped is still better than a rotation
 * that cannot run. secret_lock_failed() tells. */
void secret_lock_pages(void *at, size_t size);

#endif
