/* Bytes between a client (over TLS) and the pair whose other end was handed on. Each way has a buffer; while
 * it is full nothing more is read from the side that fills it. */
#include "internal.h"

#include <errno.h>

#include <base/clock.h>

#define ROUNDS_MAX 4 /* a TLS record (16 KiB) and a buffer each, before others have their turn */

static size_t room(const struct pipe_buffer *b)
{
    return BUFFER_SIZE - b->len;
}

/* Where the next bytes go. */
static uint8_t *tail(struct pipe_buffer *b)
{
    if (b->start > 0) {
        memmove(b->data, b->data + b->start, b->len);
        b->start = 0;
    }
    return b->data + b->len;
}

static void drop(struct pipe_buffer *b, size_t len)
{
    b->start = len == b->len ? 0 : b->start + len;
    b->len -= len;
}

/* The four steps: each moves what it can and returns 1 when it moved something, 0, or an error. */

static int from_client(struct conn *c, struct error *err)
{
    size_t got = 0;
    if (c->client_ended || room(&c->in) == 0)
        return 0;
    int rc = tls_conn_read(c->tls, tail(&c->in), room(&c->in), &got, err);
    c->read_wants = rc;
    if (rc == TLS_CLOSED)
        c->client_ended = true;
    c->in.len += got;
    return rc < 0 ? rc : got > 0;
}

static int to_server(struct conn *c)
{
    if (c->in.len == 0)
        return 0;
    ssize_t n = send(c->pair.fd, c->in.data + c->in.start, c->in.len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        drop(&c->in, c->in.len); /* it went away: its last words are still read */
    if (n <= 0)
        return 0;
    drop(&c->in, (size_t)n);
    return 1;
}

/* *ret_end: nothing comes any more. */
static int from_server(struct conn *c, bool *ret_end)
{
    *ret_end = false;
    if (room(&c->out) == 0)
        return 0;
    ssize_t n = recv(c->pair.fd, tail(&c->out), room(&c->out), 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        *ret_end = true;
    if (n <= 0)
        return 0;
    c->out.len += (size_t)n;
    return 1;
}

static int to_client(struct conn *c, struct error *err)
{
    size_t sent = 0;
    if (c->out.len == 0) {
        c->write_wants = TLS_DONE;
        return 0;
    }
    int rc = tls_conn_write(c->tls, c->out.data + c->out.start, c->out.len, &sent, err);
    c->write_wants = rc;
    if (rc == TLS_CLOSED)
        return ERR_UNAVAILABLE; /* gone; no text, as that is no fault */
    drop(&c->out, sent);
    return rc < 0 ? rc : sent > 0;
}

enum outcome { GOES_ON, MORE, CLIENT_GONE, SERVER_GONE, BROKEN };

static enum outcome one_round(struct door *d, struct conn *c, struct error *err)
{
    bool end = false;
    int moved = from_client(c, err);
    if (moved < 0)
        return BROKEN;
    moved |= to_server(c);
    moved |= from_server(c, &end);
    int sent = to_client(c, err);
    if (sent < 0)
        return sent == ERR_UNAVAILABLE ? CLIENT_GONE : BROKEN;
    if (sent > 0 || c->out.len == 0)
        c->written_ms = d->now_ms;
    if (c->client_ended && c->in.len == 0)
        return CLIENT_GONE;
    if (end && c->out.len == 0)
        return SERVER_GONE;
    return moved | sent ? MORE : GOES_ON;
}

static uint32_t for_tls(int wants)
{
    return wants == TLS_WANT_READ ? EPOLLIN : wants == TLS_WANT_WRITE ? EPOLLOUT : 0;
}

static int wait_for(struct door *d, struct conn *c, struct error *err)
{
    bool reads = !c->client_ended && room(&c->in) > 0;
    uint32_t tcp = (reads ? for_tls(c->read_wants) : 0) | for_tls(c->write_wants);
    uint32_t pair = (room(&c->out) > 0 ? EPOLLIN : 0) | (c->in.len > 0 ? EPOLLOUT : 0);
    int rc = watch_set(d, &c->tcp, tcp, err);
    return rc < 0 || c->server_ended ? rc : watch_set(d, &c->pair, pair, err);
}

static void touch(struct door *d, struct conn *c)
{
    c->active_ms = d->now_ms;
    TAILQ_REMOVE(&d->conns[CONN_OPEN], c, link);
    TAILQ_INSERT_TAIL(&d->conns[CONN_OPEN], c, link);
}

/* A client that goes on sending and reads nothing is not idle. */
static bool refused_now(struct door *d, struct conn *c)
{
    if (clock_wall_ms() >= c->peer.tls.until_ms) {
        door_tell(d, DOOR_NOTE_EXPIRED, c->peer.from, c->peer.tls.subject, "its certificate has ended");
        conn_leave(d, c);
        return true;
    }
    if (c->out.len > 0 && d->now_ms - c->written_ms >= d->limits.idle_ms) {
        door_tell(d, DOOR_NOTE_IDLE, c->peer.from, c->peer.tls.subject, "it reads nothing");
        conn_end(d, c);
        return true;
    }
    return false;
}

static void stop(struct door *d, struct conn *c, enum outcome how, const struct error *err)
{
    if (how == BROKEN)
        door_tell(d, DOOR_NOTE_BROKEN, c->peer.from, c->peer.tls.subject, err->text);
    if (how == CLIENT_GONE)
        conn_end(d, c);
    else
        conn_leave(d, c);
}

void conn_pump(struct door *d, struct conn *c)
{
    struct error err = ERROR_INIT;
    enum outcome how = MORE;
    bool moved = false;
    if (refused_now(d, c))
        return;
    for (int i = 0; i < ROUNDS_MAX && how == MORE; i++) {
        how = one_round(d, c, &err);
        moved |= how == MORE;
    }
    if (how > MORE) {
        stop(d, c, how, &err);
        return;
    }
    if (moved)
        touch(d, c);
    if (how == MORE && !c->busy) { /* OpenSSL may hold bytes that epoll knows nothing of */
        c->busy = true;
        TAILQ_INSERT_TAIL(&d->busy, c, busy_link);
    }
    if (wait_for(d, c, &err) < 0)
        conn_end(d, c);
}
