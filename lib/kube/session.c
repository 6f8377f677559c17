#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <base/file.h>
#include <crypto/crypto.h>

#include "reply.h"

#define BEARER_LEAD "Authorization: Bearer "

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_once_code;

static void curl_init_once(void)
{
    curl_once_code = curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct bearer *bearer_ref(struct bearer *b)
{
    if (b)
        b->refs++;
    return b;
}

void bearer_unref(struct bearer *b)
{
    if (!b || --b->refs > 0)
        return;
    secret_free(b->header);
    free(b);
}

/* A token goes into a header: a line break or a blank in it would end that. */
static int token_check(const struct session *s, const struct secret *token, struct error *err)
{
    if (token->len == 0)
        return error_set(err, ERR_INVALID, "%s: the token file %s is empty", s->server, s->token_file);
    for (size_t i = 0; i < token->len; i++) {
        if (token->data[i] <= ' ' || token->data[i] >= 0x7f)
            return error_set(err, ERR_INVALID,
                             "%s: %s does not hold a bearer token: byte %zu is not a printable character",
                             s->server, s->token_file, i + 1);
    }
    return 0;
}

static void token_trim(struct secret *token)
{
    while (token->len > 0 && strchr(" \t\r\n", token->data[token->len - 1]))
        token->data[--token->len] = '\0';
}

static int header_of(const char *lead, const struct secret *value, struct secret **ret, struct error *err)
{
    _cleanup_(secret_freep) struct secret *header = secret_new(strlen(lead) + value->len + 1);
    if (!header)
        return error_no_memory(err);
    int rc = secret_add(header, lead, strlen(lead), err);
    if (rc == 0)
        rc = secret_add(header, value->data, value->len, err);
    if (rc == 0)
        rc = secret_add(header, "", 1, err);
    if (rc == 0)
        *ret = take(header);
    return rc;
}

/* The password is what follows the last colon; the rest says whose CA and whose user it is. */
static int basic_header(const struct session *s, const struct secret *token, struct secret **ret,
                        struct error *err)
{
    size_t at = token->len;
    while (at > 0 && token->data[at - 1] != ':')
        at--;
    _cleanup_(secret_freep) struct secret *pair = secret_new(strlen(s->user) + 1 + token->len - at);
    _cleanup_(secret_freep) struct secret *coded = NULL;
    if (!pair)
        return error_no_memory(err);
    int rc = secret_add(pair, s->user, strlen(s->user), err);
    if (rc == 0)
        rc = secret_add(pair, ":", 1, err);
    if (rc == 0)
        rc = secret_add(pair, token->data + at, token->len - at, err);
    if (rc == 0)
        rc = crypto_base64_encode(pair->data, pair->len, &coded, err);
    return rc < 0 ? rc : header_of("Authorization: Basic ", coded, ret, err);
}

static int bearer_read(const struct session *s, struct bearer **ret, struct error *err)
{
    _cleanup_(secret_freep) struct secret *token = NULL;
    _cleanup_(secret_freep) struct secret *header = NULL;
    int rc = file_read_secret(s->token_file, KUBE_TOKEN_MAX, &token, err);

    if (rc < 0)
        return error_prefix(err, rc, "%s: token", s->server);
    token_trim(token);
    rc = token_check(s, token, err);
    if (rc == 0)
        rc = s->user ? basic_header(s, token, &header, err) : header_of(BEARER_LEAD, token, &header, err);
    if (rc < 0)
        return rc;
    *ret = calloc(1, sizeof(**ret));
    if (!*ret)
        return error_no_memory(err);
    (*ret)->refs = 1;
    (*ret)->header = take(header);
    return 0;
}

int session_reload_token(struct session *s, bool *ret_changed, struct error *err)
{
    struct bearer *fresh = NULL;
    int rc;

    if (!s->token_file) {
        *ret_changed = false;
        return 0;
    }
    rc = bearer_read(s, &fresh, err);
    if (rc < 0)
        return rc;
    *ret_changed = !s->bearer || !secret_equal(fresh->header, s->bearer->header);
    bearer_unref(s->bearer);
    s->bearer = fresh;
    return 0;
}

static int copy_text(char **ret, const char *text, struct error *err)
{
    if (!text || !*text)
        return 0;
    *ret = strdup(text);
    return *ret ? 0 : error_no_memory(err);
}

/* Opened: access() asks for the real user, without the capability by which the coordinator reads root's keys.
 */
static int file_check(const struct session *s, const char *path, const char *what, struct error *err)
{
    if (!path)
        return 0;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0)
        return 0;
    return error_errno(err, errno, "%s: %s %s cannot be read", s->server, what, path);
}

