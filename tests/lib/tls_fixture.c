/* First: <openssl/err.h> and base/error.h both have an ERR_STATE. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tls_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "TLS fixture: %s\n", what);
    exit(1);
}

/* ---------- certificates ---------- */

static void write_pem(const char *dir, const char *name, X509 *x, EVP_PKEY *key)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s.crt", dir, name);
    FILE *f = fopen(path, "we");
    must(f && PEM_write_X509(f, x) == 1 && fclose(f) == 0, "certificate");
    snprintf(path, sizeof(path), "%s/%s.key", dir, name);
    f = fopen(path, "we");
    must(f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(f) == 0, "key");
}

static void read_ca(const char *dir, const char *name, X509 **ret, EVP_PKEY **ret_key)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s.crt", dir, name);
    FILE *f = fopen(path, "re");
    must(f && (*ret = PEM_read_X509(f, NULL, NULL, NULL)), "the CA's certificate");
    fclose(f);
    snprintf(path, sizeof(path), "%s/%s.key", dir, name);
    f = fopen(path, "re");
    must(f && (*ret_key = PEM_read_PrivateKey(f, NULL, NULL, NULL)), "the CA's key");
    fclose(f);
}

static void add_parts(X509_NAME *name, const char *subject)
{
    char text[4096];
    char *rest = text;
    snprintf(text, sizeof(text), "%s", subject);
    for (char *part; (part = strsep(&rest, ",")) && *part;) {
        char *value = strchr(part, '=');
        must(value != NULL, "a subject's part is KEY=VALUE");
        *value++ = 0;
        must(X509_NAME_add_entry_by_txt(name, part, MBSTRING_UTF8, (unsigned char *)value, -1, -1, 0) == 1,
             "a subject's part");
    }
}

static void add_extension(X509 *x, int what, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, what, value);
    must(e && X509_add_ext(x, e, -1) == 1, "extension");
    X509_EXTENSION_free(e);
}

static void add_raw_dns(X509 *x, const void *data, int len)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    must(names && name && text && ASN1_STRING_set(text, data, len) == 1, "name");
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    must(sk_GENERAL_NAME_push(names, name) == 1, "name");
    must(X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1, "names");
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
}

static X509 *new_certificate(EVP_PKEY *key, int64_t from_s, int64_t until_s)
{
    static long serial;
    X509 *x = X509_new();
    must(x && X509_set_version(x, 2) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial) == 1 &&
             X509_set_pubkey(x, key) == 1 && X509_gmtime_adj(X509_getm_notBefore(x), (long)from_s) &&
             X509_gmtime_adj(X509_getm_notAfter(x), (long)until_s),
         "new certificate");
    return x;
}

void tls_make_ca(const char *dir, const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    must(key != NULL, "key");
    X509 *x = new_certificate(key, -86400, 86400 * 10);
    add_parts(X509_get_subject_name(x), "O=test");
    add_parts(X509_get_subject_name(x), (char[]){"CN=CA"});
    must(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "OU", MBSTRING_UTF8,
                                    (const unsigned char *)name, -1, -1, 0) == 1 &&
             X509_set_issuer_name(x, X509_get_subject_name(x)) == 1,
         "name");
    add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
    must(X509_sign(x, key, EVP_sha256()) > 0, "signature");
    write_pem(dir, name, x, key);
    X509_free(x);
    EVP_PKEY_free(key);
}

void tls_make(const char *dir, const char *ca, const char *name, const struct tls_made *m)
{
    X509 *issuer = NULL;
    EVP_PKEY *issuer_key = NULL, *key = EVP_EC_gen("P-256");
    bool usual = m->from_s == 0 && m->until_s == 0;
    must(key != NULL, "key");
    read_ca(dir, ca, &issuer, &issuer_key);
    X509 *x = new_certificate(key, usual ? -3600 : m->from_s, usual ? 86400 : m->until_s);
    add_parts(X509_get_subject_name(x), m->subject);
    if (m->raw_name)
        must(X509_NAME_add_entry_by_NID(X509_get_subject_name(x), NID_commonName, V_ASN1_UTF8STRING,
                                        m->raw_name, m->raw_name_len, -1, 0) == 1,
             "raw name");
    must(X509_set_issuer_name(x, X509_get_subject_name(issuer)) == 1, "issuer");
    if (m->sans)
        add_extension(x, NID_subject_alt_name, m->sans);
    if (m->raw_dns)
        add_raw_dns(x, m->raw_dns, m->raw_dns_len);
    if (m->usage)
        add_extension(x, NID_ext_key_usage, m->usage);
    must(X509_sign(x, issuer_key, EVP_sha256()) > 0, "signature");
    write_pem(dir, name, x, key);
    X509_free(x);
    X509_free(issuer);
    EVP_PKEY_free(issuer_key);
    EVP_PKEY_free(key);
}

