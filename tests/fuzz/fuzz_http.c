/* Any bytes as a request's "Host:" and as the listener's own address (a NUL between): only a loopback name or
 * that address, with a port or without, is ours. */
#include <string.h>
#include <strings.h>

#include "fuzz.h"
#include "http/host.h"

static bool is_port(const char *s)
{
    size_t n = *s == ':' ? strspn(s + 1, "0123456789") : 0;
    return !*s || (n > 0 && n <= 5 && !s[1 + n]);
}

/* The same question, asked in another way: is it that name with what may follow? */
static bool names(const char *host, const char *name, size_t len)
{
    return len > 0 && strncasecmp(host, name, len) == 0 && strlen(host) >= len && is_port(host + len);
}

static size_t without_port(const char *own)
{
    const char *bracket = *own == '[' ? strchr(own, ']') : NULL;
    return bracket ? (size_t)(bracket - own) + 1 : strcspn(own, ":");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const loopback[] = {"localhost", "127.0.0.1", "[::1]"};
    char *host = calloc(size + 2, 1), with_port[300];
    MUST(host);
    if (size > 0)
        memcpy(host, data, size);
    const char *own = host + strlen(host) + 1;
    bool ours = names(host, own, without_port(own));
    for (size_t i = 0; i < 3; i++)
        ours |= names(host, loopback[i], strlen(loopback[i]));
    MUST(http_host_is_ours(host, own) == ours);
    MUST(!strpbrk(host, "/@\\ \t\r\n,") || !ours || strpbrk(own, "/@\\ \t\r\n,"));
    /* A port more or less changes nothing; a name more does. */
    if (size < 256 && ours && (*host == '[' ? host[strlen(host) - 1] == ']' : !strchr(host, ':'))) {
        snprintf(with_port, sizeof(with_port), "%s:9449", host);
        MUST(http_host_is_ours(with_port, own));
        snprintf(with_port, sizeof(with_port), "%s.example.org", host);
        MUST(http_host_is_ours(with_port, own) == names(with_port, own, without_port(own)));
    }
    free(host);
    return 0;
}
