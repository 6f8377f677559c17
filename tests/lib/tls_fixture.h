/* Certificates of a CA of the test's own, and a TLS client that can behave badly. What goes wrong in the
 * fixture itself ends the test program. */
#ifndef TEST_TLS_FIXTURE_H
#define TEST_TLS_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_made {
    const char *subject;     /* "O=team,CN=ci"; a part "CN=" may come again */
    const char *sans;        /* OpenSSL's way: "DNS:a,URI:spiffe://b,IP:::1"; NULL: none */
    const char *usage;       /* "clientAuth"; NULL: not said */
    int64_t from_s, until_s; /* seconds from now; both 0: from an hour ago for a day */
    const void *raw_name;    /* added to the subject as these bytes (CN), with NULs and all */
    int raw_name_len;
    const void *raw_dns; /* the one alternative name, likewise */
    int raw_dns_len;
};

/* Writes DIR/NAME.crt and DIR/NAME.key: a CA; a certificate that the CA of that name in DIR signs. */
void tls_make_ca(const char *dir, const char *name);
void tls_make(const char *dir, const char *ca, const char *name, const struct tls_made *m);

struct tls_client_options {
    const char *dir, *ca; /* which CA the server's certificate must have; NULL: any is fine */
    const char *cert;     /* the name that tls_make was given; NULL: none */
    bool old;             /* TLS 1.2 at most */
    const char *protocol; /* ALPN, "h2"; NULL: none */
    int receive_buffer;   /* bytes; 0: as the system has it */
    const char *source;   /* the address to come from; NULL: 127.0.0.1 */
};

/* Connects to 127.0.0.1 and shakes hands. NULL when that was refused, with the reason. A client whose
 * certificate is refused learns of it only when it reads. Caller frees with tls_client_close. */
struct tls_client;
struct tls_client *tls_client_open(uint16_t port, const struct tls_client_options *o, char why[256]);
void tls_client_close(struct tls_client *c);

/* Bytes read or written; 0: the end, as it should be said; -1: refused or cut off, with the reason; -2:
 * nothing within 5 s. */
int tls_client_read(struct tls_client *c, void *data, int size, char why[256]);
int tls_client_write(struct tls_client *c, const void *data, int len, char why[256]);

int tls_client_fd(const struct tls_client *c);
const char *tls_client_protocol(const struct tls_client *c); /* what was agreed, "" for nothing */
const char *tls_client_version(const struct tls_client *c);
/* A ticket with which the next connection would be resumed came. */
bool tls_client_has_ticket(const struct tls_client *c);

/* A TCP connection to 127.0.0.1, blocking, with 5 s to receive. */
int plain_connect(uint16_t port);

#endif
