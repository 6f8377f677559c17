/* Rules that involve several fields, and the shape of URLs and resource names. */
#include "table.h"

#include <arpa/inet.h>
#include <ctype.h>

#include <base/text.h>

#define URL_MAX 255 /* what a spec in the state store holds */

static bool is_https(const char *url)
{
    return strncmp(url, "https://", 8) == 0;
}

static bool host_char(char c)
{
    return isalnum((unsigned char)c) || strchr(".-_", c);
}

/* Length of a host at s: a name, an IPv4 address, or an IPv6 address in brackets; 0 when there is none. */
static size_t host_length(const char *s)
{
    size_t n = 0;
    if (*s == '[') {
        n = 1 + strspn(s + 1, "0123456789abcdefABCDEF:.");
        return n > 2 && s[n] == ']' ? n + 1 : 0;
    }
    while (s[n] && host_char(s[n]))
        n++;
    return n;
}

int config_check_url(const char *url, const char *where, struct error *err)
{
    size_t scheme = is_https(url) ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;
    if (strchr(url, '@'))
        return error_set(err, ERR_INVALID, "%s: holds a user name; credentials belong into files", where);
    size_t host = scheme ? host_length(url + scheme) : 0;
    if (host == 0)
        return error_set(err, ERR_INVALID, "%s: not an http(s) URL", where);
    if (strlen(url) > URL_MAX)
        return error_set(err, ERR_INVALID, "%s: longer than %d bytes", where, URL_MAX);
    const char *rest = url + scheme + host;
    if (*rest == ':') {
        size_t digits = strspn(rest + 1, "0123456789");
        char port[8] = "";
        int64_t number = 0;
        if (digits > 0 && digits < sizeof(port))
            memcpy(port, rest + 1, digits);
        if (text_int(port, 1, 65535, &number, NULL) < 0)
            return error_set(err, ERR_INVALID, "%s: not a port (1 to 65535) after the host", where);
        rest += 1 + digits;
    }
    if (*rest == '/' && rest[1] == 0)
        rest++;
    if (*rest)
        return error_set(err, ERR_INVALID, "%s: '%.40s' after host and port is not allowed", where, rest);
    return 0;
}

int config_check_resource(const char *name, const char *where, struct error *err)
{
    if (strchr(name, '*'))
        return error_set(err, ERR_INVALID, "%s: '%.80s' is a wildcard; name each resource", where, name);
    size_t n = 0;
    while (islower((unsigned char)name[n]) || isdigit((unsigned char)name[n]) || name[n] == '.' ||
           name[n] == '-')
        n++;
    if (n == 0 || name[n] || n > 253 || !isalnum((unsigned char)name[0]) ||
        !isalnum((unsigned char)name[n - 1]))
        return error_set(err, ERR_INVALID,
                         "%s: '%.80s' is not a resource such as secrets or widgets.example.org", where, name);
    return 0;
}

static int check_pair(const char *section, const char *cert, const char *key, struct error *err)
{
    if (*cert && !*key)
        return error_set(err, ERR_INVALID, "%s.cert_file: given without key_file", section);
    if (*key && !*cert)
        return error_set(err, ERR_INVALID, "%s.key_file: given without cert_file", section);
    return 0;
}

static int check_tls(const struct config_etcd *e, const char *section, struct error *err)
{
    bool https = is_https(e->endpoints[0]);
    const struct {
        const char *name, *value;
    } fields[] = {{"ca_file", e->ca_file},
                  {"cert_file", e->cert_file},
                  {"key_file", e->key_file},
                  {"server_name", e->server_name}};
    for (size_t i = 0; i < array_len(fields) && !https; i++)
        if (*fields[i].value)
            return error_set(err, ERR_INVALID,
                             "%s.%s: has no effect with http endpoints; use https ones, or leave it out",
                             section, fields[i].name);
    if (https && !*e->ca_file)
        return error_set(err, ERR_INVALID,
                         "%s.ca_file: missing; https endpoints need the CA that signed their certificates",
                         section);
    return check_pair(section, e->cert_file, e->key_file, err);
}

