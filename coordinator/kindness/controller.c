#include "controller.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/error.h>
#include <base/text.h>

#define START_RATE   100.0 /* half of what the slowest servers measured can take, or less */
#define UNSEEN_RATE  250.0 /* K3s's own loop comes to about this, and looks at nothing */
#define FLOOR_RATE   10.0  /* so slow nobody feels it, and the pass still ends some day */
#define RISE_EVERY   2000
#define RISE_FAST    1.25 /* until somebody has felt it once */
#define RISE_SLOWLY  1.1
#define HALVE_EVERY  2000 /* what one halving does must be seen before the next */
#define PAUSE_MIN_MS 5000
#define PAUSE_CALM   3000
/* A server that is merely slow for ever (or that was idle in luck when the baseline was taken) must not keep
 * the pass from ever ending: with nothing worse than that it goes on at the floor. */
#define PAUSE_MAX_MS 30000

#define LAG_HALVE_MS 250.0
#define LAG_PAUSE_MS 1000.0
#define IDLE_MIN_MS  10.0 /* below it a p99 is the machine's noise */
#define SLOW_TIMES   2.0  /* the promise: p99 at most twice the idle one */
#define HANG_TIMES   4.0
#define AGAIN_AFTER  5000 /* at the floor: by then the answers are of that pace */
#define AGAIN_TIMES                                                                                          \
    3.0 /* never above so many times what it was before the start: others may have overloaded it */
#define AGAIN_DECAY  0.995  /* a turn: by half in two minutes */
#define HANG_MS      1000.0 /* nobody calls that busy any more */
#define REFUSED_MOST 0.20
#define OWN_TIMES    4.0
#define OWN_MIN_MS   25.0

/* Shares of the quota. `In use` counts, not the file: that never shrinks without a defragmentation. */
#define FULL_AT   0.60
#define FULL_TILL 0.50

#define HISTORY_TIMES 1.4 /* what a version of a value takes in the file: pages are never quite full … */
#define HISTORY_BYTES 200 /* … and its key, its index entry and its place in the log */

/* One sign of trouble. */
struct sign {
    bool pause;   /* else it halves */
    double ratio; /* over what is allowed; the worst one is told of */
    char text[CLUSTER_TEXT_MAX];
};

static void note(struct sign *worst, bool pause, double ratio, const char *format, ...) _printf_(4, 5);
static void note(struct sign *worst, bool pause, double ratio, const char *format, ...)
{
    va_list args;

    if (worst->text[0] && (pause != worst->pause ? worst->pause : ratio <= worst->ratio))
        return;
    worst->pause = pause;
    worst->ratio = ratio;
    va_start(args, format);
    vsnprintf(worst->text, sizeof(worst->text), format, args);
    va_end(args);
}

/* ---------- what each server felt ---------- */

struct marks {
    double halve, pause;
};

/* What a server's answers take when nobody rewrites: as it was before the start, or as it is while the pace
 * is too low to be felt, whichever is more. Machines have slow minutes of their own. */
static double idle_time(const struct controller *c, size_t server, size_t kind, double before)
{
    double again = c->again[server][kind];

    if (before > 0 && again > AGAIN_TIMES * before)
        again = AGAIN_TIMES * before;
    return again > before ? again : before;
}

static struct marks lag_marks(double idle)
{
    (void)idle;
    return (struct marks){LAG_HALVE_MS, LAG_PAUSE_MS};
}

static struct marks answer_marks(double idle)
{
    double base = idle > IDLE_MIN_MS ? idle : IDLE_MIN_MS;
    double hang = HANG_TIMES * base;

    return (struct marks){SLOW_TIMES * base, hang > HANG_MS ? hang : HANG_MS};
}

static const struct time_rule {
    const char *what;
    size_t value, idle; /* offsets in struct felt */
    struct marks (*marks)(double idle);
} time_rules[CONTROLLER_KINDS] = {
    {"watch lag", offsetof(struct felt, lag_ms), offsetof(struct felt, lag_ms), lag_marks},
    {"GET", offsetof(struct felt, get_ms), offsetof(struct felt, idle_get_ms), answer_marks},
    {"LIST", offsetof(struct felt, list_ms), offsetof(struct felt, idle_list_ms), answer_marks},
};

static double field(const struct felt *f, size_t offset)
{
    double value;

    memcpy(&value, (const char *)f + offset, sizeof(value));
    return value;
}

