/* Maintenance windows: times of the week at which servers may be touched. Pure, once the zones are read. */
#ifndef SCHEDULE_WINDOW_H
#define SCHEDULE_WINDOW_H

#include <schedule/zone.h>

#define WINDOWS_MAX     16
#define WINDOW_TEXT_MAX 96
#define WINDOW_NEVER    INT64_MAX

/* One, as it is written: from and to in minutes of the local day; to <= from: it ends on the next day. */
struct window {
    unsigned days; /* bit 0: Sunday; those on which it begins */
    int from, to;
    char zone[ZONE_NAME_MAX];
};

/* "daily", or days by their first three letters or whole ("mon", "Monday"), separated by commas; "02:00" to
 * "24:00"; a zone's name, which is not looked for here. ERR_INVALID says which of them is wrong and why; the
 * text begins with "days: ", "from: ", "to: " or "time_zone: ". */
int window_parse(const char *days, const char *from, const char *to, const char *zone, struct window *ret,
                 struct error *err) _must_check_;

/* Several with their zones. Overlapping ones count as one that is longer. */
struct windows {
    struct window list[WINDOWS_MAX];
    struct zone *zones[WINDOWS_MAX];
    size_t count; /* 0: none are set, and nothing is ever closed */
};
/* Adds one and reads its zone. */
int windows_add(struct windows *w, const struct window *one, struct error *err) _must_check_;
void windows_clear(struct windows *w);

/* Of the window that stands open, or else of the next one. */
struct window_times {
    bool open;
    int64_t opens_ms, closes_ms; /* WINDOW_NEVER: does not close, or does not open within the next weeks */
    size_t window;               /* which one opens */
};

/* A window that begins in an hour that is left out begins at that hour's end (and is left out if it would
 * have ended within it); of an hour that comes twice the first counts, for beginnings and ends. */
bool window_is_open(const struct windows *w, int64_t now_ms);
struct window_times window_next(const struct windows *w, int64_t now_ms);

/* "Sat 02:00 Europe/Berlin" for an instant of the coming six days, else "2027-02-26 02:13 Europe/Berlin", by
 * the clock of that window's zone (UTC where there are none). */
void window_text(const struct windows *w, size_t window, int64_t at_ms, int64_t now_ms,
                 char out[WINDOW_TEXT_MAX]);

#endif
