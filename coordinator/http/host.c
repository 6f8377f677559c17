#include "host.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* The length of "host" in "host:port", "[v6]:port" or "host". */
static size_t name_length(const char *s)
{
    const char *end = *s == '[' ? strchr(s, ']') : NULL;
    return end ? (size_t)(end - s) + 1 : strcspn(s, ":");
}

/* What follows the name is a port or nothing. */
static bool ends_well(const char *rest)
{
    if (!*rest)
        return true;
    size_t digits = strspn(rest + 1, "0123456789");
    return *rest == ':' && digits > 0 && digits <= 5 && !rest[1 + digits];
}

static bool same(const char *host, size_t len, const char *name, size_t name_len)
{
    return len == name_len && strncasecmp(host, name, len) == 0;
}

bool http_host_is_ours(const char *host, const char *own)
{
    static const char *const loopback[] = {"localhost", "127.0.0.1", "[::1]"};
    size_t len = name_length(host);
    if (len == 0 || !ends_well(host + len))
        return false;
    for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++)
        if (same(host, len, loopback[i], strlen(loopback[i])))
            return true;
    return same(host, len, own, name_length(own));
}
