/* Trees that look like servers: what is found, and that the text is one that every program takes. The whole
 * texts are tests/golden/init. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <base/file.h>
#include <base/text.h>
#include <discover/discover.h>
#include <json/json.h>
#include <yaml/yaml.h>

#include "tree.h"

#define KEY                                                                                                  \
    "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"resources\":[{"   \
    "\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"keys\":[{\"name\":\"aescbckey\",\"secret\":"  \
    "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}]}},{\"identity\":{}}]}]}"

static struct discover_facts *found;
static const char *root;

static int set_up(void **state)
{
    (void)state;
    root = tree_make();
    found = calloc(1, sizeof(*found));
    return found ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    discover_free(found);
    free(found);
    tree_remove();
    return 0;
}

static int find(struct error *err)
{
    struct discover_options o = {root, "/etc/secrets-encrypt", NULL, "here"};
    return discover_find(&o, found, err);
}

/* Against the golden text, which has to be one that all programs take (where nothing is missing). */
static void compare(const char *name, size_t wanted_missing)
{
    char path[512];
    size_t missing = 0;
    struct error err = ERROR_INIT;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536), golden = BUF_INIT(65536);
    assert_int_equal(discover_render(found, "/etc/secrets-encrypt/token", &out, &missing, &err), 0);
    snprintf(path, sizeof(path), "%s/golden/init/%s.yaml", TEST_SOURCE_DIR, name);
    if (getenv("SECRETS_ENCRYPT_UPDATE_GOLDEN"))
        assert_int_equal(file_write_atomic(path, out.data, out.len, 0644, &err), 0);
    if (file_read(path, 65536, &golden, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(buf_str(&golden), buf_str(&out));
    assert_int_equal(missing, wanted_missing);
    assert_null(strstr(buf_str(&out), "AAECAwQF")); /* no key */
    for (int role = CONFIG_FOR_AGENT; role <= CONFIG_FOR_CLI && missing == 0; role++) {
        struct config *c = NULL;
        if (config_parse(buf_str(&out), out.len, "x", (enum config_role)role, &c, &err) < 0)
            fail_msg("%s\n%s", err.text, buf_str(&out));
        config_free(c);
    }
}

static void make_k3s(const char *data_dir)
{
    static const char *const names[] = {"token",
                                        "db/etcd/config",
                                        "tls/server-ca.crt",
                                        "tls/client-admin.crt",
                                        "tls/client-admin.key",
                                        "tls/etcd/server-ca.crt",
                                        "tls/etcd/client.crt",
                                        "tls/etcd/client.key"};
    char path[PATH_MAX];
    for (size_t i = 0; i < array_len(names); i++) {
        snprintf(path, sizeof(path), "%s/server/%s", data_dir, names[i]);
        tree_file(path, "x\n");
    }
    snprintf(path, sizeof(path), "%s/server/cred/encryption-config.json", data_dir);
    tree_file(path, KEY);
}

static void k3s_with_embedded_etcd(void **state)
{
    (void)state;
    make_k3s("/var/lib/rancher/k3s");
    tree_file("/etc/hostname", "S1\n");
    tree_file("/etc/rancher/k3s/config.yaml", "node-ip: [10.0.0.1, \"fd00::1\"]\nsecrets-encryption: true\n");
    static const struct discover_member members[] = {{"s1-0a1b2c3d", "https://10.0.0.1:2379"},
                                                     {"s2-0a1b2c3e", "https://10.0.0.2:2379"},
                                                     {"s3-0a1b2c3f", "https://10.0.0.3:2379"}};
    assert_int_equal(find(NULL), 0);
    assert_int_equal(found->kind, DISCOVER_K3S);
    discover_merge(found, members, 3, NULL, 0);
    compare("k3s", 0);
}

static void k3s_in_another_folder_with_external_etcd(void **state)
{
    (void)state;
    make_k3s("/srv/k3s");
    tree_file("/etc/rancher/k3s/config.yaml",
              "data-dir: /var/lib/other\nnode-name: one\nhttps-listen-port: 7443\n");
    tree_file("/etc/rancher/k3s/config.yaml.d/20-b.yaml",
              "data-dir: /srv/k3s\nadvertise-address: 10.0.0.1\n");
    tree_file("/etc/rancher/k3s/config.yaml.d/10-a.yml",
              "data-dir: /nowhere\netcd-arg: [quota-backend-bytes=8589934592]\n");
    tree_file("/etc/rancher/k3s/config.yaml.d/30-c.txt", "data-dir: /not/read\n");
    tree_file(
        "/etc/rancher/k3s/config.yaml.d/25-d.yaml",
        "datastore-endpoint: https://10.1.0.1:2379,https://10.1.0.2:2379\ndatastore-cafile: /etc/e/ca.crt\n"
        "datastore-certfile: /etc/e/c.crt\ndatastore-keyfile: /etc/e/c.key\n");
    assert_int_equal(find(NULL), 0);
    discover_merge(found, NULL, 0, NULL, 0);
    compare("k3s-external", 0);
}

static void k3s_on_sql(void **state)
{
    (void)state;
    make_k3s("/var/lib/rancher/k3s");
    tree_file("/etc/rancher/k3s/config.yaml",
              "datastore-endpoint: postgres://user:SECRETWORD@db/k3s\nnode-ip: 10.0.0.1\n");
    assert_int_equal(find(NULL), 0);
    discover_merge(found, NULL, 0, NULL, 0);
    compare("k3s-sql", 1);
}

static void rke2(void **state)
{
    (void)state;
    make_k3s("/var/lib/rancher/rke2");
    tree_file("/etc/rancher/rke2/config.yaml", "node-name: r1\nadvertise-address: 10.0.0.1\n");
    assert_int_equal(find(NULL), 0);
    assert_int_equal(found->kind, DISCOVER_RKE2);
    discover_merge(found, NULL, 0, NULL, 0);
    compare("rke2", 0);
}

/* --- kubeadm --- */

#define MANIFEST                                                                                             \
    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\nspec:\n  containers:\n  - command:\n"     \
    "    - kube-apiserver\n    - --advertise-address=10.0.0.1\n    - --secure-port=6443\n"                   \
    "    - --etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt\n"                                                  \
    "    - --etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt\n"                                  \
    "    - --etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key\n"                                   \
    "    - --etcd-servers=https://127.0.0.1:2379\n%s"                                                        \
    "    volumeMounts:\n    - {mountPath: /etc/kubernetes/pki, name: k8s-certs, readOnly: true}\n"           \
    "    - {mountPath: /etc/enc/, name: enc}\n    - {mountPath: /etc, name: all}\n"                          \
    "  volumes:\n  - hostPath: {path: /etc/kubernetes/pki, type: DirectoryOrCreate}\n    name: k8s-certs\n"  \
    "  - hostPath: {path: /var/lib/enc}\n    name: enc\n  - {name: all, hostPath: {path: /elsewhere}}\n"

static void make_kubeadm(const char *more)
{
    char text[8192];
    snprintf(text, sizeof(text), MANIFEST, more);
    tree_file("/etc/kubernetes/manifests/kube-apiserver.yaml", text);
    tree_file("/etc/kubernetes/manifests/etcd.yaml",
              "spec:\n  containers:\n  - command: [etcd, --quota-backend-bytes=4294967296]\n");
    tree_file("/etc/kubernetes/pki/ca.crt", "x\n");
    tree_file("/etc/hostname", "cp1\n");
}

static void kubeadm(void **state)
{
    (void)state;
    make_kubeadm("    - --encryption-provider-config=/etc/enc/config.yaml\n"
                 "    - --encryption-provider-config-automatic-reload=true\n");
    tree_file("/var/lib/enc/config.yaml",
              "kind: EncryptionConfiguration\nresources:\n- resources: [secrets, configmaps]\n  providers:\n"
              "  - aesgcm: {keys: [{name: a, secret: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}]}\n"
              "- resources: [events]\n  providers: [{identity: {}}]\n"
              "- resources: [leases]\n  providers: [{kms: {name: vault}}]\n"
              "- resources: ['*.*']\n  providers:\n"
              "  - aesgcm: {keys: [{name: a, secret: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}]}\n");
    tree_file("/etc/kubernetes/admin.conf",
              "current-context: b\ncontexts:\n- {name: a, context: {cluster: x, user: x}}\n"
              "- {name: b, context: {cluster: kubernetes, user: admin}}\n"
              "clusters:\n- {name: kubernetes, cluster: {certificate-authority-data: Q0EK}}\n"
              "users:\n- {name: other, user: {token: nobody}}\n"
              "- {name: admin, user: {client-certificate-data: Q0VSVAo=, client-key-data: S0VZCg==}}\n");
    static const char addresses[][64] = {"10.0.0.1", "10.0.0.2"};
    static const struct discover_member members[] = {{"cp1", "https://10.0.0.1:2379"},
                                                     {"cp2", "https://10.0.0.2:2379"}};
    assert_int_equal(find(NULL), 0);
    assert_int_equal(found->kind, DISCOVER_KUBEADM);
    discover_merge(found, members, 2, addresses, 2);
    compare("kubeadm", 0);
    assert_int_equal(found->files_count, 2); /* the CA is a file already */
    assert_string_equal(found->files[0].path, "/etc/secrets-encrypt/kubernetes-client.crt");
    assert_int_equal(found->files[0].text->len, 5);
    assert_memory_equal(found->files[0].text->data, "CERT\n", 5);
    assert_memory_equal(found->files[1].text->data, "KEY\n", 4);
}

static void kubeadm_never_encrypted(void **state)
{
    (void)state;
    make_kubeadm("");
    tree_file("/etc/kubernetes/admin.conf", "users:\n- {name: admin, user: {client-certificate-data: "
                                            "Q0VSVAo=, client-key-data: \"not base64\"}}\n");
    assert_int_equal(find(NULL), 0);
    discover_merge(found, NULL, 0, NULL, 0);
    compare("kubeadm-plain", 2);
    assert_int_equal(found->files_count, 0);
}

/* --- a service --- */

static void make_process(const char *pid, const char *const *arguments, const char *cgroup)
{
    char path[128], text[4096];
    size_t len = 0;
    for (; *arguments; arguments++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", *arguments) + 1;
    snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
    tree_bytes(path, text, len);
    snprintf(path, sizeof(path), "/proc/%s/cgroup", pid);
    tree_file(path, cgroup);
}

static const char *const arguments[] = {
    "/usr/bin/kube-apiserver",      "--etcd-servers",     "http://10.1.0.1:2379",
    "--advertise-address=10.0.0.5", "--secure-port=8443", "--etcd-prefix=/other",
    "--encryption-provider-config", "/etc/enc.json",      NULL};

static void service_of_systemd(void **state)
{
    (void)state;
    static const char *const other[] = {"/usr/bin/etcd", "--name=kube-apiserver", NULL};
    make_process("17", other, "0::/system.slice/etcd.service\n");
    make_process("4711", arguments, "1:name=systemd:/\n0::/system.slice/kube-apiserver@a.service\n");
    tree_file("/etc/enc.json", KEY);
    tree_file("/root/.kube/config",
              "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
              "clusters: [{name: c, cluster: {certificate-authority: /etc/k/ca.crt}}]\n"
              "users: [{name: u, user: {client-certificate: /etc/k/a.crt, client-key: /etc/k/a.key}}]\n");
    assert_int_equal(find(NULL), 0);
    assert_int_equal(found->kind, DISCOVER_SERVICE);
    discover_merge(found, NULL, 0, NULL, 0);
    compare("service", 0);
}

static void service_of_openrc(void **state)
{
    (void)state;
    make_process("4711", arguments, "0::/\n");
    tree_file("/etc/init.d/kube-apiserver", "#!/sbin/openrc-run\n");
    tree_file("/root/.kube/config", "users: [{name: u, user: {token: a-token}}]\n");
    assert_int_equal(find(NULL), 0);
    discover_merge(found, NULL, 0, NULL, 0);
    compare("openrc", 1);
    assert_string_equal(found->kube_token, "/etc/secrets-encrypt/kubernetes-token");
    assert_int_equal(found->files_count, 1);
}

static void service_that_nobody_runs(void **state)
{
    (void)state;
    static const char *const relative[] = {"kube-apiserver", "--encryption-provider-config=enc.json",
                                           "--etcd-servers=https://10.1.0.1:2379", NULL};
    make_process("4711", relative, "0::/user.slice\n");
    make_process("4712", relative, "0::/user.slice\n");
    assert_int_equal(find(NULL), 0);
    discover_merge(found, NULL, 0, NULL, 0);
    compare("bare-process", 6);
}

/* --- trouble --- */

static void nothing_here(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    tree_file("/etc/rancher/k3s/config.yaml", "server: https://10.0.0.1:6443\n"); /* an agent's */
    assert_int_equal(find(&err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/etc/kubernetes/manifests/kube-apiserver.yaml"));
}

static void damaged_files_become_notes(void **state)
{
    (void)state;
    make_kubeadm("    - --encryption-provider-config=/etc/enc/config.yaml\n");
    tree_file("/var/lib/enc/config.yaml", "resources: [\n");
    tree_file("/etc/kubernetes/admin.conf", "\xff\xfe");
    tree_file("/etc/kubernetes/manifests/etcd.yaml", "a: b: c\n");
    assert_int_equal(find(NULL), 0);
    assert_int_equal(found->notes_count, 3);
    assert_string_equal(found->encryption_config, "/var/lib/enc/config.yaml");
    assert_int_equal(found->resources_count, 0);
}

/* What is written is a text file in any case: one that is no YAML would be of no use to any program. */
static void the_text_is_well_formed(void)
{
    size_t missing = 0;
    _cleanup_(json_freep) struct json *tree = NULL;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(65536);
    assert_int_equal(discover_render(found, "/etc/secrets-encrypt/token", &out, &missing, NULL), 0);
    assert_true(text_is_utf8(out.data, out.len));
    assert_null(strstr(buf_str(&out), "\ninjected"));
    assert_int_equal(yaml_parse(buf_str(&out), out.len, "the text", &tree, NULL), 0);
}

static void what_yaml_lets_not_stand_is_escaped(void **state)
{
    (void)state;
    static const char *const odd[] = {"kube-apiserver", "--etcd-servers=http://a\x7f,http://b\xc2\x85",
                                      "--encryption-provider-config=/etc/\xef\xbb\xbf\xef\xbf\xbe\xc3\xa9",
                                      NULL};
    make_process("4711", odd, "0::/system.slice/a.service\n");
    assert_int_equal(find(NULL), 0);
    the_text_is_well_formed();
}

static void a_path_that_is_no_utf8_is_left_to_fill_in(void **state)
{
    (void)state;
    static const char *const odd[] = {"kube-apiserver", "--encryption-provider-config=/etc/\xce.json",
                                      "--etcd-servers=http://10.1.0.1:2379", NULL};
    make_process("4711", odd, "0::/system.slice/a.service\n");
    assert_int_equal(find(NULL), 0);
    assert_string_equal(found->encryption_config, "");
    assert_non_null(strstr(found->notes[0], "/etc/?.json"));
    the_text_is_well_formed();
}

static void a_note_is_not_cut_within_a_character(void **state)
{
    (void)state;
    char path[DISCOVER_PATH_MAX] = "/var/lib/e", more[DISCOVER_PATH_MAX + 64];
    for (size_t i = 0; i < 150; i++)
        snprintf(path + strlen(path), sizeof(path) - strlen(path), "\xc3\xa9");
    snprintf(more, sizeof(more), "    - --encryption-provider-config=%s\n", path);
    make_kubeadm(more);
    assert_int_equal(find(NULL), 0);
    assert_int_equal(found->notes_count, 1); /* that it is not there */
    assert_true(text_is_utf8(found->notes[0], strlen(found->notes[0])));
    the_text_is_well_formed();
}

static void names_of_two_lines_stay_in_their_comment(void **state)
{
    (void)state;
    make_k3s("/srv/a\ninjected: x");
    tree_file("/etc/rancher/k3s/config.yaml",
              "data-dir: \"/srv/a\\ninjected: x\"\nnode-name: \"s1\\ninjected: y\"\n");
    assert_int_equal(find(NULL), 0);
    the_text_is_well_formed();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(k3s_with_embedded_etcd),
        TEST(k3s_in_another_folder_with_external_etcd),
        TEST(k3s_on_sql),
        TEST(rke2),
        TEST(kubeadm),
        TEST(kubeadm_never_encrypted),
        TEST(service_of_systemd),
        TEST(service_of_openrc),
        TEST(service_that_nobody_runs),
        TEST(nothing_here),
        TEST(damaged_files_become_notes),
        TEST(a_path_that_is_no_utf8_is_left_to_fill_in),
        TEST(a_note_is_not_cut_within_a_character),
        TEST(names_of_two_lines_stay_in_their_comment),
        TEST(what_yaml_lets_not_stand_is_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
