/* Hex in tests. */
#ifndef TEST_VECTORS_H
#define TEST_VECTORS_H

#include <base/secret.h>
#include <stdio.h>
#include <string.h>

static inline struct secret *from_hex(const char *hex)
{
    size_t n = strlen(hex) / 2;
    struct secret *s = secret_new(n);
    for (size_t i = 0; s && i < n; i++) {
        unsigned byte = 0;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            return NULL;
        s->data[i] = (uint8_t)byte;
    }
    if (s)
        s->len = n;
    return s;
}

#endif
