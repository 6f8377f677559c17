/* Connections over TCP: their states, and how they end. */
#include "internal.h"

#include <errno.h>

#include <base/clock.h>
#include <base/text.h>

static struct conn *of_tcp(struct watch *w)
{
    return (struct conn *)((char *)w - offsetof(struct conn, tcp));
}

static struct conn *of_pair(struct watch *w)
{
    return (struct conn *)((char *)w - offsetof(struct conn, pair));
}

/* ---------- states ---------- */

void conn_enter(struct door *d, struct conn *c, enum conn_state state)
{
    TAILQ_REMOVE(&d->conns[c->state], c, link);
    d->counts[c->state]--;
    c->state = state;
    c->active_ms = d->now_ms;
    TAILQ_INSERT_TAIL(&d->conns[state], c, link);
    d->counts[state]++;
}

static void free_buffers(struct conn *c)
{
    free(c->in.data);
    free(c->out.data);
    c->in = c->out = (struct pipe_buffer){0};
}

void conn_end(struct door *d, struct conn *c)
{
    if (c->state == CONN_DEAD)
        return;
    watch_close(d, &c->pair);
    watch_close(d, &c->tcp);
    if (c->busy)
        TAILQ_REMOVE(&d->busy, c, busy_link);
    c->busy = false;
    conn_enter(d, c, CONN_DEAD);
    door_resume(d); /* there are descriptors again, if that is what was missing */
}

void conn_leave(struct door *d, struct conn *c)
{
    int rc = tls_conn_shutdown(c->tls, NULL); /* best effort: the end of the stream tells the same */
    (void)rc;
    watch_close(d, &c->pair);
    free_buffers(c);
    conn_enter(d, c, CONN_LEAVING);
    if (shutdown(c->tcp.fd, SHUT_WR) < 0 || watch_set(d, &c->tcp, EPOLLIN, NULL) < 0)
        conn_end(d, c);
}

void conns_free_dead(struct door *d)
{
    struct conn *c;
    while ((c = TAILQ_FIRST(&d->conns[CONN_DEAD]))) {
        TAILQ_REMOVE(&d->conns[CONN_DEAD], c, link);
        d->counts[CONN_DEAD]--;
        free_buffers(c);
        tls_conn_free(c->tls);
        free(c);
    }
}

void conns_end(struct door *d)
{
    for (int state = 0; state < CONN_DEAD; state++) {
        struct conn *c;
        while ((c = TAILQ_FIRST(&d->conns[state]))) {
            int rc = state == CONN_OPEN ? tls_conn_shutdown(c->tls, NULL) : 0;
            (void)rc; /* best effort: they see the end in any case */
            conn_end(d, c);
        }
    }
}

/* ---------- other certificates ---------- */

static bool still_trusted(struct door *d, struct conn *c)
{
    if (tls_conn_trusted(c->tls, d->tls))
        return true;
    door_tell(d, DOOR_NOTE_CERTIFICATE, c->peer.from, c->peer.tls.subject,
              "its certificate is of none of the clients' CAs any more");
    conn_leave(d, c);
    return false;
}

void conns_check(struct door *d)
{
    struct conn *next;
    for (struct conn *c = TAILQ_FIRST(&d->conns[CONN_OPEN]); c; c = next) {
        next = TAILQ_NEXT(c, link);
        (void)still_trusted(d, c);
    }
}

/* ---------- time ---------- */

static int64_t limit_ms(const struct door *d, enum conn_state state)
{
    const int64_t limits[CONN_STATES] = {[CONN_HANDSHAKE] = d->limits.handshake_ms,
                                         [CONN_OPEN] = d->limits.idle_ms,
                                         [CONN_LEAVING] = LEAVE_MS};
    return limits[state];
}

static void expire(struct door *d, struct conn *c)
{
    if (c->state == CONN_HANDSHAKE)
        door_tell(d, DOOR_NOTE_SLOW, c->peer.from, "", "its handshake took too long");
    if (c->state == CONN_OPEN)
        door_tell(d, DOOR_NOTE_IDLE, c->peer.from, c->peer.tls.subject,
                  c->out.len > 0 ? "it reads nothing" : "nothing came or went for too long");
    if (c->state == CONN_OPEN && c->out.len == 0)
        conn_leave(d, c);
    else
        conn_end(d, c);
}

void conns_expire(struct door *d)
{
    for (enum conn_state state = 0; state < CONN_DEAD; state++) {
        struct conn *c;
        while ((c = TAILQ_FIRST(&d->conns[state])) && d->now_ms - c->active_ms >= limit_ms(d, state))
            expire(d, c);
    }
}

int64_t conns_next_ms(const struct door *d)
{
    int64_t next = -1;
    for (enum conn_state state = 0; state < CONN_DEAD; state++) {
        const struct conn *c = TAILQ_FIRST(&d->conns[state]);
        if (c && (next < 0 || c->active_ms + limit_ms(d, state) < next))
            next = c->active_ms + limit_ms(d, state);
    }
    return next;
}

/* ---------- from the first byte until it is open ---------- */

