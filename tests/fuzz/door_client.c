/* Without se_flags: OpenSSL's headers use names that banned.h poisons. */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "door_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tls_fixture.h"

static SSL_CTX *context;

static void must(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "door client: %s\n", what);
    abort();
}

void door_client_make(const char *dir)
{
    char cert[256], key[256];
    tls_make_ca(dir, "ca");
    tls_make(dir, "ca", "server", &(struct tls_made){.subject = "CN=server", .sans = "IP:127.0.0.1"});
    tls_make(dir, "ca", "ci", &(struct tls_made){.subject = "O=team,CN=ci", .usage = "clientAuth"});
    snprintf(cert, sizeof(cert), "%s/ci.crt", dir);
    snprintf(key, sizeof(key), "%s/ci.key", dir);
    context = SSL_CTX_new(TLS_client_method());
    must(context && SSL_CTX_use_certificate_chain_file(context, cert) == 1 &&
             SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1,
         "certificate");
}

void door_client_forget(const char *dir)
{
    static const char *const names[] = {"ca", "server", "ci"};
    char path[256];
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        snprintf(path, sizeof(path), "%s/%s.crt", dir, names[i]);
        must(unlink(path) == 0, path);
        snprintf(path, sizeof(path), "%s/%s.key", dir, names[i]);
        must(unlink(path) == 0, path);
    }
    must(rmdir(dir) == 0, dir);
}

struct door_client {
    SSL *ssl;
};

struct door_client *door_client_new(int fd)
{
    struct door_client *c = calloc(1, sizeof(*c));
    must(c && (c->ssl = SSL_new(context)) && SSL_set_fd(c->ssl, fd) == 1, "connection");
    SSL_set_connect_state(c->ssl);
    return c;
}

void door_client_free(struct door_client *c)
{
    if (!c)
        return;
    (void)SSL_shutdown(c->ssl);
    ERR_clear_error();
    SSL_free(c->ssl);
    free(c);
}

static int outcome(struct door_client *c, int n)
{
    int e = n > 0 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, n);
    ERR_clear_error();
    if (e == SSL_ERROR_NONE)
        return n;
    return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

int door_client_handshake(struct door_client *c)
{
    ERR_clear_error();
    return outcome(c, SSL_do_handshake(c->ssl));
}

int door_client_read(struct door_client *c, void *data, size_t size)
{
    ERR_clear_error();
    return outcome(c, SSL_read(c->ssl, data, (int)size));
}

int door_client_write(struct door_client *c, const void *data, size_t len)
{
    ERR_clear_error();
    return outcome(c, SSL_write(c->ssl, data, (int)len));
}
