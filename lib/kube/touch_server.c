#include "touch_server.h"

#include <base/clock.h>
#include <base/text.h>

#define PAUSE_BASE_MS  200
#define PAUSE_MAX_MS   5000
#define TOKEN_AGAIN_MS 1000

bool touch_server_open(const struct touch_server *s, int64_t now_ms)
{
    return atomic_load(&s->usable) && now_ms >= s->paused_until_ms;
}

bool touch_server_healthy(const struct touch_server *s, int64_t now_ms)
{
    return touch_server_open(s, now_ms) && s->trouble == 0;
}

static bool has_room(const struct touch_server *s)
{
    int limit = s->trouble >= TROUBLE_DOWN ? 1 : s->adapt.limit;

    return s->in_flight < limit;
}

struct touch_server *touch_server_pick(struct touch_server *servers, size_t count, int avoid, size_t turn,
                                       int64_t now_ms)
{
    struct touch_server *best = NULL;
    bool other = false;

    for (size_t i = 0; i < count; i++)
        other = other || ((int)i != avoid && touch_server_open(&servers[i], now_ms) &&
                          servers[i].trouble < TROUBLE_DOWN);
    for (size_t n = 0; n < count; n++) {
        size_t i = (turn + n) % count;
        struct touch_server *s = &servers[i];

        if (((int)i == avoid && other) || !touch_server_open(s, now_ms) || !has_room(s))
            continue;
        if (!best || s->in_flight < best->in_flight)
            best = s;
    }
    return best;
}

void touch_server_answered(struct touch_server *s, double latency_ms, bool full, int64_t now_ms)
{
    s->trouble = 0;
    adapt_answer(&s->adapt, latency_ms, full, now_ms);
}

static void pause_until(struct touch_server *s, int64_t until_ms)
{
    if (until_ms > s->paused_until_ms)
        s->paused_until_ms = until_ms;
}

void touch_server_refused(struct touch_server *s, int64_t wait_ms, int64_t now_ms)
{
    adapt_trouble(&s->adapt, now_ms);
    pause_until(s, now_ms + wait_ms);
}

/* All requests of a connection that breaks fail together: while the pause lasts, they count as one. */
void touch_server_failed(struct touch_server *s, bool unreachable, int64_t wait_ms, int64_t now_ms)
{
    adapt_trouble(&s->adapt, now_ms);
    pause_until(s, now_ms + wait_ms);
    if (s->trouble >= TROUBLE_DOWN && now_ms < s->paused_until_ms)
        return;
    s->trouble += unreachable && s->trouble < TROUBLE_DOWN ? TROUBLE_DOWN : 1;
    if (s->trouble >= TROUBLE_DOWN)
        pause_until(s, now_ms + backoff_ms(s->trouble - TROUBLE_DOWN, PAUSE_BASE_MS, PAUSE_MAX_MS));
}

void touch_server_renew(struct touch_server *s, int64_t now_ms)
{
    bool changed;

    if (s->token_read_ms && now_ms - s->token_read_ms < TOKEN_AGAIN_MS)
        return;
    s->token_read_ms = now_ms;
    (void)!session_reload_token(&s->session, &changed, NULL); /* the old one stays; the 401 is told */
}
