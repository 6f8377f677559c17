/* Any bytes as the files of a server that `init` looks at (the first byte says of which kind, a byte 0x01
 * stands between two files): what was found becomes a configuration that is YAML with nothing in it but the
 * members that `init` writes, and that each program takes when nothing is missing but names. */
#include "fuzz.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/file.h>
#include <base/text.h>
#include <config/config.h>
#include <discover/discover.h>
#include <json/json.h>
#include <yaml/yaml.h>

#define BETWEEN    0x01
#define FILES_MAX  5
#define RENDER_MAX (1024 * 1024)

int LLVMFuzzerInitialize(int *argc, char ***argv);

static const struct kind {
    const char *folders[9], *files[FILES_MAX];
} kinds[] = {
    {{"/etc", "/etc/kubernetes", "/etc/kubernetes/manifests"},
     {"/etc/kubernetes/manifests/kube-apiserver.yaml", "/etc/kubernetes/admin.conf",
      "/etc/kubernetes/config.json", "/etc/kubernetes/manifests/etcd.yaml", "/etc/hostname"}},
    {{"/etc", "/etc/rancher", "/etc/rancher/k3s", "/etc/rancher/k3s/config.yaml.d", "/k3s", "/k3s/server",
      "/k3s/server/cred", "/k3s/server/db"},
     {"/etc/rancher/k3s/config.yaml", "/k3s/server/cred/encryption-config.json",
      "/etc/rancher/k3s/config.yaml.d/a.yaml", "/etc/hostname", "/k3s/server/db/etcd"}},
    {{"/etc", "/etc/kubernetes", "/proc", "/proc/7"},
     {"/proc/7/cmdline", "/proc/7/cgroup", "/etc/kubernetes/config.json", "/etc/kubernetes/admin.conf",
      "/etc/hostname"}},
};
static char roots[array_len(kinds)][64];

/* ---------- the files ---------- */

static void put_file(const char *root, const char *path, const char *text, size_t len)
{
    char full[256];
    snprintf(full, sizeof(full), "%s%s", root, path);
    FILE *f = fopen(full, "we");
    MUST(f && fwrite(text, 1, len, f) == len && fclose(f) == 0);
}

static void drop_file(const char *root, const char *path)
{
    char full[256];
    snprintf(full, sizeof(full), "%s%s", root, path);
    (void)unlink(full);
}

/* An argument's end is a NUL, which a file of a corpus had better not hold: '\n' stands for it. */
static void put_files(size_t which, char *text, size_t size)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        char *end = text ? memchr(text, BETWEEN, size) : NULL;
        size_t len = end ? (size_t)(end - text) : size;
        if (!text) {
            drop_file(roots[which], kinds[which].files[i]);
            continue;
        }
        for (size_t k = 0; which == 2 && i == 0 && k < len; k++)
            text[k] = text[k] == '\n' ? 0 : text[k];
        put_file(roots[which], kinds[which].files[i], text, len);
        size -= len + (end ? 1 : 0);
        text = end ? end + 1 : NULL;
    }
}

static void clear_roots(void)
{
    for (size_t i = 0; i < array_len(kinds); i++) {
        for (size_t k = 0; k < FILES_MAX; k++)
            drop_file(roots[i], kinds[i].files[k]);
        for (size_t k = array_len(kinds[i].folders); k-- > 0;) {
            char full[256];
            snprintf(full, sizeof(full), "%s%s", roots[i],
                     kinds[i].folders[k] ? kinds[i].folders[k] : "/none");
            (void)rmdir(full);
        }
        (void)rmdir(roots[i]);
    }
}

/* ---------- what is found ---------- */

