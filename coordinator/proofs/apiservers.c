#include "apiservers.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>

#include <base/text.h>
#include <json/json.h>

#define FOLDER         "masterleases/"
#define ENDPOINTS_PATH "/api/v1/namespaces/default/endpoints/kubernetes"
#define LEASES_MAX     1000
#define HOST_MAX       256
#define NAMED_MAX      3 /* strangers that are named; the rest is counted */
#define ADDRESS_SIZE   16

/* An address in figures; IPv4 in IPv6's form, so that both spellings are one. */
struct address {
    unsigned char bytes[ADDRESS_SIZE];
};

static bool parse_address(const char *text, struct address *ret)
{
    static const unsigned char v4[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (inet_pton(AF_INET6, text, ret->bytes) == 1)
        return true;
    memcpy(ret->bytes, v4, sizeof(v4));
    return inet_pton(AF_INET, text, ret->bytes + sizeof(v4)) == 1;
}

static bool same_address(const struct address *a, const struct address *b)
{
    return memcmp(a->bytes, b->bytes, ADDRESS_SIZE) == 0;
}

static bool is_loopback(const struct address *a)
{
    static const struct address v6 = {{[15] = 1}};
    return same_address(a, &v6) || (a->bytes[10] == 0xff && a->bytes[11] == 0xff && a->bytes[12] == 127);
}

bool apiservers_host(const char *url, char *out, size_t size)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    bool bracket = *host == '[';
    host += bracket;
    size_t len = strcspn(host, bracket ? "]" : ":/?#");
    if (len == 0 || len >= size || (bracket && host[len] != ']'))
        return false;
    memcpy(out, host, len);
    out[len] = 0;
    return true;
}

/* Where its API server is to be found: its address, else its URL's host; nowhere where it has none. */
static bool server_host(const struct config_server *s, char out[HOST_MAX])
{
    if (config_etcd_only(s))
        return false;
    return s->address && *s->address ? text_copy(out, HOST_MAX, s->address)
                                     : apiservers_host(s->api, out, HOST_MAX);
}

static bool fits_in_figures(const struct config *c, const struct address *a)
{
    for (size_t i = 0; i < c->servers_count; i++) {
        char host[HOST_MAX];
        struct address own;
        if (server_host(&c->servers[i], host) && parse_address(host, &own) && same_address(a, &own))
            return true;
    }
    return false;
}

static bool is_among(const struct addrinfo *list, const struct address *a)
{
    for (const struct addrinfo *i = list; i; i = i->ai_next) {
        char text[INET6_ADDRSTRLEN];
        struct address own;
        if (getnameinfo(i->ai_addr, i->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) == 0 &&
            parse_address(text, &own) && same_address(a, &own))
            return true;
    }
    return false;
}

/* Looks the names up; *ret_lost is the first server whose name does not resolve. */
static bool fits_by_name(const struct config *c, const struct address *a, const char **ret_lost)
{
    for (size_t i = 0; i < c->servers_count; i++) {
        char host[HOST_MAX];
        struct address own;
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
        if (!server_host(&c->servers[i], host) || parse_address(host, &own))
            continue;
        if (getaddrinfo(host, NULL, &hints, &list) != 0) {
            *ret_lost = *ret_lost ? *ret_lost : c->servers[i].name;
            continue;
        }
        bool found = is_among(list, a);
        freeaddrinfo(list);
        if (found)
            return true;
    }
    return false;
}

struct strangers {
    size_t count;
    char named[CLUSTER_TEXT_MAX / 2];
    char key[CLUSTER_TEXT_MAX / 4]; /* where the first stands */
    const char *lost;               /* a server whose name does not resolve */
};

static void add_stranger(struct strangers *s, const char *address, const char *key)
{
    size_t len = strlen(s->named);
    if (s->count == 0)
        text_copy(s->key, sizeof(s->key), key);
    if (s->count++ < NAMED_MAX)
        snprintf(s->named + len, sizeof(s->named) - len, "%s%.45s", len ? ", " : "", address);
}

