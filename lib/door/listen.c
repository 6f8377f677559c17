/* The addresses that the door listens on. */
#include "internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>

#include <base/text.h>

#define BACKLOG  128
#define HOST_MAX 256

/* Of the kernel's for each connection and way (which it doubles); left to itself it takes megabytes for a
 * client that does not read. What is accepted inherits them. */
#define SOCKET_BUFFER (128 * 1024)

DEFINE_CLEANUP(struct addrinfo *, freeaddrinfo);

static int not_an_address(const char *address, struct error *err)
{
    return error_set(err, ERR_INVALID, "'%.300s' is no address to listen on; write HOST:PORT or [IPV6]:PORT",
                     address);
}

/* "host:port", "[v6]:port": host without its brackets, the port as text. */
static int split(const char *address, char host[HOST_MAX], const char **ret_port, struct error *err)
{
    const char *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : 0;
    bool brackets = len > 2 && address[0] == '[' && address[len - 1] == ']';
    int64_t port = 0;
    if (len == 0 || len >= HOST_MAX || text_int(colon + 1, 0, 65535, &port, NULL) < 0)
        return not_an_address(address, err);
    snprintf(host, HOST_MAX, "%.*s", (int)(brackets ? len - 2 : len), address + brackets);
    if (strpbrk(host, "[]") || (!brackets && strchr(host, ':')))
        return not_an_address(address, err);
    *ret_port = colon + 1;
    return 0;
}

static int set_options(int fd, int family)
{
    const int on = 1, buffer = SOCKET_BUFFER;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)) < 0)
        return -1;
    /* So that 0.0.0.0 and [::] can both be listed, and an address says what it means. */
    return family == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) : 0;
}

static int tcp_listen(const char *address, int *ret_fd, struct error *err)
{
    char host[HOST_MAX];
    const char *port = NULL;
    int rc = split(address, host, &port, err);
    if (rc < 0)
        return rc;
    _cleanup_(freeaddrinfop) struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    int e = getaddrinfo(host, port, &hints, &found);
    if (e != 0)
        return error_set(err, ERR_INVALID, "'%s' is no address to listen on: %s", address, gai_strerror(e));
    _cleanup_close_ int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || set_options(fd, found->ai_family) < 0)
        return error_errno(err, errno, "a socket for %s", address);
    if (bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        if (errno == EADDRINUSE)
            return error_set(err, ERR_CONFLICT, "cannot listen on %s: another program does", address);
        return error_errno(err, errno, "cannot listen on %s", address);
    }
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof(a);
    if (getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

static int add_listener(struct door *d, int fd, bool is_unix, struct error *err)
{
    struct listener *l = &d->listeners[d->listeners_count++];
    l->is_unix = is_unix;
    l->port = is_unix ? 0 : port_of(fd);
    l->watch = (struct watch){.fd = fd, .ready = listener_ready};
    return watch_set(d, &l->watch, EPOLLIN, err);
}

static int add_unix(struct door *d, const struct door_options *o, struct error *err)
{
    int fd = -1;
    d->unix_path = strdup(o->unix_path);
    int rc = d->unix_path ? unix_listen(d, o->unix_group, &fd, err) : error_no_memory(err);
    return rc < 0 ? rc : add_listener(d, fd, true, err);
}

int listen_all(struct door *d, const struct door_options *o, struct error *err)
{
    int rc = 0;
    if (o->tcp_count > DOOR_TCP_MAX)
        return error_set(err, ERR_TOO_LARGE, "%zu addresses to listen on; at most %d", o->tcp_count,
                         DOOR_TCP_MAX);
    if (o->unix_path && *o->unix_path)
        rc = add_unix(d, o, err);
    for (size_t i = 0; i < o->tcp_count && rc == 0; i++) {
        int fd = -1;
        rc = tcp_listen(o->tcp[i], &fd, err);
        if (rc == 0)
            rc = add_listener(d, fd, false, err);
    }
    return rc;
}