static void look_at_server(const struct controller *c, size_t server, struct sign *worst,
                           const struct felt *f)
{
    for (size_t i = 0; i < array_len(time_rules); i++) {
        const struct time_rule *r = &time_rules[i];
        double value = field(f, r->value);
        struct marks m = r->marks(idle_time(c, server, i, field(f, r->idle)));

        if (value > m.halve)
            note(worst, value > m.pause, value / m.halve, "%s: %s %.0f ms (at most %.0f)", f->server, r->what,
                 value, m.halve);
    }
    if (f->closed > 0)
        note(worst, true, f->closed, "%s: closed %u watch%s", f->server, f->closed,
             f->closed == 1 ? "" : "es");
    if (f->errors > 0)
        note(worst, false, f->errors, "%s: %u request%s failed or %s refused", f->server, f->errors,
             f->errors == 1 ? "" : "s", f->errors == 1 ? "was" : "were");
}

/* ---------- what the cluster felt ---------- */

static void look_at_engine(const struct signals *s, struct sign *worst)
{
    double most = OWN_TIMES * s->own_idle_ms;

    if (s->refused > REFUSED_MOST)
        note(worst, false, s->refused / REFUSED_MOST,
             "%.0f %% of the writes were refused or repeated (at most %.0f)", 100 * s->refused,
             100 * REFUSED_MOST);
    most = most > OWN_MIN_MS ? most : OWN_MIN_MS;
    if (s->own_idle_ms >= 0 && s->own_ms > most)
        note(worst, false, s->own_ms / most, "writes take %.0f ms (at most %.0f)", s->own_ms, most);
}

static double mebibytes(int64_t bytes)
{
    return (double)bytes / (1024 * 1024);
}

static void look_at_datastore(struct controller *c, const struct signals *s, struct sign *worst)
{
    if (s->alarm)
        note(worst, true, 1000,
             "the datastore's NOSPACE alarm is raised: compact and defragment it, then disarm the alarm");
    if (s->db_in_use < 0 || s->quota_bytes <= 0)
        return;
    double share = (double)s->db_in_use / (double)s->quota_bytes;
    c->full = share > (c->full ? FULL_TILL : FULL_AT);
    if (c->full)
        note(worst, true, 100,
             "the datastore has %.0f MiB in use of a quota of %.0f (at most %.0f %%): waiting for the API "
             "servers to compact history",
             mebibytes(s->db_in_use), mebibytes(s->quota_bytes), 100 * FULL_AT);
}

/* ---------- the rate ---------- */

static double ceiling(const struct controller *c, double rate)
{
    return c->options.max_rate > 0 && rate > c->options.max_rate ? c->options.max_rate : rate;
}

static double keep_above_floor(const struct controller *c, double rate)
{
    return ceiling(c, rate > FLOOR_RATE ? rate : FLOOR_RATE);
}

static void set_rate(struct controller *c, double rate, int64_t now_ms)
{
    c->rate = rate;
    c->changed_ms = now_ms;
}

void controller_init(struct controller *c, const struct controller_options *options, int64_t now_ms)
{
    *c = (struct controller){.options = *options};
    if (c->options.start <= 0)
        c->options.start = START_RATE;
    if (c->options.unseen <= 0)
        c->options.unseen = UNSEEN_RATE;
    c->changed_ms = c->quiet_since_ms = c->calm_since_ms = now_ms;
    c->halved_ms = now_ms - HALVE_EVERY; /* the first sign counts at once */
    c->rate = ceiling(c, c->options.start);
}

void controller_limit(struct controller *c, double max_rate)
{
    c->options.max_rate = max_rate;
    c->rate = ceiling(c, c->rate);
    c->resume_rate = ceiling(c, c->resume_rate);
}

static void pause_now(struct controller *c, int64_t now_ms)
{
    if (c->rate == 0)
        return;
    c->resume_rate = keep_above_floor(c, c->rate / 4);
    c->paused_ms = now_ms;
    set_rate(c, 0, now_ms);
}

static void halve(struct controller *c, int64_t now_ms)
{
    if (c->rate == 0 || now_ms - c->halved_ms < HALVE_EVERY)
        return;
    c->halved_ms = now_ms;
    double half = keep_above_floor(c, c->rate / 2);
    if (half < c->rate) /* at the floor it has stood since it came there */
        set_rate(c, half, now_ms);
}

static void take_sign(struct controller *c, const struct sign *worst, int64_t now_ms)
{
    if (worst->pause || c->rate > 0) /* else what it is paused for says more */
        text_copy(c->why, sizeof(c->why), worst->text);
    c->felt = true;
    c->quiet_since_ms = now_ms;
    if (worst->pause)
        c->calm_since_ms = now_ms;
    if (worst->pause)
        pause_now(c, now_ms);
    else
        halve(c, now_ms);
}

