#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <base/clock.h>

#define EVENTS_MAX 64

/* ---------- the epoll set ---------- */

int watch_set(struct door *d, struct watch *w, uint32_t events, struct error *err)
{
    if (w->added && w->events == events)
        return 0;
    struct epoll_event e = {.events = events, .data.ptr = w};
    if (epoll_ctl(d->epoll, w->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &e) < 0)
        return error_errno(err, errno, "epoll");
    w->added = true;
    w->events = events;
    return 0;
}

void watch_close(struct door *d, struct watch *w)
{
    if (w->fd < 0)
        return;
    if (w->added)
        (void)epoll_ctl(d->epoll, EPOLL_CTL_DEL, w->fd, NULL); /* it is closed anyway */
    close(w->fd);
    w->fd = -1;
    w->added = false;
}

/* ---------- what all of the door's parts do ---------- */

void door_tell(struct door *d, enum door_note_kind kind, const char *from, const char *subject,
               const char *why)
{
    notes_add(&d->notes, d->now_ms, kind, from, subject, why);
}

static void set_listeners(struct door *d, uint32_t events)
{
    for (size_t i = 0; i < d->listeners_count; i++) {
        int rc = watch_set(d, &d->listeners[i].watch, events, NULL);
        (void)rc; /* to change what is in the set already cannot fail */
    }
}

void door_pause(struct door *d, const char *why)
{
    door_tell(d, DOOR_NOTE_RESOURCES, "", "", why);
    d->resume_ms = d->now_ms + PAUSE_MS;
    set_listeners(d, 0);
}

void door_resume(struct door *d)
{
    if (d->resume_ms < 0)
        return;
    d->resume_ms = -1;
    set_listeners(d, EPOLLIN);
}

int door_hand_on(struct door *d, int *fd, const struct door_peer *peer)
{
    struct error err = ERROR_INIT;
    enum door_note_kind kind = DOOR_NOTE_FULL;
    int rc = numbers_move(d->numbers, fd, peer->kind == DOOR_UNIX ? peer->uid : (uid_t)-1, d->now_ms, &err);
    if (rc == 0) {
        kind = DOOR_NOTE_REFUSED;
        rc = (d->take)(d->arg, *fd, peer, &err); /* in brackets: base has a macro of that name */
    }
    if (rc < 0) {
        door_tell(d, kind, peer->from, peer->tls.subject, err.text);
        close(*fd);
    }
    *fd = -1;
    return rc;
}

/* ---------- the thread ---------- */

static void wake_ready(struct door *d, struct watch *w, uint32_t events)
{
    eventfd_t ignored;
    (void)d, (void)events;
    (void)eventfd_read(w->fd, &ignored); /* its only word is that it woke us */
}

static void look_at_certificates(struct door *d)
{
    struct error err = ERROR_INIT;
    bool asked = atomic_exchange(&d->reload, false);
    if (!d->tls || (!asked && d->now_ms < d->next_reload_ms))
        return;
    d->next_reload_ms = d->now_ms + d->limits.reload_ms;
    int rc = tls_server_reload(d->tls, &err);
    atomic_store(&d->until_ms, tls_server_until_ms(d->tls)); /* before it is told */
    if (rc == 1) {
        door_tell(d, DOOR_NOTE_RELOADED, "", "", "the certificates were read anew");
        conns_check(d);
    }
    if (rc < 0)
        door_tell(d, DOOR_NOTE_RELOAD, "", "", err.text);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

static int timeout_ms(const struct door *d)
{
    int64_t next = d->tls ? d->next_reload_ms : -1;
    if (!TAILQ_EMPTY(&d->busy))
        return 0;
    next = earlier(next, d->resume_ms);
    next = earlier(next, notes_next_ms(&d->notes));
    next = earlier(next, conns_next_ms(d));
    if (next < 0)
        return -1;
    int64_t wait = next - clock_mono_ms();
    return wait < 0 ? 0 : wait > 60000 ? 60000 : (int)wait;
}

/* Those that are busy again by this are left for the next turn. */
static void run_busy(struct door *d)
{
    struct conns now = TAILQ_HEAD_INITIALIZER(now);
    struct conn *c;
    TAILQ_CONCAT(&now, &d->busy, busy_link);
    while ((c = TAILQ_FIRST(&now))) {
        TAILQ_REMOVE(&now, c, busy_link);
        c->busy = false;
        if (c->state == CONN_OPEN)
            conn_pump(d, c);
    }
}

static void turn(struct door *d)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(d->epoll, events, EVENTS_MAX, timeout_ms(d));
    d->now_ms = clock_mono_ms();
    run_busy(d);
    for (int i = 0; i < count; i++) {
        struct watch *w = events[i].data.ptr;
        w->ready(d, w, events[i].events);
    }
    conns_expire(d);
    if (d->resume_ms >= 0 && d->now_ms >= d->resume_ms)
        door_resume(d);
    look_at_certificates(d);
    notes_flush(&d->notes, d->now_ms);
    conns_free_dead(d);
}

