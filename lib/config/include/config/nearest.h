/* "Did you mean …": the known word that a mistyped one is nearest to. */
#ifndef CONFIG_NEAREST_H
#define CONFIG_NEAREST_H

#include <stddef.h>

/* The word of words[0..count) with the smallest edit distance to `typed` (insertions, deletions,
 * replacements and swaps of neighbours), or NULL when none is near: at most a third of its letters wrong,
 * at least one. The first of equals wins. Borrowed from words. Only the first 64 bytes count. */
const char *nearest_word(const char *typed, const char *const *words, size_t count);

#endif
