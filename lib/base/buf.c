#include <base/buf.h>

#include <stdarg.h>

int buf_reserve(struct buf *b, size_t add, struct error *err)
{
    if (add > b->max - b->len)
        return error_set(err, ERR_TOO_LARGE, "more than %zu bytes", b->max);
    size_t need = b->len + add + 1;
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap ? b->cap : 256;
    while (cap < need)
        cap *= 2;
    if (cap > b->max + 1)
        cap = b->max + 1;
    char *data = realloc(b->data, cap);
    if (!data)
        return error_no_memory(err);
    b->data = data;
    b->cap = cap;
    return 0;
}

int buf_add(struct buf *b, const void *data, size_t len, struct error *err)
{
    int rc = buf_reserve(b, len, err);
    if (rc < 0)
        return rc;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = 0;
    return 0;
}

int buf_adds(struct buf *b, const char *s, struct error *err)
{
    return buf_add(b, s, strlen(s), err);
}

int buf_addf(struct buf *b, struct error *err, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    int rc = n < 0 ? error_set(err, ERR_INTERNAL, "bad format") : buf_reserve(b, (size_t)n, err);
    if (rc == 0) {
        vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return rc;
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = 0;
}

const char *buf_str(const struct buf *b)
{
    return b->data ? b->data : "";
}

void buf_free(struct buf *b)
{
    if (!b)
        return;
    free(b->data);
    b->data = NULL;
    b->len = b->cap = 0;
}
