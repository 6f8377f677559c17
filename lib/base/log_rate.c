/* How many lines of one event are written. The caller holds the log's lock. */
#include "log_parts.h"

#include <base/text.h>

#define SLOTS 64

/* One event that was written lately. */
struct slot {
    char event[64]; /* "" = free */
    enum log_level level;
    int64_t begin_ms;
    int64_t lines;
    int64_t left_out;
};

static struct slot slots[SLOTS];

static bool over(const struct slot *s, int64_t now_ms)
{
    return now_ms - s->begin_ms >= LOG_WINDOW_MS || now_ms < s->begin_ms;
}

/* The event's slot; else one that is free, or whose time is over and owes nothing; NULL: none. */
static struct slot *find(enum log_level level, const char *event, int64_t now_ms)
{
    struct slot *unused = NULL;
    for (size_t i = 0; i < SLOTS; i++) {
        struct slot *s = &slots[i];
        if (s->level == level && strncmp(s->event, event, sizeof(s->event) - 1) == 0 && *s->event)
            return s;
        if (!*s->event || (over(s, now_ms) && !s->left_out))
            unused = s;
    }
    if (!unused)
        return NULL;
    *unused = (struct slot){.level = level, .begin_ms = now_ms};
    text_copy(unused->event, sizeof(unused->event), event);
    return unused;
}

bool log_rate_allows(enum log_level level, const char *event, int64_t now_ms)
{
    struct slot *s = find(level, event, now_ms);
    if (!s)
        return true; /* that many different events are no flood of one */
    if (over(s, now_ms) && !s->left_out) {
        s->begin_ms = now_ms;
        s->lines = 0;
    }
    if (s->lines < LOG_BURST) {
        s->lines++;
        return true;
    }
    s->left_out++;
    return false;
}

bool log_rate_next(int64_t now_ms, bool all, char event[64], int64_t *ret_count)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct slot *s = &slots[i];
        if (!s->left_out || !(all || over(s, now_ms)))
            continue;
        memcpy(event, s->event, sizeof(s->event));
        *ret_count = s->left_out;
        *s = (struct slot){0};
        return true;
    }
    return false;
}
