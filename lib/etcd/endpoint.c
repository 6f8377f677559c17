#include "internal.h"

#include <base/text.h>

static const struct {
    const char *prefix;
    enum scheme scheme;
} schemes[] = {
    {"http://", SCHEME_PLAIN},
    {"https://", SCHEME_TLS},
};

int endpoint_parse(const char *text, struct endpoint *ret, struct error *err)
{
    enum scheme scheme = SCHEME_NONE;
    const char *address = text;
    for (size_t i = 0; i < array_len(schemes); i++) {
        if (!strncmp(text, schemes[i].prefix, strlen(schemes[i].prefix))) {
            scheme = schemes[i].scheme;
            address += strlen(schemes[i].prefix);
        }
    }
    if (scheme == SCHEME_NONE && strstr(text, "://"))
        return error_set(err, ERR_INVALID, "etcd endpoint \"%.200s\": only http:// and https:// are known",
                         text);
    struct endpoint e = {.scheme = scheme};
    size_t len = strlen(address);
    if (len && address[len - 1] == '/')
        len--;
    if (!len || len >= sizeof(e.address))
        return error_set(err, ERR_INVALID, "etcd endpoint \"%.200s\" is %s", text,
                         len ? "too long" : "empty");
    memcpy(e.address, address, len);
    int rc = rpc_address_check(e.address, err);
    if (rc < 0)
        return error_prefix(err, rc, "etcd endpoint \"%.200s\"", text);
    *ret = e;
    return 0;
}
