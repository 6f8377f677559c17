#include <schedule/next.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <base/text.h>

#define MINUTE_MS      INT64_C(60000)
#define HOUR_MS        (60 * MINUTE_MS)
#define DAY_MS         (24 * HOUR_MS)
#define EVERY_MAX_MS   (3650 * DAY_MS)
#define JITTER_PARTS   20 /* 5 % */
#define JITTER_MAX_MS  (3 * DAY_MS)
#define LATER_MAX_MS   (15 * MINUTE_MS)
#define WRITES_REST_MS DAY_MS /* a count that is only an upper bound does not rotate more often than that */
#define LOOKS_MAX      64

int schedule_duration_parse(const char *text, int64_t *ret_ms, struct error *err)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'h', HOUR_MS}, {'d', DAY_MS}, {'w', 7 * DAY_MS}};
    char digits[8] = "";
    size_t n = strspn(text, "0123456789");
    int64_t number = 0;
    *ret_ms = 0;
    if (!*text)
        return 0;
    if (n > 0 && n < sizeof(digits))
        memcpy(digits, text, n);
    bool shape = n > 0 && n < sizeof(digits) && text[n] && !text[n + 1];
    for (size_t i = 0; shape && i < array_len(units); i++)
        if (units[i].unit == text[n] && text_int(digits, 1, 99999, &number, NULL) == 0)
            *ret_ms = number * units[i].ms;
    if (*ret_ms > 0 && *ret_ms <= EVERY_MAX_MS)
        return 0;
    return error_set(err, ERR_INVALID, "'%.40s' is not a time such as 90d, 12w or 36h (up to 3650d)", text);
}

/* FNV-1a: the same on every machine, and no secret. */
static uint64_t draw(const struct schedule_key *k)
{
    uint64_t h = UINT64_C(14695981039346656037);
    const char *const parts[] = {k->cluster, k->provider, k->name};
    for (size_t i = 0; i < array_len(parts); i++)
        for (const char *s = parts[i];; s++) {
            h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
            if (!*s)
                break;
        }
    return h ^ h >> 32; /* its low bits alone know little of its first letters */
}

static int64_t part_of(uint64_t drawn, int64_t most)
{
    return most > 0 ? (int64_t)(drawn % (uint64_t)(most + 1)) : 0;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* A beginning at `from` or later, and the end of its window. */
struct start {
    int64_t at_ms, closes_ms;
};

static struct start start_from(const struct windows *w, uint64_t drawn, int64_t from)
{
    for (int i = 0; i < LOOKS_MAX; i++) {
        struct window_times t = window_next(w, from);
        if (t.opens_ms == WINDOW_NEVER)
            break;
        if (t.closes_ms == WINDOW_NEVER) /* always open */
            return (struct start){from, SCHEDULE_NONE};
        int64_t length = t.closes_ms - t.opens_ms;
        int64_t at = larger(from, t.opens_ms + part_of(drawn >> 16, smaller(length / 4, LATER_MAX_MS)));
        if (at <= t.opens_ms + length / 2)
            return (struct start){at, t.closes_ms};
        from = t.closes_ms;
    }
    return (struct start){SCHEDULE_NONE, SCHEDULE_NONE};
}

/* When the limit is reached at the pace so far, of a day at least. */
static int64_t limit_reached(const struct schedule_rules *rules, const struct schedule_key *k, int64_t now)
{
    int64_t left = rules->writes_max - k->writes, written = k->writes - k->base;
    int64_t took = larger(now - larger(k->since_ms, k->base_ms), DAY_MS);
    if (left <= 0)
        return now;
    if (written <= 0)
        return SCHEDULE_NONE;
    double more = (double)took / (double)written * (double)left;
    return more < (double)EVERY_MAX_MS ? now + (int64_t)more : SCHEDULE_NONE;
}

static void every_text(int64_t every_ms, char out[SCHEDULE_WHY_MAX])
{
    bool days = every_ms % DAY_MS == 0;
    long long n = (long long)(every_ms / (days ? DAY_MS : HOUR_MS));
    snprintf(out, SCHEDULE_WHY_MAX, "every %lld %s%s", n, days ? "day" : "hour", n == 1 ? "" : "s");
}

static bool writes_count(const struct schedule_rules *rules, const struct schedule_key *k)
{
    return rules->writes_max > 0 && k->writes >= 0 && strcmp(k->provider, "aesgcm") == 0;
}

static void writes_text(const struct schedule_rules *rules, const struct schedule_key *k,
                        char out[SCHEDULE_WHY_MAX])
{
    int used =
        snprintf(out, SCHEDULE_WHY_MAX, "%s%lld values were written under %.64s, of %lld",
                 k->guessed > 0 ? "up to " : "", (long long)k->writes, k->name, (long long)rules->writes_max);
    if (k->guessed > 0 && used > 0 && used < SCHEDULE_WHY_MAX)
        snprintf(out + used, SCHEDULE_WHY_MAX - (size_t)used, "; %lld were seen",
                 (long long)(k->writes - k->guessed));
}

void schedule_next(const struct schedule_rules *rules, const struct schedule_key *key,
                   const struct windows *windows, int64_t not_before_ms, int64_t now_ms,
                   struct schedule_next *ret)
{
    *ret = (struct schedule_next){.at_ms = SCHEDULE_NONE, .live_ms = SCHEDULE_NONE};
    if (rules->every_ms == 0)
        return;
    uint64_t drawn = draw(key);
    int64_t soonest = larger(now_ms, not_before_ms);
    int64_t due = key->born_ms + rules->every_ms -
                  part_of(drawn, smaller(rules->every_ms / JITTER_PARTS, JITTER_MAX_MS));
    struct start start = start_from(windows, drawn, larger(due, soonest));
    every_text(rules->every_ms, ret->why);
    if (writes_count(rules, key)) {
        struct start first = start_from(windows, drawn, larger(soonest, key->since_ms + WRITES_REST_MS));
        struct start second = first;
        if (first.closes_ms != SCHEDULE_NONE)
            second = start_from(windows, drawn, first.closes_ms);
        if (first.at_ms < start.at_ms &&
            limit_reached(rules, key, now_ms) < larger(second.at_ms, now_ms + 1)) {
            start = first;
            writes_text(rules, key, ret->why);
        }
    }
    ret->at_ms = start.at_ms;
    ret->live_ms = start.closes_ms;
}
