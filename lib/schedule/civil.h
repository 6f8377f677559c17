/* Days and dates of the Gregorian calendar. Private to this room. */
#ifndef SCHEDULE_CIVIL_H
#define SCHEDULE_CIVIL_H

#include <stdint.h>

#define DAY_S 86400

struct civil {
    int64_t year;
    int month, day; /* 1 to 12, 1 to 31 */
};

int64_t civil_days(int64_t year, int month, int day); /* since 1970-01-01 */
struct civil civil_date(int64_t days);
int civil_weekday(int64_t days); /* 0: Sunday */
int civil_month_length(int64_t year, int month);
int64_t civil_floor(int64_t n, int64_t by); /* n / by, rounded down */

#endif