/* Over http nothing may go that is secret. */
static int plain_url(struct session *s, const struct kube_options *o, struct error *err)
{
    char secure[KUBE_URL_MAX + 8];
    snprintf(secure, sizeof(secure), "https://%s", o->url + strlen("http://"));
    int rc = kube_url_base(s->server, secure, s->url, err);

    if (rc == 0 && (o->token_file || o->cert_file))
        return error_set(err, ERR_INVALID, "%s: a token or a certificate needs https", s->server);
    if (rc == 0)
        memmove(s->url + 4, s->url + 5, strlen(s->url + 5) + 1);
    return rc;
}

static int base_url(struct session *s, const struct kube_options *o, struct error *err)
{
    s->plain = o->plain && o->url && strncmp(o->url, "http://", strlen("http://")) == 0;
    return s->plain ? plain_url(s, o, err) : kube_url_base(s->server, o->url, s->url, err);
}

static int session_fill(struct session *s, const struct kube_options *o, struct error *err)
{
    bool changed;
    int rc = copy_text(&s->server, o->server && *o->server ? o->server : "API server", err);

    if (rc == 0)
        rc = base_url(s, o, err);
    if (rc == 0)
        rc = copy_text(&s->ca_file, o->ca_file, err);
    if (rc == 0)
        rc = copy_text(&s->cert_file, o->cert_file, err);
    if (rc == 0)
        rc = copy_text(&s->key_file, o->key_file, err);
    if (rc == 0)
        rc = copy_text(&s->token_file, o->token_file, err);
    if (rc == 0)
        rc = copy_text(&s->user, o->user, err);
    if (rc == 0 && !s->cert_file != !s->key_file)
        rc = error_set(err, ERR_INVALID, "%s: a client certificate needs both its file and its key's file",
                       s->server);
    if (rc == 0)
        rc = file_check(s, s->ca_file, "CA file", err);
    if (rc == 0)
        rc = file_check(s, s->cert_file, "client certificate", err);
    if (rc == 0)
        rc = file_check(s, s->key_file, "client key", err);
    if (rc == 0)
        rc = session_reload_token(s, &changed, err);
    return rc;
}

int session_init(struct session *s, const struct kube_options *options, struct error *err)
{
    int rc;

    *s = (struct session){0};
    pthread_once(&curl_once, curl_init_once);
    if (curl_once_code != CURLE_OK)
        return error_set(err, ERR_INTERNAL, "libcurl did not start: %s", curl_easy_strerror(curl_once_code));
    rc = session_fill(s, options, err);
    if (rc < 0)
        session_clear(s);
    return rc;
}

void session_clear(struct session *s)
{
    bearer_unref(s->bearer);
    free(s->server);
    free(s->ca_file);
    free(s->cert_file);
    free(s->key_file);
    free(s->token_file);
    free(s->user);
    *s = (struct session){0};
}

void headers_add(struct headers *h, const char *text)
{
    if (!text || h->count == array_len(h->nodes))
        return;
    h->nodes[h->count].data = (char *)text;
    h->nodes[h->count].next = NULL;
    if (h->count > 0)
        h->nodes[h->count - 1].next = &h->nodes[h->count];
    h->count++;
}

void headers_add_bearer(struct headers *h, const struct bearer *b)
{
    if (b)
        headers_add(h, (const char *)b->header->data);
}

struct curl_slist *headers_list(struct headers *h)
{
    return h->count > 0 ? h->nodes : NULL;
}

/* Without this a machine that vanished holds every request that is put on its old connection until its
 * deadline, one after the other. */
static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    unsigned stall_ms = (unsigned)(uintptr_t)arg;

    if (purpose == CURLSOCKTYPE_IPCXN)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stall_ms, sizeof(stall_ms));
    return CURL_SOCKOPT_OK;
}

static CURLcode apply_connection(CURL *easy, bool plain, long stall_ms)
{
    CURLcode c = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, plain ? "http" : "https");

    c = c ? c : curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_PROXY, "");
    c = c ? c : curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    c = c ? c : curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, (void *)(uintptr_t)stall_ms);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_USERAGENT, "secrets-encrypt/" SECRETS_ENCRYPT_VERSION);
    return c;
}

