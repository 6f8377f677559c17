/* Who comes in. The door accepts connections on a unix socket and on TCP with TLS 1.3, checks and bounds
 * them, and hands a descriptor and the name of who is behind it to a callback. Behind it gRPC serves: it sees
 * no byte of anybody who was not let in.
 *
 *   unix socket   in a folder that only root and one group can enter; the accepted descriptor itself is
 * handed on TCP           a client certificate of the clients' CA is required; the door keeps the TLS
 * connection and hands on one end of a socket pair, between which and the client it copies bytes
 *
 * One thread does all of it and waits for nobody: whoever is slow has a deadline, whoever does not read fills
 * two buffers of a fixed size and then has nothing more read from it. */
#ifndef DOOR_DOOR_H
#define DOOR_DOOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <base/cleanup.h>
#include <base/error.h>
#include <crypto/tls.h>

#define DOOR_TCP_MAX  8
#define DOOR_FROM_MAX 128
#define DOOR_USER_MAX 64

enum door_kind { DOOR_UNIX, DOOR_TLS };

struct door_peer {
    enum door_kind kind;
    char from[DOOR_FROM_MAX]; /* "10.0.0.7:41234", "[fd00::7]:41234" or "unix socket, pid 4711" */
    uid_t uid;                /* DOOR_UNIX: of the process that connected */
    gid_t gid;
    pid_t pid;
    char user[DOOR_USER_MAX]; /* by /etc/passwd, "uid 1234" for one that is not there */
    struct tls_peer tls;      /* DOOR_TLS */
};

enum door_note_kind {
    DOOR_NOTE_HANDSHAKE,   /* garbage, an old TLS, a handshake that was broken off */
    DOOR_NOTE_CERTIFICATE, /* none, or one that is refused */
    DOOR_NOTE_SLOW,        /* a handshake that took too long, or longest of too many */
    DOOR_NOTE_IDLE,        /* a connection without a byte for too long, or one that was not read from */
    DOOR_NOTE_EXPIRED,     /* the client's certificate ended while it was connected */
    DOOR_NOTE_FULL,        /* too many connections in all, or too many that came and went in a minute */
    DOOR_NOTE_MANY,        /* too many from one address, of one certificate, of one user */
    DOOR_NOTE_BROKEN,      /* a connection that broke the protocol once it was open */
    DOOR_NOTE_REFUSED,     /* take() would not have it */
    DOOR_NOTE_RESOURCES,   /* no more descriptors or memory: nothing is accepted for a moment */
    DOOR_NOTE_RELOADED,    /* the certificates were read anew; not a refusal */
    DOOR_NOTE_RELOAD,      /* they could not be: the ones from before serve on */
    DOOR_NOTE_KINDS
};

struct door_note {
    enum door_note_kind kind;
    const char *from;    /* as in door_peer; "" where nobody in particular is meant */
    const char *subject; /* of the certificate, "" where none was verified */
    const char *why;     /* one line */
    uint64_t left_out;   /* others of this kind since the note before */
};

struct door_limits {      /* 0: as told here */
    unsigned connections; /* 512 in all, of which half may be in a handshake */
    unsigned
        per_peer; /* 32 of one address (IPv6: one /64), of one certificate's subject, of one local user */
    int64_t handshake_ms; /* 10,000 */
    int64_t idle_ms;      /* 15 minutes without a byte in either direction; TCP only */
    int64_t reload_ms;    /* 10,000: how often the certificates' files are looked at */
    int64_t
        number_rests_ms; /* 60,000: how long after its end a descriptor's number is not handed out again */
};

struct door_options {
    const char *unix_path;         /* NULL or "": none */
    const char *unix_group;        /* NULL or "": root's only */
    const char *tcp[DOOR_TCP_MAX]; /* "host:port" or "[v6]:port"; port 0: any (door_port tells) */
    size_t tcp_count;
    struct tls_files files; /* needed where there is a TCP address */
    struct door_limits limits;
    /* Takes a descriptor (non-blocking, close-on-exec), which is its from then on. An error: the door closes
     * it, and so the connection. `peer` lives as long as the call. Both are called on the door's thread,
     * perhaps before door_new has returned, and must not wait. */
    int (*take)(void *arg, int fd, const struct door_peer *peer, struct error *err);
    /* What is worth a line in the log: at most one of a kind a second, the others are counted. */
    void (*note)(void *arg, const struct door_note *note);
    void *arg;
};

/* Opens the sockets and starts the thread. The options' texts are copied. Raises the soft limit on open files
 * (not the hard one) towards what the numbers of descriptors take. Errors name the address, path or file:
 * ERR_INVALID (an address that is none), ERR_DENIED (the folder of the socket is open to others),
 * ERR_CONFLICT (somebody answers on it already), ERR_IO, and those of tls_server_new. Caller frees. */
struct door;
int door_new(const struct door_options *o, struct door **ret, struct error *err) _must_check_;

/* Closes everything that has not been handed on, and the door's end of what has: whoever took one sees its
 * end. Removes the socket. NULL is safe. Not from a callback. */
void door_free(struct door *d);
DEFINE_CLEANUP(struct door *, door_free);

/* The certificates' files are looked at now; what came of it comes as a note. Who is in, and would not be let
 * in any more, is sent away. From any thread. */
void door_reload(struct door *d);

/* The port of the i-th TCP address. */
uint16_t door_port(const struct door *d, size_t i);

/* When the server's certificate ends (wall clock; 0 without TCP). From any thread. */
int64_t door_certificate_until_ms(const struct door *d);

/* "certificate", for logs. */
const char *door_note_name(enum door_note_kind kind);

#endif