static void *run(void *arg)
{
    struct door *d = arg;
    while (!atomic_load(&d->stop))
        turn(d);
    return NULL;
}

static int start(struct door *d, struct error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&d->thread, NULL, run, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    d->started = rc == 0;
    return rc ? error_errno(err, rc, "cannot start the thread that accepts connections") : 0;
}

/* ---------- new and free ---------- */

static struct door_limits with_defaults(struct door_limits l)
{
    l.connections = l.connections ? l.connections : 512;
    l.per_peer = l.per_peer ? l.per_peer : 32;
    l.handshake_ms = l.handshake_ms ? l.handshake_ms : 10000;
    l.idle_ms = l.idle_ms ? l.idle_ms : 15 * 60 * 1000;
    l.reload_ms = l.reload_ms ? l.reload_ms : 10000;
    l.number_rests_ms = l.number_rests_ms ? l.number_rests_ms : 60000;
    return l;
}

static struct door *door_empty(const struct door_options *o)
{
    struct door *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->limits = with_defaults(o->limits);
    d->take = o->take;
    d->arg = o->arg;
    d->notes.tell = o->note;
    d->notes.arg = o->arg;
    d->place.folder = d->epoll = d->wake.fd = -1;
    d->wake.ready = wake_ready;
    d->resume_ms = -1;
    d->now_ms = clock_mono_ms();
    for (int i = 0; i < CONN_STATES; i++)
        TAILQ_INIT(&d->conns[i]);
    TAILQ_INIT(&d->busy);
    return d;
}

static int open_tls(struct door *d, const struct door_options *o, struct error *err)
{
    if (o->tcp_count == 0)
        return 0;
    int rc = tls_server_new(&o->files, &d->tls, err);
    if (rc < 0)
        return rc;
    d->next_reload_ms = d->now_ms + d->limits.reload_ms;
    atomic_store(&d->until_ms, tls_server_until_ms(d->tls));
    return 0;
}

static int open_epoll(struct door *d, struct error *err)
{
    d->epoll = epoll_create1(EPOLL_CLOEXEC);
    d->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->epoll < 0 || d->wake.fd < 0)
        return error_errno(err, errno, "epoll");
    return watch_set(d, &d->wake, EPOLLIN, err);
}

int door_new(const struct door_options *o, struct door **ret, struct error *err)
{
    _cleanup_(door_freep) struct door *d = door_empty(o);
    if (!d)
        return error_no_memory(err);
    int rc = numbers_new(d->limits.number_rests_ms, &d->numbers, err);
    if (rc == 0)
        rc = open_epoll(d, err);
    if (rc == 0)
        rc = open_tls(d, o, err);
    if (rc == 0)
        rc = listen_all(d, o, err);
    if (rc == 0)
        rc = start(d, err);
    if (rc == 0)
        *ret = take(d);
    return rc;
}

static void wake_up(struct door *d)
{
    (void)eventfd_write(d->wake.fd, 1); /* full: it is awake already */
}

void door_free(struct door *d)
{
    if (!d)
        return;
    atomic_store(&d->stop, true);
    if (d->started) {
        wake_up(d);
        pthread_join(d->thread, NULL);
    }
    conns_end(d);
    conns_free_dead(d);
    unix_remove(d);
    for (size_t i = 0; i < d->listeners_count; i++)
        watch_close(d, &d->listeners[i].watch);
    watch_close(d, &d->wake);
    closep(&d->epoll);
    numbers_free(d->numbers);
    tls_server_free(d->tls);
    free(d->unix_path);
    free(d);
}

void door_reload(struct door *d)
{
    atomic_store(&d->reload, true);
    wake_up(d);
}

uint16_t door_port(const struct door *d, size_t i)
{
    for (size_t k = 0; k < d->listeners_count; k++)
        if (!d->listeners[k].is_unix && i-- == 0)
            return d->listeners[k].port;
    return 0;
}

int64_t door_certificate_until_ms(const struct door *d)
{
    return atomic_load(&d->until_ms);
}
