#include <crypto/tls.h>

#include <errno.h>
#include <sys/stat.h>

#include <base/clock.h>
#include <base/file.h>

#include "openssl.h"
#include "tls_internal.h"
#include "x509.h"

DEFINE_CLEANUP(SSL_CTX *, SSL_CTX_free);

#define FILES          3
#define CHAIN_MAX      10          /* certificates between the server's and its CA, and of a client's chain */
#define CA_MAX         1000        /* certificates of the clients' CAs that are read */
#define CLIENT_MAX     (32 * 1024) /* bytes of certificates that a client may send */
#define SECURITY_LEVEL 2           /* RSA of 2048 bits and the like, at least */

/* What tells that a file is another one. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed, modified;
};

struct tls_server {
    char *cert, *key, *client_ca;
    bool http1;
    struct stamp tried[FILES]; /* the set that was read last, for better or worse */
    SSL_CTX *context;
    int64_t until_ms;
};

/* ---------- the three files ---------- */

static BIO *open_pem(const struct secret *pem)
{
    return BIO_new_mem_buf(pem->data, (int)pem->len); /* CERTIFICATE_FILE_MAX fits into an int */
}

/* The chain is public, but one reader does for all. */
static int read_pem(const char *path, struct secret **ret, BIO **ret_bio, struct error *err)
{
    int rc = file_read_secret(path, CERTIFICATE_FILE_MAX, ret, err);
    if (rc < 0)
        return rc;
    *ret_bio = open_pem(*ret);
    return *ret_bio ? 0 : error_no_memory(err);
}

static int load_chain(SSL_CTX *context, const char *path, struct error *err)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    _cleanup_(BIO_free_allp) BIO *b = NULL;
    int rc = read_pem(path, &text, &b, err);
    if (rc < 0)
        return rc;
    for (int count = 0; count <= CHAIN_MAX; count++) {
        _cleanup_(X509_freep) X509 *x = PEM_read_bio_X509(b, NULL, pem_no_pass_phrase, NULL);
        openssl_forget();
        if (!x && count == 0)
            return error_set(err, ERR_INVALID, "%s: holds no certificate in PEM form", path);
        if (!x)
            return 0;
        int ok = count == 0 ? SSL_CTX_use_certificate(context, x) : (int)SSL_CTX_add1_chain_cert(context, x);
        if (ok != 1)
            return error_prefix(err, openssl_failed(err, "use this certificate"), "%s", path);
    }
    return error_set(err, ERR_TOO_LARGE, "%s: more than %d certificates in a chain", path, CHAIN_MAX);
}

static int load_key(SSL_CTX *context, const char *path, const char *cert_path, struct error *err)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    _cleanup_(BIO_free_allp) BIO *b = NULL;
    int rc = read_pem(path, &text, &b, err);
    if (rc < 0)
        return rc;
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, pem_no_pass_phrase, NULL);
    openssl_forget();
    if (!key)
        return error_set(err, ERR_INVALID,
                         "%s: holds no private key that can be read (damaged, or with a pass phrase)", path);
    bool fits = X509_check_private_key(SSL_CTX_get0_certificate(context), key) == 1 &&
                SSL_CTX_use_PrivateKey(context, key) == 1;
    openssl_forget();
    return fits ? 0
                : error_set(err, ERR_DENIED, "%s: belongs to another certificate than that in %s", path,
                            cert_path);
}

static int add_ca(SSL_CTX *context, X509 *x, const char *path, struct error *err)
{
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), x) != 1 ||
        SSL_CTX_add_client_CA(context, x) != 1)
        return error_prefix(err, openssl_failed(err, "use a certificate"), "%s", path);
    return 0;
}

static int load_client_ca(SSL_CTX *context, const char *path, struct error *err)
{
    _cleanup_(secret_freep) struct secret *text = NULL;
    _cleanup_(BIO_free_allp) BIO *b = NULL;
    int rc = read_pem(path, &text, &b, err);
    if (rc < 0)
        return rc;
    for (int count = 0; count < CA_MAX; count++) {
        _cleanup_(X509_freep) X509 *x = PEM_read_bio_X509(b, NULL, pem_no_pass_phrase, NULL);
        openssl_forget();
        if (!x)
            return count > 0 ? 0 : error_set(err, ERR_INVALID, "%s: holds no certificate in PEM form", path);
        rc = add_ca(context, x, path, err);
        if (rc < 0)
            return rc;
    }
    return error_set(err, ERR_TOO_LARGE, "%s: more than %d certificates", path, CA_MAX);
}

/* ---------- what is agreed with every client ---------- */

