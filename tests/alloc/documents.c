/* Documents while memory runs out: JSON, YAML, encryption configs, configuration files, manifests, zones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <agent/manifest.h>
#include <agent/state.h>
#include <base/file.h>
#include <config/config.h>
#include <encryption/config.h>
#include <json/json.h>
#include <prom/prom.h>
#include <schedule/window.h>
#include <yaml/places.h>
#include <yaml/yaml.h>

#include "fail.h"

#define TEXT                                                                                                 \
    "{\"z\":[1,2.5,\"a\\u00e9\",null,true,{\"n\":12345678901234567890}],\"a\":{\"b\":\"c\"},\"m\":\"text\"}"
#define KEY_A "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="
#define KEY_B "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI="
#define CONFIG_JSON                                                                                          \
    "{\"kind\":\"EncryptionConfiguration\",\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"resources\":["    \
    "{\"resources\":[\"secrets\"],\"providers\":[{\"aescbc\":{\"keys\":[{\"name\":\"b\",\"secret\":\"" KEY_B \
    "\"},{\"name\":\"a\",\"secret\":\"" KEY_A "\"}]}},{\"identity\":{}}]}]}"
#define CONFIG_YAML                                                                                          \
    "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n"                    \
    "- resources: [secrets]\n  providers:\n  - secretbox:\n      keys:\n      - name: a\n"                   \
    "        secret: " KEY_A "\n  - identity: {}\n"

static const char *const names[] = {"secrets"};
static const struct resource_set managed = {names, 1};

/* Made once, with memory: what the cases work on. */
static struct json *document;
static struct encryption_config *keys;
static char keys_id[65];
static char state_folder[] = "/tmp/secrets-encrypt-alloc-XXXXXX";
static struct state_dir state_dir;
static struct secret *new_key;
/* As short as a manifest can be: what one allocates grows with its length, and the cases' time with the
 * square. */
static const char manifest_text[] = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\nspec:\n"
                                    "  containers:\n  - name: kube-apiserver\n    image: x\n    command:\n"
                                    "    - kube-apiserver\n    - --etcd-servers=https://127.0.0.1:2379\n";

static int parse(struct error *err)
{
    _cleanup_(json_freep) struct json *j = NULL;
    int rc = json_parse(TEXT, strlen(TEXT), "text", &j, err);
    assert_true((rc == 0) == (j != NULL));
    return rc;
}

static int print(struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(4096);
    int rc = json_print(document, &out, err);
    assert_true(rc == 0 || out.len == 0);
    return rc;
}

static int print_secret(struct error *err)
{
    _cleanup_(secret_freep) struct secret *s = NULL;
    return json_print_secret(document, &s, err);
}

static int print_canonical(struct error *err)
{
    _cleanup_(secret_freep) struct secret *s = NULL;
    return json_print_canonical(document, &s, err);
}

static int copy(struct error *err)
{
    _cleanup_(json_freep) struct json *j = json_copy(document);
    assert_true(!j || json_equal(j, document));
    return j ? 0 : error_no_memory(err);
}

/* What is set, put in or taken out fails whole: the document stays the one that it was. */
static int edit(struct error *err)
{
    struct json *o = json_member(document, "a"), *list = json_member(document, "z");
    size_t elements = json_count(list);
    int rc = json_set_string(o, "b", "d", err);
    assert_string_equal(json_string(json_get(o, "b"), ""), rc == 0 ? "d" : "c");
    if (rc == 0)
        rc = json_set_string(o, "b", "c", err);
    if (rc < 0 && strcmp(json_string(json_get(o, "b"), ""), "d") == 0) {
        assert_int_equal(json_set_string(o, "b", "c", NULL), 0);
        return rc;
    }
    if (rc == 0)
        rc = json_append(list, json_new_string("last"), err);
    if (rc == 0)
        json_remove(list, json_element(list, elements));
    if (rc == 0)
        rc = json_insert(list, 0, json_new_object(), err);
    if (rc == 0)
        json_remove(list, json_element(list, 0));
    assert_int_equal(json_count(list), elements);
    return rc;
}

static int number(struct error *err)
{
    _cleanup_(json_freep) struct json *j = NULL;
    return json_new_number("12345678901234567890", &j, err);
}

