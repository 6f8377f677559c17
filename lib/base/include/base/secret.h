/* The one type that key material, tokens and plain objects live in: memory of its own pages, locked
 * (best effort: RLIMIT_MEMLOCK may refuse), left out of core dumps, wiped when freed. There is no way
 * to print one; its length is not secret. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/cleanup.h>
#include <base/error.h>

struct secret {
    uint8_t *data; /* cap bytes, zeroed at the start; data[len] is 0 while len < cap */
    size_t len;    /* bytes in use, <= cap */
    size_t cap;
};

/* A zeroed secret of `cap` bytes at least (len 0). NULL when memory is out. Caller frees. */
struct secret *secret_new(size_t cap);

/* As secret_new, holding a copy of data. */
struct secret *secret_copy(const void *data, size_t len);

/* Appends within cap; ERR_TOO_LARGE past it (a secret never moves, so that no copy is left behind). */
int secret_add(struct secret *s, const void *data, size_t len, struct error *err) _must_check_;

/* Wipes and unmaps (or keeps the wiped mapping for the next one). NULL is safe. */
void secret_free(struct secret *s);
DEFINE_CLEANUP(struct secret *, secret_free);

/* True once, when some memory could not be locked (RLIMIT_MEMLOCK): whoever runs on tells it. */
bool secret_lock_failed(void);

/* For a process through which keys pass: it leaves no core, and is not looked into by others of its user. */
void secret_guard_process(void);

/* Constant-time for equal lengths: 1 when both hold the same bytes, else 0. */
int secret_equal(const struct secret *a, const struct secret *b);

/* Constant-time comparison of len bytes: 1 equal, else 0. */
int mem_equal_ct(const void *a, const void *b, size_t len);

#endif