static void resume(struct controller *c, int64_t now_ms)
{
    if (now_ms - c->paused_ms < PAUSE_MIN_MS)
        return;
    if (now_ms - c->quiet_since_ms >= PAUSE_CALM)
        set_rate(c, c->resume_rate, now_ms);
    else if (now_ms - c->calm_since_ms >= PAUSE_MAX_MS)
        set_rate(c, keep_above_floor(c, 0), now_ms);
}

/* A server of which something is not known may suffer unseen. */
static const struct felt *unmeasured(const struct signals *s)
{
    static const struct felt nobody = {.server = "API servers", .unmeasured = "none can be asked"};

    for (size_t i = 0; i < s->servers_count; i++) {
        const struct felt *f = &s->servers[i];

        if (f->lag_ms < 0 || f->get_ms < 0 || f->list_ms < 0)
            return f;
    }
    return s->servers_count == 0 ? &nobody : NULL;
}

static void tell_unmeasured(struct controller *c, const struct felt *f)
{
    snprintf(c->why, sizeof(c->why), "%s: not measured%s%.300s (at most %.0f a second)", f->server,
             f->unmeasured ? ": " : "", f->unmeasured ? f->unmeasured : "", c->options.unseen);
}

static void rise(struct controller *c, const struct signals *s, const struct felt *blind, int64_t now_ms)
{
    int64_t since = c->changed_ms > c->quiet_since_ms ? c->changed_ms : c->quiet_since_ms;
    double rate = ceiling(c, c->rate * (c->felt ? RISE_SLOWLY : RISE_FAST));

    if (now_ms - c->quiet_since_ms >= RISE_EVERY)
        c->why[0] = '\0';
    if (blind && c->why[0] == '\0')
        tell_unmeasured(c, blind);
    if (blind && rate > c->options.unseen)
        rate = c->options.unseen > c->rate ? c->options.unseen : c->rate;
    if (s->saturated && now_ms - since >= RISE_EVERY && rate > c->rate)
        set_rate(c, rate, now_ms);
}

/* At the floor the rewrite is nobody's trouble any more: what answers take now is the idle time of now. */
static void take_idle_again(struct controller *c, const struct signals *s, int64_t now_ms)
{
    bool at_floor = c->rate > 0 && c->rate <= FLOOR_RATE && now_ms - c->changed_ms >= AGAIN_AFTER;

    for (size_t i = 0; i < s->servers_count; i++)
        for (size_t k = 0; k < CONTROLLER_KINDS; k++) {
            double value = field(&s->servers[i], time_rules[k].value);

            c->again[i][k] *= AGAIN_DECAY;
            if (at_floor && time_rules[k].marks == answer_marks && value > c->again[i][k])
                c->again[i][k] = value;
        }
}

double controller_turn(struct controller *c, const struct signals *s, int64_t now_ms)
{
    const struct felt *blind = unmeasured(s);
    struct sign worst = {0};

    take_idle_again(c, s, now_ms);
    for (size_t i = 0; i < s->servers_count; i++)
        look_at_server(c, i, &worst, &s->servers[i]);
    look_at_engine(s, &worst);
    look_at_datastore(c, s, &worst);
    if (blind && c->rate > c->options.unseen) /* it was measured until now */
        set_rate(c, c->options.unseen, now_ms);
    if (worst.text[0])
        take_sign(c, &worst, now_ms);
    if (c->rate == 0)
        resume(c, now_ms);
    else if (!worst.text[0])
        rise(c, s, blind, now_ms);
    return c->rate;
}

/* ---------- room ---------- */

int controller_room(int64_t values, int64_t bytes, int64_t db_bytes, int64_t quota_bytes,
                    double *ret_rate_max, struct error *err)
{
    double used = db_bytes > 0 ? (double)db_bytes : 0;
    double room = FULL_TILL * (double)quota_bytes - used;
    double each = values > 0 ? (double)bytes / (double)values * HISTORY_TIMES + HISTORY_BYTES : 0;

    if (quota_bytes <= 0 || values <= 0 || (double)values * each <= room) {
        *ret_rate_max = 0;
        return 0;
    }
    if (room < each * KINDNESS_HISTORY_S) /* not even one a second */
        return error_set(err, ERR_STATE,
                         "the datastore has no room for a rewrite: %.0f MiB are in use, and history must "
                         "keep them below %.0f (%.0f %% of the quota of %.0f); compact it, or raise the "
                         "quota (etcd's --quota-backend-bytes, and datastore.quota in the config)",
                         mebibytes(db_bytes), FULL_TILL * mebibytes(quota_bytes), 100 * FULL_TILL,
                         mebibytes(quota_bytes));
    *ret_rate_max = room / (each * KINDNESS_HISTORY_S);
    return 0;
}
