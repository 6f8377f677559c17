/* One client's connection. OpenSSL's own socket BIO writes with write(), which raises SIGPIPE: this one
 * sends. */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>

#include "openssl.h"
#include "tls_internal.h"
#include "x509.h"

struct tls_conn {
    SSL *ssl;
    int fd;
    char claimed[CERTIFICATE_NAME_MAX]; /* the subject of a certificate that was not verified (yet) */
    int refused;                        /* X509_V_ERR_… of it */
    struct tls_peer peer;
};

/* ---------- the socket ---------- */

static int note_result(BIO *b, ssize_t n, int retry_flag)
{
    BIO_clear_retry_flags(b);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        BIO_set_flags(b, retry_flag | BIO_FLAGS_SHOULD_RETRY);
    return (int)n;
}

static int bio_read(BIO *b, char *data, int len)
{
    const struct tls_conn *c = BIO_get_data(b);
    return note_result(b, recv(c->fd, data, (size_t)len, 0), BIO_FLAGS_READ);
}

static int bio_write(BIO *b, const char *data, int len)
{
    const struct tls_conn *c = BIO_get_data(b);
    return note_result(b, send(c->fd, data, (size_t)len, MSG_NOSIGNAL), BIO_FLAGS_WRITE);
}

static long bio_ctrl(BIO *b, int what, long number, void *data)
{
    (void)b, (void)number, (void)data;
    return what == BIO_CTRL_FLUSH; /* nothing is kept back; every other question: no */
}

static BIO_METHOD *method;

static void make_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "descriptor");
    if (!m || BIO_meth_set_read(m, bio_read) != 1 || BIO_meth_set_write(m, bio_write) != 1 ||
        BIO_meth_set_ctrl(m, bio_ctrl) != 1) {
        BIO_meth_free(m);
        return;
    }
    method = m; /* one a process, until its end */
}

static BIO *socket_bio(struct tls_conn *c)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_method);
    BIO *b = method ? BIO_new(method) : NULL;
    if (!b)
        return NULL;
    BIO_set_data(b, c);
    BIO_set_init(b, 1);
    return b;
}

/* ---------- why a handshake failed ---------- */

int tls_conn_verify(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_conn *c = ssl ? SSL_get_app_data(ssl) : NULL;
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    if (!c)
        return 0;
    if (leaf && !c->claimed[0])
        (void)x509_subject(leaf, c->claimed); /* for a person to read: may be cut */
    if (!ok)
        c->refused = X509_STORE_CTX_get_error(store);
    return ok;
}

static const struct reason {
    int reason; /* SSL_R_… */
    int code;
    const char *text;
} reasons[] = {
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, ERR_DENIED, "it sent no certificate"},
    {SSL_R_UNSUPPORTED_PROTOCOL, ERR_UNSUPPORTED, "it speaks nothing newer than TLS 1.2; TLS 1.3 is needed"},
    {SSL_R_WRONG_SSL_VERSION, ERR_UNSUPPORTED, "it speaks nothing newer than TLS 1.2; TLS 1.3 is needed"},
    {SSL_R_HTTP_REQUEST, ERR_INVALID, "it speaks HTTP without TLS"},
    {SSL_R_HTTPS_PROXY_REQUEST, ERR_INVALID, "it takes this port for an HTTP proxy"},
    {SSL_R_WRONG_VERSION_NUMBER, ERR_INVALID, "what it sent is no TLS"},
    {SSL_R_EXCESSIVE_MESSAGE_SIZE, ERR_TOO_LARGE, "it sent a message larger than a handshake has"},
    {SSL_R_NO_SHARED_CIPHER, ERR_UNSUPPORTED, "it offers no cipher that is allowed here"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, ERR_DENIED, "it does not trust this server's certificate (unknown CA)"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, ERR_DENIED, "it does not accept this server's certificate"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, ERR_DENIED, "this server's certificate has ended"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, ERR_DENIED, "it does not accept this server's certificate"},
};

static const struct reason *find_reason(unsigned long queued)
{
    for (size_t i = 0; ERR_GET_LIB(queued) == ERR_LIB_SSL && i < array_len(reasons); i++)
        if (reasons[i].reason == ERR_GET_REASON(queued))
            return &reasons[i];
    return NULL;
}

static int say_why(struct tls_conn *c, const char *doing, struct error *err)
{
    unsigned long queued = ERR_peek_error();
    const char *text = queued ? ERR_reason_error_string(queued) : NULL;
    const struct reason *known = find_reason(queued);
    openssl_forget();
    if (c->refused)
        return error_set(err, ERR_DENIED, "its certificate (%s) is refused: %s",
                         c->claimed[0] ? c->claimed : "without a subject",
                         X509_verify_cert_error_string(c->refused));
    if (known)
        return error_set(err, known->code, "%s", known->text);
    return error_set(err, ERR_INVALID, "%s: %s", doing, text ? text : "it broke the protocol");
}

