#include "init.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/socket.h>

#include <base/text.h>
#include <store/store.h>

#define CALL_MS    3000
#define LEASES_MAX 64

static void add_note(struct discover_facts *f, const char *text)
{
    if (f->notes_count < DISCOVER_NOTES_MAX)
        text_copy(f->notes[f->notes_count++], DISCOVER_TEXT_MAX, text);
}

static void read_locals(struct discover_facts *f)
{
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) < 0)
        return;
    for (struct ifaddrs *i = list; i && f->locals_count < DISCOVER_LOCALS_MAX; i = i->ifa_next) {
        int family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;
        socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        if ((family == AF_INET || family == AF_INET6) && !(i->ifa_flags & IFF_LOOPBACK) &&
            getnameinfo(i->ifa_addr, len, f->locals[f->locals_count], 64, NULL, 0, NI_NUMERICHOST) == 0)
            f->locals_count++;
    }
    freeifaddrs(list);
}

/* --- etcd --- */

/* The paths as this process opens them. */
struct login {
    char ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];
    struct config_etcd config;
};

static char *under(const char *root, const char *path, char out[PATH_MAX])
{
    if (!*path || snprintf(out, PATH_MAX, "%s%s", root, path) >= PATH_MAX)
        out[0] = 0;
    return out;
}

static void make_login(struct discover_facts *f, const char *root, struct login *l)
{
    static char none[] = "";
    memset(l, 0, sizeof(*l));
    for (size_t i = 0; i < f->endpoints_count; i++)
        l->config.endpoints[l->config.endpoints_count++] = f->endpoints[i];
    l->config.ca_file = under(root, f->etcd_ca, l->ca);
    l->config.cert_file = under(root, f->etcd_cert, l->cert);
    l->config.key_file = under(root, f->etcd_key, l->key);
    l->config.server_name = none;
}

/* Those of the datastore's records that are alive: each API server has one, under a lease. */
static int read_leases(struct etcd *e, const char *registry, char addresses[][64], size_t *ret_count,
                       struct error *err)
{
    char prefix[ETCD_KEY_MAX];
    struct etcd_range range = {0};
    snprintf(prefix, sizeof(prefix), "%s/masterleases/", registry);
    struct etcd_range_options options = {.prefix = prefix, .limit = LEASES_MAX, .keys_only = true};
    int rc = etcd_list(e, &options, CALL_MS, &range, err);
    for (size_t i = 0; rc == 0 && i < range.count; i++)
        *ret_count += text_copy(addresses[*ret_count], 64, range.kvs[i].key + strlen(prefix));
    etcd_range_free(&range);
    return rc;
}

static void ask_etcd(struct discover_facts *f, const char *root)
{
    struct login l;
    struct error err = ERROR_INIT;
    _cleanup_(etcd_closep) struct etcd *e = NULL;
    struct etcd_members list = {0};
    struct discover_member members[ETCD_ENDPOINT_MAX];
    char addresses[LEASES_MAX][64], text[DISCOVER_TEXT_MAX];
    size_t addresses_count = 0;
    make_login(f, root, &l);
    int rc = store_etcd_open(&l.config, &e, &err);
    if (rc == 0)
        rc = etcd_member_list(e, CALL_MS, &list, &err);
    if (rc == 0)
        rc = read_leases(e, *f->prefix ? f->prefix : "/registry", addresses, &addresses_count, &err);
    if (rc < 0) {
        snprintf(text, sizeof(text), "etcd was not asked for the other servers: %.180s", err.text);
        add_note(f, text);
    }
    for (size_t i = 0; i < list.count; i++) {
        text_copy(members[i].name, sizeof(members[i].name), list.members[i].name);
        text_copy(members[i].url, sizeof(members[i].url), list.members[i].client_url);
    }
    discover_merge(f, members, list.count, (const char(*)[64])addresses, addresses_count);
}

void init_ask(struct discover_facts *f, const char *root)
{
    if (!*root)
        read_locals(f);
    if (f->endpoints_count > 0)
        ask_etcd(f, root);
    else
        discover_merge(f, NULL, 0, NULL, 0);
}
