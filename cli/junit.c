#include <cli/junit.h>

#include <inttypes.h>

#include <base/clock.h>
#include <base/text.h>
#include <report/exits.h>
#include <report/words.h>
#include <rotation/rotation.h>

/* --- what was seen --- */

void junit_begin(struct junit *j, enum operation_kind kind, bool asks, int64_t now_ms)
{
    memset(j, 0, sizeof(*j));
    j->kind = kind;
    j->asks = asks;
    j->begun_ms = now_ms;
}

void junit_accepted(struct junit *j, const char *operation, enum operation_kind kind, int64_t now_ms)
{
    text_copy(j->operation, sizeof(j->operation), operation);
    j->kind = kind;
    j->accepted_ms = now_ms;
}

static void begin_case(struct junit *j, enum phase phase, int64_t step, int64_t now_ms)
{
    if (j->cases_count == JUNIT_CASES_MAX)
        return;
    j->cases[j->cases_count].phase = phase;
    j->cases[j->cases_count].step = step;
    j->cases[j->cases_count].begun_ms = now_ms;
    j->cases[j->cases_count++].ended_ms = 0;
}

static void end_case(struct junit *j, int64_t now_ms)
{
    if (j->cases_count > 0 && j->cases[j->cases_count - 1].ended_ms == 0)
        j->cases[j->cases_count - 1].ended_ms = now_ms;
}

/* On along the plan. */
static enum phase step_on(const struct cluster_snapshot *s, struct cluster_rotation *r)
{
    if (rotation_phase_drops(r->op.phase))
        r->op.before = r->generation; /* which the last check is about */
    r->op.phase = rotation_next_phase(s, r);
    return r->op.phase;
}

/* The phases between the last one seen and the present one, where the plan leads from one to the other: each
 * that was passed unseen took no time worth telling. */
static void pass_unseen(struct junit *j, const struct cluster_snapshot *s, int64_t now_ms)
{
    const struct cluster_operation *op = &s->rotation.op;
    enum phase between[JUNIT_REST_MAX];
    size_t count = 0;
    struct cluster_rotation r = s->rotation;
    if (j->cases_count == 0)
        return;
    r.op.phase = j->cases[j->cases_count - 1].phase;
    while (count < JUNIT_REST_MAX) {
        if (step_on(s, &r) == op->phase)
            break;
        if (r.op.phase == PHASE_DONE)
            return; /* it did not go forward */
        between[count++] = r.op.phase;
    }
    for (size_t i = 0; i < count; i++) {
        begin_case(j, between[i], 0, now_ms);
        end_case(j, now_ms);
    }
}

static void look_ahead(struct junit *j, const struct cluster_snapshot *s)
{
    struct cluster_rotation r = s->rotation;
    j->rest_count = 0;
    while (r.op.phase != PHASE_DONE && j->rest_count < JUNIT_REST_MAX) {
        if (step_on(s, &r) != PHASE_DONE)
            j->rest[j->rest_count++] = r.op.phase;
    }
}

void junit_look(struct junit *j, const struct cluster_snapshot *s, int64_t now_ms)
{
    const struct cluster_operation *op = &s->rotation.op;
    bool same = j->cases_count > 0 && j->cases[j->cases_count - 1].phase == op->phase &&
                j->cases[j->cases_count - 1].ended_ms == 0;
    if (same)
        return;
    end_case(j, now_ms);
    pass_unseen(j, s, now_ms);
    if (op->phase != PHASE_DONE)
        begin_case(j, op->phase, op->step, now_ms);
    look_ahead(j, s);
}

/* --- the file --- */

/* Bytes of the character at p that XML takes; 0: none. */
static size_t character(const char *p)
{
    unsigned char c = (unsigned char)*p;
    if (c < 0x80)
        return c >= 0x20 && c != 0x7f;
    for (size_t n = 2; n <= 4; n++)
        if (strnlen(p, n) == n && text_is_utf8(p, n))
            return memcmp(p, "\xef\xbf\xbe", 3) == 0 || memcmp(p, "\xef\xbf\xbf", 3) == 0 ? 0 : n;
    return 0;
}

/* As the value of an attribute. Control characters, and bytes that are no UTF-8, become '?'. */
static int add_value(struct buf *out, const char *text, struct error *err)
{
    static const char *const escapes[256] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&apos;"};
    int rc = 0;
    for (const char *p = text; *p && rc == 0;) {
        const char *escape = escapes[(unsigned char)*p];
        size_t n = character(p);
        rc = escape ? buf_adds(out, escape, err) : n == 0 ? buf_adds(out, "?", err) : buf_add(out, p, n, err);
        p += n ? n : 1;
    }
    return rc;
}

static int add_attribute(struct buf *out, const char *name, const char *text, struct error *err)
{
    int rc = buf_addf(out, err, " %s=\"", name);
    if (rc == 0)
        rc = add_value(out, text, err);
    return rc == 0 ? buf_adds(out, "\"", err) : rc;
}

