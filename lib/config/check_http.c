/* Where the page is served: plain on loopback, and elsewhere behind TLS alone. */
#include "table.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool is_loopback(const char *address)
{
    char host[64] = "";
    const char *colon = strrchr(address, ':');
    struct in_addr v4;
    struct in6_addr v6;
    size_t len = (size_t)(colon - address);
    bool brackets = len > 2 && address[0] == '[' && address[len - 1] == ']';
    if (len < sizeof(host))
        memcpy(host, address + brackets, len - 2u * brackets);
    if (strcmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return brackets && inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static int check_plain(const char *listen, struct error *err)
{
    if (!*listen)
        return 0;
    int rc = config_check_listen(listen, "http.listen", err);
    if (rc == 0 && !is_loopback(listen))
        rc = error_set(err, ERR_INVALID,
                       "http.listen: '%.80s' is not on loopback, where alone the page is served without TLS; "
                       "give that address as http.tls_listen instead",
                       listen);
    return rc;
}

/* No other listener of this program has that address. */
static int check_free(const struct config *c, size_t i, struct error *err)
{
    const char *address = c->http.tls_listen[i];
    for (size_t k = 0; k < c->api.listen_count; k++)
        if (strcmp(c->api.listen[k], address) == 0)
            return error_set(
                err, ERR_INVALID,
                "http.tls_listen[%zu]: the same as api.listen[%zu]; each needs a port of its own", i, k);
    for (size_t k = 0; k < i; k++)
        if (strcmp(c->http.tls_listen[k], address) == 0)
            return error_set(err, ERR_INVALID, "http.tls_listen[%zu]: the same as tls_listen[%zu]", i, k);
    return 0;
}

int config_check_http(const struct config *c, struct error *err)
{
    int rc = check_plain(c->http.listen, err);
    for (size_t i = 0; rc == 0 && i < c->http.tls_listen_count; i++) {
        char where[64];
        snprintf(where, sizeof(where), "http.tls_listen[%zu]", i);
        rc = config_check_listen(c->http.tls_listen[i], where, err);
        if (rc == 0)
            rc = check_free(c, i, err);
    }
    return rc < 0 || c->http.tls_listen_count == 0 ? rc
                                                   : config_check_tls_ready(&c->api, "http.tls_listen", err);
}
