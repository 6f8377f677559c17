#include "internal.h"

#include <signal.h>

#include <base/file.h>
#include <base/text.h>

static int bad_file(int rc, struct error *err)
{
    if (rc == ERR_NO_MEMORY)
        return rc;
    rc = error_prefix(err, rc, "TLS file for etcd");
    /* Whatever is wrong with a file that the operator named is a wrong configuration. */
    if (err)
        err->code = ERR_INVALID;
    return ERR_INVALID;
}

static int read_pem(const char *path, struct buf *out, struct error *err)
{
    if (!path)
        return 0;
    int rc = file_read(path, PEM_MAX, out, err);
    if (rc == 0 && (!out->len || memchr(out->data, 0, out->len)))
        rc = error_set(err, ERR_INVALID, "%s is not a PEM file", path);
    return rc < 0 ? bad_file(rc, err) : 0;
}

/* The key as a string in wiped memory: gRPC takes it NUL-terminated. */
static int read_key(const char *path, struct secret **ret, struct error *err)
{
    if (!path)
        return 0;
    _cleanup_(secret_freep) struct secret *raw = NULL;
    int rc = file_read_secret(path, PEM_MAX, &raw, err);
    if (rc == 0 && (!raw->len || memchr(raw->data, 0, raw->len)))
        rc = error_set(err, ERR_INVALID, "%s is not a PEM file", path);
    if (rc < 0)
        return bad_file(rc, err);
    _cleanup_(secret_freep) struct secret *text = secret_new(raw->len + 1);
    if (!text)
        return error_no_memory(err);
    rc = secret_add(text, raw->data, raw->len, err);
    if (rc == 0)
        *ret = take(text);
    return rc;
}

static int parse_endpoint(const struct etcd_options *o, size_t i, struct etcd *e, struct error *err)
{
    struct endpoint *p = &e->endpoints[i];
    int rc = endpoint_parse(o->endpoints[i], p, err);
    if (rc < 0)
        return rc;
    bool files = o->ca_file || o->cert_file || o->key_file;
    bool tls = p->scheme == SCHEME_TLS || (p->scheme == SCHEME_NONE && files);
    if (!tls && files)
        return error_set(err, ERR_INVALID,
                         "etcd endpoint \"%.200s\" is not https://, but TLS files are given",
                         o->endpoints[i]);
    if (i && tls != e->tls)
        return error_set(err, ERR_INVALID, "etcd endpoint \"%.200s\": either all are https:// or none",
                         o->endpoints[i]);
    e->tls = tls;
    const char *scheme = tls ? "https://" : "http://";
    text_copy(p->url, sizeof(p->url), scheme);
    text_copy(p->url + strlen(scheme), sizeof(p->url) - strlen(scheme), p->address);
    return 0;
}

static int parse_endpoints(const struct etcd_options *o, struct etcd *e, struct error *err)
{
    if (!o->endpoints_count || o->endpoints_count > ETCD_ENDPOINT_MAX)
        return error_set(err, ERR_INVALID, "%zu etcd endpoints given; 1 to %d are possible",
                         o->endpoints_count, ETCD_ENDPOINT_MAX);
    struct buf name = BUF_INIT(sizeof(e->endpoints));
    int rc = 0;
    for (size_t i = 0; i < o->endpoints_count && rc == 0; i++) {
        rc = parse_endpoint(o, i, e, err);
        if (rc == 0)
            rc = buf_addf(&name, err, "%s%s", i ? "," : "", e->endpoints[i].url);
    }
    e->count = o->endpoints_count;
    e->name = name.data;
    return rc;
}

static int keep_text(const char *from, char **ret, struct error *err)
{
    *ret = from ? strdup(from) : NULL;
    return from && !*ret ? error_no_memory(err) : 0;
}

