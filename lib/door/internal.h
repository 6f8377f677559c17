/* What the door's files share. Everything here belongs to the door's thread once that has started. */
#ifndef DOOR_INTERNAL_H
#define DOOR_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <door/door.h>

#include "notes.h"
#include "numbers.h"

#define BUFFER_SIZE (64 * 1024) /* each way */
#define LEAVE_MS    2000        /* for a client to read our last words */
#define PAUSE_MS    1000        /* nothing is accepted, unless a connection ends */

struct door;

/* A descriptor in the epoll set. */
struct watch {
    int fd; /* -1: none */
    uint32_t events;
    bool added;
    void (*ready)(struct door *d, struct watch *w, uint32_t events);
};

/* ---------- a client over TCP ---------- */

enum conn_state {
    CONN_HANDSHAKE, /* nobody yet */
    CONN_OPEN,      /* handed on: bytes are copied */
    CONN_LEAVING,   /* told that it is over; what it still sends is thrown away until it has read that */
    CONN_DEAD,      /* freed at the end of the turn: an event of this turn may still name it */
    CONN_STATES
};

struct pipe_buffer {
    uint8_t *data; /* BUFFER_SIZE; NULL before the connection is open */
    size_t start, len;
};

struct conn {
    struct watch tcp, pair; /* the client's, and ours of the pair whose other end was handed on */
    enum conn_state state;
    TAILQ_ENTRY(conn) link, busy_link;
    bool busy;          /* stopped while there was more to copy: goes on in the next turn */
    int64_t active_ms;  /* entered the state, or last copied a byte: lists are in this order */
    int64_t written_ms; /* CONN_OPEN: the client last took a byte, or nothing was waiting for it */
    struct tls_conn *tls;
    int read_wants, write_wants; /* enum tls_result of the last call */
    struct pipe_buffer in, out;  /* from the client, to the client */
    bool client_ended, server_ended;
    uint8_t address[16]; /* what is counted as one: an IPv4 address, or the first half of an IPv6 one */
    struct door_peer peer;
};
TAILQ_HEAD(conns, conn);

/* A new one in CONN_HANDSHAKE. Takes fd, closed on errors. */
int conn_new(struct door *d, int fd, const char *from, const uint8_t address[16],
             struct error *err) _must_check_;
void conn_enter(struct door *d, struct conn *c, enum conn_state state);
/* The connection ends now, without a word. */
void conn_end(struct door *d, struct conn *c);
/* It ends, and the client is told. */
void conn_leave(struct door *d, struct conn *c);
/* Other certificates serve from now on: ends those who would not be let in any more. */
void conns_check(struct door *d);
/* Ends those whose time is over. */
void conns_expire(struct door *d);
/* When the next one's is; -1: never. */
int64_t conns_next_ms(const struct door *d);
/* Ends all. */
void conns_end(struct door *d);
void conns_free_dead(struct door *d);

/* Copies what can be copied, both ways, and tells epoll what is waited for. */
void conn_pump(struct door *d, struct conn *c);

/* ---------- listening ---------- */

struct listener {
    struct watch watch;
    bool is_unix;
    uint16_t port;
};

struct unix_place {
    int folder;       /* -1: there is no unix socket */
    const char *name; /* within d->unix_path */
    dev_t device;
    ino_t inode; /* of our socket */
};

/* Opens all of them. */
int listen_all(struct door *d, const struct door_options *o, struct error *err) _must_check_;
/* A listening unix socket at d->unix_path; *ret_fd is the caller's. */
int unix_listen(struct door *d, const char *group, int *ret_fd, struct error *err) _must_check_;
/* Removes the socket, if it still is ours. */
void unix_remove(struct door *d);
/* Somebody knocks (arrive.c). */
void listener_ready(struct door *d, struct watch *w, uint32_t events);

/* ---------- the door ---------- */

struct door {
    struct door_limits limits;
    int (*take)(void *arg, int fd, const struct door_peer *peer, struct error *err);
    void *arg;
    char *unix_path;
    struct unix_place place;
    struct tls_server *tls;
    struct numbers *numbers;
    struct notes notes;
    int epoll;
    struct watch wake; /* an eventfd */
    struct listener listeners[DOOR_TCP_MAX + 1];
    size_t listeners_count;
    struct conns conns[CONN_STATES], busy;
    unsigned counts[CONN_STATES];
    int64_t now_ms;         /* one a turn */
    int64_t looked_ms;      /* at the numbers */
    int64_t next_reload_ms; /* -1: without TCP */
    int64_t resume_ms;      /* >= 0: accepting is paused until then */
    atomic_bool stop, reload;
    atomic_int_least64_t until_ms;
    pthread_t thread;
    bool started;
};

/* Adds the watch to the set, or changes what it waits for. */
int watch_set(struct door *d, struct watch *w, uint32_t events, struct error *err) _must_check_;
/* Takes it out and closes its descriptor. */
void watch_close(struct door *d, struct watch *w);

void door_tell(struct door *d, enum door_note_kind kind, const char *from, const char *subject,
               const char *why);
/* Nothing is accepted for a while: there are no descriptors or memory for it. */
void door_pause(struct door *d, const char *why);
void door_resume(struct door *d);
/* Hands *fd on under a number that has rested; on errors it is closed, and told. */
int door_hand_on(struct door *d, int *fd, const struct door_peer *peer) _must_check_;

#endif
