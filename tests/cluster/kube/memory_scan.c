#include "memory_scan.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MASK    0xa5
#define WINDOW  (1 << 20)
#define LARGEST (1ULL << 30) /* larger mappings are a sanitizer's shadow, not data */
/* The base64 form of a needle whose length is a multiple of 3 that stands at the start of its value. */
#define BASE64_LEN (NEEDLE_LEN / 3 * 4)

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void needle_make(struct needle *n)
{
    if (getentropy(n->masked, sizeof(n->masked)) < 0)
        abort();
    for (size_t i = 0; i < sizeof(n->masked); i++)
        n->masked[i] = (unsigned char)base64[n->masked[i] % 62] ^ MASK;
}

void needle_text(const struct needle *n, char *out)
{
    for (size_t i = 0; i < NEEDLE_LEN; i++)
        out[i] = (char)(n->masked[i] ^ MASK);
    out[NEEDLE_LEN] = '\0';
}

/* Byte i of the needle's base64 form, never two at once. */
static unsigned char base64_byte(const struct needle *n, size_t i)
{
    const unsigned char *m = n->masked + i / 4 * 3;
    unsigned v = (unsigned)(m[0] ^ MASK) << 16 | (unsigned)(m[1] ^ MASK) << 8 | (unsigned)(m[2] ^ MASK);

    return (unsigned char)base64[v >> (18 - 6 * (i % 4)) & 63];
}

static bool plain_at(const struct needle *n, const unsigned char *p)
{
    for (size_t i = 0; i < NEEDLE_LEN; i++) {
        if (p[i] != (unsigned char)(n->masked[i] ^ MASK))
            return false;
    }
    return true;
}

static bool base64_at(const struct needle *n, const unsigned char *p)
{
    for (size_t i = 0; i < BASE64_LEN; i++) {
        if (p[i] != base64_byte(n, i))
            return false;
    }
    return true;
}

static int window_count(const struct needle *n, const unsigned char *p, size_t len)
{
    int count = 0;

    for (size_t i = 0; i + NEEDLE_LEN <= len; i++) {
        count += plain_at(n, p + i);
        count += i + BASE64_LEN <= len && base64_at(n, p + i);
    }
    return count;
}

/* Read through /proc/self/mem into a window of our own, which is skipped. Windows overlap. */
static int region_count(const struct needle *n, int mem, unsigned char *window, uintptr_t from, uintptr_t to)
{
    int count = 0;

    for (uintptr_t at = from; at < to; at += WINDOW - BASE64_LEN) {
        size_t want = to - at < WINDOW ? to - at : WINDOW;
        ssize_t got = pread(mem, window, want, (off_t)at);

        if (got > 0)
            count += window_count(n, window, (size_t)got);
    }
    return count;
}

int memory_count(const struct needle *n)
{
    static unsigned char window[WINDOW];
    FILE *maps = fopen("/proc/self/maps", "re");
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC), count = 0;
    char line[512];

    if (!maps || mem < 0)
        return -1;
    while (fgets(line, sizeof(line), maps)) {
        uintptr_t from, to;
        char readable;

        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %c", &from, &to, &readable) != 3 || readable != 'r')
            continue;
        if (to - from > LARGEST || strstr(line, "[vvar]") || strstr(line, "[vsyscall]"))
            continue;
        if ((uintptr_t)window < to && (uintptr_t)window + WINDOW > from) { /* around the window */
            count += region_count(n, mem, window, from, (uintptr_t)window);
            from = (uintptr_t)window + WINDOW;
        }
        count += region_count(n, mem, window, from, to);
    }
    explicit_bzero(window, sizeof(window));
    fclose(maps);
    close(mem);
    return count;
}