static int add_seconds(struct buf *out, int64_t ms, struct error *err)
{
    ms = ms > 0 ? ms : 0;
    return buf_addf(out, err, " time=\"%" PRId64 ".%03d\"", ms / 1000, (int)(ms % 1000));
}

struct outcome {
    bool failed, skipped;
    const char *type, *message;
};

static int add_outcome(struct buf *out, const struct outcome *o, struct error *err)
{
    if (o->skipped)
        return buf_adds(out, "><skipped/></testcase>\n", err);
    if (!o->failed)
        return buf_adds(out, "/>\n", err);
    int rc = buf_adds(out, "><failure", err);
    if (rc == 0)
        rc = add_attribute(out, "type", o->type, err);
    if (rc == 0)
        rc = add_attribute(out, "message", o->message, err);
    return rc == 0 ? buf_adds(out, "/></testcase>\n", err) : rc;
}

static int add_case(struct buf *out, const struct junit *j, const char *name, int64_t took_ms,
                    const struct outcome *o, struct error *err)
{
    char class[64];
    snprintf(class, sizeof(class), "secrets-encrypt.%s", operation_kind_name(j->kind));
    int rc = buf_adds(out, "    <testcase", err);
    if (rc == 0)
        rc = add_attribute(out, "classname", class, err);
    if (rc == 0)
        rc = add_attribute(out, "name", name, err);
    if (rc == 0)
        rc = add_seconds(out, took_ms, err);
    return rc == 0 ? add_outcome(out, o, err) : rc;
}

static void name_phase(const struct junit *j, enum phase phase, char out[160])
{
    snprintf(out, 160, "%s: %s", phase_name(phase), phase_claim(j->kind, phase));
}

static int add_phases(struct buf *out, const struct junit *j, const struct outcome *end, int64_t now_ms,
                      struct error *err)
{
    static const struct outcome passed = {0}, skipped = {.skipped = true};
    char name[160];
    int rc = 0;
    for (size_t i = 0; i < j->cases_count && rc == 0; i++) {
        int64_t ended_ms = j->cases[i].ended_ms ? j->cases[i].ended_ms : now_ms;
        bool last = i + 1 == j->cases_count;
        name_phase(j, j->cases[i].phase, name);
        rc = add_case(out, j, name, ended_ms - j->cases[i].begun_ms, last ? end : &passed, err);
    }
    for (size_t i = 0; i < j->rest_count && end->failed && rc == 0; i++) {
        name_phase(j, j->rest[i], name);
        rc = add_case(out, j, name, 0, &skipped, err);
    }
    return rc;
}

/* Where it did not come to phases, one case tells how it ended. */
static int add_cases(struct buf *out, const struct junit *j, const struct outcome *end, int64_t now_ms,
                     struct error *err)
{
    static const struct outcome passed = {0};
    int64_t answered_ms = j->accepted_ms ? j->accepted_ms : now_ms;
    int rc = 0;
    if (j->asks)
        rc = add_case(out, j, "request: the coordinator accepts it", answered_ms - j->begun_ms,
                      j->accepted_ms ? &passed : end, err);
    if (rc == 0 && j->cases_count == 0 && (j->accepted_ms || !j->asks))
        rc = add_case(out, j, "result: how it ended", now_ms - answered_ms, end, err);
    return rc == 0 ? add_phases(out, j, end, now_ms, err) : rc;
}

static size_t count_cases(const struct junit *j)
{
    return j->cases_count + j->asks + (j->cases_count == 0 && (j->accepted_ms || !j->asks));
}

int junit_render(const struct junit *j, int code, const char *message, int64_t now_ms, struct buf *out,
                 struct error *err)
{
    const struct outcome end = {code != EXIT_DONE, false, exit_cause(code), message};
    size_t skipped = end.failed ? j->rest_count : 0;
    char name[64], at[CLOCK_TEXT_MAX];
    snprintf(name, sizeof(name), "secrets-encrypt %s", operation_kind_name(j->kind));
    clock_format(j->begun_ms, at);
    int rc = buf_addf(out, err,
                      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"%s\" "
                      "tests=\"%zu\" failures=\"%d\" errors=\"0\" skipped=\"%zu\" timestamp=\"%.19s\"",
                      name, count_cases(j) + skipped, end.failed ? 1 : 0, skipped, at);
    if (rc == 0)
        rc = add_seconds(out, now_ms - j->begun_ms, err);
    if (rc == 0)
        rc = buf_adds(out, ">\n    <properties><property name=\"operation\"", err);
    if (rc == 0)
        rc = add_attribute(out, "value", j->operation, err);
    if (rc == 0)
        rc = buf_adds(out, "/></properties>\n", err);
    if (rc == 0)
        rc = add_cases(out, j, &end, now_ms, err);
    return rc == 0 ? buf_adds(out, "  </testsuite>\n</testsuites>\n", err) : rc;
}
