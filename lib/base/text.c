#include <base/text.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>

bool text_copy(char *dst, size_t size, const char *src)
{
    size_t len = strlen(src);
    size_t n = len < size ? len : size - 1;
    memcpy(dst, src, n);
    dst[n] = 0;
    return n == len;
}

bool text_is_name(const char *s, size_t max)
{
    size_t n = 0;
    for (; s[n]; n++)
        if (n >= max || (unsigned char)s[n] > 0x7f ||
            !(isalnum((unsigned char)s[n]) || (n > 0 && strchr("._-", s[n]))))
            return false;
    return n > 0;
}

/* The table of Unicode 15, chapter 3, table 3-7. */
size_t text_utf8_sequence(const void *at, size_t left)
{
    static const struct {
        unsigned char first, last, low, high;
        unsigned char length;
    } rows[] = {
        {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    const unsigned char *p = at;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (p[0] < rows[i].first || p[0] > rows[i].last)
            continue;
        size_t n = rows[i].length;
        if (n > left || (n > 1 && (p[1] < rows[i].low || p[1] > rows[i].high)))
            return 0;
        for (size_t k = 2; k < n; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return n;
    }
    return 0;
}

/* Bytes of the whole words at `at` that are ASCII: most texts are nothing else. */
static size_t ascii_words(const unsigned char *p, size_t left)
{
    size_t n = 0;
    for (uint64_t word; left - n >= sizeof(word); n += sizeof(word)) {
        memcpy(&word, p + n, sizeof(word));
        if (word & 0x8080808080808080u)
            break;
    }
    return n;
}

bool text_is_utf8(const void *data, size_t len)
{
    const unsigned char *p = data;
    while (len > 0) {
        size_t ascii = ascii_words(p, len);
        p += ascii;
        len -= ascii;
        size_t n = len > 0 ? text_utf8_sequence(p, len) : 0;
        if (n == 0)
            return len == 0;
        p += n;
        len -= n;
    }
    return true;
}

size_t text_plain_run(const void *at, size_t left)
{
    const unsigned char *p = at;
    size_t n = 0;
    while (n < left && p[n] >= ' ' && p[n] < 0x7f && p[n] != '"' && p[n] != '\\')
        n++;
    return n;
}

void text_hex(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * len] = 0;
}

int text_int(const char *s, int64_t min, int64_t max, int64_t *ret, struct error *err)
{
    char *end = NULL;
    errno = 0;
    long long n = strtoll(s, &end, 10);
    if (errno || end == s || *end || isspace((unsigned char)*s))
        return error_set(err, ERR_INVALID, "'%.32s' is not a whole number", s);
    if (n < min || n > max)
        return error_set(err, ERR_INVALID, "%lld is not within %" PRId64 " and %" PRId64, n, min, max);
    *ret = n;
    return 0;
}