static void tell(const struct strangers *s, char why[CLUSTER_TEXT_MAX])
{
    char more[48] = "", lost[CONFIG_NAME_MAX + 64] = "";
    if (s->count > NAMED_MAX)
        snprintf(more, sizeof(more), " and %zu more", s->count - NAMED_MAX);
    if (s->lost)
        snprintf(lost, sizeof(lost), " (unless it is %s, whose name does not resolve here)", s->lost);
    snprintf(why, CLUSTER_TEXT_MAX,
             "%s%s %s alive in %s, but no server of the list has that address%s: add it to "
             "servers (or give the server there its `address`), or shut it down",
             s->named, more, s->count == 1 ? "is" : "are", s->key, lost);
}

static void look_at(struct strangers *s, const struct config *config, const char *text, const char *where)
{
    struct address a;
    if (parse_address(text, &a) && !is_loopback(&a) && !fits_in_figures(config, &a) &&
        !fits_by_name(config, &a, &s->lost))
        add_stranger(s, text, where);
}

int apiservers_unknown(struct etcd *datastore, const struct config *config, int deadline_ms,
                       char why[CLUSTER_TEXT_MAX], struct error *err)
{
    char prefix[ETCD_KEY_MAX];
    struct etcd_range r = {0};
    struct strangers strangers = {0};
    snprintf(prefix, sizeof(prefix), "%s/" FOLDER, config->datastore_prefix);
    struct etcd_range_options options = {.prefix = prefix, .limit = LEASES_MAX, .keys_only = true};
    int rc = etcd_list(datastore, &options, deadline_ms, &r, err);
    if (rc < 0)
        return error_prefix(err, rc, "looking for API servers in the datastore");
    for (size_t i = 0; i < r.count; i++) {
        char where[sizeof(strangers.key)];
        snprintf(where, sizeof(where), "the datastore (%.100s)", r.kvs[i].key);
        look_at(&strangers, config, r.kvs[i].key + strlen(prefix), where);
    }
    etcd_range_free(&r);
    why[0] = 0;
    if (strangers.count > 0)
        tell(&strangers, why);
    return 0;
}

/* ---------- the same from the API ---------- */

static void look_at_addresses(struct strangers *s, const struct config *config, const struct json *addresses)
{
    for (const struct json *a = json_first(addresses); a; a = json_next(a))
        look_at(s, config, json_string(json_get(a, "ip"), ""),
                "the Endpoints kubernetes of namespace default");
}

int apiservers_unknown_in(const struct buf *endpoints, const struct config *config,
                          char why[CLUSTER_TEXT_MAX], struct error *err)
{
    _cleanup_(json_freep) struct json *root = NULL;
    struct strangers strangers = {0};
    int rc = json_parse(endpoints->data, endpoints->len, ENDPOINTS_PATH, &root, err);
    if (rc < 0)
        return rc;
    for (const struct json *v = json_first(json_get(root, "subsets")); v; v = json_next(v))
        look_at_addresses(&strangers, config, json_get(v, "addresses"));
    why[0] = 0;
    if (strangers.count > 0)
        tell(&strangers, why);
    return 0;
}

int apiservers_unknown_api(struct kube *k, const struct config *config, int deadline_ms,
                           char why[CLUSTER_TEXT_MAX], struct error *err)
{
    _cleanup_(buf_freep) struct buf reply = BUF_INIT(KUBE_REPLY_MAX);
    long status = 0;
    int rc = kube_request(k, "GET", ENDPOINTS_PATH, "application/json", NULL, NULL, 0, deadline_ms, &status,
                          &reply, err);
    if (rc < 0)
        return rc;
    why[0] = 0;
    if (status == 200)
        return apiservers_unknown_in(&reply, config, why, err);
    if (status == 404) /* no reconciler keeps them */
        return 0;
    return error_set(err, status == 401 || status == 403 ? ERR_DENIED : ERR_UNAVAILABLE,
                     "looking for API servers: GET " ENDPOINTS_PATH " answered %ld", status);
}
