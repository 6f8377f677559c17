#include "feel.h"

#include <string.h>

void feel_init(struct feel *f)
{
    memset(f, 0, sizeof(*f));
    for (size_t i = 0; i < CLUSTER_SERVERS_MAX; i++)
        f->servers[i].idle[FEEL_GET] = f->servers[i].idle[FEEL_LIST] = -1;
}

void feel_forget(struct feel *f, size_t server)
{
    struct feel_server *s = &f->servers[server], fresh = {0};

    memcpy(fresh.idle, s->idle, sizeof(fresh.idle));
    *s = fresh;
}

static size_t last_touch(const struct feel *f)
{
    return (f->touched - 1) % FEEL_TOUCHES;
}

static int64_t newest(const struct feel *f)
{
    return f->touches[last_touch(f)].number;
}

void feel_touched(struct feel *f, int64_t number, double now_ms)
{
    size_t i = f->touched++ % FEEL_TOUCHES;

    f->touches[i].number = number;
    f->touches[i].at_ms = now_ms;
}

/* The longest that a touch in (after, upto] has been acknowledged for; 0: there is none. */
static double longest(const struct feel *f, int64_t after, int64_t upto, double now_ms)
{
    size_t count = f->touched < FEEL_TOUCHES ? f->touched : FEEL_TOUCHES;
    double most = 0;

    for (size_t i = 0; i < count; i++) {
        double age = now_ms - f->touches[i].at_ms;

        if (f->touches[i].number > after && f->touches[i].number <= upto && age > most)
            most = age;
    }
    return most;
}

void feel_seen(struct feel *f, size_t server, int64_t number, bool first, double now_ms)
{
    struct feel_server *s = &f->servers[server];

    if (!first && s->based) {
        double lag = longest(f, s->seen, number, now_ms);

        s->lag_ms = lag > s->lag_ms ? lag : s->lag_ms;
    } else if (f->touched > 0 && newest(f) > s->seen) {
        s->seen = newest(f); /* what was missed while no watch stood is no measure */
    }
    s->seen = number > s->seen ? number : s->seen;
    s->based = true;
}

void feel_watch_lost(struct feel *f, size_t server)
{
    f->servers[server].based = false;
    f->servers[server].lag_ms = 0;
}

void feel_answer(struct feel *f, size_t server, enum feel_kind kind, double ms)
{
    struct feel_server *s = &f->servers[server];

    s->last[kind][s->taken[kind]++ % FEEL_LAST] = ms;
    s->anew[kind] = false;
}

void feel_unknown(struct feel *f, size_t server, enum feel_kind kind)
{
    f->servers[server].taken[kind] = 0;
    f->servers[server].anew[kind] = false;
}

void feel_idle(struct feel *f, size_t server, enum feel_kind kind, double ms)
{
    double *idle = &f->servers[server].idle[kind];

    *idle = ms > *idle ? ms : *idle;
}

static void eased(struct feel_server *s, enum feel_kind kind)
{
    s->anew[kind] = s->anew[kind] || s->taken[kind] > 0;
    s->taken[kind] = 0;
}

void feel_eased(struct feel *f)
{
    for (size_t i = 0; i < CLUSTER_SERVERS_MAX; i++)
        for (size_t kind = 0; kind < FEEL_KINDS; kind++)
            eased(&f->servers[i], (enum feel_kind)kind);
}

/* On a small or busy machine one answer in a hundred is slow for reasons of its own: of the last ones the
 * second slowest counts, so that a tenth of all may be slow at most. Of two it is the faster one. */
static double slow(const struct feel_server *s, enum feel_kind kind)
{
    const double *l = s->last[kind];
    size_t count = s->taken[kind] < FEEL_LAST ? s->taken[kind] : FEEL_LAST;
    double most = s->anew[kind] ? 0 : -1, second = -1;

    for (size_t i = 0; i < count; i++) {
        if (l[i] > most) {
            second = most;
            most = l[i];
        } else if (l[i] > second) {
            second = l[i];
        }
    }
    return count < 2 ? most : second;
}

/* Also what is still on its way counts, with its age so far. Negative: not known. */
static double lag(const struct feel *f, const struct feel_server *s, double now_ms)
{
    double out = longest(f, s->seen, INT64_MAX, now_ms);

    if (f->touched == 0 || (out == 0 && now_ms - f->touches[last_touch(f)].at_ms > FEEL_FRESH_MS))
        return -1;
    return out > s->lag_ms ? out : s->lag_ms;
}

void feel_turn(struct feel *f, size_t server, const char *name, bool watching, double now_ms,
               struct felt *ret)
{
    struct feel_server *s = &f->servers[server];

    *ret = (struct felt){.server = name,
                         .unmeasured = s->why[0] ? s->why : NULL,
                         .lag_ms = watching && s->based ? lag(f, s, now_ms) : -1,
                         .get_ms = slow(s, FEEL_GET),
                         .list_ms = slow(s, FEEL_LIST),
                         .idle_get_ms = s->idle[FEEL_GET],
                         .idle_list_ms = s->idle[FEEL_LIST],
                         .closed = s->closed,
                         .errors = s->errors};
    s->lag_ms = 0;
    s->closed = s->errors = 0;
}
