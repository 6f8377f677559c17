#include "node.h"

#include <math.h>

static size_t digits(const char *p, size_t len)
{
    size_t n = 0;
    while (n < len && p[n] >= '0' && p[n] <= '9')
        n++;
    return n;
}

/* ["." digits]: 0 when there is none, SIZE_MAX when it is begun and not ended. */
static size_t fraction_span(const char *p, size_t len)
{
    if (len == 0 || *p != '.')
        return 0;
    size_t n = digits(p + 1, len - 1);
    return n ? n + 1 : SIZE_MAX;
}

static size_t exponent_span(const char *p, size_t len)
{
    if (len == 0 || (*p != 'e' && *p != 'E'))
        return 0;
    size_t at = 1;
    if (at < len && (p[at] == '+' || p[at] == '-'))
        at++;
    size_t n = digits(p + at, len - at);
    return n ? at + n : SIZE_MAX;
}

size_t number_span(const char *text, size_t len)
{
    size_t at = len > 0 && *text == '-';
    size_t n = digits(text + at, len - at);
    if (n == 0 || (n > 1 && text[at] == '0'))
        return 0;
    at += n;
    n = fraction_span(text + at, len - at);
    if (n == SIZE_MAX)
        return 0;
    at += n;
    n = exponent_span(text + at, len - at);
    return n == SIZE_MAX ? 0 : at + n;
}

void number_format(double d, char out[NUMBER_TEXT_MAX])
{
    if (d == trunc(d) && fabs(d) <= JSON_INTEGER_MAX) {
        snprintf(out, NUMBER_TEXT_MAX, "%lld", (long long)d);
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(out, NUMBER_TEXT_MAX, "%.*g", precision, d);
        if (strtod(out, NULL) == d)
            return;
    }
}

const char *number_text(const cJSON *n, char out[NUMBER_TEXT_MAX])
{
    if (n->valuestring)
        return n->valuestring;
    number_format(n->valuedouble, out);
    return out;
}

bool number_equal(const cJSON *a, const cJSON *b)
{
    if (a->valuedouble != b->valuedouble)
        return false;
    /* Past 2^53 several whole numbers share one double, so there the digits decide. */
    if (fabs(a->valuedouble) <= JSON_INTEGER_MAX && a->valuedouble != JSON_INTEGER_MAX &&
        a->valuedouble != -JSON_INTEGER_MAX)
        return true;
    char x[NUMBER_TEXT_MAX], y[NUMBER_TEXT_MAX];
    return strcmp(number_text(a, x), number_text(b, y)) == 0;
}

int number_from_literal(const char *text, size_t len, cJSON **ret, struct error *err)
{
    char literal[JSON_NUMBER_MAX + 1];
    if (len > JSON_NUMBER_MAX)
        return error_set(err, ERR_INVALID, "a number of more than %d characters", JSON_NUMBER_MAX);
    memcpy(literal, text, len);
    literal[len] = 0;
    double d = strtod(literal, NULL);
    if (!isfinite(d))
        return error_set(err, ERR_INVALID, "a number out of range");
    json_alloc_install();
    cJSON *n = cJSON_CreateNumber(d);
    if (!n)
        return error_no_memory(err);
    char shortest[NUMBER_TEXT_MAX];
    number_format(d, shortest);
    if (strcmp(shortest, literal) != 0) {
        n->valuestring = json_alloc_text(literal, len);
        if (!n->valuestring) {
            cJSON_Delete(n);
            return error_no_memory(err);
        }
    }
    *ret = n;
    return 0;
}