static int check_etcd(const struct config_etcd *e, const char *section, struct error *err)
{
    char where[96];
    if (e->endpoints_count == 0)
        return error_set(err, ERR_INVALID, "%s.endpoints: missing; give the URLs of the etcd members",
                         section);
    for (size_t i = 0; i < e->endpoints_count; i++) {
        snprintf(where, sizeof(where), "%s.endpoints[%zu]", section, i);
        int rc = config_check_url(e->endpoints[i], where, err);
        if (rc < 0)
            return rc;
        if (is_https(e->endpoints[i]) != is_https(e->endpoints[0]))
            return error_set(err, ERR_INVALID, "%s: http and https mixed; all endpoints must be of one kind",
                             where);
        for (size_t k = 0; k < i; k++)
            if (strcmp(e->endpoints[k], e->endpoints[i]) == 0)
                return error_set(err, ERR_INVALID, "%s: the same as endpoints[%zu]", where, k);
    }
    return check_tls(e, section, err);
}

static int check_address(const struct config *c, size_t i, struct error *err)
{
    const char *address = c->servers[i].address;
    unsigned char bytes[16];
    if (!*address)
        return 0;
    if (inet_pton(AF_INET, address, bytes) != 1 && inet_pton(AF_INET6, address, bytes) != 1)
        return error_set(err, ERR_INVALID, "servers[%zu].address: '%.80s' is not an IP address", i, address);
    for (size_t k = 0; k < i; k++)
        if (strcmp(c->servers[k].address, address) == 0)
            return error_set(err, ERR_INVALID, "servers[%zu].address: the same as that of '%s'", i,
                             c->servers[k].name);
    return 0;
}

/* Only K3s's servers hand their config to one another, so that one without an API server has it too. */
static int check_roles(const struct config *c, struct error *err)
{
    bool k3s = strcmp(c->driver, "k3s") == 0 || strcmp(c->driver, "rke2") == 0;
    size_t etcd_only = 0;
    for (size_t i = 0; i < c->servers_count; i++) {
        if (*c->servers[i].role && !k3s)
            return error_set(
                err, ERR_INVALID,
                "servers[%zu].role: only servers of the drivers k3s and rke2 have roles; with %s "
                "leave it out, and list the servers that run an API server",
                i, c->driver);
        etcd_only += config_etcd_only(&c->servers[i]);
    }
    return c->servers_count > 0 && etcd_only == c->servers_count
               ? error_set(err, ERR_INVALID, "servers: all have the role etcd; list those with an API server")
               : 0;
}

static int check_servers(const struct config *c, struct error *err)
{
    char where[64];
    for (size_t i = 0; i < c->servers_count; i++) {
        snprintf(where, sizeof(where), "servers[%zu].api", i);
        int rc = config_check_url(c->servers[i].api, where, err);
        if (rc == 0)
            rc = check_address(c, i, err);
        if (rc < 0)
            return rc;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(c->servers[k].name, c->servers[i].name) == 0)
                return error_set(err, ERR_INVALID, "servers[%zu].name: '%s' stands there twice", i,
                                 c->servers[i].name);
            if (strcmp(c->servers[k].api, c->servers[i].api) == 0)
                return error_set(
                    err, ERR_INVALID,
                    "servers[%zu].api: the same as that of '%s'; each server needs the URL of its own API "
                    "server",
                    i, c->servers[k].name);
        }
    }
    if (*c->server && config_server_index(c, c->server) < 0)
        return error_set(err, ERR_INVALID, "server: '%s' is not among servers", c->server);
    return 0;
}

static int check_resources(const struct config *c, struct error *err)
{
    char where[64];
    for (size_t i = 0; i < c->resources_count; i++) {
        snprintf(where, sizeof(where), "resources[%zu]", i);
        int rc = config_check_resource(c->resources[i], where, err);
        if (rc < 0)
            return rc;
        for (size_t k = 0; k < i; k++)
            if (strcmp(c->resources[k], c->resources[i]) == 0)
                return error_set(err, ERR_INVALID, "%s: '%s' stands there twice", where, c->resources[i]);
    }
    return 0;
}

static int check_kubernetes(const struct config *c, enum config_role role, struct error *err)
{
    int rc = check_pair("kubernetes", c->kube_cert_file, c->kube_key_file, err);
    if (rc < 0 || role != CONFIG_FOR_COORDINATOR || *c->kube_token_file || *c->kube_cert_file)
        return rc;
    for (size_t i = 0; i < c->servers_count; i++)
        if (is_https(c->servers[i].api))
            return error_set(
                err, ERR_INVALID,
                "kubernetes: needs token_file, or cert_file and key_file; the coordinator logs in to the API "
                "servers to rewrite the objects");
    return 0;
}

