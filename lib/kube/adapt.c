#include "adapt.h"

#include <math.h>

#define SMOOTHING 8.0 /* a new latency's weight is one part in this many */

void adapt_init(struct adapt *a, int start, int max)
{
    *a = (struct adapt){.limit = start, .max = max};
    if (a->max < 1)
        a->max = 1;
    if (a->limit < 1)
        a->limit = 1;
    if (a->limit > a->max)
        a->limit = a->max;
}

static void adapt_halve(struct adapt *a, int64_t now_ms)
{
    a->answers = 0;
    if (a->halved && now_ms - a->halved_ms < ADAPT_HALVE_EVERY_MS)
        return;
    a->limit = a->limit > 1 ? a->limit / 2 : 1;
    a->halved = true;
    a->halved_ms = now_ms;
}

static void adapt_latency(struct adapt *a, double latency_ms, int64_t now_ms)
{
    if (!a->started) {
        a->smoothed_ms = latency_ms;
        a->floor_since_ms = now_ms;
        a->started = true;
    }
    a->smoothed_ms += (latency_ms - a->smoothed_ms) / SMOOTHING;
    if (now_ms - a->floor_since_ms >= ADAPT_FLOOR_MS) {
        a->floor_ms[1] = a->floor_ms[0];
        a->floor_ms[0] = 0;
        a->floor_since_ms = now_ms;
    }
    if (a->floor_ms[0] <= 0 || a->smoothed_ms < a->floor_ms[0])
        a->floor_ms[0] = a->smoothed_ms;
}

static bool adapt_is_slow(const struct adapt *a)
{
    double floor_ms = a->floor_ms[0];

    if (a->floor_ms[1] > 0 && a->floor_ms[1] < floor_ms)
        floor_ms = a->floor_ms[1];
    return a->smoothed_ms > ADAPT_LATENCY_MIN_MS && a->smoothed_ms > ADAPT_LATENCY_TIMES * floor_ms;
}

void adapt_answer(struct adapt *a, double latency_ms, bool full, int64_t now_ms)
{
    adapt_latency(a, latency_ms > 0 ? latency_ms : 0.001, now_ms);
    if (adapt_is_slow(a)) {
        adapt_halve(a, now_ms);
        return;
    }
    if (!full || ++a->answers < a->limit)
        return;
    a->answers = 0;
    if (a->limit < a->max)
        a->limit++;
}

void adapt_trouble(struct adapt *a, int64_t now_ms)
{
    adapt_halve(a, now_ms);
}

static double bucket_burst(const struct bucket *b)
{
    return 1 + b->rate / 100; /* above 1, so that a turn that comes late loses nothing */
}

static void bucket_fill(struct bucket *b, int64_t now_ms)
{
    if (!b->started) {
        b->started = true;
        b->tokens = 1;
    } else if (now_ms > b->filled_ms) {
        b->tokens += b->rate * (double)(now_ms - b->filled_ms) / 1000;
    }
    if (b->tokens > bucket_burst(b))
        b->tokens = bucket_burst(b);
    b->filled_ms = now_ms;
}

void bucket_set(struct bucket *b, double rate, int64_t now_ms)
{
    if (!(rate > 0) || !isfinite(rate))
        rate = 0;
    else if (rate < BUCKET_RATE_MIN)
        rate = BUCKET_RATE_MIN;
    bucket_fill(b, now_ms);
    b->rate = rate;
}

bool bucket_take(struct bucket *b, int64_t now_ms)
{
    if (b->rate <= 0)
        return true;
    bucket_fill(b, now_ms);
    if (b->tokens < 1)
        return false;
    b->tokens -= 1;
    return true;
}

int64_t bucket_wait_ms(struct bucket *b, int64_t now_ms)
{
    if (b->rate <= 0)
        return 0;
    bucket_fill(b, now_ms);
    return b->tokens >= 1 ? 0 : (int64_t)((1 - b->tokens) / b->rate * 1000) + 1;
}
