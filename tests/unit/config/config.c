#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <config/config.h>

#define SERVERS                                                                                              \
    "servers: [{name: s1, api: 'https://10.0.0.1:6443'}, {name: s2, api: 'https://10.0.0.2:6443'}]\n"
#define STORE "state_store: {endpoints: ['http://127.0.0.1:2379']}\n"
#define GOOD  "cluster: demo\n" SERVERS STORE

static const char full[] =
    "cluster: demo\n"
    "server: s2\n"
    "servers:\n"
    "  - {name: s1, api: \"https://10.0.0.1:6443\"}\n"
    "  - {name: s2, api: \"https://[fd00::2]:6443/\", address: \"10.1.0.2\"}\n"
    "resources: [secrets, configmaps, widgets.example.org]\n"
    "token_file: /etc/t\n"
    "state_dir: /var/lib/s\n"
    "state_store:\n"
    "  endpoints: [\"https://10.0.0.1:2379\", \"https://10.0.0.2:2379\"]\n"
    "  ca_file: /ca\n"
    "  cert_file: /cert\n"
    "  key_file: /key\n"
    "  server_name: etcd.example.org\n"
    "datastore:\n"
    "  prefix: /kubernetes.io\n"
    "kubernetes: {ca_file: /kca, token_file: /ktoken, cert_file: /kcert, key_file: /kkey}\n"
    "encryption_config: /etc/enc.json\n"
    "driver: exec\n"
    "exec:\n"
    "  restart: [\"systemctl\", \"restart\", \"kube-apiserver\"]\n"
    "  timeout: 30\n"
    "pid_file: /run/api.pid\n"
    "ready_timeout: 60\n"
    "lease_ttl: 15\n"
    "key_type: secretbox\n"
    "reencrypt: {max_rate: 5, in_flight: 8, page: 100}\n"
    "snapshots: {enabled: \"off\", dir: /backup/etcd, keep: 9}\n"
    "canaries: {enabled: off, namespace: canaries}\n"
    "repair: auto\n"
    "escrow_days: 30\n"
    "log: {level: debug, format: json}\n";

