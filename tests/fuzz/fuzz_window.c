/* Any bytes as what an operator writes of times: lines of days, from, to and zone of a maintenance window;
 * how often keys are rotated; and the rule at the end of a zone's file. What is taken lies within its bounds,
 * and a window is open from when it opens until it closes. */
#include "fuzz.h"

#include <string.h>

#include <schedule/next.h>
#include <schedule/window.h>

#include "posix.h"

#define DAY_MS    INT64_C(86400000)
#define NOW_MS    INT64_C(1795860000000)
#define WEEKS_MAX 8

static void must_open_and_close(const struct windows *w)
{
    int64_t at = NOW_MS;
    for (int i = 0; i < 8; i++) {
        struct window_times t = window_next(w, at);
        char text[WINDOW_TEXT_MAX];
        MUST(t.open == window_is_open(w, at) && t.window < w->count);
        window_text(w, t.window, at, NOW_MS, text);
        MUST(*text && strlen(text) < sizeof(text) && !strchr(text, '\n'));
        if (t.open && t.closes_ms == WINDOW_NEVER)
            return;
        if (t.open) {
            MUST(t.opens_ms <= at && t.closes_ms > at && window_is_open(w, t.closes_ms - 1));
            MUST(!window_is_open(w, t.closes_ms));
            at = t.closes_ms;
            continue;
        }
        MUST(t.opens_ms > at && t.opens_ms < at + WEEKS_MAX * 7 * DAY_MS && t.closes_ms > t.opens_ms);
        MUST(!window_is_open(w, t.opens_ms - 1) && window_is_open(w, t.opens_ms));
        at = t.opens_ms;
    }
}

static void as_window(char *text, struct windows *w)
{
    const char *parts[4] = {"", "", "", "UTC"};
    struct window one;
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < 4 && text && *text; i++)
        parts[i] = strsep(&text, "\n");
    int rc = window_parse(parts[0], parts[1], parts[2], parts[3], &one, &err);
    if (rc < 0) {
        MUST(rc == ERR_INVALID && err.code == rc && !strchr(err.text, '\n'));
        MUST(strncmp(err.text, "days: ", 6) == 0 || strncmp(err.text, "from: ", 6) == 0 ||
             strncmp(err.text, "to: ", 4) == 0 || strncmp(err.text, "time_zone: ", 11) == 0);
    } else {
        MUST(one.days > 0 && one.days < 128 && one.from >= 0 && one.from < 1440 && one.to >= 0);
        MUST(one.to <= 1440 && one.from != one.to && strcmp(one.zone, parts[3]) == 0);
        snprintf(one.zone, sizeof(one.zone), "UTC"); /* no file is read here */
        MUST(windows_add(w, &one, &err) == 0);
    }
    if (text && *text && w->count < 4)
        as_window(text, w);
}

static void as_duration(const char *text)
{
    struct error err = ERROR_INIT;
    int64_t ms = -1;
    int rc = schedule_duration_parse(text, &ms, &err);
    MUST(rc == 0 || (rc == ERR_INVALID && err.code == rc && !strchr(err.text, '\n')));
    MUST(rc < 0 || (ms == 0 && !*text) || (ms >= DAY_MS / 24 && ms <= 3650 * DAY_MS));
}

static void as_rule(const char *text)
{
    static const int64_t times[] = {-2000000000, 0, 951782400, 1795860000, 4102444800, 32503680000};
    struct posix_rule r;
    if (!posix_parse(text, &r))
        return;
    for (size_t i = 0; i < array_len(times); i++) {
        struct stretch s = posix_stretch(&r, times[i]);
        MUST(s.begin <= times[i] && times[i] < s.end);
        MUST(s.offset == r.offset || (r.has_summer && s.offset == r.summer_offset));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct windows w = {0};
    char *text = calloc(size + 1, 1);
    MUST(text);
    if (size > 0)
        memcpy(text, data, size);
    as_duration(text);
    as_rule(text);
    as_window(text, &w);
    if (w.count > 0)
        must_open_and_close(&w);
    windows_clear(&w);
    free(text);
    return 0;
}