/* Paths, not contents: what client_open_one needs. Without a server name, it is the first endpoint's host. */
static int keep_options(const struct etcd_options *o, struct etcd *e, struct error *err)
{
    struct endpoint first = e->endpoints[0];
    char *host = first.address;
    *strrchr(host, ':') = 0; /* endpoint_parse saw "host:port" */
    if (*host == '[') {
        host++;
        host[strlen(host) - 1] = 0;
    }
    int rc = keep_text(o->ca_file, &e->ca_file, err);
    if (rc == 0)
        rc = keep_text(o->cert_file, &e->cert_file, err);
    if (rc == 0)
        rc = keep_text(o->key_file, &e->key_file, err);
    if (rc == 0)
        rc = keep_text(o->server_name ? o->server_name : host, &e->server_name, err);
    return rc;
}

/* gRPC copies what it is given, so nothing of the files is kept here; our copy of the key is wiped. */
static int open_client(const struct etcd_options *o, size_t max_message, struct etcd *e, struct error *err)
{
    _cleanup_(buf_freep) struct buf ca = BUF_INIT(PEM_MAX);
    _cleanup_(buf_freep) struct buf cert = BUF_INIT(PEM_MAX);
    _cleanup_(secret_freep) struct secret *key = NULL;
    int rc = parse_endpoints(o, e, err);
    if (rc == 0)
        rc = keep_options(o, e, err);
    if (rc < 0)
        return rc;
    if (!o->cert_file != !o->key_file)
        return error_set(err, ERR_INVALID, "etcd client certificate and key go together; only %s is given",
                         o->cert_file ? o->cert_file : o->key_file);
    rc = read_pem(o->ca_file, &ca, err);
    if (rc == 0)
        rc = read_pem(o->cert_file, &cert, err);
    if (rc == 0)
        rc = read_key(o->key_file, &key, err);
    if (rc < 0)
        return rc;
    const char *addresses[ETCD_ENDPOINT_MAX];
    for (size_t i = 0; i < e->count; i++)
        addresses[i] = e->endpoints[i].address;
    struct rpc_channel_options options = {
        .addresses = addresses,
        .addresses_count = e->count,
        .tls = e->tls,
        .ca_name = o->ca_file,
        .cert_name = o->cert_file,
        .key_name = o->key_file,
        .ca_pem = ca.data,
        .cert_pem = cert.data,
        .key_pem = key ? (const char *)key->data : NULL,
        .server_name = o->server_name,
        .max_message = max_message,
    };
    rc = rpc_channel_open(&options, &e->channel, err);
    return rc < 0 ? error_prefix(err, rc, "etcd %.300s", e->name) : 0;
}

static int client_open(const struct etcd_options *options, size_t max_message, struct etcd **ret,
                       struct error *err)
{
    struct etcd *e = calloc(1, sizeof(*e));
    if (!e)
        return error_no_memory(err);
    identity_init(&e->identity);
    int rc = open_client(options, max_message, e, err);
    if (rc < 0)
        etcd_close(e);
    else
        *ret = e;
    return rc;
}

int etcd_open(const struct etcd_options *options, struct etcd **ret, struct error *err)
{
    return client_open(options, MESSAGE_MAX, ret, err);
}

int client_open_one(const struct etcd *e, size_t endpoint, size_t max_message, struct etcd **ret,
                    struct error *err)
{
    const char *url = e->endpoints[endpoint].url;
    struct etcd_options o = {
        .endpoints = &url,
        .endpoints_count = 1,
        .ca_file = e->ca_file,
        .cert_file = e->cert_file,
        .key_file = e->key_file,
        .server_name = e->server_name,
    };
    return client_open(&o, max_message, ret, err);
}

void etcd_close(struct etcd *e)
{
    if (!e)
        return;
    rpc_channel_close(e->channel);
    free(e->name);
    free(e->ca_file);
    free(e->cert_file);
    free(e->key_file);
    free(e->server_name);
    identity_free(&e->identity);
    free(e);
}

const char *etcd_name(const struct etcd *e)
{
    return e->name;
}

size_t etcd_endpoint_count(const struct etcd *e)
{
    return e->count;
}

int etcd_thread_start(pthread_t *thread, void *(*run)(void *), void *arg, struct error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc ? error_errno(err, rc, "cannot start a thread") : 0;
}
