#include "progress.h"

#include <base/clock.h>
#include <base/text.h>

#define RATE_WINDOW_MS 1000

struct news {
    int64_t count, rate; /* rate -1: unchanged */
    bool gone;
    const char *object, *why; /* NULL: no failure */
};

static void add_failure(struct cluster_reencrypt *r, const struct news *n)
{
    r->failed++;
    if (r->failures_count == CLUSTER_FAILURES_MAX)
        return; /* the count goes on; the list is for people */
    struct cluster_failure *f = &r->failures[r->failures_count++];
    text_copy(f->object, sizeof(f->object), n->object);
    text_copy(f->why, sizeof(f->why), n->why ? n->why : "");
}

static void change_done(struct cluster_reencrypt *r, void *arg)
{
    const struct news *n = arg;
    r->done += n->count;
    r->gone += n->gone;
    if (n->object)
        add_failure(r, n);
    if (r->total < r->done)
        r->total = r->done;
    if (n->rate >= 0)
        r->rate = n->rate;
}

static int64_t measure(struct progress *p)
{
    int64_t now = clock_mono_ms(), span = now - p->window_ms;
    if (span < RATE_WINDOW_MS)
        return -1;
    int64_t rate = (p->done - p->window_done) * 1000 / span;
    p->window_ms = now;
    p->window_done = p->done;
    return rate;
}

static void tell(struct progress *p, struct news n)
{
    n.count = p->by_place ? 0 : n.count;
    p->done += n.count;
    n.rate = measure(p);
    job_update(p->job, change_done, &n);
}

void progress_done(struct progress *p, int64_t count)
{
    tell(p, (struct news){.count = count});
}

void progress_gone(struct progress *p)
{
    tell(p, (struct news){.count = 1, .gone = true});
}

void progress_failed(struct progress *p, const char *object, const char *why)
{
    tell(p, (struct news){.count = 1, .object = object, .why = why});
}

static void change_total(struct cluster_reencrypt *r, void *arg)
{
    const int64_t *total = arg;
    r->total = *total > r->done ? *total : r->done;
}

void progress_total(struct progress *p, int64_t total)
{
    job_update(p->job, change_total, &total);
}

struct beginning {
    const char *engine;
    bool resume;
};

static void change_begin(struct cluster_reencrypt *r, void *arg)
{
    const struct beginning *b = arg;
    r->state = REENCRYPT_RUNNING;
    r->started_ms = r->started_ms ? r->started_ms : clock_wall_ms();
    r->rate = 0;
    r->limit = -1;
    r->why[0] = r->held_by[0] = 0;
    r->scan_revision = 0;
    text_copy(r->engine, sizeof(r->engine), b->engine);
    if (b->resume)
        return;
    r->done = r->total = r->gone = r->failed = 0;
    r->failures_count = 0;
    r->cursor_resource[0] = r->cursor[0] = 0;
}

void progress_begin(struct progress *p, struct job *j, const char *engine, bool by_place, bool resume)
{
    struct beginning b = {engine, resume};
    *p = (struct progress){.job = j,
                           .by_place = by_place,
                           .done_before = resume ? job_opts(j)->so_far.done : 0,
                           .window_ms = clock_mono_ms()};
    job_update(j, change_begin, &b);
}

struct place {
    const char *resource, *key;
    int64_t done, rate; /* rate -1: unchanged */
};

static void change_cursor(struct cluster_reencrypt *r, void *arg)
{
    const struct place *at = arg;
    text_copy(r->cursor_resource, sizeof(r->cursor_resource), at->resource);
    text_copy(r->cursor, sizeof(r->cursor), at->key);
    r->done = at->done;
    if (r->total < r->done)
        r->total = r->done;
    if (at->rate >= 0)
        r->rate = at->rate;
}

void progress_cursor(struct progress *p, const char *resource, const char *key, int64_t done)
{
    p->done = done;
    struct place at = {resource, key, p->done_before + done, measure(p)};
    job_update(p->job, change_cursor, &at);
}

struct limit {
    double rate;
    const char *held_by;
};

static void change_limit(struct cluster_reencrypt *r, void *arg)
{
    const struct limit *l = arg;
    r->limit = l->rate < 0 ? -1 : (int64_t)l->rate;
    text_copy(r->held_by, sizeof(r->held_by), l->held_by);
}

void progress_limit(struct progress *p, double rate, const char *held_by)
{
    struct limit l = {rate, held_by};
    job_update(p->job, change_limit, &l);
}

static void change_end(struct cluster_reencrypt *r, void *arg)
{
    (void)arg;
    r->ended_ms = clock_wall_ms();
    r->held_by[0] = 0;
}

void progress_end(struct progress *p)
{
    job_update(p->job, change_end, NULL);
}