/* `arg`: the one protocol that is spoken behind this. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *offered, unsigned offered_len, void *arg)
{
    const char *ours = arg;
    const size_t len = strlen(ours);
    (void)ssl;
    for (unsigned i = 0; i < offered_len; i += offered[i] + 1u)
        if (offered[i] == len && i + len < offered_len && memcmp(offered + i + 1, ours, len) == 0) {
            *out = offered + i + 1;
            *out_len = (unsigned char)len;
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_NOACK;
}

static int set_rules(SSL_CTX *context, bool http1, struct error *err)
{
    static char h2[] = "h2", http[] = "http/1.1";
    static const unsigned char id[] = "secrets-encrypt";
    SSL_CTX_set_security_level(context, SECURITY_LEVEL);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, tls_conn_verify);
    SSL_CTX_set_verify_depth(context, CHAIN_MAX);
    SSL_CTX_set_max_cert_list(context, CLIENT_MAX);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, http1 ? http : h2);
    /* A CA of the file is trusted as it stands, be it a root or not. */
    bool ok = SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_purpose(context, X509_PURPOSE_SSL_CLIENT) == 1 &&
              X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
              SSL_CTX_set_num_tickets(context, 0) == 1 && SSL_CTX_set_max_early_data(context, 0) == 1 &&
              SSL_CTX_set_recv_max_early_data(context, 0) == 1 &&
              SSL_CTX_set_session_id_context(context, id, sizeof(id) - 1) == 1;
    return ok ? 0 : openssl_failed(err, "set up TLS 1.3");
}

static int load(const struct tls_server *s, SSL_CTX **ret, struct error *err)
{
    _cleanup_(SSL_CTX_freep) SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context)
        return openssl_failed(err, "set up TLS");
    int rc = set_rules(context, s->http1, err);
    if (rc == 0)
        rc = load_chain(context, s->cert, err);
    if (rc == 0)
        rc = load_key(context, s->key, s->cert, err);
    if (rc == 0)
        rc = load_client_ca(context, s->client_ca, err);
    if (rc == 0)
        *ret = take(context);
    return rc;
}

/* ---------- the server ---------- */

/* A file that is not there has a stamp of zeros. */
static void look(const struct tls_server *s, struct stamp stamps[FILES])
{
    const char *paths[FILES] = {s->cert, s->key, s->client_ca};
    memset(stamps, 0, sizeof(struct stamp) * FILES);
    for (size_t i = 0; i < FILES; i++) {
        struct stat st;
        if (stat(paths[i], &st) < 0)
            continue;
        stamps[i].device = st.st_dev;
        stamps[i].inode = st.st_ino;
        stamps[i].size = st.st_size;
        stamps[i].changed = st.st_ctim;
        stamps[i].modified = st.st_mtim;
    }
}

static bool same(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
           a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec;
}

/* Some errors are not the set's fault: that set is tried again at the next look. */
static bool is_ours(int code)
{
    return code == ERR_IO || code == ERR_NO_MEMORY || code == ERR_UNAVAILABLE;
}

/* The stamps are taken before the files are read: what changes while they are read is seen at the next look.
 */
static int load_anew(struct tls_server *s, const struct stamp stamps[FILES], struct error *err)
{
    SSL_CTX *context = NULL;
    int rc = load(s, &context, err);
    if (!is_ours(rc))
        memcpy(s->tried, stamps, sizeof(s->tried));
    if (rc < 0)
        return rc;
    SSL_CTX_free(s->context); /* connections that were made with it keep it */
    s->context = context;
    s->until_ms = x509_time_ms(X509_get0_notAfter(SSL_CTX_get0_certificate(context)));
    return 0;
}

int tls_server_new(const struct tls_files *files, struct tls_server **ret, struct error *err)
{
    struct stamp stamps[FILES];
    _cleanup_(tls_server_freep) struct tls_server *s = calloc(1, sizeof(*s));
    if (!s)
        return error_no_memory(err);
    s->cert = strdup(files->cert);
    s->key = strdup(files->key);
    s->client_ca = strdup(files->client_ca);
    s->http1 = files->http1;
    if (!s->cert || !s->key || !s->client_ca)
        return error_no_memory(err);
    look(s, stamps);
    int rc = load_anew(s, stamps, err);
    if (rc == 0)
        *ret = take(s);
    return rc;
}

void tls_server_free(struct tls_server *s)
{
    if (!s)
        return;
    SSL_CTX_free(s->context);
    free(s->cert);
    free(s->key);
    free(s->client_ca);
    free(s);
}

int tls_server_reload(struct tls_server *s, struct error *err)
{
    struct stamp stamps[FILES];
    bool changed = false;
    look(s, stamps);
    for (size_t i = 0; i < FILES; i++)
        changed |= !same(&stamps[i], &s->tried[i]);
    if (!changed)
        return 0;
    int rc = load_anew(s, stamps, err);
    return rc < 0 ? rc : 1;
}

int64_t tls_server_until_ms(const struct tls_server *s)
{
    return s->until_ms;
}

SSL_CTX *tls_server_context(const struct tls_server *s)
{
    return s->context;
}
