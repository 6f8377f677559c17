#include "internal.h"

#include <base/text.h>

static const char *const names[FLAGS_COUNT] = {
    [FLAG_CONFIG] = "encryption-provider-config",
    [FLAG_RELOAD] = "encryption-provider-config-automatic-reload",
    [FLAG_ETCD_SERVERS] = "etcd-servers",
    [FLAG_ETCD_CA] = "etcd-cafile",
    [FLAG_ETCD_CERT] = "etcd-certfile",
    [FLAG_ETCD_KEY] = "etcd-keyfile",
    [FLAG_ETCD_PREFIX] = "etcd-prefix",
    [FLAG_ADVERTISE] = "advertise-address",
    [FLAG_BIND] = "bind-address",
    [FLAG_PORT] = "secure-port",
    [FLAG_QUOTA] = "quota-backend-bytes",
};

void flags_begin(struct api_flags *a)
{
    memset(a, 0, sizeof(*a));
    a->wants = -1;
}

/* One or two dashes, and the value behind a '=' or as the next argument. A flag without a value is "true". */
void flags_take(struct api_flags *a, const char *argument)
{
    int wants = a->wants;
    a->wants = -1;
    if (argument[0] != '-') {
        if (wants >= 0)
            (void)text_copy(a->values[wants], sizeof(a->values[wants]), argument);
        return;
    }
    const char *name = argument + strspn(argument, "-");
    size_t len = strcspn(name, "=");
    for (int i = 0; i < FLAGS_COUNT; i++) {
        if (strlen(names[i]) != len || strncmp(names[i], name, len) != 0)
            continue;
        (void)text_copy(a->values[i], sizeof(a->values[i]), name[len] ? name + len + 1 : "true");
        a->wants = name[len] || i == FLAG_RELOAD ? -1 : i;
    }
}

void use_endpoints(struct discover_facts *f, const char *list)
{
    while (*list) {
        size_t len = strcspn(list, ",");
        char url[DISCOVER_URL_MAX];
        if (len > 0 && len < sizeof(url) && f->endpoints_count < CONFIG_ENDPOINTS_MAX) {
            memcpy(url, list, len);
            url[len] = 0;
            while (len > 1 && url[len - 1] == '/')
                url[--len] = 0;
            bool there = false;
            for (size_t i = 0; i < f->endpoints_count; i++)
                there |= strcmp(f->endpoints[i], url) == 0;
            if (!there)
                (void)text_copy(f->endpoints[f->endpoints_count++], DISCOVER_URL_MAX, url);
        }
        list += strcspn(list, ",");
        list += *list == ',';
    }
}

void flags_use(const struct api_flags *a, struct discover_facts *f)
{
    int64_t port = 6443;
    use_endpoints(f, a->values[FLAG_ETCD_SERVERS]);
    if (*a->values[FLAG_ETCD_PREFIX])
        (void)text_copy(f->prefix, sizeof(f->prefix), a->values[FLAG_ETCD_PREFIX]);
    if (*a->values[FLAG_PORT])
        (void)!text_int(a->values[FLAG_PORT], 1, 65535, &port, NULL); /* stays 6443 */
    f->port = (int)port;
    const char *address = a->values[FLAG_ADVERTISE];
    const char *bind = a->values[FLAG_BIND];
    bool any = !*bind || strcmp(bind, "0.0.0.0") == 0 || strcmp(bind, "::") == 0;
    if (*address || !any)
        (void)text_copy(f->advertise, sizeof(f->advertise), *address ? address : bind);
    f->reload = strcmp(a->values[FLAG_RELOAD], "true") == 0;
}
