#include "internal.h"

#include <string.h>

#include <base/text.h>

#define NUMBER_MAX 32

static void add(struct render *r, const char *data, size_t len)
{
    if (r->rc == 0)
        r->rc = buf_add(r->out, data, len, r->err);
}

static void adds(struct render *r, const char *text)
{
    add(r, text, strlen(text));
}

/* ---------- label values ---------- */

/* Bytes of the UTF-8 sequence that starts at p; 0: none does. */
static size_t sequence(const char *p)
{
    unsigned char c = (unsigned char)*p;
    size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < len; i++)
        if (!p[i])
            return 0;
    return text_is_utf8(p, len) ? len : 0;
}

/* One invalid byte would make Prometheus refuse the whole page: it is shown as \xff, and then a backslash of
 * the name itself has to look otherwise (\\), so that two names never become one series. */
static void add_odd_byte(struct render *r, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    const char hex[] = {'\\', '\\', 'x', digits[c >> 4], digits[c & 15]};
    if (c == '\\')
        adds(r, "\\\\\\\\");
    else
        add(r, hex, sizeof(hex));
}

static bool plain_byte(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= ' ' && u < 0x7f && u != '"' && u != '\\';
}

static void add_value(struct render *r, const char *v)
{
    while (*v) {
        size_t run = 0;
        while (plain_byte(v[run]))
            run++;
        add(r, v, run);
        v += run;
        if (!*v)
            return;
        size_t len = (unsigned char)*v >= 0x80 ? sequence(v) : 0;
        if (len)
            add(r, v, len);
        else if (*v == '"')
            adds(r, "\\\"");
        else
            add_odd_byte(r, (unsigned char)*v);
        v += len ? len : 1;
    }
}

static void add_labels(struct render *r, const struct label *labels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        adds(r, i ? "," : "{");
        adds(r, labels[i].name);
        adds(r, "=\"");
        add_value(r, labels[i].value);
        adds(r, "\"");
    }
    if (count)
        adds(r, "}");
}

/* ---------- samples ---------- */

static void add_head(struct render *r)
{
    const struct metric *m = r->m;
    if (r->headed || r->rc < 0)
        return;
    r->headed = true;
    r->rc = buf_addf(r->out, r->err, "# TYPE %s %s\n", m->name, metric_type_name(m->type));
    if (r->rc == 0 && *m->unit)
        r->rc = buf_addf(r->out, r->err, "# UNIT %s %s\n", m->name, m->unit);
    if (r->rc == 0)
        r->rc = buf_addf(r->out, r->err, "# HELP %s %s.\n", m->name, m->help);
}

static void add_sample(struct render *r, const char *suffix, const struct label *labels, size_t count,
                       const char *number)
{
    add_head(r);
    adds(r, r->m->name);
    adds(r, suffix);
    add_labels(r, labels, count);
    adds(r, " ");
    adds(r, number);
    adds(r, "\n");
}

/* Writes the digits before `end`, at least so many, and returns where they begin: snprintf takes as long as
 * the rest of a page. */
static char *put_digits(char *end, uint64_t value, int at_least)
{
    for (int n = 0; n < at_least || value; n++, value /= 10)
        *--end = (char)('0' + value % 10);
    return end;
}

/* In whole units, and thousandths or millionths where there are some. Returns where the text begins. */
static const char *format_number(int64_t value, int digits, char out[NUMBER_MAX])
{
    uint64_t one = digits == 6 ? 1000000 : digits == 3 ? 1000 : 1;
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
    char *p = &out[NUMBER_MAX - 1];
    *p = 0;
    if (size % one) {
        p = put_digits(p, size % one, digits);
        *--p = '.';
    }
    p = put_digits(p, size / one, 1);
    if (value < 0)
        *--p = '-';
    return p;
}

void sample_write(struct render *r, const char *suffix, const struct label *labels, size_t count,
                  int64_t value)
{
    char number[NUMBER_MAX];
    bool seconds =
        strcmp(r->m->unit, "seconds") == 0 && strcmp(suffix, "_bucket") != 0 && strcmp(suffix, "_count") != 0;
    add_sample(r, suffix, labels, count, format_number(value, seconds ? 3 : 0, number));
}

void sample_us(struct render *r, const char *suffix, const struct label *labels, size_t count, uint64_t us)
{
    char number[NUMBER_MAX];
    add_sample(r, suffix, labels, count, format_number((int64_t)us, 6, number));
}

/* ---------- families ---------- */

bool age_since(const struct render *r, int64_t then_ms, int64_t *ret)
{
    *ret = r->now_ms > then_ms ? r->now_ms - then_ms : 0;
    return then_ms > 0;
}

bool operation_live(const struct cluster_snapshot *s)
{
    const struct cluster_operation *op = &s->rotation.op;
    return s->has_rotation && *op->id && op->state != OP_STATE_FINISHED;
}

static void add_servers(struct render *r)
{
    int64_t value = 0;
    for (size_t i = 0; i < r->s->servers_count && r->rc == 0; i++) {
        const struct snapshot_server *v = &r->s->servers[i];
        /* A name that anybody may write next to the others must not become a series. */
        if ((v->in_spec || v->reports) && r->m->server(r, v, &value))
            SAMPLE(r, value, {"server", v->name});
    }
}

static void add_family(struct render *r, const struct metric *m)
{
    int64_t value = 0;
    r->m = m;
    r->headed = false;
    if (!r->s && !m->process)
        return;
    if (m->server)
        add_servers(r);
    else if (m->write)
        m->write(r);
    else if (m->single(r, &value))
        sample_write(r, metric_suffix(m->type), NULL, 0, value);
}

int metrics_render(const struct cluster_snapshot *s, const struct metrics_process *p, struct buf *out,
                   struct error *err)
{
    struct render r = {.p = p, .out = out, .err = err};
    r.read_ms = s ? s->now_ms : 0;
    r.now_ms = p->now_ms > 0 ? p->now_ms : r.read_ms;
    r.s = r.now_ms - r.read_ms <= METRICS_STALE_MS ? s : NULL;
    _cleanup_free_ struct odd_verdict *odd = r.s ? calloc(1, sizeof(*odd)) : NULL;
    if (r.s && !odd)
        return error_no_memory(err);
    r.odd = odd;
    if (r.s)
        servers_judge(&r);
    for (size_t i = 0; i < metric_rows_count && r.rc == 0; i++)
        add_family(&r, &metric_rows[i]);
    adds(&r, "# EOF\n");
    return r.rc;
}
