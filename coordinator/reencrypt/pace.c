#include "pace.h"

static void fill(struct pace *p, int64_t now_ms)
{
    double burst = 1 + p->rate * PACE_BURST_S; /* above 1, so that a turn that comes late loses nothing */
    if (now_ms > p->filled_ms)
        p->tokens += p->rate * (double)(now_ms - p->filled_ms) / 1000;
    p->filled_ms = now_ms;
    if (p->tokens > burst)
        p->tokens = burst;
}

void pace_set(struct pace *p, double rate, int64_t now_ms)
{
    if (p->rate > 0)
        fill(p, now_ms);
    p->filled_ms = now_ms;
    p->rate = rate;
}

int64_t pace_wait_ms(struct pace *p, int64_t now_ms)
{
    if (p->rate < 0)
        return 0;
    if (p->rate == 0)
        return INT64_MAX;
    fill(p, now_ms);
    if (p->tokens >= 1)
        return 0;
    int64_t ms = (int64_t)((1 - p->tokens) * 1000 / p->rate);
    return ms > 0 ? ms : 1;
}

void pace_take(struct pace *p, double count)
{
    if (p->rate > 0)
        p->tokens -= count;
}
