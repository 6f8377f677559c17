#include "offline.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <base/clock.h>

#include "../proofs/apiservers.h"

#define LIST_MS        2000
#define CONNECT_MS     500
#define TRIES          8
#define BACKOFF_MS     100
#define BACKOFF_MAX_MS 2000

static int check_records(struct job *j, struct error *err)
{
    const struct job_options *o = job_opts(j);
    char prefix[ETCD_KEY_MAX];
    struct etcd_range r = {0};
    snprintf(prefix, sizeof(prefix), "%s/masterleases/", o->config->datastore_prefix);
    struct etcd_range_options options = {.prefix = prefix, .limit = 1, .keys_only = true};
    int rc = 0;
    for (unsigned i = 0; i < TRIES; i++) {
        rc = etcd_list(o->datastore, &options, LIST_MS, &r, err);
        if (rc == 0 || !error_is_transient(rc) || job_wait(j, backoff_ms(i, BACKOFF_MS, BACKOFF_MAX_MS)))
            break;
    }
    if (rc == 0 && r.count > 0)
        rc = error_set(
            err, ERR_STATE,
            "an API server is alive (%.300s): stop it, on every server; its record goes within 15 s",
            r.kvs[0].key);
    etcd_range_free(&r);
    return rc;
}

/* Whether anything accepts a connection there within CONNECT_MS. The kernel does that for a process that
 * hangs; what neither accepts nor refuses is a machine that is off. */
static bool accepts(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), e = 0;
    socklen_t size = sizeof(e);
    if (fd < 0)
        return true; /* nothing is known: that is no proof */
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    bool up = connect(fd, a->ai_addr, a->ai_addrlen) == 0;
    int ready = -1;
    if (!up && errno == EINPROGRESS)
        while ((ready = poll(&p, 1, CONNECT_MS)) < 0 && errno == EINTR)
            ;
    if (ready == 1)
        up = getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &size) == 0 && e == 0;
    close(fd);
    return up;
}

static void port_of(const char *url, char out[16])
{
    const char *host = strstr(url, "://");
    const char *end = host ? host + 3 : url;
    const char *colon = strrchr(end, ']') ? strrchr(end, ']') + 1 : strchr(end, ':');
    snprintf(out, 16, "%.*s", colon && *colon == ':' ? (int)strspn(colon + 1, "0123456789") : 3,
             colon && *colon == ':' ? colon + 1 : "443");
}

static int check_address(const struct cluster_spec_server *s, struct error *err)
{
    char host[256], port[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    port_of(s->api, port);
    if (!apiservers_host(s->api, host, sizeof(host)) || getaddrinfo(host, port, &hints, &list) != 0)
        return error_set(err, ERR_STATE,
                         "%s: its API's address (%s) cannot be looked up, so nobody knows that it is "
                         "stopped",
                         s->name, s->api);
    bool up = false;
    for (const struct addrinfo *a = list; a && !up; a = a->ai_next)
        up = accepts(a);
    freeaddrinfo(list);
    return up ? error_set(err, ERR_STATE, "%s: something answers at %s: stop its API server", s->name, s->api)
              : 0;
}

int offline_check(struct job *j, struct error *err)
{
    const struct job_options *o = job_opts(j);
    int rc = check_records(j, err);
    for (size_t i = 0; rc == 0 && i < o->spec.servers_count; i++)
        rc = check_address(&o->spec.servers[i], err);
    return rc;
}
