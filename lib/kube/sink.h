/* A reply's body on its way in. Grows up to a maximum and wipes what it leaves: metadata can hold content
 * too (kubectl's last-applied-configuration annotation repeats the whole object). */
#ifndef KUBE_SINK_H
#define KUBE_SINK_H

#include <stdbool.h>
#include <stddef.h>

struct sink {
    char *data; /* NULL while empty; else data[len] == 0 */
    size_t len;
    size_t cap;
    size_t max;
    bool drop_rest; /* past max: swallow silently (true) or refuse, which ends the transfer (false) */
    bool overflow;  /* more than max came */
    bool no_memory;
};

/* What curl calls with each piece (CURLOPT_WRITEFUNCTION); arg is a struct sink. */
size_t sink_write(char *data, size_t size, size_t count, void *arg);

/* The contents as text, "" while empty. */
const char *sink_text(const struct sink *s);

/* Wipes and empties, keeping the memory. */
void sink_reset(struct sink *s);

/* Wipes and frees; NULL is safe. */
void sink_free(struct sink *s);

static inline void sink_freep(struct sink *s)
{
    sink_free(s);
}

#endif
