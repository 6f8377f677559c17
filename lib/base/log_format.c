/* logfmt and JSON. Whatever stands in a value, a line stays one line and a field one field: values come from
 * servers' answers, files and people. */
#include "log_parts.h"

#include <inttypes.h>

#include <base/clock.h>
#include <base/text.h>

/* Code points that terminals or editors take for something else than a sign: C1 controls, line and paragraph
 * separators, marks that turn the direction of a text. */
static bool is_trick(uint32_t c)
{
    return (c >= 0x80 && c <= 0x9f) || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x2069) || c == 0xfeff || c == 0x061c;
}

/* The code point of a well-formed sequence of n bytes. */
static uint32_t code_point(const unsigned char *p, size_t n)
{
    uint32_t c = n == 1 ? *p : *p & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3f);
    return c;
}

/* One code point as it stands in a JSON string. */
static int add_escaped(struct buf *b, const unsigned char *p, size_t n)
{
    uint32_t c = code_point(p, n);
    if (c == '"' || c == '\\')
        return buf_addf(b, NULL, "\\%c", (int)c);
    if (c == '\n' || c == '\t' || c == '\r')
        return buf_adds(b, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r", NULL);
    if (c < 0x20 || c == 0x7f || is_trick(c))
        return buf_addf(b, NULL, "\\u%04" PRIx32, c);
    return buf_add(b, p, n, NULL);
}

/* In quotes, as a JSON string; a logfmt value in quotes is the same. */
static int add_quoted(struct buf *b, const char *v)
{
    const unsigned char *p = (const unsigned char *)v;
    size_t left = strnlen(v, LOG_VALUE_MAX + 1);
    bool cut = left > LOG_VALUE_MAX;
    int rc = buf_adds(b, "\"", NULL);
    for (left -= cut; left > 0 && rc == 0;) {
        size_t plain = text_plain_run(p, left), n = plain ? plain : text_utf8_sequence(p, left);
        if (n == 0 && cut && left < 4)
            break; /* the cut went through a sign */
        rc = plain ? buf_add(b, p, n, NULL) : n ? add_escaped(b, p, n) : buf_adds(b, "\\ufffd", NULL);
        p += n ? n : 1;
        left -= n ? n : 1;
    }
    return rc < 0 ? rc : buf_adds(b, cut ? LOG_CUT "\"" : "\"", NULL);
}

/* Bare where that is unambiguous for every reader of logfmt. */
static bool is_bare(const char *v)
{
    size_t n = 0;
    for (; v[n]; n++)
        if ((unsigned char)v[n] <= ' ' || (unsigned char)v[n] >= 0x7f || strchr("\"'=\\", v[n]) ||
            n >= LOG_VALUE_MAX)
            return false;
    return n > 0;
}

static int add_logfmt(struct buf *b, const struct log_field *f)
{
    int rc = buf_addf(b, NULL, "%s%s=", b->len ? " " : "", f->key);
    if (rc < 0)
        return rc;
    if (!f->text)
        return buf_addf(b, NULL, "%" PRId64, f->number);
    return is_bare(f->text) ? buf_adds(b, f->text, NULL) : add_quoted(b, f->text);
}

static int add_json(struct buf *b, const struct log_field *f)
{
    int rc = buf_adds(b, b->len ? "," : "{", NULL);
    if (rc == 0)
        rc = add_quoted(b, f->key);
    if (rc == 0)
        rc = buf_adds(b, ":", NULL);
    if (rc < 0)
        return rc;
    return f->text ? add_quoted(b, f->text) : buf_addf(b, NULL, "%" PRId64, f->number);
}

typedef int add_field(struct buf *b, const struct log_field *f);

/* Whole fields only: the first that does not fit ends the line. */
static bool add_fields(struct buf *b, add_field *add, const struct log_field *fields, size_t count)
{
    static const struct log_field cut = LOG_I("truncated", 1);
    static const size_t spare = 32; /* for the end of the line */
    size_t whole = b->len;
    b->max -= spare;
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = add(b, &fields[i]);
        if (rc == 0)
            whole = b->len;
    }
    b->max += spare;
    if (rc == 0)
        return true;
    if (!b->data)
        return false;
    b->len = whole;
    b->data[whole] = 0;
    return add(b, &cut) == 0;
}

/* What begins every line. */
static size_t head(const struct log_line *l, char now[CLOCK_TEXT_MAX], struct log_field out[5])
{
    size_t n = 0;
    clock_format_ms(l->wall_ms, now);
    out[n++] = LOG_S("time", now);
    out[n++] = LOG_S("level", log_level_name(l->level));
    out[n++] = LOG_S("program", l->program);
    if (*l->server)
        out[n++] = LOG_S("host", l->server);
    out[n++] = LOG_S("msg", l->event);
    return n;
}

static bool format(const struct log_line *l, add_field *add, struct buf *out)
{
    char now[CLOCK_TEXT_MAX];
    struct log_field all[5 + LOG_FIELDS];
    size_t n = head(l, now, all);
    memcpy(all + n, l->fields, l->count * sizeof(all[0]));
    return add_fields(out, add, all, n + l->count);
}

bool log_format_logfmt(const struct log_line *line, struct buf *out)
{
    return format(line, add_logfmt, out);
}

bool log_format_json(const struct log_line *line, struct buf *out)
{
    return format(line, add_json, out) && buf_adds(out, "}", NULL) == 0;
}

bool log_format_message(const struct log_line *line, struct buf *out)
{
    /* As a sentence; in quotes only if somebody managed to have something else than words in it. */
    int rc = 0;
    bool plain = true;
    for (const char *p = line->event; *p; p++)
        plain &= (unsigned char)*p >= ' ' && (unsigned char)*p < 0x7f && p - line->event < 256;
    rc = plain ? buf_adds(out, line->event, NULL) : add_quoted(out, line->event);
    return rc == 0 && add_fields(out, add_logfmt, line->fields, line->count);
}
