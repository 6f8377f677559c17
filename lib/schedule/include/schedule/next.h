/* When keys are rotated by themselves. Pure: every coordinator comes to the same time. */
#ifndef SCHEDULE_NEXT_H
#define SCHEDULE_NEXT_H

#include <schedule/window.h>

#define SCHEDULE_WHY_MAX 160
#define SCHEDULE_NONE    INT64_MAX

/* "90d", "12w", "36h": milliseconds; 1 hour to 10 years. "" is 0: never. */
int schedule_duration_parse(const char *text, int64_t *ret_ms, struct error *err) _must_check_;

struct schedule_rules {
    int64_t every_ms;   /* 0: nothing is rotated by itself, and the rest does not count */
    int64_t writes_max; /* under one aesgcm key; 0: no such limit */
};

/* The key that writes. */
struct schedule_key {
    const char *cluster, *provider, *name;
    int64_t born_ms;  /* when it came into being, or was first seen */
    int64_t since_ms; /* when it began to write */
    int64_t writes;   /* under it, at most; negative: not known */
    int64_t base_ms;  /* the pace is that of what was written since then, … */
    int64_t base;     /* … when it was so many: an operation rewrote them; 0 and 0: since it writes */
    int64_t guessed;  /* so many of them are an upper bound: revisions of which nobody saw what they wrote */
};

struct schedule_next {
    int64_t at_ms;   /* at or before now: it is due. SCHEDULE_NONE: never */
    int64_t live_ms; /* until then the time stands, if nothing else changes: the end of that window */
    char why[SCHEDULE_WHY_MAX]; /* "every 90 days" */
};

/* The key's age has reached every_ms less a part of up to 5 % (at most 3 days) that is drawn from the
 * cluster's and the key's name; or, for aesgcm, its writes reach writes_max, at their present pace, before
 * the window after the next one. A rotation begins within the first half of a window, a little after it opens
 * (drawn as well), and not before `not_before_ms`. */
void schedule_next(const struct schedule_rules *rules, const struct schedule_key *key,
                   const struct windows *windows, int64_t not_before_ms, int64_t now_ms,
                   struct schedule_next *ret);

#endif
