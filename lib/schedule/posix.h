/* The rule at the end of a zone's file, for the years that its table does not have: a TZ text of POSIX with
 * the wider hours of RFC 8536. Private to this room. */
#ifndef SCHEDULE_POSIX_H
#define SCHEDULE_POSIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct posix_day {
    char form; /* 'M': month, week, weekday; 'J': day 1 to 365, no 29 February; 'D': day 0 to 365 */
    int month, week, day;
    int32_t time; /* seconds after midnight by the clocks before; -167 to 167 hours */
};

struct posix_rule {
    int32_t offset;  /* seconds east of UTC */
    bool has_summer; /* and these: */
    int32_t summer_offset;
    struct posix_day begins, ends;
};

/* False: not such a text. Ends at a NUL. */
bool posix_parse(const char *text, struct posix_rule *ret);

/* A stretch of time with one offset that holds `at`: [*begin, *end). */
struct stretch {
    int64_t begin, end;
    int32_t offset;
};
struct stretch posix_stretch(const struct posix_rule *r, int64_t at);

#endif
