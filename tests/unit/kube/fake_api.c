/* First: <openssl/err.h> and base/error.h both have an ERR_STATE. */
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#undef ERR_STATE

#include "fake_api.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <base/file.h>

#define CONNECTIONS 512
#define PATHS       16

struct connection {
    struct fake_api *api;
    int fd;
    pthread_t thread;
};

struct fake_api {
    fake_fn *fn;
    void *arg;
    SSL_CTX *tls;
    char dir[64], url[64], paths[PATHS][128];
    size_t paths_count;
    int listener;
    pthread_t thread;
    pthread_mutex_t lock;
    unsigned requests;
    struct connection connections[CONNECTIONS];
    unsigned count;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "fake API server: %s\n", what);
    exit(1);
}

const char *fake_path(struct fake_api *f, const char *name)
{
    char path[sizeof(f->paths[0])];

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    for (size_t i = 0; i < f->paths_count; i++) {
        if (strcmp(f->paths[i], path) == 0)
            return f->paths[i];
    }
    must(f->paths_count < PATHS, "too many paths");
    memcpy(f->paths[f->paths_count], path, sizeof(path));
    return f->paths[f->paths_count++];
}

void fake_write(struct fake_api *f, const char *name, const char *text)
{
    must(file_write_atomic(fake_path(f, name), text, strlen(text), 0600, NULL) == 0, "write");
}

/* A self-signed certificate for 127.0.0.1, which is its own CA. */
static void make_tls(struct fake_api *f)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    X509_EXTENSION *ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
    FILE *out;

    must(key && cert && san && ca, "certificate");
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"fake", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_set_pubkey(cert, key);
    X509_add_ext(cert, san, -1);
    X509_add_ext(cert, ca, -1);
    must(X509_sign(cert, key, EVP_sha256()) > 0, "signature");
    f->tls = SSL_CTX_new(TLS_server_method());
    must(f->tls && SSL_CTX_use_certificate(f->tls, cert) == 1 && SSL_CTX_use_PrivateKey(f->tls, key) == 1,
         "TLS");
    out = fopen(fake_path(f, "ca.pem"), "we");
    must(out && PEM_write_X509(out, cert) == 1 && fclose(out) == 0, "ca.pem");
    X509_EXTENSION_free(san);
    X509_EXTENSION_free(ca);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st, (void)type, (void)where;
    return remove(path);
}

/* A test that fails never comes to fake_stop: its folder goes when the process ends. */
static char dirs[64][64];
static unsigned dirs_count;

