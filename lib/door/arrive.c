/* Somebody knocks: who it is, as far as the kernel knows, and whether there is room. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>

#include <base/text.h>

#define ACCEPTS_MAX     16   /* before those that are in have their turn */
#define LOOK_EVERY_MS   1000 /* which descriptors ended meanwhile */
#define PASSWD_TEXT_MAX 1024
#define PASSWD_LINES    10000

static void look(struct door *d, int64_t every_ms)
{
    if (d->now_ms - d->looked_ms < every_ms)
        return;
    d->looked_ms = d->now_ms;
    numbers_look(d->numbers, d->now_ms);
}

static unsigned in_all(const struct door *d)
{
    return d->counts[CONN_HANDSHAKE] + d->counts[CONN_OPEN] + d->counts[CONN_LEAVING] +
           numbers_unix(d->numbers);
}

/* ---------- TCP ---------- */

/* The address as text, and what of it is counted as one: of IPv6 a customer has a /64 at least. */
static void describe(const struct sockaddr_storage *a, char from[DOOR_FROM_MAX], uint8_t key[16])
{
    char text[INET6_ADDRSTRLEN] = "?";
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;
    memset(key, 0, 16);
    if (a->ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
        memcpy(key, &v6->sin6_addr, 8);
        key[15] = 6;
        snprintf(from, DOOR_FROM_MAX, "[%s]:%u", text, ntohs(v6->sin6_port));
    } else {
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
        memcpy(key, &v4->sin_addr, 4);
        snprintf(from, DOOR_FROM_MAX, "%s:%u", text, ntohs(v4->sin_port));
    }
}

static unsigned of_address(const struct door *d, const uint8_t key[16])
{
    unsigned count = 0;
    for (int state = 0; state < CONN_DEAD; state++) {
        const struct conn *c;
        TAILQ_FOREACH(c, &d->conns[state], link)
        count += memcmp(c->address, key, 16) == 0;
    }
    return count;
}

/* Who has not finished a handshake makes room for who comes: an honest one takes milliseconds, so those that
 * are there for longest are the others. */
static bool make_room(struct door *d)
{
    struct conn *oldest = TAILQ_FIRST(&d->conns[CONN_LEAVING]);
    if (!oldest) {
        oldest = TAILQ_FIRST(&d->conns[CONN_HANDSHAKE]);
        if (!oldest)
            return false;
        door_tell(d, DOOR_NOTE_SLOW, oldest->peer.from, "",
                  "too many handshakes at once, and its was the oldest");
    }
    conn_end(d, oldest);
    return true;
}

static bool has_room(struct door *d)
{
    if (d->counts[CONN_HANDSHAKE] >= (d->limits.connections + 1) / 2 && !make_room(d))
        return false;
    return in_all(d) < d->limits.connections || make_room(d);
}

static void arrive_tcp(struct door *d, int fd, const struct sockaddr_storage *a)
{
    struct error err = ERROR_INIT;
    char from[DOOR_FROM_MAX];
    uint8_t key[16];
    const int on = 1;
    describe(a, from, key);
    if (of_address(d, key) >= d->limits.per_peer) {
        door_tell(d, DOOR_NOTE_MANY, from, "", "there are too many connections from its address");
        close(fd);
        return;
    }
    if (!has_room(d)) {
        door_tell(d, DOOR_NOTE_FULL, from, "", "there are too many connections");
        close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
                     sizeof(on)); /* without it answers are late, not wrong */
    if (conn_new(d, fd, from, key, &err) < 0)
        door_pause(d, err.text);
}

/* ---------- the unix socket ---------- */

/* Only the file: a name service may take its time, and everybody else would wait with us. */
static void find_user(uid_t uid, char out[DOOR_USER_MAX])
{
    char text[PASSWD_TEXT_MAX];
    struct passwd entry, *found = NULL;
    snprintf(out, DOOR_USER_MAX, "uid %u", (unsigned)uid);
    FILE *f = fopen("/etc/passwd", "re");
    for (int i = 0; f && i < PASSWD_LINES && fgetpwent_r(f, &entry, text, sizeof(text), &found) == 0; i++)
        if (found->pw_uid == uid && *found->pw_name) {
            (void)text_copy(out, DOOR_USER_MAX, found->pw_name); /* for a person to read: may be cut */
            break;
        }
    if (f)
        fclose(f);
}

static int identify(int fd, struct door_peer *peer)
{
    struct ucred who = {0};
    socklen_t len = sizeof(who);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || len != sizeof(who))
        return -1;
    peer->kind = DOOR_UNIX;
    peer->uid = who.uid;
    peer->gid = who.gid;
    peer->pid = who.pid;
    snprintf(peer->from, sizeof(peer->from), "unix socket, pid %d", (int)who.pid);
    find_user(who.uid, peer->user);
    return 0;
}

static bool has_room_for(struct door *d, const struct door_peer *peer)
{
    if (numbers_of_user(d->numbers, peer->uid) >= d->limits.per_peer) {
        look(d, 0);
        if (numbers_of_user(d->numbers, peer->uid) >= d->limits.per_peer) {
            door_tell(d, DOOR_NOTE_MANY, peer->from, "", "there are too many connections of its user");
            return false;
        }
    }
    if (in_all(d) < d->limits.connections || make_room(d))
        return true;
    door_tell(d, DOOR_NOTE_FULL, peer->from, "", "there are too many connections");
    return false;
}

static void arrive_unix(struct door *d, int fd)
{
    struct door_peer peer = {0};
    if (identify(fd, &peer) < 0 || !has_room_for(d, &peer)) {
        close(fd);
        return;
    }
    int rc = door_hand_on(d, &fd, &peer);
    (void)rc; /* told, and closed */
}

/* ---------- both ---------- */

/* accept() also reports what went wrong with the one connection that it would have returned. */
static bool is_lack(int errnum)
{
    return errnum == EMFILE || errnum == ENFILE || errnum == ENOBUFS || errnum == ENOMEM;
}

void listener_ready(struct door *d, struct watch *w, uint32_t events)
{
    const struct listener *l = (const struct listener *)((char *)w - offsetof(struct listener, watch));
    (void)events;
    look(d, LOOK_EVERY_MS);
    for (int i = 0; i < ACCEPTS_MAX && d->resume_ms < 0; i++) {
        struct sockaddr_storage a = {0};
        socklen_t len = sizeof(a);
        int fd = accept4(w->fd, (struct sockaddr *)&a, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            struct error err = ERROR_INIT;
            int errnum = errno;
            if (errnum == EAGAIN || errnum == EWOULDBLOCK)
                return;
            if (is_lack(errnum) && error_errno(&err, errnum, "cannot accept connections") < 0)
                door_pause(d, err.text);
            continue;
        }
        if (l->is_unix)
            arrive_unix(d, fd);
        else
            arrive_tcp(d, fd, &a);
    }
}
