#include <discover/discover.h>

#include <string.h>

#include <base/text.h>

/* Host of "https://10.0.0.1:2379" or "https://[fd00::1]:2379"; false when it has none that fits. */
static bool host_of(const char *url, char out[64])
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    bool bracket = *host == '[';
    host += bracket;
    size_t len = strcspn(host, bracket ? "]" : ":/");
    if (len == 0 || len >= 64)
        return false;
    memcpy(out, host, len);
    out[len] = 0;
    return true;
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;
}

/* K3s and RKE2 name a member after its node, with eight figures behind it. */
static void node_of(enum discover_kind kind, const char *member, char out[CONFIG_NAME_MAX])
{
    if (!text_copy(out, CONFIG_NAME_MAX, member))
        out[0] = 0;
    size_t len = strlen(out);
    bool rancher = kind == DISCOVER_K3S || kind == DISCOVER_RKE2;
    if (rancher && len > 9 && out[len - 9] == '-' && strspn(out + len - 8, "0123456789abcdef") == 8)
        out[len - 9] = 0;
}

static struct discover_server *server_at(struct discover_facts *f, const char *host)
{
    for (size_t i = 0; i < f->servers_count; i++)
        if (strcmp(f->servers[i].host, host) == 0)
            return &f->servers[i];
    return NULL;
}

static struct discover_server *server_named(struct discover_facts *f, const char *name)
{
    for (size_t i = 0; i < f->servers_count; i++)
        if (strcmp(f->servers[i].name, name) == 0)
            return &f->servers[i];
    return NULL;
}

static void add_server(struct discover_facts *f, const char *name, const char *host)
{
    if (f->servers_count == CONFIG_SERVERS_MAX || server_at(f, host) || server_named(f, name))
        return;
    struct discover_server *s = &f->servers[f->servers_count++];
    (void)text_copy(s->host, sizeof(s->host), host);
    (void)text_copy(s->name, sizeof(s->name), name);
}

static bool is_ours(const struct discover_facts *f, const char *host)
{
    bool ours = strcmp(f->advertise, host) == 0;
    for (size_t i = 0; i < f->locals_count; i++)
        ours |= strcmp(f->locals[i], host) == 0;
    return ours;
}

/* The name for an address: its etcd member's, this server's own, else the address. */
static void name_of(const struct discover_facts *f, const char *host, const struct discover_member *members,
                    size_t count, char out[CONFIG_NAME_MAX])
{
    char at[64];
    out[0] = 0;
    for (size_t i = 0; i < count && f->etcd_on_servers; i++)
        if (host_of(members[i].url, at) && strcmp(at, host) == 0)
            node_of(f->kind, members[i].name, out);
    if (!text_is_name(out, CONFIG_NAME_MAX - 1))
        (void)text_copy(out, CONFIG_NAME_MAX, is_ours(f, host) ? f->server : "");
    if (!text_is_name(out, CONFIG_NAME_MAX - 1)) {
        (void)text_copy(out, CONFIG_NAME_MAX, host);
        for (char *c = out; *c; c++)
            *c = *c == ':' ? '-' : *c;
    }
}

static bool has_endpoint(const struct discover_facts *f, const char *url)
{
    for (size_t i = 0; i < f->endpoints_count; i++)
        if (strcmp(f->endpoints[i], url) == 0)
            return true;
    return f->endpoints_count == CONFIG_ENDPOINTS_MAX;
}

/* All endpoints have to be of one kind, as the configuration wants it. */
static void add_endpoint(struct discover_facts *f, const char *member_url)
{
    char url[DISCOVER_URL_MAX];
    size_t len = strlen(member_url);
    while (len > 0 && member_url[len - 1] == '/')
        len--;
    snprintf(url, sizeof(url), "%.*s", (int)len, member_url);
    bool https = strncmp(url, "https://", 8) == 0;
    bool ours = f->endpoints_count > 0 && strncmp(f->endpoints[0], "https://", 8) == 0;
    char host[64];
    if (https == ours && host_of(url, host) && !is_loopback(host) && !has_endpoint(f, url))
        (void)text_copy(f->endpoints[f->endpoints_count++], DISCOVER_URL_MAX, url);
}

/* Numbers in names count: s2 before s10. The same on every server. */
static int by_name(const void *a, const void *b)
{
    return strverscmp(((const struct discover_server *)a)->name, ((const struct discover_server *)b)->name);
}

/* This server is one of the list: by its address, else by its name. */
static void settle_own(struct discover_facts *f)
{
    struct discover_server *own = NULL;
    for (size_t i = 0; i < f->servers_count && !own; i++)
        if (is_ours(f, f->servers[i].host))
            own = &f->servers[i];
    if (!own)
        own = server_named(f, f->server);
    if (own)
        (void)text_copy(f->server, sizeof(f->server), own->name);
    else if (*f->advertise && *f->server)
        add_server(f, f->server, f->advertise);
}

void discover_merge(struct discover_facts *f, const struct discover_member *members, size_t members_count,
                    const char (*addresses)[64], size_t addresses_count)
{
    char name[CONFIG_NAME_MAX], host[64];
    for (size_t i = 0; i < members_count; i++)
        add_endpoint(f, members[i].url);
    for (size_t i = 0; i < addresses_count; i++)
        if (!is_loopback(addresses[i])) {
            name_of(f, addresses[i], members, members_count, name);
            add_server(f, name, addresses[i]);
        }
    for (size_t i = 0; i < members_count && addresses_count == 0 && f->etcd_on_servers; i++)
        if (host_of(members[i].url, host) && !is_loopback(host)) {
            name_of(f, host, members, members_count, name);
            add_server(f, name, host);
        }
    settle_own(f);
    qsort(f->servers, f->servers_count, sizeof(f->servers[0]), by_name);
}
