#include <schedule/window.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <base/text.h>

#include "civil.h"

#define ALL_DAYS   0x7fu
#define DAYS_BACK  8 /* of beginnings of what may still be open: days that touch are one */
#define DAYS_AHEAD 16
#define SPANS_MAX  (WINDOWS_MAX * (DAYS_BACK + DAYS_AHEAD + 1))

static const char *const day_names[] = {"sunday",   "monday", "tuesday", "wednesday",
                                        "thursday", "friday", "saturday"};

/* ---------- as it is written ---------- */

static int day_of(const char *word, size_t len)
{
    for (size_t i = 0; i < array_len(day_names); i++)
        if ((len == 3 || len == strlen(day_names[i])) && strncasecmp(word, day_names[i], len) == 0)
            return (int)i;
    return -1;
}

static int parse_days(const char *text, unsigned *ret, struct error *err)
{
    *ret = strcmp(text, "daily") == 0 ? ALL_DAYS : 0;
    for (const char *s = text; *ret != ALL_DAYS;) {
        s += strspn(s, " ");
        size_t len = strcspn(s, ", ");
        int day = day_of(s, len);
        if (day < 0)
            return error_set(err, ERR_INVALID,
                             "days: '%.*s' is not mon, tue, wed, thu, fri, sat, sun or daily",
                             len < 40 ? (int)len : 40, s);
        *ret |= 1u << day;
        s += len;
        s += strspn(s, " ");
        if (!*s)
            return 0;
        s += *s == ',';
    }
    return 0;
}

static int parse_time(const char *name, const char *s, int *ret, struct error *err)
{
    bool shape = strlen(s) == 5 && s[2] == ':' && isdigit((unsigned char)s[0]) &&
                 isdigit((unsigned char)s[1]) && isdigit((unsigned char)s[3]) && isdigit((unsigned char)s[4]);
    int hour = shape ? (s[0] - '0') * 10 + s[1] - '0' : 99,
        minute = shape ? (s[3] - '0') * 10 + s[4] - '0' : 0;
    if (hour > 24 || minute > 59 || (hour == 24 && minute > 0))
        return error_set(err, ERR_INVALID, "%s: '%.40s' is not a time such as \"02:00\" (to \"24:00\")", name,
                         s);
    *ret = hour * 60 + minute;
    return 0;
}

int window_parse(const char *days, const char *from, const char *to, const char *zone, struct window *ret,
                 struct error *err)
{
    *ret = (struct window){0};
    int rc = parse_days(days, &ret->days, err);
    if (rc == 0)
        rc = parse_time("from", from, &ret->from, err);
    if (rc == 0 && ret->from == 24 * 60)
        rc = error_set(err, ERR_INVALID, "from: 24:00 is the next day's 00:00");
    if (rc == 0)
        rc = parse_time("to", to, &ret->to, err);
    if (rc == 0 && ret->from == ret->to)
        rc = error_set(err, ERR_INVALID, "to: the same as from; all day is 00:00 to 24:00");
    if (rc == 0 && !zone_name_is_valid(zone))
        rc = error_set(err, ERR_INVALID, "time_zone: '%.80s' is not one such as Europe/Berlin or UTC", zone);
    text_copy(ret->zone, sizeof(ret->zone), zone);
    return rc;
}

int windows_add(struct windows *w, const struct window *one, struct error *err)
{
    if (w->count == WINDOWS_MAX)
        return error_set(err, ERR_TOO_LARGE, "more than %d maintenance windows", WINDOWS_MAX);
    int rc = zone_load(one->zone, &w->zones[w->count], err);
    if (rc == 0)
        w->list[w->count++] = *one;
    return rc;
}

void windows_clear(struct windows *w)
{
    for (size_t i = 0; i < w->count; i++)
        zone_free(w->zones[i]);
    *w = (struct windows){0};
}

/* ---------- when it is open ---------- */

struct span {
    int64_t begin, end; /* seconds */
    size_t window;
};

static void insert(struct span *list, size_t count, struct span s)
{
    size_t i = count;
    while (i > 0 && list[i - 1].begin > s.begin)
        i--;
    memmove(list + i + 1, list + i, (count - i) * sizeof(*list));
    list[i] = s;
}

/* Of all days around `now`, in the order of their beginnings. */
static size_t spans_around(const struct windows *w, int64_t now, struct span list[SPANS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < w->count; i++) {
        const struct window *one = &w->list[i];
        int64_t today = civil_floor(now + zone_offset(w->zones[i], now), DAY_S);
        for (int64_t day = today - DAYS_BACK; day <= today + DAYS_AHEAD; day++) {
            if (!(one->days & 1u << civil_weekday(day)))
                continue;
            int64_t last = one->to <= one->from ? day + 1 : day;
            struct span s = {zone_instant(w->zones[i], day * DAY_S + one->from * 60),
                             zone_instant(w->zones[i], last * DAY_S + one->to * 60), i};
            if (s.end > s.begin)
                insert(list, count++, s);
        }
    }
    return count;
}

struct window_times window_next(const struct windows *w, int64_t now_ms)
{
    struct span list[SPANS_MAX];
    int64_t now = civil_floor(now_ms, 1000);
    struct window_times t = {w->count == 0, w->count == 0 ? now_ms : WINDOW_NEVER, WINDOW_NEVER, 0};
    size_t count = spans_around(w, now, list), i = 0;
    while (i < count) {
        struct span s = list[i];
        for (i++; i < count && list[i].begin <= s.end; i++)
            s.end = list[i].end > s.end ? list[i].end : s.end;
        if (s.end <= now)
            continue;
        /* One that goes on to the end of what was looked at has no end. */
        bool always = i == count && s.begin <= now && s.end - now > (DAYS_AHEAD - 2) * (int64_t)DAY_S;
        return (struct window_times){s.begin <= now, s.begin * 1000, always ? WINDOW_NEVER : s.end * 1000,
                                     s.window};
    }
    return t;
}

bool window_is_open(const struct windows *w, int64_t now_ms)
{
    return window_next(w, now_ms).open;
}

void window_text(const struct windows *w, size_t window, int64_t at_ms, int64_t now_ms,
                 char out[WINDOW_TEXT_MAX])
{
    bool has = window < w->count;
    int64_t at = civil_floor(at_ms, 1000);
    int64_t local = at + (has ? zone_offset(w->zones[window], at) : 0), day = civil_floor(local, DAY_S);
    int minute = (int)((local - day * DAY_S) / 60);
    struct civil date = civil_date(day);
    char when[32];
    if (at_ms >= now_ms && at_ms - now_ms < INT64_C(6) * DAY_S * 1000)
        snprintf(when, sizeof(when), "%c%.2s", toupper((unsigned char)*day_names[civil_weekday(day)]),
                 day_names[civil_weekday(day)] + 1);
    else
        snprintf(when, sizeof(when), "%04lld-%02d-%02d", (long long)date.year, date.month, date.day);
    snprintf(out, WINDOW_TEXT_MAX, "%s %02d:%02d %s", when, minute / 60, minute % 60,
             has ? w->list[window].zone : "UTC");
}