/* As a URL has them. */
int config_check_listen(const char *address, const char *where, struct error *err)
{
    char url[URL_MAX + 16];
    if (!*address || strstr(address, "://") || strchr(address, '/') || !strrchr(address, ':') ||
        address[strlen(address) - 1] == ']')
        return error_set(err, ERR_INVALID, "%s: '%.80s' is not host:port or [ipv6]:port", where, address);
    snprintf(url, sizeof(url), "https://%.*s", URL_MAX, address);
    return config_check_url(url, where, err);
}

static int check_listen(const struct config_api *a, size_t i, struct error *err)
{
    char where[64];
    snprintf(where, sizeof(where), "api.listen[%zu]", i);
    int rc = config_check_listen(a->listen[i], where, err);
    for (size_t k = 0; rc == 0 && k < i; k++)
        if (strcmp(a->listen[k], a->listen[i]) == 0)
            rc = error_set(err, ERR_INVALID, "%s: the same as listen[%zu]", where, k);
    return rc;
}

static int check_role(const struct config_api_role *v, size_t i, struct error *err)
{
    const char *const texts[] = {v->subject, v->san, v->group};
    size_t given = 0;
    for (size_t k = 0; k < array_len(texts); k++)
        given += *texts[k] != 0;
    if (given != 1)
        return error_set(err, ERR_INVALID, "api.roles[%zu]: needs one of subject, san, group%s", i,
                         given ? ", and not several; write an element for each" : "");
    if (strstr(v->subject, " = ")) /* as some versions of openssl print it: it would match nobody */
        return error_set(
            err, ERR_INVALID,
            "api.roles[%zu].subject: write it without spaces around the '=', as in 'O=team, CN=ci'", i);
    if (*v->san && !strchr(v->san, ':'))
        return error_set(err, ERR_INVALID,
                         "api.roles[%zu].san: '%.80s' does not say of what kind it is: dns:, uri:, email: or "
                         "ip: comes first",
                         i, v->san);
    return 0;
}

int config_check_tls_ready(const struct config_api *a, const char *field, struct error *err)
{
    if (!*a->cert_file)
        return error_set(err, ERR_INVALID, "api.cert_file: missing; %s needs a certificate", field);
    if (!*a->client_ca_file)
        return error_set(err, ERR_INVALID,
                         "api.client_ca_file: missing; %s needs the CA that signs client certificates",
                         field);
    return a->roles_count > 0
               ? 0
               : error_set(err, ERR_INVALID, "api.roles: missing; nobody could use %s, as nobody has a role",
                           field);
}

static int check_api(const struct config_api *a, struct error *err)
{
    int rc = check_pair("api", a->cert_file, a->key_file, err);
    for (size_t i = 0; rc == 0 && i < a->listen_count; i++)
        rc = check_listen(a, i, err);
    for (size_t i = 0; rc == 0 && i < a->roles_count; i++)
        rc = check_role(&a->roles[i], i, err);
    return rc < 0 || a->listen_count == 0 ? rc : config_check_tls_ready(a, "api.listen", err);
}

int config_check(const struct config *c, enum config_role role, struct error *err)
{
    int rc = check_servers(c, err);
    if (rc == 0)
        rc = check_roles(c, err);
    if (rc == 0)
        rc = check_resources(c, err);
    if (rc == 0)
        rc = check_etcd(&c->state_store, "state_store", err);
    if (rc == 0 && (c->datastore.endpoints_count > 0 || strcmp(c->datastore_raw, "off") != 0))
        rc = check_etcd(&c->datastore, "datastore", err);
    if (rc == 0)
        rc = check_kubernetes(c, role, err);
    if (rc == 0)
        rc = config_check_maintenance(c, role, err);
    if (rc == 0)
        rc = check_api(&c->api, err);
    if (rc == 0)
        rc = config_check_http(c, err);
    if (rc == 0 && role == CONFIG_FOR_AGENT && strcmp(c->driver, "exec") == 0 && c->exec_restart_count == 0)
        rc = error_set(
            err, ERR_INVALID,
            "exec.restart: missing; the driver exec needs the command that restarts the API server");
    return rc;
}
