/* The one configuration file of agent, coordinator and CLI (YAML or JSON), default
 * /etc/secrets-encrypt/config.yaml. One table (config.c) names every field with type, default, limits and
 * a line of help; the parser and the reference in docs/ are both made from it.
 *
 *   cluster: demo                      # names this cluster's keys in the state store
 *   server: s1                         # which of `servers` this machine is; not needed by the CLI elsewhere
 *   servers:                           # in restart order; the first is S1
 *     - {name: s1, api: "https://10.0.0.1:6443"}
 *     - {name: s2, api: "https://10.0.0.2:6443"}
 *   resources: [secrets]               # managed resources
 *   token_file: /etc/secrets-encrypt/token
 *   state_dir: /var/lib/secrets-encrypt
 *   state_store:
 *     endpoints: ["https://10.0.0.1:2379", …]
 *     ca_file: …   cert_file: …   key_file: …   server_name: …
 *   datastore:                         # where the Kubernetes objects are; default: as state_store
 *     endpoints: […] …                 # same fields
 *     raw: on                          # off: not an etcd that may be read (K3s on SQL)
 *     prefix: /registry                # kube-apiserver's --etcd-prefix
 *     quota: 2147483648                # bytes: etcd's --quota-backend-bytes
 *   kubernetes:                        # how we log in to the API servers
 *     ca_file: …   token_file: …   cert_file: …   key_file: …
 *   encryption_config: /etc/kubernetes/encryption-config.json
 *   driver: exec                     # or systemd, openrc, static-pod, k3s, rke2
 *   exec:
 *     restart: ["systemctl", "restart", "kube-apiserver"]   # an argument list; no shell
 *     timeout: 120                     # seconds the command may take
 *   service: {unit: kube-apiserver, timeout: 300}         # systemd, openrc, k3s, rke2
 *   static_pod: {manifest: /etc/kubernetes/manifests/kube-apiserver.yaml}
 *   k3s: {data_dir: …, supervisor: …, node: …, reencrypt_timeout: 3600}
 *   reload: off                      # the API server reloads its encryption config by itself
 *   pid_file: ""                       # of the kube-apiserver; default: found by its argument list
 *   ready_timeout: 180                 # seconds after a restart until /readyz must answer
 *   lease_ttl: 10                      # seconds after which a silent agent or coordinator counts as gone
 *   key_type: ""                       # provider of new keys: aescbc, aesgcm, secretbox; default: as today's
 *   reencrypt: {max_rate: 0, in_flight: 64, page: 500}
 *   snapshots: {enabled: on, dir: /var/lib/secrets-encrypt/snapshots, keep: 4}
 *   canaries: {enabled: on, namespace: kube-system}
 *   repair: manual                     # or auto: a file that somebody changed is put right at once
 *   escrow_days: 90                    # how long retired keys are kept, sealed
 *   maintenance_window:                # servers are touched within these alone
 *     - {days: [sat, sun], from: "02:00", to: "05:00", time_zone: Europe/Berlin}
 *   alert_gate: {url: "https://prometheus:9090", query: …, ca_file: …, token_file: …, timeout: 5}
 *   rotate_every: 90d                  # within a window; rotate_writes: 200000 (of aesgcm keys)
 *   api:                               # the coordinator's API
 *     socket: /run/secrets-encrypt/api/api.sock   socket_group: ""
 *     listen: ["10.0.0.1:6448"]   cert_file: …   key_file: …   client_ca_file: …
 *     roles: [{role: operator, subject: "CN=ci"}, {role: viewer, group: on-call}]
 *   http: {listen: "127.0.0.1:9449", tls_listen: []}       # the coordinator's page
 *   log: {level: info, format: logfmt}
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/buf.h>
#include <base/cleanup.h>
#include <base/error.h>

#define CONFIG_DEFAULT_PATH  "/etc/secrets-encrypt/config.yaml"
#define CONFIG_FILE_MAX      (1024 * 1024)
#define CONFIG_SERVERS_MAX   16
#define CONFIG_ENDPOINTS_MAX 16
#define CONFIG_RESOURCES_MAX 32
#define CONFIG_ARGV_MAX      64
#define CONFIG_WINDOWS_MAX   16
#define CONFIG_LISTEN_MAX    8
#define CONFIG_API_ROLES_MAX 64
#define CONFIG_NAME_MAX      64 /* cluster and server names, with the NUL: [A-Za-z0-9._-] */

struct config_etcd {
    char *endpoints[CONFIG_ENDPOINTS_MAX];
    size_t endpoints_count;
    char *ca_file; /* "" when not given; so all strings below */
    char *cert_file;
    char *key_file;
    char *server_name;
};

struct config_server {
    char name[CONFIG_NAME_MAX];
    char *api;     /* URL of its API server */
    char *address; /* that it advertises in the datastore; "" : the host of `api` */
    char *role;    /* "" : etcd and control plane, "etcd", "control-plane" */
};

/* As it is written; schedule/window.h makes a window of it. */
struct config_window {
    char *days; /* "daily", "sat,sun" */
    char *from, *to;
    char *time_zone;
};

/* Who may what of the API: exactly one of the three is given. */
struct config_api_role {
    char *role; /* "viewer", "operator", "admin" */
    char
        *subject; /* of a client certificate, as certificate_read prints it; "" when not given; so the next */
    char *san;    /* "dns:ci.example.org", "uri:…", "email:…", "ip:…" */
    char *group;  /* an O or OU of its subject */
};