static void pair_ready(struct door *d, struct watch *w, uint32_t events)
{
    struct conn *c = of_pair(w);
    if (c->state != CONN_OPEN)
        return;
    if (events & (EPOLLHUP | EPOLLERR)) {
        /* Reported again and again, also while the client has to read first. Nothing new can come from
         * there: what is left is read as the client takes it. */
        (void)epoll_ctl(d->epoll, EPOLL_CTL_DEL, w->fd, NULL);
        w->added = false;
        c->server_ended = true;
    }
    conn_pump(d, c);
}

static unsigned of_subject(const struct door *d, const char *subject)
{
    unsigned count = 0;
    const struct conn *c;
    TAILQ_FOREACH(c, &d->conns[CONN_OPEN], link)
    count += strcmp(c->peer.tls.subject, subject) == 0;
    return count;
}

static int make_buffers(struct conn *c, struct error *err)
{
    c->in.data = malloc(BUFFER_SIZE);
    c->out.data = malloc(BUFFER_SIZE);
    return c->in.data && c->out.data ? 0 : error_no_memory(err);
}

/* The pair, and room for what goes through it; *ret_fd is the end that is handed on. */
static int make_pair(struct door *d, struct conn *c, int *ret_fd, struct error *err)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return error_errno(err, errno, "socket pair");
    c->pair.fd = fds[0];
    *ret_fd = fds[1];
    int rc = make_buffers(c, err);
    return rc < 0 ? rc : watch_set(d, &c->pair, EPOLLIN, err);
}

static void let_in(struct door *d, struct conn *c)
{
    struct error err = ERROR_INIT;
    int fd = -1;
    if (!still_trusted(d, c)) /* they were read anew between its first words and its last */
        return;
    if (of_subject(d, c->peer.tls.subject) >= d->limits.per_peer) {
        door_tell(d, DOOR_NOTE_MANY, c->peer.from, c->peer.tls.subject,
                  "there are too many connections of this certificate's subject");
        conn_leave(d, c);
        return;
    }
    int rc = make_pair(d, c, &fd, &err);
    if (rc < 0) {
        closep(&fd);
        conn_leave(d, c);
        door_pause(d, err.text);
        return;
    }
    if (door_hand_on(d, &fd, &c->peer) < 0) {
        conn_leave(d, c);
        return;
    }
    conn_enter(d, c, CONN_OPEN);
    c->read_wants = c->write_wants = TLS_DONE;
    c->written_ms = d->now_ms;
    conn_pump(d, c);
}

static void handshake_failed(struct door *d, struct conn *c, int rc, const struct error *err)
{
    door_tell(d, rc == ERR_DENIED ? DOOR_NOTE_CERTIFICATE : DOOR_NOTE_HANDSHAKE, c->peer.from, "", err->text);
    conn_leave(d, c); /* OpenSSL has sent an alert; an early close could take it away from the client */
}

static void shake_hands(struct door *d, struct conn *c)
{
    struct error err = ERROR_INIT;
    int rc = tls_conn_handshake(c->tls, &err);
    if (rc < 0) {
        handshake_failed(d, c, rc, &err);
    } else if (rc == TLS_DONE) {
        c->peer.tls = *tls_conn_peer(c->tls);
        let_in(d, c);
    } else if (rc == TLS_CLOSED) {
        if (tls_conn_heard(c->tls))
            door_tell(d, DOOR_NOTE_HANDSHAKE, c->peer.from, "",
                      "it went away in the middle of the handshake");
        conn_end(d, c);
    } else if (watch_set(d, &c->tcp, rc == TLS_WANT_READ ? EPOLLIN : EPOLLOUT, &err) < 0) {
        conn_end(d, c);
    }
}

/* Throws away what a client that was told goodbye still sends. */
static void discard(struct door *d, struct conn *c)
{
    char scrap[16 * 1024];
    ssize_t n = recv(c->tcp.fd, scrap, sizeof(scrap), 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        conn_end(d, c);
}

static void tcp_ready(struct door *d, struct watch *w, uint32_t events)
{
    struct conn *c = of_tcp(w);
    if (c->state == CONN_HANDSHAKE)
        shake_hands(d, c);
    else if (c->state == CONN_LEAVING)
        discard(d, c);
    else if (c->state == CONN_OPEN && events & (EPOLLERR | EPOLLHUP))
        conn_end(d, c); /* reset: nobody is there to read an answer */
    else if (c->state == CONN_OPEN)
        conn_pump(d, c);
}

int conn_new(struct door *d, int fd, const char *from, const uint8_t address[16], struct error *err)
{
    struct conn *c = calloc(1, sizeof(*c));
    int rc = c ? tls_conn_new(d->tls, fd, &c->tls, err) : error_no_memory(err);
    if (rc < 0) {
        close(fd);
        free(c);
        return rc;
    }
    c->tcp = (struct watch){.fd = fd, .ready = tcp_ready};
    c->pair = (struct watch){.fd = -1, .ready = pair_ready};
    c->state = CONN_HANDSHAKE;
    c->active_ms = d->now_ms;
    c->peer.kind = DOOR_TLS;
    memcpy(c->address, address, sizeof(c->address));
    (void)text_copy(c->peer.from, sizeof(c->peer.from), from);
    TAILQ_INSERT_TAIL(&d->conns[CONN_HANDSHAKE], c, link);
    d->counts[CONN_HANDSHAKE]++;
    rc = watch_set(d, &c->tcp, EPOLLIN, err);
    if (rc < 0)
        conn_end(d, c);
    return rc;
}