static void test_every_field(void **state)
{
    (void)state;
    for (enum config_role role = CONFIG_FOR_AGENT; role <= CONFIG_FOR_CLI; role++) {
        _cleanup_(config_freep) struct config *c = NULL;
        struct error err = ERROR_INIT;
        if (config_parse(full, strlen(full), "/c.yaml", role, &c, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(c->path, "/c.yaml");
        assert_string_equal(c->cluster, "demo");
        assert_string_equal(c->server, "s2");
        assert_int_equal(c->servers_count, 2);
        assert_string_equal(c->servers[0].name, "s1");
        assert_string_equal(c->servers[1].api, "https://[fd00::2]:6443/");
        assert_int_equal(c->resources_count, 3);
        assert_string_equal(c->resources[2], "widgets.example.org");
        assert_string_equal(c->token_file, "/etc/t");
        assert_string_equal(c->state_dir, "/var/lib/s");
        assert_int_equal(c->state_store.endpoints_count, 2);
        assert_string_equal(c->state_store.endpoints[1], "https://10.0.0.2:2379");
        assert_string_equal(c->state_store.server_name, "etcd.example.org");
        /* the datastore has a prefix of its own and the state store's connection */
        assert_string_equal(c->datastore_prefix, "/kubernetes.io");
        assert_int_equal(c->datastore.endpoints_count, 2);
        assert_string_equal(c->datastore.endpoints[0], "https://10.0.0.1:2379");
        assert_string_equal(c->datastore.ca_file, "/ca");
        assert_string_equal(c->datastore.cert_file, "/cert");
        assert_string_equal(c->datastore.key_file, "/key");
        assert_string_equal(c->datastore.server_name, "etcd.example.org");
        assert_string_equal(c->kube_ca_file, "/kca");
        assert_string_equal(c->kube_token_file, "/ktoken");
        assert_string_equal(c->kube_cert_file, "/kcert");
        assert_string_equal(c->kube_key_file, "/kkey");
        assert_string_equal(c->encryption_config, "/etc/enc.json");
        assert_string_equal(c->driver, "exec");
        assert_int_equal(c->exec_restart_count, 3);
        assert_string_equal(c->exec_restart[2], "kube-apiserver");
        assert_null(c->exec_restart[3]);
        assert_int_equal(c->exec_timeout_s, 30);
        assert_string_equal(c->pid_file, "/run/api.pid");
        assert_int_equal(c->ready_timeout_s, 60);
        assert_int_equal(c->lease_ttl_s, 15);
        assert_string_equal(c->key_type, "secretbox");
        assert_int_equal(c->reencrypt_max_rate, 5);
        assert_int_equal(c->reencrypt_in_flight, 8);
        assert_int_equal(c->reencrypt_page, 100);
        assert_string_equal(c->servers[0].address, "");
        assert_string_equal(c->servers[1].address, "10.1.0.2");
        assert_string_equal(c->snapshots, "off");
        assert_string_equal(c->snapshot_dir, "/backup/etcd");
        assert_int_equal(c->snapshot_keep, 9);
        assert_string_equal(c->canaries, "off");
        assert_string_equal(c->canary_namespace, "canaries");
        assert_string_equal(c->repair, "auto");
        assert_int_equal(c->escrow_days, 30);
        assert_string_equal(c->log_level, "debug");
        assert_string_equal(c->log_format, "json");
        assert_int_equal(config_server_index(c, "s2"), 1);
        assert_int_equal(config_server_index(c, "s3"), -1);
    }
}

static void test_defaults(void **state)
{
    (void)state;
    _cleanup_(config_freep) struct config *c = NULL;
    struct error err = ERROR_INIT;
    if (config_parse(GOOD, strlen(GOOD), "/c.yaml", CONFIG_FOR_CLI, &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(c->server, "");
    assert_int_equal(c->resources_count, 1);
    assert_string_equal(c->resources[0], "secrets");
    assert_string_equal(c->token_file, "/etc/secrets-encrypt/token");
    assert_string_equal(c->state_dir, "/var/lib/secrets-encrypt");
    assert_string_equal(c->state_store.ca_file, "");
    assert_string_equal(c->datastore.endpoints[0], "http://127.0.0.1:2379");
    assert_string_equal(c->datastore_prefix, "/registry");
    assert_string_equal(c->kube_token_file, "");
    assert_string_equal(c->encryption_config, "");
    assert_string_equal(c->driver, "exec");
    assert_int_equal(c->exec_restart_count, 0);
    assert_int_equal(c->exec_timeout_s, 120);
    assert_int_equal(c->ready_timeout_s, 180);
    assert_int_equal(c->lease_ttl_s, 10);
    assert_string_equal(c->key_type, "");
    assert_int_equal(c->datastore_quota, 2147483648);
    assert_int_equal(c->reencrypt_max_rate, 0);
    assert_int_equal(c->reencrypt_in_flight, 64);
    assert_int_equal(c->reencrypt_page, 500);
    /* what guards against loss is on unless somebody says otherwise */
    assert_string_equal(c->servers[0].address, "");
    assert_string_equal(c->snapshots, "on");
    assert_string_equal(c->snapshot_dir, "");
    assert_int_equal(c->snapshot_keep, 4);
    assert_string_equal(c->canaries, "on");
    assert_string_equal(c->canary_namespace, "kube-system");
    assert_string_equal(c->repair, "manual");
    assert_int_equal(c->escrow_days, 90);
    assert_string_equal(c->log_level, "info");
    assert_string_equal(c->log_format, "logfmt");
}

/* The file of an older package starts the programs of this one. */
static void test_names_from_before(void **state)
{
    (void)state;
    static const struct {
        const char *text, *level, *format, *old;
    } cases[] = {
        {GOOD "log_level: debug\n", "debug", "logfmt", "log_level is log.level now"},
        {GOOD "log_level: debug\nlog: {format: json}\n", "debug", "json", "log_level is log.level now"},
        {GOOD "log: {level: error}\nlog_level: error\n", "error", "logfmt", "log_level is log.level now"},
        {GOOD "log: {level: error}\n", "error", "logfmt", ""}};
    for (size_t i = 0; i < array_len(cases); i++) {
        _cleanup_(config_freep) struct config *c = NULL;
        struct error err = ERROR_INIT;
        if (config_parse(cases[i].text, strlen(cases[i].text), "/c.yaml", CONFIG_FOR_CLI, &c, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(c->log_level, cases[i].level);
        assert_string_equal(c->log_format, cases[i].format);
        assert_string_equal(c->old, cases[i].old);
    }
}

/* What is not to be touched is not the state store's etcd either. */
static void test_a_datastore_that_is_not_raw(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t endpoints;
    } cases[] = {{GOOD, 1},
                 {GOOD "datastore: {raw: on}\n", 1},
                 {GOOD "datastore: {raw: false}\n", 0},
                 {GOOD "datastore: {raw: off, endpoints: ['http://a:1', 'http://b:1']}\n", 2}};
    for (size_t i = 0; i < array_len(cases); i++) {
        _cleanup_(config_freep) struct config *c = NULL;
        struct error err = ERROR_INIT;
        if (config_parse(cases[i].text, strlen(cases[i].text), "/c.yaml", CONFIG_FOR_CLI, &c, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(c->datastore_raw, i < 2 ? "on" : "off");
        assert_int_equal(c->datastore.endpoints_count, cases[i].endpoints);
    }
}

static void test_json_is_read_too(void **state)
{
    (void)state;
    static const char text[] =
        "{\"cluster\":\"demo\",\"servers\":[{\"name\":\"s1\",\"api\":\"http://127.0.0.1:8080\"}],"
        "\"state_store\":{\"endpoints\":[\"http://127.0.0.1:2379\"]},"
        "\"datastore\":{\"endpoints\":[\"http://127.0.0.1:2479\"]}}";
    _cleanup_(config_freep) struct config *c = NULL;
    struct error err = ERROR_INIT;
    if (config_parse(text, strlen(text), "/c.json", CONFIG_FOR_CLI, &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(c->datastore.endpoints[0], "http://127.0.0.1:2479");
}

struct bad_row {
    enum config_role role;
    const char *text;
    const char *expected; /* whole */
};

#define A CONFIG_FOR_AGENT
#define C CONFIG_FOR_COORDINATOR
#define T CONFIG_FOR_CLI

static const struct bad_row bad_rows[] = {
    /* no document, or another one */
    {T, "", "/c.yaml: empty; it needs at least cluster, servers and state_store"},
    {T, "# nothing\n", "/c.yaml: empty; it needs at least cluster, servers and state_store"},
    {T, "[1, 2]\n", "/c.yaml: not an object with fields such as cluster, servers and state_store"},
    {T, "just words\n", "/c.yaml: not an object with fields such as cluster, servers and state_store"},
    /* unknown and misspelt fields */
    {T, GOOD "kluster: x\n", "/c.yaml: kluster: unknown field; did you mean cluster?"},
    {T, GOOD "lease-ttl: 9\n", "/c.yaml: lease-ttl: unknown field; did you mean lease_ttl?"},
    {T, GOOD "datastore: {banana: 9}\n",
     "/c.yaml: datastore.banana: unknown field; known here: endpoints, ca_file, cert_file, key_file, "
     "server_name, raw, prefix, quota"},
    {T, "cluster: demo\n" SERVERS "state_store: {endpoint: ['http://a:1']}\n",
     "/c.yaml: state_store.endpoint: unknown field; did you mean endpoints?"},
    {T, GOOD "datastore: {prefx: /r}\n", "/c.yaml: datastore.prefx: unknown field; did you mean prefix?"},
    {T, "cluster: demo\n" STORE "servers: [{name: s1, apy: 'http://a:1'}]\n",
     "/c.yaml: servers[0].apy: unknown field; did you mean api?"},
    /* missing ones, by role */
    {T, SERVERS STORE,
     "/c.yaml: cluster: missing; secrets-encrypt needs it: names this cluster's keys in the state store"},
    {T, "cluster: ''\n" SERVERS STORE,
     "/c.yaml: cluster: missing; secrets-encrypt needs it: names this cluster's keys in the state store"},
    {T, "cluster: demo\n" STORE,
     "/c.yaml: servers: missing; secrets-encrypt needs it: the cluster's servers in restart order; the first "
     "is S1"},
    {T, "cluster: demo\n" SERVERS,
     "/c.yaml: state_store: missing; secrets-encrypt needs it: the etcd that holds this program's keys"},
    {T, "cluster: demo\n" SERVERS "state_store: {}\n",
     "/c.yaml: state_store.endpoints: missing; give the URLs of the etcd members"},
    {A, GOOD, "/c.yaml: server: missing; the agent needs it: which of `servers` this machine is"},
    {C, GOOD, "/c.yaml: server: missing; the coordinator needs it: which of `servers` this machine is"},
    {A, GOOD "server: s1\n",
     "/c.yaml: encryption_config: missing; the agent needs it: the API server's --encryption-provider-config "
     "file"},
    {A, GOOD "server: s1\nencryption_config: /e.json\n",
     "/c.yaml: exec.restart: missing; the driver exec needs the command that restarts the API server"},
    {C, GOOD "server: s1\n",
     "/c.yaml: kubernetes: needs token_file, or cert_file and key_file; the coordinator logs in to the API "
     "servers to "
     "rewrite the objects"},
    {T, "cluster: demo\n" STORE "servers: [{name: s1}]\n",
     "/c.yaml: servers[0].api: missing: URL of its own API server, not of a load balancer"},
    /* types */
    {T, "cluster: 7\n" SERVERS STORE, "/c.yaml: cluster: not a text (put it into quotes)"},
    {T, GOOD "token_file:\n", "/c.yaml: token_file: empty; give it a value, or leave the field out"},
    {T, GOOD "ready_timeout: soon\n", "/c.yaml: ready_timeout: not a whole number"},
    {T, GOOD "ready_timeout: 1.5\n", "/c.yaml: ready_timeout: not a whole number"},
    {T, GOOD "ready_timeout: '60'\n", "/c.yaml: ready_timeout: not a whole number"},
    {T, GOOD "resources: secrets\n", "/c.yaml: resources: not a list"},
    {T, GOOD "resources: [1]\n", "/c.yaml: resources[0]: not a text (put it into quotes)"},
    {T, GOOD "resources: [secrets, '']\n", "/c.yaml: resources[1]: empty"},
    {T, GOOD "reencrypt: 5\n", "/c.yaml: reencrypt: not an object with fields"},
    {T, "cluster: demo\n" STORE "servers: s1\n", "/c.yaml: servers: not a list"},
    {T, "cluster: demo\n" STORE "servers: [s1]\n", "/c.yaml: servers[0]: not an object with name and api"},
    {T, GOOD "pid_file: \"/a\\tb\"\n", "/c.yaml: pid_file: holds a control character"},
    /* ranges */
    {T, GOOD "lease_ttl: 4\n", "/c.yaml: lease_ttl: 4 is not within 5 and 300"},
    {T, GOOD "reencrypt: {in_flight: 257}\n", "/c.yaml: reencrypt.in_flight: 257 is not within 1 and 256"},
    {T, GOOD "datastore: {endpoints: [\"http://127.0.0.1:1\"], quota: -5}\n",
     "/c.yaml: datastore.quota: -5 is not within 0 and 1125899906842624"},
    {T, GOOD "reencrypt: {max_rate: -1}\n", "/c.yaml: reencrypt.max_rate: -1 is not within 0 and 1000000"},
    {T, GOOD "resources: []\n", "/c.yaml: resources: has 0 elements; 1 to 32 are allowed"},
    {T, "cluster: demo\n" STORE "servers: []\n", "/c.yaml: servers: has 0 elements; 1 to 16 are allowed"},
    /* words */
    {T, GOOD "driver: exce\n",
     "/c.yaml: driver: 'exce' is not one of exec, systemd, openrc, static-pod, k3s, rke2; did you mean "
     "exec?"},
    {T, GOOD "driver: kubelet\n",
     "/c.yaml: driver: 'kubelet' is not one of exec, systemd, openrc, static-pod, k3s, rke2"},
    {T, GOOD "key_type: aescbb\n",
     "/c.yaml: key_type: 'aescbb' is not one of aescbc, aesgcm, secretbox; did you mean aescbc?"},
    {T, GOOD "log: {level: loud}\n",
     "/c.yaml: log.level: 'loud' is not one of error, warning, notice, info, debug"},
    {T, GOOD "log_level: loud\n",
     "/c.yaml: log_level: 'loud' is not one of error, warning, notice, info, debug"},
    {T, GOOD "log_level: debug\nlog: {level: info}\n",
     "/c.yaml: log_level: this is log.level now, and log.level says something else: keep log.level alone"},
    {T, GOOD "log: {log_level: debug}\n", "/c.yaml: log.log_level: unknown field; known here: level, format"},
    {T, GOOD "log: {format: xml}\n", "/c.yaml: log.format: 'xml' is not one of logfmt, json"},
    {T, GOOD "token_file: token\n", "/c.yaml: token_file: 'token' is not an absolute path"},
    {T, GOOD "datastore: {prefix: registry}\n",
     "/c.yaml: datastore.prefix: 'registry' does not start with a slash, or ends with one"},
    {T, GOOD "datastore: {prefix: /registry/}\n",
     "/c.yaml: datastore.prefix: '/registry/' does not start with a slash, or ends with one"},
    {T, "cluster: a/b\n" SERVERS STORE,
     "/c.yaml: cluster: 'a/b' is not a name (1 to 63 letters, digits, '.', '_', '-', the first a letter or "
     "digit)"},
    {T, GOOD "resources: ['*.*']\n", "/c.yaml: resources[0]: '*.*' is a wildcard; name each resource"},
    {T, GOOD "resources: [Secrets]\n",
     "/c.yaml: resources[0]: 'Secrets' is not a resource such as secrets or widgets.example.org"},
    {T, GOOD "resources: [secrets, secrets]\n", "/c.yaml: resources[1]: 'secrets' stands there twice"},
    /* proofs, snapshots, repair */
    {T, GOOD "snapshots: {enabled: 'yes'}\n", "/c.yaml: snapshots.enabled: 'yes' is not one of on, off"},
    {T, GOOD "snapshots: {dir: snaps}\n", "/c.yaml: snapshots.dir: 'snaps' is not an absolute path"},
    {T, GOOD "snapshots: {keep: 0}\n", "/c.yaml: snapshots.keep: 0 is not within 1 and 1000"},
    {T, GOOD "snapshots: {folder: /x}\n",
     "/c.yaml: snapshots.folder: unknown field; known here: enabled, dir, keep"},
    {T, GOOD "snapshots: 'on'\n", "/c.yaml: snapshots: not an object with fields"},
    {T, GOOD "canaries: {enabled: 'onn'}\n",
     "/c.yaml: canaries.enabled: 'onn' is not one of on, off; did you mean on?"},
    {T, GOOD "canaries: {enabled: 1}\n", "/c.yaml: canaries.enabled: not a text (put it into quotes)"},
    {T, GOOD "canaries: {namespce: x}\n",
     "/c.yaml: canaries.namespce: unknown field; did you mean namespace?"},
    {T, "cluster: demo\n" STORE "servers: [{name: s1, api: 'http://a:1', address: host}]\n",
     "/c.yaml: servers[0].address: 'host' is not an IP address"},
    {T,
     "cluster: demo\n" STORE "servers: [{name: s1, api: 'http://a:1', address: '::1'}, {name: s2, api: "
     "'http://b:1', address: '::1'}]\n",
     "/c.yaml: servers[1].address: the same as that of 's1'"},
    {T, GOOD "repair: automatic\n", "/c.yaml: repair: 'automatic' is not one of manual, auto"},
    {T, GOOD "escrow_days: 0\n", "/c.yaml: escrow_days: 0 is not within 1 and 36500"},
    {T, GOOD "escrow_days: '90'\n", "/c.yaml: escrow_days: not a whole number"},
    {T, "cluster: demo\n" STORE "servers: [{name: s1, api: 'http://a:1', adress: '10.0.0.1'}]\n",
     "/c.yaml: servers[0].adress: unknown field; did you mean address?"},
    {T, "cluster: demo\n" STORE "servers: [{name: s1, api: 'http://a:1', address: 10}]\n",
     "/c.yaml: servers[0].address: not a text (put it into quotes)"},
    /* servers */
    {T, GOOD "server: s9\n", "/c.yaml: server: 's9' is not among servers"},
    {T, "cluster: demo\n" STORE "servers: [{name: s1, api: 'http://a:1'}, {name: s1, api: 'http://b:1'}]\n",
     "/c.yaml: servers[1].name: 's1' stands there twice"},
    {T, "cluster: demo\n" STORE "servers: [{name: s1, api: 'http://a:1'}, {name: s2, api: 'http://a:1'}]\n",
     "/c.yaml: servers[1].api: the same as that of 's1'; each server needs the URL of its own API server"},
    {T, "cluster: demo\n" STORE "driver: k3s\nservers: [{name: s1, api: 'http://a:1', role: etdc}]\n",
     "/c.yaml: servers[0].role: 'etdc' is not one of etcd, control-plane; did you mean etcd?"},
    {T,
     "cluster: demo\n" STORE
     "driver: systemd\nservers: [{name: s1, api: 'http://a:1', role: control-plane}]\n",
     "/c.yaml: servers[0].role: only servers of the drivers k3s and rke2 have roles; with systemd leave it "
     "out, "
     "and list the servers that run an API server"},
    {T,
     "cluster: demo\n" STORE
     "driver: rke2\nservers: [{name: s1, api: 'http://a:1', role: etcd}, {name: s2, api: "
     "'http://b:1', role: etcd}]\n",
     "/c.yaml: servers: all have the role etcd; list those with an API server"},
    {T, "cluster: demo\n" STORE "servers: [{name: s1, api: '10.0.0.1:6443'}]\n",
     "/c.yaml: servers[0].api: not an http(s) URL"},
    {T, "cluster: demo\n" STORE "servers: [{name: s1, api: 'https://'}]\n",
     "/c.yaml: servers[0].api: not an http(s) URL"},
    {T, "cluster: demo\n" STORE "servers: [{name: s1, api: 'https://a:99999'}]\n",
     "/c.yaml: servers[0].api: not a port (1 to 65535) after the host"},
    {T, "cluster: demo\n" STORE "servers: [{name: s1, api: 'https://a:1/path'}]\n",
     "/c.yaml: servers[0].api: '/path' after host and port is not allowed"},
    {T, "cluster: demo\n" STORE "servers: [{name: s1, api: 'https://u:p@a:1'}]\n",
     "/c.yaml: servers[0].api: holds a user name; credentials belong into files"},
    /* etcd */
    {T, "cluster: demo\n" SERVERS "state_store: {endpoints: ['10.0.0.1:2379']}\n",
     "/c.yaml: state_store.endpoints[0]: not an http(s) URL"},
    {T, "cluster: demo\n" SERVERS "state_store: {endpoints: ['http://a:1', 'https://b:1']}\n",
     "/c.yaml: state_store.endpoints[1]: http and https mixed; all endpoints must be of one kind"},
    {T, "cluster: demo\n" SERVERS "state_store: {endpoints: ['http://a:1', 'http://a:1']}\n",
     "/c.yaml: state_store.endpoints[1]: the same as endpoints[0]"},
    {T, "cluster: demo\n" SERVERS "state_store: {endpoints: ['https://a:1']}\n",
     "/c.yaml: state_store.ca_file: missing; https endpoints need the CA that signed their certificates"},
    {T, "cluster: demo\n" SERVERS "state_store: {endpoints: ['https://a:1'], ca_file: /ca, cert_file: /c}\n",
     "/c.yaml: state_store.cert_file: given without key_file"},
    {T, "cluster: demo\n" SERVERS "state_store: {endpoints: ['https://a:1'], ca_file: /ca, key_file: /k}\n",
     "/c.yaml: state_store.key_file: given without cert_file"},
    {T, "cluster: demo\n" SERVERS "state_store: {endpoints: ['http://a:1'], ca_file: /ca}\n",
     "/c.yaml: state_store.ca_file: has no effect with http endpoints; use https ones, or leave it out"},
    {T, GOOD "datastore: {raw: offf}\n",
     "/c.yaml: datastore.raw: 'offf' is not one of on, off; did you mean off?"},
    {T, GOOD "datastore: {raw: off, endpoints: ['https://a:1']}\n",
     "/c.yaml: datastore.ca_file: missing; https endpoints need the CA that signed their certificates"},
    {T, GOOD "datastore: {ca_file: /ca}\n",
     "/c.yaml: datastore.endpoints: missing, but other fields of that connection are given"},
    {T, GOOD "datastore: {endpoints: ['https://a:1']}\n",
     "/c.yaml: datastore.ca_file: missing; https endpoints need the CA that signed their certificates"},
    {T, GOOD "kubernetes: {cert_file: /c}\n", "/c.yaml: kubernetes.cert_file: given without key_file"},
    {T, GOOD "kubernetes: {key_file: /c}\n", "/c.yaml: kubernetes.key_file: given without cert_file"},
};

static void test_bad_inputs(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(bad_rows); i++) {
        const struct bad_row *b = &bad_rows[i];
        struct config *c = NULL;
        struct error err = ERROR_INIT;
        int rc = config_parse(b->text, strlen(b->text), "/c.yaml", b->role, &c, &err);
        if (rc != ERR_INVALID || err.code != ERR_INVALID || strcmp(err.text, b->expected) != 0)
            fail_msg("%s\n gives %d '%s'\n not '%s'", b->text, rc, err.text, b->expected);
        assert_null(c);
    }
}

/* What the parser of the syntax refuses: its text names the file (and the place). */
static void test_bad_syntax_names_the_file(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } rows[] = {
        {"cluster: [demo\n", 15},              /* truncated */
        {"{\"cluster\": \"de", 15},            /* truncated JSON */
        {"cluster: a\ncluster: b\n", 22},      /* a field twice */
        {"cluster: \xff\xfe\n", 12},           /* not UTF-8 */
        {"cluster: &x demo\n", 17},            /* anchors are not needed here */
        {"cluster: a\n---\ncluster: b\n", 26}, /* two documents */
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct config *c = NULL;
        struct error err = ERROR_INIT;
        assert_int_equal(config_parse(rows[i].text, rows[i].len, "/c.yaml", CONFIG_FOR_CLI, &c, &err),
                         ERR_INVALID);
        if (strncmp(err.text, "/c.yaml", 7) != 0)
            fail_msg("row %zu: %s", i, err.text);
        assert_null(c);
    }
}

static char folder[] = "/tmp/config-test-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int load(const char *path, struct error *err)
{
    struct config *c = NULL;
    int rc = config_load(path, CONFIG_FOR_CLI, &c, err);
    config_free(c);
    return rc;
}

static void write_file(const char *path, const char *text, size_t len, off_t size)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    assert_int_equal(ftruncate(fd, size), 0);
}

static void test_files(void **state)
{
    (void)state;
    char path[64], expected[160];
    struct error err = ERROR_INIT;
    snprintf(path, sizeof(path), "%s/c.yaml", folder);

    assert_int_equal(load(path, &err), ERR_NOT_FOUND);
    snprintf(expected, sizeof(expected), "%s: No such file or directory", path);
    assert_string_equal(err.text, expected);

    write_file(path, GOOD, strlen(GOOD), (off_t)strlen(GOOD));
    assert_int_equal(load(path, &err), 0);

    write_file(path, "", 0, 0);
    assert_int_equal(load(path, &err), ERR_INVALID);
    snprintf(expected, sizeof(expected), "%s: empty; it needs at least cluster, servers and state_store",
             path);
    assert_string_equal(err.text, expected);

    write_file(path, GOOD, strlen(GOOD), CONFIG_FILE_MAX + 1);
    assert_int_equal(load(path, &err), ERR_TOO_LARGE);
    snprintf(expected, sizeof(expected), "%s: 1048577 bytes, at most 1048576 are read", path);
    assert_string_equal(err.text, expected);

    assert_int_equal(load(folder, &err), ERR_INVALID);
    snprintf(expected, sizeof(expected), "%s: not a regular file", folder);
    assert_string_equal(err.text, expected);

    if (geteuid() != 0) {
        write_file(path, GOOD, strlen(GOOD), (off_t)strlen(GOOD));
        assert_int_equal(chmod(path, 0), 0);
        assert_int_equal(load(path, &err), ERR_DENIED);
    }
    assert_int_equal(unlink(path), 0);
}

static void test_roles(void **state)
{
    (void)state;
    static const char text[] =
        "cluster: demo\n" STORE
        "driver: k3s\nservers: [{name: s1, api: 'http://a:1', role: etcd}, {name: s2, "
        "api: 'http://b:1', role: control-plane}, {name: s3, api: 'http://c:1', role: ''}, {name: s4, api: "
        "'http://d:1'}]\n";
    _cleanup_(config_freep) struct config *c = NULL;
    struct error err = ERROR_INIT;
    if (config_parse(text, strlen(text), "/c.yaml", CONFIG_FOR_CLI, &c, &err) < 0)
        fail_msg("%s", err.text);
    static const char *const roles[] = {"etcd", "control-plane", "", ""};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(c->servers[i].role, roles[i]);
        assert_int_equal(config_etcd_only(&c->servers[i]), i == 0);
    }
}

static void test_path(void **state)
{
    (void)state;
    unsetenv("SECRETS_ENCRYPT_CONFIG");
    assert_string_equal(config_path(NULL), "/etc/secrets-encrypt/config.yaml");
    setenv("SECRETS_ENCRYPT_CONFIG", "/env.yaml", 1);
    assert_string_equal(config_path(NULL), "/env.yaml");
    assert_string_equal(config_path("/flag.yaml"), "/flag.yaml");
    unsetenv("SECRETS_ENCRYPT_CONFIG");
}

static void test_too_long_text(void **state)
{
    (void)state;
    char text[8192];
    int n = snprintf(text, sizeof(text), GOOD "pid_file: /");
    memset(text + n, 'x', 5000);
    memcpy(text + n + 5000, "\n", 2);
    struct config *c = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(config_parse(text, strlen(text), "/c.yaml", CONFIG_FOR_CLI, &c, &err), ERR_INVALID);
    assert_string_equal(err.text, "/c.yaml: pid_file: longer than 4096 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_json_is_read_too),
        cmocka_unit_test(test_a_datastore_that_is_not_raw),
        cmocka_unit_test(test_names_from_before),
        cmocka_unit_test(test_bad_inputs),
        cmocka_unit_test(test_bad_syntax_names_the_file),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_too_long_text),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