static void remove_dirs(void)
{
    for (unsigned i = 0; i < dirs_count; i++)
        nftw(dirs[i], remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_dir(struct fake_api *f)
{
    snprintf(f->dir, sizeof(f->dir), "/tmp/fake-api-XXXXXX");
    must(mkdtemp(f->dir) != NULL && dirs_count < 64, "temp folder");
    memcpy(dirs[dirs_count], f->dir, sizeof(f->dir));
    if (dirs_count++ == 0)
        must(atexit(remove_dirs) == 0, "atexit");
}

/* --- one connection --- */

static bool read_all(SSL *ssl, char *out, size_t len)
{
    while (len > 0) {
        int n = SSL_read(ssl, out, (int)len);

        if (n <= 0)
            return false;
        out += n;
        len -= (size_t)n;
    }
    return true;
}

static bool read_head(SSL *ssl, char *out, size_t size)
{
    size_t len = 0;

    while (len + 1 < size && read_all(ssl, out + len, 1)) {
        out[++len] = '\0';
        if (len >= 4 && strcmp(out + len - 4, "\r\n\r\n") == 0)
            return true;
    }
    return false;
}

static bool read_request(SSL *ssl, struct fake_request *q)
{
    char head[49152];
    const char *length, *line_end;

    if (!read_head(ssl, head, sizeof(head)) || sscanf(head, "%15s %16383s", q->method, q->path) != 2)
        return false;
    line_end = strstr(head, "\r\n") + 2;
    snprintf(q->headers, sizeof(q->headers), "%s", line_end);
    length = strcasestr(head, "\r\nContent-Length:");
    if (length) {
        size_t len = strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);

        if (len >= sizeof(q->body) || !read_all(ssl, q->body, len))
            return false;
        q->body[len] = '\0';
    }
    return true;
}

static bool write_reply(SSL *ssl, const struct fake_reply *a)
{
    size_t body_len = a->body_len ? a->body_len : strlen(a->body ? a->body : "");
    char head[2048];
    int len = snprintf(head, sizeof(head), "HTTP/1.1 %d Answer\r\n%sContent-Length: %zu\r\n\r\n", a->status,
                       a->headers ? a->headers : "", body_len);

    if (a->raw) {
        SSL_write(ssl, a->raw, (int)strlen(a->raw));
        return false;
    }
    if (SSL_write(ssl, head, len) <= 0)
        return false;
    return body_len == 0 || SSL_write(ssl, a->body, (int)body_len) > 0;
}

static void *serve(void *arg)
{
    struct connection *c = arg;
    struct fake_api *f = c->api;
    SSL *ssl = SSL_new(f->tls);
    struct fake_request *q = calloc(1, sizeof(*q));
    struct fake_reply a;

    must(ssl && q, "memory");
    SSL_set_fd(ssl, c->fd);
    if (SSL_accept(ssl) == 1) {
        while (read_request(ssl, q)) {
            a = (struct fake_reply){.status = 200};
            pthread_mutex_lock(&f->lock);
            q->number = ++f->requests;
            f->fn(f->arg, q, &a);
            pthread_mutex_unlock(&f->lock);
            nanosleep(&(struct timespec){a.delay_ms / 1000, a.delay_ms % 1000 * 1000000L}, NULL);
            if (a.drop || !write_reply(ssl, &a))
                break;
            q->body[0] = '\0';
        }
    }
    SSL_free(ssl);
    shutdown(c->fd, SHUT_RDWR); /* closed by fake_stop: its number must not be another's before */
    free(q);
    return NULL;
}

/* --- the server --- */

static void *take_connections(void *arg)
{
    struct fake_api *f = arg;
    int fd;

    while ((fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct connection *c = &f->connections[f->count];

        must(f->count < CONNECTIONS, "too many connections");
        *c = (struct connection){.api = f, .fd = fd};
        must(pthread_create(&c->thread, NULL, serve, c) == 0, "thread");
        pthread_mutex_lock(&f->lock);
        f->count++;
        pthread_mutex_unlock(&f->lock);
    }
    return NULL;
}

struct fake_api *fake_start(fake_fn *fn, void *arg)
{
    struct fake_api *f = calloc(1, sizeof(*f));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    must(f != NULL, "memory");
    signal(SIGPIPE, SIG_IGN); /* OpenSSL's writes of this server */
    f->fn = fn;
    f->arg = arg;
    pthread_mutex_init(&f->lock, NULL);
    make_dir(f);
    make_tls(f);
    fake_write(f, "token", "t0ken\n");
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(bind(f->listener, (struct sockaddr *)&a, len) == 0 && listen(f->listener, 256) == 0 &&
             getsockname(f->listener, (struct sockaddr *)&a, &len) == 0,
         "listen");
    snprintf(f->url, sizeof(f->url), "https://127.0.0.1:%d", ntohs(a.sin_port));
    must(pthread_create(&f->thread, NULL, take_connections, f) == 0, "thread");
    return f;
}

void fake_cut(struct fake_api *f)
{
    pthread_mutex_lock(&f->lock);
    for (unsigned i = 0; i < f->count; i++)
        shutdown(f->connections[i].fd, SHUT_RDWR);
    pthread_mutex_unlock(&f->lock);
}

unsigned fake_requests(struct fake_api *f)
{
    unsigned n;

    pthread_mutex_lock(&f->lock);
    n = f->requests;
    pthread_mutex_unlock(&f->lock);
    return n;
}

unsigned fake_connections(struct fake_api *f)
{
    unsigned n;

    pthread_mutex_lock(&f->lock);
    n = f->count;
    pthread_mutex_unlock(&f->lock);
    return n;
}

struct kube_options fake_options(struct fake_api *f)
{
    return (struct kube_options){.server = "s1",
                                 .url = f->url,
                                 .ca_file = fake_path(f, "ca.pem"),
                                 .token_file = fake_path(f, "token")};
}

void fake_stop(struct fake_api *f)
{
    shutdown(f->listener, SHUT_RDWR);
    pthread_join(f->thread, NULL);
    close(f->listener);
    fake_cut(f);
    for (unsigned i = 0; i < f->count; i++) {
        pthread_join(f->connections[i].thread, NULL);
        close(f->connections[i].fd);
    }
    SSL_CTX_free(f->tls);
    pthread_mutex_destroy(&f->lock);
    nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
}