/* ---------- the client ---------- */

struct tls_client {
    SSL_CTX *context;
    SSL *ssl;
    int fd;
    bool ticket;
};

static int connect_with(uint16_t port, int receive_buffer, const char *source)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval wait = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0, "socket");
    must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0 &&
             setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) == 0,
         "time limits");
    if (receive_buffer)
        must(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(int)) == 0, "receive buffer");
    if (source) {
        struct sockaddr_in from = {.sin_family = AF_INET};
        must(inet_pton(AF_INET, source, &from.sin_addr) == 1 &&
                 bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0,
             "source address");
    }
    must(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0, "connect");
    return fd;
}

int plain_connect(uint16_t port)
{
    return connect_with(port, 0, NULL);
}

/* OpenSSL counts a callback's session as taken when it returns 1. */
static int note_ticket(SSL *ssl, SSL_SESSION *session)
{
    struct tls_client *c = SSL_get_app_data(ssl);
    (void)session;
    c->ticket = true;
    return 0;
}

static SSL_CTX *client_context(const struct tls_client_options *o)
{
    char path[512], key[512];
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    must(context != NULL, "context");
    if (o->ca) {
        snprintf(path, sizeof(path), "%s/%s.crt", o->dir, o->ca);
        must(SSL_CTX_load_verify_locations(context, path, NULL) == 1, "CA");
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    }
    if (o->cert) {
        snprintf(path, sizeof(path), "%s/%s.crt", o->dir, o->cert);
        snprintf(key, sizeof(key), "%s/%s.key", o->dir, o->cert);
        must(SSL_CTX_use_certificate_chain_file(context, path) == 1 &&
                 SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1,
             "the client's certificate");
    }
    if (o->old)
        must(SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION) == 1, "TLS 1.2");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(context, note_ticket);
    return context;
}

/* As the functions that read and write return it. */
static int outcome(struct tls_client *c, int ok, char why[256])
{
    int e = SSL_get_error(c->ssl, ok);
    unsigned long queued = ERR_peek_error();
    const char *reason = queued ? ERR_reason_error_string(queued) : NULL;
    snprintf(why, 256, "%s", reason ? reason : strerror(errno));
    ERR_clear_error();
    if (e == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
        return -2;
    return -1;
}

struct tls_client *tls_client_open(uint16_t port, const struct tls_client_options *o, char why[256])
{
    struct tls_client *c = calloc(1, sizeof(*c));
    must(c != NULL, "memory");
    c->context = client_context(o);
    c->fd = connect_with(port, o->receive_buffer, o->source);
    c->ssl = SSL_new(c->context);
    must(c->ssl && SSL_set_fd(c->ssl, c->fd) == 1, "connection");
    SSL_set_app_data(c->ssl, c);
    if (o->protocol) {
        unsigned char list[64];
        int len = snprintf((char *)list, sizeof(list), "%c%s", (char)strlen(o->protocol), o->protocol);
        must(SSL_set_alpn_protos(c->ssl, list, (unsigned)len) == 0, "ALPN");
    }
    ERR_clear_error();
    int ok = SSL_connect(c->ssl);
    if (ok == 1)
        return c;
    (void)outcome(c, ok, why);
    tls_client_close(c);
    return NULL;
}

void tls_client_close(struct tls_client *c)
{
    if (!c)
        return;
    SSL_free(c->ssl);
    SSL_CTX_free(c->context);
    close(c->fd);
    free(c);
}

int tls_client_read(struct tls_client *c, void *data, int size, char why[256])
{
    ERR_clear_error();
    errno = 0;
    int n = SSL_read(c->ssl, data, size);
    return n > 0 ? n : outcome(c, n, why);
}

int tls_client_write(struct tls_client *c, const void *data, int len, char why[256])
{
    ERR_clear_error();
    errno = 0;
    int n = SSL_write(c->ssl, data, len);
    return n > 0 ? n : outcome(c, n, why);
}

int tls_client_fd(const struct tls_client *c)
{
    return c->fd;
}

const char *tls_client_protocol(const struct tls_client *c)
{
    static char text[32];
    const unsigned char *name = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(c->ssl, &name, &len);
    snprintf(text, sizeof(text), "%.*s", (int)len, name ? (const char *)name : "");
    return text;
}

const char *tls_client_version(const struct tls_client *c)
{
    return SSL_get_version(c->ssl);
}

bool tls_client_has_ticket(const struct tls_client *c)
{
    return c->ticket;
}