static int unique(struct error *err)
{
    bool no_memory = false;
    bool is = json_unique(document, &no_memory);
    assert_true(is != no_memory);
    return is ? 0 : error_no_memory(err);
}

static int yaml(struct error *err)
{
    _cleanup_(json_freep) struct json *j = NULL;
    return yaml_parse(CONFIG_YAML, strlen(CONFIG_YAML), "text", &j, err);
}

static int yaml_out(struct error *err)
{
    _cleanup_(secret_freep) struct secret *s = NULL;
    return yaml_emit(document, &s, err);
}

static int places(struct error *err)
{
    _cleanup_(yaml_places_freep) struct yaml_places *p = NULL;
    return yaml_places_new(CONFIG_YAML, strlen(CONFIG_YAML), "text", &p, err);
}

static int encryption_read(const char *text, struct error *err)
{
    _cleanup_(encryption_config_freep) struct encryption_config *c = NULL;
    _cleanup_(secret_freep) struct secret *out = NULL;
    int rc = encryption_config_parse(text, strlen(text), "text", &c, err);
    assert_true((rc == 0) == (c != NULL));
    return rc < 0 ? rc : encryption_config_emit(c, &out, err);
}

static int encryption_json(struct error *err)
{
    return encryption_read(CONFIG_JSON, err);
}

static int encryption_yaml(struct error *err)
{
    return encryption_read(CONFIG_YAML, err);
}

static int encryption_id(struct error *err)
{
    char id[65];
    int rc = encryption_config_id(keys, id, err);
    assert_true(rc < 0 || strcmp(id, keys_id) == 0);
    return rc;
}

/* The operations of a rotation, one after the other. */
static int encryption_rotate(struct error *err)
{
    _cleanup_(encryption_config_freep) struct encryption_config *more = NULL, *first = NULL, *less = NULL;
    int rc = encryption_append_key(keys, managed, PROVIDER_AESGCM, "c", new_key, &more, err);
    if (rc == 0)
        rc = encryption_promote_key(more, managed, PROVIDER_AESGCM, "c", &first, err);
    if (rc == 0)
        rc = encryption_drop_key(first, managed, PROVIDER_AESCBC, "b", &less, err);
    assert_true(encryption_writes_with(keys, managed, PROVIDER_AESCBC, "b"));
    assert_false(encryption_can_read(keys, managed, PROVIDER_AESGCM, "c"));
    return rc;
}

static const char config_text[] =
    "cluster: demo\nserver: s2\n"
    "servers: [{name: s1, api: 'https://10.0.0.1:6443'}, {name: s2, api: 'https://10.0.0.2:6443'}]\n"
    "state_store: {endpoints: ['https://127.0.0.1:2379'], ca_file: /ca, cert_file: /c, key_file: /k}\n"
    "kubernetes: {token_file: /kt}\n"
    "exec: {restart: ['systemctl', 'restart', 'kube-apiserver'], timeout: 30}\n"
    "maintenance_window: [{days: [sat, sun], from: '02:00', to: '05:00', time_zone: Europe/Berlin}]\n"
    "api: {listen: ['10.0.0.1:6448'], cert_file: /c, key_file: /k, client_ca_file: /ca,"
    " roles: [{role: operator, subject: 'CN=ci'}, {role: viewer, group: on-call}]}\n";

static int config(struct error *err)
{
    _cleanup_(config_freep) struct config *c = NULL;
    int rc = config_parse(config_text, strlen(config_text), "/c.yaml", CONFIG_FOR_COORDINATOR, &c, err);
    assert_true((rc == 0) == (c != NULL));
    return rc;
}

static int reference(struct error *err)
{
    _cleanup_(buf_freep) struct buf out = BUF_INIT(1024 * 1024);
    return config_reference(&out, err);
}

static int manifest(struct error *err)
{
    _cleanup_(manifest_freep) struct manifest *m = NULL;
    _cleanup_(buf_freep) struct buf out = BUF_INIT(MANIFEST_MAX), arguments = BUF_INIT(MANIFEST_MAX);
    bool added = false;
    int rc = manifest_parse(manifest_text, strlen(manifest_text), "the manifest", &m, err);
    if (rc == 0)
        rc = manifest_edit(m, "/etc/kubernetes/enc/config.json", "2026-11-27T21:00:00.000Z", &out, &added,
                           err);
    if (rc == 0)
        rc = manifest_arguments(m, &arguments, err);
    return rc;
}

