/* The plain socket: on loopback and nowhere else, whatever the configuration says. */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <base/text.h>

#define BACKLOG 64

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool fill(const char *host, uint16_t port, union address *ret, socklen_t *ret_len)
{
    memset(ret, 0, sizeof(*ret));
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(port);
        *ret_len = sizeof(ret->v4);
        return ntohl(ret->v4.sin_addr.s_addr) >> 24 == 127;
    }
    if (inet_pton(AF_INET6, host, &ret->v6.sin6_addr) != 1)
        return false;
    ret->v6.sin6_family = AF_INET6;
    ret->v6.sin6_port = htons(port);
    *ret_len = sizeof(ret->v6);
    return IN6_IS_ADDR_LOOPBACK(&ret->v6.sin6_addr);
}

static int parse(const char *address, union address *ret, socklen_t *ret_len, struct error *err)
{
    char host[64] = "";
    const char *colon = strrchr(address, ':');
    int64_t port = 0;
    size_t len = colon ? (size_t)(colon - address) : 0;
    bool brackets = len > 2 && address[0] == '[' && address[len - 1] == ']';
    if (len > 0 && len < sizeof(host))
        memcpy(host, address + brackets, len - 2u * brackets);
    if (!*host || text_int(colon + 1, 0, 65535, &port, NULL) < 0 || !fill(host, (uint16_t)port, ret, ret_len))
        return error_set(err, ERR_INVALID, "http.listen: '%.80s' is no address of loopback with a port",
                         address);
    return 0;
}

int http_listen(const char *address, int *ret_fd, struct error *err)
{
    union address at;
    socklen_t len = 0;
    int on = 1, rc = parse(address, &at, &len, err);
    if (rc < 0)
        return rc;
    _cleanup_close_ int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_errno(err, errno, "opening a socket for %.80s", address);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, &at.any, len) < 0 || listen(fd, BACKLOG) < 0) {
        if (errno == EADDRINUSE)
            return error_set(err, ERR_CONFLICT,
                             "%.80s is in use by another process; name another port as http.listen", address);
        return error_errno(err, errno, "listening on %.80s", address);
    }
    *ret_fd = fd;
    fd = -1;
    return 0;
}
