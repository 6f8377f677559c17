#include "posix.h"

#include <ctype.h>
#include <string.h>

#include "civil.h"

/* Each parser moves *at past what it took. */

/* "CET", or "<+0330>": the name itself is of no use here. */
static bool take_name(const char **at)
{
    const char *s = *at;
    size_t n = 0;
    if (*s == '<') {
        for (s++; isalnum((unsigned char)s[n]) || s[n] == '+' || s[n] == '-';)
            n++;
        if (n == 0 || s[n] != '>')
            return false;
        *at = s + n + 1;
        return true;
    }
    while (isalpha((unsigned char)s[n]))
        n++;
    *at = s + n;
    return n >= 3;
}

static bool take_number(const char **at, int min, int max, int *ret)
{
    const char *s = *at;
    int n = 0;
    size_t digits = 0;
    for (; digits < 4 && isdigit((unsigned char)s[digits]); digits++)
        n = n * 10 + (s[digits] - '0');
    *at = s + digits;
    *ret = n;
    return digits > 0 && n >= min && n <= max;
}

static bool take_char(const char **at, char c)
{
    bool there = **at == c;
    *at += there;
    return there;
}

/* [+-]h[h[h]][:mm[:ss]]; that "2::30" is none, take_number sees. */
static bool take_time(const char **at, int hours_max, int32_t *ret)
{
    int h, m = 0, s = 0;
    bool minus = take_char(at, '-');
    if (!minus)
        (void)take_char(at, '+');
    if (!take_number(at, 0, hours_max, &h))
        return false;
    if (take_char(at, ':') && !take_number(at, 0, 59, &m))
        return false;
    if (take_char(at, ':') && !take_number(at, 0, 59, &s))
        return false;
    *ret = (minus ? -1 : 1) * (h * 3600 + m * 60 + s);
    return true;
}

static bool take_day(const char **at, struct posix_day *ret)
{
    *ret = (struct posix_day){.form = 'D', .time = 2 * 3600};
    bool ok;
    if (take_char(at, 'M')) {
        ret->form = 'M';
        ok = take_number(at, 1, 12, &ret->month) && take_char(at, '.') && take_number(at, 1, 5, &ret->week) &&
             take_char(at, '.') && take_number(at, 0, 6, &ret->day);
    } else if (take_char(at, 'J')) {
        ret->form = 'J';
        ok = take_number(at, 1, 365, &ret->day);
    } else {
        ok = take_number(at, 0, 365, &ret->day);
    }
    return ok && (!take_char(at, '/') || take_time(at, 167, &ret->time));
}

bool posix_parse(const char *text, struct posix_rule *ret)
{
    const char *at = text;
    int32_t west = 0;
    *ret = (struct posix_rule){0};
    if (!take_name(&at) || !take_time(&at, 24, &west))
        return false;
    ret->offset = -west;
    if (!*at)
        return true;
    ret->has_summer = true;
    ret->summer_offset = ret->offset + 3600;
    if (!take_name(&at))
        return false;
    if (*at != ',') {
        if (!take_time(&at, 24, &west))
            return false;
        ret->summer_offset = -west;
    }
    return take_char(&at, ',') && take_day(&at, &ret->begins) && take_char(&at, ',') &&
           take_day(&at, &ret->ends) && !*at;
}

/* ---------- the instants ---------- */

static int64_t day_of(const struct posix_day *d, int64_t year)
{
    int64_t first = civil_days(year, 1, 1);
    bool leap = civil_month_length(year, 2) == 29;
    if (d->form == 'J')
        return first + d->day - 1 + (leap && d->day >= 60);
    if (d->form == 'D')
        return first + d->day;
    int64_t month = civil_days(year, d->month, 1);
    int day = 1 + (d->day - civil_weekday(month) + 7) % 7 + (d->week - 1) * 7;
    int length = civil_month_length(year, d->month);
    while (day > length) /* week 5: the last one */
        day -= 7;
    return month + day - 1;
}

static int64_t change_of(const struct posix_day *d, int64_t year, int32_t offset_before)
{
    return day_of(d, year) * DAY_S + d->time - offset_before;
}

#define YEARS   5 /* around the instant: times of 167 hours can move a change into a neighbouring year */
#define CHANGES (2 * YEARS)

struct change {
    int64_t at;
    int32_t offset; /* from then on */
};

/* Rising; summer time that begins at the instant at which it ends goes on. */
static void insert(struct change *list, size_t count, struct change c, bool summer)
{
    size_t i = count;
    while (i > 0 && (list[i - 1].at > c.at || (list[i - 1].at == c.at && !summer)))
        i--;
    memmove(list + i + 1, list + i, (count - i) * sizeof(*list));
    list[i] = c;
}

struct stretch posix_stretch(const struct posix_rule *r, int64_t at)
{
    struct change list[CHANGES];
    size_t count = 0;
    if (!r->has_summer)
        return (struct stretch){INT64_MIN, INT64_MAX, r->offset};
    int64_t year = civil_date(civil_floor(at, DAY_S)).year - YEARS / 2;
    for (int i = 0; i < YEARS; i++, year++) {
        struct change on = {change_of(&r->begins, year, r->offset), r->summer_offset};
        struct change off = {change_of(&r->ends, year, r->summer_offset), r->offset};
        insert(list, count++, on, true);
        insert(list, count++, off, false);
    }
    size_t i = 0;
    while (i + 2 < count && list[i + 1].at <= at)
        i++;
    return (struct stretch){list[i].at, list[i + 1].at, list[i].offset};
}
