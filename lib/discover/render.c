#include "internal.h"

#include <inttypes.h>
#include <stdarg.h>

#include <base/cleanup.h>
#include <base/text.h>
#include <json/json.h>

/* The file as it grows; the first failure is remembered. */
struct sheet {
    struct buf *out;
    struct error *err;
    int rc;
    size_t missing;
};

static void put(struct sheet *s, const char *format, ...) _printf_(2, 3);
static void put(struct sheet *s, const char *format, ...)
{
    char text[4 * PATH_MAX];
    va_list ap;
    va_start(ap, format);
    int len = vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    if (s->rc == 0 && len >= (int)sizeof(text))
        s->rc = error_set(s->err, ERR_TOO_LARGE, "a line of the configuration is too long");
    if (s->rc == 0)
        s->rc = buf_adds(s->out, text, s->err);
}

/* A text in JSON's quotes, which YAML reads as well. */
static void put_text(struct sheet *s, const char *text)
{
    _cleanup_(json_freep) struct json *node = json_new_string(text);
    _cleanup_(buf_freep) struct buf quoted = BUF_INIT(16 * PATH_MAX);
    if (s->rc == 0)
        s->rc = node ? json_print(node, &quoted, s->err) : error_no_memory(s->err);
    for (size_t at = 0, len; s->rc == 0 && at < quoted.len; at += len) {
        const char *c = buf_str(&quoted) + at;
        len = text_utf8_sequence(c, quoted.len - at); /* never 0: json_print writes UTF-8 */
        unsigned code = odd_character((const unsigned char *)c, len);
        s->rc = code ? buf_addf(s->out, s->err, "\\u%04x", code) : buf_add(s->out, c, len, s->err);
    }
}

static void put_member(struct sheet *s, const char *indent, const char *name, const char *text)
{
    put(s, "%s%s: ", indent, name);
    put_text(s, text);
    put(s, "\n");
}

/* A member that was found, or the line that says what belongs there. */
static void need(struct sheet *s, const char *indent, const char *name, const char *text, const char *example,
                 const char *what)
{
    if (*text) {
        put_member(s, indent, name, text);
        return;
    }
    put(s, "%s# FILL IN %s: %s  # %s\n", indent, name, example, what);
    s->missing++;
}

static void put_head(struct sheet *s, const struct discover_facts *f)
{
    char server[CONFIG_NAME_MAX], where[DISCOVER_PATH_MAX];
    snprintf(server, sizeof(server), "%s", *f->server ? f->server : "this server");
    snprintf(where, sizeof(where), "%s", f->where);
    make_line(server); /* node-name and data-dir are K3s's own, and may hold anything */
    make_line(where);
    put(s, "# Written by `secrets-encrypt init` on %s: %s (%s).\n", server, discover_kind_name(f->kind),
        where);
    put(s, "# The same on every server but for `server`. docs/configuration.md has all fields.\n");
    for (size_t i = 0; i < f->notes_count; i++)
        put(s, "# Note: %s\n", f->notes[i]);
    put(s, "\n");
}

static void put_servers(struct sheet *s, const struct discover_facts *f)
{
    need(s, "", "server", f->server, "s1", "which of `servers` this machine is");
    if (f->servers_count == 0) {
        put(s, "# FILL IN servers: [{name: s1, api: \"https://10.0.0.1:6443\"}]  # every server with an API "
               "server, "
               "in restart order\n");
        s->missing++;
        return;
    }
    put(s, "servers: # in restart order; is one missing?\n");
    for (size_t i = 0; i < f->servers_count; i++) {
        char url[DISCOVER_URL_MAX];
        bool v6 = strchr(f->servers[i].host, ':');
        snprintf(url, sizeof(url), "https://%s%s%s:%d", v6 ? "[" : "", f->servers[i].host, v6 ? "]" : "",
                 f->port);
        put(s, "  - {name: ");
        put_text(s, f->servers[i].name);
        put(s, ", api: ");
        put_text(s, url);
        put(s, "}\n");
    }
}

static void put_list(struct sheet *s, const char *indent, const char *name, const char *first, size_t size,
                     size_t count)
{
    put(s, "%s%s: [", indent, name);
    for (size_t i = 0; i < count; i++) {
        put(s, "%s", i ? ", " : "");
        put_text(s, first + i * size);
    }
    put(s, "]\n");
}

