#include "resolve.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

static const struct {
    const char *text;
    enum scalar_kind kind;
} words[] = {
    {"", SCALAR_NULL},         {"~", SCALAR_NULL},        {"null", SCALAR_NULL},
    {"Null", SCALAR_NULL},     {"NULL", SCALAR_NULL},     {"true", SCALAR_TRUE},
    {"True", SCALAR_TRUE},     {"TRUE", SCALAR_TRUE},     {"y", SCALAR_TRUE},
    {"Y", SCALAR_TRUE},        {"yes", SCALAR_TRUE},      {"Yes", SCALAR_TRUE},
    {"YES", SCALAR_TRUE},      {"on", SCALAR_TRUE},       {"On", SCALAR_TRUE},
    {"ON", SCALAR_TRUE},       {"false", SCALAR_FALSE},   {"False", SCALAR_FALSE},
    {"FALSE", SCALAR_FALSE},   {"n", SCALAR_FALSE},       {"N", SCALAR_FALSE},
    {"no", SCALAR_FALSE},      {"No", SCALAR_FALSE},      {"NO", SCALAR_FALSE},
    {"off", SCALAR_FALSE},     {"Off", SCALAR_FALSE},     {"OFF", SCALAR_FALSE},
    {".nan", SCALAR_NO_JSON},  {".NaN", SCALAR_NO_JSON},  {".NAN", SCALAR_NO_JSON},
    {".inf", SCALAR_NO_JSON},  {".Inf", SCALAR_NO_JSON},  {".INF", SCALAR_NO_JSON},
    {"+.inf", SCALAR_NO_JSON}, {"+.Inf", SCALAR_NO_JSON}, {"+.INF", SCALAR_NO_JSON},
    {"-.inf", SCALAR_NO_JSON}, {"-.Inf", SCALAR_NO_JSON}, {"-.INF", SCALAR_NO_JSON},
    {"<<", SCALAR_MERGE},
};

/* The base that a number's prefix names; *digits is where they begin. A leading 0 means octal here. */
static int base_of(const char *p, const char **digits)
{
    static const struct {
        char letter;
        int base;
    } prefixes[] = {{'x', 16}, {'X', 16}, {'b', 2}, {'B', 2}, {'o', 8}, {'O', 8}};
    *digits = p;
    if (p[0] != '0' || !p[1])
        return 10;
    for (size_t i = 0; i < array_len(prefixes); i++)
        if (p[1] == prefixes[i].letter) {
            *digits = p + 2;
            return prefixes[i].base;
        }
    *digits = p + 1;
    return 8;
}

static bool digits_only(const char *p, int base)
{
    static const char all[] = "0123456789abcdef0123456789ABCDEF";
    if (!*p)
        return false;
    for (; *p; p++) {
        const char *at = strchr(all, *p);
        if (!at || (at - all) % 16 >= base)
            return false;
    }
    return true;
}

static bool resolve_int(const char *text, char number[SCALAR_NUMBER_MAX])
{
    bool negative = *text == '-', sign = negative || *text == '+';
    const char *digits;
    int base = base_of(text + sign, &digits);
    if (!digits_only(digits, base))
        return false;
    errno = 0;
    uint64_t n = strtoull(digits, NULL, base);
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : sign ? INT64_MAX : UINT64_MAX;
    if (errno || n > limit)
        return false;
    snprintf(number, SCALAR_NUMBER_MAX, "%s%" PRIu64, negative && n ? "-" : "", n);
    return true;
}

static size_t span(const char *p)
{
    return strspn(p, "0123456789");
}

/* [+-] digits with a point anywhere but alone, and an exponent. */
static bool looks_like_float(const char *p)
{
    p += *p == '-' || *p == '+';
    size_t whole = span(p), fraction = 0;
    p += whole;
    if (*p == '.') {
        fraction = span(p + 1);
        p += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '-' || *p == '+';
        if (span(p) == 0)
            return false;
        p += span(p);
    }
    return *p == 0;
}

static bool resolve_float(const char *text, char number[SCALAR_NUMBER_MAX])
{
    if (!looks_like_float(text))
        return false;
    double d = strtod(text, NULL);
    if (!isfinite(d))
        return false; /* go-yaml takes what is out of range for a string */
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(number, SCALAR_NUMBER_MAX, "%.*g", precision, d);
        if (strtod(number, NULL) == d)
            break;
    }
    return true;
}

/* Without underscores, which may stand anywhere in a number; false when it is too long to be one. */
static bool strip(const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (; *text; text++) {
        if (*text == '_')
            continue;
        if (n == size - 1)
            return false;
        out[n++] = *text;
    }
    out[n] = 0;
    return true;
}

static enum scalar_kind resolve_number(const char *text, char number[SCALAR_NUMBER_MAX])
{
    if (resolve_int(text, number))
        return SCALAR_INT;
    return resolve_float(text, number) ? SCALAR_FLOAT : SCALAR_STRING;
}

enum scalar_kind scalar_resolve(const char *text, char number[SCALAR_NUMBER_MAX])
{
    for (size_t i = 0; i < array_len(words); i++)
        if (strcmp(text, words[i].text) == 0)
            return words[i].kind;
    if (*text == '.')
        return resolve_float(text, number) ? SCALAR_FLOAT : SCALAR_STRING;
    if (!strchr("+-0123456789", *text))
        return SCALAR_STRING;
    if (!strchr(text, '_'))
        return resolve_number(text, number);
    char plain[1024];
    enum scalar_kind kind = strip(text, plain, sizeof(plain)) ? resolve_number(plain, number) : SCALAR_STRING;
    explicit_bzero(plain, sizeof(plain)); /* a key may look like this, too */
    return kind;
}