struct config_api {
    char *listen[CONFIG_LISTEN_MAX]; /* "host:port"; none: not over TCP */
    size_t listen_count;
    char *cert_file; /* "" when not given; so the next two */
    char *key_file;
    char *client_ca_file;
    char *socket;       /* "" : off */
    char *socket_group; /* "" : the coordinator's user alone, and root */
    struct config_api_role roles[CONFIG_API_ROLES_MAX];
    size_t roles_count;
};

struct config_http {
    char *listen;                        /* "127.0.0.1:9449": plain, on loopback; "" : not there */
    char *tls_listen[CONFIG_LISTEN_MAX]; /* "host:port", behind TLS with what struct config_api names */
    size_t tls_listen_count;
};

struct config {
    char *path; /* of the file that this was read from */
    char *old;  /* names that the file has from before, and what they are now: one line to warn with; "" */
    char cluster[CONFIG_NAME_MAX];
    char server[CONFIG_NAME_MAX]; /* "" when not given */
    struct config_server servers[CONFIG_SERVERS_MAX];
    size_t servers_count;
    char *resources[CONFIG_RESOURCES_MAX];
    size_t resources_count;
    char *token_file;
    char *state_dir;
    struct config_etcd state_store;
    struct config_etcd datastore; /* filled in from state_store when not given, unless raw is off */
    char *datastore_raw;          /* "on"; "off": it may be left out, and is not to be touched */
    char *datastore_prefix;
    int64_t datastore_quota; /* bytes; 0: not known */
    char *kube_ca_file;
    char *kube_token_file;
    char *kube_cert_file;
    char *kube_key_file;
    char *encryption_config;
    char *driver;
    char *exec_restart[CONFIG_ARGV_MAX + 1]; /* NULL-terminated */
    size_t exec_restart_count;
    int64_t exec_timeout_s;
    char *service_unit; /* "" : as the driver has it */
    int64_t service_timeout_s;
    char *manifest;
    char *k3s_data_dir;   /* "" : as the driver has it; so the next two */
    char *k3s_supervisor; /* URL */
    char *k3s_node;
    char *k3s_etcd; /* URL */
    int64_t k3s_reencrypt_timeout_s;
    char *reload; /* "on", "off" */
    char *pid_file;
    int64_t ready_timeout_s;
    int64_t lease_ttl_s;
    char *key_type;             /* "" : as today's */
    int64_t reencrypt_max_rate; /* 0: no limit */
    int64_t reencrypt_in_flight;
    int64_t reencrypt_page;
    char *snapshots;    /* "on", "off" */
    char *snapshot_dir; /* "" : <state_dir>/snapshots */
    int64_t snapshot_keep;
    char *canaries; /* "on", "off" */
    char *canary_namespace;
    char *repair; /* "manual", "auto" */
    int64_t escrow_days;
    struct config_window windows[CONFIG_WINDOWS_MAX];
    size_t windows_count;
    char *alert_url; /* "" : no alert is asked for */
    char *alert_query;
    char *alert_ca_file;
    char *alert_cert_file;
    char *alert_key_file;
    char *alert_token_file;
    int64_t alert_timeout_s;
    char *rotate_every; /* "90d"; "" : never by itself */
    int64_t rotate_writes;
    struct config_api api;
    struct config_http http;
    char *log_level;
    char *log_format;
};

enum config_role { CONFIG_FOR_AGENT, CONFIG_FOR_COORDINATOR, CONFIG_FOR_CLI };

/* Reads and checks the file for a role: ERR_INVALID (or the reading's own code) with one line that names
 * the file, the field and what is wrong ("…/config.yaml: servers[2].api: not an http(s) URL"): unknown and
 * misspelt fields (with the nearest known one), duplicates, wrong types, values out of range, a `server`
 * that is not among `servers`, endpoints that mix http and https, certificate without key, a driver that
 * does not exist, fields that the role needs and that are missing. Referenced files are not opened here.
 * Caller frees. */
int config_load(const char *path, enum config_role role, struct config **ret, struct error *err) _must_check_;
/* The same from memory; `path` names the text in errors and becomes (*ret)->path. */
int config_parse(const char *text, size_t len, const char *path, enum config_role role, struct config **ret,
                 struct error *err) _must_check_;
void config_free(struct config *c);
DEFINE_CLEANUP(struct config *, config_free);

/* Which file to read: `given` (a --config flag's value, or NULL), else $SECRETS_ENCRYPT_CONFIG, else
 * CONFIG_DEFAULT_PATH. Borrowed. */
const char *config_path(const char *given);

/* Has it no API server (role etcd)? */
bool config_etcd_only(const struct config_server *s);

/* The datastore, where it is an etcd of its own that may be asked. NULL: it is the state store, or it is not
 * to be touched (datastore.raw: off; *ret_raw tells, may be NULL). */
const struct config_etcd *config_own_datastore(const struct config *c, bool *ret_raw);

/* The index of a server in restart order, or -1. */
int config_server_index(const struct config *c, const char *name);

/* The reference of all fields as Markdown, from the parser's own table (for docs/configuration.md). */
int config_reference(struct buf *out, struct error *err) _must_check_;

#endif