static bool is_line(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

static void must_be_facts(const struct discover_facts *f)
{
    MUST(f->kind != DISCOVER_NOTHING && *f->where && *discover_kind_name(f->kind));
    MUST(f->port > 0 && f->port < 65536 && f->quota >= 0 && f->notes_count <= DISCOVER_NOTES_MAX);
    MUST(f->endpoints_count <= CONFIG_ENDPOINTS_MAX && f->resources_count <= CONFIG_RESOURCES_MAX);
    for (size_t i = 0; i < f->notes_count; i++)
        MUST(is_line(f->notes[i]));
    for (size_t i = 0; i < f->files_count; i++)
        MUST(f->files[i].text && *f->files[i].path == '/');
    const char *const paths[] = {f->encryption_config, f->etcd_ca,  f->etcd_cert,  f->etcd_key, f->kube_ca,
                                 f->kube_cert,         f->kube_key, f->kube_token, f->manifest, f->data_dir};
    for (size_t i = 0; i < array_len(paths); i++)
        MUST(!*paths[i] || *paths[i] == '/');
}

static void must_be_ours(const struct buf *text)
{
    static const char *const members[] = {
        "cluster",    "server", "servers", "resources",         "token_file", "state_store", "datastore",
        "kubernetes", "driver", "service", "encryption_config", "static_pod", "k3s",         "reload"};
    struct json *root = NULL;
    struct error err = ERROR_INIT;
    int rc = yaml_parse(buf_str(text), text->len, "rendered", &root, &err);
    if (rc < 0)
        fprintf(stderr, "%s\n%s\n", err.text, buf_str(text));
    MUST(rc == 0);
    for (const struct json *m = json_first(root); m; m = json_next(m)) {
        bool known = false;
        for (size_t i = 0; i < array_len(members); i++)
            known |= strcmp(json_key(m), members[i]) == 0;
        MUST(known);
    }
    json_free(root);
}

/* With what was missing filled in, or not: taken, or refused for the text of one of its members. */
static void must_render(struct discover_facts *f)
{
    struct buf out = BUF_INIT(RENDER_MAX);
    struct error err = ERROR_INIT;
    struct config *c = NULL;
    size_t missing = 0;
    int rc = discover_render(f, "/etc/secrets-encrypt/token", &out, &missing, &err);
    MUST(rc == 0 || (rc == ERR_TOO_LARGE && err.code == rc));
    if (rc == 0) {
        must_be_ours(&out);
        rc = config_parse(buf_str(&out), out.len, "rendered", CONFIG_FOR_AGENT, &c, &err);
        MUST(rc == 0 || (err.code == rc && is_line(err.text)));
        MUST(rc < 0 || missing == 0 || c);
        config_free(c);
    }
    buf_free(&out);
}

static void look(size_t which)
{
    static struct fuzz_room room;
    static const char addresses[][64] = {"10.0.0.1", "10.0.0.2", "fd00::3"};
    static const struct discover_member members[] = {{"s2", "https://10.0.0.2:2379"}, {"s1", ""}};
    const struct discover_options o = {roots[which], "/etc/secrets-encrypt", NULL, "here"};
    struct discover_facts *f = fuzz_zeroes(&room, sizeof(*f));
    struct error err = ERROR_INIT;
    int rc = discover_find(&o, f, &err);
    MUST(rc == 0 || (rc == ERR_NOT_FOUND && err.code == rc && is_line(err.text)));
    if (rc == 0) {
        must_be_facts(f);
        must_render(f);
        discover_merge(f, members, array_len(members), addresses, array_len(addresses));
        MUST(f->servers_count > 0 && f->servers_count <= CONFIG_SERVERS_MAX);
        must_render(f);
    }
    discover_free(f);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)argc, (void)argv;
    for (size_t i = 0; i < array_len(kinds); i++) {
        snprintf(roots[i], sizeof(roots[i]), "%s/fuzz-discover-XXXXXX", base);
        MUST(mkdtemp(roots[i]));
        for (size_t k = 0; k < array_len(kinds[i].folders) && kinds[i].folders[k]; k++) {
            char full[256];
            snprintf(full, sizeof(full), "%s%s", roots[i], kinds[i].folders[k]);
            MUST(mkdir(full, 0700) == 0);
        }
    }
    atexit(clear_roots);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = malloc(size);
    MUST(text);
    memcpy(text, data + 1, size - 1);
    size_t which = data[0] % array_len(kinds);
    put_files(which, text, size - 1);
    look(which);
    free(text);
    return 0;
}