static int windows(struct error *err)
{
    struct windows w = {.count = 0};
    struct window one;
    int rc = window_parse("sat,sun", "02:00", "05:00", "Europe/Berlin", &one, err);
    if (rc == 0)
        rc = windows_add(&w, &one, err);
    assert_int_equal(w.count, rc == 0);
    windows_clear(&w);
    return rc;
}

static int zones(struct error *err)
{
    char **list = NULL;
    size_t count = 0;
    int rc = zone_names(&list, &count, err);
    zone_names_free(list, count);
    return rc;
}

static int prom(struct error *err)
{
    static const char reply[] = "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
                                "{\"metric\":{\"alertname\":\"NodeDown\"},\"value\":[1,\"1\"]}]}}";
    char series[PROM_TEXT_MAX];
    size_t count = 0;
    return prom_read(reply, strlen(reply), &count, series, err);
}

static int read_file(struct error *err)
{
    _cleanup_(buf_freep) struct buf text = BUF_INIT(MANIFEST_MAX);
    return file_read(TEST_SOURCE_DIR "/unit/agent/manifests/kubeadm.yaml", MANIFEST_MAX, &text, err);
}

static int read_secret(struct error *err)
{
    _cleanup_(secret_freep) struct secret *s = NULL;
    return file_read_secret(TEST_SOURCE_DIR "/unit/agent/manifests/kubeadm.yaml", MANIFEST_MAX, &s, err);
}

/* What was kept is whole, the old or the new. */
static int state_kept(struct error *err)
{
    static struct agent_state now, kept;
    int64_t before = now.seq;
    int rc = state_save(&state_dir, &now, err);
    if (rc == 0)
        rc = state_load(&state_dir, &kept, err);
    assert_true(rc < 0 || (kept.seq == now.seq && now.seq == before + 1));
    return rc;
}

static void remove_state(void)
{
    static const char *const files[] = {"agent.json", "lock"};
    char path[PATH_MAX];
    state_dir_close(&state_dir);
    for (size_t i = 0; i < array_len(files); i++)
        if (state_path(&state_dir, files[i], path, NULL) == 0)
            unlink(path);
    rmdir(state_folder);
}

static void make(void)
{
    struct error err = ERROR_INIT;
    new_key = secret_copy("0123456789abcdef0123456789abcdef", 32);
    if (!mkdtemp(state_folder) || state_dir_open(&state_dir, state_folder, "demo", "s1", &err) < 0 ||
        !new_key || json_parse(TEXT, strlen(TEXT), "text", &document, &err) < 0 ||
        encryption_config_parse(CONFIG_JSON, strlen(CONFIG_JSON), "text", &keys, &err) < 0 ||
        encryption_config_id(keys, keys_id, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

int main(void)
{
    static const struct alloc_case cases[] = {
        {"json_parse", parse, false},
        {"json_print", print, false},
        {"json_print_secret", print_secret, false},
        {"json_print_canonical", print_canonical, false},
        {"json_copy", copy, false},
        {"json edited", edit, false},
        {"json_new_number", number, false},
        {"json_unique", unique, false},
        {"yaml_parse", yaml, false},
        {"yaml_emit", yaml_out, false},
        {"yaml_places_new", places, false},
        {"encryption config in JSON", encryption_json, false},
        {"encryption config in YAML", encryption_yaml, false},
        {"encryption_config_id", encryption_id, true},
        {"a key appended, promoted, dropped", encryption_rotate, false},
        {"config_parse", config, false},
        {"config_reference", reference, false},
        {"manifest_parse and manifest_edit", manifest, false},
        {"state_save and state_load", state_kept, false},
        {"windows_add", windows, false},
        {"zone_names", zones, false},
        {"prom_read", prom, false},
        {"file_read", read_file, false},
        {"file_read_secret", read_secret, false},
    };
    int rc;
    alloc_install();
    make();
    rc = alloc_cases_main(cases, array_len(cases));
    remove_state();
    json_free(document);
    encryption_config_free(keys);
    secret_free(new_key);
    return rc;
}