/* What OpenSSL's result means; its queue is empty afterwards. */
static int result(struct tls_conn *c, int ok, const char *doing, struct error *err)
{
    switch (SSL_get_error(c->ssl, ok)) {
    case SSL_ERROR_NONE:
        return TLS_DONE;
    case SSL_ERROR_WANT_READ:
        return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        openssl_forget();
        return TLS_CLOSED;
    case SSL_ERROR_SYSCALL:
        openssl_forget();
        return TLS_CLOSED;
    default:
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
            openssl_forget();
            return TLS_CLOSED;
        }
        return say_why(c, doing, err);
    }
}

/* ---------- the connection ---------- */

int tls_conn_new(struct tls_server *s, int fd, struct tls_conn **ret, struct error *err)
{
    _cleanup_(tls_conn_freep) struct tls_conn *c = calloc(1, sizeof(*c));
    if (!c)
        return error_no_memory(err);
    c->fd = fd;
    c->ssl = SSL_new(tls_server_context(s));
    BIO *b = c->ssl ? socket_bio(c) : NULL;
    if (!b)
        return openssl_failed(err, "set up a connection");
    SSL_set_bio(c->ssl, b, b); /* takes it */
    SSL_set_app_data(c->ssl, c);
    SSL_set_accept_state(c->ssl);
    *ret = take(c);
    return 0;
}

void tls_conn_free(struct tls_conn *c)
{
    if (!c)
        return;
    SSL_free(c->ssl);
    free(c);
}

static int handshake_done(struct tls_conn *c, struct error *err)
{
    X509 *x = SSL_get0_peer_certificate(c->ssl);
    if (!x || SSL_get_verify_result(c->ssl) != X509_V_OK || SSL_version(c->ssl) != TLS1_3_VERSION)
        return error_set(err, ERR_INTERNAL, "a handshake ended without a verified certificate over TLS 1.3");
    return x509_peer(x, &c->peer, err);
}

int tls_conn_handshake(struct tls_conn *c, struct error *err)
{
    ERR_clear_error();
    int rc = result(c, SSL_do_handshake(c->ssl), "the handshake failed", err);
    return rc == TLS_DONE ? handshake_done(c, err) : rc;
}

const struct tls_peer *tls_conn_peer(const struct tls_conn *c)
{
    return &c->peer;
}

/* As OpenSSL did it in the handshake. */
static bool verifies(const struct tls_conn *c, SSL_CTX *context, X509_STORE_CTX *v)
{
    X509 *x = SSL_get0_peer_certificate(c->ssl);
    if (!x ||
        X509_STORE_CTX_init(v, SSL_CTX_get_cert_store(context), x, SSL_get_peer_cert_chain(c->ssl)) != 1 ||
        X509_STORE_CTX_set_default(v, "ssl_client") != 1)
        return false;
    X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(v);
    X509_VERIFY_PARAM_set_auth_level(p, SSL_CTX_get_security_level(context));
    return X509_VERIFY_PARAM_set1(p, SSL_CTX_get0_param(context)) == 1 && X509_verify_cert(v) == 1;
}

bool tls_conn_trusted(const struct tls_conn *c, const struct tls_server *s)
{
    SSL_CTX *context = tls_server_context(s);
    if (SSL_get_SSL_CTX(c->ssl) == context)
        return true;
    X509_STORE_CTX *v = X509_STORE_CTX_new();
    bool trusted = v && verifies(c, context, v);
    X509_STORE_CTX_free(v);
    openssl_forget();
    return trusted;
}

bool tls_conn_heard(const struct tls_conn *c)
{
    return BIO_number_read(SSL_get_rbio(c->ssl)) > 0;
}

const char *tls_conn_protocol(const struct tls_conn *c)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(c->ssl, &name, &len);
    return len == 2 && memcmp(name, "h2", 2) == 0 ? "h2" : "";
}

int tls_conn_read(struct tls_conn *c, void *data, size_t size, size_t *ret_len, struct error *err)
{
    *ret_len = 0;
    ERR_clear_error();
    return result(c, SSL_read_ex(c->ssl, data, size, ret_len), "reading failed", err);
}

int tls_conn_write(struct tls_conn *c, const void *data, size_t len, size_t *ret_len, struct error *err)
{
    *ret_len = 0;
    ERR_clear_error();
    return result(c, SSL_write_ex(c->ssl, data, len, ret_len), "writing failed", err);
}

int tls_conn_shutdown(struct tls_conn *c, struct error *err)
{
    ERR_clear_error();
    int ok = SSL_shutdown(c->ssl);
    if (ok >= 0) /* 0: said, and not answered; nobody waits for that */
        return TLS_DONE;
    return result(c, ok, "closing failed", err);
}
