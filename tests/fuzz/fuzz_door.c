/* Any bytes from a client of the door (lib/door), before and after it was let in:
 *
 *   r  as the first bytes of a connection, in pieces: nobody is let in, nothing is handed on, and the refusal
 *      is one line
 *   h  by an honest client, over TLS: behind the door stand the same bytes in the same order, and those that
 *      are sent back come to the client
 *   b  from an honest client, but not over its TLS: nothing of it stands behind the door
 *
 * The door's own functions run, on this thread instead of its own: only listening is left out. */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <base/clock.h>
#include <base/text.h>

#include "door_client.h"
#include "internal.h"

#define PIECES_MAX  8
#define TURNS_MAX   64
#define RECORDS_MAX 64 /* a socket takes some hundred writes, however small */

int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct door door;
static struct {
    int fd;         /* what was handed on; -1: nothing */
    unsigned taken; /* connections, by now */
} house = {.fd = -1};

/* ---------- the house behind it ---------- */

static int on_take(void *arg, int fd, const struct door_peer *peer, struct error *err)
{
    (void)arg, (void)err;
    MUST(peer->kind == DOOR_TLS && strcmp(peer->tls.subject, "O=team, CN=ci") == 0);
    MUST(strcmp(peer->from, "10.0.0.7:4711") == 0 && strcmp(peer->tls.common_name, "ci") == 0);
    house.fd = fd;
    house.taken++;
    return 0;
}

static void on_note(void *arg, const struct door_note *note)
{
    (void)arg;
    MUST(*note->why && text_is_utf8(note->why, strlen(note->why)) && *door_note_name(note->kind));
    for (const char *s = note->why; *s; s++)
        MUST((unsigned char)*s >= ' ' && *s != 0x7f);
}

/* ---------- the door ---------- */

static void open_door(void)
{
    static char dir[] = "/tmp/fuzz-door-XXXXXX";
    static char cert[64], key[64], ca[64];
    MUST(mkdtemp(dir));
    door_client_make(dir);
    snprintf(cert, sizeof(cert), "%s/server.crt", dir);
    snprintf(key, sizeof(key), "%s/server.key", dir);
    snprintf(ca, sizeof(ca), "%s/ca.crt", dir);
    const struct tls_files files = {.cert = cert, .key = key, .client_ca = ca};
    door = (struct door){.limits = {.connections = 4, .per_peer = 4, .handshake_ms = 10000, .idle_ms = 60000},
                         .take = on_take,
                         .notes = {.tell = on_note},
                         .resume_ms = -1};
    for (int i = 0; i < CONN_STATES; i++)
        TAILQ_INIT(&door.conns[i]);
    TAILQ_INIT(&door.busy);
    door.epoll = epoll_create1(EPOLL_CLOEXEC);
    MUST(door.epoll >= 0 && numbers_new(1, &door.numbers, NULL) == 0);
    MUST(tls_server_new(&files, &door.tls, NULL) == 0);
    door_client_forget(dir);
}

/* What the door's thread does with what is ready; every turn is 10 ms later. */
static void turn(void)
{
    struct epoll_event events[8];
    int count = epoll_wait(door.epoll, events, 8, 0);
    struct conn *c;
    door.now_ms += 10;
    for (size_t busy = 0; busy < 4 && (c = TAILQ_FIRST(&door.busy)); busy++) {
        TAILQ_REMOVE(&door.busy, c, busy_link);
        c->busy = false;
        if (c->state == CONN_OPEN)
            conn_pump(&door, c);
    }
    for (int i = 0; i < count; i++) {
        struct watch *w = events[i].data.ptr;
        w->ready(&door, w, events[i].events);
    }
    conns_expire(&door);
    notes_flush(&door.notes, door.now_ms);
    conns_free_dead(&door);
    numbers_look(door.numbers, door.now_ms);
}

static unsigned inside(void)
{
    return door.counts[CONN_HANDSHAKE] + door.counts[CONN_OPEN] + door.counts[CONN_LEAVING];
}

