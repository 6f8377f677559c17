/* The server's side of TLS for the coordinator's API: TLS 1.3 and nothing older, and no client without a
 * certificate of the one CA that is named for clients. Nothing is resumed: every connection is proved anew.
 *
 * No function here waits: the file descriptors are non-blocking, and a call says what it waits for. One
 * thread at a time for a server and all of its connections. */
#ifndef CRYPTO_TLS_H
#define CRYPTO_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/cleanup.h>
#include <base/error.h>
#include <crypto/certificate.h>

#define TLS_GROUPS_MAX 16
#define TLS_GROUP_MAX  128
#define TLS_SANS_MAX   32
#define TLS_SAN_MAX    256

/* Who is at the other end, from the certificate that was verified. A certificate with more names than fit,
 * with a name longer than its field, or with a NUL or another control character in one, is refused: nothing
 * here is ever cut, so that no two certificates look alike. */
struct tls_peer {
    char subject[CERTIFICATE_NAME_MAX];         /* as certificate_read prints it: "O=team, CN=ci" */
    char common_name[TLS_GROUP_MAX];            /* "" where there is none */
    char groups[TLS_GROUPS_MAX][TLS_GROUP_MAX]; /* every O and OU */
    size_t groups_count;
    char sans[TLS_SANS_MAX][TLS_SAN_MAX]; /* "dns:ci.example", "uri:spiffe://…", "email:…", "ip:…" */
    size_t sans_count;
    int64_t until_ms; /* wall clock: the certificate ends then */
};

struct tls_files {
    const char *cert;      /* PEM: the server's certificate, then those between it and its CA */
    const char *key;       /* PEM, without a pass phrase */
    const char *client_ca; /* PEM: who signs the clients' certificates, one or more */
    bool http1;            /* the protocol that is agreed on is "http/1.1", not "h2" */
};

/* Reads the three files; the paths are copied. Caller frees. Errors name the file: it cannot be read
 * (ERR_NOT_FOUND, ERR_DENIED, …), holds no certificate or key (ERR_INVALID), or the key belongs to another
 * certificate (ERR_DENIED). */
struct tls_server;
int tls_server_new(const struct tls_files *files, struct tls_server **ret, struct error *err) _must_check_;
/* Connections that it has made may live on. NULL is safe. */
void tls_server_free(struct tls_server *s);
DEFINE_CLEANUP(struct tls_server *, tls_server_free);

/* Looks whether one of the files is another one than before (inode, size, times) and reads all of them anew
 * then. Returns 1 when the new set serves from now on, 0 when nothing changed; an error when the new set is
 * of no use: the one from before goes on, and the same set is not tried again until a file changes. */
int tls_server_reload(struct tls_server *s, struct error *err) _must_check_;

/* When the server's own certificate ends (wall clock). */
int64_t tls_server_until_ms(const struct tls_server *s);

/* What a call on a connection came to; errors are negative, as everywhere. */
enum tls_result {
    TLS_DONE = 0,
    TLS_WANT_READ = 1,  /* call again when the descriptor can be read */
    TLS_WANT_WRITE = 2, /* call again, with the same bytes, when it can be written */
    TLS_CLOSED = 3      /* the other side is gone, with or without a word */
};

/* A connection that a client opened to `fd`, which stays the caller's. Caller frees; that sends nothing. */
struct tls_conn;
int tls_conn_new(struct tls_server *s, int fd, struct tls_conn **ret, struct error *err) _must_check_;
void tls_conn_free(struct tls_conn *c);
DEFINE_CLEANUP(struct tls_conn *, tls_conn_free);

/* Errors say what the client did wrong: ERR_DENIED (no certificate, or one that is refused; the client is
 * told by an alert), ERR_UNSUPPORTED (nothing newer than TLS 1.2), ERR_INVALID (no TLS at all). */
int tls_conn_handshake(struct tls_conn *c, struct error *err) _must_check_;

/* Who it is; only after tls_conn_handshake returned TLS_DONE, and as long as the connection lives. */
const struct tls_peer *tls_conn_peer(const struct tls_conn *c);

/* Would its certificate still be let in by what the server has read since (tls_server_reload)? Only after the
 * handshake. */
bool tls_conn_trusted(const struct tls_conn *c, const struct tls_server *s);

/* Did the client send anything yet? Who only opens a connection to see whether the port is open does not. */
bool tls_conn_heard(const struct tls_conn *c);

/* "h2", or "" where the client offered no such protocol. */
const char *tls_conn_protocol(const struct tls_conn *c);

/* TLS_DONE with *ret_len > 0 bytes, or another result with none. */
int tls_conn_read(struct tls_conn *c, void *data, size_t size, size_t *ret_len,
                  struct error *err) _must_check_;
int tls_conn_write(struct tls_conn *c, const void *data, size_t len, size_t *ret_len,
                   struct error *err) _must_check_;

/* Tells the client that no more comes; not waited for. */
int tls_conn_shutdown(struct tls_conn *c, struct error *err) _must_check_;

#endif
