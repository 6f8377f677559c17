#include "sink.h"

#include <stdlib.h>
#include <string.h>

#define SINK_REFUSE ((size_t)-1) /* any count but the one given ends the transfer */

static bool sink_grow(struct sink *s, size_t need)
{
    size_t cap = s->cap ? s->cap : 4096;
    char *data;

    while (cap < need)
        cap *= 2;
    data = malloc(cap);
    if (!data)
        return false;
    if (s->data) {
        memcpy(data, s->data, s->len);
        explicit_bzero(s->data, s->cap);
        free(s->data);
    }
    s->data = data;
    s->cap = cap;
    return true;
}

size_t sink_write(char *data, size_t size, size_t count, void *arg)
{
    struct sink *s = arg;
    size_t len = size * count, keep = len;

    if (len > s->max - s->len) {
        s->overflow = true;
        if (!s->drop_rest)
            return SINK_REFUSE;
        keep = s->max - s->len;
    }
    if (keep == 0)
        return len;
    if (s->len + keep + 1 > s->cap && !sink_grow(s, s->len + keep + 1)) {
        s->no_memory = true;
        return SINK_REFUSE;
    }
    memcpy(s->data + s->len, data, keep);
    s->len += keep;
    s->data[s->len] = '\0';
    return len;
}

const char *sink_text(const struct sink *s)
{
    return s->data ? s->data : "";
}

void sink_reset(struct sink *s)
{
    if (s->data) {
        explicit_bzero(s->data, s->cap);
        s->data[0] = '\0';
    }
    s->len = 0;
    s->overflow = s->no_memory = false;
}

void sink_free(struct sink *s)
{
    if (!s)
        return;
    sink_reset(s);
    free(s->data);
    s->data = NULL;
    s->cap = 0;
}
