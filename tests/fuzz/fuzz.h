/* What the harnesses share: a check that ends the run, with its text, when it does not hold. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* Zeroes that end at a page of which nothing may be touched, in the place of calloc() for what is larger than
 * 256 KiB: the sanitizer would map it, and paint its shadow, for each input. What was used goes back. */
#define FUZZ_PAGE 4096
struct fuzz_room {
    uint8_t *map;
    size_t bytes;
};
static inline void *fuzz_zeroes(struct fuzz_room *r, size_t size)
{
    const int how = MAP_PRIVATE | MAP_ANONYMOUS;
    if (!r->map) {
        r->bytes = (size + FUZZ_PAGE - 1) / FUZZ_PAGE * FUZZ_PAGE;
        r->map = mmap(NULL, r->bytes + FUZZ_PAGE, PROT_READ | PROT_WRITE, how, -1, 0);
        MUST(r->map != MAP_FAILED && mprotect(r->map + r->bytes, FUZZ_PAGE, PROT_NONE) == 0);
    } else {
        MUST(madvise(r->map, r->bytes, MADV_DONTNEED) == 0);
    }
    return r->map + r->bytes - size;
}

#endif