/* The client's end of a new connection. */
static int knock(void)
{
    static const uint8_t address[16] = {10, 0, 0, 7};
    int fds[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    MUST(conn_new(&door, fds[0], "10.0.0.7:4711", address, NULL) == 0);
    return fds[1];
}

/* Others stay in. */
static void leave(int fd, unsigned others)
{
    close(fd);
    for (int i = 0; i < TURNS_MAX && inside() > others; i++)
        turn();
    MUST(inside() == others && door.counts[CONN_OPEN] == others && TAILQ_EMPTY(&door.busy));
}

/* Somebody who is in, and stays in until something of theirs is broken: a handshake takes long. */
static struct door_client *client;
static int client_fd = -1;

/* ---------- first bytes ---------- */

/* The first byte says how large the pieces are. */
static void as_first(const uint8_t *data, size_t size)
{
    int fd = knock();
    size_t piece = size > 0 && data[0] > 0 ? data[0] * size / 255 + 1 : 1, pieces = 0;
    unsigned taken = house.taken, others = client ? 1 : 0;
    data += size > 0;
    size -= size > 0;
    for (size_t at = 0, len; at < size; at += len) {
        len = ++pieces == PIECES_MAX || size - at < piece ? size - at : piece;
        if (send(fd, data + at, len, MSG_NOSIGNAL) < 0)
            break; /* it has been shown the door */
        turn();
    }
    turn();
    MUST(house.taken == taken && door.counts[CONN_OPEN] == others);
    leave(fd, others);
}

/* ---------- somebody who is in ---------- */

static void let_in(void)
{
    unsigned taken = house.taken;
    if (client)
        return;
    client_fd = knock();
    client = door_client_new(client_fd);
    for (int i = 0; i < TURNS_MAX && house.taken == taken; i++) {
        MUST(door_client_handshake(client) >= 0);
        turn();
    }
    MUST(house.taken == taken + 1 && house.fd >= 0 && door.counts[CONN_OPEN] == 1);
}

static void go_out(void)
{
    door_client_free(client);
    client = NULL;
    leave(client_fd, 0);
    close(house.fd);
    house.fd = -1;
}

/* Behind the door stands what was sent, and no more. */
static void must_arrive(const uint8_t *data, size_t size)
{
    static uint8_t got[64 * 1024];
    size_t len = 0;
    for (int i = 0; i < TURNS_MAX && len < size; i++) {
        ssize_t n = recv(house.fd, got + len, sizeof(got) - len, 0);
        len += n > 0 ? (size_t)n : 0;
        turn();
    }
    MUST(len == size && memcmp(got, data, size) == 0);
    MUST(recv(house.fd, got, sizeof(got), 0) < 0 && errno == EAGAIN);
}

static void must_come_back(const uint8_t *data, size_t size)
{
    static uint8_t got[64 * 1024];
    size_t len = 0;
    MUST(send(house.fd, data, size, MSG_NOSIGNAL) == (ssize_t)size);
    for (int i = 0; i < TURNS_MAX && len < size; i++) {
        turn();
        int n = door_client_read(client, got + len, sizeof(got) - len);
        MUST(n >= 0);
        len += (size_t)n;
    }
    MUST(len == size && memcmp(got, data, size) == 0);
}

static void as_honest(const uint8_t *data, size_t size)
{
    let_in();
    if (size == 0)
        return;
    size_t piece = data[0] + 1u < size / RECORDS_MAX + 1 ? size / RECORDS_MAX + 1 : data[0] + 1u;
    for (size_t at = 0, len; at < size; at += len) {
        len = size - at < piece ? size - at : piece;
        MUST(door_client_write(client, data + at, len) == (int)len);
    }
    must_arrive(data, size);
    must_come_back(data, size);
}

/* Records that are not the client's: the first that is whole ends the connection. */
static void as_broken(const uint8_t *data, size_t size)
{
    char scrap[16];
    let_in();
    if (size > 0)
        MUST(send(client_fd, data, size, MSG_NOSIGNAL) == (ssize_t)size);
    for (int i = 0; i < 4; i++)
        turn();
    ssize_t n = recv(house.fd, scrap, sizeof(scrap), 0);
    MUST(n == 0 || (n < 0 && errno == EAGAIN && door.counts[CONN_OPEN] == 1));
    if (size > 0)
        go_out();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    signal(SIGPIPE, SIG_IGN);
    open_door();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 'h')
        as_honest(data + 1, size - 1);
    else if (data[0] == 'b')
        as_broken(data + 1, size - 1);
    else
        as_first(data + 1, size - 1);
    return 0;
}