static CURLcode apply_tls(const struct session *s, CURL *easy)
{
    CURLcode c = curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);

    c = c ? c : curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (s->ca_file) { /* that CA alone: no other CA of the machine's may speak for the API server */
        c = c ? c : curl_easy_setopt(easy, CURLOPT_CAINFO, s->ca_file);
        c = c ? c : curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
#ifdef CURLOPT_CA_CACHE_TIMEOUT
    c = c ? c : curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
    if (s->cert_file) {
        c = c ? c : curl_easy_setopt(easy, CURLOPT_SSLCERT, s->cert_file);
        c = c ? c : curl_easy_setopt(easy, CURLOPT_SSLKEY, s->key_file);
    }
    return c;
}

int session_apply(const struct session *s, CURL *easy, char *errbuf, long stall_ms, struct error *err)
{
    CURLcode c = apply_connection(easy, s->plain, stall_ms);

    c = c ? c : apply_tls(s, easy);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, errbuf);
    c = c ? c : curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, sink_write);
    if (c == CURLE_OUT_OF_MEMORY)
        return error_no_memory(err);
    if (c != CURLE_OK)
        return error_set(err, ERR_INTERNAL, "%s: libcurl refuses an option that it must have: %s", s->server,
                         curl_easy_strerror(c));
    return 0;
}

static const struct {
    CURLcode curl;
    int code;
    const char *advice;
} transport_codes[] = {
    {CURLE_OPERATION_TIMEDOUT, ERR_TIMEOUT, NULL},
    {CURLE_PEER_FAILED_VERIFICATION, ERR_DENIED, "check the CA file and the certificate's names"},
    {CURLE_SSL_ISSUER_ERROR, ERR_DENIED, "check the CA file"},
    {CURLE_SSL_CACERT_BADFILE, ERR_INVALID, "check the CA file"},
    {CURLE_SSL_CERTPROBLEM, ERR_INVALID, "check the client certificate and its key"},
    {CURLE_WRITE_ERROR, ERR_TOO_LARGE, "the reply is larger than this program will hold"},
    {CURLE_OUT_OF_MEMORY, ERR_NO_MEMORY, NULL},
    {CURLE_WEIRD_SERVER_REPLY, ERR_INVALID, "is this an API server's address?"},
    {CURLE_UNSUPPORTED_PROTOCOL, ERR_INVALID, "is this an API server's address?"},
    {CURLE_URL_MALFORMAT, ERR_INVALID, "check the URL"},
};

int session_transport_error(const struct session *s, CURLcode code, const char *errbuf, struct error *err)
{
    const char *why = errbuf[0] ? errbuf : curl_easy_strerror(code);

    for (size_t i = 0; i < array_len(transport_codes); i++) {
        const char *advice = transport_codes[i].advice;

        if (transport_codes[i].curl != code)
            continue;
        return error_set(err, transport_codes[i].code, "%s (%s): %.300s%s%s%s%s%s", s->server, s->url, why,
                         advice ? "; " : "", advice ? advice : "",
                         s->ca_file && advice && strstr(advice, "CA") ? " (" : "",
                         s->ca_file && advice && strstr(advice, "CA") ? s->ca_file : "",
                         s->ca_file && advice && strstr(advice, "CA") ? ")" : "");
    }
    return error_set(err, ERR_UNAVAILABLE, "%s (%s): %.300s", s->server, s->url, why);
}

static int status_code(long status)
{
    static const struct {
        long status;
        int code;
    } codes[] = {
        {401, ERR_DENIED},    {403, ERR_DENIED},    {404, ERR_NOT_FOUND},   {409, ERR_CONFLICT},
        {410, ERR_COMPACTED}, {413, ERR_TOO_LARGE}, {429, ERR_UNAVAILABLE},
    };

    for (size_t i = 0; i < array_len(codes); i++) {
        if (codes[i].status == status)
            return codes[i].code;
    }
    return status >= 500 && status < 600 ? ERR_UNAVAILABLE : ERR_INVALID;
}

static int unauthorized_error(const struct session *s, struct error *err)
{
    if (s->token_file)
        return error_set(err, ERR_DENIED, "%s: 401 Unauthorized: token in %s is not accepted", s->server,
                         s->token_file);
    if (s->cert_file)
        return error_set(err, ERR_DENIED, "%s: 401 Unauthorized: client certificate %s is not accepted",
                         s->server, s->cert_file);
    return error_set(err, ERR_DENIED, "%s: 401 Unauthorized: neither a token nor a client certificate is set",
                     s->server);
}

int session_status_error(const struct session *s, long status, const struct sink *body, const char *doing,
                         struct error *err)
{
    char line[KUBE_LINE_MAX];

    if (status == 401)
        return unauthorized_error(s, err);
    kube_status_line(status, sink_text(body), body->len, line, sizeof(line));
    return error_set(err, status_code(status), "%s (%s): %s: %s", s->server, s->url, doing, line);
}
