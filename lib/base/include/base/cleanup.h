/* Scope-bound cleanup: `_cleanup_(buf_freep) struct buf b = …;`. Every x_free(NULL) is safe. */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

/* Defines `static inline void NAMEp(TYPE *p)` that calls NAME(*p). */
#define DEFINE_CLEANUP(TYPE, NAME)                                                                           \
    static inline void NAME##p(TYPE *p)                                                                      \
    {                                                                                                        \
        if (*p)                                                                                              \
            NAME(*p);                                                                                        \
    }                                                                                                        \
    struct cleanup_semicolon_##NAME

static inline void freep(void *p)
{
    free(*(void **)p);
}

static inline void closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#define _cleanup_free_  _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)

/* Hands ownership out of a _cleanup_ variable: returns its value and sets it to NULL. */
#define take(p)                                                                                              \
    __extension__({                                                                                          \
        __auto_type take_v_ = (p);                                                                           \
        (p) = NULL;                                                                                          \
        take_v_;                                                                                             \
    })

#define array_len(a) (sizeof(a) / sizeof((a)[0]))

#endif
