#include "civil.h"

#include <stdbool.h>

int64_t civil_floor(int64_t n, int64_t by)
{
    return n / by - (n % by < 0);
}

/* Years begin with March here, so that the day that is not always there comes last. */
int64_t civil_days(int64_t year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = civil_floor(y, 400), of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

struct civil civil_date(int64_t days)
{
    int64_t z = days + 719468;
    int64_t era = civil_floor(z, 146097), of_era = z - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * of_year + 2) / 153;
    struct civil c = {.month = (int)(m < 10 ? m + 3 : m - 9), .day = (int)(of_year - (153 * m + 2) / 5 + 1)};
    c.year = y + era * 400 + (c.month <= 2);
    return c;
}

int civil_weekday(int64_t days)
{
    return (int)(days + 4 - 7 * civil_floor(days + 4, 7));
}

int civil_month_length(int64_t year, int month)
{
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return lengths[month - 1] + (month == 2 && leap);
}
