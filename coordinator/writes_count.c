#include "writes_count.h"

#include <string.h>

void writes_count_begin(struct writes_count *w, size_t parts, int64_t counted, int64_t guessed, int64_t to)
{
    *w = (struct writes_count){.counted = counted, .guessed = guessed, .parts = parts};
    for (size_t i = 0; i < parts; i++)
        w->to[i] = to;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Revisions (from, to] of the gap, less those that were counted with another part's. */
static int64_t widen(struct writes_count *w, int64_t from, int64_t to)
{
    bool apart = to < w->gap_from || from > w->gap_to;
    int64_t before = smaller(from, w->gap_from), after = larger(to, w->gap_to);
    int64_t more = apart ? to - from : (w->gap_from - before) + (after - w->gap_to);
    w->gap_from = apart ? from : before;
    w->gap_to = apart ? to : after;
    return more;
}

/* What stood under the prefix in between is not known: a revision is one value at least, and one at most
 * where API servers write. A store that is younger than before was restored: what was counted of it stays. */
static void gap(struct writes_count *w, size_t part, int64_t to)
{
    if (to < w->to[part]) {
        w->gap_from = w->gap_to = 0;
    } else if (to > w->to[part]) {
        int64_t more = widen(w, w->to[part], to);
        w->counted += more;
        w->guessed += more;
    }
    w->to[part] = to;
}

/* A revision may have several events: it is complete when the next one is seen. */
void writes_count_event(struct writes_count *w, size_t part, const struct etcd_event *ev)
{
    if (ev->type == ETCD_EVENT_RESYNC) {
        gap(w, part, ev->revision);
        return;
    }
    if (ev->revision <= w->to[part])
        return;
    w->counted += ev->type == ETCD_EVENT_PUT;
    w->to[part] = larger(w->to[part], ev->revision - 1);
}

void writes_count_seen(struct writes_count *w, size_t part, int64_t revision)
{
    w->to[part] = larger(w->to[part], revision);
}

int64_t writes_count_to(const struct writes_count *w)
{
    int64_t least = w->parts ? INT64_MAX : 0;
    for (size_t i = 0; i < w->parts; i++)
        least = smaller(least, w->to[i]);
    return least;
}
