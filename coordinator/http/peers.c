#include "peers.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

struct peer {
    struct peer *previous, *next;
    int fd;
    bool waits, shut;
    int64_t since_ms, deadline_ms;
};

struct peers {
    pthread_mutex_t lock;
    struct peer *first;
    unsigned max;
};

int peers_new(unsigned max, struct peers **ret, struct error *err)
{
    struct peers *p = calloc(1, sizeof(*p));
    if (!p)
        return error_no_memory(err);
    pthread_mutex_init(&p->lock, NULL);
    p->max = max;
    *ret = p;
    return 0;
}

void peers_free(struct peers *p)
{
    if (!p)
        return;
    while (p->first)
        peers_remove(p, p->first);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* The lock is held. The library sees the end, and closes. */
static void shut(struct peer *v)
{
    if (!v->shut)
        (void)shutdown(v->fd, SHUT_RDWR);
    v->shut = true;
}

/* Who goes first: whoever waits for a request, then whoever takes a reply; streams are counted elsewhere. */
static bool goes_before(const struct peer *a, const struct peer *b)
{
    return a->waits != b->waits ? a->waits : a->since_ms <= b->since_ms;
}

/* The list begins with the newest, which came just now and is not to go for another one. */
static void make_room(struct peers *p)
{
    struct peer *first = NULL;
    unsigned live = 0;
    for (struct peer *v = p->first; v; v = v->next) {
        live += !v->shut;
        if (!v->shut && v != p->first && v->deadline_ms != INT64_MAX && (!first || goes_before(v, first)))
            first = v;
    }
    if (live > p->max && first)
        shut(first);
}

struct peer *peers_add(struct peers *p, int fd, int64_t now_ms, int64_t deadline_ms)
{
    struct peer *v = calloc(1, sizeof(*v));
    if (!v)
        return NULL;
    *v = (struct peer){.fd = fd, .waits = true, .since_ms = now_ms, .deadline_ms = deadline_ms};
    pthread_mutex_lock(&p->lock);
    v->next = p->first;
    if (v->next)
        v->next->previous = v;
    p->first = v;
    make_room(p);
    pthread_mutex_unlock(&p->lock);
    return v;
}

void peers_remove(struct peers *p, struct peer *v)
{
    if (!v)
        return;
    pthread_mutex_lock(&p->lock);
    if (v->previous)
        v->previous->next = v->next;
    else
        p->first = v->next;
    if (v->next)
        v->next->previous = v->previous;
    pthread_mutex_unlock(&p->lock);
    free(v);
}

void peer_expect(struct peers *p, struct peer *v, bool waits, int64_t now_ms, int64_t deadline_ms)
{
    pthread_mutex_lock(&p->lock);
    v->waits = waits;
    v->since_ms = now_ms;
    v->deadline_ms = deadline_ms;
    pthread_mutex_unlock(&p->lock);
}

void peer_shut(struct peers *p, struct peer *v)
{
    pthread_mutex_lock(&p->lock);
    shut(v);
    pthread_mutex_unlock(&p->lock);
}

void peers_reap(struct peers *p, int64_t now_ms)
{
    pthread_mutex_lock(&p->lock);
    for (struct peer *v = p->first; v; v = v->next)
        if (now_ms >= v->deadline_ms)
            shut(v);
    pthread_mutex_unlock(&p->lock);
}