static void put_store(struct sheet *s, const struct discover_facts *f)
{
    bool https = f->endpoints_count > 0 && strncmp(f->endpoints[0], "https://", 8) == 0;
    if (f->endpoints_count == 0) {
        put(s,
            "# FILL IN state_store: {endpoints: [\"https://10.0.0.1:2379\"], ca_file: \"…\", cert_file: "
            "\"…\", "
            "key_file: \"…\"}  # %s\n",
            *f->etcd_why ? f->etcd_why : "the etcd that holds this program's keys");
        s->missing++;
        return;
    }
    put(s, "state_store:\n");
    put_list(s, "  ", "endpoints", f->endpoints[0], sizeof(f->endpoints[0]), f->endpoints_count);
    if (!https)
        return;
    need(s, "  ", "ca_file", f->etcd_ca, "/etc/etcd/ca.crt", "the CA of etcd's certificates");
    if (*f->etcd_cert && *f->etcd_key) {
        put_member(s, "  ", "cert_file", f->etcd_cert);
        put_member(s, "  ", "key_file", f->etcd_key);
    } else {
        put(s, "  # FILL IN cert_file: /etc/etcd/client.crt, and key_file  # a client certificate, if etcd "
               "asks for "
               "one\n");
        s->missing++;
    }
}

static void put_datastore(struct sheet *s, const struct discover_facts *f)
{
    if (!*f->prefix && f->quota == 0)
        return;
    put(s, "datastore: # the same etcd\n");
    if (*f->prefix)
        put_member(s, "  ", "prefix", f->prefix);
    if (f->quota > 0)
        put(s, "  quota: %" PRId64 "\n", f->quota);
}

static void put_kubernetes(struct sheet *s, const struct discover_facts *f)
{
    if (!*f->kube_ca && !*f->kube_cert && !*f->kube_token) {
        put(s, "# FILL IN kubernetes: {ca_file: \"…\", cert_file: \"…\", key_file: \"…\"}  # a login for the "
               "API "
               "servers that may read and update the resources\n");
        s->missing++;
        return;
    }
    put(s, "kubernetes:\n");
    need(s, "  ", "ca_file", f->kube_ca, "/etc/kubernetes/pki/ca.crt",
         "the CA of the API servers' certificates");
    if (*f->kube_cert && *f->kube_key) {
        put_member(s, "  ", "cert_file", f->kube_cert);
        put_member(s, "  ", "key_file", f->kube_key);
    } else {
        need(s, "  ", "token_file", f->kube_token, "/etc/secrets-encrypt/kubernetes-token",
             "a login that may read and update the resources: token_file, or cert_file and key_file");
    }
}

static void put_driver(struct sheet *s, const struct discover_facts *f)
{
    need(s, "", "encryption_config", f->encryption_config, "/etc/kubernetes/encryption-config.yaml",
         "the file of the API server's --encryption-provider-config");
    need(s, "", "driver", f->driver, "systemd",
         "how the API server is restarted: systemd, openrc, static-pod, exec");
    if (*f->unit)
        put(s, "service:\n"), put_member(s, "  ", "unit", f->unit);
    if (*f->manifest)
        put(s, "static_pod:\n"), put_member(s, "  ", "manifest", f->manifest);
    if (*f->data_dir)
        put(s, "k3s:\n"), put_member(s, "  ", "data_dir", f->data_dir);
    if (f->reload)
        put(s, "reload: on # --encryption-provider-config-automatic-reload\n");
}

int discover_render(const struct discover_facts *f, const char *token_file, struct buf *out,
                    size_t *ret_missing, struct error *err)
{
    struct sheet s = {out, err, 0, 0};
    put_head(&s, f);
    put_member(&s, "", "cluster", f->cluster);
    put_servers(&s, f);
    if (f->resources_count > 0)
        put_list(&s, "", "resources", f->resources[0], sizeof(f->resources[0]), f->resources_count);
    put_member(&s, "", "token_file", token_file);
    put_store(&s, f);
    put_datastore(&s, f);
    put_kubernetes(&s, f);
    put_driver(&s, f);
    *ret_missing = s.missing;
    return s.rc;
}
