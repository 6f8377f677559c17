#include <report/table.h>

#include <inttypes.h>

#define COLUMNS_MAX 16

static size_t code_points(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void trim_end(struct buf *out, size_t from)
{
    while (out->len > from && out->data[out->len - 1] == ' ')
        out->data[--out->len] = 0;
}

static int render_row(const char *const *cells, size_t columns, const size_t *widths, bool trim,
                      struct buf *out, struct error *err)
{
    size_t from = out->len;
    int rc = 0;
    for (size_t c = 0; c < columns && rc == 0; c++) {
        size_t pad = c + 1 < columns ? widths[c] + 2 - code_points(cells[c]) : 0;
        rc = buf_addf(out, err, "%s%*s", cells[c], (int)pad, "");
    }
    if (trim)
        trim_end(out, from);
    return rc == 0 ? buf_adds(out, "\n", err) : rc;
}

int table_render(const char *const *cells, size_t rows, size_t columns, bool trim, struct buf *out,
                 struct error *err)
{
    size_t widths[COLUMNS_MAX] = {0};
    if (columns > COLUMNS_MAX)
        return error_set(err, ERR_INTERNAL, "a table of %zu columns", columns);
    for (size_t i = 0; i < rows * columns; i++) {
        size_t n = code_points(cells[i]);
        if (n > widths[i % columns])
            widths[i % columns] = n;
    }
    int rc = 0;
    for (size_t r = 0; r < rows && rc == 0; r++)
        rc = render_row(cells + r * columns, columns, widths, trim, out, err);
    return rc;
}

void make_printable(struct buf *text)
{
    for (size_t i = 0; i < text->len; i++) {
        unsigned char c = (unsigned char)text->data[i];
        unsigned char next = i + 1 < text->len ? (unsigned char)text->data[i + 1] : 0;
        if ((c < 0x20 && c != '\n') || c == 0x7f)
            text->data[i] = '?';
        if (c == 0xc2 && next >= 0x80 && next < 0xa0)
            text->data[i] = text->data[i + 1] = '?';
    }
}

void format_count(int64_t n, char out[COUNT_TEXT_MAX])
{
    char digits[COUNT_TEXT_MAX];
    int len = snprintf(digits, sizeof(digits), "%" PRId64, n < 0 ? 0 : n);
    size_t used = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = 0;
}

/* `digits`: at least so many for the minutes of less than an hour. */
static void format_time(int64_t ms, int digits, char out[DURATION_TEXT_MAX])
{
    int64_t s = ms < 0 ? 0 : ms / 1000;
    if (s >= 3600)
        snprintf(out, DURATION_TEXT_MAX, "%" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60),
                 (int)(s % 60));
    else
        snprintf(out, DURATION_TEXT_MAX, "%0*d:%02d", digits, (int)(s / 60), (int)(s % 60));
}

void format_duration(int64_t ms, char out[DURATION_TEXT_MAX])
{
    format_time(ms, 1, out);
}

void format_clock(int64_t ms, char out[DURATION_TEXT_MAX])
{
    format_time(ms, 2, out);
}

void format_age(int64_t ms, char out[AGE_TEXT_MAX])
{
    static const struct {
        int64_t limit_s, unit_s;
        char letter;
    } units[] = {{120, 1, 's'}, {2 * 3600, 60, 'm'}, {2 * 86400, 3600, 'h'}, {INT64_MAX, 86400, 'd'}};
    int64_t s = ms < 0 ? 0 : ms / 1000;
    size_t i = 0;
    while (s >= units[i].limit_s)
        i++;
    snprintf(out, AGE_TEXT_MAX, "%" PRId64 "%c", s / units[i].unit_s, units[i].letter);
}
