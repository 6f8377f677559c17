#include "internal.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <base/text.h>

#define HOST_MAX 256
#define PORT_MAX 8
#define LOCAL    "unix:"

int target_split(const char *address, char *host, size_t host_size, char *port, size_t port_size,
                 struct error *err)
{
    const char *colon = strrchr(address, ':');
    if (!colon)
        return error_set(err, ERR_INVALID, "address \"%.200s\" has no port; write host:port", address);
    const char *start = address, *end = colon;
    if (*start == '[') {
        if (end[-1] != ']')
            return error_set(err, ERR_INVALID, "address \"%.200s\" is malformed; write [ipv6]:port", address);
        start++;
        end--;
    } else if (memchr(start, ':', (size_t)(end - start))) {
        return error_set(err, ERR_INVALID, "address \"%.200s\" needs brackets; write [ipv6]:port", address);
    }
    size_t len = end > start ? (size_t)(end - start) : 0;
    if (!len || len >= host_size)
        return error_set(err, ERR_INVALID, "address \"%.200s\" has %s", address,
                         len ? "too long a host" : "no host");
    if (strcspn(start, "/@%?#, \t[]") < len)
        return error_set(err, ERR_INVALID, "address \"%.200s\" is malformed; write host:port", address);
    int64_t number;
    if (text_int(colon + 1, 1, 65535, &number, NULL) < 0 || !text_copy(port, port_size, colon + 1))
        return error_set(err, ERR_INVALID, "address \"%.200s\" has no valid port (1 to 65535)", address);
    memcpy(host, start, len);
    host[len] = 0;
    return 0;
}

int target_make(const char *address, struct buf *out, struct error *err)
{
    char host[HOST_MAX], port[PORT_MAX];
    int rc = target_split(address, host, sizeof(host), port, sizeof(port), err);
    if (rc < 0)
        return rc;
    unsigned char parsed[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, host, parsed) == 1)
        return buf_addf(out, err, "ipv4:%s:%s", host, port);
    /* The brackets are percent-encoded because the target is a URI. */
    if (inet_pton(AF_INET6, host, parsed) == 1)
        return buf_addf(out, err, "ipv6:%%5B%s%%5D:%s", host, port);
    if (strchr(host, ':'))
        return error_set(err, ERR_INVALID, "address \"%.200s\" holds no IPv6 address", address);
    return buf_addf(out, err, "dns:///%s:%s", host, port);
}

bool target_is_local(const char *address)
{
    return strncmp(address, LOCAL, strlen(LOCAL)) == 0;
}

/* gRPC reads the target as a URI, and the kernel takes 107 bytes of path. */
int target_make_local(const char *address, struct buf *out, struct error *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-";
    const char *path = address + strlen(LOCAL);
    if (path[0] != '/' || path[1] == '/' || strspn(path, allowed) != strlen(path))
        return error_set(err, ERR_INVALID,
                         "address \"%.200s\" is malformed; write unix:/path of plain characters", address);
    if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return error_set(err, ERR_INVALID, "address \"%.200s\" is longer than a socket's path can be",
                         address);
    return buf_addf(out, err, "%s", address);
}

int rpc_local_address_check(const char *address, struct error *err)
{
    _cleanup_(buf_freep) struct buf target = BUF_INIT(2 * HOST_MAX);
    return target_is_local(address) ? target_make_local(address, &target, err)
                                    : target_make(address, &target, err);
}

int rpc_address_check(const char *address, struct error *err)
{
    _cleanup_(buf_freep) struct buf target = BUF_INIT(2 * HOST_MAX);
    return target_make(address, &target, err);
}
