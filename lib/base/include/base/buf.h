/* A growing byte buffer with a hard maximum. Always NUL-terminated past len, so that text can be
 * printed; may hold NULs itself. Not for key material: that is struct secret. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>

#include <base/cleanup.h>
#include <base/error.h>

struct buf {
    char *data; /* NULL while empty; else data[len] == 0 */
    size_t len;
    size_t cap;
    size_t max; /* len never exceeds this; adding more is ERR_TOO_LARGE and leaves the buffer as it was */
};

#define BUF_INIT(maximum)                                                                                    \
    {                                                                                                        \
        NULL, 0, 0, (maximum)                                                                                \
    }

/* Appends. Returns 0, ERR_TOO_LARGE or ERR_NO_MEMORY (both with a text). */
int buf_add(struct buf *b, const void *data, size_t len, struct error *err) _must_check_;
int buf_adds(struct buf *b, const char *s, struct error *err) _must_check_;
int buf_addf(struct buf *b, struct error *err, const char *format, ...) _must_check_ _printf_(3, 4);

/* Room for `len` more bytes, and the NUL: whoever writes them at data + len adds to len and ends them with a
 * NUL itself. Errors as buf_add's. */
int buf_reserve(struct buf *b, size_t len, struct error *err) _must_check_;

/* Empties without freeing. */
void buf_reset(struct buf *b);

/* The contents as a string: data, or "" while empty. Valid until the next change. */
const char *buf_str(const struct buf *b);

/* Frees the memory; the buffer can be used again with the same maximum. NULL is safe. */
void buf_free(struct buf *b);

static inline void buf_freep(struct buf *b)
{
    buf_free(b);
}

#endif
