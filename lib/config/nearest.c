#include <config/nearest.h>

#define LETTERS_MAX 64

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Optimal string alignment: three rows of the table are enough. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][LETTERS_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b_len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t replaced = last[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = min3(last[j] + 1, now[j - 1] + 1, replaced);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
        size_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b_len];
}

const char *nearest_word(const char *typed, const char *const *words, size_t count)
{
    const char *best = NULL;
    size_t best_distance = 0;
    size_t typed_len = strnlen(typed, LETTERS_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t len = strnlen(words[i], LETTERS_MAX);
        size_t allowed = len < 6 ? 1 : len / 3;
        size_t d = distance(typed, typed_len, words[i], len);
        if (d <= allowed && (!best || d < best_distance)) {
            best = words[i];
            best_distance = d;
        }
    }
    return best;
}
